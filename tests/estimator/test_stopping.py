"""Validation rows, early stopping, and the one warning of a fit that went wrong."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sknet import TwoLayerClassifier

SHORT_FIT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def split():
    """X, X_val, y, y_val: noisy labels, so that a long fit overfits."""
    X, y = make_classification(
        300, 8, n_informative=4, n_classes=3, flip_y=0.3, random_state=0
    )
    return train_test_split(X, y, test_size=100, random_state=0)


def caught_by(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    return caught


# --- validation rows


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize(
    ("patience", "stop_reason"), [(5, "no_improvement"), (99, "max_iter")]
)
def test_a_given_validation_set_is_the_one_that_is_watched(
    rng, split, small_net, n_estimators, patience, stop_reason
):
    X, X_val, y, y_val = split
    weight = rng.uniform(0.5, 2, size=len(y_val))
    settings = {"n_estimators": n_estimators, "n_iter_no_change": patience}
    settings |= {"learning_rate": "constant", "max_iter": 50, "early_stopping": True}
    clf = small_net(**settings)
    clf.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    assert clf.stop_reason_ == stop_reason
    assert clf.best_iter_ < clf.n_iter_ <= 50
    curve = clf.validation_loss_curve_
    assert len(curve) == len(clf.loss_curve_) == clf.n_iter_
    assert clf.best_validation_loss_ == min(curve) == curve[clf.best_iter_ - 1]
    expected = log_loss(y_val, clf.predict_proba(X_val), sample_weight=weight)
    assert clf.best_validation_loss_ == pytest.approx(expected, rel=1e-5)


def test_a_validation_set_without_early_stopping_only_watches(
    split, small_net, params_of
):
    X, X_val, y, y_val = split
    plain = small_net().fit(X, y)
    watched = small_net().fit(X, y, X_val=X_val, y_val=y_val)
    assert_array_equal(params_of(watched), params_of(plain))
    assert len(watched.validation_loss_curve_) == watched.n_iter_
    assert plain.validation_loss_curve_ is None
    assert plain.best_validation_loss_ is None


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_early_stopping_ends_a_fit_that_does_not_improve(rng, small_net, n_estimators):
    X, y = rng.normal(size=(200, 5)), rng.integers(0, 2, size=200)  # overfits at once
    clf = small_net(
        n_estimators=n_estimators, early_stopping=True, max_iter=300, n_iter_no_change=5
    )
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        clf.fit(X, y)
    assert clf.stop_reason_ == "no_improvement"
    assert clf.best_iter_ < clf.n_iter_ < 300


def test_a_plateau_of_the_training_loss_ends_a_constant_rate(small_net):
    X, y = load_iris(return_X_y=True)
    clf = small_net(learning_rate="constant", max_iter=2000, tol=1e-3).fit(X, y)
    assert clf.stop_reason_ == "no_improvement"
    assert clf.n_iter_ < 2000


@SHORT_FIT
@pytest.mark.parametrize("n_estimators", [1, 3])
def test_a_class_of_one_row_stays_in_training(split, small_net, n_estimators):
    X, _, y, _ = split
    y = np.where(np.arange(len(y)) == 17, "rare", "common")
    clf = small_net(early_stopping=True, n_estimators=n_estimators).fit(X, y)
    assert clf.classes_.tolist() == ["common", "rare"]
    assert clf.predict_proba(X).shape == (len(y), 2)
    assert clf.validation_loss_curve_ is not None


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize("copies", [1, 3])
def test_early_stopping_without_rows_to_spare_says_so_once(
    split, small_net, copies, n_estimators
):
    X, _, y, _ = split
    few = np.repeat([np.flatnonzero(y == 0)[0], np.flatnonzero(y == 1)[0]], copies)
    settings = {"n_estimators": n_estimators, "max_iter": 20}
    clf = small_net(**settings, early_stopping=True)
    (caught,) = caught_by(lambda: clf.fit(X[few], y[few]))
    assert caught.category is UserWarning
    assert "early_stopping needs more distinct rows" in str(caught.message)
    assert caught.filename == __file__
    assert clf.validation_loss_curve_ is None
    expected = small_net(**settings).fit(X[few], y[few])
    assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))


# --- warnings


@pytest.mark.parametrize(
    "load", [load_iris, load_wine, load_breast_cancer, load_digits]
)
def test_a_default_fit_warns_of_nothing(load):
    X, y = load(return_X_y=True)
    settings = {"hidden_layer_size": 16, "n_estimators": 3} if len(y) > 1000 else {}
    for scale in (1.0, 1 / X.max()):
        clf = TwoLayerClassifier(random_state=0, **settings).fit(X * scale, y)
    assert clf.score(X * scale, y) > 0.95


def test_a_fit_no_better_than_the_class_frequencies_says_so(rng, small_net):
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 2, size=200)
    with pytest.warns(ConvergenceWarning, match="no better than .* class frequencies"):
        small_net(early_stopping=True).fit(X, y)


def test_columns_that_drown_the_others_are_named_once(split, small_net):
    X, _, y, _ = split
    X = X * [1, 1, 1e6, 1, 1, 1, 1, 1]
    clf = small_net(standardize=False)
    caught = caught_by(lambda: clf.fit(X, y))
    (huge,) = (warning for warning in caught if "much larger" in str(warning.message))
    assert huge.category is UserWarning
    assert f"the others: 2 (up to {np.abs(X[:, 2]).max():.3g})." in str(huge.message)
    assert huge.filename == __file__


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("learning_rate", ["cosine", "constant"])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("learning_rate_init", [1e3, 1e30, 1e300])
def test_a_run_that_diverges_ends_finite_with_one_warning(
    split, small_net, params_of, solver, learning_rate, standardize, learning_rate_init
):
    X, _, y, _ = split
    clf = small_net(
        solver=solver,
        learning_rate=learning_rate,
        learning_rate_init=learning_rate_init,
        standardize=standardize,
        dtype="float32" if standardize else "float64",
    )
    (caught,) = caught_by(lambda: clf.fit(X, y))
    assert caught.category is ConvergenceWarning
    assert f"learning_rate_init={learning_rate_init:g}" in str(caught.message)
    assert caught.filename == __file__
    for found in (params_of(clf), clf.loss_curve_, clf.predict_proba(X)):
        assert np.isfinite(found).all()
