"""Rows as a weighted set: distinct, in an order that only their content decides.

A fit is a function of the weighted data, not of how the data are written down.
``distinct_rows`` drops rows of weight zero, sorts the others by a hash of their values
and merges equal (x, y) rows, adding their weights. After it, weight 3 and three copies
are the same arrays, bit for bit. X itself is read, never copied.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

BLOCK_ELEMENTS = 1 << 18  # of X converted to float64 at a time: 2 MB

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class DistinctRows(NamedTuple):
    """Indices into X and y, with the weight and the hash of each x."""

    rows: np.ndarray
    weight: np.ndarray
    hashes: np.ndarray

    def take(self, part):
        """Some of the rows, by a mask or by positions."""
        return DistinctRows(self.rows[part], self.weight[part], self.hashes[part])


def float_blocks(X, rows, copy=True) -> Iterator:
    """Pairs of a slice of ``rows`` and those rows of X as float64 arrays.

    They are new arrays, unless ``copy`` is False and the rows follow one another.
    """
    views = not copy and len(rows) and rows[-1] - rows[0] == len(rows) - 1
    views = views and (np.diff(rows) == 1).all()
    per_row = X.shape[1]
    if sp.issparse(X):
        per_row = 1 + X.nnz // max(1, X.shape[0])
    step = max(1, BLOCK_ELEMENTS // max(1, per_row))
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        index = (
            slice(rows[0] + part.start, rows[0] + part.stop) if views else rows[part]
        )
        block = X[index]
        if sp.issparse(block):
            data = block.data.astype(np.float64)
            block = sp.csr_array((data, block.indices, block.indptr), shape=block.shape)
        else:
            block = block.astype(np.float64, order="C", copy=False)
        yield part, block


def _mix(bits):
    """Splitmix64's finalizer (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def _value_bits(values):
    """Bits of float64 entries, mixed so that a product with an odd constant is a hash.

    0.0 and -0.0 are alike, and so are all missing values. Small integers and round
    numbers differ in their high bits alone. These are shifted down, multiplied up and
    shifted down once more, so that any two values differ in low bits, and their
    products with an odd constant in all bits. Zero stays zero.
    """
    values = values + 0.0
    values[np.isnan(values)] = np.nan  # of one form
    bits = values.view(np.uint64)
    bits ^= bits >> np.uint64(32)
    bits *= _MIX_1
    bits ^= bits >> np.uint64(32)
    return bits


def row_hash(X, rows, group=None):
    """64-bit hash (n,) of the rows' values, whatever X's dtype, order or container.

    ``group`` (n_samples,) counts as one more column.

    A row's hash mixes the sum of its entries' hashes. Zeros count nothing, so that
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

    Rows of one hash are ordered by label and then by weight, so that sums of weights do
    not depend on the order of the rows either.

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
    weight = sample_weight[rows]
    if len(repeats) == 0:
        return DistinctRows(rows, weight, hashes)
    is_first = np.ones(len(rows), dtype=bool)
    is_first[repeats] = False
    first = np.flatnonzero(is_first)
    return DistinctRows(rows[first], np.add.reduceat(weight, first), hashes[first])


def _equal_rows(X, left, right):
    """Whether row left[i] equals row right[i], for each i: a hash alone may err."""
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
    """The smallest value of each column that has at least this share of the weight.

    Weight k counts exactly as k copies. Missing values do not count.

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
    order = values.argsort(axis=0)
    values = np.take_along_axis(values, order, axis=0)
    share = np.cumsum(np.where(np.isnan(values), 0.0, weight[order]), axis=0)
    quantiles = np.empty((len(levels), values.shape[1]))
    for level, quantile in zip(levels, quantiles, strict=True):
        # where the share is reached exactly, the sum's rounding must not decide
        place = np.argmax(share >= (level - 1e-9) * share[-1], axis=0)
        quantile[:] = np.take_along_axis(values, place[np.newaxis], axis=0)[0]
    return quantiles
