"""The textbook's network, written out in NumPy, against the estimator.

13 inputs, 8 ReLU units, a sigmoid output for two classes of wine or a softmax output
for all three, the mean cross-entropy, 100 full-batch steps at the rate 0.001. The
gradients below are derived by hand and checked by central differences; the estimator
must reach the same weights and losses. The rest of the file takes the errors that such
a program is known for, one by one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier
from sknet._losses import SigmoidCrossEntropy, SoftmaxCrossEntropy

N_STEPS = 100
RATE = 0.001
VANISHING = 1e-300  # a rate so small that a step leaves the start's weights as they are

# from a poor start, 100 such steps end above the loss of the class frequencies
pytestmark = pytest.mark.filterwarnings(
    "ignore:The best loss.*:sklearn.exceptions.ConvergenceWarning"
)


class Net(NamedTuple):
    """Parameters, or their gradients: (d, h), (h,), (h, o), (o,)."""

    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray


class Pass(NamedTuple):
    """What a forward pass computes: (n, h), (n, h), (n, o), (n, o)."""

    Z1: np.ndarray
    H: np.ndarray
    Z2: np.ndarray
    P: np.ndarray


class Problem(NamedTuple):
    """Rows, labels, targets (n, o), and what turns logits into probabilities."""

    X: np.ndarray
    y: np.ndarray
    Y: np.ndarray
    link: Callable


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def softmax(Z):
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def cross_entropy(P, Y):
    """Mean over the rows; one sigmoid output stands for two classes."""
    if Y.shape[1] == 1:
        P, Y = np.hstack([1 - P, P]), np.hstack([1 - Y, Y])
    return -np.mean(np.sum(Y * np.log(P), axis=1))


def forward(problem, net):
    Z1 = problem.X @ net.W1 + net.b1
    H = np.maximum(Z1, 0)
    Z2 = H @ net.W2 + net.b2
    return Pass(Z1, H, Z2, problem.link(Z2))


def backward(problem, net):
    Z1, H, _, P = forward(problem, net)
    dZ2 = (P - problem.Y) / len(problem.X)
    dH = dZ2 @ net.W2.T
    dZ1 = dH * (Z1 > 0)
    return Net(problem.X.T @ dZ1, dZ1.sum(axis=0), H.T @ dZ2, dZ2.sum(axis=0))


def descend(problem, net, backward=backward):
    """The parameters after all steps, and the loss before each."""
    losses = []
    for _ in range(N_STEPS):
        losses.append(cross_entropy(forward(problem, net).P, problem.Y))
        gradients = backward(problem, net)
        net = Net(*(p - RATE * g for p, g in zip(net, gradients, strict=True)))
    return net, losses


@pytest.fixture(params=[2, 3], ids=["sigmoid", "softmax"])
def problem(request):
    return wine(request.param)


def wine(n_classes):
    data = load_wine()
    kept = data.target < n_classes
    X = StandardScaler().fit_transform(data.data[kept])
    Y = np.eye(n_classes)[data.target[kept]]
    y = data.target_names[data.target[kept]]
    if n_classes == 2:
        return Problem(X, y, Y[:, 1:], sigmoid)
    return Problem(X, y, Y, softmax)


def fitted(X, y, seed, **changes):
    """The estimator set up as the textbook's network, fitted."""
    settings = {
        "hidden_layer_size": 8,
        "n_estimators": 1,
        "solver": "sgd",
        "momentum": 0,
        "alpha": 0,
        "learning_rate": "constant",
        "learning_rate_init": RATE,
        "batch_size": len(X),
        "max_iter": N_STEPS,
        "tol": 0,
        "dropout": 0,
        "standardize": False,
        "dtype": "float64",
        "random_state": seed,
    }
    return TwoLayerClassifier(**settings | changes).fit(X, y)


def start(X, y, seed):
    """The estimator with the weights that a fit with this seed starts from."""
    return fitted(X, y, seed, learning_rate_init=VANISHING, max_iter=1)


def parameters(clf):
    (W1, W2), (b1, b2) = clf.coefs_, clf.intercepts_
    return Net(W1, b1, W2, b2)


def assert_same_net(actual, expected, atol=1e-10):
    for name in Net._fields:
        left, right = getattr(actual, name), getattr(expected, name)
        assert_allclose(left, right, rtol=0, atol=atol, err_msg=name)


def flat(net):
    return np.concatenate([block.ravel() for block in net])


