"""One fit: settings and checked rows in, everything that the estimator publishes out.

What a later ``partial_fit`` or warm start continues with is kept as plain arrays,
numbers and dicts, never as live objects, and is replaced as a whole: a fit that fails
leaves the old one untouched.
"""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np

from sknet import _reporting
from sknet._crossfit import OutOfFold, out_of_fold_proba, temperature_of_mean
from sknet._monitor import Monitor, mean_history
from sknet._objects import batch_size_for, dropout_for, optimizer_for, schedule_for
from sknet._prediction import ValidationLoss
from sknet._preparation import (
    Seen,
    given_validation,
    in_reach,
    prepare,
    prepare_batch,
)
from sknet._publishing import Outcome, Temperatures, optimizer_kind, progress, published
from sknet._rows import fold_of_rows
from sknet._schedules import Constant
from sknet._session import Session
from sknet._threads import run_with_threads_for
from sknet._training import Minibatches, fit_lbfgs, fit_stochastic

FULL_BATCH_ELEMENTS = 1 << 20  # of a block's widest array, for L-BFGS


def fit(settings, labelled, classes, validation, previous, callbacks):
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
    callbacks : Callbacks or NoCallbacks
        Are told of the fit and of each epoch.
    """
    settings = SimpleNamespace(**vars(settings))
    settings.asked_to_stop_early = settings.early_stopping is True
    if settings.early_stopping == "auto":
        # "auto" members are never one
        settings.early_stopping = settings.n_estimators != 1 or validation is not None
    session = Session(settings, classes, labelled.X, previous)
    labelled, session.weight_exponent = in_reach(labelled)
    splits = settings.early_stopping and validation is None
    preparing = partial(
        prepare,
        settings,
        labelled,
        classes,
        statistics=session.statistics,
        sizes=session.sizes,
        split_rng=session.rngs["split"] if splits else None,
        known_split=None if previous is None else session.state["split"],
    )
    prepared = run_with_threads_for(0, preparing)
    session.bind(prepared)
    held_out = prepared.held_out
    if validation is not None:
        held_out = given_validation(settings, validation, classes, prepared)
    run = run_lbfgs if settings.solver == "lbfgs" else run_stochastic
    training = partial(run, session, held_out, partial(callbacks.begin, "fit"))
    task, outcome = run_with_threads_for(_largest_product(session), training)
    warn = partial(_warn, session, outcome, held_out, validation)
    attributes, late = _finish(partial(_attributes, session, outcome, labelled.X))
    late = outcome.interruption or _interrupted(warn) or late
    return attributes, _end(task, late, attributes)


def _warn(session, outcome, held_out, validation):
    """Warn of what went wrong in a fit that was not interrupted."""
    settings, prepared = session.settings, session.prepared
    _reporting.warn_if_in_trouble(
        settings, outcome, prepared.data, held_out, session.loss.n_classes
    )
    if settings.store_oof_proba and prepared.fold is None:
        _reporting.warn_no_folds(settings, validation, prepared.sizes.n_estimators)


def partial_fit(settings, labelled, classes, previous, callbacks):
    """Train for exactly one pass at a constant rate; returns as ``fit`` does."""
    settings = SimpleNamespace(**vars(settings))
    settings.max_iter, settings.early_stopping = 1, False
    if settings.learning_rate != "invscaling":
        settings.learning_rate = "constant"
    session = Session(settings, classes, labelled.X, previous, stream=True)
    exponent = session.state.get("weight_exponent")
    labelled, session.weight_exponent = in_reach(labelled, exponent)
    preparing = partial(
        prepare_batch,
        settings,
        labelled,
        classes,
        statistics=session.statistics,
        sizes=session.sizes,
        seen=session.state.get("seen") and Seen(*session.state["seen"]),
    )
    session.bind(run_with_threads_for(0, preparing))
    begin = partial(callbacks.begin, "partial_fit")
    training = partial(run_stochastic, session, None, begin)
    task, outcome = run_with_threads_for(_largest_product(session), training)
    if outcome.n_recoveries:
        _reporting.warn_of_divergence(settings, outcome)
    attributes = published(session, outcome)
    return attributes, _end(task, outcome.interruption, attributes)


def run_stochastic(session, held_out, begin):
    """Minibatch training of all members together; returns its task and its outcome."""
    settings, prepared = session.settings, session.prepared
    task = begin(settings.max_iter)
    network = session.network(
        session.first_params(),
        penalized=settings.solver == "sgd",
        dropout=dropout_for(settings, session.n_rows),
        input_dropout=settings.input_dropout,
    )
    batches = _minibatches(session)
    optimizer = _optimizer(session, network)
    schedule = schedule_for(settings, len(batches))
    out_of_fold = _out_of_fold(session, network, prepared.fold)
    validate = out_of_fold or _validation_loss(session, network, held_out)
    monitor = _monitor(session, network, validate, schedule, held_out)
    monitor.on_best = out_of_fold and out_of_fold.keep
    outcome = partial(_outcome, session, network, optimizer, monitor, out_of_fold)
    _follow(session, task, monitor, outcome)
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
                first_step=optimizer.n_steps if _counts_on(settings) else 0,
                dropout_rng=session.rngs["dropout"],
                collect=out_of_fold and out_of_fold.in_passing,
            )
    except KeyboardInterrupt as error:
        monitor.complete()
        if monitor.best_epoch == 0:
            raise
        monitor.stop_reason, interruption = "interrupted", error
        if not np.isfinite(network.params).all():
            network.params[:] = monitor.best_params
            optimizer.reset()
    result, late = _finish(partial(outcome, n_recoveries))
    told = _interrupted(partial(_reporting.stopped, settings.verbose, monitor))
    return task, result._replace(interruption=interruption or late or told)


def _interrupted(call):
    """The Ctrl-C that ended ``call()``, if one did: training is not lost to it."""
    try:
        call()
    except KeyboardInterrupt as error:
        return error
    return None


def _finish(call):
    """What ``call()`` returns, and a Ctrl-C that came meanwhile.

    Training is over by then and must not be lost: what was interrupted is done once
    more, unless there is a second Ctrl-C.
    """
    try:
        return call(), None
    except KeyboardInterrupt as error:
        return call(), error


def _outcome(
    session,
    network,
    optimizer,
    monitor,
    out_of_fold,
    n_recoveries=0,
):
    """What stochastic training leaves behind if it ends now."""
    if out_of_fold is not None and out_of_fold.in_passing is not None:
        # the epoch's logits were of weights on the way; these are of those kept
        kept = session.network(monitor.best_params)
        out_of_fold = _out_of_fold(session, kept, session.prepared.fold)
        out_of_fold.predict_all()
        out_of_fold.calibrate()
        out_of_fold.keep()
    return Outcome(
        monitor.best_params,
        network.params,
        optimizer.state(),
        monitor.history(),
        _temperatures(session, out_of_fold, monitor.best_params),
        n_recoveries,
        None,
        session.prepared.fold,
        session.prepared.split,
    )


def run_lbfgs(session, held_out, begin):
    """Full-batch training, one member at a time: a line search couples them."""
    k, settings = session.shape.n_members, session.settings
    task = begin(k if k > 1 else settings.max_iter)
    start, monitors, stop_reason, interruption = session.first_params(), [], None, None
    try:
        for j in range(k):
            own = task.begin("member", settings.max_iter) if k > 1 else task
            _train_member(session, j, start, monitors, held_out, own)
            _reporting.stopped(settings.verbose, monitors[-1])
            if k > 1 and _end_member(session, own, monitors):
                stop_reason = "callback"
                break
    except KeyboardInterrupt as error:
        for monitor in monitors:
            monitor.complete()
        monitors = [monitor for monitor in monitors if monitor.best_epoch]
        if not monitors:
            raise
        stop_reason = monitors[-1].stop_reason = "interrupted"
        interruption = error
        _interrupted(partial(_reporting.stopped, settings.verbose, monitors[-1]))
    result, late = _finish(partial(_joint_outcome, session, monitors, stop_reason))
    return task, result._replace(interruption=interruption or late)


def _train_member(session, j, start, monitors, held_out, task):
    """Train member j alone; its monitor joins those of the members before it."""
    shape, prepared = session.shape, session.prepared
    network = session.network(shape.member(start, j), shape._replace(n_members=1))
    held_out = held_out if prepared.fold is None else prepared.own_fold(j)
    validate = _validation_loss(session, network, held_out)
    monitor = _monitor(session, network, validate, Constant(0.0), held_out)
    if prepared.fold is not None:
        # a member that chose its iteration by its own fold would have seen that fold
        monitor.decides, monitor.patience = False, math.inf
    monitors.append(monitor)
    _follow(session, task, monitor, partial(_joint_outcome, session, monitors))
    batches = _minibatches(session, j)
    settings = session.settings
    with np.errstate(all="ignore"):
        fit_lbfgs(
            network, batches, monitor, max_iter=settings.max_iter, tol=settings.tol
        )


def _joint_outcome(session, monitors, stop_reason=None):
    """The members as one; those that were not reached are copies of the first."""
    params = np.empty(session.shape.n_params, session.dtype)
    for j in range(session.shape.n_members):
        source = monitors[j if j < len(monitors) else 0]
        session.shape.set_member(params, j, source.best_params)
    # copies of the first member know the folds of those they stand for
    prepared = session.prepared.judged_by(len(monitors))
    history = mean_history([monitor.history() for monitor in monitors])
    if stop_reason is not None:
        history = history._replace(stop_reason=stop_reason)
    out_of_fold = _out_of_fold(session, session.network(params), prepared.fold)
    if out_of_fold is not None:
        out_of_fold.predict_all()
        history = history._replace(best_loss=out_of_fold.calibrate())
        out_of_fold.keep()
    return Outcome(
        params,
        params,
        {},
        history,
        _temperatures(session, out_of_fold, params),
        0,
        None,
        prepared.fold,
        prepared.split,
    )


def _minibatches(session, j=None):
    """The training rows in minibatches, or, for member j, in blocks of bounded size."""
    settings, data, whole = (
        session.settings,
        session.prepared.member_data(j),
        j is not None,
    )
    rng = session.rngs["shuffle"] if settings.shuffle and not whole else None
    return Minibatches(
        data, session.standardizer, _batch_size(session), rng, whole=whole
    )


def _batch_size(session):
    """Rows worked through at a time."""
    n = len(session.prepared.data.rows)
    if session.settings.solver == "lbfgs":
        return min(n, max(256, FULL_BATCH_ELEMENTS // max(session.shape[:3])))
    return min(n, batch_size_for(session.settings, n))


def _largest_product(session):
    """Multiplications of the largest product that BLAS has in a training step."""
    d, h, o, k = session.shape
    if session.sparse:  # SciPy's products of sparse rows have one thread anyway
        d = o
    return (
        _batch_size(session) * d * h * (1 if session.settings.solver == "lbfgs" else k)
    )


def _follow(session, task, monitor, outcome):
    """Let callbacks follow the epochs; ``outcome()`` is that of stopping now."""
    task.follow(
        monitor,
        lambda: progress(session, monitor.history()),
        lambda: published(session, outcome()),
    )


def _end_member(session, task, monitors):
    """True if a callback asks to leave the other members untrained."""
    return task.end(
        lambda: progress(session, mean_history([m.history() for m in monitors])),
        lambda: published(session, _joint_outcome(session, monitors)),
    )


def _end(task, interruption, attributes):
    """Tell callbacks that all is done; returns an interruption, if there was one."""
    if interruption is not None:
        return interruption
    try:
        task.end(lambda: attributes, lambda: attributes)
    except KeyboardInterrupt as error:  # what has been learnt is not lost
        return error
    return None


def _attributes(session, outcome, X):
    """Fitted attributes; with out-of-fold probabilities of X's rows if asked for."""
    attributes = published(session, outcome)
    if session.settings.store_oof_proba and session.prepared.fold is not None:
        attributes["oof_proba_"] = out_of_fold_proba(
            session.network(outcome.best_params.astype(session.output_dtype)),
            session.standardizer_for(session.output_dtype),
            X,
            fold_of_rows(X, session.prepared.data.rows, outcome.fold),
            *outcome.temperatures,
        )
    return attributes


