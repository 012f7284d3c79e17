"""scikit-learn's callbacks: what they are told, what they may ask, what they leave."""

import copy
import pickle
import re
from collections import Counter

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal, assert_equal
from packaging.version import Version
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier

if Version(sklearn.__version__) < Version("1.9"):
    pytest.skip("scikit-learn has callbacks since 1.9", allow_module_level=True)
from sklearn.callback import ProgressBar, ScoringMonitor

# a fit of one epoch may be no better than the class frequencies
few_epochs = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
Y = Y.astype(str)
WEIGHT = np.linspace(0.5, 1.5, len(Y))
EPOCHS = 6
ROOT = ("fit", 0)


def net(**settings):
    defaults = {"hidden_layer_size": 8, "n_estimators": 2, "max_iter": EPOCHS}
    defaults |= {"learning_rate_init": 0.05, "blend": False}
    return TwoLayerClassifier(**{**defaults, "random_state": 0, **settings})


def path(context):
    """Names and numbers of a task and of those that it is part of."""
    above = () if context.parent is None else path(context.parent)
    return (*above, (context.task_name, context.task_id))


def fitted(clf):
    """A copy of all that a fit leaves, without settings and callbacks."""
    state, settings = clf.__getstate__(), clf.get_params()
    kept = {k: v for k, v in state.items() if k not in settings and "callback" not in k}
    return copy.deepcopy(kept)


class Recorder:
    """Remembers all that it is told, and does as ``reactions`` say."""

    def __init__(self, **reactions):
        self.events = []
        self.reactions = reactions

    def _react(self, event, estimator, context):
        self.events.append((event, path(context)))
        reaction = self.reactions.get(event)
        return reaction and reaction(estimator, context)

    def setup(self, estimator, context):
        self._react("setup", estimator, context)

    def teardown(self, estimator, context):
        self._react("teardown", estimator, context)

    def on_fit_task_begin(self, estimator, context):
        self._react("begin", estimator, context)

    def on_fit_task_end(self, estimator, context):
        return self._react("end", estimator, context)

    def paths(self, event):
        return [p for e, p in self.events if e == event]

    def epochs_ended(self):
        return [p for p in self.paths("end") if p[-1][0] == "epoch"]


class Snapshots(Recorder):
    """Keeps the fitted estimator of each epoch, and what else the hook was given."""

    def __init__(self):
        super().__init__()
        self.taken, self.given = {}, []

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.given.append((X, y, metadata))
        self.taken[path(context)] = fitted_estimator


def at_epoch(number):
    """A reaction that asks to stop at the end of an epoch."""
    return lambda _, context: (context.task_name, context.task_id) == ("epoch", number)


SETTINGS = {
    "defaults": {},
    "one member": {"n_estimators": 1},
    "hold-out": {"n_estimators": 1, "early_stopping": True},
    "sgd": {"solver": "sgd"},
    "lbfgs": {"solver": "lbfgs"},
    "lbfgs, one member": {"solver": "lbfgs", "n_estimators": 1},
    "warm": {"warm_start": True, "dropout": 0.0},
    "oof": {"store_oof_proba": True},
}
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


# --- what they are told


@pytest.mark.parametrize(
    "settings",
    [{}, {"solver": "sgd", "n_estimators": 1}, {"solver": "lbfgs", "n_estimators": 1}],
)
def test_an_epoch_is_a_task(settings):
    recorder = Recorder()
    net(**settings).set_callbacks(recorder).fit(X, Y)
    epochs = [(ROOT, ("epoch", i)) for i in range(EPOCHS)]
    assert recorder.events == [
        ("setup", (ROOT,)),
        ("begin", (ROOT,)),
        *[(event, p) for p in epochs for event in ("begin", "end")],
        ("end", (ROOT,)),
        ("teardown", (ROOT,)),
    ]


