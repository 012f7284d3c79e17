"""scikit-learn's callbacks: what they are told, what they may ask, what they leave."""

import pickle
import re
from collections import Counter

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from packaging.version import Version
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier, _fitting
from sknet._network import TwoLayerNetwork

HAS_CALLBACKS = Version(sklearn.__version__) >= Version("1.9")
if HAS_CALLBACKS:
    from sklearn.callback import ProgressBar, ScoringMonitor

# a net of one epoch may be no better than the class frequencies
few_epochs = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
needs_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="scikit-learn has callbacks since 1.9"
)

X, Y = load_iris(return_X_y=True)
Y = Y.astype(str)
WEIGHT = np.linspace(0.5, 1.5, len(Y))
EPOCHS = 6


def small_net(**settings):
    defaults = {"hidden_layer_size": 8, "n_estimators": 2, "max_iter": EPOCHS}
    return TwoLayerClassifier(**{**defaults, "random_state": 0, **settings})


def path(context):
    """Names and numbers of a task and of those that it is part of."""
    above = () if context.parent is None else path(context.parent)
    return (*above, (context.task_name, context.task_id))


def fitted(clf):
    """Fitted attributes and the state that a later fit goes on with, comparable."""
    kept = {k: v for k, v in vars(clf).items() if k.endswith("_") or k == "_state"}
    return pickle.dumps([sorted(kept.items()), clf._params], protocol=4)


class Recorder:
    """Remembers all that it is told; does as ``reactions`` say."""

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

    def epochs_ended(self):
        return [p for event, p in self.events if event == "end" and p[-1][0] == "epoch"]


class Snapshots(Recorder):
    """Keeps the fitted estimator of each epoch, and what else the hook was given."""

    def __init__(self):
        super().__init__()
        self.taken, self.given = {}, []

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.given.append((X, y, metadata))
        if fitted_estimator is not None:
            self.taken[path(context)] = fitted_estimator


class Patience(Recorder):
    """Asks to stop when the loss got no lower in so many epochs of one run."""

    def __init__(self, patience, curve="loss_curve_"):
        super().__init__(end=self._out_of_patience)
        self.patience, self.curve = patience, curve

    def _out_of_patience(self, estimator, context):
        if context.task_name != "epoch":
            return False
        losses = getattr(estimator, self.curve)
        return len(losses) - 1 - int(np.argmin(losses)) >= self.patience


# --- with any release of scikit-learn


def test_set_callbacks_is_there_if_scikit_learn_has_it():
    assert hasattr(TwoLayerClassifier(), "set_callbacks") == HAS_CALLBACKS


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_fit_without_callbacks_leaves_none(solver):
    clf = small_net(solver=solver, early_stopping=False).fit(X, Y)
    assert clf.stop_reason_ == "max_iter"
    assert not [name for name in vars(clf) if "callback" in name]


def test_callbacks_of_another_release_do_no_harm():
    recorder, clf = Recorder(), small_net()
    clf._skl_callbacks = [recorder]  # as an unpickled estimator may have them
    assert fitted(clf.fit(X, Y)) == fitted(small_net().fit(X, Y))
    assert bool(recorder.events) == HAS_CALLBACKS


# --- what they are told


@needs_callbacks
@pytest.mark.parametrize(
    "settings",
    [{}, {"solver": "sgd", "n_estimators": 1}, {"solver": "lbfgs", "n_estimators": 1}],
)
def test_an_epoch_is_a_task(settings):
    recorder = Recorder()
    small_net(**settings).set_callbacks(recorder).fit(X, Y)
    root = ("fit", 0)
    epochs = [(root, ("epoch", i)) for i in range(EPOCHS)]
    told = [(event, p) for p in epochs for event in ("begin", "end")]
    assert recorder.events == [
        ("setup", (root,)),
        ("begin", (root,)),
        *told,
        ("end", (root,)),
        ("teardown", (root,)),
    ]


@needs_callbacks
def test_with_l_bfgs_a_member_is_a_task_of_its_own():
    recorder = Recorder()
    clf = small_net(solver="lbfgs", n_estimators=3).set_callbacks(recorder).fit(X, Y)
    begun = [p for event, p in recorder.events if event == "begin"]
    ended = [p for event, p in recorder.events if event == "end"]
    assert Counter(begun) == Counter(ended)
    assert max(Counter(begun).values()) == 1
    members = [(("fit", 0), ("member", j)) for j in range(3)]
    assert [p for p in ended if len(p) == 2] == members
    lengths = Counter(p[:2] for p in recorder.epochs_ended())
    assert set(lengths) == set(members)
    assert max(lengths.values()) == clf.n_iter_


