"""A data frame to an array: columns of numbers, and of codes for categories.

Frames of pandas, polars and pyarrow are read through narwhals. Numbers, booleans and
gaps become floats with NaN. Categories and strings become codes of their sorted levels,
-1 for a level that was not seen in ``fit`` and NaN for a gap. Every error names the
column, its dtype and one of its values.
"""

from numbers import Real

import narwhals.stable.v2 as nw
import numpy as np
import scipy.sparse as sp

CATEGORIES = (nw.Categorical, nw.Enum, nw.String)
SMALL = (nw.Float32, nw.Boolean, nw.Int8, nw.Int16, nw.UInt8, nw.UInt16)
DATES = (nw.Datetime, nw.Date, nw.Duration, nw.Time)


def is_frame(X):
    """Whether X is a data frame that narwhals reads."""
    return nw.dependencies.is_into_dataframe(X)


class Table:
    """Which columns are categories, and their levels.

    Parameters
    ----------
    names : list of str or None
        Names of the columns; None for an array.
    levels : dict of int to list of str
        The sorted levels of each column of categories.
    from_numbers : set of int
        The columns of categories that hold numbers.
    empty : set of int
        The columns without a value.
    """

    def __init__(self, names, levels, from_numbers=(), empty=()):
        self.empty = set(empty)
        self.names = names
        self.levels = levels
        self.from_numbers = set(from_numbers)

    @classmethod
    def fit(cls, X, categorical_features, keep):
        """Learn the columns of a frame or an array.

        Parameters
        ----------
        X : data frame or ndarray
        categorical_features : 'from_dtype', None or array-like
            As for ``TwoLayerClassifier``.
        keep : ndarray of bool of shape (n_samples,)
            The rows that count.
        """
        if not is_frame(X) and (
            categorical_features is None or isinstance(categorical_features, str)
        ):
            return cls(None, {})
        if sp.issparse(X):
            raise ValueError(
                "categorical_features names columns, but X is sparse. Give a frame."
            )
        columns, names = _columns(X)
        named = _named_columns(categorical_features, names)
        table = cls(names, {})
        for j, column in enumerate(columns):
            is_category = getattr(column, "dtype", None) in CATEGORIES
            if not isinstance(column, np.ndarray) and _is_empty(column):
                table.empty.add(j)
                continue
            if is_category and isinstance(categorical_features, str):
                named.add(j)
            if j in named:
                if not is_category:
                    table.from_numbers.add(j)
                values, missing = _strings(column, names[j], not is_category)
                table.levels[j] = sorted(set(values[keep & ~missing]))
            elif is_category:
                raise ValueError(
                    f"{_described(column, names[j])} is a category, but "
                    f"categorical_features does not name it. Add {names[j]!r} to it, "
                    "use 'from_dtype', or leave the column out."
                )
        return table

    def name(self, j):
        """Name of a column for messages; ``x0`` and so on without names."""
        return f"x{j}" if self.names is None else self.names[j]

    def transform(self, X):
        """The array (n_samples, n_features) of numbers and codes."""
        columns, _ = _columns(X)
        small = all(
            j in self.levels or getattr(column, "dtype", None) in SMALL
            for j, column in enumerate(columns)
        )
        out = np.empty((len(X), len(columns)), np.float32 if small else np.float64)
        for j, column in enumerate(columns):
            if j in self.empty:
                out[:, j] = np.nan
                continue
            name, is_category = self.name(j), getattr(column, "dtype", 0) in CATEGORIES
            if j not in self.levels:
                if is_category and not column.is_null().all():
                    raise ValueError(
                        f"{_described(column, name)} holds categories, but held "
                        "numbers in fit. Give it the same dtype as in fit."
                    )
                out[:, j] = np.nan if is_category else _numbers(column, name)
                continue
            from_numbers = j in self.from_numbers
            if is_category == from_numbers and not _is_empty(column):
                raise ValueError(
                    f"{_described(column, name)} was a category of "
                    f"{'numbers' if from_numbers else 'another dtype'} in fit. Give "
                    "it the same dtype as in fit."
                )
            values, missing = _strings(column, name, from_numbers)
            codes = {level: code for code, level in enumerate(self.levels[j])}
            out[:, j] = [codes.get(value, -1) for value in values]
            out[missing, j] = np.nan
        return out


