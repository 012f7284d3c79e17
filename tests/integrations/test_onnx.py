"""ONNX graphs answer as the estimator does, under onnxruntime."""

import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    StringTensorType,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sknet.onnx
from sknet import TwoLayerClassifier

FLOATS = [np.float32, np.float64]


@pytest.fixture(autouse=True, scope="module")
def registered():
    sknet.onnx.register()


@pytest.fixture
def table(rng):
    """Columns of every kind: normal, skewed, far from zero, two values, one value."""
    columns = [
        rng.normal(size=120),
        np.exp(2 * rng.normal(size=120)),
        1000 + rng.normal(size=120),
        rng.integers(0, 2, size=120),
        np.full(120, 7.0),
    ]
    return np.column_stack(columns)


def classes_of(X, n_classes=3):
    """Labels 0, 1, ... that depend on the first two columns."""
    score = X[:, 0] + np.log1p(np.abs(X[:, 1]))
    return np.argsort(np.argsort(score)) * n_classes // len(X)


def net(**settings):
    defaults = {"max_iter": 10, "hidden_layer_size": 8, "random_state": 0}
    defaults |= {"blend": False}  # that of a blend is in tests/estimator/test_blend.py
    return TwoLayerClassifier(**(defaults | settings))


def session_of(clf, inputs, zipmap=False, **options):
    """An inference session for a fitted estimator; ``inputs`` are rows, or types."""
    given = {"initial_types": inputs} if isinstance(inputs, list) else {"X": inputs}
    graph = to_onnx(clf, **given, options={"zipmap": zipmap, **options})
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.SerializeToString(), threads)


def assert_graph_agrees(clf, X):
    """Same labels, and probabilities within 1e-6, which are returned."""
    labels, proba = session_of(clf, X[:1]).run(None, {"X": X})
    expected = clf.predict_proba(X)
    assert_array_equal(labels, clf.predict(X))
    assert_allclose(proba, expected, rtol=0, atol=1e-6)
    assert proba.shape == expected.shape
    return proba


# --- the estimator alone


@pytest.mark.parametrize("given", FLOATS)
@pytest.mark.parametrize("fitted", FLOATS)
@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
def test_default_settings(load, fitted, given):
    X, y = load(return_X_y=True)
    clf = TwoLayerClassifier(random_state=0, max_iter=20).fit(X.astype(fitted), y)
    assert clf.temperature_ != 1
    assert clf.n_knots_ == 1
    assert assert_graph_agrees(clf, X.astype(given)).dtype == given


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "tanh"},
        {"activation": "logistic"},
        {"activation": "identity"},
        {"n_knots": 0},
        {"solver": "lbfgs"},
        {"dtype": "float64"},
        {"n_estimators": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_setting_that_changes_the_graph(table, n_classes, settings, dtype):
    X = table.astype(dtype)
    assert_graph_agrees(net(**settings).fit(X, classes_of(table, n_classes)), X)


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize(
    "names",
    [
        np.array([5]),
        np.array(["only"]),
        np.array([3, -5]),
        np.array([3, -5, 70]),
        np.array(["bee", "ape"]),
        np.array(["bee", "ape", "Ökonom"], dtype=object),
        np.array([False, True]),
        np.array([0, 255, 7], dtype=np.uint8),
        np.array([1.0, 0.0]),
    ],
    ids=str,
)
def test_kinds_of_labels(table, names, n_estimators):
    y = names[classes_of(table, len(names))]
    assert_graph_agrees(net(n_estimators=n_estimators).fit(table, y), table)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("standardize", [True, False])
def test_rows_far_away(table, standardize, dtype):
    X = table[:, [0, 3]].astype(dtype)
    clf = net(standardize=standardize).fit(X, classes_of(table))
    X[:7, 0] = [1e5, 3e9, 1e20, -1e20, 1e30, np.finfo(dtype).max, np.finfo(dtype).min]
    assert_graph_agrees(clf, X)


def test_time_stamps_are_centred_in_double(rng):
    seconds = rng.uniform(0, 60, size=200)
    X = 1.8e9 + seconds[:, np.newaxis]  # float32 numbers are 128 seconds apart here
    y = (seconds > 30).astype(int)
    clf = net(max_iter=40).fit(X, y)
    assert clf.score(X, y) > 0.95
    assert_graph_agrees(clf, X)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_])
