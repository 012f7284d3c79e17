"""Optimizers: one in-place step on one flat vector of parameters.

``step(params, grads, rate)`` updates the parameters and ``reset()`` forgets all
moments. ``state()`` and ``load(state)`` save and restore the state for a later fit, as
plain arrays and numbers. A new optimizer needs ``step`` and its moments.
"""

import numpy as np
from scipy.linalg import get_blas_funcs

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # the values of Kingma and Ba
ROOT_UNIT = (1 - BETA_2) ** 0.5  # sqrt(v) is stored without this factor
BLOCK = 65_536  # parameters updated at a time: their arrays stay in the cache


class Optimizer:
    """The count of steps and the moments, which a later fit continues from."""

    def __init__(self, **moments):
        self.n_steps = 0
        self.moments = moments

    def reset(self):
        """Forget all moments."""
        self.n_steps = 0
        for moment in self.moments.values():
            moment.fill(0)

    def state(self):
        """Step count and moments."""
        return {"n_steps": self.n_steps, **self.moments}

    def load(self, state):
        """Continue from ``state``."""
        self.n_steps = state["n_steps"]
        for name, moment in self.moments.items():
            moment[:] = state[name]


class SGD(Optimizer):
    r"""Gradient descent with Nesterov's momentum m (Sutskever et al. 2013).

    .. math:: v \leftarrow m v - \eta g, \qquad
        \theta \leftarrow \theta + m v - \eta g

    Momentum 0 is plain gradient descent.
    """

    def __init__(self, params, *, momentum):
        super().__init__(velocity=np.zeros_like(params))
        self.momentum = momentum
        self._update = np.empty_like(params)

    def step(self, params, grads, rate):
        """Update ``params`` in place."""
        self.n_steps += 1
        update, velocity = self._update, self.moments["velocity"]
        np.multiply(grads, -rate, out=update)
        params += update
        if self.momentum:
            velocity *= self.momentum
            velocity += update
            np.multiply(velocity, self.momentum, out=update)
            params += update


class Adam(Optimizer):
    r"""Adam (Kingma and Ba 2015) with decoupled decay (Loshchilov and Hutter 2019).

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        \theta \leftarrow (1 - \eta \alpha) \theta
        - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \epsilon}

    Decay applies only to the first ``n_decayed`` parameters, which are the weights. It
    does not depend on the gradient, so it depends neither on the batch size nor on the
    scale of the loss. The moments are stored without the factors :math:`1 - \beta`,
    which the step size includes.
    """

    def __init__(self, params, *, alpha=0.0, n_decayed=0):
        super().__init__(m=np.zeros_like(params), v=np.zeros_like(params))
        self.alpha = alpha
        self.n_decayed = n_decayed if alpha else 0
        self._scratch = np.empty_like(params, shape=min(BLOCK, params.size))
        self._epsilon = np.full_like(params, EPSILON / ROOT_UNIT, shape=())
        # BLAS has less overhead: scale(a, x) is x *= a, and add(x, y, a=a) y += a * x
        self._scale, self._add = get_blas_funcs(("scal", "axpy"), (params,))

    def step(self, params, grads, rate):
        """Update ``params`` in place."""
        self.n_steps += 1
        t = self.n_steps
        correction = (1 - BETA_2**t) ** 0.5
        size = rate * (1 - BETA_1) / (1 - BETA_1**t) * correction / ROOT_UNIT
        # a rate above 1 / alpha must not flip the sign of a weight
        keep = max(0.0, 1 - rate * self.alpha)
        scale, add = self._scale, self._add
        all_m, all_v = self.moments["m"], self.moments["v"]
        for start in range(0, params.size, BLOCK):
            part = slice(start, start + BLOCK)
            theta, g, m, v = params[part], grads[part], all_m[part], all_v[part]
            scratch = self._scratch[: theta.size]
            scale(BETA_1, m)
            add(g, m)
            np.multiply(g, g, out=scratch)
            scale(BETA_2, v)
            add(scratch, v)
            np.sqrt(v, out=scratch)
            np.add(scratch, self._epsilon, out=scratch)
            np.divide(m, scratch, out=scratch)
            if start < self.n_decayed:
                scale(keep, theta[: self.n_decayed - start])
            add(scratch, theta, a=-size)


class ScalingLayerAdam(Adam):
    r"""Adam on W1 = diag(s) V, with one factor s for each input of each member.

    .. math:: dV_{ij} = s_i \, dW_{ij}, \qquad ds_i = \sum_j V_{ij} \, dW_{ij}

    In this scaling layer of RealMLP (Holzmueller, Grinsztajn and Steinwart 2024), all
    weights of a useful input can grow together, and those of a useless one can shrink.
    ``params`` always holds the products, so the network is unaffected. Only V decays.

    Parameters
    ----------
    params : ndarray of shape (n_params,)
    start : int
        Position in ``params`` of W1, which is (n_inputs, n_members, n_hidden).
    n_scales : int
        n_inputs * n_members.
    n_hidden : int
    **decay
        As for ``Adam``.
    """

    def __init__(self, params, start, n_scales, n_hidden, **decay):
        n = params.size
        self._params = params
        end = start + n_scales * n_hidden
        self._first, self._others = slice(start, end), (slice(start), slice(end, n))
        self._latent = np.ones_like(params, shape=n + n_scales)  # V and the rest, s
        self._latent[:n] = params
        super().__init__(self._latent, **decay)
        self.moments["latent"] = self._latent
        self._grads = np.empty_like(self._latent)
        self._V = self._latent[self._first].reshape(n_scales, n_hidden)
        self._s = self._latent[n:]
        self._ones = np.ones_like(params, shape=n_hidden)

    def step(self, params, grads, rate):
        """Update ``params`` in place."""
        n, V, s = params.size, self._V, self._s[:, np.newaxis]
        dW1 = grads[self._first].reshape(V.shape)
        dV = self._grads[self._first].reshape(V.shape)
        np.multiply(dW1, V, out=dV)
        dV.dot(self._ones, self._grads[n:])  # a sum, faster than sum(axis=1)
        np.multiply(dW1, s, out=dV)
        for part in self._others:
            self._grads[part] = grads[part]
        super().step(self._latent, self._grads, rate)
        np.multiply(V, s, out=params[self._first].reshape(V.shape))
        for part in self._others:
            params[part] = self._latent[part]

    def reset(self):
        """Forget both moments and multiply the scales into V."""
        super().reset()
        n = self._params.size
        self._latent[:n] = self._params
        self._latent[n:] = 1