@needs_callbacks
def test_max_subtasks_is_known():
    found = {}

    def note(estimator, context):
        found[context.task_name] = context.max_subtasks

    def told(**settings):
        found.clear()
        small_net(**settings).set_callbacks(Recorder(begin=note)).fit(X, Y)
        return dict(found)

    assert told() == {"fit": EPOCHS, "epoch": 0}
    several = {"fit": 2, "member": EPOCHS, "epoch": 0}
    assert told(solver="lbfgs") == several
    alone = told(solver="lbfgs", n_estimators=1)
    assert alone == {"fit": EPOCHS, "epoch": 0}


@needs_callbacks
def test_hooks_are_given_what_fit_was_given():
    frame, labels = pd.DataFrame(X, columns=[*"abcd"]), Y.tolist()
    snapshots = Snapshots()
    clf = small_net().set_callbacks(snapshots).fit(frame, labels, WEIGHT)
    assert len(snapshots.given) == EPOCHS + 1
    for X_given, y_given, metadata in snapshots.given:
        assert X_given is frame
        assert y_given is labels
        assert list(metadata) == ["sample_weight"]
        assert metadata["sample_weight"] is WEIGHT
    snapshots.given.clear()
    clf.fit(frame, labels, X_val=frame, y_val=labels)
    assert {metadata for *_, metadata in snapshots.given} == {None}


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("warm", [False, True])
def test_the_live_estimator_shows_how_far_it_is(solver, warm):
    clf = small_net(solver=solver, n_estimators=1, warm_start=warm, tol=1e-9)
    clf.fit(X, Y, X_val=X, y_val=Y)
    before = EPOCHS if warm else 0
    seen = []

    def look(estimator, context):
        assert estimator.get_params() == clf.get_params()
        assert estimator.classes_.tolist() == clf.classes_.tolist()
        n = estimator.n_iter_
        assert len(estimator.loss_curve_) == n
        assert len(estimator.validation_loss_curve_ or []) == n
        if context.task_name == "epoch":  # nothing of the earlier fit is left
            assert not hasattr(estimator, "coefs_")
            assert not hasattr(estimator, "temperature_")
        seen.append(n)

    def look_at_epochs(estimator, context):
        if context.task_name == "epoch":
            look(estimator, context)

    clf.set_callbacks(Recorder(begin=look_at_epochs, end=look))
    clf.fit(X, Y, X_val=X, y_val=Y)
    counts = np.arange(EPOCHS) + before
    assert seen == [*np.column_stack([counts, counts + 1]).ravel(), before + EPOCHS]


@needs_callbacks
def test_at_the_end_the_live_estimator_is_that_which_was_fitted():
    found = []

    def keep(estimator, context):
        if context.task_name == "fit":
            found.append((estimator, fitted(estimator)))

    clf = small_net().set_callbacks(Recorder(end=keep)).fit(X, Y)
    ((estimator, attributes),) = found
    assert estimator is not clf
    assert attributes == fitted(clf)


@needs_callbacks
def test_callbacks_run_under_the_callers_floating_point_errors():
    found = []

    def note(estimator, context):
        found.append(np.geterr())

    with np.errstate(divide="raise", under="print"):
        expected = np.geterr()
        small_net().set_callbacks(Recorder(begin=note, end=note)).fit(X, Y)
    assert len(found) == 2 * (EPOCHS + 1)
    assert all(state == expected for state in found)


# --- what they do not change


SETTINGS = {
    "defaults": {},
    "one member": {"n_estimators": 1},
    "hold-out": {"n_estimators": 1, "early_stopping": True},
    "sgd": {"solver": "sgd"},
    "lbfgs": {"solver": "lbfgs"},
    "lbfgs alone": {"solver": "lbfgs", "n_estimators": 1},
    "warm": {"warm_start": True, "dropout": 0.0},
    "oof": {"store_oof_proba": True},
}


