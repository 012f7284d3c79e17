"""The blend of variants: its weights, its threads, and when there is none."""

import pickle
import threading

import numpy as np
import onnxruntime
import pytest
import scipy.sparse as sp
import skops.io
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from skl2onnx import to_onnx
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

import sknet.onnx
from sknet import TwoLayerClassifier
from sknet._training.crossfit import PSEUDO_COUNT, SMALLEST_WEIGHT, blend_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 150


@pytest.fixture
def net(small_net):
    defaults = {"early_stopping": "auto", "dropout": "auto"}
    defaults |= {"max_iter": 4, "blend": True}
    return lambda **more: small_net(**(defaults | more))


@pytest.fixture
def X(rng):
    return np.column_stack([rng.normal(size=(N, 2)), rng.exponential(size=(N, 2))])


@pytest.fixture
def y(rng, X):
    return (np.abs(X[:, 0]) + 0.5 * X[:, 2] + 0.3 * rng.normal(size=N) > 1).astype(int)


@pytest.fixture
def with_gaps(rng, X):
    return np.where(rng.random(X.shape) < 0.1, np.nan, X)


# --- weights


@pytest.mark.parametrize("n_variants", [2, 3, 4])
def test_weights_minimize_the_out_of_fold_loss(rng, n_variants):
    """As SciPy finds them, on logits of the weights."""
    proba = rng.beta(2, 1, size=(n_variants, 60))
    weight = rng.exponential(size=60)
    weight /= weight.mean()

    def objective(logits):
        w = np.exp(logits - logits.max())
        w /= w.sum()
        return -(weight @ np.log(w @ proba)) - PSEUDO_COUNT * np.log(w).sum()

    logits = minimize(objective, np.zeros(n_variants), tol=1e-10).x
    expected = np.exp(logits) / np.exp(logits).sum()
    assert expected.min() > SMALLEST_WEIGHT
    found = blend_weights(proba, weight)
    assert found.sum() == pytest.approx(1)
    assert_allclose(found, expected, atol=2e-3)


def test_probabilities_are_weighted_means_of_the_members(net, X, y):
    clf = net().fit(X, y)
    weights = clf.blend_weights_
    assert weights.shape == (4,)
    assert weights.sum() == pytest.approx(1)
    members = clf.member_proba(X)
    assert members.shape == (2 * (weights > 0).sum(), N, 2)
    of_variant = np.repeat(weights[weights > 0], 2) / 2
    expected = np.einsum("k,kno->no", of_variant, members)
    assert_allclose(clf.predict_proba(X), expected, rtol=1e-12)
    assert_allclose(clf.predict_log_proba(X), np.log(expected), rtol=1e-9)


def test_the_first_variant_is_the_network_without_a_blend(net, X, y, params_of):
    blend, single = net().fit(X, y), net(blend=False).fit(X, y)
    assert_array_equal(params_of(blend), params_of(single), strict=True)
    assert blend.loss_curve_ == single.loss_curve_
    assert blend.input_names_.tolist() == single.input_names_.tolist()
    assert single.blend_weights_.tolist() == [1]


def test_a_column_that_bends_is_learnt_better(rng):
    x = rng.normal(size=(1200, 3))
    y, new = (np.abs(x) > 1).sum(axis=1) % 2, np.arange(1200) >= 600

    def loss(blend):
        settings = {"max_iter": 40, "n_estimators": 4, "random_state": 0}
        clf = TwoLayerClassifier(24, blend=blend, **settings).fit(x[~new], y[~new])
        return log_loss(y[new], clf.predict_proba(x[new]))

    assert loss(True) < 0.9 * loss(False)


def test_random_labels_stay_near_chance(rng, net, X):
    y = rng.permutation(N) % 2
    clf = net(max_iter=40, n_estimators=6, store_oof_proba=True).fit(X, y)
    assert 0.92 * np.log(2) < log_loss(y, clf.oof_proba_) < 1.1 * np.log(2)


# --- when there is none


ONE_NETWORK = [{"n_estimators": 1}, {"standardize": False}, {"warm_start": True}]
ONE_NETWORK += [{"early_stopping": False}, {"X_val": True}]


@pytest.mark.parametrize("settings", ONE_NETWORK, ids=str)
def test_one_network_is_trained_where_a_blend_is_not_possible(net, X, y, settings):
    def fit(blend):
        if "X_val" in settings:
            return net(blend=blend).fit(X, y, X_val=X, y_val=y)
        return net(blend=blend, **settings).fit(X, y)

    with pytest.warns(UserWarning, match="blend=True needs") as caught:
        clf = fit(blend=True)
    assert sum("blend=True" in str(w.message) for w in caught) == 1
    with pytest.warns(UserWarning, match="blend=True needs"):
        fit(blend=np.True_)  # as in the grid of a search
    assert clf.blend_weights_.tolist() == [1]
    assert fit(blend="auto").blend_weights_.tolist() == [1]  # without a warning
    assert net().partial_fit(X, y, [0, 1]).blend_weights_.tolist() == [1]  # as here


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_blend_that_is_continued_becomes_its_first_variant(net, X, y, method):
    clf = net(blend=True).fit(X, y).set_params(warm_start=True, blend="auto")
    with pytest.warns(UserWarning, match="was a blend"):
        getattr(clf, method)(X, y)
    assert clf.blend_weights_.tolist() == [1]
    getattr(clf, method)(X, y)  # and then without a warning


