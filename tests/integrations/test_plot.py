"""LossCurveDisplay: what is drawn is what the estimator holds."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from sknet import LossCurveDisplay, TwoLayerClassifier

X, y = load_iris(return_X_y=True)


def labels_of(legend):
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clf(small_net):
    return small_net(early_stopping=True).fit(X, y)


# --- one estimator


def test_what_is_drawn_of_one_estimator(clf):
    display = LossCurveDisplay.from_estimator(clf)
    train, validation = display.train_line_, display.validation_line_
    dot = display.best_line_
    epochs = np.arange(1, clf.n_iter_ + 1)
    assert_array_equal(train.get_xydata(), np.c_[epochs, clf.loss_curve_])
    assert_array_equal(
        validation.get_xydata(), np.c_[epochs, clf.validation_loss_curve_]
    )
    assert_array_equal(dot.get_xydata(), [[clf.best_iter_, clf.best_validation_loss_]])
    assert display.ax_.lines[:] == [train, validation, dot]
    assert all(
        same_color(line.get_color(), train.get_color()) for line in (validation, dot)
    )
    assert (train.get_linestyle(), validation.get_linestyle()) == ("-", "--")
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Epoch", "Loss")
    assert display.ax_.figure is display.figure_
    assert labels_of(display.ax_.get_legend()) == [
        "TwoLayerClassifier, training",
        "TwoLayerClassifier, validation",
        f"TwoLayerClassifier, epoch {clf.best_iter_} kept",
    ]


def test_without_validation_the_last_epoch_is_marked_on_the_training_curve(small_net):
    clf = small_net().fit(X, y)
    display = LossCurveDisplay.from_estimator(clf)
    assert display.validation_line_ is None
    assert_array_equal(display.best_line_.get_xydata(), [[8, clf.loss_curve_[-1]]])
    assert labels_of(display.ax_.get_legend()) == [
        "TwoLayerClassifier, training",
        "TwoLayerClassifier, epoch 8 kept",
    ]


# --- the axis of epochs


def test_a_stream_shows_the_epochs_that_are_remembered(small_net):
    clf = small_net()
    for _ in range(105):
        clf.partial_fit(X[:20], y[:20], classes=[0, 1, 2])
    display = LossCurveDisplay.from_estimator(clf)
    assert_array_equal(display.train_line_.get_xdata(), np.arange(6, 106))
    assert_array_equal(display.best_line_.get_xdata(), [105])
    longer = LossCurveDisplay.from_estimator(clf.partial_fit(X[:20], y[:20]))
    assert_array_equal(  # the loss of epoch 7 stays that of epoch 7
        longer.train_line_.get_xydata()[:-1], display.train_line_.get_xydata()[1:]
    )


def test_a_warm_start_leaves_a_gap_where_nothing_was_validated(small_net):
    clf = small_net(warm_start=True).fit(X, y)
    clf.fit(X, y, X_val=X, y_val=y)
    validation = np.array(clf.validation_loss_curve_)
    assert_array_equal(np.isnan(validation), np.arange(1, 17) <= 8)
    display = LossCurveDisplay.from_estimator(clf)
    assert_array_equal(display.train_line_.get_xdata(), np.arange(1, 17))
    assert_array_equal(display.validation_line_.get_ydata(), validation)
    display.figure_.canvas.draw()  # no warning


@pytest.mark.parametrize("nothing", [None, [np.nan] * 2, np.full(2, np.nan)])
def test_a_validation_curve_without_a_number_is_not_drawn(nothing):
    display = LossCurveDisplay(train_loss=[2.0, 1.0], validation_loss=nothing).plot()
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


def test_two_estimators_on_one_axis(clf, small_net):
    _, ax = plt.subplots()
    other = small_net(random_state=1, early_stopping=True).fit(X, y)
    first = LossCurveDisplay.from_estimator(clf, ax=ax, name="one")
    second = LossCurveDisplay.from_estimator(other, ax=ax, name="two")
    assert first.ax_ is second.ax_ is ax
    assert plt.get_fignums() == [ax.figure.number]
    colours = [d.train_line_.get_color() for d in (first, second)]
    assert not same_color(*colours)
    assert same_color(second.validation_line_.get_color(), colours[1])
    assert labels_of(ax.get_legend()) == [
        "one, training",
        "one, validation",
        f"one, epoch {clf.best_iter_} kept",
        "two, training",
        "two, validation",
        f"two, epoch {other.best_iter_} kept",
    ]


def test_a_multilayer_perceptron_has_a_training_curve_only():
    mlp = MLPClassifier(early_stopping=True, max_iter=300, random_state=0).fit(X, y)
    display = LossCurveDisplay.from_estimator(mlp)
    epochs = np.arange(1, mlp.n_iter_ + 1)
    assert_array_equal(display.train_line_.get_xydata(), np.c_[epochs, mlp.loss_curve_])
    assert display.ax_.lines[:] == [display.train_line_]
    assert labels_of(display.ax_.get_legend()) == ["MLPClassifier, training"]


# --- settings


def test_the_constructor_stores_and_draws_nothing():
    given = {"train_loss": [2, 1], "validation_loss": [3, 2], "best_iter": 2}
    given |= {"n_iter": 9, "name": "net"}
    display = LossCurveDisplay(**given)
    assert all(vars(display)[name] is value for name, value in given.items())
    assert set(vars(display)) == set(given)
    assert not plt.get_fignums()


# --- errors


@pytest.mark.parametrize("estimator", [TwoLayerClassifier(), MLPClassifier()])
def test_an_estimator_that_is_not_fitted(estimator):
    with pytest.raises(NotFittedError, match=type(estimator).__name__):
        LossCurveDisplay.from_estimator(estimator)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=1000),
        MLPClassifier(4, solver="lbfgs", max_iter=1000, random_state=0),
        make_pipeline(TwoLayerClassifier(4, max_iter=8, random_state=0)),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_without_a_loss_curve(estimator):
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
    with pytest.raises(ImportError, match="matplotlib") as caught:
        LossCurveDisplay.from_estimator(clf)
    assert "LossCurveDisplay" in str(caught.value)
    assert "pip install matplotlib" in str(caught.value)