@needs_callbacks
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_followed_fit_gives_the_same_model(settings):
    plain, followed = small_net(**settings), small_net(**settings)
    followed.set_callbacks(Snapshots(), Recorder())
    for _ in range(2):
        assert fitted(plain.fit(X, Y, WEIGHT)) == fitted(followed.fit(X, Y, WEIGHT))


@needs_callbacks
def test_a_followed_stream_gives_the_same_model():
    plain, followed = small_net(), small_net().set_callbacks(Snapshots())
    for part in (slice(0, 100), slice(50, 150)):
        for clf in (plain, followed):
            clf.partial_fit(X[part], Y[part], np.unique(Y), WEIGHT[part])
        assert fitted(plain) == fitted(followed)


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_are_copied_only_if_asked_for(monkeypatch, solver):
    calls, published = [], _fitting.published

    def counted(*args):
        calls.append(1)
        return published(*args)

    monkeypatch.setattr(_fitting, "published", counted)
    clf = small_net(solver=solver, n_estimators=1)
    clf.set_callbacks(Recorder(), Recorder()).fit(X, Y)
    assert len(calls) == 1
    clf.set_callbacks(Snapshots(), Snapshots(), Recorder()).fit(X, Y)
    assert len(calls) == 1 + EPOCHS + 1  # not twice for two


@needs_callbacks
def test_the_estimator_predicts_as_before_until_a_fit_is_done():
    clf = small_net().fit(X, Y)
    before = clf.predict_proba(X)

    def predict(estimator, context):
        assert_array_equal(clf.predict_proba(X), before)

    everywhere = dict.fromkeys(("setup", "begin", "end", "teardown"), predict)
    clf.set_callbacks(Recorder(**everywhere)).fit(X[:90], Y[:90])
    assert (clf.predict_proba(X[:90])[:, :2] != before[:90, :2]).any()


# --- the fitted estimator of an epoch


@needs_callbacks
@few_epochs
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_snapshot_is_a_fit_that_ends_there(settings, dtype):
    settings = {**settings, "learning_rate": "constant", "store_oof_proba": False}
    snapshots, rows = Snapshots(), X.astype(dtype)
    clf = small_net(**settings).set_callbacks(snapshots).fit(rows, Y, WEIGHT)
    alone = settings.get("solver") != "lbfgs" or settings.get("n_estimators") == 1
    if alone:
        assert len(snapshots.taken) == EPOCHS + 1
        for epoch in range(1, EPOCHS + 1):
            snapshot = snapshots.taken[("fit", 0), ("epoch", epoch - 1)]
            shorter = small_net(**{**settings, "max_iter": epoch})
            assert fitted(snapshot) == fitted(shorter.fit(rows, Y, WEIGHT))
    last = snapshots.taken[(("fit", 0),)]
    assert fitted(last) == fitted(clf)
    assert_array_equal(last.predict_proba(rows), clf.predict_proba(rows))


@needs_callbacks
@pytest.mark.parametrize("early_stopping", [True, False])
def test_an_l_bfgs_snapshot_has_copies_of_the_first_member(early_stopping):
    snapshots = Snapshots()
    settings = {"solver": "lbfgs", "early_stopping": early_stopping, "tol": 1e-9}
    clf = small_net(n_estimators=3, **settings).set_callbacks(snapshots).fit(X, Y)
    root = ("fit", 0)
    first = snapshots.taken[root, ("member", 0)].coefs_[1]
    assert_array_equal(first[1], first[0])
    assert_array_equal(first[2], first[0])
    second = snapshots.taken[root, ("member", 1)].coefs_[1]
    assert_array_equal(second[:2], clf.coefs_[1][:2])
    assert_array_equal(second[2], second[0])
    last = snapshots.taken[root, ("member", 2)]
    assert fitted(last) == fitted(clf)
    early = snapshots.taken[root, ("member", 0), ("epoch", 0)]
    assert early.n_iter_ == 1
    assert early.predict_proba(X).shape == (len(X), 3)


@needs_callbacks
def test_a_snapshot_can_go_on():
    snapshots = Snapshots()
    settings = {"warm_start": True, "learning_rate": "constant", "n_estimators": 1}
    clf = small_net(**settings).set_callbacks(snapshots).fit(X, Y)
    snapshot = snapshots.taken[("fit", 0), ("epoch", 1)]
    snapshot.set_callbacks().set_params(max_iter=EPOCHS - 2).fit(X, Y)
    assert snapshot.n_iter_ == EPOCHS
    assert_array_equal(snapshot.predict_proba(X), clf.predict_proba(X))


