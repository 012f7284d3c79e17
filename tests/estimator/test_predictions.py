"""predict, predict_proba, predict_log_proba, decision_function and coefs_."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn import config_context
from sklearn.datasets import load_iris

PREDICTORS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
X, Y = load_iris(return_X_y=True)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_estimators", [1, 3])
def test_the_four_predictions_agree(small_net, n_classes, n_estimators):
    rows = n_classes > Y
    clf = small_net(n_estimators=n_estimators, early_stopping=True)
    clf.fit(X[rows], Y[rows])
    proba, log_proba = clf.predict_proba(X), clf.predict_log_proba(X)
    decision = clf.decision_function(X)
    assert_allclose(np.exp(log_proba), proba, rtol=1e-10)
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    assert_array_equal(clf.classes_[proba.argmax(axis=1)], clf.predict(X))
    if n_classes == 2:
        assert_allclose(decision, np.log(proba[:, 1] / proba[:, 0]), rtol=1e-8)
        assert_array_equal(clf.predict(X), clf.classes_[(decision > 0) * 1])
    else:
        assert_allclose(decision, log_proba, rtol=1e-12)


def test_probabilities_are_the_members_mean_at_the_temperature(
    small_net, inputs_by_formula
):
    clf = small_net(early_stopping=True, n_estimators=3).fit(X, Y)
    assert clf.temperature_ != 1.0
    Z, members = inputs_by_formula(clf, X), []
    for W1, W2, b1, b2 in zip(*clf.coefs_, *clf.intercepts_, strict=True):
        logits = np.maximum(Z @ W1 + b1, 0) @ W2 + b2
        members.append(softmax(logits / clf.temperature_, axis=1))
    assert_allclose(clf.predict_proba(X), np.mean(members, axis=0), rtol=1e-10)


@pytest.mark.parametrize("method", PREDICTORS)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_a_row_alone_is_predicted_as_among_others(small_net, method, container):
    clf = small_net(early_stopping=True).fit(container(X), Y)
    predict = getattr(clf, method)
    every = predict(container(X))
    alone = np.concatenate([predict(container(X[i : i + 1])) for i in range(len(X))])
    some = predict(container(X[40:110:7]))
    if method == "predict":
        assert_array_equal(alone, every)
        assert_array_equal(some, every[40:110:7])
    assert_allclose(alone, every, rtol=1e-10)
    assert_allclose(some, every[40:110:7], rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_many_rows_are_predicted_in_the_precision_of_training(
    small_net, rng, n_classes, dtype
):
    X = rng.normal(size=(300, 4))
    y = np.digitize(X[:, 0], [-0.4, 0.4][: n_classes - 1])
    clf = small_net(blend=True, early_stopping=True, dtype=dtype).fit(X, y)
    many = rng.normal(size=(3_000, 4))
    proba = clf.predict_proba(many)
    few_at_a_time = [clf.predict_proba(part) for part in np.split(many, 30)]
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert_allclose(proba, np.vstack(few_at_a_time), atol=tolerance, rtol=0)
    assert proba.dtype == np.float64
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)


# --- finite whatever comes


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_predictions_far_out_are_finite(small_net, n_classes, dtype, standardize):
    rows = n_classes > Y
    clf = small_net(standardize=standardize).fit(X[rows].astype(dtype), Y[rows])
    largest = 1e38 if dtype == np.float32 else 1e150
    for far in (200 * X, -1e9 * X, np.full_like(X, largest), np.full_like(X, -largest)):
        far = far.astype(dtype)
        assert np.isfinite(clf.predict_log_proba(far)).all()
        assert np.isfinite(clf.decision_function(far)).all()
        assert_allclose(clf.predict_proba(far).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_single_class_is_certain(small_net, params_of, solver, early_stopping):
    clf = small_net(solver=solver, early_stopping=early_stopping)
    clf.fit(X, np.full(len(X), "only"))
    assert (clf.predict(X) == "only").all()
    assert_array_equal(clf.predict_proba(X), np.ones((len(X), 1)))
    assert_array_equal(clf.predict_log_proba(X), np.zeros((len(X), 1)))
    assert np.isfinite(params_of(clf)).all()


@pytest.fixture
def spoilt():
    """X with one missing value, which is not looked for under assume_finite."""
    rows = X.copy()
    rows[7, 2] = np.nan
    with config_context(assume_finite=True):
        yield rows


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_missing_value_is_the_same_under_assume_finite(small_net, spoilt, solver):
    proba = small_net(solver=solver).fit(spoilt, Y).predict_proba(spoilt)
    with config_context(assume_finite=False):
        checked = small_net(solver=solver).fit(spoilt, Y).predict_proba(spoilt)
    assert_array_equal(proba, checked)
    assert np.isfinite(proba).all()


def test_a_missing_value_changes_its_row_only(small_net, spoilt):
    clf = small_net().fit(X, Y)
    found, others = clf.predict_proba(spoilt), np.arange(len(X)) != 7
    assert np.isfinite(found).all()
    assert_allclose(found[others], clf.predict_proba(X)[others], rtol=1e-10)


# --- the fitted weights


@pytest.mark.parametrize("n_estimators", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_coefs_and_intercepts_are_read_only(small_net, n_estimators, dtype):
    clf = small_net(n_estimators=n_estimators).fit(X.astype(dtype), Y)
    for part in [*clf.coefs_, *clf.intercepts_]:
        assert part.dtype == dtype
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0
    leading = () if n_estimators == 1 else (n_estimators,)
    n_inputs = clf.coefs_[0].shape[-2]
    assert clf.coefs_[0].shape == (*leading, n_inputs, 8)
    assert clf.coefs_[1].shape == (*leading, 8, 3)
    assert clf.intercepts_[0].shape == (*leading, 8)
    assert clf.intercepts_[1].shape == (*leading, 3)
