"""The estimator against other libraries, and its equivalences bit for bit."""

import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import (
    load_breast_cancer,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier

# a few epochs may end worse than the class frequencies, which fit rightly warns about
SHORT_FITS = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_size": 16, "n_estimators": 2, "max_iter": 8}


def problem(rng, n=300, n_classes=3):
    """Rows with a rounded, a binary and a skewed column, and noisy labels."""
    X = rng.normal(size=(n, 6))
    X[:, 3] = np.round(X[:, 3])
    X[:, 4] = rng.random(n) < 0.2
    X[:, 5] = np.exp(X[:, 5])
    score = X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=n)
    return X, np.digitize(
        score, np.quantile(score, np.arange(1, n_classes) / n_classes)
    )


def params(estimator):
    return np.concatenate(
        [a.ravel() for a in [*estimator.coefs_, *estimator.intercepts_]]
    )


# ---------------------------------------------------------------- other libraries


@pytest.mark.parametrize("n_classes", [2, 3])
def test_identity_with_lbfgs_is_logistic_regression(rng, n_classes):
    X, y = problem(rng, n_classes=n_classes)
    X = StandardScaler().fit_transform(X)
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
    np.testing.assert_allclose(
        clf.predict_proba(X), reference.predict_proba(X), atol=1e-5
    )
    assert clf.stop_reason_ == "converged"


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_fitted_weights_give_mlp_classifiers_probabilities(
    rng, activation, n_classes, inputs_by_formula
):
    """Our weights in MLPClassifier's attributes: the same network."""
    X, y = problem(rng, n_classes=n_classes)
    clf = TwoLayerClassifier(
        activation=activation, n_estimators=1, max_iter=5, squash=None, random_state=0
    ).fit(X, y)
    width = clf.coefs_[0].shape[1]
    mlp = MLPClassifier(width, activation=activation, max_iter=1)
    Z = inputs_by_formula(clf, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(Z, y)
    assert [w.shape for w in clf.coefs_] == [w.shape for w in mlp.coefs_]
    assert [b.shape for b in clf.intercepts_] == [b.shape for b in mlp.intercepts_]
    mlp.coefs_, mlp.intercepts_ = clf.coefs_, clf.intercepts_
    np.testing.assert_allclose(
        clf.predict_proba(X), mlp.predict_proba(Z), rtol=1e-10, atol=1e-14
    )


@SHORT_FITS
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_full_batch_steps_are_mlp_classifiers(rng, solver):
    """From the same start, 30 full-batch steps lead to MLPClassifier's weights."""
    X, y = problem(rng)
    Z = StandardScaler().fit_transform(X)
    shared = {"solver": solver, "alpha": 0.0, "learning_rate_init": 0.01, "tol": 0.0}
    clf = TwoLayerClassifier(
        8,
        n_estimators=1,
        learning_rate="constant",
        batch_size=len(y),
        standardize=False,
        dtype="float64",
        dropout=0.0,
        scaling_layer=False,
        max_iter=30,
        random_state=0,
        **shared,
    )
    start = TwoLayerClassifier(
        **{**clf.get_params(), "max_iter": 1, "learning_rate_init": 1e-300}
    ).fit(Z, y)
    clf.fit(Z, y)
    mlp = MLPClassifier(
        8,
        batch_size=len(y),
        max_iter=30,
        n_iter_no_change=100,
        warm_start=True,
        **shared,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.set_params(max_iter=1).fit(Z, y)
        mlp.coefs_ = [w.copy() for w in start.coefs_]
        mlp.intercepts_ = [b.copy() for b in start.intercepts_]
        mlp.set_params(max_iter=30).fit(Z, y)
    for ours, theirs in zip(clf.coefs_, mlp.coefs_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(clf.loss_curve_, mlp.loss_curve_[-30:], rtol=1e-9)


# ------------------------------------------------------------------ exact weights

HARD = {
    "batch_size": 8,
    "dropout": 0.2,
    "early_stopping": True,
    "n_iter_no_change": 100,
    "random_state": 0,
    **SMALL,
}


@SHORT_FITS
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_weights_are_repetitions_in_any_order_bit_for_bit(rng, solver):
    X, y = problem(rng)
    weight = rng.integers(0, 4, size=len(y))
    repeated = rng.permutation(np.repeat(np.arange(len(y)), weight))
    a = TwoLayerClassifier(solver=solver, **HARD).fit(X, y, weight)
    b = TwoLayerClassifier(solver=solver, **HARD).fit(X[repeated], y[repeated])
    present = weight > 0
    c = TwoLayerClassifier(solver=solver, **HARD).fit(
        X[present], y[present], weight[present]
    )
    np.testing.assert_array_equal(params(a), params(b))
    np.testing.assert_array_equal(params(a), params(c))
    assert a.loss_curve_ == b.loss_curve_ == c.loss_curve_
    assert a.validation_loss_curve_ == b.validation_loss_curve_


@SHORT_FITS
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 2: 0.5}])
def test_ones_are_no_weights_and_scale_does_not_matter(rng, class_weight):
    X, y = problem(rng)
    make = lambda: TwoLayerClassifier(class_weight=class_weight, **HARD)  # noqa: E731
    plain = make().fit(X, y)
    np.testing.assert_array_equal(
        params(make().fit(X, y, np.ones(len(y)))), params(plain)
    )
    weight = rng.uniform(0.1, 2, size=len(y))
    a, b = make().fit(X, y, weight), make().fit(X, y, 1000 * weight)
    np.testing.assert_allclose(params(b), params(a), rtol=1e-3, atol=1e-4)
    power = make().fit(X, y, 1024 * weight)  # a power of two changes no digit
    np.testing.assert_array_equal(params(power), params(a))


