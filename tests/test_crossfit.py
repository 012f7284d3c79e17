"""Cross-fitted members: honest out-of-fold logits, their loss, their temperature."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax
from sklearn.datasets import load_digits, make_blobs, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict, train_test_split

from sknet import TwoLayerClassifier
from sknet._activations import IDENTITY, RELU
from sknet._crossfit import OutOfFold, member_weights, temperature_of_mean
from sknet._losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, fit_temperature
from sknet._network import Shape, TwoLayerNetwork
from sknet._objects import fitted_network
from sknet._standardizer import Standardizer
from sknet._training import Dataset

SMALL = {"hidden_layer_size": 16, "early_stopping": True, "random_state": 0}


def spy_on(monkeypatch):
    """Collect every OutOfFold that a fit makes."""
    made = []

    class Spy(OutOfFold):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr("sknet._fitting.OutOfFold", Spy)
    return made


def problem(n=300, n_classes=3, seed=0, **options):
    return make_classification(
        n, 8, n_informative=6, n_classes=n_classes, random_state=seed, **options
    )


def test_members_ignore_their_fold_and_have_mean_weight_one(rng):
    weight, fold = rng.uniform(0.5, 2, size=(1, 40)), np.arange(40) % 4
    weights = member_weights(weight, fold, 4)
    for j in range(4):
        assert not weights[j, fold == j].any()
        ratio = weights[j, fold != j] / weight[0, fold != j]
        np.testing.assert_allclose(ratio, ratio[0])
    np.testing.assert_allclose(weights.mean(axis=1), 1)


def test_a_member_without_rows_of_its_own_trains_on_all():
    weights = member_weights(np.ones((1, 1)), np.array([0]), 2)
    np.testing.assert_array_equal(weights, [[1.0], [1.0]])


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_out_of_fold_logits_are_those_of_the_members(
    monkeypatch, solver, kind, inputs_by_formula
):
    """Recomputed by the textbook from the weights of a last epoch that moved little."""
    made = spy_on(monkeypatch)
    X, y = problem()
    container = sp.csr_array if kind == "sparse" else np.asarray
    clf = TwoLayerClassifier(
        solver=solver,
        n_estimators=4,
        max_iter=15,
        n_iter_no_change=100,
        dropout=0.0,
        **SMALL,
    )
    clf.fit(container(X), y)
    spy = made[0]
    rows, fold, z = spy.data.rows, spy.fold, inputs_by_formula(clf, X)
    (W1, W2), (b1, b2) = clf.coefs_, clf.intercepts_
    expected = np.array(
        [
            np.maximum(z[i] @ W1[j] + b1[j], 0) @ W2[j] + b2[j]
            for i, j in zip(rows, fold, strict=True)
        ]
    )
    if solver == "lbfgs" or clf.best_iter_ == clf.n_iter_:
        np.testing.assert_allclose(spy.raw, expected, atol=0.05)
    spy.network.params[:] = clf._params
    spy.predict_all()
    np.testing.assert_allclose(spy.raw, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "adam", "max_iter": 1},
        {"solver": "adam", "max_iter": 1, "dropout": 0.0},
        {"solver": "sgd", "max_iter": 1},
        {"solver": "lbfgs", "max_iter": 9},
        {"solver": "lbfgs", "max_iter": 9, "early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_labels_of_a_fold_do_not_move_the_member_that_leaves_it_out(
    monkeypatch, settings
):
    """Folds and start held fixed; what is left is what a member learns."""
    X, y = problem()
    folds = np.arange(len(y)) % 5
    monkeypatch.setattr("sknet._preparation.deal_folds", lambda y, *_: folds[: len(y)])
    monkeypatch.setattr("sknet._rows._class_rank", lambda *_: np.arange(len(set(y))))
    made = spy_on(monkeypatch)

    def fitted(y):
        clf = TwoLayerClassifier(n_estimators=5, **{**SMALL, **settings})
        return clf.fit(X, y).coefs_[0]

    before = fitted(y)
    out = made[-1].data.rows[folds == 2]
    turned = y.copy()
    turned[out] = (y[out] + 1) % len(set(y))
    moved = np.abs(fitted(turned) - before).max(axis=(1, 2))
    assert moved[2] == 0
    assert (np.delete(moved, 2) > 0).all()


@pytest.mark.parametrize("n_classes", [1, 2, 4])
def test_the_calibrated_loss_is_the_lowest_log_loss(rng, n_classes):
    """Many rows: smoothing is of no account, and a scalar search finds the same."""
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    raw = 4 * rng.normal(size=(20_000, loss.n_outputs))
    y = rng.integers(0, n_classes, size=20_000)
    weight = rng.uniform(0.1, 2, size=20_000)

    def log_loss_at(log_t):
        log_proba = loss.log_mean_proba(raw[np.newaxis] * np.exp(-log_t))
        return -np.average(log_proba[np.arange(len(y)), y], weights=weight)

    temperature, value = fit_temperature(loss, raw, y, weight)
    assert value == pytest.approx(log_loss_at(np.log(temperature)), rel=1e-6)
    bounds = (-np.log(10), np.log(20))
    found = minimize_scalar(log_loss_at, bounds=bounds, method="bounded")
    assert value == pytest.approx(found.fun, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_derivatives_by_the_scale_are_central_differences(rng, n_classes):
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    raw = 2 * rng.normal(size=(50, loss.n_outputs))
    step = 1e-4
    low, mid, high = (loss.log_partition(raw, 0.7 + d)[0] for d in (-step, 0, step))
    if n_classes > 2:
        np.testing.assert_allclose(mid, logsumexp(0.7 * raw, axis=1))
    _, slope, curvature = loss.log_partition(raw, 0.7)
    np.testing.assert_allclose(slope, (high - low) / (2 * step), atol=1e-6)
    np.testing.assert_allclose(
        curvature, (high - 2 * mid + low) / step**2, rtol=1e-4, atol=1e-6
    )


def test_a_few_rows_all_right_do_not_make_certain():
    """No finite temperature is best for them: Laplace's rule keeps doubt alive."""
    raw, y = np.array([[-3.0], [-2.0], [2.0], [3.0]] * 10), np.array([0, 0, 1, 1] * 10)
    loss = SigmoidCrossEntropy()
    temperatures = [fit_temperature(loss, raw, y, np.ones(40))[0]]
    temperatures.append(fit_temperature(loss, raw[:8], y[:8], np.ones(8))[0])
    assert 0.1 < temperatures[0] < temperatures[1]
    copies = fit_temperature(loss, raw[:8], y[:8], np.full(8, 5.0))[0]
    assert copies == pytest.approx(temperatures[1])  # only the weights' ratios count
    X, labels = make_blobs(100, centers=[[-3, 0], [3, 0]], random_state=0)
    clf = TwoLayerClassifier(random_state=0).fit(X, labels)
    assert clf.predict_proba([[-1.0, 0.0]])[0, 1] > 1e-12


