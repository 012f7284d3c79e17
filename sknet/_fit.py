"""One fit in plain calls, in the order in which they happen.

``fit`` serves the estimator's ``fit`` and, with ``stream=True``, its ``partial_fit``.
This module is the only reader of the estimator's settings. Its functions stand in the
order in which they are called.
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import threadpoolctl
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, compute_class_weight

from sknet._checks import warn
from sknet._data.folds import deal_folds, fold_of_rows, group_by_hash, hold_out
from sknet._data.inputs import Inputs, working_dtype
from sknet._data.minibatches import Dataset, Minibatches
from sknet._data.weighted import distinct_rows, row_hash
from sknet._network.activations import IDENTITY, LOGISTIC, RELU, TANH
from sknet._network.losses import Loss, loss_for
from sknet._network.network import Shape, TwoLayerNetwork
from sknet._training.crossfit import (
    OutOfFold,
    OutOfFoldLoss,
    ValidationLoss,
    fit_temperature,
    member_weights,
    raw_blocks,
    temperature_of_mean,
)
from sknet._training.loops import fit_lbfgs, fit_stochastic
from sknet._training.monitor import Monitor, joint_history
from sknet._training.optimizers import SGD, Adam, ScalingLayerAdam
from sknet._training.schedules import Constant, WarmupCosine

ACTIVATIONS = {"relu": RELU, "tanh": TANH, "logistic": LOGISTIC, "identity": IDENTITY}
STRUCTURE = ("activation", "standardize", "n_knots")  # fixed once there are weights
DRAWS = ("shuffle", "dropout")  # what a continued fit goes on drawing

FEW_ROWS = 5_000  # distinct rows up to which "auto" takes more and narrower members
MOST_WEIGHTS = 1 << 24  # of the first layer: with gradient and moments 0.5 GB
LBFGS_ELEMENTS = 1 << 20  # of the widest array of a block of rows
WORTH_SHARING = 1 << 28  # multiplications of a product: some 4 ms of one core
LONGEST_CURVE = 100  # losses kept by partial_fit, whose calls have no end
NO_BETTER = 1e-4  # a smaller share of the prior's loss is chance
SMALLEST_PRIOR_LOSS = 1e-6  # below it there is one class, and nothing to learn


class Variant(NamedTuple):
    """The sizes of a network and its dropout: what "auto" became."""

    n_estimators: int
    hidden_layer_size: int
    dropout: float


@dataclass
class State:
    """What a later call continues with: numbers, names and arrays."""

    seed: int
    structure: dict[str, Any]  # settings that the weights depend on
    sparse: bool
    class_counts: np.ndarray  # (n_classes,) sums of sample weights
    n_rows: int  # distinct rows trained on, in all calls of a stream
    mean_weight: float  # of these rows
    split: int  # names the rows that were left out; 0 if there were none
    generators: dict[str, Any] | None = None  # states of what training draws from
    params: np.ndarray | None = None  # the last weights, if that is foreseen
    optimizer: dict[str, Any] | None = None
    solver: str = ""  # what the optimizer's state belongs to


@dataclass
class Model:
    """A trained network and what it takes to predict with it."""

    inputs: Inputs
    network: TwoLayerNetwork
    activation: str
    temperature: float = 1.0

    @classmethod
    def restored(cls, saved, n_classes):
        """The model from what ``TwoLayerClassifier.__getstate__`` saves."""
        inputs = object.__new__(Inputs)
        vars(inputs).update(saved["inputs"], dtype=np.dtype(saved["inputs"]["dtype"]))
        shape, params = saved["network"]
        network = TwoLayerNetwork(
            Shape(*shape), params, ACTIVATIONS[saved["activation"]], loss_for(n_classes)
        )
        return cls(inputs, network, saved["activation"], saved["temperature"])


@dataclass(frozen=True)
class Plan:
    """What training does not change."""

    settings: Any
    variant: Variant
    inputs: Inputs
    loss: Loss
    data: Dataset  # with the rows' own weights (1, n)
    held_out: Dataset | None
    fold: np.ndarray | None  # (n,) the member that does not train on each row
    stops_early: bool
    stream: bool
    previous: dict[str, Any]  # fitted attributes of the fit that is continued
    before: State | None  # its state
    state: State  # that of this fit, without what training adds
    output_dtype: np.dtype

    @property
    def shape(self):
        """The sizes of the network."""
        k, h, _ = self.variant
        return Shape(self.inputs.n_inputs, h, self.loss.n_outputs, k)

    @property
    def member_data(self):
        """The training rows with the weights (1 or k, n) that members give them."""
        if self.fold is None:
            return self.data
        k = self.variant.n_estimators
        weight = member_weights(self.data.weight, self.fold, k)
        return self.data._replace(weight=weight)

    def network(self, params, shape=None):
        """A network on ``params``."""
        activation = ACTIVATIONS[self.settings.activation]
        return TwoLayerNetwork(shape or self.shape, params, activation, self.loss)


class Training(NamedTuple):
    """What training leaves behind."""

    params: np.ndarray  # of the best epoch
    monitors: list[Monitor]  # one, or one for each member that L-BFGS trained
    temperature: float = 1.0  # of each member alone
    mean_temperature: float = 1.0
    out_of_fold_loss: float | None = None
    next_params: np.ndarray | None = None  # the last weights
    optimizer: dict[str, Any] | None = None
    generators: dict[str, Any] | None = None
    interruption: KeyboardInterrupt | None = None


def fit(settings, rows, validation, previous, begin_task, *, stream=False):
    """Train on checked rows.

    Parameters
    ----------
    settings : TwoLayerClassifier
        Read only.
    rows : Rows
    validation : Rows or None
        A given validation set.
    previous : dict or None
        Fitted attributes of the fit to continue.
    begin_task : callable
        Begins the task that callbacks follow, given its number of subtasks.
    stream : bool
        Whether the rows are a batch of a stream: one epoch at a constant rate, no rows
        left out, statistics added to those of the batches before.

    Returns
    -------
    attributes : dict
        Fitted attributes.
    interruption : KeyboardInterrupt or None
        What ended training early.
    """
    train = _train_lbfgs if settings.solver == "lbfgs" else _train_stochastic
    with np.errstate(all="ignore"):  # what is not finite is dealt with
        plan = _prepare(settings, rows, validation, previous, stream)
        with _blas_threads(plan):
            task, training = train(plan, begin_task)
            attributes = fitted_attributes(plan, training)
            if settings.store_oof_proba and plan.fold is not None:
                attributes["oof_proba_"] = _out_of_fold_proba(plan, training, rows.X)
    if training.interruption is None:
        _warn_if_in_trouble(plan, training)
        if settings.store_oof_proba and plan.fold is None and not stream:
            _warn_no_folds(plan, validation)
        task.end(lambda: attributes, lambda: attributes)
    return attributes, training.interruption


def _prepare(settings, rows, validation, previous, stream):
    """Weigh, split and scale the rows; choose what is "auto"."""
    X, y, _, classes = rows
    state = None if previous is None else previous["_state"]
    seed = _seed(settings.random_state) if state is None else state.seed
    batches_before = state if stream else None

    distinct, class_counts, factor = _weigh(settings, rows, batches_before)
    variant = _variant(settings, previous, len(distinct.rows), X.shape[1])

    held_out, fold, split = None, None, 0
    stops_early = not stream and _stops_early(settings, variant, validation)
    if stops_early and validation is None:
        left_out, split = _leave_out(settings, variant, y, distinct, state, seed)
        if split and variant.n_estimators > 1:
            fold = left_out
        elif split:
            held_out, distinct = distinct.take(left_out), distinct.take(~left_out)

    inputs = _inputs(settings, previous, X)
    if stream or previous is None:
        inputs.partial_fit(X, distinct.rows, distinct.weight)

    n_rows, mean_weight = len(distinct.rows), float(distinct.weight.mean())
    if batches_before is not None:
        n_rows += state.n_rows
        share = len(distinct.rows) / n_rows
        mean_weight = state.mean_weight + share * (mean_weight - state.mean_weight)
    data = _dataset(rows, distinct, mean_weight)
    if held_out is not None:
        held_out = _dataset(rows, held_out, mean_weight)
    elif validation is not None:
        held_out = _given_validation(validation, factor)

    structure = {name: getattr(settings, name) for name in STRUCTURE}
    return Plan(
        settings,
        variant,
        inputs,
        loss_for(len(classes)),
        data,
        held_out,
        fold,
        stops_early,
        stream,
        previous or {},
        state,
        State(
            seed, structure, sp.issparse(X), class_counts, n_rows, mean_weight, split
        ),
        working_dtype(X.dtype),
    )


def _seed(random_state):
    """One integer from an int, a RandomState, a Generator or None."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    return int(random_state)