@SHORT_FITS
def test_class_weights_are_sample_weights(rng):
    X, y = problem(rng)
    factors = {0: 3.0, 1: 1.0, 2: 0.5}
    a = TwoLayerClassifier(class_weight=factors, **HARD).fit(X, y)
    b = TwoLayerClassifier(**HARD).fit(X, y, [factors[label] for label in y])
    np.testing.assert_array_equal(params(a), params(b))
    counts = np.bincount(y[y > 0], minlength=3) + np.bincount(y[:7], minlength=3)
    rows = np.r_[np.flatnonzero(y > 0), np.arange(7)]
    balanced = TwoLayerClassifier(class_weight="balanced", **HARD).fit(X[rows], y[rows])
    by_hand = {c: len(rows) / (3 * counts[c]) for c in range(3)}
    expected = TwoLayerClassifier(class_weight=by_hand, **HARD).fit(X[rows], y[rows])
    np.testing.assert_allclose(params(balanced), params(expected), rtol=1e-6)


@SHORT_FITS
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weighted_prior_is_learnt_at_any_batch_size(rng, batch_size, solver):
    """Weights 9:1 on noise: a batch's own weight sum would pull this to one half."""
    X, y = rng.normal(size=(200, 1)), np.arange(200) % 2
    clf = TwoLayerClassifier(
        4,
        solver=solver,
        batch_size=batch_size,
        max_iter=60 if batch_size < 1000 else 1500,
        learning_rate_init=0.02,
        alpha=10.0,  # the weights vanish, the biases learn the prior
        early_stopping=False,
        random_state=0,
    ).fit(X, y, np.where(y == 1, 9.0, 1.0))
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1].mean(), 0.9, atol=0.005)


# ------------------------------------------------------------ members and streams


@SHORT_FITS
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_joint_members_are_separate_fits(rng, solver):
    """From the same starts and batches, k members train as k lone networks do."""
    X, y = problem(rng)
    common = {"solver": solver, "dtype": "float64", "random_state": 0, "max_iter": 6}
    common |= {"hidden_layer_size": 8, "batch_size": 32, "early_stopping": False}
    joint = TwoLayerClassifier(n_estimators=3, **common)
    start = TwoLayerClassifier(
        **{**joint.get_params(), "learning_rate_init": 1e-300, "solver": "sgd"}
    ).fit(X, y)
    joint.fit(X, y)
    for j in range(3):
        lone = TwoLayerClassifier(n_estimators=1, warm_start=True, **common)
        lone.set_params(learning_rate_init=1e-300, max_iter=1, solver="sgd").fit(X, y)
        for views, source in (
            (lone.coefs_, start.coefs_),
            (lone.intercepts_, start.intercepts_),
        ):
            for view, values in zip(views, source, strict=True):
                view[:] = values[j]
        lone._state.pop("params")
        lone._state.pop("optimizer")
        lone._state.pop("optimizer_kind")
        lone._state.pop("streams")
        lone.set_params(learning_rate_init=0.01, max_iter=6, solver=solver).fit(X, y)
        for i in range(2):
            np.testing.assert_allclose(
                joint.coefs_[i][j], lone.coefs_[i], rtol=1e-6, atol=1e-8
            )
            np.testing.assert_allclose(
                joint.intercepts_[i][j], lone.intercepts_[i], rtol=1e-6, atol=1e-8
            )


