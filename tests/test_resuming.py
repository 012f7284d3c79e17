"""Training that is killed and resumed from a pickle: bit for bit as if nothing were.

Each call is made in a process of its own, forked from this file run as a script: it
loads what the one before has saved, goes on, saves, and dies amid an epoch of its next
call. The last one dies while it writes what it has learnt. What is left is compared
with a run in one piece.
"""

import os
import pickle
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal, assert_equal
from threadpoolctl import threadpool_limits

from sknet import TwoLayerClassifier
from sknet._network import TwoLayerNetwork

# short fits, which are of no use to anyone
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N_LIVES, N_EPOCHS = 4, 2
# the exit status of a process that ended where it was to end
KILLED = {"training": 9, "writing": 10}

CONSTANT = {"learning_rate": "constant", "n_iter_no_change": np.inf}
FALLING = {"learning_rate": "invscaling", "n_iter_no_change": np.inf}
WARM = {"warm_start": True, "max_iter": N_EPOCHS}
# k calls are promised to be one fit of as many epochs
ONE_FIT = {
    "stream, defaults": {},  # its rate is constant in any case
    "stream, adam": CONSTANT,
    "stream, plain adam": {**CONSTANT, "scaling_layer": False},
    "stream, sgd": {**CONSTANT, "solver": "sgd"},
    "stream, falling rate": {**FALLING, "solver": "sgd"},
    "stream, weighted classes": {**CONSTANT, "class_weight": "balanced"},
    "warm, adam": {**CONSTANT, **WARM},
    "warm, plain adam": {**CONSTANT, **WARM, "scaling_layer": False},
    "warm, sgd": {**CONSTANT, **WARM, "solver": "sgd"},
    "warm, falling rate": {**FALLING, **WARM, "solver": "sgd"},
}
# their schedule, best epoch or curvature begins anew with each call
MANY_FITS = {
    "warm, cosine": WARM,
    "warm, adaptive": {**WARM, "solver": "sgd", "learning_rate": "adaptive"},
    "warm, lbfgs": {**WARM, "solver": "lbfgs"},
    "warm, folds": {**WARM, "early_stopping": True},
    "warm, hold-out": {**WARM, "early_stopping": True, "n_estimators": 1},
}
RUNS = ONE_FIT | MANY_FITS
DTYPES = ("float32", "float64")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def data(dtype):
    """Eighths, and a power of two of rows: sums over any number of passes are exact."""
    rng = np.random.default_rng(0)
    X = np.round(8 * rng.normal(size=(32, 3))) / 8
    y = (X[:, 0] + 0.3 * rng.normal(size=32) > 0).astype(int)
    return X.astype(dtype), y


def small_net(**settings):
    quick = {"n_estimators": 2, "batch_size": 12, "random_state": 0}
    quick |= {"early_stopping": False, "learning_rate_init": 0.05}
    return TwoLayerClassifier(3, **(quick | settings))


def learn(clf, run, dtype):
    if run.startswith("stream"):
        return clf.partial_fit(*data(dtype), classes=[0, 1])
    return clf.fit(*data(dtype))


def file_of(folder, run, dtype):
    return Path(folder) / f"{run} {dtype}.pickle"


def part_of(file):
    return file.with_suffix(".part")


def save(clf, file, opened=open):
    """As a careful user does: the old state stays until the new one is whole."""
    with opened(part_of(file), "wb") as part:
        pickle.dump(clf, part)
    os.replace(part_of(file), file)


