"""What training reaches, in one go and in streams."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_classification

from sknet import TwoLayerClassifier

SHORT_FIT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def problem(rng):
    """Three classes; a binary and a skewed column."""
    X = rng.normal(size=(120, 4))
    X[:, 2] = rng.random(120) < 0.2
    X[:, 3] = np.exp(X[:, 3])
    score = X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.normal(size=120)
    return X, np.digitize(score, np.quantile(score, [1 / 3, 2 / 3]))


def test_the_optimum_under_decay_does_not_depend_on_the_batch_size():
    """MLPClassifier's norm of the weights grows 2.5-fold from one row in 100 to all."""
    X, y = make_classification(500, 8, n_informative=6, random_state=0)
    norms = []
    for batch_size in (5, 50, 500):
        share = (batch_size / 500) ** 0.5
        clf = TwoLayerClassifier(
            8,
            n_estimators=1,
            activation="tanh",
            solver="sgd",
            alpha=0.02,
            batch_size=batch_size,
            learning_rate_init=0.1 * share,
            max_iter=round(2000 * share),
            dtype="float64",
            random_state=0,
        ).fit(X, y)
        norms.append(np.sqrt(sum((w**2).sum() for w in clf.coefs_)))
    assert_allclose(norms, norms[-1], rtol=0.02)


@pytest.mark.parametrize("wild", [999_999.0, -999_999.0, 1e30])
def test_a_code_for_missing_values_does_not_drown_its_column(wild):
    """Of 600 values of each column one is wild: as if it had not been there."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2600, 4))
    y = X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3] > 0
    train, test = slice(600), slice(600, None)
    clf = TwoLayerClassifier(n_estimators=4, random_state=0, max_iter=40)
    score = clf.fit(X[train], y[train]).score(X[test], y[test])
    mean, scale = clf.mean_, clf.scale_
    X[range(4), range(4)] = wild
    spoilt = clf.fit(X[train], y[train]).score(X[test], y[test])
    assert_allclose(clf.scale_, scale, rtol=0.01)
    assert_allclose(clf.mean_, mean, atol=0.01)
    assert score > 0.8
    assert spoilt > score - 0.03


# --- streams and warm starts


@SHORT_FIT
def test_a_warm_start_on_other_rows_says_that_it_knows_those_it_would_hold_out(
    problem, small_net
):
    X, y = problem
    clf = small_net(warm_start=True, early_stopping=True).fit(X, y)
    with pytest.warns(UserWarning, match="would now be held out"):
        clf.fit(X[y < 2], y[y < 2])
    assert clf.classes_.tolist() == [0, 1, 2]  # a subset of the classes may come
    assert clf.predict_proba(X).shape == (len(y), 3)


@SHORT_FIT
def test_a_warm_start_of_lbfgs_goes_on_from_its_last_weights(problem, small_net):
    X, y = problem
    settings = {"early_stopping": False, "n_estimators": 3, "max_iter": 5, "tol": 1e-9}
    clf = small_net(solver="lbfgs", warm_start=True, **settings)
    curve = clf.fit(X, y).fit(X, y).loss_curve_
    assert clf.n_iter_ == len(curve) == 10
    assert (np.diff(curve) < 0).all()


def test_batches_may_hold_any_subset_of_the_classes(problem, small_net):
    X, y = problem
    clf = small_net(hidden_layer_size=32, learning_rate_init=0.01)
    order = np.argsort(y, kind="stable")  # whole batches of a single class
    for _ in range(30):
        for rows in np.array_split(order, 6):
            clf.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    assert clf.score(X, y) > 0.8


def test_statistics_of_a_stream_are_those_of_all_rows(problem, small_net):
    X, y = problem
    clf = small_net()
    for rows in np.array_split(np.arange(len(y)), [1, 2, 50]):
        clf.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    assert_allclose(clf.mean_, X.mean(axis=0), rtol=1e-12)
    two_valued = [len(np.unique(column)) == 2 for column in X.T]
    expected = np.where(two_valued, np.ptp(X, axis=0), X.std(axis=0))
    assert_allclose(clf.scale_, expected, rtol=1e-12)


@SHORT_FIT
def test_the_curves_of_a_stream_have_its_last_100_passes(problem, small_net):
    X, y = problem
    clf = small_net(max_iter=1).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    validated = clf.validation_loss_curve_
    for n_passes in range(2, 106):
        before = clf.loss_curve_[-99:]
        clf.partial_fit(X[:20], y[:20])
        assert clf.loss_curve_[:-1] == before
        if n_passes == 100:
            assert clf.validation_loss_curve_[:1] == validated
            assert np.isnan(clf.validation_loss_curve_[1:]).all()
    assert (len(clf.loss_curve_), clf.n_iter_) == (100, 105)
    assert clf.validation_loss_curve_ is None  # what was validated is forgotten
    assert clf.temperature_ == 1.0


def test_what_auto_chose_for_the_first_batch_a_stream_keeps(rng):
    """A first batch of few rows sets dropout to 0.5, for later batches of many too."""
    X = rng.normal(size=(5100, 2))
    y = (X[:, 0] > 0).astype(int)

    def stream(dropout):
        clf = TwoLayerClassifier(dropout=dropout, random_state=0)
        clf.partial_fit(X[:40], y[:40], classes=[0, 1])
        return clf.partial_fit(X, y)

    assert stream("auto").dropout_ == 0.5
    expected = stream(0.5).predict_proba(X)
    assert_array_equal(stream("auto").predict_proba(X), expected)
    assert (stream(0.35).predict_proba(X) != expected).any()
