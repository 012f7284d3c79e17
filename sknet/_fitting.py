"""One fit: settings and checked rows in, everything that the estimator publishes out.

What a later ``partial_fit`` or warm start continues with is kept as plain arrays,
numbers and dicts, never as live objects, and is replaced as a whole: a fit that fails
leaves the old one untouched.
"""

import math
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from sknet import _reporting
from sknet._columns import ColumnStatistics
from sknet._crossfit import (
    OutOfFold,
    member_weights,
    out_of_fold_proba,
    temperature_of_mean,
)
from sknet._network import Shape, TwoLayerNetwork
from sknet._objects import (
    ACTIVATIONS,
    Sizes,
    batch_size_for,
    columns_to_split,
    loss_for,
    optimizer_for,
    schedule_for,
    split_of,
)
from sknet._prediction import ValidationLoss
from sknet._preparation import Seen, prepare, prepare_batch
from sknet._publishing import Outcome, Temperatures, optimizer_kind, published
from sknet._rows import fold_of_rows
from sknet._schedules import Constant
from sknet._standardizer import Standardizer, working_dtype
from sknet._training import (
    Dataset,
    Minibatches,
    Monitor,
    fit_lbfgs,
    fit_stochastic,
    mean_history,
)
from sknet._validation import class_weights

FULL_BATCH_ELEMENTS = 1 << 20  # of a block's widest array, for L-BFGS
LONGEST_CURVE = 100  # losses kept by partial_fit, whose calls have no end


