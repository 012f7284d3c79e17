"""The training loops: losses, recovery from steps that are not finite, L-BFGS."""

import math
from itertools import repeat

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sknet._data.inputs import Inputs
from sknet._data.minibatches import Minibatches
from sknet._data.weighted import Dataset
from sknet._network.activations import IDENTITY, RELU
from sknet._network.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._network.network import Shape, TwoLayerNetwork
from sknet._training.loops import fit_lbfgs, fit_stochastic
from sknet._training.monitor import Monitor
from sknet._training.optimizers import SGD


def make_dataset(rng, n=50, d=4, n_classes=3):
    X, y = rng.normal(size=(n, d)), rng.integers(0, n_classes, size=n)
    return Dataset(X, rng.permutation(n), y, np.ones((1, n)))


def make_network(data, k=2, n_classes=3, activation=RELU, **options):
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    shape = Shape(data.X.shape[1], 6, loss.n_outputs, k)
    params = np.empty(shape.n_params)
    network = TwoLayerNetwork(shape, params, activation, loss, **options)
    network.start(np.random.default_rng(0))
    return network


def batches_of(data, size, rng=None):
    inputs = Inputs(data.X.shape[1], False, 0, np.float64, {})
    return Minibatches(data, inputs, size, rng)


class Recorder(SGD):
    """Plain gradient descent that records the rate of every step."""

    def __init__(self, params, before_step=lambda params: None):
        super().__init__(params, momentum=0)
        self.rates, self.before_step = [], before_step

    def step(self, params, grads, rate):
        self.rates.append(rate)
        self.before_step(params)
        super().step(params, grads, rate)


def train(network, data, optimizer, *, size=10, rate=0.1, steps=None, max_iter=5):
    def _schedule(step):
        if steps is not None:
            steps.append(step)
        return rate

    monitor = Monitor(network.params)
    fit_stochastic(
        network,
        batches_of(data, size, np.random.default_rng(0)),
        monitor,
        max_iter,
        optimizer,
        _schedule,
        dropout_rng=np.random.default_rng(1),
    )
    return monitor


def mean_log_loss(network, data):
    """Mean over rows and members, of the network in its current state."""
    raw = network.raw_prediction(data.X[data.rows])
    log_proba = [network.loss.log_mean_proba(r[np.newaxis]) for r in raw]
    return -np.mean([p[np.arange(len(data.y)), data.y] for p in log_proba])


def test_full_batch_losses_are_those_of_the_weights_before_each_step(rng):
    data = make_dataset(rng)
    network, expected = make_network(data), []
    recorder = Recorder(
        network.params, lambda params: expected.append(mean_log_loss(network, data))
    )
    monitor = train(network, data, recorder, size=1000)
    assert_allclose(monitor.loss_curve, expected, rtol=1e-12)
    assert mean_log_loss(network, data) < expected[0]
    assert monitor.stop_reason == "max_iter"
    assert monitor.best_epoch == 5
    assert monitor.n_recoveries == 0


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows(rng):
    """Not over its batches, of which the last one is smaller."""
    data = make_dataset(rng)
    network = make_network(data)
    monitor = train(network, data, Recorder(network.params), size=30, rate=0.0)
    assert_allclose(monitor.loss_curve, mean_log_loss(network, data), rtol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_epoch_that_is_not_finite_runs_again_at_half_the_rate(rng, bad):
    data = make_dataset(rng)
    network = make_network(data)
    start, losses = network.params.copy(), iter([1.0, 1.0, bad, *repeat(1.0, 5)])
    network.loss_gradient = lambda *args: next(losses)
    network.grads[:] = 1.0
    recorder, steps = Recorder(network.params), []
    monitor = train(network, data, recorder, steps=steps, max_iter=1)
    assert recorder.rates == [0.1, 0.1, *[0.05] * 5]
    assert steps == [0, 1, *range(5)]  # the schedule begins the epoch again too
    assert monitor.n_recoveries == 1
    # the weights from before the epoch, then its five steps at half the rate
    assert_allclose(network.params, start - 5 * 0.05)


def test_hopeless_training_ends_as_diverged_with_the_last_good_weights(rng):
    data = make_dataset(rng)
    network = make_network(data)
    start = network.params.copy()
    network.loss_gradient = lambda *args: math.nan
    monitor = train(network, data, Recorder(network.params), max_iter=1000)
    assert monitor.stop_reason == "diverged"
    assert monitor.n_recoveries >= 10
    assert_array_equal(network.params, start)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e30])
def test_weights_that_overflow_in_the_last_step_are_taken_back(rng, value):
    data = make_dataset(rng)
    network = make_network(data)
    good = network.params.copy()

    def spoil(params):
        params[0] = value

    monitor = train(network, data, Recorder(network.params, spoil), size=1000)
    assert_array_equal(network.params, good)
    assert monitor.stop_reason == "diverged"


@pytest.mark.parametrize("size", [7, 1000])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_lbfgs_finds_the_minimum_of_a_convex_objective(rng, size, k, n_classes):
    """With the identity activation the gradient vanishes there."""
    data = make_dataset(rng, n_classes=n_classes)
    network = make_network(
        data, k=k, n_classes=n_classes, activation=IDENTITY, alpha=0.1
    )
    monitor = Monitor(network.params)
    batches = batches_of(data, size)
    fit_lbfgs(network, batches, monitor, max_iter=500, tol=1e-8)
    assert monitor.stop_reason == "converged"
    inputs = np.column_stack([data.X[data.rows], np.ones(50)])
    loss = network.loss_gradient(inputs, data.y, np.full((1, 50, 1), 1 / 50))
    network.add_penalty_gradient()
    assert np.abs(network.grads).max() < 1e-7
    # the curve holds the members' mean loss of each iteration, without the penalty
    assert monitor.loss_curve[-1] == pytest.approx(loss / k)


def test_lbfgs_stops_when_the_monitor_says_so(rng):
    data = make_dataset(rng, n_classes=2)
    network = make_network(data, k=1, n_classes=2)
    losses = iter([3.0, 1.0, *repeat(2.0, 100)])
    monitor = Monitor(
        network.params, validate=lambda: next(losses), decides=True, patience=3
    )
    batches = batches_of(data, 1000)
    fit_lbfgs(network, batches, monitor, max_iter=100, tol=0.0)
    assert len(monitor.loss_curve) == 5
    assert monitor.best_epoch == 2
    assert monitor.stop_reason == "no_improvement"
