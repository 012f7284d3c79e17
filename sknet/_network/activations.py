"""Hidden-layer activations and their derivatives, both computed in place.

``forward(Z)`` overwrites the pre-activation with the activation. ``derivative(hidden)``
overwrites the activation with the derivative, which can be computed from it, so the
pre-activation is not kept.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.floating]


class Activation(NamedTuple):
    """An activation, its derivative and the variance of its initial weights."""

    name: str
    forward: Callable[[Array], object]
    derivative: Callable[[Array], object]
    start_variance: Callable[[int, int], float]


def he_variance(fan_in: int, fan_out: int) -> float:
    """Variance 2 / fan_in of He et al. (2015), for a layer followed by ReLU."""
    return 2.0 / fan_in


def glorot_variance(fan_in: int, fan_out: int) -> float:
    """Variance 2 / (fan_in + fan_out) of Glorot and Bengio (2010)."""
    return 2.0 / (fan_in + fan_out)


def _tanh_derivative(hidden: Array) -> None:
    hidden *= hidden
    np.subtract(1, hidden, out=hidden)


def _logistic_derivative(hidden: Array) -> None:
    hidden *= 1 - hidden


RELU = Activation(
    "relu",
    lambda Z: np.maximum(Z, 0, out=Z),
    lambda hidden: np.greater(hidden, 0, out=hidden, casting="unsafe"),
    he_variance,
)
TANH = Activation(
    "tanh", lambda Z: np.tanh(Z, out=Z), _tanh_derivative, glorot_variance
)
LOGISTIC = Activation(
    "logistic", lambda Z: expit(Z, out=Z), _logistic_derivative, glorot_variance
)
IDENTITY = Activation(
    "identity", lambda Z: Z, lambda hidden: hidden.fill(1), glorot_variance
)
ACTIVATIONS = {each.name: each for each in (RELU, TANH, LOGISTIC, IDENTITY)}
