"""LossCurveDisplay: the loss curves of any fitted estimator that has them."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted


class LossCurveDisplay:
    """Plot of the loss of each epoch.

    It is recommended to use :meth:`from_estimator` to create a display. All parameters
    are stored as attributes. Several estimators can be drawn on one axis. Each has one
    colour, with a solid line for the training loss, a dashed line for the validation
    loss and a dot at the epoch whose weights are kept. To change a line, use the
    methods of `train_line_`, `validation_line_` and `best_line_`.

    Parameters
    ----------
    train_loss : array-like of shape (n_epochs,)
        Training loss of each epoch.
    validation_loss : array-like of shape (n_epochs,) or None, default=None
        Validation loss of the same epochs, NaN for epochs without one.
    best_iter : int or None, default=None
        Epoch, counted from 1, whose weights are kept. With None, no epoch is marked.
    n_iter : int or None, default=None
        Number of the last epoch, if the curves are only the end of longer ones. With
        None, epochs are counted from 1.
    name : str or None, default=None
        Name of the estimator in the legend. With None, there is no name.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains them.
    train_line_ : matplotlib Line2D
        Curve of the training loss.
    validation_line_ : matplotlib Line2D or None
        Curve of the validation loss, or None if no epoch has one.
    best_line_ : matplotlib Line2D or None
        Dot at `best_iter`, on the validation curve if it has a value there. It is None
        if `best_iter` is None or is not one of these epochs.

    See Also
    --------
    sknet.TwoLayerClassifier : The classifier whose loss curves are drawn.
    sklearn.model_selection.LearningCurveDisplay : Plot of the score by number of rows.
    sklearn.model_selection.ValidationCurveDisplay : Plot of the score by setting.

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
    def from_estimator(cls, estimator, *, name=None, ax=None):
        """Draw the loss curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            A fitted estimator with an attribute `loss_curve_`. Its attributes
            `validation_loss_curve_`, `best_iter_` and `n_iter_` are used if they exist.
            :class:`~sklearn.neural_network.MLPClassifier` is supported. Its
            `validation_scores_` are not losses, so they are not drawn.

        name : str or None, default=None
            Name of the estimator in the legend. With None, the name of its class.

        ax : matplotlib Axes or None, default=None
            Axes to draw on. With None, a new figure is created.

        Returns
        -------
        display : LossCurveDisplay
            The display with the drawn curves.

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
                f"{cls.__name__} needs the attribute loss_curve_, which this {kind} "
                "does not have. For a pipeline or a search, pass the fitted network "
                "itself, such as pipeline[-1] or search.best_estimator_."
            )
        train_loss = np.array(estimator.loss_curve_, dtype=float)
        validation_loss = getattr(estimator, "validation_loss_curve_", None)
        if validation_loss is not None:
            validation_loss = np.array(validation_loss, dtype=float)
        return cls(
            train_loss=train_loss,
            validation_loss=validation_loss,
            best_iter=getattr(estimator, "best_iter_", None),
            # partial_fit of TwoLayerClassifier forgets the first losses, while
            # MLPClassifier with warm_start keeps them and counts the last fit only
            n_iter=max(getattr(estimator, "n_iter_", 0), len(train_loss)),
            name=kind if name is None else name,
        ).plot(ax)

    def plot(self, ax=None, *, name=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. With None, a new figure is created.

        name : str or None, default=None
            Name of the estimator in the legend. With None, the `name` of the display.

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
        from matplotlib.ticker import MaxNLocator

        train = np.asarray(self.train_loss, dtype=float)
        validation = np.full(len(train), np.nan)
        if self.validation_loss is not None:
            validation = np.asarray(self.validation_loss, dtype=float)
        if len(validation) != len(train):
            raise ValueError(
                "validation_loss must have one value for each of train_loss. Use NaN "
                f"for missing ones. Got {len(validation)} and {len(train)} values."
            )
        n_iter = len(train) if self.n_iter is None else self.n_iter
        epochs = np.arange(n_iter - len(train), n_iter) + 1
        name = self.name if name is None else name
        prefix = "" if name is None else f"{name}, "
        if ax is None:
            _, ax = plt.subplots()

        (self.train_line_,) = ax.plot(epochs, train, label=f"{prefix}training")
        self.validation_line_ = self.best_line_ = None
        color = self.train_line_.get_color()
        if not np.isnan(validation).all():
            style = {"color": color, "label": f"{prefix}validation"}
            (self.validation_line_,) = ax.plot(epochs, validation, "--", **style)
        best = epochs == self.best_iter
        if best.any():
            loss = np.where(np.isnan(validation), train, validation)[best]
            style = {"color": color, "label": f"{prefix}epoch {self.best_iter} kept"}
            (self.best_line_,) = ax.plot(epochs[best], loss, "o", **style)

        ax.set(xlabel="Epoch", ylabel="Loss")
        locator = ax.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator):  # not one of the user's own
            locator.set_params(integer=True, min_n_ticks=1)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
