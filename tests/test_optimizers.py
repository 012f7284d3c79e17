"""Optimizers step by step against scikit-learn's, and on two known valleys."""

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from sknet._optimizers import BLOCK, SGD, Adam, ScalingLayerAdam

ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}


def quadratic_gradient(params):
    return np.linspace(0.5, 3, params.size) * (params - 1)


@pytest.mark.parametrize("size", [5, BLOCK + 17])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_scikit_learns(rng, size, momentum, nesterov):
    ours, theirs = np.repeat(rng.normal(size=size)[np.newaxis], 2, axis=0)
    optimizer = SGD(ours, momentum=momentum, nesterov=nesterov)
    reference = SGDOptimizer([theirs], 0.05, momentum=momentum, nesterov=nesterov)
    for _ in range(50):
        optimizer.step(ours, quadratic_gradient(ours), 0.05)
        reference.update_params([theirs], [quadratic_gradient(theirs)])
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.5, 0.0), (0.999, 0.9)])
@pytest.mark.parametrize("size", [5, BLOCK + 17])
def test_adam_is_scikit_learns(rng, size, betas):
    """Also past the steps at which a moment's unit has become small."""
    ours, theirs = np.repeat(rng.normal(size=size)[np.newaxis], 2, axis=0)
    settings = dict(zip(("beta_1", "beta_2"), betas, strict=True))
    optimizer = Adam(ours, **ADAM | settings)
    reference = AdamOptimizer([theirs], 0.01, **settings)
    for _ in range(200):
        grads = rng.normal(size=size)  # not the valley's: there rounding would grow
        optimizer.step(ours, grads, 0.01)
        reference.update_params([theirs], [grads])
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("n_decayed", [0, 3, BLOCK, BLOCK + 5])
def test_adam_decays_the_weights_and_nothing_else(rng, n_decayed):
    """Decoupled decay: (1 - rate * alpha) times the weights, apart from Adam's step."""
    size, rate, alpha = BLOCK + 20, 0.01, 0.3
    start, grads = rng.normal(size=(2, size))
    decayed, plain = start.copy(), start.copy()
    Adam(decayed, **ADAM, alpha=alpha, n_decayed=n_decayed).step(decayed, grads, rate)
    Adam(plain, **ADAM).step(plain, grads, rate)
    expected = plain - start
    expected += np.where(np.arange(size) < n_decayed, 1 - rate * alpha, 1) * start
    np.testing.assert_allclose(decayed, expected, rtol=1e-12, atol=1e-14)


def test_huge_decay_shrinks_to_zero_instead_of_flipping():
    params = np.ones(4)
    Adam(params, **ADAM, alpha=1.0, n_decayed=4).step(params, np.zeros(4), 100.0)
    np.testing.assert_array_equal(params, 0)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("block", [3, 8, 12, BLOCK])  # h > block, full, partial, one
def test_scaling_layer_is_adam_on_factors_and_weights(rng, alpha, block, monkeypatch):
    """Against scikit-learn's Adam on s, V and the rest, by the chain rule."""
    monkeypatch.setattr("sknet._optimizers.BLOCK", block)
    d, k, h, n_before, n_after, rate = 4, 2, 4, 5, 9, 0.05
    end = n_before + d * k * h
    params = rng.normal(size=end + n_after)
    before, V, after = (part.copy() for part in np.split(params, [n_before, end]))
    V = V.reshape(d * k, h)
    s = np.ones((d * k, 1))
    optimizer = ScalingLayerAdam(
        params, n_before, d * k, h, **ADAM, alpha=alpha, n_decayed=end + 2
    )
    reference = AdamOptimizer([V, s, before, after], rate)
    for _ in range(60):
        grads = quadratic_gradient(params)
        dW1 = grads[n_before:end].reshape(d * k, h)
        latent = [dW1 * s, (dW1 * V).sum(axis=1, keepdims=True)]
        latent += [grads[:n_before].copy(), grads[end:].copy()]
        optimizer.step(params, grads, rate)
        V *= 1 - rate * alpha
        before *= 1 - rate * alpha
        after[:2] *= 1 - rate * alpha
        reference.update_params([V, s, before, after], latent)
        expected = np.concatenate([before, (V * s).ravel(), after])
        np.testing.assert_allclose(params, expected, rtol=1e-10)
    assert not np.allclose(s, 1)


