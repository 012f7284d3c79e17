"""Training: rows to minibatches, steps to epochs, epochs to the best weights.

Once training has begun, only ``fit_stochastic``, ``fit_lbfgs`` and ``optimizer.step``
write a network's parameters.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize

from sknet._monitor import Monitor
from sknet._network import Inputs, TwoLayerNetwork
from sknet._optimizers import Optimizer
from sknet._schedules import Schedule
from sknet._standardizer import Standardizer

Array = NDArray[np.floating]

READY_BYTES = 1 << 27  # inputs of at most this size are made once a fit, not each step
MOST_KEPT = 4096  # batches whose views are made once a fit, not each pass
PART_ELEMENTS = 1 << 15  # of rows being gathered: their copies stay in the cache
# beyond it a float32 logit may overflow: two such weights, the largest input that is
# not cut (1e13) and a sum over 1e5 products stay below 1e38
LARGEST_WEIGHT = 1e10
MOST_RECOVERIES = 64  # halvings of the learning rate before training gives up


class Dataset(NamedTuple):
    """Rows of X behind an index; X itself is neither copied nor converted."""

    X: NDArray | sp.csr_array
    rows: NDArray[np.intp]  # (n,) rows of X, in the order that training counts them
    y: NDArray[np.intp]  # (n,) class indices
    weight: Array  # (1 or k, n), with mean 1 over the rows


class Batch(NamedTuple):
    """One minibatch, in buffers that the next one overwrites."""

    rows: NDArray[np.intp]  # (m,) positions in the dataset
    X: Inputs  # (m, d + 1) with a last column of ones, or sparse (m, d)
    y: NDArray[np.intp]  # (m,)
    weight: Array  # (1 or k, m, 1), divided by the number of rows it is averaged over


class Minibatches:
    """One pass over a dataset at every iteration, gathered into reused buffers.

    Parameters
    ----------
    data : Dataset
    standardizer : Standardizer
    size : int
        Rows a batch; the last one of a pass may be smaller.
    rng : numpy.random.Generator or None
        Shuffles each pass anew; None keeps the order.
    whole : bool, default=False
        Average the loss over all rows, not over the batch's: for full-batch solvers.
    """

    def __init__(
        self,
        data: Dataset,
        standardizer: Standardizer,
        size: int,
        rng: np.random.Generator | None,
        *,
        whole: bool = False,
    ) -> None:
        n, d = len(data.rows), data.X.shape[1]
        self.data = data
        self.standardizer = standardizer
        self.size = min(size, n)
        self.rng = rng
        self.whole = whole
        self._sparse = sp.issparse(data.X)  # whose question takes as long as an answer
        self._order = np.arange(n)
        self._rows = data.rows.copy()
        self._y = data.y.copy()
        self._weight = data.weight.astype(standardizer.dtype)[:, :, np.newaxis]
        self._source_weight = self._weight.copy()
        self._one_weight = bool((self._weight == self._weight.flat[0]).all())
        if not self._sparse:
            n_inputs = d + standardizer.n_split
            some = min(self.size, max(1, PART_ELEMENTS // n_inputs))
            self._raw = np.empty((some, d), data.X.dtype)
            self._scratch = np.empty((some, n_inputs), standardizer.dtype)
            self._inputs = np.ones((self.size, n_inputs + 1), standardizer.dtype)
        with np.errstate(all="ignore"):  # what is too large is cut
            self._ready = self._all_inputs()
        self._scaled: dict[int, Array] = {}  # weights of a batch, by its size
        self._kept = list(self._cuts()) if len(self) <= MOST_KEPT else None

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        self._shuffle()
        for cut in self._kept or self._cuts():
            yield self._filled(*cut)

    def _cuts(self) -> Iterator[tuple[Batch, NDArray[np.intp], Array]]:
        """Each batch, its rows of X and its weights, as views of what is shuffled."""
        for start in range(0, len(self._rows), self.size):
            part = slice(start, min(start + self.size, len(self._rows)))
            m = part.stop - part.start
            if m not in self._scaled:
                self._scaled[m] = self._weight[:, part] * self._share(m)
            inputs: Any = None if self._sparse else self._inputs[:m]
            batch = Batch(self._order[part], inputs, self._y[part], self._scaled[m])
            yield batch, self._rows[part], self._weight[:, part]

    def _share(self, m: int) -> float:
        """What the weights of a batch of m rows are multiplied by, for a mean."""
        return 1 / (len(self._rows) if self.whole else m)

    def _filled(self, batch: Batch, rows: NDArray[np.intp], weight: Array) -> Batch:
        """The batch with the network inputs and weights of this pass."""
        if not self._one_weight:
            np.multiply(weight, self._share(len(rows)), out=batch.weight)
        if self._sparse:
            if self._ready is None:
                return batch._replace(X=self.standardizer.sparse(self.data.X[rows])[0])
            return batch._replace(X=self._ready[batch.rows])
        if self._ready is None:
            self._write_inputs(rows, batch.X)
        else:
            # the method: for small batches np.take's own Python counts
            self._ready.take(batch.rows, axis=0, out=batch.X, mode="clip")
        return batch

    def _all_inputs(self) -> "Inputs | None":
        """The inputs for all rows, if they are small: else each step makes its own."""
        X: Any = self.data.X
        rows = self.data.rows
        if self._sparse:
            small = X.nnz * (X.data.itemsize + X.indices.itemsize) <= READY_BYTES
            return self.standardizer.sparse(X[rows])[0] if small else None
        shape = len(rows), self._inputs.shape[1]
        if math.prod(shape) * self._inputs.itemsize > READY_BYTES:
            return None
        ready = np.ones(shape, self._inputs.dtype)
        self._write_inputs(rows, ready)
        return ready

    def _shuffle(self) -> None:
        """Put rows, labels and weights in this pass's order: indices only, never X."""
        if self.rng is None:
            return
        self._order[:] = np.arange(len(self._order))
        self.rng.shuffle(self._order)
        data, order = self.data, self._order
        data.y.take(order, out=self._y, mode="clip")
        if self._ready is None:
            data.rows.take(order, out=self._rows, mode="clip")
        if not self._one_weight:
            self._source_weight.take(order, axis=1, out=self._weight, mode="clip")

    def _write_inputs(self, rows: NDArray[np.intp], out: Array) -> None:
        """Write the network inputs for these rows of X, few at a time; not the ones."""
        some = len(self._raw)
        for start in range(0, len(rows), some):
            part = rows[start : start + some]
            raw, scratch = self._raw[: len(part)], self._scratch[: len(part)]
            # mode "raise" would buffer
            np.take(self.data.X, part, axis=0, out=raw, mode="clip")
            self.standardizer.dense(raw, out[start : start + some, :-1], scratch)


