"""Bad input: one clear error, and an estimator that is as it was before the call."""

import copy
import math
import re
from contextlib import contextmanager
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from sknet import TwoLayerClassifier

PREDICTORS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
LEARNERS = ("first fit", "first partial_fit", "fit again", "warm start", "partial_fit")
N, D = 60, 4  # rows and columns
X = np.random.default_rng(0).normal(size=(N, D))
Y = (X[:, 0] > 0).astype(int)

each_learner = pytest.mark.parametrize("kind", LEARNERS)


@pytest.fixture
def learner(small_net):
    """Makes an estimator, and the method by which it is to learn next."""

    def _learner(kind, X=X, **settings):
        clf = small_net(warm_start=kind == "warm start", **settings)
        if kind == "first partial_fit":
            return clf, partial(clf.partial_fit, classes=[0, 1])
        if kind != "first fit":
            clf.fit(X, Y)
        return clf, clf.partial_fit if kind == "partial_fit" else clf.fit

    return _learner


@contextmanager
def raises_unharmed(clf, match, kind=ValueError, X=X):
    """The block raises this one error, and ``clf`` predicts as before, bit for bit.

    Warnings are errors here: one beside the error would be raised instead of it.
    """
    fitted = hasattr(clf, "classes_")
    settings = copy.deepcopy(clf.get_params())
    proba = clf.predict_proba(X) if fitted else None
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert clf.get_params() == settings
    assert hasattr(clf, "classes_") == hasattr(clf, "n_features_in_") == fitted
    if fitted:
        assert_array_equal(clf.predict_proba(X), proba, strict=True)


def with_entry(array, value):
    """A float copy with one entry replaced."""
    array = np.array(array, dtype=np.float64)
    array.flat[3] = value
    return array


# --- X

REAL = r"X must hold real numbers\. Got dtype"
BAD_X = {
    "infinity": (
        lambda X: with_entry(X, -np.inf),
        "X contains infinity: column 'x3' has -inf",
    ),
    "sparse infinity": (
        lambda X: sp.csr_array(with_entry(X, np.inf)),
        "X contains infinity: column 'x3' has inf|X is sparse, but it was dense",
    ),
    "complex": (lambda X: X + 1j, "Complex data not supported"),
    "strings": (lambda X: X.astype(str), "not compatible with arrays of bytes/strings"),
    "objects": (
        lambda X: np.full(X.shape, "red", dtype=object),
        "column 0 of X holds 'red' of type str. Strings are categories in a data frame",
    ),
    "dates": (lambda X: X.astype("datetime64[s]"), rf"{REAL} datetime64\[s\]"),
    "durations": (lambda X: X.astype("timedelta64[s]"), rf"{REAL} timedelta64\[s\]"),
    "a date among numbers": (
        lambda X: pd.DataFrame({0: pd.Timestamp.now(), 1: X[:, 1], 2: 0, 3: 1.0}),
        r"Column 'x?0' of X \(dtype Datetime.* is neither a number nor a category",
    ),
    "3-D": (lambda X: X[:, :, np.newaxis], "array with dim 3, while dim <= 2"),
    "1-D": (lambda X: X[:, 0], "Expected 2D array, got 1D array"),
    "no rows": (lambda X: X[:0], r"0 sample\(s\).* a minimum of 1 is required"),
    "no columns": (lambda X: X[:, :0], r"0 feature\(s\).* a minimum of 1 is required"),
    "ragged": (lambda X: [[1.0, 2.0], [3.0]], "inhomogeneous shape"),
}
each_bad_x = pytest.mark.parametrize(("spoil", "match"), BAD_X.values(), ids=BAD_X)


@each_learner
@each_bad_x
def test_bad_x_is_not_learnt(learner, spoil, match, kind):
    clf, learn = learner(kind)
    with raises_unharmed(clf, match, (ValueError, TypeError)):
        learn(spoil(X), Y)


