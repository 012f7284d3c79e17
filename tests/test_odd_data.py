"""Any data: a fit ends with probabilities, or with one of the documented errors.

Each test takes tables as hypothesis draws them: any shape, dtype, layout and container,
columns from 1e-300 to 1e300, with the offsets, repetitions, labels and weights that
users have. ``SKNET_TESTS_PROFILE=nightly`` draws ten times as many.
"""

import copy
import io
import pickle
from typing import NamedTuple

import hypothesis.strategies as st
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import skops.io
from hypothesis import assume, given
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sknet import TwoLayerClassifier

# all other warnings are errors here, as everywhere
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{ours}")
    for ours in (
        ":sklearn.exceptions.ConvergenceWarning",
        "early_stopping needs",
        "standardize=False, but",
        "The weights that warm_start",
    )
]
ERRORS = (
    "X contains infinity|Input X contains infinity|X contains NaN|"
    "(All s|S)ample weights (are zero|must contain at least one non-zero)|"
    "The sum of `sample_weight` must be finite"
)
EXTREMES = [0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e-300, -1e-300, 1e9, 1e200, 1e308]
DTYPES = ["f8", "f8", "f4", "f2", ">f8", "i1", "u1", "i4", "i8", "u8", "?"]


class Table(NamedTuple):
    """Rows as a user has them; ``plain`` has the same numbers in float64."""

    X: object
    y: object
    weight: object
    plain: np.ndarray
    labels: np.ndarray


COLUMNS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "scaled": lambda rng, n: rng.normal(size=n) * 10.0 ** rng.uniform(-300, 300),
    "constant": lambda rng, n: np.full(n, rng.choice([0, 1, -3.5, 1e9, 1e300, 1e-300])),
    "two values": lambda rng, n: rng.choice(rng.normal(size=2), size=n),
    "few values": lambda rng, n: rng.integers(-2, 3, size=n),
    "rare": lambda rng, n: np.arange(n) == rng.integers(n),
    "denormal": lambda rng, n: rng.integers(-9, 9, size=n) * 5e-324,
    "offset": lambda rng, n: 1e9 + rng.choice([-1.0, 1.0], size=n),
    "time stamps": lambda rng, n: 1.7e9 + rng.integers(0, 86_400, size=n),
    "far offset": lambda rng, n: 1e16 + rng.integers(0, 8, size=n),
    "one outlier": lambda rng, n: np.where(np.arange(n) == 0, 1e30, rng.normal(size=n)),
    "extreme": lambda rng, n: rng.choice([*EXTREMES, -1e308], size=n),
    "ends": lambda rng, n: rng.choice([-1.0, 1.0], size=n) * np.finfo(float).max,
    "sparse": lambda rng, n: rng.normal(size=n) * (rng.random(n) < 0.2),
}
LABELS = {
    "int": lambda y: y,
    "gaps": lambda y: y * 7 - 3,
    "int8": lambda y: y.astype(np.int8),
    "float": lambda y: y.astype(float),
    "bool": lambda y: y > 0,
    "str": lambda y: np.array(["ant", "bee", "cat", "dog"])[y],
    "object": lambda y: np.array(["ant", "bee", "cat", "dog"], dtype=object)[y],
}
LABEL_CONTAINERS = {
    "array": np.asarray,
    "list": list,
    "series": pd.Series,
    "category": lambda y: pd.Series(y, dtype="category"),
    "polars": lambda y: pl.Series(y.tolist()),
}


def frame(X):
    """A pandas frame; its columns have no names that would be checked."""
    return pd.DataFrame(X)


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "read-only": read_only,
}
DENSE = {
    **LAYOUTS,
    "list": np.ndarray.tolist,
    "pandas": frame,
    "polars": lambda X: pl.DataFrame(X.astype(X.dtype.newbyteorder("="))),
}
SPARSE = {
    "csr": sp.csr_array,
    "csc": sp.csc_array,
    "coo": sp.coo_array,
    "csr_matrix": sp.csr_matrix,
    "csc_matrix": sp.csc_matrix,
}


