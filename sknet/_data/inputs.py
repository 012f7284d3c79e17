r"""Rows of X in, network inputs out: centre, scale, split, squash and cast.

.. math:: z = (x - \mu) / s, \qquad
    z^+ = \max(z, 0) - a, \quad z^- = \min(z, 0) + a, \qquad
    \mathrm{squash}_c(z) = z / \sqrt{1 + (z / c)^2} \in (-c, c)

A split column enters the network twice, by its part above the mean and its part below,
so that a hidden unit has a slope of its own on either side (piecewise linear encoding
of Gorishniy, Rubachev and Babenko 2022, with one knot). The squash is the smooth clip
of RealMLP (Holzmueller, Grinsztajn and Steinwart 2024).

Rows are centred in the precision that X came in, *before* the cast to the network's
dtype, so that a time stamp or a price keeps its digits. Dense rows are written into a
buffer. Sparse rows are scaled but never made dense.
"""

import copy

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import StandardScaler
from sklearn.utils.sparsefuncs import min_max_axis

from sknet._data.weighted import float_blocks, weighted_quantiles

SQUASH = 5.0  # the bound c above
HALF_GAP = 0.4  # a above: half the mean absolute deviation of a normal distribution
MOST_SPLIT_COLUMNS = 128  # more are pixels or the like, and no single one says much
FENCE = 1000  # interquartile ranges beyond which a value is no measurement
ROWS_FOR_FENCE = 1024  # distinct rows that the quartiles are taken from
LIMIT = 1e9  # standardized inputs beyond this are cut: the square is finite in float32
RAW_LIMIT = 1e13  # the same for rows that are only cast


def working_dtype(dtype):
    """The float dtype in which X is centred: its own, or one that holds it."""
    return np.dtype(min(np.result_type(dtype, np.float32), np.dtype(np.float64)))


