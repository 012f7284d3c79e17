"""Fits and predictions that must agree, up to rounding, with others or a formula."""

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from sknet import TwoLayerClassifier

# a few epochs may end worse than the class frequencies
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_solver = pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])


def problem(rng, n=300, n_classes=3):
    """Draw rows with a rounded, a binary and a skewed column, and noisy labels."""
    X = rng.normal(size=(n, 6))
    X[:, 3] = np.round(X[:, 3])
    X[:, 4] = rng.random(n) < 0.2
    X[:, 5] = np.exp(X[:, 5])
    score = X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=n)
    edges = np.quantile(score, np.arange(1, n_classes) / n_classes)
    return X, np.digitize(score, edges)


# ------------------------------------------------------------------------ weights


def test_class_weights_are_sample_weights(rng, small_net, params_of):
    X, y = problem(rng)
    y[:40] = 0  # "balanced" must have something to do
    factors = {0: 3.0, 1: 1.0, 2: 0.5}
    a = small_net(class_weight=factors).fit(X, y)
    b = small_net().fit(X, y, [factors[label] for label in y])
    assert_allclose(params_of(a), params_of(b), rtol=1e-6, atol=1e-7)
    balanced = small_net(class_weight="balanced").fit(X, y)
    by_hand = {c: len(y) / (3 * (y == c).sum()) for c in range(3)}
    expected = small_net(class_weight=by_hand).fit(X, y)
    assert_allclose(params_of(balanced), params_of(expected), rtol=1e-5, atol=1e-6)


def test_weights_of_validation_rows_are_copies(rng, small_net):
    X, y = problem(rng)
    weight = rng.integers(0, 4, size=100)
    copies = np.repeat(np.arange(100), weight)
    curves = []
    for rows, given in ((np.arange(100), weight), (copies, None)):
        clf = small_net(early_stopping=True)
        clf.fit(X, y, X_val=X[rows], y_val=y[rows], sample_weight_val=given)
        curves.append(clf.validation_loss_curve_)
    assert_allclose(*curves, rtol=1e-5)
    proba = clf.predict_proba(X[copies])
    assert clf.best_validation_loss_ == min(clf.validation_loss_curve_)
    assert clf.best_validation_loss_ == pytest.approx(log_loss(y[copies], proba), 1e-5)


def test_class_weights_count_in_a_given_validation_set(rng, small_net):
    X, y = problem(rng, n_classes=2)
    clf = small_net(early_stopping=True, class_weight={0: 1, 1: 50})
    clf.fit(X, y, X_val=X, y_val=y)
    weight = np.where(y == 1, 50.0, 1.0)
    expected = log_loss(y, clf.predict_proba(X), sample_weight=weight)
    assert clf.best_validation_loss_ == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 8, 64, "auto"])
