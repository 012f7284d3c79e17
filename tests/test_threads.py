"""BLAS threads: limited while small products are trained, and given back after."""

import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

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
    not _threads._blas(), reason="this threadpoolctl has no limits to rely on"
)


def learn(how):
    """Two epochs, or one of a stream."""
    clf = TwoLayerClassifier(max_iter=2, random_state=0, early_stopping=False)
    if how == "partial_fit":
        return clf.partial_fit(X, y, classes=np.unique(y))
    settings = {"lbfgs": {"n_estimators": 1, "tol": 10.0}, "adam": {"max_iter": 20}}
    return clf.set_params(solver=how, **settings[how]).fit(X, y)


def n_blas_threads(of_scipy=None):
    """Of each BLAS library that is loaded; or of SciPy's own, or of the others."""
    infos = [i for i in threadpool_info() if i["user_api"] == "blas"]
    if of_scipy is not None:
        infos = [i for i in infos if ("scipy.libs" in i["filepath"]) == of_scipy]
    return {i["num_threads"] for i in infos}


def n_blas_threads_alone():
    """The same without being profiled."""
    profile = sys.getprofile()
    sys.setprofile(None)
    threads = n_blas_threads()
    sys.setprofile(profile)
    return threads


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("how", ["adam", "lbfgs", "partial_fit"])
@pytest.mark.parametrize(("worth_sharing", "expected"), [(1 << 40, {1}), (0, {2})])
def test_small_products_have_one_thread(how, worth_sharing, expected, monkeypatch):
    seen = []

    def spy(*args):
        seen.append((n_blas_threads(of_scipy=False), n_blas_threads(of_scipy=True)))
        return STEP(*args)

    monkeypatch.setattr(_threads, "WORTH_SHARING", worth_sharing)
    monkeypatch.setattr(TwoLayerNetwork, "loss_gradient", spy)
    with threadpool_limits(2, user_api="blas"):
        learn(how)
        assert n_blas_threads() == {2}
    assert seen
    for of_others, of_scipy in seen:
        assert of_others == expected
        assert of_scipy in ({1}, set())  # none of its own, but for wheels


