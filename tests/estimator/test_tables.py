"""Frames as they are read from a file: numbers, categories, strings, gaps."""

import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.metrics import log_loss

# a few epochs may be no better than the class frequencies
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 120


@pytest.fixture
def net(small_net):
    """A small network, without the blend."""
    return lambda **more: small_net(**({"max_iter": 5, "blend": False} | more))


@pytest.fixture
def y(rng):
    return rng.permutation(N) % 2


@pytest.fixture
def frame(rng, y):
    """A column of each kind; those of y's kind say something about it."""
    words = np.array(["ape", "bee", "cat"], dtype=object)
    return pd.DataFrame(
        {
            "number": rng.normal(size=N) + y,
            "flag": rng.random(N) < 0.3 + 0.4 * y,
            "count": rng.integers(0, 9, N),
            "word": words[rng.integers(0, 2, N) + y],
            "code": rng.integers(3, 6, N),
        }
    )


@pytest.fixture
def gappy(frame):
    """The frame with gaps in a number and in a category."""
    frame = frame.copy()
    frame.loc[::7, "number"] = np.nan
    frame.loc[::5, "word"] = None
    return frame


def assert_same_model(clf, X, other, X_other):
    """Two estimators predict the same bits, each for its own kind of X."""
    assert_array_equal(clf.predict_proba(X), other.predict_proba(X_other), strict=True)


# --- one frame, many kinds

LIBRARIES = {
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "nullable": lambda frame: frame.convert_dtypes(),
    "arrow dtypes": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
}


@pytest.mark.parametrize("convert", LIBRARIES.values(), ids=LIBRARIES)
def test_a_frame_is_the_same_in_every_library(net, gappy, y, convert):
    other = convert(gappy)
    plain, clf = net().fit(gappy, y), net().fit(other, y)
    assert_same_model(clf, other, plain, gappy)
    assert_same_model(plain, other, plain, gappy)
    assert clf.input_names_.tolist() == plain.input_names_.tolist()


CATEGORIES = {
    "category": lambda v: pd.Series(v, dtype="category"),
    "ordered": lambda v: pd.Series(pd.Categorical(v, ["cat", "ape", "bee"], True)),
    "arrow string": lambda v: pd.Series(v, dtype="string[pyarrow]"),
    "polars category": lambda v: pl.Series("word", v, dtype=pl.Categorical),
    "Enum": lambda v: pl.Series("word", v, dtype=pl.Enum(["dog", "cat", "bee", "ape"])),
}


@pytest.mark.parametrize("kind", CATEGORIES.values(), ids=CATEGORIES)
def test_words_are_categories_of_every_dtype(net, gappy, y, kind):
    column = kind([word or None for word in gappy["word"].fillna("")])
    other = gappy if isinstance(column, pd.Series) else pl.from_pandas(gappy)
    add = other.assign if other is gappy else other.with_columns
    other = add(word=column)
    plain, clf = net().fit(gappy, y), net().fit(other, y)
    assert_same_model(clf, other, plain, gappy)
    assert {"word=ape", "word=bee", "word=cat"} <= set(clf.input_names_)


@pytest.mark.parametrize("dtype", ["int64", "Int64", "int8", "float64"])
def test_categories_of_numbers_are_their_strings(net, frame, y, dtype):
    words = frame.assign(code=frame["code"].astype(str))
    expected = net().fit(words, y)
    other = frame.assign(code=frame["code"].astype(dtype))
    named = net(categorical_features=["word", "code"]).fit(other, y)
    assert_same_model(named, other, expected, words)
    if dtype != "float64":
        other = other.assign(code=other["code"].astype("category"))
        clf = net().fit(other, y)
        assert_same_model(clf, other, expected, words)
        # with a gap, pandas makes categories of floats
        gap = other.assign(
            code=frame["code"].where(np.arange(N) > 0).astype("category")
        )
        assert_array_equal(clf.predict_proba(gap)[1:], clf.predict_proba(other)[1:])


def test_large_integers_are_levels_of_their_own(net, y):
    """Floats would merge 2**53 and the integer that follows it."""
    codes = (2**53 + y)[:, np.newaxis]
    clf = net(categorical_features=[0]).fit(codes, y)
    assert list(clf.input_names_) == [f"x0={2**53}", f"x0={2**53 + 1}"]
    assert clf.score(codes, y) == 1


