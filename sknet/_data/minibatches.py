"""Minibatches of rows, which are gathered, scaled and cast one batch at a time.

X is neither copied nor converted as a whole. Only indices, labels and weights are
shuffled.
"""

import math

import numpy as np
import scipy.sparse as sp

READY_BYTES = 1 << 25  # inputs of this size, or X's, are computed once a fit
PART_ELEMENTS = 1 << 15  # of rows being gathered: their copies stay in the cache


class Minibatches:
    """An iterable: each iteration is one pass over a dataset in batches (X, y, weight).

    X is (m, d + 1) with a last column of ones, or sparse (m, d); y (m,); weight (1 or
    k, m, 1), divided by the number of rows that the loss is averaged over.

    Parameters
    ----------
    data : Dataset
    inputs : Inputs
    size : int
        Rows of a batch; the last one of a pass may be smaller.
    rng : numpy.random.Generator or None
        Shuffles the rows before each pass. None keeps the order and averages the loss
        over all rows instead of those of the batch, as full-batch solvers need it.
    """

    def __init__(self, data, inputs, size, rng):
        n = len(data.rows)
        self.data = data
        self.inputs = inputs
        self.size = min(size, n)
        self.rng = rng
        self._weight = data.weight.astype(inputs.dtype)[:, :, np.newaxis]
        X = data.X
        if sp.issparse(X):
            small = X.nnz * (X.data.itemsize + X.indices.itemsize) <= 4 * READY_BYTES
        else:
            nbytes = n * (inputs.n_inputs + 1) * inputs.dtype.itemsize
            small = nbytes <= max(READY_BYTES, X.nbytes)
        # the inputs of all rows, unless they are too large to be kept
        self.ready = self._inputs_of(data.rows) if small else None

    def __len__(self):
        return math.ceil(len(self.data.rows) / self.size)

    def __iter__(self):
        n = len(self.data.rows)
        order = np.arange(n) if self.rng is None else self.rng.permutation(n)
        y, weight = self.data.y[order], self._weight[:, order]
        for start in range(0, n, self.size):
            part = slice(start, min(start + self.size, n))
            share = 1 / (n if self.rng is None else part.stop - start)
            yield self._gather(order[part]), y[part], weight[:, part] * share

    def _gather(self, positions):
        """The network inputs of the rows at these positions of the dataset."""
        if self.ready is None:
            return self._inputs_of(self.data.rows[positions])
        if sp.issparse(self.ready):
            return self.ready[positions]
        return self.ready.take(positions, axis=0)  # faster than an index

    def _inputs_of(self, rows):
        """The inputs of these rows of X; dense ones end with a column of ones."""
        if sp.issparse(self.data.X):
            return self.inputs.sparse(self.data.X[rows])
        out = np.ones((len(rows), self.inputs.n_inputs + 1), self.inputs.dtype)
        step = max(1, PART_ELEMENTS // self.inputs.n_inputs)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            self.inputs.take(self.data.X, rows[part], out[part, :-1])
        return out
