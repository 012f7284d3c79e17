"""The same faults and odd data for TwoLayerClassifier and MLPClassifier.

Each check draws its cases from seeds, the same for both. A case is wrong if it raises
or breaks what the check's name says, and noisy if all is well but for a warning that is
not the estimator's own, such as NumPy's of an overflow. Settings are the defaults, with
30 epochs, unless the check is about them. Both are given the rows as they are.
"""

import argparse
import pickle
import re
import warnings
from collections import Counter
from contextlib import contextmanager

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from sknet import TwoLayerClassifier
from sknet._network import TwoLayerNetwork

KINDS = {"sknet": TwoLayerClassifier, "MLPClassifier": MLPClassifier}
GRADIENT = {
    "sknet": (TwoLayerNetwork, "loss_gradient"),
    "MLPClassifier": (MLPClassifier, "_backprop"),
}
OWN = re.compile("early_stopping needs|standardize=False, but|Training interrupted")


def make(kind, seed=0, **settings):
    return KINDS[kind](**{"max_iter": 30, "random_state": seed, **settings})


def problem(rng, n=300, d=4):
    X = rng.normal(size=(n, d))
    X[:, 1] = np.round(X[:, 1])
    return X, np.array(["ant", "bee", "cat"])[np.digitize(X[:, 0] + X[:, 1], [-0.5, 1])]


def odd_table(rng):
    """A table with columns of the kinds that users have by accident."""
    n = int(rng.integers(3, 60))
    columns = {
        "normal": lambda: rng.normal(size=n),
        "scaled": lambda: rng.normal(size=n) * 10.0 ** rng.uniform(-300, 300),
        "constant": lambda: np.full(n, rng.choice([0, 1, 1e9, 1e300, 1e-300])),
        "two values": lambda: rng.choice(rng.normal(size=2), size=n),
        "denormal": lambda: rng.integers(-9, 9, size=n) * 5e-324,
        "offset": lambda: 1e9 + rng.choice([-1.0, 1.0], size=n),
        "outlier": lambda: np.where(np.arange(n) == 0, 1e30, rng.normal(size=n)),
        "ends": lambda: rng.choice([-1.0, 1.0], size=n) * np.finfo(float).max,
    }
    names = rng.choice(list(columns), size=rng.integers(1, 5))
    return np.column_stack([columns[name]() for name in names]), rng.integers(0, 3, n)


def sound(clf, X):
    proba = clf.predict_proba(X)
    best = clf.classes_[proba.argmax(axis=1)]
    return (
        np.isfinite(proba).all()
        and np.allclose(proba.sum(axis=1), 1, atol=2e-6)
        and (clf.predict(X) == best).all()
    )


def odd_data(kind, rng):
    X, y = odd_table(rng)
    return sound(make(kind, max_iter=5).fit(X, y), X)


def finite_logarithms(kind, rng):
    X, y = problem(rng)
    return np.isfinite(make(kind).fit(X, y).predict_log_proba(1000 * X)).all()


