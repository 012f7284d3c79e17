"""What else a user waits or pays for: predictions, searches, imports, memory, growth.

    python benchmarks/costs.py

Times are medians of interleaved repeats with one BLAS thread; memory is the peak of
what a fit allocates, by tracemalloc. All figures go to results/costs.csv, and what the
growth was measured by to results/growth.csv.
"""

import os
import pickle
import subprocess
import sys
import time
import tracemalloc
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads its BLAS

import floors
import numpy as np
import pandas as pd
from problems import Problem, problems
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from speed import RESULTS, environment, save
from trainers import PLAIN, mlp, ours

from sknet import TwoLayerClassifier
from sknet._training import READY_BYTES


def medians(calls, repeats):
    """Median seconds of each named call, the calls taking turns."""
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return pd.Series({name: np.median(values) for name, values in seconds.items()})


def predictions():
    """predict_proba of one row and of 10,000 rows, on digits; size of the pickle."""
    problem = problems()["digits"]()._replace(epochs=5)
    models = {"ours": ours(problem), "MLPClassifier": mlp(problem)}
    models["ours, defaults"] = TwoLayerClassifier(random_state=0).fit(
        problem.X, problem.y
    )
    many = np.tile(problem.X, (6, 1))[:10_000]
    columns = {}
    for label, X, repeats in (("one row", many[:1], 2000), ("10,000 rows", many, 20)):
        calls = {
            name: lambda m=m, X=X: m.predict_proba(X) for name, m in models.items()
        }
        columns[f"{label}, ms"] = 1e3 * medians(calls, repeats)
    columns["pickle, kB"] = pd.Series(
        {name: len(pickle.dumps(model)) / 1e3 for name, model in models.items()}
    )
    return pd.DataFrame(columns)


def searches():
    """GridSearchCV, 12 candidates and 5 folds on digits, one member, 20 epochs.

    The floor is the NumPy calls of its 61 fits alone, without scores and predictions.
    """
    X, y = load_digits(return_X_y=True)
    common = {"batch_size": 200, "max_iter": 20}
    estimators = {
        "ours": TwoLayerClassifier(100, **{**PLAIN, **common}),
        "MLPClassifier": MLPClassifier(
            (100,), **common, tol=0, n_iter_no_change=21, random_state=0
        ),
    }
    grid = {
        "alpha": [1e-4, 1e-3, 1e-2, 1e-1],
        "learning_rate_init": [1e-3, 3e-3, 1e-2],
    }
    columns = {}
    for n_jobs in (1, 2):
        calls = {
            name: GridSearchCV(e, grid, n_jobs=n_jobs).fit
            for name, e in estimators.items()
        }
        calls = {name: lambda fit=fit: fit(X / 16, y) for name, fit in calls.items()}
        if n_jobs == 1:
            calls["floor"] = lambda: search_floor(X / 16, y)
        columns[f"n_jobs={n_jobs}, s"] = medians(calls, 3)
    return pd.DataFrame(columns)


def search_floor(X, y):
    """A fit on four fifths of the rows for each candidate and fold, and one on all."""
    some = len(X) * 4 // 5
    for _ in range(60):
        floors.calls(Problem(X[:some], y[:some], 100, 200, 20))
    floors.calls(Problem(X, y, 100, 200, 20))


def imports():
    """Seconds of an import in a new process, less those of an empty one."""
    lines = {
        "empty": "pass",
        "sknet": "import sknet",
        "sklearn.neural_network": "import sklearn.neural_network",
    }
    calls = {
        name: lambda line=line: subprocess.run([sys.executable, "-c", line], check=True)
        for name, line in lines.items()
    }
    seconds = medians(calls, 5)
    return (seconds - seconds["empty"]).to_frame("s")


def memory(d=784):
    """Peak of a default fit on uint8 rows beyond X, MB, and what of it must be.

    The rows on either side of where inputs are made once a fit (``READY_BYTES``), and
    those of MNIST.
    """
    most = READY_BYTES // (4 * (d + 1))
    return pd.DataFrame(
        {f"{n} rows": _memory(n, d) for n in (most, most + 1, 60_000)}
    ).T


def _memory(n, d):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, size=(n, d), dtype=np.uint8)
    y = rng.integers(0, 10, size=n)
    settings = {"random_state": 0, "max_iter": 1, "learning_rate": "constant"}
    TwoLayerClassifier(**settings).fit(X[:6000], y[:6000])  # what is loaded once
    tracemalloc.start()
    clf = TwoLayerClassifier(**settings).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return pd.Series(
        {
            "X": X.nbytes,
            "peak": peak,
            "float32 parameters": 4 * clf._params.size,
            "index of the rows": 8 * n,
        }
    ).div(1e6)


def growth():
    """Growth of the fit time in rows, columns, units, classes and epochs.

    ``power``: log-log slope from the smallest size to eight times as much, which a part
    that does not grow makes smaller. ``last``: of the last doubling alone. ``fixed``:
    that part's share at the smallest size, if time is a straight line above the size.
    """
    rng = np.random.default_rng(0)

    def _problem(n=8000, d=100, h=100, k=5, epochs=4):
        X, y = rng.normal(size=(n, d)), np.arange(n) % k
        return Problem(X, y, h, 200, epochs)

    smallest = {"n": 8000, "d": 100, "h": 100, "k": 5, "epochs": 4}
    rows, table = [], {}
    for name, size in smallest.items():
        sizes = size * np.array([1, 2, 4, 8])
        made = {int(s): _problem(**{name: int(s)}) for s in sizes}
        calls = {s: lambda p=p: ours(p) for s, p in made.items()}
        seconds = medians(calls, 7)
        rows += [(name, s, seconds[s]) for s in made]
        t = seconds.to_numpy()
        slope, fixed = np.polyfit(sizes, t, 1, w=1 / t)
        table[name] = {
            "power": np.polyfit(np.log(sizes), np.log(t), 1)[0],
            "last": np.log2(t[-1] / t[-2]),
            "fixed": fixed / (fixed + slope * size),
        }
    save(
        pd.DataFrame(rows, columns=["name", "size", "seconds"]), RESULTS / "growth.csv"
    )
    return pd.DataFrame(table).T


def main():
    """Run all parts from the command line."""
    warnings.simplefilter("ignore")
    print(environment())
    figures = []
    for part in (predictions, searches, imports, memory, growth):
        table = pd.DataFrame(part())
        print(f"\n{part.__doc__.splitlines()[0]}\n{table.round(4).to_string()}")
        long = table.rename_axis("row").reset_index().melt("row", var_name="column")
        figures.append(long.assign(part=part.__name__).dropna())
    columns = ["part", "row", "column", "value"]
    save(pd.concat(figures)[columns], RESULTS / "costs.csv")


if __name__ == "__main__":
    main()