def test_categorical_features_are_names_indices_or_a_mask(net, frame, y):
    choices = [["code", "word"], [3, 4], np.array([4, 3]), [False] * 3 + [True] * 2]
    first, *others = (net(categorical_features=c).fit(frame, y) for c in choices)
    assert {"word=ape", "code=3"} < set(first.input_names_)
    for clf in others:
        assert_same_model(clf, frame, first, frame)
    numbers = frame.drop(columns="word")
    array = numbers.to_numpy(float)
    clf, plain = net(categorical_features=None).fit(numbers, y), net().fit(array, y)
    assert_same_model(clf, numbers, plain, array)
    assert "x3=4" in net(categorical_features=[3]).fit(array, y).input_names_


# --- levels


def test_levels_are_one_hot_columns(net, frame, y):
    """In one batch, for the order of the rows depends on their values."""
    words = frame[["number", "word"]]
    by_hand = pd.get_dummies(words)
    settings = {"batch_size": N, "dropout": 0.0, "n_knots": 0}
    clf, other = net(**settings).fit(words, y), net(**settings).fit(by_hand, y)
    assert clf.input_names_.tolist() == ["number", "word=ape", "word=bee", "word=cat"]
    assert clf.coefs_[0].shape == other.coefs_[0].shape
    assert_allclose(clf.predict_proba(words), other.predict_proba(by_hand), atol=1e-4)


def test_a_frame_of_categories_alone_is_learnt(small_net):
    word = np.repeat(["a", "b", "c"], 30)
    frame, y = pd.DataFrame({"word": word}), word == "a"
    clf = small_net(max_iter=60).fit(frame, y)
    assert clf.input_names_.tolist() == ["word=a", "word=b", "word=c"]
    assert log_loss(y, clf.predict_proba(frame)) < 0.1


@pytest.mark.parametrize("rare", [True, False])
def test_rare_and_unseen_levels_share_an_input(net, frame, y, rare):
    """Or have none, as a gap has that was not seen in training."""
    if rare:
        frame.loc[[3, 50], "word"] = ["dog", "eel"]
    clf = net().fit(frame, y)
    assert ("word=(rare)" in clf.input_names_) == rare
    assert "word=dog" not in clf.input_names_
    words = ("dog", "eel", "fox") if rare else ("dog", None)
    first, *others = (clf.predict_proba(frame.assign(word=w)) for w in words)
    for other in others:
        assert_array_equal(first, other)
    assert (first != clf.predict_proba(frame.assign(word="ape"))).any()


@pytest.mark.parametrize("blend", [True, False])
def test_weights_are_copies_with_gaps_and_levels(small_net, rng, gappy, y, blend):
    """Bit for bit, weight 0 is absence, and the order of the rows does not matter."""
    gappy["many"] = rng.integers(0, 50, N).astype(str)
    weight = rng.integers(0, 4, N)
    y = np.where(weight, y, 0)
    gappy.loc[weight == 0, "word"] = "of weight 0"
    gappy["weightless"] = pd.Series("only here", gappy.index).where(weight == 0)
    copies = rng.permutation(np.repeat(np.arange(N), weight))
    settings = {"early_stopping": True, "max_iter": 4, "blend": blend}
    settings["store_oof_proba"] = True
    clf = small_net(**settings).fit(gappy, y, sample_weight=weight)
    other = small_net(**settings).fit(gappy.iloc[copies], y[copies])
    assert len(clf.blend_weights_) == (4 if blend else 1)
    assert not [name for name in clf.input_names_ if "weight 0" in name]
    assert_array_equal(clf.blend_weights_, other.blend_weights_)
    assert_same_model(clf, gappy, other, gappy)
    assert_array_equal(clf.oof_proba_[copies], other.oof_proba_)


# --- gaps


def test_gaps_are_the_same_in_every_notation(net, frame, y):
    gap = np.arange(N) % 6 == 0
    numbers = frame[["number", "count"]].astype(float)
    array = numbers.to_numpy().copy()
    array[gap, 0] = np.nan
    plain = net().fit(array, y)
    assert plain.input_names_.tolist()[-1] == "x0 missing"
    values = [None if g else v for v, g in zip(array[:, 0].tolist(), gap, strict=True)]
    kinds = [
        numbers.assign(number=array[:, 0]),
        numbers.assign(number=pd.array(values, dtype="Float64")),
        numbers.assign(number=pd.Series(values, dtype=object)),
        numbers.assign(number=np.where(gap, pd.NA, array[:, 0])),
        pl.from_pandas(numbers).with_columns(number=pl.Series(values)),
        pl.from_pandas(numbers).with_columns(number=pl.Series(array[:, 0])),
        np.ma.masked_array(np.where(np.isnan(array), 99.0, array), np.isnan(array)),
        np.where(np.isnan(array), None, array),
    ]
    for kind in kinds:
        assert_same_model(net().fit(kind, y), kind, plain, array)