# --- asking to stop


@needs_callbacks
@pytest.mark.parametrize(
    "settings", [SETTINGS[name] for name in SETTINGS if name != "lbfgs"]
)
def test_a_callback_may_stop_training(settings):
    settings = {**settings, "learning_rate": "constant"}
    stop = Recorder(end=lambda estimator, context: context.task_id == 3)
    clf = small_net(**settings).set_callbacks(stop).fit(X, Y)
    assert clf.stop_reason_ == "callback"
    assert clf.n_iter_ == 4
    assert stop.events[-2:] == [("end", (("fit", 0),)), ("teardown", (("fit", 0),))]
    shorter = small_net(**{**settings, "max_iter": 4}).fit(X, Y)
    assert clf.best_iter_ == shorter.best_iter_
    assert_array_equal(clf.predict_proba(X), shorter.predict_proba(X))


@needs_callbacks
def test_the_best_epoch_is_kept_if_a_validation_loss_decides():
    settings = {"max_iter": 60, "n_estimators": 1, "learning_rate_init": 0.2}
    settings |= {"learning_rate": "constant", "n_iter_no_change": 99}
    validation = {"X_val": X[::3], "y_val": Y[::3]}
    patience = Patience(3, "validation_loss_curve_")
    clf = small_net(**settings).set_callbacks(patience)
    clf.fit(X[1::3], Y[1::3], **validation)
    assert clf.stop_reason_ == "callback"
    assert clf.n_iter_ == clf.best_iter_ + 3 < 60
    best = log_loss(validation["y_val"], clf.predict_proba(validation["X_val"]))
    assert best == pytest.approx(clf.best_validation_loss_, rel=1e-4)
    assert best == pytest.approx(min(clf.validation_loss_curve_), rel=1e-4)


@needs_callbacks
def test_a_stop_request_in_one_run_does_not_stop_the_next():
    stop = Recorder(end=lambda estimator, context: context.task_name == "epoch")
    clf = small_net(warm_start=True).set_callbacks(stop)
    assert [clf.fit(X, Y).n_iter_ for _ in range(3)] == [1, 2, 3]
    assert clf.set_callbacks().fit(X, Y).n_iter_ == 3 + EPOCHS
    assert clf.stop_reason_ == "max_iter"


@needs_callbacks
def test_each_l_bfgs_member_is_stopped_on_its_own():
    stop = Recorder(end=lambda estimator, context: context.task_id == 2)
    clf = small_net(solver="lbfgs", tol=1e-9).set_callbacks(stop).fit(X, Y)
    shorter = small_net(solver="lbfgs", tol=1e-9, max_iter=3).fit(X, Y)
    assert len(stop.epochs_ended()) == 2 * 3
    assert clf.stop_reason_ == "callback"
    assert_array_equal(clf.predict_proba(X), shorter.predict_proba(X))


@needs_callbacks
def test_l_bfgs_members_that_are_not_wanted_are_copies_of_the_first():
    def stop(estimator, context):
        return context.task_name == "member" and context.task_id == 1

    settings = {"solver": "lbfgs", "n_estimators": 4}
    clf = small_net(**settings).set_callbacks(Recorder(end=stop)).fit(X, Y)
    whole = small_net(**settings).fit(X, Y)
    assert clf.stop_reason_ == "callback"
    assert_array_equal(clf.coefs_[0][:2], whole.coefs_[0][:2])
    assert_array_equal(clf.coefs_[0][2:], whole.coefs_[0][[0, 0]])


@needs_callbacks
def test_who_stops_early_is_not_warned(caplog):
    """That a net is no good after one epoch is no news to a callback that ended it."""
    stop = Recorder(end=lambda estimator, context: True)
    clf = small_net(learning_rate_init=1e-9, verbose=1).set_callbacks(stop).fit(X, Y)
    assert clf.n_iter_ == 1
    assert "a callback asked for it" in caplog.text


