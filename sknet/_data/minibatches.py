"""Minibatches of rows, which are gathered, scaled and cast into reused buffers.

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
    k, m, 1), divided by the number of rows that the loss is averaged over. The next
    batch overwrites a dense X.

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
        self._sparse = sp.issparse(data.X)
        if not self._sparse:
            some = min(self.size, max(1, PART_ELEMENTS // inputs.n_inputs))
            self._raw = np.empty((some, data.X.shape[1]), data.X.dtype)
            self._scratch = np.empty((some, inputs.n_inputs), inputs.dtype)
            self._batch = np.ones((self.size, inputs.n_inputs + 1), inputs.dtype)
        self.ready = self._all_inputs()

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
        if self._sparse:
            if self.ready is not None:
                return self.ready[positions]
            return self.inputs.sparse(self.data.X[self.data.rows[positions]])
        batch = self._batch[: len(positions)]
        if self.ready is None:
            self._write_inputs(self.data.rows[positions], batch)
        else:
            self.ready.take(positions, axis=0, out=batch, mode="clip")
        return batch

    def _all_inputs(self):
        """The inputs of all rows, or None if they are too large to be kept."""
        X, rows = self.data.X, self.data.rows
        if self._sparse:
            small = X.nnz * (X.data.itemsize + X.indices.itemsize) <= 4 * READY_BYTES
            return self.inputs.sparse(X[rows]) if small else None
        shape = len(rows), self.inputs.n_inputs + 1
        most = max(READY_BYTES, X.nbytes)
        if math.prod(shape) * self.inputs.dtype.itemsize > most:
            return None
        ready = np.ones(shape, self.inputs.dtype)
        self._write_inputs(rows, ready)
        return ready

    def _write_inputs(self, rows, out):
        """Write the inputs of these rows of X in parts, without the column of ones."""
        some = len(self._raw)
        for start in range(0, len(rows), some):
            part = rows[start : start + some]
            raw, scratch = self._raw[: len(part)], self._scratch[: len(part)]
            if self.data.X.flags.c_contiguous:
                # the mode "raise" would buffer
                np.take(self.data.X, part, axis=0, out=raw, mode="clip")
            else:  # of which take would copy the whole
                raw[...] = self.data.X[part]
            self.inputs.dense(raw, out[start : start + some, :-1], scratch)
