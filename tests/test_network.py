"""The network: gradients by central differences, views, members, dropout, sparse."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from sknet._activations import IDENTITY, LOGISTIC, RELU, TANH
from sknet._losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._network import Shape, TwoLayerNetwork

ACTIVATIONS = {"relu": RELU, "tanh": TANH, "logistic": LOGISTIC, "identity": IDENTITY}


def make_loss(n_classes):
    return SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)


def with_ones(X):
    """Dense inputs as training has them: the last column is the bias's."""
    return np.column_stack([X, np.ones(len(X))])


def make_problem(rng, *, k=1, n_classes=2, weights="ones", n=9, d=4, h=3, **options):
    """A started network and a minibatch for it, all in float64."""
    activation = ACTIVATIONS[options.pop("activation", "tanh")]
    loss = make_loss(n_classes)
    shape = Shape(d, h, loss.n_outputs, k)
    network = TwoLayerNetwork(
        shape, np.empty(shape.n_params), activation, loss, **options
    )
    network.start(rng)
    network.params += 0.1 * rng.normal(size=network.params.shape)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.7)
    y = rng.integers(0, n_classes, size=n)
    weight = {
        "ones": np.ones((1, n, 1)),
        "rows": rng.uniform(0, 2, size=(1, n, 1)),
        "members": rng.uniform(0, 2, size=(k, n, 1)) * (rng.random((k, n, 1)) < 0.8),
    }[weights]
    return network, X, y, weight


def numerical_gradient(network, objective, step=1e-6):
    """Central differences of the objective in every parameter."""
    gradient = np.empty_like(network.params)
    for i, value in enumerate(network.params.copy()):
        network.params[i] = value + step
        above = objective()
        network.params[i] = value - step
        below = objective()
        network.params[i] = value
        gradient[i] = (above - below) / (2 * step)
    return gradient


GRID = list(
    itertools.product(
        [1, 3],
        [2, 3],
        ["dense", "sparse"],
        ["ones", "rows", "members"],
        ACTIVATIONS,
        [0.0, 0.3],
    )
)


@pytest.mark.parametrize(("k", "n_classes", "kind", "weights", "name", "alpha"), GRID)
def test_gradient_by_central_differences(rng, k, n_classes, kind, weights, name, alpha):
    """Worst relative error over all parameters at most 1e-6."""
    network, X, y, weight = make_problem(
        rng, k=k, n_classes=n_classes, weights=weights, activation=name, alpha=alpha
    )
    W1, _, b1, _ = network.shape.views(network.params)
    assert np.abs(X @ W1 + b1).min() > 1e-5  # no difference steps over ReLU's kink
    inputs = sp.csr_array(X) if kind == "sparse" else with_ones(X)

    def objective():
        return network.loss_gradient(inputs, y, weight) + network.penalty()

    expected = numerical_gradient(network, objective)
    objective()
    network.add_penalty_gradient()
    scale = np.maximum(np.abs(expected), np.abs(expected).max() * 1e-2)
    assert (np.abs(network.grads - expected) / scale).max() <= 1e-6


@pytest.mark.parametrize("h", [1, 3])  # more inputs than twice the units, or fewer
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_gradient_with_dropout_masks_held_fixed(rng, n_classes, k, h):
    network, X, y, weight = make_problem(
        rng, k=k, n_classes=n_classes, h=h, dropout=0.4
    )
    inputs = with_ones(X)

    def objective():
        return network.loss_gradient(inputs, y, weight, np.random.default_rng(5))

    expected = numerical_gradient(network, objective)
    objective()
    np.testing.assert_allclose(network.grads, expected, rtol=1e-6, atol=1e-8)


def test_shape_views_are_the_flat_vector():
    shape = Shape(n_inputs=5, n_hidden=4, n_outputs=3, n_members=2)
    flat = np.arange(shape.n_params, dtype=float)
    views = shape.views(flat)
    assert [v.shape for v in views] == [(5, 8), (2, 4, 3), (8,), (2, 1, 3)]
    assert sum(v.size for v in views) == flat.size
    assert shape.n_weights == views.W1.size + views.W2.size
    first = shape.first_layer(flat)
    np.testing.assert_array_equal(first, np.vstack([views.W1, views.b1]))
    assert np.shares_memory(first, flat)
    for view in views:
        assert np.shares_memory(view, flat)
        view += 1
    np.testing.assert_array_equal(flat, np.arange(shape.n_params) + 1)