def test_a_gap_is_the_mean_and_an_indicator(net, inputs_by_formula, frame, y):
    X = frame[["number", "count"]].to_numpy(float)
    clf = net().fit(X, y)  # no gaps in training
    filled = X.copy()
    filled[::3, 0], X[::3, 0] = clf.mean_[0], np.nan
    assert_allclose(clf.predict_proba(X), clf.predict_proba(filled), rtol=1e-12)
    clf = net(n_estimators=1).fit(X, y)
    assert_allclose(clf.mean_, np.nanmean(X, axis=0))
    assert_allclose(clf.scale_, np.nanstd(X, axis=0))
    gap = np.isnan(X[:, 0]) - np.isnan(X[:, 0]).mean()
    inputs = inputs_by_formula(clf, np.where(np.isnan(X), clf.mean_, X))
    inputs = np.column_stack([inputs, gap / np.sqrt(1 + (gap / 5) ** 2)])
    hidden = np.maximum(inputs @ clf.coefs_[0] + clf.intercepts_[0], 0)
    raw = hidden @ clf.coefs_[1] + clf.intercepts_[1]
    assert_allclose(clf.predict_proba(X)[:, 1], expit(raw[:, 0]), rtol=1e-6)


@pytest.mark.parametrize("empty", [np.nan, None])
def test_a_column_of_gaps_says_nothing(net, frame, y, empty):
    gaps, values = frame.assign(number=empty), frame.assign(number=3.0)
    clf = net().fit(gaps, y)
    assert "number missing" not in clf.input_names_
    assert_allclose(clf.predict_proba(gaps), clf.predict_proba(values), atol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_gap_in_sparse_rows_is_no_entry(net, rng, y, solver):
    """Sparse columns are not centred: the value of a gap is zero."""
    X = sp.csr_array(np.where(rng.random((N, 5)) < 0.4, rng.normal(size=(N, 5)), 0))
    X.data[::4] = np.nan
    clf = net(solver=solver).fit(X, y)
    filled = X.copy()
    filled.data = np.nan_to_num(filled.data)
    assert_array_equal(clf.predict_proba(X), clf.predict_proba(filled))


def test_knots_are_named_in_the_units_of_the_column(net, rng, y):
    years = 40 + 10 * rng.normal(size=(N, 1))
    clf = net(n_knots=3).fit(pd.DataFrame(years, columns=["age"]), y)
    knots = [float(name.split(" > ")[1]) for name in clf.input_names_[1:]]
    levels = (1 - np.cos(np.pi / 6)) / 2, 0.5
    expected = np.quantile(years, levels, method="inverted_cdf")
    assert_allclose(knots, expected, rtol=0.01)


def test_a_column_of_mostly_one_value_has_knots_at_its_ends(net, rng, y):
    column = np.where(rng.random(N) < 0.03, rng.random(N), 0.0)
    column[:2] = 2.0, 5.0
    clf = net(n_knots=2).fit(pd.DataFrame({"x": column}), y)
    assert clf.input_names_.tolist() == ["x", "x > 0"]


# --- many levels


def test_an_identifier_does_not_leak(small_net, rng):
    """Each level has three rows, and their labels are random."""
    n, settings = 300, {"max_iter": 30, "n_estimators": 3, "early_stopping": True}
    frame = pd.DataFrame({"id": np.arange(n) // 3, "x": rng.normal(size=n)})
    frame["id"], y = "user " + frame["id"].astype(str), rng.permutation(n) % 2
    clf = small_net(**settings, store_oof_proba=True).fit(frame, y)
    chance = np.log(2)
    assert log_loss(y, clf.oof_proba_) < 1.05 * chance
    assert log_loss(y, clf.predict_proba(frame)) > 0.75 * chance
    new = frame.assign(x=rng.normal(size=n), id=rng.permutation(frame["id"]))
    assert log_loss(rng.permutation(y), clf.predict_proba(new)) < 1.1 * chance


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_column_of_many_levels_helps(small_net, rng, n_classes):
    n, n_levels = 900, 60
    code = rng.integers(0, n_levels, n)
    y = np.where(rng.random(n) < 0.9, code % n_classes, rng.integers(0, n_classes, n))
    frame = pd.DataFrame({"zip": code.astype(str), "x": rng.normal(size=n)})
    clf = small_net(max_iter=20).fit(frame[::2], y[::2])
    named = [name for name in clf.input_names_ if name.startswith("zip")]
    assert len(named) == 2 * (1 if n_classes == 2 else 3)  # above and below the mean
    found = log_loss(y[1::2], clf.predict_proba(frame[1::2]))
    assert found < 0.6 * np.log(n_classes)
    unseen = [clf.predict_proba(frame.assign(zip=z)) for z in ("new", "newer")]
    assert_array_equal(*unseen)


def test_the_first_batch_decides_levels_and_gaps(net, gappy, y):
    clf = net().partial_fit(gappy[:60], y[:60], classes=[0, 1])
    names = clf.input_names_.tolist()
    later = gappy[60:].copy()
    later.loc[70::3, "word"], later.loc[71::3, "count"] = "new", np.nan
    later["count"] = later["count"].astype(float)
    clf.partial_fit(later, y[60:])
    assert clf.input_names_.tolist() == names
    assert np.isfinite(clf.predict_proba(later)).all()
    # k calls with the same frame are k epochs of fit
    settings = {"learning_rate": "constant", "max_iter": 3}
    whole, stream = net(**settings).fit(gappy, y), net()
    for _ in range(3):
        stream.partial_fit(gappy, y, classes=[0, 1])
    found, expected = stream.predict_proba(gappy), whole.predict_proba(gappy)
    assert_allclose(found, expected, rtol=1e-5)


# --- errors

DAY = datetime.datetime(2026, 1, 31)


def error_of(fit, *args):
    """The message, which is not too long to be read."""
    with pytest.raises(ValueError, match=r".{20,}") as caught:
        fit(*args)
    assert len(str(caught.value)) <= 300
    return str(caught.value)


BAD = {
    "dates": (pd.date_range(DAY, periods=N), "2026"),
    "tz": (pd.date_range(DAY, periods=N, tz="UTC"), "2026"),
    "day": ([DAY.date()] * N, "2026"),
    "durations": (pd.to_timedelta(np.arange(N), "D"), "0"),
    "lists": ([["a" * 999]] * N, "aaa"),
    "struct": ([{"a": 1, "b": 2}] * N, "'a': 1"),
    "mixed": ([1, "two"] * (N // 2), "two"),
    "complex": (np.arange(N) * 1j, "0j"),
    "infinity": ([0.5, -np.inf] * (N // 2), "-inf"),
}


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_column_is_named(net, y, kind, library):
    if library == "polars" and kind in {"mixed", "complex"}:
        pytest.skip("polars has no such columns")
    column, shown = BAD[kind]
    frame = {"ok": np.arange(N), "bad one": column}
    kind = pd.DataFrame if library == "pandas" else pl.DataFrame
    message = error_of(net().fit, kind(frame), y)
    assert "column 'bad one'" in message.lower()
    assert shown in message


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"number": "red"}, "'number'.*'red'.*held numbers in fit"),
        ({"word": 7}, "'word'.*Int64, such as 7.*another dtype in fit"),
        ({"code": "7"}, "'code'.*'7'.*was a category of numbers in fit"),
        ({"count": DAY}, "'count'.*2026.*neither a number nor a category"),
    ],
)
def test_a_column_keeps_its_dtype(net, frame, y, changes, match):
    clf = net(categorical_features=["word", "code"]).fit(frame, y)
    assert re.search(match, error_of(clf.predict, frame.assign(**changes)))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (["word", "size"], "contains 'size', which is not a column of X.*'number'"),
        ([3, 5], "contains 5, which is not a column of X"),
        ([True, False], "a mask of 2 columns, but X has 5"),
        (["word", "number"], r"'number', which has non-integer numbers, such as"),
        (["code"], "'word'.*is a category, but categorical_features does not name it"),
        (None, "'word'.*is a category, but categorical_features does not name it"),
    ],
)
def test_bad_categorical_features_are_named(net, frame, y, given, match):
    message = error_of(net(categorical_features=given).fit, frame, y)
    assert re.search(match, message)