def test_in_a_blend_a_variant_is_a_task_of_its_own():
    """The fitted estimator of its epochs is this variant alone."""
    snapshots = Snapshots()
    clf = net(blend=True, n_jobs=2).set_callbacks(snapshots).fit(X, Y)
    names = ["plain", "masked", "knots", "ranks"]
    variants = [(ROOT, (name, i)) for i, name in enumerate(names)]
    assert [p for p in snapshots.taken if len(p) == 2] == variants
    lengths = Counter(p[:2] for p in snapshots.taken if len(p) == 3)
    assert lengths == dict.fromkeys(variants, EPOCHS)
    plain = snapshots.taken[ROOT, ("plain", 0)]
    assert_array_equal(plain.predict_proba(X), net().fit(X, Y).predict_proba(X))
    last = snapshots.taken[(ROOT,)]
    assert_array_equal(last.predict_proba(X), clf.predict_proba(X))


def test_hooks_are_given_what_fit_was_given():
    frame, labels = pd.DataFrame(X, columns=[*"abcd"]), Y.tolist()
    snapshots = Snapshots()
    clf = net().set_callbacks(snapshots).fit(frame, labels, WEIGHT)
    assert len(snapshots.given) == EPOCHS + 1
    for X_given, y_given, metadata in snapshots.given:
        assert X_given is frame
        assert y_given is labels
        assert list(metadata) == ["sample_weight"]
        assert metadata["sample_weight"] is WEIGHT
    snapshots.given.clear()
    clf.fit(frame, labels, X_val=frame, y_val=labels)
    assert {metadata for *_, metadata in snapshots.given} == {None}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("warm", [False, True])
def test_the_estimator_shows_how_far_it_is(solver, warm):
    clf = net(solver=solver, n_estimators=1, warm_start=warm, tol=1e-9)
    clf.fit(X, Y, X_val=X, y_val=Y)
    before, seen = EPOCHS if warm else 0, []

    def look(estimator, context):
        assert estimator.get_params() == clf.get_params()
        assert len(estimator.loss_curve_) == estimator.n_iter_
        assert len(estimator.validation_loss_curve_) == estimator.n_iter_
        seen.append(estimator.n_iter_ - before)

    clf.set_callbacks(Recorder(end=look))
    clf.fit(X, Y, X_val=X, y_val=Y)
    assert seen == [*range(1, EPOCHS + 1), EPOCHS]


# --- what they do not change


@each_setting
def test_a_followed_fit_gives_the_same_model(settings):
    plain = net(**settings)
    followed = net(**settings).set_callbacks(Snapshots(), Recorder())
    for _ in range(2):
        for clf in (plain, followed):
            clf.fit(X, Y, WEIGHT)
        assert_equal(fitted(followed), fitted(plain))


# --- the fitted estimator of an epoch


@few_epochs
@each_setting
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_snapshot_is_a_fit_that_ends_there(settings, dtype):
    settings = {**settings, "learning_rate": "constant", "store_oof_proba": False}
    snapshots, rows = Snapshots(), X.astype(dtype)
    clf = net(**settings).set_callbacks(snapshots).fit(rows, Y, WEIGHT)
    assert len(snapshots.taken) == EPOCHS + 1
    for epoch in (1, 2, EPOCHS):
        snapshot = snapshots.taken[ROOT, ("epoch", epoch - 1)]
        shorter = net(**{**settings, "max_iter": epoch}).fit(rows, Y, WEIGHT)
        assert_equal(fitted(snapshot), fitted(shorter))
    last = snapshots.taken[(ROOT,)]
    assert_equal(fitted(last), fitted(clf))
    assert_array_equal(last.predict_proba(rows), clf.predict_proba(rows))


def test_a_snapshot_can_be_continued():
    snapshots = Snapshots()
    settings = {"warm_start": True, "learning_rate": "constant", "n_estimators": 1}
    clf = net(**settings).set_callbacks(snapshots).fit(X, Y)
    snapshot = snapshots.taken[ROOT, ("epoch", 1)]
    snapshot.set_callbacks().set_params(max_iter=EPOCHS - 2).fit(X, Y)
    assert snapshot.n_iter_ == EPOCHS
    assert_array_equal(snapshot.predict_proba(X), clf.predict_proba(X))


