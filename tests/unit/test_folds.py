"""Folds and held-out rows: stratified, by groups of equal x, never a whole class."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sknet._data.folds import deal_folds, find_rows, hold_out
from sknet._data.weighted import row_hash


def hashes_of(x):
    """Hash rows of one column."""
    return row_hash(np.asarray(x, float)[:, np.newaxis], np.arange(len(x)))


@pytest.mark.parametrize("n_folds", [2, 5, 8])
@pytest.mark.parametrize("counts", [[100, 50, 50], [1, 1, 2], [3, 40, 1, 7], [2]])
def test_folds_are_stratified_and_of_one_size(rng, n_folds, counts):
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    fold = deal_folds(y, np.arange(len(y)), n_folds, rng)
    sizes = np.bincount(fold[fold >= 0], minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for label, count in enumerate(counts):
        of_class = fold[y == label]
        # all members must know a class, so its only row is in no fold
        assert (of_class == -1).all() if count == 1 else (of_class >= 0).all()
        in_fold = np.bincount(of_class[of_class >= 0], minlength=n_folds)
        assert in_fold.max() - in_fold.min() <= 1


def test_held_out_rows_are_a_share_of_each_class(rng):
    counts = [1, 2, 3, 10, 200]
    y = np.repeat(np.arange(5), counts)
    held_out = hold_out(y, np.arange(len(y)), 0.1, rng)
    assert_array_equal(np.bincount(y[held_out]), [0, 1, 1, 1, 20])
    assert np.bincount(y[~held_out]).min() >= 1


def test_no_class_is_held_out_altogether(rng):
    """Not even one whose rows share their x with rows of rarer classes."""
    for _ in range(300):
        n, n_classes, n_folds = 12, rng.integers(2, 5), rng.integers(2, 4)
        x, y = rng.integers(0, 6, size=n), rng.integers(0, n_classes, size=n)
        y = np.unique(y, return_inverse=True)[1]
        group = np.unique(hashes_of(x), return_inverse=True)[1]
        fold = deal_folds(y, group, n_folds, rng)
        held_out = hold_out(y, group, rng.uniform(0.05, 0.95), rng)
        for label in np.unique(y):
            folds = set(fold[y == label])
            assert len(folds) > 1 or folds == {-1}
            assert not held_out[y == label].all()


def test_rows_of_one_x_are_kept_together(rng):
    x, y = rng.integers(0, 40, size=200), rng.integers(0, 2, size=200)
    group = np.unique(hashes_of(x), return_inverse=True)[1]
    fold = deal_folds(y, group, 4, rng)
    held_out = hold_out(y, group, 0.3, rng)
    for value in np.unique(x):
        assert len(set(fold[x == value])) == 1
        assert len(set(held_out[x == value])) == 1


def test_a_group_is_dealt_with_the_rarest_of_its_classes(rng):
    """Every fold has as many groups of the rare class, whatever else is in them."""
    x = np.concatenate([np.arange(20), np.arange(80)])
    y = np.repeat([1, 0], [20, 80])  # each rare row shares its x with a common one
    fold = deal_folds(y, np.unique(hashes_of(x), return_inverse=True)[1], 4, rng)
    assert_array_equal(np.bincount(fold[y == 1]), 5)
    assert_array_equal(np.bincount(fold[y == 0]), 20)


def test_every_row_finds_its_x(rng):
    x = rng.permutation(50)
    asked = rng.integers(0, 60, size=300)
    found = find_rows(hashes_of(x), hashes_of(asked))
    known = {value: place for place, value in enumerate(x)}
    assert_array_equal(found, [known.get(value, -1) for value in asked])
