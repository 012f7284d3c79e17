"""Statistical honesty: what is said of new rows holds on new rows.

The problems are drawn, so that the truth is known. Fifty seeds each with
``SKNET_TESTS_PROFILE=nightly``, a few otherwise.
"""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from sknet import TwoLayerClassifier

N_SEEDS = 50, 3  # in the nightly profile and in the quick one

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def drawn_from_a_curve(rng, n):
    """Draw labels from a known probability, which is never near 0 or 1."""
    X = rng.normal(size=(n, 4))
    truth = expit(1.5 * X[:, 0] - X[:, 1] * X[:, 2])
    return X, (rng.random(n) < truth).astype(int)


def slope_of_calibration(y, proba):
    """Find the factor b of the logit that calibrates, p' = expit(b logit(p))."""
    logit = np.log(proba) - np.log1p(-proba)
    b = 1.0
    for _ in range(30):  # Newton's method
        p = expit(b * logit)
        b += ((y - p) @ logit) / ((p * (1 - p)) @ logit**2)
    return b


def test_probabilities_are_calibrated_and_their_out_of_fold_loss_is_that_of_new_rows(
    long_or_quick,
):
    slopes, gaps, ratios = [], [], []
    for seed in range(long_or_quick(50, 6)):
        rng = np.random.default_rng(seed)
        X, y = drawn_from_a_curve(rng, 400)
        X_new, y_new = drawn_from_a_curve(rng, 4000)
        clf = TwoLayerClassifier(random_state=seed, store_oof_proba=True).fit(X, y)
        proba = clf.predict_proba(X_new)
        slopes.append(slope_of_calibration(y_new, proba[:, 1]))
        gaps.append(proba.max(axis=1).mean() - clf.score(X_new, y_new))
        ratios.append(log_loss(y, clf.oof_proba_) / log_loss(y_new, proba))
    # a temperature that is right on average leaves the slope 1 and the gap 0
    assert 0.85 < np.exp(np.mean(np.log(slopes))) < 1.2
    assert abs(np.mean(gaps)) < 0.02
    # a member alone, on fewer rows, is not better than the mean of all, nor far worse;
    # the ratio of one seed has a standard deviation of 0.05
    assert long_or_quick(0.97, 0.94) < np.mean(ratios) < 1.15


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("n", [60, 300])
def test_pure_noise_is_answered_by_the_class_frequencies(n, n_classes, long_or_quick):
    """The log-loss on new noise is that of the frequencies, + 0.01 at most on average.

    They are those of the training rows: nobody knows others.
    """
    excess = []
    for seed in range(long_or_quick(*N_SEEDS)):
        rng = np.random.default_rng(seed)
        X, X_new = rng.normal(size=(n, 5)), rng.normal(size=(2000, 5))
        y = rng.integers(0, n_classes, size=n)
        y_new = rng.integers(0, n_classes, size=2000)
        clf = TwoLayerClassifier(random_state=seed).fit(X, y)
        frequency = np.bincount(y, minlength=n_classes) / n
        prior_loss = -np.log(frequency)[y_new].mean()
        excess.append(log_loss(y_new, clf.predict_proba(X_new)) - prior_loss)
    assert np.mean(excess) <= 0.01


@pytest.mark.parametrize("n_columns", [2, 3, 6, 10])
def test_rows_that_differ_in_their_label_only_are_given_their_odds(n_columns):
    """Binary columns: every x has both labels. The loss comes close to Bayes's."""
    rng, weights = np.random.default_rng(0), np.linspace(-1.5, 1.5, n_columns)

    def draw(n):
        X = rng.integers(0, 2, size=(n, n_columns)).astype(float)
        p = expit(X @ weights + 0.5 * X[:, 0])
        return X, (rng.random(n) < p).astype(int), p

    X, y, _ = draw(4000)
    X_new, y_new, p = draw(4000)
    clf = TwoLayerClassifier(random_state=0).fit(X, y)
    assert log_loss(y_new, clf.predict_proba(X_new)) < log_loss(y_new, p) + 0.015


def test_a_parity_that_is_learnt_late_is_learnt():
    """For some twenty epochs the loss is that of the class frequencies."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 20))
    y = (X[:, :3] > 0).sum(axis=1) % 2
    clf = TwoLayerClassifier(random_state=0).fit(X[:3000], y[:3000])
    assert clf.score(X[3000:], y[3000:]) > 0.7
