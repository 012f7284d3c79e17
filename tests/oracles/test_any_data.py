"""Any data give sound answers, and how they are written down changes no bit.

Hypothesis draws tables of any shape, dtype, layout and container, with the columns and
weights that users have, and all legal settings. ``SKNET_TESTS_PROFILE=nightly`` draws
ten times as many. The second half of the file holds the invariances of a fit, bit for
bit: weights are copies, and neither the order of the rows nor their container matters.
"""

import math
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

from sknet import TwoLayerClassifier

# all other warnings are errors
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{expected}")
    for expected in (
        ":sklearn.exceptions.ConvergenceWarning",
        "early_stopping needs",
        "standardize=False, but",
        "The weights that warm_start",
        "store_oof_proba=True needs",
        "blend=True needs",
    )
]

# ------------------------------------------------------------------------- tables

EXTREMES = [0.0, -0.0, 5e-324, -1e-310, 1e-100, 1e9, 1e30, -1e100]
COLUMNS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "scaled": lambda rng, n: rng.normal(size=n) * 10.0 ** rng.uniform(-100, 100),
    "constant": lambda rng, n: np.full(n, rng.choice([0, 1, -3.5, 1e9, 1e100, 1e-100])),
    "two values": lambda rng, n: rng.choice(rng.normal(size=2), size=n),
    "few values": lambda rng, n: rng.integers(-2, 3, size=n),
    "rare": lambda rng, n: np.arange(n) == rng.integers(n),
    "denormal": lambda rng, n: rng.integers(-9, 9, size=n) * 5e-324,
    "offset": lambda rng, n: 1e9 + rng.choice([-1.0, 1.0], size=n),
    "time stamps": lambda rng, n: 1.7e9 + rng.integers(0, 86_400, size=n),
    "far offset": lambda rng, n: 1e16 + rng.integers(0, 8, size=n),
    "one outlier": lambda rng, n: np.where(np.arange(n) == 0, 1e30, rng.normal(size=n)),
    "extreme": lambda rng, n: rng.choice(EXTREMES, size=n),
    "sparse": lambda rng, n: rng.normal(size=n) * (rng.random(n) < 0.2),
}
# products of these with a weight keep all their digits
SCALABLE = sorted(COLUMNS.keys() - {"denormal", "extreme"})
WEIGHTS = {
    "none": lambda rng, n: None,
    "one": lambda rng, n: 1.0,
    "counts": lambda rng, n: rng.integers(0, 4, size=n),
    "real": lambda rng, n: rng.uniform(1e-3, 1e3, size=n),
    "wide": lambda rng, n: 10.0 ** rng.uniform(-12, 12, size=n),
    "tiny": lambda rng, n: rng.uniform(1, 2, size=n) * 1e-100,
    "huge": lambda rng, n: rng.uniform(1, 2, size=n) * 1e100,
    "all zero": lambda rng, n: np.zeros(n),
}
DTYPES = ["f8", "f8", "f4", "f2", ">f8", "i1", "u1", "i4", "i8", "u8", "?"]
DENSE = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "list": np.ndarray.tolist,
    "pandas": pd.DataFrame,
    "polars": lambda X: pl.DataFrame(X.astype(X.dtype.newbyteorder("="))),
}
SPARSE = {
    "csr": sp.csr_array,
    "csc": sp.csc_array,
    "coo": sp.coo_array,
    "csr_matrix": sp.csr_matrix,
}


class Table(NamedTuple):
    """Rows as a user has them; ``plain`` has the same numbers in float64."""

    X: object
    y: np.ndarray
    weight: object
    plain: np.ndarray


def in_dtype(X, dtype):
    """Cast X and clip it to the dtype's range; float16 and float32 may overflow."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        X = np.clip(np.nan_to_num(X), float(info.min), float(info.max) * 0.999)
    with np.errstate(all="ignore"):
        return X.astype(dtype)


@st.composite
def plain_tables(draw, kinds=tuple(COLUMNS)):
    """Draw float64 rows, class indices and the generator that made them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 30))
    names = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=5))
    X = np.column_stack([COLUMNS[name](rng, n).astype(float) for name in names])
    if draw(st.booleans()):  # duplicate columns
        X = X[:, rng.integers(X.shape[1], size=X.shape[1] + 1)]
    if draw(st.booleans()):  # duplicate rows
        X = X[rng.integers(n, size=n)]
    shares = draw(st.sampled_from([(1,), (0.5, 0.5), (0.98, 0.02), (0.3, 0.3, 0.4)]))
    return X, rng.choice(len(shares), p=shares, size=n), rng


