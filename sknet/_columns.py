"""Per-column statistics of the training rows, for any finite numbers.

scikit-learn's StandardScaler does the sums of dense columns, block by block. Before
that, each column is shifted by its smallest value and divided by a power of two near
its range. Both are exact, so that neither 1e200 nor 1e-300 nor a time stamp's offset
costs digits, and so that a constant column has deviation 0 and not rounding noise.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import StandardScaler

ROWS_THAT_COUNT = 10  # two values among fewer rows of a stream may be chance
# a value so many interquartile ranges outside the quartiles is no measurement; the
# decimals keep whole numbers from lying on the fence, where rounding would decide
WILD = 1000.1357
FEW = 0.02  # share of the weight that such values may have, unless all are the same
MOST_TO_NOMINATE_BY = 512  # rows that tell which columns are looked at as a whole
BLOCK_ELEMENTS = 1 << 18  # of X converted to float64 at a time: 2 MB


class ColumnStatistics(NamedTuple):
    """What standardizing needs, and the weight it rests on."""

    mean: np.ndarray  # (d,)
    deviation: np.ndarray  # (d,), 0 for a constant column
    low: np.ndarray  # (d,) smallest value
    high: np.ndarray  # (d,) largest value
    two_valued: np.ndarray  # (d,) bool: nothing lies between low and high
    distance: np.ndarray  # (d,) of the two values, while there were two; else 0
    mean_deviation: np.ndarray  # (d,) mean distance from the mean; 0 if not centred
    weight: float
    n_rows: int
    centred: bool  # not for sparse X, which is only scaled

    @property
    def centre(self):
        """What to subtract."""
        return self.mean if self.centred else np.zeros_like(self.mean)

    @property
    def scale(self):
        """What to divide by.

        The standard deviation; for a column of two values, such as a one-hot one, their
        distance: a rare level's deviation is small, and dividing by it would make the
        level louder the rarer it is. A stream may bring a third value late: then the
        distance stays the least, so that the inputs do not jump. 1 for a constant
        column.
        """
        scale = np.maximum(self.deviation, self.distance)  # at most half the distance
        return np.where(self.deviation > 0, scale, 1.0)

    @property
    def half_deviation(self):
        """Mean of the standardized values' part above the mean; minus that below.

        At most a half, by Jensen's inequality; beyond it is rounding.
        """
        with np.errstate(over="ignore"):
            return np.minimum(0.5 * (self.mean_deviation / self.scale), 0.5)

    @property
    def splittable(self):
        """Columns (n,) that a split at the mean tells something new about."""
        return np.flatnonzero(self.centred & ~self.two_valued & (self.deviation > 0))

    def merge(self, new):
        """Statistics of both sets of rows (Chan, Golub and LeVeque 1983).

        Merging a set with itself changes no bit. ``merged_statistics`` adds what the
        sums do not tell, the mean deviation.
        """
        share = new.weight / (self.weight + new.weight)
        # half the difference: the difference of two finite numbers may not be finite
        half = 0.5 * new.mean - 0.5 * self.mean
        unit = np.maximum(np.maximum(self.deviation, new.deviation), np.abs(half))
        unit = np.where(unit > 0, unit, 1.0)
        a, b, gap = self.deviation / unit, new.deviation / unit, 2 * (half / unit)
        square = a**2 + share * (b**2 - a**2) + share * (1 - share) * gap**2
        deviation = np.sqrt(square)
        low, high = np.minimum(self.low, new.low), np.maximum(self.high, new.high)
        two_valued = np.ones(len(low), dtype=bool)
        for part in (self, new):
            for end in (part.low, part.high):
                two_valued &= part.two_valued & ((end == low) | (end == high))
        past = self.distance if self.n_rows >= ROWS_THAT_COUNT else 0.0
        return ColumnStatistics(
            self.mean + 2 * (share * half),
            unit * deviation,
            low,
            high,
            two_valued,
            np.where(two_valued, _distance(low, high), past),
            self.mean_deviation,
            self.weight + new.weight,
            self.n_rows + new.n_rows,
            self.centred,
        )


def column_statistics(X, rows, weight):
    """Weighted mean, standard deviation (divisor: the sum of weights) and range.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    rows : ndarray of int of shape (n,)
    weight : ndarray of shape (n,)
    """
    low, high = _range(X, rows)
    two_valued = _two_valued(X, rows, low, high)
    largest = np.maximum(np.abs(low), np.abs(high))
    size = largest if sp.issparse(X) else 0.5 * high - 0.5 * low
    factor = _unit_factor(size)
    total = float(weight.sum())
    if sp.issparse(X):
        mean, deviation = _sparse_moments(X, rows, weight, factor)
        mean = np.copysign(_finite(np.abs(mean), factor), mean)
        deviation = _finite(deviation, factor)
        constant = low == high
        mean[constant], deviation[constant] = low[constant], 0.0
        mean_deviation = np.zeros_like(mean)
    else:
        scaler = StandardScaler()
        for part, block in float_blocks(X, rows):
            block *= factor
            block -= low * factor
            scaler.partial_fit(block, sample_weight=weight[part])
        mean = _above(low, scaler.mean_, factor)
        deviation = _finite(np.sqrt(scaler.var_), factor)
        mean_deviation = _mean_distance(X, rows, weight, mean, factor)
    distance = np.where(two_valued, _distance(low, high), 0.0)
    centred = not sp.issparse(X)
    return ColumnStatistics(
        mean,
        deviation,
        low,
        high,
        two_valued,
        distance,
        mean_deviation,
        total,
        len(rows),
        centred,
    )


def robust_statistics(X, rows, weight):
    """The statistics without wild values, and which values of a column are not wild.

    One 999999 for "missing" among a thousand values would be most of the deviation, and
    leave nothing of the others. Wild are few values, or copies of one, far from all
    others. Sparse columns, and those whose quartiles are equal, have none.

    Parameters
    ----------
    X, rows, weight
        As for ``column_statistics``.

    Returns
    -------
    statistics : ColumnStatistics
    tame : dict of int to ndarray of bool of shape (n,)
        For each column that has wild values.
    """
    statistics, tame = column_statistics(X, rows, weight), {}
    if sp.issparse(X) or len(rows) < ROWS_THAT_COUNT:
        return statistics, tame
    middle, reach = _middles(X, rows, weight)
    with np.errstate(over="ignore"):
        far = statistics.high - statistics.low > reach
    for j in np.flatnonzero(far & ~statistics.two_valued):
        values = X[:, j][rows].astype(np.float64)
        kept = _tame(values, weight, middle[j])
        if kept.all():
            continue
        tame[int(j)] = kept
        own = column_statistics(
            values[kept, np.newaxis], np.arange(kept.sum()), weight[kept]
        )
        for of_all, of_column in zip(statistics, own, strict=True):
            if isinstance(of_all, np.ndarray):
                of_all[j] = of_column[0]
    return statistics, tame


def _middles(X, rows, weight):
    """By some rows, a middling value (d,) of each column and how wide it must be (d,).

    Only wider ones can have wild values: the middle two fifths of these rows lie within
    the quartiles of all.
    """
    step = -(-len(rows) // MOST_TO_NOMINATE_BY)
    rows, weight = rows[::step], weight[::step]
    middle, reach = np.empty((2, X.shape[1]))
    columns = max(1, BLOCK_ELEMENTS // len(rows))
    for start in range(0, X.shape[1], columns):
        part = slice(start, start + columns)
        values = np.ascontiguousarray(X[rows, part].T, np.float64)
        order = values.argsort(axis=1)
        values = np.take_along_axis(values, order, axis=1)
        lower = _quantile(values, weight[order], 0.3)
        upper = _quantile(values[:, ::-1], weight[order[:, ::-1]], 0.3)
        middle[part] = lower
        with np.errstate(over="ignore"):
            reach[part] = WILD * (upper - lower)
    return middle, reach


def _tame(values, weight, middle):
    """Whether each of a column's values (n,) is none of the wild ones."""
    every, total = np.ones(len(values), dtype=bool), weight.sum()
    if weight[values == middle].sum() > 0.76 * total:  # both quartiles: no need to sort
        return every
    order = values.argsort()
    lower, upper = (
        _quantile(values[order[::step]], weight[order[::step]], 0.25)
        for step in (1, -1)
    )
    with np.errstate(over="ignore"):
        reach = WILD * (upper - lower)
        if reach == 0:
            return every
        sides = values < lower - reach, values > upper + reach
    for side in sides:
        outside = values[side]
        if len(outside) and weight[side].sum() > FEW * total:
            side &= outside.min() == outside.max()
    return ~(sides[0] | sides[1])


