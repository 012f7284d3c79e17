"""Bad input: one clear error, and an estimator that is as it was before the call."""

import copy
import math
import warnings
from contextlib import contextmanager
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal, assert_equal
from sklearn.exceptions import NotFittedError

from sknet import TwoLayerClassifier
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
def refused(clf, X, match, kind=ValueError):
    """The block raises this one error and changes nothing about ``clf``, bit for bit.

    Warnings are errors here: one beside the error would be raised instead of it.
    """
    before = copy.deepcopy(vars(clf))
    fitted = hasattr(clf, "classes_")
    proba = clf.predict_proba(X) if fitted else None
    with pytest.raises(kind, match=match):
        yield
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
bad_X = pytest.mark.parametrize(("spoil", "match"), BAD_X.values(), ids=BAD_X)
learners = pytest.mark.parametrize("kind", LEARNERS)


@learners
@bad_X
def test_bad_X_is_not_learnt(X, y, spoil, match, kind):
    clf, learn = learner(kind, X, y)
    with refused(clf, X, match, (ValueError, TypeError)):
        learn(spoil(X), y)


@bad_X
def test_bad_X_is_not_predicted(X, y, spoil, match):
    clf = small_net().fit(X, y)
    for method in PREDICTORS:
        with refused(clf, X, match, (ValueError, TypeError)):
            getattr(clf, method)(spoil(X))


@learners
def test_no_rows_are_not_learnt(X, y, kind):
    clf, learn = learner(kind, X, y)
    with refused(clf, X, r"0 sample\(s\).* a minimum of 1 is required"):
        learn(X[:0], y[:0])
    if kind == "fit again":
        for method in PREDICTORS:
            with refused(clf, X, r"0 sample\(s\).* a minimum of 1 is required"):
                getattr(clf, method)(X[:0])


@pytest.mark.parametrize("kind", ["warm start", "partial_fit"])
def test_columns_must_stay_the_same(X, y, kind):
    clf, learn = learner(kind, X, y)
    count = "X has 3 features, but TwoLayerClassifier is expecting 4 features"
    for bad in (X[:, :3], sp.csr_array(X[:, :3])):
        with refused(clf, X, count):
            learn(bad, y)
        for method in PREDICTORS:
            with refused(clf, X, count):
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
    with refused(clf, frame, match):
        learn(other, y)
    for method in PREDICTORS:
        with refused(clf, frame, match):
            getattr(clf, method)(other)


# --- y


def with_label(y, label):
    """Words for the classes, but for every seventh row."""
    return [label if i % 7 == 0 else ["no", "yes"][code] for i, code in enumerate(y)]


MISSING = r"\by\b.*(None|NA|NaN|missing)"
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
        "y contains NaN",
    ),
    "missing boolean": (
        lambda y: pd.Series(y, dtype="boolean").mask(y == 1),
        "y contains NaN",
    ),
    "NaN among str": (
        lambda y: np.array(with_label(y, np.nan), dtype=object),
        "contains NaN",
    ),
    "missing category": (
        lambda y: pd.Series(with_label(y, None), dtype="category"),
        "contains NaN",
    ),
    "None among str": (lambda y: np.array(with_label(y, None), dtype=object), MISSING),
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
}
bad_y = pytest.mark.parametrize(("spoil", "match"), BAD_Y.values(), ids=BAD_Y)


@learners
@bad_y
def test_bad_y_is_not_learnt(X, y, spoil, match, kind):
    clf, learn = learner(kind, X, y)
    with refused(clf, X, match):
        learn(X, spoil(y))


@pytest.mark.parametrize("kind", ["first partial_fit", "warm start", "partial_fit"])
def test_an_unseen_label_is_named(X, y, kind):
    clf, learn = learner(kind, X, y)
    seen = r"y contains labels .*: \[{}\]\. The classes are \[0, 1\]"
    with refused(clf, X, seen.format(7)):
        learn(X, np.where(X[:, 1] > 0, 7, y))
    with refused(clf, X, seen.format("'no', 'yes'")):
        learn(X, np.array(["no", "yes"])[y])


