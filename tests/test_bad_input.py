"""Bad input: one clear error, and an estimator that is as it was before the call."""

import copy
import math
import re
import warnings
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from sklearn import config_context
from sklearn.exceptions import NotFittedError

from sknet import TwoLayerClassifier
from sknet._monitor import Monitor
from sknet._network import TwoLayerNetwork
from sknet._optimizers import SGD, ScalingLayerAdam
from sknet._validation import InvalidParameterError

PREDICTORS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
LEARNERS = ("first fit", "first partial_fit", "fit again", "warm start", "partial_fit")
N, D = 60, 4  # rows and columns
STEPS = 3  # minibatches of an epoch


def small_net(**settings):
    quick = {
        "hidden_layer_size": 4,
        "n_estimators": 2,
        "max_iter": 5,
        "learning_rate_init": 0.1,
        "batch_size": N // STEPS,
        "dropout": 0.1,
        "early_stopping": False,
        "random_state": 0,
    }
    return TwoLayerClassifier(**(quick | settings))


@pytest.fixture
def data(rng):
    """Two classes that a straight line separates."""
    X = rng.normal(size=(N, D))
    return X, (X[:, 0] > 0).astype(int)


@pytest.fixture
def X(data):
    return data[0]


@pytest.fixture
def y(data):
    return data[1]


def learner(kind, X, y, **settings):
    """An estimator and the method by which it is to learn next."""
    clf = small_net(warm_start=kind == "warm start", **settings)
    if kind == "first partial_fit":
        return clf, partial(clf.partial_fit, classes=[0, 1])
    if kind != "first fit":
        clf.fit(X, y)
    return clf, clf.partial_fit if kind == "partial_fit" else clf.fit


@contextmanager
def raises_unharmed(clf, X, match, kind=ValueError):
    """The block raises this one error and changes nothing about ``clf``, bit for bit.

    Warnings are errors here: one beside the error would be raised instead of it.
    """
    before = copy.deepcopy(vars(clf))
    fitted = hasattr(clf, "classes_")
    proba = clf.predict_proba(X) if fitted else None
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert list(vars(clf)) == list(before)
    assert_equal(vars(clf), before)
    if fitted:
        assert_array_equal(clf.predict_proba(X), proba, strict=True)


def with_entry(array, value):
    """A float copy with one entry replaced."""
    array = np.array(array, dtype=np.float64)
    array.flat[3] = value
    return array


# --- X

BAD_X = {
    "NaN": (lambda X: with_entry(X, np.nan), "X contains NaN"),
    "infinity": (lambda X: with_entry(X, -np.inf), "X contains infinity"),
    "sparse NaN": (lambda X: sp.csr_array(with_entry(X, np.nan)), "X contains NaN"),
    "float16 infinity": (
        lambda X: with_entry(X, np.inf).astype(np.float16),
        "X contains infinity.*float16",
    ),
    "missing Int64": (
        lambda X: pd.DataFrame(X > 0).astype("Int64").mask(X > 1).to_numpy(),
        "float.*NAType|NaN",
    ),
    "complex": (lambda X: X + 1j, "Complex data not supported"),
    "sparse complex": (lambda X: sp.csr_array(X + 1j), "Complex data not supported"),
    "strings": (lambda X: X.astype(str), "not compatible with arrays of bytes/strings"),
    "objects": (
        lambda X: np.full(X.shape, "red", dtype=object),
        "could not convert string to float: 'red'",
    ),
    "dates": (
        lambda X: X.astype("datetime64[s]"),
        r"X must hold real numbers\. Got dtype datetime64\[s\]",
    ),
    "durations": (
        lambda X: X.astype("timedelta64[s]"),
        r"X must hold real numbers\. Got dtype timedelta64\[s\]",
    ),
    "3-D": (lambda X: X[:, :, np.newaxis], "array with dim 3, while dim <= 2"),
    "1-D": (lambda X: X[:, 0], "Expected 2D array, got 1D array"),
    "0-D": (lambda X: 3.0, "Expected 2D array, got scalar array"),
    "no columns": (lambda X: X[:, :0], r"0 feature\(s\).* a minimum of 1 is required"),
    "ragged": (lambda X: [[1.0, 2.0], [3.0]], "inhomogeneous shape"),
}
each_bad_x = pytest.mark.parametrize(("spoil", "match"), BAD_X.values(), ids=BAD_X)
each_learner = pytest.mark.parametrize("kind", LEARNERS)


