"""Hidden-layer activations: forward, backward and slope, side by side.

``forward(Z)`` overwrites the pre-activation with the activation. ``backward(hidden,
gradient)`` multiplies ``gradient`` by the derivative, which every activation here can
express by its own value: no pre-activation is kept. ``slope(hidden, out)`` writes the
derivative itself into ``out``. Both may overwrite ``hidden``, which is not needed any
more at that point.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.floating]

BLOCK = 32_768  # units worked through at a time: such arrays stay in the cache
_ZEROS = {np.dtype(t): np.zeros(BLOCK, t) for t in (np.float32, np.float64)}
_ONE = {t: np.ones((), t).view(f"i{t.itemsize}") for t in _ZEROS}  # its bits
_INTEGER = {t: np.dtype(f"i{t.itemsize}") for t in _ZEROS}  # of the same size
_ONES = {t: np.ones(BLOCK, integer) for t, integer in _INTEGER.items()}


class Activation(NamedTuple):
    """An activation and the variance its weights start with.

    2 / fan_in keeps the signal's size through a ReLU (He et al. 2015), 2 / (fan_in +
    fan_out) through the others (Glorot and Bengio 2010).
    """

    forward: Callable[[Array], None]
    backward: Callable[[Array, Array], None]
    slope: Callable[[Array, Array], None]
    start_variance: Callable[[int, int], float]


def he_variance(fan_in: int, fan_out: int) -> float:
    """Variance 2 / fan_in of He et al. (2015), for a layer that ReLU follows."""
    return 2.0 / fan_in


def glorot_variance(fan_in: int, fan_out: int) -> float:
    """Variance 2 / (fan_in + fan_out) of Glorot and Bengio (2010)."""
    return 2.0 / (fan_in + fan_out)


def _relu(Z: Array) -> None:
    # against an array of zeros: NumPy's maximum with a scalar is several times slower
    zeros = _ZEROS[Z.dtype]
    flat = Z.reshape(-1)  # a view: Z is contiguous
    if len(flat) <= BLOCK:
        np.maximum(flat, zeros[: len(flat)], out=flat)
        return
    for start in range(0, len(flat), BLOCK):
        part = flat[start : start + BLOCK]
        np.maximum(part, zeros[: len(part)], out=part)


def _one_if_positive(hidden: Array) -> Array:
    """Overwrite with the integer 1 where a value is positive, with 0 where it is +0.

    The bits of a positive number are a positive integer: no cast of booleans.
    """
    bits = hidden.reshape(-1).view(_INTEGER[hidden.dtype])  # contiguous: a view
    ones = _ONES[hidden.dtype]
    for start in range(0, len(bits), BLOCK):
        part = bits[start : start + BLOCK]
        np.minimum(part, ones[: len(part)], out=part)
    return bits.reshape(hidden.shape)


def _relu_backward(hidden: Array, gradient: Array) -> None:
    # as integers: a product with 1 keeps all bits, with 0 none
    ones = _one_if_positive(hidden)
    of_gradient = gradient.view(ones.dtype)
    np.multiply(of_gradient, ones, out=of_gradient)


def _relu_slope(hidden: Array, out: Array) -> None:
    ones = _one_if_positive(hidden)
    np.multiply(ones, _ONE[out.dtype], out=out.view(ones.dtype))


def _tanh(Z: Array) -> None:
    np.tanh(Z, out=Z)


def _tanh_backward(hidden: Array, gradient: Array) -> None:
    np.multiply(hidden, hidden, out=hidden)
    np.subtract(1, hidden, out=hidden)
    gradient *= hidden


def _tanh_slope(hidden: Array, out: Array) -> None:
    np.multiply(hidden, hidden, out=out)
    np.subtract(1, out, out=out)


def _logistic(Z: Array) -> None:
    expit(Z, out=Z)


def _logistic_backward(hidden: Array, gradient: Array) -> None:
    gradient *= hidden
    np.subtract(1, hidden, out=hidden)
    gradient *= hidden


def _logistic_slope(hidden: Array, out: Array) -> None:
    np.subtract(1, hidden, out=out)
    out *= hidden


def _identity(Z: Array) -> None:
    return None


def _identity_backward(hidden: Array, gradient: Array) -> None:
    return None


def _identity_slope(hidden: Array, out: Array) -> None:
    out.fill(1)


RELU = Activation(_relu, _relu_backward, _relu_slope, he_variance)
TANH = Activation(_tanh, _tanh_backward, _tanh_slope, glorot_variance)
LOGISTIC = Activation(_logistic, _logistic_backward, _logistic_slope, glorot_variance)
IDENTITY = Activation(_identity, _identity_backward, _identity_slope, glorot_variance)
