"""Rows as a weighted set: what must not change anything, changes nothing."""

import numpy as np
import pytest
import scipy.sparse as sp

from sknet._columns import column_statistics
from sknet._rows import (
    Groups,
    _order_by_hash,
    canonical_order,
    deal_folds,
    distinct_rows,
    groups_of_equal_x,
    hold_out,
    orientation,
    row_hash,
)


def small_problem(rng, n=200, d=5, n_classes=3):
    X = rng.normal(size=(n, d))
    X[:, 0] = np.round(X[:, 0])
    X[:, 1] = rng.random(n) < 0.3
    return X, rng.integers(0, n_classes, size=n)


def canonical(X, y, weight=None, n_classes=3, standardize=True):
    """Rows of X in canonical order, with their labels, weights and the side results."""
    weight = np.ones(len(y)) if weight is None else weight
    distinct = distinct_rows(X, y, weight)
    statistics = None
    if standardize:
        statistics = column_statistics(X, distinct.rows, distinct.weight)
    result = canonical_order(X, distinct, y, n_classes, statistics)
    rows = distinct.rows[result.order]
    return X[rows], y[rows], distinct.weight[result.order], result


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_distinct_rows_are_what_unique_finds(rng, kind):
    X = rng.integers(0, 3, size=(400, 4)).astype(float)
    y = rng.integers(0, 2, size=400)
    weight = rng.integers(0, 4, size=400).astype(float)
    container = sp.csr_array if kind == "sparse" else np.asarray
    rows, merged, _ = distinct_rows(container(X), y, weight)

    kept = weight > 0
    table, inverse = np.unique(
        np.column_stack([X, y])[kept], axis=0, return_inverse=True
    )
    totals = np.bincount(inverse.ravel(), weight[kept])
    expected = {tuple(row): total for row, total in zip(table, totals, strict=True)}
    found = np.column_stack([X, y])[rows]
    assert {tuple(r): w for r, w in zip(found, merged, strict=True)} == expected
    assert len(rows) == len(expected)


@pytest.mark.parametrize("standardize", [True, False])
def test_repeated_rows_are_weighted_rows_in_any_order(rng, standardize):
    X, y = small_problem(rng)
    weight = rng.integers(0, 5, size=len(y))
    repeated = rng.permutation(np.repeat(np.arange(len(y)), weight))
    a = canonical(X, y, weight.astype(float), standardize=standardize)
    b = canonical(X[repeated], y[repeated], standardize=standardize)
    for left, right in zip(a[:3], b[:3], strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(a[3].class_rank, b[3].class_rank)
    np.testing.assert_array_equal(a[3].orientation, b[3].orientation)


def test_fractional_weights_add_up_the_same_in_any_order(rng):
    X = np.repeat(rng.normal(size=(20, 3)), 10, axis=0)
    y, weight = np.repeat(np.arange(20) % 2, 10), rng.random(200)
    shuffled = rng.permutation(200)
    a = distinct_rows(X, y, weight)
    b = distinct_rows(X[shuffled], y[shuffled], weight[shuffled])
    np.testing.assert_array_equal(a.weight, b.weight)
    np.testing.assert_array_equal(X[a.rows], X[shuffled][b.rows])


def test_hash_sees_values_not_their_dtype_order_or_container(rng):
    X = rng.integers(0, 5, size=(30, 6))
    rows = np.arange(30)
    expected = row_hash(X.astype(float), rows)
    assert len(set(expected)) == len(np.unique(X, axis=0))
    variants = [X.astype(t) for t in (np.int8, np.uint64, np.float32, np.float16)]
    variants += [np.asfortranarray(X), sp.csr_array(X), sp.csr_array(X.astype(float))]
    for variant in variants:
        np.testing.assert_array_equal(row_hash(variant, rows), expected)
    zeros = np.array([[0.0, -0.0], [-0.0, 0.0]])
    assert len(set(row_hash(zeros, np.arange(2)))) == 1


def test_hash_depends_on_the_column():
    X = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [2, 0, 0]])
    assert len(set(row_hash(X, np.arange(5)))) == 5