@st.composite
def tables(draw, weights=tuple(WEIGHTS)):
    """Draw rows in any dtype and container, with any kind of weights."""
    plain, y, rng = draw(plain_tables())
    sparse = draw(st.integers(0, 3)) == 0
    dtype = draw(st.sampled_from(DTYPES))
    if sparse and np.dtype(dtype).kind == "f" and dtype not in ("f4", "f8"):
        dtype = "f4"  # SciPy has no others
    X = in_dtype(plain, dtype)
    containers = SPARSE if sparse else DENSE
    write = containers[draw(st.sampled_from(list(containers)))]
    weight = WEIGHTS[draw(st.sampled_from(weights))](rng, len(y))
    with np.errstate(over="ignore"):
        return Table(write(X), y, weight, X.astype(float))


BELOW_ONE = math.nextafter(1, 0)
SETTINGS = {
    "hidden_layer_size": [4, 4, 12],
    "n_estimators": [1, 2, 3, 12],
    "activation": ["relu", "tanh", "logistic", "identity"],
    "solver": ["adam", "sgd", "lbfgs"],
    "alpha": [0.01, 0.01, 0, 1e-100, 1e30],
    "batch_size": ["auto", 1, 7, 100, 2**31 - 1],
    "learning_rate": ["cosine", "constant"],
    "learning_rate_init": [0.01, 0.01, 1e-100, 1e100, np.float32(0.1)],
    "max_iter": [3, 1, 4],
    "random_state": [0, 2**32 - 1, np.int64(3)],
    "tol": [1e-4, 0, 1e100],
    "verbose": [0],
    "warm_start": [False, True],
    "momentum": [0.9, 0, BELOW_ONE],
    "early_stopping": ["auto", True, False],
    "validation_fraction": [0.1, 1e-100, BELOW_ONE],
    "store_oof_proba": [False, True],
    "n_iter_no_change": [6, 1, math.inf],
    "dropout": ["auto", 0.0, BELOW_ONE],
    "input_dropout": [0.0, 0.0, 0.5, BELOW_ONE],
    "standardize": [True, True, False, np.True_],
    "n_knots": ["auto", 1, 0, 5],
    "dtype": ["float32", "float64"],
    "class_weight": [None, "balanced", {0: 1e30, 1: 1, 2: 1e-30}],
    "categorical_features": ["from_dtype", None],
    "blend": ["auto", False, False, True],
    "n_jobs": [None, 2],
}


def options(**some):
    """Draw any legal settings, ends included."""
    values = {**SETTINGS, **some}
    return st.fixed_dictionaries({n: st.sampled_from(v) for n, v in values.items()})


def test_all_settings_are_drawn():
    assert SETTINGS.keys() == TwoLayerClassifier().get_params().keys()


# ------------------------------------------------------------------ sound answers


def like(X, rows):
    """Put other rows into a container that fits to X."""
    if sp.issparse(X):
        return sp.csr_array(rows)
    return pl.DataFrame(rows, schema=X.columns) if isinstance(X, pl.DataFrame) else rows


def fitted_or_refused(settings, table, method="fit", **more):
    """Return the fitted estimator; None if it was right to refuse the table."""
    clf = TwoLayerClassifier(**settings)
    learn = getattr(clf, method)
    unusable = table.weight is not None and not np.any(table.weight)
    if unusable or not np.isfinite(table.plain).all():
        errors = "infinity|infinite|[Ss]ample.weight"
        with pytest.raises(ValueError, match=errors):
            learn(table.X, table.y, sample_weight=table.weight, **more)
        assert not hasattr(clf, "classes_")
        return None
    return learn(table.X, table.y, sample_weight=table.weight, **more)


