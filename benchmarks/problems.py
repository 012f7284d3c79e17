"""Named problems for the speed benchmark: rows, labels and the work to do on them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.preprocessing import scale


class Problem(NamedTuple):
    """Data, and what every competitor is to do with them."""

    X: np.ndarray | sp.csr_array  # float64, as most users have it
    y: np.ndarray
    hidden: int
    batch: int
    epochs: int


def _iris():
    X, y = load_iris(return_X_y=True)
    return Problem(scale(X), y, 10, 32, 100)


def _cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return Problem(scale(X), y, 100, 200, 100)


def _digits(hidden=100, epochs=40):
    X, y = load_digits(return_X_y=True)
    return Problem(X / 16, y, hidden, 200, epochs)


def _mnist(path, n, hidden, epochs):
    """The first rows of a fixed shuffle; noise of the same shape without a file."""
    rng = np.random.default_rng(0)
    if path is None:
        X, y = rng.random((n, 784)), rng.integers(0, 10, size=n)
        return Problem(X * (X > 0.8), y, hidden, 200, epochs)
    with np.load(path) as data:
        rows = rng.permutation(len(data["y_train"]))[:n]
        X, y = data["X_train"][rows] / 255.0, data["y_train"][rows]
    return Problem(X, y, hidden, 200, epochs)


def _million(n=1_000_000):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 20))
    y = (X @ rng.normal(size=20) + np.abs(X[:, 0]) > 1).astype(int)
    return Problem(X, y, 64, 1024, 5)


def _text(n=20_000, d=50_000, density=1e-3):
    """Counts that fall off as words do: a few columns in most rows, most in few."""
    rng = np.random.default_rng(0)
    per_row = int(d * density)
    columns = (d * rng.random((n, per_row)) ** 3).astype(np.int32)
    data = 1.0 + rng.poisson(0.3, size=columns.size)
    X = sp.csr_array((data, columns.ravel(), np.arange(n + 1) * per_row), shape=(n, d))
    X.sum_duplicates()
    return Problem(X, (X @ rng.normal(size=d) > 0).astype(int), 100, 200, 2)


def mnist_source(path):
    """What the problems of MNIST's shape are made of."""
    return "noise of MNIST's shape" if path is None else "MNIST from a file"


def problems(mnist=None) -> dict[str, Callable[[], Problem]]:
    """Makers by name; ``mnist`` is the path of an .npz file, None for noise."""
    pixels = "noise" if mnist is None else "MNIST"
    return {
        "iris": _iris,
        "cancer": _cancer,
        "digits": _digits,
        "digits wide": lambda: _digits(512, 20),
        f"{pixels} 20k, 100 units": lambda: _mnist(mnist, 20_000, 100, 10),
        f"{pixels} 8k, 800 units": lambda: _mnist(mnist, 8_000, 800, 5),
        "1M x 20": _million,
        "sparse text": _text,
    }
