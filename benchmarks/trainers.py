"""One adapter each: fit a network of one hidden layer, all doing the same work.

The same rows, batch, hidden units and epochs; Adam at 0.001; shuffled; no early stop.
An adapter returns what it fitted; ``speed.py`` times it.
"""

import importlib.util

import numpy as np
import scipy.sparse as sp
from sklearn.neural_network import MLPClassifier

from sknet import TwoLayerClassifier

RATE = 1e-3
TWO_THREADS = "ours, two threads"  # of BLAS, however many the others have
PLAIN = {  # what the peers do not do
    "n_estimators": 1,
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
    return TwoLayerClassifier(
        problem.hidden,
        batch_size=problem.batch,
        max_iter=problem.epochs,
        **PLAIN | settings,
    ).fit(problem.X, problem.y)


def mlp(problem):
    """MLPClassifier: in the precision of X."""
    model = MLPClassifier(
        (problem.hidden,),
        batch_size=problem.batch,
        max_iter=problem.epochs,
        learning_rate_init=RATE,
        tol=0,
        n_iter_no_change=problem.epochs + 1,
        random_state=0,
    )
    return model.fit(problem.X, problem.y)


def mlp_float32(problem):
    """MLPClassifier given float32, which it keeps."""
    return mlp(problem._replace(X=problem.X.astype(np.float32)))


def floor(problem):
    """Only the five matrix products of each step, in buffers made once."""
    n, d = problem.X.shape
    n_classes = len(np.unique(problem.y))
    o, h, m = 1 if n_classes == 2 else n_classes, problem.hidden, min(problem.batch, n)
    rng = np.random.default_rng(0)
    X = rng.random((m, d), dtype=np.float32)
    W1, W2 = rng.random((d, h), dtype=np.float32), rng.random((h, o), dtype=np.float32)
    H, Z = np.empty((m, h), np.float32), np.empty((m, o), np.float32)
    dH, dW1, dW2 = np.empty_like(H), np.empty_like(W1), np.empty_like(W2)
    dZ = rng.random((m, o), dtype=np.float32)
    for _ in range(problem.epochs * int(np.ceil(n / m))):
        np.matmul(X, W1, out=H)
        np.matmul(H, W2, out=Z)
        np.matmul(H.T, dZ, out=dW2)
        np.matmul(dZ, W2.T, out=dH)
        np.matmul(X.T, dH, out=dW1)
    return dW1


def sparse_floor(problem):
    """The same for sparse rows: three products on float32 batches sliced beforehand."""
    n, d = problem.X.shape
    X = problem.X.astype(np.float32)
    parts = [X[i : i + problem.batch] for i in range(0, n, problem.batch)]
    W1 = np.ones((d, problem.hidden), np.float32)
    for _ in range(problem.epochs):
        for part in parts:
            H = part @ W1
            part.T @ H
    return H


COMPETITORS = {
    "ours": ours,
    TWO_THREADS: ours,
    "MLPClassifier": mlp,
    "MLPClassifier, float32": mlp_float32,
    "floor": lambda p: (sparse_floor if sp.issparse(p.X) else floor)(p),
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

    def torch_loop(problem):
        """What a user of PyTorch would write, with the fused optimizer."""
        X = torch.as_tensor(problem.X.astype(np.float32))
        y = torch.as_tensor(problem.y.astype(np.int64))
        model = _module(problem)
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        loss = torch.nn.CrossEntropyLoss()
        for _ in range(problem.epochs):
            order = torch.randperm(len(X))
            for rows in order.split(problem.batch):
                optimizer.zero_grad()
                loss(model(X[rows]), y[rows]).backward()
                optimizer.step()
        return model

    COMPETITORS["torch"] = torch_loop

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

    COMPETITORS["skorch"] = skorch

DENSE_ONLY = {"torch", "skorch"}  # their sparse layers have no gradient for this
