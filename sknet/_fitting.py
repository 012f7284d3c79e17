"""One fit: settings and checked rows in, everything that the estimator publishes out.

The estimator's strings become objects here, once. What a later ``partial_fit`` or warm
start continues with is kept as plain arrays, numbers and dicts, never as live objects,
and is replaced as a whole: a fit that fails leaves the old one untouched.
"""

import math
import warnings
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sknet import _reporting
from sknet._activations import IDENTITY, LOGISTIC, RELU, TANH
from sknet._columns import ColumnStatistics
from sknet._losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._network import Shape, TwoLayerNetwork
from sknet._optimizers import SGD, Adam
from sknet._prediction import ValidationLoss
from sknet._preparation import Seen, prepare, prepare_batch
from sknet._schedules import Adaptive, Constant, InverseScaling, WarmupCosine
from sknet._standardizer import Standardizer, working_dtype
from sknet._training import (
    Dataset,
    History,
    Minibatches,
    Monitor,
    fit_lbfgs,
    fit_stochastic,
    mean_history,
)

ACTIVATIONS = {"relu": RELU, "tanh": TANH, "logistic": LOGISTIC, "identity": IDENTITY}
# what weights cannot be carried over if it changes
STRUCTURE = ("hidden_layer_size", "n_estimators", "activation", "standardize", "squash")
FULL_BATCH_ELEMENTS = 1 << 20  # of a block's widest array, for L-BFGS
LONGEST_CURVE = 100  # losses kept by partial_fit, whose calls have no end


class Outcome(NamedTuple):
    """What training leaves behind."""

    best_params: np.ndarray
    last_params: np.ndarray
    optimizer: dict
    history: History
    n_recoveries: int
    interruption: KeyboardInterrupt | None


def loss_for(n_classes):
    """One sigmoid output for two classes, else a softmax output for each."""
    return SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)


def fitted_shape(attributes):
    """The network's sizes, from an estimator's fitted attributes."""
    structure = attributes["_state"]["structure"]
    return Shape(
        attributes["n_features_in_"],
        structure["hidden_layer_size"],
        loss_for(len(attributes["classes_"])).n_outputs,
        structure["n_estimators"],
    )


def fitted_network(attributes):
    """Network and standardizer from fitted attributes: views, no copy."""
    params, structure = attributes["_params"], attributes["_state"]["structure"]
    network = TwoLayerNetwork(
        fitted_shape(attributes),
        params,
        ACTIVATIONS[structure["activation"]],
        loss_for(len(attributes["classes_"])),
    )
    standardizer = Standardizer(
        attributes["mean_"], attributes["scale_"], structure["squash"], params.dtype
    )
    return network, standardizer


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
    session = Session(settings, classes, labelled.X.dtype, previous)
    splits = settings.early_stopping and validation is None
    prepared = prepare(
        settings,
        labelled,
        classes,
        statistics=session.statistics,
        split_rng=session.rngs["split"] if splits else None,
    )
    session.bind(prepared)
    held_out = prepared.held_out
    if validation is not None:
        X, y, weight = validation
        held_out = Dataset(X, np.arange(X.shape[0]), y, weight[np.newaxis])
    if settings.solver == "lbfgs":
        outcome = session.run_lbfgs(held_out)
    else:
        outcome = session.run_stochastic(held_out)
    _warn_if_in_trouble(settings, outcome, prepared.data, held_out, len(classes))
    attributes = session.publish(outcome, keep_state=settings.warm_start)
    return attributes, outcome.interruption


def partial_fit(settings, labelled, classes, previous):
    """Train for exactly one pass at a constant rate; returns as ``fit`` does."""
    settings = SimpleNamespace(**vars(settings))
    settings.max_iter = 1
    if settings.learning_rate != "invscaling":
        settings.learning_rate = "constant"
    session = Session(settings, classes, labelled.X.dtype, previous)
    prepared = prepare_batch(
        settings,
        labelled,
        classes,
        statistics=session.statistics,
        seen=session.state.get("seen") and Seen(*session.state["seen"]),
    )
    session.bind(prepared)
    outcome = session.run_stochastic(None)
    attributes = session.publish(outcome, keep_state=True, longest=LONGEST_CURVE)
    return attributes, outcome.interruption