STREAM = {
    "hidden_layer_size": 16,
    "n_estimators": 2,
    "batch_size": 32,
    "learning_rate": "constant",
    "dropout": 0.1,
    "early_stopping": False,
    "random_state": 0,
}


@SHORT_FITS
@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_k_partial_fits_are_k_epochs(rng, solver, learning_rate, class_weight):
    X, y = problem(rng)
    weight = rng.uniform(0.5, 2, size=len(y))
    options = {**STREAM, "solver": solver, "learning_rate": learning_rate}
    options["class_weight"] = class_weight
    whole = TwoLayerClassifier(max_iter=5, **options).fit(X, y, weight)
    stream = TwoLayerClassifier(**options)
    for _ in range(5):
        stream.partial_fit(X, y, classes=[0, 1, 2], sample_weight=weight)
    np.testing.assert_allclose(params(stream), params(whole), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(stream.loss_curve_, whole.loss_curve_, rtol=1e-6)
    assert stream.n_iter_ == whole.n_iter_ == 5


@SHORT_FITS
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_warm_start_is_one_longer_fit(rng, solver):
    X, y = problem(rng)
    longer = TwoLayerClassifier(solver=solver, max_iter=7, **STREAM).fit(X, y)
    warm = TwoLayerClassifier(solver=solver, max_iter=3, warm_start=True, **STREAM)
    warm.fit(X, y)
    warm.set_params(max_iter=4).fit(X, y)
    np.testing.assert_array_equal(params(warm), params(longer))
    assert warm.loss_curve_ == longer.loss_curve_
    assert warm.n_iter_ == longer.n_iter_ == 7


@SHORT_FITS
def test_a_warm_start_keeps_its_validation_split(rng):
    X, y = problem(rng)
    options = {**STREAM, "early_stopping": True, "n_iter_no_change": 100}
    longer = TwoLayerClassifier(max_iter=6, **options).fit(X, y)
    warm = (
        TwoLayerClassifier(max_iter=3, warm_start=True, **options).fit(X, y).fit(X, y)
    )
    np.testing.assert_allclose(
        warm.validation_loss_curve_, longer.validation_loss_curve_, rtol=1e-6
    )


def test_a_warm_start_may_have_a_subset_of_the_classes(rng):
    X, y = problem(rng)
    clf = TwoLayerClassifier(warm_start=True, random_state=0, **SMALL).fit(X, y)
    with pytest.warns(UserWarning, match="would be held out now"):
        clf.fit(X[y < 2], y[y < 2])
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.predict_proba(X).shape == (len(y), 3)


def test_partial_fit_takes_any_subset_of_the_classes(rng):
    X, y = problem(rng)
    clf = TwoLayerClassifier(batch_size=16, random_state=0, learning_rate_init=0.01)
    order = np.argsort(y, kind="stable")  # whole batches of a single class
    for _ in range(40):
        for rows in np.array_split(order, 12):
            clf.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    assert clf.score(X, y) > 0.8


def test_statistics_of_a_stream_are_those_of_all_rows(rng):
    X, y = problem(rng)
    clf = TwoLayerClassifier(random_state=0)
    for rows in np.array_split(np.arange(len(y)), [1, 2, 50]):
        clf.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    np.testing.assert_allclose(clf.mean_, X.mean(axis=0), rtol=1e-12)
    two_valued = [len(np.unique(column)) == 2 for column in X.T]
    expected = np.where(two_valued, np.ptp(X, axis=0), X.std(axis=0))
    np.testing.assert_allclose(clf.scale_, expected, rtol=1e-12)


# ------------------------------------------------------------------- predictions


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_estimators", [1, 3])
def test_the_four_predictions_agree(rng, n_classes, n_estimators):
    X, y = problem(rng, n_classes=n_classes)
    clf = TwoLayerClassifier(
        n_estimators=n_estimators, max_iter=20, random_state=0
    ).fit(X, y)
    proba, log_proba = clf.predict_proba(X), clf.predict_log_proba(X)
    decision = clf.decision_function(X)
    np.testing.assert_allclose(np.exp(log_proba), proba, rtol=1e-10)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(clf.classes_[proba.argmax(axis=1)], clf.predict(X))
    if n_classes == 2:
        np.testing.assert_allclose(
            decision, np.log(proba[:, 1] / proba[:, 0]), rtol=1e-8
        )
        np.testing.assert_array_equal(clf.predict(X), clf.classes_[(decision > 0) * 1])
    else:
        np.testing.assert_allclose(decision, log_proba, rtol=1e-12)


def test_probabilities_are_the_members_mean(rng, inputs_by_formula):
    X, y = problem(rng)
    clf = TwoLayerClassifier(random_state=0, **SMALL).fit(X, y)
    clf.temperature_ = 1.0
    Z = inputs_by_formula(clf, X)
    members = []
    for W1, W2, b1, b2 in zip(*clf.coefs_, *clf.intercepts_, strict=True):
        logits = np.maximum(Z @ W1 + b1, 0) @ W2 + b2
        members.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(
        clf.predict_proba(X), np.mean(members, axis=0), rtol=1e-10
    )


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_float32_training_is_close_to_float64(rng, solver):
    X, y = problem(rng)
    options = {"solver": solver, "random_state": 0, **SMALL}
    single = TwoLayerClassifier(**options).fit(X, y)
    double = TwoLayerClassifier(dtype="float64", **options).fit(X, y)
    np.testing.assert_allclose(
        single.predict_proba(X), double.predict_proba(X), atol=1e-4
    )
    np.testing.assert_allclose(single.loss_curve_, double.loss_curve_, rtol=1e-4)


def test_float32_rows_are_close_to_float64_rows(rng):
    X, y = problem(rng)
    single = TwoLayerClassifier(random_state=0, **SMALL).fit(X.astype("f4"), y)
    double = TwoLayerClassifier(random_state=0, **SMALL).fit(
        X.astype("f4").astype("f8"), y
    )
    assert single.predict_proba(X.astype("f4")).dtype == np.float32
    assert double.predict_proba(X).dtype == np.float64
    np.testing.assert_allclose(
        single.predict_proba(X.astype("f4")), double.predict_proba(X), atol=1e-4
    )


# ------------------------------------------------------------ validation, stopping


def test_a_given_validation_set_is_the_one_that_is_watched(rng):
    X, y = problem(rng)
    X, X_val, y, y_val = train_test_split(X, y, random_state=0)
    weight = rng.uniform(0.5, 2, size=len(y_val))
    clf = TwoLayerClassifier(
        early_stopping=True, n_iter_no_change=5, random_state=0, max_iter=200
    ).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    assert clf.best_validation_loss_ == min(clf.validation_loss_curve_)
    assert clf.validation_loss_curve_[clf.best_iter_ - 1] == clf.best_validation_loss_
    proba = clf.predict_proba(X_val)
    expected = log_loss(y_val, proba, sample_weight=weight)
    assert clf.best_validation_loss_ == pytest.approx(expected, rel=1e-5)
    assert len(clf.validation_loss_curve_) == clf.n_iter_


def test_a_validation_set_without_early_stopping_only_watches(rng):
    X, y = problem(rng)
    X, X_val, y, y_val = train_test_split(X, y, random_state=0)
    options = {"random_state": 0, "early_stopping": False, **SMALL}
    plain = TwoLayerClassifier(**options).fit(X, y)
    watched = TwoLayerClassifier(**options)
    watched.fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(params(watched), params(plain))
    assert len(watched.validation_loss_curve_) == SMALL["max_iter"]
    assert plain.validation_loss_curve_ is None
    assert plain.best_validation_loss_ is None


def test_early_stopping_ends_a_fit_that_does_not_improve(rng):
    X = rng.normal(size=(200, 5))
    y = rng.integers(0, 2, size=200)  # nothing to learn: overfits at once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = TwoLayerClassifier(
            early_stopping=True, max_iter=500, n_iter_no_change=5, random_state=0
        ).fit(X, y)
    assert clf.stop_reason_ == "no_improvement"
    assert clf.n_iter_ < 500
    assert clf.best_iter_ < clf.n_iter_


