"""Inside scikit-learn's machinery, and with every container that can hold rows."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier


def small_net(**settings):
    """A net that trains in milliseconds, with all kinds of chance switched on."""
    quick = {
        "hidden_layer_size": 8,
        "n_estimators": 2,
        "max_iter": 8,
        "learning_rate_init": 0.05,
        "batch_size": 16,
        "dropout": 0.2,
        "early_stopping": False,
        "random_state": 0,
    }
    return TwoLayerClassifier(**(quick | settings))


@pytest.fixture
def iris(rng):
    """150 flowers in random order, three classes."""
    X, y = load_iris(return_X_y=True)
    order = rng.permutation(len(y))
    return X[order], y[order]


@pytest.fixture
def counts(rng):
    """Small non-negative integers, exact in every dtype, three classes."""
    y = rng.integers(0, 3, size=90)
    X = rng.poisson(np.array([[1, 5, 2, 9], [4, 1, 2, 3], [2, 2, 7, 3]])[y])
    return X.astype(np.float64), y


@pytest.fixture
def shares(counts):
    """The same in eighths: small enough to be learnt without standardizing."""
    X, y = counts
    return X / 8, y


# --- inside scikit-learn's machinery


def test_pipeline_is_scaling_and_fitting_by_hand(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), small_net()).fit(X, y)
    scaled = StandardScaler().fit_transform(X)
    by_hand = small_net().fit(scaled, y)
    assert_array_equal(pipeline.predict_proba(X), by_hand.predict_proba(scaled))


def test_grid_search_does_not_depend_on_n_jobs(iris):
    X, y = iris
    grid = {"alpha": [0.0, 0.1], "n_estimators": [1, 3]}
    alone, parallel = (
        GridSearchCV(small_net(), grid, cv=3, scoring="neg_log_loss", n_jobs=n).fit(
            X, y
        )
        for n in (1, 2)
    )
    scores = [name for name in alone.cv_results_ if name.endswith("_score")]
    assert len(scores) == 3 + 3  # splits; mean, std and rank
    for name in scores:
        assert_array_equal(alone.cv_results_[name], parallel.cv_results_[name])
    assert alone.best_params_ == parallel.best_params_
    for a, b in zip(
        alone.best_estimator_.coefs_, parallel.best_estimator_.coefs_, strict=True
    ):
        assert_array_equal(a, b)


def test_cross_val_score_is_a_loop_over_the_splits(iris):
    X, y = iris
    splits = list(StratifiedKFold(4).split(X, y))
    by_hand = [small_net().fit(X[a], y[a]).score(X[b], y[b]) for a, b in splits]
    assert_array_equal(cross_val_score(small_net(), X, y, cv=splits), by_hand)


def test_cross_val_predict_is_a_loop_over_the_splits(iris):
    X, y = iris
    splits = list(StratifiedKFold(4).split(X, y))
    by_hand = np.empty((len(y), 3))
    for a, b in splits:
        by_hand[b] = small_net().fit(X[a], y[a]).predict_proba(X[b])
    found = cross_val_predict(small_net(), X, y, cv=splits, method="predict_proba")
    assert_array_equal(found, by_hand)


def test_calibration_is_isotonic_regression_on_out_of_fold_logits(iris):
    X, y = iris
    y = (y == 2).astype(int)
    splits = list(StratifiedKFold(3).split(X, y))
    calibrated = CalibratedClassifierCV(
        small_net(), method="isotonic", cv=splits, ensemble=False
    ).fit(X, y)

    logits = cross_val_predict(small_net(), X, y, cv=splits, method="decision_function")
    isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    isotonic.fit(logits, y)
    expected = isotonic.predict(small_net().fit(X, y).decision_function(X))
    assert_allclose(calibrated.predict_proba(X)[:, 1], expected, atol=1e-6)


def test_bagging_averages_nets_of_the_drawn_rows(iris):
    X, y = iris
    bag = BaggingClassifier(small_net(), n_estimators=3, random_state=0).fit(X, y)
    # whether scikit-learn passes the draws as rows or as weights is all the same
    members = [
        clone(member).fit(X[rows], y[rows]).predict_proba(X)
        for member, rows in zip(bag.estimators_, bag.estimators_samples_, strict=True)
    ]
    assert_allclose(bag.predict_proba(X), np.mean(members, axis=0), rtol=1e-12)


def test_adaboost_trains_the_second_net_on_reweighted_rows(iris):
    X, y = iris
    net = small_net(max_iter=3)
    boosted = AdaBoostClassifier(net, n_estimators=2, random_state=0).fit(X, y)
    first, second = boosted.estimators_

    wrong = clone(first).fit(X, y).predict(X) != y
    error = wrong.mean()
    assert 0 < error < 2 / 3  # else there is nothing to boost
    assert_allclose(boosted.estimator_errors_[0], error, rtol=1e-12)
    vote = np.log((1 - error) / error) + np.log(3 - 1)  # Hastie et al. 2009
    assert_allclose(boosted.estimator_weights_[0], vote, rtol=1e-12)
    by_hand = clone(second).fit(X, y, np.exp(vote * wrong))
    assert_allclose(by_hand.predict_proba(X), second.predict_proba(X), atol=1e-4)


def test_stacking_fits_its_head_on_out_of_fold_probabilities(iris):
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


def test_one_vs_rest_normalizes_binary_nets(iris):
    X, y = iris
    found = OneVsRestClassifier(small_net()).fit(X, y).predict_proba(X)
    columns = [small_net().fit(X, y == k).predict_proba(X)[:, 1] for k in range(3)]
    expected = np.column_stack(columns)
    expected /= expected.sum(axis=1, keepdims=True)
    assert_allclose(found, expected, rtol=1e-6)


def test_routing_brings_weights_and_a_scaled_validation_set(iris, rng):
    X, y = iris
    X, X_val, y, y_val = X[:100], X[100:], y[:100], y[100:]
    weight, weight_val = rng.integers(1, 4, size=100), rng.integers(1, 4, size=50)
    given = {"y_val": y_val, "sample_weight_val": weight_val}
    net = small_net()
    with sklearn.config_context(enable_metadata_routing=True):
        asked = clone(net).set_fit_request(
            sample_weight=True, X_val=True, y_val=True, sample_weight_val=True
        )
        scale = StandardScaler().set_fit_request(sample_weight=True)
        pipeline = Pipeline(
            [("scale", scale), ("net", asked)], transform_input=["X_val"]
        )
        pipeline.fit(X, y, sample_weight=weight, X_val=X_val, **given)
        found = pipeline.predict_proba(X)

    scaler = StandardScaler().fit(X, sample_weight=weight)
    Z, Z_val = scaler.transform(X), scaler.transform(X_val)
    by_hand = clone(net).fit(Z, y, weight, X_val=Z_val, **given)
    curve = pipeline[-1].validation_loss_curve_
    assert curve == by_hand.validation_loss_curve_
    assert_array_equal(found, by_hand.predict_proba(Z))
    # neither is without effect
    unscaled = clone(net).fit(Z, y, weight, X_val=X_val, **given)
    unweighted = clone(net).fit(Z, y, X_val=Z_val, **given)
    assert curve != unscaled.validation_loss_curve_
    assert curve != unweighted.validation_loss_curve_


# --- frames


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_frames_are_their_values_with_names(iris, kind):
    X, y = iris
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    frame = kind(dict(zip(names, X.T, strict=True)))
    clf, plain = small_net().fit(frame, y), small_net().fit(X, y)
    assert not hasattr(plain, "feature_names_in_")
    for method in (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
    ):
        assert_array_equal(getattr(clf, method)(frame), getattr(plain, method)(X))

    if not hasattr(StandardScaler().fit(frame), "feature_names_in_"):
        # scikit-learn before 1.9 does not see the names of polars 2
        assert kind is pl.DataFrame
        assert not hasattr(clf, "feature_names_in_")
        return
    assert clf.feature_names_in_.tolist() == names
    turned = frame[names[::-1]]
    with pytest.raises(ValueError, match="must be in the same order"):
        clf.predict(turned)
    with pytest.raises(ValueError, match="must be in the same order"):
        clf.partial_fit(turned, y)


# --- copies


def test_clone_copies_the_settings_and_nothing_else(iris):
    X, y = iris
    clf = small_net().fit(X, y).set_params(hidden_layer_size=5, class_weight="balanced")
    copied = clone(clf)
    assert copied.get_params() == clf.get_params()
    assert vars(copied).keys() == clf.get_params().keys()
    expected = small_net(hidden_layer_size=5, class_weight="balanced").fit(X, y)
    assert_array_equal(
        copied.fit(X, y).predict_proba(X), expected.predict_proba(X), strict=True
    )


def through_joblib(clf, tmp_path):
    joblib.dump(clf, tmp_path / "clf.joblib")
    return joblib.load(tmp_path / "clf.joblib")


def through_memory_map(clf, tmp_path):
    joblib.dump(clf, tmp_path / "clf.joblib")
    return joblib.load(tmp_path / "clf.joblib", mmap_mode="r")


@pytest.mark.parametrize(
    "settings", [{}, {"warm_start": True}, {"early_stopping": True}], ids=str
)
@pytest.mark.parametrize(
    "duplicate",
    [
        pytest.param(lambda clf, _: copy.deepcopy(clf), id="deepcopy"),
        pytest.param(lambda clf, _: pickle.loads(pickle.dumps(clf)), id="pickle"),
        through_joblib,
        through_memory_map,
    ],
)
def test_copies_predict_and_go_on_alike(iris, tmp_path, duplicate, settings):
    X, y = iris
    clf = small_net(random_state=None, **settings).fit(X, y)
    fitted = clf.predict_proba(X)
    copied = duplicate(clf, tmp_path)
    assert_array_equal(copied.predict_proba(X), fitted, strict=True)

    copied.partial_fit(X[:40], y[:40])
    assert_array_equal(clf.predict_proba(X), fitted)  # the original has not moved
    clf.partial_fit(X[:40], y[:40])
    assert (clf.predict_proba(X) != fitted).any()
    assert_array_equal(copied.predict_proba(X), clf.predict_proba(X), strict=True)
    for mine, theirs in zip(copied.coefs_, clf.coefs_, strict=True):
        assert_array_equal(mine, theirs, strict=True)
    assert copied.loss_curve_ == clf.loss_curve_


# --- labels

ANIMALS = ["ape", "bee", "cat"]
LABELS = {
    "str": (np.array, ANIMALS),
    "list of str": (list, ANIMALS),
    "object str": (lambda v: np.array(v, dtype=object), ANIMALS),
    "bool": (np.array, [False, True]),
    "gaps": (np.array, [3, 50, 700]),
    "negative": (np.array, [-7, -1, 4]),
    "minus one and one": (np.array, [-1, 1]),
    "uint8": (lambda v: np.array(v, dtype=np.uint8), [0, 100, 255]),
    "zero and one": (np.array, [0.0, 1.0]),
    "pandas str": (pd.Series, ANIMALS),
    "categorical": (
        lambda v: pd.Series(pd.Categorical(v, categories=["cat", "ape", "bee"])),
        ANIMALS,
    ),
    "Int64": (lambda v: pd.Series(v, dtype="Int64"), [-3, 0, 8]),
    "string": (lambda v: pd.Series(v, dtype="string"), ANIMALS),
    "boolean": (lambda v: pd.Series(v, dtype="boolean"), [False, True]),
    "polars str": (pl.Series, ANIMALS),
    "polars int": (pl.Series, [-3, 0, 8]),
    "polars bool": (pl.Series, [False, True]),
}


@pytest.mark.parametrize(("container", "labels"), LABELS.values(), ids=LABELS)
def test_labels_come_back_as_they_were(iris, container, labels):
    X, codes = iris
    X, codes = X[codes < len(labels)], codes[codes < len(labels)]
    plain = small_net().fit(X, codes)
    named = [labels[code] for code in codes]
    y = container(named)
    clf = small_net().fit(X, y)

    assert clf.classes_.tolist() == labels
    # pandas' nullable integers and booleans are not made floats
    kind = np.asarray(labels).dtype.kind
    assert clf.classes_.dtype.kind in {"i": "iu"}.get(kind, kind) + "O"
    assert_array_equal(clf.predict_proba(X), plain.predict_proba(X), strict=True)
    predicted = clf.predict(X)
    assert predicted.dtype == clf.classes_.dtype
    assert predicted.tolist() == [labels[code] for code in plain.predict(X)]
    assert clf.score(X, y) == plain.score(X, codes)


@pytest.mark.parametrize(("container", "labels"), LABELS.values(), ids=LABELS)
def test_labels_of_a_stream_come_back_as_they_were(iris, container, labels):
    X, codes = iris
    X, codes = X[codes < len(labels)], codes[codes < len(labels)]
    y, classes = container([labels[code] for code in codes]), container(labels[::-1])
    plain, clf = small_net(), small_net()
    for _ in range(2):
        plain.partial_fit(X, codes, classes=range(len(labels)))
        clf.partial_fit(X, y, classes=classes)
    assert clf.classes_.tolist() == labels
    assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))
    assert clf.predict(X).tolist() == [labels[code] for code in plain.predict(X)]


# --- dtypes and layouts of dense rows

SHORT = ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")
LONG = ("int32", "uint32", "int64", "uint64", "float64")


@pytest.mark.parametrize("dtype", SHORT + LONG)
def test_every_dtype_is_its_float64_values(counts, dtype):
    X, y = counts
    X = (X > 2 if dtype == "bool" else X).astype(dtype)
    values = X.astype(np.float64)
    clf, exact = small_net(max_iter=15).fit(X, y), small_net(max_iter=15).fit(values, y)
    proba = clf.predict_proba(X)
    assert_allclose(proba, exact.predict_proba(values), atol=1e-3)
    precision = np.float32 if dtype in SHORT else np.float64
    assert proba.dtype == precision
    assert clf.decision_function(X).dtype == precision
    # the X given to fit decides, whatever comes later
    assert clf.predict_proba(values).dtype == precision


def memory_map(X, tmp_path):
    X.tofile(tmp_path / "X.bin")
    return np.memmap(tmp_path / "X.bin", X.dtype, "r", shape=X.shape)


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def strided(X, step):
    """Every ``step``-th row and column of a larger array, which holds NaN elsewhere."""
    larger = np.full((step * len(X), step * X.shape[1]), np.nan)
    larger[::step, ::step] = X
    return larger[::step, ::step]


LAYOUTS = {
    "fortran": lambda X, _: np.asfortranarray(X),
    "read-only": lambda X, _: read_only(X),
    "memory map": memory_map,
    "every other row": lambda X, _: np.repeat(X, 2, axis=0)[::2],
    "every third entry": lambda X, _: strided(X, 3),
    "backwards": lambda X, _: X[::-1, ::-1].copy()[::-1, ::-1],
    "big endian": lambda X, _: X.astype(">f8"),
    "object": lambda X, _: X.astype(object),
    "lists": lambda X, _: X.tolist(),
}


@pytest.mark.parametrize(
    "settings", [{}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str
)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_changes_no_bit(iris, tmp_path, layout, settings):
    X, y = iris
    expected = small_net(**settings).fit(X, y).predict_proba(X)
    other = layout(X.copy(), tmp_path)
    found = small_net(**settings).fit(other, y).predict_proba(other)
    assert_array_equal(found, expected, strict=True)


# --- sparse rows


def with_duplicates(X):
    """CSR in which each value is stored as the sum of two, and columns go backwards."""
    row, column = np.nonzero(X)
    half = X[row, column] / 2
    data, row, column = (np.concatenate([v, v]) for v in (half, row, column))
    order = np.lexsort((-column, row))
    starts = np.searchsorted(row[order], np.arange(len(X) + 1))
    return sp.csr_array((data[order], column[order], starts), shape=X.shape)


def with_long_indices(X):
    X = sp.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def with_stored_zeros(X):
    """CSR in which every other row stores its zeros."""
    row, column = np.nonzero((X != 0) | (np.arange(len(X)) % 2)[:, np.newaxis])
    return sp.csr_array((X[row, column], (row, column)), shape=X.shape)


SPARSE = [
    sp.csr_matrix,
    sp.csr_array,
    sp.csc_matrix,
    sp.csc_array,
    sp.coo_array,
    sp.lil_matrix,
    with_long_indices,
    with_duplicates,
    with_stored_zeros,
]


@pytest.mark.parametrize("container", SPARSE)
def test_sparse_rows_are_predicted_as_dense_ones(shares, container):
    X, y = shares
    for standardize in (True, False):
        clf = small_net(standardize=standardize).fit(X, y)
        for method in ("predict_proba", "decision_function"):
            predict = getattr(clf, method)
            assert_allclose(predict(container(X)), predict(X), atol=1e-6)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("container", SPARSE)
def test_sparse_rows_are_learnt_as_dense_ones(shares, container, solver):
    X, y = (np.repeat(part, 2, axis=0) for part in shares)  # to be merged again
    net = small_net(solver=solver, standardize=False)
    dense = clone(net).fit(X, y).predict_proba(X)
    sparse = clone(net).fit(container(X), y).predict_proba(X)
    assert_allclose(sparse, dense, atol=1e-5)


@pytest.mark.parametrize("container", SPARSE)
def test_sparse_containers_are_standardized_alike(shares, container):
    X, y = shares
    expected = small_net().fit(sp.csr_array(X), y)
    clf = small_net().fit(container(X), y)
    assert_allclose(clf.scale_, expected.scale_, rtol=1e-12)
    assert_allclose(clf.predict_proba(X), expected.predict_proba(X), atol=1e-6)


def test_the_helpers_write_what_their_names_say(shares):
    X, _ = shares
    assert not with_duplicates(X).has_canonical_format
    assert not with_duplicates(X).has_sorted_indices
    assert with_duplicates(X).nnz == 2 * np.count_nonzero(X)
    assert with_long_indices(X).indices.dtype == np.int64
    assert with_stored_zeros(X).nnz > np.count_nonzero(X)
    for container in SPARSE:
        assert_array_equal(container(X).toarray(), X)


# --- nothing that is given is written to


def buffers(container):
    """Copies of the arrays behind a container."""
    if sp.issparse(container):
        names = ("data", "indices", "indptr", "row", "col", "rows")
        parts = [getattr(container, n) for n in names if hasattr(container, n)]
        return [np.array(part, copy=True) for part in parts]
    return [np.array(container, copy=True)]


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "container", [np.array, np.asfortranarray, pd.DataFrame, *SPARSE]
)
def test_nothing_given_is_written_to(shares, container, dtype, standardize):
    values, y = shares
    X, weight = container(values.astype(dtype)), np.arange(len(y)) % 3.0
    given = [X, y, weight]
    before = [buffers(one) for one in given]
    clf = small_net(standardize=standardize, dtype=np.dtype(dtype).name)
    clf.fit(X, y, weight, X_val=X, y_val=y, sample_weight_val=weight)
    clf.partial_fit(X, y, sample_weight=weight)
    clf.predict_proba(X)
    for one, copies in zip(given, before, strict=True):
        for now, then in zip(buffers(one), copies, strict=True):
            assert_array_equal(now, then, strict=True)