class Inputs:
    """The map from rows of X to network inputs of one dtype.

    The inputs are one for each column, which is the upper part of a split column, and
    after them the lower parts of the split columns.

    Parameters
    ----------
    n_features : int
    standardize : bool
        False leaves X as it is, but for the cast.
    n_knots : {'auto', 0, 1}
        Whether columns of more than two values are split at their mean. 'auto' splits
        up to 128 such columns.
    dtype : dtype
        Of the network inputs.
    """

    def __init__(self, n_features, standardize, n_knots, dtype):
        self.n_features = n_features
        self.standardize = standardize
        self.n_knots = n_knots if standardize else 0
        self.dtype = np.dtype(dtype)
        self.centred = standardize
        self.split = np.empty(0, np.intp)  # the columns that enter twice
        self.mean = None
        self.scale = None
        self.constant = np.zeros(n_features, dtype=bool)
        # what partial_fit continues with
        self._moments = None
        self._fence = None
        self._low = np.full(n_features, np.inf)
        self._high = np.full(n_features, -np.inf)

    @property
    def n_inputs(self):
        """Inputs of the network."""
        return self.n_features + len(self.split)

    def with_dtype(self, dtype):
        """The same inputs in another dtype."""
        other = copy.copy(self)
        other.dtype = np.dtype(dtype)
        return other

    def partial_fit(self, X, rows, weight):
        """Learn the columns' statistics, or add the rows to those of earlier calls.

        The first call decides which columns are split and where the fences lie. Values
        beyond a fence count neither for the mean nor for the standard deviation.

        Parameters
        ----------
        X : ndarray or csr_array of shape (n_samples, n_features)
        rows : ndarray of int of shape (n,)
            Distinct rows of X in the order of their hashes.
        weight : ndarray of shape (n,)
        """
        if not self.standardize:
            return self
        first = self._moments is None
        if first:
            self.centred = not sp.issparse(X)
            self._fence = _fence(X, rows, weight) if self.centred else None
        scaler = StandardScaler(with_mean=self.centred)
        if not first:
            scaler.mean_, scaler.var_, scaler.n_samples_seen_ = self._moments
            scaler.scale_ = None  # StandardScaler then continues
        for part, block in float_blocks(X, rows):
            if self.centred:
                low, high = self._fence
                block[(block < low) | (block > high)] = np.nan
                smallest, largest = np.fmin.reduce(block), np.fmax.reduce(block)
            else:
                smallest, largest = min_max_axis(block, axis=0)
            self._low = np.fmin(self._low, smallest)
            self._high = np.fmax(self._high, largest)
            scaler.partial_fit(block, sample_weight=weight[part])
        self._moments = scaler.mean_, scaler.var_, scaler.n_samples_seen_
        self._set_scale(scaler.mean_, scaler.var_, first)
        return self

    def _set_scale(self, mean, variance, first):
        """What to subtract and to divide by; on the first call, what to split.

        A column of two values, such as a one-hot one, is divided by their distance. The
        standard deviation of a rare level is small, and dividing by it would make a
        level louder the rarer it is. The variance of a column in [low, high] with this
        mean is largest if it has two values (Bhatia and Davis 2000).
        """
        low, high = self._low, self._high
        self.constant = low == high
        largest = (high - mean) * (mean - low)
        two_valued = np.isclose(variance, largest) | self.constant
        self.mean = np.where(self.constant, low, mean) if self.centred else mean * 0
        scale = np.where(two_valued, high - low, np.sqrt(variance))
        self.scale = np.where(self.constant | ~(scale > 0), 1.0, scale)
        if first and self.centred:
            columns = np.flatnonzero(~two_valued)
            many = len(columns) > MOST_SPLIT_COLUMNS
            if self.n_knots == "auto":
                self.n_knots = 0 if many else 1
            self.split = columns if self.n_knots else self.split
        elif first:
            self.n_knots = 0

    def take(self, X, rows):
        """Inputs for some rows of X in new memory, and the row to add if sparse."""
        if sp.issparse(X):
            return self.sparse(X[rows])
        raw = np.array(X[rows], order="C")
        out = np.empty((len(raw), self.n_inputs), self.dtype)
        self.dense(raw, out, np.empty_like(out))
        return out, None

    def dense(self, raw, out, scratch):
        """Write the inputs for ``raw`` (n, d) into ``out``; may overwrite ``raw``.

        ``raw`` is a copy of rows of X in X's own dtype. ``scratch`` has the shape and
        dtype of ``out`` (n, n_inputs). All but ``out`` are C-contiguous.
        """
        if self.mean is None:
            np.copyto(out, raw, casting="same_kind")
            np.clip(out, -RAW_LIMIT, RAW_LIMIT, out=out)
            return
        n, d = raw.shape
        work = working_dtype(raw.dtype)
        mean, factor = self.constants(work)
        centred = raw if raw.dtype == work else np.empty(raw.shape, work)
        np.subtract(raw, mean, out=centred)
        centred *= factor
        z = out
        if len(self.split):
            z = scratch.reshape(-1)[: n * d].reshape(n, d)
        np.clip(centred, -LIMIT, LIMIT, out=z, casting="same_kind")
        if len(self.split):
            lower = np.minimum(z[:, self.split], 0, out=out[:, d:])
            lower += self.dtype.type(HALF_GAP)
            lowest, gap = self.upper_constants()
            np.maximum(z, lowest, out=out[:, :d])
            out[:, :d] -= gap
        self._squash(out, scratch)

    def sparse(self, X):
        """Inputs for the rows X as CSR, and the row (d,) to add to each, if any.

        A model that was fitted on sparse X needs no addition. One that was fitted on
        dense X centres: an absent 0 becomes the same value everywhere in its column,
        which is the row to add, and stored values are given relative to it.
        """
        if self.mean is None:
            values = np.clip(X.data.astype(self.dtype), -RAW_LIMIT, RAW_LIMIT)
            return _with_data(X, values), None
        mean, factor = self.constants(working_dtype(X.dtype))
        if not self.centred:
            z = np.clip(X.data * factor[X.indices], -LIMIT, LIMIT).astype(self.dtype)
            self._squash(z, np.empty_like(z))
            return _with_data(X, z), None
        columns = np.arange(self.n_features)
        zero = np.zeros(1, working_dtype(X.dtype))
        parts, shift = [], []
        for half in (self._upper, self._lower):
            absent = half((zero - mean) * factor, columns)
            values = half((X.data - mean[X.indices]) * factor[X.indices], X.indices)
            parts.append(_with_data(X, values - absent[X.indices]))
            shift.append(absent)
        parts[1], shift[1] = parts[1][:, self.split], shift[1][self.split]
        return sp.csr_array(sp.hstack(parts, format="csr")), np.concatenate(shift)

    def _upper(self, z, columns):
        """The inputs of these columns: their upper part if they are split."""
        lowest, gap = self.upper_constants()
        z = np.clip(z, -LIMIT, LIMIT).astype(self.dtype)
        z = np.maximum(z, lowest[columns]) - gap[columns]
        self._squash(z, np.empty_like(z))
        return z

    def _lower(self, z, columns):
        """The lower part of these columns."""
        z = np.clip(z, -LIMIT, LIMIT).astype(self.dtype)
        z = np.minimum(z, 0) + self.dtype.type(HALF_GAP)
        self._squash(z, np.empty_like(z))
        return z

    def upper_constants(self):
        """Bound (d,) and offset (d,) of the upper parts; none for unsplit columns."""
        lowest = np.full(self.n_features, -np.inf, self.dtype)
        gap = np.zeros(self.n_features, self.dtype)
        lowest[self.split], gap[self.split] = 0, HALF_GAP
        return lowest, gap

    def _squash(self, z, scratch):
        """The smooth clip, in place."""
        np.multiply(z, 1 / SQUASH, out=scratch)
        scratch *= scratch
        scratch += 1
        np.sqrt(scratch, out=scratch)
        z /= scratch

    def constants(self, dtype):
        """Mean and 1 / scale in ``dtype``, both finite."""
        smallest = 2 / float(np.finfo(dtype).max)
        factor = 1 / np.maximum(self.scale, smallest)
        return self.mean.astype(dtype), factor.astype(dtype)


def _fence(X, rows, weight):
    """Bounds (d,) beyond which a value is no measurement, such as 999999 for a gap."""
    n, d = min(len(rows), ROWS_FOR_FENCE), X.shape[1]
    if n < 10:  # quartiles of fewer rows say little
        return np.full(d, -np.inf), np.full(d, np.inf)
    some = X[rows[:n]].astype(np.float64)
    lower, upper = weighted_quantiles(some, weight[:n], (0.25, 0.75))
    reach = FENCE * (upper - lower)
    reach[reach == 0] = np.inf
    return lower - reach, upper + reach


def _with_data(X, data):
    """X with other stored values, its structure shared."""
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)
