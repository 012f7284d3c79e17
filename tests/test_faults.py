"""Faults at every step: the estimator is as before, or fitted and consistent.

A fit is counted once, then run again as often as it has steps, each time with an error
at the next one. Never may an estimator be left in between.
"""

import copy
import itertools
import pickle
import sys
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_equal
from packaging.version import Version
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sknet import TwoLayerClassifier, _fitting, _monitor, _reporting
from sknet._crossfit import OutOfFold
from sknet._monitor import Monitor
from sknet._network import TwoLayerNetwork
from sknet._optimizers import SGD, ScalingLayerAdam
from sknet._standardizer import Standardizer

HAS_CALLBACKS = Version(sklearn.__version__) >= Version("1.9")
# short fits, which are of no use to anyone
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
needs_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="scikit-learn has callbacks since 1.9"
)
# what a step does, one place after the other
PLACES = [
    (Standardizer, "dense"),
    (TwoLayerNetwork, "loss_gradient"),
    (TwoLayerNetwork, "raw_prediction"),
    (ScalingLayerAdam, "step"),
    (SGD, "step"),
    (OutOfFold, "calibrate"),
    (Monitor, "begin_epoch"),
    (Monitor, "end_epoch"),
]
LEARNERS = {
    "adam": ({}, "fit", False),
    "sgd": ({"solver": "sgd"}, "fit", True),
    "lbfgs": ({"solver": "lbfgs"}, "fit", False),
    "lbfgs again": ({"solver": "lbfgs"}, "fit", True),
    "cross-fitted": ({"early_stopping": True}, "fit", False),
    "hold-out": ({"early_stopping": True, "n_estimators": 1}, "fit", True),
    "warm start": ({"warm_start": True}, "fit", True),
    "partial_fit": ({}, "partial_fit", False),
    "partial_fit again": ({"solver": "sgd"}, "partial_fit", True),
}
each_learner = pytest.mark.parametrize(
    ("settings", "method", "before"), LEARNERS.values(), ids=LEARNERS
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(36, 3))
    return X, (X[:, 0] + 0.3 * rng.normal(size=36) > 0).astype(int)


def small_net(**settings):
    quick = {"n_estimators": 2, "max_iter": 3, "batch_size": 12, "random_state": 0}
    quick |= {"early_stopping": False, "learning_rate_init": 0.05}
    return TwoLayerClassifier(3, **(quick | settings))


def learn(clf, method, data):
    more = {"classes": [0, 1]} if method == "partial_fit" else {}
    return getattr(clf, method)(*data, **more)


def learner(settings, before, data):
    clf = small_net(**settings)
    return clf.fit(data[0][:30], data[1][:30]) if before else clf


def counted(steps, method):
    """``method``; at the step that is to fail, the error instead of it, once."""

    def step(*args, **kwargs):
        steps["done"] += 1
        if steps["done"] == steps["failing"]:
            raise steps["error"]
        return method(*args, **kwargs)

    return step


@pytest.fixture
def steps(monkeypatch):
    """Counts the steps of a fit and raises an error at one of them."""
    counts = {"done": 0, "failing": None, "error": None}
    for owner, name in PLACES:
        monkeypatch.setattr(owner, name, counted(counts, getattr(owner, name)))
    return counts


def state(clf):
    """All attributes but the callbacks, as they are now."""
    return copy.deepcopy({k: v for k, v in vars(clf).items() if k[:4] != "_skl"})


def equal(a, b):
    try:
        assert_equal(a, b)
    except AssertionError:
        return False
    return True


def assert_consistent(clf, X):
    """Fitted, its attributes of one run, and able to go on."""
    n, diverged = clf.n_iter_, clf.stop_reason_ == "diverged"
    assert n >= clf.best_iter_ >= (0 if diverged else 1)
    assert len(clf.loss_curve_) == n
    assert len(clf.validation_loss_curve_ or clf.loss_curve_) == n
    assert np.isfinite(clf.loss_curve_).all()
    proba = clf.predict_proba(X)
    assert np.isfinite(proba).all()
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    same = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(same.predict_proba(X), proba)
    if hasattr(clf, "partial_fit"):
        y = np.resize(clf.classes_, len(X))
        further = copy.deepcopy(clf).partial_fit(X, y).n_iter_
        assert further == n + 1 or (diverged and further == n)


