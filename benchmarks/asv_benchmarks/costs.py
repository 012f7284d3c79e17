"""Costs that a user of TwoLayerClassifier meets: time, growth and memory.

``textbook`` is the network of MLPClassifier, which is measured beside it.
"""

import pickle

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from sknet import TwoLayerClassifier

threadpool_limits(1, user_api="blas")  # for this process and what it forks


def textbook(hidden=100, epochs=20, **settings):
    """MLPClassifier's network and optimizer, for all epochs."""
    plain = {"n_estimators": 1, "standardize": False, "dropout": 0.0, "alpha": 0.0}
    plain |= {"early_stopping": False, "learning_rate": "constant", "tol": 0.0}
    plain |= {"max_iter": epochs, "n_iter_no_change": epochs + 1, "batch_size": 200}
    plain |= {"learning_rate_init": 1e-3, "random_state": 0}
    return TwoLayerClassifier(hidden, **plain | settings)


MODELS = {
    "defaults": lambda: TwoLayerClassifier(random_state=0),
    "textbook": textbook,
    "MLPClassifier": lambda: MLPClassifier(max_iter=20, alpha=0.0, random_state=0),
    "textbook, float64": lambda: textbook(dtype="float64"),
    "textbook, sgd": lambda: textbook(solver="sgd"),
    "textbook, tanh": lambda: textbook(activation="tanh"),
    "textbook, lbfgs": lambda: textbook(solver="lbfgs"),
    "textbook, 8 members": lambda: textbook(n_estimators=8),
}
THREE = tuple(MODELS)[:3]


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


class Fit:
    """A fit on digits, 1,797 rows of 64 columns."""

    params = tuple(MODELS)
    param_names = ("model",)

    def setup(self, model):
        self.data, self.model = digits(), MODELS[model]()

    def time_fit(self, model):
        self.model.fit(*self.data)

    def track_pickled_bytes(self, model):
        return len(pickle.dumps(self.model.fit(*self.data)))


class Predict:
    """predict_proba of one row, in three forms, and of many rows."""

    params = (THREE, ("array", "list", "DataFrame", "10,000 rows"))
    param_names = ("model", "rows")

    def setup(self, model, form):
        X, y = digits()
        frame = pd.DataFrame(X).rename(columns="pixel {}".format)
        model = MODELS[model]().set_params(max_iter=5)
        self.model = model.fit(frame if form == "DataFrame" else X, y)
        forms = {"array": X[:1], "list": X[:1].tolist(), "DataFrame": frame[:1]}
        self.rows = forms.get(form, np.tile(X, (6, 1))[:10_000])

    def time_predict_proba(self, model, form):
        self.model.predict_proba(self.rows)


class Stream:
    """One call of partial_fit on some rows of digits."""

    params = (THREE, (1, 32, 200))
    param_names = ("model", "rows")

    def setup(self, model, n):
        X, y = digits()
        self.data, self.model = (X[:n], y[:n]), MODELS[model]()
        self.model.partial_fit(*self.data, classes=np.unique(y))

    def time_partial_fit(self, model, n):
        self.model.partial_fit(*self.data)


class Growth:
    """8,000 rows, 100 columns, 100 units, 5 classes, 4 epochs, and more of one."""

    params = (("rows", "columns", "units", "classes", "epochs"), (1, 2, 4, 8))
    param_names = ("of", "times")

    def setup(self, of, times):
        sizes = {"rows": 8000, "columns": 100, "units": 100, "classes": 5, "epochs": 4}
        sizes[of] *= times
        n, d, hidden, n_classes, epochs = sizes.values()
        self.X = np.random.default_rng(0).normal(size=(n, d))
        self.y, self.model = np.arange(n) % n_classes, textbook(hidden, epochs)

    def time_fit(self, of, times):
        self.model.fit(self.X, self.y)


class Memory:
    """One epoch; with ``nothing`` the process and the data are measured alone."""

    params = (
        ("nothing", "defaults", "MLPClassifier"),
        ("60,000 x 784 uint8", "100,000 x 50 float32", "3,000 x 50,000 sparse"),
    )
    param_names = ("model", "data")

    def setup(self, model, data):
        rng = np.random.default_rng(0)
        if data.endswith("uint8"):
            self.X = rng.integers(0, 256, size=(60_000, 784), dtype=np.uint8)
        elif data.endswith("float32"):
            self.X = rng.random((100_000, 50), dtype=np.float32)
        else:
            columns, starts = rng.integers(0, 50_000, 150_000), np.arange(3_001) * 50
            self.X = sp.csr_array((np.ones(150_000), columns, starts))
            self.X.sum_duplicates()
        self.y = np.arange(self.X.shape[0]) % 10

    def peakmem_fit(self, model, data):
        if model in MODELS:
            MODELS[model]().set_params(max_iter=1).fit(self.X, self.y)


def timeraw_import_sknet():
    return "import sknet"


def timeraw_import_mlp():
    return "import sklearn.neural_network"
