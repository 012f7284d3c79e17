"""LossCurveDisplay: what is drawn is what the estimator holds."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

from sknet import LossCurveDisplay, TwoLayerClassifier

X, y = load_iris(return_X_y=True)


def small_net(**settings):
    """A net that trains in milliseconds and stops by folds."""
    quick = {"hidden_layer_size": 8, "n_estimators": 2, "max_iter": 12}
    return TwoLayerClassifier(**(quick | {"random_state": 0} | settings))


class Recorded(BaseEstimator):
    """Another library's estimator, which keeps its training losses and no more."""

    def fit(self, X, y):
        self.loss_curve_ = [2.0, 1.0]
        return self


def labels_of(legend):
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clf():
    return small_net().fit(X, y)


# --- one estimator


def test_lines_hold_the_attributes(clf):
    display = LossCurveDisplay.from_estimator(clf)
    epochs = np.arange(1, clf.n_iter_ + 1)
    assert_array_equal(display.train_line_.get_xdata(), epochs)
    assert_array_equal(display.train_line_.get_ydata(), clf.loss_curve_)
    assert_array_equal(display.validation_line_.get_xdata(), epochs)
    assert_array_equal(display.validation_line_.get_ydata(), clf.validation_loss_curve_)
    assert display.ax_.lines[:] == [
        display.train_line_,
        display.validation_line_,
        display.best_line_,
    ]


def test_dot_stands_at_the_epoch_that_is_kept(clf):
    display = LossCurveDisplay.from_estimator(clf)
    assert_array_equal(display.best_line_.get_xdata(), [clf.best_iter_])
    assert_array_equal(display.best_line_.get_ydata(), [clf.best_validation_loss_])


def test_curves_of_one_estimator_share_a_colour_and_differ_in_style(clf):
    display = LossCurveDisplay.from_estimator(clf)
    colour = display.train_line_.get_color()
    assert same_color(display.validation_line_.get_color(), colour)
    assert same_color(display.best_line_.get_color(), colour)
    assert display.train_line_.get_linestyle() == "-"
    assert display.validation_line_.get_linestyle() == "--"


def test_axis_and_legend_are_labelled(clf):
    display = LossCurveDisplay.from_estimator(clf)
    assert display.ax_.get_xlabel() == "Epoch"
    assert display.ax_.get_ylabel() == "Loss"
    assert labels_of(display.ax_.get_legend()) == [
        "TwoLayerClassifier, training",
        f"TwoLayerClassifier, validation (epoch {clf.best_iter_} kept)",
    ]
    assert display.ax_.figure is display.figure_


def test_without_validation_the_last_epoch_is_marked_on_the_training_curve():
    clf = small_net(early_stopping=False).fit(X, y)
    display = LossCurveDisplay.from_estimator(clf)
    assert display.validation_line_ is None
    assert_array_equal(display.best_line_.get_xdata(), [12])
    assert_array_equal(display.best_line_.get_ydata(), [clf.loss_curve_[-1]])
    assert labels_of(display.ax_.get_legend()) == [
        "TwoLayerClassifier, training (epoch 12 kept)"
    ]


def test_display_holds_copies_that_later_training_does_not_change():
    clf = MLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    display = LossCurveDisplay.from_estimator(clf)
    clf.partial_fit(X, y)  # appends to the same list
    assert len(display.train_loss) == 1
    assert len(clf.loss_curve_) == 2


# --- the axis of epochs


def test_partial_fit_shows_the_epochs_that_are_remembered():
    clf = small_net()
    for _ in range(105):
        clf.partial_fit(X, y, classes=[0, 1, 2])
    assert (len(clf.loss_curve_), clf.n_iter_) == (100, 105)
    display = LossCurveDisplay.from_estimator(clf)
    assert_array_equal(display.train_line_.get_xdata(), np.arange(6, 106))
    assert_array_equal(display.best_line_.get_xdata(), [105])
    longer = LossCurveDisplay.from_estimator(clf.partial_fit(X, y))
    assert_array_equal(  # what is a loss of epoch 7 stays one of epoch 7
        longer.train_line_.get_xydata()[:-1], display.train_line_.get_xydata()[1:]
    )


