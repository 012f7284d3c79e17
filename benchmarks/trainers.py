"""One adapter each: fit a network of one hidden layer, all doing the same work.

The same rows, batch size, hidden units and epochs; Adam at 0.001, shuffled, without
early stopping. An adapter returns a function that predicts probabilities, which
``speed.py`` calls outside the timing.
"""

import numpy as np
import scipy.sparse as sp
from sklearn.neural_network import MLPClassifier

RATE = 1e-3
PLAIN = {  # what the others do not do; settings that a version lacks are left out
    "n_estimators": 1,
    "standardize": False,
    "dropout": 0.0,
    "scaling_layer": False,
    "blend": False,
    "early_stopping": False,
    "learning_rate": "constant",
}


def _fit(model, problem):
    """Fit ours or MLPClassifier for all epochs; return predict_proba."""
    model.set_params(
        batch_size=problem.batch,
        max_iter=problem.epochs,
        learning_rate_init=RATE,
        alpha=0.0,
        tol=0.0,
        n_iter_no_change=problem.epochs + 1,
        random_state=0,
    ).fit(problem.X, problem.y)
    if model.n_iter_ != problem.epochs:
        raise RuntimeError(f"{model.n_iter_} epochs instead of {problem.epochs}")
    return model.predict_proba


def ours(problem):
    """TwoLayerClassifier, which computes in float32 whatever X is."""
    from sknet import TwoLayerClassifier

    model = TwoLayerClassifier(problem.hidden)
    known = PLAIN.keys() & model.get_params()
    return _fit(model.set_params(**{name: PLAIN[name] for name in known}), problem)


def mlp(problem):
    """MLPClassifier, which computes in the precision of X."""
    return _fit(MLPClassifier((problem.hidden,)), problem)


def mlp_float32(problem):
    """MLPClassifier given float32."""
    return mlp(problem._replace(X=problem.X.astype(np.float32)))


def torch_loop(problem):
    """The loop that a user of PyTorch would write, with fused Adam.

    Sparse rows are bags of columns, whose embeddings are the rows of the first layer.
    """
    import torch

    sparse, n_classes = sp.issparse(problem.X), len(np.unique(problem.y))
    first = torch.nn.Linear(problem.X.shape[1], problem.hidden)
    second = torch.nn.Linear(problem.hidden, n_classes)
    bag = first.weight.detach().T.contiguous().requires_grad_()

    def numbers(X):
        X = X.astype(np.float32, copy=False)
        return X if sparse else torch.as_tensor(X)

    def bags(X):
        indices, starts = (
            torch.as_tensor(a.astype(np.int64, copy=False))
            for a in (X.indices, X.indptr[:-1])
        )
        return torch.nn.functional.embedding_bag(
            indices, bag, starts, mode="sum", per_sample_weights=torch.as_tensor(X.data)
        )

    def logits(X):
        hidden = bags(X) + first.bias if sparse else first(X)
        return second(torch.relu(hidden))

    params = [bag if sparse else first.weight, first.bias, *second.parameters()]
    optimizer = torch.optim.Adam(params, lr=RATE, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    X, y = numbers(problem.X), torch.as_tensor(problem.y.astype(np.int64))
    for _ in range(problem.epochs):
        for rows in torch.randperm(len(y)).split(problem.batch):
            optimizer.zero_grad()
            loss(logits(X[rows.numpy()]), y[rows]).backward()
            optimizer.step()

    def predict_proba(X):
        with torch.no_grad():
            return torch.softmax(logits(numbers(X)), dim=1).numpy()

    return predict_proba


TRAINERS = {
    "ours": ours,
    "MLPClassifier": mlp,
    "MLPClassifier, float32": mlp_float32,
    "torch": torch_loop,
}
PACKAGES = {"ours": "sknet", "torch": "torch"}  # of the others: sklearn
