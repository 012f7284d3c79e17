"""Out-of-fold predictions, the logits of each row from the member not trained on it.

Rows are dealt into as many folds as there are members, and member j gives fold j the
weight zero. After each epoch, every row is predicted by the member that leaves it out,
without dropout. This gives a validation loss without loss of training data, and later
the temperature.
"""

import numpy as np
from scipy.optimize import bisect

from sknet._data.folds import EVERY_FOLD

MOST_NEWTON_STEPS = 20
MOST_PSEUDO_COUNTS = 5  # for the temperature of grouped rows
N_EM_STEPS = 100
PSEUDO_COUNT = 1.0  # rows for each variant of a blend
SMALLEST_WEIGHT = 0.15  # of a variant that is kept
MOST_LOGITS = 1 << 18  # of the rows used to estimate how much the members differ
LOWEST_FACTOR = 0.5  # of the temperature of the mean, over that of the members
SMALLEST_LOSS = 1e-9  # of sharpness: less is rounding


def raw_blocks(network, inputs, X, rows, member=None):
    """Pairs of a slice of rows and their logits (k, m, o), or (1, m, o) for one member.

    No copy of X is made.
    """
    n = len(rows)
    shape = network.shape if member is None else network.shape._replace(n_members=1)
    step = shape.block_rows(inputs.stays_sparse(X))
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        block = inputs.take(X, rows[part])
        yield part, network.raw_prediction(block, member)


def member_weights(weight, fold, n_members):
    """Weights (k, n) with mean 1 over the rows; zero in each member's own fold.

    For a row that is in every fold, each member leaves out an equal share of its
    weight. A member that would have no rows trains on all rows.
    """
    weights = np.where(fold == np.arange(n_members)[:, np.newaxis], 0.0, weight)
    weights[:, fold == EVERY_FOLD] *= 1 - 1 / n_members
    weights[~weights.any(axis=1)] = weight
    return weights / weights.mean(axis=1, keepdims=True)


def validation_loss(network, inputs, data):
    """Weighted mean log-loss of the members' averaged probabilities on some rows."""
    X, rows, y, (weight,), _ = data
    total = 0.0
    for part, raw in raw_blocks(network, inputs, X, rows):
        log_proba = network.loss.log_mean_proba(raw)
        label_log_proba = np.take_along_axis(log_proba, y[part, np.newaxis], axis=1)
        total -= float(weight[part] @ label_log_proba[:, 0])
    return total / float(weight.sum())


