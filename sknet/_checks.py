"""X, y and weights checked once, at the door; labels to class indices.

Whatever is wrong with the input is said here, in one error that names the parameter,
what is allowed and what was given. Past this module, arrays are trusted. Settings are
checked by scikit-learn, from the estimator's ``_parameter_constraints``.
"""

import math
import sys
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

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
MISSING_TYPES = {"NoneType", "NAType", "NaTType"}
OWN_FRAMES = {"sknet", "sklearn", "contextlib"}
ROWS_TO_COMPARE = 2_000  # enough to tell the size of columns


def warn(message, category=UserWarning):
    """Warn at the line of the user, outside of sknet and scikit-learn's wrapper."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] in OWN_FRAMES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class Rows(NamedTuple):
    """Checked rows: X, labels as class indices, weights as float64."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray
    classes: np.ndarray
    n_levels: dict  # of the columns of X that hold codes of categories
    group: np.ndarray | None = None  # (n_samples,) as codes


def check_rows(
    estimator, X, y, sample_weight, *, groups=None, classes=None, reset=True
):
    """Check X, y, weights and groups together and encode the labels.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,) or None
        The known classes. None takes those of the rows of positive weight.
    reset : bool
        Whether the columns of X are new to the estimator.

    Raises
    ------
    ValueError, TypeError
        For what scikit-learn refuses, columns that are neither numbers nor categories,
        labels that are no known class, and weights that are negative or all zero.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but "
            "the target y is None."
        )
    X, y = _plain_X(estimator, X, reset), check_labels(y)
    check_consistent_length(X, y, groups)
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
    _check_class_weight(estimator.class_weight, rows)
    if not estimator.standardize:
        _warn_about_scales(X)
    return rows


def check_validation_set(estimator, rows, X_val, y_val, sample_weight_val):
    """The given validation set, checked and encoded; None if there is none.

    Raises
    ------
    ValueError
        If only a part is given, or a label was not seen in training.
    """
    if X_val is None and y_val is None:
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val was given without X_val and y_val.")
        return None
    if X_val is None or y_val is None:
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{given} was given without {missing}: pass both or neither.")
    at_fault = "X_val and y_val"
    try:
        X, y = check_X(estimator, X_val), check_labels(y_val, "y_val")
        check_consistent_length(X, y)
        at_fault = "sample_weight_val"
        weight = check_weights(sample_weight_val, X, "sample_weight_val")
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The validation set, {at_fault}: {error}") from error
    codes = _encode(y, rows.classes, weight, "y_val")
    return rows._replace(X=X, y=codes, sample_weight=weight, group=None)


def check_X(estimator, X):
    """X (n_samples, n_features) for prediction, as an array or CSR."""
    if _is_usable_as_it_is(estimator, X):
        return X
    return _to_array(estimator, _plain_X(estimator, X, False))


def _is_usable_as_it_is(estimator, X):
    """Whether scikit-learn's validation would return X unchanged and without a warning.

    For a single row it takes longer than the prediction.
    """
    if type(X) is not np.ndarray or X.dtype.char not in PLAIN_DTYPES or X.ndim != 2:
        return False
    if X.shape[1] != estimator.n_features_in_ or X.size == 0:
        return False
    if hasattr(estimator, "feature_names_in_") or not X.dtype.isnative:
        return False
    if estimator._table.levels:
        return False
    if X.dtype.kind != "f" or get_config()["assume_finite"]:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(X, None))  # only if all its terms are


def _plain_X(estimator, X, reset):
    """A data frame, an array or CSR, whose number and names of columns are right."""
    if is_frame(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if 0 in X.shape:
            raise ValueError(
                f"Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s) "
                "while a minimum of 1 is required."
            )
        return X
    if isinstance(X, np.ma.MaskedArray):
        X = X.astype(np.float64).filled(np.nan)
    options = {"accept_sparse": ("csr", "csc"), "dtype": "numeric", "reset": reset}
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            X = validate_data(estimator, X, ensure_all_finite=False, **options)
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
    """An error of scikit-learn's that names the column and the value in question."""
    if not isinstance(X, (np.ndarray, list)) or np.asarray(X, object).ndim != 2:
        return error
    for j, column in enumerate(np.asarray(X, object).T):
        for value in column:
            try:
                float(value)
            except (ValueError, TypeError):
                first_line = str(error).partition("\n")[0][:110]
                hint = "Convert it to numbers."
                if isinstance(value, str):
                    hint = "Strings are categories in a data frame, not in an array."
                return type(error)(
                    f"{first_line}: column {j} of X holds {str(value)[:60]!r} of type "
                    f"{type(value).__name__}. {hint}"
                )
    return error


