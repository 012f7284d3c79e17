"""Losses from logits, and the probabilities that belong to them.

A raw prediction has shape (k, n, o): k members, n rows, o outputs. Nothing here takes a
logarithm of a probability: all of it is log-sum-exp and log-sigmoid, finite for every
finite logit. Labels are class indices (n,). For both links the gradient of the loss is
``p - target``, where the target is the label 0 or 1 for a sigmoid output and a one-hot
row, which is never made, for softmax outputs.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.linalg.blas import idamax, isamax
from scipy.special import expit, log_expit, log_softmax, logsumexp

Array = NDArray[np.floating]

MOST_NEWTON_STEPS = 20
BLOCK_ELEMENTS = 1 << 17  # of the logits that a temperature is fitted to at a time
# in size at most, exp, sums of exp and their ratios keep all digits; and exp alone
SAFE_LOGIT, SAFE_LONE_LOGIT = 40.0, 80.0
LARGEST = {np.dtype(np.float32): isamax, np.dtype(np.float64): idamax}  # its position


def _is_ordinary(raw: Array, limit: float) -> bool:
    """Whether exp needs no care: no logit is beyond the limit.

    A NaN may pass unseen. Then the loss is NaN in any case.
    """
    flat = raw.reshape(-1)
    return bool(abs(flat[LARGEST[flat.dtype](flat)]) < limit)


class SigmoidBuffers(NamedTuple):
    """Memory for the losses of n rows."""

    target: Array  # (n, 1)
    total: Array  # (k, n, 1)
    scratch: Array  # (k, n, 1)


class SigmoidCrossEntropy:
    r"""Cross-entropy of two classes with one logit z and :math:`p = 1 / (1 + e^{-z})`.

    .. math:: \ell(y, z) = -y \log p - (1 - y) \log (1 - p) = -\log \sigma((2y - 1) z),
        \qquad \partial \ell / \partial z = p - y
    """

    n_outputs = 1
    n_classes = 2

    def buffers(self, k: int, n: int, dtype: DTypeLike) -> SigmoidBuffers:
        """Memory for ``loss_gradient``, to be used again and again."""
        shape = (k, n, 1)
        return SigmoidBuffers(
            np.empty((n, 1), dtype), np.empty(shape, dtype), np.empty(shape, dtype)
        )

    def logits(self, log_proba: Array) -> Array:
        """Logits (n, 1) that mean these log-probabilities (n, 2)."""
        return log_proba[:, 1:] - log_proba[:, :1]

    def loss_gradient(
        self,
        raw: Array,
        y: NDArray[np.intp],
        weight: Array,
        gradient: Array,
        buffers: SigmoidBuffers,
    ) -> float:
        """Weighted sum of the losses; their gradient by ``raw`` into ``gradient``.

        raw and gradient (k, n, 1), y (n,), weight (1 or k, n, 1).
        """
        target, total, scratch = buffers
        target[:, 0] = y
        if _is_ordinary(raw, SAFE_LONE_LOGIT):
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
        return _weighted_sum(total, weight)

    def mean_proba(self, raw: Array) -> Array:
        """Probabilities (n, 2), averaged over the members."""
        proba = np.empty((raw.shape[1], 2), dtype=raw.dtype)
        expit(-raw[:, :, 0]).mean(axis=0, out=proba[:, 0])
        expit(raw[:, :, 0]).mean(axis=0, out=proba[:, 1])
        return proba

    def log_mean_proba(self, raw: Array) -> Array:
        """Logarithm (n, 2) of the members' averaged probabilities, always finite."""
        log_proba = np.concatenate([log_expit(-raw), log_expit(raw)], axis=2)
        return _log_mean_exp(log_proba)

    def decision(self, raw: Array) -> Array:
        """Logit (n,) of the second class's averaged probability."""
        if len(raw) == 1:
            return raw[0, :, 0].copy()
        log_proba = self.log_mean_proba(raw)
        return log_proba[:, 1] - log_proba[:, 0]

    def label_logits(self, raw: Array, y: NDArray[np.intp]) -> tuple[Array, Array]:
        """Of logits (n, 1): that of each row's label, and the classes' mean (n,)."""
        return np.where(y == 1, raw[:, 0], 0), 0.5 * raw[:, 0]

    def log_partition(self, raw: Array, scale: float) -> tuple[Array, Array, Array]:
        """``log(1 + exp(scale * raw))`` (n,) and two derivatives by the scale."""
        z = raw[:, 0]
        proba = expit(scale * z)
        return -log_expit(-scale * z), proba * z, proba * (1 - proba) * z * z


