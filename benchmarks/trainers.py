"""One adapter each: fit a network of one hidden layer, all doing the same work.

The same rows, batch, hidden units and epochs; Adam at 0.001; shuffled; no early stop.
An adapter returns what it fitted; ``speed.py`` times it.
"""

import importlib.util

import numpy as np
from floors import calls, products
from sklearn.neural_network import MLPClassifier

from sknet import TwoLayerClassifier

RATE = 1e-3
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


COMPETITORS = {
    "ours": ours,
    f"ours{TWO_THREADS}": ours,
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

    COMPETITORS["skorch"] = skorch

# sparse layers of the first two have no gradient for this, the last has none at all
DENSE_ONLY = {"torch", f"torch{TWO_THREADS}", "skorch", "calls"}