def _to_array(estimator, X):
    """X as an array of numbers and codes, or CSR, without infinity."""
    table = estimator._table
    if is_frame(X) or table.levels:
        if sp.issparse(X):
            raise ValueError(
                "X is sparse, but was a data frame with categories in fit. Give a data "
                "frame."
            )
        X = table.transform(X)
    if get_config()["assume_finite"] or X.dtype.kind != "f":
        return X
    values = X.data if sp.issparse(X) else X
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(np.add.reduce(values, None)):
            return X
    infinite = np.isinf(values)
    if infinite.any():
        place = np.argwhere(infinite)[0]
        column = X.indices[place[0]] if sp.issparse(X) else place[1]
        raise ValueError(
            f"Input X contains infinity: column {table.name(column)!r} has "
            f"{values[tuple(place)]}. Replace it by a number, or by NaN for a missing "
            "value."
        )
    return X


def _is_missing(value):
    return (
        value is None
        or type(value).__name__ in MISSING_TYPES
        or (isinstance(value, float) and value != value)
    )


def check_labels(y, name="y"):
    """Labels (n_samples,) of one type that can be sorted.

    Objects that are all integers, bools or floats become an array of that type, which
    scikit-learn would refuse.

    Raises
    ------
    ValueError
        For missing labels and a mix of types.
    """
    plain = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if plain is not None and plain.kind in "bui" and not y.isna().any():
        y = y.to_numpy(dtype=plain)
    elif isinstance(y, np.ma.MaskedArray):
        y = np.where(np.ma.getmaskarray(y), None, y.data.astype(object))
    elif isinstance(y, (list, tuple)):  # NumPy would make strings of a mix
        objects = np.array(y, dtype=object)
        y = objects if objects.ndim == 1 else y
    labels = np.asarray(y)
    if labels.dtype.kind == "T":
        labels = labels.astype(object)
    labels = column_or_1d(
        labels if labels.dtype.kind == "O" else _check_y(y), warn=True
    )
    if labels.dtype.kind == "M" and np.isnat(labels).any():
        labels = np.where(np.isnat(labels), None, labels.astype(object))
    if labels.dtype.kind != "O":
        check_classification_targets(labels)
        return labels
    missing = [i for i, label in enumerate(labels) if _is_missing(label)]
    if missing:
        raise ValueError(
            f"Input {name} contains NaN or other missing labels: {len(missing)} of "
            f"{len(labels)}, the first in row {missing[0]}. Label these rows or drop "
            f"them, for example with keep = pandas.notna({name})."
        )
    types = {type(label) for label in labels}
    names = sorted(t.__name__ for t in types)
    if all(issubclass(t, (Real, np.bool_)) for t in types):
        labels = np.array(labels.tolist())
    elif len({str if issubclass(t, str) else t for t in types}) > 1:
        raise ValueError(
            f"{name} must hold labels of one type that can be sorted. Got a mix: "
            f"{names}."
        )
    else:
        try:
            sorted(set(labels.tolist()))
        except TypeError as error:
            raise ValueError(
                f"Unknown label type: {name} holds objects of type {names}, which "
                "cannot be sorted."
            ) from error
    if labels.dtype.kind != "O" or isinstance(labels[0], str):
        check_classification_targets(labels)
    return labels


def _check_groups(groups, weight):
    """Group of each row as codes, which rows of weight zero do not change.

    Raises
    ------
    ValueError
        If a group is missing.
    """
    if isinstance(groups, (list, tuple)):  # NumPy would make strings of a mix
        groups = np.array(groups, dtype=object)
    groups = np.asarray(groups)
    if groups.ndim != 1:
        raise ValueError(
            f"groups must have the shape (n_samples,). Got the shape {groups.shape}."
        )
    missing = [i for i, value in enumerate(groups.tolist()) if _is_missing(value)]
    if missing:
        raise ValueError(
            f"groups has missing values: {len(missing)} of {len(groups)}, the first in "
            f"row {missing[0]}. Give every row a group."
        )
    try:
        known = np.unique(groups[weight > 0])
    except TypeError as error:
        raise ValueError(
            f"groups must be of one type that can be sorted. Got a mix: {error}. "
            "Convert them, for example with str."
        ) from error
    return np.minimum(np.searchsorted(known, groups), len(known) - 1)


