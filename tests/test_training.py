"""Minibatches, the epoch loop, the monitor, recovery and L-BFGS."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from sknet import TwoLayerClassifier
from sknet._activations import IDENTITY, RELU
from sknet._losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._monitor import History, Monitor, mean_history
from sknet._network import Shape, TwoLayerNetwork
from sknet._optimizers import SGD, Adam, ScalingLayerAdam
from sknet._prediction import ValidationLoss, predict_rows
from sknet._schedules import Adaptive, Constant
from sknet._standardizer import Split, Standardizer
from sknet._training import (
    MOST_RECOVERIES,
    Dataset,
    Minibatches,
    fit_lbfgs,
    fit_stochastic,
)


def make_dataset(rng, n=50, d=4, n_classes=3, weight=None):
    X = rng.normal(size=(n + 10, d))  # more rows than the dataset counts
    rows = rng.permutation(n + 10)[:n]
    y = rng.integers(0, n_classes, size=n)
    weight = np.ones((1, n)) if weight is None else weight
    return Dataset(X, rows, y, weight)


def make_network(data, h=6, k=2, n_classes=3, dtype=np.float64, **options):
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    shape = Shape(data.X.shape[1], h, loss.n_outputs, k)
    params = np.empty(shape.n_params, dtype)
    network = TwoLayerNetwork(shape, params, RELU, loss, **options)
    network.start(np.random.default_rng(0))
    return network


def plain(dtype=np.float64):
    return Standardizer(None, None, None, dtype)


ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}


def make_adam(network):
    return Adam(network.params, **ADAM)


@pytest.fixture(params=["ready", "made each step"])
def inputs_are(request, monkeypatch):
    """Small inputs are made once a fit; here they may be too large for that."""
    if request.param != "ready":
        monkeypatch.setattr("sknet._training.READY_BYTES", 0)
        monkeypatch.setattr("sknet._training.PART_ELEMENTS", 1_000)


def raw_columns(X):
    """Inputs of a batch without the ones that dense inputs end with."""
    if sp.issparse(X):
        return X.toarray()
    assert (X[:, -1] == 1).all()
    return X[:, :-1]


@pytest.mark.usefixtures("inputs_are")
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_every_row_comes_once_a_pass_with_its_label_and_weight(rng, size, kind):
    data = make_dataset(rng, weight=rng.uniform(1, 2, size=(1, 50)))
    expected = np.column_stack([data.X[data.rows], data.y, data.weight[0]])
    if kind == "sparse":
        data = data._replace(X=sp.csr_array(data.X))
    batches = Minibatches(data, plain(), size, np.random.default_rng(1))
    passes = []
    for _ in range(2):
        seen = []
        for _, X, y, weight in batches:
            m = X.shape[0]
            assert m <= size
            columns = [raw_columns(X), y, weight[0, :, 0] * m]
            seen.append(np.column_stack(columns))
        passes.append(np.vstack(seen))
    assert len(seen) == len(batches)
    for seen in passes:
        by_row = seen[np.lexsort(seen.T)], expected[np.lexsort(expected.T)]
        np.testing.assert_allclose(*by_row, rtol=1e-14)
    assert (passes[0] != passes[1]).any()


def test_without_a_generator_the_order_stays(rng):
    data = make_dataset(rng)
    batches = Minibatches(data, plain(), 20, None)
    for _ in range(2):
        X = np.vstack([raw_columns(batch.X).copy() for batch in batches])
        np.testing.assert_array_equal(X, data.X[data.rows])


def test_whole_averages_over_all_rows(rng):
    data = make_dataset(rng)
    batches = Minibatches(data, plain(), 20, None, whole=True)
    weights = [batch.weight.copy() for batch in batches]
    np.testing.assert_allclose(np.concatenate(weights, axis=1), 1 / 50)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_inputs_are_the_same_made_once_or_each_step(rng, monkeypatch, kind):
    data = make_dataset(rng, n=200, d=30)
    if kind == "sparse":
        data = data._replace(X=sp.csr_array(data.X * (rng.random(data.X.shape) < 0.2)))
    columns = np.array([0, 3, 17])
    split = None if kind == "sparse" else Split(columns, np.full(3, 0.4))
    mean = np.zeros(30) if kind == "sparse" else rng.normal(size=30)
    standardizer = Standardizer(mean, rng.uniform(1, 2, size=30), 3.0, "f4", split)

    def inputs():
        batches = Minibatches(data, standardizer, 64, np.random.default_rng(0))
        parts = [batch.X.copy() for batch in batches]
        return np.vstack([x.toarray() if sp.issparse(x) else x for x in parts])

    once = inputs()
    monkeypatch.setattr("sknet._training.READY_BYTES", 0)
    monkeypatch.setattr("sknet._training.PART_ELEMENTS", 100)
    np.testing.assert_array_equal(inputs(), once)


@pytest.mark.usefixtures("inputs_are")
@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize(
    "options", [{}, {"dropout": 0.2}, {"input_dropout": 0.2}, {"alpha": 0.1}]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("scaling_layer", [True, False])
def test_a_step_allocates_nothing(rng, n_classes, options, dtype, scaling_layer):
    """After the first pass, epochs run in the buffers that are there.

    What is left is NumPy's own: fixed casting buffers of 8192 elements, whatever the
    size of the batch. No array of a batch's size is made, of inputs or hidden units.
    """
    n, d, h, k = 4096, 100, 100, 4
    X = rng.integers(0, 100, size=(n, d)).astype(dtype)
    labels = rng.integers(0, n_classes, size=n)
    data = Dataset(X, np.arange(n), labels, np.ones((1, n)))
    network = make_network(data, h, k, n_classes, np.float32, **options)
    standardizer = Standardizer(np.full(d, 50.0), np.full(d, 30.0), 3.0, np.float32)
    shuffle, masks = np.random.default_rng(0), np.random.default_rng(1)
    batches = Minibatches(data, standardizer, 1024, shuffle)
    optimizer = make_adam(network)
    if scaling_layer:
        optimizer = ScalingLayerAdam(
            network.params, k * h * network.shape.n_outputs, d * k, h, **ADAM
        )

    def epoch():
        for _, inputs, y, weight in batches:
            network.loss_gradient(inputs, y, weight, masks)
            network.add_penalty_gradient()
            optimizer.step(network.params, network.grads, 1e-3)

    epoch()
    tracemalloc.start()
    epoch()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    epoch()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    casting_buffers = 4 * 8192 * 8
    smallest_batch_array = 1024 * d * 4  # of inputs; the hidden block is 4 times it
    assert casting_buffers < smallest_batch_array
    assert peak - before < casting_buffers


def run(network, data, monitor, *, size=10, rate=0.01, max_iter=5, optimizer=None):
    batches = Minibatches(
        data, plain(network.params.dtype), size, np.random.default_rng(0)
    )
    return fit_stochastic(
        network,
        batches,
        optimizer or make_adam(network),
        Constant(rate),
        monitor,
        max_iter=max_iter,
    )


def test_full_batch_losses_are_those_of_the_weights_before_each_step(rng):
    data = make_dataset(rng)
    network = make_network(data)
    before = ValidationLoss(network, plain(), data)
    expected = []

    class Spy(SGD):
        def step(self, params, grads, rate):
            raw = network.raw_prediction(data.X[data.rows])
            per_member = [network.loss.log_mean_proba(r[np.newaxis]) for r in raw]
            rows = np.arange(len(data.y))
            expected.append(-np.mean([p[rows, data.y].mean() for p in per_member]))
            super().step(params, grads, rate)

    monitor = Monitor(network.params)
    spy = Spy(network.params, momentum=0, nesterov=False)
    start = before()
    run(network, data, monitor, size=1000, rate=0.1, optimizer=spy)
    np.testing.assert_allclose(monitor.loss_curve, expected, rtol=1e-12)
    assert before() < start
    assert monitor.stop_reason == "max_iter"
    assert monitor.best_epoch == monitor.n_epochs == 5


def test_validation_loss_is_the_weighted_log_loss_of_the_mean(rng):
    data = make_dataset(rng, weight=rng.uniform(0.5, 2, size=(1, 50)))
    network = make_network(data)
    proba = predict_rows(network, plain(), data.X, network.loss.mean_proba)
    log_p = np.log(proba[data.rows, data.y])
    expected = -np.average(log_p, weights=data.weight[0])
    assert ValidationLoss(network, plain(), data)() == pytest.approx(expected)


def test_prediction_in_blocks_is_prediction_at_once(rng, monkeypatch):
    data = make_dataset(rng)
    network = make_network(data)
    for X in (data.X, sp.csr_array(data.X)):
        monkeypatch.setattr("sknet._prediction.BLOCK_ELEMENTS", 1 << 18)
        at_once = predict_rows(network, plain(), X, network.loss.mean_proba, 2.0)
        monkeypatch.setattr("sknet._prediction.BLOCK_ELEMENTS", 64)
        in_blocks = predict_rows(network, plain(), X, network.loss.mean_proba, 2.0)
        np.testing.assert_allclose(in_blocks, at_once, rtol=1e-12)
    raw = network.raw_prediction(data.X) / 2.0
    np.testing.assert_allclose(at_once, network.loss.mean_proba(raw), rtol=1e-12)


def play(monitor, losses):
    """Feed the monitor one loss an epoch; params hold the epoch's number."""
    for epoch, _ in enumerate(losses, start=1):
        monitor.params[:] = epoch
        if monitor.end_epoch(losses[epoch - 1]):
            break
    return monitor


