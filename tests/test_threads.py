"""BLAS threads: limited while small products are trained, and given back after."""

import itertools
import sys
import threading

import numpy as np
import pytest
import threadpoolctl
from sklearn.datasets import load_iris
from threadpoolctl import threadpool_info, threadpool_limits

from sknet import TwoLayerClassifier, _threads
from sknet._network import TwoLayerNetwork

X, y = load_iris(return_X_y=True)
STEP = TwoLayerNetwork.loss_gradient

pytestmark = pytest.mark.skipif(
    _threads._blas() is None, reason="this threadpoolctl has no limits to rely on"
)


def learn(how):
    """Two epochs, or one of a stream."""
    clf = TwoLayerClassifier(max_iter=2, random_state=0, early_stopping=False)
    if how == "partial_fit":
        return clf.partial_fit(X, y, classes=np.unique(y))
    settings = {"lbfgs": {"n_estimators": 1, "tol": 10.0}, "adam": {"max_iter": 20}}
    return clf.set_params(solver=how, **settings[how]).fit(X, y)


def n_blas_threads():
    """Of each BLAS library that is loaded."""
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}


def n_blas_threads_alone():
    """The same without being traced."""
    trace = sys.gettrace()
    sys.settrace(None)
    threads = n_blas_threads()
    sys.settrace(trace)
    return threads


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("how", ["adam", "lbfgs", "partial_fit"])
@pytest.mark.parametrize(("worth_sharing", "expected"), [(1 << 40, {1}), (0, {2})])
def test_small_products_have_one_thread(how, worth_sharing, expected, monkeypatch):
    seen = []

    def spy(*args):
        seen.append(n_blas_threads())
        return STEP(*args)

    monkeypatch.setattr(_threads, "WORTH_SHARING", worth_sharing)
    monkeypatch.setattr(TwoLayerNetwork, "loss_gradient", spy)
    with threadpool_limits(2, user_api="blas"):
        learn(how)
        assert n_blas_threads() == {2}
    assert seen
    assert all(threads == expected for threads in seen)


def test_threads_are_given_back_after_an_error(monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(TwoLayerNetwork, "loss_gradient", fail)
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(MemoryError):
            learn("adam")
        assert n_blas_threads() == {2}


def test_fits_side_by_side_give_all_threads_back(monkeypatch):
    """The first to come is not the first to go: neither keeps the other's limit."""
    both_in, first_out = threading.Barrier(2, timeout=60), threading.Event()
    waited = threading.local()

    def slow(*args):
        if not hasattr(waited, "yes"):
            waited.yes = True
            both_in.wait()
            if threading.current_thread().name == "second":
                first_out.wait(60)
        return STEP(*args)

    monkeypatch.setattr(TwoLayerNetwork, "loss_gradient", slow)
    before = n_blas_threads()
    threads = [
        threading.Thread(target=learn, args=("adam",), name=name)
        for name in ("first", "second")
    ]
    for thread in threads:
        thread.start()
    threads[0].join(60)
    first_out.set()
    threads[1].join(60)
    assert n_blas_threads() == before


def lines_of_threads(event_number):
    """A trace function that raises Ctrl-C at one of the lines that set threads."""
    files = {threadpoolctl.__file__, _threads.__file__}
    n_events = 0

    def trace(frame, event, arg):
        nonlocal n_events
        if frame.f_code.co_filename not in files:
            return None
        if event in ("line", "return"):
            n_events += 1
            if n_events == event_number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    return trace


def test_threads_are_given_back_wherever_ctrl_c_comes():
    with threadpool_limits(2, user_api="blas"):
        for event_number in itertools.count(1):
            before = sys.gettrace()
            sys.settrace(lines_of_threads(event_number))
            try:
                result = _threads.run_with_threads_for(1, n_blas_threads_alone)
            except KeyboardInterrupt:
                result = None
            finally:
                sys.settrace(before)
            assert n_blas_threads() == {2}, event_number
            if result is not None:
                break
    assert result == {1}
    assert event_number > 50  # or nothing was interrupted


def test_an_old_threadpoolctl_is_left_alone(monkeypatch):
    class Old:
        """A controller that knows nothing of threads."""

    _threads._blas.cache_clear()
    monkeypatch.setattr("threadpoolctl.OpenBLASController", Old)
    try:
        assert _threads.run_with_threads_for(1, _threads._blas) is None
    finally:
        _threads._blas.cache_clear()