def test_a_stream_needs_its_classes_at_first(X, y):
    clf = small_net()
    with refused(clf, X, "classes must be passed on the first call to partial_fit"):
        clf.partial_fit(X, y)


@pytest.mark.parametrize("classes", [[0, 2], [0, 1, 2], [1], ["no", "yes"]])
def test_the_classes_of_a_stream_do_not_change(X, y, classes):
    clf = small_net().partial_fit(X, y, classes=[1, 0])
    match = rf"classes={str(classes)[:-1]}\]".replace("[", r"\[") + r".*first.*\[0, 1\]"
    with refused(clf, X, match):
        clf.partial_fit(X, y, classes=classes)
    clf.partial_fit(X, y, classes=[0, 1])  # the same in another order is the same


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
bad_weight = pytest.mark.parametrize(
    ("spoil", "match"), BAD_WEIGHT.values(), ids=BAD_WEIGHT
)


@learners
@bad_weight
def test_bad_weights_are_not_learnt(X, y, spoil, match, kind):
    clf, learn = learner(kind, X, y)
    # scikit-learn's own words for some: "Sample weights must ..."
    with refused(clf, X, match.replace("{}", "sample[_ ]weights?")):
        learn(X, y, sample_weight=spoil(np.ones(N)))


@pytest.mark.parametrize("scale", [1e-300, 1e-100, 1e100, 1e200, 1e308])
def test_the_common_scale_of_weights_does_not_matter(X, y, rng, scale):
    weight = rng.uniform(0.1, 1.0, size=N)
    expected = small_net(dtype="float64").fit(X, y, weight).predict_proba(X)
    found = small_net(dtype="float64").fit(X, y, weight * scale).predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


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
    with refused(clf, X, match):
        fit(X, y, **{name: whole[name] for name in given})


@pytest.mark.parametrize("kind", ["first fit", "fit again"])
@bad_X
def test_bad_X_val_is_named(X, y, spoil, match, kind):
    clf, fit = learner(kind, X, y)
    with refused(clf, X, "X_val", (ValueError, TypeError)):
        fit(X, y, X_val=spoil(X), y_val=y)