@each_learner
@each_bad_x
def test_bad_X_is_not_learnt(X, y, spoil, match, kind):
    clf, learn = learner(kind, X, y)
    with raises_unharmed(clf, X, match, (ValueError, TypeError)):
        learn(spoil(X), y)


@each_bad_x
def test_bad_X_is_not_predicted(X, y, spoil, match):
    clf = small_net().fit(X, y)
    for method in PREDICTORS:
        with raises_unharmed(clf, X, match, (ValueError, TypeError)):
            getattr(clf, method)(spoil(X))


@each_learner
def test_no_rows_are_not_learnt(X, y, kind):
    clf, learn = learner(kind, X, y)
    with raises_unharmed(clf, X, r"0 sample\(s\).* a minimum of 1 is required"):
        learn(X[:0], y[:0])
    if kind == "fit again":
        for method in PREDICTORS:
            with raises_unharmed(clf, X, r"0 sample\(s\).* a minimum of 1 is required"):
                getattr(clf, method)(X[:0])


@pytest.mark.parametrize("kind", ["warm start", "partial_fit"])
def test_columns_must_stay_the_same(X, y, kind):
    clf, learn = learner(kind, X, y)
    count = "X has 3 features, but TwoLayerClassifier is expecting 4 features"
    for bad in (X[:, :3], sp.csr_array(X[:, :3])):
        with raises_unharmed(clf, X, count):
            learn(bad, y)
        for method in PREDICTORS:
            with raises_unharmed(clf, X, count):
                getattr(clf, method)(bad)


@pytest.mark.parametrize("kind", ["warm start", "partial_fit"])
@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["a", "b", "c", "e"], "(?s)unseen at fit time.*- e"),
        (["d", "c", "b", "a"], "must be in the same order"),
    ],
)
def test_names_must_stay_the_same(X, y, names, match, kind):
    frame, other = (pd.DataFrame(X, columns=n) for n in (["a", "b", "c", "d"], names))
    clf, learn = learner(kind, frame, y)
    with raises_unharmed(clf, frame, match):
        learn(other, y)
    for method in PREDICTORS:
        with raises_unharmed(clf, frame, match):
            getattr(clf, method)(other)


# --- y


def with_label(y, label, first=3):
    """Words for the classes, but for every seventh row."""
    labels = [["no", "yes"][code] for code in y]
    labels[first::7] = [label] * len(labels[first::7])
    return labels


MISSING = r"\by\b.*(None|NA|NaN|float|missing)"
BAD_Y = {
    "continuous": (lambda y: y + 0.5, "continuous"),
    "too short": (lambda y: y[:-1], r"numbers of samples: \[60, 59\]"),
    "too long": (lambda y: np.append(y, 0), r"numbers of samples: \[60, 61\]"),
    "none at all": (lambda y: y[:0], r"numbers of samples: \[60, 0\]"),
    "left out": (lambda y: None, "requires y to be passed"),
    "two columns": (lambda y: np.column_stack([y, y]), r"y .*1d array.*\(60, 2\)"),
    "complex": (lambda y: y + 1j, "Complex data not supported"),
    "NaN": (lambda y: with_entry(y, np.nan), "y contains NaN"),
    "infinity": (lambda y: with_entry(y, np.inf), "y contains infinity"),
    "missing Int64": (
        lambda y: pd.Series(y, dtype="Int64").mask(y == 1),
        MISSING,
    ),
    "missing boolean": (
        lambda y: pd.Series(y, dtype="boolean").mask(y == 1),
        MISSING,
    ),
    "NaN among str": (
        lambda y: np.array(with_label(y, np.nan), dtype=object),
        f"{MISSING}|contains NaN",
    ),
    "missing category": (
        lambda y: pd.Series(with_label(y, None), dtype="category"),
        f"{MISSING}|contains NaN",
    ),
    "None among str": (lambda y: np.array(with_label(y, None), dtype=object), MISSING),
    "None at first": (
        lambda y: np.array(with_label(y, None, first=0), dtype=object),
        MISSING,
    ),
    "None in a list": (lambda y: with_label(y, None), MISSING),
    "null in polars": (lambda y: pl.Series(with_label(y, None)), MISSING),
    "missing string": (
        lambda y: pd.Series(with_label(y, None), dtype="string"),
        MISSING,
    ),
    "int among str": (
        lambda y: np.array(with_label(y, 3), dtype=object),
        r"y must hold labels of one kind.*\['int', 'str'\]",
    ),
    "int objects": (
        lambda y: y.astype(object),
        r"y is an array of objects of type \['int'\].*y\.astype\(int\)",
    ),
    "Decimals": (
        lambda y: [Decimal(int(v)) for v in y],
        r"objects of type \['Decimal'",
    ),
}
each_bad_y = pytest.mark.parametrize(("spoil", "match"), BAD_Y.values(), ids=BAD_Y)