class Deadly:
    """A file that takes half of what is written, whereupon the process dies."""

    def __init__(self, path, mode):
        self.file = Path(path).open(mode)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.file.write(memoryview(data)[: len(data) // 2])
        self.file.flush()
        os._exit(KILLED["writing"])


def die_at_step(n):
    """Have the process die at the n-th gradient from now on."""
    step, n_steps = TwoLayerNetwork.loss_gradient, []

    def deadly(*args):
        n_steps.append(1)
        if len(n_steps) == n:
            os._exit(KILLED["training"])
        return step(*args)

    TwoLayerNetwork.loss_gradient = deadly


def live_once(folder, run, dtype, life):
    """Go on with a run and save it; then die while the next call is under way.

    After the last life, die while the state is written.
    """
    file = file_of(folder, run, dtype)
    known = file.exists()
    clf = pickle.loads(file.read_bytes()) if known else small_net(**RUNS[run])
    learn(clf, run, dtype)
    if life == N_LIVES:
        save(clf, file, Deadly)
    else:
        save(clf, file)
        die_at_step(2 + life % 2)  # the first is past
        learn(clf, run, dtype)


def live_and_die(*life):
    """One life in a process of its own; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        live_once(*life)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # it was to die before


def live(folder):
    """All lives of all runs; no process knows more than the file of the one before."""
    warnings.simplefilter("ignore")
    for life in range(N_LIVES + 1):
        death = KILLED["writing" if life == N_LIVES else "training"]
        for run in RUNS:
            for dtype in DTYPES:
                ended = live_and_die(folder, run, dtype, life)
                assert ended == death, f"{run}, {dtype}: {ended} in life {life}"


@pytest.fixture(scope="module")
def remains(tmp_path_factory):
    """The folder that all lives have shared, one after the other."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    folder = tmp_path_factory.mktemp("saved")
    script = [sys.executable, str(Path(__file__)), str(folder)]
    ended = subprocess.run(script, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return folder


@each_dtype
@pytest.mark.parametrize("run", RUNS)
def test_training_that_was_killed_and_resumed_is_the_uninterrupted_run(
    remains, run, dtype
):
    """All attributes, and with them all that a later call goes on with."""
    whole = small_net(**RUNS[run])
    for _ in range(N_LIVES):
        learn(whole, run, dtype)
    resumed = pickle.loads(file_of(remains, run, dtype).read_bytes())
    assert_equal(vars(resumed), vars(whole))
    X, _ = data(dtype)
    assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X), strict=True)


@each_dtype
@pytest.mark.parametrize("run", ONE_FIT)
def test_training_that_was_killed_and_resumed_is_one_longer_fit(remains, run, dtype):
    n_epochs = N_LIVES * ONE_FIT[run].get("max_iter", 1)
    longer = CONSTANT | ONE_FIT[run] | {"warm_start": True, "max_iter": n_epochs}
    whole = small_net(**longer).fit(*data(dtype))
    resumed = pickle.loads(file_of(remains, run, dtype).read_bytes())
    assert resumed.n_iter_ == whole.n_iter_ == n_epochs
    assert_equal(fitted(resumed, run), fitted(whole, run))
    X, _ = data(dtype)
    assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X), strict=True)


@each_dtype
@pytest.mark.parametrize("run", RUNS)
def test_a_process_killed_while_it_writes_leaves_the_state_before(remains, run, dtype):
    """What it wrote is no state; the one before gives the call that was lost."""
    file = file_of(remains, run, dtype)
    with pytest.raises(pickle.UnpicklingError, match="truncated"):
        pickle.loads(part_of(file).read_bytes())
    resumed = learn(pickle.loads(file.read_bytes()), run, dtype)
    whole = small_net(**RUNS[run])
    for _ in range(N_LIVES + 1):
        learn(whole, run, dtype)
    assert_equal(vars(resumed), vars(whole))


def fitted(clf, run):
    """What training left, but for a stream's count of the rows that it has seen."""
    found = {name: value for name, value in vars(clf).items() if name[-1] == "_"}
    state = dict(clf._state)
    if run.startswith("stream"):
        del state["seen"], state["statistics"]
    return {**found, "_params": clf._params, "_state": state}


if __name__ == "__main__":
    with threadpool_limits(1):  # as in the tests
        live(sys.argv[1])