def _quantile(values, weight, level):
    """Of values sorted along the last axis, that at which so much weight is reached.

    Where that is so exactly, rounding of the sum must not decide.
    """
    share = np.cumsum(weight, axis=-1)
    place = np.argmax(share >= (level - 1e-9) * share[..., -1:], axis=-1)
    return np.take_along_axis(values, place[..., np.newaxis], axis=-1)[..., 0]


def _above(low, rise, factor):
    """``low + rise / factor``, finite for two ends of the float range too."""
    with np.errstate(over="ignore"):
        mean = low + rise / factor
    half = 0.5 * rise / factor  # the difference of two finite numbers may not be finite
    return np.where(np.isfinite(mean), mean, low + half + half)


def _finite(total, divisor):
    """The quotient, where rounding may carry it over the end of the float range."""
    with np.errstate(over="ignore"):
        return np.minimum(total / divisor, np.finfo(np.float64).max)


def merged_statistics(known, X, rows, weight, *, robust=False):
    """Statistics of the rows known so far, if any, and of these.

    ``robust`` leaves out what is wild among these.

    How far all rows are from their common mean, only the rows could tell. The new ones
    are at hand. Of those before, their mean deviation is known and how far their mean
    has moved: at least the larger of the two is their mean distance.
    """
    new, tame = column_statistics(X, rows, weight), {}
    if robust:
        new, tame = robust_statistics(X, rows, weight)
    if known is None:
        return new
    both = known.merge(new)
    if not both.centred:
        return both
    share = new.weight / both.weight
    with np.errstate(over="ignore"):
        moved = np.minimum(np.abs(both.mean - known.mean), np.finfo(np.float64).max)
    past = np.maximum(known.mean_deviation, moved)
    factor = _unit_factor(0.5 * both.high - 0.5 * both.low)
    distance = _mean_distance(X, rows, weight, both.mean, factor)
    for j, kept in tame.items():
        own = slice(j, j + 1)
        distance[j] = _mean_distance(
            X[:, own], rows[kept], weight[kept], both.mean[own], factor[own]
        )[0]
    return both._replace(mean_deviation=past + share * (distance - past))


