"""The network: gradients by central differences, views, members, dropout, sparse."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from sknet._network.activations import IDENTITY, LOGISTIC, RELU, TANH
from sknet._network.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._network.network import Shape, TwoLayerNetwork

ACTIVATIONS = {"relu": RELU, "tanh": TANH, "logistic": LOGISTIC, "identity": IDENTITY}
FORMULAS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
}


def make_loss(n_classes):
    return SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)


def with_ones(X):
    """Add the last column of ones that dense inputs have in training."""
    return np.column_stack([X, np.ones(len(X))])


def in_training(X, kind):
    return sp.csr_array(X) if kind == "sparse" else with_ones(X)


def make_problem(rng, *, k=1, n_classes=2, weights="ones", n=9, d=4, h=3, **options):
    """Make a started network and a minibatch for it, all in float64."""
    activation = ACTIVATIONS[options.pop("activation", "tanh")]
    loss = make_loss(n_classes)
    shape = Shape(d, h, loss.n_outputs, k)
    params = np.empty(shape.n_params)
    network = TwoLayerNetwork(shape, params, activation, loss, **options)
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


def positions(shape, j):
    """Where the flat vector holds the parameters of member j."""
    W1, W2, b1, b2 = shape.views(np.arange(shape.n_params))
    own = slice(j * shape.n_hidden, (j + 1) * shape.n_hidden)
    return np.concatenate([a.ravel() for a in (W2[j], W1[:, own], b1[own], b2[j])])


def central_differences(network, objective, step=1e-6):
    """Estimate the gradient of the objective by every parameter."""
    gradient = np.empty_like(network.params)
    for i, value in enumerate(network.params.copy()):
        network.params[i] = value + step
        above = objective()
        network.params[i] = value - step
        below = objective()
        network.params[i] = value
        gradient[i] = (above - below) / (2 * step)
    return gradient


each_kind = pytest.mark.parametrize("kind", ["dense", "sparse"])
each_n_classes = pytest.mark.parametrize("n_classes", [2, 3])


@pytest.mark.parametrize("k", [1, 3])
@each_n_classes
@each_kind
@pytest.mark.parametrize("weights", ["ones", "rows", "members"])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_gradients_are_central_differences(
    rng, k, n_classes, kind, weights, name, alpha
):
    """The worst relative error over all parameters is at most 1e-6."""
    network, X, y, weight = make_problem(
        rng, k=k, n_classes=n_classes, weights=weights, activation=name, alpha=alpha
    )
    W1, _, b1, _ = network.shape.views(network.params)
    assert np.abs(X @ W1 + b1).min() > 1e-5  # no difference steps over ReLU's kink
    inputs = in_training(X, kind)

    def objective():
        return network.loss_gradient(inputs, y, weight) + network.penalty()

    expected = central_differences(network, objective)
    objective()
    network.add_penalty_gradient()
    scale = np.maximum(np.abs(expected), np.abs(expected).max() * 1e-2)
    assert (np.abs(network.grads - expected) / scale).max() <= 1e-6


@pytest.mark.parametrize("k", [1, 2])
@each_n_classes
@each_kind
@pytest.mark.parametrize("dropout", [(0.4, 0.0), (0.0, 0.4), (0.3, 0.3)], ids=str)
def test_gradients_under_fixed_dropout_masks_are_central_differences(
    rng, n_classes, k, kind, dropout
):
    network, X, y, weight = make_problem(
        rng, k=k, n_classes=n_classes, dropout=dropout[0], input_dropout=dropout[1]
    )

    def objective():
        inputs = in_training(X, kind)  # which input dropout overwrites
        return network.loss_gradient(inputs, y, weight, np.random.default_rng(5))

    expected = central_differences(network, objective)
    objective()
    assert_allclose(network.grads, expected, rtol=1e-6, atol=1e-8)


def test_views_share_the_memory_of_the_flat_vector():
    shape = Shape(n_inputs=5, n_hidden=4, n_outputs=3, n_members=2)
    flat = np.zeros(shape.n_params)
    views = shape.views(flat)
    W1, W2, b1, b2 = views
    assert [view.shape for view in views] == [(5, 8), (2, 4, 3), (8,), (2, 1, 3)]
    assert shape.n_weights == W1.size + W2.size
    assert sum(view.size for view in views) == flat.size
    for view in views:
        view += 1
    assert_array_equal(flat, 1)
    b1[:] = b2[:] = 2  # weights come first: decay acts on the head
    assert_array_equal(flat, np.repeat([1, 2], [shape.n_weights, 8 + 6]))


@each_n_classes
@pytest.mark.parametrize("name", ACTIVATIONS)
@each_kind
def test_forward_is_the_textbooks(rng, name, n_classes, kind):
    network, X, *_ = make_problem(rng, k=3, n_classes=n_classes, activation=name)
    W1, W2, b1, b2 = network.shape.views(network.params)
    inputs = sp.csr_array(X) if kind == "sparse" else X
    raw = network.raw_prediction(inputs)
    for j in range(3):
        own = slice(3 * j, 3 * j + 3)
        hidden = FORMULAS[name](X @ W1[:, own] + b1[own])
        assert_allclose(raw[j], hidden @ W2[j] + b2[j], rtol=1e-12, atol=1e-14)
        lone = network.raw_prediction(inputs, member=j)
        assert_allclose(lone, raw[j : j + 1], rtol=1e-12, atol=1e-14)


@each_n_classes
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_joint_members_have_the_gradients_of_lone_ones(rng, n_classes, dropout):
    """Members share the mask of a row, as they share the minibatch."""
    network, X, y, weight = make_problem(
        rng, k=3, n_classes=n_classes, weights="members", dropout=dropout
    )
    X = with_ones(X)
    joint = network.loss_gradient(X, y, weight, np.random.default_rng(5))
    separate = 0.0
    lone_shape = network.shape._replace(n_members=1)
    rebuilt = np.empty_like(network.params)
    for j in range(3):
        params = network.params[positions(network.shape, j)]
        rebuilt[positions(network.shape, j)] = params
        lone = TwoLayerNetwork(
            lone_shape, params, network.activation, network.loss, dropout=dropout
        )
        own = weight[j : j + 1]
        separate += lone.loss_gradient(X, y, own, np.random.default_rng(5))
        expected = network.grads[positions(network.shape, j)]
        assert_allclose(lone.grads, expected, rtol=1e-10, atol=1e-13)
    assert joint == pytest.approx(separate, rel=1e-12)
    assert_array_equal(rebuilt, network.params)


def test_a_member_does_not_see_the_label_of_a_row_without_weight(rng):
    """This makes cross-fitting honest: a fold's labels move the other members only."""
    network, X, y, weight = make_problem(rng, k=3, n_classes=3, weights="members")
    X, row = with_ones(X), 4
    weight[:, row, 0] = 1.0, 0.0, 2.0
    gradients = []
    for label in range(3):
        y[row] = label
        network.loss_gradient(X, y, weight)
        gradients.append([network.grads[positions(network.shape, j)] for j in range(3)])
    for other in gradients[1:]:
        assert_array_equal(other[1], gradients[0][1])
        assert (other[0] != gradients[0][0]).any()
        assert (other[2] != gradients[0][2]).any()


