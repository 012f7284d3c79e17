"""Settings, X, y and weights checked once, at the door; labels to class indices.

Everything that is wrong with the input is said here, in one error that names the
parameter, what is allowed and what was given. Past this module, arrays are trusted.
"""

import math
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import get_config
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data


class InvalidParameterError(ValueError, TypeError):
    """A setting is out of range or of the wrong type."""


class Labelled(NamedTuple):
    """Checked rows: X as it came, labels as class indices, weights as float64."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray


def _is_bool(value):
    return isinstance(value, (bool, np.bool_))


def _as_float(number):
    """The float nearest to a real number; infinity for an int of too many digits."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _shown(value):
    """The value as Python writes it, where Python does."""
    try:
        return repr(value)
    except ValueError:  # there is a limit
        return "an int of thousands of digits"


def _integer(low, high=2**31 - 1):
    def _allows(value):
        if not isinstance(value, Integral) or _is_bool(value):
            return False
        return low <= value <= high

    until = ", inf)" if high == math.inf else f", {high}]"
    return _allows, f"an int in the range [{low}{until}"


def _real(low, high, closed):
    def _allows(value):
        if not isinstance(value, Real) or _is_bool(value):
            return False
        value = _as_float(value)
        if math.isnan(value):
            return False
        above = value >= low if closed in ("left", "both") else value > low
        below = value <= high if closed in ("right", "both") else value < high
        return above and below

    left = "[" if closed in ("left", "both") else "("
    right = "]" if closed in ("right", "both") else ")"
    return _allows, f"a float in the range {left}{low}, {high}{right}"


def _one_of(*options):
    def _allows(value):
        return isinstance(value, str) and value in options

    return _allows, "a str among {" + ", ".join(map(repr, options)) + "}"


def _boolean():
    return _is_bool, "a bool"


def _either(*rules):
    def _allows(value):
        return any(rule(value) for rule, _ in rules)

    return _allows, " or ".join(words for _, words in rules)


def _exactly(constant):
    return (lambda value: value is constant), repr(constant)


def _infinity():
    return (lambda value: isinstance(value, Real) and value == math.inf), "inf"


def _instance(kind, words):
    return (lambda value: isinstance(value, kind)), words


ENCODE = "encode other columns first, for example with skrub.TableVectorizer."
PLAIN_DTYPES = "fd?bBhHiIlLqQ"  # float32, float64, bool and all integers
MISSING_KINDS = {"NoneType", "NAType", "NaTType"}

RULES = {
    "hidden_layer_size": _either(_one_of("auto"), _integer(1)),
    "n_estimators": _either(_one_of("auto"), _integer(1)),
    "activation": _one_of("relu", "tanh", "logistic", "identity"),
    "solver": _one_of("adam", "sgd", "lbfgs"),
    "alpha": _real(0, math.inf, "left"),
    "batch_size": _either(_one_of("auto"), _integer(1)),
    "learning_rate": _one_of("cosine", "constant", "invscaling", "adaptive"),
    "learning_rate_init": _real(0, math.inf, "neither"),
    "power_t": _real(0, math.inf, "left"),
    "max_iter": _integer(1),
    "shuffle": _boolean(),
    "random_state": _either(
        _exactly(None),
        _integer(0, math.inf),
        _instance(np.random.RandomState, "a numpy RandomState"),
        _instance(np.random.Generator, "a numpy Generator"),
    ),
    "tol": _real(0, math.inf, "left"),
    "verbose": _either(_integer(0), _boolean()),
    "warm_start": _boolean(),
    "momentum": _real(0, 1, "left"),
    "nesterovs_momentum": _boolean(),
    "early_stopping": _either(_one_of("auto"), _boolean()),
    "store_oof_proba": _boolean(),
    "validation_fraction": _real(0, 1, "neither"),
    "beta_1": _real(0, 1, "left"),
    "beta_2": _real(0, 1, "left"),
    "epsilon": _real(0, math.inf, "neither"),
    "n_iter_no_change": _either(_integer(1), _infinity()),
    "dropout": _either(_one_of("auto"), _real(0, 1, "left")),
    "input_dropout": _real(0, 1, "left"),
    "scaling_layer": _boolean(),
    "standardize": _boolean(),
    "split_inputs": _either(_one_of("auto"), _boolean()),
    "squash": _either(_exactly(None), _real(0.1, math.inf, "left")),
    "dtype": _one_of("float32", "float64"),
    "class_weight": _either(
        _exactly(None), _one_of("balanced"), _instance(Mapping, "a dict")
    ),
}


