"""Save small models of this version, and what they predict, for later versions."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import skops.io

import sknet
from sknet import TwoLayerClassifier

KINDS = {
    "default": {},
    "float32": {"dtype": "float32"},
    "one-member": {"n_estimators": 1, "early_stopping": True},
    "sgd": {"solver": "sgd", "warm_start": True},
    "lbfgs": {"solver": "lbfgs", "activation": "tanh"},
    "unscaled": {"standardize": False, "activation": "logistic"},
    "stream": {},
}


def problem(n=60):
    """Rows and labels from arithmetic alone: no generator, whose stream may change."""
    i, j = np.arange(n)[:, np.newaxis], np.arange(3)
    X = np.round(np.sin(1.0 + i * (j + 1)) + j, 6)
    label = np.add(X[:, 0] > 0, X[:, 1] > 1.5, dtype=int)
    return X, np.array(["ant", "bee", "cat"])[label]


def fitted(kind):
    """A model of one kind, so small that its file is a few kilobytes."""
    small = {"hidden_layer_size": 3, "n_estimators": 2, "max_iter": 8}
    clf = TwoLayerClassifier(
        **{**small, "dtype": "float64", "random_state": 0, **KINDS[kind]}
    )
    X, y = problem()
    if kind == "float32":
        X = X.astype(np.float32)
    if kind == "stream":
        return clf.partial_fit(X[:40], y[:40], np.unique(y)).partial_fit(X[40:], y[40:])
    return clf.fit(X, y)


def main():
    """Write the folder of this version."""
    folder = Path(__file__).parent / sknet.__version__
    folder.mkdir(exist_ok=True)
    expected = {}
    for kind in KINDS:
        clf = fitted(kind)
        with open(folder / f"{kind}.pickle", "wb") as file:
            pickle.dump(clf, file, protocol=4)
        options = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 9}
        skops.io.dump(clf, folder / f"{kind}.skops", **options)
        expected[kind] = np.round(clf.predict_proba(problem()[0]), 12).tolist()
    with open(folder / "expected.json", "w", encoding="utf-8") as file:
        json.dump(expected, file)


if __name__ == "__main__":
    main()