@each_learner
@each_bad_y
def test_bad_y_is_not_learnt(X, y, spoil, match, kind):
    clf, learn = learner(kind, X, y)
    with raises_unharmed(clf, X, match):
        learn(X, spoil(y))


@pytest.mark.parametrize("kind", ["first partial_fit", "warm start", "partial_fit"])
def test_an_unseen_label_is_named(X, y, kind):
    clf, learn = learner(kind, X, y)
    seen = r"y contains labels .*: \[{}\]\. The classes are \[0, 1\]"
    with raises_unharmed(clf, X, seen.format(7)):
        learn(X, np.where(X[:, 1] > 0, 7, y))
    with raises_unharmed(clf, X, seen.format("'no', 'yes'")):
        learn(X, np.array(["no", "yes"])[y])


def test_a_stream_needs_its_classes_at_first(X, y):
    clf = small_net()
    with raises_unharmed(
        clf, X, "classes must be passed on the first call to partial_fit"
    ):
        clf.partial_fit(X, y)


@pytest.mark.parametrize("classes", [[0, 2], [0, 1, 2], [1], ["no", "yes"]])
def test_the_classes_of_a_stream_do_not_change(X, y, classes):
    clf = small_net().partial_fit(X, y, classes=[1, 0])
    match = re.escape(f"classes={classes}") + r" is not the same .*: \[0, 1\]"
    with raises_unharmed(clf, X, match):
        clf.partial_fit(X, y, classes=classes)
    clf.partial_fit(X, y, classes=[0, 1])  # the same in another order is the same


def test_classes_that_cannot_be_sorted_are_named(X, y):
    clf = small_net()
    with raises_unharmed(clf, X, "classes.*NoneType"):
        clf.partial_fit(X, np.array(["no", "yes"])[y], classes=["no", "yes", None])


# --- sample_weight

BAD_WEIGHT = {
    "NaN": (lambda w: with_entry(w, np.nan), "{} contains NaN"),
    "infinity": (lambda w: with_entry(w, np.inf), "{} contains infinity"),
    "negative": (lambda w: with_entry(w, -1.5), r"{}`: the smallest weight is -1\.5"),
    "all zero": (lambda w: 0 * w, "(?i){}.*zero|zero.*{}"),
    "zero": (lambda w: 0, "(?i){}.*zero|zero.*{}"),
    "negative number": (lambda w: -2, "{}`: the smallest weight is -2"),
    "infinite sum": (lambda w: 1e308 * w, "(?i)sum of.*{}.*finite"),
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
def test_bad_weights_are_not_learnt(X, y, spoil, match, kind):
    clf, learn = learner(kind, X, y)
    # scikit-learn's own words for some: "Sample weights must ..."
    with raises_unharmed(clf, X, match.replace("{}", "sample[_ ]weights?")):
        learn(X, y, sample_weight=spoil(np.ones(N)))


@pytest.mark.parametrize("scale", [1e-300, 1e-100, 1e100, 1e200, 1e300])
def test_the_common_scale_of_weights_does_not_matter(X, y, rng, scale):
    weight = rng.uniform(0.1, 1.0, size=N)
    expected = small_net(dtype="float64").fit(X, y, weight).predict_proba(X)
    found = small_net(dtype="float64").fit(X, y, weight * scale).predict_proba(X)
    assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e-100, 1e100, 1e300])
