"""From checked rows to the rows that training counts: weighted, ordered, split.

Distinct rows, class weights, column statistics, canonical order and hold-out, in that
sequence. Only indices and weights are made; X is read, never copied.
"""

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.utils import compute_class_weight

from sknet._columns import ColumnStatistics, merged_statistics
from sknet._crossfit import member_weights
from sknet._objects import Sizes, sizes_for
from sknet._rows import (
    DistinctRows,
    canonical_order,
    deal_folds,
    distinct_rows,
    groups_of_equal_x,
    hold_out,
)
from sknet._training import Dataset

SMALLEST_WEIGHT = 1e-300  # of a row that counts, beside rows of weight 1


class Prepared(NamedTuple):
    """The rows to train on, in canonical order, and what the start must know."""

    data: Dataset
    held_out: Dataset | None
    fold: np.ndarray | None  # (n,) the member that does not train on each row
    split: int | None  # names the rows held out or in folds; None if there are none
    statistics: ColumnStatistics | None
    direction: np.ndarray  # (d,) which way round each column counts
    class_rank: np.ndarray  # (n_classes,)
    seen: "Seen"
    sizes: Sizes
    n_rows: int  # distinct ones, those held out included

    def member_data(self, j=None):
        """The training rows with the weights that members give them, or member j."""
        if self.fold is None:
            return self.data
        weight = member_weights(self.data.weight, self.fold, self.sizes.n_estimators)
        return self.data._replace(weight=weight if j is None else weight[j : j + 1])

    def own_fold(self, j):
        """The rows that member j does not train on; None if there are none."""
        X, rows, y, weight = self.data
        own = np.flatnonzero(self.fold == j)
        return Dataset(X, rows[own], y[own], weight[:, own]) if len(own) else None

    def judged_by(self, n_members):
        """Leave unjudged the folds of all but the first members, if there are folds."""
        if self.fold is None or n_members == self.sizes.n_estimators:
            return self
        fold = np.where(self.fold < n_members, self.fold, -1)
        return self._replace(fold=fold, split=None)


class Seen(NamedTuple):
    """What a stream of batches has brought so far; for fit, a stream of one."""

    n_rows: int
    mean_weight: float
    class_counts: np.ndarray  # (n_classes,) sums of sample weights

    def merge(self, new):
        """Both together; merging a batch with itself changes no bit of the mean."""
        n_rows = self.n_rows + new.n_rows
        share = new.n_rows / n_rows
        mean_weight = self.mean_weight + share * (new.mean_weight - self.mean_weight)
        return Seen(n_rows, mean_weight, self.class_counts + new.class_counts)


def in_reach(labelled, exponent=None):
    """Scale extreme weights: only ratios count, and their squares must be finite.

    The scale is a power of two, exact; its exponent is returned too, for a stream has
    the same one throughout.
    """
    weight = labelled.sample_weight
    if exponent is None:
        exponent = int(np.frexp(weight.max())[1])
        exponent = exponent if abs(exponent) > 300 else 0
    with np.errstate(over="ignore", under="ignore"):
        weight = np.ldexp(weight, -exponent)
    if not 1e-150 < weight.max() < 1e150:
        raise ValueError(
            "sample_weight is too far from the weights of the calls before: only "
            f"ratios count, but the largest is {labelled.sample_weight.max():g}."
        )
    return labelled._replace(sample_weight=weight), exponent


def prepare(
    settings,
    labelled,
    classes,
    *,
    statistics=None,
    sizes=None,
    split_rng=None,
    known_split=None,
):
    """Prepare one whole training set.

    Parameters
    ----------
    settings : SimpleNamespace
        The estimator's checked parameters.
    labelled : Labelled
    classes : ndarray of shape (n_classes,)
    statistics : ColumnStatistics or None
        What a warm start keeps; None computes them from the training part.
    sizes : Sizes or None
        What a warm start keeps; None takes those that suit the number of rows.
    split_rng : numpy.random.Generator or None
        Draws a held-out part or folds, if there should be any.
    known_split : int or None
        The split that the weights to start from were trained with; 0 if with none.
    """
    X, y, _ = labelled
    distinct, counts = _distinct(labelled, len(classes))
    factors = _class_weights(settings.class_weight, classes, counts)
    distinct = _weigh(distinct, y, factors)
    of_all = _statistics(settings, X, distinct)
    canonical = canonical_order(X, distinct, y, len(classes), of_all)
    distinct = _take(distinct, canonical.order)
    n_rows = len(distinct.rows)
    sizes = sizes or sizes_for(settings, n_rows, X.shape[1])

    held_out = fold = split = None
    if split_rng is not None:
        rank = canonical.class_rank
        out, split = _split(settings, sizes, y, distinct, rank, split_rng)
        if split is None:
            if settings.asked_to_stop_early:  # "auto" means: where it is possible
                _warn_no_hold_out()
        elif known_split not in (None, split):
            _warn_other_split()
            split = None
        elif sizes.n_estimators > 1:
            fold = out
        else:
            held_out = _take(distinct, np.flatnonzero(out))
            distinct = _take(distinct, np.flatnonzero(~out))
    if settings.standardize and statistics is None:
        # nothing of a row that one member holds out may be in what it sees, not even in
        # the mean; folds share the columns' statistics
        statistics = of_all if held_out is None else _statistics(settings, X, distinct)

    seen = Seen(len(distinct.rows), float(distinct.weight.mean()), counts)
    return Prepared(
        _dataset(X, y, distinct, seen),
        held_out and _dataset(X, y, held_out, seen),
        fold,
        split,
        statistics,
        canonical.orientation,
        canonical.class_rank,
        seen,
        sizes,
        n_rows,
    )