@each_bad_x
def test_bad_x_is_not_predicted(small_net, spoil, match):
    clf = small_net().fit(X, Y)
    for method in PREDICTORS:
        with raises_unharmed(clf, match, (ValueError, TypeError)):
            getattr(clf, method)(spoil(X))


@pytest.mark.parametrize("kind", ["warm start", "partial_fit"])
def test_the_number_of_columns_must_stay_the_same(learner, kind):
    clf, learn = learner(kind)
    count = "X has 3 features, but TwoLayerClassifier is expecting 4 features"
    for bad in (X[:, :3], sp.csr_array(X[:, :3])):
        with raises_unharmed(clf, count):
            learn(bad, Y)
        for method in PREDICTORS:
            with raises_unharmed(clf, count):
                getattr(clf, method)(bad)


@pytest.mark.parametrize("kind", ["warm start", "partial_fit"])
@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["a", "b", "c", "e"], "(?s)unseen at fit time.*- e"),
        (["d", "c", "b", "a"], "must be in the same order"),
    ],
)
def test_names_of_columns_must_stay_the_same(learner, names, match, kind):
    frame, other = (pd.DataFrame(X, columns=n) for n in (["a", "b", "c", "d"], names))
    clf, learn = learner(kind, X=frame)
    with raises_unharmed(clf, match, X=frame):
        learn(other, Y)
    for method in PREDICTORS:
        with raises_unharmed(clf, match, X=frame):
            getattr(clf, method)(other)
    with pytest.warns(UserWarning, match="feature names"):
        clf.predict(X)


# --- y


def with_label(y, label):
    """Words for the classes, but for every seventh row."""
    labels = [["no", "yes"][code] for code in y]
    labels[::7] = [label] * len(labels[::7])
    return labels


def objects(labels):
    return np.array(labels, dtype=object)


MISSING = r"\by\b.*(None|NA|NaN|float|missing)|contains NaN"
BAD_Y = {
    "continuous": (lambda y: y + 0.5, "continuous"),
    "too short": (lambda y: y[:-1], r"numbers of samples: \[60, 59\]"),
    "none at all": (lambda y: y[:0], r"numbers of samples: \[60, 0\]"),
    "left out": (lambda y: None, "requires y to be passed"),
    "two columns": (lambda y: np.column_stack([y, y]), r"y .*1d array.*\(60, 2\)"),
    "complex": (lambda y: y + 1j, "Complex data not supported"),
    "NaN": (lambda y: with_entry(y, np.nan), "y contains NaN"),
    "infinity": (lambda y: with_entry(y, np.inf), "y contains infinity"),
    "missing Int64": (lambda y: pd.Series(y, dtype="Int64").mask(y == 1), MISSING),
    "missing boolean": (lambda y: pd.Series(y, dtype="boolean").mask(y == 1), MISSING),
    "missing category": (lambda y: pd.Categorical(with_label(y, None)), MISSING),
    "missing string": (lambda y: pd.array(with_label(y, None), "string"), MISSING),
    "null in polars": (lambda y: pl.Series(with_label(y, None)), MISSING),
    "NaN among str": (lambda y: objects(with_label(y, np.nan)), MISSING),
    "None among str": (lambda y: objects(with_label(y, None)), MISSING),
    "None in a list": (lambda y: with_label(y, None), MISSING),
    "int among str": (
        lambda y: objects(with_label(y, 3)),
        r"y must hold labels of one type.*\['int', 'str'\]",
    ),
    "objects without an order": (
        lambda y: objects([complex(v) for v in y]),
        r"Unknown label type: y holds objects of type \['complex'\]",
    ),
}


@each_learner
@pytest.mark.parametrize(("spoil", "match"), BAD_Y.values(), ids=BAD_Y)
def test_bad_y_is_not_learnt(learner, spoil, match, kind):
    clf, learn = learner(kind)
    with raises_unharmed(clf, match):
        learn(X, spoil(Y))