@needs_callbacks
def test_the_end_that_comes_by_itself_is_not_the_callbacks():
    stop = Recorder(end=lambda estimator, context: context.task_id == 2)
    clf = small_net(learning_rate="constant", tol=10.0, n_iter_no_change=1)
    clf.set_params(early_stopping=False, max_iter=30)
    clf.fit(X, Y)
    assert clf.stop_reason_ == "no_improvement"
    stop = Recorder(end=lambda e, context: context.task_id == clf.n_iter_ - 1)
    followed = clone(clf).set_callbacks(stop).fit(X, Y)
    assert followed.stop_reason_ == "no_improvement"


# --- partial_fit


@needs_callbacks
def test_partial_fit_is_one_epoch():
    snapshots = Snapshots()
    clf = small_net().set_callbacks(snapshots)
    for n_calls in (1, 2):
        snapshots.events.clear()
        clf.partial_fit(X, Y, np.unique(Y), WEIGHT)
        root = ("partial_fit", 0)
        expected = [(root,), (root, ("epoch", 0))]
        assert [p for event, p in snapshots.events if event == "begin"] == expected
        assert snapshots.taken[expected[1]].n_iter_ == n_calls
        assert fitted(snapshots.taken[expected[1]]) == fitted(clf)
    assert all(given[0] is X for given in snapshots.given)
    assert all(given[2]["sample_weight"] is WEIGHT for given in snapshots.given)


# --- errors and interruptions


def state_of(clf):
    return pickle.dumps(
        sorted((k, v) for k, v in vars(clf).items() if k != "_skl_callbacks")
    )


LEARN = {
    "fit": ({}, lambda clf: clf.fit(X, Y)),
    "warm start": ({"warm_start": True}, lambda clf: clf.fit(X, Y)),
    "lbfgs": ({"solver": "lbfgs"}, lambda clf: clf.fit(X, Y)),
    "partial_fit": ({}, lambda clf: clf.partial_fit(X, Y, np.unique(Y))),
}
HOOKS = [("setup", 1), ("begin", 1), ("end", 1), ("begin", 2), ("end", 2)]
HOOKS += [("begin", -1), ("end", -1), ("teardown", 1)]


@needs_callbacks
@pytest.mark.filterwarnings("ignore:The weights that warm_start continues:UserWarning")
@pytest.mark.parametrize(("settings", "learn"), LEARN.values(), ids=LEARN)
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("hook", "call"), HOOKS)
def test_an_error_in_a_callback_changes_nothing(settings, learn, before, hook, call):
    """In the first, second or last call of each hook."""
    clf = small_net(**settings)
    if before:
        clf.fit(X[:140], Y[:140])
    old = state_of(clf)
    counted = Recorder()
    learn(clone(clf).set_callbacks(counted))
    calls = [event for event, _ in counted.events].count(hook)
    countdown = iter(range((call if call > 0 else calls) - 1))

    def fail(estimator, context):
        if next(countdown, None) is None:
            raise OSError("disk full")

    failing, other = Recorder(**{hook: fail}), Recorder()
    clf.set_callbacks(other, failing)
    with pytest.raises(OSError, match="disk full"):
        learn(clf)
    assert state_of(clf) == old
    for callback in (failing, other):
        assert [event for event, _ in callback.events].count("teardown") == 1
    learn(clf.set_callbacks())
    assert clf.n_iter_ > 0


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_stop_iteration_in_a_callback_is_an_error(solver):
    """SciPy would take it for a request to stop, and all would look well."""
    clf = small_net(solver=solver)
    clf.set_callbacks(Recorder(end=lambda estimator, context: next(iter(()))))
    with pytest.raises(RuntimeError, match="StopIteration"):
        clf.fit(X, Y)
    assert not hasattr(clf, "loss_curve_")


@needs_callbacks
def test_bad_input_sets_no_callback_up():
    recorder = Recorder()
    clf = small_net().set_callbacks(recorder)
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(np.full_like(X, np.nan), Y)
    assert not recorder.events