def test_a_warm_start_leaves_a_gap_where_nothing_was_validated():
    clf = small_net(early_stopping=False, warm_start=True).fit(X, y)
    clf.fit(X, y, X_val=X, y_val=y)
    validation = np.array(clf.validation_loss_curve_)
    assert_array_equal(np.isnan(validation), np.arange(1, 25) <= 12)
    display = LossCurveDisplay.from_estimator(clf)
    assert_array_equal(display.train_line_.get_xdata(), np.arange(1, 25))
    assert_array_equal(display.validation_line_.get_ydata(), validation)
    display.figure_.canvas.draw()  # no warning


def test_partial_fit_after_validation_marks_the_training_curve(clf):
    clf = small_net().fit(X, y).partial_fit(X, y)
    assert np.isnan(clf.validation_loss_curve_[-1])
    display = LossCurveDisplay.from_estimator(clf)
    assert display.validation_line_ is not None
    assert_array_equal(display.best_line_.get_xdata(), [clf.n_iter_])
    assert_array_equal(display.best_line_.get_ydata(), [clf.loss_curve_[-1]])
    kept = f"TwoLayerClassifier, training (epoch {clf.n_iter_} kept)"
    assert labels_of(display.ax_.get_legend())[0] == kept


def test_a_stream_that_forgot_what_was_validated_has_no_validation_curve():
    clf = small_net().fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    last = clf.validation_loss_curve_[-1]
    for _ in range(99):
        clf.partial_fit(X, y)
    assert clf.validation_loss_curve_[0] == last
    assert np.isnan(clf.validation_loss_curve_[1:]).all()
    clf.partial_fit(X, y)
    assert len(clf.loss_curve_) == 100
    assert clf.validation_loss_curve_ is None
    display = LossCurveDisplay.from_estimator(clf.partial_fit(X, y))
    assert clf.validation_loss_curve_ is None
    assert display.validation_line_ is None
    assert_array_equal(display.train_line_.get_ydata(), clf.loss_curve_)
    assert_array_equal(display.best_line_.get_xdata(), [clf.n_iter_])


def test_a_validation_curve_without_a_number_is_not_drawn():
    nothing = np.full(2, np.nan)
    display = LossCurveDisplay(train_loss=[2.0, 1.0], validation_loss=nothing)
    assert display.plot().validation_line_ is None
    assert len(display.ax_.lines) == 1


def test_a_validation_curve_of_nan_alone_is_not_drawn():
    display = LossCurveDisplay(train_loss=[2, 1], validation_loss=[np.nan] * 2).plot()
    assert display.validation_line_ is None
    assert labels_of(display.ax_.get_legend()) == ["training"]


@pytest.mark.parametrize("best_iter", [None, 0, 4])
def test_an_epoch_that_is_not_shown_is_not_marked(best_iter):
    display = LossCurveDisplay(train_loss=[3, 2, 1], best_iter=best_iter).plot()
    assert display.best_line_ is None
    assert labels_of(display.ax_.get_legend()) == ["training"]


@pytest.mark.parametrize("n_epochs", [1, 2, 80])
def test_ticks_are_whole_epochs(n_epochs):
    display = LossCurveDisplay(train_loss=np.ones(n_epochs), best_iter=1).plot()
    ticks = display.ax_.get_xticks()
    assert len(ticks)
    assert_array_equal(ticks, np.round(ticks))


def test_ticks_of_the_user_stay():
    _, ax = plt.subplots()
    ax.set_xscale("log")
    display = LossCurveDisplay(train_loss=np.ones(50)).plot(ax)
    assert display.ax_.get_xscale() == "log"
    ax.set_xticks([1, 10])
    display.plot(ax)
    assert_array_equal(ax.get_xticks(), [1, 10])


# --- several on one axis, other estimators


def test_two_estimators_on_one_axis(clf):
    _, ax = plt.subplots()
    other = small_net(random_state=1).fit(X, y)
    first = LossCurveDisplay.from_estimator(clf, ax=ax, name="one")
    second = LossCurveDisplay.from_estimator(other, ax=ax, name="two")
    assert first.ax_ is second.ax_ is ax
    assert plt.get_fignums() == [ax.figure.number]
    colours = [d.train_line_.get_color() for d in (first, second)]
    assert not same_color(*colours)
    assert same_color(second.validation_line_.get_color(), colours[1])
    assert labels_of(ax.get_legend()) == [
        "one, training",
        f"one, validation (epoch {clf.best_iter_} kept)",
        "two, training",
        f"two, validation (epoch {other.best_iter_} kept)",
    ]