@pytest.mark.parametrize("kind", ["first partial_fit", "warm start", "partial_fit"])
def test_an_unseen_label_is_named(learner, kind):
    clf, learn = learner(kind)
    seen = r"y contains labels .*: \[{}\]\. The classes are \[0, 1\]"
    with raises_unharmed(clf, seen.format(7)):
        learn(X, np.where(X[:, 1] > 0, 7, Y))
    with raises_unharmed(clf, seen.format("'no', 'yes'")):
        learn(X, np.array(["no", "yes"])[Y])


@pytest.mark.parametrize(
    ("kind", "classes", "match"),
    [
        ("first partial_fit", None, "classes must be passed on the first call"),
        (
            "first partial_fit",
            ["no", 1, None],
            "classes contains NaN or other missing labels",
        ),
        (
            "partial_fit",
            [0, 2],
            r"`classes=array\(\[0, 2\]\)` is not .* was: array\(\[0, 1\]\)",
        ),
        (
            "partial_fit",
            [1],
            r"`classes=array\(\[1\]\)` is not .* was: array\(\[0, 1\]\)",
        ),
        (
            "partial_fit",
            ["a", "b"],
            r"`classes=array\(\['a', 'b'\].* is not .* was: array\(\[0, 1\]\)",
        ),
    ],
)
def test_bad_classes_of_a_stream_are_named(learner, kind, classes, match):
    clf, _ = learner(kind)
    with raises_unharmed(clf, match):
        clf.partial_fit(X, Y, classes=classes)
    clf.partial_fit(X, Y, classes=[1, 0])  # the order does not matter


# --- sample_weight

BAD_WEIGHT = {
    "NaN": (lambda w: with_entry(w, np.nan), "{} contains NaN"),
    "infinity": (lambda w: with_entry(w, np.inf), "{} contains infinity"),
    "negative": (lambda w: with_entry(w, -1.5), r"{}`: the smallest weight is -1\.5"),
    "all zero": (lambda w: 0 * w, "(?i){}.*zero|zero.*{}"),
    "zero": (lambda w: 0, "(?i){}.*zero|zero.*{}"),
    "negative number": (lambda w: -2, "{}`: the smallest weight is -2"),
    "too short": (lambda w: w[:-1], r"{}.*\(59,\).*expected \(60,\)"),
    "two columns": (lambda w: np.column_stack([w, w]), "(?i){}.*1D array"),
    "complex": (lambda w: w + 1j, "Complex data not supported"),
    "words": (lambda w: "heavy", "could not convert string to float"),
}
each_bad_weight = pytest.mark.parametrize(
    ("spoil", "match"), BAD_WEIGHT.values(), ids=BAD_WEIGHT
)


@each_learner
@each_bad_weight
def test_bad_weights_are_not_learnt(learner, spoil, match, kind):
    clf, learn = learner(kind)
    # scikit-learn's own words for some: "Sample weights must ..."
    with raises_unharmed(clf, match.replace("{}", "sample[_ ]weights?")):
        learn(X, Y, sample_weight=spoil(np.ones(N)))


# --- X_val, y_val, sample_weight_val


BAD_VALIDATION = {
    "X_val was given without y_val": {"X_val": X},
    "y_val was given without X_val": {"y_val": Y},
    "sample_weight_val was given without X_val and y_val": {"sample_weight_val": Y},
    "X_val.*3 features.*4 features": {"X_val": X[:, :3], "y_val": Y},
    r"[Xy]_val.*\[60, 59\]": {"X_val": X, "y_val": Y[:-1]},
    "y_val contains.* missing labels: 9 of 60": {
        "X_val": X,
        "y_val": with_label(Y, None),
    },
    r"y_val.*\(60, 2\)": {"X_val": X, "y_val": np.column_stack([Y, Y])},
    r"y_val.*\[2\]\. The classes are \[0, 1\]": {"X_val": X, "y_val": Y + 1},
}


@pytest.mark.parametrize("kind", ["first fit", "fit again", "warm start"])
@pytest.mark.parametrize("match", BAD_VALIDATION)
def test_a_bad_validation_set_is_named(learner, kind, match):
    clf, fit = learner(kind)
    with raises_unharmed(clf, f"(?s){match}"):
        fit(X, Y, **BAD_VALIDATION[match])