def n_steps_of(steps, settings, method, before, data):
    clf = learner(settings, before, data)
    steps.update(done=0, failing=None)
    learn(clf, method, data)
    return steps["done"]


@each_learner
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_an_error_at_any_step_leaves_nothing_in_between(
    steps, data, settings, method, before, error, long_or_quick
):
    n_steps = n_steps_of(steps, settings, method, before, data)
    outcomes = {"as before": 0, "fitted": 0}
    for failing in range(1, n_steps + 1, long_or_quick(1, 4)):
        clf = learner(settings, before, data)
        old, was = state(clf), clf.n_iter_ if before else 0
        steps.update(done=0, failing=failing, error=error("at a step"))
        with pytest.raises(error, match="at a step"):
            learn(clf, method, data)
        steps.update(failing=None)
        if equal(state(clf), old):
            outcomes["as before"] += 1
            assert was == (clf.n_iter_ if before else 0)
        else:
            outcomes["fitted"] += 1
            assert error is KeyboardInterrupt, f"step {failing} of {n_steps}"
            # or training was over, and what followed was done once more
            over = clf.n_iter_ - was == clf.max_iter
            assert clf.stop_reason_ == "interrupted" or over
            assert_consistent(clf, data[0])
        learn(clf, method, data)
        assert_consistent(clf, data[0])
    assert outcomes["as before"] > 0
    kept = error is KeyboardInterrupt and method == "fit"
    assert (outcomes["fitted"] > 0) == kept  # what epochs have brought is kept


class Failing:
    """A callback that raises at its n-th call of any hook."""

    def __init__(self, failing=None, error=None):
        self.failing, self.error, self.done = failing, error, 0

    def setup(self, estimator, context):
        self._count()

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context):
        self._count()

    def _count(self):
        self.done += 1
        if self.done == self.failing:
            raise self.error("in a callback")


@needs_callbacks
@each_learner
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_an_error_in_any_call_of_a_callback_leaves_nothing_in_between(
    data, settings, method, before, error
):
    counting = Failing()
    learn(learner(settings, before, data).set_callbacks(counting), method, data)
    for failing in range(1, counting.done + 1):
        clf = learner(settings, before, data)
        old = state(clf)
        clf.set_callbacks(Failing(failing, error))
        with pytest.raises(error, match="in a callback"):
            learn(clf, method, data)
        clf.set_callbacks()
        if not equal(state(clf), old):
            assert error is KeyboardInterrupt, f"call {failing} of {counting.done}"
            assert_consistent(clf, data[0])
        learn(clf, method, data)
        assert_consistent(clf, data[0])