class SoftmaxBuffers(NamedTuple):
    """Memory for the losses of n rows, and views of it."""

    first: NDArray[np.intp]  # (k, n) positions of each row's first logit in all of them
    label_flat: NDArray[np.intp]  # (k * n,) those of its label's
    label: NDArray[np.intp]  # (k, n) the same
    of_label_flat: Array  # (k * n,) what is there
    of_label: Array  # (k, n, 1) the same
    total: Array  # (k, n, 1)
    total_flat: Array  # (k, n) the same
    share: Array  # (k, n, 1)
    ones: Array  # (o,)


class SoftmaxCrossEntropy:
    r"""Cross-entropy of ``n_classes`` classes with a logit each.

    .. math:: \ell(y, z) = \log \sum_c e^{z_c} - z_y,
        \qquad \partial \ell / \partial z_c = p_c - [c = y]
    """

    def __init__(self, n_classes: int) -> None:
        self.n_outputs = self.n_classes = n_classes

    def buffers(self, k: int, n: int, dtype: DTypeLike) -> SoftmaxBuffers:
        """Memory for ``loss_gradient``, to be used again and again."""
        of_label, total = np.empty(k * n, dtype), np.empty((k, n, 1), dtype)
        label = np.empty(k * n, np.intp)
        return SoftmaxBuffers(
            np.arange(0, k * n * self.n_outputs, self.n_outputs).reshape(k, n),
            label,
            label.reshape(k, n),
            of_label,
            of_label.reshape(k, n, 1),
            total,
            total[:, :, 0],
            np.empty((k, n, 1), dtype),
            np.ones(self.n_outputs, dtype),
        )

    def logits(self, log_proba: Array) -> Array:
        """Logits (n, o) that mean these log-probabilities (n, o)."""
        return log_proba

    def loss_gradient(
        self,
        raw: Array,
        y: NDArray[np.intp],
        weight: Array,
        gradient: Array,
        buffers: SoftmaxBuffers,
    ) -> float:
        """Weighted sum of the losses; their gradient by ``raw`` into ``gradient``.

        raw and gradient (k, n, o), y (n,), weight (1 or k, n, 1). Logits of ordinary
        size need no shift before exp. What concerns the label alone is picked out.
        """
        b, exponent = buffers, raw
        np.add(b.first, y, out=b.label)
        if not _is_ordinary(raw, SAFE_LOGIT):
            np.maximum.reduce(raw, axis=2, keepdims=True, out=b.total)
            exponent = np.subtract(raw, b.total, out=gradient)
        exponent.take(b.label_flat, out=b.of_label_flat, mode="clip")
        np.exp(exponent, out=gradient)
        np.matmul(gradient, b.ones, out=b.total_flat)  # a sum, faster than by reduce
        np.divide(weight, b.total, out=b.share)
        np.log(b.total, out=b.total)
        np.subtract(b.total, b.of_label, out=b.total)
        gradient *= b.share
        flat = gradient.reshape(-1)
        flat.take(b.label_flat, out=b.of_label_flat, mode="clip")
        np.subtract(b.of_label, weight, out=b.of_label)
        flat[b.label_flat] = b.of_label_flat
        return _weighted_sum(b.total, weight)

    def mean_proba(self, raw: Array) -> Array:
        """Probabilities (n, o), averaged over the members."""
        proba = raw - np.maximum.reduce(raw, axis=2, keepdims=True)
        np.exp(proba, out=proba)
        proba /= np.add.reduce(proba, axis=2, keepdims=True)
        return proba[0] if len(proba) == 1 else proba.mean(axis=0)

    def log_mean_proba(self, raw: Array) -> Array:
        """Logarithm (n, o) of the members' averaged probabilities, always finite."""
        return _log_mean_exp(log_softmax(raw, axis=2))

    def decision(self, raw: Array) -> Array:
        """Logarithm (n, o) of each class's averaged probability."""
        return self.log_mean_proba(raw)

    def label_logits(self, raw: Array, y: NDArray[np.intp]) -> tuple[Array, Array]:
        """Of logits (n, o): that of each row's label, and the classes' mean (n,)."""
        of_label = np.take_along_axis(raw, y[:, np.newaxis], axis=1)[:, 0]
        return of_label, raw.mean(axis=1)

    def log_partition(self, raw: Array, scale: float) -> tuple[Array, Array, Array]:
        """``log(sum(exp(scale * raw)))`` (n,) and two derivatives by the scale.

        No logit (n, o) may be above zero by much.
        """
        share = scale * raw
        np.exp(share, out=share)
        total = share.sum(axis=1)
        share *= raw
        mean = share.sum(axis=1) / total
        square = np.einsum("no,no->n", share, raw) / total
        return np.log(total), mean, np.maximum(square - mean**2, 0)


