"""Optimizers step by step against scikit-learn's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from sknet._training.optimizers import SGD, Adam, ScalingLayerAdam

MANY = 40_000  # parameters, more than are updated at a time
OPTIMIZERS = {
    "sgd": (lambda p: SGD(p, momentum=0), 1e-3),
    "nesterov": (lambda p: SGD(p, momentum=0.9), 2e-4),
    "adam": (lambda p: Adam(p), 2e-2),
    "adam with decay": (lambda p: Adam(p, alpha=0.1, n_decayed=p.size // 2), 2e-2),
    "scaling layer": (lambda p: ScalingLayerAdam(p, 0, p.size // 2, 2), 2e-2),
}
each_optimizer = pytest.mark.parametrize(
    ("make", "rate"), OPTIMIZERS.values(), ids=OPTIMIZERS
)


def quadratic_gradient(params):
    return np.linspace(0.5, 3, params.size) * (params - 1)


@pytest.mark.parametrize("size", [5, MANY])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_is_scikit_learns_with_nesterovs_momentum(rng, size, momentum):
    ours = rng.normal(size=size)
    theirs = ours.copy()
    optimizer = SGD(ours, momentum=momentum)
    reference = SGDOptimizer([theirs], 0.05, momentum=momentum, nesterov=True)
    for _ in range(50):
        optimizer.step(ours, quadratic_gradient(ours), 0.05)
        reference.update_params([theirs], [quadratic_gradient(theirs)])
        assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("size", [5, MANY])
def test_adam_is_scikit_learns(rng, size):
    ours = rng.normal(size=size)
    theirs = ours.copy()
    optimizer = Adam(ours)
    reference = AdamOptimizer([theirs], 0.01)
    for i in range(200):
        # random, since in a valley rounding would grow; tiny ones meet epsilon
        grads = rng.normal(size=size) * (1e-8 if i < 100 else 1)
        optimizer.step(ours, grads, 0.01)
        reference.update_params([theirs], [grads])
    assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("n_decayed", [0, 3, MANY // 2, MANY - 1])
def test_adam_decays_the_weights_and_nothing_else(rng, n_decayed):
    """Decoupled decay: (1 - rate * alpha) times the weights, apart from Adam's step."""
    rate, alpha = 0.01, 0.3
    start, grads = rng.normal(size=(2, MANY))
    decayed, plain = start.copy(), start.copy()
    Adam(decayed, alpha=alpha, n_decayed=n_decayed).step(decayed, grads, rate)
    Adam(plain).step(plain, grads, rate)
    factor = np.where(np.arange(MANY) < n_decayed, 1 - rate * alpha, 1)
    expected = factor * start + (plain - start)
    assert_allclose(decayed, expected, rtol=1e-12, atol=1e-14)


def test_a_huge_decay_shrinks_weights_to_zero_and_does_not_flip_them():
    params = np.ones(4)
    Adam(params, alpha=1.0, n_decayed=4).step(params, np.zeros(4), 100.0)
    assert_array_equal(params, 0)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize(("n_scales", "h"), [(8, 4), (3, 1), (300, 120)])
def test_scaling_layer_is_adam_on_factors_and_weights(rng, alpha, n_scales, h):
    """Against scikit-learn's Adam on s, V and the rest, by the chain rule."""
    n_before, n_after, rate = 5, 9, 0.05
    end = n_before + n_scales * h
    params = rng.normal(size=end + n_after)
    before, V, after = (part.copy() for part in np.split(params, [n_before, end]))
    V, s = V.reshape(n_scales, h), np.ones((n_scales, 1))
    optimizer = ScalingLayerAdam(
        params, n_before, n_scales, h, alpha=alpha, n_decayed=end + 2
    )
    reference = AdamOptimizer([V, s, before, after], rate)
    for _ in range(30):
        grads = quadratic_gradient(params)
        dW1 = grads[n_before:end].reshape(n_scales, h)
        latent = [dW1 * s, (dW1 * V).sum(axis=1, keepdims=True)]
        latent += [grads[:n_before].copy(), grads[end:].copy()]
        optimizer.step(params, grads, rate)
        V *= 1 - rate * alpha
        before *= 1 - rate * alpha
        after[:2] *= 1 - rate * alpha
        reference.update_params([V, s, before, after], latent)
        expected = np.concatenate([before, (V * s).ravel(), after])
        assert_allclose(params, expected, rtol=1e-9, atol=1e-12)
    assert not np.allclose(s, 1)


@each_optimizer
def test_a_loaded_state_goes_on_as_if_training_had_not_stopped(rng, make, rate):
    params = rng.normal(size=50)
    optimizer = make(params)
    for _ in range(7):
        optimizer.step(params, quadratic_gradient(params), rate)
    state = {name: np.copy(value) for name, value in optimizer.state().items()}
    resumed = params.copy()
    other = make(resumed)
    other.load(state)
    for _ in range(7):
        optimizer.step(params, quadratic_gradient(params), rate)
        other.step(resumed, quadratic_gradient(resumed), rate)
    assert_array_equal(resumed, params)
    assert other.n_steps == optimizer.n_steps == 14


@each_optimizer
def test_reset_makes_a_new_optimizer_of_the_current_weights(rng, make, rate):
    params, kept = rng.normal(size=(2, 50))
    used = make(params)
    for _ in range(20):
        used.step(params, quadratic_gradient(params), rate)
    params[:] = kept  # as training does when a step was not finite
    used.reset()
    fresh = kept.copy()
    other = make(fresh)
    for _ in range(5):
        used.step(params, quadratic_gradient(params), rate)
        other.step(fresh, quadratic_gradient(fresh), rate)
    assert_array_equal(params, fresh)
    assert used.n_steps == 5
