r"""Convert rows of X to network inputs: centre, scale, split, squash and cast.

.. math:: z = (x - \mu) / s, \qquad
    z^+ = \max(z, 0) - a, \quad z^- = \min(z, 0) + a, \qquad
    \mathrm{squash}_c(z) = z / \sqrt{1 + (z / c)^2} \in (-c, c)

A split column becomes two inputs, its part above the mean and its part below, so that a
hidden unit has a separate slope on either side (piecewise linear encoding of Gorishniy,
Rubachev and Babenko 2022, with one knot). The squash is the smooth clip of RealMLP
(Holzmueller, Grinsztajn and Steinwart 2024).

Rows are centred in the precision of X, *before* the cast to the network's dtype, so
that time stamps and prices keep their digits. Sparse rows are scaled but never made
dense.
"""

import copy
import itertools

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri
from sklearn.preprocessing import StandardScaler
from sklearn.utils.sparsefuncs import min_max_axis

from sknet._data.levels import MANY_LEVELS
from sknet._data.weighted import float_blocks, weighted_quantiles

SQUASH = 5.0  # the bound c above
HALF_GAP = 0.4  # a above: half the mean absolute deviation of a normal distribution
ROWS_THAT_COUNT = 10  # with fewer rows, two distinct values may be coincidence
# levels with less than this share one input: times the mean weight of distinct rows,
# or, where there are many copies of few rows, share of all weight
RARE, RARE_SHARE = 3, 0.01
MOST_SPLIT_COLUMNS = 128  # with more, such as pixels, single columns matter little
FENCE = 1000  # interquartile ranges beyond which a value is treated as an error code
N_RANKS = 64  # quantiles that the normal score of a rank goes through
ROWS_FOR_QUANTILES = 20_000  # distinct rows that they are taken from
ROWS_FOR_FENCE = 1024  # distinct rows that the quartiles are taken from
LIMIT = 1e9  # standardized inputs beyond this are cut: the square is finite in float32
RAW_LIMIT = 1e13  # the same for rows that are only cast


def working_dtype(dtype):
    """The float dtype in which X is centred."""
    return np.dtype(min(np.result_type(dtype, np.float32), np.dtype(np.float64)))