class _LastGood:
    """The weights to go back to when a step is not finite, and how slowly to go on."""

    def __init__(self, params: Array) -> None:
        self.params = params
        self.kept = params.copy()
        self.rate_factor = 1.0
        self.n_recoveries = 0

    def keep(self) -> bool:
        """Remember the weights as they are; False if they are not of this world."""
        params = self.params
        if not params.dot(params) < LARGEST_WEIGHT:  # else none is as large as its root
            largest = max(float(params.max()), -float(params.min()))
            if not largest < LARGEST_WEIGHT:  # nor is NaN
                return False
        self.kept[:] = self.params
        return True

    def restore(self, optimizer: Optimizer) -> None:
        """Back to the kept weights, without momentum, at half the rate."""
        self.params[:] = self.kept
        optimizer.reset()
        self.rate_factor *= 0.5
        self.n_recoveries += 1


def fit_stochastic(
    network: TwoLayerNetwork,
    batches: Minibatches,
    optimizer: Optimizer,
    schedule: Schedule,
    monitor: Monitor,
    *,
    max_iter: int,
    first_step: int = 0,
    dropout_rng: np.random.Generator | None = None,
    collect: Callable[[NDArray[np.intp], Array], None] | None = None,
) -> int:
    """At most ``max_iter`` epochs of minibatch steps; the last weights stay in place.

    ``collect(rows, raw)`` is given each batch's positions and logits. A step that is
    not finite takes the weights of the last good epoch back, halves the rate and goes
    on. Returns how often that happened; 64 times ends it as "diverged".
    """
    good = _LastGood(network.params)
    step = first_step
    for _ in range(max_iter):
        monitor.begin_epoch()
        loss = None
        while loss is None:
            if good.n_recoveries >= MOST_RECOVERIES:
                monitor.stop_reason = "diverged"
                return good.n_recoveries
            loss, step = _one_epoch(
                network, batches, optimizer, schedule, good, step, dropout_rng, collect
            )
        if monitor.end_epoch(loss):
            break
    return good.n_recoveries


