"""Losses and probabilities against scikit-learn's and SciPy's, and at huge logits."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logsumexp, softmax
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss

from sknet._losses import (
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    fit_temperature,
)

SCALES = [1.0, 30.0, 1000.0]


def problem(rng, n_members, n_classes, scale, n=50):
    """Our loss, logits, class indices and weights."""
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    raw = rng.uniform(-scale, scale, size=(n_members, n, loss.n_outputs))
    y = rng.integers(0, n_classes, size=n)
    weight = rng.uniform(0, 3, size=(n_members, n, 1))
    return loss, raw, y, weight


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("n_members", [1, 3])
def test_loss_and_gradient_are_scikit_learns(rng, n_members, n_classes, scale):
    loss, raw, y, weight = problem(rng, n_members, n_classes, scale)
    gradient = np.empty_like(raw)
    buffers = loss.buffers(*raw.shape[:2], raw.dtype)
    total = loss.loss_gradient(raw, y, weight, gradient, buffers)

    theirs = HalfBinomialLoss()
    if n_classes > 2:
        theirs = HalfMultinomialLoss(n_classes=n_classes)
    expected = 0.0
    for j in range(n_members):
        values, slopes = theirs.loss_gradient(
            y_true=y.astype(float),
            raw_prediction=np.ascontiguousarray(raw[j]).squeeze(),
            sample_weight=np.ascontiguousarray(weight[j, :, 0]),
        )
        expected += values.sum()
        np.testing.assert_allclose(
            gradient[j], slopes.reshape(gradient[j].shape), rtol=1e-10, atol=1e-12
        )
    assert total == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_one_row_of_weights_serves_all_members(rng, n_classes):
    loss, raw, y, weight = problem(rng, 3, n_classes, 5.0)
    shared = weight[:1]
    results = []
    for w in (shared, np.repeat(shared, 3, axis=0)):
        gradient = np.empty_like(raw)
        buffers = loss.buffers(*raw.shape[:2], raw.dtype)
        total = loss.loss_gradient(raw, y, w, gradient, buffers)
        results.append((total, gradient))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-14)
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n_classes", [1, 2, 3])
@pytest.mark.parametrize("n_members", [1, 4])
def test_probabilities_by_the_definition(rng, n_members, n_classes, scale, dtype):
    loss, raw, *_ = problem(rng, n_members, n_classes, scale)
    proba = loss.mean_proba(raw.astype(dtype))
    if n_classes == 2:
        expected = np.concatenate([expit(-raw), expit(raw)], axis=2).mean(axis=0)
    else:
        expected = softmax(raw, axis=2).mean(axis=0)
    tolerance = 2e-7 * max(1, scale) if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(proba, expected, atol=tolerance)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert proba.dtype == dtype


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_members", [1, 4])
def test_log_probabilities_are_finite_and_exact(rng, n_members, n_classes, scale):
    loss, raw, *_ = problem(rng, n_members, n_classes, scale)
    log_proba = loss.log_mean_proba(raw)
    logits = (
        np.concatenate([np.zeros_like(raw), raw], axis=2) if n_classes == 2 else raw
    )
    each = logits - logsumexp(logits, axis=2, keepdims=True)
    expected = logsumexp(each, axis=0) - np.log(n_members)
    np.testing.assert_allclose(log_proba, expected, rtol=1e-12, atol=1e-12)
    assert np.isfinite(log_proba).all()


def test_decision_is_the_logit_or_the_log_probability(rng):
    loss, raw, *_ = problem(rng, 3, 2, 8.0)
    proba = loss.mean_proba(raw)
    expected = np.log(proba[:, 1]) - np.log(proba[:, 0])
    np.testing.assert_allclose(loss.decision(raw), expected, rtol=1e-9)
    np.testing.assert_array_equal(loss.decision(raw[:1]), raw[0, :, 0])
    loss, raw, *_ = problem(rng, 3, 4, 8.0)
    np.testing.assert_allclose(loss.decision(raw), np.log(loss.mean_proba(raw)))


def test_one_class_has_no_temperature():
    """Whatever the logit, the probability is 1: nothing to calibrate."""
    raw, y = np.full((5, 1), 3.0), np.zeros(5, int)
    assert fit_temperature(SoftmaxCrossEntropy(1), raw, y, np.ones(5), 2.0) == (1, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_leave_the_temperature_alone(bad):
    raw = np.array([[0.0, 1.0, 2.0], [bad, 0.0, 0.0]])
    y = np.array([2, 1])
    found = fit_temperature(SoftmaxCrossEntropy(3), raw, y, np.ones(2), 1.7)
    assert found == (1.7, np.inf)


WEIGHTS = {
    "equal": lambda rng, n: np.ones(n),
    "random": lambda rng, n: rng.exponential(size=n),
    "a few heavy rows": lambda rng, n: np.where(np.arange(n) < 4, 1.0, 1e-4),
    "one heavy row": lambda rng, n: np.where(np.arange(n) == 0, 1e3, 1.0),
    "many without weight": lambda rng, n: np.where(np.arange(n) < 9, 2.0, 0.0),
    "as sums of float range": lambda rng, n: 1e290 * rng.exponential(size=n),
}


def temperature_by_search(raw, y, weight):
    """The minimum of the smoothed, weighted loss, by a search over log T.

    One row in n + 2 has all labels alike, n being what the weights are worth:
    (sum w)^2 / sum w^2, so that copies count, and rows without weight do not.
    """
    logits = raw if raw.shape[1] > 1 else np.hstack([np.zeros_like(raw), raw])
    weight = weight / weight.max()
    n = weight.sum() ** 2 / (weight**2).sum()
    target = np.full(logits.shape, 1 / (n + 2) / logits.shape[1])
    target[np.arange(len(y)), y] += 1 - 1 / (n + 2)

    def smoothed_loss(log_t):
        z = logits * np.exp(-log_t)
        log_proba = z - logsumexp(z, axis=1, keepdims=True)
        return -np.average((target * log_proba).sum(axis=1), weights=weight)

    bounds, options = (-np.log(10), np.log(20)), {"xatol": 1e-9}
    found = minimize_scalar(
        smoothed_loss, bounds=bounds, method="bounded", options=options
    )
    return np.exp(found.x)


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("all_right", [True, False])
def test_the_temperature_is_found_by_a_search_too(rng, kind, n_classes, all_right):
    """Heavy rows are as few as they are, however many light ones come with them."""
    loss, raw, y, _ = problem(rng, 1, n_classes, 3.0, n=60)
    raw, weight = raw[0], WEIGHTS[kind](rng, 60)
    right = raw.argmax(axis=1) if n_classes > 2 else (raw[:, 0] > 0).astype(int)
    y = right if all_right else np.where(rng.random(60) < 0.2, y, right)
    found, _ = fit_temperature(loss, raw, y, weight)
    expected = temperature_by_search(raw, y, weight)
    assert 0.1 < expected < 20  # no bound is what both have found
    assert found == pytest.approx(expected, rel=1e-3)


def test_light_rows_do_not_make_a_few_heavy_ones_certain():
    """4 heavy rows, all right, among 400 light ones: sure as of 4, not as of 404."""
    loss, y = SigmoidCrossEntropy(), np.tile([0, 0, 1, 1], 101)
    raw = np.tile([[-3.0], [-2.0], [2.0], [3.0]], (101, 1))
    heavy = np.where(np.arange(404) < 4, 1.0, 1e-6)
    few, many = (fit_temperature(loss, raw[:n], y[:n], np.ones(n))[0] for n in (4, 404))
    found, _ = fit_temperature(loss, raw, y, heavy)
    assert found == pytest.approx(few, rel=1e-2)
    assert few > 2 * many