def in_dtype(X, dtype):
    """X in another dtype, cut to its range; float16 and float32 may overflow."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        X = np.clip(np.nan_to_num(X), float(info.min), float(info.max) * 0.999)
    with np.errstate(all="ignore"):
        return X.astype(dtype)


@st.composite
def plain_tables(draw, kinds=tuple(COLUMNS), most_rows=30):
    """Float64 rows, class indices and the generator that made them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, most_rows))
    names = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5))
    X = np.column_stack([COLUMNS[name](rng, n).astype(float) for name in names])
    if draw(st.booleans()):  # duplicate columns
        X = X[:, rng.integers(X.shape[1], size=X.shape[1] + 1)]
    if draw(st.booleans()):  # duplicate rows
        X = X[rng.integers(n, size=n)]
    shares = draw(st.sampled_from([(1,), (0.5, 0.5), (0.98, 0.02), (0.3, 0.3, 0.4)]))
    return X, rng.choice(len(shares), p=shares, size=n), rng


WEIGHTS = {
    "none": lambda rng, n: None,
    "one": lambda rng, n: 1.0,
    "counts": lambda rng, n: rng.integers(0, 4, size=n),
    "real": lambda rng, n: rng.uniform(1e-3, 1e3, size=n),
    "wide": lambda rng, n: 10.0 ** rng.uniform(-12, 12, size=n),
    "tiny": lambda rng, n: rng.uniform(1, 2, size=n) * 1e-300,
    "huge": lambda rng, n: rng.uniform(1, 2, size=n) * 1e300,
    "too large": lambda rng, n: np.full(n, 1.7e308),
    "all zero": lambda rng, n: np.zeros(n),
}


@st.composite
def tables(draw, weights=tuple(WEIGHTS)):
    """Rows in any dtype, layout and container, with any kind of labels and weights."""
    plain, y, rng = draw(plain_tables())
    sparse = draw(st.integers(0, 3)) == 0
    dtype = draw(st.sampled_from(DTYPES))
    if sparse and np.dtype(dtype).kind == "f" and dtype not in ("f4", "f8"):
        dtype = "f4"  # SciPy has no others
    X = in_dtype(plain, dtype)
    containers = SPARSE if sparse else DENSE
    container = draw(st.sampled_from(list(containers)))
    labels = LABELS[draw(st.sampled_from(list(LABELS)))](y)
    of_labels = LABEL_CONTAINERS[draw(st.sampled_from(list(LABEL_CONTAINERS)))]
    weight = WEIGHTS[draw(st.sampled_from(weights))](rng, len(y))
    with np.errstate(over="ignore"):
        plain = X.astype(float)
    return Table(containers[container](X), of_labels(labels), weight, plain, labels)


ALL_LABELS = [*range(4), *(7 * i - 3 for i in range(4)), "ant", "bee", "cat", "dog"]


# decades about their middle; ratios in the last are more than a float can hold
SPREADS = (1, 10, 300)


@st.composite
def class_weights(draw, spreads=SPREADS):
    """None, "balanced", or a dict of weights of any size for labels of every kind."""
    kind = draw(st.sampled_from([None, "balanced", "dict", "dict"]))
    if kind != "dict":
        return kind
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    middle = draw(st.sampled_from([-290, 0, 290]))
    spread = draw(st.sampled_from(spreads))
    exponents = middle + rng.uniform(-spread, spread, size=len(ALL_LABELS))
    weights = 10 ** np.clip(exponents, -300, 300)
    return dict(zip(ALL_LABELS, weights.tolist(), strict=True))


