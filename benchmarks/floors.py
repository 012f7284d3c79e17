"""What no training loop in NumPy can do without, to be timed beside the competitors.

``products`` is the five matrix products of each step. ``calls`` adds the calls around
them, each in the cheapest way we know, in buffers made once and in straight lines: no
function, no check, no schedule, no preparation of the rows, no statistics, no monitor.
"""

import numpy as np
import scipy.sparse as sp
from scipy.linalg.blas import saxpy

BLOCK = 32_768  # numbers worked through at a time: such arrays stay in the cache


def sizes(problem):
    """Rows, columns, hidden units, outputs and rows of a batch."""
    n, d = problem.X.shape
    n_classes = len(np.unique(problem.y))
    o = 1 if n_classes == 2 else n_classes
    return n, d, problem.hidden, o, min(problem.batch, n)


def batch_sizes(n, m):
    """Rows of each minibatch of an epoch; the last may be short."""
    return [min(m, n - start) for start in range(0, n, m)]


def products(problem):
    """Only the five matrix products of each step."""
    if sp.issparse(problem.X):
        return sparse_products(problem)
    n, d, h, o, m = sizes(problem)
    rng = np.random.default_rng(0)
    X = rng.random((m, d), dtype=np.float32)
    W1, W2 = rng.random((d, h), dtype=np.float32), rng.random((h, o), dtype=np.float32)
    H, Z = np.empty((m, h), np.float32), np.empty((m, o), np.float32)
    dH, dW1, dW2 = np.empty_like(H), np.empty_like(W1), np.empty_like(W2)
    dZ = rng.random((m, o), dtype=np.float32)
    outer = np.multiply if o == 1 else np.matmul  # broadcasting is quicker
    batches = [[a[:size] for a in (X, H, Z, dZ, dH)] for size in batch_sizes(n, m)]
    for _ in range(problem.epochs):
        for X, H, Z, dZ, dH in batches:
            np.matmul(X, W1, out=H)
            np.matmul(H, W2, out=Z)
            np.matmul(H.T, dZ, out=dW2)
            outer(dZ, W2.T, out=dH)
            np.matmul(X.T, dH, out=dW1)
    return dW1


def sparse_products(problem):
    """The same for sparse rows, on float32 batches sliced beforehand."""
    n, _, h, o, _ = sizes(problem)
    X = problem.X.astype(np.float32)
    parts = [X[i : i + problem.batch] for i in range(0, n, problem.batch)]
    W1, W2 = np.ones((X.shape[1], h), np.float32), np.ones((h, o), np.float32)
    outer = np.multiply if o == 1 else np.matmul
    for _ in range(problem.epochs):
        for part in parts:
            H = part @ W1
            Z = H @ W2
            H.T @ Z
            part.T @ outer(Z, W2.T, out=H)
    return H