def test_the_common_scale_of_a_stream_does_not_matter(X, y, scale):
    plain, scaled = small_net(dtype="float64"), small_net(dtype="float64")
    for part, weight in ((slice(0, 30), 1.0), (slice(30, 60), 4.0)):
        batch = X[part], y[part], [0, 1]
        plain.partial_fit(*batch, sample_weight=np.full(30, weight))
        scaled.partial_fit(*batch, sample_weight=np.full(30, weight * scale))
    assert_allclose(scaled.mean_, plain.mean_, rtol=1e-9)
    assert_allclose(scaled.predict_proba(X), plain.predict_proba(X), rtol=1e-6)


# --- X_val, y_val, sample_weight_val


@pytest.mark.parametrize("kind", ["first fit", "fit again", "warm start"])
@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("X_val",), "X_val was given without y_val"),
        (("y_val",), "y_val was given without X_val"),
        (("sample_weight_val",), "sample_weight_val was given without X_val and y_val"),
        (("X_val", "sample_weight_val"), "X_val was given without y_val"),
        (("y_val", "sample_weight_val"), "y_val was given without X_val"),
    ],
)
def test_half_a_validation_set_is_none(X, y, given, match, kind):
    clf, fit = learner(kind, X, y)
    whole = {"X_val": X, "y_val": y, "sample_weight_val": np.ones(N)}
    with raises_unharmed(clf, X, match):
        fit(X, y, **{name: whole[name] for name in given})


@each_bad_x
def test_bad_X_val_is_named(X, y, spoil, match):
    for early_stopping in (False, True):
        clf = small_net(early_stopping=early_stopping).fit(X, y)
        with raises_unharmed(clf, X, "X_val", (ValueError, TypeError)):
            clf.fit(X, y, X_val=spoil(X), y_val=y)


def test_bad_shape_of_a_validation_set_is_named(X, y):
    clf = small_net().fit(X, y)
    with raises_unharmed(clf, X, "X_val.*3 features.*4 features"):
        clf.fit(X, y, X_val=X[:, :3], y_val=y)
    with raises_unharmed(clf, X, r"X_val.*0 sample\(s\)"):
        clf.fit(X, y, X_val=X[:0], y_val=y[:0])
    with raises_unharmed(clf, X, r"[Xy]_val.*\[60, 59\]"):
        clf.fit(X, y, X_val=X, y_val=y[:-1])


BAD_Y_VAL = {
    "NaN": (lambda y: with_entry(y, np.nan), "NaN|nan"),
    "None": (lambda y: with_label(y, None), "None"),
    "two columns": (lambda y: np.column_stack([y, y]), r"\(60, 2\)"),
    "unseen": (lambda y: y + 1, r"\[2\].*The classes are \[0, 1\]"),
    "continuous": (lambda y: y + 0.5, r"\[0\.5, 1\.5\].*The classes are \[0, 1\]"),
}


@pytest.mark.parametrize(("spoil", "match"), BAD_Y_VAL.values(), ids=BAD_Y_VAL)
def test_bad_y_val_is_named(X, y, spoil, match):
    clf = small_net().fit(X, y)
    with raises_unharmed(clf, X, f"(?s)y_val.*({match})"):
        clf.fit(X, y, X_val=X, y_val=spoil(y))


@each_bad_weight
def test_bad_sample_weight_val_is_named(X, y, spoil, match):
    clf = small_net().fit(X, y)
    with raises_unharmed(clf, X, "sample_weight_val"):
        clf.fit(X, y, X_val=X, y_val=y, sample_weight_val=spoil(np.ones(N)))


# --- settings