@pytest.mark.parametrize("n_columns", [2, 3, 6, 10])
def test_rows_that_differ_in_their_label_only(n_columns):
    """Binary columns: every x has both labels. The loss comes close to Bayes's."""
    rng, weights = np.random.default_rng(0), np.linspace(-1.5, 1.5, n_columns)

    def draw(n):
        X = rng.integers(0, 2, size=(n, n_columns)).astype(float)
        p = 1 / (1 + np.exp(-(X @ weights + 0.5 * X[:, 0])))
        return X, (rng.random(n) < p).astype(int), p

    X, y, _ = draw(4000)
    X_test, y_test, p = draw(4000)
    clf = TwoLayerClassifier(random_state=0).fit(X, y)
    loss = log_loss(y_test, clf.predict_proba(X_test))
    assert loss < log_loss(y_test, p) + 0.015


def test_a_single_row_of_a_class_is_in_no_fold(monkeypatch):
    made = spy_on(monkeypatch)
    X, y = problem()
    y[5] = 3
    TwoLayerClassifier(**SMALL, max_iter=3).fit(X, y)
    spy = made[0]
    assert spy.fold[spy.data.rows == 5] == -1
    assert spy.weight[spy.data.rows == 5] == 0
    assert ((spy.fold == -1) == (spy.data.rows == 5)).all()