def test_threads_are_given_back_after_an_error(monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(TwoLayerNetwork, "loss_gradient", fail)
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(MemoryError):
            learn("adam")
        assert n_blas_threads() == {2}


ALONE = """
import os, signal, sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor

import threadpoolctl
from sklearn.datasets import load_iris

from sknet import TwoLayerClassifier
from sknet._network import TwoLayerNetwork

warnings.simplefilter("ignore")
X, y = load_iris(return_X_y=True)
STEP = TwoLayerNetwork.loss_gradient


def fit(seed=0, max_iter=5):
    settings = {"max_iter": max_iter, "random_state": seed}
    return TwoLayerClassifier(8, n_estimators=2, **settings).fit(X, y)


def blas_threads(but_for="nothing"):
    infos = threadpoolctl.threadpool_info()
    infos = [i for i in infos if but_for not in i["filepath"]]
    return {i["num_threads"] for i in infos if i["user_api"] == "blas"}


threadpoolctl.threadpool_limits(2, user_api="blas")
threadpoolctl.OpenBLASController.clear_controlling_thread()
assert blas_threads() == {2}
"""

SIDE_BY_SIDE = """
sys.setswitchinterval(1e-5)
for number in range(30):
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(fit, range(6)))
    assert blas_threads() == {2}, number
"""

SEEN = """
seen = []

def spy(*args):
    seen.append(blas_threads())
    return STEP(*args)

TwoLayerNetwork.loss_gradient = spy
with ThreadPoolExecutor(3) as pool:
    list(pool.map(fit, range(6)))
assert all(threads == {1} for threads in seen)
"""

AFTER_AN_ERROR = """
def fail(*args):
    raise MemoryError

TwoLayerNetwork.loss_gradient = fail
try:
    fit()
except MemoryError:
    TwoLayerNetwork.loss_gradient = STEP
assert blas_threads() == {2}

def limit():
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        return blas_threads()

with ThreadPoolExecutor(1) as pool:  # another thread may still set limits
    assert pool.submit(limit).result() == {1}
assert blas_threads() == {2}
"""

BESIDE_AN_ERROR = """
both, failed = threading.Barrier(2, timeout=60), threading.Event()
first = threading.local()

def step(*args):
    if not hasattr(first, "passed"):
        first.passed = True
        both.wait()
        if threading.current_thread().name == "to fail":
            raise MemoryError
        failed.wait(60)
    return STEP(*args)

TwoLayerNetwork.loss_gradient = step
threading.excepthook = lambda args: None
threads = [threading.Thread(target=fit, name=name) for name in ("to fail", "other")]
for thread in threads:
    thread.start()
threads[0].join(60)
assert blas_threads() == {1}  # the other one is not ready
failed.set()
threads[1].join(60)
assert blas_threads() == {2}
"""

AFTER_A_RACE = """
barrier = threading.Barrier(4)

def first(seed):
    barrier.wait()
    return fit(seed)

sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(4) as pool:
    list(pool.map(first, range(4)))
sys.setswitchinterval(5e-3)
"""

OUTLIVES_ANOTHER = """
limited, begun, lifted = (threading.Event() for _ in range(3))

def other():
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        limited.set()
        begun.wait(60)
    lifted.set()

def step(*args):
    begun.set()
    lifted.wait(60)
    return STEP(*args)

TwoLayerNetwork.loss_gradient = step
thread = threading.Thread(target=other)
thread.start()
limited.wait(60)
fit()
thread.join(60)
assert blas_threads() == {2}
"""

FORKED = """
held, go_on = threading.Event(), threading.Event()

def wait(*args):
    if threading.current_thread().name == "in between":
        held.set()
        go_on.wait(60)
    return STEP(*args)

TwoLayerNetwork.loss_gradient = wait
thread = threading.Thread(target=fit, name="in between")
thread.start()
assert held.wait(60)
child = os.fork()
if child == 0:
    signal.alarm(30)
    fit()
    os._exit(0 if blas_threads() == {2} else 1)
go_on.set()
thread.join(60)
assert os.waitpid(child, 0)[1] == 0
assert blas_threads() == {2}
"""

NOT_WANTED = (
    SEEN.replace("{1}", "{2}")
    .replace("blas_threads()", "blas_threads(but_for='scipy.libs')")
    .replace("with Thread", "os.environ['SKNET_LIMIT_BLAS'] = '0'\nwith Thread")
)

SEARCHES = """
import joblib
from sklearn.model_selection import cross_val_score

with joblib.parallel_config("threading", n_jobs=2):
    for number in range(5):
        cross_val_score(TwoLayerClassifier(8, n_estimators=2, max_iter=5), X, y, cv=4)
        assert blas_threads() == {2}, number
"""


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.mark.parametrize(
    "code",
    [
        SIDE_BY_SIDE,
        SEEN,
        NOT_WANTED,
        AFTER_AN_ERROR,
        BESIDE_AN_ERROR,
        SEARCHES,
        OUTLIVES_ANOTHER,
        pytest.param(FORKED, marks=forks),
        pytest.param(AFTER_A_RACE + FORKED, marks=forks),
    ],
    ids=lambda code: code.strip().splitlines()[0][:40],
)
def test_threads_in_a_process_without_a_limit(code):
    """The limit of this test session would hide what happens to it."""
    told = subprocess.run(
        [sys.executable, "-c", ALONE + code], text=True, capture_output=True
    )
    assert told.returncode == 0, told.stderr


def interrupt_at(event_number):
    """A profiler that raises Ctrl-C where Python would look for one.

    That is when a function begins and when one written in C has returned. Not between
    any two lines: a lock is given back by the end of its block, which Python does not
    interrupt.
    """
    files = {threadpoolctl.__file__, _threads.__file__}
    n_events = 0

    def profile(frame, event, arg):
        nonlocal n_events
        if frame.f_code.co_filename in files and event in ("call", "c_return"):
            n_events += 1
            if n_events == event_number:
                sys.setprofile(None)
                raise KeyboardInterrupt

    return profile


def test_threads_are_given_back_wherever_ctrl_c_comes():
    with threadpool_limits(2, user_api="blas"):
        for event_number in itertools.count(1):
            sys.setprofile(interrupt_at(event_number))
            try:
                result = _threads.run_with_threads_for(1, n_blas_threads_alone)
            except KeyboardInterrupt:
                result = None
            finally:
                sys.setprofile(None)
            assert n_blas_threads() == {2}, event_number
            if result is not None:
                break
    assert result == {1}
    assert event_number > 20  # or nothing was interrupted


def test_threads_of_openmp_are_each_threads_own():
    """The last to go could set free itself only."""

    class Library:
        threading_layer, filepath, numbers = (
            "openmp",
            "libopenblas.so",
            threading.local(),
        )
        num_threads = property(lambda self: getattr(self.numbers, "now", 8))

        def set_num_threads(self, n_threads):
            self.numbers.now = n_threads

    limit, library = _threads.Limit(Library()), Library()
    inside, outside = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)

    def hold(name):
        limit.take(name)
        seen = [library.num_threads]
        inside.wait()
        if name == "second":
            outside.wait()
        limit.let_go(name)
        limit.let_go(name)
        seen.append(library.num_threads)
        if name == "first":
            outside.wait()
        return seen

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(hold, ["first", "second"])) == [[1, 8], [1, 8]]


def test_an_old_threadpoolctl_is_left_alone(monkeypatch):
    class Old:
        """A controller that knows nothing of threads."""

    _threads._blas.cache_clear()
    monkeypatch.setattr(_threads, "_limits", {})
    monkeypatch.setattr("threadpoolctl.OpenBLASController", Old)
    try:
        assert _threads.run_with_threads_for(1, _threads._blas) == []
    finally:
        _threads._blas.cache_clear()
