"""What a fit leaves behind: the attributes that users see, the state that goes on."""

import math
from typing import NamedTuple

import numpy as np

from sknet._monitor import History

# beside the sizes: what weights cannot be carried over if it changes
STRUCTURE = ("activation", "standardize", "squash", "split_inputs")

LONGEST_CURVE = 100  # losses kept by partial_fit, whose calls have no end


class Temperatures(NamedTuple):
    """What logits are divided by: of each member alone, and of their mean."""

    of_members: float = 1.0
    of_mean: float = 1.0


class Outcome(NamedTuple):
    """What training leaves behind."""

    best_params: np.ndarray
    last_params: np.ndarray
    optimizer: dict
    history: History
    temperatures: Temperatures
    n_recoveries: int
    interruption: KeyboardInterrupt | None
    fold: np.ndarray | None  # (n,) the member that judges each row; -1: none does
    split: int | None  # names the rows left out, if weights to go on from know them


def optimizer_kind(settings):
    """What an optimizer's state fits to."""
    return settings.solver, settings.solver == "adam" and settings.scaling_layer


def published(session, outcome):
    """Fitted attributes, by name; ``_state`` is what a later fit continues with."""
    statistics = session.prepared.statistics
    return {
        "_params": outcome.best_params.astype(session.output_dtype, copy=False),
        "_state": _next_state(session, outcome),
        **progress(session, outcome.history),
        "stop_reason_": outcome.history.stop_reason,
        "oof_proba_": None,
        "temperature_": outcome.temperatures.of_mean,
        "mean_": None if statistics is None else statistics.centre,
        "scale_": None if statistics is None else statistics.scale,
        "split_columns_": session.split_columns,
        "split_offset_": session.split_offset,
    }


def progress(session, history):
    """The attributes that every epoch changes, over all runs."""
    old = session.previous or {}
    n_before = old.get("n_iter_", 0)
    curve = [*old.get("loss_curve_", []), *history.loss_curve]
    validation_curve = _validation_curve(session, history)
    if session.stream:
        curve = curve[-LONGEST_CURVE:]
        validation_curve = _recent(validation_curve)
    return {
        "n_iter_": n_before + len(history.loss_curve),
        "best_iter_": n_before + history.best_epoch,
        "loss_curve_": curve,
        "validation_loss_curve_": validation_curve,
        "best_validation_loss_": _best_validation_loss(session, history),
    }


def _validation_curve(session, history):
    """The curve over all runs, NaN where there was nothing to validate with."""
    old = session.previous or {}
    before = old.get("validation_loss_curve_")
    now = history.validation_loss_curve
    if not before and not now:
        return None
    before = before or [math.nan] * len(old.get("loss_curve_", []))
    return [*before, *(now or [math.nan] * len(history.loss_curve))]


def _recent(validation_curve):
    """The end that a stream keeps; None once all that was validated is forgotten."""
    end = (validation_curve or [])[-LONGEST_CURVE:]
    return None if all(map(math.isnan, end)) else end


def _best_validation_loss(session, history):
    """That of the epoch that is kept; the lowest one if the last is kept anyway."""
    if not history.validation_loss_curve:
        return None
    decides = session.settings.early_stopping
    return history.best_loss if decides else min(history.validation_loss_curve)


def _next_state(session, outcome):
    """Plain data to continue from; the moments only if that is foreseen."""
    prepared, statistics = session.prepared, session.prepared.statistics
    structure = {name: getattr(session.settings, name) for name in STRUCTURE}
    state = {
        "seed": session.seed,
        "streams": {
            name: session.rngs[name].bit_generator.state
            for name in ("shuffle", "dropout")
        },
        "structure": {**prepared.sizes._asdict(), **structure},
        "n_rows": session.n_rows,
        "seen": tuple(prepared.seen),
        "split": outcome.split or 0,
        "weight_exponent": session.weight_exponent,
        "sparse": session.sparse,
    }
    if statistics is not None:
        state["statistics"] = tuple(statistics)
    if session.stream or session.settings.warm_start:
        state["params"] = outcome.last_params
        state["optimizer_kind"] = optimizer_kind(session.settings)
        state["optimizer"] = outcome.optimizer
    return state