def test_monitor_keeps_the_epoch_of_the_best_validation_loss():
    validation = iter([3.0, 1.0, 2.0, 1.0, 5.0])
    monitor = Monitor(np.zeros(2), validate=lambda: next(validation), decides=True)
    play(monitor, [9, 8, 7, 6, 5])
    assert monitor.best_epoch == 4  # of two equal ones the later
    assert monitor.best_loss == 1.0
    np.testing.assert_array_equal(monitor.best_params, 4)
    assert monitor.history() == History(
        [9, 8, 7, 6, 5], [3.0, 1.0, 2.0, 1.0, 5.0], 1.0, 4, "max_iter"
    )


def test_monitor_only_records_a_validation_loss_that_does_not_decide():
    monitor = Monitor(np.zeros(2), validate=lambda: 1.0)
    play(monitor, [3.0, 2.0])
    assert monitor.best_epoch == 2
    assert monitor.best_loss == 2.0
    assert monitor.validation_loss_curve == [1.0, 1.0]


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_counts_epochs_without_an_improvement_by_tol(patience):
    losses = [5.0, 4.0, 3.99, 3.98, 3.5, *[3.45] * 20]
    monitor = play(Monitor(np.zeros(1), patience=patience, tol=0.1), losses)
    # from 4.0 to 3.98 there are two epochs without: enough for a patience of 1
    assert monitor.n_epochs == {1: 3, 3: 8}[patience]
    assert monitor.stop_reason == "no_improvement"


