"""Activations against their formulas, their derivatives against central differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sknet._network.activations import IDENTITY, LOGISTIC, RELU, TANH

FORMULAS = {
    "relu": (RELU, lambda z: np.maximum(z, 0)),
    "tanh": (TANH, np.tanh),
    "logistic": (LOGISTIC, lambda z: 1 / (1 + np.exp(-z))),
    "identity": (IDENTITY, lambda z: z),
}


@pytest.mark.parametrize(("activation", "formula"), FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_and_derivative_equal_the_formula(activation, formula, dtype):
    Z = np.linspace(-5, 5, 100)  # an even number, so zero, ReLU's kink, is left out
    step, hidden = 1e-6, Z.astype(dtype)
    slope = (formula(Z + step) - formula(Z - step)) / (2 * step)
    tolerance = 1e-6 if dtype == np.float32 else 1e-9
    activation.forward(hidden)
    assert_allclose(hidden, formula(Z), rtol=tolerance)
    activation.derivative(hidden)
    assert_allclose(hidden, slope, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_is_flat_at_zeros_of_either_sign_and_steep_above(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    hidden = np.array([0.0, -0.0, tiny, -tiny, 1e30, -1e30], dtype)
    RELU.forward(hidden)
    RELU.derivative(hidden)
    assert_array_equal(hidden, [0, 0, 1, 0, 1, 0])


@pytest.mark.parametrize("activation", [RELU, TANH])
def test_start_keeps_the_scale_of_the_signal(activation, rng):
    """Inputs of unit mean square leave a layer with about unit mean square."""
    d, h = 400, 400
    variance = activation.start_variance(d, h)
    Z = rng.normal(size=(200, d)) @ rng.normal(scale=variance**0.5, size=(d, h))
    # He counts on half of the units being off, Glorot on tanh being linear near zero
    mean_square = (np.maximum(Z, 0) ** 2 if activation is RELU else Z**2).mean()
    assert mean_square == pytest.approx(1.0, rel=0.05)
