"""Losses and probabilities against scikit-learn's and SciPy's, and at huge logits."""

import numpy as np
import pytest
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
