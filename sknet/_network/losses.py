"""Losses and probabilities, computed from logits.

A raw prediction has shape (k, n, o) for k members, n rows and o outputs. No function
here takes the logarithm of a probability. All of them use log-sum-exp or log-sigmoid,
which are finite for every finite logit. Labels are class indices (n,). For both losses,
the gradient is ``p - target``, where the target is the label 0 or 1 for a sigmoid
output and a one-hot row for softmax outputs.
"""

import math

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.special import expit, log_expit, log_softmax, logsumexp

Array = NDArray[np.floating]

# Up to this size of a logit, exp, its sums and their ratios keep all their digits.
SAFE_LOGIT = 40.0


def _is_safe(raw: Array) -> bool:
    """Whether exp can be computed without a shift. NaN counts as unsafe."""
    return bool(raw.max() < SAFE_LOGIT and raw.min() > -SAFE_LOGIT)


class SigmoidCrossEntropy:
    r"""Cross-entropy of two classes with one logit z and :math:`p = 1 / (1 + e^{-z})`.

    .. math:: \ell(y, z) = -y \log p - (1 - y) \log (1 - p) = -\log \sigma((2y - 1) z),
        \qquad \partial \ell / \partial z = p - y
    """

    n_outputs = 1
    n_classes = 2

    def buffers(self, k: int, n: int, dtype: DTypeLike) -> tuple[NDArray, ...]:
        """Memory for ``loss_gradient``: target (n, 1), total and scratch (k, n, 1)."""
        target, total = np.empty((n, 1), dtype), np.empty((k, n, 1), dtype)
        return target, total, np.empty_like(total)

    def logits(self, log_proba: Array) -> Array:
        """Logits (n, 1) with these log-probabilities (n, 2)."""
        return log_proba[:, 1:] - log_proba[:, :1]

    def loss_gradient(
        self,
        raw: Array,
        y: NDArray[np.intp],
        weight: Array,
        gradient: Array,
        buffers: tuple[NDArray, ...],
    ) -> float:
        """Return the losses' weighted sum and write their gradient into ``gradient``.

        raw and gradient (k, n, 1), y (n,), weight (1 or k, n, 1).
        """
        target, total, scratch = buffers
        target[:, 0] = y
        if raw.max() < SAFE_LOGIT:  # exp of a low logit is about 0
            np.exp(raw, out=gradient)
            np.add(gradient, 1, out=total)
            gradient /= total
            np.log(total, out=total)
            np.multiply(raw, target, out=scratch)
            total -= scratch  # log(1 + exp(z)) - y z
        else:
            np.multiply(target, 2, out=scratch)
            scratch -= 1
            np.multiply(raw, scratch, out=total)
            log_expit(total, out=total)
            np.negative(total, out=total)
            expit(raw, out=gradient)
        gradient -= target
        gradient *= weight
        total *= weight
        return float(np.add.reduce(total, None))

    def mean_proba(self, raw: Array) -> Array:
        """Probabilities (n, 2), averaged over the members."""
        proba = np.empty((raw.shape[1], 2), dtype=raw.dtype)
        expit(-raw[:, :, 0]).mean(axis=0, out=proba[:, 0])
        expit(raw[:, :, 0]).mean(axis=0, out=proba[:, 1])
        return proba

    def log_mean_proba(self, raw: Array) -> Array:
        """Logarithm (n, 2) of the averaged probabilities, always finite."""
        log_proba = np.concatenate([log_expit(-raw), log_expit(raw)], axis=2)
        return _log_mean_exp(log_proba)


class SoftmaxCrossEntropy:
    r"""Cross-entropy of ``n_classes`` classes with one logit each.

    .. math:: \ell(y, z) = \log \sum_c e^{z_c} - z_y,
        \qquad \partial \ell / \partial z_c = p_c - [c = y]
    """

    def __init__(self, n_classes: int) -> None:
        self.n_outputs = self.n_classes = n_classes

    def buffers(self, k: int, n: int, dtype: DTypeLike) -> tuple[NDArray, ...]:
        """Memory for ``loss_gradient``.

        The flat positions (k, n) of each row's first logit and of its label's logit,
        three arrays (k, n, 1), and ones (o,).
        """
        first = np.arange(0, k * n * self.n_outputs, self.n_outputs).reshape(k, n)
        values = (np.empty((k, n, 1), dtype) for _ in range(3))
        return first, np.empty_like(first), *values, np.ones(self.n_outputs, dtype)

    def logits(self, log_proba: Array) -> Array:
        """Logits (n, o) with these log-probabilities (n, o)."""
        return log_proba

    def loss_gradient(
        self,
        raw: Array,
        y: NDArray[np.intp],
        weight: Array,
        gradient: Array,
        buffers: tuple[NDArray, ...],
    ) -> float:
        """Return the losses' weighted sum and write their gradient into ``gradient``.

        raw and gradient (k, n, o), y (n,), weight (1 or k, n, 1). Logits of moderate
        size need no shift before exp. The logit and probability of the label are read
        by their flat positions, so no one-hot array is needed.
        """
        first, label, label_values, total, share, ones = buffers
        np.add(first, y, out=label)
        exponent = raw
        if not _is_safe(raw):
            raw.max(axis=2, keepdims=True, out=total)
            exponent = np.subtract(raw, total, out=gradient)
        exponent.take(label, out=label_values[:, :, 0], mode="clip")
        np.exp(exponent, out=gradient)
        np.matmul(gradient, ones, out=total[:, :, 0])  # faster than sum(axis=2)
        np.divide(weight, total, out=share)
        np.log(total, out=total)
        total -= label_values
        gradient *= share
        flat = gradient.reshape(-1)
        flat.take(label, out=label_values[:, :, 0], mode="clip")
        label_values -= weight
        flat[label] = label_values[:, :, 0]
        total *= weight
        return float(np.add.reduce(total, None))

    def mean_proba(self, raw: Array) -> Array:
        """Probabilities (n, o), averaged over the members."""
        shift = 0 if _is_safe(raw) else raw.max(axis=2, keepdims=True)
        proba = np.exp(raw - shift)
        ones = np.ones((self.n_classes, 1), raw.dtype)
        proba /= proba @ ones  # faster than sum(axis=2)
        return proba[0] if len(proba) == 1 else proba.mean(axis=0)

    def log_mean_proba(self, raw: Array) -> Array:
        """Logarithm (n, o) of the averaged probabilities, always finite."""
        return _log_mean_exp(log_softmax(raw, axis=2))


Loss = SigmoidCrossEntropy | SoftmaxCrossEntropy


def loss_for(n_classes: int) -> Loss:
    """The loss with one sigmoid output for two classes, otherwise the softmax loss."""
    return SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)


def _log_mean_exp(log_proba: Array) -> Array:
    """Log of the mean over the first axis of exp(log_proba)."""
    return logsumexp(log_proba, axis=0) - math.log(len(log_proba))
