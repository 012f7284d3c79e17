"""Seeds, profiles, threads, and what SciPy and matplotlib find in the environment."""

import datetime
import os

# before they are imported: what scikit-learn's array API checks ask of SciPy, and a
# matplotlib that opens no window
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

LONG = os.environ.get("SKNET_TESTS_PROFILE") == "nightly"


def chosen_base_seed():
    """SKNET_TESTS_SEED; without it today's date in the nightly profile, else 0."""
    text = os.environ.get("SKNET_TESTS_SEED", "")
    if text:
        return int(text)
    return int(f"{datetime.date.today():%Y%m%d}") if LONG else 0


BASE_SEED = chosen_base_seed()


def pytest_report_header():
    profile = "nightly" if LONG else "quick"
    return f"sknet's tests: profile {profile}, SKNET_TESTS_SEED={BASE_SEED}"


# the same examples in every ordinary run: a change is judged by what it changes; the
# nightly job looks for new ones, ten times as many, and prints what repeats a failure.
# Where CI is set, hypothesis would take the same ones there too
relaxed = {
    "deadline": None,
    "suppress_health_check": [
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.filter_too_much,
        hypothesis.HealthCheck.data_too_large,
    ],
}
hypothesis.settings.register_profile(
    "quick", max_examples=60, derandomize=True, **relaxed
)
hypothesis.settings.register_profile(
    "nightly", max_examples=600, derandomize=False, print_blob=True, **relaxed
)
hypothesis.settings.load_profile("nightly" if LONG else "quick")

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


@pytest.fixture(scope="session")
def long_or_quick():
    """Takes the longer of two versions of a test in the nightly profile."""
    return lambda long, quick: long if LONG else quick


@pytest.fixture(scope="session")
def base_seed():
    """Part of the seed of random settings: another one each night."""
    return BASE_SEED


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


@pytest.fixture(scope="module")
def ray_cluster():
    """Ray on this machine, with two worker processes."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    register_ray()
    yield ray
    ray.shutdown()