def seed_of(random_state):
    """One integer from an int, a RandomState, a Generator or None."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    return int(random_state)


def streams(seed):
    """Separate generators, so that one use of chance does not move another."""
    names = ("init", "split", "shuffle", "dropout")
    children = np.random.SeedSequence(seed).spawn(len(names))
    return {
        name: np.random.default_rng(c) for name, c in zip(names, children, strict=True)
    }


def fit(settings, labelled, classes, validation, previous):
    """Train for ``max_iter`` epochs; returns the fitted attributes and an interruption.

    Parameters
    ----------
    settings : SimpleNamespace
        The estimator's checked parameters.
    labelled : Labelled
    classes : ndarray of shape (n_classes,)
    validation : Labelled or None
        A given validation set.
    previous : dict or None
        Attributes of the fit that a warm start continues.
    """
    settings = SimpleNamespace(**vars(settings))
    settings.asked_to_stop_early = settings.early_stopping is True
    if settings.early_stopping == "auto":
        # "auto" members are never one
        settings.early_stopping = settings.n_estimators != 1 or validation is not None
    session = Session(settings, classes, labelled.X, previous)
    splits = settings.early_stopping and validation is None
    prepared = prepare(
        settings,
        session.in_reach(labelled),
        classes,
        statistics=session.statistics,
        sizes=session.sizes,
        split_rng=session.rngs["split"] if splits else None,
        known_split=None if previous is None else session.state["split"],
    )
    session.bind(prepared)
    held_out = prepared.held_out
    if validation is not None:
        held_out = _given_validation(settings, validation, classes, prepared)
    if settings.solver == "lbfgs":
        outcome = session.run_lbfgs(held_out)
    else:
        outcome = session.run_stochastic(held_out)
    if outcome.interruption is None:
        _reporting.warn_if_in_trouble(
            settings, outcome, prepared.data, held_out, len(classes)
        )
    attributes = published(session, outcome, keep_state=settings.warm_start)
    if settings.store_oof_proba and prepared.fold is None:
        _reporting.warn_no_folds(settings, validation, prepared.sizes.n_estimators)
    elif settings.store_oof_proba:
        attributes["oof_proba_"] = session.oof_proba(outcome, labelled.X)
    return attributes, outcome.interruption


def partial_fit(settings, labelled, classes, previous):
    """Train for exactly one pass at a constant rate; returns as ``fit`` does."""
    settings = SimpleNamespace(**vars(settings))
    settings.max_iter, settings.early_stopping = 1, False
    if settings.learning_rate != "invscaling":
        settings.learning_rate = "constant"
    session = Session(settings, classes, labelled.X, previous)
    prepared = prepare_batch(
        settings,
        session.in_reach(labelled, stream=True),
        classes,
        statistics=session.statistics,
        sizes=session.sizes,
        seen=session.state.get("seen") and Seen(*session.state["seen"]),
    )
    session.bind(prepared)
    outcome = session.run_stochastic(None)
    if outcome.n_recoveries:
        _reporting.warn_of_divergence(settings, outcome)
    attributes = published(session, outcome, keep_state=True, longest=LONGEST_CURVE)
    return attributes, outcome.interruption


class Session:
    """The objects of one fit: streams, loss, standardizer, network, and their order.

    Parameters
    ----------
    settings : SimpleNamespace
    classes : ndarray of shape (n_classes,)
    X : ndarray or csr_array
        Predictions are made in the float dtype that holds its dtype.
    previous : dict or None
        Attributes of the fit that is continued.
    """

    def __init__(self, settings, classes, X, previous):
        self.settings = settings
        self.previous = previous
        self.state = {} if previous is None else previous["_state"]
        self.sparse = sp.issparse(X)
        known = self.state.get("sparse", self.sparse)
        if settings.standardize and known != self.sparse:
            raise ValueError(
                f"X is {'sparse' if self.sparse else 'dense'}, but was not in the fit "
                "that is to be continued. Sparse columns are not centred: give X in "
                "the same form, or use standardize=False."
            )
        self.seed = self.state.get("seed")
        if self.seed is None:
            self.seed = seed_of(settings.random_state)
        self.rngs = streams(self.seed)
        for name, saved in self.state.get("streams", {}).items():
            self.rngs[name].bit_generator.state = saved
        self.loss = loss_for(len(classes))
        self.output_dtype = working_dtype(X.dtype)
        double = settings.solver == "lbfgs" or settings.dtype == "float64"
        self.dtype = np.dtype(np.float64 if double else np.float32)

    def in_reach(self, labelled, *, stream=False):
        """Scale extreme weights: only ratios count, and their squares must be finite.

        The scale is a power of two, exact, and the same for a whole stream.
        """
        weight = labelled.sample_weight
        self.weight_exponent = self.state.get("weight_exponent") if stream else None
        if self.weight_exponent is None:
            exponent = int(np.frexp(weight.max())[1])
            self.weight_exponent = exponent if abs(exponent) > 300 else 0
        with np.errstate(over="ignore", under="ignore"):
            weight = np.ldexp(weight, -self.weight_exponent)
        if not 1e-150 < weight.max() < 1e150:
            raise ValueError(
                "sample_weight is too far from the weights of the calls before: only "
                f"ratios count, but the largest is {labelled.sample_weight.max():g}."
            )
        return labelled._replace(sample_weight=weight)

    @property
    def statistics(self):
        """The column statistics of the fit that is continued, if there are any."""
        known = self.state.get("statistics")
        return None if known is None else ColumnStatistics(*known)

    @property
    def sizes(self):
        """Members and hidden units of the fit that is continued, if there is one."""
        if self.previous is None:
            return None
        return Sizes(*(self.state["structure"][name] for name in Sizes._fields))

    def bind(self, prepared):
        """Take the prepared rows; from here the network's shape is known."""
        self.prepared = prepared
        self.split_columns, self.split_offset = self._split()
        self.shape = Shape(
            prepared.data.X.shape[1] + len(self.split_columns),
            prepared.sizes.hidden_layer_size,
            self.loss.n_outputs,
            prepared.sizes.n_estimators,
        )
        self.standardizer = self._standardizer(self.dtype)

    def _standardizer(self, dtype):
        """Rows of X to network inputs of this dtype."""
        statistics = self.prepared.statistics
        mean, scale = (
            (None, None)
            if statistics is None
            else (statistics.centre, statistics.scale)
        )
        split = split_of(self.split_columns, self.split_offset)
        return Standardizer(mean, scale, self.settings.squash, dtype, split)

    def _split(self):
        """The columns that enter the network twice, and how their parts are centred.

        The fit that is continued has chosen them, or the first batch of a stream.
        """
        statistics = self.prepared.statistics
        if self.previous is None:
            columns = columns_to_split(self.settings, statistics)
        else:
            columns = self.previous["split_columns_"]
        offset = statistics.half_deviation[columns] if len(columns) else np.empty(0)
        return columns, offset

    def network(self, params, shape=None, penalized=True, **dropout):
        """A network on ``params``; the penalty is its own, or the optimizer's decay."""
        return TwoLayerNetwork(
            self.shape if shape is None else shape,
            params,
            ACTIVATIONS[self.settings.activation],
            self.loss,
            alpha=self.settings.alpha if penalized else 0.0,
            **dropout,
        )

    def first_params(self):
        """Weights to start from: drawn anew, or those of the fit that is continued."""
        if self.previous is not None:
            kept = self.state.get("params", self.previous["_params"])
            return kept.astype(self.dtype)
        params = np.empty(self.shape.n_params, self.dtype)
        prepared = self.prepared
        self.network(params).start(
            self.rngs["init"],
            *self.standardizer.orient(prepared.direction),
            prepared.class_rank,
            self._class_log_prior(),
        )
        return params

    def _class_log_prior(self):
        """What each member's own rows say of the classes (1 or k, n_classes).

        A class counts as half a row at least: none has probability zero.
        """
        _, _, y, weights = self.member_data()
        counts = [np.bincount(y, w, minlength=self.loss.n_classes) for w in weights]
        floored = np.maximum(counts, 0.5)
        return np.log(floored / floored.sum(axis=1, keepdims=True))

    def run_stochastic(self, validation):
        """Minibatch training of all members together."""
        settings, data = self.settings, self.member_data()
        network = self.network(
            self.first_params(),
            penalized=settings.solver == "sgd",
            **{name: getattr(settings, name) for name in ("dropout", "input_dropout")},
        )
        batches = Minibatches(
            data,
            self.standardizer,
            self.loss,
            batch_size_for(settings, len(data.rows)),
            self.rngs["shuffle"] if settings.shuffle else None,
        )
        optimizer = self._optimizer(network)
        schedule = schedule_for(settings, len(batches))
        out_of_fold = self._out_of_fold(network)
        validate = out_of_fold or self._validation_loss(network, validation)
        monitor = self._monitor(network, validate, schedule, validation)
        monitor.on_best = out_of_fold and out_of_fold.keep
        interruption, n_recoveries = None, 0
        try:
            with np.errstate(all="ignore"):
                n_recoveries = fit_stochastic(
                    network,
                    batches,
                    optimizer,
                    schedule,
                    monitor,
                    max_iter=settings.max_iter,
                    first_step=optimizer.n_steps if self._counts_on() else 0,
                    dropout_rng=self.rngs["dropout"],
                    collect=out_of_fold and out_of_fold.in_passing,
                )
        except KeyboardInterrupt as error:
            if monitor.best_epoch == 0:
                raise
            monitor.stop_reason, interruption = "interrupted", error
            if not np.isfinite(network.params).all():
                network.params[:] = monitor.best_params
                optimizer.reset()
        _reporting.stopped(settings.verbose, monitor)
        return Outcome(
            monitor.best_params,
            network.params,
            optimizer.state(),
            monitor.history(),
            self._temperatures(out_of_fold, monitor.best_params),
            n_recoveries,
            interruption,
        )

    def run_lbfgs(self, validation):
        """Full-batch training, one member at a time: a line search couples them."""
        shape, params = self.shape, self.first_params()
        histories, interruption = [], None
        for j in range(shape.n_members):
            network = self.network(shape.member(params, j), shape._replace(n_members=1))
            held_out = validation if self.prepared.fold is None else self.own_fold(j)
            validate = self._validation_loss(network, held_out)
            monitor = self._monitor(network, validate, Constant(0.0), held_out)
            try:
                self._fit_lbfgs(network, monitor, self.member_data(j))
            except KeyboardInterrupt as error:
                if monitor.best_epoch == 0 and not histories:
                    raise
                monitor.stop_reason, interruption = "interrupted", error
            _reporting.stopped(self.settings.verbose, monitor)
            if monitor.best_epoch:
                shape.set_member(params, j, monitor.best_params)
                histories.append(monitor.history())
            if interruption is not None:
                self._fill_up(params, len(histories))
                break
        history = mean_history(histories)
        if interruption is not None:
            history = history._replace(stop_reason="interrupted")
            # copies of the first member know the folds of those they stand for
            self.prepared = self.prepared.judged_by(len(histories))
        out_of_fold = self._out_of_fold(self.network(params))
        if out_of_fold is not None:
            out_of_fold.predict_all()
            history = history._replace(best_loss=out_of_fold.calibrate())
            out_of_fold.keep()
        return Outcome(
            params,
            params,
            {},
            history,
            self._temperatures(out_of_fold, params),
            0,
            interruption,
        )

    def _fill_up(self, params, n_trained):
        """Give members that were not reached the weights of the first one."""
        first = self.shape.member(params, 0)
        for j in range(n_trained, self.shape.n_members):
            self.shape.set_member(params, j, first)

    def _fit_lbfgs(self, network, monitor, data):
        """Train a lone member on all rows, in blocks of bounded size."""
        widest = max(network.shape[:3])
        batches = Minibatches(
            data,
            self.standardizer,
            self.loss,
            max(256, FULL_BATCH_ELEMENTS // widest),
            None,
            whole=True,
        )
        settings = self.settings
        with np.errstate(all="ignore"):
            fit_lbfgs(
                network, batches, monitor, max_iter=settings.max_iter, tol=settings.tol
            )

    def member_data(self, j=None):
        """The training rows with the weights that members give them, or member j."""
        data, fold = self.prepared.data, self.prepared.fold
        if fold is None:
            return data
        weight = member_weights(data.weight, fold, self.shape.n_members)
        return data._replace(weight=weight if j is None else weight[j : j + 1])

    def own_fold(self, j):
        """The rows that member j does not train on; None if there are none."""
        X, rows, y, weight = self.prepared.data
        own = np.flatnonzero(self.prepared.fold == j)
        return Dataset(X, rows[own], y[own], weight[:, own]) if len(own) else None

    def oof_proba(self, outcome, X):
        """Out-of-fold probabilities of the caller's rows."""
        return out_of_fold_proba(
            self.network(outcome.best_params.astype(self.output_dtype)),
            self._standardizer(self.output_dtype),
            X,
            fold_of_rows(X, self.prepared.data.rows, self.prepared.fold),
            *outcome.temperatures,
        )

    def _temperatures(self, out_of_fold, params):
        """Fitted to the out-of-fold logits of one epoch; 1 without them."""
        if out_of_fold is None:
            return Temperatures()
        network, data = self.network(params), self.prepared.data
        of_members = out_of_fold.best_temperature
        of_mean = temperature_of_mean(network, self.standardizer, data, of_members)
        return Temperatures(of_members, of_mean)

    def _out_of_fold(self, network):
        if self.prepared.fold is None:
            return None
        return OutOfFold(
            network, self.standardizer, self.prepared.data, self.prepared.fold
        )

    def _validation_loss(self, network, validation):
        if validation is None:
            return None
        return ValidationLoss(network, self.standardizer, validation)

    def _optimizer(self, network):
        """The solver's optimizer, with the moments of the fit that is continued."""
        optimizer = optimizer_for(self.settings, network)
        if self.state.get("optimizer_kind") == optimizer_kind(self.settings):
            optimizer.load(self.state["optimizer"])
        return optimizer

    def _counts_on(self):
        """Whether the schedule counts all steps ever made: only 1 / t decay does."""
        return self.settings.learning_rate == "invscaling"

    def _monitor(self, network, validate, schedule, held_out):
        """What the epochs are told to.

        Patience acts on the validation loss, or on the training loss of a rate that
        does not come down by itself.
        """
        settings, data = self.settings, self.prepared.data
        decides = settings.early_stopping and validate is not None
        ends_itself = settings.learning_rate == "cosine" or settings.solver == "lbfgs"
        patient = math.inf if ends_itself and not decides else settings.n_iter_no_change
        return Monitor(
            network.params,
            validate=validate,
            decides=decides,
            patience=patient,
            tol=settings.tol,
            prior_loss=_reporting.prior_loss(
                settings, data, held_out, self.loss.n_classes
            ),
            on_plateau=schedule.lower,
            report=_reporting.reporter(settings.verbose),
        )


def _given_validation(settings, validation, classes, prepared):
    """The rows of X_val, weighted as the training rows are."""
    X, y, weight = validation
    counts = prepared.seen.class_counts
    weight = weight * class_weights(settings.class_weight, classes, counts)[y]
    if not weight.any():
        raise ValueError("class_weight gives every row of y_val the weight zero.")
    return Dataset(X, np.arange(X.shape[0]), y, weight[np.newaxis])