def test_a_multilayer_perceptron_has_a_training_curve_only():
    mlp = MLPClassifier(early_stopping=True, max_iter=300, random_state=0).fit(X, y)
    assert mlp.validation_scores_
    display = LossCurveDisplay.from_estimator(mlp)
    assert_array_equal(display.train_line_.get_ydata(), mlp.loss_curve_)
    assert_array_equal(display.train_line_.get_xdata(), np.arange(1, mlp.n_iter_ + 1))
    assert display.ax_.lines[:] == [display.train_line_]
    assert labels_of(display.ax_.get_legend()) == ["MLPClassifier, training"]


def test_a_regressor_whose_curve_is_longer_than_its_last_fit():
    mlp = MLPRegressor(warm_start=True, max_iter=3, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        mlp.fit(X, y).fit(X, y)
    assert (len(mlp.loss_curve_), mlp.n_iter_) == (6, 3)
    display = LossCurveDisplay.from_estimator(mlp)
    assert_array_equal(display.train_line_.get_xdata(), np.arange(1, 7))


def test_a_loss_curve_is_all_that_is_needed():
    display = LossCurveDisplay.from_estimator(Recorded().fit(X, y))
    assert_array_equal(display.train_line_.get_xydata(), [[1, 2], [2, 1]])
    assert display.ax_.lines[:] == [display.train_line_]


# --- settings


def test_plot_draws_again_and_returns_the_display(clf):
    display = LossCurveDisplay.from_estimator(clf)
    first = display.ax_
    assert display.plot() is display
    assert display.ax_ is not first
    assert_array_equal(display.train_line_.get_ydata(), clf.loss_curve_)


def test_constructor_stores_and_draws_nothing():
    given = {
        "train_loss": [2, 1],
        "validation_loss": [3, 2],
        "best_iter": 2,
        "n_iter": 9,
        "name": "net",
    }
    display = LossCurveDisplay(**given)
    assert all(vars(display)[name] is value for name, value in given.items())
    assert set(vars(display)) == set(given)
    assert not plt.get_fignums()


def test_name_of_plot_comes_before_that_of_the_display():
    display = LossCurveDisplay(train_loss=[2, 1], name="stored")
    assert labels_of(display.plot().ax_.get_legend()) == ["stored, training"]
    legend = display.plot(name="given").ax_.get_legend()
    assert labels_of(legend) == ["given, training"]
    assert display.name == "stored"


def test_settings_of_matplotlib_come_before_ours_under_either_name(clf):
    display = LossCurveDisplay.from_estimator(
        clf,
        train_kw={"c": "red", "label": "mine"},
        validation_kw={"ls": ":", "lw": 3},
        best_kw={"c": "black", "marker": "x", "ms": 9},
    )
    assert same_color(display.train_line_.get_color(), "red")
    assert display.train_line_.get_label() == "mine"
    assert same_color(display.validation_line_.get_color(), "red")
    assert display.validation_line_.get_linestyle() == ":"
    assert display.validation_line_.get_linewidth() == 3
    assert same_color(display.best_line_.get_color(), "black")
    assert display.best_line_.get_marker() == "x"
    assert display.best_line_.get_markersize() == 9


# --- errors


@pytest.mark.parametrize("estimator", [small_net(), MLPClassifier()])
def test_not_fitted(estimator):
    with pytest.raises(NotFittedError, match=type(estimator).__name__):
        LossCurveDisplay.from_estimator(estimator)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=1000),
        MLPClassifier(4, solver="lbfgs", max_iter=1000, random_state=0),
        make_pipeline(small_net()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_no_loss_curve(estimator):
    estimator.fit(X, y)
    kind = type(estimator).__name__
    message = rf"loss_curve_, which this {kind} does not have.*pipeline\[-1\]"
    with pytest.raises(AttributeError, match=message) as caught:
        LossCurveDisplay.from_estimator(estimator)
    assert not isinstance(caught.value, NotFittedError)


def test_curves_of_different_lengths():
    display = LossCurveDisplay(train_loss=[3, 2, 1], validation_loss=[3, 2])
    with pytest.raises(ValueError, match="Got 2 and 3 values"):
        display.plot()
    assert not plt.get_fignums()


def test_without_matplotlib(clf, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    with pytest.raises(ImportError, match="pip install matplotlib") as caught:
        LossCurveDisplay.from_estimator(clf)
    assert "LossCurveDisplay.plot" in str(caught.value)


def test_import_does_not_import_matplotlib():
    statement = (
        "import sys, sknet; sknet.LossCurveDisplay(train_loss=[2.0, 1.0]); "
        "print('matplotlib' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
