"""What users count on at the edges: subclasses, threads, absent classes, interrupts."""

import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score

from sknet import TwoLayerClassifier
from sknet._crossfit import OutOfFold
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
    clf = TwoLayerClassifier(class_weight={0: 0.0}, **SMALL).fit(X[:100], Y[:100])
    assert clf.predict_proba(X[:100])[:, 1].min() > 0.9


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_l_bfgs_members_publish_the_loss_of_what_they_predict(solver):
    data = make_classification(300, 6, n_informative=4, random_state=0)
    clf = TwoLayerClassifier(8, n_estimators=4, solver=solver, random_state=0)
    clf.fit(*data)
    assert clf.best_validation_loss_ < np.log(2)
    assert 0.1 <= clf.temperature_ <= 20


def test_predictions_in_a_thread_do_not_see_a_refused_fit():
    clf = TwoLayerClassifier(max_iter=5, **SMALL).fit(X, Y)
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
