"""Statistical honesty: what is said of new rows holds on new rows.

The problems are drawn, so that the truth is known. Fifty seeds each with
``SKNET_TESTS_PROFILE=nightly``, a few otherwise.
"""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from sknet import TwoLayerClassifier

N_SEEDS = 50, 3  # nightly and else

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def drawn_from_a_curve(rng, n):
    """Labels drawn from a known probability, which is never near 0 or 1."""
    X = rng.normal(size=(n, 4))
    truth = expit(1.5 * X[:, 0] - X[:, 1] * X[:, 2])
    return X, (rng.random(n) < truth).astype(int), truth


def slope_of_calibration(y, proba):
    """Factor b of the logit that calibrates: p' = expit(b logit(p)), by Newton."""
    logit = np.log(proba) - np.log1p(-proba)
    b = 1.0
    for _ in range(30):
        p = expit(b * logit)
        b += ((y - p) @ logit) / ((p * (1 - p)) @ logit**2)
    return b


def test_the_temperature_calibrates_rows_that_no_member_saw(long_or_quick):
    """Nominal and observed agree: the logits of held-out rows need no other factor."""
    slopes, gaps, gains = [], [], []
    for seed in range(long_or_quick(*N_SEEDS)):
        rng = np.random.default_rng(seed)
        X, y, _ = drawn_from_a_curve(rng, 400)
        X_new, y_new, _ = drawn_from_a_curve(rng, 4000)
        clf = TwoLayerClassifier(random_state=seed).fit(X, y)
        proba = clf.predict_proba(X_new)
        slopes.append(slope_of_calibration(y_new, proba[:, 1].astype(float)))
        gaps.append(proba.max(axis=1).mean() - clf.score(X_new, y_new))
        clf.temperature_ /= 3  # surer of itself than it should be
        gains.append(log_loss(y_new, clf.predict_proba(X_new)))
        gains[-1] -= log_loss(y_new, proba)
    # a temperature that is right on average leaves the slope 1 and the gap 0
    assert 0.85 < np.exp(np.mean(np.log(slopes))) < 1.2
    assert abs(np.mean(gaps)) < 0.02
    assert min(gains) > 0


def test_the_out_of_fold_loss_is_that_of_new_rows(long_or_quick):
    """A member alone errs as its out-of-fold predictions say, of rows never seen."""
    ratios = []
    for seed in range(long_or_quick(*N_SEEDS)):
        rng = np.random.default_rng(seed)
        X, y, _ = drawn_from_a_curve(rng, 400)
        X_new, y_new, _ = drawn_from_a_curve(rng, 4000)
        clf = TwoLayerClassifier(random_state=seed, store_oof_proba=True).fit(X, y)
        of_new = log_loss(y_new, clf.predict_proba(X_new))
        ratios.append(log_loss(y, clf.oof_proba_) / of_new)
    # of one member, on fewer rows: no better than the mean of all, and not far worse
    assert 0.97 < np.mean(ratios) < 1.15


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("n", [60, 300])
def test_pure_noise_is_answered_by_the_class_frequencies(n, n_classes, long_or_quick):
    """The log-loss on new noise is the prior's + 0.01 at most, on average.

    The prior is that of the training rows: nobody knows another. A fit cannot know it
    better than one standard error for each class.
    """
    excess = []
    for seed in range(long_or_quick(*N_SEEDS)):
        rng = np.random.default_rng(seed)
        X, X_new = rng.normal(size=(n, 5)), rng.normal(size=(2000, 5))
        y = rng.integers(0, n_classes, size=n)
        y_new = rng.integers(0, n_classes, size=2000)
        clf = TwoLayerClassifier(random_state=seed).fit(X, y)
        frequency = np.bincount(y, minlength=n_classes) / n
        of_prior = -np.log(frequency)[y_new].mean()
        excess.append(log_loss(y_new, clf.predict_proba(X_new)) - of_prior)
    assert np.mean(excess) <= 0.01


def test_labels_planted_in_one_row_do_not_leak_into_its_fold(long_or_quick):
    """Each row has a column of its own: only who saw the row could know its label."""
    for seed in range(long_or_quick(*N_SEEDS)):
        rng = np.random.default_rng(seed)
        n = 48
        X = np.hstack([np.eye(n), rng.normal(size=(n, 2))])
        y = rng.permutation(np.arange(n) % 2)
        clf = TwoLayerClassifier(
            16, n_estimators=6, dropout=0.0, max_iter=60, random_state=seed
        )
        clf.set_params(store_oof_proba=True, n_iter_no_change=60).fit(X, y)
        oof = clf.oof_proba_[np.arange(n), y]
        # with noise alone, right in half of the rows: 24 of 48, by 4.5 deviations
        assert (oof > 0.5).sum() <= 24 + 4.5 * np.sqrt(n) / 2
        assert log_loss(y, clf.oof_proba_) > np.log(2) - 0.1


@pytest.mark.parametrize("batch_size", [1, 8, 64, "auto"])
@pytest.mark.parametrize("early_stopping", [False, "auto"])
def test_class_weights_give_the_weighted_prior_on_constant_rows(
    batch_size, early_stopping
):
    y = np.repeat([0, 1, 2], [50, 30, 20])
    X = np.full((100, 2), 3.0)
    for class_weight in ("balanced", {0: 1, 1: 5, 2: 0.5}):
        clf = TwoLayerClassifier(
            4,
            n_estimators=2,
            class_weight=class_weight,
            batch_size=batch_size,
            early_stopping=early_stopping,
            random_state=0,
        ).fit(X, y)
        weight = {0: 2, 1: 10 / 3, 2: 5} if class_weight == "balanced" else class_weight
        expected = np.array([weight[c] * n for c, n in ((0, 50), (1, 30), (2, 20))])
        np.testing.assert_allclose(
            clf.predict_proba(X[:1])[0], expected / expected.sum(), atol=1e-3
        )
