"""Per-column mean and standard deviation of the training rows, for any finite numbers.

scikit-learn's StandardScaler does the sums, block by block, with the rows' weights.
Before that, each column is shifted by its smallest value and divided by a power of two
near its range. Both are exact, so that neither 1e200 nor 1e-300 nor a time stamp's
offset costs digits, and so that a constant column has deviation 0 and not rounding
noise.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import StandardScaler

BLOCK_ELEMENTS = 1 << 18  # of X converted to float64 at a time: 2 MB


class ColumnStatistics(NamedTuple):
    """What standardizing needs, and the weight it rests on."""

    mean: np.ndarray  # (d,), zeros for sparse X: it is scaled, not centred
    deviation: np.ndarray  # (d,), 0 for a constant column
    weight: float

    @property
    def scale(self):
        """What to divide by: the deviation, or 1 for a constant column."""
        return np.where(self.deviation > 0, self.deviation, 1.0)

    def merge(self, new):
        """Statistics of both sets of rows (Chan, Golub and LeVeque 1983).

        Merging a set with itself changes no bit.
        """
        share = new.weight / (self.weight + new.weight)
        # half the difference: the difference of two finite numbers may not be finite
        half = 0.5 * new.mean - 0.5 * self.mean
        unit = np.maximum(np.maximum(self.deviation, new.deviation), np.abs(half))
        unit = np.where(unit > 0, unit, 1.0)
        a, b, gap = self.deviation / unit, new.deviation / unit, 2 * (half / unit)
        square = a**2 + share * (b**2 - a**2) + share * (1 - share) * gap**2
        return ColumnStatistics(
            self.mean + 2 * (share * half),
            unit * np.sqrt(square),
            self.weight + new.weight,
        )


def column_statistics(X, rows, weight):
    """Weighted mean and standard deviation (divisor: the sum of weights) of some rows.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    rows : ndarray of int of shape (n,)
    weight : ndarray of shape (n,)
    """
    low, factor = _shift_and_factor(X, rows)
    scaler = StandardScaler(with_mean=not sp.issparse(X))
    for part, block in float_blocks(X, rows):
        if sp.issparse(block):
            block.data *= factor[block.indices]
        else:
            block *= factor
            block -= low * factor
        scaler.partial_fit(block, sample_weight=weight[part])
    deviation = np.sqrt(scaler.var_) / factor
    mean = np.zeros_like(low)
    if not sp.issparse(X):
        mean = low + scaler.mean_ / factor
    return ColumnStatistics(mean, deviation, float(weight.sum()))


def _shift_and_factor(X, rows):
    """Each column's smallest value and a power of two that brings its range near 1."""
    n_features = X.shape[1]
    if sp.issparse(X):
        low, largest = np.zeros(n_features), np.zeros(n_features)
        for _, block in float_blocks(X, rows):
            np.maximum.at(largest, block.indices, np.abs(block.data))
        half_range = largest
    else:
        low, high = np.full(n_features, np.inf), np.full(n_features, -np.inf)
        for _, block in float_blocks(X, rows):
            np.minimum(low, block.min(axis=0), out=low)
            np.maximum(high, block.max(axis=0), out=high)
        half_range = 0.5 * high - 0.5 * low
    exponent = np.clip(np.frexp(half_range)[1], -1000, 1000)
    return low, np.ldexp(1.0, -exponent)


def float_blocks(X, rows) -> Iterator:
    """Pairs of a slice of ``rows`` and those rows of X as new float64 arrays."""
    per_row = X.shape[1]
    if sp.issparse(X):
        per_row = 1 + X.nnz // max(1, X.shape[0])
    step = max(1, BLOCK_ELEMENTS // max(1, per_row))
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        block = X[rows[part]]
        if sp.issparse(X):
            data = block.data.astype(np.float64)
            block = sp.csr_array((data, block.indices, block.indptr), shape=block.shape)
        else:
            block = block.astype(np.float64, order="C")
        yield part, block
