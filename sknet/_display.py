"""LossCurveDisplay: the loss curves of any fitted estimator that has them."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted


class LossCurveDisplay:
    """Loss of each epoch, as a picture.

    It is recommended to use :meth:`from_estimator` to make one. All parameters are
    stored as attributes. Several estimators can be drawn on one axis: each has one
    colour, its training loss a solid line, its validation loss a dashed one, and a dot
    stands at the epoch whose weights are kept.

    Parameters
    ----------
    train_loss : array-like of shape (n_epochs,)
        Training loss of each epoch.
    validation_loss : array-like of shape (n_epochs,) or None, default=None
        Validation loss of the same epochs, NaN for epochs without one.
    best_iter : int or None, default=None
        Epoch, counted from 1, whose weights are kept. None marks no epoch.
    n_iter : int or None, default=None
        Number of the last of these epochs, where a curve is only the end of a longer
        one. None counts them from 1.
    name : str or None, default=None
        What the legend calls the estimator. None leaves it out.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains them.
    train_line_ : matplotlib Line2D
        Curve of the training loss.
    validation_line_ : matplotlib Line2D or None
        Curve of the validation loss; None if there is none in any epoch.
    best_line_ : matplotlib Line2D or None
        Dot at `best_iter`, on the validation curve if it has a value there; None if
        `best_iter` is, or is not one of these epochs.

    See Also
    --------
    sknet.TwoLayerClassifier : Keeps the curves that are drawn.
    sklearn.model_selection.LearningCurveDisplay : Score by the number of rows.
    sklearn.model_selection.ValidationCurveDisplay : Score by the value of a setting.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknet import LossCurveDisplay, TwoLayerClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> narrow = TwoLayerClassifier(4, random_state=0).fit(X, y)
    >>> wide = TwoLayerClassifier(64, random_state=0).fit(X, y)
    >>> first = LossCurveDisplay.from_estimator(narrow, name="4 units")
    >>> second = LossCurveDisplay.from_estimator(wide, name="64 units", ax=first.ax_)
    >>> first.ax_.set_yscale("log")
    >>> len(first.ax_.lines)  # for each: training, validation, the epoch kept
    6
    """

    def __init__(
        self,
        *,
        train_loss,
        validation_loss=None,
        best_iter=None,
        n_iter=None,
        name=None,
    ):
        self.train_loss = train_loss
        self.validation_loss = validation_loss
        self.best_iter = best_iter
        self.n_iter = n_iter
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        name=None,
        ax=None,
        train_kw=None,
        validation_kw=None,
        best_kw=None,
    ):
        """Draw the loss curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with an attribute `loss_curve_`; `validation_loss_curve_`,
            `best_iter_` and `n_iter_` are used if it has them. So
            :class:`~sklearn.neural_network.MLPClassifier` will do; its
            `validation_scores_` are no losses and are not drawn.

        name : str or None, default=None
            What the legend calls it. None takes the name of its class.

        ax : matplotlib Axes or None, default=None
            Where to draw. None makes a new figure.

        train_kw, validation_kw, best_kw : dict or None, default=None
            Settings of matplotlib's `plot` for the curve of the training loss, that of
            the validation loss and the dot.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        AttributeError
            If it is fitted but has no `loss_curve_`.
        ImportError
            If matplotlib is not installed.
        """
        kind = type(estimator).__name__
        check_is_fitted(estimator)
        if not hasattr(estimator, "loss_curve_"):
            raise AttributeError(
                f"{cls.__name__} draws loss_curve_, which this {kind} does not have. "
                "Of a pipeline or a search, give the fitted network itself, such as "
                "pipeline[-1] or search.best_estimator_."
            )
        train_loss = np.array(estimator.loss_curve_, dtype=float)
        validation_loss = getattr(estimator, "validation_loss_curve_", None)
        if validation_loss is not None:
            validation_loss = np.array(validation_loss, dtype=float)
        display = cls(
            train_loss=train_loss,
            validation_loss=validation_loss,
            best_iter=getattr(estimator, "best_iter_", None),
            # partial_fit of TwoLayerClassifier forgets the first losses, while
            # MLPClassifier with warm_start keeps them and counts the last fit only
            n_iter=max(_count(estimator), len(train_loss)),
            name=kind if name is None else name,
        )
        return display.plot(
            ax, train_kw=train_kw, validation_kw=validation_kw, best_kw=best_kw
        )

    def plot(
        self, ax=None, *, name=None, train_kw=None, validation_kw=None, best_kw=None
    ):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw. None makes a new figure.

        name : str or None, default=None
            What the legend calls the estimator. None takes the `name` of the display.

        train_kw, validation_kw, best_kw : dict or None, default=None
            Settings of matplotlib's `plot` for the curve of the training loss, that of
            the validation loss and the dot.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the curves differ in length.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        epochs, train, validation = self._curves()
        if ax is None:
            _, ax = plt.subplots()
        name = self.name if name is None else name
        marked, loss = self._marked(epochs, train, validation)

        def _label(curve):
            text = curve if name is None else f"{name}, {curve}"
            return f"{text} (epoch {self.best_iter} kept)" if curve == marked else text

        def _draw(x, y, kw, **defaults):
            # the user's settings, whichever of its names a setting goes by
            kw = normalize_kwargs(kw, Line2D)
            (line,) = ax.plot(x, y, **{**defaults, **kw})
            return line

        self.train_line_ = _draw(epochs, train, train_kw, label=_label("training"))
        color = self.train_line_.get_color()
        self.validation_line_ = self.best_line_ = None
        if validation is not None:
            style = {"color": color, "linestyle": "--", "label": _label("validation")}
            self.validation_line_ = _draw(epochs, validation, validation_kw, **style)
        if marked is not None:
            style = {"color": color, "linestyle": "none", "marker": "o"}
            self.best_line_ = _draw([self.best_iter], [loss], best_kw, **style)

        ax.set(xlabel="Epoch", ylabel="Loss")
        locator = ax.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator):  # not one of the user's own
            locator.set_params(integer=True, min_n_ticks=1)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _curves(self):
        """Epochs, training losses and, if there is any, validation losses."""
        train = np.asarray(self.train_loss, dtype=float)
        n_iter = len(train) if self.n_iter is None else self.n_iter
        epochs = np.arange(n_iter - len(train), n_iter) + 1
        if self.validation_loss is None:
            return epochs, train, None
        validation = np.asarray(self.validation_loss, dtype=float)
        if len(validation) != len(train):
            raise ValueError(
                "validation_loss must have one value for each of train_loss, NaN for "
                f"an epoch without one. Got {len(validation)} and {len(train)} values."
            )
        return epochs, train, None if np.isnan(validation).all() else validation

    def _marked(self, epochs, train, validation):
        """The curve that has the dot and its loss there; None twice without a dot."""
        (at,) = np.nonzero(epochs == self.best_iter)
        if len(at) == 0:
            return None, None
        if validation is None or np.isnan(validation[at[0]]):
            return "training", train[at[0]]
        return "validation", validation[at[0]]


def _count(estimator):
    """Epochs by ``n_iter_``; 0 if there is none, or an array of several."""
    n_iter = np.ravel(getattr(estimator, "n_iter_", 0))
    return int(n_iter[0]) if n_iter.size == 1 else 0
