"""One fit, with its steps in the order in which they run.

``fit`` implements the estimator's ``fit`` and, with ``stream=True``, its
``partial_fit``. It prepares the data, trains and calibrates the networks, and collects
the attributes.
"""

import math
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import cache, partial
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import threadpoolctl
from sklearn.exceptions import ConvergenceWarning

from sknet._blend import Blend, Model, n_threads
from sknet._checks import warn
from sknet._data.folds import EVERY_FOLD, NO_FOLD, find_rows
from sknet._data.inputs import working_dtype
from sknet._data.minibatches import Minibatches
from sknet._data.weighted import row_hash
from sknet._plan import prepare
from sknet._training import crossfit
from sknet._training.loops import fit_lbfgs, fit_stochastic
from sknet._training.monitor import Monitor, never
from sknet._training.optimizers import SGD, Adam, ScalingLayerAdam
from sknet._training.schedules import WarmupCosine

DRAWS = ("shuffle", "dropout")  # random draws that a continued fit resumes
WORTH_SHARING = 1 << 28  # multiplications of a product: some 4 ms of one core
WORTH_A_THREAD = 40_000  # rows times hidden units of a step; below, threads cost time
SMALL_ALPHA = 0.01  # the default; variants do not multiply what exceeds it
LONGEST_CURVE = 100  # losses kept by partial_fit, which may be called many times
NO_BETTER = 1e-4  # a smaller relative improvement on the prior's loss is chance
SMALLEST_PRIOR_LOSS = 1e-6  # below it there is one class, and nothing to learn


class Training(NamedTuple):
    """The result of training a variant."""

    params: np.ndarray  # of the best epoch
    monitor: Monitor
    state: dict[str, Any]  # what a later call continues from
    out_of_fold: crossfit.OutOfFoldLoss | None = None  # of these params

    @property
    def temperature(self):
        """Of each member alone."""
        return 1.0 if self.out_of_fold is None else self.out_of_fold.temperature


def fit(settings, rows, validation, previous, begin_task, stream):
    """Train on checked rows.

    Parameters
    ----------
    settings : TwoLayerClassifier
        Read only.
    rows : Rows
    validation : Rows or None
        A given validation set.
    previous : dict
        Fitted attributes of the fit to continue, empty if there is none.
    begin_task : callable
        Starts the task that callbacks see, given its number of subtasks.
    stream : bool
        Whether the rows are a batch of a stream. Training is then one epoch at a
        constant rate, leaves no rows out and updates the earlier statistics.

    Returns
    -------
    attributes : dict
        Fitted attributes.
    interrupted : bool
        Whether Ctrl-C ended training early.
    """
    with np.errstate(all="ignore"):  # values that are not finite are handled
        plans = prepare(settings, rows, validation, previous, stream)
        task = begin_task(len(plans) if len(plans) > 1 else plans[0].max_iter)
        with _blas_threads(plans):
            trainings = _train(plans, task)
            plans = plans[: len(trainings)]
            attributes = fitted_attributes(plans, trainings)
            if settings.store_oof_proba and plans[0].fold is not None:
                proba = _out_of_fold_proba(plans, attributes, rows)
                attributes["oof_proba_"] = proba
    interrupted = trainings[-1].monitor.stop_reason == "interrupted"
    if not interrupted:
        _warn_if_in_trouble(plans, trainings)
        if settings.store_oof_proba and plans[0].fold is None and not stream:
            warn(
                "store_oof_proba=True needs folds, but this fit has none. Folds "
                "require early_stopping, n_estimators of 2 or more, no X_val, and "
                "enough distinct rows. oof_proba_ is None."
            )
        task.end(lambda: attributes, lambda: attributes)
    return attributes, interrupted


@cache
def _threadpools():
    return threadpoolctl.ThreadpoolController()


def _blas_threads(plans):
    """Limit BLAS to one thread if the products of a step are too small for several.

    A thread that waits for a core may delay each product by milliseconds. A variant of
    a blend uses one thread, so that the result does not depend on ``n_jobs``.
    """
    plan = plans[0]
    # only the products of the second layer have threads if X is sparse
    d = plan.shape.n_outputs if plan.state["sparse"] else plan.shape.n_inputs
    size = plan.batch_size * d * plan.shape.width
    if len(plans) == 1 and size >= WORTH_SHARING:
        return nullcontext()
    return _threadpools().limit(limits=1, user_api="blas")


