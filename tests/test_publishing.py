"""A fit takes the place of the one before in one step, with no mixture in between.

Other threads may predict at any moment. So the moments are gone through one by one:
at each line, and each instruction, that runs while a fit is published, the attributes
are looked at as another thread would see them.
"""

import sys

import numpy as np
import pandas as pd
import pytest

from sknet import TwoLayerClassifier, _fitting

# short fits, which are of no use to anyone
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(kind):
    """Rows and labels; kinds differ in names, width and classes, wherever they can."""
    rng = np.random.default_rng(0)
    n_columns = {"frame": 5, "other frame": 4, "array": 3, "wide array": 6}[kind]
    X = rng.normal(size=(60, n_columns))
    if "frame" in kind:
        X = pd.DataFrame(X, columns=[f"{kind} {j}" for j in range(n_columns)])
    y = np.arange(60) % n_columns
    return X, y if kind == "frame" else np.array(list("uvwxyz"))[y]


def small_net(**settings):
    quick = {"n_estimators": 2, "max_iter": 2, "random_state": 0}
    return TwoLayerClassifier(3, **(quick | settings))


def fit(clf, kind):
    return clf.fit(*data(kind))


def first_batch(clf, kind):
    X, y = data(kind)
    return clf.partial_fit(X, y, classes=np.unique(y))


def next_batch(clf, kind):
    return clf.partial_fit(*data(kind))


@pytest.fixture
def moments(monkeypatch):
    """The attributes at each moment while a fit is published."""
    publish, seen = TwoLayerClassifier._publish, []

    def watched(clf, *args, **kwargs):
        def look(frame, event, arg):
            frame.f_trace_opcodes = True
            seen.append(dict(vars(clf)))
            return look

        before = sys.gettrace()
        sys.settrace(look)
        try:
            return publish(clf, *args, **kwargs)
        finally:
            sys.settrace(before)

    monkeypatch.setattr(TwoLayerClassifier, "_publish", watched)
    return seen


def differing(a, b):
    """Names of attributes that only one has, or that are not the same object."""
    missing = object()
    names = sorted(a.keys() | b.keys())
    return [name for name in names if a.get(name, missing) is not b.get(name, missing)]


def model_of(attributes):
    clf = object.__new__(TwoLayerClassifier)
    vars(clf).update(attributes)
    return clf


def assert_one_step(moments, old, new):
    """Each moment shows all of the old attributes, or all of the new from then on."""
    assert differing(old, new)
    changed = [bool(differing(attributes, old)) for attributes in moments]
    assert changed[0] is False
    assert changed[-1] is True
    for attributes in moments[changed.index(True) :]:
        assert differing(attributes, new) == []


def assert_each_predicts(moments, answers):
    """Each moment's model answers as its fit did, for the rows of that fit's width.

    ``answers`` holds the rows and their probabilities by the number of columns.
    """
    widths = set()
    for attributes in moments:
        clf = model_of(attributes)
        X, proba = answers[clf.n_features_in_]
        np.testing.assert_array_equal(clf.predict_proba(X), proba)
        np.testing.assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(1)])
        widths.add(clf.n_features_in_)
    assert widths == answers.keys()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("frame", "array"),
        ("array", "frame"),
        ("frame", "other frame"),
        ("wide array", "array"),
    ],
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_another_kind_of_table_takes_the_place_in_one_step(moments, old, new, solver):
    clf, answers = small_net(solver=solver), {}
    for kind in (old, new):
        before = dict(vars(clf))
        moments.clear()
        X, _ = data(kind)
        answers[X.shape[1]] = X, fit(clf, kind).predict_proba(X)
    assert hasattr(clf, "feature_names_in_") == ("frame" in new)
    assert_one_step(moments, before, dict(vars(clf)))
    assert_each_predicts(moments, answers)


@pytest.mark.parametrize("learn", [fit, first_batch])
@pytest.mark.parametrize("kind", ["frame", "array"])
def test_the_first_fit_appears_in_one_step(moments, learn, kind):
    clf = small_net()
    before = dict(vars(clf))
    learn(clf, kind)
    assert_one_step(moments, before, dict(vars(clf)))


@pytest.mark.parametrize("kind", ["frame", "array"])
def test_the_next_batch_takes_the_place_in_one_step(moments, kind):
    clf = first_batch(small_net(), kind)
    before = dict(vars(clf))
    moments.clear()
    next_batch(clf, kind)
    assert_one_step(moments, before, dict(vars(clf)))


def test_an_interrupted_fit_takes_the_place_in_one_step(moments, monkeypatch):
    clf = fit(small_net(), "frame")
    before = dict(vars(clf))
    moments.clear()
    late, published = [KeyboardInterrupt("late")], _fitting.published

    def interrupted(*args):
        if late:
            raise late.pop()
        return published(*args)

    monkeypatch.setattr(_fitting, "published", interrupted)
    with pytest.raises(KeyboardInterrupt, match="late"):
        fit(clf, "array")
    assert_one_step(moments, before, dict(vars(clf)))
