"""Cross-fitting in the estimator: planted labels, ``oof_proba_``, missing folds."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict

from sknet import TwoLayerClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_size": 16, "early_stopping": True, "random_state": 0}
SMALL |= {"blend": False}


def problem(n=300, n_classes=3, seed=0, **options):
    return make_classification(
        n, 8, n_informative=6, n_classes=n_classes, random_state=seed, **options
    )


# ---------------------------------------------------------------- planted labels


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_random_labels_are_known_by_heart_but_not_out_of_fold(solver):
    """Nothing but chance connects X and y, so memory is all there is."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 30)), rng.integers(0, 2, size=400)
    clf = TwoLayerClassifier(
        solver=solver,
        max_iter=200,
        n_iter_no_change=1000,
        learning_rate_init=0.1 if solver == "sgd" else 0.01,
        early_stopping=True,
        store_oof_proba=True,
        blend=False,
        random_state=0,
    ).fit(X, y)
    assert clf.loss_curve_[-1] < 0.3
    hits = (clf.oof_proba_.argmax(axis=1) == y).mean()
    assert abs(hits - 0.5) < 3 * 0.5 / np.sqrt(400)
    assert clf.best_validation_loss_ > 0.68


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_labels_planted_in_one_row_do_not_leak_into_its_fold(
    container, solver, long_or_quick
):
    """Each row has a column of its own: only who saw the row could know its label."""
    n, hits, losses = 48, [], []
    for seed in range(long_or_quick(50, 10)):
        rng = np.random.default_rng(seed)
        X = container(np.hstack([np.eye(n), rng.normal(size=(n, 2))]))
        y = rng.permutation(np.arange(n) % 2)
        clf = TwoLayerClassifier(
            16,
            solver=solver,
            n_estimators=6,
            dropout=0.0,
            max_iter=60,
            n_iter_no_change=60,
            store_oof_proba=True,
            random_state=seed,
        ).fit(X, y)
        if solver == "lbfgs":
            by_heart = clone(clf).set_params(early_stopping=False)
            by_heart.set_params(store_oof_proba=False).fit(X, y)
            assert by_heart.score(X, y) == 1  # who saw the row knows it
        hits.extend(clf.oof_proba_[np.arange(n), y] > 0.5)
        losses.append(log_loss(y, clf.oof_proba_))
    # the choice of the best epoch alone makes noise look a little better
    assert np.mean(hits) < 0.5 + 4.5 * 0.5 / np.sqrt(len(hits)) + 0.04
    assert np.mean(losses) > np.log(2) - 0.05