@st.composite
def options(draw, solvers=("adam", "sgd", "lbfgs"), spreads=SPREADS, **fixed):
    """Settings that a table can bring into trouble."""
    drawn = {
        "solver": draw(st.sampled_from(solvers)),
        "activation": draw(st.sampled_from(["relu", "tanh", "logistic", "identity"])),
        "n_estimators": draw(st.integers(1, 3)),
        "early_stopping": draw(st.sampled_from([True, False, "auto"])),
        "squash": draw(st.sampled_from([None, 5.0])),
        "standardize": draw(st.integers(0, 4)) > 0,
        "split_inputs": draw(st.sampled_from(["auto", True, False])),
        "class_weight": draw(class_weights(spreads)),
        "dropout": draw(st.sampled_from(["auto", 0.0])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "batch_size": draw(st.sampled_from(["auto", 1, 7])),
    }
    small = {"hidden_layer_size": 4, "max_iter": 3, "random_state": 0}
    return {**small, **drawn, **fixed}


def like(X, rows):
    """Other rows in a container that fits to X."""
    if sp.issparse(X):
        return sp.csr_array(rows)
    return pl.DataFrame(rows, schema=X.columns) if isinstance(X, pl.DataFrame) else rows


def fitted_or_refused(clf, table, method="fit", **more):
    """The estimator after it has learnt; None if it was right to refuse."""
    too_large = not np.isfinite(table.plain).all()
    weight = np.ones(1) if table.weight is None else np.asarray(table.weight, float)
    with np.errstate(over="ignore"):
        total = np.broadcast_to(weight, len(table.plain)).sum()
    unusable = total == 0 or not np.isfinite(total)
    if too_large or unusable:
        with pytest.raises(ValueError, match=ERRORS):
            getattr(clf, method)(table.X, table.y, sample_weight=table.weight, **more)
        assert not hasattr(clf, "classes_")
        return None
    return getattr(clf, method)(table.X, table.y, sample_weight=table.weight, **more)


def assert_answers_are_sound(clf, X, n):
    """All four predictions are finite and tell one story."""
    proba = clf.predict_proba(X)
    assert proba.shape == (n, len(clf.classes_))
    assert np.isfinite(proba).all()
    assert (proba >= 0).all()
    assert_allclose(proba.sum(axis=1), 1, atol=2e-6)
    assert np.isfinite(clf.predict_log_proba(X)).all()
    assert_allclose(np.exp(clf.predict_log_proba(X)), proba, atol=2e-6)
    assert np.isfinite(clf.decision_function(X)).all()
    labels = clf.predict(X)
    assert_array_equal(labels, clf.classes_[proba.argmax(axis=1)])
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(clf.temperature_)


@given(table=tables(), settings=options())
def test_a_fit_ends_with_probabilities_or_a_documented_error(table, settings):
    clf = fitted_or_refused(TwoLayerClassifier(**settings), table)
    if clf is None:
        return
    assert_answers_are_sound(clf, table.X, len(table.labels))
    kept = np.broadcast_to(1 if table.weight is None else table.weight, len(table.y))
    assert_array_equal(clf.classes_, np.unique(table.labels[kept > 0]))


@given(
    table=tables(),
    settings=options(("adam", "sgd")),
    cut=st.floats(0, 1),
    n_calls=st.integers(1, 3),
)
def test_a_stream_ends_with_probabilities_or_a_documented_error(
    table, settings, cut, n_calls
):
    clf = TwoLayerClassifier(**settings)
    classes = np.unique(table.labels)
    clf = fitted_or_refused(clf, table, "partial_fit", classes=classes)
    if clf is None:
        return
    for _ in range(n_calls):  # batches that another scale has got into
        with np.errstate(over="ignore"):
            batch = table.plain * 10.0 ** (600 * cut - 300)
        batch = like(table.X, np.clip(batch, -1e308, 1e308))
        clf.partial_fit(batch, table.labels, sample_weight=table.weight)
        assert_answers_are_sound(clf, batch, len(table.labels))
    assert_array_equal(clf.classes_, classes)


@given(table=tables(("none", "real")), other=plain_tables(), settings=options())
def test_any_rows_can_be_predicted(table, other, settings):
    """Also such as no training row was like, one at a time or all at once."""
    clf = fitted_or_refused(TwoLayerClassifier(**settings), table)
    if clf is None:
        return
    rows = np.resize(other[0], (len(other[0]), table.plain.shape[1]))
    if not isinstance(table.X, pl.DataFrame):  # whose columns have names
        assert_answers_are_sound(clf, sp.csr_array(rows), len(rows))
    rows = like(table.X, rows)
    assert_answers_are_sound(clf, rows, len(other[0]))
    proba = clf.predict_proba(rows)
    alone = [clf.predict_proba(rows[i : i + 1]) for i in range(len(other[0]))]
    alone = np.vstack(alone)
    assert_allclose(alone, proba, rtol=1e-4, atol=1e-6)


@given(table=tables(("none", "counts", "real")), other=plain_tables())
def test_any_rows_can_go_on_a_fit_or_validate_it(table, other):
    clf = TwoLayerClassifier(4, n_estimators=2, max_iter=2, random_state=0)
    clf = fitted_or_refused(clf.set_params(warm_start=True), table)
    if clf is None:
        return
    X = np.resize(other[0], (len(other[0]), table.plain.shape[1]))
    X = like(table.X, X)
    y = clf.classes_[other[1] % len(clf.classes_)]
    clf.fit(X, y)
    assert_answers_are_sound(clf, X, len(y))
    clf.fit(X, y, X_val=X, y_val=y)
    assert np.isfinite(clf.validation_loss_curve_).any()
    assert_answers_are_sound(clf, table.X, len(table.labels))


OF_VALIDATION = ["none", "counts", "real", "wide", *2 * ["tiny", "huge"]]


@given(
    table=plain_tables(),
    other=plain_tables(),
    settings=options(),
    kind=st.sampled_from(OF_VALIDATION),
    exponent=st.integers(-900, 900),
)
def test_weights_of_validation_rows_may_have_any_scale(
    table, other, settings, kind, exponent
):
    """The curve is finite, and a common factor, a power of 2, changes no bit."""
    X, y, _ = table
    X_val = np.resize(other[0], (len(other[0]), X.shape[1]))
    y_val = np.unique(y)[other[1] % len(np.unique(y))]
    weight = WEIGHTS[kind](other[2], len(y_val))
    if weight is not None and not np.any(weight):
        weight = np.ones(len(y_val))
    a = TwoLayerClassifier(**settings)
    a.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    assert_answers_are_sound(a, X, len(y))
    assert np.isfinite(a.validation_loss_curve_).all()
    assert np.isfinite(a.best_validation_loss_)
    weight = np.ones(len(y_val)) if weight is None else np.asarray(weight, float)
    scaled = np.ldexp(weight, in_range(weight, exponent))
    b = TwoLayerClassifier(**settings)
    b.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=scaled)
    assert_array_equal(b.validation_loss_curve_, a.validation_loss_curve_)
    assert_array_equal(b.predict_proba(X), a.predict_proba(X))


