"""Schedules: an update's number, counted from 0, to its learning rate."""

import math
from typing import Protocol


class Schedule(Protocol):
    """What the training loop asks of a schedule."""

    def __call__(self, step: int) -> float:
        """Learning rate of update ``step``."""

    def lower(self) -> bool:
        """React to a plateau: True if the rate was lowered and training may go on."""


class Constant:
    """The same rate at every step."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, step: int) -> float:
        """Learning rate of update ``step``."""
        return self.rate

    def lower(self) -> bool:
        """A plateau ends training."""
        return False


class InverseScaling:
    """rate / (step + 1) ** power (Robbins and Monro 1951 for a power in (1/2, 1])."""

    def __init__(self, rate: float, power: float) -> None:
        self.rate = rate
        self.power = power

    def __call__(self, step: int) -> float:
        """Learning rate of update ``step``."""
        return self.rate / (step + 1) ** self.power

    def lower(self) -> bool:
        """A plateau ends training."""
        return False


class Adaptive:
    """Constant until a plateau, then a fifth, until the rate is under 1e-6."""

    divisor = 5.0
    smallest = 1e-6

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, step: int) -> float:
        """Learning rate of update ``step``."""
        return self.rate

    def lower(self) -> bool:
        """Divide the rate; a rate that is already tiny ends training."""
        if self.rate <= self.smallest:
            return False
        self.rate /= self.divisor
        return True


class WarmupCosine:
    """Linear warm-up to ``rate``, then half a cosine down to zero at ``n_steps``.

    The warm-up keeps Adam's first, badly estimated steps small; the decay to zero makes
    reaching the last step the normal end (Loshchilov and Hutter 2017, Smith 2018).
    """

    warmup = 0.1  # share of the steps

    def __init__(self, rate: float, n_steps: int) -> None:
        self.rate = rate
        self.n_steps = n_steps
        self.n_warmup = math.ceil(self.warmup * n_steps)

    def __call__(self, step: int) -> float:
        """Learning rate of update ``step``."""
        if step < self.n_warmup:
            return self.rate * (step + 1) / self.n_warmup
        # the + 1 keeps the last update above zero: every step moves
        done = (step - self.n_warmup + 1) / (self.n_steps - self.n_warmup + 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def lower(self) -> bool:
        """A plateau ends training."""
        return False