@pytest.mark.parametrize("kind", ["first fit", "fit again"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_bad_shape_of_a_validation_set_is_named(X, y, kind, early_stopping):
    clf, fit = learner(kind, X, y, early_stopping=early_stopping)
    with refused(clf, X, "X_val.*3 features.*4 features"):
        fit(X, y, X_val=X[:, :3], y_val=y)
    with refused(clf, X, r"X_val.*0 sample\(s\)"):
        fit(X, y, X_val=X[:0], y_val=y[:0])
    with refused(clf, X, r"[Xy]_val.*\[60, 59\]"):
        fit(X, y, X_val=X, y_val=y[:-1])


BAD_Y_VAL = {
    "NaN": (lambda y: with_entry(y, np.nan), "NaN|nan"),
    "None": (lambda y: with_label(y, None), "None"),
    "two columns": (lambda y: np.column_stack([y, y]), r"\(60, 2\)"),
    "unseen": (lambda y: y + 1, r"\[2\].*The classes are \[0, 1\]"),
    "continuous": (lambda y: y + 0.5, r"\[0\.5, 1\.5\].*The classes are \[0, 1\]"),
}


@pytest.mark.parametrize("kind", ["first fit", "fit again"])
@pytest.mark.parametrize(("spoil", "match"), BAD_Y_VAL.values(), ids=BAD_Y_VAL)
def test_bad_y_val_is_named(X, y, spoil, match, kind):
    clf, fit = learner(kind, X, y)
    with refused(clf, X, f"(?s)y_val.*({match})"):
        fit(X, y, X_val=X, y_val=spoil(y))


@bad_weight
def test_bad_sample_weight_val_is_named(X, y, spoil, match):
    clf = small_net().fit(X, y)
    with refused(clf, X, "sample_weight_val"):
        clf.fit(X, y, X_val=X, y_val=y, sample_weight_val=spoil(np.ones(N)))


# --- settings

NO_INT = (0, -1, 2.0, True, "3", None, [5], math.nan)
NO_BOOL = (1, 0, "yes", None, 1.0)
NO_WORD = ("", "Adam", "gelu", None, 1, True, ["relu"])
NO_FRACTION = (-0.1, 1, 1.0, 2, math.nan, math.inf, "0.5", None, True, 0.5j)
BAD_SETTINGS = {
    "hidden_layer_size": ("an int in the range [1, inf)", (*NO_INT, (100,))),
    "n_estimators": ("an int in the range [1, inf)", NO_INT),
    "activation": ("'relu', 'tanh', 'logistic', 'identity'", (*NO_WORD, "softmax")),
    "solver": ("'adam', 'sgd', 'lbfgs'", (*NO_WORD, "rmsprop")),
    "alpha": ("[0.0, inf)", (-1e-9, -1, math.inf, math.nan, None, "0", False)),
    "batch_size": ("'auto'", (0, -5, 2.5, True, "all", None, math.inf)),
    "learning_rate": ("'cosine', 'constant', 'invscaling'", (*NO_WORD, 0.1)),
    "learning_rate_init": ("(0.0, inf)", (0, -1.0, math.inf, math.nan, None, True)),
    "power_t": ("[0.0, inf)", (-0.5, math.inf, math.nan, None, "0.5", True)),
    "max_iter": ("an int in the range [1, inf)", (*NO_INT, math.inf)),
    "shuffle": ("a bool", NO_BOOL),
    "random_state": ("a numpy Generator", (-1, 1.0, "0", True, [1], np.random)),
    "tol": ("[0.0, inf)", (-1e-4, math.inf, math.nan, None, "1e-4", True)),
    "verbose": ("an int in the range [0, inf) or a bool", (-1, 1.5, None, "yes")),
    "warm_start": ("a bool", NO_BOOL),
    "momentum": ("[0.0, 1.0)", NO_FRACTION),
    "nesterovs_momentum": ("a bool", NO_BOOL),
    "early_stopping": ("a bool", (*NO_BOOL, "auto")),
    "validation_fraction": ("(0.0, 1.0)", (0, 0.0, *NO_FRACTION)),
    "beta_1": ("[0.0, 1.0)", NO_FRACTION),
    "beta_2": ("[0.0, 1.0)", NO_FRACTION),
    "epsilon": ("(0.0, inf)", (0, 0.0, -1e-8, math.inf, math.nan, None, "1", True)),
    "n_iter_no_change": ("inf", (0, -1, 2.5, math.nan, -math.inf, None, "5", True)),
    "dropout": ("[0.0, 1.0)", NO_FRACTION),
    "standardize": ("a bool", NO_BOOL),
    "squash": ("None or", (0, 0.0, -3.0, math.inf, math.nan, "3", True)),
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
        with refused(clf, X, f"The '{name}' parameter of TwoLayerClassifier") as caught:
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
        ({0: 0, 1: 0.0}, "class_weight gives every row of y the weight zero"),
    ],
)
@learners
def test_bad_class_weights_are_named(X, y, class_weight, match, kind):
    clf, learn = learner(kind, X, y)
    clf.set_params(class_weight=class_weight)
    with refused(clf, X, match):
        learn(X, y)


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
        ("squash", 3.0, None),
    ],
)
def test_a_changed_structure_cannot_go_on(X, y, name, old, new, kind):
    clf, learn = learner(kind, X, y)
    clf.set_params(**{name: new})
    with refused(clf, X, rf"{name} was {old!r} in the fit .* Got {new!r}"):
        learn(X, y)
    clf.set_params(**{name: old})
    learn(X, y)  # set back, it goes on


# --- what is not there


