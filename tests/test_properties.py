"""Properties: how data are written down changes nothing; odd data do no harm."""

import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis.extra.numpy import arrays
from sklearn.exceptions import ConvergenceWarning

from sknet import TwoLayerClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# minibatches, masks and a hold-out: everything that could depend on the rows' order
HARD = {
    "hidden_layer_size": 6,
    "n_estimators": 2,
    "batch_size": 8,
    "dropout": 0.2,
    "early_stopping": True,
    "dtype": "float64",
    "max_iter": 5,
    "random_state": 0,
}
SEEDS = range(10)


def problem(seed, n=120, n_classes=3):
    """Continuous, rounded, binary and skewed columns; labels depend on two of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    X[:, 2] = np.round(X[:, 2])
    X[:, 3] = rng.random(n) < 0.3
    X[:, 4] = np.exp(X[:, 4])
    score = X[:, 0] - X[:, 1] ** 2 + X[:, 3]
    return X, np.digitize(
        score, np.quantile(score, np.arange(1, n_classes) / n_classes)
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_new_units_and_turned_columns_change_nothing(seed, solver):
    X, y = problem(seed)
    rng = np.random.default_rng(seed)
    slope = rng.choice([-1, 1], size=5) * 10 ** rng.uniform(-6, 6, size=5)
    offset = rng.uniform(-3, 3, size=5) * np.abs(slope)
    a = TwoLayerClassifier(solver=solver, **HARD).fit(X, y)
    b = TwoLayerClassifier(solver=solver, **HARD).fit(X * slope + offset, y)
    np.testing.assert_allclose(
        b.predict_proba(X * slope + offset), a.predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_renamed_labels_change_only_the_names(seed, n_classes):
    X, y = problem(seed, n_classes=n_classes)
    names = np.random.default_rng(seed).permutation(["ant", "bee", "cat", "dog"])
    names = names[:n_classes]
    a = TwoLayerClassifier(**HARD).fit(X, y)
    b = TwoLayerClassifier(**HARD).fit(X, names[y])
    columns = np.searchsorted(b.classes_, names)
    np.testing.assert_allclose(
        b.predict_proba(X)[:, columns], a.predict_proba(X), atol=1e-8
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("standardize", [True, False])
def test_order_container_and_layout_change_no_bit(seed, standardize):
    X, y = problem(seed)
    options = {**HARD, "standardize": standardize}
    expected = TwoLayerClassifier(**options).fit(X, y).predict_proba(X)
    shuffled = np.random.default_rng(seed).permutation(len(y))
    wide = np.empty((2 * len(X), 5))
    wide[::2] = X
    variants = [
        (X[shuffled], y[shuffled]),
        (X.tolist(), y.tolist()),
        (np.asfortranarray(X), y),
        (wide[::2], y),
        (np.repeat(X, 2, axis=0)[::2], y.astype(np.int8)),
    ]
    for X_other, y_other in variants:
        clf = TwoLayerClassifier(**options).fit(X_other, y_other)
        np.testing.assert_array_equal(clf.predict_proba(X), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_sparse_rows_in_any_order_and_weight(seed):
    rng = np.random.default_rng(seed)
    X = sp.csr_array(rng.random((100, 12)) * (rng.random((100, 12)) < 0.3))
    y = (X.toarray()[:, :3].sum(axis=1) > 0.4).astype(int)
    weight = rng.integers(0, 4, size=100)
    repeated = rng.permutation(np.repeat(np.arange(100), weight))
    a = TwoLayerClassifier(**HARD).fit(X, y, weight)
    b = TwoLayerClassifier(**HARD).fit(X[repeated].tocsc(), y[repeated])
    np.testing.assert_array_equal(b.predict_proba(X), a.predict_proba(X))
    scaled = X * (10 ** rng.uniform(-4, 4, size=12))[np.newaxis]
    c = TwoLayerClassifier(**HARD).fit(sp.csr_array(scaled), y, weight)
    np.testing.assert_allclose(c.predict_proba(scaled), a.predict_proba(X), atol=1e-7)


odd_floats = st.one_of(
    st.floats(-10, 10),
    st.sampled_from([0.0, -0.0, 5e-324, 1e-300, -1e-300, 1e9, 1e200, -1e300, 1e308]),
)


@given(data=st.data())
def test_odd_numbers_give_probabilities(data):
    """Whatever finite numbers X holds, a fit ends and its probabilities are such."""
    n, d = data.draw(st.integers(1, 25)), data.draw(st.integers(1, 4))
    X = data.draw(arrays(np.float64, (n, d), elements=odd_floats))
    y = data.draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    weight = data.draw(arrays(np.float64, n, elements=st.floats(1e-3, 1e3)))
    options = {
        "solver": data.draw(st.sampled_from(["adam", "sgd", "lbfgs"])),
        "early_stopping": data.draw(st.booleans()),
        "squash": data.draw(st.sampled_from([None, 3.0])),
        "class_weight": data.draw(st.sampled_from([None, "balanced"])),
        "n_estimators": data.draw(st.integers(1, 2)),
    }
    container = data.draw(
        st.sampled_from([np.asarray, sp.csr_array, np.asfortranarray])
    )
    clf = TwoLayerClassifier(4, max_iter=3, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="early_stopping needs")
        clf.fit(container(X), y, weight)
    proba = clf.predict_proba(container(X))
    assert np.isfinite(proba).all()
    assert (proba >= 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert np.isfinite(clf.predict_log_proba(container(X))).all()
    best = clf.classes_[proba.argmax(axis=1)]
    np.testing.assert_array_equal(clf.predict(container(X)), best)


@given(data=st.data())
def test_weights_are_repetitions_whatever_the_data(data):
    n = data.draw(st.integers(2, 20))
    X = data.draw(arrays(np.float64, (n, 2), elements=odd_floats))
    y = data.draw(arrays(np.int64, n, elements=st.integers(0, 2)))
    weight = data.draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    if not weight.any():
        weight[0] = 1
    options = {**HARD, "max_iter": 2, "dtype": "float32"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = TwoLayerClassifier(**options).fit(X, y, weight)
        rows = np.repeat(np.arange(n), weight)
        b = TwoLayerClassifier(**options).fit(X[rows], y[rows])
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