def _generator(seed, purpose):
    """A generator of its own for each purpose: one does not move another."""
    return np.random.default_rng([seed, *purpose.encode()])


def _weigh(settings, rows, batches_before):
    """Distinct rows, weights times class weights; sums and factors of the classes.

    Rows that come to weight zero are dropped. The sums, which "balanced" class weights
    need, include those of the batches before.
    """
    X, y, sample_weight, classes = rows
    distinct = distinct_rows(X, y, sample_weight)
    y = y[distinct.rows]
    counts = np.bincount(y, distinct.weight, minlength=len(classes))
    if batches_before is not None:
        counts = counts + batches_before.class_counts
    factor = np.ones(len(classes))
    if isinstance(settings.class_weight, Mapping):
        factor = np.array([settings.class_weight.get(c, 1) for c in classes.tolist()])
    elif settings.class_weight == "balanced":
        present = np.flatnonzero(counts)
        factor[present] = compute_class_weight(
            "balanced", classes=present, y=present, sample_weight=counts[present]
        )
    weight = distinct.weight * factor[y]
    return distinct._replace(weight=weight).take(weight > 0), counts, factor


def _variant(settings, previous, n, d):
    """What "auto" stands for with n distinct rows of d columns.

    More rows, fewer and wider members: few rows leave much variance to average away,
    many rows have finer structure to learn. Tens of thousands of columns, such as
    words, leave room for fewer members, and then for narrower ones. A fit that is
    continued keeps what the first one chose.
    """
    if previous is not None:
        dropout = settings.dropout
        return Variant(
            previous["n_estimators_"],
            previous["hidden_layer_size_"],
            previous["dropout_"] if dropout == "auto" else dropout,
        )
    k, h, dropout = (12, 48, 0.5) if n <= FEW_ROWS else (4, 128, 0.35)
    room = MOST_WEIGHTS // d
    if settings.dropout != "auto":
        dropout = settings.dropout
    if settings.n_estimators != "auto":
        k = settings.n_estimators
    else:
        units = settings.hidden_layer_size
        k = min(k, max(4, room // (16 if units == "auto" else units)))
    if settings.hidden_layer_size != "auto":
        h = settings.hidden_layer_size
    else:
        h = min(h, max(8, room // k))
    return Variant(k, h, dropout)


def _stops_early(settings, variant, validation):
    if settings.early_stopping == "auto":
        return variant.n_estimators > 1 or validation is not None
    return settings.early_stopping


def _leave_out(settings, variant, y, distinct, state, seed):
    """Folds or held-out rows (n,), and a number that names this split; 0 if none."""
    y, group = y[distinct.rows], group_by_hash(distinct.hashes)
    rng, k = _generator(seed, "split"), variant.n_estimators
    asked = settings.early_stopping is True
    if k > 1:
        left_out = deal_folds(y, group, k, rng)
        # "auto" wants rows in every fold; True takes the folds that there are
        possible = left_out.max() >= (0 if asked else k - 1)
    else:
        left_out = hold_out(y, group, settings.validation_fraction, rng)
        possible = left_out.any()
    if not possible:
        if asked:
            warn(
                "early_stopping needs more distinct rows: no class has two rows of X "
                "that differ, one of which could be held out. Training uses all rows, "
                "without a validation set."
            )
        return left_out, 0
    split = int((distinct.hashes * (left_out + 3).astype(np.uint64)).sum()) or 1
    if state is not None and state.split not in (0, split):
        warn(
            "The weights that warm_start continues were trained on rows that would be "
            "held out now. Training uses all rows, without a validation set. Pass "
            "X_val and y_val, or fit anew with warm_start=False."
        )
        return left_out, 0
    return left_out, split


def _inputs(settings, previous, X):
    """New inputs, or those of the fit that is continued."""
    dtype = np.float64 if settings.solver == "lbfgs" else settings.dtype
    if previous is None:
        return Inputs(
            X.shape[1],
            standardize=settings.standardize,
            n_knots=settings.n_knots,
            dtype=dtype,
        )
    sparse = previous["_state"].sparse
    if settings.standardize and sparse != sp.issparse(X):
        raise ValueError(
            f"X is {'dense' if sparse else 'sparse'}, but was "
            f"{'sparse' if sparse else 'dense'} in the fit that is to be continued. "
            "Sparse columns are not centred: give X in the same form, or use "
            "standardize=False."
        )
    return previous["_model"].inputs.with_dtype(dtype)


def _dataset(rows, distinct, mean_weight):
    """The distinct rows, their weights divided by the mean weight."""
    weight = distinct.weight[np.newaxis] / mean_weight
    return Dataset(rows.X, distinct.rows, rows.y[distinct.rows], weight)


def _given_validation(validation, factor):
    """The rows of a given validation set, weighted as the training rows are."""
    X, y, weight, _ = validation
    weight = weight * factor[y]
    if not weight.any():
        raise ValueError("class_weight gives every row of y_val the weight zero.")
    weight = weight[np.newaxis] / weight.max()
    return Dataset(X, np.arange(X.shape[0]), y, weight)


@cache
def _threadpools():
    return threadpoolctl.ThreadpoolController()


def _blas_threads(plan):
    """One BLAS thread where the products of a step are too small to share.

    A thread that waits for a core may delay each product by milliseconds.
    """
    d, h, o, k = plan.shape
    width = h if plan.settings.solver == "lbfgs" else k * h
    d = o if plan.state.sparse else d  # products of sparse rows have one thread anyway
    if _batch_size(plan) * d * width >= WORTH_SHARING:
        return nullcontext()
    return _threadpools().limit(limits=1, user_api="blas")


def _batch_size(plan):
    """Rows of a step: a twentieth of them, between 32 and 256, unless it is given."""
    n = len(plan.data.rows)
    if plan.settings.solver == "lbfgs":
        return min(n, max(256, LBFGS_ELEMENTS // max(plan.shape[:3])))
    if plan.settings.batch_size == "auto":
        return min(n, max(n // 20, 32), 256)
    return min(n, plan.settings.batch_size)


def _train_stochastic(plan, begin_task):
    """Train all members together in minibatches."""
    settings, before = plan.settings, plan.before
    rngs = {purpose: _generator(plan.state.seed, purpose) for purpose in DRAWS}
    if before is not None and before.generators is not None:
        for purpose, rng in rngs.items():
            rng.bit_generator.state = before.generators[purpose]
    network = plan.network(_first_params(plan))
    network.dropout = plan.variant.dropout
    network.input_dropout = settings.input_dropout
    network.alpha = settings.alpha if settings.solver == "sgd" else 0.0
    batches = Minibatches(
        plan.member_data, plan.inputs, _batch_size(plan), rngs["shuffle"]
    )
    optimizer = _optimizer(plan, network)
    max_iter, schedule = settings.max_iter, Constant(settings.learning_rate_init)
    if plan.stream:
        max_iter = 1
    elif settings.learning_rate == "cosine":
        schedule = WarmupCosine(schedule.rate, max_iter, len(batches))
    monitor = _monitor(plan, network, schedule)

    def _training(interruption=None):
        training = Training(
            monitor.best_params,
            [monitor],
            next_params=network.params,
            optimizer=optimizer.state(),
            generators={p: rng.bit_generator.state for p, rng in rngs.items()},
            interruption=interruption,
        )
        return _calibrated(plan, training)

    task, interruption = begin_task(max_iter), None
    task.follow(
        monitor,
        lambda: progress(plan, [monitor]),
        lambda: fitted_attributes(plan, _training()),
    )
    try:
        fit_stochastic(
            network,
            batches,
            optimizer,
            schedule,
            monitor,
            max_iter=max_iter,
            dropout_rng=rngs["dropout"],
        )
    except KeyboardInterrupt as error:
        if monitor.best_epoch == 0:
            raise
        monitor.stop_reason, interruption = "interrupted", error
        network.params[:] = monitor.best_params
        optimizer.reset()
    monitor.say_why_it_stopped()
    return task, _training(interruption)


def _optimizer(plan, network):
    """The solver's optimizer, with the moments of the fit that is continued."""
    settings, params, (d, h, o, k) = plan.settings, network.params, network.shape
    decay = {"alpha": settings.alpha, "n_decayed": network.shape.n_weights}
    if settings.solver == "sgd":
        optimizer = SGD(params, momentum=settings.momentum)
    elif settings.standardize:
        optimizer = ScalingLayerAdam(params, k * h * o, d * k, h, **decay)
    else:
        optimizer = Adam(params, **decay)
    if plan.before is not None and plan.before.solver == settings.solver:
        optimizer.load(plan.before.optimizer)
    return optimizer


def _train_lbfgs(plan, begin_task):
    """Train one member after the other: a line search would couple them."""
    settings, shape, k = plan.settings, plan.shape, plan.variant.n_estimators
    task = begin_task(k if k > 1 else settings.max_iter)
    start, data, monitors, interruption = (
        _first_params(plan),
        plan.member_data,
        [],
        None,
    )
    lone = shape._replace(n_members=1)

    def _training():
        return _joined(plan, monitors)

    try:
        for j in range(k):
            network = plan.network(shape.member(start, j), lone)
            network.alpha = settings.alpha
            weight = data.weight[j if len(data.weight) > 1 else 0][np.newaxis]
            batches = Minibatches(
                data._replace(weight=weight),
                plan.inputs,
                _batch_size(plan),
                None,
                whole=True,
            )
            monitor = _monitor(plan, network, member=j)
            monitors.append(monitor)
            member_task = task.subtask("member", settings.max_iter) if k > 1 else task
            member_task.follow(
                monitor,
                lambda: progress(plan, monitors),
                lambda: fitted_attributes(plan, _training()),
            )
            fit_lbfgs(
                network, batches, monitor, max_iter=settings.max_iter, tol=settings.tol
            )
            monitor.say_why_it_stopped()
            if k > 1 and member_task.end(
                lambda: progress(plan, monitors),
                lambda: fitted_attributes(plan, _training()),
            ):
                monitor.stop_reason = "callback"
                break
    except KeyboardInterrupt as error:
        monitors = [monitor for monitor in monitors if monitor.best_epoch]
        if not monitors:
            raise
        monitors[-1].stop_reason, interruption = "interrupted", error
        monitors[-1].say_why_it_stopped()
    return task, _training()._replace(interruption=interruption)


def _joined(plan, monitors):
    """The members as one network; those not reached are copies of the first."""
    params = np.empty(plan.shape.n_params, monitors[0].params.dtype)
    for j in range(plan.variant.n_estimators):
        source = monitors[j if j < len(monitors) else 0]
        plan.shape.set_member(params, j, source.best_params)
    if plan.fold is not None:  # copies of the first member know the other folds
        plan = replace(plan, fold=np.where(plan.fold < len(monitors), plan.fold, -1))
    return _calibrated(plan, Training(params, monitors))


def _first_params(plan):
    """Weights to start from: drawn anew, or those of the fit that is continued."""
    dtype = plan.inputs.dtype
    if plan.before is not None:
        last = plan.before.params
        if last is None:
            last = plan.previous["_model"].network.params
        return last.astype(dtype)
    params = np.empty(plan.shape.n_params, dtype)
    network = plan.network(params)
    network.start(_generator(plan.state.seed, "init"), _class_log_prior(plan))
    constant = plan.inputs.constant
    # A constant column says nothing about a row in which it is not. A stream may still
    # bring another value, and then the column learns, unless all were constant.
    if not (plan.stream and constant.all()):
        network.layers.W1[: len(constant)][constant] = 0
    return params


def _class_log_prior(plan):
    """Log of the class frequencies (1 or k, n_classes) among each member's rows.

    A class without rows counts as half a row. One of small weight counts as half a row
    or a thousandth, whichever is less, so that no logit is far out.
    """
    _, _, y, weights = plan.member_data
    counts = np.array(
        [np.bincount(y, w, minlength=plan.loss.n_classes) for w in weights]
    )
    least = np.minimum(0.5, 1e-3 * counts.sum(axis=1, keepdims=True))
    counts = np.maximum(counts, np.where(counts > 0, least, 0.5))
    return np.log(counts / counts.sum(axis=1, keepdims=True))


def _monitor(plan, network, schedule=None, member=None):
    """The monitor of a network: all members of the plan, or one of them."""
    settings, fold, data, held_out = plan.settings, plan.fold, plan.data, plan.held_out
    validate, decides = None, plan.stops_early
    if fold is not None and member is None:
        out_of_fold = OutOfFold.of(data, fold)
        validate = OutOfFoldLoss(network, plan.inputs, out_of_fold)
    elif fold is not None:
        # a member that chose its iteration by its own fold would have seen that fold
        own, decides = data.take(fold == member), False
        if len(own.rows):
            validate = ValidationLoss(network, plan.inputs, own)
    elif held_out is not None:
        validate = ValidationLoss(network, plan.inputs, held_out)
    ends_itself = isinstance(schedule, WarmupCosine) or schedule is None
    decides = decides and validate is not None
    return Monitor(
        network.params,
        validate=validate,
        decides=decides,
        patience=math.inf if ends_itself and not decides else settings.n_iter_no_change,
        tol=settings.tol,
        prior_loss=_prior_loss(plan),
        schedule=schedule,
        verbose=int(settings.verbose),
    )


def _prior_loss(plan):
    """Log-loss on the watched rows of predicting the class frequencies."""
    data, n_classes = plan.data, plan.loss.n_classes
    frequency = np.bincount(data.y, data.weight[0], minlength=n_classes)
    watched = data
    if plan.stops_early and plan.held_out is not None:
        watched = plan.held_out
    labels = np.bincount(watched.y, watched.weight[0], minlength=n_classes)
    return float(-xlogy(labels / labels.sum(), frequency / frequency.sum()).sum())


def _calibrated(plan, training):
    """Fit the temperatures to the out-of-fold logits of the best epoch."""
    if plan.fold is None:
        return training
    network, inputs = plan.network(training.params), plan.inputs
    out_of_fold = OutOfFold.of(plan.data, plan.fold)
    raw = out_of_fold.raw_prediction(network, inputs)
    _, _, y, (weight,) = out_of_fold.data
    temperature, loss = fit_temperature(plan.loss, raw, y, weight)
    mean_temperature = temperature_of_mean(network, inputs, plan.data, temperature)
    return training._replace(
        temperature=temperature,
        mean_temperature=mean_temperature,
        out_of_fold_loss=loss,
    )


def progress(plan, monitors):
    """The attributes that every epoch changes, those of the fit continued included."""
    history, before = joint_history(monitors), plan.previous
    n_before = before.get("n_iter_", 0)
    curve = [*before.get("loss_curve_", []), *history.loss_curve]
    validation_curve = None
    old, new = before.get("validation_loss_curve_"), history.validation_loss_curve
    if old or new:  # NaN for an epoch without validation
        old = old or [math.nan] * len(before.get("loss_curve_", []))
        new = new or [math.nan] * len(history.loss_curve)
        validation_curve = [*old, *new]
    if plan.stream:
        curve = curve[-LONGEST_CURVE:]
        if validation_curve is not None:
            validation_curve = validation_curve[-LONGEST_CURVE:]
            if all(map(math.isnan, validation_curve)):
                validation_curve = None
    best = None
    if history.validation_loss_curve:
        best = min(history.validation_loss_curve)
    return {
        "n_iter_": n_before + len(history.loss_curve),
        "best_iter_": n_before + history.best_epoch,
        "loss_curve_": curve,
        "validation_loss_curve_": validation_curve,
        "best_validation_loss_": best,
        "stop_reason_": history.stop_reason,
    }


def fitted_attributes(plan, training):
    """All attributes of the fitted estimator, as if training had stopped now."""
    settings, inputs = plan.settings, plan.inputs.with_dtype(plan.output_dtype)
    state = plan.state
    if plan.stream or settings.warm_start:
        state = replace(
            state,
            params=training.next_params,
            optimizer=training.optimizer,
            solver=settings.solver,
        )
    attributes = progress(plan, training.monitors)
    if training.out_of_fold_loss is not None and settings.solver == "lbfgs":
        attributes["best_validation_loss_"] = training.out_of_fold_loss
    k, h, dropout = plan.variant
    params = training.params.astype(plan.output_dtype)
    return {
        **attributes,
        "n_estimators_": k,
        "hidden_layer_size_": h,
        "dropout_": dropout,
        "batch_size_": _batch_size(plan),
        "n_knots_": inputs.n_knots,
        "mean_": inputs.mean,
        "scale_": inputs.scale,
        "split_columns_": inputs.split,
        "oof_proba_": None,
        "_model": Model(
            inputs,
            plan.network(params),
            settings.activation,
            training.mean_temperature,
        ),
        "_state": replace(state, generators=training.generators),
    }


def _out_of_fold_proba(plan, training, X):
    """Probabilities (n_samples, n_classes) by the member that never saw each row.

    NaN for a row that all members trained on (fold -1); the members' mean, at its own
    temperature, for one that none did (fold -2).
    """
    network = plan.network(training.params.astype(plan.output_dtype))
    inputs, loss = plan.inputs.with_dtype(plan.output_dtype), plan.loss
    every = np.arange(X.shape[0])
    known_hashes = row_hash(X, plan.data.rows)
    fold = fold_of_rows(known_hashes, plan.fold, row_hash(X, every))
    proba = np.empty((len(every), loss.n_classes), plan.output_dtype)
    for part, raw in raw_blocks(network, inputs, X):
        row_fold = fold[part]
        own = raw[np.maximum(row_fold, 0), np.arange(len(row_fold))]
        block = loss.mean_proba(own[np.newaxis] / training.temperature)
        block[row_fold == -1] = np.nan
        unseen = row_fold == -2
        if unseen.any():
            block[unseen] = loss.mean_proba(raw[:, unseen] / training.mean_temperature)
        proba[part] = block
    return proba


def _warn_if_in_trouble(plan, training):
    """One ConvergenceWarning if training diverged or learnt nothing."""
    settings, history = plan.settings, joint_history(training.monitors)
    n_recoveries = sum(monitor.n_recoveries for monitor in training.monitors)
    if n_recoveries:
        warn(
            f"The loss was not finite {n_recoveries} times. Each time the last good "
            "weights were restored and the learning rate halved. Lower "
            f"learning_rate_init={settings.learning_rate_init:g}, or use "
            "standardize=True.",
            ConvergenceWarning,
        )
        return
    if history.stop_reason == "callback" or plan.stream:
        return
    prior_loss, best_loss = _prior_loss(plan), history.best_loss
    if settings.solver == "lbfgs" and training.out_of_fold_loss is not None:
        best_loss = training.out_of_fold_loss
    no_better = best_loss >= (1 - NO_BETTER) * prior_loss
    if prior_loss > SMALLEST_PRIOR_LOSS and no_better:
        warn(
            f"The best loss, {best_loss:.4g}, is no better than predicting the class "
            f"frequencies. X may not predict y, or the network is over-regularized. "
            f"Change learning_rate_init={settings.learning_rate_init:g}, "
            f"alpha={settings.alpha:g} or max_iter={settings.max_iter}.",
            ConvergenceWarning,
        )


def _warn_no_folds(plan, validation):
    """Say why there are no out-of-fold probabilities."""
    k = plan.variant.n_estimators
    if validation is not None:
        reason = "with X_val all members train on all rows"
    elif not plan.stops_early:
        reason = "early_stopping=False leaves no row out"
    elif k == 1:
        reason = "n_estimators=1 has none; use 2 or more"
    else:
        reason = (
            f"there are too few distinct rows for n_estimators={k}, or rows were added "
            "since the fit that warm_start continues"
        )
    warn(f"store_oof_proba=True needs folds, but {reason}. oof_proba_ is None.")
