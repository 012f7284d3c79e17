"""Cross-fitting: member weights, out-of-fold logits, and both temperatures."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.metrics import log_loss

from sknet._data.inputs import Inputs
from sknet._data.weighted import Dataset
from sknet._network.activations import RELU
from sknet._network.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._network.network import Shape, TwoLayerNetwork
from sknet._training.crossfit import (
    OutOfFoldLoss,
    blend_weights,
    factor_of_mean,
    fit_temperature,
    member_weights,
    validation_loss,
)


def loss_of(n_classes):
    return SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)


def make_problem(rng, k=3, n_classes=3, n=60, sparse=False):
    """Make a network, its inputs and a dataset."""
    X = rng.normal(size=(n + 10, 4)) * (rng.random((n + 10, 4)) < 0.7)
    rows, y = rng.permutation(n + 10)[:n], rng.integers(0, n_classes, size=n)
    weight = rng.uniform(0.5, 2, size=(1, n))
    loss = loss_of(n_classes)
    inputs = Inputs(4, True, 1, np.float64, {})
    inputs.partial_fit(X, rows, weight[0])
    shape = Shape(inputs.n_inputs, 6, loss.n_outputs, k)
    network = TwoLayerNetwork(shape, np.empty(shape.n_params), RELU, loss)
    network.start(rng)
    return network, inputs, Dataset(sp.csr_array(X) if sparse else X, rows, y, weight)


def labels_drawn_from(rng, proba):
    y = (proba.cumsum(axis=1) < rng.random((len(proba), 1))).sum(axis=1)
    return y.clip(0, proba.shape[1] - 1)


# ------------------------------------------------------------------------- folds


def test_members_ignore_their_fold_and_have_mean_weight_one(rng):
    weight, fold = rng.uniform(0.5, 2, size=(1, 40)), np.arange(40) % 5 - 1
    weights = member_weights(weight, fold, 4)
    for j in range(4):
        assert not weights[j, fold == j].any()
        ratio = weights[j, fold != j] / weight[0, fold != j]
        assert_allclose(ratio, ratio[0])
    assert_allclose(weights.mean(axis=1), 1)


def test_a_member_without_rows_of_its_own_trains_on_all():
    weights = member_weights(np.ones((1, 1)), np.array([0]), 2)
    assert_array_equal(weights, [[1.0], [1.0]])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_out_of_fold_logits_are_those_of_each_rows_member(rng, n_classes, sparse):
    network, inputs, data = make_problem(rng, n_classes=n_classes, sparse=sparse)
    fold = rng.integers(-1, 3, size=60)
    out_of_fold = OutOfFoldLoss(network, inputs, data, fold, 1.0)
    raw = out_of_fold.raw_prediction()
    dense = data.X.toarray() if sparse else data.X
    each = network.raw_prediction(inputs.take(dense, data.rows))
    judged = np.flatnonzero(fold >= 0)  # a row that all members know is not judged
    assert_allclose(raw, each[fold[judged], judged], rtol=1e-10, atol=1e-12)
    assert_array_equal(out_of_fold.data.y, data.y[judged])
    assert_array_equal(out_of_fold.data.weight, data.weight[:, judged])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_out_of_fold_loss_is_the_log_loss_at_the_best_temperature(rng, n_classes):
    network, inputs, data = make_problem(rng, n_classes=n_classes)
    network.params *= 3
    fold = rng.integers(0, 3, size=60)
    out_of_fold = OutOfFoldLoss(network, inputs, data, fold, 1.0)
    loss = out_of_fold()
    raw = out_of_fold.raw_prediction() / out_of_fold.temperature
    proba = network.loss.mean_proba(raw[np.newaxis])
    expected = log_loss(
        data.y, proba, sample_weight=data.weight[0], labels=range(n_classes)
    )
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_validation_loss_is_the_log_loss_of_the_mean(rng, n_classes, sparse):
    network, inputs, data = make_problem(rng, n_classes=n_classes, sparse=sparse)
    dense = data.X.toarray() if sparse else data.X
    raw = network.raw_prediction(inputs.take(dense, data.rows))
    proba = network.loss.mean_proba(raw)
    expected = log_loss(
        data.y, proba, sample_weight=data.weight[0], labels=range(n_classes)
    )
    assert validation_loss(network, inputs, data) == pytest.approx(expected)


# ----------------------------------------------------- temperature of each member


WEIGHTS = {
    "equal": lambda rng, n: np.ones(n),
    "random": lambda rng, n: rng.exponential(size=n),
    "a few heavy rows": lambda rng, n: np.where(np.arange(n) < 4, 1.0, 1e-4),
    "one heavy row": lambda rng, n: np.where(np.arange(n) == 0, 1e3, 1.0),
    "many without weight": lambda rng, n: np.where(np.arange(n) < 9, 2.0, 0.0),
    "of any scale": lambda rng, n: 1e100 * rng.exponential(size=n),
}


def temperature_by_search(raw, y, weight, pseudo_count=1):
    """Search the minimum over log T of the smoothed, weighted loss.

    One row in n + 2 has all labels alike, n being what the weights are worth:
    (sum w)^2 / sum w^2, so that copies count, and rows without weight do not.
    """
    logits = raw if raw.shape[1] > 1 else np.hstack([np.zeros_like(raw), raw])
    weight = weight / weight.max()
    n = weight.sum() ** 2 / (weight**2).sum()
    smoothing = pseudo_count / (n + 2 * pseudo_count)
    target = np.full(logits.shape, smoothing / logits.shape[1])
    target[np.arange(len(y)), y] += 1 - smoothing

    def smoothed_loss(log_t):
        z = logits * np.exp(-log_t)
        log_proba = z - logsumexp(z, axis=1, keepdims=True)
        return -np.average((target * log_proba).sum(axis=1), weights=weight)

    bounds = -np.log(10), np.log(20)
    options = {"method": "bounded", "options": {"xatol": 1e-9}}
    return np.exp(minimize_scalar(smoothed_loss, bounds=bounds, **options).x)


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("all_right", [True, False])
@pytest.mark.parametrize("start", [1.0, 0.1, 20.0])
def test_a_search_finds_the_same_temperature(rng, kind, n_classes, all_right, start):
    """From any start; heavy rows count as few, however many light ones come along."""
    loss = loss_of(n_classes)
    raw = rng.uniform(-3, 3, size=(60, loss.n_outputs))
    weight = WEIGHTS[kind](rng, 60)
    y = raw.argmax(axis=1) if n_classes > 2 else (raw[:, 0] > 0).astype(int)
    if not all_right:
        wrong = rng.integers(0, n_classes, size=60)
        y = np.where(rng.random(60) < 0.2, wrong, y)
    found, value = fit_temperature(loss, raw, y, weight, start=start)
    expected = temperature_by_search(raw, y, weight)
    assert 0.1 < expected < 20  # neither bound is what both have found
    assert found == pytest.approx(expected, rel=1e-3)
    proba = loss.mean_proba(raw[np.newaxis] / found)
    by_definition = -np.average(np.log(proba[np.arange(60), y]), weights=weight)
    assert value == pytest.approx(by_definition, rel=1e-3, abs=1e-6)


def test_rows_of_a_group_smooth_the_labels_as_one_row(rng):
    """Copies in a group tell nothing new, so they are smoothed like fewer rows."""
    loss, raw = loss_of(3), rng.normal(size=(20, 3))
    y = raw.argmax(axis=1)
    for size in (2.0, 5.0):
        copies = np.repeat(raw, int(size), axis=0), np.repeat(y, int(size))
        weight = np.ones(len(copies[1]))
        found, _ = fit_temperature(loss, *copies, weight, rows_per_group=size)
        expected = temperature_by_search(raw, y, np.ones(20), pseudo_count=size)
        assert found == pytest.approx(expected, rel=1e-3)
        assert fit_temperature(loss, *copies, weight)[0] != pytest.approx(found)


def test_one_class_has_no_temperature():
    """Its probability is 1, whatever the logit."""
    raw, y = np.full((5, 1), 3.0), np.zeros(5, int)
    assert fit_temperature(SoftmaxCrossEntropy(1), raw, y, np.ones(5), start=2.0) == (
        1,
        0,
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_leave_the_temperature_alone(bad):
    raw, y = np.array([[0.0, 1.0, 2.0], [bad, 0.0, 0.0]]), np.array([2, 1])
    found = fit_temperature(SoftmaxCrossEntropy(3), raw, y, np.ones(2), start=1.7)
    assert found == (1.7, np.inf)


# -------------------------------------------------------- temperature of the mean


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_the_mean_of_calibrated_members_is_calibrated(rng, n_classes, spread):
    """Labels from known logits, around which the members err independently.

    The temperature is found without a label; the labels are the oracle.
    """
    n, k, loss = 4000, 8, loss_of(n_classes)
    true = 2 * rng.normal(size=(n, loss.n_outputs))
    raw = true + spread * rng.normal(size=(k, n, loss.n_outputs))
    y = labels_drawn_from(rng, loss.mean_proba(true[np.newaxis]))
    of_members, _ = fit_temperature(
        loss, raw.reshape(k * n, -1), np.tile(y, k), np.ones(k * n)
    )
    factor = factor_of_mean(loss, [raw / of_members], np.ones(1), np.ones(n))
    found = of_members * factor

    def loss_at(t):
        return -np.log(loss.mean_proba(raw / t)[np.arange(n), y]).mean()

    best = minimize_scalar(loss_at, bounds=(0.1, 3), method="bounded").x
    assert found < of_members
    assert abs(found - best) < 0.25 * abs(of_members - best) + 0.03
    assert loss_at(found) < loss_at(of_members)


@pytest.mark.parametrize("n_classes", [1, 3])
def test_members_that_agree_keep_their_temperature(rng, n_classes):
    """They have no variance to make up for; one class leaves no doubt."""
    raw = np.repeat(rng.normal(size=(1, 50, n_classes)), 4, axis=0)
    loss = SoftmaxCrossEntropy(n_classes)
    assert factor_of_mean(loss, [raw, raw], np.full(2, 0.5), np.ones(50)) == 1


def test_blend_weights_minimize_the_log_loss_of_the_mixture(rng):
    """With a pseudo-count of one row for each variant, against a search."""
    proba, weight = rng.beta([[2.5], [2.4]], 2, size=(2, 300)), rng.uniform(0.5, 2, 300)
    weight /= weight.mean()

    def penalized(w):
        log_proba = np.log(w * proba[0] + (1 - w) * proba[1])
        return -(weight @ log_proba) - np.log(w) - np.log(1 - w)

    best = minimize_scalar(penalized, bounds=(0, 1), method="bounded").x
    assert 0.15 < best < 0.85  # beyond it a variant is dropped
    assert_allclose(blend_weights(proba, weight), [best, 1 - best], atol=5e-3)
