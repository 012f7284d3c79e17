"""Losses from logits, and the probabilities that belong to them.

A raw prediction has shape (k, n, o): k members, n rows, o outputs. Nothing here takes a
logarithm of a probability: all of it is log-sum-exp and log-sigmoid, finite for every
finite logit. Targets have shape (n, o): the label 0 or 1 for one sigmoid output, a
one-hot row for softmax outputs. For both links the gradient of the loss is ``p -
target``.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, logsumexp

Array = NDArray[np.floating]

MOST_NEWTON_STEPS = 20
MOST_ONE_HOT = 256  # classes whose one-hot rows are kept as a table
SAFE_LOGIT = 40.0  # in size at most: exp, sums of exp and their ratios keep all digits


class SigmoidCrossEntropy:
    r"""Cross-entropy of two classes with one logit z and :math:`p = 1 / (1 + e^{-z})`.

    .. math:: \ell(y, z) = -y \log p - (1 - y) \log (1 - p) = -\log \sigma((2y - 1) z),
        \qquad \partial \ell / \partial z = p - y
    """

    n_outputs = 1
    n_classes = 2

    def encode(self, y: NDArray[np.intp], out: Array) -> None:
        """Write class indices (n,) as targets (n, 1)."""
        out[:, 0] = y

    def logits(self, log_proba: Array) -> Array:
        """Logits (n, 1) that mean these log-probabilities (n, 2)."""
        return log_proba[:, 1:] - log_proba[:, :1]

    def loss_gradient(
        self,
        raw: Array,
        targets: Array,
        weight: Array,
        gradient: Array,
        scratch: Array,
        row: Array,
    ) -> float:
        """Weighted sum of the losses; their gradient by ``raw`` into ``gradient``.

        raw and gradient (k, n, 1), targets (n, 1), weight (1 or k, n, 1); scratch and
        row, of the shape of raw, are not needed.
        """
        np.multiply(targets, 2, out=gradient)
        gradient -= 1
        gradient *= raw
        log_expit(gradient, out=gradient)
        gradient *= weight
        loss = -float(gradient.sum())
        expit(raw, out=gradient)
        gradient -= targets
        gradient *= weight
        return loss

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


class SoftmaxCrossEntropy:
    r"""Cross-entropy of ``n_classes`` classes with a logit each.

    .. math:: \ell(y, z) = \log \sum_c e^{z_c} - z_y,
        \qquad \partial \ell / \partial z_c = p_c - [c = y]
    """

    def __init__(self, n_classes: int) -> None:
        self.n_outputs = self.n_classes = n_classes
        self._one_hot: dict[np.dtype, Array] = {}  # by dtype, for few classes
        self._ones: dict[np.dtype, Array] = {}

    @cached_property
    def _classes(self) -> NDArray[np.intp]:
        return np.arange(self.n_classes)

    def encode(self, y: NDArray[np.intp], out: Array) -> None:
        """Write class indices (n,) as one-hot targets (n, o)."""
        if self.n_classes > MOST_ONE_HOT:
            np.equal(y[:, np.newaxis], self._classes, out=out)
            return
        if out.dtype not in self._one_hot:
            self._one_hot[out.dtype] = np.eye(self.n_classes, dtype=out.dtype)
        self._one_hot[out.dtype].take(y, axis=0, out=out, mode="clip")

    def logits(self, log_proba: Array) -> Array:
        """Logits (n, o) that mean these log-probabilities (n, o)."""
        return log_proba

    def loss_gradient(
        self,
        raw: Array,
        targets: Array,
        weight: Array,
        gradient: Array,
        scratch: Array,
        row: Array,
    ) -> float:
        """Weighted sum of the losses; their gradient by ``raw`` into ``gradient``.

        raw, gradient and scratch (k, n, o), targets (n, o), weight (1 or k, n, 1), row
        (k, n, 1). Logits of ordinary size need no shift before exp, and the loss is
        read off the probabilities; others go row by row, and it comes from the logits.
        """
        loss, exponent = 0.0, raw
        lowest = np.minimum.reduce(raw, axis=None)
        ordinary = (
            lowest > -SAFE_LOGIT and np.maximum.reduce(raw, axis=None) < SAFE_LOGIT
        )
        if not ordinary:
            np.maximum.reduce(raw, axis=2, keepdims=True, out=row)
            exponent = np.subtract(raw, row, out=gradient)
            np.multiply(gradient, targets, out=scratch)
            scratch *= weight
            loss -= float(scratch.sum())
        np.exp(exponent, out=gradient)
        ones = self._ones_like(raw)
        np.matmul(gradient, ones, out=row[:, :, 0])  # a sum, faster than by reduce
        gradient /= row
        if ordinary:
            np.multiply(gradient, targets, out=scratch)
            np.matmul(scratch, ones, out=row[:, :, 0])
        gradient -= targets
        gradient *= weight
        np.log(row, out=row)
        if len(weight) != len(row):
            weight = np.broadcast_to(weight, row.shape)
        log_sum = float(np.vdot(row, weight))
        return loss - log_sum if ordinary else loss + log_sum

    def _ones_like(self, raw: Array) -> Array:
        """Ones (o,) in the dtype of ``raw``, made once."""
        if raw.dtype not in self._ones:
            self._ones[raw.dtype] = np.ones(self.n_outputs, raw.dtype)
        return self._ones[raw.dtype]

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
        share = np.exp(scale * raw)
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
    if not np.isfinite(raw).all():
        return start, np.inf
    if raw.shape[1] > 1:
        raw = raw - raw.max(axis=1, keepdims=True)
    weight = weight / weight.max()
    total = float(weight.sum())
    n_effective = total**2 / float(weight @ weight)
    of_label, of_any = (
        float(weight @ logit) / total for logit in loss.label_logits(raw, y)
    )
    smoothed = of_label + (of_any - of_label) / (n_effective + 2)
    inverse = 1 / start
    for i in range(MOST_NEWTON_STEPS):
        terms = loss.log_partition(raw, inverse)
        log_sum, mean, variance = (float(weight @ term) / total for term in terms)
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


def _log_mean_exp(log_proba: Array) -> Array:
    """Log of the mean over the first axis of exp(log_proba)."""
    if len(log_proba) == 1:
        return log_proba[0]
    n_members = log_proba.dtype.type(len(log_proba))
    return logsumexp(log_proba, axis=0) - np.log(n_members)