def test_nothing_is_predicted_before_a_fit(X):
    clf = small_net()
    for method in PREDICTORS:
        with refused(clf, X, "not fitted yet", NotFittedError):
            getattr(clf, method)(X)
    for name in ("coefs_", "intercepts_"):
        with refused(clf, X, "TwoLayerClassifier is not fitted", AttributeError):
            getattr(clf, name)
        assert not hasattr(clf, name)


def test_lbfgs_has_no_partial_fit(X, y):
    clf = small_net(solver="lbfgs")
    assert not hasattr(clf, "partial_fit")
    with refused(clf, X, "partial_fit", AttributeError):
        clf.partial_fit(X, y, classes=[0, 1])
    assert hasattr(clf.set_params(solver="sgd"), "partial_fit")


@pytest.mark.parametrize("copies", [1, 3])
def test_early_stopping_without_rows_to_spare_says_so_once(X, y, copies):
    few = np.flatnonzero([True] + [False] * (N - 1) | (y != y[0]) & (y.cumsum() < 99))
    few = np.repeat([few[0], few[-1]], copies)  # a row of each class
    clf = small_net(early_stopping=True, max_iter=20)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(X[few], y[few])
    assert [warning.category for warning in caught] == [UserWarning]
    assert "early_stopping needs a class with at least two" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert clf.validation_loss_curve_ is None
    expected = small_net(max_iter=20).fit(X[few], y[few])
    assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


# --- errors and interruptions in the middle


def raise_after(n_calls, error, then):
    """A method that does as ``then`` for some calls, and raises ever after."""
    calls = 0

    def method(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls > n_calls:
            raise error
        return then(self, *args, **kwargs)

    return method


PLACES = {
    "preparation": ("adam", "sknet._standardizer.Standardizer.dense"),
    "gradient": ("adam", "sknet._network.TwoLayerNetwork.loss_gradient"),
    "adam": ("adam", "sknet._optimizers.Adam.step"),
    "sgd": ("sgd", "sknet._optimizers.SGD.step"),
    "epoch": ("adam", "sknet._training.Monitor.end_epoch"),
    "publishing": ("adam", "sknet._fitting.Session.publish"),
}


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize(("solver", "place"), PLACES.values(), ids=PLACES)
@learners
def test_an_error_in_the_first_epoch_changes_nothing(
    X, y, monkeypatch, kind, solver, place, error
):
    clf, learn = learner(kind, X, y, solver=solver)
    before, proba = copy.deepcopy(vars(clf)), None
    if kind.startswith("first"):
        assert not hasattr(clf, "classes_")
    else:
        proba = clf.predict_proba(X)
    with monkeypatch.context() as patch:
        patch.setattr(place, raise_after(0, error, None))
        with pytest.raises(error):
            learn(X, y)
    assert list(vars(clf)) == list(before)
    assert_equal(vars(clf), before)
    if proba is not None:
        assert_array_equal(clf.predict_proba(X), proba, strict=True)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["first fit", "fit again", "warm start"])
def test_an_error_in_the_first_iteration_of_lbfgs_changes_nothing(
    X, y, monkeypatch, kind, error
):
    place = "sknet._network.TwoLayerNetwork.loss_gradient"
    clf, fit = learner(kind, X, y, solver="lbfgs")
    before = copy.deepcopy(vars(clf))
    with monkeypatch.context() as patch:
        patch.setattr(place, raise_after(0, error, None))
        with pytest.raises(error):
            fit(X, y)
    assert_equal(vars(clf), before)


@pytest.mark.parametrize("kind", ["first fit", "fit again", "warm start"])
def test_a_memory_error_after_epochs_changes_nothing(X, y, monkeypatch, kind):
    from sknet._optimizers import Adam

    clf, fit = learner(kind, X, y)
    before = copy.deepcopy(vars(clf))
    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", raise_after(4, MemoryError, Adam.step))
        with pytest.raises(MemoryError):
            fit(X, y)
    assert_equal(vars(clf), before)
