"""One adapter each: fit a network of one hidden layer, all doing the same work.

The same rows, batch, hidden units and epochs; Adam at 0.001; shuffled; no early stop.
An adapter returns what it fitted; ``speed.py`` times it, and asks ``log_loss``, outside
the timing, whether it has learnt as much as the others.
"""

import functools
import importlib.util

import numpy as np
import scipy.sparse as sp
from floors import Calls, calls, products
from scipy.special import expit, softmax
from sklearn.neural_network import MLPClassifier

from sknet import TwoLayerClassifier, _threads

RATE = 1e-3
LOSS_ROWS = 20_000  # at most, the first of the training rows
TWO_THREADS = ", two threads"  # of BLAS, or of torch, at the end of a name
PLAIN = {  # what the peers do not do
    "n_estimators": 1,
    "alpha": 0.0,
    "standardize": False,
    "dropout": 0.0,
    "scaling_layer": False,
    "early_stopping": False,
    "learning_rate": "constant",
    "learning_rate_init": RATE,
    "random_state": 0,
}


def ours(problem, **settings):
    """TwoLayerClassifier, float32 inside whatever X is."""
    model = TwoLayerClassifier(
        problem.hidden,
        batch_size=problem.batch,
        max_iter=problem.epochs,
        tol=0.0,
        n_iter_no_change=problem.epochs + 1,
        **PLAIN | settings,
    ).fit(problem.X, problem.y)
    return done(model, problem)


def ours_freed(problem):
    """The same, BLAS sharing even small products among its threads."""
    worth_sharing = _threads.WORTH_SHARING
    _threads.WORTH_SHARING = 0
    try:
        return ours(problem)
    finally:
        _threads.WORTH_SHARING = worth_sharing


def done(model, problem):
    """The model, if it was trained for all epochs."""
    if model.n_iter_ != problem.epochs:
        raise RuntimeError(f"{model.n_iter_} epochs instead of {problem.epochs}")
    return model


def mlp(problem):
    """MLPClassifier: in the precision of X."""
    model = MLPClassifier(
        (problem.hidden,),
        batch_size=problem.batch,
        max_iter=problem.epochs,
        learning_rate_init=RATE,
        alpha=0.0,
        tol=0,
        n_iter_no_change=problem.epochs + 1,
        random_state=0,
    )
    return done(model.fit(problem.X, problem.y), problem)


def mlp_float32(problem):
    """MLPClassifier given float32, which it keeps."""
    return mlp(problem._replace(X=problem.X.astype(np.float32)))


@functools.singledispatch
def probabilities(model, X):
    """Of the classes, or the last one's; None for what is no model, as a floor."""


@probabilities.register(TwoLayerClassifier)
@probabilities.register(MLPClassifier)
def _of_estimator(model, X):
    return model.predict_proba(X)


@probabilities.register(Calls)
def _of_calls(net, X):
    X = np.column_stack([X, np.ones(len(X))]).astype(np.float32)
    H = np.maximum(X @ net.W1, 0).reshape(len(X), net.shape[-1], -1)
    Z = H.swapaxes(0, 1) @ net.W2 + net.b2_row
    p = expit(Z) if Z.shape[-1] == 1 else softmax(Z, axis=-1)
    return p.mean(axis=0)


def log_loss(model, problem):
    """Mean log-loss on the first training rows; NaN for what is no model."""
    y = np.unique(problem.y, return_inverse=True)[1][:LOSS_ROWS]
    p = probabilities(model, problem.X[:LOSS_ROWS])
    if p is None:
        return np.nan
    if p.shape[1] == 1:
        p = np.column_stack([1 - p, p])
    return -np.log(np.maximum(p[np.arange(len(y)), y], 1e-15)).mean()


COMPETITORS = {
    "ours": ours,
    f"ours{TWO_THREADS}": ours,  # the same code: an A/A test
    f"ours, freed{TWO_THREADS}": ours_freed,
    "MLPClassifier": mlp,
    f"MLPClassifier{TWO_THREADS}": mlp,
    "MLPClassifier, float32": mlp_float32,
    "floor": products,
    "calls": calls,
}

if importlib.util.find_spec("torch"):
    import torch

    def _module(problem):
        n_classes = len(np.unique(problem.y))
        return torch.nn.Sequential(
            torch.nn.Linear(problem.X.shape[1], problem.hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(problem.hidden, n_classes),
        )

    class SparseRows(torch.nn.Module):
        """The same network for rows given as columns, starts of rows and weights."""

        def __init__(self, n_inputs, n_hidden, n_classes):
            super().__init__()
            self.first = torch.nn.EmbeddingBag(n_inputs, n_hidden, mode="sum")
            self.bias = torch.nn.Parameter(torch.zeros(n_hidden))
            self.second = torch.nn.Linear(n_hidden, n_classes)
            bound = n_inputs**-0.5  # as Linear starts
            torch.nn.init.uniform_(self.first.weight, -bound, bound)

        def forward(self, columns, starts, weights):
            hidden = self.first(columns, starts, per_sample_weights=weights)
            return self.second(torch.relu(hidden + self.bias))

    def _arrays(rows):
        """Columns, starts of rows and weights of a CSR array."""
        columns, starts = (
            torch.as_tensor(a.astype(np.int64, copy=False))
            for a in (rows.indices, rows.indptr[:-1])
        )
        return (
            columns,
            starts,
            torch.as_tensor(rows.data.astype(np.float32, copy=False)),
        )

    @probabilities.register(torch.nn.Module)
    def _of_torch(model, X):
        sparse = sp.issparse(X)
        inputs = _arrays(X) if sparse else [torch.as_tensor(X.astype(np.float32))]
        with torch.no_grad():
            return torch.softmax(model(*inputs), dim=1).numpy()

    def torch_loop(problem):
        """What a user of PyTorch would write: fused Adam; a weighted bag if sparse."""
        X, y = problem.X.astype(np.float32), torch.as_tensor(problem.y.astype(np.int64))
        if sp.issparse(X):
            model = SparseRows(X.shape[1], problem.hidden, len(np.unique(problem.y)))
        else:
            X, model = torch.as_tensor(X), _module(problem)
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        loss = torch.nn.CrossEntropyLoss()
        for _ in range(problem.epochs):
            order = torch.randperm(len(y))
            for rows in order.split(problem.batch):
                inputs = _arrays(X[rows.numpy()]) if sp.issparse(X) else [X[rows]]
                optimizer.zero_grad()
                loss(model(*inputs), y[rows]).backward()
                optimizer.step()
        return model

    COMPETITORS["torch"] = COMPETITORS[f"torch{TWO_THREADS}"] = torch_loop

if importlib.util.find_spec("skorch"):
    from skorch import NeuralNetClassifier

    def skorch(problem):
        """skorch's classifier around the same module."""
        net = NeuralNetClassifier(
            _module(problem),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            lr=RATE,
            max_epochs=problem.epochs,
            batch_size=problem.batch,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )
        return net.fit(problem.X.astype(np.float32), problem.y.astype(np.int64))

    @probabilities.register(NeuralNetClassifier)
    def _of_skorch(net, X):
        return net.predict_proba(X.astype(np.float32))

    COMPETITORS["skorch"] = skorch

DENSE_ONLY = {"skorch", "calls"}  # written for dense rows alone