def _train(plans, task):
    """Train the variants, in parallel if there are several threads.

    After Ctrl-C, it returns the variants that have completed an epoch.
    """
    if len(plans) == 1:
        return [_train_variant(plans[0], task)]
    trainings = []
    threads = n_threads(plans[0].settings.n_jobs, len(plans))
    if max(plan.batch_size * plan.shape.width for plan in plans) < WORTH_A_THREAD:
        threads = 1
    if threads == 1 or task.context is not None:  # with callbacks, one at a time
        for plan in plans:
            variant_task = task.subtask(plan.variant.name, plan.max_iter)
            try:
                trainings.append(_train_variant(plan, variant_task))
            except KeyboardInterrupt:
                if not trainings:
                    raise
                trainings[-1].monitor.stop_reason = "interrupted"
            if trainings[-1].monitor.stop_reason == "interrupted":
                break
            fitted = partial(fitted_attributes, [plan], trainings[-1:])
            if variant_task.end(lambda: {}, fitted):
                trainings[0].monitor.stop_reason = "callback"
                break
        return trainings
    interrupted, futures = Event(), {}

    def _stop_if_interrupted():
        if interrupted.is_set():
            raise KeyboardInterrupt

    with ThreadPoolExecutor(threads) as pool:
        try:
            # the largest network first, so that the threads end at about the same time
            for p in sorted(plans, key=lambda plan: -plan.shape.n_params):
                futures[p.variant] = pool.submit(
                    _train_variant, p, task, _stop_if_interrupted
                )
            # without a timeout, Windows ignores Ctrl-C
            while wait(futures.values(), timeout=0.1).not_done:
                pass
        except KeyboardInterrupt:
            interrupted.set()
            if len(futures) < len(plans):
                raise
        trainings = [futures[plan.variant].result() for plan in plans]
    if interrupted.is_set():
        trainings[-1].monitor.stop_reason = "interrupted"
    return trainings


def _train_variant(plan, task, on_end=never):
    """Train all members of a variant together."""
    with np.errstate(all="ignore"):  # also in a thread of its own
        settings, variant = plan.settings, plan.variant
        full_batch = settings.solver == "lbfgs"
        rngs = {purpose: plan.generator(purpose) for purpose in DRAWS}
        for purpose, state in plan.before.get("generators", {}).items():
            rngs[purpose].bit_generator.state = state
        network = plan.network(
            plan.first_params(),
            alpha=0.0 if settings.solver == "adam" else settings.alpha,
            dropout=0.0 if full_batch else variant.dropout,
            input_dropout=0.0 if full_batch else variant.input_dropout,
        )
        rng = None if full_batch else rngs["shuffle"]
        batches = Minibatches(plan.member_data, plan.inputs, plan.batch_size, rng)
        optimizer = None if full_batch else _optimizer(plan, network)
        rate, schedule = settings.learning_rate_init, None
        if settings.learning_rate == "cosine" and not (plan.stream or full_batch):
            schedule = WarmupCosine(rate, plan.max_iter, len(batches))
        monitor = _monitor(plan, network, schedule, batches.ready, on_end)

        def _training():
            draws = {p: rng.bit_generator.state for p, rng in rngs.items()}
            state = {} if full_batch else {"generators": draws}
            if plan.stream or settings.warm_start:
                state["params"] = network.params  # the last weights
                if not full_batch and monitor.stop_reason != "interrupted":
                    state[settings.solver] = optimizer.state()
            training = Training(monitor.best_params, monitor, state)
            if plan.fold is None:
                return training
            best = plan.network(monitor.best_params)
            out_of_fold = plan.out_of_fold_loss(best, batches.ready)
            out_of_fold()
            out_of_fold.ready = None  # only the logits are needed from here on
            return training._replace(out_of_fold=out_of_fold)

        def _fitted():
            return fitted_attributes([plan], [_training()])

        task.follow(monitor, lambda: progress(plan, monitor), _fitted)
        common = network, batches, monitor, plan.max_iter
        try:
            if full_batch:
                fit_lbfgs(*common, settings.tol)
            else:
                rates = schedule or (lambda step: rate)
                fit_stochastic(*common, optimizer, rates, rngs["dropout"])
        except KeyboardInterrupt:
            if monitor.best_epoch == 0:
                raise
            monitor.stop_reason = "interrupted"
            network.params[:] = monitor.best_params
        monitor.say_why_it_stopped()
        monitor.validate = None  # it holds buffers
        return _training()


