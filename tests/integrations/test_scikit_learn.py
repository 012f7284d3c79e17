"""Inside scikit-learn's meta-estimators: each is what its description says."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


@pytest.fixture
def iris(rng):
    """150 flowers in random order, three classes."""
    X, y = load_iris(return_X_y=True)
    order = rng.permutation(len(y))
    return X[order], y[order]


def test_a_grid_search_does_not_depend_on_n_jobs(iris, small_net, params_of):
    X, y = iris
    grid = {"alpha": [0.0, 0.1], "n_estimators": [1, 3]}
    alone, parallel = (
        GridSearchCV(small_net(), grid, cv=3, scoring="neg_log_loss", n_jobs=n)
        for n in (1, 2)
    )
    alone.fit(X, y)
    parallel.fit(X, y)
    scores = [name for name in alone.cv_results_ if name.endswith("_score")]
    assert len(scores) == 3 + 3  # splits; mean, std and rank
    for name in scores:
        assert_array_equal(alone.cv_results_[name], parallel.cv_results_[name])
    assert alone.best_params_ == parallel.best_params_
    assert_array_equal(
        params_of(alone.best_estimator_), params_of(parallel.best_estimator_)
    )


def test_cross_validation_is_a_loop_over_the_splits(iris, small_net):
    X, y = iris
    splits = list(StratifiedKFold(4).split(X, y))
    nets = [small_net().fit(X[rows], y[rows]) for rows, _ in splits]
    held_out = [rows for _, rows in splits]
    scores = [
        net.score(X[rows], y[rows]) for net, rows in zip(nets, held_out, strict=True)
    ]
    assert_array_equal(cross_val_score(small_net(), X, y, cv=splits), scores)
    by_hand = np.empty((len(y), 3))
    for net, rows in zip(nets, held_out, strict=True):
        by_hand[rows] = net.predict_proba(X[rows])
    found = cross_val_predict(small_net(), X, y, cv=splits, method="predict_proba")
    assert_array_equal(found, by_hand)


def test_calibration_is_isotonic_regression_on_out_of_fold_logits(iris, small_net):
    X, y = iris[0], (iris[1] == 2).astype(int)
    splits = list(StratifiedKFold(3).split(X, y))
    calibrated = CalibratedClassifierCV(
        small_net(), method="isotonic", cv=splits, ensemble=False
    ).fit(X, y)
    logits = cross_val_predict(small_net(), X, y, cv=splits, method="decision_function")
    isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    isotonic.fit(logits, y)
    expected = isotonic.predict(small_net().fit(X, y).decision_function(X))
    assert_allclose(calibrated.predict_proba(X)[:, 1], expected, atol=1e-6)


def test_bagging_averages_networks_of_the_drawn_rows(iris, small_net):
    X, y = iris
    bag = BaggingClassifier(small_net(), n_estimators=3, random_state=0).fit(X, y)
    # scikit-learn may pass the draws as rows or as weights
    members = [
        clone(member).fit(X[rows], y[rows]).predict_proba(X)
        for member, rows in zip(bag.estimators_, bag.estimators_samples_, strict=True)
    ]
    assert_allclose(bag.predict_proba(X), np.mean(members, axis=0), rtol=1e-12)


def test_stacking_fits_its_head_on_out_of_fold_probabilities(iris, small_net):
    X, y = iris
    splits = list(StratifiedKFold(3).split(X, y))
    parts = [("net", small_net()), ("bayes", GaussianNB())]
    stacked = StackingClassifier(parts, LogisticRegression(), cv=splits).fit(X, y)
    columns = [
        cross_val_predict(part, X, y, cv=splits, method="predict_proba")
        for _, part in parts
    ]
    head = LogisticRegression().fit(np.hstack(columns), y)
    assert_allclose(stacked.final_estimator_.coef_, head.coef_, rtol=1e-6)
    columns = [part.fit(X, y).predict_proba(X) for _, part in parts]
    expected = head.predict_proba(np.hstack(columns))
    assert_allclose(stacked.predict_proba(X), expected, rtol=1e-6)


def test_routing_brings_weights_and_a_scaled_validation_set(iris, rng, small_net):
    X, X_val, y, y_val = iris[0][:100], iris[0][100:], iris[1][:100], iris[1][100:]
    weight, weight_val = rng.integers(1, 4, size=100), rng.integers(1, 4, size=50)
    given = {"y_val": y_val, "sample_weight_val": weight_val}
    with sklearn.config_context(enable_metadata_routing=True):
        net = small_net().set_fit_request(
            sample_weight=True, X_val=True, y_val=True, sample_weight_val=True
        )
        scale = StandardScaler().set_fit_request(sample_weight=True)
        pipeline = Pipeline([("scale", scale), ("net", net)], transform_input=["X_val"])
        pipeline.fit(X, y, sample_weight=weight, X_val=X_val, **given)
        found = pipeline.predict_proba(X)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    Z, Z_val = scaler.transform(X), scaler.transform(X_val)
    by_hand = small_net().fit(Z, y, weight, X_val=Z_val, **given)
    curve = pipeline[-1].validation_loss_curve_
    assert curve == by_hand.validation_loss_curve_
    assert_array_equal(found, by_hand.predict_proba(Z))
    # both have an effect
    unscaled = small_net().fit(Z, y, weight, X_val=X_val, **given)
    unweighted = small_net().fit(Z, y, X_val=Z_val, **given)
    assert curve != unscaled.validation_loss_curve_
    assert curve != unweighted.validation_loss_curve_
