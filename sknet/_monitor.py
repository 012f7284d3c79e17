"""What the epochs of a training run leave behind: curves, the best weights, an end."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

CLEARLY_BETTER, LATE_START = 0.99, 3  # than the class frequencies; times the patience


class Monitor:
    """What every epoch is told to: curves, weights to keep, patience, why it stopped.

    The watched loss is the validation loss if ``decides``, else the training loss. Only
    a validation loss can tell which epoch is best: a training loss favours the epochs
    before the weights had decayed, so without a validation set the last epoch is kept.

    Parameters
    ----------
    params : ndarray
        The network's parameters; copied when an epoch is the best so far.
    validate : callable or None
        Returns the validation loss of the network as it is.
    decides : bool
        Whether the validation loss chooses the best epoch and ends training.
    patience : float
        Epochs in a row without an improvement by ``tol`` that make a plateau.
    tol : float
    prior_loss : float, default=inf
        Watched loss of predicting the class frequencies. Until an epoch is clearly
        better, nothing has been learnt that could end: patience is three times as long.
    on_best : callable or None
        Called when an epoch is the best so far; twice if an interruption came between.
    on_plateau : callable or None
        Given the best epoch; returns for how many epochs training may go on after all,
        at a lower rate. A finite number of them is not cut short.
    report : callable or None
        Called as ``report(epoch, train_loss, validation_loss)``.

    Attributes
    ----------
    on_begin, on_end : callable or None
        Called when an epoch begins and when all is recorded; True of the latter asks to
        stop.
    """

    def __init__(
        self,
        params: Array,
        *,
        validate: Callable[[], float] | None = None,
        decides: bool = False,
        patience: float = math.inf,
        tol: float = 0.0,
        prior_loss: float = math.inf,
        on_best: Callable[[], None] | None = None,
        on_plateau: Callable[[int], float] | None = None,
        report: Callable[[int, float, float | None], None] | None = None,
    ) -> None:
        self.params = params
        self.validate = validate
        self.decides = decides and validate is not None
        self.patience = patience
        self.tol = tol
        self.prior_loss = prior_loss
        self.on_best = on_best
        self.on_plateau = on_plateau
        self.report = report
        self.on_begin: Callable[[], object] | None = None
        self.on_end: Callable[[], bool] | None = None
        self.loss_curve: list[float] = []
        self.validation_loss_curve: list[float] = []
        self.best_loss = math.inf
        self.best_epoch = 0
        self.best_params = params.copy()
        self.stop_reason = "max_iter"
        self._unrecorded: tuple[float, float | None, float] | None = None
        self._n_recorded = 0
        self._mark = math.inf  # the loss that an improvement is measured from
        self._epochs_waited = 0
        self._last_epoch = math.inf  # known once training is on its way to the end

    @property
    def n_epochs(self) -> int:
        """Epochs finished."""
        return len(self.loss_curve)

    def begin_epoch(self) -> None:
        """An epoch begins; said again while it lasts, it changes nothing."""
        if self.on_begin is not None:
            self.on_begin()

    def end_epoch(self, train_loss: float) -> bool:
        """Record an epoch; True if training should stop."""
        # first what may be interrupted, then the record, which can be completed
        validation_loss = None if self.validate is None else self.validate()
        watched = train_loss
        if self.decides and validation_loss is not None:
            watched = validation_loss
        self._unrecorded = train_loss, validation_loss, watched
        self.complete()
        if self.report is not None:
            self.report(self.n_epochs, train_loss, validation_loss)
        stop = self._out_of_patience(watched)
        if self.on_end is not None and self.on_end() and not stop:
            self.stop_reason = "callback"
            return True
        return stop

    def complete(self) -> None:
        """Write the record of the epoch that has ended, if it is not whole.

        Whatever of it an interruption let happen, it comes out the same: curves,
        weights and what ``on_best`` keeps are those of one epoch.
        """
        if self._unrecorded is None:
            return
        train_loss, validation_loss, watched = self._unrecorded
        n = self._n_recorded
        self.loss_curve[n:] = [train_loss]
        if validation_loss is not None:
            self.validation_loss_curve[n:] = [validation_loss]
        if not self.decides or watched <= self.best_loss:  # a tie: the longer trained
            self.best_loss = watched
            self.best_epoch = n + 1
            self.best_params[:] = self.params
            if self.on_best is not None:
                self.on_best()
        self._n_recorded, self._unrecorded = n + 1, None

    def _out_of_patience(self, watched: float) -> bool:
        self._epochs_waited += 1
        if watched < self._mark - self.tol:
            self._epochs_waited = 0
        self._mark = min(self._mark, watched)
        if self._last_epoch == math.inf:
            begun = self._mark < CLEARLY_BETTER * self.prior_loss
            if self._epochs_waited < self.patience * (1 if begun else LATE_START):
                return False
            self._epochs_waited = 0
            more = 0 if self.on_plateau is None else self.on_plateau(self.best_epoch)
            self._last_epoch = self.n_epochs + more
        if self.n_epochs < self._last_epoch:
            return False
        self.stop_reason = "no_improvement"
        return True

    def history(self) -> "History":
        """What the epochs told, without the network."""
        return History(
            self.loss_curve,
            self.validation_loss_curve,
            self.best_loss,
            self.best_epoch,
            self.stop_reason,
        )


class History(NamedTuple):
    """Curves and the end of one training run."""

    loss_curve: list[float]
    validation_loss_curve: list[float]  # empty without a validation set
    best_loss: float  # the watched loss of the epoch that is kept
    best_epoch: int  # counted from 1
    stop_reason: str


def mean_history(histories: list[History]) -> History:
    """The joint history of members that were trained one after the other.

    A member that ended early goes on with its last value; the longest run decides the
    best epoch's number, and a member that did not converge the reason.
    """
    if len(histories) == 1:
        return histories[0]

    def _mean_curve(curves: list[list[float]]) -> list[float]:
        longest = max(len(curve) for curve in curves)
        padded = [c + c[-1:] * (longest - len(c)) for c in curves if c]
        return np.mean(padded, axis=0).tolist() if padded else []

    reasons = [h.stop_reason for h in histories]
    other = [reason for reason in reasons if reason != "converged"]
    return History(
        _mean_curve([h.loss_curve for h in histories]),
        _mean_curve([h.validation_loss_curve for h in histories]),
        float(np.mean([h.best_loss for h in histories])),
        max(h.best_epoch for h in histories),
        other[-1] if other else "converged",
    )
