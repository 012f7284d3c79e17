"""Labels of every kind, and the containers, dtypes and sizes of X."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier

X, Y = load_iris(return_X_y=True)

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
    "large Int64": (lambda v: pd.Series(v, dtype="Int64"), [2**53, 2**53 + 1]),
    "string": (lambda v: pd.Series(v, dtype="string"), ANIMALS),
    "boolean": (lambda v: pd.Series(v, dtype="boolean"), [False, True]),
    "polars str": (pl.Series, ANIMALS),
    "polars int": (pl.Series, [-3, 0, 8]),
    "polars bool": (pl.Series, [False, True]),
}


@pytest.mark.parametrize(("container", "labels"), LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("how", ["fit", "early stopping", "stream"])
def test_labels_come_back_as_they_were(small_net, container, labels, how):
    def learnt(y, classes):
        clf = small_net(early_stopping=how == "early stopping")
        if how != "stream":
            return clf.fit(X[rows], y)
        return clf.partial_fit(X[rows], y, classes=classes).partial_fit(X[rows], y)

    rows = len(labels) > Y
    y = container([labels[code] for code in Y[rows]])
    plain = learnt(Y[rows], range(len(labels)))
    clf = learnt(y, container(labels[::-1]))
    assert clf.classes_.tolist() == labels
    # pandas' nullable integers and booleans do not become floats
    kind = np.asarray(labels).dtype.kind
    assert clf.classes_.dtype.kind in {"i": "iu"}.get(kind, kind) + "O"
    assert_array_equal(clf.predict_proba(X), plain.predict_proba(X), strict=True)
    predicted = clf.predict(X)
    assert predicted.dtype == clf.classes_.dtype
    assert predicted.tolist() == [labels[code] for code in plain.predict(X)]
    assert clf.score(X[rows], y) == plain.score(X[rows], Y[rows])


def test_dates_can_be_labels(small_net):
    days = np.array(["2026-01-01", "2026-01-02", "2026-03-01"], dtype="datetime64[D]")
    clf = small_net().fit(X, days[Y])
    assert_array_equal(clf.classes_, days)
    assert_array_equal(clf.predict(X), days[small_net().fit(X, Y).predict(X)])


@pytest.mark.parametrize(
    ("as_labels", "classes"),
    [
        (lambda code: np.array(code.tolist(), dtype=object), [0, 1, 2]),
        (lambda code: pd.Series(code, dtype=object) > 0, [False, True]),
        (lambda code: pd.cut(code, 3), pd.cut(Y, 3).categories.tolist()),
        (lambda code: pd.Series(pd.cut(code, 3, labels=[*"abc"])), [*"abc"]),
        (lambda code: pd.DataFrame({"y": code}, dtype=object)["y"], [0, 1, 2]),
    ],
)
def test_objects_of_one_type_are_labels(small_net, as_labels, classes):
    clf = small_net().fit(X, as_labels(Y))
    assert clf.classes_.tolist() == classes
    plain = small_net().fit(X, np.minimum(Y, len(classes) - 1))
    assert clf.predict(X).tolist() == [classes[code] for code in plain.predict(X)]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1")
def test_strings_of_any_length_are_labels(small_net):
    words = np.array(ANIMALS, dtype=np.dtypes.StringDType())[Y]
    found = small_net().fit(X, words).predict(X).tolist()
    assert found == small_net().fit(X, np.array(ANIMALS)[Y]).predict(X).tolist()


GAP = Y == 1
NAMES = np.array(ANIMALS, dtype=object)[Y]
MISSING = {
    "NaN among objects": np.where(GAP, np.nan, NAMES),
    "None in a list": np.where(GAP, None, NAMES).tolist(),
    "string": pd.Series(NAMES, dtype="string").mask(GAP),
    "category": pd.Series(pd.Categorical(NAMES)).mask(GAP),
    "pd.cut": pd.cut(np.where(GAP, 9, Y), [-1, 0, 2]),
    "bool with None": np.where(GAP, None, Y == 0).tolist(),
    "integers with NA": pd.Series(np.where(GAP, pd.NA, Y), dtype=object),
    "NaT": np.where(GAP, np.datetime64("NaT"), np.datetime64("2026-01-01")),
    "masked": np.ma.masked_array(Y, GAP),
}


@pytest.mark.parametrize("y", MISSING.values(), ids=MISSING)
def test_missing_labels_are_said_to_be_missing(small_net, y):
    """And no advice makes a class of them."""
    match = r"missing labels: 50 of 150, the first in row 50.* drop them"
    with pytest.raises(ValueError, match=match) as caught:
        small_net().fit(X, y)
    assert "astype" not in str(caught.value)


def test_meta_estimators_that_replace_labels_are_hinted_at(small_net):
    words, match = np.array(["no", "yes", "no"])[Y], "VotingClassifier replace"
    clf = small_net(class_weight={"no": 1, "yes": 2}).fit(X, words)
    with pytest.raises(ValueError, match=match):
        VotingClassifier([("net", clf)]).fit(X, words)
    with pytest.raises(ValueError, match=f"y_val.*{match}"):
        small_net().fit(X, Y, X_val=X, y_val=words)


# --- rows


SHORT = ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")
LONG = ("int32", "uint32", "int64", "uint64", "float64")


@pytest.mark.parametrize("dtype", SHORT + LONG)
def test_every_dtype_is_its_float64_values(rng, small_net, dtype):
    y = rng.integers(0, 3, size=90)
    counts = rng.poisson(np.array([[1, 5, 2, 9], [4, 1, 2, 3], [2, 2, 7, 3]])[y])
    rows = (counts > 2 if dtype == "bool" else counts).astype(dtype)
    values = rows.astype(np.float64)
    clf, exact = small_net().fit(rows, y), small_net().fit(values, y)
    proba = clf.predict_proba(rows)
    assert_allclose(proba, exact.predict_proba(values), atol=1e-3)
    precision = np.float32 if dtype in SHORT else np.float64
    assert proba.dtype == clf.decision_function(rows).dtype == precision
    # the X of fit decides, not that of predict
    assert clf.predict_proba(values).dtype == precision


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_frames_are_their_values_with_names(small_net, kind):
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    frame = kind(dict(zip(names, X.T, strict=True)))
    clf, plain = small_net().fit(frame, Y), small_net().fit(X, Y)
    assert not hasattr(plain, "feature_names_in_")
    for method in ("predict", "predict_proba", "decision_function"):
        assert_array_equal(getattr(clf, method)(frame), getattr(plain, method)(X))
    if not hasattr(StandardScaler().fit(frame), "feature_names_in_"):
        # scikit-learn before 1.9 does not see the names of polars 2
        assert kind is pl.DataFrame
        assert not hasattr(clf, "feature_names_in_")
        return
    assert clf.feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="must be in the same order"):
        clf.predict(frame[names[::-1]])


# --- what is given is neither written to nor copied

CONTAINERS = [np.array, np.asfortranarray, pd.DataFrame, sp.csr_matrix, sp.csc_array]
CONTAINERS += [sp.coo_array, sp.lil_matrix]


def buffers(container):
    """Copies of the arrays behind a container."""
    if sp.issparse(container):
        names = ("data", "indices", "indptr", "row", "col", "rows")
        parts = [getattr(container, n) for n in names if hasattr(container, n)]
        return [np.array(part, copy=True) for part in parts]
    return [np.array(container, copy=True)]


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", CONTAINERS)
def test_nothing_given_is_written_to(small_net, container, dtype, standardize):
    rows, weight = container(X.astype(dtype)), np.arange(len(Y)) % 3.0
    given = [rows, Y, weight]
    before = [buffers(one) for one in given]
    clf = small_net(standardize=standardize, dtype=np.dtype(dtype).name)
    clf.fit(rows, Y, weight, X_val=rows, y_val=Y, sample_weight_val=weight)
    clf.partial_fit(rows, Y, sample_weight=weight)
    clf.predict_proba(rows)
    for one, copies in zip(given, before, strict=True):
        for now, then in zip(buffers(one), copies, strict=True):
            assert_array_equal(now, then, strict=True)


def memory_of(work):
    """Bytes that a call takes at its peak."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("dtype", "order", "standardize"),
    [(np.uint8, "C", True), (np.uint8, "F", True), (np.float32, "C", False)],
)
def test_a_large_array_is_not_copied(rng, dtype, order, standardize):
    """The network inputs of all rows would take 140 MB in float32."""
    rows = rng.integers(0, 255, (35_000, 1_000), dtype=np.uint8).astype(dtype, order)
    y = (rows[:, 0] > 127).astype(int)
    clf = TwoLayerClassifier(8, n_estimators=1, max_iter=1, standardize=standardize)
    assert memory_of(lambda: clf.fit(rows, y)) < 60e6
    assert memory_of(lambda: clf.predict_proba(rows)) < 60e6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_are_never_densified(rng, solver):
    """A dense minibatch of 256 rows would take 100 MB, all rows 400 MB."""
    n, d = 1_000, 100_000
    indices = np.sort(rng.integers(0, d, size=(n, 10)), axis=1).ravel()
    starts = np.arange(0, 10 * n + 1, 10)
    rows = sp.csr_array((np.ones(10 * n), indices, starts), shape=(n, d))
    clf = TwoLayerClassifier(2, n_estimators=1, max_iter=2, batch_size=256)
    clf.set_params(solver=solver, random_state=0)
    assert memory_of(lambda: clf.fit(rows, np.arange(n) % 2)) < 90e6
    assert memory_of(lambda: clf.predict_proba(rows)) < 20e6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_rows_of_a_centred_model_are_densified_in_blocks(small_net, rng):
    """All rows would take 160 MB."""
    rows = rng.normal(size=(20, 10_000))
    clf = small_net(hidden_layer_size=2, n_estimators=1, max_iter=1)
    clf.fit(rows, np.arange(20) % 2)
    new = sp.random_array((2_000, 10_000), density=1e-3, format="csr", rng=rng)
    assert memory_of(lambda: clf.predict_proba(new)) < 60e6