MANY_DIGITS = 10**400  # no float holds it
INT = "an int in the range [{}, 2147483647]".format
NO_INT = (0, -1, 2.0, True, "3", None, [5], math.nan, MANY_DIGITS, 2**31)
NO_BOOL = (1, 0, "yes", None, 1.0)
NO_WORD = ("", "Adam", "gelu", None, 1, True, ["relu"])
NO_FRACTION = (
    *(-0.1, 1, 1.0, 2, math.nan, math.inf, MANY_DIGITS, "0.5", None, True, 0.5j),
)
BAD_SETTINGS = {
    "hidden_layer_size": ("'auto'} or " + INT(1), (*NO_INT, (9,))),
    "n_estimators": ("'auto'} or " + INT(1), (*NO_INT, "many")),
    "activation": ("'relu', 'tanh', 'logistic', 'identity'", (*NO_WORD, "softmax")),
    "solver": ("'adam', 'sgd', 'lbfgs'", (*NO_WORD, "rmsprop")),
    "alpha": (
        "[0.0, inf)",
        (-1e-9, -1, MANY_DIGITS, -MANY_DIGITS, math.inf, math.nan, None, "0", False),
    ),
    "batch_size": ("'auto'", (0, -5, 2.5, True, "all", None, math.inf)),
    "learning_rate": ("'cosine', 'constant', 'invscaling'", (*NO_WORD, 0.1)),
    "learning_rate_init": (
        "(0.0, inf)",
        (0, -1.0, MANY_DIGITS, math.inf, math.nan, None, True),
    ),
    "power_t": ("[0.0, inf)", (-0.5, math.inf, math.nan, None, "0.5", True)),
    "max_iter": (INT(1), (*NO_INT, math.inf)),
    "shuffle": ("a bool", NO_BOOL),
    "random_state": ("a numpy Generator", (-1, 1.0, "0", True, [1])),
    "tol": ("[0.0, inf)", (-1e-4, math.inf, math.nan, None, "1e-4", True)),
    "verbose": (INT(0) + " or a bool", (-1, 1.5, None, "yes")),
    "warm_start": ("a bool", NO_BOOL),
    "momentum": ("[0.0, 1.0)", NO_FRACTION),
    "nesterovs_momentum": ("a bool", NO_BOOL),
    "early_stopping": ("a bool", (*NO_BOOL, "never")),
    "store_oof_proba": ("a bool", NO_BOOL),
    "validation_fraction": ("(0.0, 1.0)", (0, 0.0, *NO_FRACTION)),
    "beta_1": ("[0.0, 1.0)", NO_FRACTION),
    "beta_2": ("[0.0, 1.0)", NO_FRACTION),
    "epsilon": ("(0.0, inf)", (0, 0.0, -1e-8, math.inf, math.nan, None, "1", True)),
    "n_iter_no_change": ("inf", (0, -1, 2.5, math.nan, -math.inf, None, "5", True)),
    "dropout": ("'auto'} or a float in the range [0.0, 1.0)", NO_FRACTION),
    "input_dropout": ("[0.0, 1.0)", NO_FRACTION),
    "scaling_layer": ("a bool", NO_BOOL),
    "standardize": ("a bool", NO_BOOL),
    "split_inputs": (r"a str among {'auto'} or a bool", NO_BOOL),
    "squash": ("None or", (0, 0.0, MANY_DIGITS, -3.0, math.inf, math.nan, "3", True)),
    "dtype": ("'float32', 'float64'", ("float16", float, np.float32, None, 32)),
    "class_weight": ("'balanced'", ("balance", 2.0, [1, 2], True)),
}


@pytest.mark.parametrize(
    ("name", "allowed", "value"),
    [
        (name, allowed, value)
        for name, (allowed, values) in BAD_SETTINGS.items()
        for value in values
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(X, y, name, allowed, value):
    for kind in ("first fit", "first partial_fit", "fit again", "partial_fit"):
        clf, learn = learner(kind, X[:20], y[:20])
        clf.set_params(**{name: value})
        with raises_unharmed(
            clf, X, f"The '{name}' parameter of TwoLayerClassifier"
        ) as caught:
            learn(X, y)
        assert isinstance(caught.value, InvalidParameterError)
        message = str(caught.value)
        assert without_decimals(allowed) in without_decimals(message)
        assert message.endswith(f"Got {value!r} instead.")


def without_decimals(text):
    """0.0 and 0 are the same bound."""
    return text.replace(".0", "")


def test_every_setting_has_bad_values():
    assert BAD_SETTINGS.keys() == TwoLayerClassifier().get_params().keys()
    assert all(values for _, values in BAD_SETTINGS.values())


def test_a_bad_setting_is_caught_as_either_of_two_kinds(X, y):
    for kind in (ValueError, TypeError):
        with pytest.raises(kind, match="alpha"):
            small_net(alpha=-1).fit(X, y)


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
def test_bad_class_weights_are_named(X, y, class_weight, match, kind):
    clf, learn = learner(kind, X, y)
    clf.set_params(class_weight=class_weight)
    with raises_unharmed(clf, X, match):
        learn(X, y)


@each_learner
def test_weights_whose_product_is_zero_are_named(X, y, kind):
    clf, learn = learner(kind, X, y)
    clf.set_params(class_weight={0: 0.0, 1: 1.0})
    with raises_unharmed(clf, X, "class_weight"):
        learn(X, y, sample_weight=np.where(y == 0, 1.0, 0.0))


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_refused_fit_draws_no_seed(X, y, make):
    used, fresh = make(0), make(0)
    clf = small_net(random_state=used, class_weight={0: 0, 1: 0})
    with pytest.raises(ValueError, match="class_weight"):
        clf.fit(X, y)
    assert_array_equal(used.normal(size=3), fresh.normal(size=3))


@pytest.mark.parametrize("kind", ["warm start", "partial_fit"])
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("hidden_layer_size", 4, 5),
        ("n_estimators", 2, 3),
        ("activation", "relu", "tanh"),
        ("standardize", True, False),
        ("split_inputs", "auto", False),
        ("squash", 5.0, None),
    ],
)
def test_a_changed_structure_cannot_go_on(X, y, name, old, new, kind):
    clf, learn = learner(kind, X, y)
    clf.set_params(**{name: new})
    with raises_unharmed(clf, X, rf"{name} was {old!r} in the fit .* Got {new!r}"):
        learn(X, y)
    clf.set_params(**{name: old})
    learn(X, y)  # set back, it goes on


