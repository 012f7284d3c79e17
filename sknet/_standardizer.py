r"""Raw rows in, network inputs out: centre, scale, split, squash and cast.

.. math:: z = (x - \mu) / s, \qquad
    z^+ = \max(z, 0) - a, \quad z^- = \min(z, 0) + a, \qquad
    \mathrm{squash}_c(z) = z / \sqrt{1 + (z / c)^2} \in (-c, c)

A split column enters the network twice, by its part above the mean and its part below,
so that a hidden unit has a slope of its own on either side: a linear spline with one
knot, whose further knots are the hidden units' own (piecewise linear encoding has many;
Gorishniy, Rubachev and Babenko 2022). Before the squash both parts have the mean zero,
for a is half the mean absolute deviation.

The squash is the smooth clip of RealMLP (Holzmueller, Grinsztajn and Steinwart 2024).
Centring happens in the precision that X came in, *before* the cast to the network's
dtype, so that a time stamp or a price keeps its digits. Dense rows are written into a
buffer; sparse rows are scaled but never densified.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.floating]

LIMIT = 1e9  # standardized inputs beyond this are cut: its square is finite in float32
RAW_LIMIT = 1e13  # the same for rows that are only cast


def working_dtype(dtype: DTypeLike) -> np.dtype:
    """The float dtype that holds X exactly enough to centre it: X's own, or wider."""
    return np.dtype(min(np.result_type(dtype, np.float32), np.dtype(np.float64)))


class Split(NamedTuple):
    """The columns that enter the network twice, above and below their mean."""

    columns: NDArray[np.intp]  # (n_split,)
    offset: Array  # (n_split,) the a above


