"""Rows as a weighted set: hashes, distinct rows, weighted quantiles."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from sknet._data.weighted import (
    distinct_rows,
    float_blocks,
    row_hash,
    weighted_quantiles,
)

each_container = pytest.mark.parametrize("container", [np.asarray, sp.csr_array])


@each_container
def test_distinct_rows_are_what_unique_finds(rng, container):
    X = rng.integers(0, 3, size=(400, 4)).astype(float)
    y = rng.integers(0, 2, size=400)
    weight = rng.integers(0, 4, size=400).astype(float)
    found = distinct_rows(container(X), y, weight)
    kept = weight > 0
    table, inverse = np.unique(
        np.column_stack([X, y])[kept], axis=0, return_inverse=True
    )
    totals = np.bincount(inverse.ravel(), weight[kept])
    expected = {tuple(row): total for row, total in zip(table, totals, strict=True)}
    rows = np.column_stack([X, y])[found.rows]
    assert {tuple(r): w for r, w in zip(rows, found.weight, strict=True)} == expected
    assert len(found.rows) == len(expected)
    assert_array_equal(found.hashes, row_hash(X, found.rows))


def test_fractional_weights_add_up_the_same_in_any_order(rng):
    X = np.repeat(rng.normal(size=(20, 3)), 10, axis=0)
    y, weight = rng.integers(0, 2, size=200), rng.random(200)
    order = rng.permutation(200)
    a = distinct_rows(X, y, weight)
    b = distinct_rows(X[order], y[order], weight[order])
    assert_array_equal(a.weight, b.weight)
    assert_array_equal(X[a.rows], X[order][b.rows])
    assert_array_equal(y[a.rows], y[order][b.rows])


def test_the_hash_sees_values_not_their_dtype_layout_or_container(rng):
    X = rng.integers(0, 5, size=(30, 6))
    rows = np.arange(30)
    expected = row_hash(X.astype(float), rows)
    assert len(set(expected)) == len(np.unique(X, axis=0))
    variants = [X.astype(t) for t in (np.int8, np.uint64, np.float32, np.float16)]
    variants += [np.asfortranarray(X), sp.csr_array(X), sp.csr_array(X.astype(float))]
    for variant in variants:
        assert_array_equal(row_hash(variant, rows), expected)
    zeros = np.array([[0.0, -0.0], [-0.0, 0.0]])
    assert len(set(row_hash(zeros, np.arange(2)))) == 1
    others = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [2, 0, 0]])
    assert len(set(row_hash(others, np.arange(5)))) == 5


@pytest.mark.parametrize("pair", [(-1, 1), (0.5, 2), (255, 256)])
def test_the_hash_of_two_valued_rows_has_64_good_bits(rng, pair):
    """With b bits, n rows have n^2 / 2^(b + 1) collisions: 4 with 33 bits, 0 with 64.

    The values differ in a few of their bits, or in the highest alone.
    """
    n, d = 1 << 18, 40
    words = np.unique(rng.integers(0, 1 << d, size=n))
    X = np.array(pair, np.float32)[words[:, np.newaxis] >> np.arange(d) & 1]
    assert len(np.unique(row_hash(X, np.arange(len(X))))) == len(words)


def test_blocks_cover_the_rows_in_order(rng, monkeypatch):
    monkeypatch.setattr("sknet._data.weighted.BLOCK_ELEMENTS", 10)
    X = rng.integers(0, 9, size=(23, 3)).astype(np.int16)
    rows = rng.permutation(23)[:17]
    for container in (np.asarray, np.asfortranarray, sp.csr_array):
        blocks = list(float_blocks(container(X), rows))
        assert len(blocks) > 1
        together = [b.toarray() if sp.issparse(b) else b for _, b in blocks]
        assert_array_equal(np.vstack(together), X[rows])
        assert_array_equal(np.concatenate([rows[part] for part, _ in blocks]), rows)
        assert together[0].dtype == np.float64


def test_weighted_quantiles_are_those_of_copies(rng):
    values = np.round(rng.normal(size=(50, 3)), 1)
    weight = rng.integers(1, 5, size=50)
    levels = (0.1, 0.25, 0.5, 0.75, 1.0)
    copies = np.repeat(values, weight, axis=0)
    expected = np.quantile(copies, levels, axis=0, method="inverted_cdf")
    for scale in (1.0, 0.7, 1e-3):  # only the weights' ratios count
        assert_array_equal(weighted_quantiles(values, scale * weight, levels), expected)