# --- what is not there


def test_nothing_is_predicted_before_a_fit(X):
    clf = small_net()
    for method in PREDICTORS:
        with raises_unharmed(clf, X, "not fitted yet", NotFittedError):
            getattr(clf, method)(X)
    for name in ("coefs_", "intercepts_"):
        with raises_unharmed(
            clf, X, "TwoLayerClassifier is not fitted", AttributeError
        ):
            getattr(clf, name)
        assert not hasattr(clf, name)


def test_lbfgs_has_no_partial_fit(X, y):
    clf = small_net(solver="lbfgs")
    assert not hasattr(clf, "partial_fit")
    with raises_unharmed(clf, X, "partial_fit", AttributeError):
        clf.partial_fit(X, y, classes=[0, 1])
    assert hasattr(clf.set_params(solver="sgd"), "partial_fit")


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize("copies", [1, 3])
def test_early_stopping_without_rows_to_spare_says_so_once(X, y, copies, n_estimators):
    few = np.repeat([y.argmin(), y.argmax()], copies)  # a row of each class
    settings = {"n_estimators": n_estimators, "max_iter": 20}
    clf = small_net(**settings, early_stopping=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(X[few], y[few])
    assert [warning.category for warning in caught] == [UserWarning]
    assert "early_stopping needs more distinct rows" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert clf.validation_loss_curve_ is None
    expected = small_net(**settings).fit(X[few], y[few])
    assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


def test_columns_that_drown_the_others_are_named_once(X, y):
    clf = small_net(standardize=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(X * [1, 1, 1e6, 1], y)
    warned = [warning for warning in caught if "huge" in str(warning.message)]
    assert [warning.category for warning in warned] == [UserWarning]
    size = f"{np.abs(X[:, 2]).max() * 1e6:.3g}"
    assert f"huge: 2 (up to {size})." in str(warned[0].message)
    assert warned[0].filename == __file__


# --- errors and interruptions in the middle


def raise_after(n_calls, error, method=None):
    """``method``, for some calls; from then on it raises."""
    calls = iter(range(n_calls))

    def until_then(*args, **kwargs):
        if next(calls, None) is None:
            raise error
        return method(*args, **kwargs)

    return until_then


PLACES = {
    "ordering": ("adam", "sknet._preparation.canonical_order"),
    "gather": ("adam", "sknet._standardizer.Standardizer.dense"),
    "gradient": ("adam", "sknet._network.TwoLayerNetwork.loss_gradient"),
    "adam": ("adam", "sknet._optimizers.ScalingLayerAdam.step"),
    "sgd": ("sgd", "sknet._optimizers.SGD.step"),
    "end of epoch": ("adam", "sknet._monitor.Monitor.end_epoch"),
    "end of fit": ("adam", "sknet._fitting.published"),
}


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize(("solver", "place"), PLACES.values(), ids=PLACES)
@each_learner
def test_an_error_before_the_first_epoch_is_done_changes_nothing(
    X, y, monkeypatch, kind, solver, place, error
):
    clf, learn = learner(kind, X, y, solver=solver)
    with raises_unharmed(clf, X, None, error), monkeypatch.context() as patch:
        patch.setattr(place, raise_after(0, error))
        learn(X, y)


@pytest.mark.parametrize("generator", [np.random.RandomState, np.random.default_rng])
@pytest.mark.parametrize("kind", ["first fit", "first partial_fit", "fit again"])
def test_a_generator_is_moved_by_a_fit_but_not_by_one_that_fails(
    X, y, monkeypatch, kind, generator
):
    """The fit that follows is the one that would have been."""
    (clf, learn), (spared, learn_spared) = learner(kind, X, y), learner(kind, X, y)
    for each in (clf, spared):
        each.set_params(random_state=generator(3))
    with monkeypatch.context() as patch:
        place = "sknet._preparation.canonical_order"
        patch.setattr(place, raise_after(0, MemoryError))
        with pytest.raises(MemoryError):
            learn(X, y)
    learn(X, y)
    learn_spared(X, y)
    proba = clf.predict_proba(X)
    assert_array_equal(proba, spared.predict_proba(X))
    assert (clf.fit(X, y).predict_proba(X) != proba).any()


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["first fit", "fit again", "warm start"])
def test_an_error_before_the_first_lbfgs_iteration_changes_nothing(
    X, y, monkeypatch, kind, error
):
    clf, fit = learner(kind, X, y, solver="lbfgs")
    with raises_unharmed(clf, X, None, error), monkeypatch.context() as patch:
        gradient = TwoLayerNetwork.loss_gradient
        patch.setattr(TwoLayerNetwork, "loss_gradient", raise_after(1, error, gradient))
        fit(X, y)


@pytest.mark.parametrize("kind", ["first fit", "fit again", "warm start"])
def test_an_error_after_some_epochs_changes_nothing(X, y, monkeypatch, kind):
    clf, fit = learner(kind, X, y)
    with raises_unharmed(clf, X, None, MemoryError), monkeypatch.context() as patch:
        step = raise_after(2 * STEPS, MemoryError, ScalingLayerAdam.step)
        patch.setattr(ScalingLayerAdam, "step", step)
        fit(X, y)


def interrupt(fit, monkeypatch, owner, name, n_calls):
    """Press Ctrl-C when a method has been called so many times."""
    method = raise_after(n_calls, KeyboardInterrupt, getattr(owner, name))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, method)
        with pytest.raises(KeyboardInterrupt):
            fit()