def in_range(weight, exponent):
    """The exponent, or the nearest one with which no weight loses a digit."""
    known = np.frexp(weight[weight > 0])[1]
    return np.clip(exponent, -1000 - known.min(), 1000 - known.max())


@given(table=plain_tables(), settings=options(spreads=SPREADS[:2]))
def test_weights_are_repetitions_in_any_order(table, settings):
    X, y, rng = table
    weight = rng.integers(0, 4, size=len(y))
    weight[0] = max(weight[0], 1)
    rows = rng.permutation(np.repeat(np.arange(len(y)), weight))
    a = TwoLayerClassifier(**settings).fit(X, y, weight)
    b = TwoLayerClassifier(**settings).fit(X[rows], y[rows])
    assert_array_equal(b.predict_proba(X), a.predict_proba(X))


@given(table=plain_tables(), settings=options())
def test_the_order_of_weighted_rows_changes_no_bit(table, settings):
    X, y, rng = table
    weight = rng.uniform(1e-3, 1e3, size=len(y))
    shuffled = rng.permutation(len(y))
    a = TwoLayerClassifier(**settings).fit(X, y, weight)
    b = TwoLayerClassifier(**settings).fit(X[shuffled], y[shuffled], weight[shuffled])
    assert_array_equal(b.predict_proba(X), a.predict_proba(X))


@given(
    table=plain_tables(),
    settings=options(spreads=SPREADS[:2]),
    exponent=st.integers(-900, 900),
)
def test_the_common_scale_of_weights_changes_no_bit(table, settings, exponent):
    X, y, rng = table
    weight = rng.uniform(1e-3, 1e3, size=len(y))
    a = TwoLayerClassifier(**settings).fit(X, y, weight)
    b = TwoLayerClassifier(**settings).fit(X, y, np.ldexp(weight, exponent))
    assert_array_equal(b.predict_proba(X), a.predict_proba(X))