def test_adaptive_rate_falls_at_a_plateau_before_training_ends():
    schedule = Adaptive(1e-5)
    monitor = Monitor(np.zeros(1), patience=2, on_plateau=schedule.lower)
    play(monitor, [1.0] * 100)
    assert schedule(0) == pytest.approx(1e-5 / 25)
    assert monitor.n_epochs == 1 + 2 + 2 + 2  # two reductions, then the end


def test_reports_come_every_epoch():
    lines = []
    monitor = Monitor(
        np.zeros(1), validate=lambda: 0.5, report=lambda *line: lines.append(line)
    )
    play(monitor, [2.0, 1.0])
    assert lines == [(1, 2.0, 0.5), (2, 1.0, 0.5)]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_step_is_undone_at_half_the_rate(rng, bad):
    data = make_dataset(rng)
    network = make_network(data)
    start, rates, losses = network.params.copy(), [], iter([1.0, 1.0, bad, 1.0, 1.0])
    network.loss_gradient = lambda *args: next(losses)
    network.grads[:] = 1.0

    class Spy(SGD):
        def step(self, params, grads, rate):
            rates.append(rate)
            super().step(params, grads, rate)

    monitor = Monitor(network.params)
    spy = Spy(network.params, momentum=0, nesterov=False)
    recoveries = run(network, data, monitor, rate=0.1, max_iter=1, optimizer=spy)
    assert recoveries == 1
    assert rates == [0.1, 0.1, 0.05, 0.05]
    # back to the start of the epoch, then two steps at half the rate
    np.testing.assert_allclose(network.params, start - 2 * 0.05)


