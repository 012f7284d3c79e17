"""Network inputs against StandardScaler and the formulas of split and squash."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from sknet._data.inputs import Inputs

each_container = pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def make_inputs(d, standardize=True, n_knots="auto", dtype=np.float64):
    return Inputs(d, standardize, n_knots, dtype, {})


def fitted(X, weight=None, *, rows=None, **settings):
    rows = np.arange(X.shape[0]) if rows is None else rows
    weight = np.ones(len(rows)) if weight is None else weight
    inputs = make_inputs(X.shape[1], **settings)
    with np.errstate(all="ignore"):  # as training does
        return inputs.partial_fit(X, rows, weight)


def taken(inputs, X):
    """Return the dense inputs for all rows of a dense X."""
    found = inputs.take(X, slice(None))
    assert found.dtype == inputs.dtype
    return found


def by_formula(X, inputs):
    """Centre, scale, split at the mean with gaps of 0.4 and squash at 5."""
    z = (X.astype(float) - inputs.mean) / inputs.scale
    upper = z.copy()
    upper[:, inputs.split] = np.maximum(z[:, inputs.split], 0) - 0.4
    z = np.hstack([upper, np.minimum(z[:, inputs.split], 0) + 0.4])
    return z / np.sqrt(1 + (z / 5) ** 2)


# --------------------------------------------------------------------- statistics


@each_container
def test_mean_and_scale_are_scikit_learns(rng, container):
    """Of the given rows with their weights.

    Sparse columns are not centred. They are divided by the root mean square of their
    stored values.
    """
    X = rng.normal(3, [1, 10, 0.1], size=(300, 3))
    if container is not np.asarray:
        X *= rng.random((300, 3)) < 0.6
    rows, weight = rng.permutation(300)[:200], rng.uniform(0.1, 3, size=200)
    inputs = fitted(container(X), weight, rows=rows)
    scaler = StandardScaler().fit(X[rows], sample_weight=weight)
    assert inputs.centred == (container is np.asarray)
    assert_allclose(inputs.mean, scaler.mean_ * inputs.centred, rtol=1e-12)
    stored = weight @ (X[rows] != 0)
    expected = np.sqrt(weight @ X[rows] ** 2 / stored)
    assert_allclose(
        inputs.scale, scaler.scale_ if inputs.centred else expected, rtol=1e-10
    )


def test_two_values_are_divided_by_their_distance():
    """However rare one of them is; three values or more by their deviation."""
    n = 100
    X = np.zeros((n, 5))
    X[:, 0] = np.arange(n) < 1
    X[:, 1] = np.where(np.arange(n) < 30, -4.0, 3.0)
    X[:, 2] = np.arange(n) % 3 - 1
    X[:, 3] = np.where(np.arange(n) < 99, 0.0, -2.0)
    X[:, 4] = np.where(np.arange(n) < 99, X[:, 1], 1.0)
    expected = [1, 7, X[:, 2].std(), 2, X[:, 4].std()]
    assert_allclose(fitted(X).scale, expected)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e9, 1e-30])
def test_a_constant_column_has_scale_one_and_input_zero(value):
    X, weight = np.full((1000, 1), value), np.full(1000, 0.3)
    inputs = fitted(X, weight)
    assert inputs.scale == [1.0]
    assert inputs.constant == [True]
    assert inputs.mean == [value]
    assert_array_equal(taken(inputs, X), 0)


def test_wild_values_do_not_count(rng):
    """Values a thousand interquartile ranges out, such as 999999 for "missing"."""
    n = 500
    X = rng.normal(3, 2, size=(n, 5))
    wild = np.zeros(X.shape, dtype=bool)
    wild[5, 1] = wild[[7, 8], 2] = wild[: n // 6, 3] = True
    X[wild[:, 1], 1], X[wild[:, 2], 2], X[wild[:, 3], 3] = 999_999, [-1e30, 1e5], -1e6
    X[0, 4] = 100.0  # far out, but within the fence
    weight = rng.uniform(0.5, 2, size=n)
    inputs = fitted(X, weight)
    for j in range(X.shape[1]):
        kept = ~wild[:, j]
        scaler = StandardScaler().fit(X[kept, j, None], None, weight[kept])
        assert_allclose(inputs.mean[j], scaler.mean_[0], rtol=1e-9)
        assert_allclose(inputs.scale[j], scaler.scale_[0], rtol=1e-9)
    found = taken(inputs, X)
    assert_allclose(
        np.abs(found[wild[:, 1], 1]), 5, rtol=1e-6
    )  # as inputs they end here


def test_many_values_of_another_size_count(rng):
    X = rng.normal(size=(1000, 1))
    X[:300, 0] = rng.uniform(1e4, 1e6, size=300)
    assert_allclose(fitted(X).scale, X.std(), rtol=1e-9)


# ----------------------------------------------------------------------- streams


@each_container
def test_statistics_of_a_stream_are_those_of_all_rows(rng, container):
    X = rng.normal(7, 2, size=(300, 4)) * [1, 1e20, 1e-20, 1]
    X[:, 3] = 5.0
    weight = rng.uniform(0.5, 2, size=300)
    inputs = make_inputs(4)
    for rows in np.split(np.arange(300), [50, 180]):
        with np.errstate(all="ignore"):
            inputs.partial_fit(container(X), rows, weight[rows])
    whole = fitted(container(X), weight)
    assert_allclose(inputs.mean, whole.mean, rtol=1e-12)
    assert_allclose(inputs.scale, whole.scale, rtol=1e-10)
    assert_array_equal(inputs.constant, [False, False, False, True])


def test_a_third_value_in_a_stream_does_not_make_the_inputs_jump():
    """Divided by the deviation, a rare level of a column would count fourteen times."""
    rare = np.zeros((400, 1))
    rare[:2] = 1.0
    third = np.vstack([rare, [[0.5]]])
    inputs = fitted(rare)
    assert inputs.scale == [1.0]
    inputs.partial_fit(third, np.arange(401), np.ones(401))
    assert inputs.scale == [1.0]
    # in one fit there is no past: three values are divided by their deviation
    assert_allclose(fitted(third).scale, third.std())


# ------------------------------------------------------------------------- knots


@pytest.mark.parametrize(
    ("n_columns", "n_knots", "expected"),
    [(128, "auto", 1), (129, "auto", 0), (129, 1, 1), (5, 0, 0), (5, 1, 1)],
)
def test_columns_of_more_than_two_values_are_split(rng, n_columns, n_knots, expected):
    """By "auto" up to 128 of them. Columns of one or two values are not counted."""
    many = rng.normal(size=(40, n_columns))
    X = np.column_stack([rng.random((40, 50)) < 0.5, many, np.ones(40)])
    inputs = fitted(X, n_knots=n_knots)
    assert inputs.n_knots == expected
    assert_array_equal(
        inputs.split, (50 + np.arange(n_columns)) * 1 if expected else []
    )
    assert inputs.n_inputs == X.shape[1] + expected * n_columns
    sparse = fitted(sp.csr_array(X), n_knots=n_knots)
    assert (sparse.n_knots, len(sparse.split)) == (0, 0)


# ------------------------------------------------------------------- dense inputs


@pytest.mark.parametrize("n_knots", [0, 1])
@each_dtype
@pytest.mark.parametrize(
    "X_dtype", [bool, np.int8, np.uint8, np.int64, np.float16, np.float32, np.float64]
)
def test_dense_rows_by_the_formula(rng, X_dtype, dtype, n_knots):
    X = rng.integers(0, 2 if X_dtype is bool else 100, size=(30, 5))
    X[:, 3] = X[:, 3] > 40  # two values, which are not split
    X = X.astype(X_dtype)
    before = X.copy()
    inputs = fitted(X, n_knots=n_knots, dtype=dtype)
    found = taken(inputs, X)
    assert_allclose(found, by_formula(X, inputs), rtol=2e-5, atol=2e-6)
    assert found.shape == (30, 5 + len(inputs.split))
    assert_array_equal(X, before)
    if X.dtype == dtype == np.float64:
        assert_allclose(found, by_formula(X, inputs), rtol=1e-13, atol=1e-14)


def test_a_time_stamp_keeps_its_digits(rng):
    """Centred in float64 before the cast: float32 would round to 128 seconds here."""
    offsets = rng.uniform(0, 60, size=(50, 1))
    inputs = fitted(1_700_000_000 + offsets, n_knots=0, dtype=np.float32)
    z = (offsets - offsets.mean()) / offsets.std()
    expected = z / np.sqrt(1 + (z / 5) ** 2)
    assert_allclose(taken(inputs, 1_700_000_000 + offsets), expected, atol=1e-5)


@pytest.mark.parametrize("X_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_knots", [0, 1])
def test_far_values_end_at_the_squash_and_stay_finite(rng, X_dtype, n_knots):
    X = rng.normal(size=(50, 3)).astype(X_dtype)
    inputs = fitted(X, n_knots=n_knots, dtype=np.float32)
    far = np.array([[1e30, -1e30, 0.0]], dtype=X_dtype)
    found = taken(inputs, far)
    assert_allclose(found[0, :3], [5, -5 if n_knots == 0 else found[0, 1], found[0, 2]])
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 5


# ------------------------------------------------------------------ sparse inputs


@pytest.mark.parametrize("n_knots", [0, 1, 5])
@each_dtype
def test_sparse_rows_of_a_centred_model_are_dense_rows(rng, n_knots, dtype):
    X = rng.normal(size=(40, 7)) * (rng.random((40, 7)) < 0.3)
    X[:, 6] = X[:, 6] != 0
    inputs = fitted(X, n_knots=n_knots, dtype=dtype)
    found = inputs.take(sp.csr_array(X), slice(None))
    expected, tolerance = taken(inputs, X), 1e-5 if dtype == np.float32 else 1e-12
    assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_a_model_of_sparse_rows_does_not_centre(rng):
    X = rng.normal(3, 2, size=(40, 7)) * (rng.random((40, 7)) < 0.3)
    inputs = fitted(sp.csr_array(X))
    found = inputs.take(sp.csr_array(X), slice(None))
    assert found.nnz == np.count_nonzero(X)
    z = X / inputs.scale
    expected = z / np.sqrt(1 + (z / 5) ** 2)
    assert_allclose(found.toarray(), expected, rtol=1e-12)
    assert_allclose(taken(inputs, X), expected, rtol=1e-12)


# ---------------------------------------------------------------- without scaling


@pytest.mark.parametrize(
    ("size", "X_dtype"), [(1e30, "f4"), (1e38, "f4"), (1e30, "f8"), (1e38, "f8")]
)
@each_dtype
def test_rows_that_are_not_scaled_are_cut_at_1e13(rng, size, X_dtype, dtype):
    """Smaller ones of either sign stay as they are, dense or sparse."""
    kinds = [size, -size, 1e13, -1e13, 1.5, -2.5, 0.0, 0.0]
    X = rng.permuted(np.tile(kinds, (20, 1)), axis=1).astype(X_dtype)
    expected = np.clip(X.astype(float), -1e13, 1e13).astype(dtype)
    inputs = fitted(X, standardize=False, dtype=dtype)
    assert_array_equal(taken(inputs, X), expected, strict=True)
    found = inputs.take(sp.csr_array(X), slice(None))
    assert_array_equal(found.toarray(), expected, strict=True)
    assert (inputs.n_inputs, inputs.n_knots, inputs.mean) == (8, 0, None)