def test_rows_of_equal_hash_are_compared(rng, monkeypatch):
    """Were the hash useless, no two different rows would be merged all the same."""
    X, y = small_problem(rng, n=20)
    X[10:] = X[:10]
    y[10:] = y[:10]
    monkeypatch.setattr(
        "sknet._rows.row_hash", lambda X, rows: np.zeros(len(rows), np.uint64)
    )
    monkeypatch.setattr("sknet._rows._mix", lambda bits: bits * np.uint64(0))
    rows, weight, _ = distinct_rows(X, y, np.ones(20))
    assert weight.sum() == 20
    merged = {tuple(row) for row in np.column_stack([X, y])[rows]}
    assert len(merged) == 10


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_copies_are_weights_in_any_order_also_where_hashes_collide(
    rng, monkeypatch, kind
):
    """Copies of rows that stand between others of their hash find each other."""
    container = sp.csr_array if kind == "sparse" else np.asarray
    monkeypatch.setattr("sknet._rows.row_hash", lambda X, rows: rows.astype("u8") * 0)
    X = rng.integers(0, 3, size=(30, 3)).astype(float)
    X, y = np.unique(X, axis=0), rng.integers(0, 2, size=30)
    y = y[: len(X)]
    copies = rng.integers(1, 4, size=len(X))
    expected = distinct_rows(container(X), y, copies.astype(float))
    assert expected.weight.sum() == copies.sum()
    assert len(expected.rows) == len(X)
    for _ in range(5):
        written = rng.permutation(np.repeat(np.arange(len(X)), copies))
        found = distinct_rows(container(X[written]), y[written], np.ones(len(written)))
        np.testing.assert_array_equal(written[found.rows], expected.rows)
        np.testing.assert_array_equal(found.weight, expected.weight)