def assert_answers_are_sound(clf, X, n):
    """All four predictions are finite and agree with each other."""
    proba = clf.predict_proba(X)
    assert proba.shape == (n, len(clf.classes_))
    assert np.isfinite(proba).all()
    assert (proba >= 0).all()
    assert_allclose(proba.sum(axis=1), 1, atol=2e-6)
    log_proba = clf.predict_log_proba(X)
    assert np.isfinite(log_proba).all()
    assert_allclose(np.exp(log_proba), proba, atol=2e-6)
    assert np.isfinite(clf.decision_function(X)).all()
    assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(clf.temperature_)


@given(table=tables(), settings=options())
def test_a_fit_ends_with_probabilities_or_a_documented_error(table, settings):
    clf = fitted_or_refused(settings, table)
    if clf is None:
        return
    assert_answers_are_sound(clf, table.X, len(table.y))
    kept = np.broadcast_to(1 if table.weight is None else table.weight, len(table.y))
    assert_array_equal(clf.classes_, np.unique(table.y[kept > 0]))


@given(
    table=tables(),
    settings=options(solver=["adam", "sgd"]),
    exponent=st.floats(-100, 100),
    n_calls=st.integers(1, 3),
)
def test_a_stream_ends_with_probabilities_or_a_documented_error(
    table, settings, exponent, n_calls
):
    clf = fitted_or_refused(settings, table, "partial_fit", classes=[0, 1, 2])
    if clf is None:
        return
    for _ in range(n_calls):  # the scale of the rows changes within the stream
        batch = like(table.X, np.clip(table.plain * 10.0**exponent, -1e100, 1e100))
        clf.partial_fit(batch, table.y, sample_weight=table.weight)
        assert_answers_are_sound(clf, batch, len(table.y))


@given(table=tables(("none", "real")), other=plain_tables(), settings=options())
def test_any_rows_can_be_predicted_one_at_a_time_or_together(table, other, settings):
    clf = fitted_or_refused(settings, table)
    if clf is None:
        return
    n = len(other[0])
    rows = np.resize(other[0], (n, table.plain.shape[1]))
    if not isinstance(table.X, pl.DataFrame):  # whose columns have names
        assert_answers_are_sound(clf, sp.csr_array(rows), n)
    rows = like(table.X, rows)
    assert_answers_are_sound(clf, rows, n)
    one_by_one = np.vstack([clf.predict_proba(rows[i : i + 1]) for i in range(n)])
    assert np.isfinite(one_by_one).all()
    if clf.standardize:  # else a logit may be what rounding leaves of terms of 1e13
        assert_allclose(one_by_one, clf.predict_proba(rows), rtol=1e-4, atol=1e-6)


@given(table=tables(("none", "counts", "real")), other=plain_tables())
def test_any_rows_can_continue_a_fit_or_validate_it(table, other):
    settings = {"hidden_layer_size": 4, "n_estimators": 2, "max_iter": 2}
    clf = fitted_or_refused({**settings, "random_state": 0, "warm_start": True}, table)
    if clf is None:
        return
    X = like(table.X, np.resize(other[0], (len(other[0]), table.plain.shape[1])))
    y = clf.classes_[other[1] % len(clf.classes_)]
    clf.fit(X, y)
    assert_answers_are_sound(clf, X, len(y))
    clf.fit(X, y, X_val=X, y_val=y)
    assert np.isfinite(clf.validation_loss_curve_).any()
    assert_answers_are_sound(clf, table.X, len(table.y))


# --------------------------------------------------------- invariances, bit for bit


def assert_same_fit(a, b, X, rows=None):
    """``rows`` are X as it was written for b, if it was written otherwise."""
    proba = b.predict_proba(X if rows is None else rows)
    assert_array_equal(proba, a.predict_proba(X))
    ours, theirs = ([*clf.coefs_, *clf.intercepts_] for clf in (a, b))
    for left, right in zip(ours, theirs, strict=True):
        assert_array_equal(left, right, strict=True)
    assert a.loss_curve_ == b.loss_curve_
    assert a.validation_loss_curve_ == b.validation_loss_curve_
    assert a.temperature_ == b.temperature_


