"""Convert a data frame to an array of numbers, with codes for categories.

Frames of pandas, polars and pyarrow are read through narwhals. Numbers and booleans
become floats, and missing values become NaN. Categories and strings become codes of
their sorted levels, with -1 for a level that was not seen in ``fit`` and NaN for a
missing value. An error about a column states its name, its dtype and one of its values.
"""

from collections import Counter
from numbers import Real

import narwhals.stable.v2 as nw
import numpy as np
import scipy.sparse as sp

CATEGORIES = (nw.Categorical, nw.Enum, nw.String)
SMALL = (nw.Float32, nw.Boolean, nw.Int8, nw.Int16, nw.UInt8, nw.UInt16)


def is_frame(X):
    """Whether X is a data frame that narwhals can read."""
    return nw.dependencies.is_into_dataframe(X)


class Table:
    """The categorical columns and their levels.

    Parameters
    ----------
    names : list of str or None
        Names of the columns; None for an array.
    levels : dict of int to list of str
        The sorted levels of each categorical column.
    from_numbers : set of int
        The categorical columns that hold numbers.
    empty : set of int
        The columns without a value.
    """

    def __init__(self, names, levels, from_numbers=(), empty=()):
        self.names = names
        self.levels = levels
        self.from_numbers = set(from_numbers)
        self.empty = set(empty)

    @classmethod
    def fit(cls, X, categorical_features, keep):
        """Learn the columns of a frame or an array.

        Parameters
        ----------
        X : data frame or ndarray
        categorical_features : 'from_dtype', None or array-like
            As for ``TwoLayerClassifier``.
        keep : ndarray of bool of shape (n_samples,)
            The rows with positive weight.
        """
        from_dtype = isinstance(categorical_features, str)
        if not is_frame(X) and (from_dtype or categorical_features is None):
            return cls(None, {})
        columns, names = _columns(X)
        table, named = cls(names, {}), set()
        if not from_dtype and categorical_features is not None:
            named = _named_columns(np.asarray(categorical_features), names)
        for j, column in enumerate(columns):
            is_category = _is_category(column)
            if _missing(column)[keep].all():
                table.empty.add(j)
            elif j in named or (from_dtype and is_category):
                table.levels[j] = sorted(set(_levels(column, names[j])[keep]) - {None})
                if not is_category:
                    table.from_numbers.add(j)
            elif is_category:
                raise ValueError(
                    f"{_described(column, names[j])} is a category, but "
                    f"categorical_features does not name it. Add {names[j]!r} to it, "
                    "use 'from_dtype', or leave the column out."
                )
        return table

    def name(self, j):
        """Name of a column for messages, such as ``x0`` if they have no names."""
        return f"x{j}" if self.names is None else self.names[j]

    def transform(self, X):
        """The array (n_samples, n_features) of numbers and codes."""
        columns = dict(enumerate(_columns(X)[0]))
        small = all(columns[j].dtype in SMALL for j in columns.keys() - self.levels)
        dtype = np.float32 if small else np.float64
        out = np.full((len(X), len(columns)), np.nan, dtype)
        for j, column in columns.items():
            if j in self.empty:
                continue
            known = j in self.levels
            had_categories = known and j not in self.from_numbers
            if _is_category(column) != had_categories:
                if _missing(column).all():
                    continue
                kind = "another dtype" if had_categories else "numbers"
                was = f"was a category of {kind}" if known else "held numbers"
                raise ValueError(
                    f"{_described(column, self.name(j))} {was} in fit. Give it the "
                    "same dtype as in fit."
                )
            if known:
                codes = {level: code for code, level in enumerate(self.levels[j])}
                codes[None] = np.nan
                levels = _levels(column, self.name(j))
                out[:, j] = [codes.get(level, -1) for level in levels]
            else:
                out[:, j] = _numbers(column, self.name(j))
        return out


def _columns(X):
    """The columns of a frame or an array, and their names."""
    if sp.issparse(X):
        raise ValueError("X is sparse, but has categorical columns. Pass a frame.")
    if isinstance(X, np.ndarray):
        return list(X.T), [f"x{j}" for j in range(X.shape[1])]
    is_arrow = nw.dependencies.is_pyarrow_table(X)
    names = [str(name) for name in (X.column_names if is_arrow else X.columns)]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"X has {count} columns named {name[:60]!r}. Rename them, or keep one."
        )
    return list(nw.from_native(X, eager_only=True).iter_columns()), names


def _named_columns(given, names):
    """The indices of the columns selected by names, indices or a boolean mask."""
    if given.dtype == bool:
        if len(given) != len(names):
            raise ValueError(
                f"categorical_features is a mask of {len(given)} columns, but X has "
                f"{len(names)}."
            )
        return set(np.flatnonzero(given))
    known = names if given.dtype.kind in "OU" else range(len(names))
    index = {name: j for j, name in enumerate(known)}
    for value in given.tolist():
        if value not in index:
            raise ValueError(
                f"categorical_features contains {value!r}, which is not a column of X. "
                f"The columns are {str(names)[:150]}."
            )
    return {index[value] for value in given.tolist()}


def _is_category(column):
    """Whether a column is categorical by its dtype."""
    return not isinstance(column, np.ndarray) and column.dtype in CATEGORIES


def _missing(column):
    """Which values of a column are missing."""
    if isinstance(column, np.ndarray):
        return np.isnan(column)
    return column.is_null().to_numpy()


def _present(column, missing):
    """The values of a column that are not missing, as Python objects."""
    values = column.tolist() if isinstance(column, np.ndarray) else column.to_list()
    return [value for value, gap in zip(values, missing, strict=True) if not gap]


def _numbers(column, name):
    """The values of a numeric column, with NaN for missing values."""
    if isinstance(column, np.ndarray):
        return column
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return column.cast(nw.Float64).to_numpy()
    missing = _missing(column)
    present = _present(column, missing)
    if not all(isinstance(value, Real) for value in present):
        raise ValueError(
            f"{_described(column, name)} is neither a number nor a category. Convert "
            "it, for example with skrub.TableVectorizer, or leave it out."
        )
    numbers = np.full(len(column), np.nan)
    numbers[~missing] = present
    return numbers


def _levels(column, name):
    """The level of each row (n,) as a string, or None if it is missing."""
    if _is_category(column):
        levels = column.cast(nw.String).to_numpy().astype(object)
        if _has_float_categories(column):
            levels = np.array([str(v).removesuffix(".0") for v in levels], object)
        levels[_missing(column)] = None
        return levels
    missing = np.isnan(_numbers(column, name))
    present = _present(column, missing)  # floats would merge integers beyond 2**53
    fractions = [value for value in present if value % 1]
    if fractions:
        raise ValueError(
            f"categorical_features contains the column {name!r}, which has non-integer "
            f"numbers, such as {fractions[0]:g}. Categories are integers or strings."
        )
    levels = np.full(len(column), None)
    levels[~missing] = [str(int(value)) for value in present]
    return levels


def _has_float_categories(column):
    """Whether the levels are floats, which pandas makes of integers with a gap."""
    is_categorical = column.dtype == nw.Categorical
    return is_categorical and column.cat.get_categories().dtype.is_float()


def _described(column, name):
    """A column, its dtype and one of its values, in at most 200 characters."""
    name = name if len(name) < 60 else f"{name[:50]}..."
    values = _present(column, _missing(column))
    # for mixed types, a value that is not a number
    value = next((v for v in values if not isinstance(v, Real)), values[0])
    dtype = str(column.dtype)[:40]
    return f"Column {name!r} of X (dtype {dtype}, such as {repr(value)[:60]})"
