"""Minibatches: every row once a pass, with its label and weight."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sknet._data.inputs import Inputs
from sknet._data.minibatches import Minibatches
from sknet._data.weighted import Dataset


def plain(d, dtype=np.float64):
    return Inputs(d, False, 0, dtype, {})


def make_dataset(rng, n=50, d=4, n_classes=3, weight=None, kind="dense"):
    X = rng.normal(size=(n + 10, d))  # more rows than the dataset counts
    X = sp.csr_array(X * (rng.random(X.shape) < 0.3)) if kind == "sparse" else X
    rows = rng.permutation(n + 10)[:n]
    y = rng.integers(0, n_classes, size=n)
    return Dataset(X, rows, y, np.ones((1, n)) if weight is None else weight)


@pytest.fixture(params=["computed once", "computed each step"])
def many_inputs(request, monkeypatch):
    """Small inputs are computed once a fit; here they may count as too large."""
    if request.param == "computed each step":
        monkeypatch.setattr("sknet._data.minibatches.READY_BYTES", 0)
        monkeypatch.setattr("sknet._data.minibatches.PART_ELEMENTS", 1_000)


def columns_of(X):
    """Return the inputs of a batch without the ones that dense inputs end with."""
    if sp.issparse(X):
        return X.toarray()
    assert (X[:, -1] == 1).all()
    return X[:, :-1].copy()


@pytest.mark.usefixtures("many_inputs")
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("size", [1, 7, 50, 1000])
@pytest.mark.parametrize("n_members", [1, 3])
def test_every_row_comes_once_a_pass_with_its_label_and_weight(
    rng, size, kind, n_members
):
    weight = rng.uniform(1, 2, size=(n_members, 50))
    data = make_dataset(rng, weight=weight, kind=kind)
    X = data.X.toarray() if kind == "sparse" else data.X
    expected = np.column_stack([X[data.rows], data.y, data.weight.T])
    batches = Minibatches(data, plain(4), size, np.random.default_rng(1))
    passes = []
    for _ in range(2):
        seen = []
        for X, y, weight in batches:
            m = X.shape[0]
            assert m <= size
            # weights are divided by the number of rows that the loss is averaged over
            seen.append(np.column_stack([columns_of(X), y, weight[:, :, 0].T * m]))
        assert len(seen) == len(batches)
        passes.append(np.vstack(seen))
    for seen in passes:
        by_row = seen[np.lexsort(seen.T)], expected[np.lexsort(expected.T)]
        assert_allclose(*by_row, rtol=1e-14)
    assert (passes[0] != passes[1]).any()


def test_full_batches_keep_the_order_and_average_over_all_rows(rng):
    data = make_dataset(rng)
    batches = Minibatches(data, plain(4), 20, None)
    for _ in range(2):
        X, y, weights = zip(
            *((columns_of(X), y, w) for X, y, w in batches), strict=True
        )
        assert_array_equal(np.vstack(X), data.X[data.rows])
        assert_array_equal(np.concatenate(y), data.y)
        assert_allclose(np.concatenate(weights, axis=1), 1 / 50)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_inputs_computed_once_are_those_computed_each_step(rng, monkeypatch, kind):
    data = make_dataset(rng, n=200, d=30, kind=kind)
    inputs = Inputs(30, True, "auto", np.float32, {})
    inputs.partial_fit(data.X, data.rows, np.ones(200))

    def all_inputs():
        batches = Minibatches(data, inputs, 64, np.random.default_rng(0))
        return np.vstack([columns_of(X) for X, _, _ in batches])

    once = all_inputs()
    monkeypatch.setattr("sknet._data.minibatches.READY_BYTES", 0)
    monkeypatch.setattr("sknet._data.minibatches.PART_ELEMENTS", 100)
    assert_array_equal(all_inputs(), once)