class Session:
    """The objects of one fit: streams, loss, standardizer, network, and their order.

    Parameters
    ----------
    settings : SimpleNamespace
    classes : ndarray of shape (n_classes,)
    X_dtype : dtype
        Of the rows as they came; predictions are made in the float dtype that holds it.
    previous : dict or None
        Attributes of the fit that is continued.
    """

    def __init__(self, settings, classes, X_dtype, previous):
        self.settings = settings
        self.previous = previous
        self.state = {} if previous is None else previous["_state"]
        self.seed = self.state.get("seed")
        if self.seed is None:
            self.seed = seed_of(settings.random_state)
        self.rngs = streams(self.seed)
        for name, saved in self.state.get("streams", {}).items():
            self.rngs[name].bit_generator.state = saved
        self.loss = loss_for(len(classes))
        self.output_dtype = working_dtype(X_dtype)
        double = settings.solver == "lbfgs" or settings.dtype == "float64"
        self.dtype = np.dtype(np.float64 if double else np.float32)

    @property
    def statistics(self):
        """The column statistics of the fit that is continued, if there are any."""
        if self.previous is None or self.previous["mean_"] is None:
            return None
        deviation = self.previous["scale_"].copy()
        deviation[self.state["constant_columns"]] = 0.0
        weight = self.state["statistics_weight"]
        return ColumnStatistics(self.previous["mean_"], deviation, weight)

    def bind(self, prepared):
        """Take the prepared rows; from here the network's shape is known."""
        settings, statistics = self.settings, prepared.statistics
        self.prepared = prepared
        self.shape = Shape(
            prepared.data.X.shape[1],
            settings.hidden_layer_size,
            self.loss.n_outputs,
            settings.n_estimators,
        )
        self.standardizer = Standardizer(
            None if statistics is None else statistics.mean,
            None if statistics is None else statistics.scale,
            settings.squash,
            self.dtype,
        )

    def network(self, params, shape=None, dropout=0.0, penalized=True):
        """A network on ``params``; the penalty is its own, or the optimizer's decay."""
        return TwoLayerNetwork(
            self.shape if shape is None else shape,
            params,
            ACTIVATIONS[self.settings.activation],
            self.loss,
            alpha=self.settings.alpha if penalized else 0.0,
            dropout=dropout,
        )

    def first_params(self):
        """Weights to start from: drawn anew, or those of the fit that is continued."""
        if self.previous is not None:
            kept = self.state.get("params", self.previous["_params"])
            return kept.astype(self.dtype)
        params = np.empty(self.shape.n_params, self.dtype)
        prepared = self.prepared
        self.network(params).start(
            self.rngs["init"], prepared.direction, prepared.class_rank
        )
        return params

    def run_stochastic(self, validation):
        """Minibatch training of all members together."""
        settings, data = self.settings, self.prepared.data
        batches = Minibatches(
            data,
            self.standardizer,
            self.loss,
            _batch_size(settings.batch_size, len(data.rows)),
            self.rngs["shuffle"] if settings.shuffle else None,
        )
        network = self.network(
            self.first_params(),
            dropout=settings.dropout,
            penalized=settings.solver == "sgd",
        )
        optimizer = self._optimizer(network)
        schedule = _schedule(settings, settings.max_iter * len(batches))
        monitor = self._monitor(network, validation, schedule)
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
                )
        except KeyboardInterrupt as error:
            if monitor.n_epochs == 0:
                raise
            monitor.stop_reason, interruption = "interrupted", error
        _reporting.stopped(settings.verbose, monitor)
        return Outcome(
            monitor.best_params,
            network.params,
            optimizer.state(),
            monitor.history(),
            n_recoveries,
            interruption,
        )

    def run_lbfgs(self, validation):
        """Full-batch training, one member at a time: a line search couples them."""
        settings, shape = self.settings, self.shape
        lone = shape._replace(n_members=1)
        size = max(256, FULL_BATCH_ELEMENTS // max(lone[:3]))
        batches = Minibatches(
            self.prepared.data, self.standardizer, self.loss, size, None, whole=True
        )
        params, histories, interruption = self.first_params(), [], None
        for j in range(shape.n_members):
            network = self.network(shape.member(params, j), lone)
            monitor = self._monitor(network, validation, Constant(0.0))
            try:
                with np.errstate(all="ignore"):
                    fit_lbfgs(
                        network,
                        batches,
                        monitor,
                        max_iter=settings.max_iter,
                        tol=settings.tol,
                    )
            except KeyboardInterrupt as error:
                if monitor.n_epochs == 0 and not histories:
                    raise
                monitor.stop_reason, interruption = "interrupted", error
            _reporting.stopped(settings.verbose, monitor)
            shape.set_member(params, j, monitor.best_params)
            histories.append(monitor.history())
            if interruption is not None:
                break
        return Outcome(params, params, {}, mean_history(histories), 0, interruption)

    def _optimizer(self, network):
        """The solver's optimizer, with the moments of the fit that is continued."""
        settings = self.settings
        if settings.solver == "sgd":
            optimizer = SGD(
                network.params,
                momentum=settings.momentum,
                nesterov=settings.nesterovs_momentum,
            )
        else:
            optimizer = Adam(
                network.params,
                beta_1=settings.beta_1,
                beta_2=settings.beta_2,
                epsilon=settings.epsilon,
                alpha=settings.alpha,
                n_decayed=self.shape.n_weights,
            )
        if self.state.get("solver") == settings.solver:
            optimizer.load(self.state["optimizer"])
        return optimizer

    def _counts_on(self):
        """Whether the schedule counts all steps ever made: only 1 / t decay does."""
        return self.settings.learning_rate == "invscaling"

    def _monitor(self, network, validation, schedule):
        """What the epochs are told to.

        Patience acts on the validation loss, or on the training loss of a rate that
        does not come down by itself.
        """
        settings = self.settings
        decides = settings.early_stopping and validation is not None
        ends_itself = settings.learning_rate == "cosine" or settings.solver == "lbfgs"
        patient = math.inf if ends_itself and not decides else settings.n_iter_no_change
        validate = None
        if validation is not None:
            validate = ValidationLoss(network, self.standardizer, validation)
        return Monitor(
            network.params,
            validate=validate,
            decides=decides,
            patience=patient,
            tol=settings.tol,
            on_plateau=schedule.lower,
            report=_reporting.reporter(settings.verbose),
        )

    def publish(self, outcome, *, keep_state, longest=None):
        """Fitted attributes, by name; ``_state`` is what a later fit continues with."""
        history, statistics = outcome.history, self.prepared.statistics
        old = self.previous or {}
        n_before = old.get("n_iter_", 0)
        curve = [*old.get("loss_curve_", []), *history.loss_curve]
        validation_curve = old.get("validation_loss_curve_")
        if history.validation_loss_curve:
            validation_curve = [
                *(validation_curve or []),
                *history.validation_loss_curve,
            ]
        return {
            "_params": outcome.best_params.astype(self.output_dtype, copy=False),
            "_state": self._next_state(outcome, keep_state),
            "n_iter_": n_before + len(history.loss_curve),
            "best_iter_": n_before + history.best_epoch,
            "stop_reason_": history.stop_reason,
            "loss_curve_": curve[-longest:] if longest else curve,
            "validation_loss_curve_": validation_curve,
            "best_validation_loss_": validation_curve and min(validation_curve),
            "temperature_": 1.0,
            "mean_": None if statistics is None else statistics.mean,
            "scale_": None if statistics is None else statistics.scale,
        }

    def _next_state(self, outcome, keep_state):
        """Plain data to continue from; the moments only if that is foreseen."""
        prepared, statistics = self.prepared, self.prepared.statistics
        state = {
            "seed": self.seed,
            "streams": {
                name: self.rngs[name].bit_generator.state
                for name in ("shuffle", "dropout")
            },
            "structure": {name: getattr(self.settings, name) for name in STRUCTURE},
            "seen": tuple(prepared.seen),
        }
        if statistics is not None:
            state["constant_columns"] = np.flatnonzero(statistics.deviation == 0)
            state["statistics_weight"] = statistics.weight
        if keep_state:
            state["params"] = outcome.last_params
            state["solver"] = self.settings.solver
            state["optimizer"] = outcome.optimizer
        return state


def _warn_if_in_trouble(settings, outcome, data, held_out, n_classes):
    """One ConvergenceWarning if training diverged, or learnt less than nothing."""
    rate = settings.learning_rate_init
    history = outcome.history
    if history.stop_reason == "diverged" or outcome.n_recoveries:
        trouble = (
            f"The loss was not finite {outcome.n_recoveries} times; each time the last "
            "good weights were restored and the learning rate halved. Lower "
            f"learning_rate_init={rate:g}, or use standardize=True."
        )
    elif n_classes > 1 and history.best_loss >= _prior_loss(
        settings, data, held_out, n_classes
    ):
        trouble = (
            f"The best loss, {history.best_loss:.4g}, is no better than predicting the "
            f"class frequencies. Change learning_rate_init={rate:g}, "
            f"alpha={settings.alpha:g} or max_iter={settings.max_iter}; or X says "
            "nothing about y."
        )
    else:
        return
    warnings.warn(trouble, ConvergenceWarning, stacklevel=4)


def _prior_loss(settings, data, held_out, n_classes):
    """Log-loss of predicting the training rows' class frequencies, on watched rows."""
    frequency = np.bincount(data.y, data.weight[0], minlength=n_classes)
    frequency /= frequency.sum()
    watched = held_out if settings.early_stopping and held_out is not None else data
    labels = np.bincount(watched.y, watched.weight[0], minlength=n_classes)
    return float(-xlogy(labels / labels.sum(), frequency).sum())


def _batch_size(batch_size, n):
    """A twentieth of the rows, between 16 and 256, unless a number is given."""
    return min(max(n // 20, 16), 256) if batch_size == "auto" else batch_size


def _schedule(settings, n_steps):
    """The learning rate's course over ``n_steps`` updates."""
    rate = settings.learning_rate_init
    makers = {
        "constant": lambda: Constant(rate),
        "invscaling": lambda: InverseScaling(rate, settings.power_t),
        "adaptive": lambda: Adaptive(rate),
        "cosine": lambda: WarmupCosine(rate, n_steps),
    }
    return makers[settings.learning_rate]()