def test_copies_and_other_labels_of_a_row_do_not_leak_into_its_fold():
    """Rows of equal x are in one fold: one would tell the label of the other."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(100, 20)), 3, axis=0)
    y = np.repeat(rng.integers(0, 2, size=100), 3)
    y[::3] = rng.integers(0, 2, size=100)
    clf = TwoLayerClassifier(store_oof_proba=True, max_iter=100, **SMALL).fit(X, y)
    assert log_loss(y, clf.oof_proba_) > np.log(2) - 0.03


# -------------------------------------------------------------------- oof_proba_


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_oof_proba_is_by_the_one_member_that_left_the_row_out(
    container, solver, n_classes, inputs_by_formula
):
    """By the textbook, for every row as it was given: repeated and shuffled.

    Neither the folds nor the members' temperatures are known. One temperature must
    explain the rows of a member, and it must be the best one for all other rows. The
    folds must be of one size.
    """
    X, y = problem(120, n_classes)
    again = np.random.default_rng(0).integers(0, 120, size=200)
    rows, labels = X[again], y[again]
    k = 4
    clf = TwoLayerClassifier(
        solver=solver, n_estimators=k, max_iter=10, store_oof_proba=True, **SMALL
    ).fit(container(rows), labels)
    Z = inputs_by_formula(clf, rows)
    logits = []
    for W1, W2, b1, b2 in zip(*clf.coefs_, *clf.intercepts_, strict=True):
        raw = np.maximum(Z @ W1 + b1, 0) @ W2 + b2
        logits.append(np.hstack([np.zeros_like(raw), raw]) if n_classes == 2 else raw)
    logits = np.array(logits)  # (k, n, n_classes), of which only differences count
    logits -= logits.mean(axis=2, keepdims=True)
    found = np.log(clf.oof_proba_)
    found -= found.mean(axis=1, keepdims=True)

    ratios = (logits * found).sum(axis=2) / (found**2).sum(axis=1)  # (k, n)
    equal = np.isclose(ratios[:, :, np.newaxis], ratios[:, np.newaxis], rtol=1e-4)
    temperatures = ratios[np.arange(k), equal.sum(axis=2).argmax(axis=1)]
    errors = logits / temperatures[:, np.newaxis, np.newaxis] - found
    errors = np.abs(errors).max(axis=2)  # (k, n)
    assert errors.min(axis=0).max() < 1e-4
    fold = errors.argmin(axis=0)
    _, first, copies = np.unique(again, return_index=True, return_counts=True)
    for j in range(k):
        others = fold[first] != j
        row, weight = first[others], copies[others] / copies[others].sum()
        target = np.full((len(row), n_classes), 1 / n_classes)
        smoothing = 1 / (1 / (weight @ weight) + 2)
        target = smoothing * target + (1 - smoothing) * np.eye(n_classes)[labels[row]]

        def loss(t, own=logits[fold[row], row], target=target, weight=weight):
            return -weight @ (target * log_softmax(own / t, axis=1)).sum(axis=1)

        best = minimize_scalar(loss, bounds=(0.1, 20), method="bounded").x
        assert_allclose(temperatures[j], best, rtol=5e-3)
    assert np.ptp(np.bincount(fold[first], minlength=k)) <= 1
    for label in np.unique(labels):  # dealt by class
        counts = np.bincount(fold[first][labels[first] == label], minlength=k)
        assert np.ptp(counts) <= 1
    for row in np.unique(again):
        assert len(set(fold[again == row])) == 1


def test_oof_proba_means_what_cross_val_predict_means():
    X, y = problem(600)
    clf = TwoLayerClassifier(n_estimators=6, store_oof_proba=True, **SMALL).fit(X, y)
    lone = TwoLayerClassifier(n_estimators=1, max_iter=clf.best_iter_, random_state=0)
    proba = cross_val_predict(lone, X, y, cv=6, method="predict_proba")
    loss = log_loss(y, clf.oof_proba_)
    assert_allclose(clf.oof_proba_.sum(axis=1), 1, rtol=1e-12)
    assert loss == pytest.approx(log_loss(y, proba), rel=0.2)
    assert loss == pytest.approx(clf.best_validation_loss_, rel=0.01)
    assert log_loss(y, clf.predict_proba(X)) < loss


def test_rows_without_a_fold_have_nan_or_the_members_mean():
    """All members saw the only row of a class; none saw a row of weight zero."""
    X, y = problem(200)
    y[0] = 3
    weight = np.ones(200)
    weight[1:3] = 0
    clf = TwoLayerClassifier(n_estimators=4, store_oof_proba=True, **SMALL)
    clf.fit(X, y, weight)
    assert np.isnan(clf.oof_proba_[0]).all()
    assert_allclose(clf.oof_proba_[1:3], clf.predict_proba(X[1:3]))
    assert np.isfinite(clf.oof_proba_[1:]).all()
    clf.set_params(store_oof_proba=False).fit(X, y)
    assert clf.oof_proba_ is None


# ------------------------------------------------------------------ without folds


@pytest.mark.parametrize(
    ("settings", "n"),
    [
        ({"n_estimators": 1}, 200),
        ({"n_estimators": 4, "early_stopping": False}, 200),
        ({"n_estimators": 12, "early_stopping": "auto"}, 6),
    ],
    ids=str,
)
def test_without_folds_there_is_no_oof_proba_and_a_warning(settings, n):
    X, y = problem(n)
    clf = TwoLayerClassifier(store_oof_proba=True, **{**SMALL, **settings})
    with pytest.warns(UserWarning, match="store_oof_proba=True needs folds"):
        clf.fit(X, y)
    assert clf.oof_proba_ is None


def test_a_given_validation_set_takes_the_place_of_the_folds():
    X, y = problem()
    clf = TwoLayerClassifier(max_iter=10, store_oof_proba=True, **SMALL)
    with pytest.warns(UserWarning, match="X_val"):
        clf.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert clf.oof_proba_ is None
    assert clf.temperature_ == 1.0


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_fewer_rows_than_folds(n, solver):
    """True takes the folds that there are, or warns; "auto" does without."""
    X = np.arange(n, dtype=float)[:, np.newaxis]
    clf = TwoLayerClassifier(solver=solver, **SMALL)
    for true in (True, np.True_):  # the second one as in the grid of a search
        clf.set_params(early_stopping=true).fit(X, np.arange(n) // 2)
        assert clf.best_validation_loss_ is not None
    clf.set_params(early_stopping="auto")
    for y in (np.arange(n) // 2, np.arange(n)):
        assert clf.fit(X, y).best_validation_loss_ is None
    with pytest.warns(UserWarning, match="needs more distinct rows"):
        clf.set_params(early_stopping=True).fit(X, np.arange(n))
    assert np.isfinite(clf.predict_proba(X)).all()
    assert clf.n_iter_ >= 1
