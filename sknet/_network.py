r"""The network: flat parameters with named views, forward, loss and gradient.

k networks ("members") with one hidden layer of h units are held and trained at once.
They see the same rows, so their first layers are ONE wide matrix product; the second
layers are a batched product. One member, k = 1, is the network of the textbook, by the
same code.

.. math:: H = a(X W_1 + b_1), \qquad Z_j = H_j W_{2,j} + b_{2,j}, \qquad
    L = \sum_{j=1}^{k} \sum_{i=1}^{n} w_{ij}\, \ell(y_i, z_{ij})
        + \frac{\alpha}{2} (\lVert W_1 \rVert^2 + \lVert W_2 \rVert^2)

The loss is a sum over members, so each trains exactly as if it were alone. In training
the bias of the first layer is part of its weights, the last row of ``[W1; b1]``: dense
inputs have a last column of ones, and one product does both.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike, NDArray

from sknet._activations import Activation, glorot_variance
from sknet._losses import Loss

BLOCK = 32_768  # hidden units worked through at a time: such arrays stay in the cache
BLAS_ROWS = 4  # OpenBLAS multiplies three rows of a narrow product as slowly as four

Array = NDArray[np.floating]
Inputs: TypeAlias = "Array | sp.csr_array"
Made = TypeVar("Made")


class MadeOnce(Generic[Made]):
    """An attribute that is made when it is first asked for.

    As functools.cached_property, but without the lock that Python 3.11 has there: a
    process that is forked while another thread holds it would wait for it for ever.
    """

    def __init__(self, make: Callable[[Any], Made]) -> None:
        self.make = make

    def __get__(self, instance: Any, owner: type) -> Made:
        made = self.make(instance)
        instance.__dict__[self.make.__name__] = made
        return made


class Layers(NamedTuple):
    """Named views of a flat vector.

    W2, W1, b1, b2 lie in this order: weights first, so that decay acts on the head, and
    b1 below W1, so that both are one matrix too.
    """

    W1: Array  # (d, k * h)
    W2: Array  # (k, h, o)
    b1: Array  # (k * h,)
    b2: Array  # (k, 1, o)


class Shape(NamedTuple):
    """The sizes that make a network."""

    n_inputs: int
    n_hidden: int
    n_outputs: int
    n_members: int = 1

    @property
    def n_weights(self) -> int:
        """Entries of W1 and W2."""
        width = self.n_members * self.n_hidden
        return width * (self.n_inputs + self.n_outputs)

    @property
    def n_params(self) -> int:
        """Entries of all four blocks."""
        return self.n_weights + self.n_members * (self.n_hidden + self.n_outputs)

    def views(self, flat: Array) -> Layers:
        """The blocks of ``flat`` (n_params,), without a copy."""
        d, h, o, k = self
        W1, b1, b2 = k * h * o, k * h * (o + d), k * h * (o + d + 1)  # where they start
        return Layers(
            flat[W1:b1].reshape(d, k * h),
            flat[:W1].reshape(k, h, o),
            flat[b1:b2],
            flat[b2:].reshape(k, 1, o),
        )

    def first_layer(self, flat: Array) -> Array:
        """W1 with b1 as its last row (d + 1, k * h), without a copy."""
        d, h, o, k = self
        return flat[k * h * o : k * h * (o + d + 1)].reshape(d + 1, k * h)

    def member(self, flat: Array, j: int) -> Array:
        """Flat parameters of member ``j`` alone, copied."""
        W1, W2, b1, b2 = self.views(flat)
        own = slice(j * self.n_hidden, (j + 1) * self.n_hidden)
        parts = W2[j], W1[:, own], b1[own], b2[j]
        return np.concatenate([part.ravel() for part in parts])

    def set_member(self, flat: Array, j: int, own_flat: Array) -> None:
        """Write the flat parameters of a lone network as member ``j``."""
        W1, W2, b1, b2 = self.views(flat)
        own = slice(j * self.n_hidden, (j + 1) * self.n_hidden)
        lone = self._replace(n_members=1).views(own_flat)
        W1[:, own], W2[j], b1[own], b2[j] = lone.W1, lone.W2[0], lone.b1, lone.b2[0]


class Block(NamedTuple):
    """Some rows of the hidden layer, few enough to stay in the cache; all are views."""

    hidden_flat: Array  # (m * k * h,)
    hidden_by_member: Array  # (m, k, h)
    dropped: Array  # (m, k, h)
    d_flat: Array  # (m * k * h,)
    d_by_member: Array  # (m, k, h)
    d_raw: Array  # (m, k, o)
    keep: Array  # (m, 1, h); empty without dropout


class Operands(NamedTuple):
    """Views of the parameters as training's products take them, and which it takes."""

    first: Array  # (d + 1, k * h)
    W2: Array  # (k, h, o), or (h, o) of one member
    W2_back: Array  # (k, o, h), or (o, h) of one member
    W2_row: Array  # (o, k, h)
    multiply: Callable[[Array, Array, Array], object]
    few_inputs: bool  # the way of _backward_few_inputs