def prepare_batch(
    settings, labelled, classes, *, statistics=None, sizes=None, seen=None
):
    """Prepare one batch of a stream: its statistics add to the earlier ones."""
    X, y, _ = labelled
    distinct, counts = _distinct(labelled, len(classes))
    all_counts = counts if seen is None else seen.class_counts + counts
    factors = _class_weights(settings.class_weight, classes, all_counts)
    distinct = _weigh(distinct, y, factors)
    new = Seen(len(distinct.rows), float(distinct.weight.mean()), counts)
    seen = new if seen is None else seen.merge(new)
    statistics = _statistics(settings, X, distinct, statistics)
    canonical = canonical_order(X, distinct, y, len(classes), statistics)
    distinct = _take(distinct, canonical.order)
    return Prepared(
        _dataset(X, y, distinct, seen),
        None,
        None,
        None,
        statistics,
        canonical.orientation,
        canonical.class_rank,
        seen,
        sizes or sizes_for(settings, new.n_rows, X.shape[1]),
        new.n_rows,
    )


def given_validation(settings, validation, classes, prepared):
    """The rows of a given validation set, weighted as the training rows are."""
    X, y, weight = validation
    counts = prepared.seen.class_counts
    factors = _class_weights(settings.class_weight, classes, counts)[y]
    # their scale says nothing, and may be at either end of the float range
    weight = _product(weight / weight.max(), factors / (factors.max() or 1))
    if not weight.any():
        raise ValueError("class_weight gives every row of y_val the weight zero.")
    return Dataset(X, np.arange(X.shape[0]), y, weight[np.newaxis] / weight.max())


def _class_weights(class_weight, classes, counts):
    """A factor (n_classes,) for each class.

    Parameters
    ----------
    class_weight : None, "balanced" or dict
    classes : ndarray of shape (n_classes,)
    counts : ndarray of shape (n_classes,)
        Weighted number of rows of each class, for "balanced".
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, Mapping):
        given = np.array([float(class_weight.get(c, 1.0)) for c in classes.tolist()])
        exponent = math.frexp(given.max())[1]
        # only ratios count, but the squares of weights must be finite, and not zero
        factors = np.ldexp(given, -max(0, exponent - 30) - min(0, exponent + 30))
        return np.where(given > 0, np.maximum(factors, SMALLEST_WEIGHT), 0)
    factors = np.zeros(len(classes))
    present = np.flatnonzero(counts > 0)
    factors[present] = compute_class_weight(
        "balanced", classes=present, y=present, sample_weight=counts[present]
    )
    return factors


def _product(weight, factor):
    """Of sample weights and class weights (n,); positive where both of them are."""
    counts = (weight > 0) & (factor > 0)
    return np.where(counts, np.maximum(weight * factor, SMALLEST_WEIGHT), 0)


def _distinct(labelled, n_classes):
    """Distinct rows and the classes' summed sample weights."""
    X, y, sample_weight = labelled
    distinct = distinct_rows(X, y, sample_weight)
    counts = np.bincount(y[distinct.rows], distinct.weight, minlength=n_classes)
    return distinct, counts


def _split(settings, sizes, y, distinct, class_rank, rng):
    """Folds or held-out rows (n,), and a number that names this split; None if none."""
    rows, _, hashes = distinct
    groups = groups_of_equal_x(hashes, y[rows], class_rank)
    n_members = sizes.n_estimators
    if n_members > 1:
        out = deal_folds(y[rows], groups, n_members, class_rank, rng)
        # "auto" wants something in every fold; who asks for folds gets what there is
        fewest = 1 if settings.asked_to_stop_early else n_members
        possible = out.max() >= fewest - 1
    else:
        fraction = settings.validation_fraction
        out = hold_out(y[distinct.rows], groups, fraction, class_rank, rng)
        possible = out.any()
    name = int((hashes * (out + 3).astype(np.uint64)).sum()) or 1
    return out, name if possible else None


def _weigh(distinct, y, factors):
    """Times the class weights; what comes to zero is dropped."""
    if (factors == 1).all():
        return distinct
    weight = _product(distinct.weight, factors[y[distinct.rows]])
    return _take(distinct._replace(weight=weight), np.flatnonzero(weight))


def _statistics(settings, X, distinct, known=None):
    """Column statistics, with those of the batches before, if X is standardized.

    Wild values are left out if the squash bounds them.
    """
    if not settings.standardize:
        return known
    rows, weight, _ = distinct
    bounded = settings.squash is not None
    return merged_statistics(known, X, rows, weight, robust=bounded)


def _take(distinct, part):
    return DistinctRows(*(of_rows[part] for of_rows in distinct))


def _dataset(X, y, distinct, seen):
    weight = distinct.weight / seen.mean_weight
    return Dataset(X, distinct.rows, y[distinct.rows], weight[np.newaxis])


def _warn_other_split():
    warnings.warn(
        "The weights that warm_start continues were trained on rows that would be held "
        "out now. Training goes on with all rows, without a validation set; pass X_val "
        "and y_val, or fit anew with warm_start=False.",
        UserWarning,
        stacklevel=6,
    )


def _warn_no_hold_out():
    warnings.warn(
        "early_stopping needs more distinct rows: no class has two rows of X that "
        "differ, one of which could be held out. Training goes on with all rows, "
        "without a validation set.",
        UserWarning,
        stacklevel=6,
    )