def check_settings(estimator):
    """Return the settings as a namespace, all of them checked.

    A subclass may have more, and need not have all of these in its own signature.

    Raises
    ------
    InvalidParameterError
        For the first setting that its rule does not allow.
    """
    settings = {name: getattr(estimator, name) for name in RULES}
    for name, value in settings.items():
        allows, words = RULES[name]
        if not allows(value):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(estimator).__name__} must be {words}."
                f" Got {_shown(value)} instead."
            )
    return SimpleNamespace(**{name: _plain(v) for name, v in settings.items()})


def _plain(value):
    """Python's own number: products of NumPy's short ones overflow."""
    if _is_bool(value):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def check_X(estimator, X, *, reset):
    """X (n_samples, n_features): finite, real, dense in any layout or CSR."""
    if not reset and _is_usable_as_it_is(estimator, X):
        return X
    return _usable_X(_validated(estimator, X, reset=reset))


def _is_usable_as_it_is(estimator, X):
    """Whether scikit-learn's validation would hand X back without a word.

    For a single row it takes longer than the prediction. What is not a plain
    array of numbers of the right shape, or has or lacks names, goes through it.
    """
    if type(X) is not np.ndarray or X.dtype.char not in PLAIN_DTYPES or X.ndim != 2:
        return False
    if X.shape[1] != estimator.n_features_in_ or X.size == 0:
        return False
    if hasattr(estimator, "feature_names_in_") or not X.dtype.isnative:
        return False
    if X.dtype.kind != "f" or get_config()["assume_finite"]:
        return True
    return math.isfinite(np.add.reduce(X, None))  # only if all its terms are


def check_X_y(estimator, X, y, sample_weight, *, reset):
    """Check rows, labels and weights together; the labels stay as they are.

    Raises
    ------
    ValueError, TypeError
        For what scikit-learn refuses, and weights that are negative or all zero.
    """
    X, y = _validated(estimator, X, check_labels(y), reset=reset)
    X = _usable_X(X)
    check_classification_targets(y)
    return Labelled(X, y, check_weights(sample_weight, X))


def _validated(estimator, X, *y, reset):
    """Scikit-learn's validation, with one answer to columns of any kind of date."""
    options = {"accept_sparse": ("csr", "csc"), "dtype": "numeric", "reset": reset}
    try:
        with np.errstate(all="ignore"):  # its sum of numbers that are all finite
            return validate_data(estimator, X, *y, **options)
    except np.exceptions.DTypePromotionError as error:
        raise ValueError(f"X must hold real numbers: {error}; {ENCODE}") from error


def check_labels(y, name="y"):
    """Labels without their pandas extension type, if they have one.

    Scikit-learn would turn such integers and bools into floats.

    Raises
    ------
    ValueError
        For missing labels and a mix of kinds, which scikit-learn fails to explain.
    """
    plain = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if plain is not None and plain.kind in "bui" and not y.isna().any():
        return y.to_numpy(dtype=plain)
    labels = np.asarray(y)
    if labels.dtype.kind != "O" or labels.ndim != 1:
        return y
    kinds = {type(label) for label in labels.tolist()}
    missing = sorted(kind.__name__ for kind in kinds if kind.__name__ in MISSING_KINDS)
    if missing:
        raise ValueError(
            f"{name} has missing labels (of type {missing[0]}): label those rows, or "
            "leave them out."
        )
    if len({str if issubclass(kind, str) else Real for kind in kinds}) > 1:
        raise ValueError(
            f"{name} must hold labels of one kind that can be sorted. Got a mix: "
            f"{sorted(kind.__name__ for kind in kinds)}."
        )
    if not all(issubclass(kind, str) for kind in kinds):
        raise ValueError(
            f"Unknown label type: {name} is an array of objects of type "
            f"{sorted(kind.__name__ for kind in kinds)}. Give it a dtype of its own, "
            f"by {name}.astype(int) or the like."
        )
    return y


def _usable_X(X):
    """Refuse dtypes that are no real numbers; give sparse rows one form."""
    if X.dtype.kind not in "biuf":
        raise ValueError(f"X must hold real numbers. Got dtype {X.dtype}; {ENCODE}")
    if sp.issparse(X):
        X = sp.csr_array(X)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    return X


def check_weights(sample_weight, X, name="sample_weight"):
    """Weights (n_samples,) in float64, ones for None.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or if none is positive.
    """
    n = X.shape[0]
    if sample_weight is None:
        return np.ones(n)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n, _as_float(sample_weight))
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if weight.min() < 0:
        raise ValueError(
            f"Negative values in data passed to `{name}`: the smallest weight is "
            f"{weight.min():g}. Weights must be zero or positive."
        )
    with np.errstate(over="ignore"):
        total = float(weight.sum())
    if not math.isfinite(total):
        raise ValueError(f"The sum of `{name}` must be finite. Lower their scale.")
    largest = weight.max()
    if largest == 0:
        raise ValueError(
            f"All sample weights are zero: `{name}` must give at least one row a "
            "positive weight."
        )
    return weight