class Gradients(NamedTuple):
    """Views of the flat gradient, as the products write to them."""

    first: Array  # (d + 1, k * h)
    W2: Array  # (k, h, o), or (h, o) of one member
    W1: Array  # (d, k * h)
    b1: Array  # (k * h,)
    b2: Array  # (k, o), or (o,)


class WeightedInputs(NamedTuple):
    """Inputs times a number for each row, with columns of zeros that BLAS likes."""

    inputs: Array  # (n, d + 1)
    transposed: Array  # (d + 1 and some, n)
    product: Array  # (d + 1 and some, k * h)
    first: Array  # (d + 1, k * h) of it

    @classmethod
    def like(cls, X: Array, width: int) -> "WeightedInputs":
        """Memory for the inputs X (n, d + 1) and their product with (n, width)."""
        n, d = X.shape
        padded = -(-d // BLAS_ROWS) * BLAS_ROWS
        inputs = np.zeros_like(X, shape=(n, padded))
        product = np.empty_like(X, shape=(padded, width))
        return cls(inputs[:, :d], inputs.T, product, product[:d])


class Workspace:
    """Every buffer that a step on ``n`` rows needs, made once, and views of them.

    For one member the second layer's arrays are seen as matrices, which multiply with
    less ado than stacks of one matrix.
    """

    def __init__(
        self, shape: Shape, n: int, dtype: DTypeLike, dropout: bool, loss: Loss
    ) -> None:
        _, h, o, k = shape
        self.hidden = np.empty((n, k * h), dtype)
        self.dropped = np.empty((n, k * h), dtype) if dropout else self.hidden
        self.keep = np.empty((n if dropout else 0, 1, h), np.float32)
        self.input_keep = np.empty((0, 0), np.float32)  # made when first needed
        self.weighted: WeightedInputs | None = None  # so are these
        self.d_hidden = np.empty((n, k * h), dtype)
        self.raw = np.empty((k, n, o), dtype)
        self.d_raw = np.empty((k, n, o), dtype)
        self.of_loss: Any = loss.buffers(k, n, dtype)
        self.ones = np.ones(n, dtype)
        # the same memory, member by member: (n, k * h) seen as (k, n, h)
        by_member = [
            a.reshape(n, k, h).transpose(1, 0, 2) for a in (self.dropped, self.d_hidden)
        ]
        self.dropped_by_member, self.d_hidden_by_member = map(alone, by_member)
        self.dropped_back = alone(by_member[0].transpose(0, 2, 1))  # (k, h, n)
        self.raw_by_member, self.d_raw_by_member = alone(self.raw), alone(self.d_raw)
        rows = max(1, BLOCK // (k * h))
        self.blocks = [
            self._block(slice(start, min(start + rows, n)), k, h)
            for start in range(0, n, rows)
        ]

    def _block(self, part: slice, k: int, h: int) -> Block:
        hidden, d_hidden = self.hidden[part], self.d_hidden[part]
        return Block(
            hidden.reshape(-1),
            hidden.reshape(-1, k, h),
            self.dropped[part].reshape(-1, k, h),
            d_hidden.reshape(-1),
            d_hidden.reshape(-1, k, h),
            self.d_raw.transpose(1, 0, 2)[part],
            self.keep[part],
        )


def alone(stack: Array) -> Array:
    """The only matrix of a stack of one; else the stack."""
    return stack[0] if len(stack) == 1 else stack


class TwoLayerNetwork:
    """k one-hidden-layer networks on one flat parameter vector.

    Parameters
    ----------
    shape : Shape
    params : ndarray of shape (shape.n_params,)
        Adopted, not copied: the dtype of all arithmetic.
    activation : Activation
    loss : SigmoidCrossEntropy or SoftmaxCrossEntropy
    alpha : float, default=0.0
        L2 penalty inside the objective; zero where the optimizer decays the weights.
    dropout, input_dropout : float, default=0.0
        Share of hidden units, and of inputs, that a training step switches off.
    """

    def __init__(
        self,
        shape: Shape,
        params: Array,
        activation: Activation,
        loss: Loss,
        *,
        alpha: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        self.shape = shape
        self.params = params
        self.activation = activation
        self.loss = loss
        self.alpha = alpha
        self.dropout = dropout
        self.input_dropout = input_dropout
        self._layers = shape.views(self.params)
        self._workspaces: dict[int, Workspace] = {}

    @MadeOnce
    def _operands(self) -> "Operands":
        W2 = self._layers.W2
        d, h, o, k = self.shape
        return Operands(
            self.shape.first_layer(self.params),
            alone(W2),
            alone(W2.transpose(0, 2, 1)),
            W2.transpose(2, 0, 1),
            # of matrices, or of stacks of them; for small ones matmul's own work counts
            np.ndarray.dot if k == 1 else np.matmul,
            k == o == 1 and d <= 2 * h,
        )

    @MadeOnce
    def grads(self) -> Array:
        """Gradient by ``params``; not made where there is only prediction."""
        return np.empty_like(self.params)

    @MadeOnce
    def _gradients(self) -> "Gradients":
        _, dW2, db1, db2 = layers = self.shape.views(self.grads)
        first = self.shape.first_layer(self.grads)
        return Gradients(first, alone(dW2), layers.W1, db1, alone(db2[:, 0]))

    @MadeOnce
    def _scratch(self) -> Array:
        return np.empty_like(self.params, shape=self.shape.n_weights)

    def start(
        self,
        rng: np.random.Generator,
        direction: Array | None = None,
        input_order: NDArray[np.intp] | None = None,
        class_rank: NDArray[np.intp] | None = None,
        class_log_prior: Array | None = None,
    ) -> None:
        """Draw new weights, member after member; the hidden biases start at zero.

        Normal with the variance of He et al. (2015) or of Glorot and Bengio (2010).
        ``direction`` (d,) turns inputs round, ``input_order`` (d,) and ``class_rank``
        (n_classes,) put inputs and classes in another order: the same draws for data
        that are written otherwise. ``class_log_prior`` (1 or k, n_classes) makes the
        output biases predict it, so that training need not find the class frequencies
        first.
        """
        d, h, o, k = self.shape
        W1, W2, b1, b2 = self._layers
        scale_1 = self.activation.start_variance(d, h) ** 0.5
        scale_2 = glorot_variance(h, o) ** 0.5
        for j in range(k):
            W1[:, j * h : (j + 1) * h] = rng.normal(scale=scale_1, size=(d, h))
            W2[j] = rng.normal(scale=scale_2, size=(h, o))
        b1.fill(0)
        b2.fill(0)
        if class_log_prior is not None:
            b2[:, 0] = self.loss.logits(class_log_prior)
        if input_order is not None:
            W1[:] = W1[input_order]
        if direction is not None:
            W1 *= direction[:, np.newaxis]
        if class_rank is not None and o == len(class_rank):
            W2[:] = W2[:, :, class_rank]
        elif class_rank is not None:  # one logit for two classes
            W2 *= 1 if class_rank[1] == 1 else -1

    def raw_prediction(
        self, X: Inputs, shift: Array | None = None, member: int | None = None
    ) -> Array:
        """Logits (k, n, o) of the inputs X (n, d), in new memory; or one member's.

        ``shift`` (d,) is added to every row of a sparse X without densifying it.
        """
        _, h, _, k = self.shape
        W1, W2, b1, b2 = self._layers
        if member is not None:
            own = slice(member * h, (member + 1) * h)
            W1, b1 = W1[:, own], b1[own]
            k, W2, b2 = 1, W2[member : member + 1], b2[member : member + 1]
        hidden = X @ W1
        hidden += b1 if shift is None else b1 + shift @ W1
        self.activation.forward(hidden)
        raw = hidden.reshape(-1, k, h).transpose(1, 0, 2) @ W2
        raw += b2
        return raw

    def loss_gradient(
        self,
        X: Inputs,
        y: NDArray[np.intp],
        weight: Array,
        rng: np.random.Generator | None = None,
    ) -> float:
        """Weighted loss of a minibatch; ``grads`` is overwritten. No penalty in either.

        X (n, d + 1) with a last column of ones, or sparse (n, d); y (n,); weight (1 or
        k, n, 1); ``rng`` draws the dropout masks; ``input_dropout`` overwrites X. The
        logits stay readable in ``workspace(n).raw`` until the next call.
        """
        b2, operands, grads = self._layers.b2, self._operands, self._gradients
        multiply = operands.multiply
        work = self.workspace(X.shape[0])
        if self.input_dropout:
            self._drop_inputs(X, work, rng)
        if isinstance(X, np.ndarray):
            X.dot(operands.first, work.hidden)  # (n, d + 1) @ (d + 1, k * h)
        else:
            np.add(X @ self._layers.W1, self._layers.b1, out=work.hidden)
        if self.dropout:
            _draw_mask(work.keep, self.dropout, rng)
        for block in work.blocks:
            self.activation.forward(block.hidden_flat)
            if self.dropout:
                np.multiply(block.hidden_by_member, block.keep, out=block.dropped)
        # (k, n, h) @ (k, h, o)
        multiply(work.dropped_by_member, operands.W2, work.raw_by_member)
        np.add(work.raw, b2, out=work.raw)
        loss = self.loss.loss_gradient(work.raw, y, weight, work.d_raw, work.of_loss)

        multiply(work.dropped_back, work.d_raw_by_member, grads.W2)
        multiply(work.ones, work.d_raw_by_member, grads.b2)
        if operands.few_inputs and isinstance(X, np.ndarray):
            self._backward_few_inputs(X, work, grads)
            return loss
        one_output = self.shape.n_outputs == 1
        if not one_output:
            multiply(work.d_raw_by_member, operands.W2_back, work.d_hidden_by_member)
        for block in work.blocks:
            if one_output:  # an outer product: broadcasting beats matmul
                np.multiply(block.d_raw, operands.W2_row, out=block.d_by_member)
            if self.dropout:
                np.multiply(block.d_by_member, block.keep, out=block.d_by_member)
            self.activation.backward(block.hidden_flat, block.d_flat)
        if isinstance(X, np.ndarray):
            X.T.dot(work.d_hidden, grads.first)  # (d + 1, n) @ (n, k * h)
        else:
            grads.W1[...] = X.T @ work.d_hidden
            work.ones.dot(work.d_hidden, grads.b1)
        return loss

    def _backward_few_inputs(self, X: Array, work: Workspace, grads: Gradients) -> None:
        r"""First layer's gradient of a lone network with one output.

        .. math:: \sum_i x_i\, d_i w_j\, a'_{ij} = w_j \sum_i (d_i x_i)\, a'_{ij}

        So the outer product of d and w is not needed: the few inputs are weighted by d.
        """
        for block in work.blocks:
            self.activation.slope(block.hidden_flat, block.d_flat)
            if self.dropout:
                np.multiply(block.d_by_member, block.keep, out=block.d_by_member)
        if work.weighted is None:
            work.weighted = WeightedInputs.like(X, work.d_hidden.shape[1])
        inputs, transposed, product, first = work.weighted
        np.multiply(X, work.d_raw[0], out=inputs)
        transposed.dot(work.d_hidden, product)
        np.multiply(first, self._operands.W2_row[0, 0], out=grads.first)

    def _drop_inputs(
        self, X: Inputs, work: Workspace, rng: np.random.Generator | None
    ) -> None:
        """Switch inputs off, but for the ones of the bias."""
        entries: Any = X[:, :-1] if isinstance(X, np.ndarray) else X.data
        if work.input_keep.shape != entries.shape:
            work.input_keep = np.empty(entries.shape, np.float32)
        entries *= _draw_mask(work.input_keep, self.input_dropout, rng)

    def penalty(self) -> float:
        """The objective's L2 term, alpha / 2 times the sum of squared weights."""
        weights = self.params[: self.shape.n_weights]
        return 0.5 * self.alpha * float(weights @ weights)

    def add_penalty_gradient(self) -> None:
        """Add the L2 term's gradient, alpha times the weights, to ``grads``."""
        if self.alpha:
            n_weights = self.shape.n_weights
            np.multiply(self.params[:n_weights], self.alpha, out=self._scratch)
            self.grads[:n_weights] += self._scratch

    def workspace(self, n: int) -> Workspace:
        """The buffers for ``n`` rows; a fit meets two sizes, full and last batch."""
        if n not in self._workspaces:
            self._workspaces[n] = Workspace(
                self.shape, n, self.params.dtype, self.dropout > 0, self.loss
            )
        return self._workspaces[n]


def _draw_mask(keep: Array, dropout: float, rng: np.random.Generator | None) -> Array:
    """Fill ``keep`` with zeros, a share of ``dropout``, and 1 / (1 - dropout).

    Inverted dropout (Srivastava et al. 2014): what stays is scaled up. The members
    share a row's mask of hidden units, as they share the minibatch: each of them alone
    sees what it would see by itself, and only one mask need be drawn. It is drawn in
    single precision whatever that of the network, so that the masks agree.
    """
    if rng is None:
        raise ValueError("dropout needs a random generator")
    rng.random(out=keep, dtype=np.float32)
    keep -= dropout
    np.ceil(keep, out=keep)  # (-1, 0] to 0, (0, 1) to 1
    keep *= 1 / (1 - dropout)
    return keep
