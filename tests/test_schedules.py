"""Schedules against their formulas."""

import math

import pytest

from sknet._schedules import Adaptive, Constant, InverseScaling, WarmupCosine


def test_constant():
    schedule = Constant(0.1)
    assert {schedule(step) for step in range(100)} == {0.1}
    assert schedule.lower(3) == 0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_inverse_scaling(power):
    schedule = InverseScaling(0.1, power)
    for step in range(100):
        assert schedule(step) == pytest.approx(0.1 / (step + 1) ** power)
    assert schedule.lower(3) == 0


def test_adaptive_falls_by_fives_and_ends():
    schedule, rates = Adaptive(0.1), [0.1]
    while schedule.lower(3):
        rates.append(schedule(0))
    expected = [0.1 / 5**i for i in range(len(rates))]
    assert rates == pytest.approx(expected)
    assert rates[-1] <= 1e-6 < rates[-2]


@pytest.mark.parametrize("n_steps", [1, 2, 9, 10, 1000])
def test_cosine_rises_then_falls_towards_zero(n_steps):
    schedule = WarmupCosine(0.1, n_steps)
    rates = [schedule(step) for step in range(n_steps)]
    n_warmup = math.ceil(0.1 * n_steps)
    assert rates[n_warmup - 1] == max(rates) == pytest.approx(0.1)
    assert rates[:n_warmup] == sorted(rates[:n_warmup])
    assert rates[n_warmup:] == sorted(rates[n_warmup:], reverse=True)
    assert min(rates) > 0
    n_falling = n_steps - n_warmup + 1
    for i, rate in enumerate(rates[n_warmup:], start=1):
        assert rate == pytest.approx(0.05 * (1 + math.cos(math.pi * i / n_falling)))
    assert schedule(10 * n_steps) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("best_epoch", [0, 1, 7, 20])
@pytest.mark.parametrize("n_done", [2, 7, 30, 45, 59])
def test_a_plateau_lands_from_the_rate_it_had(best_epoch, n_done):
    """Half a cosine to zero, in half the epochs to the best, or in those left.

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
    assert schedule.lower(best_epoch) == 0
