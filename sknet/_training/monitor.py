"""Record the epochs of a training run and decide when it ends."""

import logging
import math
from typing import NamedTuple

import numpy as np

# Patience is LATE_START times as long until an epoch is clearly better than the prior.
CLEARLY_BETTER, LATE_START = 0.99, 3

REASONS = {
    "max_iter": "all max_iter epochs are done",
    "no_improvement": "n_iter_no_change epochs brought no improvement by tol",
    "converged": "the gradient or the improvement is within the tolerance",
    "line_search": "L-BFGS's line search found no lower point",
    "diverged": "the loss stayed non-finite at ever lower learning rates",
    "callback": "a callback asked for it",
    "interrupted": "interrupted by the user",
}

logger = logging.getLogger("sknet")
# verbose asks for each line, so the level of the root logger must not hide it
logger.setLevel(logging.INFO)


def say(line):
    """Write a line to the logger ``sknet``, or to stdout if logging is not set up."""
    if logger.hasHandlers():
        logger.info(line)
    else:
        print(line)


class Monitor:
    """Record the curves and the best weights, and decide when training stops.

    The monitored loss is the validation loss if ``decides``, else the training loss.
    Only a validation loss can tell which epoch is best. A training loss favours epochs
    before the weights have decayed, so without one the last epoch is kept.

    Parameters
    ----------
    params : ndarray
        The network's parameters; copied when an epoch is the best so far.
    validate : callable or None
        Returns the validation loss of the network in its current state.
    decides : bool
        Whether the validation loss chooses the best epoch and ends training.
    patience : float
        Number of epochs without an improvement by ``tol`` after which the schedule
        lowers the rate and training ends.
    tol : float
    prior_loss : float
        The monitored loss if the class frequencies are predicted.
    schedule : Schedule or None
        Called at a plateau. It returns for how many more epochs training continues.
    verbose : int
        With k, write a line every k epochs.
    name : str
        Text at the start of these lines.
    is_interrupted : callable or None
        Training stops if it returns True.

    Attributes
    ----------
    on_begin, on_end : callable or None
        Called when an epoch begins and when it is recorded. Training stops if
        ``on_end`` returns True.
    """

    def __init__(
        self,
        params,
        *,
        validate=None,
        decides=False,
        patience=math.inf,
        tol=0.0,
        prior_loss=math.inf,
        schedule=None,
        verbose=0,
        name="",
        is_interrupted=None,
    ):
        self.params = params
        self.validate = validate
        self.decides = decides and validate is not None
        self.patience = patience
        self.tol = tol
        self.prior_loss = prior_loss
        self.schedule = schedule
        self.verbose = verbose
        self.name = f"{name}: " if name else ""
        self.is_interrupted = is_interrupted
        self.on_begin = None
        self.on_end = None
        self.loss_curve = []
        self.validation_loss_curve = []
        self.best_loss = math.inf
        self.best_epoch = 0
        self.best_params = params.copy()
        self.stop_reason = "max_iter"
        self.n_recoveries = 0  # how often the loss was not finite
        self._mark = math.inf  # the loss that an improvement is measured from
        self._epochs_waited = 0
        self._last_epoch = math.inf  # known after a plateau

    def begin_epoch(self):
        """Report that an epoch begins."""
        if self.on_begin is not None:
            self.on_begin()

    def end_epoch(self, train_loss):
        """Record an epoch and return True if training should stop."""
        watched, line = train_loss, f"training loss = {train_loss:.6f}"
        self.loss_curve.append(train_loss)
        if self.validate is not None:
            validation_loss = self.validate()
            self.validation_loss_curve.append(validation_loss)
            line += f", validation loss = {validation_loss:.6f}"
            watched = validation_loss if self.decides else train_loss
        if not self.decides or watched <= self.best_loss:  # a tie: the longer trained
            self.best_loss = watched
            self.best_epoch = len(self.loss_curve)
            self.best_params[:] = self.params
        if self.verbose and len(self.loss_curve) % self.verbose == 0:
            say(f"{self.name}Epoch {len(self.loss_curve)}, {line}")
        if self.is_interrupted is not None and self.is_interrupted():
            self.stop_reason = "interrupted"
            return True
        stop = self._is_out_of_patience(watched)
        if self.on_end is not None and self.on_end() and not stop:
            self.stop_reason = "callback"
            return True
        return stop

    def _is_out_of_patience(self, watched):
        n_epochs = len(self.loss_curve)
        self._epochs_waited += 1
        if watched < self._mark - self.tol:
            self._epochs_waited = 0
        self._mark = min(self._mark, watched)
        if self._last_epoch == math.inf:
            begun = self._mark < CLEARLY_BETTER * self.prior_loss
            if self._epochs_waited < self.patience * (1 if begun else LATE_START):
                return False
            more = 0 if self.schedule is None else self.schedule.lower(self.best_epoch)
            self._last_epoch = n_epochs + more
        if n_epochs < self._last_epoch:
            return False
        self.stop_reason = "no_improvement"
        return True

    def say_why_it_stopped(self):
        """Write why training ended and which epoch is kept."""
        if self.verbose:
            say(
                f"{self.name}Stopped after {len(self.loss_curve)} epochs: "
                f"{REASONS[self.stop_reason]}. Best epoch: {self.best_epoch}."
            )


class History(NamedTuple):
    """The loss curves of a run and the reason why it ended."""

    loss_curve: list[float]
    validation_loss_curve: list[float]  # empty without validation
    best_loss: float  # the watched loss of the epoch that is kept
    best_epoch: int  # counted from 1
    stop_reason: str


def joint_history(monitors):
    """Combine the histories of members trained together or one after the other.

    The curves are means. A member that ended early keeps its last value. The number of
    the best epoch is that of the longest run. The reason is that of a member that did
    not converge, if there is one.
    """

    def _mean_curve(curves):
        longest = max(len(curve) for curve in curves)
        padded = [c + c[-1:] * (longest - len(c)) for c in curves if c]
        return np.mean(padded, axis=0).tolist() if padded else []

    reasons = [monitor.stop_reason for monitor in monitors]
    other = [reason for reason in reasons if reason != "converged"]
    return History(
        _mean_curve([monitor.loss_curve for monitor in monitors]),
        _mean_curve([monitor.validation_loss_curve for monitor in monitors]),
        float(np.mean([monitor.best_loss for monitor in monitors])),
        max(monitor.best_epoch for monitor in monitors),
        other[-1] if other else "converged",
    )