@pytest.mark.parametrize(
    ("solver", "optimizer"), [("adam", ScalingLayerAdam), ("sgd", SGD)]
)
def test_an_interrupted_fit_keeps_the_finished_epochs(
    X, y, monkeypatch, solver, optimizer
):
    settings = {"solver": solver, "learning_rate": "constant"}
    clf = small_net(**settings, max_iter=20)
    interrupt(lambda: clf.fit(X, y), monkeypatch, optimizer, "step", 3 * STEPS + 1)
    whole = small_net(**settings, max_iter=3).fit(X, y)
    assert clf.stop_reason_ == "interrupted"
    assert clf.n_iter_ == clf.best_iter_ == 3
    assert clf.loss_curve_ == whole.loss_curve_
    assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))
    assert_array_equal(clf.classes_, [0, 1])
    assert clf.partial_fit(X, y).n_iter_ == 4


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_an_interrupted_fit_keeps_the_best_epoch(X, y, monkeypatch, n_estimators):
    settings = {"early_stopping": True, "n_estimators": n_estimators}
    settings |= {"learning_rate": "constant", "n_iter_no_change": 99}
    whole = small_net(**settings, max_iter=8).fit(X, y)
    clf = small_net(**settings, max_iter=30)
    interrupt(lambda: clf.fit(X, y), monkeypatch, Monitor, "end_epoch", 8)
    assert clf.stop_reason_ == "interrupted"
    assert clf.n_iter_ == 8
    assert clf.best_iter_ == 1 + np.argmin(clf.validation_loss_curve_)
    assert clf.validation_loss_curve_ == whole.validation_loss_curve_
    assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))


