"""The floors of the speed benchmark: the same arithmetic and work as ours."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sknet._activations import RELU
from sknet._losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._network import Shape, TwoLayerNetwork

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SIZES = [  # inputs, hidden units, classes, members
    (5, 8, 3, 1),
    (5, 8, 2, 1),  # few inputs: these are weighted, not the hidden units
    (30, 8, 2, 1),
    (5, 8, 3, 4),
    (5, 8, 2, 4),
]

pytestmark = [
    pytest.mark.skipif(
        not (BENCHMARKS / "floors.py").is_file(), reason="benchmarks/ is not here"
    ),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def modules(monkeypatch):
    """The benchmarks' modules, without PyTorch, which takes seconds to load."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    names = "floors", "problems", "trainers"
    with monkeypatch.context() as context:
        for name in ("torch", "skorch"):
            context.setitem(sys.modules, name, None)
        found = {name: importlib.import_module(name) for name in names}
    yield SimpleNamespace(**found)
    for name in names:
        del sys.modules[name]


def network_and_floor(floors, d, h, n_classes, k, n=50):
    """Ours, a random network, and the floor with the same parameters."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, d)), np.arange(n) % n_classes
    loss = SoftmaxCrossEntropy(n_classes) if n_classes > 2 else SigmoidCrossEntropy()
    o = loss.n_outputs
    shape = Shape(d, h, o, k)
    params = rng.normal(size=shape.n_params).astype(np.float32)
    network = TwoLayerNetwork(shape, params, RELU, loss)
    net = floors.Calls(X, y, h, o, k)
    W1, W2, b1, b2 = shape.views(params)
    net.W1[:] = np.vstack([W1, b1])
    net.W2[:] = W2.reshape(net.W2.shape)
    net.b2[:] = b2.reshape(net.b2.shape)
    return network, net


@pytest.mark.parametrize("m", [50, 7])
@pytest.mark.parametrize("sizes", SIZES)
def test_floor_has_our_loss_and_gradient(modules, sizes, m):
    network, net = network_and_floor(modules.floors, *sizes)
    rows = np.random.default_rng(1).permutation(50)[:m]
    loss = net.forward_backward(rows, net.buffers(m))
    weight = np.ones((1, m, 1), np.float32)
    expected = network.loss_gradient(net.X[rows], net.y[rows], weight)
    assert loss == pytest.approx(expected, rel=1e-4)
    W1, W2, b1, b2 = network.shape.views(network.grads)
    pairs = (net.dW1, np.vstack([W1, b1])), (net.dW2, W2), (net.db2, b2)
    for ours, theirs in pairs:
        np.testing.assert_allclose(
            ours.ravel(), theirs.ravel(), rtol=1e-4, atol=1e-5 * np.abs(theirs).max()
        )


def test_sizes_take_both_ways_to_the_first_layers_gradient(modules):
    few = [network_and_floor(modules.floors, *sizes)[1].few for sizes in SIZES]
    assert few == [False, True, False, False, False]


def test_floor_learns_as_much_as_ours(modules):
    problem = modules.problems.problems()["iris"]()
    models = modules.trainers.ours(problem), modules.floors.calls(problem)
    ours, floor = (modules.trainers.log_loss(model, problem) for model in models)
    assert ours < 0.5  # log(3), of no knowledge, is 1.1
    assert floor == pytest.approx(ours, abs=0.1)


def rows_of_products(floors, problem, monkeypatch):
    """Rows of each step of ``products``, which begins with X times W1."""
    shapes = []

    def counting(A, B, out):
        shapes.append(A.shape)
        return np.matmul(A, B, out=out)

    numpy = SimpleNamespace(**{**vars(np), "matmul": counting})
    with monkeypatch.context() as context:
        context.setattr(floors, "np", numpy)
        floors.products(problem)
    assert len(shapes) % 5 == 0
    return [n for n, _ in shapes[::5]]


def rows_of(call, kind, method, monkeypatch):
    """Length of the first argument at each call of a method."""
    lengths, original = [], getattr(kind, method)

    def counting(self, rows, *args):
        lengths.append(len(rows))
        return original(self, rows, *args)

    with monkeypatch.context() as context:
        context.setattr(kind, method, counting)
        call()
    return lengths


def test_floors_take_as_many_steps_and_rows_as_ours(modules, monkeypatch):
    floors = modules.floors
    X = np.random.default_rng(0).normal(size=(150, 4))  # no row twice: ours counts one
    problem = modules.problems.Problem(X, np.arange(150) % 3, 10, 32, 3)
    ours, calls = (
        rows_of(lambda fit=fit: fit(problem), kind, method, monkeypatch)
        for fit, kind, method in (
            (modules.trainers.ours, TwoLayerNetwork, "loss_gradient"),
            (floors.calls, floors.Calls, "forward_backward"),
        )
    )
    assert ours == [32, 32, 32, 32, 22] * 3
    assert calls == ours
    assert rows_of_products(floors, problem, monkeypatch) == ours
