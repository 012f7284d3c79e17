"""X, y and weights checked once, at the door; labels to class indices.

Whatever is wrong with the input is said here, in one error that names the parameter,
what is allowed and what was given. Past this module, arrays are trusted. Settings are
checked by scikit-learn, from the estimator's ``_parameter_constraints``.
"""

import math
import sys
import warnings
from collections.abc import Mapping
from numbers import Real
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

ENCODE = "encode other columns first, for example with skrub.TableVectorizer."
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


def check_rows(estimator, X, y, sample_weight, *, classes=None, reset=True):
    """Check X, y and weights together and encode the labels.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,) or None
        The known classes. None takes those of the rows of positive weight.
    reset : bool
        Whether the columns of X are new to the estimator.

    Raises
    ------
    ValueError, TypeError
        For what scikit-learn refuses, labels that are no known class, and weights that
        are negative or all zero.
    """
    X, y = _validated(estimator, X, check_labels(y), reset=reset)
    check_classification_targets(y)
    weight = check_weights(sample_weight, X)
    if classes is None:
        classes = np.unique(y[weight > 0])
    rows = Rows(X, _encode(y, classes, weight), weight, classes)
    _check_class_weight(estimator.class_weight, rows)
    if not estimator.standardize:
        _warn_about_scales(X)
    return rows


def check_validation_set(estimator, classes, X_val, y_val, sample_weight_val):
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
        X, y = _validated(estimator, X_val, check_labels(y_val), reset=False)
        at_fault = "sample_weight_val"
        weight = check_weights(sample_weight_val, X, "sample_weight_val")
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The validation set, {at_fault}: {error}") from error
    return Rows(X, _encode(y, classes, weight, "y_val"), weight, classes)


def check_X(estimator, X):
    """X (n_samples, n_features) for prediction: finite, real, dense or CSR."""
    if _is_usable_as_it_is(estimator, X):
        return X
    return _validated(estimator, X, reset=False)[0]


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
    if X.dtype.kind != "f" or get_config()["assume_finite"]:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(X, None))  # only if all its terms are


def _validated(estimator, X, *y, reset):
    """scikit-learn's validation; refuses dtypes that are no real numbers."""
    options = {"accept_sparse": ("csr", "csc"), "dtype": "numeric", "reset": reset}
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # of the sum of X
            validated = validate_data(
                estimator, X, *(y or ("no_validation",)), **options
            )
    except np.exceptions.DTypePromotionError as error:
        raise ValueError(f"X must hold real numbers: {error}; {ENCODE}") from error
    X, *y = validated if y else (validated,)
    if X.dtype.kind not in "biuf":
        raise ValueError(f"X must hold real numbers. Got dtype {X.dtype}; {ENCODE}")
    if sp.issparse(X):
        X = sp.csr_array(X)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    return X, *y


def check_labels(y, name="y"):
    """Labels without their pandas extension type, if they have one.

    scikit-learn would turn such integers and bools into floats.

    Raises
    ------
    ValueError
        For missing labels and a mix of types, which scikit-learn does not explain.
    """
    plain = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if plain is not None and plain.kind in "bui" and not y.isna().any():
        return y.to_numpy(dtype=plain)
    labels = np.asarray(y)
    if labels.dtype.kind != "O" or labels.ndim != 1:
        return y
    types = {type(label) for label in labels.tolist()}
    names = sorted(t.__name__ for t in types)
    if missing := MISSING_TYPES.intersection(names):
        raise ValueError(
            f"{name} has missing labels (of type {min(missing)}): label those rows, or "
            "leave them out."
        )
    if len({str if issubclass(t, str) else Real for t in types}) > 1:
        raise ValueError(
            f"{name} must hold labels of one type that can be sorted. Got a mix: "
            f"{names}."
        )
    if not all(issubclass(t, str) for t in types):
        raise ValueError(
            f"Unknown label type: {name} is an array of objects of type {names}. Give "
            f"it a dtype of its own, by {name}.astype(int) or the like."
        )
    return y


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
        raise ValueError(
            f"{name} contains labels that were not among the classes seen before: "
            f"{unseen[:5]}. The classes are {classes.tolist()[:20]}."
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
                f"{classes[:20]}."
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
    sizes = np.abs(some).max(axis=0)
    typical = np.median(sizes[sizes > 0]) if sizes.any() else 0.0
    worst = np.flatnonzero(sizes > 1e3 * max(typical, 1.0))
    if len(worst):
        listed = ", ".join(f"{j} (up to {sizes[j]:.3g})" for j in worst[:5])
        warn(
            f"standardize=False, but some columns of X are huge: {listed}. The network "
            "may learn nothing from the others. Use standardize=True or a scaler."
        )