def test_an_epoch_whose_losses_are_finite_but_not_their_sum_is_undone(rng):
    data = make_dataset(rng)
    network = make_network(data)
    n_steps = -(-len(data.rows) // 10)
    losses = itertools.chain([1e308] * n_steps, itertools.repeat(1.0))
    network.loss_gradient = lambda *args: next(losses)
    network.grads[:] = 0.0
    monitor = Monitor(network.params)
    assert run(network, data, monitor, size=10, max_iter=2) == 1
    of_a_member = 1.0 / network.shape.n_members
    assert monitor.loss_curve == pytest.approx([of_a_member] * 2)


def test_hopeless_training_ends_as_diverged_with_the_last_good_weights(rng):
    data = make_dataset(rng)
    network = make_network(data)
    start = network.params.copy()
    network.loss_gradient = lambda *args: math.nan
    monitor = Monitor(network.params)
    recoveries = run(network, data, monitor, max_iter=1000)
    assert recoveries >= MOST_RECOVERIES
    assert monitor.stop_reason == "diverged"
    np.testing.assert_array_equal(network.params, start)


def test_weights_that_overflow_in_the_last_step_are_undone(rng):
    data = make_dataset(rng)
    network = make_network(data)

    class Overflow(SGD):
        def step(self, params, grads, rate):
            params[0] = math.inf

    monitor = Monitor(network.params)
    optimizer = Overflow(network.params, momentum=0, nesterov=False)
    run(network, data, monitor, size=1000, optimizer=optimizer)
    assert np.isfinite(network.params).all()
    assert monitor.stop_reason == "diverged"


@pytest.mark.parametrize("block", [7, 1000])
def test_lbfgs_finds_the_minimum_of_a_convex_objective(rng, block):
    """Identity activation on one unit's worth of directions: gradient vanishes."""
    data = make_dataset(rng, n_classes=2)
    shape = Shape(4, 3, 1)
    network = TwoLayerNetwork(
        shape, np.empty(shape.n_params), IDENTITY, SigmoidCrossEntropy(), alpha=0.1
    )
    network.start(rng)
    batches = Minibatches(data, plain(), block, None, whole=True)
    monitor = Monitor(network.params)
    fit_lbfgs(network, batches, monitor, max_iter=500, tol=1e-8)
    assert monitor.stop_reason == "converged"
    assert monitor.n_epochs > 3
    inputs, weight = data.X[data.rows], np.full((1, 50, 1), 1 / 50)
    inputs = np.column_stack([inputs, np.ones(50)])
    network.loss_gradient(inputs, data.y, weight)
    network.add_penalty_gradient()
    assert np.abs(network.grads).max() < 1e-7
    values = np.array(monitor.loss_curve)
    assert values[-1] < values[0]


def test_lbfgs_stops_when_the_monitor_says_so(rng):
    data = make_dataset(rng, n_classes=2)
    network = make_network(data, k=1, n_classes=2)
    batches = Minibatches(data, plain(), 1000, None, whole=True)
    losses = iter([3.0, 1.0, *[2.0] * 100])
    monitor = Monitor(
        network.params, validate=lambda: next(losses), decides=True, patience=3
    )
    fit_lbfgs(network, batches, monitor, max_iter=100, tol=0.0)
    assert monitor.n_epochs == 5
    assert monitor.best_epoch == 2
    assert monitor.stop_reason == "no_improvement"


def test_lbfgs_at_a_minimum_has_one_iteration(rng):
    data = make_dataset(rng, n_classes=2)
    network = make_network(data, k=1, n_classes=2)
    batches = Minibatches(data, plain(), 1000, None, whole=True)
    monitor = Monitor(network.params)
    fit_lbfgs(network, batches, monitor, max_iter=100, tol=1e9)
    assert monitor.n_epochs == 1
    assert monitor.stop_reason == "converged"


def test_mean_history_pads_those_that_ended_early():
    a = History([3.0, 2.0], [], 2.0, 2, "converged")
    b = History([5.0, 4.0, 1.0], [], 1.0, 3, "max_iter")
    joint = mean_history([a, b])
    assert joint == History([4.0, 3.0, 1.5], [], 1.5, 3, "max_iter")
    assert mean_history([a]) is a
    assert mean_history([a, a]).stop_reason == "converged"


def test_patience_is_longer_until_something_is_learnt():
    """Three times as long while no epoch is 1 % better than the class frequencies."""
    for losses, expected in (
        ([0.69] * 100, 16),  # the first epoch counts as an improvement
        ([0.69] * 10 + [0.60] * 100, 16),
        ([0.60] * 100, 6),
    ):
        monitor = Monitor(
            np.zeros(3),
            validate=iter(losses).__next__,
            decides=True,
            patience=5,
            prior_loss=0.6931,
        )
        n_epochs = 1
        while not monitor.end_epoch(1.0):
            n_epochs += 1
        assert n_epochs == expected
        assert monitor.stop_reason == "no_improvement"


def test_a_parity_that_is_learnt_late_is_learnt():
    """For some twenty epochs the loss is that of the class frequencies."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 20))
    y = (X[:, :3] > 0).sum(axis=1) % 2
    clf = TwoLayerClassifier(random_state=0).fit(X[:3000], y[:3000])
    assert clf.score(X[3000:], y[3000:]) > 0.7