@each_bad_x
def test_bad_x_val_is_named(small_net, spoil, match):
    clf = small_net().fit(X, Y)
    with raises_unharmed(clf, "X_val", (ValueError, TypeError)):
        clf.fit(X, Y, X_val=spoil(X), y_val=Y)


@each_bad_weight
def test_bad_sample_weight_val_is_named(small_net, spoil, match):
    clf = small_net().fit(X, Y)
    with raises_unharmed(clf, "sample_weight_val"):
        clf.fit(X, Y, X_val=X, y_val=Y, sample_weight_val=spoil(np.ones(N)))


# --- settings

INT = "an int in the range [{}, inf)".format
NO_INT = (0, -1, 2.0, "3", None, [5], math.nan)
NO_BOOL = (1, 0, "yes", None, 1.0)
NO_WORD = ("", "Adam", "gelu", None, 1, ["relu"])
NO_FRACTION = (-0.1, 1, 1.0, 2, math.nan, math.inf, "0.5", None, 0.5j)
BAD_SETTINGS = {
    "hidden_layer_size": (("'auto'", INT(1)), (*NO_INT, (9,))),
    "n_estimators": (("'auto'", INT(1)), (*NO_INT, "many")),
    "activation": (("'relu'", "'tanh'", "'logistic'", "'identity'"), NO_WORD),
    "solver": (("'adam'", "'sgd'", "'lbfgs'"), (*NO_WORD, "rmsprop")),
    "alpha": (("[0.0, inf)",), (-1e-9, -1, math.inf, math.nan, None, "0")),
    "batch_size": (("'auto'", INT(1)), (0, -5, 2.5, "all", None, math.inf)),
    "learning_rate": (("'cosine'", "'constant'"), (*NO_WORD, "adaptive")),
    "learning_rate_init": (("(0.0, inf)",), (0, -1.0, math.inf, math.nan, None)),
    "max_iter": (("'auto'", INT(1)), (*NO_INT, math.inf)),
    "random_state": (("Generator", "RandomState"), (-1, 1.0, "0", [1])),
    "tol": (("[0.0, inf)",), (-1e-4, math.inf, math.nan, None, "1e-4")),
    "verbose": (("int", "bool"), (-1, 1.5, None, "yes")),
    "warm_start": (("bool",), NO_BOOL),
    "momentum": (("[0.0, 1.0)",), NO_FRACTION),
    "early_stopping": (("'auto'", "bool"), (*NO_BOOL, "never")),
    "validation_fraction": (("(0.0, 1.0)",), (0, 0.0, *NO_FRACTION)),
    "store_oof_proba": (("bool",), NO_BOOL),
    "n_iter_no_change": (("inf", INT(1)), (0, -1, 2.5, math.nan, -math.inf, None)),
    "dropout": (("'auto'", "[0.0, 1.0)"), NO_FRACTION),
    "input_dropout": (("[0.0, 1.0)",), NO_FRACTION),
    "standardize": (("bool",), NO_BOOL),
    "n_knots": (("'auto'", "[0, 255]"), (-1, 256, 0.5, None, "many")),
    "dtype": (("'float32'", "'float64'"), ("float16", float, np.float32, None, 32)),
    "class_weight": (("'balanced'", "dict"), ("balance", 2.0, [1, 2])),
    "categorical_features": (("'from_dtype'", "array-like"), ("all", 3, True)),
    "blend": (("'auto'", "bool"), (*NO_BOOL, "never")),
    "n_jobs": (("int", "None"), (1.0, "all", [2])),
}


