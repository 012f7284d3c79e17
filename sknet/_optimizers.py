"""Optimizers: one in-place step on one flat vector of parameters.

``step(params, grads, rate)`` is all that training needs. ``state()`` and
``load(state)`` carry what a later fit continues with, as plain arrays and numbers.
"""

import itertools
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

BLOCK = 8192  # parameters worked through at a time: four such arrays stay in L2


class Optimizer(Protocol):
    """What the training loop asks of an optimizer."""

    n_steps: int

    def step(self, params: Array, grads: Array, rate: float) -> None:
        """Update ``params`` in place."""

    def reset(self) -> None:
        """Forget all moments, as before the first step."""

    def state(self) -> dict[str, Any]:
        """What a later run continues with."""

    def load(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""


class SGD:
    r"""Gradient descent with momentum m, in Nesterov's form if asked.

    .. math:: v \leftarrow m v - \eta g, \qquad
        \theta \leftarrow \theta + v \quad\text{or}\quad
        \theta \leftarrow \theta + m v - \eta g \;\text{(Nesterov)}

    Momentum 0 is plain gradient descent. (Sutskever et al. 2013.)
    """

    def __init__(self, params: Array, *, momentum: float, nesterov: bool) -> None:
        self.momentum = momentum
        self.nesterov = nesterov
        self.n_steps = 0
        self._velocity = np.zeros_like(params)
        self._update = np.empty_like(params)

    def step(self, params: Array, grads: Array, rate: float) -> None:
        """Update ``params`` in place."""
        self.n_steps += 1
        update, velocity = self._update, self._velocity
        np.multiply(grads, -rate, out=update)
        if self.momentum:
            velocity *= self.momentum
            velocity += update
            if self.nesterov:
                params += update
                np.multiply(velocity, self.momentum, out=update)
            else:
                update = velocity
        params += update

    def reset(self) -> None:
        """Forget the velocity."""
        self.n_steps = 0
        self._velocity.fill(0)

    def state(self) -> dict[str, Any]:
        """Step count and velocity."""
        return {"n_steps": self.n_steps, "velocity": self._velocity}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.n_steps = state["n_steps"]
        self._velocity[:] = state["velocity"]


class Adam:
    r"""Adam (Kingma and Ba 2015) with decoupled decay (Loshchilov and Hutter 2019).

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        \theta \leftarrow (1 - \eta \alpha) \theta
        - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \epsilon}

    Only the first ``n_decayed`` parameters, the weights, decay. The decay knows nothing
    of the gradient, so it does not depend on the batch size or on the scale of the
    loss.
    """

    def __init__(
        self,
        params: Array,
        *,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        alpha: float = 0.0,
        n_decayed: int = 0,
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.alpha = alpha
        self.n_decayed = n_decayed if alpha else 0
        self.n_steps = 0
        self._m = np.zeros_like(params)
        self._v = np.zeros_like(params)
        self._scratch = np.empty_like(params, shape=min(BLOCK, params.size))
        edges = sorted({*range(0, params.size, BLOCK), self.n_decayed, params.size})
        self._blocks = [slice(a, b) for a, b in itertools.pairwise(edges)]

    def step(self, params: Array, grads: Array, rate: float) -> None:
        """Update ``params`` in place."""
        self.n_steps += 1
        beta_1, beta_2 = self.beta_1, self.beta_2
        size = rate * (1 - beta_2**self.n_steps) ** 0.5 / (1 - beta_1**self.n_steps)
        # a rate above 1 / alpha would flip the weights' signs instead of shrinking them
        keep = max(0.0, 1 - rate * self.alpha)
        for block in self._blocks:
            g, m, v, theta = grads[block], self._m[block], self._v[block], params[block]
            scratch = self._scratch[: len(g)]
            np.multiply(g, 1 - beta_1, out=scratch)
            m *= beta_1
            m += scratch
            np.multiply(g, g, out=scratch)
            scratch *= 1 - beta_2
            v *= beta_2
            v += scratch
            np.sqrt(v, out=scratch)
            scratch += self.epsilon
            np.divide(m, scratch, out=scratch)
            scratch *= size
            if block.start < self.n_decayed:
                theta *= keep
            theta -= scratch

    def reset(self) -> None:
        """Forget both moments."""
        self.n_steps = 0
        self._m.fill(0)
        self._v.fill(0)

    def state(self) -> dict[str, Any]:
        """Step count and moments."""
        return {"n_steps": self.n_steps, "m": self._m, "v": self._v}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.n_steps = state["n_steps"]
        self._m[:] = state["m"]
        self._v[:] = state["v"]