def weights_are_copies(kind, rng):
    X, y = problem(rng)
    weight = rng.integers(0, 4, size=len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    a = make(kind).fit(X, y, weight).predict_proba(X)
    return np.allclose(a, make(kind).fit(X[rows], y[rows]).predict_proba(X), atol=1e-6)


def row_order(kind, rng):
    X, y = problem(rng)
    rows = rng.permutation(len(y))
    a = make(kind).fit(X, y).predict_proba(X)
    return np.allclose(a, make(kind).fit(X[rows], y[rows]).predict_proba(X), atol=1e-6)


def units(kind, rng):
    X, y = problem(rng)
    slope = 10.0 ** rng.uniform(-3, 3, size=X.shape[1])
    other = X * slope + rng.uniform(-3, 3, size=X.shape[1]) * slope
    a = make(kind).fit(X, y).predict_proba(X)
    return np.allclose(a, make(kind).fit(other, y).predict_proba(other), atol=1e-3)


def never_varied(kind, rng):
    """What was the same in all training rows says nothing when it differs."""
    X, y = problem(rng)
    X[:, -1] = 2024.0
    clf = make(kind).fit(X, y)
    proba = clf.predict_proba(X)
    X[:, -1] = 2025.0
    return np.allclose(clf.predict_proba(X), proba, atol=1e-6)


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def legal_settings(kind, rng):
    """Settings that both have, over what both allow."""
    settings = {
        "activation": rng.choice(["relu", "tanh", "logistic", "identity"]),
        "solver": rng.choice(["adam", "sgd", "lbfgs"]),
        "alpha": rng.choice([0.0, log_uniform(rng, 1e-8, 1e2), 1e300]),
        "batch_size": rng.choice([1, 8, 10_000]),
        "learning_rate": rng.choice(["constant", "invscaling", "adaptive"]),
        "learning_rate_init": log_uniform(rng, 1e-6, 1e6),
        "power_t": rng.choice([0.5, 1e3]),
        "tol": rng.choice([0.0, log_uniform(rng, 1e-12, 1e2), 1e300]),
        "momentum": rng.choice([0.0, 0.9]),
        "early_stopping": bool(rng.integers(2)),
        "beta_1": rng.choice([0.0, 0.9]),
        "beta_2": rng.choice([0.0, 0.999]),
        "max_iter": np.int8(5),
    }
    X, y = problem(rng, n=60)
    return sound(make(kind, **settings).fit(X, np.unique(y, return_inverse=True)[1]), X)


@contextmanager
def failing(kind, n_calls, error):
    """The gradient raises at one call."""
    owner, name = GRADIENT[kind]
    method, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == n_calls:
            raise error
        return method(*args, **kwargs)

    setattr(owner, name, counted)
    try:
        yield
    finally:
        setattr(owner, name, method)


def interrupt_is_raised(kind, rng):
    X, y = problem(rng)
    with failing(kind, int(rng.integers(1, 20)), KeyboardInterrupt()):
        try:
            make(kind).fit(X, y)
        except KeyboardInterrupt:
            return True
    return False


def error_changes_nothing(kind, rng):
    X, y = problem(rng)
    clf = make(kind).fit(X, y)
    proba = clf.predict_proba(X)
    with failing(kind, int(rng.integers(1, 20)), MemoryError()):
        try:
            clf.fit(X[:200], y[:200])
        except MemoryError:
            return np.array_equal(clf.predict_proba(X), proba)
    return False


def saved_and_loaded(kind, rng):
    """Five batches, the estimator pickled and loaded before each."""
    X, y = problem(rng)
    whole, saved = make(kind), pickle.dumps(make(kind))
    for _ in range(5):
        whole.partial_fit(X, y, classes=np.unique(y))
        loaded = pickle.loads(saved).partial_fit(X, y, classes=np.unique(y))
        saved = pickle.dumps(loaded)
    return np.array_equal(pickle.loads(saved).predict_proba(X), whole.predict_proba(X))


def divergence(kind, rng):
    X, y = problem(rng)
    rate, factor = [(1e3, 1.0), (1e30, 1.0), (1e-3, 1e12), (1e-3, 1e37)][
        rng.integers(4)
    ]
    X = (np.clip(X, -3, 3) * factor).astype(rng.choice(["float32", "float64"]))
    solver = str(rng.choice(["adam", "sgd"]))
    return sound(make(kind, learning_rate_init=rate, solver=solver).fit(X, y), X)


def noise(kind, rng):
    """Log-loss on new rows of pure noise, at most the prior's + 0.05 for one seed."""
    X, X_new = rng.normal(size=(300, 5)), rng.normal(size=(2000, 5))
    y, y_new = rng.integers(0, 2, 300), rng.integers(0, 2, 2000)
    clf = KINDS[kind](random_state=0).fit(X, y)
    of_prior = -np.log(np.bincount(y) / len(y))[y_new].mean()
    return log_loss(y_new, clf.predict_proba(X_new)) <= of_prior + 0.05


def weighted_prior(kind, rng):
    """Constant rows, weights 9 to 1, within 1e-3, at one of three batch sizes."""
    y = np.repeat([0, 1], 50)
    weight = np.where(y == 0, 9.0, 1.0)
    size = int(rng.choice([1, 8, 64]))
    clf = KINDS[kind](batch_size=size, random_state=0)
    proba = clf.fit(np.ones((100, 1)), y, weight).predict_proba([[1.0]])
    return abs(proba[0, 0] - 0.9) <= 1e-3


CHECKS = {
    "odd data: finite, sum to 1, argmax": (odd_data, 300),
    "logarithms are finite far out": (finite_logarithms, 20),
    "weights are copies": (weights_are_copies, 20),
    "order of rows": (row_order, 20),
    "units of columns": (units, 20),
    "a column that never varied": (never_varied, 20),
    "random legal settings": (legal_settings, 300),
    "Ctrl-C is raised": (interrupt_is_raised, 20),
    "an error leaves the old model": (error_changes_nothing, 20),
    "saved and loaded amid training, bit for bit": (saved_and_loaded, 20),
    "a diverging run ends finite": (divergence, 60),
    "noise: the prior's log-loss + 0.05": (noise, 50),
    "weighted prior on constant rows": (weighted_prior, 12),
}


def outcome(check, kind, seed):
    """One of "well", "noisy" and "wrong"."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            well = check(kind, np.random.default_rng(seed))
        except Exception:
            well = False
    own = [
        issubclass(w.category, ConvergenceWarning) or OWN.match(str(w.message))
        for w in caught
    ]
    return "wrong" if not well else "well" if all(own) else "noisy"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=KINDS, help="one of the two")
    only = parser.parse_args().only
    kinds = [only] if only else list(KINDS)
    columns = [f"{kind} {what}" for kind in kinds for what in ("wrong", "noisy")]
    print("| check | cases | " + " | ".join(columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    with threadpool_limits(1):
        for name, (check, n) in CHECKS.items():
            counts = [
                Counter(outcome(check, kind, seed) for seed in range(n))
                for kind in kinds
            ]
            cells = [str(c[what]) for c in counts for what in ("wrong", "noisy")]
            print(f"| {name} | {n} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
