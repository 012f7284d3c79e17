"""Record the epochs of a training run and decide when it ends."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sknet._training.schedules import WarmupCosine

# Patience is LATE_START times as long until an epoch is clearly better than the prior.
CLEARLY_BETTER, LATE_START = 0.99, 3

logger = logging.getLogger("sknet")
if logger.level == logging.NOTSET:
    # verbose asks for each line, so the level of the root logger must not hide it
    logger.setLevel(logging.INFO)


def say(line):
    """Write a line to the logger ``sknet``, or to stdout if logging is not set up."""
    if logger.hasHandlers():
        logger.info(line)
    else:
        print(line)


def never():
    """Do not stop training."""
    return False


@dataclass(eq=False)
class Monitor:
    """Record the curves and the best weights, and decide when training stops.

    The monitored loss is the validation loss if ``decides``, else the training loss.
    Only a validation loss can tell which epoch is best. A training loss favours epochs
    before the weights have decayed, so without a validation loss, the last epoch is
    kept.

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
    schedule : WarmupCosine or None
        At a plateau, its method ``lower`` returns the number of remaining epochs.
    verbose : int
        If k > 0, write a line every k epochs.
    name : str
        Text at the start of these lines.
    on_begin, on_end : callable
        Called when an epoch begins and when it is recorded. Training stops if
        ``on_end`` returns True.
    """

    params: np.ndarray
    validate: Callable[[], float] | None = None
    decides: bool = False
    patience: float = math.inf
    tol: float = 0.0
    prior_loss: float = math.inf
    schedule: WarmupCosine | None = None
    verbose: int = 0
    name: str = ""
    on_begin: Callable[[], object] = never
    on_end: Callable[[], bool] = never
    loss_curve: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0
    stop_reason: str = "max_iter"
    n_recoveries: int = 0  # how often the loss was not finite
    mark: float = math.inf  # the loss that an improvement is measured from
    epochs_waited: int = 0
    last_epoch: float = math.inf  # known after a plateau

    def __post_init__(self):
        self.best_params = self.params.copy()

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
        stop = self._is_out_of_patience(watched)
        if self.on_end() and not stop:
            self.stop_reason = "callback"
            return True
        return stop

    def _is_out_of_patience(self, watched):
        n_epochs = len(self.loss_curve)
        self.epochs_waited += 1
        if watched < self.mark - self.tol:
            self.epochs_waited = 0
        self.mark = min(self.mark, watched)
        if self.last_epoch == math.inf:
            begun = self.mark < CLEARLY_BETTER * self.prior_loss
            if self.epochs_waited < self.patience * (1 if begun else LATE_START):
                return False
            more = 0 if self.schedule is None else self.schedule.lower(self.best_epoch)
            self.last_epoch = n_epochs + more
        if n_epochs < self.last_epoch:
            return False
        self.stop_reason = "no_improvement"
        return True

    def say_why_it_stopped(self):
        """Write why training ended and which epoch is kept."""
        if self.verbose:
            say(
                f"{self.name}Stopped after {len(self.loss_curve)} epochs "
                f"({self.stop_reason}). Best epoch: {self.best_epoch}."
            )