def test_partial_fit_is_one_epoch():
    snapshots, plain = Snapshots(), net()
    clf = net().set_callbacks(snapshots)
    root = ("partial_fit", 0)
    for n_calls in (1, 2):
        snapshots.events.clear()
        clf.partial_fit(X, Y, np.unique(Y), WEIGHT)
        plain.partial_fit(X, Y, np.unique(Y), WEIGHT)
        assert_equal(fitted(clf), fitted(plain))
        assert snapshots.paths("begin") == [(root,), (root, ("epoch", 0))]
        snapshot = snapshots.taken[root, ("epoch", 0)]
        assert snapshot.n_iter_ == n_calls
        assert_equal(fitted(snapshot), fitted(clf))
    assert all(given[0] is X for given in snapshots.given)
    assert all(given[2]["sample_weight"] is WEIGHT for given in snapshots.given)


# --- asking to stop


@each_setting
def test_a_callback_may_stop_training(settings):
    settings = {**settings, "learning_rate": "constant"}
    stop = Recorder(end=at_epoch(3))
    clf = net(**settings).set_callbacks(stop).fit(X, Y)
    assert clf.stop_reason_ == "callback"
    assert clf.n_iter_ == 4
    assert stop.events[-2:] == [("end", (ROOT,)), ("teardown", (ROOT,))]
    shorter = net(**{**settings, "max_iter": 4}).fit(X, Y)
    assert clf.best_iter_ == shorter.best_iter_
    assert_array_equal(clf.predict_proba(X), shorter.predict_proba(X))


def test_a_callback_may_stop_between_the_variants_of_a_blend():
    stop = Recorder(end=lambda _, context: context.task_name == "masked")
    clf = net(blend=True).set_callbacks(stop).fit(X, Y)
    assert clf.stop_reason_ == "callback"
    variants = [p[1][0] for p in stop.paths("end") if len(p) == 2]
    assert variants == ["plain", "masked"]
    assert len(clf.blend_weights_) == 2


def test_the_best_epoch_is_kept_if_a_validation_loss_decides():
    def out_of_patience(estimator, context):
        losses = estimator.validation_loss_curve_
        return len(losses) - 1 - int(np.argmin(losses)) >= 3

    settings = {"max_iter": 60, "n_estimators": 1, "learning_rate_init": 0.2}
    settings |= {"learning_rate": "constant", "n_iter_no_change": 99}
    clf = net(**settings).set_callbacks(Recorder(end=out_of_patience))
    clf.fit(X[1::3], Y[1::3], X_val=X[::3], y_val=Y[::3])
    assert clf.stop_reason_ == "callback"
    assert clf.n_iter_ == clf.best_iter_ + 3 < 60
    best = log_loss(Y[::3], clf.predict_proba(X[::3]))
    assert best == pytest.approx(clf.best_validation_loss_, rel=1e-4)
    assert best == pytest.approx(min(clf.validation_loss_curve_), rel=1e-4)


# --- errors and interruptions

LEARN = {
    "fit": ({}, lambda clf: clf.fit(X, Y)),
    "warm start": ({"warm_start": True}, lambda clf: clf.fit(X, Y)),
    "lbfgs": ({"solver": "lbfgs"}, lambda clf: clf.fit(X, Y)),
    "partial_fit": ({}, lambda clf: clf.partial_fit(X, Y, np.unique(Y))),
}
HOOKS = [("setup", 1), ("begin", 1), ("end", 1), ("begin", -1), ("end", -1)]


@pytest.mark.filterwarnings("ignore:The weights that warm_start continues:UserWarning")
@pytest.mark.parametrize(("settings", "learn"), LEARN.values(), ids=LEARN)
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("hook", "call"), HOOKS)
def test_an_error_in_a_callback_changes_nothing(settings, learn, before, hook, call):
    """In the first or last call of each hook."""
    clf = net(**settings)
    if before:
        clf.fit(X[:140], Y[:140])
    old, counted = fitted(clf), Recorder()
    learn(clone(clf).set_callbacks(counted))
    n_calls = call if call > 0 else len(counted.paths(hook))
    countdown = iter(range(n_calls - 1))

    def fail(estimator, context):
        if next(countdown, None) is None:
            raise OSError("disk full")

    failing, other = Recorder(**{hook: fail}), Recorder()
    with pytest.raises(OSError, match="disk full"):
        learn(clf.set_callbacks(other, failing))
    assert_equal(fitted(clf), old)
    for callback in (failing, other):
        assert len(callback.paths("teardown")) == 1
    learn(clf.set_callbacks())
    assert clf.n_iter_ > 0


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_stop_iteration_in_a_callback_is_an_error(solver):
    """SciPy would take it for a request to stop, and the fit would seem to be done."""
    clf = net(solver=solver)
    clf.set_callbacks(Recorder(end=lambda estimator, context: next(iter(()))))
    with pytest.raises(RuntimeError, match="StopIteration"):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


