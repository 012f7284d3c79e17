"""What users count on at the edges: subclasses, threads, absent classes, interrupts."""

import threading

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score

from sknet import TwoLayerClassifier, _fitting
from sknet._crossfit import OutOfFold
from sknet._optimizers import ScalingLayerAdam
from sknet._prediction import ValidationLoss

X, Y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_size": 8, "n_estimators": 2, "random_state": 0}


class WithOwnSetting(TwoLayerClassifier):
    """A subclass as users write them."""

    def __init__(self, extra=1, max_iter=5):
        super().__init__(max_iter=max_iter, n_estimators=2, random_state=0)
        self.extra = extra


def test_a_subclass_may_have_settings_of_its_own():
    clf = WithOwnSetting(extra="anything").fit(X, Y)
    same = TwoLayerClassifier(max_iter=5, n_estimators=2, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), same.predict_proba(X))


def test_class_weights_may_name_classes_that_a_fold_lacks():
    two = Y < 2
    complete = {0: 1.0, 1: 2.0, 2: 5.0}
    a = TwoLayerClassifier(class_weight=complete, **SMALL).fit(X[two], Y[two])
    b = TwoLayerClassifier(class_weight={0: 1.0, 1: 2.0}, **SMALL).fit(X[two], Y[two])
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    clf = TwoLayerClassifier(class_weight=complete, **SMALL)
    assert len(cross_val_score(clf, X, Y, cv=KFold(3))) == 3  # a class lacks in each


def test_rows_of_weight_zero_may_have_any_label():
    weight = np.where(Y == 2, 0.0, 1.0)
    two = Y < 2
    a = TwoLayerClassifier(**SMALL).partial_fit(
        X, Y, classes=[0, 1], sample_weight=weight
    )
    b = TwoLayerClassifier(**SMALL).partial_fit(X[two], Y[two], classes=[0, 1])
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    a = TwoLayerClassifier(**SMALL)
    a.fit(X[two], Y[two], X_val=X, y_val=Y, sample_weight_val=weight)
    b = TwoLayerClassifier(**SMALL).fit(X[two], Y[two], X_val=X[two], y_val=Y[two])
    assert a.validation_loss_curve_ == pytest.approx(b.validation_loss_curve_)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("first", [1, 4])
def test_an_interrupt_while_validating_loses_nothing(monkeypatch, given, first):
    clf = TwoLayerClassifier(**SMALL).fit(X, Y)
    before = clf.predict_proba(X)
    kind, calls = (ValidationLoss if given else OutOfFold), []
    judge = kind.__call__

    def interrupted(self):
        calls.append(1)
        if len(calls) == first:
            raise KeyboardInterrupt
        return judge(self)

    monkeypatch.setattr(kind, "__call__", interrupted)
    validation = {"X_val": X, "y_val": Y} if given else {}
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y, **validation)
    if first == 1:
        np.testing.assert_array_equal(clf.predict_proba(X), before)
    else:
        assert clf.stop_reason_ == "interrupted"
        assert clf.n_iter_ == len(clf.validation_loss_curve_) == 3
        kept = clf.validation_loss_curve_[clf.best_iter_ - 1]
        assert kept == clf.best_validation_loss_


def test_partial_fit_resets_the_temperature_and_pads_the_curve():
    clf = TwoLayerClassifier(max_iter=10, **SMALL).fit(X, Y)
    assert clf.temperature_ != 1.0
    clf.partial_fit(X, Y)
    assert clf.temperature_ == 1.0
    assert len(clf.validation_loss_curve_) == len(clf.loss_curve_) == 11
    assert np.isnan(clf.validation_loss_curve_[-1])


def test_a_stream_that_diverges_says_so():
    clf = TwoLayerClassifier(learning_rate_init=1e30, **SMALL)
    with pytest.warns(ConvergenceWarning, match="not finite"):
        clf.partial_fit(X, Y, classes=[0, 1, 2])
    assert np.isfinite(clf.predict_proba(X)).all()


def test_one_class_by_weight_is_no_trouble():
    """Warnings are errors here: nothing can be learnt, and nothing is wrong."""
    clf = TwoLayerClassifier(class_weight={0: 0.0}, random_state=0).fit(
        X[:100], Y[:100]
    )
    assert clf.predict_proba(X[:100])[:, 1].min() > 0.9


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_l_bfgs_members_publish_the_loss_of_what_they_predict(solver):
    data = make_classification(300, 6, n_informative=4, random_state=0)
    clf = TwoLayerClassifier(8, n_estimators=4, solver=solver, random_state=0)
    clf.fit(*data)
    assert clf.best_validation_loss_ < np.log(2)
    assert 0.1 <= clf.temperature_ <= 20


def test_predictions_in_a_thread_do_not_see_a_refused_fit():
    clf = TwoLayerClassifier(max_iter=20, **SMALL).fit(X, Y)
    expected, faults, stop = clf.predict(X), [], threading.Event()

    def predict():
        while not stop.is_set():
            try:
                if (clf.predict(X) != expected).any():
                    faults.append("other labels")
            except Exception as error:
                faults.append(repr(error))

    thread = threading.Thread(target=predict)
    thread.start()
    for _ in range(100):
        with pytest.raises(ValueError, match="continuous"):
            clf.fit(X[:, :2], X[:, 0])
    stop.set()
    thread.join()
    assert not faults