@given(
    table=plain_tables(),
    settings=options(),
    dense=st.sampled_from(list(DENSE)),
    sparse=st.sampled_from(list(SPARSE)),
)
def test_the_container_changes_no_bit(table, settings, dense, sparse):
    X, y, _ = table
    for write, plain in ((DENSE[dense], X), (SPARSE[sparse], sp.csr_array(X))):
        a = TwoLayerClassifier(**settings).fit(plain, y)
        b = TwoLayerClassifier(**settings).fit(write(X), y)
        assert_array_equal(b.predict_proba(write(X)), a.predict_proba(plain))


def assert_equal_but_for_rounding(a, b, settings):
    """Adam divides a gradient that vanishes by its size, which leaves the rounding."""
    tolerance = 1e-3 if settings["solver"] == "adam" else 1e-6
    assert_allclose(a, b, rtol=0, atol=tolerance)


# columns that keep their digits in new units
ORDINARY = ("normal", "two values", "few values", "rare", "constant", "sparse")


@given(
    table=plain_tables(ORDINARY),
    settings=options(("adam", "sgd"), SPREADS[:1], standardize=True, dtype="float64"),
)
def test_new_units_change_nothing(table, settings):
    X, y, rng = table
    X = np.where(np.abs(X) > 10, 1.0, X)
    slope = 10.0 ** rng.uniform(-6, 6, size=X.shape[1])
    other = X * slope + rng.uniform(-3, 3, size=X.shape[1]) * slope
    a = TwoLayerClassifier(**settings).fit(X, y)
    b = TwoLayerClassifier(**settings).fit(other, y)
    assert_equal_but_for_rounding(b.predict_proba(other), a.predict_proba(X), settings)


@given(
    table=plain_tables(ORDINARY),
    settings=options(("adam", "sgd"), standardize=True, dtype="float64"),
)
def test_renamed_labels_change_only_the_names(table, settings):
    X, y, rng = table
    shares = [(y == label).mean() for label in np.unique(y)]
    assume(len(set(shares)) == len(shares))  # else two classes may be interchangeable
    settings["class_weight"] = None  # "balanced" makes them so
    names = rng.permutation(["ant", "bee", "cat"])
    a = TwoLayerClassifier(**settings).fit(X, y)
    b = TwoLayerClassifier(**settings).fit(X, names[y])
    columns = np.searchsorted(b.classes_, names[a.classes_])
    found = b.predict_proba(X)[:, columns]
    assert_equal_but_for_rounding(found, a.predict_proba(X), settings)


def through_skops(clf):
    return skops.io.loads(skops.io.dumps(clf), trusted=["sknet.TwoLayerClassifier"])


def through_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    file.seek(0)
    return joblib.load(file)


DUPLICATES = {
    "pickle": lambda clf: pickle.loads(pickle.dumps(clf)),
    "joblib": through_joblib,
    "skops": through_skops,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@given(
    table=tables(("none", "real")),
    settings=options(),
    how=st.sampled_from(list(DUPLICATES)),
    warm=st.booleans(),
)
def test_saved_loaded_and_copied_estimators_are_equal(table, settings, how, warm):
    clf = TwoLayerClassifier(**settings, warm_start=warm)
    clf = fitted_or_refused(clf, table)
    if clf is None:
        return
    same = DUPLICATES[how](clf)
    assert vars(same).keys() == vars(clf).keys()
    assert same.get_params() == clf.get_params()
    expected = clf.predict_proba(table.X)
    assert_array_equal(same.predict_proba(table.X), expected, strict=True)
    assert_array_equal(same.classes_, clf.classes_, strict=True)
    again = clone(clf).fit(table.X, table.y, table.weight)
    assert_array_equal(again.predict_proba(table.X), expected, strict=True)
    if warm:
        for model in (same, clf):
            model.fit(table.X, table.y, table.weight)
        after = clf.predict_proba(table.X)
        assert_array_equal(same.predict_proba(table.X), after, strict=True)
