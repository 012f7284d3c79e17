"""Standardizing against scikit-learn's scaler and the formulas; extreme numbers."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier
from sknet._columns import (
    ColumnStatistics,
    column_statistics,
    float_blocks,
    merged_statistics,
    robust_statistics,
)
from sknet._standardizer import Split, Standardizer, working_dtype


def dense(standardizer, X):
    return standardizer.take(X, slice(None))[0]


def statistics_of(X, weight=None):
    weight = np.ones(X.shape[0]) if weight is None else weight
    return column_statistics(X, np.arange(X.shape[0]), weight)


@pytest.mark.parametrize("squash", [None, 3.0, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_rows_by_the_formula(rng, squash, dtype):
    X = rng.normal(5, 3, size=(40, 6))
    X[0, 0] = 1e4
    mean, scale = rng.normal(5, 1, size=6), rng.uniform(1, 3, size=6)
    z = (X - mean) / scale
    expected = z if squash is None else z / np.sqrt(1 + (z / squash) ** 2)
    inputs = dense(Standardizer(mean, scale, squash, dtype), X)
    assert inputs.dtype == dtype
    rtol = 2e-6 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(inputs, expected, rtol=rtol)


@pytest.mark.parametrize(
    "X_dtype", [bool, np.int8, np.uint8, np.int16, np.int64, np.float16, np.float32]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_dtype_gives_the_inputs_of_float64(rng, X_dtype, dtype):
    X = rng.integers(0, 2 if X_dtype is bool else 100, size=(30, 4)).astype(X_dtype)
    mean, scale = rng.uniform(0, 50, size=4), rng.uniform(1, 30, size=4)
    standardizer = Standardizer(mean, scale, 3.0, dtype)
    expected = dense(Standardizer(mean, scale, 3.0, np.float64), X.astype(float))
    np.testing.assert_allclose(dense(standardizer, X), expected, rtol=2e-5, atol=2e-6)


def split_by_formula(X, mean, scale, squash, split):
    z = (X - mean) / scale
    upper = z.copy()
    upper[:, split.columns] = np.maximum(z[:, split.columns], 0) - split.offset
    lower = np.minimum(z[:, split.columns], 0) + split.offset
    inputs = np.hstack([upper, lower])
    return inputs if squash is None else inputs / np.sqrt(1 + (inputs / squash) ** 2)


@pytest.mark.parametrize("squash", [None, 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("X_dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("columns", [[0, 1, 2, 3, 4], [1, 4], [3]])
def test_split_columns_enter_twice(rng, squash, dtype, X_dtype, columns):
    X = rng.integers(0, 100, size=(30, 5)).astype(X_dtype)
    mean, scale = rng.uniform(20, 80, size=5), rng.uniform(5, 30, size=5)
    split = Split(np.array(columns), rng.uniform(0.2, 0.5, size=len(columns)))
    before = X.copy()
    inputs = dense(Standardizer(mean, scale, squash, dtype, split), X)
    expected = split_by_formula(X.astype(float), mean, scale, squash, split)
    assert (inputs.dtype, inputs.shape) == (dtype, (30, 5 + len(columns)))
    np.testing.assert_allclose(inputs, expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(X, before)


def test_orient_finds_the_inputs_of_columns_that_are_turned_round(rng):
    X = rng.normal(size=(30, 5))
    direction = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
    split = Split(np.array([0, 2, 4]), rng.uniform(0.2, 0.5, size=3))
    standardizer = Standardizer(np.zeros(5), np.ones(5), 3.0, np.float64, split)
    signs, order = standardizer.orient(direction)
    turned = dense(standardizer, X * direction)
    np.testing.assert_array_equal(turned[:, order] * signs, dense(standardizer, X))


def test_parts_have_the_mean_zero_and_no_new_columns_for_two_values(rng):
    X = np.column_stack(
        [rng.exponential(size=50), rng.integers(0, 2, size=50), np.full(50, 3.0)]
    )
    weight = rng.uniform(0.1, 3, size=50)
    statistics = statistics_of(X, weight)
    np.testing.assert_allclose(
        statistics.mean_deviation,
        np.average(abs(X - np.average(X, axis=0, weights=weight)), 0, weight),
        atol=1e-14,
    )
    assert statistics.splittable.tolist() == [0]
    split = Split(np.array([0]), statistics.half_deviation[[0]])
    standardizer = Standardizer(
        statistics.mean, statistics.scale, None, np.float64, split
    )
    inputs = dense(standardizer, X)
    np.testing.assert_allclose(weight @ inputs, np.zeros(4), atol=1e-12)
    assert statistics_of(sp.csr_array(X)).splittable.size == 0
    twice = merged_statistics(statistics, X, np.arange(50), weight)
    assert twice.half_deviation.tolist() == statistics.half_deviation.tolist()


@pytest.mark.parametrize("kind", ["shuffled", "sorted", "heavy tail", "two values"])
def test_a_stream_comes_near_the_mean_deviation_of_all_its_rows(rng, kind):
    x = rng.uniform(size=(2000, 1))
    if kind == "sorted":
        x.sort(axis=0)
    elif kind == "heavy tail":
        x = rng.lognormal(sigma=2, size=(2000, 1))
    elif kind == "two values":
        x = np.repeat([[1.0], [4.0]], [800, 1200], axis=0)
    whole, merged = statistics_of(x), None
    for start in range(0, 2000, 20):
        rows = np.arange(start, start + 20)
        merged = merged_statistics(merged, x, rows, np.ones(20))
    np.testing.assert_allclose(merged.deviation, whole.deviation)
    # a bound for what is not known of the rows before: it is near, seldom exact
    close = 0.25 if kind in ("sorted", "two values") else 0.05
    np.testing.assert_allclose(merged.half_deviation, whole.half_deviation, rtol=close)


def test_statistics_of_a_stream_at_the_ends_of_the_float_range(rng):
    merged = None
    for scale in (1.7e308, 1.7e306, 1.7e308, 1.7e308):
        x = scale * rng.uniform(-1, 1, size=(50, 2))
        x[:, 1] = scale
        merged = merged_statistics(merged, x, np.arange(50), np.ones(50))
    for value in (merged.mean, merged.scale, merged.deviation, merged.half_deviation):
        assert np.isfinite(value).all()


def test_without_a_mean_rows_are_only_cast(rng):
    X = rng.normal(size=(9, 3))
    inputs = dense(Standardizer(None, None, 3.0, np.float32), X)
    np.testing.assert_array_equal(inputs, X.astype(np.float32))


@pytest.mark.parametrize(
    ("size", "X_dtype"),
    [(1e30, "f4"), (1e38, "f4"), (1e30, "f8"), (1e38, "f8"), (1e300, "f8")],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unscaled_rows_are_cut_at_1e13_dense_or_sparse(rng, size, X_dtype, dtype):
    """Of either sign; what is smaller stays as it is, and an absent 0 is a 0."""
    kinds = [size, -size, 1e13, -1e13, 1.5, -2.5, 0.0, 0.0]
    X = rng.permuted(np.tile(kinds, (20, 1)), axis=1).astype(X_dtype)
    expected = np.clip(X.astype(np.float64), -1e13, 1e13).astype(dtype)
    standardizer = Standardizer(None, None, None, dtype)
    np.testing.assert_array_equal(dense(standardizer, X), expected, strict=True)
    inputs, shift = standardizer.take(sp.csr_array(X), slice(None))
    assert shift is None
    np.testing.assert_array_equal(inputs.toarray(), expected, strict=True)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_unscaled_model_answers_alike_for_huge_dense_and_sparse_rows(
    rng, container, dtype
):
    """As for rows that are cut by hand: 1e30 drowns 1e14, unless both are cut."""
    X = rng.normal(size=(60, 4))
    clf = TwoLayerClassifier(
        5, standardize=False, max_iter=5, dtype=dtype, random_state=0
    ).fit(container(X), X[:, 0] + X[:, 1] > 0)
    rows = rng.choice([-1.0, 1.0], size=(50, 4)) * [1e30, 1e14, 1e20, 1.0]
    cut = np.clip(rows, -1e13, 1e13)
    for huge in (rows, sp.csr_array(rows)):
        for method in ("decision_function", "predict_proba"):
            expected = getattr(clf, method)(cut)
            np.testing.assert_allclose(getattr(clf, method)(huge), expected, rtol=1e-5)


def test_a_time_stamp_keeps_its_digits(rng):
    """Centred in float64 before the cast: float32 would round to 128 seconds here."""
    offsets = rng.uniform(0, 60, size=(50, 1))
    X = 1_700_000_000 + offsets
    statistics = statistics_of(X)
    inputs = dense(Standardizer(statistics.mean, statistics.scale, None, "f4"), X)
    expected = (offsets - offsets.mean()) / offsets.std()
    np.testing.assert_allclose(inputs, expected, atol=1e-5)


@pytest.mark.parametrize("X_dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("error")
def test_outliers_end_at_the_squash_and_stay_finite(X_dtype):
    largest = np.finfo(X_dtype).max
    X = np.array([[largest, -largest, 0.0]], dtype=X_dtype)
    standardizer = Standardizer(np.zeros(3), np.full(3, 1e-30), 3.0, np.float32)
    with np.errstate(over="ignore"):
        inputs = dense(standardizer, X)
    np.testing.assert_allclose(inputs, [[3, -3, 0]], rtol=1e-6)


@pytest.mark.parametrize("squash", [None, 3.0])
@pytest.mark.parametrize("columns", [[], [0, 2, 5], range(7)])
def test_sparse_rows_equal_dense_rows(rng, squash, columns):
    """A model fitted on dense X centres: stored values plus a row make up for it."""
    X = rng.normal(size=(20, 7)) * (rng.random((20, 7)) < 0.3)
    scale = rng.uniform(1, 2, size=7)
    split = Split(np.array(columns, int), rng.uniform(0.2, 0.5, size=len(columns)))
    standardizer = Standardizer(
        rng.normal(size=7), scale, squash, np.float64, split if len(columns) else None
    )
    inputs, shift = standardizer.take(sp.csr_array(X), slice(None))
    assert sp.issparse(inputs)
    assert inputs.nnz <= np.count_nonzero(X) + np.count_nonzero(X[:, split.columns])
    np.testing.assert_allclose(
        inputs.toarray() + shift, dense(standardizer, X), rtol=1e-12, atol=1e-13
    )
    uncentred = Standardizer(np.zeros(7), scale, squash, np.float64)
    inputs, shift = uncentred.take(sp.csr_array(X), slice(None))
    assert shift is None
    np.testing.assert_allclose(inputs.toarray(), dense(uncentred, X), rtol=1e-12)


def test_sparse_rows_of_a_model_whose_means_happen_to_be_zero(rng):
    X = rng.normal(size=(20, 3)) * (rng.random((20, 3)) < 0.5)
    split = Split(np.array([0, 2]), np.array([0.3, 0.4]))
    standardizer = Standardizer(np.zeros(3), np.ones(3), 3.0, np.float64, split)
    inputs, shift = standardizer.take(sp.csr_array(X), slice(None))
    np.testing.assert_allclose(
        inputs.toarray() + shift, dense(standardizer, X), rtol=1e-12, atol=1e-13
    )


def test_working_dtype_is_at_least_float32_at_most_float64():
    pairs = {
        "?": "f4", "i1": "f4", "u2": "f4", "f2": "f4", "f4": "f4",
        "i4": "f8", "u8": "f8", "f8": "f8", "g": "f8",
    }  # fmt: skip
    assert {k: working_dtype(k) for k in pairs} == {
        k: np.dtype(v) for k, v in pairs.items()
    }


@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_are_scikit_learns(rng, weighted):
    X = rng.normal(3, [1, 10, 0.1], size=(200, 3))
    weight = rng.uniform(0.1, 3, size=200) if weighted else np.ones(200)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    statistics = statistics_of(X, weight)
    np.testing.assert_allclose(statistics.mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(statistics.scale, scaler.scale_, rtol=1e-10)
    scaler = StandardScaler(with_mean=False).fit(sp.csr_array(X), sample_weight=weight)
    statistics = statistics_of(sp.csr_array(X), weight)
    assert not statistics.centre.any()
    np.testing.assert_allclose(statistics.scale, scaler.scale_, rtol=1e-10)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1.0, 1e200, 1e300])
@pytest.mark.filterwarnings("error")
def test_statistics_scale_with_the_column(rng, kind, factor):
    X = rng.normal(size=(100, 3))
    container = sp.csr_array if kind == "sparse" else np.asarray
    plain, scaled = statistics_of(container(X)), statistics_of(container(X * factor))
    np.testing.assert_allclose(scaled.mean / factor, plain.mean, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(scaled.scale / factor, plain.scale, rtol=1e-12)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 1e9, 5e-324])
def test_a_constant_column_has_deviation_zero_and_scale_one(value, kind):
    container = sp.csr_array if kind == "sparse" else np.asarray
    statistics = statistics_of(container(np.full((1000, 1), value)), np.full(1000, 0.3))
    assert statistics.mean == [value]
    assert statistics.centre == [0.0 if kind == "sparse" else value]
    assert statistics.deviation == [0.0]
    assert statistics.scale == [1.0]


def test_a_small_spread_on_a_huge_offset_is_seen(rng):
    X = np.where(rng.random((5000, 1)) < 0.5, 1e9 - 1, 1e9 + 1)
    statistics = statistics_of(X)
    np.testing.assert_allclose(statistics.deviation, (X - 1e9).std(), rtol=1e-9)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_merged_statistics_are_those_of_all_rows(rng, kind):
    X = rng.normal(7, 2, size=(300, 4)) * np.array([1, 1e200, 1e-200, 1])
    X[:, 3] = 5.0
    container = sp.csr_array if kind == "sparse" else np.asarray
    weight = rng.uniform(0.5, 2, size=300)
    parts = np.split(np.arange(300), [50, 180])
    merged = column_statistics(container(X), parts[0], weight[parts[0]])
    for rows in parts[1:]:
        merged = merged.merge(column_statistics(container(X), rows, weight[rows]))
    whole = statistics_of(container(X), weight)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.deviation, whole.deviation, rtol=1e-10)
    assert merged.weight == pytest.approx(whole.weight)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_merging_a_set_with_itself_changes_no_bit(rng, kind):
    container = sp.csr_array if kind == "sparse" else np.asarray
    X = rng.normal(size=(37, 5))
    X[:, 3:] = X[:, 3:] > 0
    once = often = statistics_of(container(X))
    for _ in range(10):
        often = often.merge(once)
    for name in ("mean", "deviation", "low", "high", "two_valued", "distance"):
        np.testing.assert_array_equal(getattr(often, name), getattr(once, name))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_two_values_are_divided_by_their_distance(kind):
    """However rare one of them is; three values or more by their deviation."""
    n = 100
    X = np.zeros((n, 6))
    X[:, 0] = np.arange(n) < 1
    X[:, 1] = np.where(np.arange(n) < 30, -4.0, 3.0)
    X[:, 2] = np.arange(n) % 3 - 1  # an absent zero between its ends
    X[:, 3] = 7.0
    X[:, 4] = np.where(np.arange(n) < 99, 0.0, -2.0)
    X[:, 5] = np.where(np.arange(n) < 99, X[:, 1], 1.0)
    X = sp.csr_array(X) if kind == "sparse" else X
    statistics = column_statistics(X, np.arange(n), np.ones(n))
    deviation = statistics.deviation
    expected = [1, 7, deviation[2], 1, 2, deviation[5]]
    np.testing.assert_allclose(statistics.scale, expected)
    parts = np.arange(29), np.arange(29, 31), np.arange(31, n)
    merged = column_statistics(X, parts[0], np.ones(29))
    for rows in parts[1:]:
        merged = merged.merge(column_statistics(X, rows, np.ones(len(rows))))
    np.testing.assert_array_equal(merged.two_valued, statistics.two_valued)
    np.testing.assert_allclose(merged.deviation, deviation)
    expected[5] = 7  # the first batches had two values
    np.testing.assert_allclose(merged.scale, expected)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_third_value_in_a_stream_does_not_make_the_inputs_jump(kind):
    """Divided by the deviation, a rare level of a column would count fourteen times."""
    container = sp.csr_array if kind == "sparse" else np.asarray
    rare = np.zeros((400, 1))
    rare[:2] = 1.0
    third = np.vstack([rare, [[0.5]]])
    merged = statistics_of(container(rare)).merge(statistics_of(container(third)))
    assert not merged.two_valued.any()
    assert merged.deviation < 0.1
    assert merged.scale == [1.0]
    assert merged.merge(statistics_of(container(third))).scale == [1.0]
    # what is larger by itself decides
    wide = statistics_of(container(np.linspace(-50, 50, 400)[:, np.newaxis]))
    far = merged.merge(wide)
    np.testing.assert_allclose(far.scale, far.deviation)
    # two values among a few rows say nothing
    few = statistics_of(container(np.array([[0.0], [9.0]])))
    all_rows = few.merge(statistics_of(container(third)))
    np.testing.assert_allclose(all_rows.scale, all_rows.deviation)
    # in one fit there is no past: three values are divided by their deviation
    np.testing.assert_allclose(statistics_of(container(third)).scale, third.std())


def test_two_values_at_the_ends_of_the_range_stay_finite():
    X = np.array([[-1.7e308], [1.7e308]])
    statistics = column_statistics(X, np.arange(2), np.ones(2))
    assert np.isfinite(statistics.scale).all()


def test_scale_of_statistics():
    zeros, spread = np.zeros(3), np.array([0.0, 2.0, 1e-300])
    statistics = ColumnStatistics(
        zeros, spread, zeros, spread, zeros > 0, zeros, zeros, 1.0, 3, True
    )
    np.testing.assert_array_equal(statistics.scale, [1.0, 2.0, 1e-300])


def test_float_blocks_cover_the_rows_in_order(rng, monkeypatch):
    monkeypatch.setattr("sknet._columns.BLOCK_ELEMENTS", 10)
    X = rng.integers(0, 9, size=(23, 3)).astype(np.int16)
    rows = rng.permutation(23)[:17]
    for container in (np.asarray, np.asfortranarray, sp.csr_array):
        blocks = list(float_blocks(container(X), rows))
        assert len(blocks) > 1
        together = [b.toarray() if sp.issparse(b) else b for _, b in blocks]
        np.testing.assert_array_equal(np.vstack(together), X[rows])
        assert together[0].dtype == np.float64


def spoilt(rng, n=200):
    """A column as it is, three with wild values, two without: tied, of two sizes."""
    X = rng.normal(3, 2, size=(n, 6))
    wild = np.zeros(X.shape, dtype=bool)
    wild[5, 1] = wild[[7, 8], 2] = wild[: n // 5, 3] = True
    X[wild[:, 1], 1] = 999_999
    X[wild[:, 2], 2] = [-1e40, 1e5]
    X[wild[:, 3], 3] = -999_999  # many, but all the same
    X[:, 4] = np.where(np.arange(n) % 5 == 0, X[:, 4], 3)
    X[0, 4] = 1e9
    X[: n // 10, 5] = rng.uniform(2e4, 2e6, size=n // 10)  # more than a few
    return X, wild


@pytest.mark.parametrize("n", [200, 5000])
@pytest.mark.parametrize("units", [1.0, -1e-200, 3e5])
def test_robust_statistics_are_those_without_the_wild_values(rng, n, units):
    X, wild = spoilt(rng, n)
    X *= units
    order = rng.permutation(n)
    weight = rng.uniform(0.5, 2, size=n)
    statistics, tame = robust_statistics(X, order, weight[order])
    assert sorted(tame) == [1, 2, 3]
    for j in range(X.shape[1]):
        kept = ~wild[:, j]
        if j in tame:
            np.testing.assert_array_equal(tame[j], kept[order])
        by_hand = StandardScaler().fit(X[kept, j, None] / units, None, weight[kept])
        np.testing.assert_allclose(statistics.mean[j] / units, by_hand.mean_, rtol=1e-9)
        deviation = statistics.deviation[j] / abs(units)
        np.testing.assert_allclose(deviation, by_hand.scale_, rtol=1e-9)


@pytest.mark.parametrize("n_far", [499, 500, 501])
@pytest.mark.parametrize("units", [1.0, 0.3, 2.54])
@pytest.mark.parametrize("scale", [1.0, 0.7, 1e-3])
def test_units_and_weights_do_not_decide_what_is_wild(rng, n_far, units, scale):
    """A quarter of the values not zero: the upper quartile is one of them, or zero."""
    X = np.zeros((2000, 1))
    X[rng.permutation(2000)[:n_far], 0] = rng.uniform(1, 1e5, size=n_far)
    X[0] = 1e12
    rows, weight = np.arange(2000), np.ones(2000)
    expected = robust_statistics(X, rows, weight)
    found = robust_statistics(units * X, rows, scale * weight)
    assert list(found[1]) == list(expected[1])
    np.testing.assert_allclose(found[0].scale, units * expected[0].scale, rtol=1e-9)


def test_without_wild_values_robust_statistics_are_the_plain_ones(rng):
    X = np.column_stack(
        [rng.standard_cauchy(300), rng.integers(0, 2, 300), np.ones(300)]
    )
    X[:, 0] = np.clip(X[:, 0], -900, 900)
    statistics, tame = robust_statistics(X, np.arange(300), np.ones(300))
    assert tame == {}
    np.testing.assert_equal(statistics, statistics_of(X))


def test_wild_values_of_sparse_and_very_few_rows_stay():
    X = np.ones((9, 1))
    X[:, 0] = np.arange(9)
    X[0] = 1e9
    for container in (np.asarray, sp.csr_array):
        some = container(X)
        statistics, tame = robust_statistics(some, np.arange(9), np.ones(9))
        assert tame == {}
        np.testing.assert_equal(statistics, statistics_of(some))


def test_a_stream_of_one_batch_keeps_its_robust_statistics(rng):
    X, _ = spoilt(rng)
    given = X, np.arange(200), rng.uniform(0.5, 2, 200)
    once = often = merged_statistics(None, *given, robust=True)
    for _ in range(5):
        often = merged_statistics(often, *given, robust=True)
    for name in ("mean", "deviation", "scale", "low", "high", "half_deviation"):
        np.testing.assert_array_equal(getattr(often, name), getattr(once, name))
