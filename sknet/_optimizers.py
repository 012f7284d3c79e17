"""Optimizers: one in-place step on one flat vector of parameters.

``step(params, grads, rate)`` is all that training needs. ``state()`` and
``load(state)`` carry what a later fit continues with, as plain arrays and numbers.
"""

import itertools
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import daxpy, saxpy

Array = NDArray[np.floating]

BLOCK = 32_768  # parameters worked through at a time: such arrays stay in the cache
SMALLEST_UNIT = 1e-4  # of a moment, before it is written out and counting begins anew
AXPY = {np.dtype(np.float32): saxpy, np.dtype(np.float64): daxpy}  # y += a * x


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
    loss. At most ``block`` parameters are worked through at a time.

    The moments are kept in units that shrink by beta with each step: m in units of
    :math:`\beta_1^t (1 - \beta_1)`, v of :math:`\beta_2^t (1 - \beta_2)`. So a moment
    need not be multiplied by beta, and BLAS adds the new gradient to it in one pass. A
    unit that has become small is multiplied in.
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
        block: int = BLOCK,
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.alpha = alpha
        self.n_decayed = n_decayed if alpha else 0
        self.n_steps = 0
        self._m = np.zeros_like(params)
        self._v = np.zeros_like(params)
        self._unit_1 = self._unit_2 = 1.0
        self._scratch = np.empty_like(params, shape=min(block, params.size))
        self._add_scaled = AXPY[params.dtype]
        self._size = self._keep = self._epsilon = 0.0
        edges = [*range(0, params.size, block), params.size]
        self._blocks = [slice(a, b) for a, b in itertools.pairwise(edges)]

    def step(self, params: Array, grads: Array, rate: float) -> None:
        """Update ``params`` in place."""
        self.begin(rate)
        for block in self._blocks:
            self.update(params[block], grads[block], block)

    def begin(self, rate: float) -> None:
        """Count a step; ``update`` of each part must follow."""
        self.n_steps += 1
        t, beta_1, beta_2 = self.n_steps, self.beta_1, self.beta_2
        self._unit_1 *= beta_1
        self._unit_2 *= beta_2
        if self._unit_1 < SMALLEST_UNIT:
            self._m *= self._unit_1
            self._unit_1 = 1.0
        if self._unit_2 < SMALLEST_UNIT:
            self._v *= self._unit_2
            self._unit_2 = 1.0
        unit_m = self._unit_1 * (1 - beta_1) / (1 - beta_1**t)
        unit_v = self._unit_2 * (1 - beta_2)
        self._size = rate * unit_m * ((1 - beta_2**t) / unit_v) ** 0.5
        self._epsilon = self.epsilon / unit_v**0.5
        # a rate above 1 / alpha would flip the weights' signs instead of shrinking them
        self._keep = max(0.0, 1 - rate * self.alpha)

    def update(self, theta: Array, g: Array, block: slice) -> None:
        """The step's part for the parameters ``theta`` of ``block``."""
        m, v, scratch = self._m[block], self._v[block], self._scratch[: len(g)]
        add_scaled = self._add_scaled
        add_scaled(g, m, a=1 / self._unit_1)
        np.multiply(g, g, out=scratch)
        add_scaled(scratch, v, a=1 / self._unit_2)
        np.sqrt(v, out=scratch)
        scratch += self._epsilon
        np.divide(m, scratch, out=scratch)
        if block.start < self.n_decayed:
            theta[: self.n_decayed - block.start] *= self._keep
        add_scaled(scratch, theta, a=-self._size)

    def reset(self) -> None:
        """Forget both moments."""
        self.n_steps = 0
        self._m.fill(0)
        self._v.fill(0)
        self._unit_1 = self._unit_2 = 1.0

    def state(self) -> dict[str, Any]:
        """Step count and moments, as they are kept."""
        units = self._unit_1, self._unit_2
        return {"n_steps": self.n_steps, "m": self._m, "v": self._v, "units": units}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self.n_steps = state["n_steps"]
        self._m[:] = state["m"]
        self._v[:] = state["v"]
        self._unit_1, self._unit_2 = state["units"]


class ScalingLayerAdam:
    r"""Adam on W1 = diag(s) V, with one factor s for each input of each member.

    .. math:: dV_{ij} = s_i \, dW_{ij}, \qquad ds_i = \sum_j V_{ij} \, dW_{ij}

    The scaling layer of RealMLP (Holzmueller, Grinsztajn and Steinwart 2024): an input
    that helps grows as a whole, and one that does not fades. The network knows nothing
    of it: ``params`` are the products at all times, and only V decays.

    Parameters
    ----------
    params : ndarray of shape (n_params,)
        Starts with W1, (n_inputs, n_members, n_hidden) when seen as an array.
    n_scales : int
        n_inputs * n_members.
    n_hidden : int
    **settings
        Of ``Adam``.
    """

    def __init__(
        self, params: Array, n_scales: int, n_hidden: int, **settings: Any
    ) -> None:
        n, first = params.size, n_scales * n_hidden
        self._params = params
        self._latent = np.ones_like(params, shape=n + n_scales)  # V, the rest, s
        self._latent[:n] = params
        self._V = self._latent[:first].reshape(n_scales, n_hidden)
        self._s = self._latent[n:, np.newaxis]
        self._sum = np.ones_like(params, shape=n_hidden)
        block = max(BLOCK, n_hidden)
        rows = block // n_hidden
        self._dV = np.empty_like(params, shape=(min(rows, n_scales), n_hidden))
        self._ds = np.empty_like(params, shape=len(self._dV))
        self._row_blocks = [
            slice(a, min(a + rows, n_scales)) for a in range(0, n_scales, rows)
        ]
        self._adam = Adam(self._latent, **settings, block=block)
        edges = [*range(first, n, block), n]
        self._rest = [slice(a, b) for a, b in itertools.pairwise(edges)]

    @property
    def n_steps(self) -> int:
        """Steps since the last reset."""
        return self._adam.n_steps

    def step(self, params: Array, grads: Array, rate: float) -> None:
        """Update ``params``, which must be those given at the start, in place."""
        adam, n, h = self._adam, params.size, self._V.shape[1]
        adam.begin(rate)
        for rows in self._row_blocks:  # each stays in the cache from end to end
            V, s = self._V[rows], self._s[rows]
            own = slice(rows.start * h, rows.stop * h)
            scales = slice(n + rows.start, n + rows.stop)
            dV, ds = self._dV[: len(V)], self._ds[: len(V)]
            dW1 = grads[own].reshape(V.shape)
            np.multiply(dW1, V, out=dV)
            np.matmul(dV, self._sum, out=ds)
            np.multiply(dW1, s, out=dV)
            adam.update(V.reshape(-1), dV.reshape(-1), own)
            adam.update(self._latent[scales], ds, scales)
            np.multiply(V, s, out=params[own].reshape(V.shape))
        for block in self._rest:
            theta = self._latent[block]
            adam.update(theta, grads[block], block)
            params[block] = theta

    def reset(self) -> None:
        """Forget both moments; the scales move into V."""
        self._latent[: self._params.size] = self._params
        self._s.fill(1)
        self._adam.reset()

    def state(self) -> dict[str, Any]:
        """Step count, moments, V and s."""
        return {**self._adam.state(), "latent": self._latent}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._adam.load(state)
        self._latent[:] = state["latent"]
