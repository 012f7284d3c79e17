"""Beside other packages: what each makes of the estimator, compared with an oracle.

A test is skipped only where its package is not installed. All packages are in the extra
``neighbours``.
"""

import itertools
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_classification

from sknet import TwoLayerClassifier


def net(**settings):
    quick = {"max_iter": 15, "n_estimators": 2, "random_state": 0}
    return TwoLayerClassifier(16, **(quick | settings))


# --- skrub


def table(rng, n):
    """Dates, strings, numbers and gaps; the label depends on one of each kind."""
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 365, n), "D")
    frame = pd.DataFrame(
        {
            "ordered": days,
            "town": rng.choice(["Ulm", "Bonn", "Kiel"], n),
            "price": rng.lognormal(3, 1, n),
            "note": [f"no. {i % 97}" for i in rng.integers(0, 10_000, n)],  # of no use
        }
    )
    score = (
        3.0 * (frame["ordered"].dt.month > 6)
        + 3.0 * (frame["town"] == "Kiel")
        + 1.5 * np.log(frame["price"] / 20)
        - 2.5
    )
    label = np.where(score + rng.logistic(0, 0.3, n) > 0, "yes", "no")
    return frame.mask(rng.uniform(size=frame.shape) < 0.05), label


def test_skrub_makes_numbers_of_dates_strings_and_gaps(rng):
    skrub = pytest.importorskip("skrub")
    rows, label = table(rng, 1_200)
    new_rows, new_label = table(rng, 600)
    assert rows.isna().any().all()
    model = skrub.tabular_pipeline(net(max_iter=30)).fit(rows, label)

    # the network is given numbers without gaps
    inputs = model[:-1].transform(rows)
    assert np.isfinite(np.asarray(inputs, dtype=float)).all()
    by_hand = net(max_iter=30).fit(inputs, label)
    assert_array_equal(model.predict_proba(rows), by_hand.predict_proba(inputs))

    # a date, a string and a number are each used, also in rows with gaps
    assert model.score(new_rows, new_label) > 0.8
    gaps = new_rows.isna().any(axis=1).to_numpy()
    assert model.score(new_rows[gaps], new_label[gaps]) > 0.7

    # values that were not seen in training are no error
    strange = new_rows.head(2).assign(town="Trier", ordered=datetime(2031, 1, 1))
    with pytest.warns(UserWarning, match="Found unknown categories"):
        assert np.isfinite(model.predict_proba(strange)).all()


# --- imbalanced-learn


def test_copies_drawn_by_imbalanced_learn_are_weights(rng):
    imblearn = pytest.importorskip("imblearn.pipeline")
    from imblearn.over_sampling import RandomOverSampler

    X, y = make_classification(400, 8, weights=[0.9], random_state=0)
    draw = RandomOverSampler(random_state=0)
    model = imblearn.make_pipeline(draw, net()).fit(X, y)
    drawn = np.bincount(draw.sample_indices_, minlength=len(y))
    assert drawn[y == 0].sum() == drawn[y == 1].sum()
    assert drawn.max() > 2
    weighted = net().fit(X, y, sample_weight=drawn)
    assert_array_equal(model.predict_proba(X), weighted.predict_proba(X))


# --- Optuna


class Prune:
    """Reports the validation loss of each epoch to a trial; stops a hopeless fit."""

    def __init__(self, trial):
        self.trial = trial

    def setup(self, estimator, context):
        pass

    on_fit_task_begin = teardown = setup

    def on_fit_task_end(self, estimator, context):
        if context.task_name != "epoch":
            return False
        self.trial.report(estimator.validation_loss_curve_[-1], context.task_id)
        return self.trial.should_prune()


def test_optuna_prunes_by_the_validation_loss_of_each_epoch():
    pytest.importorskip("sklearn.callback")
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    X, y = load_iris(return_X_y=True)

    def net_of(rate):
        return net(max_iter=20, learning_rate_init=rate, early_stopping=True)

    def objective(trial):
        clf = net_of(trial.suggest_float("rate", 1e-7, 0.1))
        if clf.set_callbacks(Prune(trial)).fit(X, y).stop_reason_ == "callback":
            raise optuna.TrialPruned
        return min(clf.validation_loss_curve_)

    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler({"rate": [0.05, 0.02, 1e-7]}, seed=0),
        pruner=optuna.pruners.ThresholdPruner(upper=0.9, n_warmup_steps=5),
    )
    study.optimize(objective, n_trials=3)
    trials = {t.params["rate"]: t for t in study.trials}
    hopeless = trials.pop(1e-7)  # it stays where it starts, near ln 3
    assert hopeless.state == optuna.trial.TrialState.PRUNED
    assert max(hopeless.intermediate_values) == 5  # the first epoch after the warm-up
    for rate, trial in trials.items():
        assert trial.state == optuna.trial.TrialState.COMPLETE
        alone = net_of(rate).fit(X, y)
        reported = [trial.intermediate_values[i] for i in range(alone.n_iter_)]
        assert reported == alone.validation_loss_curve_
    assert study.best_value == min(t.value for t in trials.values())


# --- SHAP


def test_shap_gives_the_shapley_values_of_the_probabilities():
    """Of columns of which the first two decide by their product, the last is constant.

    The values are compared with the definition: the mean gain from knowing a column,
    over all orders in which columns become known.
    """
    shap = pytest.importorskip("shap")
    X = np.random.default_rng(0).normal(size=(600, 4))
    X[:, 3] = 1.0
    clf = net(max_iter=60).fit(X, X[:, 0] * X[:, 1] > 0)
    background, row = X[:20], X[20]
    explainer = shap.Explainer(clf.predict_proba, background, algorithm="exact")
    found = explainer(X[20:21]).values[0]

    expected = np.zeros((4, 2))
    orders = list(itertools.permutations(range(4)))
    for order in orders:
        mixed = background.copy()
        before = clf.predict_proba(mixed).mean(axis=0)
        for column in order:
            mixed[:, column] = row[column]
            now = clf.predict_proba(mixed).mean(axis=0)
            expected[column] += (now - before) / len(orders)
            before = now
    assert_allclose(found, expected, atol=1e-6)
    assert_array_equal(found[3], 0)
