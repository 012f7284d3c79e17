"""Training that is killed and resumed from a pickle: bit for bit as if nothing were.

Each call is made in a process of its own, which is this file run as a script: it loads
what the one before has saved, goes on, saves, and dies in the middle of the next call.
What the last one leaves is compared with a run in one piece.
"""

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal, assert_equal
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from sknet import TwoLayerClassifier
from sknet._network import TwoLayerNetwork

# short fits, which are of no use to anyone
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N_LIVES, N_EPOCHS, KILLED = 4, 2, 9

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


def live_once(folder):
    """Go on with every run and save it; then die while the next call is under way."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    for run, settings in RUNS.items():
        for dtype in DTYPES:
            file = file_of(folder, run, dtype)
            known = file.exists()
            clf = pickle.loads(file.read_bytes()) if known else small_net(**settings)
            file.write_bytes(pickle.dumps(learn(clf, run, dtype)))
    step, n_steps = TwoLayerNetwork.loss_gradient, []

    def deadly(*args):
        n_steps.append(1)
        if len(n_steps) == 3:
            os._exit(KILLED)
        return step(*args)

    TwoLayerNetwork.loss_gradient = deadly
    learn(clf, run, dtype)


@pytest.fixture(scope="module")
def remains(tmp_path_factory):
    """The folder that all lives have shared, one after the other."""
    folder = tmp_path_factory.mktemp("saved")
    for _ in range(N_LIVES):
        script = [sys.executable, str(Path(__file__)), str(folder)]
        ended = subprocess.run(script, capture_output=True, text=True)
        assert ended.returncode == KILLED, ended.stderr
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


def fitted(clf, run):
    """What training left, but for a stream's count of the rows that it has seen."""
    found = {name: value for name, value in vars(clf).items() if name[-1] == "_"}
    state = dict(clf._state)
    if run.startswith("stream"):
        del state["seen"], state["statistics"]
    return {**found, "_params": clf._params, "_state": state}


if __name__ == "__main__":
    with threadpool_limits(1):  # as in the tests
        live_once(sys.argv[1])