class Buffers:
    """Memory for a minibatch of m rows, and views of it, made once.

    The second layer's arrays are matrices for one network, which ``dot`` multiplies,
    and stacks for several.
    """

    def __init__(self, d, h, o, m, k):
        self.X, self.target = np.empty((m, d + 1), "f4"), np.empty((m, o), "f4")
        self.X_back = self.X.T
        self.H, self.dH = np.empty((2, m, k * h), np.float32)
        self.H_of, self.dH_of = (self._by_member(a, k) for a in (self.H, self.dH))
        self.H_back = self.H_of.swapaxes(-1, -2)
        self.Z, self.dZ = np.empty((2, *self.H_of.shape[:-1], o), np.float32)
        self.total, self.log = np.empty((2, *self.Z.shape[:-1], 1), np.float32)
        self.total_flat = self.total[..., 0]
        self.ones_of_rows, self.ones_of_outputs = np.ones(m, "f4"), np.ones(o, "f4")
        zeros, ones = np.zeros(BLOCK, "f4"), np.ones(BLOCK, "i4")
        flat = self.H.ravel(), self.dH.ravel()
        hidden = [[a[p] for a in flat] for p in _blocks(self.H.size)]
        self.hidden = [(H, zeros[: len(H)]) for H, _ in hidden]
        self.bits = [(H.view("i4"), dH.view("i4"), ones[: len(H)]) for H, dH in hidden]
        weighted = np.zeros((m, d // 4 * 4 + 4), np.float32)
        self.weighted, self.weighted_back = weighted[:, : d + 1], weighted.T
        self.product = np.empty((weighted.shape[1], k * h), np.float32)
        self.product_of_inputs = self.product[: d + 1]

    @staticmethod
    def _by_member(hidden, k):
        return hidden if k == 1 else hidden.reshape(len(hidden), k, -1).swapaxes(0, 1)


class Calls:
    """k networks, their gradient and Adam's moments, trained call by call.

    The first layer's bias is the last row of its weights and X has a column of ones, as
    in sknet; ReLU's slope is taken from the bits as integers.
    """

    def __init__(self, X, y, h, o, k):
        d = X.shape[1]
        self.shape = d, h, o, k
        self.X = np.ones((len(X), d + 1), np.float32)
        self.X[:, :d] = X
        self.y, self.one_hot = y, np.eye(max(o, 2), dtype=np.float32)[:, -o:]
        self.theta = np.zeros((d + 1 + o) * k * h + k * o, np.float32)
        arrays = self.theta, *np.zeros((4, self.theta.size), np.float32)
        self.parts = [[a[p] for a in arrays] for p in _blocks(self.theta.size)]
        self.moments, self.unit_1, self.unit_2, self.t = arrays[2:4], 1.0, 1.0, 0
        self.W1, self.W2, self.b2 = self._layers(self.theta, d + 1, h, o, k)
        self.dW1, self.dW2, self.db2 = self._layers(arrays[1], d + 1, h, o, k)
        self.W2_back = self.W2.swapaxes(-1, -2)
        self.b2_row = self.b2[..., np.newaxis, :]
        self.multiply = np.ndarray.dot if k == 1 else np.matmul
        # one output, few inputs: rather weight these by dZ than form dZ times W2
        self.few = k == o == 1 and d <= 2 * h
        self.one = np.ones((), np.float32).view("i4")
        rng = np.random.default_rng(0)  # starts as ours does
        self.W1[:d] = rng.normal(0, (2 / d) ** 0.5, (d, k * h))
        self.W2[...] = rng.normal(0, (2 / (h + o)) ** 0.5, self.W2.shape)

    @staticmethod
    def _layers(flat, d, h, o, k):
        """Views of the first layer, the second layer's weights and its bias."""
        W1, W2 = flat[: d * k * h].reshape(d, k * h), flat[d * k * h :][: k * h * o]
        b2 = flat[d * k * h + W2.size :]
        if k == 1:
            return W1, W2.reshape(h, o), b2
        return W1, W2.reshape(k, h, o), b2.reshape(k, o)

    def buffers(self, m):
        """Memory for minibatches of m rows."""
        d, h, o, k = self.shape
        return Buffers(d, h, o, m, k)

    def forward_backward(self, rows, b):
        """Gradient of one minibatch, in buffers of its size; returns the loss."""
        X, Z, dZ, target, total = b.X, b.Z, b.dZ, b.target, b.total
        multiply, o = self.multiply, self.shape[2]
        self.X.take(rows, axis=0, out=X, mode="clip")
        self.one_hot.take(self.y.take(rows), axis=0, out=target, mode="clip")
        X.dot(self.W1, b.H)
        for H, zeros in b.hidden:
            np.maximum(H, zeros, out=H)
        multiply(b.H_of, self.W2, Z)
        np.add(Z, self.b2_row, out=Z)
        np.exp(Z, out=dZ)
        if o == 1:
            np.add(dZ, 1, out=total)
        else:
            np.matmul(dZ, b.ones_of_outputs, out=b.total_flat)
        np.divide(dZ, total, out=dZ)
        np.log(total, out=b.log)
        loss = b.log.sum() - (Z * target).sum()
        np.subtract(dZ, target, out=dZ)
        multiply(b.H_back, dZ, self.dW2)
        multiply(b.ones_of_rows, dZ, self.db2)
        if self.few:
            return self.first_layer_by_weighted_inputs(b, loss)
        if o == 1:
            np.multiply(dZ, self.W2_back, out=b.dH_of)
        else:
            multiply(dZ, self.W2_back, b.dH_of)
        for bits, of_gradient, ones in b.bits:
            np.minimum(bits, ones, out=bits)
            np.multiply(of_gradient, bits, out=of_gradient)
        b.X_back.dot(b.dH, self.dW1)
        return loss

    def first_layer_by_weighted_inputs(self, b, loss):
        """The first layer's gradient, with one output and few inputs."""
        for bits, slope, ones in b.bits:
            np.minimum(bits, ones, out=bits)
            np.multiply(bits, self.one, out=slope)
        np.multiply(b.X, b.dZ, out=b.weighted)
        b.weighted_back.dot(b.dH, b.product)
        np.multiply(b.product_of_inputs, self.W2[:, 0], out=self.dW1)
        return loss

    def adam(self, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        """One step on all parameters, the moments in units that shrink, as in sknet."""
        self.t += 1
        self.unit_1 *= beta_1
        self.unit_2 *= beta_2
        if self.unit_1 < 1e-4:
            np.multiply(self.moments[0], self.unit_1, out=self.moments[0])
            self.unit_1 = 1.0
        if self.unit_2 < 1e-4:
            np.multiply(self.moments[1], self.unit_2, out=self.moments[1])
            self.unit_2 = 1.0
        of_m = self.unit_1 * (1 - beta_1) / (1 - beta_1**self.t)
        of_v = (self.unit_2 * (1 - beta_2) / (1 - beta_2**self.t)) ** 0.5
        for theta, g, m, v, scratch in self.parts:
            saxpy(g, m, a=1 / self.unit_1)
            np.multiply(g, g, out=scratch)
            saxpy(scratch, v, a=1 / self.unit_2)
            np.sqrt(v, out=scratch)
            np.add(scratch, epsilon / of_v, out=scratch)
            np.divide(m, scratch, out=scratch)
            saxpy(scratch, theta, a=-rate * of_m / of_v)


def _blocks(size):
    return [slice(start, start + BLOCK) for start in range(0, size, BLOCK)]


def calls(problem, n_members=1):
    """The products and what NumPy must be called for around them."""
    n, _, h, o, m = sizes(problem)
    y = np.unique(problem.y, return_inverse=True)[1]
    net = Calls(problem.X, y, h, o, n_members)
    of_size = {size: net.buffers(size) for size in set(batch_sizes(n, m))}
    batches = [(slice(i, i + m), of_size[min(m, n - i)]) for i in range(0, n, m)]
    rng, order = np.random.default_rng(0), np.arange(n)
    for _ in range(problem.epochs):
        rng.shuffle(order)
        for part, buffers in batches:
            net.forward_backward(order[part], buffers)
            net.adam(1e-3)
    return net
