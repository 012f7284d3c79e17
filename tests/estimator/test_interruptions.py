"""Ctrl-C between epochs keeps the best one; an error leaves the estimator as it was.

Both come through what users can attach to a fit: a logging handler. What callbacks
raise is in tests/integrations/test_callbacks.py.
"""

import contextlib
import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info, threadpool_limits

X, Y = load_iris(return_X_y=True)


class AtEpoch(logging.Handler):
    """Does something when the line of an epoch is written."""

    def __init__(self, epoch, action):
        super().__init__()
        line = epoch if isinstance(epoch, str) else f"Epoch {epoch}"
        self.line, self.action = f"{line},", action

    def emit(self, record):
        if record.getMessage().startswith(self.line):
            self.action()


@pytest.fixture
def at_epoch():
    """Sets what happens at the end of an epoch of a fit with ``verbose=1``."""
    logger, handlers = logging.getLogger("sknet"), []

    def _set(epoch, action):
        handlers.append(AtEpoch(epoch, action))
        logger.addHandler(handlers[-1])

    yield _set
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.fixture
def net(small_net):
    """The epochs of a short fit are the first ones of a longer fit."""
    defaults = {"verbose": 1, "learning_rate": "constant"}
    return lambda **settings: small_net(**(defaults | settings))


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """Also where a shell that runs the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c():
    """The main thread is interrupted, whichever thread calls."""
    if threading.current_thread() is threading.main_thread():
        signal.raise_signal(signal.SIGINT)
    elif hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        pytest.skip("Windows has no signals to a thread")


def fail():
    raise MemoryError("at the end of an epoch")


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_an_interrupted_fit_keeps_the_finished_epochs(
    net, at_epoch, solver, n_estimators
):
    settings = {"solver": solver, "n_estimators": n_estimators, "tol": 1e-9}
    settings["early_stopping"] = False
    whole = net(max_iter=3, **settings).fit(X, Y)
    clf = net(max_iter=20, **settings)
    at_epoch(3, press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.stop_reason_ == "interrupted"
    assert clf.n_iter_ == clf.best_iter_ == 3
    assert clf.loss_curve_ == whole.loss_curve_
    assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))
    if solver != "lbfgs":
        assert clf.partial_fit(X, Y).n_iter_ == 4


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_an_interrupted_fit_keeps_the_best_epoch(net, at_epoch, n_estimators):
    settings = {"n_estimators": n_estimators, "early_stopping": True}
    settings |= {"n_iter_no_change": 99, "learning_rate_init": 0.2}
    whole = net(max_iter=12, **settings).fit(X, Y)
    assert whole.best_iter_ < 12
    clf = net(max_iter=30, **settings)
    at_epoch(12, press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.stop_reason_ == "interrupted"
    assert (clf.n_iter_, clf.best_iter_) == (12, whole.best_iter_)
    assert clf.validation_loss_curve_ == whole.validation_loss_curve_
    assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))


def test_ctrl_c_while_threads_are_started(net, worth_threads, monkeypatch):
    submit, calls = ThreadPoolExecutor.submit, []

    def interrupted(pool, *task):
        calls.append(task)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return submit(pool, *task)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    clf = net(**worth_threads, early_stopping=True, blend=True, n_jobs=2)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize(
    ("n_jobs", "place", "n_variants"),
    [(1, "Epoch 20", 1), (1, "masked: Epoch 20", 2), (2, "Epoch 20", 4)],
)
def test_an_interrupted_blend_keeps_what_was_learnt(
    net, worth_threads, at_epoch, n_jobs, place, n_variants
):
    """In the first variant, in the second, and in all that train side by side."""
    settings = {"early_stopping": True, "n_iter_no_change": 99, **worth_threads}
    clf = net(**settings, blend=True, n_jobs=n_jobs, max_iter=60)
    at_epoch(place, press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert (clf.stop_reason_ == "interrupted") == (n_variants != 2)
    assert 20 <= clf.n_iter_ <= 60
    assert len(clf.blend_weights_) == n_variants
    assert clf.blend_weights_.sum() == pytest.approx(1)
    settings |= {"blend": False, "max_iter": clf.n_iter_, "verbose": 0}
    assert_array_equal(clf.coefs_[0], net(**settings).fit(X, Y).coefs_[0])


def test_an_interrupted_warm_start_counts_on(net, at_epoch):
    clf = net(warm_start=True).fit(X, Y)
    at_epoch(2, press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.n_iter_ == len(clf.loss_curve_) == 8 + 2
    clf.set_params(verbose=0).fit(X, Y)
    assert clf.n_iter_ == 8 + 2 + 8
    assert clf.stop_reason_ == "max_iter"


def test_an_interrupt_stops_a_search(net, at_epoch):
    """It is not taken for the failure of one candidate."""
    search = GridSearchCV(net(), {"alpha": [0.1, 1.0]}, cv=2, error_score=0.0)
    at_epoch(2, press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, Y)
    assert not hasattr(search, "best_estimator_")


@pytest.mark.parametrize("settings", [{}, {"warm_start": True}, {"solver": "lbfgs"}])
@pytest.mark.parametrize("fitted", [True, False])
def test_an_error_amid_a_fit_changes_nothing(net, at_epoch, settings, fitted):
    clf = net(**settings)
    if fitted:
        before = clf.fit(X, Y).predict_proba(X)
    at_epoch(2, fail)
    n_columns = 4 if settings.get("warm_start") else 3
    with pytest.raises(MemoryError, match="at the end"):
        clf.fit(X[10:, :n_columns], Y[10:])
    if fitted:
        assert clf.n_iter_ == 8
        assert_array_equal(clf.predict_proba(X), before)
    else:
        assert not hasattr(clf, "classes_")
    clf.set_params(verbose=0)
    expected = net(**settings).set_params(verbose=0)
    if settings.get("warm_start") and fitted:
        expected.fit(X, Y)
    assert_array_equal(
        clf.fit(X, Y).predict_proba(X), expected.fit(X, Y).predict_proba(X)
    )


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_a_stream_goes_on_after_an_error_as_if_it_had_not_been(
    net, at_epoch, container
):
    rows, more = container(X[::2]), container(X[1::2])
    clf, expected = (
        net(verbose=0).partial_fit(rows, Y[::2], [0, 1, 2]) for _ in range(2)
    )
    clf.set_params(verbose=1)
    at_epoch(1, fail)
    with pytest.raises(MemoryError, match="at the end"):
        clf.partial_fit(5 * more, Y[1::2])
    clf.set_params(verbose=0)
    for one in (clf, expected):
        one.partial_fit(more, Y[1::2])
    assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


def n_blas_threads():
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("action", [press_ctrl_c, fail, lambda: None])
def test_a_small_fit_has_one_blas_thread_and_gives_the_others_back(
    net, at_epoch, solver, action
):
    seen = []
    at_epoch(1, lambda: seen.append(n_blas_threads()))
    at_epoch(2, action)
    with threadpool_limits(2, user_api="blas"):
        with contextlib.suppress(KeyboardInterrupt, MemoryError):
            net(solver=solver).fit(X, Y)
        assert n_blas_threads() == {2}
    assert seen
    assert set().union(*seen) == {1}