@few_epochs
@pytest.mark.parametrize(
    "settings",
    [{"learning_rate_init": 1e300}, {"solver": "lbfgs", "tol": 0.05, "max_iter": 200}],
)
def test_an_epoch_that_diverges_or_converges_is_ended_too(settings):
    recorder = Recorder()
    clf = net(n_estimators=1, **settings).set_callbacks(recorder).fit(X, Y)
    assert Counter(recorder.paths("begin")) == Counter(recorder.paths("end"))
    if settings.get("solver") == "lbfgs":
        assert clf.stop_reason_ == "converged"
        assert len(recorder.epochs_ended()) == clf.n_iter_


# --- scikit-learn's own callbacks


@pytest.fixture
def shown(monkeypatch, capsys):
    """What is on the screen, which is wide enough for every line."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda: capsys.readouterr().out


def scores_of(monitor):
    """Rows of the latest run that belong to an epoch."""
    return [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scoring_monitor_scores_each_epoch(solver):
    snapshots, monitor = Snapshots(), ScoringMonitor(scoring="neg_log_loss")
    clf = net(solver=solver).set_callbacks(snapshots, monitor)
    frame = pd.DataFrame(X, columns=[*"abcd"])
    clf.fit(frame, Y, WEIGHT)
    epochs = [s for p, s in snapshots.taken.items() if p[-1][0] == "epoch"]
    expected = [
        -log_loss(Y, s.predict_proba(frame), sample_weight=WEIGHT) for s in epochs
    ]
    found = [row["neg_log_loss"] for row in scores_of(monitor)]
    assert found == pytest.approx(expected)
    (whole,) = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
    final = -log_loss(Y, clf.predict_proba(frame), sample_weight=WEIGHT)
    assert whole["neg_log_loss"] == pytest.approx(final)


BACKENDS = ["threading", "loky"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_scoring_monitor_in_a_pipeline_in_a_grid_search(backend):
    def search(clf):
        grid = {"twolayerclassifier__alpha": [0.01, 0.1]}
        return GridSearchCV(make_pipeline(StandardScaler(), clf), grid, cv=2)

    monitor = ScoringMonitor(scoring="accuracy")
    followed = search(net().set_callbacks(monitor))
    with joblib.parallel_config(backend, n_jobs=2):
        followed.fit(X, Y)
    fits = Counter(row["parent_task_id_path"] for row in scores_of(monitor))
    assert len(fits) == 2 * 2 + 1
    assert set(fits.values()) == {EPOCHS}
    plain = search(net()).fit(X, Y)
    for name in ("split0_test_score", "split1_test_score"):
        assert_array_equal(followed.cv_results_[name], plain.cv_results_[name])
    assert_array_equal(followed.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}])
def test_progress_bar_comes_to_its_end_also_where_a_callback_stops(shown, settings):
    for callbacks in ([], [Recorder(end=at_epoch(1))]):
        net(**settings).set_callbacks(*callbacks, ProgressBar()).fit(X, Y)
        assert re.search("TwoLayerClassifier - fit +━+ +100%", shown())


@pytest.mark.parametrize("backend", BACKENDS)
def test_progress_bar_in_a_grid_search(backend, shown):
    search = GridSearchCV(net(), {"alpha": [0.01, 0.1]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None))
    with joblib.parallel_config(backend, n_jobs=2):
        search.fit(X, Y)
    lines = shown()
    for fold in range(4):
        assert re.search(rf"TwoLayerClassifier - fit #{fold} +━+ +100%", lines)


def test_callbacks_are_pickled_and_cloned_with_the_estimator():
    monitor = ScoringMonitor(scoring="accuracy")
    clf = net().set_callbacks(monitor).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(clf))
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    clone(clf).fit(X[:100], Y[:100])
    assert len(scores_of(monitor)) == EPOCHS
    assert clf.set_callbacks() is clf
    assert not [name for name in vars(clf) if "callback" in name]
