"""TwoLayerClassifier: settings, fit, partial_fit and the predictions. Nothing numeric.

Input is checked in ``_validation``, a fit is carried out in ``_fitting``; here stand
the scikit-learn contract, the documentation of every setting, and the promise that a
call that fails leaves the estimator as it was.
"""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if

from sknet import _callbacks, _fitting, _objects, _session, _validation
from sknet._documentation import DocumentationLinkMixin
from sknet._persistence import VersionMixin
from sknet._probabilities import ProbabilityMixin


def _trains_in_batches(estimator):
    """L-BFGS needs all rows at once: without it there is a partial_fit."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is only available for solver='adam' and solver='sgd'. "
            "Got solver='lbfgs'."
        )
    return True


class TwoLayerClassifier(
    _callbacks.CallbackSupportMixin,
    ProbabilityMixin,
    VersionMixin,
    DocumentationLinkMixin,
    ClassifierMixin,
    BaseEstimator,
):
    r"""Classifier with one hidden layer, scaled inputs and several members at once.

    ``n_estimators`` networks with one hidden layer each are trained at once on the
    weighted cross-entropy and their probabilities averaged. With one member it is the
    multilayer perceptron of the textbook:

    .. math:: p(y \mid x) = \operatorname{softmax}(a(z W_1 + b_1) W_2 + b_2), \qquad
        z = \operatorname{squash}((x - \mu) / s)

    with a single sigmoid output for two classes; `split_inputs` makes two of most
    inputs before the squash. A fit depends on the weighted data
    only: weight 3 equals three copies of a row, weight 0 equals its absence, and
    neither the order of the rows nor the units of a column matter.

    Parameters
    ----------
    hidden_layer_size : int or 'auto', default='auto'
        Hidden units of each member. 'auto' takes 48 for up to 5,000 distinct rows and
        128 for more, which have finer structure to learn, but fewer where all members
        would have more than 2**24 weights of inputs, down to 8.
    n_estimators : int or 'auto', default='auto'
        Members trained at once. Their first layers are one matrix product, so 8 members
        cost less than 8 fits. 'auto' takes 12 for up to 5,000 distinct rows, which
        leave much variance to average away, and 4 for more, or if 2**24 weights of
        inputs allow no more of 16 units. In `partial_fit` the first batch decides.
    activation : {'relu', 'tanh', 'logistic', 'identity'}, default='relu'
        Activation of the hidden units.
    solver : {'adam', 'sgd', 'lbfgs'}, default='adam'
        'adam' is Adam with decoupled weight decay [1]_ [2]_, 'sgd' gradient descent
        with momentum, 'lbfgs' SciPy's L-BFGS-B on all rows at once, for small data.
        L-BFGS ignores the batch, learning rate, momentum and dropout settings.
    alpha : float, default=0.01
        Weight decay. 'sgd' and 'lbfgs' minimize the mean loss of a row plus
        ``alpha / 2`` times the sum of squared weights; 'adam' multiplies the weights by
        ``1 - learning_rate * alpha`` at each step. Biases do not decay. Neither term
        depends on the number of rows, the batch size or the scale of sample weights.
    batch_size : int or 'auto', default='auto'
        Rows per step; 'auto' takes a twentieth of the distinct rows, but between 32 and
        256. A size larger than the data means all of them.
    learning_rate : {'cosine', 'constant', 'invscaling', 'adaptive'}, default='cosine'
        How the learning rate changes, for 'adam' and 'sgd'. 'cosine' rises for a tenth
        of the steps, then falls to zero at `max_iter`, so that reaching `max_iter` is
        the normal end; after `n_iter_no_change` epochs without an improvement it falls
        to zero at once, in half as many epochs as the best one took, but two at least
        (unless `max_iter` comes first). 'invscaling'
        divides by ``t ** power_t`` at step t. 'adaptive' divides by 5 whenever
        `n_iter_no_change` epochs brought no improvement by `tol`.
    learning_rate_init : float, default=0.01
        The (highest) learning rate.
    power_t : float, default=0.5
        Exponent of 'invscaling'.
    max_iter : int, default=80
        Epochs, or iterations of L-BFGS.
    shuffle : bool, default=True
        Deal the rows into minibatches anew in each epoch. False keeps one fixed order,
        which depends on the rows' content and not on the order they are given in.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the start, the validation split, the shuffling and the dropout, each
        with a stream of its own. An int gives the same model at each call.
    tol : float, default=1e-4
        An epoch counts as an improvement if it lowers the loss by more than `tol`. For
        L-BFGS: the largest entry of the gradient at which it has converged.
    verbose : int or bool, default=0
        0 is silent; k writes a line every k epochs and why training stopped to the
        logger ``sknet``, or to stdout where logging is not set up.
    warm_start : bool, default=False
        Continue the previous fit for `max_iter` more epochs, with its weights, moments,
        streams, column statistics and seed. The schedule begins anew, except for
        'invscaling'. With `early_stopping` the best of the new epochs is kept. A
        changed structure or number of features is an error.
    momentum : float, default=0.9
        Momentum of 'sgd'; 0 is plain gradient descent.
    nesterovs_momentum : bool, default=True
        Whether the momentum of 'sgd' is Nesterov's.
    early_stopping : bool or 'auto', default='auto'
        Stop when the log-loss of rows that were not trained on does not improve, and
        keep the weights of its best epoch. With several members these rows cost no
        training data: each member leaves out one of `n_estimators` stratified folds,
        so that every row has a prediction by a member that was not trained on it. These
        also set `temperature_`. Members of 'lbfgs' train one after the other, each to
        its end; there the folds set `temperature_` only. One member holds out
        `validation_fraction`. The ``X_val`` and ``y_val`` of `fit` are used instead if
        given; then all members train on all rows. 'auto' is True except for one member
        without ``X_val``. It also needs a row for each member, among classes with two
        distinct rows or more.
    validation_fraction : float, default=0.1
        Share of each class's distinct rows that one member holds out. Classes with a
        single row stay in training.
    store_oof_proba : bool, default=False
        Whether to keep `oof_proba_`.
    beta_1 : float, default=0.9
        Decay of Adam's first moment.
    beta_2 : float, default=0.999
        Decay of Adam's second moment.
    epsilon : float, default=1e-8
        Keeps Adam's denominator from zero.
    n_iter_no_change : int or inf, default=8
        Epochs in a row without an improvement that end training: of the validation loss
        with `early_stopping`, else of the training loss unless the learning rate is
        'cosine', which ends by itself. Three times as many while no epoch was 1 %
        better than predicting the class frequencies: then nothing is learnt yet.
    dropout : float or 'auto', default='auto'
        Share of hidden units switched off at each training step [3]_. 'auto' takes 0.5
        for up to 5,000 distinct rows and 0.35 for more, which need less of a guard. In
        `partial_fit` the first batch decides: give it, and the sizes, for a long stream
        of small batches.
    input_dropout : float, default=0.0
        Share of inputs switched off at each training step.
    scaling_layer : bool, default=True
        Let 'adam' also learn a factor for each input of each member [4]_, so that a
        useful input grows as a whole. The factors are part of `coefs_`: the network
        stays the same, only the way to it differs.
    standardize : bool, default=True
        Subtract each column's weighted mean and divide by its standard deviation, or,
        for a column of two values, by their distance. With `squash`, a few values, or
        copies of one, a thousand interquartile ranges out, such as 999999 for
        "missing", do not count, if there are ten rows. Sparse X is divided only.
    split_inputs : bool or 'auto', default='auto'
        Give each standardized column of more than two values to the network as two
        inputs, its part above the mean and its part below, so that every hidden unit
        has a slope of its own on either side: a linear spline with one knot [5]_.
        'auto' does so for up to 128 such columns: more are pixels or the like, of which
        no single one says much. Sparse X and what is not standardized enter once. In
        `partial_fit` the first batch decides.
    squash : float or None, default=5.0
        Bound of the smooth clip ``z / sqrt(1 + (z / squash) ** 2)`` of standardized
        inputs [4]_, which tames outliers. None leaves it out.
    dtype : {'float32', 'float64'}, default='float32'
        Precision of the training; L-BFGS always uses float64. Predictions have the
        precision of the X given to `fit`.
    class_weight : dict, 'balanced' or None, default=None
        Factors ``{label: weight}`` for the sample weights. 'balanced' gives every class
        the same total weight.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of columns of the X seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of its columns, if they are all strings.
    coefs_ : list of ndarray
        Weights on standardized inputs, shapes (n_inputs, hidden_layer_size) and
        (hidden_layer_size, n_outputs); with more than one member, (n_estimators,
        n_inputs, hidden_layer_size) and (n_estimators, hidden_layer_size, n_outputs).
        n_inputs is `n_features_in_`, and one more for each of `split_columns_`.
    intercepts_ : list of ndarray
        Biases, shapes (hidden_layer_size,) and (n_outputs,), with a leading axis for
        more than one member.
    mean_ : ndarray of shape (`n_features_in_`,) or None
        What is subtracted from each column. None without `standardize`; zero for
        sparse X.
    scale_ : ndarray of shape (`n_features_in_`,) or None
        What each column is divided by. None without `standardize`.
    split_columns_ : ndarray of int of shape (n_inputs - `n_features_in_`,)
        Columns that enter twice: above their mean in their place, below it at the end.
    split_offset_ : ndarray of shape (n_inputs - `n_features_in_`,)
        Half their mean absolute deviation, in units of `scale_`: subtracted from the
        upper input and added to the lower one, so that both have the mean zero before
        the squash. In a stream it is an estimate: of the rows before only their mean
        deviation is known, and how far their mean has moved.
    oof_proba_ : ndarray of shape (n_samples, n_classes) or None
        With `store_oof_proba` and folds: the probabilities of each row given to `fit`
        by the member that was not trained on it, at the temperature that suits one
        member. What ``cross_val_predict`` would give, but for what all folds share: the
        columns' statistics, the best epoch, the temperature and balanced class weights.
        NaN for the only row of its class, which all members are trained on. A row of
        weight zero that no member was trained on gets the members' mean.
    temperature_ : float
        Logits are divided by it before they become probabilities. It is fitted to the
        out-of-fold logits of the best epoch, then lowered as much as the mean of the
        members errs less than each of them. 1 without folds.
    n_iter_ : int
        Epochs done.
    best_iter_ : int
        Epoch, counted from 1, whose weights are kept: that of the lowest validation
        loss with `early_stopping`, else the last.
    loss_curve_ : list of float
        Mean training log-loss of each epoch, over rows and members, without the
        penalty. After `partial_fit`, of the last 100 passes.
    validation_loss_curve_ : list of float or None
        Log-loss of the rows not trained on, after each epoch; for folds, at the
        temperature that suits the epoch best. Without dropout the logits of a fold are
        those of the epoch's own passes, and the loss that of the weights on the way.
        NaN for an epoch without such rows; None once no number is left.
    best_validation_loss_ : float or None
        Its lowest value in the last call. None without such rows.
    stop_reason_ : str
        Why training ended: 'max_iter', 'no_improvement', 'converged', 'line_search',
        'diverged', 'callback' or 'interrupted'.

    References
    ----------
    .. [1] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [2] Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    .. [3] Srivastava et al., "Dropout: a simple way to prevent neural networks from
       overfitting", JMLR 15, 2014.
    .. [4] Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned
       MLPs and boosted trees on tabular data", NeurIPS 2024.
    .. [5] Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in
       tabular deep learning", NeurIPS 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sknet import TwoLayerClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = TwoLayerClassifier(random_state=0).fit(X_train, y_train)
    >>> bool(clf.score(X_test, y_test) > 0.95)
    True
    """

    # saved models name the class by it, and are to survive a change of private modules
    __module__ = "sknet"

    def __init__(
        self,
        hidden_layer_size="auto",
        *,
        n_estimators="auto",
        activation="relu",
        solver="adam",
        alpha=0.01,
        batch_size="auto",
        learning_rate="cosine",
        learning_rate_init=0.01,
        power_t=0.5,
        max_iter=80,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=0,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping="auto",
        validation_fraction=0.1,
        store_oof_proba=False,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=8,
        dropout="auto",
        input_dropout=0.0,
        scaling_layer=True,
        standardize=True,
        split_inputs="auto",
        squash=5.0,
        dtype="float32",
        class_weight=None,
    ):
        self.hidden_layer_size = hidden_layer_size
        self.n_estimators = n_estimators
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.store_oof_proba = store_oof_proba
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.scaling_layer = scaling_layer
        self.standardize = standardize
        self.split_inputs = split_inputs
        self.squash = squash
        self.dtype = dtype
        self.class_weight = class_weight

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Fit to weighted rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Any real dtype and memory layout. Arrays and CSR matrices are not copied.

        y : array-like of shape (n_samples,)
            Labels: strings, bools, integers, dates or floats without a fraction.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts. Their common scale does not matter.

        X_val, y_val : array-like, default=None
            A validation set of your own. Its loss is recorded after each epoch and,
            unless `early_stopping` is False, chooses the best one and ends training.

        sample_weight_val : array-like, default=None
            Weights of its rows.

        Returns
        -------
        self : TwoLayerClassifier
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a setting or the input is not usable. The estimator stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the loss was not finite, or ended no better than the class frequencies.
        UserWarning
            If ``early_stopping=True`` has no rows to hold out, if a warm start would
            hold out rows that it has been trained on, or if columns of very different
            size are not scaled.
        """
        settings = _validation.check_settings(self)
        stand_in = self._stand_in()
        previous = self._previous() if self.warm_start else None
        labelled = _validation.check_X_y(
            stand_in, X, y, sample_weight, reset=previous is None
        )
        known = None if previous is None else self.classes_
        classes, labelled = _validation.encode(labelled, known)
        _validation.check_class_weight(self.class_weight, classes, labelled)
        validation = _validation.check_validation_set(
            stand_in, classes, X_val, y_val, sample_weight_val
        )
        if not self.standardize:
            _validation.warn_about_scales(labelled.X)
        with (
            _session.unmoved_by_failure(settings.random_state),
            _callbacks.followed(stand_in, classes, X, y, sample_weight) as callbacks,
            np.errstate(all="ignore"),  # what is not finite is dealt with
        ):
            attributes, interruption = _fitting.fit(
                settings, labelled, classes, validation, previous, callbacks
            )
        self._publish(stand_in, classes, attributes, interruption)
        return self

    @available_if(_trains_in_batches)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for exactly one pass over a batch of rows.

        There is no early stopping and `temperature_` is 1. The learning rate is
        constant ('invscaling' goes on falling from call to call), and k calls with the
        same rows equal k epochs of `fit`. Column statistics, class frequencies for
        ``class_weight="balanced"`` and the mean weight are those of all rows so far.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The batch.

        y : array-like of shape (n_samples,)
            Its labels, any subset of the classes.

        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come: needed at the first call, accepted later.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts.

        Returns
        -------
        self : TwoLayerClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If `classes` is missing at first or changed later, or a label is not in it;
            if no row has positive weight, or all have 1e60 times the first batch's.
        """
        settings = _validation.check_settings(self)
        stand_in = self._stand_in()
        previous = self._previous()
        labelled = _validation.check_X_y(
            stand_in, X, y, sample_weight, reset=previous is None
        )
        known = None if previous is None else self.classes_
        classes = _validation.classes_of_stream(classes, known)
        classes, labelled = _validation.encode(labelled, classes)
        _validation.check_class_weight(self.class_weight, classes, labelled)
        with (
            _session.unmoved_by_failure(settings.random_state),
            _callbacks.followed(stand_in, classes, X, y, sample_weight) as callbacks,
            np.errstate(all="ignore"),  # what is not finite is dealt with
        ):
            attributes, interruption = _fitting.partial_fit(
                settings, labelled, classes, previous, callbacks
            )
        self._publish(stand_in, classes, attributes, interruption)
        return self

    @property
    def coefs_(self):
        """Weights of both layers; views, with a leading axis for several members."""
        shape, layers = self._layers()
        d, h, _, k = shape
        W1 = layers.W1.reshape(d, k, h).transpose(1, 0, 2)
        return [W1, layers.W2] if k > 1 else [W1[0], layers.W2[0]]

    @property
    def intercepts_(self):
        """Biases of both layers; views, with a leading axis for several members."""
        (_, h, o, k), layers = self._layers()
        b1, b2 = layers.b1.reshape(k, h), layers.b2.reshape(k, o)
        return [b1, b2] if k > 1 else [b1[0], b2[0]]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self):
        return "_params" in vars(self)

    def _layers(self):
        """Shape and named views of the fitted parameters."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        attributes = vars(self)  # once: another thread may put a new model there
        shape = _objects.fitted_shape(attributes)
        return shape, shape.views(attributes["_params"])

    def _previous(self):
        """Fitted attributes to continue from, or None before the first fit."""
        if not self.__sklearn_is_fitted__():
            return None
        _validation.check_structure(self, self._state["structure"])
        return dict(vars(self))

    def _publish(self, stand_in, classes, attributes, interruption):
        """Replace all fitted attributes at once, then let an interruption go on."""
        seen = ("n_features_in_", "feature_names_in_")
        about_X = {
            name: vars(stand_in)[name] for name in seen if hasattr(stand_in, name)
        }
        others = {n: v for n, v in vars(self).items() if n not in seen}
        # one assignment: another thread sees the one model or the other
        self.__dict__ = {**others, **about_X, "classes_": classes, **attributes}
        if interruption is not None:
            raise interruption