def encode_new(y, name="y"):
    """Sorted distinct labels and each row's index into them."""
    check_labels(y, name)
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes.reshape(-1)


def encode_known(y, classes, name="y"):
    """Each label's index into ``classes``.

    Raises
    ------
    ValueError
        If a label is not among the classes; the message names it.
    """
    labels, codes = encode_new(y, name)
    known = {label: i for i, label in enumerate(classes.tolist())}
    unseen = [label for label in labels.tolist() if label not in known]
    if unseen:
        raise ValueError(
            f"{name} contains labels that were not among the classes seen before: "
            f"{unseen[:5]}. The classes are {classes.tolist()[:20]}."
        )
    return np.array([known[label] for label in labels.tolist()], np.intp)[codes]


def encode(labelled, known, name="y"):
    """Classes, and the labelled rows with class indices for labels.

    Parameters
    ----------
    labelled : Labelled
    known : ndarray of shape (n_classes,) or None
        The classes of an earlier fit; None takes those of the rows of positive weight.
    """
    kept = labelled.sample_weight > 0
    every = kept.all()
    y = labelled.y if every else labelled.y[kept]
    if known is None:
        classes, kept_codes = encode_new(y)
    else:
        classes, kept_codes = known, encode_known(y, known, name)
    if every:
        return classes, labelled._replace(y=kept_codes)
    codes = np.zeros(len(kept), np.intp)  # rows of weight zero are dropped later
    codes[kept] = kept_codes
    return classes, labelled._replace(y=codes)


def classes_of_stream(classes, known):
    """The classes of all batches: given at the first call, known since.

    Raises
    ------
    ValueError
        If they are missing at first or differ later.
    """
    if classes is not None:
        classes = encode_new(np.asarray(classes), "classes")[0]
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


def check_structure(estimator, structure):
    """Raise ValueError if a setting differs from the fit that is to be continued."""
    for name, value in structure.items():
        asked = getattr(estimator, name)
        if asked not in ("auto", value):
            raise ValueError(
                f"{name} was {value!r} in the fit that is to be continued. Got "
                f"{asked!r}: set it back, or fit anew with warm_start=False."
            )


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
        X, at_fault = _usable_X(X), "sample_weight_val"
        weight = check_weights(sample_weight_val, X, "sample_weight_val")
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The validation set, {at_fault}: {error}") from error
    return encode(Labelled(X, y, weight), classes, "y_val")[1]


def check_class_weight(class_weight, classes, labelled):
    """Check the weights of classes against the encoded rows that they are for.

    Raises
    ------
    ValueError
        For a label that is no class, a weight that is no weight, or if no row is left
        with a positive weight.
    """
    if not isinstance(class_weight, Mapping):
        return
    known = set(classes.tolist())
    complete = known <= set(class_weight)  # then more labels do no harm
    for label, weight in class_weight.items():
        if label not in known and not complete:
            raise ValueError(
                f"class_weight has the label {label!r}, which is not among the classes "
                f"{classes.tolist()[:20]}."
            )
        if not isinstance(weight, Real) or not 0 <= _as_float(weight) < math.inf:
            raise ValueError(
                f"class_weight[{label!r}] must be a float in the range [0, inf). "
                f"Got {_shown(weight)} instead."
            )
    counts = np.array([class_weight.get(c, 1) > 0 for c in classes.tolist()])
    if not counts[labelled.y[labelled.sample_weight > 0]].any():
        raise ValueError(
            f"class_weight={class_weight!r} gives every row of y the weight zero."
        )


ROWS_TO_COMPARE = 2_000  # at least: enough to tell the size of columns


def warn_about_scales(X):
    """Name the columns whose size drowns the others, if X is used as it is."""
    if sp.issparse(X) or X.dtype.kind not in "iuf" or X.shape[1] < 2:
        return
    some = X[:: max(1, X.shape[0] // ROWS_TO_COMPARE)]
    sizes = np.maximum(np.abs(some.min(axis=0).astype(float)), np.abs(some.max(axis=0)))
    with np.errstate(under="ignore"):
        thousandths = 1e-3 * sizes  # whose median is finite always
        typical = np.median(thousandths[sizes > 0]) if sizes.any() else 0.0
        worst = np.flatnonzero(1e-3 * thousandths > max(typical, 1e-3))
    if len(worst):
        listed = ", ".join(f"{j} (up to {sizes[j]:.3g})" for j in worst[:5])
        warnings.warn(
            f"standardize=False, but some columns of X are huge: {listed}. The network "
            "may learn nothing from the others; use standardize=True or a scaler.",
            UserWarning,
            stacklevel=3,
        )
