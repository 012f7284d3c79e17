"""Load: many threads, processes, fits in a row, rows, classes and columns."""

import copy
import gc
import pickle
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

# short fits, which need not learn anything
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
MB = 1 << 20
LEARNERS = [
    {},
    {"solver": "sgd", "dtype": "float64"},
    {"solver": "lbfgs"},
    {"n_estimators": 1, "early_stopping": True},
    {"input_dropout": 0.2},
    {"early_stopping": True, "store_oof_proba": True, "class_weight": "balanced"},
]


def table(n=300, d=5):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    return X, np.digitize(X[:, 0] + 0.5 * rng.normal(size=n), [-1, 1])


def answers(clf, X):
    """All four predictions, copied."""
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    return [np.array(getattr(clf, name)(X)) for name in methods]


def n_wrong(clf, X, expected):
    found = answers(clf, X)
    return sum(not np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def peak_of(call):
    """Return the most memory (MB) that a call takes; pages of a map do not count."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - before) / MB


# ------------------------------------------------------------ threads and processes


@pytest.mark.parametrize("settings", LEARNERS, ids=str)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_threads_predict_the_same_while_the_model_is_copied(
    small_net, settings, container
):
    X, y = table(n=4000)
    X, n_threads = container(np.where(np.abs(X) > 1, X, 0)), 8
    clf = small_net(**settings).fit(X, y)
    expected, start = answers(clf, X), threading.Barrier(n_threads, timeout=60)

    def predict(number):
        start.wait()
        return sum(n_wrong(clf, X, expected) for _ in range(100))

    interval, wrong = sys.getswitchinterval(), 0
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        with ThreadPoolExecutor(n_threads) as pool:
            running = [pool.submit(predict, number) for number in range(n_threads)]
            while not all(thread.done() for thread in running):
                clone(clf)
                wrong += n_wrong(pickle.loads(pickle.dumps(clf)), X, expected)
                wrong += n_wrong(copy.deepcopy(clf), X, expected)
    finally:
        sys.setswitchinterval(interval)
    assert wrong + sum(thread.result() for thread in running) == 0


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_fits_side_by_side_equal_fits_one_by_one(small_net, params_of, backend, method):
    """In processes, X is a read-only memory map."""
    X, y = table(n=600)
    nets = [small_net(**s, random_state=i) for i in range(40) for s in LEARNERS]
    nets = [clf for clf in nets if hasattr(clf, method)]
    one_by_one = [clone(clf) for clf in nets]
    # one BLAS thread each, as in the tests: two would add up in another order
    inner = {"inner_max_num_threads": 1} if backend == "loky" else {}
    config = joblib.parallel_config(backend, n_jobs=2, max_nbytes="1K", **inner)
    for part in np.split(np.arange(600), 3):
        rows = (X[part], y[part]) + (([0, 1, 2],) if method == "partial_fit" else ())
        one_by_one = [getattr(clf, method)(*rows) for clf in one_by_one]
        with config:
            tasks = (joblib.delayed(getattr(clf, method))(*rows) for clf in nets)
            nets = joblib.Parallel()(tasks)
    for a, b in zip(one_by_one, nets, strict=True):
        assert_array_equal(params_of(a), params_of(b))
        assert_array_equal(a.predict_proba(X), b.predict_proba(X))


# ------------------------------------------------------------------------- memory


def test_memory_does_not_grow_from_fit_to_fit(small_net):
    X, y = table(n=100)
    solvers = ("adam", "sgd", "lbfgs")
    stream = small_net().partial_fit(X, y, classes=[0, 1, 2])
    clf = small_net(max_iter=1)

    def rounds(n):
        for number in range(n):
            clf.set_params(random_state=number, solver=solvers[number % 3]).fit(X, y)
            pickle.loads(pickle.dumps(clf)).predict_proba(X)
            stream.partial_fit(X[:50], y[:50])
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = rounds(240)  # until the libraries' caches are full
    growth = rounds(999) - before
    tracemalloc.stop()
    # NumPy and the interpreter keep small blocks for later, at first more and more
    assert growth < 40 * 1024


def test_a_memory_map_is_learnt_with_less_memory_than_it_has(small_net, tmp_path):
    n, path = 2_000_000, tmp_path / "X.bin"
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(0, n, 50_000):
            file.write(rng.normal(size=(50_000, 50)).astype(np.float32).tobytes())
    X = np.memmap(path, np.float32, "r", shape=(n, 50))
    y = (np.array(X[:, 0]) > 0).astype(np.int64)
    clf = small_net(hidden_layer_size=32, max_iter=1, batch_size=256)
    assert peak_of(lambda: clf.fit(X, y)) < 390  # X has 400 MB
    assert peak_of(lambda: clf.partial_fit(X, y)) < 300
    answer = 8 * n / MB
    assert peak_of(lambda: clf.predict_proba(X)) < answer + 20
    assert peak_of(lambda: clf.predict(X)) < 2 * answer + 20


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("n_classes", "folds"), [(10_000, False), (1000, True)])
def test_very_many_classes_are_learnt_within_a_limit(
    small_net, n_classes, folds, solver
):
    """All probabilities of 10,000 classes take 800 MB; folds need one for each row."""
    n = 20_000
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_classes
    X = (np.column_stack([y, y % 100]) + rng.normal(size=(n, 2))).astype(np.float32)
    settings = {"n_estimators": 2 if folds else 1, "hidden_layer_size": 2}
    settings |= {"solver": solver, "max_iter": 1, "batch_size": 200}
    clf = small_net(early_stopping=folds, **settings)
    whole = 4 * n * n_classes / MB
    itemsize = 4 if solver == "adam" else 8
    limit = 6 * whole * itemsize / 4 + 20 if folds else 80
    assert peak_of(lambda: clf.fit(X, y)) < limit
    assert peak_of(lambda: clf.predict(X)) < 80
    assert peak_of(lambda: clf.predict_proba(X)) < whole + 20


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("sizes", [{}, {"hidden_layer_size": "auto"}], ids=str)
def test_very_many_sparse_columns_are_learnt_within_a_limit(small_net, sizes, solver):
    """A dense array of them would take 400 MB, 576 units by "auto" 1,800 MB."""
    n, d = 500, 100_000
    rng = np.random.default_rng(0)
    entries = rng.normal(size=100 * n), rng.integers(d, size=100 * n)
    X = sp.csr_array((*entries, range(0, 100 * n + 1, 100)), shape=(n, d))
    X.sum_duplicates()
    y = rng.integers(0, 3, size=n)
    k = "auto" if sizes else 2
    settings = {"hidden_layer_size": 4, "solver": solver, "max_iter": 2} | sizes
    clf = small_net(n_estimators=k, **settings)
    limits = {"adam": (80, 600), "lbfgs": (300, 1100)}
    assert peak_of(lambda: clf.fit(X, y)) < limits[solver][bool(sizes)]
    assert peak_of(lambda: answers(clf, X)) < (200 if sizes else 80)
    assert_allclose(clf.predict_proba(X).sum(axis=1), 1, atol=1e-6)