def test_textbook_gradients_are_those_of_the_loss(problem, global_random_seed):
    net = parameters(start(problem.X, problem.y, global_random_seed))
    theta, step = flat(net), 1e-6

    def loss_at(theta):
        ends = np.cumsum([block.size for block in net])[:-1]
        blocks = zip(np.split(theta, ends), net, strict=True)
        moved = Net(*(part.reshape(block.shape) for part, block in blocks))
        return cross_entropy(forward(problem, moved).P, problem.Y)

    numeric = [
        (loss_at(theta + e) - loss_at(theta - e)) / (2 * step)
        for e in step * np.eye(len(theta))
    ]
    assert_allclose(flat(backward(problem, net)), numeric, rtol=0, atol=1e-8)


def test_estimator_is_the_textbooks_network(problem, global_random_seed):
    X, y, seed = problem.X, problem.y, global_random_seed
    first = parameters(start(X, y, seed))
    assert [block.shape for block in first] == [
        (13, 8),
        (8,),
        (8, problem.Y.shape[1]),
        (problem.Y.shape[1],),
    ]
    net, losses = descend(problem, first)
    clf = fitted(X, y, seed)
    assert_same_net(parameters(clf), net)
    assert len(clf.loss_curve_) == N_STEPS
    assert_allclose(clf.loss_curve_, losses, rtol=0, atol=1e-10)
    proba = clf.predict_proba(X)[:, -problem.Y.shape[1] :]
    assert_allclose(proba, forward(problem, net).P, rtol=0, atol=1e-10)


def two_rows_whatever_their_number(problem, net):
    return Net(*(g * len(problem.X) / 2 for g in backward(problem, net)))


def second_weights_from_logits(problem, net):
    _, H, Z2, _ = forward(problem, net)
    return backward(problem, net)._replace(W2=H.T @ Z2 / len(problem.X))


def biases_summed_over_the_units(problem, net):
    Z1, _, _, P = forward(problem, net)
    dZ2 = (P - problem.Y) / len(problem.X)
    dZ1 = dZ2 @ net.W2.T * (Z1 > 0)
    db1, db2 = dZ1.sum(axis=1, keepdims=True), dZ2.sum(axis=1, keepdims=True)
    return backward(problem, net)._replace(b1=db1, b2=db2)


def slope_of_tanh_for_relu(problem, net):
    _, H, _, P = forward(problem, net)
    dZ1 = (P - problem.Y) / len(problem.X) @ net.W2.T * (1 - H**2)
    return backward(problem, net)._replace(W1=problem.X.T @ dZ1, b1=dZ1.sum(axis=0))


def weights_never_updated(problem, net):
    return Net(*map(np.zeros_like, net))


@pytest.mark.parametrize(
    "faulty",
    [
        two_rows_whatever_their_number,
        second_weights_from_logits,
        biases_summed_over_the_units,
        slope_of_tanh_for_relu,
        weights_never_updated,
    ],
)
def test_each_fault_would_show_in_the_losses(problem, global_random_seed, faulty):
    X, y, seed = problem.X, problem.y, global_random_seed
    _, losses = descend(problem, parameters(start(X, y, seed)), faulty)
    difference = np.subtract(losses, fitted(X, y, seed).loss_curve_)
    assert np.abs(difference).max() > 1e-6  # ten thousand times the tolerance above


def test_every_row_twice_changes_nothing(problem, global_random_seed):
    X, y, seed = problem.X, problem.y, global_random_seed
    once = fitted(X, y, seed)
    twice = fitted(np.vstack([X, X]), np.concatenate([y, y]), seed)
    assert_array_equal(flat(parameters(twice)), flat(parameters(once)))
    assert_array_equal(twice.loss_curve_, once.loss_curve_)


def test_every_row_nearly_twice_changes_nearly_nothing(problem, global_random_seed):
    """Equal rows are merged before training; these are not, so n really doubles."""
    X, y, seed = problem.X, problem.y, global_random_seed
    once = fitted(X, y, seed)
    near = np.vstack([X, X * (1 + 1e-13)])
    twice = fitted(near, np.concatenate([y, y]), seed)
    assert_same_net(parameters(twice), parameters(once))
    assert_allclose(twice.loss_curve_, once.loss_curve_, rtol=0, atol=1e-10)


def test_hidden_bias_learns_as_the_weight_of_a_column_of_ones(
    problem, global_random_seed
):
    X = np.column_stack([problem.X, np.ones(len(problem.X))])
    first = parameters(start(X, problem.y, global_random_seed))
    last = parameters(fitted(X, problem.y, global_random_seed))
    assert np.abs(last.b1).max() > 1e-6
    moved = last.W1[-1] - first.W1[-1]
    assert_allclose(last.b1 - first.b1, moved, rtol=0, atol=1e-12)


def test_output_bias_gradient_is_the_mean_residual(problem, global_random_seed):
    X, y, seed = problem.X, problem.y, global_random_seed
    first = start(X, y, seed)
    one_step = fitted(X, y, seed, max_iter=1)
    P = first.predict_proba(X)[:, -problem.Y.shape[1] :]
    expected = first.intercepts_[1] - RATE * (P - problem.Y).mean(axis=0)
    assert_allclose(one_step.intercepts_[1], expected, rtol=0, atol=1e-15)