def test_a_warm_start_on_other_rows_is_not_judged_by_rows_it_knows():
    X, y = problem(n_classes=2)
    clf = TwoLayerClassifier(warm_start=True, **SMALL).fit(X[:200], y[:200])
    with pytest.warns(UserWarning, match="trained on rows that would be held out"):
        clf.fit(X, y)
    assert clf.temperature_ == 1.0
    assert clf.validation_loss_curve_[-1] != clf.validation_loss_curve_[-1]  # NaN
    assert clf.best_validation_loss_ is None
    clf = TwoLayerClassifier(warm_start=True, **SMALL).fit(X, y).fit(X, y)
    assert len(clf.validation_loss_curve_) == clf.n_iter_
    kept = clf.validation_loss_curve_[clf.best_iter_ - 1]
    assert kept == clf.best_validation_loss_


def test_a_warm_start_after_a_stream_says_that_it_has_no_folds():
    X, y = problem(n_classes=2)
    clf = TwoLayerClassifier(warm_start=True, **{**SMALL, "early_stopping": "auto"})
    clf.partial_fit(X, y, classes=[0, 1])
    with pytest.warns(UserWarning, match="trained on rows that would be held out"):
        clf.fit(X, y)
    assert clf.temperature_ == 1.0
    clf.set_params(early_stopping=False).fit(X, y)  # asks for none: nothing to say


def test_class_weights_count_in_a_given_validation_set():
    X, y = problem(n_classes=2)
    options = {**SMALL, "max_iter": 40, "class_weight": {0: 1, 1: 50}}
    clf = TwoLayerClassifier(**options).fit(X, y, X_val=X, y_val=y)
    weight = np.where(y == 1, 50.0, 1.0)
    expected = log_loss(y, clf.predict_proba(X), sample_weight=weight)
    assert clf.best_validation_loss_ == pytest.approx(expected, rel=1e-5)


def test_planted_labels_are_never_seen_by_their_out_of_fold_member(monkeypatch):
    """Random labels on far-out rows are learnt by heart, but not out of fold."""
    made = spy_on(monkeypatch)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 30))
    y = rng.integers(0, 2, size=400)  # nothing but chance: memory is all there is
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = TwoLayerClassifier(
            max_iter=200, n_iter_no_change=1000, early_stopping=True, random_state=0
        ).fit(X, y)
    spy = made[0]
    seen = clf.predict(X)
    last = spy.raw[:, 0] > 0
    hits = (last == y[spy.data.rows]).mean()
    assert clf.loss_curve_[-1] < 0.1  # the members know their own rows by heart
    assert abs(hits - 0.5) < 3 * 0.5 / np.sqrt(400)
    assert clf.best_validation_loss_ > 0.68
    assert seen.shape == y.shape


