"""Seeds, threads, and what SciPy and matplotlib are to find in the environment."""

import os

# before they are imported: what scikit-learn's array API checks ask of SciPy, and a
# matplotlib that opens no window
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ["MPLBACKEND"] = "Agg"

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

DEFAULT_SEEDS = (0,)
ALL_SEEDS = tuple(range(20))


def chosen_seeds():
    """Seeds named by SKNET_TESTS_GLOBAL_RANDOM_SEED: "all", "3" or "0-9"."""
    text = os.environ.get("SKNET_TESTS_GLOBAL_RANDOM_SEED", "")
    if not text:
        return DEFAULT_SEEDS
    if text == "all":
        return ALL_SEEDS
    first, _, last = text.partition("-")
    return tuple(range(int(first), int(last or first) + 1))


def pytest_generate_tests(metafunc):
    if "global_random_seed" in metafunc.fixturenames:
        metafunc.parametrize("global_random_seed", chosen_seeds())


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def _inputs_by_formula(clf, X):
    z = (X - clf.mean_) / clf.scale_
    split = z[:, clf.split_columns_]
    z[:, clf.split_columns_] = np.maximum(split, 0) - clf.split_offset_
    z = np.hstack([z, np.minimum(split, 0) + clf.split_offset_])
    return z if clf.squash is None else z / np.sqrt(1 + (z / clf.squash) ** 2)


@pytest.fixture
def inputs_by_formula():
    """A fitted estimator and dense rows to what its network is given."""
    return _inputs_by_formula


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread():
    """Products as small as those of tests only lose by waiting for a second thread."""
    with threadpool_limits(1):
        yield
