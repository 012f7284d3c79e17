"""What else a user waits or pays for: predictions, streams, solvers, memory and such.

    python benchmarks/costs.py
    python benchmarks/costs.py --parts streams solvers --out FOLDER

Times are medians of interleaved repeats with one BLAS thread; memory is the peak of
what a fit allocates, by tracemalloc. All figures go to results/costs.csv, and what the
growth was measured by to results/growth.csv.
"""

import argparse
import contextlib
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads its BLAS

import floors
import numpy as np
import pandas as pd
import scipy.optimize
import scipy.sparse as sp
from problems import Problem, problems
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from speed import RESULTS, environment, save
from trainers import PLAIN, mlp, ours

from sknet import TwoLayerClassifier, _training
from sknet._training import READY_BYTES

EPOCHS = 20  # of the solvers


def turns(calls, repeats):
    """Seconds of each named call, the calls taking turns: a row a turn."""
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return pd.DataFrame(seconds)


def medians(calls, repeats):
    """Median seconds of each named call."""
    return turns(calls, repeats).median()


def fitted(problem):
    """Models to predict with."""
    models = {"ours": ours(problem), "MLPClassifier": mlp(problem)}
    models["ours, defaults"] = TwoLayerClassifier(random_state=0).fit(
        problem.X, problem.y
    )
    return models