def test_a_date_among_numbers_is_named():
    frame = pd.DataFrame({"day": pd.date_range("2020", periods=150), "x": X[:, 0]})
    with pytest.raises(ValueError, match=r"X must hold real numbers.*TableVectorizer"):
        TwoLayerClassifier(**SMALL).fit(frame, Y)


def test_large_nullable_integers_stay_apart():
    y = pd.Series([2**53, 2**53 + 1] * 75, dtype="Int64")
    rows = np.column_stack([np.arange(150) % 2, X[:, 0]])
    clf = TwoLayerClassifier(**SMALL).fit(rows, y)
    assert clf.classes_.tolist() == [2**53, 2**53 + 1]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:standardize=False")
def test_unscaled_rows_too_large_for_float32(solver):
    huge = X.copy()
    huge[0, 0] = 1e300
    clf = TwoLayerClassifier(standardize=False, solver=solver, **SMALL).fit(huge, Y)
    assert np.isfinite(clf.predict_proba(huge)).all()
    assert np.isfinite(clf.predict_log_proba(huge)).all()
    assert np.isfinite(clf.loss_curve_).all()


@pytest.mark.parametrize("first", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("how", ["warm start", "stream"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_is_not_continued_in_the_other_form(first, how):
    """Dense columns are centred, sparse ones are not: the statistics do not mix."""
    second = sp.csr_array if first is np.asarray else np.asarray
    clf = TwoLayerClassifier(warm_start=True, max_iter=5, **SMALL).fit(first(X), Y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match="but was not in the fit"):
        (clf.fit if how == "warm start" else clf.partial_fit)(second(X), Y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    free = TwoLayerClassifier(standardize=False, max_iter=30, **SMALL).fit(first(X), Y)
    free.partial_fit(second(X), Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_row_may_outweigh_all_others_together():
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(201, 3)), np.arange(201) % 2
    y[-1] = 2
    weight = np.ones(201)
    weight[-1] = 1e170
    clf = TwoLayerClassifier(max_iter=3, **SMALL).fit(rows, y, weight)
    assert np.isfinite(clf.predict_proba(rows)).all()


def test_an_interrupted_l_bfgs_fit_is_judged_by_trained_members_only(monkeypatch):
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(60, 20)), rng.integers(0, 2, size=60)
    fit_lbfgs, calls = _fitting.fit_lbfgs, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        fit_lbfgs(*args, **kwargs)

    monkeypatch.setattr(_fitting, "fit_lbfgs", interrupted)
    clf = TwoLayerClassifier(
        32, n_estimators=4, solver="lbfgs", alpha=0.0, random_state=0
    )
    clf.set_params(n_iter_no_change=np.inf)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(rows, y)
    assert clf.stop_reason_ == "interrupted"
    assert clf.best_validation_loss_ > 0.65  # noise: the labels cannot be known
    assert clf._state["split"] == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_interrupt_amid_divergence_leaves_finite_weights(monkeypatch):
    step, calls = ScalingLayerAdam.step, []

    def spoilt(self, params, grads, rate):
        calls.append(1)
        if len(calls) == 40:
            params[:] = np.inf
            raise KeyboardInterrupt
        step(self, params, grads, rate)

    clf = TwoLayerClassifier(warm_start=True, **SMALL)
    monkeypatch.setattr(ScalingLayerAdam, "step", spoilt)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    clf.fit(X, Y)
    assert np.isfinite(clf.predict_proba(X)).all()


def test_weights_of_each_fit_have_a_scale_of_their_own():
    clf = TwoLayerClassifier(warm_start=True, max_iter=30, **SMALL)
    for scale in (1e-200, 1.0, 1e250):
        clf.fit(X, Y, np.full(150, scale))
    assert np.isfinite(clf.predict_proba(X)).all()
    stream = TwoLayerClassifier(**SMALL)
    stream.partial_fit(X, Y, classes=[0, 1, 2], sample_weight=np.full(150, 1e300))
    with pytest.raises(ValueError, match="too far from the weights"):
        stream.partial_fit(X, Y, sample_weight=np.full(150, 1e-30))


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("constant", [0.0, 7.0, 2024.0])
def test_a_column_that_never_varied_says_nothing(container, constant):
    """Weights that no row has trained must not answer when it varies later."""
    wide = np.column_stack([X, np.full(len(X), constant)])
    if container is sp.csr_array and constant:
        return  # not centred: it is one more bias, and is trained
    clf = TwoLayerClassifier(max_iter=5, **SMALL).fit(container(wide), Y)
    expected = clf.predict_proba(container(wide))
    for other in (constant + 1, -3.0, 1e9):
        wide[:, -1] = other
        np.testing.assert_array_equal(clf.predict_proba(container(wide)), expected)


def test_a_column_that_never_varied_in_a_stream_says_nothing():
    wide = np.column_stack([X, np.full(len(X), 7.0)])
    clf = TwoLayerClassifier(learning_rate="constant", **SMALL)
    whole = TwoLayerClassifier(
        learning_rate="constant", max_iter=4, early_stopping=False, **SMALL
    )
    for _ in range(4):
        clf.partial_fit(wide, Y, classes=[0, 1, 2])
    whole.fit(wide, Y)
    expected = clf.predict_proba(wide)
    for other in (7.0, 8.0, -3.0, 1e9):
        wide[:, -1] = other
        np.testing.assert_array_equal(clf.predict_proba(wide), expected)
        np.testing.assert_allclose(whole.predict_proba(wide), expected, rtol=1e-5)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_column_that_varies_late_is_learnt_beside_one_that_always_did(solver):
    rng = np.random.default_rng(0)
    wide = np.column_stack([rng.normal(size=150), np.zeros(150)])
    clf = TwoLayerClassifier(solver=solver, learning_rate="constant", **SMALL)
    clf.partial_fit(wide[:50], Y[:50] * 0, classes=[0, 1])
    wide[50:, 1] = Y[50:] == 1
    for _ in range(40):
        clf.partial_fit(wide, Y == 1)
    assert clf.score(wide, Y == 1) == 1.0


def test_a_column_that_varies_from_the_second_batch_on_is_learnt():
    late = np.where(np.arange(150)[:, np.newaxis] < 50, 0.0, Y[:, np.newaxis] == 1)
    clf = TwoLayerClassifier(learning_rate="constant", **SMALL)
    clf.partial_fit(late[:50], Y[:50] * 0, classes=[0, 1])
    for _ in range(30):
        clf.partial_fit(late, Y == 1)
    assert clf.score(late[50:], Y[50:] == 1) == 1.0


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:standardize=False, but")
def test_rows_at_the_ends_of_the_float_range_raise_no_warning(container, standardize):
    """Sums, differences and means of finite numbers need not be finite."""
    largest = np.finfo(float).max
    ends = np.where(np.arange(150) % 3 == 0, -largest, largest)
    for rows in (
        np.column_stack([X[:, 0], ends]),
        np.column_stack([np.full(150, largest), ends]),
        np.column_stack([np.arange(150) * 5e-324, ends[::-1]]),
    ):
        clf = TwoLayerClassifier(max_iter=3, standardize=standardize, **SMALL)
        clf.fit(container(rows), Y)
        assert np.isfinite(clf.predict_proba(container(rows))).all()
        if standardize:
            assert np.isfinite(clf.scale_).all()
            assert (np.abs(clf.mean_) <= np.abs(rows).max(axis=0)).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1e16, 1e30, 3e38])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:standardize=False, but")
def test_float32_predictions_do_not_overflow(solver, size, seed):
    """Large weights times large rows are more than float32 holds."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(20, 3)).astype("float32")
    rows[:, 2] = np.clip(rows[:, 2], -1, 1) * np.float32(size)
    y = rng.integers(0, 2, 20)
    settings = {"activation": "identity", "standardize": False, "max_iter": 4}
    clf = TwoLayerClassifier(4, n_estimators=3, solver=solver, **settings)
    clf.set_params(random_state=seed).fit(rows, y)
    assert np.isfinite(clf.predict_proba(rows)).all()
    assert np.isfinite(clf.predict_log_proba(rows)).all()
    assert np.isfinite(clf.decision_function(rows)).all()


@pytest.mark.parametrize(
    ("name", "value", "settings"),
    [
        ("hidden_layer_size", np.int8(12), {}),
        ("batch_size", np.uint8(100), {}),
        ("max_iter", np.int8(30), {}),
        ("n_estimators", np.int8(12), {"solver": "lbfgs"}),
        ("power_t", 1e300, {"learning_rate": "invscaling"}),
        ("tol", 1e300, {"solver": "lbfgs"}),
        ("alpha", 1e300, {"solver": "lbfgs"}),
        ("alpha", 1e300, {"solver": "sgd"}),
        ("class_weight", {0: 1e300, 1: 1e-300}, {}),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_settings_at_the_end_of_what_is_legal(name, value, settings):
    clf = TwoLayerClassifier(**{**SMALL, "max_iter": 5, **settings, name: value})
    clf.fit(X, Y)
    assert np.isfinite(clf.predict_proba(X)).all()
    assert np.isfinite(clf.loss_curve_).all()
    if isinstance(value, np.integer):
        same = TwoLayerClassifier(**{**clf.get_params(), name: int(value)}).fit(X, Y)
        np.testing.assert_array_equal(same.predict_proba(X), clf.predict_proba(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_loss_curve_of_l_bfgs_survives_a_large_penalty():
    """Taken from the objective, the loss would be what rounding leaves of it."""
    clf = TwoLayerClassifier(solver="lbfgs", alpha=1e30, **SMALL).fit(X, Y)
    assert clf.loss_curve_[-1] == pytest.approx(np.log(3), rel=1e-3)
