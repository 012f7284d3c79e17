r"""The network: flat parameters with named views, forward, loss and gradient.

k networks ("members") with one hidden layer of h units are trained at once. They train
on the same rows, so their first layers are computed as one wide matrix product. The
second layers are computed as a batched product. With one member (k = 1), the same code
implements the textbook network.

.. math:: H = a(X W_1 + b_1), \qquad Z_j = H_j W_{2,j} + b_{2,j}, \qquad
    L = \sum_{j=1}^{k} \sum_{i=1}^{n} w_{ij}\, \ell(y_i, z_{ij})
        + \frac{\alpha}{2} (\lVert W_1 \rVert^2 + \lVert W_2 \rVert^2)

The loss is a sum over members, so the gradient of a member is that of a network trained
alone. In training, the bias of the first layer is the last row of ``[W1; b1]``. Dense
inputs have a last column of ones, so that one product includes the bias.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sknet._network.activations import Activation, glorot_variance
from sknet._network.losses import Loss

BLOCK_ELEMENTS = 1 << 19  # of inputs or hidden units at a time: 2 MB in float32

Array = NDArray[np.floating]
NetworkInputs: TypeAlias = "Array | sp.csr_array"


class Shape(NamedTuple):
    """The sizes of a network."""

    n_inputs: int
    n_hidden: int
    n_outputs: int
    n_members: int = 1

    @property
    def width(self) -> int:
        """Number of hidden units of all members."""
        return self.n_members * self.n_hidden

    @property
    def n_weights(self) -> int:
        """Number of entries of W1 and W2."""
        return self.width * (self.n_inputs + self.n_outputs)

    @property
    def n_params(self) -> int:
        """Number of entries of all four arrays."""
        return self.n_weights + self.n_members * (self.n_hidden + self.n_outputs)

    def block_rows(self, stays_sparse: bool) -> int:
        """Number of rows to predict at a time, to limit memory."""
        d, h, o, k = self
        return max(1, BLOCK_ELEMENTS // max(1 if stays_sparse else d, k * h, k * o))

    def views(self, flat: NDArray) -> tuple[NDArray, ...]:
        """W1 (d, k * h), W2 (k, h, o), b1 (k * h,) and b2 (k, 1, o), without a copy.

        They are stored in the order W2, W1, b1, b2. The weights come first, so that
        decay applies to the first part of the vector. b1 follows W1, so that both form
        one matrix.
        """
        d, h, o, k = self
        first, start = self.first_layer(flat), k * h * (o + d + 1)  # of b2
        W2, b2 = flat[: k * h * o].reshape(k, h, o), flat[start:].reshape(k, 1, o)
        return first[:-1], W2, first[-1], b2

    def first_layer(self, flat: NDArray) -> NDArray:
        """W1 with b1 as its last row (d + 1, k * h), without a copy."""
        d, h, o, k = self
        return flat[k * h * o : k * h * (o + d + 1)].reshape(d + 1, k * h)


def lone(stack: Array) -> Array:
    """The matrix of a stack of one, because its products cost less, else the stack."""
    return stack[0] if len(stack) == 1 else stack


class Workspace:
    """The buffers of a training step on n rows, and views of them and of the weights.

    In the shapes below, the axis of the members is missing if there is only one.
    """

    def __init__(self, network: "TwoLayerNetwork", n: int) -> None:
        shape, dtype = network.shape, network.params.dtype
        dropout, (_, h, o, k) = network.dropout > 0, shape
        self.hidden = np.empty((n, k * h), dtype)
        self.dropped = np.empty_like(self.hidden) if dropout else self.hidden
        self.d_hidden = np.empty_like(self.hidden)
        self.raw, self.d_raw = np.empty((2, k, n, o), dtype)
        self.keep = np.empty((n if dropout else 0, 1, h), np.float32)
        self.ones = np.ones(n, dtype)
        self.loss_buffers = network.loss.buffers(k, n, dtype)
        # the hidden layer by rows (n, k, h), and by members (k, n, h) or (n, h)
        self.hidden_rows, self.dropped_rows, self.d_hidden_rows = (
            a.reshape(n, k, h) for a in (self.hidden, self.dropped, self.d_hidden)
        )
        self.member_hidden = lone(self.dropped_rows.transpose(1, 0, 2))
        self.member_hidden_back = lone(self.dropped_rows.transpose(1, 2, 0))
        self.member_d_hidden = lone(self.d_hidden_rows.transpose(1, 0, 2))
        self.member_raw, self.member_d_raw = lone(self.raw), lone(self.d_raw)
        self.d_raw_rows = self.d_raw.transpose(1, 0, 2)
        _, W2, _, self.b2 = network.layers
        _, dW2, _, db2 = shape.views(network.grads)
        self.first = shape.first_layer(network.params)  # (d + 1, k * h)
        self.first_grad = shape.first_layer(network.grads)
        self.W2, self.W2_grad = lone(W2), lone(dW2)  # (k, h, o)
        self.W2_back = lone(W2.transpose(0, 2, 1))  # (k, o, h)
        self.W2_row = W2.transpose(2, 0, 1)  # (o, k, h)
        self.b2_grad = lone(db2[:, 0])  # (k, o)


@dataclass(eq=False)
class TwoLayerNetwork:
    """k one-hidden-layer networks on one flat parameter vector.

    Parameters
    ----------
    shape : Shape
    params : ndarray of shape (shape.n_params,)
        The array is used without a copy. Its dtype is the dtype of all computations.
    activation : Activation
    loss : SigmoidCrossEntropy or SoftmaxCrossEntropy
    alpha : float, default=0.0
        L2 penalty in the objective, or zero if the optimizer decays the weights.
    dropout, input_dropout : float, default=0.0
        Share of hidden units, and of inputs, that a training step switches off.
    """

    shape: Shape
    params: Array
    activation: Activation
    loss: Loss
    alpha: float = 0.0
    dropout: float = 0.0
    input_dropout: float = 0.0

    def __post_init__(self) -> None:
        self.layers = self.shape.views(self.params)
        self._workspaces: dict[int, Workspace] = {}
        d, h, o, k = self.shape
        self._is_narrow = k == o == 1 and d <= 2 * h

    @cached_property
    def grads(self) -> Array:
        """Gradient with respect to ``params``. It is not allocated for prediction."""
        return np.empty_like(self.params)

    def start(
        self, rng: np.random.Generator, class_log_prior: Array | None = None
    ) -> None:
        """Draw initial weights, one member at a time. Hidden biases are zero.

        The weights are normal with the variance of He et al. (2015) or of Glorot and
        Bengio (2010). ``class_log_prior`` (1 or k, n_classes) sets the output biases,
        so that training need not find the class frequencies first.
        """
        d, h, o, k = self.shape
        W1, W2, b1, b2 = self.layers
        scale_1 = self.activation.start_variance(d, h) ** 0.5
        scale_2 = glorot_variance(h, o) ** 0.5
        for j in range(k):
            W1[:, j * h : (j + 1) * h] = rng.normal(scale=scale_1, size=(d, h))
            W2[j] = rng.normal(scale=scale_2, size=(h, o))
        b1.fill(0)
        b2.fill(0)
        if class_log_prior is not None:
            b2[:, 0] = self.loss.logits(class_log_prior)

    def raw_prediction(self, X: NetworkInputs, member: int | None = None) -> Array:
        """Logits (k, n, o) of the inputs X (n, d), or (1, n, o) of one member."""
        _, h, _, k = self.shape
        W1, W2, b1, b2 = self.layers
        if member is not None:
            own = slice(member * h, (member + 1) * h)
            W1, b1 = W1[:, own], b1[own]
            k, W2, b2 = 1, W2[member : member + 1], b2[member : member + 1]
        hidden = X @ W1
        hidden += b1
        self.activation.forward(hidden)
        raw = hidden.reshape(-1, k, h).transpose(1, 0, 2) @ W2
        raw += b2
        return raw

    def loss_gradient(
        self,
        X: NetworkInputs,
        y: NDArray[np.intp],
        weight: Array,
        rng: np.random.Generator | None = None,
    ) -> float:
        """Return the weighted loss of a minibatch and overwrite ``grads``.

        Without the penalty. X (n, d + 1) with a last column of ones, or sparse (n, d);
        y (n,); weight (1 or k, n, 1). ``rng`` draws masks, and input dropout changes X.
        """
        work = self._workspace(X.shape[0])
        multiply = np.ndarray.dot if self.shape.n_members == 1 else np.matmul
        if self.input_dropout:
            self._drop_inputs(X, rng)
        if isinstance(X, np.ndarray):
            X.dot(work.first, work.hidden)  # (n, d + 1) @ (d + 1, k * h)
        else:
            np.add(X @ work.first[:-1], work.first[-1], out=work.hidden)
        self.activation.forward(work.hidden)
        if self.dropout:
            _draw_mask(work.keep, self.dropout, rng)
            np.multiply(work.hidden_rows, work.keep, out=work.dropped_rows)
        # (k, n, h) @ (k, h, o)
        multiply(work.member_hidden, work.W2, work.member_raw)
        np.add(work.raw, work.b2, out=work.raw)
        out = work.d_raw, work.loss_buffers
        loss = self.loss.loss_gradient(work.raw, y, weight, *out)

        multiply(work.member_hidden_back, work.member_d_raw, work.W2_grad)
        multiply(work.ones, work.member_d_raw, work.b2_grad)
        self.activation.derivative(work.hidden)
        if self.dropout:
            np.multiply(work.hidden_rows, work.keep, out=work.hidden_rows)
        if self._is_narrow and isinstance(X, np.ndarray):
            # one output and few inputs: sum_i x_i d_i w_j a'_ij needs no outer product
            (X * work.member_d_raw).T.dot(work.hidden, work.first_grad)
            np.multiply(work.first_grad, work.W2_row[0, 0], out=work.first_grad)
            return loss
        if self.shape.n_outputs == 1:  # an outer product
            np.multiply(work.d_raw_rows, work.W2_row, out=work.d_hidden_rows)
        else:
            multiply(work.member_d_raw, work.W2_back, work.member_d_hidden)
        np.multiply(work.d_hidden, work.hidden, out=work.d_hidden)
        if isinstance(X, np.ndarray):
            X.T.dot(work.d_hidden, work.first_grad)  # (d + 1, n) @ (n, k * h)
        else:
            work.first_grad[:-1] = X.T @ work.d_hidden
            work.ones.dot(work.d_hidden, work.first_grad[-1])
        return loss

    def penalty(self) -> float:
        """The objective's L2 term, alpha / 2 times the sum of squared weights."""
        weights = self.params[: self.shape.n_weights]
        return 0.5 * self.alpha * float(weights @ weights)

    def add_penalty_gradient(self) -> None:
        """Add the L2 term's gradient, alpha times the weights, to ``grads``."""
        if self.alpha:
            n_weights = self.shape.n_weights
            self.grads[:n_weights] += self.alpha * self.params[:n_weights]

    def _drop_inputs(self, X: NetworkInputs, rng: np.random.Generator | None) -> None:
        """Switch inputs off, except the column of ones."""
        entries = X[:, :-1] if isinstance(X, np.ndarray) else X.data
        keep = np.empty(entries.shape, np.float32)
        entries *= _draw_mask(keep, self.input_dropout, rng)

    def _workspace(self, n: int) -> Workspace:
        """Buffers for n rows, cached for a fit's two batch sizes, full and last."""
        if n not in self._workspaces:
            self._workspaces[n] = Workspace(self, n)
        return self._workspaces[n]


def _draw_mask(keep: Array, dropout: float, rng: np.random.Generator | None) -> Array:
    """Fill ``keep`` with zeros, a share of ``dropout``, and 1 / (1 - dropout).

    Inverted dropout (Srivastava et al. 2014) scales up the units that stay on. All
    members share the mask of a row, as they share the minibatch. Each member trains as
    it would alone, and only one mask has to be drawn. It is always drawn in single
    precision, so that the masks of float32 and float64 networks agree.
    """
    if rng is None:
        raise ValueError("dropout needs a random generator")
    rng.random(out=keep, dtype=np.float32)
    keep -= dropout
    np.ceil(keep, out=keep)  # (-1, 0] to 0, (0, 1) to 1
    keep *= 1 / (1 - dropout)
    return keep