@pytest.mark.parametrize("learning_rate", ["constant", "adaptive", "invscaling"])
def test_a_plateau_of_the_training_loss_ends_a_rate_that_stays_up(learning_rate):
    X, y = load_iris(return_X_y=True)
    clf = TwoLayerClassifier(
        learning_rate=learning_rate, max_iter=5000, tol=1e-3, random_state=0
    ).fit(X, y)
    assert clf.stop_reason_ == "no_improvement"
    assert clf.n_iter_ < 5000


@SHORT_FITS
def test_streams_of_chance_are_separate(rng):
    """A hold-out moves neither the start nor, on the same rows, anything else."""
    X, y = problem(rng)
    tiny = {**STREAM, "learning_rate_init": 1e-300, "max_iter": 1, "dropout": 0.0}
    plain = TwoLayerClassifier(**tiny).fit(X, y)
    split = TwoLayerClassifier(**{**tiny, "early_stopping": True}).fit(X, y)
    np.testing.assert_array_equal(params(split), params(plain))


@pytest.mark.parametrize(
    "make",
    [lambda: 7, lambda: np.random.RandomState(7), lambda: np.random.default_rng(7)],
)
def test_a_seed_of_any_kind_repeats_a_fit(rng, make):
    X, y = problem(rng)
    fits = [TwoLayerClassifier(random_state=make(), **SMALL).fit(X, y) for _ in "ab"]
    np.testing.assert_array_equal(params(fits[0]), params(fits[1]))
    other = TwoLayerClassifier(random_state=8, **SMALL).fit(X, y)
    assert (params(other) != params(fits[0])).any()


