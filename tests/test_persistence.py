"""Saved models: their version, their size, what must be trusted to load them."""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknet
from sknet import SknetVersionWarning, TwoLayerClassifier, _persistence

TRUSTED = "sknet.TwoLayerClassifier"


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def quick(**settings):
    defaults = {"max_iter": 5, "hidden_layer_size": 6, "random_state": 0}
    return TwoLayerClassifier(**(defaults | settings))


# --- ways to save and load


def dump_pickle(clf):
    return pickle.dumps(clf)


def dump_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    return file.getvalue()


def load_joblib(saved):
    return joblib.load(io.BytesIO(saved))


def load_skops(saved):
    return skops.io.loads(saved, trusted=[TRUSTED])


WAYS = {
    "pickle": (dump_pickle, pickle.loads),
    "joblib": (dump_joblib, load_joblib),
    "skops": (skops.io.dumps, load_skops),
}
ways = pytest.mark.parametrize(("dump", "load"), WAYS.values(), ids=WAYS)

# settings, labels and last call that leave different things behind
MODELS = {
    "default": lambda X, y: quick().fit(X, y),
    "one member": lambda X, y: quick(n_estimators=1).fit(X, y),
    "strings": lambda X, y: quick().fit(X, np.array(["a", "b", "c"])[y]),
    "lbfgs": lambda X, y: quick(solver="lbfgs", n_estimators=2).fit(X, y),
    "sgd, to go on": lambda X, y: quick(solver="sgd", warm_start=True).fit(X, y),
    "validation set": lambda X, y: quick().fit(X, y, X_val=X, y_val=y),
    "class weights": lambda X, y: quick(class_weight={0: 1, 1: 2, 2: 3}).fit(X, y),
    "out of fold": lambda X, y: quick(store_oof_proba=True).fit(X, y),
    "RandomState": lambda X, y: quick(random_state=np.random.RandomState(0)).fit(X, y),
    "not scaled": lambda X, y: quick(standardize=False).fit(X, y),
    "stream": lambda X, y: quick().partial_fit(X, y, classes=[0, 1, 2]),
}
models = pytest.mark.parametrize("fit", MODELS.values(), ids=MODELS)


@models
@ways
def test_a_loaded_model_is_the_one_that_was_saved(iris, fit, dump, load):
    X, y = iris
    clf = fit(X, y)
    loaded = load(dump(clf))
    assert vars(loaded).keys() == vars(clf).keys()
    assert_array_equal(loaded.predict(X), clf.predict(X), strict=True)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X), strict=True)


@ways
@pytest.mark.parametrize("name", ["stream", "sgd, to go on"])
def test_a_loaded_model_goes_on_as_the_saved_one(iris, name, dump, load):
    X, y = iris
    clf = MODELS[name](X, y)
    loaded = load(dump(clf))
    for model in (clf, loaded):
        model.partial_fit(X[:50], y[:50])
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X), strict=True)


@models
def test_one_type_must_be_trusted(iris, fit):
    saved = skops.io.dumps(make_pipeline(StandardScaler(), fit(*iris)))
    assert skops.io.get_untrusted_types(data=saved) == [TRUSTED]


@pytest.mark.skipif(
    not hasattr(TwoLayerClassifier, "set_callbacks"), reason="needs scikit-learn 1.9"
)
def test_without_its_callbacks_one_type_is_enough_again(iris):
    from sklearn.callback import ScoringMonitor

    clf = quick().set_callbacks(ScoringMonitor(scoring="accuracy")).fit(*iris)
    assert skops.io.get_untrusted_types(data=skops.io.dumps(clf)) != [TRUSTED]
    clf.set_callbacks()
    assert skops.io.get_untrusted_types(data=skops.io.dumps(clf)) == [TRUSTED]


# --- the name of the class


def test_the_pickle_names_no_private_module(iris):
    clf = quick().partial_fit(*iris, classes=[0, 1, 2])
    assert b"sknet._" not in pickle.dumps(clf)


def test_the_private_name_of_older_pickles_is_understood():
    old_name = b"csknet._classifier\nTwoLayerClassifier\n."
    assert pickle.loads(old_name) is TwoLayerClassifier


# --- versions


def save_with_version(monkeypatch, clf, version, dump=dump_pickle):
    with monkeypatch.context() as patch:
        patch.setattr(_persistence, "__version__", version)
        return dump(clf)


