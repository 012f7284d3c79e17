"""The monitor: curves, best weights, patience, and the joint history of members."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sknet._training.monitor import Monitor
from sknet._training.schedules import WarmupCosine


def play(monitor, losses):
    """Record one loss an epoch; params hold the number of the epoch."""
    for epoch, loss in enumerate(losses, start=1):
        monitor.params[:] = epoch
        if monitor.end_epoch(loss):
            break
    return monitor


def test_the_epoch_of_the_best_validation_loss_is_kept():
    validation = iter([3.0, 1.0, 2.0, 1.0, 5.0])
    monitor = Monitor(np.zeros(2), validate=lambda: next(validation), decides=True)
    play(monitor, [9, 8, 7, 6, 5])
    assert monitor.best_epoch == 4  # of two equal ones the later
    assert monitor.best_loss == 1.0
    assert_array_equal(monitor.best_params, 4)
    assert monitor.loss_curve == [9, 8, 7, 6, 5]
    assert monitor.validation_loss_curve == [3.0, 1.0, 2.0, 1.0, 5.0]
    assert monitor.stop_reason == "max_iter"


def test_the_last_epoch_is_kept_if_the_validation_loss_does_not_decide():
    monitor = play(Monitor(np.zeros(2), validate=lambda: 1.0), [2.0, 3.0])
    assert monitor.best_epoch == 2
    assert monitor.best_loss == 3.0
    assert_array_equal(monitor.best_params, 2)
    assert monitor.validation_loss_curve == [1.0, 1.0]


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_counts_epochs_without_an_improvement_by_tol(patience):
    losses = [5.0, 4.0, 3.99, 3.98, 3.5, *[3.45] * 20]
    monitor = play(Monitor(np.zeros(1), patience=patience, tol=0.1), losses)
    # after 4.0 two epochs improve by less than tol: enough for a patience of 1
    assert len(monitor.loss_curve) == {1: 3, 3: 8}[patience]
    assert monitor.stop_reason == "no_improvement"


@pytest.mark.parametrize(
    ("losses", "n_epochs"),
    [
        ([0.69] * 100, 16),  # the first epoch counts as an improvement
        ([0.69] * 10 + [0.60] * 100, 16),
        ([0.60] * 100, 6),
    ],
)
def test_patience_is_three_times_as_long_until_something_is_learnt(losses, n_epochs):
    """While no epoch is 1 % better than predicting the class frequencies."""
    validate = iter(losses).__next__
    monitor = Monitor(
        np.zeros(3), validate=validate, decides=True, patience=5, prior_loss=0.6931
    )
    play(monitor, [1.0] * 100)
    assert len(monitor.loss_curve) == n_epochs
    assert monitor.stop_reason == "no_improvement"


def test_a_schedule_may_go_on_after_a_plateau_while_its_rate_falls():
    schedule = WarmupCosine(0.1, 100)
    schedule(50)
    validation = iter([3.0] * 8 + [2.0] * 100)
    monitor = Monitor(
        np.zeros(1),
        validate=lambda: next(validation),
        decides=True,
        patience=5,
        tol=1e-4,
        schedule=schedule,
    )
    play(monitor, [1.0] * 100)
    # a plateau after epoch 6, and three more epochs for the sixth, a tie, was the best
    assert len(monitor.loss_curve) == 9
    assert monitor.best_epoch == 9  # what comes on the way is still recorded
    assert monitor.end_epoch(1.0)  # the rate does not fall a second time
