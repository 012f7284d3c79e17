"""Beyond one process: joblib's backends for clusters, and rows that stay on the disk.

What runs elsewhere has to give what runs here, bit for bit, and really has to run
elsewhere. The packages are in the extra ``neighbours``.
"""

import os
import subprocess
import sys

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_val_score,
)

from sknet import TwoLayerClassifier

X, Y = load_iris(return_X_y=True)
GRID = {"alpha": [0.0, 0.1], "n_estimators": [1, 3]}
SPLITS = StratifiedKFold(3, shuffle=True, random_state=0)


def small_net(**settings):
    """A net that trains in milliseconds, with all kinds of chance switched on."""
    quick = {"max_iter": 12, "dropout": 0.2, "batch_size": 16, "random_state": 0}
    return TwoLayerClassifier(8, learning_rate_init=0.05, **(quick | settings))


def grid_search():
    search = GridSearchCV(small_net(), GRID, cv=SPLITS, scoring="neg_log_loss")
    return search.fit(X, Y.astype(str))


def halving_search():
    search = HalvingGridSearchCV(
        small_net(), GRID, cv=SPLITS, scoring="neg_log_loss", random_state=0
    )
    return search.fit(X, Y)


def folds():
    return cross_val_score(small_net(), X, Y, cv=SPLITS, scoring="neg_log_loss")


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


TASKS = pytest.mark.parametrize("task", [grid_search, halving_search, folds])


# --- dask


@pytest.fixture(scope="module")
def client():
    """Two workers of dask, each in a process of its own."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@TASKS
def test_dask_gives_what_one_process_gives(client, task):
    from distributed import get_task_stream

    expected = task()
    with joblib.parallel_config("dask"), get_task_stream(client) as stream:
        found = task()
    assert_same_outcome(found, expected)
    # it was the workers who did it
    processes = client.run(os.getpid)
    assert len(processes) == 2 and os.getpid() not in processes.values()
    at_work = {record["worker"] for record in stream.data}
    assert at_work and at_work <= set(processes)


# --- Ray


@TASKS
def test_ray_gives_what_one_process_gives(ray_cluster, task):
    expected = task()
    with joblib.parallel_config("ray", n_jobs=2):
        found = task()
    assert_same_outcome(found, expected)


def test_ray_works_in_processes_of_its_own(ray_cluster):
    with joblib.parallel_config("ray", n_jobs=2):
        processes = joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))
    assert os.getpid() not in processes


def test_a_monitor_hears_of_fits_on_ray(ray_cluster):
    ScoringMonitor = pytest.importorskip("sklearn.callback").ScoringMonitor
    monitor = ScoringMonitor(scoring="accuracy")
    net = small_net().set_callbacks(monitor)
    search = GridSearchCV(net, {"alpha": [0.0, 0.1]}, cv=SPLITS)
    with joblib.parallel_config("ray", n_jobs=2):
        search.fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log["task_name"] == "epoch"]
    assert epochs["parent_task_id_path"].nunique() == 2 * 3 + 1  # the final fit


# --- dask-ml


def test_incremental_is_a_call_for_each_block(client):
    Incremental = pytest.importorskip("dask_ml.wrappers").Incremental
    import dask.array as da

    blocks = np.split(np.random.default_rng(0).permutation(len(Y)), 5)
    order = np.concatenate(blocks)
    Xd = da.from_array(X[order], chunks=(30, 4))
    yd = da.from_array(Y[order], chunks=30)
    found = Incremental(small_net(), shuffle_blocks=False)
    found.fit(Xd, yd, classes=[0, 1, 2])

    expected = small_net()
    for rows in blocks:
        expected.partial_fit(X[rows], Y[rows], classes=[0, 1, 2])
    for mine, theirs in zip(found.estimator_.coefs_, expected.coefs_, strict=True):
        assert_array_equal(mine, theirs)
    assert_array_equal(found.predict_proba(Xd), expected.predict_proba(X[order]))


# --- rows on the disk

LIMIT = 16 * 2**20  # bytes that training may use beside what is loaded at its start

STREAM = """
import resource
import sys
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sknet import TwoLayerClassifier

path, limit, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pa.set_memory_pool(pa.system_memory_pool())  # takes what it needs, no more in advance
file = pq.ParquetFile(path)
clf = TwoLayerClassifier(8, n_estimators=1, random_state=0)


def learn(table):
    columns = [column.to_numpy() for column in table.columns]
    clf.partial_fit(np.column_stack(columns[:-1]), columns[-1], classes=[0, 1])


learn(file.read_row_group(0))
with open("/proc/self/status") as status:
    (used,) = [int(line.split()[1]) for line in status if line.startswith("VmData")]
resource.setrlimit(resource.RLIMIT_DATA, (used * 1024 + limit, -1))
if way == "stream":
    for number in range(1, file.num_row_groups):
        learn(file.read_row_group(number))
else:
    try:
        learn(file.read())
    except MemoryError:
        sys.exit("out of memory")
X = np.random.default_rng(0).normal(size=(5_000, len(file.schema) - 1))
print(clf.n_iter_, clf.score(X, X[:, 0] > 0))
"""


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """A file of ten times LIMIT: 100 columns of noise, of which the first decides."""
    # release 15 takes more than the limit by itself
    pa, pq = (
        pytest.importorskip("pyarrow", "16"),
        pytest.importorskip("pyarrow.parquet"),
    )
    path = tmp_path_factory.mktemp("parquet") / "rows.parquet"
    rng = np.random.default_rng(0)
    n_columns, n_rows = 100, 5_000
    names = [f"x{i}" for i in range(n_columns)]
    schema = pa.schema([(name, pa.float32()) for name in names] + [("y", pa.int8())])
    with pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=False
    ) as file:
        while path.stat().st_size < 10 * LIMIT:
            rows = rng.normal(size=(n_columns, n_rows)).astype(np.float32)
            arrays = [*rows, (rows[0] > 0).astype(np.int8)]
            file.write_table(pa.table(list(map(pa.array, arrays)), schema=schema))
    yield path
    path.unlink()


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux holds to RLIMIT_DATA"
)
def test_a_parquet_file_of_ten_times_the_limit(parquet):
    def run(way):
        return subprocess.run(
            [sys.executable, "-c", STREAM, parquet, str(LIMIT), way],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    assert parquet.stat().st_size >= 10 * LIMIT
    streamed = run("stream")
    assert streamed.returncode == 0, streamed.stderr
    n_calls, accuracy = streamed.stdout.split()
    assert int(n_calls) > 50
    assert float(accuracy) > 0.95
    # the limit is one: the file as a whole does not fit
    assert run("whole").stderr.strip().endswith("out of memory")
