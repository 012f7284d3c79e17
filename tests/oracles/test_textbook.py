"""The estimator against the textbook's network, written out in NumPy.

13 inputs, 8 ReLU units, a sigmoid output for two classes of wine or a softmax output
for three, the mean cross-entropy, 100 full-batch steps at the rate 0.001. The gradients
below are derived by hand and checked by central differences. The estimator must reach
the same weights and losses to 1e-10.
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

N_STEPS = 100
RATE = 0.001
VANISHING = 1e-100  # a rate so small that a step leaves the weights as they are

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


class Problem(NamedTuple):
    """Rows, labels, targets (n, o), and the function from logits to probabilities."""

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
    """Return hidden values, logits and probabilities: (n, h), (n, o), (n, o)."""
    H = np.maximum(problem.X @ net.W1 + net.b1, 0)
    Z2 = H @ net.W2 + net.b2
    return H, Z2, problem.link(Z2)


def backward(problem, net):
    H, _, P = forward(problem, net)
    dZ2 = (P - problem.Y) / len(problem.X)
    dZ1 = dZ2 @ net.W2.T * (H > 0)
    return Net(problem.X.T @ dZ1, dZ1.sum(axis=0), H.T @ dZ2, dZ2.sum(axis=0))


def descend(problem, net):
    """Return the parameters after all steps, and the loss before each."""
    losses = []
    for _ in range(N_STEPS):
        losses.append(cross_entropy(forward(problem, net)[-1], problem.Y))
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
    """Fit the estimator as the textbook's network."""
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
    """Return the estimator with the weights that a fit with this seed starts from."""
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


def test_textbook_gradients_are_central_differences(problem, global_random_seed):
    net = parameters(start(problem.X, problem.y, global_random_seed))
    theta, step = flat(net), 1e-6

    def loss_at(theta):
        ends = np.cumsum([block.size for block in net])[:-1]
        blocks = zip(np.split(theta, ends), net, strict=True)
        moved = Net(*(part.reshape(block.shape) for part, block in blocks))
        return cross_entropy(forward(problem, moved)[-1], problem.Y)

    numeric = [
        (loss_at(theta + e) - loss_at(theta - e)) / (2 * step)
        for e in step * np.eye(len(theta))
    ]
    assert_allclose(flat(backward(problem, net)), numeric, rtol=0, atol=1e-8)


def test_estimator_is_the_textbooks_network(problem, global_random_seed):
    X, y, seed = problem.X, problem.y, global_random_seed
    n_outputs = problem.Y.shape[1]
    first = parameters(start(X, y, seed))
    shapes = [(13, 8), (8,), (8, n_outputs), (n_outputs,)]
    assert [block.shape for block in first] == shapes
    net, losses = descend(problem, first)
    clf = fitted(X, y, seed)
    assert_same_net(parameters(clf), net)
    assert len(clf.loss_curve_) == N_STEPS
    assert_allclose(clf.loss_curve_, losses, rtol=0, atol=1e-10)
    proba = clf.predict_proba(X)[:, -n_outputs:]
    assert_allclose(proba, forward(problem, net)[-1], rtol=0, atol=1e-10)


def test_saturated_outputs_have_a_finite_loss(problem, global_random_seed):
    problem = problem._replace(X=1e5 * problem.X, link=lambda Z: Z)
    clf = start(problem.X, problem.y, global_random_seed)
    Z = forward(problem, parameters(clf))[1]
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


def test_predict_takes_the_first_class_at_one_half(global_random_seed):
    X, y, *_ = wine(2)
    even = np.concatenate([np.flatnonzero(y == label)[:50] for label in np.unique(y)])
    clf = start(X[even], y[even], global_random_seed)
    origin = np.zeros((1, 13))  # as many rows of each: the start prefers no class
    assert clf.predict_proba(origin)[0, 1] == 0.5
    assert_array_equal(clf.predict(origin), clf.classes_[[0]])