def _optimizer(plan, network):
    """The solver's optimizer, with the previous fit's moments if it is continued."""
    settings, params, (d, h, o, k) = plan.settings, network.params, network.shape
    alpha = max(settings.alpha, min(settings.alpha, SMALL_ALPHA) * plan.variant.decay)
    decay = {"alpha": alpha, "n_decayed": network.shape.n_weights}
    if settings.solver == "sgd":
        optimizer = SGD(params, momentum=settings.momentum)
    elif settings.standardize:
        optimizer = ScalingLayerAdam(params, k * h * o, d * k, h, **decay)
    else:
        optimizer = Adam(params, **decay)
    if settings.solver in plan.before:
        optimizer.load(plan.before[settings.solver])
    return optimizer


def _monitor(plan, network, schedule, ready, on_end):
    """The monitor of a network, with its validation rows if there are any."""
    settings, held_out, validate = plan.settings, plan.held_out, None
    if plan.fold is not None:
        validate = plan.out_of_fold_loss(network, ready)
    elif held_out is not None:
        validate = partial(crossfit.validation_loss, network, plan.inputs, held_out)
    ends_itself = schedule is not None or settings.solver == "lbfgs"
    decides = plan.stops_early and validate is not None
    return Monitor(
        network.params,
        validate=validate,
        decides=decides,
        patience=math.inf if ends_itself and not decides else settings.n_iter_no_change,
        tol=settings.tol,
        prior_loss=plan.prior_loss,
        schedule=schedule,
        verbose=int(settings.verbose),
        name="" if plan.variant.name == "plain" else f"{plan.variant.name}: ",
        on_end=on_end,
    )