@pytest.mark.parametrize("early_stopping", [False, "auto"])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 5, 2: 0.5}], ids=str)
def test_the_weighted_prior_is_learnt_at_any_batch_size(
    batch_size, early_stopping, class_weight
):
    """Constant rows: a batch that divides by its own weights would get it wrong."""
    y, X = np.repeat([0, 1, 2], [50, 30, 20]), np.full((100, 2), 3.0)
    clf = TwoLayerClassifier(
        4,
        n_estimators=2,
        class_weight=class_weight,
        batch_size=batch_size,
        early_stopping=early_stopping,
        random_state=0,
    ).fit(X, y)
    factors = [1, 1, 1] if class_weight == "balanced" else [50 * 1, 30 * 5, 20 * 0.5]
    expected = np.divide(factors, sum(factors))
    assert_allclose(clf.predict_proba(X[:1])[0], expected, atol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_start_predicts_the_weighted_class_frequencies(rng, n_classes, weighted):
    """At the columns' means, where the hidden units of the start are silent."""
    X, y = problem(rng, n_classes=n_classes)
    weight = rng.uniform(0.5, 3, size=len(y)) if weighted else np.ones(len(y))
    clf = TwoLayerClassifier(
        n_estimators=1, max_iter=1, learning_rate_init=1e-100, n_knots=0, random_state=0
    ).fit(X, y, weight)
    expected = np.bincount(y, weight) / weight.sum()
    proba = clf.predict_proba(clf.mean_[np.newaxis])[0]
    assert_allclose(proba, expected, rtol=1e-6)


# ------------------------------------------------------------ members, precision


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_first_of_several_members_is_a_lone_fit(rng, solver):
    """Members see the same batches and do not know of each other."""
    X, y = problem(rng)
    common = {"solver": solver, "dtype": "float64", "random_state": 0, "max_iter": 6}
    common |= {"hidden_layer_size": 8, "batch_size": 32, "early_stopping": False}
    several = TwoLayerClassifier(n_estimators=3, dropout=0.2, **common).fit(X, y)
    lone = TwoLayerClassifier(n_estimators=1, dropout=0.2, **common).fit(X, y)
    for joint, alone in zip(
        [*several.coefs_, *several.intercepts_],
        [*lone.coefs_, *lone.intercepts_],
        strict=True,
    ):
        assert_allclose(joint[0], alone, rtol=1e-6, atol=1e-8)
        assert np.abs(joint[1] - joint[0]).max() > 1e-3


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_float32_training_and_rows_are_close_to_float64(rng, small_net, solver):
    X, y = problem(rng)
    narrow = X.astype(np.float32)
    X = narrow.astype(float)
    double = small_net(solver=solver, dtype="float64").fit(X, y)
    for rows in (narrow, X):
        single = small_net(solver=solver).fit(rows, y)
        assert single.predict_proba(rows).dtype == rows.dtype
        assert_allclose(single.predict_proba(rows), double.predict_proba(X), atol=1e-3)
        assert_allclose(single.loss_curve_, double.loss_curve_, rtol=1e-3)


# --------------------------------------------------------------- sparse and dense


@pytest.mark.parametrize("fitted_on", ["dense", "sparse"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_knots": 0},
        {"n_knots": 5},
        {"standardize": False},
        {"early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_sparse_rows_are_predicted_as_dense_ones(
    rng, small_net, fitted_on, settings, dtype
):
    X, y = problem(rng)
    X = np.where(rng.random(X.shape) < 0.5, 10 * X, 0).astype(dtype)
    # only dense rows have the inputs of the other variants of a blend
    blend = "early_stopping" in settings and fitted_on == "dense"
    clf = small_net(**settings, blend=blend)
    clf.fit(sp.csr_array(X) if fitted_on == "sparse" else X, y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        of_dense = getattr(clf, method)(X)
        for container in (sp.csr_array, sp.csc_array, sp.coo_array):
            of_sparse = getattr(clf, method)(container(X))
            assert_allclose(of_sparse, of_dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_predictions_of_many_rows_are_those_of_parts(rng, small_net, kind):
    """Many rows are predicted block by block."""
    X, y = problem(rng, n=30_000)
    X = sp.csr_array(X) if kind == "sparse" else X
    clf = small_net().fit(X[:300], y[:300])
    parts = [slice(i, i + 7000) for i in range(0, 30_000, 7000)]
    for method in ("predict_proba", "decision_function"):
        ask = getattr(clf, method)
        pieces = np.concatenate([ask(X[part]) for part in parts])
        assert_allclose(ask(X), pieces, rtol=1e-6, atol=1e-7)
    assert_array_equal(
        clf.predict(X), clf.classes_[clf.predict_proba(X).argmax(axis=1)]
    )


# ------------------------------------------------------------ threads, processes

PRINT_HASH = """
import hashlib, threadpoolctl
from sklearn.datasets import load_iris
from sknet import TwoLayerClassifier
X, y = load_iris(return_X_y=True)
weights = {0: 1, 1: 2, 2: 1}
with threadpoolctl.threadpool_limits(1):
    clf = TwoLayerClassifier(16, class_weight=weights, max_iter=8, random_state=7)
    print(hashlib.sha256(clf.fit(X, y).predict_proba(X).tobytes()).hexdigest())
"""


def test_one_seed_gives_the_same_bits_in_every_process():
    """Whatever the seed of Python's own hashes: no set or dict may decide."""
    hashes = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PRINT_HASH]
        hashes.add(subprocess.check_output(command, env=environment, text=True))
    assert len(hashes) == 1


def test_variants_trained_side_by_side_are_those_trained_one_by_one(rng):
    X, y = problem(rng, n=20_000)
    settings = {"batch_size": 64, "max_iter": 3, "random_state": 0}
    alone, together = (
        TwoLayerClassifier(n_jobs=n, **settings).fit(X[:400], y[:400])
        for n in (None, 2)
    )
    assert (alone.blend_weights_ > 0).sum() > 1
    assert_array_equal(alone.predict_proba(X), together.predict_proba(X))


@pytest.mark.parametrize(
    "settings",
    [{}, {"solver": "sgd"}, {"solver": "lbfgs", "max_iter": 8}, {"n_estimators": 1}],
    ids=str,
)
def test_two_blas_threads_change_rounding_only(settings):
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    large = {"hidden_layer_size": 64, "n_estimators": 3, "batch_size": 200}
    large |= {"dtype": "float64", "max_iter": 8, "random_state": 7}
    proba = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            clf = TwoLayerClassifier(**large | settings).fit(X, y)
            proba.append(clf.predict_proba(X))
    assert_allclose(*proba, rtol=0, atol=1e-6)
