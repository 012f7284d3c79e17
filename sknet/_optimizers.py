"""Optimizers: one in-place step on one flat vector of parameters.

``step(params, grads, rate)`` is all that training needs. ``state()`` and
``load(state)`` carry what a later fit continues with, as plain arrays and numbers.
"""

import itertools
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import daxpy, dscal, saxpy, sscal

Array = NDArray[np.floating]

BLOCK = 32_768  # parameters worked through at a time: such arrays stay in the cache
SMALLEST_UNIT = 1e-4  # of a moment, before it is written out and counting begins anew
AXPY = {np.dtype(np.float32): saxpy, np.dtype(np.float64): daxpy}  # y += a * x
SCAL = {np.dtype(np.float32): sscal, np.dtype(np.float64): dscal}  # x *= a


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


class Part(NamedTuple):
    """Some of Adam's moments, few enough to stay in the cache; all are views."""

    where: slice  # of the parameters
    m: Array
    v: Array
    scratch: Array
    n_decayed: int  # of these parameters, the first ones


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
        self._add_scaled, self._scale = AXPY[params.dtype], SCAL[params.dtype]
        self._size = self._keep = 0.0
        self._epsilon = np.zeros_like(params, shape=())  # an array is added sooner
        self._blocks = self.parts(0, params.size, block)

    def step(self, params: Array, grads: Array, rate: float) -> None:
        """Update ``params`` in place."""
        self.begin(rate)
        for part in self._blocks:
            self.update(params[part.where], grads[part.where], part)

    def parts(self, start: int, stop: int, step: int) -> list["Part"]:
        """The moments from start to stop, at most ``step`` at a time."""
        edges = [*range(start, stop, step), stop]
        return [self._part(slice(a, b)) for a, b in itertools.pairwise(edges) if a < b]

    def _part(self, where: slice) -> "Part":
        n = where.stop - where.start
        return Part(
            where,
            self._m[where],
            self._v[where],
            self._scratch[:n],
            min(max(self.n_decayed - where.start, 0), n),
        )

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
        self._epsilon[()] = self.epsilon / unit_v**0.5
        # a rate above 1 / alpha would flip the weights' signs instead of shrinking them
        self._keep = max(0.0, 1 - rate * self.alpha)

    def update(self, theta: Array, g: Array, part: "Part") -> None:
        """The step's share for the parameters ``theta`` of ``part``."""
        _, m, v, scratch, n_decayed = part
        add_scaled = self._add_scaled
        add_scaled(g, m, a=1 / self._unit_1)
        np.multiply(g, g, out=scratch)
        add_scaled(scratch, v, a=1 / self._unit_2)
        np.sqrt(v, out=scratch)
        np.add(scratch, self._epsilon, out=scratch)
        np.divide(m, scratch, out=scratch)
        if n_decayed:
            self._scale(self._keep, theta[:n_decayed])
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
    start : int
        Where W1 starts in it, (n_inputs, n_members, n_hidden) when seen as an array.
    n_scales : int
        n_inputs * n_members.
    n_hidden : int
    **settings
        Of ``Adam``.
    """

    def __init__(
        self, params: Array, start: int, n_scales: int, n_hidden: int, **settings: Any
    ) -> None:
        n, stop = params.size, start + n_scales * n_hidden
        self._params = params
        self._latent = np.ones_like(params, shape=n + n_scales)  # V and the rest, s
        self._latent[:n] = params
        self._sum = np.ones_like(params, shape=n_hidden)
        block = max(BLOCK, n_hidden)
        step = block // n_hidden
        self._dV = np.empty_like(params, shape=(min(step, n_scales), n_hidden))
        self._ds = np.empty_like(params, shape=len(self._dV))
        adam = self._adam = Adam(self._latent, **settings, block=block)
        of_V = adam.parts(start, stop, step * n_hidden)
        self._V = list(zip(of_V, adam.parts(n, n + n_scales, step), strict=True))
        self._rest = [*adam.parts(0, start, block), *adam.parts(stop, n, block)]

    @property
    def n_steps(self) -> int:
        """Steps since the last reset."""
        return self._adam.n_steps

    def step(self, params: Array, grads: Array, rate: float) -> None:
        """Update ``params``, which must be those given at the start, in place."""
        adam, h = self._adam, self._dV.shape[1]
        adam.begin(rate)
        for of_V, of_s in self._V:  # each stays in the cache from end to end
            latent, s = self._latent[of_V.where], self._latent[of_s.where]
            V, column = latent.reshape(-1, h), s[:, np.newaxis]
            dV, ds = self._dV[: len(s)], self._ds[: len(s)]
            dW1 = grads[of_V.where].reshape(-1, h)
            np.multiply(dW1, V, out=dV)
            dV.dot(self._sum, ds)
            np.multiply(dW1, column, out=dV)
            adam.update(latent, dV.reshape(-1), of_V)
            adam.update(s, ds, of_s)
            np.multiply(V, column, out=params[of_V.where].reshape(-1, h))
        for part in self._rest:
            theta = self._latent[part.where]
            adam.update(theta, grads[part.where], part)
            params[part.where] = theta

    def reset(self) -> None:
        """Forget both moments; the scales move into V."""
        n = self._params.size
        self._latent[:n] = self._params
        self._latent[n:] = 1
        self._adam.reset()

    def state(self) -> dict[str, Any]:
        """Step count, moments, V and s."""
        return {**self._adam.state(), "latent": self._latent}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        self._adam.load(state)
        self._latent[:] = state["latent"]