Loss = SigmoidCrossEntropy | SoftmaxCrossEntropy


def fit_temperature(
    loss: Loss, raw: Array, y: NDArray[np.intp], weight: Array, start: float = 1.0
) -> tuple[float, float]:
    r"""Temperature T that minimizes the weighted mean log-loss of ``raw / T``.

    Temperature scaling (Guo et al. 2017) has one parameter, and the loss is convex in
    :math:`1 / T`: a few steps of Newton's method find it. The labels are smoothed by
    one row in n + 2, Laplace's rule: without it T would go to 0 where all of a few rows
    are classified rightly. T is kept from 1/10 to 20.

    Parameters
    ----------
    loss : SigmoidCrossEntropy or SoftmaxCrossEntropy
    raw : ndarray of shape (n, o)
    y : ndarray of int of shape (n,)
    weight : ndarray of shape (n,)
    start : float
        A temperature to start from, such as that of the epoch before.

    Returns
    -------
    temperature, loss : float
        The loss is that of the labels as they are. ``start`` and infinity if a logit is
        not finite; 1 and 0 if there is only one class.
    """
    if loss.n_classes == 1:
        return 1.0, 0.0
    if not (np.isfinite(raw.min()) and np.isfinite(raw.max())):  # no array of bools
        return start, np.inf
    weight = weight / weight.max()
    total = float(weight.sum())
    n_effective = total**2 / float(weight @ weight)
    of_label, of_any = _weighted_means(
        weight, ((part, loss.label_logits(z, y[part])) for part, z in _blocks(raw))
    )
    smoothed = of_label + (of_any - of_label) / (n_effective + 2)
    inverse = 1 / start
    for i in range(MOST_NEWTON_STEPS):
        terms = ((part, loss.log_partition(z, inverse)) for part, z in _blocks(raw))
        log_sum, mean, variance = _weighted_means(weight, terms)
        # a step of Newton's method, at most a factor of three: far out it overshoots
        target = inverse - (mean - smoothed) / max(variance, 1e-300)
        target = min(max(target, inverse / 3, 1 / 20), inverse * 3, 10.0)
        step = target - inverse
        if abs(step) < 1e-2 * inverse or i == MOST_NEWTON_STEPS - 1:
            break
        inverse = target
    # the last step squares an error of 1 in 100; the loss follows by its derivatives
    log_sum += mean * step + 0.5 * variance * step**2
    return 1 / target, log_sum - target * of_label


def _blocks(raw: Array) -> Iterator[tuple[slice, Array]]:
    """Some rows and their logits, the largest of several being zero."""
    n, o = raw.shape
    step = max(1, BLOCK_ELEMENTS // o)
    for start in range(0, n, step):
        part = slice(start, start + step)
        logits = raw[part]
        if o > 1:
            logits = logits - logits.max(axis=1, keepdims=True)
        yield part, logits


def _weighted_means(
    weight: Array, terms: Iterable[tuple[slice, tuple[Array, ...]]]
) -> list[float]:
    """Means over all rows of several terms, given block by block."""
    sums = [[float(weight[part] @ term) for term in block] for part, block in terms]
    total = float(weight.sum())
    return [sum(column) / total for column in zip(*sums, strict=True)]


def _weighted_sum(of_rows: Array, weight: Array) -> float:
    """Sum of (k, n, 1) times the weights (1 or k, n, 1)."""
    if len(weight) == len(of_rows):
        return float(np.vdot(of_rows, weight))
    return float(np.dot(of_rows[:, :, 0], weight[0, :, 0]).sum())


def _log_mean_exp(log_proba: Array) -> Array:
    """Log of the mean over the first axis of exp(log_proba)."""
    if len(log_proba) == 1:
        return log_proba[0]
    n_members = log_proba.dtype.type(len(log_proba))
    return logsumexp(log_proba, axis=0) - np.log(n_members)
