r"""Raw rows in, network inputs out: centre, scale, squash and cast.

.. math:: z = (x - \mu) / s, \qquad
    \mathrm{squash}_c(z) = z / \sqrt{1 + (z / c)^2} \in (-c, c)

The squash is the smooth clip of RealMLP (Holzmueller, Grinsztajn and Steinwart 2024).
Centring happens in the precision that X came in, *before* the cast to the network's
dtype, so that a time stamp or a price keeps its digits. Dense rows are written into a
buffer; sparse rows are scaled but never densified.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.floating]

LIMIT = 1e9  # standardized inputs beyond this are cut: its square is finite in float32
RAW_LIMIT = 1e30  # the same for rows that are only cast


def working_dtype(dtype: DTypeLike) -> np.dtype:
    """The float dtype that holds X exactly enough to centre it: X's own, or wider."""
    return np.dtype(min(np.result_type(dtype, np.float32), np.dtype(np.float64)))


class Standardizer:
    """Turns rows of X into network inputs of one dtype.

    Parameters
    ----------
    mean, scale : ndarray of shape (n_features,) or None
        None leaves X as it is, but for the cast.
    squash : float or None
        The bound c above.
    dtype : dtype
        Of the network's inputs.
    """

    def __init__(
        self,
        mean: Array | None,
        scale: Array | None,
        squash: float | None,
        dtype: DTypeLike,
    ) -> None:
        self.mean = mean
        self.scale = scale
        self.squash = squash if mean is not None else None
        self.dtype = np.dtype(dtype)
        self._constants: dict[np.dtype, tuple[Array, Array]] = {}

    def take(
        self, X: NDArray | sp.csr_array, rows: NDArray[np.intp] | slice
    ) -> tuple[Array | sp.csr_array, Array | None]:
        """Inputs for some rows of X in new memory, and the row to add if sparse."""
        with np.errstate(over="ignore"):  # what is too large is cut at LIMIT
            if sp.issparse(X):
                return self.sparse(X[rows])
            raw = np.array(X[rows], order="C")
            out = np.empty(raw.shape, self.dtype)
            self.dense(raw, out, np.empty_like(out))
        return out, None

    def dense(self, raw: NDArray, out: Array, scratch: Array) -> None:
        """Write the inputs for ``raw`` (n, d) into ``out``; may overwrite ``raw``.

        ``raw`` is a scratch copy of rows of X in X's own dtype; ``scratch`` has the
        shape and dtype of ``out``.
        """
        if self.mean is None:
            np.copyto(out, raw, casting="same_kind")
            np.clip(out, -RAW_LIMIT, RAW_LIMIT, out=out)
            return
        work = working_dtype(raw.dtype)
        mean, factor = self._in_dtype(work)
        if raw.dtype == work:
            centred = raw
        elif self.dtype == work:
            centred = out
        else:
            centred = np.empty(raw.shape, work)
        np.subtract(raw, mean, out=centred)
        centred *= factor
        np.clip(centred, -LIMIT, LIMIT, out=out, casting="same_kind")
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
        mean, factor = self._in_dtype(working_dtype(X.dtype))
        if not self.mean.any():
            return _with_data(X, self._values(X.data * factor[X.indices])), None
        zero = self._values(-mean * factor)
        values = self._values((X.data - mean[X.indices]) * factor[X.indices])
        return _with_data(X, values - zero[X.indices]), zero

    def _values(self, z: Array) -> Array:
        """Clip, cast and squash standardized values."""
        z = np.clip(z, -LIMIT, LIMIT).astype(self.dtype, copy=False)
        self._squash(z, np.empty_like(z))
        return z

    def _squash(self, z: Array, scratch: Array) -> None:
        """The smooth clip, in place."""
        if self.squash is None:
            return
        np.multiply(z, 1 / self.squash, out=scratch)
        scratch *= scratch
        scratch += 1
        np.sqrt(scratch, out=scratch)
        z /= scratch

    def _in_dtype(self, dtype: np.dtype) -> tuple[Array, Array]:
        """Mean and 1 / scale in ``dtype``, both finite."""
        if dtype not in self._constants:
            assert self.mean is not None and self.scale is not None
            smallest = 1 / np.finfo(dtype).max
            factor = 1 / np.maximum(self.scale, 2 * smallest.astype(np.float64))
            self._constants[dtype] = self.mean.astype(dtype), factor.astype(dtype)
        return self._constants[dtype]


def _with_data(X: sp.csr_array, data: Array) -> sp.csr_array:
    """X with other stored values, its structure shared."""
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)
