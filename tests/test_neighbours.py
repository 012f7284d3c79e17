"""Beside other packages: what each makes of the estimator, held against an oracle.

A test is skipped only where the package that it is about is not installed. All of them
are in the extra ``neighbours``.
"""

import itertools
import math
from datetime import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from packaging.version import Version
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris, make_classification
from sklearn.inspection import permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknet import TwoLayerClassifier


def small_net(**settings):
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
    model = skrub.tabular_pipeline(small_net(max_iter=30)).fit(rows, label)

    # the network is given numbers without gaps, and nothing but them
    inputs = model[:-1].transform(rows)
    assert np.isfinite(np.asarray(inputs, dtype=float)).all()
    by_hand = small_net(max_iter=30).fit(inputs, label)
    assert_array_equal(model.predict_proba(rows), by_hand.predict_proba(inputs))

    # a date, a string and a number each say something to it, also in rows with gaps
    assert model.score(new_rows, new_label) > 0.8
    gaps = new_rows.isna().any(axis=1).to_numpy()
    assert model.score(new_rows[gaps], new_label[gaps]) > 0.7
    found = permutation_importance(
        model, new_rows, new_label, n_repeats=3, random_state=0
    )
    told = dict(zip(rows.columns, found.importances_mean, strict=True))
    assert min(told["ordered"], told["town"], told["price"]) > 0.05
    assert told["note"] < 0.03

    # what has not been seen is no error
    strange = new_rows.head(2).assign(town="Trier", ordered=datetime(2031, 1, 1))
    with pytest.warns(UserWarning, match="Found unknown categories"):
        assert np.isfinite(model.predict_proba(strange)).all()


# --- imbalanced-learn


def test_copies_drawn_by_imbalanced_learn_are_weights(rng):
    imblearn = pytest.importorskip("imblearn.pipeline")
    from imblearn.over_sampling import RandomOverSampler

    X, y = make_classification(400, 8, weights=[0.9], random_state=0)
    draw = RandomOverSampler(random_state=0)
    model = imblearn.make_pipeline(draw, small_net()).fit(X, y)
    drawn = np.bincount(draw.sample_indices_, minlength=len(y))
    assert drawn[y == 0].sum() == drawn[y == 1].sum()
    assert drawn.max() > 2
    weighted = small_net().fit(X, y, sample_weight=drawn)
    assert_array_equal(model.predict_proba(X), weighted.predict_proba(X))


# --- Optuna


needs_callbacks = pytest.mark.skipif(
    Version(sklearn.__version__) < Version("1.9"),
    reason="scikit-learn has callbacks since 1.9",
)


class Prune:
    """Reports the validation loss of each epoch to a trial; ends a hopeless fit."""

    def __init__(self, trial, how):
        self.trial, self.how = trial, how

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        import optuna

        if context.task_name != "epoch":
            return False
        self.trial.report(estimator.validation_loss_curve_[-1], context.task_id)
        if self.how == "raise" and self.trial.should_prune():
            raise optuna.TrialPruned
        return self.how == "stop" and self.trial.should_prune()

    def teardown(self, estimator, context):
        pass


@needs_callbacks
@pytest.mark.parametrize("how", ["raise", "stop"])
def test_optuna_prunes_by_the_validation_loss_of_each_epoch(how):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    X, y = load_iris(return_X_y=True)
    models = {}

    def net(rate):
        settings = {"learning_rate_init": rate, "early_stopping": True}
        return small_net(max_iter=20, **settings)

    def objective(trial):
        rate = trial.suggest_float("learning_rate_init", 1e-7, 0.1)
        clf = models[trial.number] = net(rate)
        clf.set_callbacks(Prune(trial, how)).fit(X, y)
        if clf.stop_reason_ == "callback":
            raise optuna.TrialPruned
        return min(clf.validation_loss_curve_)

    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler(
            {"learning_rate_init": [0.05, 0.02, 1e-7]}, seed=0
        ),
        pruner=optuna.pruners.ThresholdPruner(upper=0.9, n_warmup_steps=5),
    )
    study.optimize(objective, n_trials=3)

    trials = {t.params["learning_rate_init"]: t for t in study.trials}
    hopeless = trials.pop(1e-7)
    # it does not get away from where it starts, near ln 3
    assert hopeless.state == optuna.trial.TrialState.PRUNED
    assert max(hopeless.intermediate_values) == 5  # the first epoch after the warm-up
    if how == "stop":
        assert models[hopeless.number].stop_reason_ == "callback"
    for rate, trial in trials.items():
        assert trial.state == optuna.trial.TrialState.COMPLETE
        alone = net(rate).fit(X, y)
        reported = [trial.intermediate_values[i] for i in range(alone.n_iter_)]
        assert reported == alone.validation_loss_curve_
    assert study.best_value == min(t.value for t in trials.values())