def test_updates_run_and_pay_off_as_the_gradient_says(problem, global_random_seed):
    """To first order a step of -rate * g lowers the loss by rate * |g| ** 2."""
    X, y, seed, rate = problem.X, problem.y, global_random_seed, 1e-5
    first = parameters(start(X, y, seed))
    last = parameters(fitted(X, y, seed))
    for name in Net._fields:
        assert (getattr(last, name) != getattr(first, name)).any(), name
    second = parameters(fitted(X, y, seed, learning_rate_init=rate, max_iter=1))
    before, after = fitted(X, y, seed, learning_rate_init=rate, max_iter=2).loss_curve_
    step = flat(second) - flat(first)
    assert_allclose(before - after, step @ step / rate, rtol=1e-3)
    assert (np.diff(fitted(X, y, seed).loss_curve_) < 0).all()


def test_saturated_outputs_have_a_finite_loss(problem, global_random_seed):
    problem = problem._replace(X=1e5 * problem.X, link=lambda Z: Z)
    clf = start(problem.X, problem.y, global_random_seed)
    Z = forward(problem, parameters(clf)).Z2
    if Z.shape[1] == 1:  # softplus(z) - y z, which needs no logarithm of p
        log_p = np.hstack([-np.logaddexp(0, Z), -np.logaddexp(0, -Z)])
        losses = np.logaddexp(0, Z) - problem.Y * Z
    else:
        log_p = Z - logsumexp(Z, axis=1, keepdims=True)
        losses = -np.sum(problem.Y * log_p, axis=1)
    assert losses.max() > 1000  # a logarithm of p would be that of zero
    assert_allclose(clf.loss_curve_, [losses.mean()], rtol=1e-12)
    assert_allclose(clf.predict_log_proba(problem.X), log_p, rtol=1e-12, atol=1e-9)
    assert_allclose(clf.predict_proba(problem.X), np.exp(log_p), rtol=0, atol=1e-9)


def test_training_goes_on_from_saturated_outputs(problem, global_random_seed):
    X = 1e5 * problem.X
    clf = fitted(X, problem.y, global_random_seed, max_iter=5)
    assert clf.loss_curve_[0] > 1000
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(flat(parameters(clf))).all()
    assert np.isfinite(clf.predict_log_proba(X)).all()


def test_losses_at_logits_of_a_thousand():
    """The right answer costs 0, the wrong one the distance of the logits."""
    sigmoid_logits = [[1000.0], [-1000.0], [1000.0], [-1000.0]]
    softmax_logits = [[1000.0, -1000.0], [1000.0, -1000.0]]
    for loss, logits, y, total, residual in [
        (SigmoidCrossEntropy(), sigmoid_logits, [1, 0, 0, 1], 2000, [0, 0, 1, -1]),
        (SoftmaxCrossEntropy(2), softmax_logits, [0, 1], 2000, [0, 0, 1, -1]),
    ]:
        raw = np.array([logits])
        gradient, weight = np.empty_like(raw), np.ones((1, raw.shape[1], 1))
        buffers = loss.buffers(1, raw.shape[1], raw.dtype)
        found = loss.loss_gradient(raw, np.array(y), weight, gradient, buffers)
        assert found == total
        assert_array_equal(gradient.ravel(), residual)


def test_binary_predict_rounds_the_probability(global_random_seed):
    X, y, *_ = wine(2)
    clf = fitted(X, y, global_random_seed, learning_rate_init=0.1)
    p = clf.predict_proba(X)[:, 1]
    assert_array_equal(clf.predict(X), clf.classes_[np.round(p).astype(int)])
    assert_array_equal(clf.predict(X), clf.classes_[(p >= 0.5).astype(int)])
    assert set(clf.predict(X)) == set(y)


def test_predict_rounds_a_half_down_as_numpy_does(global_random_seed):
    X, y, *_ = wine(2)
    even = np.concatenate([np.flatnonzero(y == label)[:50] for label in np.unique(y)])
    clf = start(X[even], y[even], global_random_seed)
    origin = np.zeros((1, 13))  # as many rows of each: the start prefers no class
    p = clf.predict_proba(origin)[:, 1]
    assert p == 0.5
    assert_array_equal(clf.predict(origin), clf.classes_[np.round(p).astype(int)])


def test_multiclass_predict_takes_the_most_probable_class(global_random_seed):
    X, y, *_ = wine(3)
    clf = fitted(X, y, global_random_seed, learning_rate_init=0.1)
    best = clf.predict_proba(X).argmax(axis=1)
    assert_array_equal(clf.predict(X), clf.classes_[best])
    assert set(clf.predict(X)) == set(y)
