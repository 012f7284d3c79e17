"""Out-of-fold logits: each row's prediction by the one member that never trains on it.

Rows are dealt into as many folds as there are members, and member j gives fold j the
weight zero. Every training forward pass computes the logits of all members all the
same, so that an honest prediction of every row comes with each epoch, at no second
pass.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sknet._losses import fit_temperature
from sknet._network import TwoLayerNetwork
from sknet._prediction import raw_blocks
from sknet._standardizer import Standardizer
from sknet._training import Dataset

Array = NDArray[np.floating]


def member_weights(weight: Array, fold: NDArray[np.intp], n_members: int) -> Array:
    """Weights (k, n) with mean 1 over the rows; zero in each member's own fold.

    A member that would be left without rows trains on all.
    """
    weights = np.where(fold == np.arange(n_members)[:, np.newaxis], 0.0, weight)
    weights[~weights.any(axis=1)] = weight
    return weights / weights.mean(axis=1, keepdims=True)


class OutOfFold:
    """Collects out-of-fold logits while members train, and judges them.

    Parameters
    ----------
    network : TwoLayerNetwork
    standardizer : Standardizer
    data : Dataset
        With the rows' own weights (1, n).
    fold : ndarray of int of shape (n,)
        The member that does not train on each row; -1 if all do: then it is not judged.
    """

    def __init__(
        self,
        network: TwoLayerNetwork,
        standardizer: Standardizer,
        data: Dataset,
        fold: NDArray[np.intp],
    ) -> None:
        n = len(data.rows)
        self.network = network
        self.standardizer = standardizer
        self.data = data
        self.fold = fold
        self.weight = np.where(fold < 0, 0, data.weight[0])
        self.raw = np.zeros((n, network.shape.n_outputs), network.params.dtype)
        self.temperature = self.best_temperature = 1.0
        self._own = [np.flatnonzero(fold == j) for j in range(network.shape.n_members)]

    @property
    def in_passing(self) -> Callable[[NDArray[np.intp], Array], None] | None:
        """``collect``, unless training has logits of thinned networks only."""
        thinned = self.network.dropout or self.network.input_dropout
        return None if thinned else self.collect

    def collect(self, rows: NDArray[np.intp], raw: Array) -> None:
        """Take over the logits (k, m, o) of the rows at these positions."""
        self.raw[rows] = raw[self.fold[rows], np.arange(len(rows))]

    def __call__(self) -> float:
        """Weighted mean out-of-fold log-loss, at the temperature that suits it best.

        An epoch is judged by what it can give after calibration: over-confidence, which
        the temperature mends, must not stop training that still gains in accuracy
        (Berta, Holzmueller, Jordan and Bach 2025).
        """
        if self.in_passing is None:
            self.predict_all()
        return self.calibrate()

    def predict_all(self) -> None:
        """Compute the logits of all rows anew, without dropout.

        Each row goes through its own member only: a k-th of the work of a forward pass.
        """
        X, rows, *_ = self.data
        for j, own in enumerate(self._own):
            blocks = raw_blocks(self.network, self.standardizer, X, rows[own], j)
            for part, raw in blocks:
                self.raw[own[part]] = raw[0]

    def calibrate(self) -> float:
        """Fit the temperature to the logits; returns their loss at it."""
        self.temperature, loss = fit_temperature(
            self.network.loss, self.raw, self.data.y, self.weight, self.temperature
        )
        return loss

    def keep(self) -> None:
        """Remember the temperature as that of the best epoch."""
        self.best_temperature = self.temperature


def out_of_fold_proba(
    network: TwoLayerNetwork,
    standardizer: Standardizer,
    X: NDArray | sp.csr_array,
    fold: NDArray[np.intp],
    temperature: float,
) -> Array:
    """Probabilities (n_samples, n_classes) by the member that never saw each row.

    NaN for a row that all members trained on (fold -1); the members' mean for one that
    none did (fold -2).
    """
    proba = np.empty((X.shape[0], network.loss.n_classes), network.params.dtype)
    for part, raw in raw_blocks(network, standardizer, X):
        raw *= 1 / temperature
        of_row = fold[part]
        own = raw[np.maximum(of_row, 0), np.arange(len(of_row))]
        of_part = network.loss.mean_proba(own[np.newaxis])
        of_part[of_row == -1] = np.nan
        unseen = of_row == -2
        if unseen.any():
            of_part[unseen] = network.loss.mean_proba(raw[:, unseen])
        proba[part] = of_part
    return proba