def test_no_seed_means_another_model_each_time(rng):
    X, y = problem(rng)
    a, b = (TwoLayerClassifier(**SMALL).fit(X, y) for _ in "ab")
    assert (params(a) != params(b)).any()
    fits = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002 - None follows NumPy's global state
        fits.append(params(TwoLayerClassifier(**SMALL).fit(X, y)))
    np.testing.assert_array_equal(*fits)


# ---------------------------------------------------------------------- reporting


def test_verbose_writes_to_the_logger_every_k_epochs(rng, caplog):
    X, y = problem(rng)
    TwoLayerClassifier(random_state=0, **SMALL).fit(X, y)
    assert not caplog.records
    clf = TwoLayerClassifier(
        random_state=0, verbose=3, early_stopping=True, **SMALL
    ).fit(X, y)
    lines = [r.getMessage() for r in caplog.records if r.name == "sknet"]
    assert [r.levelno for r in caplog.records] == [logging.INFO] * 3
    assert lines[0].startswith("Epoch 3, training loss = ")
    assert f"{clf.validation_loss_curve_[2]:.6f}" in lines[0]
    assert lines[1].startswith("Epoch 6, ")
    assert lines[2].startswith("Stopped after 8 epochs: all max_iter epochs are done.")


def test_verbose_prints_where_logging_is_not_set_up():
    code = (
        "from sklearn.datasets import load_iris; from sknet import TwoLayerClassifier;"
        "X, y = load_iris(return_X_y=True);"
        "TwoLayerClassifier(max_iter=2, verbose={}).fit(X, y)"
    )
    for verbose, n_lines in ((0, 0), (1, 3), (2, 2)):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code.format(verbose)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(done.stdout.splitlines()) == n_lines
        assert done.stderr == ""


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_every_solver_says_why_it_stopped(rng, caplog, solver):
    X, y = problem(rng)
    TwoLayerClassifier(solver=solver, verbose=100, **SMALL).fit(X, y)
    n_runs = SMALL["n_estimators"] if solver == "lbfgs" else 1
    assert [r.getMessage()[:7] for r in caplog.records] == ["Stopped"] * n_runs


