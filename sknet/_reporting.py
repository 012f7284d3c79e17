"""What a fit says: progress if ``verbose`` asks for it, and one warning if in trouble.

Progress goes through the logger ``sknet`` or, where logging is not set up, to stdout.
"""

import logging
import warnings

import numpy as np
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning

logger = logging.getLogger("sknet")
# Lines are written only if verbose asks for them: the root's level must not hide them.
logger.setLevel(logging.INFO)

NO_BETTER = 1e-4  # a smaller share of the prior's loss is chance
SMALLEST_PRIOR_LOSS = 1e-6  # under it there is one class, and nothing to learn

REASONS = {
    "max_iter": "all max_iter epochs are done",
    "no_improvement": "n_iter_no_change epochs brought no improvement by tol",
    "converged": "the gradient or the improvement is within the tolerance",
    "line_search": "L-BFGS's line search found no lower point",
    "diverged": "the loss stayed non-finite at ever lower learning rates",
    "callback": "a callback asked for it",
    "interrupted": "interrupted by the user",
}


def say(line):
    """Write one line where the user looks for it."""
    if logger.hasHandlers():
        logger.info(line)
    else:
        print(line)


def reporter(verbose):
    """A function of epoch and losses that writes a line every ``verbose`` epochs."""
    if not verbose:
        return None

    def _report(epoch, train_loss, validation_loss):
        if epoch % int(verbose) == 0:
            line = f"Epoch {epoch}, training loss = {train_loss:.6f}"
            if validation_loss is not None:
                line += f", validation loss = {validation_loss:.6f}"
            say(line)

    return _report


def stopped(verbose, history):
    """Write why training ended and which epoch is kept."""
    if verbose:
        say(
            f"Stopped after {len(history.loss_curve)} epochs: "
            f"{REASONS[history.stop_reason]}. Best epoch: {history.best_epoch}."
        )


def warn_if_in_trouble(settings, outcome, data, held_out, n_classes):
    """One ConvergenceWarning if training diverged, or learnt less than nothing."""
    history = outcome.history
    if history.stop_reason == "diverged" or outcome.n_recoveries:
        warn_of_divergence(settings, outcome, stacklevel=7)
        return
    if history.stop_reason == "callback":
        return  # who stops early knows what has been learnt
    of_prior = prior_loss(settings, data, held_out, n_classes)
    no_better = history.best_loss >= (1 - NO_BETTER) * of_prior
    if of_prior > SMALLEST_PRIOR_LOSS and no_better:
        warnings.warn(
            f"The best loss, {history.best_loss:.4g}, is no better than predicting the "
            f"class frequencies. Change learning_rate_init="
            f"{settings.learning_rate_init:g}, alpha={settings.alpha:g} or "
            f"max_iter={settings.max_iter}; or X says nothing about y.",
            ConvergenceWarning,
            stacklevel=6,
        )


def warn_of_divergence(settings, outcome, stacklevel=4):
    """Tell how often training had to be taken back, and what to change."""
    warnings.warn(
        f"The loss was not finite {outcome.n_recoveries} times; each time the last "
        "good weights were restored and the learning rate halved. Lower "
        f"learning_rate_init={settings.learning_rate_init:g}, or use standardize=True.",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )


def warn_no_folds(settings, validation, n_members):
    """Tell why there are no out-of-fold probabilities."""
    if validation is not None:
        reason = "with X_val all members train on all rows"
    elif not settings.early_stopping:
        reason = "early_stopping=False leaves no row out"
    elif n_members == 1:
        reason = "n_estimators=1 has none; use 2 or more"
    else:
        reason = (
            f"there are too few distinct rows for n_estimators={n_members}, or rows "
            "were added since the fit that warm_start continues"
        )
    warnings.warn(
        f"store_oof_proba=True needs folds, but {reason}. oof_proba_ is None.",
        UserWarning,
        stacklevel=6,
    )


def prior_loss(settings, data, held_out, n_classes):
    """Log-loss of predicting the training rows' class frequencies, on watched rows."""
    frequency = np.bincount(data.y, data.weight[0], minlength=n_classes)
    frequency /= frequency.sum()
    watched = held_out if settings.early_stopping and held_out is not None else data
    labels = np.bincount(watched.y, watched.weight[0], minlength=n_classes)
    return float(-xlogy(labels / labels.sum(), frequency).sum())