# --- what matters to the model


@pytest.fixture(scope="module")
def two_of_four():
    """The first two columns decide, by their product; the last one is constant."""
    X = np.random.default_rng(0).normal(size=(600, 4))
    X[:, 3] = 1.0
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    return X, y, small_net(max_iter=60).fit(X, y)


def test_shap_gives_the_shapley_values_of_the_probabilities(two_of_four):
    shap = pytest.importorskip("shap")
    X, _, clf = two_of_four
    background, rows = X[:20], X[20:25]
    explainer = shap.Explainer(clf.predict_proba, background, algorithm="exact")
    found = explainer(rows)

    def value(row, known):
        """Mean probability with the known columns of a row, the others of all rows."""
        mixed = background.copy()
        mixed[:, known] = row[known]
        return clf.predict_proba(mixed).mean(axis=0)

    d = X.shape[1]
    expected = np.zeros((len(rows), d, 2))
    for (i, row), j in itertools.product(enumerate(rows), range(d)):
        others = [column for column in range(d) if column != j]
        for size in range(d):
            share = 1 / (d * math.comb(d - 1, size))
            for known in map(list, itertools.combinations(others, size)):
                gain = value(row, [*known, j]) - value(row, known)
                expected[i, j] += share * gain
    assert_allclose(found.values, expected, atol=1e-6)
    total = found.base_values + found.values.sum(axis=1)
    assert_allclose(total, clf.predict_proba(rows), atol=1e-6)
    assert_array_equal(found.values[:, 3], 0)
    size = np.abs(found.values[..., 1]).mean(axis=0)
    assert min(size[:2]) > 5 * max(size[2:])


def test_permutation_importance_finds_the_two_columns_that_decide(two_of_four):
    X, y, clf = two_of_four
    found = permutation_importance(clf, X, y, n_repeats=5, random_state=0)
    told = found.importances_mean
    # without one of two factors the sign of their product is a toss of a coin
    assert_allclose(told[:2], clf.score(X, y) - 0.5, atol=0.06)
    assert abs(told[2]) < 0.03
    assert_array_equal(found.importances[3], 0)


# --- frames inside a pipeline


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_names_come_through_a_pipeline_of_frames(kind):
    X, y = load_iris(return_X_y=True, as_frame=True)
    X["colour"] = np.array(["red", "blue"])[np.arange(len(X)) % 2]
    rows = X if kind == "pandas" else pl.DataFrame(X.to_dict("list"))
    columns = make_column_transformer(
        (StandardScaler(), list(X.columns[:4])),
        (OneHotEncoder(sparse_output=False), ["colour"]),
    )
    model = make_pipeline(clone(columns), small_net()).set_output(transform=kind)
    model.fit(rows, y)

    inputs = model[0].transform(rows)
    assert isinstance(inputs, pd.DataFrame if kind == "pandas" else pl.DataFrame)
    names = model[:-1].get_feature_names_out().tolist()
    assert names[-2:] == ["onehotencoder__colour_blue", "onehotencoder__colour_red"]
    assert model[-1].feature_names_in_.tolist() == names == list(inputs.columns)
    # frames carry names and change no number
    plain = make_pipeline(clone(columns), small_net()).set_output(transform="default")
    plain.fit(rows, y)
    assert not hasattr(plain[-1], "feature_names_in_")
    assert_array_equal(model.predict_proba(rows), plain.predict_proba(rows))