def test_members_leave_and_return(rng):
    shape = Shape(5, 4, 3, 3)
    flat = rng.normal(size=shape.n_params)
    rebuilt = np.empty_like(flat)
    for j in range(3):
        own = shape.member(flat, j)
        assert own.shape == (shape._replace(n_members=1).n_params,)
        shape.set_member(rebuilt, j, own)
    np.testing.assert_array_equal(rebuilt, flat)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_is_the_textbooks(rng, name, n_classes):
    network, X, *_ = make_problem(rng, k=3, n_classes=n_classes, activation=name)
    W1, W2, b1, b2 = network.shape.views(network.params)
    formulas = {
        "relu": lambda z: np.maximum(z, 0),
        "tanh": np.tanh,
        "logistic": lambda z: 1 / (1 + np.exp(-z)),
        "identity": lambda z: z,
    }
    raw = network.raw_prediction(X)
    for j in range(3):
        own = slice(3 * j, 3 * j + 3)
        hidden = formulas[name](X @ W1[:, own] + b1[own])
        np.testing.assert_allclose(raw[j], hidden @ W2[j] + b2[j], rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_joint_members_have_the_gradients_of_lone_ones(rng, n_classes):
    network, X, y, weight = make_problem(
        rng, k=3, n_classes=n_classes, weights="members"
    )
    X = with_ones(X)
    joint = network.loss_gradient(X, y, weight)
    separate = 0.0
    lone_shape = network.shape._replace(n_members=1)
    for j in range(3):
        params = network.shape.member(network.params, j)
        lone = TwoLayerNetwork(lone_shape, params, network.activation, network.loss)
        separate += lone.loss_gradient(X, y, weight[j : j + 1])
        expected = network.shape.member(network.grads, j)
        np.testing.assert_allclose(lone.grads, expected, rtol=1e-10, atol=1e-13)
    assert joint == pytest.approx(separate, rel=1e-12)


def test_starting_more_members_does_not_move_the_first(rng):
    few, many = (Shape(6, 5, 3, k) for k in (2, 4))
    starts = []
    for shape in (few, many):
        params = np.empty(shape.n_params)
        TwoLayerNetwork(shape, params, RELU, make_loss(3)).start(
            np.random.default_rng(3)
        )
        starts.append([shape.member(params, j) for j in range(2)])
    np.testing.assert_array_equal(*starts)


@pytest.mark.parametrize(("name", "variance"), [("relu", 2 / 300), ("tanh", 2 / 500)])
def test_start_has_the_variance_of_he_or_glorot(rng, name, variance):
    network, *_ = make_problem(rng, d=300, h=200, activation=name)
    network.start(rng)
    W1, W2, b1, b2 = network.shape.views(network.params)
    assert W1.var() == pytest.approx(variance, rel=0.03)
    assert W2.var() == pytest.approx(2 / 201, rel=0.4)
    assert not b1.any()
    assert not b2.any()


def test_dropout_keeps_the_expectation_and_its_share(rng):
    """Inverted dropout: a linear network's logits do not change on average."""
    network, X, y, weight = make_problem(
        rng, h=400, n=200, activation="identity", dropout=0.3
    )
    plain = network.raw_prediction(X)
    X = with_ones(X)
    network.loss_gradient(X, y, weight, rng)
    work = network.workspace(len(X))
    assert (work.keep == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(work.keep[work.keep > 0], 1 / 0.7, rtol=1e-7)
    draws = [work.raw.copy()]
    for _ in range(200):
        network.loss_gradient(X, y, weight, rng)
        draws.append(work.raw.copy())
    spread = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - plain) < 6 * spread).all()


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_input_dropout_keeps_the_expectation_and_its_share(rng, kind):
    network, X, y, weight = make_problem(
        rng, h=4, n=2000, activation="identity", input_dropout=0.3
    )
    plain = network.raw_prediction(X)
    inputs = sp.csr_array(X) if kind == "sparse" else with_ones(X)
    draws = []
    for _ in range(200):
        thinned = inputs.copy()
        network.loss_gradient(thinned, y, weight, rng)
        draws.append(network.workspace(len(X)).raw.copy())
    if kind == "sparse":
        thinned = thinned.toarray()
    else:
        assert (thinned[:, -1] == 1).all()  # the bias is no input
        thinned = thinned[:, :-1]
    assert (thinned[X != 0] == 0).mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_allclose(thinned[thinned != 0], X[thinned != 0] / 0.7, rtol=1e-6)
    spread = np.std(draws, axis=0) / np.sqrt(len(draws))
    off = np.abs(np.mean(draws, axis=0) - plain)
    assert (off <= 6 * spread + 1e-7).all()


def test_dropout_without_a_generator_is_an_error(rng):
    network, X, y, weight = make_problem(rng, dropout=0.3)
    with pytest.raises(ValueError, match="generator"):
        network.loss_gradient(with_ones(X), y, weight)


def test_sparse_rows_give_the_dense_logits(rng):
    network, X, y, weight = make_problem(rng, k=2, n_classes=3)
    dense = network.loss_gradient(with_ones(X), y, weight)
    expected = network.grads.copy()
    sparse = network.loss_gradient(sp.csr_array(X), y, weight)
    assert sparse == pytest.approx(dense)
    np.testing.assert_allclose(network.grads, expected, rtol=1e-10, atol=1e-13)
    shift = rng.normal(size=4)
    np.testing.assert_allclose(
        network.raw_prediction(sp.csr_array(X), shift),
        network.raw_prediction(X + shift),
        rtol=1e-10,
    )


def test_turned_columns_and_reordered_classes_start_alike(rng):
    """The start follows the data: turned columns get turned weights."""
    shape = Shape(4, 3, 3, 2)
    direction, rank = np.array([1.0, -1.0, -1.0, 1.0]), np.array([2, 0, 1])
    plain, turned = np.empty((2, shape.n_params))
    for params, kwargs in (
        (plain, {}),
        (turned, {"direction": direction, "class_rank": rank}),
    ):
        TwoLayerNetwork(shape, params, RELU, make_loss(3)).start(
            np.random.default_rng(0), **kwargs
        )
    X = rng.normal(size=(8, 4))
    raw = [
        TwoLayerNetwork(shape, params, RELU, make_loss(3)).raw_prediction(inputs)
        for params, inputs in ((plain, X), (turned, X * direction))
    ]
    np.testing.assert_allclose(raw[1], raw[0][:, :, rank], rtol=1e-12)