class Standardizer:
    """Turns rows of X into network inputs of one dtype.

    The inputs are, first, one for each column: the upper part, if it is split; after
    them the lower parts of the split columns.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_features,) or None
        None leaves X as it is, but for the cast.
    squash : float or None
        The bound c above.
    dtype : dtype
        Of the network's inputs.
    split : Split or None
    """

    def __init__(
        self,
        mean: Array | None,
        scale: Array | None,
        squash: float | None,
        dtype: DTypeLike,
        split: Split | None = None,
    ) -> None:
        self.mean = mean
        self.scale = scale
        self.squash = squash if mean is not None else None
        self.dtype = np.dtype(dtype)
        self.split = split
        self._constants: dict[np.dtype, tuple[Array, Array]] = {}
        if split is not None:
            assert mean is not None
            self.lowest = np.full(len(mean), -np.inf, self.dtype)
            self.lowest[split.columns] = 0
            self.offset = split.offset.astype(self.dtype)
            self.all_offsets = np.zeros(len(mean), self.dtype)
            self.all_offsets[split.columns] = self.offset

    @property
    def n_split(self) -> int:
        """How many more inputs than columns there are."""
        return 0 if self.split is None else len(self.split.columns)

    def orient(self, direction: Array) -> tuple[Array, NDArray[np.intp]]:
        """Signs and order of the inputs, for columns that are turned round.

        Parameters
        ----------
        direction : ndarray of shape (n_features,)
            -1 for those: what was the upper part is now the lower one.
        """
        d = len(direction)
        order = np.arange(d + self.n_split)
        if self.split is None:
            return direction, order
        columns = self.split.columns
        turned = direction[columns] < 0
        lower = np.arange(d, len(order))[turned]
        order[columns[turned]], order[lower] = lower, columns[turned]
        return np.concatenate([direction, direction[columns]]), order

    def take(
        self, X: NDArray | sp.csr_array, rows: NDArray[np.intp] | slice
    ) -> tuple[Array | sp.csr_array, Array | None]:
        """Inputs for some rows of X in new memory, and the row to add if sparse."""
        with np.errstate(over="ignore"):  # what is too large is cut at LIMIT
            if sp.issparse(X):
                return self.sparse(X[rows])
            raw = np.array(X[rows], order="C")
            out = np.empty((len(raw), raw.shape[1] + self.n_split), self.dtype)
            plain = self.split is None and self.squash is None
            self.dense(raw, out, out if plain else np.empty_like(out))
        return out, None

    def dense(self, raw: NDArray, out: Array, scratch: Array) -> None:
        """Write the inputs for ``raw`` (n, d) into ``out``; may overwrite ``raw``.

        ``raw`` is a scratch copy of rows of X in X's own dtype; ``scratch`` has the
        shape and dtype of ``out`` (n, d + n_split); all are C-contiguous.
        """
        if self.mean is None:
            np.copyto(out, raw, casting="same_kind")
            if raw.dtype.kind == "f":  # integers have no such numbers
                np.clip(out, -RAW_LIMIT, RAW_LIMIT, out=out)
            return
        whole = out  # (n, d), to be split into ``out``
        if self.split is not None:
            whole, columns = _parts(scratch, raw.shape)
        work = working_dtype(raw.dtype)
        mean, factor = self.in_dtype(work)
        if raw.dtype == work:
            centred = raw
        elif self.dtype == work:
            centred = whole
        else:
            centred = np.empty(raw.shape, work)
        np.subtract(raw, mean, out=centred)
        centred *= factor
        np.clip(centred, -LIMIT, LIMIT, out=whole, casting="same_kind")
        if self.split is not None:
            upper, lower = out[:, : raw.shape[1]], out[:, raw.shape[1] :]
            np.take(whole, self.split.columns, axis=1, out=columns, mode="clip")
            np.maximum(whole, self.lowest, out=upper)
            upper -= self.all_offsets
            np.minimum(columns, 0, out=lower)
            lower += self.offset
        self._squash(out, scratch)

    def sparse(self, X: sp.csr_array) -> tuple[sp.csr_array, Array | None]:
        """Inputs for the rows X as CSR, and the row (d,) to add to each, if any.

        The scaled values of a model that was fitted on sparse X need no addition. One
        that was fitted on dense X centres: an absent 0 becomes the same value
        everywhere in its column, which is the row to add, and stored values are given
        relative to it.
        """
        if self.mean is None:
            values = np.clip(X.data.astype(self.dtype), -RAW_LIMIT, RAW_LIMIT)
            return _with_data(X, values), None
        mean, factor = self.in_dtype(working_dtype(X.dtype))
        if self.split is None and not self.mean.any():
            z = self._limited(X.data * factor[X.indices])
            self._squash(z, np.empty_like(z))
            return _with_data(X, z), None
        zero = self._limited(-mean * factor)
        z = self._limited((X.data - mean[X.indices]) * factor[X.indices])
        upper, of_zero = (
            self._upper(z, X.indices),
            self._upper(zero, np.arange(len(zero))),
        )
        parts, shifts = [_with_data(X, upper - of_zero[X.indices])], [of_zero]
        if self.split is not None:
            lower, of_zero = (
                self._lower(z, X.indices),
                self._lower(zero, np.arange(len(zero))),
            )
            columns = self.split.columns
            parts.append(_with_data(X, lower - of_zero[X.indices])[:, columns])
            shifts.append(of_zero[columns])
        inputs = parts[0] if len(parts) == 1 else sp.hstack(parts, format="csr")
        return inputs, np.concatenate(shifts)

    def _upper(self, z: Array, columns: NDArray[np.integer]) -> Array:
        """The first input of these columns for standardized values."""
        if self.split is not None:
            z = np.maximum(z, self.lowest[columns]) - self.all_offsets[columns]
        else:
            z = z.copy()
        self._squash(z, np.empty_like(z))
        return z

    def _lower(self, z: Array, columns: NDArray[np.integer]) -> Array:
        """The second one; of no meaning for columns that have none."""
        z = np.minimum(z, 0) + self.all_offsets[columns]
        self._squash(z, np.empty_like(z))
        return z

    def _limited(self, z: Array) -> Array:
        """Clip and cast standardized values."""
        return np.clip(z, -LIMIT, LIMIT).astype(self.dtype, copy=False)

    def _squash(self, z: Array, scratch: Array) -> None:
        """The smooth clip, in place."""
        if self.squash is None:
            return
        np.multiply(z, 1 / self.squash, out=scratch)
        scratch *= scratch
        scratch += 1
        np.sqrt(scratch, out=scratch)
        z /= scratch

    def in_dtype(self, dtype: np.dtype) -> tuple[Array, Array]:
        """Mean and 1 / scale in ``dtype``, both finite."""
        if dtype not in self._constants:
            assert self.mean is not None and self.scale is not None
            smallest = 1 / float(np.finfo(dtype).max)  # a NumPy number would underflow
            factor = 1 / np.maximum(self.scale, 2 * smallest)
            self._constants[dtype] = self.mean.astype(dtype), factor.astype(dtype)
        return self._constants[dtype]


def _parts(memory: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The memory (n, d + m) seen as contiguous arrays (n, d) and (n, m)."""
    flat, size = memory.reshape(-1), math.prod(shape)
    return flat[:size].reshape(shape), flat[size:].reshape(shape[0], -1)


def _with_data(X: sp.csr_array, data: Array) -> sp.csr_array:
    """X with other stored values, its structure shared."""
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)
