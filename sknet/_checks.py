"""Checks of X, y, weights and groups; labels to class indices.

Bad input raises one error, which names the parameter, what is allowed and what was
given. The modules below this one trust their arrays. scikit-learn checks the settings
with the estimator's ``_parameter_constraints``.
"""

import math
import sys
import warnings
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.utils import validation
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.multiclass import check_classification_targets

from sknet._data.table import Table, is_frame
from sknet._network.activations import ACTIVATIONS

AUTO = StrOptions({"auto"})
AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
SHARE = Interval(Real, 0, 1, closed="left")
PARAMETER_CONSTRAINTS = {
    "hidden_layer_size": [AUTO, AT_LEAST_ONE],
    "n_estimators": [AUTO, AT_LEAST_ONE],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "dropout": [AUTO, SHARE],
    "input_dropout": [SHARE],
    "blend": [AUTO, "boolean"],
    "solver": [StrOptions({"adam", "sgd", "lbfgs"})],
    "alpha": [NOT_NEGATIVE],
    "batch_size": [AUTO, AT_LEAST_ONE],
    "learning_rate": [StrOptions({"cosine", "constant"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [AUTO, AT_LEAST_ONE],
    "tol": [NOT_NEGATIVE],
    "n_iter_no_change": [AT_LEAST_ONE, Options(Real, {np.inf})],
    "momentum": [SHARE],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "warm_start": ["boolean"],
    "dtype": [StrOptions({"float32", "float64"})],
    "early_stopping": [AUTO, "boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "store_oof_proba": ["boolean"],
    "standardize": ["boolean"],
    "n_knots": [AUTO, Interval(Integral, 0, 255, closed="both")],
    "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
    "random_state": ["random_state", np.random.Generator],
    "n_jobs": [AT_LEAST_ONE, Interval(Integral, None, -1, closed="right"), None],
    "verbose": ["verbose"],
}

PLAIN_DTYPES = "fd?bBhHiIlLqQ"  # float32, float64, bool and all integers
OWN_FRAMES = {"sknet", "sklearn", "contextlib"}
ROWS_TO_COMPARE = 2_000  # enough to compare the scales of columns
REPLACED = "Meta-estimators such as VotingClassifier replace labels with integers"


def warn(message, category=UserWarning):
    """Warn at the user's line of code, outside sknet and scikit-learn's wrapper."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] in OWN_FRAMES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class Rows(NamedTuple):
    """Checked rows, with labels as class indices and weights as float64."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray
    classes: np.ndarray
    n_levels: dict  # of the columns of X that hold codes of categories
    group: np.ndarray | None = None  # (n_samples,) as codes


def check_rows(estimator, X, y, sample_weight, groups, classes, reset):
    """Check X, y, weights and groups together and encode the labels.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,) or None
        The known classes. With None, the classes of the rows with positive weight.
    reset : bool
        Whether the columns of X may differ from those of an earlier call.

    Raises
    ------
    ValueError, TypeError
        If scikit-learn rejects the input, a column is neither numeric nor categorical,
        a label is not a known class, or the weights are negative or all zero.
    """
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None.")
    X, y = _plain_X(estimator, X, reset), check_labels(y)
    validation.check_consistent_length(X, y, groups)
    weight = check_weights(sample_weight, X)
    if groups is not None:
        groups = _check_groups(groups, weight)
    if reset:
        estimator._table = Table.fit(X, estimator.categorical_features, weight > 0)
    X = _to_array(estimator, X)
    if classes is None:
        classes = np.unique(y[weight > 0])
    n_levels = {j: len(levels) for j, levels in estimator._table.levels.items()}
    rows = Rows(X, _encode(y, classes, weight), weight, classes, n_levels, groups)
    if isinstance(estimator.class_weight, dict):
        _check_class_weight(estimator.class_weight, rows)
    if not (estimator.standardize or sp.issparse(X)):
        _warn_about_scales(X)
    return rows


def check_validation_set(estimator, rows, X_val, y_val, sample_weight_val):
    """Check and encode the validation set; return None if there is none.

    Raises
    ------
    ValueError
        If only a part of the set is given, or if a label was not seen in training.
    """
    parts = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
    given = [name for name, part in parts.items() if part is not None]
    missing = [name for name in ("X_val", "y_val") if name not in given]
    if not given:
        return None
    if missing:
        raise ValueError(f"{given[0]} was given without {' and '.join(missing)}.")
    try:
        X, y = check_X(estimator, X_val), check_labels(y_val, "y_val")
        validation.check_consistent_length(X, y)
        weight = check_weights(sample_weight_val, X, "sample_weight_val")
    except (ValueError, TypeError) as error:
        names = ", ".join(given)
        raise ValueError(f"Invalid validation set ({names}): {error}") from error
    codes = _encode(y, rows.classes, weight, "y_val")
    return rows._replace(X=X, y=codes, sample_weight=weight, group=None)


def check_X(estimator, X):
    """X (n_samples, n_features) for prediction, as an array or CSR."""
    # scikit-learn's checks take longer than the prediction of a single row
    passes_all_checks = (
        type(X) is np.ndarray
        and X.dtype.char in PLAIN_DTYPES
        and X.dtype.isnative
        and X.ndim == 2
        and X.shape[1] == estimator.n_features_in_
        and X.size > 0
        and not hasattr(estimator, "feature_names_in_")
        and not estimator._table.levels
        and _is_finite(X)
    )
    return X if passes_all_checks else _to_array(estimator, _plain_X(estimator, X))


def _is_finite(values):
    """Whether all values are finite, or scikit-learn's configuration assumes so."""
    if values.dtype.kind != "f" or get_config()["assume_finite"]:
        return True
    with np.errstate(over="ignore", invalid="ignore"):  # a finite sum has finite terms
        return math.isfinite(np.add.reduce(values, None))


def _plain_X(estimator, X, reset=False):
    """Convert X to a frame, an array or CSR; check its number and names of columns."""
    if is_frame(X):
        validation.validate_data(estimator, X, reset=reset, skip_check_array=True)
        if 0 in X.shape:
            raise ValueError(f"X has the shape {X.shape}, but needs rows and columns.")
        return X
    if isinstance(X, np.ma.MaskedArray):
        X = X.astype(np.float64).filled(np.nan)
    options = {"accept_sparse": "csr", "ensure_all_finite": False, "reset": reset}
    try:
        X = validation.validate_data(estimator, X, **options)
    except (ValueError, TypeError) as error:
        raise _with_column(error, X) from error
    if X.dtype.kind not in "biuf":
        raise ValueError(
            f"X must hold real numbers. Got dtype {X.dtype}. Convert its columns to "
            "numbers, for example with skrub.TableVectorizer."
        )
    if sp.issparse(X):
        X = sp.csr_array(X)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    return X


def _with_column(error, X):
    """Make scikit-learn's error name the column and the value."""
    values = np.array(X, dtype=object) if isinstance(X, list) else X
    if getattr(values, "ndim", 0) != 2 or values.dtype.kind not in "OSU":
        return error
    for (_, j), value in np.ndenumerate(values):
        try:
            float(value)
        except (ValueError, TypeError):
            first_line = str(error).partition("\n")[0][:110]
            return type(error)(
                f"{first_line}: column {j} of X holds {str(value)[:60]!r} of type "
                f"{type(value).__name__}. Strings are categories in a data frame, not "
                "in an array."
            )
    return error


def _to_array(estimator, X):
    """Convert X to an array of numbers and codes, or CSR, without infinite values."""
    table = estimator._table
    if is_frame(X) or table.levels:
        X = table.transform(X)
    values = X.data if sp.issparse(X) else X
    if _is_finite(values) or not np.isinf(values).any():
        return X
    place = tuple(np.argwhere(np.isinf(values))[0])
    column = table.name(X.indices[place] if sp.issparse(X) else place[1])
    raise ValueError(
        f"Input X contains infinity: column {column!r} has {values[place]}. Replace it "
        "with a number, or with NaN for a missing value."
    )


def check_labels(y, name="y"):
    """Convert y to labels (n_samples,) of one sortable type.

    Raises
    ------
    ValueError
        If labels are missing or of different types.
    """
    problem = f"Input {name} contains NaN or other missing labels"
    advice = f"Label these rows or drop them, for example with pandas.notna({name})."
    labels = _check_values(y, name, problem, advice)
    if labels.dtype.kind != "O" or isinstance(labels[0], str):
        check_classification_targets(validation._check_y(labels))
    return labels


def _check_groups(groups, weight):
    """Encode the group of each row. Rows of weight zero do not affect the codes."""
    if np.ndim(groups) != 1:
        shape = np.shape(groups)
        raise ValueError(f"groups must have the shape (n_samples,). Got {shape}.")
    problem, advice = "groups has missing values", "Assign every row to a group."
    groups = _check_values(groups, "groups", problem, advice)
    known = np.unique(groups[weight > 0])
    return np.minimum(np.searchsorted(known, groups), len(known) - 1)


def _check_values(values, name, problem, advice):
    """Labels or groups (n_samples,) of one type that can be sorted.

    Objects that are all integers, bools or floats become an array of that type.

    Raises
    ------
    ValueError
        For missing values, with the ``problem`` and the ``advice``, and mixed types.
    """
    is_list = isinstance(values, (list, tuple))
    if isinstance(values, np.ma.MaskedArray):
        values = np.where(np.ma.getmaskarray(values), None, values.data.astype(object))
    elif is_list:  # NumPy would make strings of mixed types
        values = np.array(values, dtype=object)
    values = validation.column_or_1d(np.asarray(values), warn=True)
    if values.dtype.kind == "T":
        values = values.astype(object)
    is_object = values.dtype.kind == "O"
    missing = [_is_missing(v) for v in values] if is_object else values != values
    (missing,) = np.nonzero(missing)
    if len(missing):
        raise ValueError(
            f"{problem}: {len(missing)} of {len(values)}, the first in row "
            f"{missing[0]}. {advice}"
        )
    if not is_object:
        return values
    types = {type(value) for value in values}
    if all(issubclass(t, (Real, np.bool_)) for t in types):
        return np.array(values.tolist())
    if types == {str} and is_list:
        return values.astype(str)
    try:
        sorted(set(values))
    except TypeError as error:
        names = str(sorted(t.__name__ for t in types))[:100]
        raise ValueError(
            f"{name} must hold labels of one type that can be sorted. Unknown label "
            f"type: {name} holds objects of type {names}. Convert them to strings."
        ) from error
    return values


def _is_missing(value):
    """Whether a value is None, NaN, NaT or pandas.NA."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def check_weights(sample_weight, X, name="sample_weight"):
    """Check the weights (n_samples,) and convert them to float64. None gives ones.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or if none is positive.
    """
    weight = validation._check_sample_weight(sample_weight, X, dtype=np.float64)
    if weight.min() < 0:
        raise ValueError(
            f"Negative values in data passed to `{name}`: the smallest weight is "
            f"{weight.min():g}. Weights must be zero or positive."
        )
    if weight.max() == 0:
        raise ValueError(
            f"All weights are zero. Give at least one row a positive `{name}`."
        )
    return weight


def _encode(y, classes, weight, name="y"):
    """Index of each label in ``classes``, or 0 for rows of weight zero.

    Raises
    ------
    ValueError
        If a label is not among the classes. The message names it.
    """
    known = {label: code for code, label in enumerate(classes.tolist())}
    labels, found = np.unique(y[weight > 0], return_inverse=True)
    unseen = [label for label in labels.tolist() if label not in known]
    if unseen:
        hint = f" {REPLACED}: y_val must hold these." if name == "y_val" else ""
        raise ValueError(
            f"{name} contains labels that are not among the known classes: "
            f"{str(unseen)[:60]}. The classes are {str(classes.tolist())[:60]}.{hint}"
        )
    codes = np.zeros(len(y), np.intp)
    codes[weight > 0] = np.array([known[label] for label in labels.tolist()])[found]
    return codes


def _check_class_weight(class_weight, rows):
    """Check a dict of class weights against the rows.

    Raises
    ------
    ValueError
        If a label is not a class, a weight is invalid, or no row has a positive weight.
    """
    classes = rows.classes.tolist()
    for label, weight in class_weight.items():
        # if all classes are there, more labels do no harm
        if label not in classes and not set(classes) <= set(class_weight):
            raise ValueError(
                f"class_weight has the label {label!r}, which is not among the classes "
                f"{str(classes)[:60]}. {REPLACED}: use these, or 'balanced'."
            )
        if not isinstance(weight, Real) or not 0 <= weight < math.inf:
            raise ValueError(
                f"class_weight[{label!r}] must be a float in the range [0, inf). "
                f"Got {weight!r} instead."
            )
    counts = np.array([class_weight.get(c, 1) > 0 for c in classes])
    if not counts[rows.y[rows.sample_weight > 0]].any():
        raise ValueError(
            f"class_weight={str(class_weight)[:100]} gives every row of y the weight "
            "zero. Give at least one class in y a positive weight."
        )


def _warn_about_scales(X):
    """Warn if some columns have far larger values than others and X is not scaled."""
    some = X[:: 1 + len(X) // ROWS_TO_COMPARE].astype(np.float64)
    sizes = np.fmax.reduce(np.abs(some))
    typical = np.median(sizes[sizes > 0]) if sizes.any() else 0.0
    worst = np.flatnonzero(sizes > 1e3 * max(typical, 1.0))
    if len(worst):
        listed = ", ".join(f"{j} (up to {sizes[j]:.3g})" for j in worst[:5])
        warn(
            "standardize=False, but some columns of X have much larger values than the "
            f"others: {listed}. The network may not learn from the other columns. Use "
            "standardize=True or a scaler."
        )
