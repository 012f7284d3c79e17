"""Hidden-layer activations, forward and backward side by side.

``forward(Z)`` overwrites the pre-activation with the activation. ``backward(hidden,
gradient)`` multiplies ``gradient`` by the derivative and may overwrite ``hidden``.
``slope(hidden, out)`` writes the derivative into ``out``. The derivative of each
activation can be computed from its value, so the pre-activation is not kept.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.floating]


class Activation(NamedTuple):
    """An activation and the variance of its initial weights."""

    forward: Callable[[Array], object]
    backward: Callable[[Array, Array], None]
    slope: Callable[[Array, Array], object]
    start_variance: Callable[[int, int], float]


def he_variance(fan_in: int, fan_out: int) -> float:
    """Variance 2 / fan_in of He et al. (2015), for a layer followed by ReLU."""
    return 2.0 / fan_in


def glorot_variance(fan_in: int, fan_out: int) -> float:
    """Variance 2 / (fan_in + fan_out) of Glorot and Bengio (2010)."""
    return 2.0 / (fan_in + fan_out)


def _relu_backward(hidden: Array, gradient: Array) -> None:
    gradient *= hidden > 0


def _relu_slope(hidden: Array, out: Array) -> None:
    np.greater(hidden, 0, out=out, casting="unsafe")


def _tanh_backward(hidden: Array, gradient: Array) -> None:
    np.multiply(hidden, hidden, out=hidden)
    np.subtract(1, hidden, out=hidden)
    gradient *= hidden


def _tanh_slope(hidden: Array, out: Array) -> None:
    np.multiply(hidden, hidden, out=out)
    np.subtract(1, out, out=out)


def _logistic_backward(hidden: Array, gradient: Array) -> None:
    gradient *= hidden
    np.subtract(1, hidden, out=hidden)
    gradient *= hidden


def _logistic_slope(hidden: Array, out: Array) -> None:
    np.subtract(1, hidden, out=out)
    out *= hidden


def _identity(*arrays: Array) -> None:
    return None


RELU = Activation(
    lambda Z: np.maximum(Z, 0, out=Z), _relu_backward, _relu_slope, he_variance
)
TANH = Activation(
    lambda Z: np.tanh(Z, out=Z), _tanh_backward, _tanh_slope, glorot_variance
)
LOGISTIC = Activation(
    lambda Z: expit(Z, out=Z), _logistic_backward, _logistic_slope, glorot_variance
)
IDENTITY = Activation(
    _identity, _identity, lambda hidden, out: out.fill(1), glorot_variance
)
ACTIVATIONS = {"relu": RELU, "tanh": TANH, "logistic": LOGISTIC, "identity": IDENTITY}