class Inputs:
    """The mapping from rows of X to network inputs of one dtype.

    The inputs are, in this order, each numeric column (or its upper part if it is
    split), the lower parts of the split columns, an indicator for each numeric column
    with missing values, and an indicator for each level of the categories. The
    indicators are centred.

    Parameters
    ----------
    n_features : int
    standardize : bool
        With False, numeric columns are only cast.
    n_knots : int or 'auto'
        For columns with more than two values, 0 gives one input per column, 1 splits
        the column at its mean, and k > 1 adds a piecewise linear basis with knots at k
        quantiles. 'auto' splits the columns if there are at most 128 of them.
    dtype : dtype
        The dtype of the network inputs.
    n_levels : dict of int to int
        The number of levels of each categorical column, whose values are codes.
    """

    def __init__(self, n_features, standardize, n_knots, dtype, n_levels):
        numeric = [j for j in range(n_features) if j not in n_levels]
        self.numeric = np.array(numeric, np.intp)
        self.n_features = n_features
        self.n_levels = n_levels
        self.standardize = standardize
        self.n_knots = n_knots if standardize else 0
        self.dtype = np.dtype(dtype)
        self._constants = {}  # in the dtypes they are needed in
        self.centred = standardize
        # of the columns of numbers: what to subtract and to divide by, and which are
        # constant; those that enter twice and those with gaps, by position
        self.mean = self.scale = None
        self.constant = np.zeros(len(numeric), dtype=bool)
        self.split = self.gaps = np.empty(0, np.intp)
        # ramps from 0 to 1 between two knots, by column, lower end and width; and the
        # scores of ranks, as (column, quantiles, scores)
        self.ramps = np.empty(0, np.intp), np.empty(0), np.empty(0)
        self.ramp_mean = np.empty(0)
        self.scores = []
        # the input of each level of a column of categories, of a gap and of an unseen
        # level, -1 for none; and the weighted share of rows with an indicator
        self.level_inputs = {}
        self.share = np.empty(0)
        # what partial_fit continues with
        self._weight, self._moments, self._fence = 0.0, None, None
        self._two_valued, self._distance = self.constant, np.zeros(len(numeric))
        self._n_rows, self._unit, self._stored = 0, 1.0, np.zeros(len(numeric))
        self._low = np.full(len(numeric), np.inf)
        self._high = np.full(len(numeric), -np.inf)

    @property
    def n_inputs(self):
        """Inputs of the network."""
        n_curved = len(self.ramps[0]) + len(self.scores)
        return len(self.numeric) + len(self.split) + n_curved + len(self.share)

    @property
    def constant_inputs(self):
        """Whether each input (n_inputs,) had only one value in training."""
        share = self.share
        others = np.zeros(self.n_inputs - len(self.numeric) - len(share), dtype=bool)
        return np.concatenate([self.constant, others, (share == 0) | (share == 1)])

    def names(self, columns, levels):
        """Names (n_inputs,) of the inputs.

        Parameters
        ----------
        columns : list of str
            Names of the columns of X.
        levels : dict of int to list of str
            Names of the levels of the categorical columns.
        """
        numeric = [columns[j] for j in self.numeric]
        lower = [f"{numeric[j]} (lower)" for j in self.split]
        ramps = [
            f"{numeric[j]} > {self.mean[j] + self.scale[j] * x:.3g}"
            for j, x, _ in zip(*self.ramps, strict=True)
        ]
        scores = [f"{numeric[j]} (rank)" for j, *_ in self.scores]
        gaps = [f"{numeric[j]} missing" for j in self.gaps]
        for j in self.split:
            numeric[j] = f"{numeric[j]} (upper)"
        indicators = []
        for j, places in self.level_inputs.items():
            of_place = [*levels[j], "missing", "(rare)"]
            for place in np.unique(places[places >= 0]):
                own = np.flatnonzero(places == place)
                level = of_place[own[0]] if len(own) == 1 else "(rare)"
                indicators.append(f"{columns[j]}={level}")
        return [*numeric, *lower, *ramps, *scores, *gaps, *indicators]

    def state(self):
        """All attributes, as plain types."""
        return {**vars(self), "dtype": self.dtype.name, "_constants": {}}

    @classmethod
    def restored(cls, state):
        """The inputs with these attributes."""
        inputs = object.__new__(cls)
        vars(inputs).update(state, dtype=np.dtype(state["dtype"]))
        return inputs

    def with_dtype(self, dtype):
        """The same inputs in another dtype."""
        other = copy.copy(self)
        other.dtype, other._constants = np.dtype(dtype), {}
        return other

    def partial_fit(self, X, rows, weight):
        """Compute the column statistics, or update them with these rows.

        The first call decides which columns are split, which missing values and levels
        get an input, and where the outlier bounds are. Values beyond these bounds do
        not affect the mean or the standard deviation.

        Parameters
        ----------
        X : ndarray or csr_array of shape (n_samples, n_features)
        rows : ndarray of int of shape (n,)
            Distinct rows of X in the order of their hashes.
        weight : ndarray of shape (n,)
        """
        first = self._weight == 0
        if first:
            self._unit = float(weight.mean())
            self.centred = self.standardize and not sp.issparse(X)
            self._choose_indicators(X, rows, weight / self._unit)
        weight = weight / self._unit
        total = float(weight.sum())
        self._n_rows += len(rows)
        self._constants = {}
        if len(self.share):
            share = self._indicator_share(X, rows, weight)
            change = (share - self.share) * total / (total + self._weight)
            self.share = self.share + change
        self._weight += total
        if self.standardize and len(self.numeric):
            self._learn_scale(X, rows, weight, first)
        return self

    def _choose_indicators(self, X, rows, weight):
        """Decide which missing values and which levels get an input.

        Rare levels share an input with unseen levels, because a weight for a level that
        occurs once or twice would be noise. In a stream, there are no label statistics,
        so the most frequent levels of a column with many levels get an input.
        """
        # the sum is NaN if a value is
        if sp.issparse(X) or not (self.n_levels or np.isnan(np.add.reduce(X, None))):
            return
        n_missing = np.zeros(X.shape[1], np.intp)
        counts = {j: np.zeros(n + 2) for j, n in self.n_levels.items()}
        for part, block in float_blocks(X, rows):
            gaps = np.isnan(block)
            n_missing += gaps.sum(axis=0)
            for j, count in counts.items():
                codes = np.where(gaps[:, j], len(count) - 2, block[:, j]).astype(int)
                np.add.at(count, codes, weight[part])
        n_missing = n_missing[self.numeric]
        self.gaps = np.flatnonzero((n_missing > 0) & (n_missing < len(rows)))
        n_indicators = len(self.gaps)
        for j, count in counts.items():
            places = np.full(len(count), -1)
            frequent = np.argsort(-count, kind="stable")[:MANY_LEVELS]
            least = min(RARE, RARE_SHARE * count.sum())
            frequent = np.sort(frequent[count[frequent] >= least])
            places[frequent] = n_indicators + np.arange(len(frequent))
            n_indicators += len(frequent)
            rest = (count > 0) & (places < 0)
            if rest.any():
                places[rest] = places[-1] = n_indicators
                n_indicators += 1
            self.level_inputs[j] = places
        self.share = np.zeros(n_indicators)

    def _indicator_share(self, X, rows, weight):
        """Weighted share of the rows in which each indicator is 1."""
        total = np.zeros(len(self.share))
        for part, block in float_blocks(X, rows):
            indicators = np.zeros((len(block), len(total)))
            self._indicate(block, indicators)
            total += weight[part] @ indicators
        return total / weight.sum()

    def _indicate(self, raw, out):
        """Write 1 into the indicators (n, n_indicators) of these rows of X."""
        if len(self.gaps):
            out[:, : len(self.gaps)] = np.isnan(raw[:, self.numeric[self.gaps]])
        for j, places in self.level_inputs.items():
            # a gap is the last but one, and a level that was not seen the last one
            codes = np.where(np.isnan(raw[:, j]), len(places) - 2, raw[:, j])
            place = places[codes.astype(np.intp)]
            seen = np.flatnonzero(place >= 0)
            out[seen, place[seen]] = 1

    def _learn_scale(self, X, rows, weight, first):
        """The mean and standard deviation of the numeric columns."""
        if first and self.centred:
            some = rows[:ROWS_FOR_FENCE]
            values = X[some][:, self.numeric].astype(np.float64)
            self._fence = _fence(values, weight[: len(some)])
        scaler = StandardScaler(with_mean=self.centred)
        if not first:
            # copies, which StandardScaler may write to
            moments = [np.copy(moment) for moment in self._moments]
            scaler.mean_, scaler.var_, scaler.n_samples_seen_ = moments
            scaler.scale_ = None  # StandardScaler then continues
        for part, block in float_blocks(X, rows):
            if self.centred:
                block = block[:, self.numeric]
                low, high = self._fence
                block[(block < low) | (block > high)] = np.nan
                smallest, largest = np.fmin.reduce(block), np.fmax.reduce(block)
            else:
                smallest, largest = min_max_axis(block, axis=0, ignore_nan=True)
                entries = np.repeat(weight[part], np.diff(block.indptr))
                stored = np.bincount(block.indices, entries, len(self._low))
                self._stored = self._stored + stored
            self._low = np.fmin(self._low, smallest)
            self._high = np.fmax(self._high, largest)
            scaler.partial_fit(block, sample_weight=weight[part])
        self._moments = scaler.mean_, scaler.var_, scaler.n_samples_seen_
        self._set_scale(scaler.mean_, scaler.var_)
        if first:
            self._choose_curves(X, rows, weight)

    def _set_scale(self, mean, variance):
        """The values to subtract and to divide by.

        A column with two values, such as a one-hot column, is divided by their
        distance. Division by the standard deviation would give rare levels larger
        inputs than common ones. The variance of a column in [low, high] with this mean
        is largest if it has two values (Bhatia and Davis 2000). A column without a
        value is constant. Sparse columns are divided by the root mean square of their
        stored values, so that rare words do not get larger inputs than common ones.
        """
        low, high = self._low, self._high
        empty = low > high
        self.constant = (low == high) | empty
        mean = np.where(empty, 0.0, np.where(self.constant, low, mean))
        largest = (high - mean) * (mean - low)
        two_valued = np.isclose(variance, largest, atol=0) | self.constant
        self.mean = mean if self.centred else np.zeros_like(mean)
        # a late third value in a stream must not change the other inputs abruptly
        if self._n_rows >= ROWS_THAT_COUNT:
            self._distance = np.where(two_valued, high - low, self._distance)
        scale = np.where(two_valued, high - low, np.sqrt(variance))
        scale = np.maximum(scale, self._distance)
        self.scale = np.where(self.constant | ~(scale > 0), 1.0, scale)
        if not self.centred:
            share = np.maximum(self._stored / self._weight, 1e-300)
            scale = np.sqrt((variance + mean**2) / share)
            self.scale = np.where(scale > 0, scale, 1.0)
        self._two_valued = two_valued

    @property
    def is_curved(self):
        """Whether there are columns with more than two values."""
        return self.centred and not self._two_valued.all()

    def with_curves(self, n_knots, ranks, X, rows, weight):
        """The same inputs with another number of knots, with or without ranks."""
        other = copy.copy(self)
        other.n_knots, other._constants = n_knots, {}
        other.split, other.scores = np.empty(0, np.intp), []
        other._choose_curves(X, rows, weight, ranks)
        return other

    def _choose_curves(self, X, rows, weight, ranks=False):
        """Choose the columns to split, their knots and the quantiles of their ranks."""
        columns = np.flatnonzero(~self._two_valued)
        if self.n_knots == "auto" or not self.centred:
            self.n_knots = int(self.centred and len(columns) <= MOST_SPLIT_COLUMNS)
        if self.n_knots == 1:
            self.split = columns
        if (self.n_knots < 2 and not ranks) or not self.centred:
            return
        rows, weight = rows[:ROWS_FOR_QUANTILES], weight[:ROWS_FOR_QUANTILES]
        z = X[rows][:, self.numeric].astype(np.float64)
        z -= self.mean
        z /= self.scale
        if self.n_knots > 1:
            # Chebyshev nodes, so that there are more knots in the tails
            angles, ramps = np.pi * (np.arange(self.n_knots) + 0.5) / self.n_knots, []
            levels = (1 - np.cos(angles)) / 2
            knots = weighted_quantiles(z[:, columns], weight, levels)
            for j, own in zip(columns, knots.T, strict=True):
                if own[0] == own[-1]:  # most values are equal
                    own = np.fmin.reduce(z[:, j]), np.fmax.reduce(z[:, j])
                own = np.unique(own)
                ramps += [(j, a, b - a) for a, b in itertools.pairwise(own)]
            column, low, width = np.array(ramps).reshape(-1, 3).T.copy()
            self.ramps = column.astype(np.intp), low, width
            self.ramp_mean, total = np.zeros(len(ramps)), np.zeros(len(ramps))
            for start in range(0, len(z), 128):  # few rows at a time
                part = slice(start, start + 128)
                bumps = np.empty((len(z[part]), len(ramps)))
                self._curve(np.nan_to_num(z[part], nan=0.0), bumps)
                total += weight[part] @ bumps
            self.ramp_mean = total / weight.sum()
        if ranks:
            levels = (np.arange(N_RANKS) + 0.5) / N_RANKS
            quantiles = weighted_quantiles(z[:, columns], weight, levels)
            for j, own in zip(columns, quantiles.T, strict=True):
                values, first, counts = np.unique(
                    own, return_index=True, return_counts=True
                )
                middle = first + (counts - 1) / 2  # of equal quantiles
                self.scores.append((j, values, ndtri((middle + 0.5) / N_RANKS)))

    def _curve(self, z, out):
        """Write ramps and normal scores of scaled columns ``z`` (n, d) into ``out``."""
        z = np.ascontiguousarray(z.T)  # (d, n), so that a row of z has one of each knot
        column, low, width = (a[:, np.newaxis] for a in self.ramps)
        m = len(column)
        if m:
            ramps = z[self.ramps[0]]
            ramps -= low.astype(z.dtype)
            ramps /= width.astype(z.dtype)
            np.maximum(ramps, 0, out=ramps)
            np.minimum(ramps, 1, out=ramps)
            # a bump at each knot but the first: a ramp less the next one of its column
            follows = np.flatnonzero(column[1:] == column[:-1])
            bumps = ramps - self.ramp_mean.astype(out.dtype)[:, np.newaxis]
            bumps[follows] -= ramps[follows + 1]
            out[:, :m] = bumps.T
        if self.scores:
            column, quantiles, values, slopes = self._score_constants()
            z = np.maximum(z[column], quantiles[:, :1])
            reached = z >= quantiles.T[:, :, np.newaxis]  # (q, d, n)
            segment = reached.sum(axis=0, dtype=np.uint8).astype(np.intp) - 1
            segment += np.arange(len(column))[:, np.newaxis] * quantiles.shape[1]
            scores = z - quantiles.take(segment)
            scores *= slopes.take(segment)
            scores += values.take(segment)
            out[:, m : m + len(column)] = scores.T

    def stays_sparse(self, X):
        """Whether the inputs for X are sparse."""
        return sp.issparse(X) and not self.centred and not len(self.share)

    def take(self, X, rows, out=None):
        """Inputs for some rows of X, in ``out`` or in newly allocated memory.

        If the model was fitted on dense X, it centres, so sparse rows are made dense.
        """
        if self.stays_sparse(X):
            return self.sparse(X[rows])
        raw = X[rows].toarray() if sp.issparse(X) else np.ascontiguousarray(X[rows])
        if isinstance(rows, slice):  # raw may be a view of X
            raw = raw.copy()
        if out is None:
            out = np.empty((len(raw), self.n_inputs), self.dtype)
        self.dense(raw, out, np.empty_like(out))
        return out

    def dense(self, raw, out, scratch):
        """Write the inputs for ``raw`` (n, d) into ``out``; may overwrite ``raw``.

        ``raw`` is a copy of rows of X in X's own dtype. ``scratch`` has the shape and
        dtype of ``out`` (n, n_inputs). All arrays except ``out`` are C-contiguous.
        """
        n_indicators = len(self.share)
        if n_indicators:
            indicators = out[:, self.n_inputs - n_indicators :]
            indicators.fill(0)
            self._indicate(raw, indicators)
            indicators -= self.share.astype(self.dtype)
        if self.level_inputs:
            raw = raw[:, self.numeric]
        n, d = raw.shape
        if self.mean is None:
            z = out[:, :d]
            np.copyto(z, raw, casting="same_kind")
            np.clip(z, -RAW_LIMIT, RAW_LIMIT, out=z)
            _fill_gaps(z)
            return
        work = working_dtype(raw.dtype)
        mean, factor = self.constants(work)
        centred = raw if raw.dtype == work else np.empty(raw.shape, work)
        np.subtract(raw, mean, out=centred)
        centred *= factor
        z = out[:, :d]
        n_curved = len(self.ramps[0]) + len(self.scores)
        if len(self.split):
            z = scratch.reshape(-1)[: n * d].reshape(n, d)
        np.minimum(centred, LIMIT, out=centred)
        np.maximum(centred, -LIMIT, out=z, casting="same_kind")
        _fill_gaps(z)
        if len(self.split):
            lower = out[:, d : d + len(self.split)]
            np.minimum(z[:, self.split], 0, out=lower)
            lower += self.dtype.type(HALF_GAP)
            lowest, offset = self.upper_constants()
            np.maximum(z, lowest, out=out[:, :d])
            out[:, :d] -= offset
        if n_curved:
            self._curve(z, out[:, d + len(self.split) :])
        self._squash(out, np.empty_like(out) if n_curved else scratch)

    def sparse(self, X):
        """Inputs for CSR rows X of a model that does not centre.

        A missing value becomes 0, like a value that is not stored.
        """
        unscaled = self.mean is None
        z = X.data.astype(self.dtype if unscaled else working_dtype(X.dtype))
        if self.mean is not None:
            z *= self.constants(z.dtype)[1][X.indices]
        limit = RAW_LIMIT if unscaled else LIMIT
        z = np.clip(z, -limit, limit).astype(self.dtype)
        _fill_gaps(z)
        if self.mean is not None:
            self._squash(z, np.empty_like(z))
        return sp.csr_array((z, X.indices, X.indptr), shape=X.shape)

    def _score_constants(self):
        """The columns and padded arrays (d, q) of quantiles, scores and slopes."""
        if "scores" not in self._constants:
            longest = max(len(quantiles) for _, quantiles, _ in self.scores)
            tables = np.full((3, len(self.scores), longest), np.inf, self.dtype)
            for i, (_, quantiles, scores) in enumerate(self.scores):
                m = len(quantiles)
                tables[:, i, :m] = np.stack([quantiles, scores, np.zeros(m)])
                rise, width = np.diff(tables[1, i, :m]), np.diff(tables[0, i, :m])
                np.divide(rise, width, out=tables[2, i, : m - 1], where=width > 0)
            self._constants["scores"] = [j for j, *_ in self.scores], *tables
        return self._constants["scores"]

    def upper_constants(self):
        """Bound (d,) and offset (d,) of the upper parts; none for unsplit columns."""
        if "upper" not in self._constants:
            lowest = np.full(len(self.numeric), -np.inf, self.dtype)
            offset = np.zeros(len(self.numeric), self.dtype)
            lowest[self.split], offset[self.split] = 0, HALF_GAP
            self._constants["upper"] = lowest, offset
        return self._constants["upper"]

    def _squash(self, z, scratch):
        """The smooth clip, in place."""
        np.multiply(z, 1 / SQUASH, out=scratch)
        scratch *= scratch
        scratch += 1
        np.sqrt(scratch, out=scratch)
        z /= scratch

    def constants(self, dtype):
        """Mean and 1 / scale in ``dtype``, both finite."""
        if dtype not in self._constants:
            factor = 1 / np.maximum(self.scale, 2 / float(np.finfo(dtype).max))
            self._constants[dtype] = self.mean.astype(dtype), factor.astype(dtype)
        return self._constants[dtype]


def _fence(values, weight):
    """Bounds (d,) beyond which a value is treated as an error code, such as 999999."""
    d = values.shape[1]
    if len(values) < 10:  # quartiles of fewer rows say little
        return np.full(d, -np.inf), np.full(d, np.inf)
    lower, upper = weighted_quantiles(values, weight, (0.25, 0.75))
    reach = FENCE * (upper - lower)
    reach[~(reach > 0)] = np.inf
    lower, upper = lower - reach, upper + reach
    return np.nan_to_num(lower, nan=-np.inf), np.nan_to_num(upper, nan=np.inf)


def _fill_gaps(z):
    """Replace missing values with zero, the mean."""
    if np.isnan(np.add.reduce(z, None)):
        z[np.isnan(z)] = 0