BLENDS = [(99, {}, 1), (100, {}, 4), (60, {"blend": True}, 4)]
BLENDS += [(100, {"dropout": 0.5}, 1), (100, {"n_knots": 0}, 1)]


@pytest.mark.parametrize(("n", "settings", "n_variants"), BLENDS)
def test_auto_blends_from_a_hundred_rows_on(net, X, y, n, settings, n_variants):
    rows = np.r_[np.arange(n), np.arange(40)]  # copies do not count
    clf = net(**{"blend": "auto", **settings}).fit(X[rows], y[rows])
    assert len(clf.blend_weights_) == n_variants


@pytest.mark.parametrize(("n", "n_variants"), [(1000, 4), (1001, 3), (5001, 3)])
def test_plain_is_a_variant_up_to_a_thousand_rows(net, rng, n, n_variants):
    X = rng.normal(size=(n, 2))
    clf = net(max_iter=1).fit(X, X[:, 0] > 0)
    assert len(clf.blend_weights_) == n_variants


def test_a_given_dropout_has_a_variant_of_its_own(net, rng):
    X = rng.normal(size=(1001, 2))
    clf = net(max_iter=1, dropout=0.3).fit(X, X[:, 0] > 0)
    assert (len(clf.blend_weights_), clf.dropout_) == (4, 0.3)


@pytest.mark.parametrize(("size", "n_variants"), [(1, 4), (2, 1)])
def test_auto_counts_groups_instead_of_their_rows(net, X, y, size, n_variants):
    clf = net(blend="auto").fit(X[:100], y[:100], groups=np.arange(100) // size)
    assert len(clf.blend_weights_) == n_variants


def test_columns_of_two_values_have_no_curves(net, X, y):
    """Only dropout is left to vary; sparse rows have no curves either, and no blend."""
    assert len(net().fit(X > 0.5, y).blend_weights_) == 2
    assert len(net(blend="auto").fit(sp.csr_array(X), y).blend_weights_) == 1


def test_sparse_rows_are_predicted_as_dense_ones(net, with_gaps, y):
    clf = net().fit(with_gaps, y)
    found = clf.predict_proba(sp.csr_array(with_gaps))
    assert_allclose(found, clf.predict_proba(with_gaps), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saved_and_exported_blends_predict_the_same(net, with_gaps, y, dtype):
    rows = with_gaps.astype(dtype)
    clf = net().fit(rows, y)
    proba = clf.predict_proba(rows)
    assert len(clf.blend_weights_) == 4
    loaded = skops.io.loads(skops.io.dumps(clf), trusted=["sknet.TwoLayerClassifier"])
    for same in (pickle.loads(pickle.dumps(clf)), loaded):
        assert_array_equal(same.predict_proba(rows), proba, strict=True)
        assert_array_equal(same.blend_weights_, clf.blend_weights_)
    sknet.onnx.register()
    graph = to_onnx(clf, rows[:1], options={"zipmap": False}).SerializeToString()
    labels, found = onnxruntime.InferenceSession(graph).run(None, {"X": rows})
    # in float32 a row near a knot may differ a little
    assert_allclose(found, proba, atol=1e-5 if dtype == np.float32 else 1e-9)
    assert_array_equal(labels, clf.predict(rows))


@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"alpha": 5.0}])
def test_more_rows_do_not_lead_to_a_worse_blend(rng, settings):
    """Beyond 1,000 rows, Adam decays the weights faster, but only at a small alpha."""
    X = rng.normal(size=(3000, 4))
    y = (X[:, 0] + X[:, 1] ** 2 > 0.8).astype(int)
    clf = TwoLayerClassifier(max_iter=20, random_state=0, **settings)
    few, many = (clf.fit(X[:n], y[:n]).score(X[1500:], y[1500:]) for n in (900, 1500))
    assert many > max(few - 0.01, 0.9)


# --- threads


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_number_of_threads_does_not_matter(
    net, worth_threads, with_gaps, y, solver
):
    settings = {**worth_threads, "solver": solver, "store_oof_proba": True}
    first, *others = (
        net(**settings, n_jobs=n_jobs).fit(with_gaps, y) for n_jobs in (None, 1, 2, -1)
    )
    many = np.tile(with_gaps, (100, 1))  # several blocks
    for clf in others:
        assert_array_equal(clf.predict_proba(many), first.predict_proba(many))
        assert_array_equal(clf.blend_weights_, first.blend_weights_)
        assert clf.loss_curve_ == first.loss_curve_
        assert_array_equal(clf.oof_proba_, first.oof_proba_)


def test_a_search_in_parallel_is_not_oversubscribed(net, worth_threads, X, y, caplog):
    """Each of its fits has the thread that joblib gave it."""
    caplog.set_level("INFO", "sknet")  # verbose=1 writes a line for each epoch

    def trained_here(*_):
        return float(threading.get_ident() in {r.thread for r in caplog.records})

    clf = net(**worth_threads, n_jobs=2, verbose=1).fit(X, y)
    assert caplog.records
    assert not trained_here()
    search = GridSearchCV(clf, {"alpha": [0.01, 0.1]}, cv=2, scoring=trained_here)
    with parallel_config("threading", n_jobs=2):
        search.fit(X, y)
    assert search.cv_results_["mean_test_score"].tolist() == [1, 1]