def fit(settings, X, y, weight=None):
    return TwoLayerClassifier(**settings).fit(X, y, weight)


def stream(settings, X, y, weight=None):
    clf = TwoLayerClassifier(**settings)
    clf.partial_fit(X, y, classes=[0, 1, 2], sample_weight=weight)
    return clf.partial_fit(X, y, sample_weight=weight)


WAYS = {
    "defaults": {},  # a blend
    "one variant": {"blend": False},
    "batches of one": {"batch_size": 1, "max_iter": 2},
    "small batches": {"batch_size": 7},
    "one batch": {"batch_size": 10_000},
    "hold-out": {"n_estimators": 1, "early_stopping": True},
    "no validation": {"early_stopping": False, "input_dropout": 0.2},
    "classes balanced": {"class_weight": "balanced"},
    "unscaled": {"standardize": False},
    "tanh": {"activation": "tanh", "n_knots": 0},
    "sgd": {"solver": "sgd", "batch_size": 8},
    "lbfgs": {"solver": "lbfgs"},
    "float64": {"dtype": "float64", "dropout": 0.0},
}


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_weights_are_copies_in_any_order(rng, settings, kind):
    """Folds, dropout and batches follow the content of the rows, not their writing.

    Some rows come twice, some of these with two labels.
    """
    n = 120
    X = rng.normal(size=(n, 5))
    X[:, 2], X[:, 3] = np.round(X[:, 2]), rng.random(n) < 0.3
    X[:15] = X[60:75]
    score = X[:, 0] - X[:, 1] ** 2 + X[:, 3] + 0.5 * rng.normal(size=n)
    y = np.digitize(score, np.quantile(score, [1 / 3, 2 / 3]))
    X = sp.csr_array(X * (X > 0.2)) if kind == "sparse" else X
    weight = rng.integers(0, 4, size=n)
    copies = rng.permutation(np.repeat(np.arange(n), weight))
    present = np.flatnonzero(weight)
    settings = {"max_iter": 5, "random_state": 0, **settings}
    for learn in (fit,) if settings.get("solver") == "lbfgs" else (fit, stream):
        weighted = learn(settings, X, y, weight)
        assert_same_fit(learn(settings, X[copies], y[copies]), weighted, X)
        others = learn(settings, X[present], y[present], weight[present])
        assert_same_fit(others, weighted, X)
        ones = learn(settings, X, y, np.ones(n))
        assert_same_fit(ones, learn(settings, X, y), X)


@given(table=plain_tables(), settings=options())
def test_weights_are_copies_in_any_table(table, settings):
    X, y, rng = table
    weight = rng.integers(0, 4, size=len(y))
    weight[0] = max(weight[0], 1)
    copies = rng.permutation(np.repeat(np.arange(len(y)), weight))
    a, b = fit(settings, X, y, weight), fit(settings, X[copies], y[copies])
    assert_same_fit(a, b, X)


@given(
    table=plain_tables(SCALABLE), settings=options(), exponent=st.integers(-300, 300)
)
def test_neither_order_nor_common_scale_of_weights_matter(table, settings, exponent):
    """A power of two changes no digit of a weight. Validation rows are weighted too."""
    X, y, rng = table
    weight, order = rng.uniform(1e-3, 1e3, size=len(y)), rng.permutation(len(y))
    scaled = np.ldexp(weight, exponent)
    a = fit(settings, X, y, weight)
    b = fit(settings, X[order], y[order], scaled[order])
    assert_same_fit(a, b, X)
    a.fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    b.fit(X, y, X_val=X, y_val=y, sample_weight_val=scaled)
    assert_same_fit(a, b, X)


@given(
    table=plain_tables(),
    settings=options(),
    dense=st.sampled_from(list(DENSE)),
    sparse=st.sampled_from(list(SPARSE)),
)
def test_the_container_does_not_matter(table, settings, dense, sparse):
    X, y, _ = table
    for write, plain in ((DENSE[dense], X), (SPARSE[sparse], sp.csr_array(X))):
        a, b = fit(settings, plain, y), fit(settings, write(X), y)
        assert_same_fit(a, b, plain, write(X))