def test_scaling_layer_goes_on_from_weights_that_were_put_back(rng):
    """After a reset the factors are in the weights: a step starts from ``params``."""
    params = rng.normal(size=14)
    optimizer = ScalingLayerAdam(params, 1, 4, 3, **ADAM)
    for _ in range(20):
        optimizer.step(params, quadratic_gradient(params), 0.05)
    params[:] = kept = rng.normal(size=14)
    optimizer.reset()
    fresh = kept.copy()
    other = ScalingLayerAdam(fresh, 1, 4, 3, **ADAM)
    for _ in range(5):
        optimizer.step(params, quadratic_gradient(params), 0.05)
        other.step(fresh, quadratic_gradient(fresh), 0.05)
    np.testing.assert_array_equal(params, fresh)
    assert optimizer.n_steps == 5


def test_scaling_layer_continues_bit_for_bit(rng):
    params = rng.normal(size=14)
    optimizer = ScalingLayerAdam(params, 1, 4, 3, **ADAM)
    for _ in range(7):
        optimizer.step(params, quadratic_gradient(params), 0.05)
    state = {name: np.copy(value) for name, value in optimizer.state().items()}
    resumed = params.copy()
    other = ScalingLayerAdam(resumed, 1, 4, 3, **ADAM)
    other.load(state)
    for _ in range(7):
        optimizer.step(params, quadratic_gradient(params), 0.05)
        other.step(resumed, quadratic_gradient(resumed), 0.05)
    # sums of older releases depend on where in memory an array begins
    new = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
    np.testing.assert_allclose(params, resumed, rtol=0 if new else 1e-13)


OPTIMIZERS = {
    "sgd": (lambda p: SGD(p, momentum=0, nesterov=False), 1e-3),
    "momentum": (lambda p: SGD(p, momentum=0.9, nesterov=False), 2e-4),
    "nesterov": (lambda p: SGD(p, momentum=0.9, nesterov=True), 2e-4),
    "adam": (lambda p: Adam(p, **ADAM), 2e-2),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target", ["parabola", "rosenbrock"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_finds_the_bottom(name, target, dtype):
    make, rate = OPTIMIZERS[name]
    params = np.array([-0.5, 0.8], dtype=dtype)
    optimizer = make(params)
    gradient = rosen_der if target == "rosenbrock" else (lambda p: p - 1)
    height = rosen if target == "rosenbrock" else (lambda p: ((p - 1) ** 2).sum())
    for _ in range(10_000):
        optimizer.step(params, gradient(params).astype(dtype), rate)
    assert height(params.astype(float)) < 1e-3
    assert params.dtype == dtype


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_state_goes_on_as_if_never_stopped(rng, name):
    make, rate = OPTIMIZERS[name]
    params = rng.normal(size=50)
    optimizer = make(params)
    for _ in range(5):
        optimizer.step(params, quadratic_gradient(params), rate)
    twin_params = params.copy()
    twin = make(twin_params)
    twin.load(optimizer.state())
    for _ in range(5):
        optimizer.step(params, quadratic_gradient(params), rate)
        twin.step(twin_params, quadratic_gradient(twin_params), rate)
    np.testing.assert_array_equal(twin_params, params)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reset_is_a_new_optimizer(rng, name):
    make, rate = OPTIMIZERS[name]
    start = rng.normal(size=50)
    params, fresh = start.copy(), start.copy()
    used = make(params)
    used.step(params, np.ones(50), rate)
    used.reset()
    params[:] = start
    used.step(params, quadratic_gradient(params), rate)
    make(fresh).step(fresh, quadratic_gradient(fresh), rate)
    np.testing.assert_array_equal(params, fresh)