def test_integer_and_boolean_rows(table, dtype):
    X = (10 * table[:, :2] if dtype == np.int64 else table > 0.5).astype(dtype)
    # the bool rows are eight distinct ones: an epoch is a step
    assert_graph_agrees(net(max_iter=40).fit(X, X[:, 0] > X[:, 0].mean()), X)


def test_a_model_of_sparse_rows_takes_dense_ones(table):
    X = np.maximum(table[:, [0, 1, 3]] - 0.5, 0)
    assert_graph_agrees(net().fit(sp.csr_array(X), X[:, 0] > 0), X)


def test_a_model_of_a_stream(table):
    clf = net()
    for _ in range(5):
        clf.partial_fit(table, classes_of(table), classes=[0, 1, 2])
    assert_graph_agrees(clf, table)


@pytest.mark.parametrize("width", [1, 3, 5, 8])
@pytest.mark.parametrize("n_knots", [0, 1])
def test_rows_of_another_width_are_refused(n_knots, width):
    X, y = load_iris(return_X_y=True)
    clf = net(n_knots=n_knots).fit(X, y)
    session = session_of(clf, [("X", FloatTensorType([None, None]))])
    with pytest.raises(Exception, match=r"Gather|Max|dimension|bounds"):
        session.run(None, {"X": np.ones((8, width), np.float32)})
    answer = session.run(None, {"X": X.astype(np.float32)})[1]
    expected = clf.predict_proba(X.astype(np.float32))
    assert_allclose(answer, expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=rf"X has {width} columns .* \[None, 4\]"):
        session_of(clf, [("X", FloatTensorType([None, width]))])


@pytest.mark.parametrize("opset", [9, 12, 13, 17, 18])
def test_older_operator_sets(table, opset):
    clf = net().fit(table, classes_of(table))
    graph = to_onnx(
        clf,
        table[:1],
        options={"zipmap": False},
        target_opset={"": opset, "ai.onnx.ml": 1},
    )
    (version,) = (d.version for d in graph.opset_import if d.domain == "")
    assert version <= opset
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    _, proba = session.run(None, {"X": table})
    assert_allclose(proba, clf.predict_proba(table), rtol=0, atol=1e-6)


def test_settings_changed_after_the_fit_play_no_part(table):
    clf = net().fit(table, classes_of(table))
    clf.set_params(activation="tanh", n_knots=0, n_estimators=1, standardize=False)
    assert_graph_agrees(clf, table)


# --- skl2onnx's options