def check_weights(sample_weight, X, name="sample_weight"):
    """Weights (n_samples,) in float64, ones for None.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or if none is positive.
    """
    if sample_weight is None:
        return np.ones(X.shape[0])
    if isinstance(sample_weight, Real):
        sample_weight = np.full(X.shape[0], float(sample_weight))
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weight.min() < 0:
        raise ValueError(
            f"Negative values in data passed to `{name}`: the smallest weight is "
            f"{weight.min():g}. Weights must be zero or positive."
        )
    if weight.max() == 0:
        raise ValueError(
            f"All sample weights are zero: `{name}` must give at least one row a "
            "positive weight."
        )
    return weight


def _encode(y, classes, weight, name="y"):
    """Each label's index into ``classes``; 0 for rows of weight zero.

    Raises
    ------
    ValueError
        If a label is not among the classes; the message names it.
    """
    codes = np.zeros(len(y), np.intp)
    counts = weight > 0
    labels, found = np.unique(y[counts], return_inverse=True)
    known = {label: i for i, label in enumerate(classes.tolist())}
    unseen = [label for label in labels.tolist() if label not in known]
    if unseen:
        hint = ""
        if name == "y_val":
            hint = (
                " Meta-estimators such as VotingClassifier replace the labels of y by "
                "integers: y_val must hold these."
            )
        raise ValueError(
            f"{name} contains labels that were not among the classes seen before: "
            f"{unseen[:5]}. The classes are {classes.tolist()[:20]}.{hint}"
        )
    places = np.array([known[label] for label in labels.tolist()], np.intp)
    codes[counts] = places[found.reshape(-1)]
    return codes


def classes_of_stream(classes, known):
    """The classes of all batches: given at the first call, known since.

    Raises
    ------
    ValueError
        If they are missing at first or differ later.
    """
    if classes is not None:
        classes = np.unique(check_labels(np.asarray(classes), "classes"))
        if classes.dtype.kind == "f" and not np.isfinite(classes).all():
            raise ValueError(f"classes must be finite. Got {classes.tolist()}.")
    if known is None and classes is None:
        raise ValueError(
            "classes must be passed on the first call to partial_fit: all labels that "
            "will ever come."
        )
    if known is not None and classes is not None and not np.array_equal(classes, known):
        raise ValueError(
            f"classes={classes.tolist()} is not the same as on the first call: "
            f"{known.tolist()}."
        )
    return classes if known is None else known


def _check_class_weight(class_weight, rows):
    """Check a dict of class weights against the rows.

    Raises
    ------
    ValueError
        For a label that is no class, a weight that is no weight, or if no row is left
        with a positive weight.
    """
    if not isinstance(class_weight, Mapping):
        return
    classes = rows.classes.tolist()
    complete = set(classes) <= set(class_weight)  # then more labels do no harm
    for label, weight in class_weight.items():
        if label not in classes and not complete:
            raise ValueError(
                f"class_weight has the label {label!r}, which is not among the classes "
                f"{classes[:20]}. Meta-estimators such as VotingClassifier replace "
                "labels by integers before they fit: use these, or 'balanced'."
            )
        if not isinstance(weight, Real) or not 0 <= weight < math.inf:
            raise ValueError(
                f"class_weight[{label!r}] must be a float in the range [0, inf). "
                f"Got {weight!r} instead."
            )
    counts = np.array([class_weight.get(c, 1) > 0 for c in classes])
    if not counts[rows.y[rows.sample_weight > 0]].any():
        raise ValueError(
            f"class_weight={class_weight!r} gives every row of y the weight zero."
        )


def _warn_about_scales(X):
    """Name the columns whose size drowns the others, if X is used as it is."""
    if sp.issparse(X) or X.dtype.kind not in "iuf" or X.shape[1] < 2:
        return
    some = X[:: max(1, X.shape[0] // ROWS_TO_COMPARE)].astype(np.float64)
    sizes = np.fmax.reduce(np.abs(some))
    typical = np.median(sizes[sizes > 0]) if sizes.any() else 0.0
    worst = np.flatnonzero(sizes > 1e3 * max(typical, 1.0))
    if len(worst):
        listed = ", ".join(f"{j} (up to {sizes[j]:.3g})" for j in worst[:5])
        warn(
            f"standardize=False, but some columns of X are huge: {listed}. The network "
            "may learn nothing from the others. Use standardize=True or a scaler."
        )
