"""The schedule against its formula."""

import math

import pytest

from sknet._training.schedules import WarmupCosine


@pytest.mark.parametrize("n_steps", [1, 2, 9, 10, 1000])
def test_cosine_rises_for_a_tenth_then_falls_towards_zero(n_steps):
    schedule = WarmupCosine(0.1, n_steps)
    rates = [schedule(step) for step in range(n_steps)]
    n_warmup = math.ceil(0.1 * n_steps)
    n_falling = n_steps - n_warmup + 1
    rising = [0.1 * (i + 1) / n_warmup for i in range(n_warmup)]
    falling = [
        0.05 * (1 + math.cos(math.pi * i / n_falling)) for i in range(1, n_falling)
    ]
    assert rates == pytest.approx(rising + falling)
    assert min(rates) > 0
    assert schedule(10 * n_steps) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("best_epoch", [0, 1, 7, 20])
@pytest.mark.parametrize("n_done", [2, 7, 30, 45, 59])
def test_a_plateau_lets_the_rate_fall_from_its_current_value(best_epoch, n_done):
    """By half a cosine, in half the epochs to the best one, or in those left.

    Also from the warm-up, which has six epochs.
    """
    per_epoch, n_epochs = 5, 60
    schedule = WarmupCosine(0.1, n_epochs, per_epoch)
    before = [schedule(step) for step in range(n_done * per_epoch)]
    more = schedule.lower(best_epoch)
    assert more == max(2, math.ceil(best_epoch / 2))
    n_steps = min(more, n_epochs - n_done) * per_epoch
    for i in range(n_steps):
        cosine = math.cos(math.pi * (i + 1) / (n_steps + 1))
        expected = before[-1] * (1 + cosine) / 2
        assert schedule(len(before) + i) == pytest.approx(expected)
        assert schedule(len(before) + i) > 0
    assert schedule(len(before) + n_steps) == pytest.approx(0, abs=1e-12)