def test_an_interrupted_warm_start_counts_on(X, y, monkeypatch):
    clf = small_net(warm_start=True).fit(X, y)
    interrupt(lambda: clf.fit(X, y), monkeypatch, ScalingLayerAdam, "step", 2 * STEPS)
    assert clf.stop_reason_ == "interrupted"
    assert clf.n_iter_ == len(clf.loss_curve_) == 5 + 2
    assert clf.fit(X, y).n_iter_ == 5 + 2 + 5
    assert clf.stop_reason_ == "max_iter"


@pytest.mark.parametrize("kind", ["first partial_fit", "partial_fit"])
def test_an_interrupted_batch_has_not_been(X, y, monkeypatch, kind):
    clf, learn = learner(kind, X, y)
    with (
        raises_unharmed(clf, X, None, KeyboardInterrupt),
        monkeypatch.context() as patch,
    ):
        step = raise_after(STEPS - 1, KeyboardInterrupt, ScalingLayerAdam.step)
        patch.setattr(ScalingLayerAdam, "step", step)
        learn(X, y)


def test_an_interrupted_lbfgs_keeps_the_finished_iterations(X, y, monkeypatch):
    settings = {"solver": "lbfgs", "n_estimators": 1, "tol": 1e-8}
    clf = small_net(**settings, max_iter=20)
    interrupt(lambda: clf.fit(X, y), monkeypatch, Monitor, "end_epoch", 3)
    whole = small_net(**settings, max_iter=3).fit(X, y)
    assert clf.stop_reason_ == "interrupted"
    assert clf.n_iter_ == 3
    assert clf.loss_curve_ == whole.loss_curve_
    assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))


@pytest.mark.parametrize("n_more", [0, 1])
def test_lbfgs_can_be_interrupted_in_a_later_member(X, y, monkeypatch, n_more):
    clf = small_net(solver="lbfgs", n_estimators=3, max_iter=3, tol=1e-8)
    interrupt(lambda: clf.fit(X, y), monkeypatch, Monitor, "end_epoch", 3 + n_more)
    assert clf.stop_reason_ == "interrupted"
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(clf.predict_proba(X)).all()
    lone = small_net(solver="lbfgs", n_estimators=3, max_iter=3, tol=1e-8).fit(X, y)
    assert_array_equal(clf.coefs_[0][0], lone.coefs_[0][0])  # the first one is done


def test_an_interruption_is_not_turned_into_a_warning(X, y, monkeypatch):
    """That a net is no good after one of 20 epochs is no news to who stopped it."""
    clf = small_net(learning_rate_init=1e-9, max_iter=20)
    interrupt(lambda: clf.fit(X, y), monkeypatch, Monitor, "end_epoch", 1)
    assert clf.stop_reason_ == "interrupted"
    assert clf.n_iter_ == 1


# ------------------------------------------------- the short way of a plain array


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [np.inf, -np.inf], [-np.inf]])
def test_the_short_way_to_predict_sees_every_bad_number(X, y, dtype, bad):
    clf = small_net().fit(X, y)
    rows = X[:5].astype(dtype)
    rows.flat[: len(bad)] = bad
    for method in (clf.predict, clf.predict_proba, clf.decision_function):
        with pytest.raises(ValueError, match=r"X contains (NaN|infinity)"):
            method(rows)
    with config_context(assume_finite=True):
        assert clf.predict_proba(rows).shape == (5, len(clf.classes_))


def test_the_short_way_takes_numbers_whose_sum_is_not_finite(X, y):
    clf = small_net().fit(X, y)
    rows = np.full((4, X.shape[1]), np.finfo(np.float64).max)
    assert np.isfinite(clf.predict_proba(rows)).all()


def test_the_short_way_is_not_for_other_shapes_names_and_containers(X, y):
    clf = small_net().fit(X, y)
    with pytest.raises(ValueError, match="features"):
        clf.predict(X[:, :-1])
    with pytest.raises(ValueError, match="1D array"):
        clf.predict(X[0])
    with pytest.raises(ValueError, match="0 sample"):
        clf.predict(X[:0])
    expected = clf.predict_proba(X)
    for same in (X.tolist(), np.asfortranarray(X), X.astype(">f8"), X[::-1][::-1]):
        assert_array_equal(clf.predict_proba(same), expected)
    named = small_net().fit(pd.DataFrame(X).add_prefix("c"), y)
    with pytest.warns(UserWarning, match="feature names"):
        named.predict(X)