@needs_callbacks
@pytest.mark.parametrize("event", ["begin", "end"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ctrl_c_in_a_callback_keeps_the_finished_epochs(event, solver):
    settings = {"solver": solver, "learning_rate": "constant", "n_estimators": 1}

    def press(estimator, context):
        if context.task_name == "epoch" and context.task_id == 3:
            raise KeyboardInterrupt

    recorder = Recorder(**{event: press})
    clf = small_net(**settings).set_callbacks(recorder)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    n = 4 if event == "end" else 3
    assert clf.stop_reason_ == "interrupted"
    assert clf.n_iter_ == n
    assert recorder.events[-1][0] == "teardown"
    shorter = small_net(**{**settings, "max_iter": n}).fit(X, Y)
    assert_array_equal(clf.predict_proba(X), shorter.predict_proba(X))


@needs_callbacks
@pytest.mark.parametrize("event", ["begin", "end"])
def test_ctrl_c_between_l_bfgs_members_keeps_those_that_are_done(event):
    def press(estimator, context):
        if context.task_name == "member" and context.task_id == 1:
            raise KeyboardInterrupt

    settings = {"solver": "lbfgs", "n_estimators": 3}
    clf = small_net(**settings).set_callbacks(Recorder(**{event: press}))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.stop_reason_ == "interrupted"
    whole = small_net(**settings).fit(X, Y)
    n_done = 2 if event == "end" else 1
    assert_array_equal(clf.coefs_[0][:n_done], whole.coefs_[0][:n_done])
    assert_array_equal(clf.coefs_[0][2], whole.coefs_[0][0])


@needs_callbacks
@pytest.mark.parametrize("learn", ["fit", "partial_fit"])
def test_ctrl_c_when_all_is_done_loses_nothing(learn):
    def press(estimator, context):
        if context.parent is None:
            raise KeyboardInterrupt

    clf, plain = small_net().set_callbacks(Recorder(end=press)), small_net()
    more = {"classes": np.unique(Y)} if learn == "partial_fit" else {}
    with pytest.raises(KeyboardInterrupt):
        getattr(clf, learn)(X, Y, **more)
    assert fitted(clf) == fitted(getattr(plain, learn)(X, Y, **more))


def assert_all_is_ended(recorder, n_epochs):
    begun = [p for event, p in recorder.events if event == "begin"]
    ended = [p for event, p in recorder.events if event == "end"]
    assert begun == [ended[-1], *ended[:-1]]
    assert len(recorder.epochs_ended()) == n_epochs


@needs_callbacks
@few_epochs
def test_an_epoch_that_diverges_is_ended_too(monkeypatch):
    begun = []

    def spoilt(*args):
        return np.nan if len(begun) == 1 + 3 else gradient(*args)

    gradient = TwoLayerNetwork.loss_gradient
    monkeypatch.setattr(TwoLayerNetwork, "loss_gradient", spoilt)
    recorder = Recorder(begin=lambda estimator, context: begun.append(1))
    clf = small_net().set_callbacks(recorder).fit(X, Y)
    assert (clf.stop_reason_, clf.n_iter_) == ("diverged", 2)
    assert_all_is_ended(recorder, 3)


@needs_callbacks
def test_an_iteration_without_a_lower_point_is_ended_too(monkeypatch):
    def failing(objective, start, **settings):
        settings["options"]["maxiter"] = 2
        result = minimize(objective, start, **settings)
        objective(result.x)  # SciPy looks for a third one
        result.status = 2
        return result

    monkeypatch.setattr("sknet._training.minimize", failing)
    recorder = Recorder()
    clf = small_net(solver="lbfgs", n_estimators=1).set_callbacks(recorder).fit(X, Y)
    assert (clf.stop_reason_, clf.n_iter_) == ("line_search", 2)
    assert_all_is_ended(recorder, 3)


@needs_callbacks
def test_no_iteration_is_begun_after_the_last():
    recorder = Recorder()
    clf = small_net(solver="lbfgs", n_estimators=1, tol=0.05, max_iter=200)
    clf.set_params(early_stopping=False).set_callbacks(recorder).fit(X, Y)
    assert clf.stop_reason_ == "converged"
    assert_all_is_ended(recorder, clf.n_iter_)


# --- scikit-learn's own callbacks


@pytest.fixture
def shown(monkeypatch, capsys):
    """What is on the screen, which is wide enough for every line."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda: capsys.readouterr().out


def scores_of(monitor):
    """Rows of the latest run that belong to one of our epochs."""
    rows = monitor.get_logs().data
    return [row for row in rows if row["task_name"] == "epoch"]


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scoring_monitor_scores_each_epoch(solver):
    snapshots, monitor = Snapshots(), ScoringMonitor(scoring="neg_log_loss")
    clf = small_net(solver=solver).set_callbacks(snapshots, monitor)
    frame = pd.DataFrame(X, columns=[*"abcd"])
    clf.fit(frame, Y, WEIGHT)
    rows = scores_of(monitor)
    epochs = [s for p, s in snapshots.taken.items() if p[-1][0] == "epoch"]
    expected = [
        -log_loss(Y, s.predict_proba(frame), sample_weight=WEIGHT) for s in epochs
    ]
    assert [row["neg_log_loss"] for row in rows] == pytest.approx(expected)
    (whole,) = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
    final = -log_loss(Y, clf.predict_proba(frame), sample_weight=WEIGHT)
    assert whole["neg_log_loss"] == pytest.approx(final)
    assert not monitor._estimator_scorers  # torn down with the key it was set up with


@needs_callbacks
def test_scoring_monitor_in_a_pipeline():
    monitor = ScoringMonitor(scoring="accuracy")
    pipe = make_pipeline(StandardScaler(), small_net().set_callbacks(monitor))
    pipe.fit(X, Y)
    rows = scores_of(monitor)
    assert len(rows) == EPOCHS
    assert monitor.get_logs().estimator_name == "Pipeline"


GRID = {"alpha": [0.01, 0.1]}
BACKENDS = ["threading", "loky"]


@needs_callbacks
@pytest.mark.parametrize("backend", BACKENDS)
def test_scoring_monitor_in_a_grid_search(backend):
    monitor = ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(small_net().set_callbacks(monitor), GRID, cv=2)
    with joblib.parallel_config(backend, n_jobs=2):
        search.fit(X, Y)
    fits = Counter(row["parent_task_id_path"] for row in scores_of(monitor))
    assert len(fits) == 2 * 2 + 1
    assert set(fits.values()) == {EPOCHS}
    plain = GridSearchCV(small_net(), GRID, cv=2).fit(X, Y)
    for name in ("split0_test_score", "split1_test_score"):
        assert_array_equal(search.cv_results_[name], plain.cv_results_[name])
    assert_array_equal(search.predict_proba(X), plain.predict_proba(X))


@needs_callbacks
def test_progress_bar_comes_to_its_end(shown):
    small_net().set_callbacks(ProgressBar()).fit(X, Y)
    assert re.search(r"TwoLayerClassifier - fit +━+ +100%", shown())
    small_net(solver="lbfgs").set_callbacks(ProgressBar()).fit(X, Y)
    lines = shown()
    for line in ("fit", "member #0", "member #1"):
        assert re.search(rf"TwoLayerClassifier - {line} +━+ +100%", lines)


@needs_callbacks
def test_progress_bar_ends_with_a_fit_that_is_stopped(shown):
    stop = Recorder(end=lambda estimator, context: context.task_id == 1)
    small_net().set_callbacks(stop, ProgressBar()).fit(X, Y)
    assert re.search(r"TwoLayerClassifier - fit +━+ +100%", shown())


@needs_callbacks
def test_progress_bar_in_a_pipeline(shown):
    pipe = make_pipeline(StandardScaler(), small_net())
    pipe.set_callbacks(ProgressBar()).fit(X, Y)
    line = r"Pipeline - fit-final-estimator \| TwoLayerClassifier - fit #1 +━+ +100%"
    assert re.search(line, shown())


@needs_callbacks
@pytest.mark.parametrize("backend", BACKENDS)
def test_progress_bar_in_a_grid_search(backend, shown):
    search = GridSearchCV(small_net(), GRID, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None))
    with joblib.parallel_config(backend, n_jobs=2):
        search.fit(X, Y)
    lines = shown()
    for fold in range(4):
        assert re.search(rf"TwoLayerClassifier - fit #{fold} +━+ +100%", lines)


# --- pickles and clones


@needs_callbacks
def test_callbacks_go_along_with_pickles_and_clones():
    monitor = ScoringMonitor(scoring="accuracy")
    clf = small_net().set_callbacks(monitor).fit(X, Y)
    same = pickle.loads(pickle.dumps(clf))
    assert_array_equal(same.predict_proba(X), clf.predict_proba(X))
    same.fit(X, Y)
    (copied,) = same._skl_callbacks
    assert len(scores_of(copied)) == EPOCHS
    assert clone(clf)._skl_callbacks == [monitor]
    assert clf.set_callbacks() is clf
    assert not [name for name in vars(clf) if "callback" in name]
    assert fitted(pickle.loads(pickle.dumps(clf))) == fitted(clf)