class OutOfFoldLoss:
    """Weighted mean out-of-fold log-loss, at the best temperature.

    An epoch is judged by its loss after calibration. Overconfidence, which the
    temperature corrects, must not stop training while accuracy still improves (Berta,
    Holzmueller, Jordan and Bach 2025).

    Parameters
    ----------
    network : TwoLayerNetwork
    inputs : Inputs
    data : Dataset
        The dataset with the rows' own weights (1, n).
    fold : ndarray of int of shape (n,)
        For each row, the member that does not train on it and therefore predicts it. A
        row in EVERY_FOLD is predicted by every member, and a row in NO_FOLD by none.
    rows_per_group : float
        Rows that carry as much information as one independent row.
    ready : ndarray of shape (n, n_inputs + 1) or None
        The network inputs of the rows, if they have been computed.
    """

    def __init__(self, network, inputs, data, fold, rows_per_group, ready=None):
        self.network = network
        self.inputs = inputs
        k = network.shape.n_members
        shared = np.flatnonzero(fold == EVERY_FOLD)
        judged = np.concatenate([np.flatnonzero(fold >= 0), np.tile(shared, k)])
        self.data = data.take(judged)
        self.positions, self.ready = judged, ready
        self.rows_per_group = rows_per_group
        members = np.arange(k).repeat(len(shared))
        self.member = np.concatenate([fold[fold >= 0], members])
        self.data.weight[:, len(judged) - k * len(shared) :] /= k
        self.temperature = 1.0

    def __call__(self):
        """The loss of the network in its current state."""
        _, _, y, (weight,), _ = self.data
        self._raw = self.raw_prediction()
        self.temperature, loss = fit_temperature(
            self.network.loss,
            self._raw,
            y,
            weight,
            start=self.temperature,
            rows_per_group=self.rows_per_group,
        )
        return loss

    def member_temperatures(self):
        """Temperature (k,) of each member alone, fitted without its own fold."""
        raw, (_, _, y, (weight,), _) = self.raw_prediction(), self.data
        temperatures = np.ones(self.network.shape.n_members)
        for j in range(len(temperatures)):
            others = self.member != j
            if others.any():
                temperatures[j], _ = fit_temperature(
                    self.network.loss,
                    raw[others],
                    y[others],
                    weight[others],
                    rows_per_group=self.rows_per_group,
                )
        return temperatures

    def label_proba(self):
        """Probability (n_judged,) of each row's own label, once the loss is known."""
        raw = self._raw / self.temperature
        log_proba = self.network.loss.log_mean_proba(raw[np.newaxis])
        return np.exp(log_proba[np.arange(len(raw)), self.data.y], dtype=np.float64)

    def raw_prediction(self):
        """Logits (n_judged, o) of each row from the member that leaves it out."""
        X, rows, *_ = self.data
        network = self.network
        raw = np.empty((len(rows), network.shape.n_outputs), network.params.dtype)
        for j in range(network.shape.n_members):
            own = np.flatnonzero(self.member == j)
            if self.ready is not None:
                block = self.ready[self.positions[own], : network.shape.n_inputs]
                raw[own] = network.raw_prediction(block, j)[0]
                continue
            for part, block in raw_blocks(network, self.inputs, X, rows[own], j):
                raw[own[part]] = block[0]
        return raw


def fit_temperature(loss, raw, y, weight, *, start=1.0, rows_per_group=1.0):
    r"""Temperature T that minimizes the weighted mean log-loss of ``raw / T``.

    Temperature scaling (Guo et al. 2017) has one parameter, and the loss is convex in
    :math:`1 / T`, so a few steps of Newton's method suffice. The labels are smoothed
    with the weight 1 / (n + 2), as in Laplace's rule of succession. Otherwise, T would
    go to 0 if all of a few rows are classified correctly. n is the effective number of
    independent rows. With m rows per group, and m cut at 5, the weight is m / (n + 2m),
    because the same few groups also chose the epoch. T is limited to the range from
    1/10 to 20.

    Parameters
    ----------
    loss : SigmoidCrossEntropy or SoftmaxCrossEntropy
    raw : ndarray of shape (n, o)
    y : ndarray of int of shape (n,)
    weight : ndarray of shape (n,)
    start : float
        The initial temperature, such as that of the previous epoch.
    rows_per_group : float
        Rows that carry as much information as one independent row.

    Returns
    -------
    temperature, loss : float
        The loss is computed with the unsmoothed labels. The results are ``start`` and
        infinity if a logit is not finite, and 1 and 0 for a single class.
    """
    if loss.n_classes == 1:
        return 1.0, 0.0
    if not (np.isfinite(raw.min()) and np.isfinite(raw.max())):
        return start, np.inf
    weight = weight / weight.sum()
    if loss.n_classes == 2:  # the softmax of 0 and z is the sigmoid of z
        raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
    logits = raw - raw.max(axis=1, keepdims=True)
    label = float(weight @ np.take_along_axis(logits, y[:, np.newaxis], axis=1)[:, 0])
    n_effective = 1 / float(weight @ weight) / rows_per_group
    pseudo_count = min(rows_per_group, MOST_PSEUDO_COUNTS)
    smoothing = pseudo_count / (n_effective + 2 * pseudo_count)
    smoothed = label + smoothing * (float(weight @ logits.mean(axis=1)) - label)
    inverse = 1 / start
    for _ in range(MOST_NEWTON_STEPS):
        share = np.exp(inverse * logits)
        total = share.sum(axis=1)
        share *= logits
        mean = share.sum(axis=1) / total
        square = np.einsum("no,no->n", share, logits) / total
        slope = float(weight @ mean) - smoothed
        curvature = float(weight @ np.maximum(square - mean**2, 0))
        # at most a factor of three at a time: Newton's method overshoots far away
        target = inverse - slope / max(curvature, 1e-300)
        target = min(max(target, inverse / 3, 1 / 20), inverse * 3, 10.0)
        step = target - inverse
        if abs(step) < 1e-2 * inverse:
            break
        inverse = target
    # the last step squares an error of 1 in 100; the loss follows by its derivatives
    log_sum = float(weight @ np.log(total)) + float(weight @ mean) * step
    log_sum += 0.5 * curvature * step**2
    return 1 / target, log_sum - target * label