@pytest.mark.parametrize(("name", "variance"), [("relu", 2 / 300), ("tanh", 2 / 500)])
def test_start_has_the_variance_of_he_or_glorot(rng, name, variance):
    network, *_ = make_problem(rng, d=300, h=200, activation=name)
    network.start(rng)
    W1, W2, b1, b2 = network.shape.views(network.params)
    assert W1.var() == pytest.approx(variance, rel=0.03)
    assert W2.var() == pytest.approx(2 / 201, rel=0.4)
    assert not b1.any()
    assert not b2.any()


@each_n_classes
def test_start_predicts_the_prior_of_each_member_where_inputs_are_zero(rng, n_classes):
    network, *_ = make_problem(rng, k=3, n_classes=n_classes, activation="relu")
    prior = rng.dirichlet(np.ones(n_classes), size=3)
    network.start(rng, np.log(prior))
    raw = network.raw_prediction(np.zeros((1, 4)))
    for j in range(3):
        proba = network.loss.mean_proba(raw[j : j + 1])
        assert_allclose(proba, prior[j : j + 1], rtol=1e-12)


def test_starting_more_members_does_not_move_the_first():
    members = []
    for k in (2, 4):
        network, *_ = make_problem(np.random.default_rng(3), k=k)
        network.start(np.random.default_rng(3))
        members.append([network.params[positions(network.shape, j)] for j in range(2)])
    assert_array_equal(*members)


def test_dropout_keeps_the_expectation_and_its_share(rng):
    """All hidden units are 1, so a logit is the mean of masks 0 or 1 / (1 - share)."""
    h, n, share = 400, 50, 0.3
    network, X, y, weight = make_problem(
        rng, h=h, n=n, activation="identity", dropout=share
    )
    W1, W2, b1, b2 = network.shape.views(network.params)
    W1[:], W2[:], b1[:], b2[:] = 0, 1 / h, 1, 0
    X = with_ones(X)
    losses = [network.loss_gradient(X, y, weight, rng) for _ in range(200)]
    logits = rng.normal(1, np.sqrt(share / (1 - share) / h), size=(20_000, n))
    expected = np.log1p(np.exp(np.where(y == 1, -logits, logits))).sum(axis=1)
    error = expected.std() / np.sqrt(len(losses))
    assert np.mean(losses) == pytest.approx(expected.mean(), abs=5 * error)
    assert np.std(losses) == pytest.approx(expected.std(), rel=0.3)


@each_kind
def test_input_dropout_keeps_the_expectation_and_its_share(rng, kind):
    network, X, y, weight = make_problem(rng, h=4, n=2000, input_dropout=0.3)
    inputs = in_training(X, kind)
    network.loss_gradient(inputs, y, weight, rng)
    if kind == "sparse":
        thinned = inputs.toarray()
    else:
        assert (inputs[:, -1] == 1).all()  # the column of the bias is no input
        thinned = inputs[:, :-1]
    present = X != 0
    assert (thinned[present] == 0).mean() == pytest.approx(0.3, abs=0.04)
    kept = thinned != 0
    assert_allclose(thinned[kept], X[kept] / 0.7, rtol=1e-6)


def test_dropout_without_a_generator_is_an_error(rng):
    network, X, y, weight = make_problem(rng, dropout=0.3)
    with pytest.raises(ValueError, match="generator"):
        network.loss_gradient(with_ones(X), y, weight)
