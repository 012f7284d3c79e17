"""Seeds and profiles of the tests, and the small networks that they share."""

import datetime
import os

# Set before the imports: scikit-learn's array API checks need the first, and the
# second keeps matplotlib from opening windows.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from sknet import TwoLayerClassifier

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


# An ordinary run draws the same examples each time, so that a failure is caused by the
# change under test. The nightly job draws new ones, ten times as many.
Health = hypothesis.HealthCheck
suppressed = [Health.too_slow, Health.filter_too_much, Health.data_too_large]
relaxed = {"deadline": None, "suppress_health_check": suppressed}
hypothesis.settings.register_profile(
    "quick", max_examples=60, derandomize=True, **relaxed
)
hypothesis.settings.register_profile(
    "nightly", max_examples=600, derandomize=False, print_blob=True, **relaxed
)
hypothesis.settings.load_profile("nightly" if LONG else "quick")


def chosen_seeds():
    """Seeds named by SKNET_TESTS_GLOBAL_RANDOM_SEED: "all", "3" or "0-9"; else 0."""
    text = os.environ.get("SKNET_TESTS_GLOBAL_RANDOM_SEED") or "0"
    first, _, last = text.replace("all", "0-19").partition("-")
    return range(int(first), int(last or first) + 1)


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


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread():
    """The products in tests are too small to share between threads."""
    with threadpool_limits(1):
        yield


def _small_net(**settings):
    quick = {
        "hidden_layer_size": 8,
        "n_estimators": 2,
        "max_iter": 8,
        "learning_rate_init": 0.05,
        "batch_size": 16,
        "dropout": 0.2,
        "early_stopping": False,
        "random_state": 0,
    }
    return TwoLayerClassifier(**(quick | settings))


@pytest.fixture(scope="session")
def worth_threads():
    """Settings of networks large enough that the variants are trained in threads."""
    return {"n_estimators": 4, "hidden_layer_size": 200, "batch_size": 64}


@pytest.fixture(scope="session")
def small_net():
    """Makes networks that train in milliseconds with all random parts switched on."""
    return _small_net


def _params_of(clf):
    return np.concatenate([part.ravel() for part in [*clf.coefs_, *clf.intercepts_]])


@pytest.fixture(scope="session")
def params_of():
    """All weights and biases of a fitted estimator, as one vector."""
    return _params_of


def _inputs_by_formula(clf, X):
    gap = 0.4  # half the mean absolute deviation of a normal distribution
    z, split = (X - clf.mean_) / clf.scale_, clf.split_columns_
    lower = np.minimum(z[:, split], 0) + gap
    z[:, split] = np.maximum(z[:, split], 0) - gap
    z = np.hstack([z, lower])
    return z / np.sqrt(1 + (z / 5) ** 2)


@pytest.fixture(scope="session")
def inputs_by_formula():
    """What the network of a fitted estimator is given for dense rows."""
    return _inputs_by_formula
