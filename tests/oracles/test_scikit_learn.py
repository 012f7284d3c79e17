"""The estimator against LogisticRegression and MLPClassifier of scikit-learn."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier

ACTIVATIONS = ["relu", "tanh", "logistic", "identity"]
each_n_classes = pytest.mark.parametrize("n_classes", [2, 3])


def problem(rng, n=300, n_classes=3):
    """Draw standardized rows and noisy labels."""
    X = rng.normal(size=(n, 6))
    X[:, 4] = rng.random(n) < 0.2
    X[:, 5] = np.exp(X[:, 5])
    score = X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=n)
    edges = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return StandardScaler().fit_transform(X), np.digitize(score, edges)


@each_n_classes
def test_identity_with_lbfgs_is_logistic_regression(rng, n_classes):
    X, y = problem(rng, n_classes=n_classes)
    clf = TwoLayerClassifier(
        hidden_layer_size=8,
        n_estimators=1,
        activation="identity",
        solver="lbfgs",
        alpha=0,
        standardize=False,
        max_iter=5000,
        tol=1e-8,
        random_state=0,
    ).fit(X, y)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(X, y)
    assert_allclose(clf.predict_proba(X), reference.predict_proba(X), atol=1e-5)
    assert clf.stop_reason_ == "converged"


def mlp_with_the_weights_of(clf, X, y, **settings):
    """Return an MLPClassifier fitted for one epoch that then has our weights."""
    width = clf.coefs_[0].shape[1]
    mlp = MLPClassifier(width, max_iter=1, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(X, y)
    assert [w.shape for w in clf.coefs_] == [w.shape for w in mlp.coefs_]
    assert [b.shape for b in clf.intercepts_] == [b.shape for b in mlp.intercepts_]
    mlp.coefs_ = [w.copy() for w in clf.coefs_]
    mlp.intercepts_ = [b.copy() for b in clf.intercepts_]
    return mlp


@pytest.mark.parametrize("activation", ACTIVATIONS)
@each_n_classes
def test_fitted_weights_give_mlp_classifiers_probabilities(
    rng, activation, n_classes, inputs_by_formula
):
    X, y = problem(rng, n_classes=n_classes)
    clf = TwoLayerClassifier(
        activation=activation, n_estimators=1, max_iter=5, random_state=0
    ).fit(X, y)
    Z = inputs_by_formula(clf, X)
    mlp = mlp_with_the_weights_of(clf, Z, y, activation=activation)
    proba = clf.predict_proba(X)
    assert_allclose(proba, mlp.predict_proba(Z), rtol=1e-10, atol=1e-14)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@each_n_classes
@pytest.mark.parametrize(
    "shared",
    [
        {"solver": "adam", "alpha": 0.0},
        {"solver": "sgd", "alpha": 0.0, "momentum": 0.0},
        {"solver": "sgd", "alpha": 0.0, "momentum": 0.9},
        {"solver": "sgd", "alpha": 0.1, "momentum": 0.5},
    ],
    ids=str,
)
def test_full_batch_steps_are_mlp_classifiers(rng, shared, activation, n_classes):
    """From the same start, 30 full-batch steps lead to MLPClassifier's weights.

    Momentum is Nesterov's in both. MLPClassifier divides alpha by the number of rows.
    """
    X, y = problem(rng, n_classes=n_classes)
    shared = {**shared, "activation": activation, "tol": 0.0, "batch_size": len(y)}
    clf = TwoLayerClassifier(
        8,
        n_estimators=1,
        learning_rate="constant",
        learning_rate_init=0.01,
        standardize=False,
        dtype="float64",
        dropout=0.0,
        max_iter=30,
        random_state=0,
        **shared,
    )
    start = TwoLayerClassifier(
        **{**clf.get_params(), "max_iter": 1, "learning_rate_init": 1e-100}
    ).fit(X, y)
    clf.fit(X, y)
    mlp = mlp_with_the_weights_of(
        start,
        X,
        y,
        **{**shared, "alpha": shared["alpha"] * len(y)},
        learning_rate_init=0.01,
        n_iter_no_change=100,
        warm_start=True,
    )
    mlp.set_params(max_iter=30).fit(X, y)
    for ours, theirs in zip(clf.coefs_, mlp.coefs_, strict=True):
        assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    if not shared["alpha"]:  # MLPClassifier's curve holds the penalty
        assert_allclose(clf.loss_curve_, mlp.loss_curve_[-30:], rtol=1e-9)


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris, load_wine])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_defaults_are_as_good_as_the_linear_model(load, solver):
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    settings = {} if solver != "sgd" else {"learning_rate_init": 0.1}
    clf = TwoLayerClassifier(solver=solver, random_state=0, **settings).fit(X, y)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    ours = log_loss(y_test, clf.predict_proba(X_test))
    assert ours < log_loss(y_test, linear.predict_proba(X_test)) + 0.05
