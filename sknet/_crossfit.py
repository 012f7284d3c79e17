"""Out-of-fold logits: each row's prediction by the one member that never trains on it.

Rows are dealt into as many folds as there are members, and member j gives fold j the
weight zero. Every training forward pass computes the logits of all members all the
same, so that an honest prediction of every row comes with each epoch. With dropout
these would be of thinned networks: then each row goes once more through its own member.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import brentq

from sknet._losses import fit_temperature
from sknet._network import TwoLayerNetwork
from sknet._prediction import raw_blocks
from sknet._standardizer import Standardizer
from sknet._training import Dataset

Array = NDArray[np.floating]

MOST_LOGITS = 1 << 18  # of the rows that tell how much the members differ
LOWEST_FACTOR = 0.5  # of the temperature of the mean, over that of the members
SMALLEST_LOSS = 1e-9  # of sharpness: less is rounding


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


def temperature_of_mean(
    network: TwoLayerNetwork,
    standardizer: Standardizer,
    data: Dataset,
    temperature: float,
) -> float:
    r"""Temperature for the members' mean, when ``temperature`` calibrates each alone.

    A mean of probabilities is less sure than they are, and yet it errs less. For the
    quadratic score both are known without labels. The mean's score is the members'
    minus their variance V (Krogh and Vedelsby 1995), and that of a calibrated
    prediction is 1 - S with the sharpness S, the expected sum of squared probabilities.
    V is the sharpness that the mean loses, and so the mean should have

    .. math:: S(\text{mean}) = S(\text{members}) + V, \qquad
        V = S(\text{members}) - S(\text{mean at the members' temperature})

    The rows are those trained on, of which each member has seen almost all: they differ
    less than on new rows, and the result is on the cautious side.
    """
    k, o = network.shape.n_members, network.shape.n_outputs
    some = slice(max(64, min(4096, MOST_LOGITS // (k * o))))
    rows, weight = data.rows[some], data.weight[0, some]
    blocks = raw_blocks(network, standardizer, data.X, rows)
    raw = np.concatenate([block for _, block in blocks], axis=1).astype(np.float64)

    def _sharpness(logits: Array, temperature: float) -> float:
        proba = network.loss.mean_proba(logits / temperature)
        return float(np.average((proba**2).sum(axis=1), weights=weight))

    alone = [_sharpness(own[np.newaxis], temperature) for own in raw]
    lost = float(np.mean(alone)) - _sharpness(raw, temperature)
    target = float(np.mean(alone)) + lost
    lowest = temperature * LOWEST_FACTOR
    if lost <= SMALLEST_LOSS or not np.isfinite(target):
        return temperature
    if _sharpness(raw, lowest) <= target:
        return lowest
    # brentq leaves its function in a cycle, which only the garbage collector ends: what
    # it is given must not hold the rows' logits and weights and the network for so long
    held = [lambda t: _sharpness(raw, t) - target]
    try:
        return brentq(lambda t: held[0](t), lowest, temperature, rtol=1e-3)
    finally:
        held.clear()


def out_of_fold_proba(
    network: TwoLayerNetwork,
    standardizer: Standardizer,
    X: NDArray | sp.csr_array,
    fold: NDArray[np.intp],
    temperature: float,
    mean_temperature: float,
) -> Array:
    """Probabilities (n_samples, n_classes) by the member that never saw each row.

    NaN for a row that all members trained on (fold -1); the members' mean, at its own
    temperature, for one that none did (fold -2).
    """
    proba = np.empty((X.shape[0], network.loss.n_classes), network.params.dtype)
    for part, raw in raw_blocks(network, standardizer, X):
        of_row = fold[part]
        own = raw[np.maximum(of_row, 0), np.arange(len(of_row))] / temperature
        of_part = network.loss.mean_proba(own[np.newaxis])
        of_part[of_row == -1] = np.nan
        unseen = of_row == -2
        if unseen.any():
            of_part[unseen] = network.loss.mean_proba(raw[:, unseen] / mean_temperature)
        proba[part] = of_part
    return proba
