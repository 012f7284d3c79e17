"""Training in several calls, with a pickle between any two, is one longer fit."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_equal

from sknet import TwoLayerClassifier

# a few epochs may end worse than the class frequencies
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_size": 6, "n_estimators": 2, "batch_size": 12, "random_state": 0}
CONSTANT = {"learning_rate": "constant", "n_iter_no_change": np.inf}
CONSTANT |= {"early_stopping": False, "learning_rate_init": 0.05}
# several calls are promised to be one fit of as many epochs
ONE_FIT = {
    "adam": {},
    "plain adam": {"standardize": False},
    "sgd": {"solver": "sgd"},
    "weighted classes": {"class_weight": "balanced"},
    "one member": {"n_estimators": 1},
    "no dropout": {"dropout": 0.0, "input_dropout": 0.2},
}
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def data(seed, dtype="float64"):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(64, 3))
    X[:, 2] = X[:, 2] > 0
    y = (X[:, 0] + 0.3 * rng.normal(size=64) > 0).astype(int) + (X[:, 1] > 1)
    return X.astype(dtype), y, rng.uniform(0.5, 2, size=64)


def reloaded(clf):
    return pickle.loads(pickle.dumps(clf))


def attributes(clf):
    """All fitted attributes that users can see."""
    names = [name for name in dir(clf) if name[-1] == "_" and name[0] != "_"]
    return {name: getattr(clf, name) for name in names}


@each_dtype
@pytest.mark.parametrize("settings", ONE_FIT.values(), ids=ONE_FIT)
def test_a_warm_start_is_one_longer_fit(settings, dtype, global_random_seed):
    """Bit for bit: weights, moments and random streams continue."""
    rows = data(global_random_seed, dtype)
    settings = {**SMALL, **CONSTANT, "warm_start": True, **settings}
    longer = TwoLayerClassifier(max_iter=8, **settings).fit(*rows)
    clf = TwoLayerClassifier(max_iter=2, **settings)
    for _ in range(4):
        clf = reloaded(clf).fit(*rows)
    assert_equal(attributes(clf), attributes(longer))
    assert clf.n_iter_ == 8


@each_dtype
@pytest.mark.parametrize("settings", ONE_FIT.values(), ids=ONE_FIT)
def test_k_batches_of_a_stream_are_k_epochs(
    settings, dtype, global_random_seed, params_of
):
    """Up to rounding: a stream adds up the statistics of its columns."""
    rows = data(global_random_seed, dtype)
    settings = {**SMALL, **CONSTANT, "dtype": "float64", **settings}
    whole = TwoLayerClassifier(max_iter=6, **settings).fit(*rows)
    clf, (X, y, weight) = TwoLayerClassifier(**settings), rows
    for _ in range(6):
        clf = reloaded(clf).partial_fit(X, y, [0, 1, 2], weight)
    tolerance = 1e-3 if dtype == "float32" else 1e-6
    assert_allclose(
        params_of(clf), params_of(whole), rtol=tolerance, atol=tolerance / 100
    )
    assert_allclose(clf.loss_curve_, whole.loss_curve_, rtol=tolerance)
    assert clf.n_iter_ == whole.n_iter_ == 6


def test_a_warm_start_keeps_its_folds(global_random_seed):
    """Else a fold would be judged by a member that has trained on it."""
    rows = data(global_random_seed)
    settings = {**SMALL, **CONSTANT, "early_stopping": True}
    longer = TwoLayerClassifier(max_iter=4, **settings).fit(*rows)
    clf = TwoLayerClassifier(max_iter=2, warm_start=True, **settings)
    clf.fit(*rows).fit(*rows)
    assert_allclose(
        clf.validation_loss_curve_, longer.validation_loss_curve_, rtol=1e-3
    )


def test_a_warm_start_after_a_stream_has_no_folds(global_random_seed):
    X, y, _ = data(global_random_seed)
    clf = TwoLayerClassifier(warm_start=True, **SMALL)
    clf.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.warns(UserWarning, match="trained on rows that would now be held out"):
        clf.fit(X, y)
    assert clf.temperature_ == 1.0
    clf.set_params(early_stopping=False).fit(X, y)  # asks for none, so nothing to say


def test_a_batch_resets_the_temperature_and_pads_the_curve(global_random_seed):
    X, y, _ = data(global_random_seed)
    clf = TwoLayerClassifier(max_iter=10, n_iter_no_change=20, **SMALL).fit(X, y)
    assert clf.temperature_ != 1.0
    clf.partial_fit(X, y)
    assert clf.temperature_ == 1.0
    assert len(clf.validation_loss_curve_) == len(clf.loss_curve_) == 11
    assert np.isnan(clf.validation_loss_curve_[-1])
