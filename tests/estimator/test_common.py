"""scikit-learn's estimator checks: all pass, none is skipped or expected to fail."""

import traceback

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimator,
    check_inplace_ensure_writeable,
)

from sknet import TwoLayerClassifier

SMALL = {"hidden_layer_size": 8, "n_estimators": 2, "max_iter": 40, "blend": False}
CONFIGURATIONS = {
    "defaults": {},
    "one member": {"n_estimators": 1},
    "sgd": {"solver": "sgd", **SMALL},
    "lbfgs": {"solver": "lbfgs", **SMALL},
    "balanced": {"class_weight": "balanced", **SMALL},
    "stochastic": {"early_stopping": True, "dropout": 0.2, "batch_size": 8, **SMALL},
    "plain": {"dtype": "float64", "standardize": False, **SMALL},
    "blend": {**SMALL, "blend": True, "max_iter": 15},
    "threads": {**SMALL, "blend": True, "n_jobs": 2, "hidden_layer_size": 800},
}
FEWEST_CHECKS = 60  # 63 in scikit-learn 1.7: a shrinking suite must not go unnoticed

# many checks give pure noise, on which no network beats the class frequencies
# and some give too few rows for folds
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:blend=True needs folds:UserWarning"),
]


@pytest.fixture(params=CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def estimator(request):
    return TwoLayerClassifier(**request.param)


def failure(result):
    """A check's name, its status and the traceback that check_estimator kept."""
    lines = traceback.format_exception(result["exception"])
    return f"--- {result['check_name']}: {result['status']}\n{''.join(lines)}"


def test_every_check_passes(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failures = [failure(r) for r in results if r["status"] != "passed"]
    assert not failures, "\n".join(failures)
    assert len(results) >= FEWEST_CHECKS


@pytest.mark.parametrize(
    "check", [check_dataframe_column_names_consistency, check_inplace_ensure_writeable]
)
def test_checks_that_check_estimator_leaves_out(estimator, check):
    check(type(estimator).__name__, estimator)