@pytest.mark.parametrize(
    "place", ["temperature_of_mean", "out_of_fold_proba", "published"]
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("n_times", [1, 2])
def test_an_interrupt_after_the_last_epoch_does_not_lose_the_fit(
    data, monkeypatch, solver, place, n_times
):
    """It is raised in the end; only whoever insists gets no model."""
    settings = {"solver": solver, "early_stopping": True, "store_oof_proba": True}
    expected = state(small_net(**settings).fit(*data))
    whole, left = getattr(_fitting, place), [KeyboardInterrupt("late")] * n_times

    def interrupted(*args, **kwargs):
        if left:
            raise left.pop()
        return whole(*args, **kwargs)

    monkeypatch.setattr(_fitting, place, interrupted)
    clf = small_net(**settings)
    with pytest.raises(KeyboardInterrupt, match="late"):
        clf.fit(*data)
    if n_times == 1:
        assert equal(state(clf), expected)
    else:
        assert not hasattr(clf, "classes_")


def at_line(number, path):
    """A trace function that raises Ctrl-C at the n-th line run in one file."""
    left = number

    def trace(frame, event, arg):
        nonlocal left
        if frame.f_code.co_filename != path:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt("at a line")
        return trace

    return trace


def fitted_attributes(clf):
    """All of them, but for what a later fit goes on with."""
    return {name: value for name, value in state(clf).items() if name != "_state"}


RECORDED = {
    "cross-fitted": {"early_stopping": True, "dropout": 0.2},
    "cross-fitted in passing": {"early_stopping": True, "dropout": 0.0},
    "hold-out": {"early_stopping": True, "n_estimators": 1},
    "lbfgs": {"solver": "lbfgs", "early_stopping": True, "n_estimators": 1},
}


@pytest.mark.parametrize("place", ["stopped", "warn_if_in_trouble", "warn_no_folds"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_interrupt_while_the_end_is_told_does_not_lose_the_fit(
    data, monkeypatch, solver, place
):
    """Where lines are written, or a warning, other programs can make it last."""
    settings = {"solver": solver, "n_estimators": 1, "store_oof_proba": True}
    with pytest.warns(UserWarning, match="store_oof_proba"):
        expected = fitted_attributes(small_net(**settings).fit(*data))

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt("late")

    monkeypatch.setattr(_reporting, place, interrupted)
    clf = small_net(**settings)
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(KeyboardInterrupt, match="late"),
    ):
        clf.fit(*data)
    found = fitted_attributes(clf)
    assert found.pop("stop_reason_") in (expected.pop("stop_reason_"), "interrupted")
    assert equal(found, expected)


@pytest.mark.parametrize("settings", RECORDED.values(), ids=RECORDED)
def test_an_interrupt_at_any_line_of_an_epochs_record_leaves_it_whole(
    steps, data, settings
):
    """The model is the one of a Ctrl-C between two epochs, or there is none."""
    whole = fitted_attributes(small_net(**settings).fit(*data))
    models = [whole, {**whole, "stop_reason_": "interrupted"}]
    begin = Monitor.begin_epoch
    for n_epochs in (1, 2):

        def interrupted(self, n_epochs=n_epochs):
            if self.n_epochs == n_epochs:
                raise KeyboardInterrupt("between epochs")
            return begin(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Monitor, "begin_epoch", interrupted)
            clf = small_net(**settings)
            with pytest.raises(KeyboardInterrupt, match="between"):
                clf.fit(*data)
        models.append(fitted_attributes(clf))
    n_kept = 0
    for number in itertools.count(1):
        clf, before = small_net(**settings), sys.gettrace()
        sys.settrace(at_line(number, _monitor.__file__))
        try:
            clf.fit(*data)
            break
        except KeyboardInterrupt:
            if hasattr(clf, "classes_"):
                n_kept += 1
                found = fitted_attributes(clf)
                assert any(equal(found, model) for model in models), number
        finally:
            sys.settrace(before)
    assert n_kept > 20


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_interrupt_stops_a_search(steps, data, solver):
    """It must not be taken for the failure of one candidate."""
    search = GridSearchCV(small_net(solver=solver), {"alpha": [0.1, 1.0]}, cv=2)
    search.set_params(error_score=0.0)
    n_steps = n_steps_of(steps, {"solver": solver}, "fit", False, data)
    steps.update(done=0, failing=n_steps // 2, error=KeyboardInterrupt("at a step"))
    with pytest.raises(KeyboardInterrupt):
        search.fit(*data)
    assert not hasattr(search, "best_estimator_")
    assert steps["done"] < n_steps


# --- divergence


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("learning_rate_init", [1e3, 1e30, 1e300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["ordinary", "exploding", "float32 overflow"])
@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.filterwarnings("ignore:standardize=False, but")
def test_a_run_that_diverges_ends_finite_with_one_warning(
    data, solver, learning_rate_init, dtype, kind, n_estimators
):
    X, y = data
    factor = {"ordinary": 1, "exploding": 1e12, "float32 overflow": 1e38}[kind]
    X = (np.clip(X, -2, 2) * factor).astype("float32" if factor == 1e38 else "float64")
    clf = small_net(
        solver=solver,
        dtype=dtype,
        n_estimators=n_estimators,
        standardize=kind == "ordinary",
        learning_rate_init=learning_rate_init,
        learning_rate="constant",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(X, y)
    ours = [w for w in caught if issubclass(w.category, ConvergenceWarning)]
    assert len(ours) <= 1
    assert not [w for w in caught if issubclass(w.category, RuntimeWarning)]
    if not clf.score(X, y) > 0.6:  # a fit that is good after all need not warn
        assert len(ours) == 1
    assert_consistent(clf, X)
