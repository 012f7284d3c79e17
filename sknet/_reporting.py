"""What ``verbose`` says, through the logger ``sknet`` or, without one, to stdout."""

import logging

logger = logging.getLogger("sknet")
# Lines are only written when verbose asks for them: the root's WARNING must not hide
# them.
logger.setLevel(logging.INFO)

REASONS = {
    "max_iter": "all max_iter epochs are done",
    "no_improvement": "n_iter_no_change epochs brought no improvement by tol",
    "converged": "the gradient or the improvement is within the tolerance",
    "line_search": "L-BFGS's line search found no lower point",
    "diverged": "the loss stayed non-finite at ever lower learning rates",
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