def factor_of_mean(loss, raws, weights, row_weight):
    r"""The factor by which the temperatures are multiplied for the mean of all members.

    The mean of the members' probabilities is less confident than each of them, yet more
    accurate. For the quadratic score, both effects can be computed without labels. The
    mean's score is the members' minus their variance V (Krogh and Vedelsby 1995), and
    that of a calibrated prediction is 1 - S with the sharpness S, the expected sum of
    squared probabilities. Averaging reduces the sharpness by V, so the mean should have

    .. math:: S(\text{mean}) = S(\text{members}) + V, \qquad
        V = S(\text{members}) - S(\text{mean at the members' temperature})

    Each member was trained on almost all of these rows. The members differ less on them
    than on new rows, so the correction tends to be too small.

    Parameters
    ----------
    loss : SigmoidCrossEntropy or SoftmaxCrossEntropy
    raws : list of ndarray of shape (k, n, o)
        Logits of each variant's members, divided by their temperature.
    weights : ndarray of shape (n_variants,)
    row_weight : ndarray of shape (n,)
    """

    def _sharpness(proba):
        return float(np.average((proba**2).sum(axis=1), weights=row_weight))

    def _sharpness_of_mean(factor):
        means = (loss.mean_proba(raw / factor) for raw in raws)
        return _sharpness(sum(w * p for w, p in zip(weights, means, strict=True)))

    alone = [
        np.mean([_sharpness(loss.mean_proba(member[np.newaxis])) for member in raw])
        for raw in raws
    ]
    of_members = float(np.dot(weights, alone))
    lost = of_members - _sharpness_of_mean(1.0)
    target = of_members + lost
    if lost <= SMALLEST_LOSS or not np.isfinite(target):
        return 1.0
    if _sharpness_of_mean(LOWEST_FACTOR) <= target:
        return LOWEST_FACTOR
    # the sharpness falls with the temperature
    return bisect(lambda x: _sharpness_of_mean(x) - target, LOWEST_FACTOR, 1, xtol=3e-4)


def blend_weights(label_proba, weight):
    r"""Weights (n_variants,) of a mixture with the smallest out-of-fold log-loss.

    A few steps of expectation maximization for :math:`\sum_i s_i \log \sum_v w_v
    p_{vi}`, with a pseudo-count of one row for each variant.

    Parameters
    ----------
    label_proba : ndarray of shape (n_variants, n)
        Out-of-fold probability of each row's own label.
    weight : ndarray of shape (n,)
        With mean 1 over the rows.
    """
    n_variants = len(label_proba)
    weights = np.full(n_variants, 1 / n_variants)
    prior = np.full(n_variants, PSEUDO_COUNT)
    for _ in range(N_EM_STEPS):
        share = weights[:, np.newaxis] * label_proba
        share /= np.maximum(share.sum(axis=0), 1e-300)
        weights = share @ weight + prior
        weights /= weights.sum()
    weights[weights < SMALLEST_WEIGHT] = 0
    return weights / weights.sum()
