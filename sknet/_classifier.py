"""TwoLayerClassifier: settings, fit, partial_fit and predictions.

Input is checked in ``_checks`` and a fit is carried out in ``_fit``. This module
implements scikit-learn's interface and documents every setting.
"""

import warnings
from functools import partial
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call
from sklearn.utils.validation import check_is_fitted

import sknet
from sknet import _checks
from sknet._blend import Blend, log_mean_proba, mean_proba, member_proba
from sknet._callbacks import CallbackSupportMixin, Task
from sknet._data.table import Table
from sknet._fit import fit

LAYOUT = 5  # of saved models; increase it when the meaning of an attribute changes


class SknetVersionWarning(UserWarning):
    """A model was loaded with another version of sknet than the one that saved it."""

    __module__ = "sknet"  # the public name


def _trains_in_batches(estimator):
    """Whether the solver supports partial_fit. L-BFGS needs all rows at once."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is only available for solver='adam' and solver='sgd'. "
            "Got solver='lbfgs'."
        )
    return True


class TwoLayerClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    r"""Neural network classifier with one hidden layer and calibrated probabilities.

    ``n_estimators`` networks ("members") with one hidden layer are trained at once on
    the weighted cross-entropy, and their probabilities are averaged. Each member
    computes

    .. math:: p(y \mid x) = \operatorname{softmax}(a(z W_1 + b_1) W_2 + b_2)

    from the scaled columns z, with one sigmoid output for two classes. With 100
    distinct rows or more, `fit` trains several variants, which differ in dropout and in
    the encoding of numeric columns, and blends them by their out-of-fold log-loss. A
    row of weight 3 equals three copies, and the order of the rows does not matter.

    Parameters
    ----------
    hidden_layer_size : int or 'auto', default='auto'
        Hidden units of each member. 'auto' uses 48 for up to 5,000 distinct rows and
        128 for more, 32 to 256 in a blend, and fewer for tens of thousands of columns.
    n_estimators : int or 'auto', default='auto'
        Number of members. More members reduce the variance further. 'auto' uses 12 for
        up to 5,000 distinct rows, and fewer above that, but at least 4.
    activation : {'relu', 'tanh', 'logistic', 'identity'}, default='relu'
        Activation of the hidden units.
    dropout : float or 'auto', default='auto'
        Share of hidden units switched off at each training step [3]_. 'auto' uses 0.5
        for up to 5,000 distinct rows and 0.35 for more. Other variants use 0.1 or 0.2.
    input_dropout : float, default=0.0
        Share of inputs switched off at each step (0.5 in the variant "masked").
    blend : bool or 'auto', default='auto'
        Whether to blend variants of the network. 'auto' needs at least 100 rows (or
        groups), and 'auto' for `dropout` and `n_knots`. A blend needs dense X, folds,
        `standardize`, and no `warm_start`.
    solver : {'adam', 'sgd', 'lbfgs'}, default='adam'
        Adam with decoupled weight decay [1]_ [2]_, gradient descent with Nesterov's
        momentum, or SciPy's L-BFGS-B on all rows at once, which suits small data and
        ignores the batch, learning rate, momentum and dropout settings.
    alpha : float, default=0.01
        Weight decay: an L2 penalty of ``alpha / 2`` times the sum of squared weights,
        or a decay of ``learning_rate * alpha`` at each step of 'adam'. With 'adam',
        some variants of a blend use up to 30 times as much.
    batch_size : int or 'auto', default='auto'
        Rows per step. 'auto' uses an eightieth of the distinct rows (up to a tenth with
        more than 192 network inputs), but at least 32 and at most 256.
    learning_rate : {'cosine', 'constant'}, default='cosine'
        Schedule. 'cosine' rises for a tenth of the steps and then falls to zero at
        `max_iter`. After `n_iter_no_change` epochs without improvement, it falls to
        zero in half the number of epochs up to the best one.
    learning_rate_init : float, default=0.01
        The highest learning rate. Decrease it if the loss is not finite.
    max_iter : int or 'auto', default='auto'
        Maximum number of epochs, or of iterations of L-BFGS. 'auto' uses 60 for up to
        8,000 distinct rows, and fewer above that, but at least 3.
    tol : float, default=1e-4
        Smallest decrease of the loss that counts as an improvement. L-BFGS stops when
        no entry of the gradient is larger than this.
    n_iter_no_change : int or inf, default=5
        Training ends after this many epochs without improvement, or three times as many
        at the start. Without early stopping, it applies only to a constant rate.
    momentum : float, default=0.9
        Nesterov's momentum of 'sgd'. 0 is plain gradient descent.
    class_weight : dict, 'balanced' or None, default=None
        Factors ``{label: weight}`` for the sample weights. 'balanced' gives all classes
        the same total weight.
    warm_start : bool, default=False
        Continue the previous fit for up to `max_iter` more epochs, with its weights,
        scaling and seed. Settings that the weights depend on must not change.
    dtype : {'float32', 'float64'}, default='float32'
        Precision of training and of predicting over 1,000 rows. L-BFGS uses float64.
    early_stopping : bool or 'auto', default='auto'
        Stop when the log-loss of rows left out of training does not improve, and keep
        the best epoch. Each of several members leaves out one fold. A single one leaves
        out `validation_fraction`, but 'auto' stops it early only with `X_val`.
    validation_fraction : float, default=0.1
        Share of each class that a single member leaves out.
    store_oof_proba : bool, default=False
        Whether to keep the out-of-fold probabilities `oof_proba_`.
    standardize : bool, default=True
        Subtract each column's mean (not of sparse X), divide by its standard deviation,
        bound outliers smoothly at 5, and let 'adam' learn a factor for each input [4]_.
    n_knots : int or 'auto', default='auto'
        Inputs of a standardized numeric column: 0 for the column alone, 1 for its parts
        above and below the mean, k up to 255 for a piecewise linear basis in k
        quantiles [5]_. 'auto' uses 1 for up to 128 columns and otherwise 0.
    categorical_features : 'from_dtype', array-like or None, default='from_dtype'
        'from_dtype' selects the columns of a frame with a categorical or string dtype,
        and an array gives names, indices or a mask. Rare and unseen levels share one
        input, and out-of-fold statistics of the labels replace more than 40 levels.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the fit. Pass an int to get the same model at each call.
    n_jobs : int or None, default=None
        Threads for the variants of a blend and for the prediction of many rows. -1 uses
        all cores. The result does not depend on it. Very small networks use one thread.
    verbose : int or bool, default=0
        With k, write a line every k epochs, to the logger ``sknet`` or to stdout.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted labels.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Number of columns seen in `fit`, and their names, if all are strings.
    blend_weights_ : ndarray of shape (n_variants,)
        Weights of the variants, in the order "plain", "masked", "knots" and "ranks".
        "plain" is used only up to 1,000 rows, and "sharp" replaces "masked" beyond
        5,000. Other attributes describe the first variant, even if its weight is 0.
    coefs_, intercepts_ : list of ndarray
        Read-only weights and biases of both layers. The first weights have the shape
        (n_inputs, hidden_layer_size). Several members add a leading axis.
    n_estimators_, hidden_layer_size_, batch_size_, n_knots_, dropout_ : int or float
        Values chosen by 'auto'.
    input_names_ : ndarray of shape (n_inputs,)
        Names of the network's inputs, such as "age (upper)", "age missing", "sex=male".
    mean_, scale_ : ndarray of shape (`n_features_in_`,) or None
        The value subtracted from each column and the value by which it is divided, or
        NaN for categories. None without `standardize`. The mean is zero for sparse X.
    split_columns_ : ndarray of int
        Columns that are split into their parts above and below the mean.
    oof_proba_ : ndarray of shape (n_samples, n_classes) or None
        Probabilities for each training row from the member that was not trained on it,
        calibrated on the other folds. NaN for the only row of a class.
    temperature_ : float
        Divides the logits, so that probabilities of left-out rows are calibrated. It is
        1 if there are no out-of-fold rows.
    n_iter_, best_iter_ : int
        Number of epochs, and number of the epoch whose weights are kept. Epochs are
        counted from 1.
    loss_curve_, validation_loss_curve_ : list of float
        Mean log-loss of each epoch on the training rows and on the rows that were left
        out (None if there are none). After `partial_fit`, only the last 100 are kept.
    best_validation_loss_ : float or None
        The lowest validation loss of the last call of `fit`.
    stop_reason_ : str
        Why training ended: 'max_iter', 'no_improvement', 'converged', 'line_search',
        'diverged', 'callback' or 'interrupted'.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [2] Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    .. [3] Srivastava et al., "Dropout", JMLR 15, 2014.
    .. [4] Holzmüller, Grinsztajn and Steinwart, "Better by default", NeurIPS 2024.
    .. [5] Gorishniy et al., "On embeddings for numerical features", NeurIPS 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sknet import TwoLayerClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = TwoLayerClassifier(random_state=0).fit(X[:400], y[:400])
    >>> bool(clf.score(X[400:], y[400:]) > 0.95)
    True
    """

    # Saved models name the class by its public module.
    __module__ = "sknet"

    _parameter_constraints = _checks.PARAMETER_CONSTRAINTS

    def __init__(
        self,
        hidden_layer_size="auto",
        *,
        n_estimators="auto",
        activation="relu",
        dropout="auto",
        input_dropout=0.0,
        blend="auto",
        solver="adam",
        alpha=0.01,
        batch_size="auto",
        learning_rate="cosine",
        learning_rate_init=0.01,
        max_iter="auto",
        tol=1e-4,
        n_iter_no_change=5,
        momentum=0.9,
        class_weight=None,
        warm_start=False,
        dtype="float32",
        early_stopping="auto",
        validation_fraction=0.1,
        store_oof_proba=False,
        standardize=True,
        n_knots="auto",
        categorical_features="from_dtype",
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.hidden_layer_size = hidden_layer_size
        self.n_estimators = n_estimators
        self.activation = activation
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.blend = blend
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.momentum = momentum
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.dtype = dtype
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.store_oof_proba = store_oof_proba
        self.standardize = standardize
        self.n_knots = n_knots
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        groups=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Fit to weighted rows.

        Parameters
        ----------
        X : {data frame, array-like, sparse matrix} of shape (n_samples, n_features)
            Numbers, with NaN for missing values. A pandas, polars or pyarrow data frame
            may also have columns of categories and strings (see
            `categorical_features`). Arrays and CSR matrices are not copied.
        y : array-like of shape (n_samples,)
            Labels: strings, bools, integers, dates or floats without a fraction.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts. A common factor does not matter.
        groups : array-like of shape (n_samples,), default=None
            The patient, user or other subject of each row. Rows of one group are left
            out of training together, so that early stopping, `temperature_` and
            `oof_proba_` are based on unseen subjects.
        X_val, y_val : array-like, default=None
            A validation set, used for early stopping instead of held-out rows.
        sample_weight_val : array-like, default=None
            Sample weights of the validation set.

        Returns
        -------
        self : TwoLayerClassifier
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a setting or the input is invalid. The estimator then stays unchanged.

        Warns
        -----
        ConvergenceWarning
            If the loss was not finite, or not lower than that of the class frequencies.
        """
        data, validation = (X, y, sample_weight), (X_val, y_val, sample_weight_val)
        return self._fit("fit", data, groups=groups, validation=validation)

    @available_if(_trains_in_batches)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, *, groups=None):
        """Train for exactly one pass over a batch of rows.

        There is no early stopping and `temperature_` is 1. The learning rate is
        constant, and k calls with the same rows equal k epochs of `fit`. Column
        statistics, class frequencies for ``class_weight="balanced"`` and the mean
        weight are computed from all rows so far.

        Parameters
        ----------
        X, y : array-like
            The batch, as for `fit`. Its labels may be any subset of the classes.
        classes : array-like of shape (n_classes,), default=None
            All labels that can occur. They are required at the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts.
        groups : None
            Not supported, because no rows are left out.

        Returns
        -------
        self : TwoLayerClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If `classes` is missing at the first call or changed later, if a label is
            not in it, or if no row has positive weight.
        """
        if groups is not None:
            raise ValueError(
                "partial_fit leaves no rows out, so it does not accept groups. Use "
                "fit, or pass groups=None."
            )
        self._validate_params()  # _fit_context skips this check after the first call
        return self._fit("partial_fit", (X, y, sample_weight), classes=classes)

    def _fit(
        self, name, data, *, groups=None, classes=None, validation=(None, None, None)
    ):
        """Check the input, train and assign the fitted attributes.

        If anything fails, the attributes are restored, and a fitted model stays usable.
        """
        before, stream = dict(vars(self)), name == "partial_fit"
        previous = self._previous() if stream or self.warm_start else {}
        known = previous.get("classes_")
        try:
            if stream:
                if classes is not None:
                    classes = _checks.check_labels(classes, "classes")
                _check_partial_fit_first_call(self, classes)
                known = self.classes_
            rows = _checks.check_rows(self, *data, groups, known, not previous)
            validation = _checks.check_validation_set(self, rows, *validation)
            self.classes_ = rows.classes
            task = partial(Task.of_fit, self, name, *data)
            fitted = fit(self, rows, validation, previous, task, stream)
        except BaseException:
            # scikit-learn needs the callback attributes to end the callbacks
            callbacks = {n: v for n, v in vars(self).items() if "callback" in n}
            vars(self).clear()
            vars(self).update(before, **callbacks)
            raise
        attributes, interrupted = fitted
        vars(self).update(attributes)
        if interrupted:
            raise KeyboardInterrupt
        return self

    def predict(self, X):
        """Most probable label of each row.

        Parameters
        ----------
        X : {data frame, array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels from `classes_`.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X):
        """Probability of each class, the mean over members and variants.

        Parameters
        ----------
        X : {data frame, array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`; float32 if `fit` was given float32.
        """
        return self._predict(X, mean_proba)

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`, computed from the logits and always finite.

        Parameters
        ----------
        X : {data frame, array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return self._predict(X, log_mean_proba)

    def decision_function(self, X):
        """Logit of the second class's probability, or log-probability of each class.

        Parameters
        ----------
        X : {data frame, array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, it is positive if the second class is more probable.
        """
        log_proba = self.predict_log_proba(X)
        score = self._blend.models[0].network.loss.logits(log_proba)
        return score[:, 0] if len(self.classes_) == 2 else score

    def member_proba(self, X):
        """Probability of each class from each member of each variant in use.

        Parameters
        ----------
        X : {data frame, array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_members, n_samples, n_classes)
            The members are ordered by variant. `predict_proba` is the mean over each
            variant's members, weighted by `blend_weights_`.
        """
        return self._predict(X, member_proba).transpose(1, 0, 2)

    def _predict(self, X, reduction):
        if not self.__sklearn_is_fitted__():  # faster than check_is_fitted for one row
            check_is_fitted(self)
        return self._blend.predict(_checks.check_X(self, X), reduction, self.n_jobs)

    @property
    def _model(self):
        """The model of the first variant."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return self._blend.models[0]

    @property
    def input_names_(self):
        """Names (n_inputs,) of the network's inputs, the rows of ``coefs_[0]``."""
        inputs, table = self._model.inputs, self._table
        columns = [table.name(j) for j in range(self.n_features_in_)]
        if self._blend.levels is not None:
            columns = self._blend.levels.names(columns, self.classes_)
        return np.array(inputs.names(columns, table.levels), dtype=object)

    @property
    def temperature_(self):
        """The divisor of the logits before they are converted to probabilities."""
        return self._model.temperature

    @property
    def coefs_(self):
        """Read-only weights of both layers, with a leading axis for several members."""
        network = self._model.network
        d, h, _, k = network.shape
        W1, W2, *_ = network.layers
        return _read_only(W1.reshape(d, k, h).transpose(1, 0, 2), W2)

    @property
    def intercepts_(self):
        """Read-only biases of both layers, with a leading axis for several members."""
        network = self._model.network
        _, h, o, k = network.shape
        *_, b1, b2 = network.layers
        return _read_only(b1.reshape(k, h), b2.reshape(k, o))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    def __sklearn_is_fitted__(self):
        return "_blend" in vars(self)

    def __getstate__(self):
        state = {**super().__getstate__(), "_sknet_version": sknet.__version__}
        state["_sknet_layout"] = LAYOUT
        if self.__sklearn_is_fitted__():  # plain types, which skops trusts
            state["_blend"] = self._blend.state()
            state["_table"] = vars(self._table)
        return state

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_sknet_version", None)
        layout = state.pop("_sknet_layout", None)
        advice = "Load it with the version that saved it, or fit it again."
        writer = f"sknet {version}" if version else "an unknown version of sknet"
        saved = f"This {type(self).__name__} was saved by {writer}"
        saved += f" in layout {layout} and is loaded by sknet {sknet.__version__}"
        if layout != LAYOUT and "classes_" in state:
            raise ValueError(f"{saved}, which reads layout {LAYOUT}. {advice}")
        if version != sknet.__version__:
            message = f"{saved}, whose predictions may differ. {advice}"
            warnings.warn(message, SknetVersionWarning, stacklevel=2)
        if "_blend" in state:
            state["_blend"] = Blend.restored(state["_blend"], len(state["classes_"]))
            state["_table"] = Table(**state["_table"])
        super().__setstate__(state)

    def _validate_params(self):
        """Check the settings, with a separate error for a number as `learning_rate`."""
        if isinstance(self.learning_rate, Real):
            raise InvalidParameterError(
                f"The 'learning_rate' parameter of {type(self).__name__} must be a "
                "schedule, a str among {'constant', 'cosine'}. Got "
                f"{self.learning_rate!r} instead. Pass a rate as learning_rate_init."
            )
        super()._validate_params()

    def _previous(self):
        """Fitted attributes to continue from, empty before the first fit."""
        if not self.__sklearn_is_fitted__():
            return {}
        sizes = {n: vars(self)[f"{n}_"] for n in ("n_estimators", "hidden_layer_size")}
        for name, value in {**self._state["structure"], **sizes}.items():
            if getattr(self, name) not in ("auto", value):
                raise ValueError(
                    f"{name} was {value!r} in the fit that warm_start continues. Got "
                    f"{getattr(self, name)!r}. Restore it, or start a new fit with "
                    "warm_start=False."
                )
        return dict(vars(self))


def _read_only(*stacks):
    """Read-only views of the arrays, without the leading axis for a single member."""
    views = [stack if len(stack) > 1 else stack[0] for stack in stacks]
    for view in views:
        view.flags.writeable = False
    return views
