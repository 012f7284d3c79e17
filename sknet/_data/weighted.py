"""Distinct rows with weights, in an order that depends only on their values.

A fit depends on the weighted data, not on the order or the copies of rows.
``distinct_rows`` drops rows of weight zero, sorts the others by a hash of their values
and merges equal (x, y) rows, adding their weights. The result is the same, bit for bit,
for a row of weight 3 and for three copies of it. X is only read, never copied.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

BLOCK_ELEMENTS = 1 << 18  # of X converted to float64 at a time: 2 MB

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Dataset(NamedTuple):
    """Rows of X, selected by an index."""

    X: NDArray | sp.csr_array
    rows: NDArray[np.intp]  # (n,) rows of X; in training, in the order of their hashes
    y: NDArray[np.intp]  # (n,) class indices
    weight: NDArray[np.floating]  # (n,); in training (1 or k, n), with mean 1
    hashes: NDArray[np.uint64] | None = None  # (n,) of each x, while rows are split

    def take(self, part):
        """Rows selected by a mask or by positions."""
        hashes = None if self.hashes is None else self.hashes[part]
        weight = self.weight[..., part]
        return Dataset(self.X, self.rows[part], self.y[part], weight, hashes)


def float_blocks(X, rows, copy=True) -> Iterator:
    """Pairs of a slice of ``rows`` and those rows of X as float64 arrays.

    They are new arrays, unless ``copy`` is False and the rows are consecutive.
    """
    sparse = sp.issparse(X)
    per_row = 1 + X.nnz // X.shape[0] if sparse else X.shape[1]
    step = max(1, BLOCK_ELEMENTS // per_row)
    views = not copy and (np.diff(rows) == 1).all()
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        index = rows[part]
        block = X[index[0] : index[-1] + 1] if views else X[index]
        if sparse:
            yield part, block.astype(np.float64)
        else:
            yield part, np.ascontiguousarray(block, np.float64)


def _mix(bits):
    """Splitmix64's finalizer (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def _value_bits(values):
    """Mix the bits of float64 values so that a product with an odd constant is a hash.

    0.0 and -0.0 give the same bits, and so do all missing values. Small integers and
    round numbers differ only in their high bits. The bits are shifted right, multiplied
    and shifted right again, so that any two values differ in low bits and their
    products with an odd constant differ in all bits. Zero stays zero.
    """
    values = values + 0.0
    values[np.isnan(values)] = np.nan  # of one form
    bits = values.view(np.uint64)
    bits ^= bits >> np.uint64(32)
    bits *= _MIX_1
    bits ^= bits >> np.uint64(32)
    return bits


def row_hash(X, rows, group=None):
    """64-bit hash (n,) of the rows' values, for any dtype, order and container of X.

    ``group`` (n_samples,) is treated as an additional column.

    A row's hash is computed from the sum of its entries' hashes. Zeros add nothing, so
    dense and sparse rows agree. The constants of the columns do not depend on a seed.
    """
    constants = _mix(np.arange(1, X.shape[1] + 1, dtype=np.uint64) * _GOLDEN)
    constants |= np.uint64(1)
    hashes = np.empty(len(rows), np.uint64)
    for part, block in float_blocks(X, rows, copy=False):
        if sp.issparse(block):
            entries = _value_bits(block.data) * constants[block.indices]
            total = np.concatenate([[np.uint64(0)], np.cumsum(entries)])
            hashes[part] = total[block.indptr[1:]] - total[block.indptr[:-1]]
        else:
            np.einsum("nd,d->n", _value_bits(block), constants, out=hashes[part])
    if group is not None:
        hashes += _mix(group[rows].astype(np.uint64) * _GOLDEN)
    return _mix(hashes)


def distinct_rows(X, y, sample_weight, group=None):
    """Distinct (x, y) rows of positive weight, in the order of their hashes.

    Rows with the same hash are ordered by label and then by weight, so that sums of
    weights do not depend on the order of the rows.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    y : ndarray of int of shape (n_samples,)
    sample_weight : ndarray of float64 of shape (n_samples,)
    group : ndarray of int of shape (n_samples,) or None
        Rows of different groups are distinct.
    """
    rows = np.flatnonzero(sample_weight > 0)
    hashes = row_hash(X, rows, group)
    order = np.argsort(hashes)
    if (hashes[order[1:]] == hashes[order[:-1]]).any():
        order = np.lexsort((sample_weight[rows], y[rows], hashes))
    rows, hashes = rows[order], hashes[order]
    repeats = (hashes[1:] == hashes[:-1]) & (y[rows[1:]] == y[rows[:-1]])
    repeats = np.flatnonzero(repeats) + 1
    repeats = repeats[_equal_rows(X, rows[repeats], rows[repeats - 1])]
    if group is not None:
        repeats = repeats[group[rows[repeats]] == group[rows[repeats - 1]]]
    first = np.delete(np.arange(len(rows)), repeats)
    weight = np.add.reduceat(sample_weight[rows], first)
    return Dataset(X, rows[first], y[rows[first]], weight, hashes[first])


def _equal_rows(X, left, right):
    """Whether row left[i] equals row right[i]: different rows may share a hash."""
    equal = np.ones(len(left), dtype=bool)
    for (part, a), (_, b) in zip(
        float_blocks(X, left), float_blocks(X, right), strict=True
    ):
        if sp.issparse(a):
            equal[part] = np.diff(sp.csr_array(a - b != 0).indptr) == 0
        else:
            equal[part] = ((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=1)
    return equal


def weighted_quantiles(values, weight, levels):
    """The smallest value of each column at which the summed weight reaches each share.

    A row of weight k counts exactly as k copies. Missing values are ignored.

    Parameters
    ----------
    values : ndarray of shape (n, d)
    weight : ndarray of shape (n,)
    levels : array-like of shape (q,)
        Shares between 0 and 1.

    Returns
    -------
    quantiles : ndarray of shape (q, d)
    """
    # where a share is reached exactly, rounding must not change the result
    levels = np.asarray(levels) - 1e-9
    quantiles = np.empty((len(levels), values.shape[1]))
    for j, column in enumerate(values.T):
        order = column.argsort()
        share = np.cumsum(np.where(np.isnan(column), 0.0, weight)[order])
        place = np.searchsorted(share, levels * share[-1])
        quantiles[:, j] = column[order[place]]
    return quantiles
