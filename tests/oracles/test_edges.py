"""The edges of what can be learnt: columns that never varied, weight 0."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import KFold, cross_val_score

from sknet import TwoLayerClassifier

X, Y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_size": 8, "n_estimators": 2, "blend": False, "random_state": 0}

short_fits = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_container = pytest.mark.parametrize("container", [np.asarray, sp.csr_array])


# ------------------------------------------------------------------------ columns


@pytest.mark.parametrize(
    ("container", "constant"),
    # sparse columns are not centred: other constants are one more bias
    [(np.asarray, 0.0), (np.asarray, 2024.0), (sp.csr_array, 0.0)],
)
@pytest.mark.parametrize("how", ["fit", "stream"])
def test_a_column_that_never_varied_says_nothing(container, constant, how):
    """Weights that no row has trained must not answer when it varies later."""
    wide = np.column_stack([X, np.full(len(X), constant)])
    clf = TwoLayerClassifier(max_iter=5, **SMALL)
    if how == "fit":
        clf.fit(container(wide), Y)
    for _ in range(4 if how == "stream" else 0):
        clf.partial_fit(container(wide), Y, classes=[0, 1, 2])
    expected = clf.predict_proba(container(wide))
    for other in (constant + 1, -3.0, 1e9):
        wide[:, -1] = other
        assert_array_equal(clf.predict_proba(container(wide)), expected)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("with_another", [True, False])
def test_a_column_that_varies_from_the_second_batch_on_is_learnt(solver, with_another):
    rng = np.random.default_rng(0)
    wide = np.zeros((150, 2 if with_another else 1))
    wide[:, : wide.shape[1] - 1] = rng.normal(size=(150, wide.shape[1] - 1))
    clf = TwoLayerClassifier(solver=solver, **SMALL)
    clf.set_params(learning_rate_init=0.1 if solver == "sgd" else 0.01)
    clf.partial_fit(wide[:50], Y[:50] * 0, classes=[0, 1])
    wide[50:, -1] = Y[50:] == 1
    for _ in range(40):
        clf.partial_fit(wide, Y == 1)
    assert clf.score(wide, Y == 1) == 1.0


@short_fits
@each_container
@pytest.mark.parametrize("how", ["warm start", "stream"])
def test_a_fit_is_not_continued_in_the_other_form(container, how):
    """Dense columns are centred, sparse ones are not: the statistics do not mix."""
    other = sp.csr_array if container is np.asarray else np.asarray
    clf = TwoLayerClassifier(warm_start=True, max_iter=5, **SMALL).fit(container(X), Y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match=r"but it was .* in the fit"):
        (clf.fit if how == "warm start" else clf.partial_fit)(other(X), Y)
    assert_array_equal(clf.predict_proba(X), before)
    free = TwoLayerClassifier(standardize=False, max_iter=30, **SMALL)
    free.fit(container(X), Y).partial_fit(other(X), Y)


# ------------------------------------------------------------- weights and labels


def test_class_weights_may_name_classes_that_a_fold_lacks():
    two = Y < 2
    complete = {0: 1.0, 1: 2.0, 2: 5.0}
    a = TwoLayerClassifier(class_weight=complete, **SMALL).fit(X[two], Y[two])
    b = TwoLayerClassifier(class_weight={0: 1.0, 1: 2.0}, **SMALL).fit(X[two], Y[two])
    assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    clf = TwoLayerClassifier(class_weight=complete, **SMALL)
    assert len(cross_val_score(clf, X, Y, cv=KFold(3))) == 3  # each lacks a class


def test_rows_of_weight_zero_may_have_any_label():
    weight, two = np.where(Y == 2, 0.0, 1.0), Y < 2
    a = TwoLayerClassifier(**SMALL).partial_fit(X, Y, [0, 1], weight)
    b = TwoLayerClassifier(**SMALL).partial_fit(X[two], Y[two], [0, 1])
    assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    a, b = TwoLayerClassifier(**SMALL), TwoLayerClassifier(**SMALL)
    a.fit(X[two], Y[two], X_val=X, y_val=Y, sample_weight_val=weight)
    b.fit(X[two], Y[two], X_val=X[two], y_val=Y[two])
    assert a.validation_loss_curve_ == pytest.approx(b.validation_loss_curve_)


@short_fits
def test_the_loss_curve_of_l_bfgs_survives_a_large_penalty():
    """Taken from the objective, the loss would be what rounding leaves of it."""
    clf = TwoLayerClassifier(solver="lbfgs", alpha=1e30, **SMALL).fit(X, Y)
    assert clf.loss_curve_[-1] == pytest.approx(np.log(3), rel=1e-3)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_numpys_narrow_integers_do_not_overflow_as_settings(solver):
    settings = {"solver": solver, "blend": False, "random_state": 0}
    counts = dict.fromkeys(("hidden_layer_size", "n_estimators", "max_iter"), 12)
    counts["batch_size"] = 100
    narrow = {name: np.int8(value) for name, value in counts.items()}
    a = TwoLayerClassifier(**settings, **counts).fit(X, Y)
    b = TwoLayerClassifier(**settings, **narrow).fit(X, Y)
    assert_array_equal(a.predict_proba(X), b.predict_proba(X))
