"""Load: many threads, many processes, many fits in a row, large rows, odd shapes.

Memory is measured in a process of its own, which is this file run as a script: what the
fit takes of it, at its highest, by tracemalloc. Where the system is Linux the kernel
sets the limit too (RLIMIT_DATA, all private memory, BLAS and stacks included). Pages of
a memory map do not count: the kernel takes them back when it needs them.

``python tests/test_load.py MLPClassifier`` gives another estimator the same to do, and
``... sknet`` this one.
"""

import contextlib
import copy
import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal, assert_equal
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier

from sknet import TwoLayerClassifier, _network, _objects, _prediction

# short fits, which are of no use to anyone
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MB = 1 << 20


def small_net(kind="sknet", hidden=8, **settings):
    quick = {"max_iter": 3, "random_state": 0, "learning_rate_init": 0.05}
    if kind == "MLPClassifier":
        return MLPClassifier(hidden, **(quick | settings))
    return TwoLayerClassifier(hidden, **(quick | {"n_estimators": 2} | settings))


def table(n=300, d=5, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    score = X[:, 0] + 0.5 * rng.normal(size=n)
    return X, np.digitize(score, np.linspace(-1, 1, n_classes - 1))


def answers(clf, X):
    """All that a classifier has to say of these rows; copied before it says more."""
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    return [np.array(getattr(clf, name)(X)) for name in methods if hasattr(clf, name)]


def same(a, b):
    return all(map(np.array_equal, a, b)) and [x.dtype for x in a] == [
        x.dtype for x in b
    ]


# --- threads that predict

N_THREADS = 8
MODELS = {
    "cross-fitted": {},
    "hold-out": {"n_estimators": 1, "early_stopping": True},
    "lbfgs": {"solver": "lbfgs"},
    "warm start": {"warm_start": True},
    "stream": {},
    "sparse": {},
    "names": {},
}


@pytest.fixture
def hasty_threads(monkeypatch):
    """They change as often as they can, and predict in blocks of few rows."""
    monkeypatch.setattr(_prediction, "BLOCK_ELEMENTS", 1 << 10)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def model_and_rows(name, kind="sknet"):
    settings = MODELS[name] if kind == "sknet" else {}
    X, y = table()
    if name == "sparse":
        X = sp.csr_array(np.where(np.abs(X) > 1, X, 0))
    if name == "names":
        X = pd.DataFrame(X, columns=list("abcde"))
    clf = small_net(kind, **settings)
    if name == "stream":
        return clf.partial_fit(X, y, classes=[0, 1, 2]), X
    return clf.fit(X, y), X


def together(work, meanwhile):
    """``work(number)`` in 8 threads at once; ``meanwhile()`` here until they end."""
    start = threading.Barrier(N_THREADS, timeout=60)

    def begin(number):
        start.wait()
        return work(number)

    with ThreadPoolExecutor(N_THREADS) as pool:
        running = [pool.submit(begin, number) for number in range(N_THREADS)]
        n_meanwhile = 0
        while not all(thread.done() for thread in running):
            meanwhile()
            n_meanwhile += 1
    return [thread.result() for thread in running], n_meanwhile


def copies_of(clf):
    yield pickle.loads(pickle.dumps(clf))
    yield copy.deepcopy(clf)
    yield copy.copy(clf)


def wrong_in_threads(clf, X, n_rounds):
    """Answers unlike those of one thread: of the model and of its copies."""
    expected = answers(clf, X)

    def predict(number):
        return sum(not same(answers(clf, X), expected) for _ in range(n_rounds))

    wrong = []

    def meanwhile():
        clone(clf)
        wrong.extend(not same(answers(c, X), expected) for c in copies_of(clf))

    counts, n_meanwhile = together(predict, meanwhile)
    return sum(counts) + sum(wrong), n_meanwhile


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("hasty_threads")
def test_threads_predict_the_same_while_the_model_is_copied(name, long_or_quick):
    clf, X = model_and_rows(name)
    n_wrong, n_meanwhile = wrong_in_threads(clf, X, long_or_quick(200, 10))
    assert n_wrong == 0
    assert n_meanwhile > 0


@pytest.mark.parametrize("name", ["array", "names"])
@pytest.mark.usefixtures("hasty_threads")
def test_threads_see_one_model_or_the_next_and_no_mixture(name, long_or_quick):
    X, y = table()
    X = pd.DataFrame(X, columns=list("abcde")) if name == "names" else X
    clf = small_net(max_iter=1, hidden=4)
    targets = [y > 0, np.array(["ant", "bee", "cat"])[y]]
    possible = [answers(clf.fit(X, labels), X) for labels in targets]
    kinds = list(zip(*possible, strict=True))
    n_fits = long_or_quick(200, 10)
    seen, todo = [], iter(range(n_fits))
    ended = threading.Event()

    def predict(number):
        n_wrong = 0
        while not ended.is_set():
            for found, either in zip(answers(clf, X), kinds, strict=True):
                n_wrong += not any(same([found], [known]) for known in either)
            copied = answers(pickle.loads(pickle.dumps(clf)), X)
            n_wrong += not any(same(copied, known) for known in possible)
        return n_wrong

    def meanwhile():
        step = next(todo, None)
        if step is None:
            ended.set()
            return
        seen.append(step)
        clf.fit(X, targets[step % 2])

    try:
        counts, _ = together(predict, meanwhile)
    finally:
        ended.set()
    assert sum(counts) == 0
    assert len(seen) == n_fits


# --- fits side by side

BACKENDS = ["threading", "loky"]
LEARNERS = [
    {},
    {"solver": "sgd", "dtype": "float64"},
    {"solver": "lbfgs"},
    {"n_estimators": 1, "early_stopping": True},
    {"early_stopping": False, "input_dropout": 0.2},
    {"store_oof_proba": True, "class_weight": "balanced"},
]


def side_by_side(backend, n_jobs=2):
    # one BLAS thread each, as in the tests: two would add up in another order
    inner = {"inner_max_num_threads": 1} if backend == "loky" else {}
    # and processes are given a read-only memory map of X
    return joblib.parallel_config(backend, n_jobs=n_jobs, max_nbytes="1K", **inner)


def state(clf):
    return {k: v for k, v in vars(clf).items() if k[:4] != "_skl"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_fits_side_by_side_equal_fits_one_by_one(backend, long_or_quick):
    X, y = table(n=600)
    nets = [
        small_net(**settings, random_state=seed)
        for seed in range(long_or_quick(50, 2))
        for settings in LEARNERS
    ]
    one_by_one = [clone(net).fit(X, y) for net in nets]
    with side_by_side(backend):
        found = joblib.Parallel()(joblib.delayed(net.fit)(X, y) for net in nets)
    for a, b in zip(one_by_one, found, strict=True):
        assert_equal(state(b), state(a))


@pytest.mark.parametrize("backend", BACKENDS)
def test_streams_side_by_side_equal_streams_one_by_one(backend, long_or_quick):
    X, y = table(n=600)
    n_streams = long_or_quick(40, 4)

    def learn(parallel):
        nets = [small_net(random_state=seed) for seed in range(n_streams)]
        for part in (slice(0, 200), slice(200, 400), slice(400, 600)):
            nets = parallel(
                joblib.delayed(net.partial_fit)(X[part], y[part], classes=[0, 1, 2])
                for net in nets
            )
        return nets

    one_by_one = learn(joblib.Parallel(n_jobs=1))
    with side_by_side(backend):
        found = learn(joblib.Parallel())
    for a, b in zip(one_by_one, found, strict=True):
        assert_equal(state(b), state(a))


@pytest.mark.parametrize(
    "what",
    [
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "coefs_",
        "intercepts_",
    ],
)
def test_a_model_that_is_replaced_amid_a_call_answers_for_itself(monkeypatch, what):
    """Another thread fits while this one asks: here, at the worst moment."""
    X, y = table(60)
    given = {"early_stopping": True, "max_iter": 8}

    def old():
        return small_net(**given).fit(X, y)

    def new(clf):
        clf.set_params(hidden_layer_size=5, random_state=1)
        return clf.fit(X[:, ::-1], y + 10)

    def ask(clf):
        asked = getattr(clf, what)
        return asked(X) if callable(asked) else asked

    before, after = ask(old()), ask(new(old()))
    assert not np.array_equal(np.ravel(before[0]), np.ravel(after[0]))
    clf, left = old(), [True]
    for name in ("fitted_network", "fitted_shape"):
        whole = getattr(_objects, name)

        def replaced(attributes, whole=whole):
            found = whole(attributes)
            if left:
                left.clear()
                new(clf)
            return found

        monkeypatch.setattr(_objects, name, replaced)
    assert_equal(ask(clf), before)
    assert_equal(ask(clf), after)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork")
def test_a_forked_process_fits_whatever_another_thread_was_doing(monkeypatch):
    """A lock that the thread held would stay locked in the child for ever."""
    held, go_on = threading.Event(), threading.Event()
    at_ease = _network.alone

    def stop_in_between(stack):
        if threading.current_thread().name == "in between":
            held.set()
            go_on.wait(60)
        return at_ease(stack)

    monkeypatch.setattr(_network, "alone", stop_in_between)
    X, y = table(40)
    thread = threading.Thread(target=small_net().fit, args=(X, y), name="in between")
    thread.start()
    assert held.wait(60)
    child = os.fork()
    if child == 0:
        try:
            small_net().fit(X, y)
            os._exit(0)
        finally:
            os._exit(1)
    go_on.set()
    thread.join(60)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the forked process waits for ever")
        time.sleep(0.01)
    assert ended == (child, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_searches_side_by_side_equal_searches_one_by_one(backend):
    X, y = table()
    grid = {"alpha": [0.0, 0.1], "solver": ["adam", "lbfgs"]}

    def search(n_jobs):
        scores = cross_val_score(small_net(), X, y, cv=4, n_jobs=n_jobs)
        found = GridSearchCV(
            small_net(), grid, cv=3, scoring="neg_log_loss", n_jobs=n_jobs
        ).fit(X, y)
        return scores, found

    scores, found = search(1)
    with side_by_side(backend):
        other_scores, other = search(2)
    assert_array_equal(other_scores, scores)
    for name in [name for name in found.cv_results_ if name.endswith("_score")]:
        assert_array_equal(other.cv_results_[name], found.cv_results_[name])
    assert_equal(state(other.best_estimator_), state(found.best_estimator_))


# --- memory, in a process of its own


def private_memory(name="RssAnon"):
    """Bytes of this process that no file stands behind; None if nobody tells."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith(name + ":")]
    return 1024 * int(sizes[0]) if sizes else None


@contextlib.contextmanager
def limited(megabytes):
    """A limit on what is taken from here on, by the kernel where it has one."""
    taken = private_memory("VmData")
    if not megabytes or taken is None or not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    highest = taken + int(megabytes * MB)
    resource.setrlimit(resource.RLIMIT_DATA, (highest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def many_fits(kind, n_fits):
    """Growth (kB) of the resident memory per fit, and of all that is allocated."""
    tracemalloc.start()
    X, y = table(n=100)
    solvers = ("adam", "sgd", "lbfgs")
    stream = small_net(kind).partial_fit(X, y, classes=[0, 1, 2])
    fitting = small_net(kind, max_iter=1)

    def rounds(n):
        resident = np.zeros(n // 20)
        for number in range(n):
            fitting.set_params(random_state=number, solver=solvers[number % 3])
            fitting.fit(X, y)
            pickle.loads(pickle.dumps(fitting)).predict_proba(X)
            stream.partial_fit(X[:50], y[:50])
            if number % 20 == 19:
                gc.collect()  # which comes by itself, but later
                resident[number // 20] = private_memory() or 0
        slope = np.polyfit(20 * np.arange(n // 20), resident, 1)[0]
        del resident
        gc.collect()
        return slope, tracemalloc.get_traced_memory()[0]

    _, before = rounds(40 + n_fits // 5)  # then libraries' caches are full
    slope, after = rounds(n_fits)
    return {"slope_kb": slope / 1024, "growth_kb": (after - before) / 1024}


def rows_of_map(path, n):
    X = np.memmap(path, np.float32, "r", shape=(n, 50))
    return X, (np.array(X[:, 0]) > 0).astype(np.int64)


def mapped_rows(kind, limits, path, n):
    """Calls with rows from a memory map, each within its limit."""
    X, y = rows_of_map(path, n)
    clf = small_net(kind, hidden=32, max_iter=1).fit(X[:5000], y[:5000])
    clf.partial_fit(X[:5000], y[:5000]).predict_proba(X[:5000])
    calls = {
        "fit": lambda: clf.fit(X, y),
        "partial_fit": lambda: clf.partial_fit(X, y),
        "predict_proba": lambda: clf.predict_proba(X),
        "predict": lambda: clf.predict(X),
    }
    return each_within(limits, calls)


def many_classes(kind, limits, n, n_classes, folds):
    """Few rows of each of very many classes."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_classes
    X = (np.column_stack([y, y % 100]) + rng.normal(size=(n, 2))).astype(np.float32)
    own = {"early_stopping": folds, "n_estimators": 2 if folds else 1}
    own = own if kind == "sknet" else {}
    clf = small_net(kind, hidden=2, max_iter=1, batch_size=200, **own)
    clf = clf if "fit" in limits else clf.fit(X, y)

    def predict():
        found, proba = clf.predict(X), clf.predict_proba(X[:200])
        assert found.shape == (n,)
        assert_array_equal(found[:200], clf.classes_[proba.argmax(axis=1)])
        assert np.isfinite(proba).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-4)

    calls = {
        "fit": lambda: clf.fit(X, y),
        "predict": predict,
        "predict_proba": lambda: clf.predict_proba(X),
    }
    return each_within(limits, calls)


def many_columns(kind, limits, n, d, auto=False):
    """Sparse rows, a hundred entries in each; a small network or what "auto" takes."""
    rng = np.random.default_rng(0)
    entries = rng.normal(size=100 * n), rng.integers(d, size=100 * n)
    X = sp.csr_array((*entries, range(0, 100 * n + 1, 100)), shape=(n, d))
    X.sum_duplicates()
    y = rng.integers(0, 3, size=n)
    sizes = {"hidden": "auto", "n_estimators": "auto"} if auto else {"hidden": 4}
    clf = small_net(kind, **sizes, max_iter=2)
    clf = clf if "fit" in limits else clf.fit(X, y)

    def predict():
        assert all(np.isfinite(answer).all() for answer in answers(clf, X))

    calls = {"fit": lambda: clf.fit(X, y), "predict": predict}
    return each_within(limits, calls)


def each_within(limits, calls):
    """What each call took, up to the first that failed."""
    taken = {}
    for name, limit in limits.items():
        taken[name] = peak(calls[name], limit)
        if taken[name]["error"]:
            break
    return taken


def peak(call, limit):
    """Run it within the limit (MB, 0 for none); the most it took by tracemalloc."""
    gc.collect()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    resident, highest, ended = private_memory() or 0, [0], threading.Event()

    def watch():
        while not ended.wait(0.02):
            highest[0] = max(highest[0], private_memory() or 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with limited(limit):
            call()
        error = None
    except MemoryError as failure:
        error = repr(failure)
    finally:
        ended.set()
        watcher.join()
    most = tracemalloc.get_traced_memory()[1] - before
    return {
        "peak_mb": most / MB,
        "resident_mb": (highest[0] - resident) / MB,
        "error": error,
    }


def in_a_process_of_its_own(task, *arguments, kind="sknet"):
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    answer = subprocess.run(
        [sys.executable, __file__, kind, task, json.dumps(arguments)],
        capture_output=True,
        text=True,
        env=os.environ | one_thread,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


# --- many fits in a row


def test_memory_does_not_grow_from_fit_to_fit(long_or_quick):
    n_fits = long_or_quick(1000, 60)
    found = in_a_process_of_its_own("many_fits", n_fits)
    # NumPy and the interpreter keep small blocks for later, at first more and more
    assert found["growth_kb"] < 40
    assert found["slope_kb"] * n_fits < 1024


@pytest.mark.parametrize("settings", LEARNERS)
def test_a_fit_leaves_nothing_large_to_the_garbage_collector(settings):
    """Which may come late: cycles are counted, but not how much hangs on them."""
    X, y = table(n=2000)
    little = 64 * 1024  # the weights of the rows alone come to 80 kB

    def minimized():
        minimize(lambda x: (x @ x, 2 * x), np.ones(20_000), jac=True, method="L-BFGS-B")

    if settings.get("solver") == "lbfgs" and left_to_the_collector(minimized) > little:
        pytest.skip("this release of SciPy leaves its own vectors to the collector")

    def work():
        small_net(max_iter=1, **settings).fit(X, y).predict(X)

    assert left_to_the_collector(work) < little


def left_to_the_collector(call):
    """By how much memory grows over five calls while nothing is collected."""
    call()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        call()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            call()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()


# --- many rows, many classes, many columns


def assert_within(limits, task, *arguments):
    found = in_a_process_of_its_own(task, limits, *arguments)
    for job, taken in found.items():
        assert taken["error"] is None, (job, taken)
        assert taken["peak_mb"] < limits[job], job
    assert list(found) == list(limits)


MANY_CLASSES = ("many_classes", 20_000, 10_000, False)
MANY_COLUMNS = ("many_columns", 500, 100_000)


def write_rows(path, n):
    """Float32 rows of 50 columns."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, n, 50_000):
            rows = rng.normal(size=(min(50_000, n - start), 50))
            file.write(rows.astype(np.float32).tobytes())
    return str(path)


def map_limits(n):
    """In MB: for training 60, or 300 for millions of rows; else the answer and 20."""
    training = 300 if n > 1_000_000 else 60
    limits = {"fit": training, "partial_fit": training}
    return limits | {"predict_proba": 8 * n / MB + 20, "predict": 16 * n / MB + 20}


def test_rows_of_a_memory_map_are_learnt_within_a_limit(tmp_path, long_or_quick):
    """X takes 400 MB, or 20; inputs of up to 128 MB are made only once."""
    n = long_or_quick(2_000_000, 100_000)
    path = write_rows(tmp_path / "X.bin", n)
    assert_within(map_limits(n), "mapped_rows", path, n)


def test_ten_thousand_classes_within_a_limit():
    """The probabilities of all rows would be 800 MB."""
    assert_within({"fit": 80, "predict": 80}, *MANY_CLASSES)


def test_ten_thousand_classes_cross_fitted(long_or_quick):
    """Their out-of-fold logits are one number for each row and class."""
    n, n_classes = long_or_quick((20_000, 10_000), (8000, 1000))
    whole = 4 * n * n_classes / MB
    limits = {"fit": 1.25 * whole + 20, "predict": 80, "predict_proba": whole + 20}
    assert_within(limits, "many_classes", n, n_classes, True)


def test_a_hundred_thousand_sparse_columns_within_a_limit():
    """As a dense array of float32 they would be 200 MB."""
    assert_within({"fit": 80, "predict": 80}, *MANY_COLUMNS)


def test_a_hundred_thousand_sparse_columns_with_the_defaults():
    """576 hidden units, as for a table, would be 1,800 MB."""
    assert_within({"fit": 600, "predict": 200}, *MANY_COLUMNS, True)


ALONE = {
    "one column": (30, 1, [0, 1, 2]),
    "one row of one class": (1, 3, ["ant"]),
    "one row of two classes": (2, 3, ["ant", "bee"]),
    "one row, one column": (1, 1, [7]),
    "thirty rows of one class": (30, 3, [0]),
}


@pytest.mark.parametrize(("n", "d", "labels"), ALONE.values(), ids=ALONE)
@pytest.mark.parametrize("settings", LEARNERS)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.filterwarnings("ignore:early_stopping needs more distinct rows")
@pytest.mark.filterwarnings("ignore:store_oof_proba")
def test_the_smallest_tables(n, d, labels, settings, container):
    X = container(np.random.default_rng(0).normal(size=(n, d)))
    y = np.resize(labels, n)
    clf = small_net(**settings).fit(X, y)
    assert_array_equal(clf.classes_, labels)
    for x in (X, X[:1]):
        proba = clf.predict_proba(x)
        assert proba.shape == (x.shape[0], len(labels))
        assert np.isfinite(proba).all()
        assert np.isfinite(clf.predict_log_proba(x)).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
        assert_array_equal(clf.predict(x), clf.classes_[proba.argmax(axis=1)])
    if len(labels) == 1:
        assert (proba == 1).all()


@pytest.mark.parametrize("n", [1, 30])
def test_a_stream_that_comes_row_by_row(n):
    X, y = table(n=30)
    clf = small_net()
    for start in range(0, 30, n):
        part = slice(start, start + n)
        clf.partial_fit(X[part], y[part], classes=[0, 1, 2])
        assert np.isfinite(clf.predict_proba(X)).all()
    assert clf.n_iter_ == 30 // n
    assert_array_equal(clf.mean_.round(12), X.mean(axis=0).round(12))


TASKS = (many_fits, mapped_rows, many_classes, many_columns)


def smallest_tables(kind):
    """How many of the smallest tables are not learnt."""
    n_wrong = 0
    for n, d, labels in ALONE.values():
        X, y = np.random.default_rng(0).normal(size=(n, d)), np.resize(labels, n)
        for rows in (X, sp.csr_array(X)):
            try:
                proba = small_net(kind).fit(rows, y).predict_proba(rows)
                n_wrong += proba.shape != (n, len(labels))
            except Exception as error:
                print(repr(error))
                n_wrong += 1
    return n_wrong


def compare(kind, n=2_000_000):
    """The long versions, printed."""
    os.environ["PYTHONWARNINGS"] = "ignore"  # in joblib's processes
    wrong = {"smallest tables": smallest_tables(kind)}
    clf, X = model_and_rows("lbfgs", kind)
    wrong["in threads"], _ = wrong_in_threads(clf, X, 200)
    X, y = table(n=600)
    nets = [small_net(kind, random_state=seed) for seed in range(50)]
    for backend in BACKENDS:
        with side_by_side(backend):
            found = joblib.Parallel()(joblib.delayed(net.fit)(X, y) for net in nets)
        pairs = zip(found, nets, strict=True)
        n_wrong = sum(
            not same(answers(a, X), answers(b.fit(X, y), X)) for a, b in pairs
        )
        wrong[f"side by side, {backend}"] = n_wrong
    print(wrong)
    print("many fits", in_a_process_of_its_own("many_fits", 1000, kind=kind))
    calls = ("fit", "partial_fit", "predict_proba", "predict")
    with tempfile.TemporaryDirectory() as folder:
        path = write_rows(Path(folder) / "X.bin", n)
        for call in calls:
            found = in_a_process_of_its_own(
                "mapped_rows", {call: map_limits(n)[call]}, path, n, kind=kind
            )
            print("memory map", found)
    for call in ("fit", "predict"):
        for name, *sizes in (MANY_CLASSES, MANY_COLUMNS):
            found = in_a_process_of_its_own(name, {call: 80}, *sizes, kind=kind)
            print(name, found)


if __name__ == "__main__":
    ours = sys.argv[1] == "sknet"
    warnings.simplefilter("error" if ours else "ignore")
    warnings.simplefilter("ignore", ConvergenceWarning)
    if sys.argv[2:]:
        task = {task.__name__: task for task in TASKS}[sys.argv[2]]
        small_net(sys.argv[1]).fit(*table())  # BLAS takes its buffers
        print(json.dumps(task(sys.argv[1], *json.loads(sys.argv[3]))))
    else:
        compare(sys.argv[1])