def _blended(plans, trainings):
    """Weights (n_variants,), and the factor that multiplies all temperatures."""
    plan = plans[0]
    weights = np.ones(1)
    if plan.fold is None:
        return weights, 1.0
    if len(plans) > 1:
        judged = [training.out_of_fold for training in trainings]
        label_proba = np.stack([each.label_proba() for each in judged])
        row_weight = judged[0].data.weight[0] / plan.rows_per_group
        weights = crossfit.blend_weights(label_proba, row_weight)
    if plan.rows_per_group > 1:  # the spread within known groups is not informative
        return weights, 1.0
    k, o = plan.shape.n_members, plan.shape.n_outputs
    sample = slice(max(64, min(4096, crossfit.MOST_LOGITS // (k * o))))
    rows, row_weight = plan.data.rows[sample], plan.data.weight[0, sample]
    raws = []
    for each_plan, training in zip(plans, trainings, strict=True):
        network = each_plan.network(training.params)
        blocks = crossfit.raw_blocks(network, each_plan.inputs, plan.data.X, rows)
        raw = np.concatenate([block for _, block in blocks], axis=1)
        raws.append(raw.astype(np.float64) / training.temperature)
    return weights, crossfit.factor_of_mean(plan.loss, raws, weights, row_weight)


def progress(plan, monitor):
    """The attributes that each epoch changes, including those of the continued fit."""
    curve, validation = monitor.loss_curve, monitor.validation_loss_curve
    before, kept = plan.previous, LONGEST_CURVE if plan.stream else sys.maxsize
    n_before, old_curve = before.get("n_iter_", 0), before.get("loss_curve_", [])
    # NaN for an epoch without validation
    old_validation = before.get("validation_loss_curve_") or [math.nan] * len(old_curve)
    validation_curve = old_validation + (validation or [math.nan] * len(curve))
    validation_curve = validation_curve[-kept:]
    if all(map(math.isnan, validation_curve)):
        validation_curve = None
    return {
        "n_iter_": n_before + len(curve),
        "best_iter_": n_before + monitor.best_epoch,
        "loss_curve_": [*old_curve, *curve][-kept:],
        "validation_loss_curve_": validation_curve,
        "best_validation_loss_": min(validation, default=None),
        "stop_reason_": monitor.stop_reason,
    }


def fitted_attributes(plans, trainings):
    """All attributes of the fitted estimator, as if training had stopped now."""
    plan, training = plans[0], trainings[0]
    inputs = plan.inputs
    weights, factor = _blended(plans, trainings)
    attributes = progress(plan, training.monitor)
    dtype = working_dtype(plan.data.X.dtype)  # of the inputs too, which variants share
    all_inputs = {id(plan.inputs): plan.inputs.with_dtype(dtype) for plan in plans}
    models = []
    for each_plan, each_training, weight in zip(plans, trainings, weights, strict=True):
        if weight or each_plan is plan:
            network = each_plan.network(each_training.params.astype(dtype))
            parts = all_inputs[id(each_plan.inputs)], network
            training_dtype = min(each_plan.inputs.dtype, dtype).name
            temperature = each_training.temperature * factor
            models.append(Model(*parts, temperature, float(weight), training_dtype))
    return attributes | {
        "n_estimators_": plan.variant.n_estimators,
        "hidden_layer_size_": plan.variant.hidden_layer_size,
        "dropout_": plan.variant.dropout,
        "batch_size_": plan.batch_size,
        "n_knots_": inputs.n_knots,
        "blend_weights_": weights,
        "mean_": _by_column(inputs, inputs.mean),
        "scale_": _by_column(inputs, inputs.scale),
        "split_columns_": inputs.numeric[inputs.split],
        "oof_proba_": None,
        "_blend": Blend(models, plan.levels),
        "_state": plan.state | training.state,
    }


def _by_column(inputs, values):
    """Values of the numeric columns (n_features,), with NaN for categories."""
    if values is None:
        return None
    by_column = np.full(inputs.n_features, np.nan)
    by_column[inputs.numeric] = values
    return by_column


def _out_of_fold_proba(plans, attributes, rows):
    """Probabilities (n_samples, n_classes) of each row from members not trained on it.

    The temperature of a row's member is fitted to the other folds. NaN for a row that
    all members trained on. If no member trained on a row, or if each left out a part of
    its weight, it gets the calibrated mean of all members.
    """
    plan, blend = plans[0], attributes["_blend"]
    every = np.arange(len(rows.y))
    known_hashes = row_hash(rows.X, plan.data.rows, rows.group)
    place = find_rows(known_hashes, row_hash(rows.X, every, rows.group))
    relative = place  # a row of the same fold
    if rows.group is not None:  # a row without weight may belong to a held-out group
        relative = find_rows(rows.group[plan.data.rows], rows.group)
    fold = np.where(relative < 0, EVERY_FOLD, plan.fold[relative])
    # a copy has the statistics of the row that stands for it
    same = np.where(place < 0, every, plan.data.rows[place])
    dtype = working_dtype(plan.data.X.dtype)
    proba = np.zeros((len(every), plan.loss.n_classes), dtype)
    used = np.flatnonzero(attributes["blend_weights_"])
    for index, model in zip(used, blend.used, strict=True):
        network, inputs, loss = model.network, model.inputs, model.network.loss
        temperatures = plans[index].out_of_fold_loss(network).member_temperatures()
        for part, raw in crossfit.raw_blocks(network, inputs, plan.data.X, same):
            row_fold = fold[part]
            member = np.maximum(row_fold, 0)
            own = raw[member, np.arange(len(row_fold))]
            own = own / temperatures[member, np.newaxis].astype(own.dtype)
            block = loss.mean_proba(own[np.newaxis])
            unseen = row_fold == EVERY_FOLD
            if unseen.any():
                block[unseen] = loss.mean_proba(raw[:, unseen] / model.temperature)
            proba[part] += model.weight * block
    proba[fold == NO_FOLD] = np.nan
    return proba


def _warn_if_in_trouble(plans, trainings):
    """Emit one ConvergenceWarning if training diverged or learned nothing."""
    plan, settings = plans[0], plans[0].settings
    monitors = [training.monitor for training in trainings]
    if n_recoveries := sum(monitor.n_recoveries for monitor in monitors):
        warn(
            f"The loss was not finite {n_recoveries} times. Each time, the last good "
            "weights were restored and the learning rate was halved. Lower "
            f"learning_rate_init={settings.learning_rate_init:g}, or use "
            "standardize=True.",
            ConvergenceWarning,
        )
        return
    if monitors[0].stop_reason == "callback" or plan.stream:
        return
    best_loss = min(monitor.best_loss for monitor in monitors)
    no_better = best_loss >= (1 - NO_BETTER) * plan.prior_loss
    if plan.prior_loss > SMALLEST_PRIOR_LOSS and no_better:
        rate = f"learning_rate_init={settings.learning_rate_init:g}, "
        rate = "" if settings.solver == "lbfgs" else rate
        warn(
            f"The best loss, {best_loss:.4g}, is no better than predicting the class "
            "frequencies. X may not predict y, or the network is over-regularized. "
            f"Change {rate}alpha={settings.alpha:g} or max_iter={plan.max_iter}.",
            ConvergenceWarning,
        )