@ways
def test_another_version_warns_once_and_loads(iris, monkeypatch, dump, load):
    X, y = iris
    clf = quick().fit(X, y)
    saved = save_with_version(monkeypatch, clf, "0.0.1", dump)
    with pytest.warns(SknetVersionWarning) as caught:
        loaded = load(saved)
    (message,) = (str(warning.message) for warning in caught)
    assert "TwoLayerClassifier" in message
    assert "saved by sknet 0.0.1 " in message
    assert f"loaded by sknet {sknet.__version__}," in message
    assert vars(loaded).keys() == vars(clf).keys()
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X), strict=True)


@ways
@pytest.mark.parametrize("layout", [None, 1, _persistence.LAYOUT + 1])
def test_weights_in_another_layout_are_refused(iris, monkeypatch, dump, load, layout):
    """They would load without a word and predict nonsense."""
    with monkeypatch.context() as patch:
        patch.setattr(_persistence, "LAYOUT", layout)
        saved = dump(quick().fit(*iris))
    with pytest.raises(ValueError, match=f"in layout {layout}; .* fit it again"):
        load(saved)


def test_a_fitted_model_without_a_layout_is_refused(iris):
    """So were models saved before layouts had numbers."""
    loaded = object.__new__(TwoLayerClassifier)
    with pytest.raises(ValueError, match="an unknown version of sknet in layout None"):
        loaded.__setstate__(vars(quick().fit(*iris)))


def test_a_model_without_a_version_warns():
    clf = quick()
    loaded = object.__new__(TwoLayerClassifier)
    with pytest.warns(SknetVersionWarning, match="by an unknown version of sknet"):
        loaded.__setstate__(vars(clf))
    assert vars(loaded).keys() == vars(clf).keys()


def test_the_warning_can_be_silenced_by_its_public_name(monkeypatch):
    saved = save_with_version(monkeypatch, quick(), "0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sknet.SknetVersionWarning)
        loaded = pickle.loads(saved)
    assert loaded.get_params() == quick().get_params()


def test_loading_leaves_the_state_as_it_was(iris):
    state = quick().fit(*iris).__getstate__()
    before = dict(state)
    loaded = object.__new__(TwoLayerClassifier)
    loaded.__setstate__(state)
    assert state.keys() == before.keys()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_hold_no_version(iris, duplicate):
    clf = quick().fit(*iris)
    assert vars(duplicate(clf)).keys() == vars(clf).keys()


# --- sizes

SMALL = 4096  # settings, curves, the state of two generators


def nbytes_of_weights(clf):
    return sum(part.nbytes for part in [*clf.coefs_, *clf.intercepts_])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("load", [load_iris, load_digits])
def test_a_saved_fit_is_as_large_as_its_weights(load, dtype):
    X, y = load(return_X_y=True)
    X = X.astype(dtype)
    clf = TwoLayerClassifier(max_iter=3, random_state=0).fit(X, y)
    assert len(pickle.dumps(clf)) <= 1.1 * nbytes_of_weights(clf) + SMALL


def test_the_size_does_not_depend_on_the_number_of_rows(rng):
    X = rng.normal(size=(2000, 3))
    sizes = [
        len(pickle.dumps(quick(n_estimators=2).fit(X[:n], X[:n, 0] > 0)))
        for n in (100, 2000)
    ]
    assert abs(sizes[1] - sizes[0]) < 100  # numbers of more digits


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float64", 8)])
@pytest.mark.parametrize("last_call", ["warm start", "partial_fit"])
def test_what_can_go_on_also_holds_last_weights_and_moments(
    iris, dtype, itemsize, last_call
):
    X, y = iris
    clf = TwoLayerClassifier(max_iter=3, random_state=0, warm_start=True)
    X = X.astype(dtype)
    clf = (
        clf.fit(X, y) if last_call == "warm start" else clf.partial_fit(X, y, [0, 1, 2])
    )
    # in the precision of training: weights, factors of the scaling layer with what
    # they multiply, and two moments
    weights = nbytes_of_weights(clf)
    assert len(pickle.dumps(clf)) <= 1.1 * weights * (1 + 4 * 4 / itemsize) + SMALL


def test_the_size_stays_the_same_over_2000_batches(rng):
    X = rng.normal(size=(8, 3))
    y = (X[:, 0] > 0).astype(int)
    clf = quick(n_estimators=2)
    sizes = []
    for _ in range(20):
        for _ in range(100):
            clf.partial_fit(X, y, classes=[0, 1])
        sizes.append(len(pickle.dumps(clf)))
    assert clf.n_iter_ == 2000
    # from the 100th call on the loss curve is full; only the counts' digits grow
    assert max(sizes) - min(sizes) < 100
