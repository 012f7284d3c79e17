"""Activations against their formulas, their derivatives against central differences."""

import numpy as np
import pytest

from sknet._activations import BLOCK, IDENTITY, LOGISTIC, RELU, TANH

FORMULAS = {
    "relu": (RELU, lambda z: np.maximum(z, 0)),
    "tanh": (TANH, np.tanh),
    "logistic": (LOGISTIC, lambda z: 1 / (1 + np.exp(-z))),
    "identity": (IDENTITY, lambda z: z),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_is_the_formula_in_place(name, dtype):
    activation, formula = FORMULAS[name]
    Z = np.linspace(-5, 5, 101, dtype=dtype)
    expected = formula(Z.astype(np.float64))
    activation.forward(Z)
    np.testing.assert_allclose(Z, expected, rtol=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("shape", [(0, 3), (2, BLOCK), (3, BLOCK // 2 + 1)])
def test_relu_over_several_blocks(rng, shape):
    Z = rng.normal(size=shape)
    expected = np.maximum(Z, 0)
    RELU.forward(Z)
    np.testing.assert_array_equal(Z, expected)


@pytest.mark.parametrize("name", FORMULAS)
def test_backward_is_the_derivative(name):
    activation, formula = FORMULAS[name]
    Z = np.linspace(-5, 5, 100)  # an even count: zero, ReLU's kink, is not on the grid
    step = 1e-6
    slope = (formula(Z + step) - formula(Z - step)) / (2 * step)
    hidden, gradient = Z.copy(), np.full_like(Z, 3.0)
    activation.forward(hidden)
    activation.backward(hidden, gradient)
    np.testing.assert_allclose(gradient, 3 * slope, rtol=1e-8, atol=1e-9)

    hidden, out = Z.copy(), np.full_like(Z, np.nan)
    activation.forward(hidden)
    activation.slope(hidden, out)
    np.testing.assert_allclose(out, slope, rtol=1e-8, atol=1e-9)


# of the hidden value in float64, with ReLU flat at 0
DERIVATIVES = {
    "relu": lambda hidden: hidden > 0,
    "tanh": lambda hidden: 1 - hidden**2,
    "logistic": lambda hidden: hidden * (1 - hidden),
    "identity": np.ones_like,
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivatives_over_several_blocks(rng, name, dtype):
    """Two whole blocks and one unit, which is on, as half of the others are."""
    activation, formula = FORMULAS[name]
    Z = rng.uniform(-5, 5, size=2 * BLOCK + 1).astype(dtype)
    Z[-1] = 0.5
    weight = rng.uniform(1, 2, size=len(Z)).astype(dtype)
    slope = DERIVATIVES[name](formula(Z.astype(np.float64)))
    exact = {"rtol": 0, "atol": 2e-6 if dtype == np.float32 else 1e-14}

    hidden, gradient = Z.copy(), weight.copy()
    activation.forward(hidden)
    activation.backward(hidden, gradient)
    np.testing.assert_allclose(gradient, weight * slope, **exact)

    hidden, out = Z.copy(), np.full_like(Z, np.nan)
    activation.forward(hidden)
    activation.slope(hidden, out)
    np.testing.assert_allclose(out, slope, **exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_is_flat_at_zeros_of_either_sign_and_steep_above(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    Z = np.array([0.0, -0.0, tiny, -tiny, 1e30, -1e30, np.inf] * 9, dtype)
    expected = np.array([0, 0, 1, 0, 1, 0, 1] * 9, dtype)
    for function, start in ((RELU.backward, 1.0), (RELU.slope, np.nan)):
        hidden, out = Z.copy(), np.full_like(Z, start)
        RELU.forward(hidden)
        function(hidden, out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.filterwarnings("error")
def test_saturated_inputs_stay_finite(name):
    activation, _ = FORMULAS[name]
    Z = np.array([-1e4, -100.0, 0.0, 100.0, 1e4])
    activation.forward(Z)
    assert np.isfinite(Z).all()


@pytest.mark.parametrize("activation", [RELU, TANH])
def test_start_keeps_the_scale_of_the_signal(activation, rng):
    """Forward through one layer: unit mean square in, about unit mean square out."""
    d, h = 400, 400
    variance = activation.start_variance(d, h)
    Z = rng.normal(size=(200, d)) @ rng.normal(scale=variance**0.5, size=(d, h))
    # He counts on half of the units being off, Glorot on tanh being linear near zero
    mean_square = (np.maximum(Z, 0) ** 2 if activation is RELU else Z**2).mean()
    assert mean_square == pytest.approx(1.0, rel=0.05)