@pytest.mark.parametrize("names", [[3, -5], ["bee", "ape", "cat"]], ids=str)
def test_zipmap_names_the_probabilities(table, names):
    clf = net().fit(table, np.array(names)[classes_of(table, len(names))])
    expected = clf.predict_proba(table)
    X = table.astype(np.float32)  # ONNX has no map to doubles
    _, maps = session_of(clf, X[:1], zipmap=True).run(None, {"X": X})
    assert set(maps[0]) == set(names)
    for column, label in enumerate(clf.classes_):
        found = [row[label] for row in maps]
        assert_allclose(found, expected[:, column], rtol=0, atol=1e-4)
    _, *columns = session_of(clf, table[:1], zipmap="columns").run(None, {"X": table})
    assert_allclose(np.column_stack(columns), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_raw_scores_are_the_decision_function(table, n_classes, n_estimators):
    clf = net(n_estimators=n_estimators, max_iter=40)
    clf.fit(table, classes_of(table, n_classes))
    X = np.vstack([table, 1e6 * table])  # also where probabilities round to zero
    labels, scores = session_of(clf, X[:1], raw_scores=True).run(None, {"X": X})
    decision = clf.decision_function(X)
    if n_classes == 2:
        decision = np.column_stack([-decision, decision])
    assert_allclose(scores, decision, rtol=1e-9, atol=1e-9)
    assert_array_equal(labels, clf.predict(X))


# --- subclasses


class Narrow(TwoLayerClassifier):
    """A subclass with settings of its own and the same predictions."""

    def __init__(self, width=4):
        super().__init__(width, max_iter=10, random_state=0)
        self.width = width


@pytest.mark.parametrize("around", [None, StandardScaler])
def test_a_subclass_is_converted_once_it_is_registered(table, around):
    sknet.onnx.register(Narrow)
    clf = Narrow() if around is None else make_pipeline(around(), Narrow())
    assert_graph_agrees(clf.fit(table, classes_of(table)), table)
    # the class itself is still registered
    assert_graph_agrees(net().fit(table, classes_of(table)), table)


@pytest.mark.parametrize("name", ["predict", "predict_proba", "decision_function"])
def test_a_subclass_that_predicts_in_another_way_is_refused(name):
    own = type("Own", (TwoLayerClassifier,), {name: lambda self, X: X})
    with pytest.raises(TypeError, match=f"Own overrides {name}, .* Write a"):
        sknet.onnx.register(own)


@pytest.mark.parametrize("wrong", [net(), StandardScaler, "Narrow"], ids=repr)
def test_only_the_class_or_a_subclass_can_be_registered(wrong):
    with pytest.raises(TypeError, match=r"TwoLayerClassifier or a subclass. Pass the"):
        sknet.onnx.register(wrong)


# --- inside other estimators


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.float32, FloatTensorType), (np.float64, DoubleTensorType)]
)
def test_behind_scaled_and_one_hot_columns(rng, table, dtype, kind, sparse):
    colour = rng.choice(["red", "green", "blue"], size=len(table))
    X = pd.DataFrame({"a": table[:, 0], "b": table[:, 1]}).astype(dtype)
    X["colour"] = colour
    y = np.where((classes_of(table, 2) == 1) ^ (colour == "red"), "yes", "no")
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=sparse, dtype=dtype), ["colour"]),
        ("passthrough" if sparse else StandardScaler(), ["a", "b"]),
        sparse_threshold=float(sparse),
    )
    clf = make_pipeline(columns, net(max_iter=40)).fit(X, y)
    types = [(c, kind([None, 1])) for c in "ab"]
    types.append(("colour", StringTensorType([None, 1])))
    feed = {name: X[[name]].to_numpy() for name in X}
    labels, proba = session_of(clf, types).run(None, feed)
    assert_array_equal(labels, clf.predict(X))
    assert_allclose(proba, clf.predict_proba(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "around",
    [lambda clf: CalibratedClassifierCV(clf, cv=2), OneVsRestClassifier],
    ids=["calibrated", "one against the rest"],
)
def test_inside_other_classifiers(table, around, n_classes):
    clf = around(net(max_iter=40)).fit(table, classes_of(table, n_classes))
    assert_graph_agrees(clf, table)


# --- errors


@pytest.mark.parametrize("zipmap", [True, False])
def test_an_unfitted_model_says_so(table, zipmap):
    with pytest.raises(NotFittedError, match="not fitted yet: call fit before"):
        to_onnx(net(), table[:1], options={"zipmap": zipmap})


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2**63, 2**63 + 1], dtype=np.uint64),
        np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]"),
    ],
    ids=lambda labels: str(labels.dtype),
)
@pytest.mark.parametrize("zipmap", [True, False])
def test_labels_that_onnx_does_not_have_say_so(table, labels, zipmap):
    clf = net().fit(table, labels[classes_of(table, 2)])
    with pytest.raises(ValueError, match=r"strings and integers .* Encode y before"):
        to_onnx(clf, table[:1], options={"zipmap": zipmap})


def test_without_skl2onnx_register_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="pip install skl2onnx onnxruntime"):
        sknet.onnx.register()