# ------------------------------------------------------------------------ quality


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
@pytest.mark.parametrize("solver", ["adam", "lbfgs", "sgd"])
def test_defaults_beat_the_linear_model_or_come_close(load, solver):
    X, y = load(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    clf = TwoLayerClassifier(solver=solver, random_state=0).fit(X, y)
    scaler = StandardScaler().fit(X)
    linear = LogisticRegression().fit(scaler.transform(X), y)
    ours = log_loss(y_test, clf.predict_proba(X_test))
    theirs = log_loss(y_test, linear.predict_proba(scaler.transform(X_test)))
    assert ours < theirs + 0.25
    assert (
        clf.score(X_test, y_test) > linear.score(scaler.transform(X_test), y_test) - 0.1
    )


def test_a_curved_boundary_is_learnt(rng):
    X, y = make_classification(
        2000, 8, n_informative=6, n_clusters_per_class=4, random_state=0
    )
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    clf = TwoLayerClassifier(random_state=0).fit(X, y)
    linear = LogisticRegression().fit(X, y)
    assert clf.score(X_test, y_test) > linear.score(X_test, y_test) + 0.1


@SHORT_FITS
def test_columns_are_split_unless_they_are_many_or_two_valued(rng):
    X, y = rng.normal(size=(40, 129)), np.arange(40) % 2
    X[:, 5], X[:, 7] = y, 3.0

    def split_of(X, **settings):
        clf = TwoLayerClassifier(max_iter=1, random_state=0, **settings).fit(X, y)
        n_inputs = clf.coefs_[0].shape[-2]
        assert n_inputs == X.shape[1] + len(clf.split_columns_)
        assert len(clf.split_offset_) == len(clf.split_columns_)
        return clf.split_columns_.tolist()

    varied = [j for j in range(129) if j not in (5, 7)]
    assert split_of(X) == split_of(X, split_inputs=True) == varied
    wider = np.hstack([X, rng.normal(size=(40, 2))])
    assert split_of(wider) == []
    assert split_of(wider, split_inputs=True) == [*varied, 129, 130]
    for settings in ({"split_inputs": False}, {"standardize": False}):
        assert split_of(X, **settings) == []
    assert split_of(sp.csr_array(X), split_inputs=True) == []


@SHORT_FITS
@pytest.mark.parametrize(
    ("d", "given", "expected"),
    [
        (100, {}, (12, 48)),
        (29_000, {}, (12, 48)),
        (60_000, {}, (12, 23)),
        (100_000, {}, (10, 16)),
        (260_000, {}, (4, 16)),
        (2**20, {}, (4, 8)),
        (100_000, {"n_estimators": 1}, (1, 48)),
        (100_000, {"hidden_layer_size": 40}, (4, 40)),
        (2**20, {"n_estimators": 1}, (1, 16)),
        (1_000_000, {"n_estimators": 2, "hidden_layer_size": 3}, (2, 3)),
    ],
)
def test_auto_takes_fewer_units_for_very_many_columns(d, given, expected):
    """At most 2 ** 24 weights in the first layer, but four members of 8 units."""
    X = sp.csr_array((np.ones(20), np.arange(20), np.arange(21)), shape=(20, d))
    clf = TwoLayerClassifier(max_iter=1, **given).fit(X, np.arange(20) % 2)
    assert clf.intercepts_[0].reshape(-1, clf.coefs_[0].shape[-1]).shape == expected


def test_what_auto_chose_by_rows_a_stream_keeps(rng):
    """A first batch of few rows has dropout 0.5, in later batches of many too."""
    X = rng.normal(size=(5100, 2))
    y = (X[:, 0] > 0).astype(int)

    def stream(dropout):
        clf = TwoLayerClassifier(dropout=dropout, random_state=0)
        clf.partial_fit(X[:40], y[:40], classes=[0, 1])
        return clf.partial_fit(X, y).predict_proba(X)

    np.testing.assert_array_equal(stream("auto"), stream(0.5))
    assert (stream("auto") != stream(0.35)).any()


@SHORT_FITS
def test_a_stream_keeps_the_columns_that_its_first_batch_split(rng):
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    X[:30, 1] = y[:30]  # two values at first
    clf = TwoLayerClassifier(random_state=0)
    clf.partial_fit(X[:30], y[:30], classes=[0, 1])
    assert clf.split_columns_.tolist() == [0, 2]
    offset = clf.split_offset_
    clf.partial_fit(X[30:], y[30:])
    assert clf.split_columns_.tolist() == [0, 2]
    assert (clf.split_offset_ != offset).all()  # as the mean and the scale
    assert np.isfinite(clf.predict_proba(X)).all()