def _temperatures(session, out_of_fold, params):
    """Fitted to the out-of-fold logits of one epoch; 1 without them."""
    if out_of_fold is None:
        return Temperatures()
    network, data = session.network(params), session.prepared.data
    of_members = out_of_fold.best_temperature
    of_mean = temperature_of_mean(network, session.standardizer, data, of_members)
    return Temperatures(of_members, of_mean)


def _out_of_fold(session, network, fold):
    if fold is None:
        return None
    return OutOfFold(network, session.standardizer, session.prepared.data, fold)


def _validation_loss(session, network, validation):
    if validation is None:
        return None
    return ValidationLoss(network, session.standardizer, validation)


def _optimizer(session, network):
    """The solver's optimizer, with the moments of the fit that is continued."""
    optimizer = optimizer_for(session.settings, network)
    if session.state.get("optimizer_kind") == optimizer_kind(session.settings):
        optimizer.load(session.state["optimizer"])
    return optimizer


def _counts_on(settings):
    """Whether the schedule counts all steps ever made: only 1 / t decay does."""
    return settings.learning_rate == "invscaling"


def _monitor(session, network, validate, schedule, held_out):
    """What the epochs are told to.

    Patience acts on the validation loss, or on the training loss of a rate that does
    not come down by itself.
    """
    settings, data = session.settings, session.prepared.data
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
            settings, data, held_out, session.loss.n_classes
        ),
        on_plateau=schedule.lower,
        report=_reporting.reporter(settings.verbose),
    )