def test_out_of_fold_loss_tells_the_test_loss():
    """It estimates the loss of a single member; the members' mean is better."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    clf = TwoLayerClassifier(64, n_estimators=8, random_state=0).fit(X, y)
    test = log_loss(y_test, clf.predict_proba(X_test))
    assert test < clf.best_validation_loss_ * 1.1
    again = TwoLayerClassifier(
        64, n_estimators=1, max_iter=clf.best_iter_, random_state=0
    )
    proba = cross_val_predict(again, X, y, cv=8, method="predict_proba")
    assert clf.best_validation_loss_ == pytest.approx(log_loss(y, proba), rel=0.25)


@pytest.mark.parametrize(("hidden", "inputs"), [(0.4, 0.0), (0.0, 0.3)])
def test_dropout_gets_a_pass_without_masks(monkeypatch, hidden, inputs):
    made = spy_on(monkeypatch)
    X, y = problem()
    TwoLayerClassifier(dropout=hidden, input_dropout=inputs, max_iter=5, **SMALL).fit(
        X, y
    )
    spy = made[0]
    judged = spy.raw.copy()
    spy.predict_all()
    np.testing.assert_array_equal(spy.raw, judged)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_one_the_labels_were_drawn_at(rng, n_classes, true):
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    raw = 3 * rng.normal(size=(20_000, loss.n_outputs))
    proba = loss.mean_proba(raw[np.newaxis] / true)
    y = (proba.cumsum(axis=1) < rng.random((len(proba), 1))).sum(axis=1)
    found, _ = fit_temperature(loss, raw, y, np.ones(len(y)))
    assert found == pytest.approx(true, rel=0.06)


def test_the_temperature_is_that_of_the_best_epoch(monkeypatch):
    made = spy_on(monkeypatch)
    temperatures = []

    def record(self):
        loss = calibrate(self)
        temperatures.append(self.temperature)
        return loss

    calibrate = OutOfFold.calibrate
    monkeypatch.setattr(OutOfFold, "calibrate", record)
    X, y = problem(flip_y=0.2)
    clf = TwoLayerClassifier(learning_rate_init=0.02, max_iter=30, **SMALL).fit(X, y)
    assert len(temperatures) == clf.n_iter_
    spy = made[0]
    assert spy.best_temperature == temperatures[clf.best_iter_ - 1] != 1.0
    assert 0.5 <= clf.temperature_ / spy.best_temperature < 1


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_the_mean_of_calibrated_members_is_calibrated(rng, n_classes, spread):
    """Labels from true logits, members that err independently, known calibration.

    The temperature is found without a label; that of the labels is the oracle.
    """
    n, k = 4000, 8
    shape = Shape(1, 1, 1 if n_classes == 2 else n_classes, k)
    loss = SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)
    network = TwoLayerNetwork(shape, np.zeros(shape.n_params), IDENTITY, loss)
    true = 2 * rng.normal(size=(n, shape.n_outputs))
    raw = true + spread * rng.normal(size=(k, n, shape.n_outputs))
    proba = loss.mean_proba(true[np.newaxis])
    y = (proba.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, n_classes - 1)
    of_members = fit_temperature(
        loss, raw.reshape(k * n, -1), np.tile(y, k), np.ones(k * n)
    )[0]
    network.raw_prediction = lambda X, shift, member: raw[:, X[:, 0].astype(int)]
    rows = np.arange(n)
    data = Dataset(rows[:, np.newaxis], rows, y, np.ones((1, n)))
    plain = Standardizer(None, None, None, np.float64)
    found = temperature_of_mean(network, plain, data, of_members)

    def loss_at(t):
        p = loss.mean_proba(raw / t)[np.arange(n), y]
        return -np.log(p).mean()

    best = minimize_scalar(loss_at, bounds=(0.1, 3), method="bounded").x
    assert found < of_members
    assert abs(found - best) < 0.25 * abs(of_members - best) + 0.03
    assert loss_at(found) < loss_at(of_members)


def test_members_that_agree_keep_their_temperature(rng):
    """No variance, nothing to make up for; one class, nothing to be sure of."""
    for n_classes in (1, 3):
        loss = SoftmaxCrossEntropy(n_classes)
        shape = Shape(2, 3, n_classes, 4)
        params = np.zeros(shape.n_params)
        network = TwoLayerNetwork(shape, params, RELU, loss)
        own = rng.normal(size=shape._replace(n_members=1).n_params)
        for j in range(4):
            shape.set_member(params, j, own)
        X = rng.normal(size=(50, 2))
        data = Dataset(X, np.arange(50), np.zeros(50, int), np.ones((1, 50)))
        plain = Standardizer(None, None, None, np.float64)
        assert temperature_of_mean(network, plain, data, 1.7) == 1.7


def test_predictions_are_made_at_the_temperature():
    X, y = problem(n_classes=2)
    clf = TwoLayerClassifier(n_estimators=1, random_state=0).fit(X, y)
    logit = clf.decision_function(X)
    clf.temperature_ = 2.5
    np.testing.assert_allclose(clf.decision_function(X), logit / 2.5, rtol=1e-12)
    expected = 1 / (1 + np.exp(-logit / 2.5))
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1], expected, rtol=1e-12)


def test_a_given_validation_set_wins_over_folds():
    X, y = problem()
    clf = TwoLayerClassifier(max_iter=10, **SMALL)
    clf.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert clf.temperature_ == 1.0
    raw_loss = log_loss(y[200:], clf.predict_proba(X[200:]))
    assert clf.best_validation_loss_ == pytest.approx(raw_loss, rel=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_fewer_rows_than_folds(n, solver):
    """Who asks for folds gets what there is, or is told; "auto" does without."""
    X = np.arange(n, dtype=float)[:, np.newaxis]
    clf = TwoLayerClassifier(solver=solver, **SMALL).fit(X, np.arange(n) // 2)
    assert clf.best_validation_loss_ is not None
    clf.set_params(early_stopping="auto").fit(X, np.arange(n) // 2)
    assert clf.best_validation_loss_ is None
    clf.set_params(early_stopping="auto").fit(X, np.arange(n))
    assert clf.best_validation_loss_ is None
    with pytest.warns(UserWarning, match="needs more distinct rows"):
        clf.set_params(early_stopping=True).fit(X, np.arange(n))
    assert np.isfinite(clf.predict_proba(X)).all()
    assert clf.n_iter_ >= 1


# ------------------------------------------------------------------- oof_proba_


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_oof_proba_is_by_the_member_that_left_the_row_out(
    monkeypatch, kind, solver, n_classes, inputs_by_formula
):
    """By the textbook, for every row as it was given: repeated, weighted, shuffled."""
    made = spy_on(monkeypatch)
    X, y = problem(120, n_classes)
    again = np.random.default_rng(0).integers(0, 120, size=200)
    X, y = X[again], y[again]
    container = sp.csr_array if kind == "sparse" else np.asarray
    clf = TwoLayerClassifier(
        solver=solver, n_estimators=4, max_iter=10, store_oof_proba=True, **SMALL
    ).fit(container(X), y)
    fold_of = {
        X[row].tobytes(): j
        for row, j in zip(made[-1].data.rows, made[-1].fold, strict=True)
    }
    Z = inputs_by_formula(clf, X)
    (W1, W2), (b1, b2) = clf.coefs_, clf.intercepts_
    for i, row in enumerate(X):
        j = fold_of[row.tobytes()]
        logit = np.maximum(Z[i] @ W1[j] + b1[j], 0) @ W2[j] + b2[j]
        logit = np.array([0, *logit]) if n_classes == 2 else logit
        expected = softmax(logit / made[-1].best_temperature)
        np.testing.assert_allclose(clf.oof_proba_[i], expected, rtol=1e-5, atol=1e-7)


def test_oof_proba_means_what_cross_val_predict_means():
    X, y = problem(600)
    folds = {"n_estimators": 6, "store_oof_proba": True}
    clf = TwoLayerClassifier(**folds, **SMALL).fit(X, y)
    lone = TwoLayerClassifier(n_estimators=1, max_iter=clf.best_iter_, random_state=0)
    proba = cross_val_predict(lone, X, y, cv=6, method="predict_proba")
    np.testing.assert_allclose(clf.oof_proba_.sum(axis=1), 1, rtol=1e-12)
    assert log_loss(y, clf.oof_proba_) == pytest.approx(log_loss(y, proba), rel=0.2)
    assert log_loss(y, clf.oof_proba_) == pytest.approx(
        clf.best_validation_loss_, rel=0.01
    )
    assert log_loss(y, clf.predict_proba(X)) < log_loss(y, clf.oof_proba_)


def test_oof_proba_of_rows_without_a_fold():
    """All members saw the only row of a class; none saw a row of weight zero."""
    X, y = problem(200)
    y[0] = 3
    weight = np.ones(200)
    weight[1:3] = 0
    clf = TwoLayerClassifier(n_estimators=4, store_oof_proba=True, **SMALL)
    clf.fit(X, y, weight)
    assert np.isnan(clf.oof_proba_[0]).all()
    np.testing.assert_allclose(clf.oof_proba_[1:3], clf.predict_proba(X[1:3]))
    assert np.isfinite(clf.oof_proba_[1:]).all()
    clf.set_params(store_oof_proba=False).fit(X, y)
    assert clf.oof_proba_ is None


@pytest.mark.parametrize(
    ("options", "n", "reason"),
    [
        ({"n_estimators": 1}, 200, "n_estimators=1 has none"),
        ({"n_estimators": 4, "early_stopping": False}, 200, "early_stopping=False"),
        (
            {"n_estimators": 12, "early_stopping": "auto"},
            6,
            "too few distinct rows for n_estimators=12",
        ),
    ],
)
def test_no_folds_no_oof_proba_and_a_reason(options, n, reason):
    X, y = problem(n)
    clf = TwoLayerClassifier(store_oof_proba=True, **{**SMALL, **options})
    with pytest.warns(UserWarning, match=reason):
        clf.fit(X, y)
    assert clf.oof_proba_ is None


def test_a_validation_set_leaves_no_folds_for_oof_proba():
    X, y = problem(200)
    clf = TwoLayerClassifier(store_oof_proba=True, n_estimators=4, **SMALL)
    with pytest.warns(UserWarning, match="X_val"):
        clf.fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    assert clf.oof_proba_ is None


def test_one_members_pass_is_that_of_all(rng):
    """Held-out rows go through one member: the same numbers, a k-th of the work."""
    X, y = problem()
    clf = TwoLayerClassifier(n_estimators=3, max_iter=3, **SMALL).fit(X, y)
    network, standardizer = fitted_network(vars(clf))
    Z, _ = standardizer.take(X, slice(None))
    together = network.raw_prediction(Z)
    for j in range(3):
        alone = network.raw_prediction(Z, member=j)
        np.testing.assert_allclose(alone[0], together[j], rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------ sizes, start


@pytest.mark.parametrize(("n", "sizes"), [(5_000, (12, 48)), (5_001, (4, 128))])
def test_automatic_sizes_follow_the_number_of_distinct_rows(n, sizes):
    X = np.arange(n, dtype=float)[:, np.newaxis]
    twice = np.concatenate([X, X])
    clf = TwoLayerClassifier(max_iter=1, random_state=0, early_stopping=False)
    clf.fit(twice, np.ravel(twice > n // 2))
    assert (clf.coefs_[0].shape[0], clf.coefs_[0].shape[2]) == sizes
    clf.set_params(hidden_layer_size=7).fit(X, np.ravel(n // 2 < X))
    assert (clf.coefs_[0].shape[0], clf.coefs_[0].shape[2]) == (sizes[0], 7)


def test_automatic_sizes_stay_in_a_warm_start_and_a_stream():
    X = np.arange(6_000, dtype=float)[:, np.newaxis]
    y = np.ravel(X > 3_000)
    clf = TwoLayerClassifier(max_iter=2, warm_start=True, random_state=0)
    clf.fit(X[::2], y[::2])
    with pytest.warns(UserWarning, match="would be held out now"):
        clf.fit(X, y)
    assert clf.coefs_[0].shape == (12, 2, 48)
    stream = TwoLayerClassifier(random_state=0)
    stream.partial_fit(X[::2], y[::2], classes=[False, True]).partial_fit(X, y)
    assert stream.coefs_[0].shape == (12, 2, 48)
    with pytest.raises(ValueError, match="n_estimators was 12"):
        clf.set_params(n_estimators=4).fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_start_predicts_the_weighted_class_frequencies(n_classes):
    """At the origin, where the hidden units are silent: an oracle without training."""
    X, y = problem(n_classes=n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 3, size=len(y))
    clf = TwoLayerClassifier(
        n_estimators=1,
        max_iter=1,
        learning_rate_init=1e-300,
        split_inputs=False,
        random_state=0,
    ).fit(X, y, weight)
    expected = np.bincount(y, weight) / weight.sum()
    proba = clf.predict_proba(clf.mean_[np.newaxis])[0]
    np.testing.assert_allclose(proba, expected, rtol=1e-6)


def test_members_start_from_the_frequencies_of_their_own_rows(monkeypatch):
    """A held-out label must not be in its member's start either."""
    starts = []
    start = TwoLayerNetwork.start

    def record(self, *args):
        start(self, *args)
        starts.append((self.shape, self.params.copy()))

    monkeypatch.setattr(TwoLayerNetwork, "start", record)
    made = spy_on(monkeypatch)
    X, y = problem(90)
    TwoLayerClassifier(n_estimators=4, max_iter=2, **SMALL).fit(X, y)
    (shape, params), (spy,) = starts[0], made
    b2 = shape.views(params).b2[:, 0]
    for j in range(4):
        counts = np.bincount(spy.data.y[spy.fold != j], minlength=3)
        expected = np.log(counts / counts.sum())
        np.testing.assert_allclose(b2[j], expected, rtol=1e-5)
