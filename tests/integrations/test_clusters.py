"""Beyond one process: joblib's backends for clusters.

What runs elsewhere must give what runs here, bit for bit, and must really run
elsewhere. The packages are in the extra ``neighbours``.
"""

import os

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from sknet import TwoLayerClassifier

X, Y = load_iris(return_X_y=True)
GRID = {"alpha": [0.0, 0.1], "n_estimators": [1, 3]}
SPLITS = StratifiedKFold(3, shuffle=True, random_state=0)


def net():
    """A network that trains in milliseconds with all random parts switched on."""
    settings = {"max_iter": 12, "dropout": 0.2, "batch_size": 16, "random_state": 0}
    return TwoLayerClassifier(8, learning_rate_init=0.05, **settings)


def grid_search():
    search = GridSearchCV(net(), GRID, cv=SPLITS, scoring="neg_log_loss")
    return search.fit(X, Y.astype(str))


def folds():
    return cross_val_score(net(), X, Y, cv=SPLITS, scoring="neg_log_loss")


def outcome(found):
    """Everything that a search found, or a list of scores, as arrays by name."""
    if isinstance(found, np.ndarray):
        return {"scores": found}
    results = found.cv_results_.items()
    scores = {k: v for k, v in results if not k.endswith("_time") and k != "params"}
    weights = {f"W{i + 1}": W for i, W in enumerate(found.best_estimator_.coefs_)}
    return scores | weights | {"chosen": np.array([str(found.best_params_)])}


def assert_same_outcome(found, expected):
    found, expected = outcome(found), outcome(expected)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert_array_equal(found[name], values, strict=True, err_msg=name)


@pytest.fixture(scope="module")
def dask():
    """A backend of two workers of dask, each in a process of its own."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster),
    ):
        yield "dask"


@pytest.fixture(scope="module")
def ray():
    """A backend of Ray on this machine, with two worker processes."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    register_ray()
    yield "ray"
    ray.shutdown()


@pytest.mark.parametrize("backend", ["dask", "ray"])
@pytest.mark.parametrize("task", [grid_search, folds])
def test_a_cluster_gives_what_one_process_gives(request, backend, task):
    expected = task()
    with joblib.parallel_config(request.getfixturevalue(backend), n_jobs=2):
        found = task()
        processes = joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))
    assert_same_outcome(found, expected)
    assert os.getpid() not in processes


def test_a_monitor_hears_of_fits_on_ray(ray):
    ScoringMonitor = pytest.importorskip("sklearn.callback").ScoringMonitor
    monitor = ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(
        net().set_callbacks(monitor), {"alpha": [0.0, 0.1]}, cv=SPLITS
    )
    with joblib.parallel_config(ray, n_jobs=2):
        search.fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log["task_name"] == "epoch"]
    assert epochs["parent_task_id_path"].nunique() == 2 * 3 + 1  # the final fit


def test_incremental_is_a_call_for_each_block(dask):
    Incremental = pytest.importorskip("dask_ml.wrappers").Incremental
    from dask.array import from_array

    blocks = np.split(np.random.default_rng(0).permutation(len(Y)), 5)
    order = np.concatenate(blocks)
    Xd, yd = from_array(X[order], chunks=(30, 4)), from_array(Y[order], chunks=30)
    found = Incremental(net(), shuffle_blocks=False)
    found.fit(Xd, yd, classes=[0, 1, 2])
    expected = net()
    for rows in blocks:
        expected.partial_fit(X[rows], Y[rows], classes=[0, 1, 2])
    assert_array_equal(found.predict_proba(Xd), expected.predict_proba(X[order]))