@pytest.mark.parametrize("pair", [(-1, 1), (0, 1), (0.5, 2), (255, 256), (0.1, -0.1)])
def test_hash_tells_rows_of_two_values_apart_in_all_its_bits(rng, pair):
    """With b bits, n rows have n^2 / 2^(b + 1) collisions: 16 with 33 bits, 0 with 64.

    The values differ in a few of their bits, or in the highest alone.
    """
    n, d = 1 << 19, 40
    words = np.unique(rng.integers(0, 1 << d, size=n))
    X = np.array(pair, np.float32)[words[:, np.newaxis] >> np.arange(d) & 1]
    assert len(np.unique(row_hash(X, np.arange(len(X))))) == len(words)


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 3_000])
def test_order_by_hash_is_that_of_all_bits_then_label_then_weight(rng, n):
    """Also where the high bits agree, in whose low ones the positions stand."""
    high = rng.integers(0, 5, size=n, dtype=np.uint64) << np.uint64(62)
    hashes = high | rng.integers(0, max(2, n // 3), size=n, dtype=np.uint64)
    y = rng.integers(0, 3, size=n + 7)
    weight = rng.integers(1, 4, size=n + 7) / 2
    rows = rng.permutation(n + 7)[:n]
    order = _order_by_hash(hashes, rows, y, weight)
    keys = list(zip(hashes.tolist(), y[rows], weight[rows], strict=True))
    assert sorted(order) == list(range(n))
    assert [keys[i] for i in order] == sorted(keys)


@pytest.mark.parametrize("d", [8, 9, 16, 24, 33])
def test_rows_of_one_x_are_ordered_by_label_in_any_units(rng, d):
    """BLAS may give equal rows projections that differ in their last bit."""
    B = np.repeat(rng.integers(0, 2, size=(150, d)).astype(float), 2, axis=0)
    y = rng.integers(0, 3, size=len(B))
    for unit in (1.0, 1 / 3, 7.1, 1e-5):
        _, labels, _, result = canonical(B * unit, y)
        expected = canonical(B, y)
        np.testing.assert_array_equal(labels, expected[1])
        np.testing.assert_array_equal(result.class_rank, expected[3].class_rank)


def test_order_survives_new_units_turned_columns_and_shuffling(rng):
    X, y = small_problem(rng)
    slope = rng.choice([-1, 1], size=5) * 10 ** rng.uniform(-4, 4, size=5)
    offset = rng.normal(size=5) * np.abs(slope)
    shuffled = rng.permutation(len(y))
    a = canonical(X, y)
    b = canonical((X * slope + offset)[shuffled], y[shuffled])
    np.testing.assert_allclose(b[0], a[0] * slope + offset, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(b[1], a[1])
    np.testing.assert_array_equal(b[3].orientation, a[3].orientation * np.sign(slope))
    np.testing.assert_array_equal(b[3].class_rank, a[3].class_rank)


def test_renamed_classes_keep_their_ranks(rng):
    X, y = small_problem(rng)
    names = np.array([2, 0, 1])
    a, b = canonical(X, y), canonical(X, names[y])
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(names[a[1]], b[1])
    np.testing.assert_array_equal(b[3].class_rank[names], a[3].class_rank)


def test_a_symmetric_column_is_oriented_by_the_labels():
    """Without skewness, the label's covariance tells which way round a column is."""
    X = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    y = np.array([0, 1, 0, 1])
    weight = np.ones(4)
    for sign in (1, -1):
        statistics = column_statistics(sign * X, np.arange(4), weight)
        result = orientation(
            sign * X, np.arange(4), [weight * (1 + y)], weight, statistics
        )
        assert result == [sign]


def test_order_is_a_permutation_without_a_trend(rng):
    """Neighbours in the order are no more alike than any two rows: fit for batches."""
    X, y = small_problem(rng, n=2000)
    ordered, _, weight, result = canonical(X, y)
    assert sorted(result.order) == list(range(len(weight)))
    gaps = np.linalg.norm(np.diff(ordered, axis=0), axis=1).mean()
    random_gaps = np.linalg.norm(np.diff(rng.permutation(X), axis=0), axis=1).mean()
    assert gaps == pytest.approx(random_gaps, rel=0.05)


def singles(y):
    """Groups of one row each."""
    return Groups(np.arange(len(y)), np.asarray(y))


def test_groups_are_the_rows_of_one_x_under_their_rarest_label(rng):
    x = rng.integers(0, 30, size=100)
    y = rng.choice(3, p=[0.6, 0.3, 0.1], size=100)
    hashes = row_hash(x[:, np.newaxis].astype(float), np.arange(100))
    groups = groups_of_equal_x(hashes, y, np.arange(3))
    counts = np.bincount(y, minlength=3)
    for value in np.unique(x):
        (group,) = set(groups.of_row[x == value])
        assert set(x[groups.of_row == group]) == {value}
        assert groups.label[group] == min(y[x == value], key=lambda c: counts[c])
    # groups are numbered as they come: an order that the hash has no part in
    firsts = [np.flatnonzero(groups.of_row == g)[0] for g in range(len(groups.label))]
    assert firsts == sorted(firsts)


def test_hold_out_has_every_class_on_both_sides(rng):
    counts = [1, 2, 3, 10, 200]
    y = np.repeat(np.arange(5), counts)
    held_out = hold_out(y, singles(y), 0.1, np.array([3, 1, 4, 0, 2]), rng)
    np.testing.assert_array_equal(np.bincount(y[held_out]), [0, 1, 1, 1, 20])
    assert np.bincount(y[~held_out]).min() >= 1


def test_hold_out_does_not_depend_on_the_classes_names():
    y, names = np.arange(90) % 3, np.array([1, 2, 0])
    rank = np.array([2, 0, 1])
    renamed = np.empty(3, int)
    renamed[names] = rank
    a = hold_out(y, singles(y), 0.2, rank, np.random.default_rng(0))
    b = hold_out(names[y], singles(names[y]), 0.2, renamed, np.random.default_rng(0))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(50))
def test_a_class_that_others_speak_for_is_not_held_out_altogether(seed):
    hashes = np.array([1, 2, 1, 3, 2, 4], np.uint64)
    y, rank = np.array([2, 2, 0, 0, 1, 1]), np.arange(3)
    groups = groups_of_equal_x(hashes, y, rank)
    out = hold_out(y, groups, 0.1, rank, np.random.default_rng(seed))
    assert set(y[~out]) == {0, 1, 2}


def test_nothing_can_be_held_out_of_singletons(rng):
    y = np.arange(4)
    assert not hold_out(y, singles(y), 0.5, y, rng).any()
    assert (deal_folds(y, singles(y), 2, y, rng) == -1).all()


@pytest.mark.parametrize("n_folds", [2, 5, 8])
@pytest.mark.parametrize("counts", [[100, 50, 50], [1, 1, 2], [3, 40, 1, 7], [2]])
def test_folds_are_stratified_and_of_one_size(rng, n_folds, counts):
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    fold = deal_folds(y, singles(y), n_folds, rng.permutation(len(counts)), rng)
    sizes = np.bincount(fold[fold >= 0], minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for label, count in enumerate(counts):
        own = fold[y == label]
        assert (own == -1).all() if count == 1 else (own >= 0).all()
        in_fold = np.bincount(own[own >= 0], minlength=n_folds)
        assert in_fold.max() - in_fold.min() <= 1


def test_no_fold_has_all_rows_of_a_class(rng):
    """Not even of one whose groups other, rarer classes speak for."""
    for _ in range(300):
        n, n_classes, n_folds = 12, rng.integers(2, 5), rng.integers(2, 4)
        x, y = rng.integers(0, 6, size=n), rng.integers(0, n_classes, size=n)
        hashes = row_hash(x[:, np.newaxis].astype(float), np.arange(n))
        rank = rng.permutation(n_classes)
        groups = groups_of_equal_x(hashes, y, rank)
        fold = deal_folds(y, groups, n_folds, rank, rng)
        for label in np.unique(y):
            folds = set(fold[y == label])
            assert len(folds) > 1 or folds == {-1}


def test_rows_of_one_x_are_in_one_fold(rng):
    x, y = rng.integers(0, 40, size=200), rng.integers(0, 2, size=200)
    hashes = row_hash(x[:, np.newaxis].astype(float), np.arange(200))
    groups = groups_of_equal_x(hashes, y, np.arange(2))
    fold = deal_folds(y, groups, 4, np.arange(2), rng)
    held_out = hold_out(y, groups, 0.3, np.arange(2), rng)
    for value in np.unique(x):
        assert len(set(fold[x == value])) == 1
        assert len(set(held_out[x == value])) == 1


def test_the_class_order_survives_keys_at_the_end_of_the_float_range():
    """A constant sparse column is not scaled: weight times key may overflow."""
    X, y, weight = (
        sp.csr_array([[1e308], [1e308]]),
        np.array([0, 1]),
        np.array([3, 3.0]),
    )
    _, _, _, result = canonical(X, y, weight, n_classes=2)
    assert sorted(result.class_rank) == [0, 1]


XOR = np.array([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)])


def order_of(X, y, weight, **settings):
    rows = distinct_rows(X, y, weight)
    statistics = (
        column_statistics(X, *rows[:2]) if settings.get("scaled", True) else None
    )
    return canonical_order(X, rows, y, y.max() + 1, statistics)


def test_rounding_does_not_turn_the_columns_of_a_balanced_design(rng):
    """Neither skewness nor covariance with the label: only rounding has a sign."""
    y = (XOR.prod(axis=1) > 0).astype(int)
    for _ in range(20):
        slope = 10 ** rng.uniform(-3, 3, size=2)
        X = XOR * slope + rng.uniform(-3, 3, size=2) * slope
        assert (order_of(X, y, np.ones(4)).orientation == 1).all()


def test_names_do_not_orient_a_symmetric_column():
    X = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    y = np.array([0, 0, 0, 1])
    a, b = (order_of(X, labels, np.ones(4)).orientation for labels in (y, 1 - y))
    assert a == b == -order_of(-X, y, np.ones(4)).orientation


def test_rounding_does_not_rank_classes_of_equal_means(rng):
    X = np.array([[-3.0], [0.0], [3.0], [-1.0], [0.5], [0.5]])
    y = np.array([0, 0, 0, 1, 1, 1])
    ranks = set()
    for _ in range(20):
        slope = 10 ** rng.uniform(-3, 3)
        other = X * slope + rng.uniform(-3, 3) * slope
        ranks.add(tuple(order_of(other, y, np.ones(6)).class_rank))
        swapped = order_of(other, 1 - y, np.ones(6)).class_rank
        ranks.add(tuple(swapped[::-1]))
    assert len(ranks) == 1


def test_the_scale_of_weights_does_not_rank_the_classes():
    X = np.array([[1e308], [1e308], [-1e308], [1.0], [1e307], [-1e307]])
    y = np.array([0, 0, 0, 1, 1, 1])
    ranks = {
        tuple(order_of(X, y, np.full(6, 2.0**e), scaled=False).class_rank)
        for e in range(-60, 60, 4)
    }
    assert len(ranks) == 1


def test_the_ends_of_the_float_range_under_unequal_weights_have_an_order():
    """Centring overflows there; what is cut must have finite cubes, weights or not."""
    X = np.array([[1.0], [1.0], [1.0], [-1.0], [-1.0]]) * np.finfo(float).max
    X = np.hstack([X, np.arange(5.0)[:, np.newaxis]])
    weight = np.array([1e1, 2e10, 3e7, 1e-12, 3e8])
    result = order_of(X, np.arange(5) % 2, weight)
    assert sorted(result.order) == [0, 1, 2, 3, 4]
    assert (np.abs(result.orientation) == 1).all()
