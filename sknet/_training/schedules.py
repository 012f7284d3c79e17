"""The schedule of the learning rate: a warm-up, then half a cosine.

A schedule is called with a step, counted from 0, and returns its learning rate. Its
method ``lower(best_epoch)`` is called once, at the first plateau, and returns the
number of epochs for which training continues.
"""

import math


class WarmupCosine:
    """Linear warm-up to ``rate``, then half a cosine to zero after ``n_epochs``.

    The warm-up keeps Adam's first steps small, because early moments are inaccurate.
    The rate decays to zero, so training runs to the last step (Loshchilov and Hutter
    2017, Smith 2018). At a plateau, it falls to zero in half the number of epochs up to
    the best one. A falling rate can reduce the loss further than a high one.
    """

    warmup = 0.1  # share of the steps
    landing = 0.5  # epochs to zero after a plateau, per epoch up to the best one
    shortest_landing = 2

    def __init__(self, rate, n_epochs, steps_per_epoch=1):
        self.rate = rate  # where the cosine starts, at the step ``start``
        self.steps_per_epoch = steps_per_epoch
        self.stop = n_epochs * steps_per_epoch
        self.start = self.n_warmup = math.ceil(self.warmup * self.stop)
        self.last_step = -1

    def __call__(self, step):
        """Learning rate of a step."""
        self.last_step = step
        if step < self.n_warmup:
            return self.rate * (step + 1) / self.n_warmup
        # the + 1 keeps the last rate above zero
        done = (step - self.start + 1) / (self.stop - self.start + 1)
        return self.rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def lower(self, best_epoch):
        """Let the rate fall to zero from its current value."""
        n_epochs = max(self.shortest_landing, math.ceil(self.landing * best_epoch))
        self.rate = self(self.last_step)
        self.n_warmup, self.start = 0, self.last_step + 1
        self.stop = min(self.start + n_epochs * self.steps_per_epoch, self.stop)
        return n_epochs