def _one_epoch(
    network: TwoLayerNetwork,
    batches: Minibatches,
    optimizer: Optimizer,
    schedule: Schedule,
    good: _LastGood,
    step: int,
    rng: np.random.Generator | None,
    collect: Callable[[NDArray[np.intp], Array], None] | None,
) -> tuple[float | None, int]:
    """One pass; its mean loss over rows and members, None if it must be run again."""
    total, n_seen = 0.0, 0
    for rows, X, y, weight in batches:
        loss = network.loss_gradient(X, y, weight, rng)
        if not math.isfinite(loss):
            good.restore(optimizer)
            continue
        if collect is not None:
            collect(rows, network.workspace(len(rows)).raw)
        network.add_penalty_gradient()
        rate = good.rate_factor * schedule(step)
        optimizer.step(network.params, network.grads, rate)
        step += 1
        total += loss * len(y)
        n_seen += len(y)
    if n_seen == 0:
        return None, step
    # losses of single steps can be finite and their sum infinite
    if not (math.isfinite(total) and good.keep()):
        good.restore(optimizer)
        return None, step
    return total / (n_seen * network.shape.n_members), step


def fit_lbfgs(
    network: TwoLayerNetwork,
    batches: Minibatches,
    monitor: Monitor,
    *,
    max_iter: int,
    tol: float,
) -> None:
    """Minimize the objective of a lone member over all rows with SciPy's L-BFGS-B.

    ``batches`` must average over all rows (``whole=True``) and not shuffle. Converged
    means that no entry of the gradient is larger than ``tol``.
    """
    total_grads = np.empty_like(network.params)
    losses = [math.inf, math.inf]  # at the last evaluation, without and with penalty
    # a single block stays in its buffers: standardize once, not at every evaluation
    only = list(batches) if len(batches) == 1 else None

    def _objective(theta: Array) -> tuple[float, Array]:
        monitor.begin_epoch()  # only here does SciPy show that an iteration is to come
        network.params[:] = theta
        loss = 0.0
        total_grads.fill(0)
        for _, X, y, weight in only or batches:
            loss += network.loss_gradient(X, y, weight)
            np.add(total_grads, network.grads, out=total_grads)
        network.grads[:] = total_grads
        network.add_penalty_gradient()
        losses[:] = loss, loss + network.penalty()
        return losses[1], network.grads

    def _loss_of(result: Any) -> float:
        """The objective without its penalty, in which a large one leaves no digits."""
        network.params[:] = result.x
        loss, objective = losses
        return loss if objective == result.fun else result.fun - network.penalty()

    def _end_iteration(intermediate_result: Any) -> None:
        if monitor.end_epoch(float(_loss_of(intermediate_result))):
            raise StopIteration

    options = {"maxiter": max_iter, "maxfun": 1_000 * max_iter, "gtol": tol}
    # relative decrease, as small as the gradient
    options["ftol"] = min(1e-9**0.5, tol) ** 2
    result = minimize(
        _objective,
        network.params.copy(),
        method="L-BFGS-B",
        jac=True,
        callback=_end_iteration,
        options=options,
    )
    network.params[:] = result.x
    if not monitor.loss_curve:  # the start was a minimum already
        monitor.end_epoch(float(_loss_of(result)))
    if result.status == 0:
        monitor.stop_reason = "converged"
    elif result.status == 2:
        monitor.stop_reason = "line_search"