def predictions():
    """predict_proba of one row and of 10,000, on digits; size of the pickle."""
    problem = problems()["digits"]()._replace(epochs=5)
    frame = pd.DataFrame(problem.X).rename(columns="pixel {}".format)
    models, of_frame = fitted(problem), fitted(problem._replace(X=frame))
    many = np.tile(problem.X, (6, 1))[:10_000]
    columns = {}
    for label, X, repeats in (
        ("one row", many[:1], 2000),
        ("one row of uint8", (16 * many[:1]).astype(np.uint8), 2000),
        ("one row, a list", many[:1].tolist(), 2000),
        ("one row, a DataFrame", frame[:1], 500),
        ("10,000 rows", many, 20),
    ):
        asked = of_frame if isinstance(X, pd.DataFrame) else models
        calls = {name: lambda m=m, X=X: m.predict_proba(X) for name, m in asked.items()}
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
    common = {"batch_size": 200, "max_iter": 20, "tol": 0.0, "n_iter_no_change": 21}
    estimators = {
        "ours": TwoLayerClassifier(100, **{**PLAIN, **common}),
        "MLPClassifier": MLPClassifier((100,), **common, random_state=0),
    }
    columns = {}
    for n_jobs in (1, 2):
        calls = {
            name: GridSearchCV(e, SEARCHED, n_jobs=n_jobs).fit
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


SEARCHED = {
    "alpha": [1e-4, 1e-3, 1e-2, 1e-1],
    "learning_rate_init": [1e-3, 3e-3, 1e-2],
}


class Checks(ClassifierMixin, BaseEstimator):
    """What any classifier does: scikit-learn's checks of X and y, and the classes."""

    def __init__(self, alpha=0.0, learning_rate_init=0.0):
        self.alpha = alpha
        self.learning_rate_init = learning_rate_init

    def fit(self, X, y):
        """Learn nothing."""
        _, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_ = np.unique(y, return_inverse=True)[0]
        return self

    def predict(self, X):
        """The first class."""
        return np.full(len(validate_data(self, X, reset=False)), self.classes_[0])


def checks():
    """Seconds of a fit, and of the search above, that checks but learns nothing."""
    table = {}
    for name in ("digits", "noise 20k, 100 units"):  # any rows take as long
        p = problems()[name]()
        table[name] = medians({"s": lambda p=p: Checks().fit(p.X, p.y)}, 20)
    X, y = load_digits(return_X_y=True)
    search = GridSearchCV(Checks(), SEARCHED)
    table["GridSearchCV"] = medians({"s": lambda: search.fit(X / 16, y)}, 5)
    return pd.DataFrame(table).T


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


def streams():
    """Milliseconds of one partial_fit call on digits, by the rows of a batch.

    A call is one step, but at our defaults, which make steps of 32 rows.
    """
    X, y = load_digits(return_X_y=True)
    X /= 16
    one_member = {"n_estimators": 1, "random_state": 0}
    table = {}
    for n in (1, 32, 200):
        models = {
            "ours": TwoLayerClassifier(100, batch_size=200, **PLAIN),
            "ours, one member": TwoLayerClassifier(100, **one_member),
            "MLPClassifier": MLPClassifier((100,), random_state=0),
        }
        for model in models.values():
            model.partial_fit(X[:n], y[:n], classes=np.unique(y))
        calls = {
            name: lambda m=m, n=n: m.partial_fit(X[:n], y[:n])
            for name, m in models.items()
        }
        table[f"{n} rows" if n > 1 else "one row"] = 1e3 * medians(calls, 300)
    return pd.DataFrame(table).T


@contextlib.contextmanager
def counted_evaluations():
    """A list of how often each run of scipy.optimize.minimize asks for the objective.

    MLPClassifier finds it in SciPy's module, ours under a name of its own.
    """
    counts, minimize = [], scipy.optimize.minimize

    def counting(*args, **settings):
        result = minimize(*args, **settings)
        counts.append(result.nfev)
        return result

    with (
        mock.patch.object(scipy.optimize, "minimize", counting),
        mock.patch.object(_training, "minimize", counting),
    ):
        yield counts


def solvers():
    """MLPClassifier's time over ours on digits, 100 units, X in float64 and float32.

    The same epochs for all solvers but lbfgs, which is compared by evaluation of the
    objective; there ours computes in float64 whatever X is.
    """
    cases = {
        "adam in float64": ({"dtype": "float64"}, {}),
        "sgd": ({"solver": "sgd"}, {"solver": "sgd"}),
        "tanh": ({"activation": "tanh"}, {"activation": "tanh"}),
        "lbfgs": ({"solver": "lbfgs"}, {"solver": "lbfgs"}),
    }
    return pd.DataFrame({name: _ratios(*case) for name, case in cases.items()}).T


def _ratios(of_ours, of_mlp):
    """Time of MLPClassifier, both kinds, over ours; ours in ms, an epoch or call."""
    X, y = load_digits(return_X_y=True)
    X /= 16
    common = {"batch_size": 200, "max_iter": EPOCHS, "tol": 0.0}
    common["n_iter_no_change"] = EPOCHS + 1
    plain = {"learning_rate_init": 1e-3, "alpha": 0.0, "random_state": 0}
    clf = TwoLayerClassifier(100, **{**PLAIN, **common, **of_ours})
    peer = MLPClassifier((100,), **{**plain, **common, **of_mlp})
    X32 = X.astype(np.float32)
    calls = {
        "ours": lambda: clf.fit(X, y),
        "float64": lambda: peer.fit(X, y),
        "float32": lambda: peer.fit(X32, y),
    }
    work = dict.fromkeys(calls, EPOCHS)
    if of_ours.get("solver") == "lbfgs":
        for name, call in calls.items():
            with counted_evaluations() as counts:
                call()
            (work[name],) = counts
    elif "dtype" in of_ours:
        del calls["float32"]
    each = medians(calls, 9) / pd.Series(work)
    if not clf.n_iter_ == peer.n_iter_ == EPOCHS:
        raise RuntimeError(f"{clf.n_iter_} and {peer.n_iter_}, not {EPOCHS} epochs")
    ratios = (each / each["ours"]).drop("ours")
    return pd.concat(
        [
            ratios.rename("MLPClassifier, {}, over ours".format),
            pd.Series({"ours, ms": 1e3 * each["ours"]}),
            pd.Series({f"epochs or evaluations, {n}": work[n] for n in calls}),
        ]
    )


def memory(d=784):
    """Peak of a fit at the defaults beyond X, MB, and what of ours must be.

    uint8 rows: on either side of where inputs are made once a fit (``READY_BYTES``),
    and as many as MNIST has. Sparse rows: 3,000 x 50,000, one entry in a thousand.
    """
    most = READY_BYTES // (4 * (d + 1))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(60_000, d), dtype=np.uint8)
    words = sp.random_array(
        (3_000, 50_000), density=1e-3, format="csr", rng=np.random.default_rng(0)
    )
    y = rng.integers(0, 10, size=len(pixels))
    table = {}
    for n in (most, most + 1, len(pixels)):
        table[f"{n} rows"] = _memory(TwoLayerClassifier, pixels[:n], y[:n])
    table[f"{n} rows, MLPClassifier"] = _memory(MLPClassifier, pixels, y)
    table["sparse"] = _memory(TwoLayerClassifier, words, y[:3_000])
    table["sparse, MLPClassifier"] = _memory(MLPClassifier, words, y[:3_000])
    return pd.DataFrame(table).T


def _model(kind):
    model = kind(random_state=0, max_iter=1)
    if kind is TwoLayerClassifier:
        model.set_params(learning_rate="constant")
    return model


def _resident(kind, X, y):
    """How far resident memory rises in a fit, where the kernel tells; else NaN."""

    def _status(name):
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(1024 * int(s.split()[1]) for s in lines if s.startswith(name))

    model = _model(kind).fit(X[:2000], y[:2000])
    try:
        Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the highest so far
        before = _status("VmRSS")
        model.fit(X, y)
        return _status("VmHWM") - before
    except OSError:
        return np.nan


def _memory(kind, X, y):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        resident = fresh.submit(_resident, kind, X, y).result()
    model = _model(kind).fit(X[:2000], y[:2000])  # what is loaded once
    parts = [X.data, X.indices, X.indptr] if sp.issparse(X) else [X]
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figures = {"X": sum(part.nbytes for part in parts), "peak": peak}
    figures["resident"] = resident
    if kind is TwoLayerClassifier:
        figures["float32 parameters"] = 4 * model._params.size
        figures["index of the rows"] = 8 * X.shape[0]
    return pd.Series(figures) / 1e6


def growth(folder=RESULTS):
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
    columns = ["name", "size", "seconds"]
    save(pd.DataFrame(rows, columns=columns), folder / "growth.csv")
    return pd.DataFrame(table).T


def report(parts, path):
    """Print the table of each named part, and save all figures, one a row."""
    print(environment())
    figures = []
    for name, part in parts.items():
        table = pd.DataFrame(part())
        print(f"\n{name}\n{table.round(4).to_string()}")
        long = table.rename_axis("row").reset_index().melt("row", var_name="column")
        figures.append(long.assign(part=name).dropna())
    columns = ["part", "row", "column", "value"]
    save(pd.concat(figures)[columns], path)


PARTS = (predictions, streams, solvers, searches, checks, imports, memory, growth)


def main():
    """Run the parts from the command line; a file of fewer parts holds only these."""
    names = [part.__name__ for part in PARTS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", choices=names, default=names)
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    parts = {part.__name__: part for part in PARTS if part.__name__ in options.parts}
    if "growth" in parts:
        parts["growth"] = lambda: growth(options.out)
    report(parts, options.out / "costs.csv")


if __name__ == "__main__":
    main()