@pytest.mark.parametrize(
    ("name", "allowed", "value"),
    [
        (name, allowed, value)
        for name, (allowed, values) in BAD_SETTINGS.items()
        for value in values
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(learner, name, allowed, value):
    for kind in ("first fit", "first partial_fit", "fit again", "partial_fit"):
        clf, learn = learner(kind)
        clf.set_params(**{name: value})
        match = re.escape(f"The '{name}' parameter of TwoLayerClassifier must be")
        with raises_unharmed(clf, match, InvalidParameterError) as caught:
            learn(X, Y)
        message = str(caught.value)
        assert all(words in message for words in allowed)
        assert f"Got {value!r} instead." in message


def test_every_setting_has_bad_values():
    assert BAD_SETTINGS.keys() == TwoLayerClassifier().get_params().keys()


@pytest.mark.parametrize("value", [0.1, 0.001, 1])
def test_a_number_as_learning_rate_leads_to_the_setting_that_is_meant(learner, value):
    clf, fit = learner("first fit", learning_rate=value)
    match = rf"The 'learning_rate' .* Got {value} instead\. .* learning_rate_init"
    with raises_unharmed(clf, match, InvalidParameterError):
        fit(X, Y)


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({0: 1, 2: 3}, r"class_weight has the label 2, .* \[0, 1\]"),
        ({"0": 1}, r"class_weight has the label '0', .* \[0, 1\]"),
        ({0: 1, 1: -0.5}, r"class_weight\[1\] .* \[0, inf\).* Got -0\.5 instead"),
        ({0: math.nan}, r"class_weight\[0\] .* \[0, inf\).* Got nan instead"),
        ({1: math.inf}, r"class_weight\[1\] .* \[0, inf\).* Got inf instead"),
        ({1: "2"}, r"class_weight\[1\] .* \[0, inf\).* Got '2' instead"),
        ({1: None}, r"class_weight\[1\] .* \[0, inf\).* Got None instead"),
        ({0: 0, 1: 0.0}, "class_weight=.* gives every row of y the weight zero"),
    ],
)
@each_learner
def test_bad_class_weights_are_named(learner, class_weight, match, kind):
    clf, learn = learner(kind)
    clf.set_params(class_weight=class_weight)
    with raises_unharmed(clf, match):
        learn(X, Y)


@each_learner
def test_weights_that_leave_no_row_are_named(learner, kind):
    clf, learn = learner(kind)
    clf.set_params(class_weight={0: 0.0, 1: 1.0})
    with raises_unharmed(clf, "class_weight"):
        learn(X, Y, sample_weight=np.where(Y == 0, 1.0, 0.0))
    if "partial_fit" not in kind:
        rows = Y == 0
        with raises_unharmed(clf, "class_weight gives every row of y_val"):
            learn(X, Y, X_val=X[rows], y_val=Y[rows])


@pytest.mark.parametrize("kind", ["warm start", "partial_fit"])
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("hidden_layer_size", 8, 5),
        ("n_estimators", 2, 3),
        ("activation", "relu", "tanh"),
        ("standardize", True, False),
        ("n_knots", "auto", 0),
    ],
)
def test_a_changed_structure_cannot_go_on(learner, name, old, new, kind):
    clf, learn = learner(kind)
    clf.set_params(**{name: new})
    match = rf"{name} was {old!r} in the fit .* Got {new!r}"
    with pytest.raises(ValueError, match=match):
        learn(X, Y)
    clf.set_params(**{name: old})
    learn(X, Y)  # set back, it goes on


# --- what is not there


def test_nothing_is_predicted_before_a_fit(small_net):
    clf = small_net()
    for method in PREDICTORS:
        with raises_unharmed(clf, "not fitted yet", NotFittedError):
            getattr(clf, method)(X)
    for name in ("coefs_", "intercepts_"):
        match = "TwoLayerClassifier is not fitted"
        with raises_unharmed(clf, match, AttributeError):
            getattr(clf, name)
        assert not hasattr(clf, name)


def test_lbfgs_has_no_partial_fit(small_net):
    clf = small_net(solver="lbfgs")
    assert not hasattr(clf, "partial_fit")
    with raises_unharmed(clf, "partial_fit", AttributeError):
        clf.partial_fit(X, Y, classes=[0, 1])
    assert hasattr(clf.set_params(solver="sgd"), "partial_fit")