def _columns(X):
    """The columns of a frame or an array, and their names."""
    if isinstance(X, np.ndarray):
        return list(X.T), [f"x{j}" for j in range(X.shape[1])]
    frame = nw.from_native(X, eager_only=True)
    return list(frame.iter_columns()), [str(name) for name in frame.columns]


def _named_columns(categorical_features, names):
    """The indices of the columns that ``categorical_features`` names."""
    if categorical_features is None or isinstance(categorical_features, str):
        return set()
    given = np.asarray(categorical_features)
    if given.dtype == bool:
        if len(given) != len(names):
            raise ValueError(
                f"categorical_features is a mask of {len(given)} columns, but X has "
                f"{len(names)}."
            )
        return set(np.flatnonzero(given).tolist())
    known = names if given.dtype.kind in "OU" else range(len(names))
    unknown = [value for value in given.tolist() if value not in known]
    if unknown:
        raise ValueError(
            f"categorical_features has {unknown[0]!r}, which is no column of X. The "
            f"columns are {str(names)[:150]}."
        )
    return {names.index(v) if isinstance(v, str) else v for v in given.tolist()}


def _is_empty(column):
    """Whether a column holds nothing but gaps."""
    if isinstance(column, np.ndarray):
        return bool(np.isnan(column).all())
    return bool(column.is_null().all())


def _numbers(column, name):
    """The values of a column of numbers, NaN for gaps."""
    if isinstance(column, np.ndarray):
        return column
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return column.cast(nw.Float64).to_numpy()
    if column.is_null().all():
        return np.full(len(column), np.nan)
    values = np.empty(0, object) if column.dtype.is_nested() else column.to_numpy()
    if values.dtype.kind in "biuf":  # sparse columns of pandas
        return values.astype(np.float64)
    present = values[~column.is_null().to_numpy()] if len(values) else values
    if column.dtype == nw.Object and all(isinstance(v, Real) for v in present):
        numbers = np.full(len(values), np.nan)
        numbers[~column.is_null().to_numpy()] = present.astype(np.float64)
        return numbers
    cure = "Convert it to numbers or strings, or leave it out."
    if column.dtype in DATES:
        cure = (
            "Convert it to numbers, such as days since the first date, or use "
            "skrub.TableVectorizer."
        )
    raise ValueError(
        f"{_described(column, name)} is neither a number nor a category. {cure}"
    )


def _strings(column, name, from_numbers):
    """Levels of a column of categories as strings, and which of them are gaps."""
    # not by way of floats, which would merge integers beyond 2**53
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "iu":
            return column.astype(str).astype(object), np.zeros(len(column), dtype=bool)
    elif column.dtype.is_integer() or not from_numbers:
        missing = column.is_null().to_numpy()
        try:
            return column.cast(nw.String).to_numpy().astype(object), missing
        except Exception as error:  # each library has its own
            raise ValueError(
                f"{_described(column, name)} has levels that are no strings or "
                "numbers. Convert them to strings."
            ) from error
    numbers = _numbers(column, name).astype(np.float64)
    missing = np.isnan(numbers)
    fractions = numbers[~missing] % 1 != 0
    if fractions.any():
        value = numbers[~missing][fractions][0]
        raise ValueError(
            f"categorical_features names the column {name!r}, which has numbers with "
            f"fractions, such as {value:g}. Categories are integers or strings."
        )
    integers = np.where(missing, 0, numbers).astype(np.int64)
    return integers.astype(str).astype(object), missing


def _described(column, name):
    """A column, its dtype and one of its values, in at most 150 characters."""
    name = name if len(str(name)) < 60 else f"{name[:50]}..."
    if isinstance(column, np.ndarray):
        return f"Column {name!r} of X (dtype {column.dtype})"
    present = column.filter(~column.is_null())
    values = present.head(20).to_list()
    numbers = sum(isinstance(value, Real) for value in values)
    # of a mix, the value that is not like the first
    value = next((v for v in values if numbers and not isinstance(v, Real)), values[0])
    shown = f"{value!r}"[:60]
    return f"Column {name!r} of X (dtype {str(column.dtype)[:40]}, such as {shown})"
