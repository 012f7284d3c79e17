"""Losses and probabilities against scikit-learn's and SciPy's, also at huge logits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss

from sknet._network.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy

each_scale = pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
each_n_members = pytest.mark.parametrize("n_members", [1, 3])


def problem(rng, n_members, n_classes, scale, n=50):
    """Return a loss, logits, class indices and weights."""
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    raw = rng.uniform(-scale, scale, size=(n_members, n, loss.n_outputs))
    y = rng.integers(0, n_classes, size=n)
    weight = rng.uniform(0, 3, size=(n_members, n, 1))
    return loss, raw, y, weight


def loss_gradient(loss, raw, y, weight):
    gradient = np.full_like(raw, np.nan)
    buffers = loss.buffers(*raw.shape[:2], raw.dtype)
    return loss.loss_gradient(raw, y, weight, gradient, buffers), gradient


@each_scale
@each_n_members
@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shared", [True, False])
def test_loss_and_gradient_are_scikit_learns(
    rng, n_members, n_classes, scale, dtype, shared
):
    """Each member has weights of its own, or one row of weights serves all."""
    loss, raw, y, weight = problem(rng, n_members, n_classes, scale)
    raw = raw.astype(dtype)
    if shared:
        weight = weight[:1]
    total, gradient = loss_gradient(loss, raw, y, weight.astype(dtype))
    raw, each = (
        raw.astype(float),
        np.broadcast_to(weight, (n_members, *weight.shape[1:])),
    )
    theirs = HalfBinomialLoss()
    if n_classes > 2:
        theirs = HalfMultinomialLoss(n_classes=n_classes)
    expected = 0.0
    for j in range(n_members):
        values, slopes = theirs.loss_gradient(
            y_true=y.astype(float),
            raw_prediction=np.ascontiguousarray(raw[j]).squeeze(),
            sample_weight=np.ascontiguousarray(each[j, :, 0]),
        )
        expected += values.sum()
        slopes = slopes.reshape(gradient[j].shape)
        rtol, atol = (1e-10, 1e-12) if dtype == np.float64 else (1e-5, 1e-5)
        assert_allclose(gradient[j], slopes, rtol=rtol, atol=atol)
    assert gradient.dtype == dtype
    assert total == pytest.approx(expected, rel=rtol)


def test_logits_of_a_thousand_cost_zero_or_their_distance():
    sigmoid_logits = [[1000.0], [-1000.0], [1000.0], [-1000.0]]
    softmax_logits = [[1000.0, -1000.0], [1000.0, -1000.0]]
    for loss, logits, y, total, residual in [
        (SigmoidCrossEntropy(), sigmoid_logits, [1, 0, 0, 1], 2000, [0, 0, 1, -1]),
        (SoftmaxCrossEntropy(2), softmax_logits, [0, 1], 2000, [0, 0, 1, -1]),
    ]:
        raw = np.array([logits])
        weight = np.ones((1, raw.shape[1], 1))
        found, gradient = loss_gradient(loss, raw, np.array(y), weight)
        assert found == total
        assert_array_equal(gradient.ravel(), residual)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_logit_that_is_not_finite_is_seen_in_the_loss(rng, n_classes, bad):
    loss, raw, y, weight = problem(rng, 2, n_classes, 5.0)
    raw[1, 3, 0], weight[1, 3] = bad, 1.0
    y[3] = 0 if n_classes == 2 else 1  # the logit speaks for another class
    assert not np.isfinite(loss_gradient(loss, raw, y, weight)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_scale
@each_n_members
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_probabilities_are_the_mean_of_the_members(
    rng, n_members, n_classes, scale, dtype
):
    """Their logarithms are finite where they vanish; logits agree with both."""
    loss, raw, *_ = problem(rng, n_members, n_classes, scale)
    raw = raw.astype(dtype)
    logits = raw.astype(float)
    if n_classes == 2:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=2)
    each = logits - logsumexp(logits, axis=2, keepdims=True)
    expected = logsumexp(each, axis=0) - np.log(n_members)
    proba, log_proba = loss.mean_proba(raw), loss.log_mean_proba(raw)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert_allclose(proba, np.exp(expected), atol=tolerance)
    assert_allclose(log_proba, expected, rtol=tolerance, atol=tolerance)
    assert np.isfinite(log_proba).all()
    assert proba.dtype == log_proba.dtype == dtype
    found = loss.logits(log_proba)
    if n_classes == 2:
        assert_allclose(expit(found[:, 0]), proba[:, 1], atol=tolerance)
    else:
        assert_array_equal(found, log_proba)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_logits_of_log_probabilities_give_them_back(rng, n_classes):
    loss, *_ = problem(rng, 1, n_classes, 1.0)
    proba = rng.dirichlet(np.ones(n_classes), size=9)
    found = loss.mean_proba(loss.logits(np.log(proba))[np.newaxis])
    assert_allclose(found, proba, rtol=1e-12)
