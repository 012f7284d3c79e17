"""From raw rows to probabilities, block by block: no copy of X, bounded memory."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sknet._network import TwoLayerNetwork
from sknet._standardizer import Standardizer
from sknet._training import Dataset

Array = NDArray[np.floating]

BLOCK_ELEMENTS = 1 << 18  # of inputs or hidden units at a time: 1 MB in float32


def raw_blocks(
    network: TwoLayerNetwork,
    standardizer: Standardizer,
    X: NDArray | sp.csr_array,
    rows: NDArray[np.intp] | None = None,
    member: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Pairs of a slice of the rows and their logits (k, m, o), or (1, m, o) of one.

    All of X if no ``rows`` are given.
    """
    n = X.shape[0] if rows is None else len(rows)
    d, h, o, k = network.shape
    k = k if member is None else 1
    step = max(1, BLOCK_ELEMENTS // max(d if not sp.issparse(X) else 1, k * h, k * o))
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        inputs, shift = standardizer.take(X, part if rows is None else rows[part])
        yield part, network.raw_prediction(inputs, shift, member)


def predict_rows(
    network: TwoLayerNetwork,
    standardizer: Standardizer,
    X: NDArray | sp.csr_array,
    reduce: Callable[[Array], NDArray],
    temperature: float = 1.0,
) -> NDArray:
    """Apply ``reduce``, a loss's map from logits to one row per sample, to all of X."""
    n, whole = X.shape[0], None
    for part, raw in raw_blocks(network, standardizer, X):
        if temperature != 1.0:
            raw *= 1 / temperature
        reduced = reduce(raw)
        if len(reduced) == n:
            return reduced
        if whole is None:  # joining the blocks at the end would take twice the memory
            whole = np.empty((n, *reduced.shape[1:]), reduced.dtype)
        whole[part] = reduced
    assert whole is not None
    return whole


class ValidationLoss:
    """Weighted mean log-loss of the members' averaged probabilities on some rows."""

    def __init__(
        self, network: TwoLayerNetwork, standardizer: Standardizer, data: Dataset
    ) -> None:
        self.network = network
        self.standardizer = standardizer
        self.data = data

    def __call__(self) -> float:
        """The loss of the network as it is now."""
        X, rows, y, (weight,) = self.data
        total = 0.0
        for part, raw in raw_blocks(self.network, self.standardizer, X, rows):
            log_proba = self.network.loss.log_mean_proba(raw)
            of_label = np.take_along_axis(log_proba, y[part, np.newaxis], axis=1)
            total -= float(weight[part] @ of_label[:, 0])
        return total / float(weight.sum())