def _mean_distance(X, rows, weight, centre, factor):
    """Weighted mean distance (d,) of dense rows from ``centre`` (d,)."""
    total = np.zeros(X.shape[1])
    for part, block in float_blocks(X, rows):
        block *= factor
        block -= centre * factor
        total += weight[part] @ np.abs(block, out=block)
    return _finite(total / float(weight.sum()), factor)


def _unit_factor(size):
    """Powers of two that bring numbers of this size near 1."""
    return np.ldexp(1.0, -np.clip(np.frexp(size)[1], -1000, 1000))


def _distance(low, high):
    """From low to high, finite for two ends of the float range too."""
    with np.errstate(over="ignore"):
        return np.minimum(high - low, np.finfo(np.float64).max)


def _two_valued(X, rows, low, high):
    """Whether each column has no value between its smallest and its largest."""
    if sp.issparse(X):
        stored = np.zeros(len(low), np.intp)
        between = np.zeros(len(low), dtype=bool)
        for _, block in float_blocks(X, rows):
            ends = low[block.indices], high[block.indices]
            inside = (block.data != ends[0]) & (block.data != ends[1])
            between[block.indices[inside]] = True
            stored += np.bincount(block.indices, minlength=len(low))
        between |= (stored < len(rows)) & (low < 0) & (high > 0)  # an absent zero
        return ~between
    candidates = np.arange(len(low))  # after one block few are left
    for _, block in float_blocks(X, rows):
        values = block[:, candidates]
        at_end = (values == low[candidates]) | (values == high[candidates])
        candidates = candidates[at_end.all(axis=0)]
    two_valued = np.zeros(len(low), dtype=bool)
    two_valued[candidates] = True
    return two_valued


def _range(X, rows):
    """Each column's smallest and largest value among some rows."""
    low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    stored = np.zeros(X.shape[1], np.intp)
    for _, block in float_blocks(X, rows):
        if sp.issparse(block):
            np.minimum.at(low, block.indices, block.data)
            np.maximum.at(high, block.indices, block.data)
            stored += np.bincount(block.indices, minlength=X.shape[1])
        else:
            np.minimum(low, block.min(axis=0), out=low)
            np.maximum(high, block.max(axis=0), out=high)
    if sp.issparse(X):
        has_zeros = stored < len(rows)
        low[has_zeros] = np.minimum(low[has_zeros], 0)
        high[has_zeros] = np.maximum(high[has_zeros], 0)
    return low, high


def _sparse_moments(X, rows, weight, factor):
    """Weighted mean and deviation of each scaled column, absent zeros included.

    Two passes over the stored entries: a sum of squares about the mean is never
    negative, which scikit-learn's update for sparse columns cannot promise.
    """
    n_features, total = X.shape[1], weight.sum()

    def _column_sums(of_entries):
        sums = np.zeros(n_features)
        for part, block in float_blocks(X, rows):
            per_entry = np.repeat(weight[part], np.diff(block.indptr))
            values = of_entries(block.data * factor[block.indices], block.indices)
            sums += np.bincount(block.indices, per_entry * values, n_features)
        return sums

    mean = _column_sums(lambda z, column: z) / total
    stored = _column_sums(lambda z, column: 1.0)
    square = _column_sums(lambda z, column: (z - mean[column]) ** 2)
    square += np.maximum(total - stored, 0) * mean**2
    return mean, np.sqrt(square / total)


def float_blocks(X, rows, *, own=True) -> Iterator:
    """Pairs of a slice of ``rows`` and those rows of X as float64 arrays.

    New ones, to be changed at will; unless ``own`` is false: then X itself may show
    through.
    """
    per_row = X.shape[1]
    if sp.issparse(X):
        per_row = 1 + X.nnz // max(1, X.shape[0])
    step = max(1, BLOCK_ELEMENTS // max(1, per_row))
    in_place = not own and len(rows) and (np.diff(rows) == 1).all()
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        block = X[rows[0] + start : rows[0] + part.stop] if in_place else X[rows[part]]
        if sp.issparse(X):
            data = block.data.astype(np.float64)
            block = sp.csr_array((data, block.indices, block.indptr), shape=block.shape)
        else:
            block = block.astype(np.float64, order="C", copy=False)
        yield part, block
