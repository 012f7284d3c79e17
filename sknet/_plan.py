"""Make all decisions of a fit before training, from the settings and the rows.

It weights and splits the rows, resolves "auto" and computes column statistics. Only
this module and ``_fit`` read the settings of the network and of training. The functions
are in the order in which ``prepare`` calls them.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import xlogy
from sklearn.utils import check_random_state, compute_class_weight

from sknet._checks import warn
from sknet._data.folds import deal_folds, hold_out
from sknet._data.inputs import Inputs
from sknet._data.levels import MANY_LEVELS, N_FOLDS, LevelStatistics
from sknet._data.weighted import Dataset, distinct_rows
from sknet._network.activations import ACTIVATIONS
from sknet._network.losses import Loss, loss_for
from sknet._network.network import Shape, TwoLayerNetwork
from sknet._training.crossfit import OutOfFoldLoss, member_weights

STRUCTURE = ("activation", "standardize", "n_knots")  # fixed once there are weights

FEW_ROWS = 5_000  # distinct rows up to which "auto" takes narrower members
MOST_MEMBERS, FEWEST_MEMBERS, MEMBER_POWER = 12, 4, 1.5  # fewer with more rows
MOST_EPOCHS, FEWEST_EPOCHS, EPOCH_POWER = 60, 3, 0.55
ROWS_OF_MOST_EPOCHS = 8_000
MOST_STEPS, FEWEST_STEPS = 80, 10  # of an epoch, fewer with more inputs
FEW_INPUTS = 192
MOST_WEIGHTS = 1 << 24  # of the first layer: with gradient and moments 0.5 GB


class Variant(NamedTuple):
    """A network of a blend: its size, dropout and encoding of numeric columns."""

    name: str
    n_estimators: int
    hidden_layer_size: int
    dropout: float
    n_knots: int | str
    input_dropout: float = 0.0
    ranks: bool = False
    decay: float = 1.0  # factor of the alpha of Adam


# What the variants of a blend change of "plain", the network without a blend, by the
# number of distinct rows up to which they are used. With few rows, masked inputs make
# up for the data that are missing; with many, a wide network fits finer structure.
# The widths for more than 5,000 rows let two threads share the work about equally.
MASKED = {"dropout": 0.1, "input_dropout": 0.5, "hidden_layer_size": 32}
KNOTS = {"dropout": 0.1, "n_knots": 16, "hidden_layer_size": 32}
RANKS = {"dropout": 0.1, "ranks": True, "hidden_layer_size": 64}
SHARP = {"dropout": 0.1, "hidden_layer_size": 64}
WIDE_KNOTS = {"dropout": 0.2, "n_knots": 16, "hidden_layer_size": 80, "decay": 20}
WIDE_RANKS = {"dropout": 0.2, "ranks": True, "hidden_layer_size": 256}
BLENDS = {
    1_000: {"plain": {}, "masked": MASKED, "knots": KNOTS, "ranks": RANKS},
    FEW_ROWS: {
        "masked": {**MASKED, "decay": 30},
        "knots": {**KNOTS, "decay": 10},
        "ranks": {**RANKS, "decay": 10},
    },
    math.inf: {"sharp": SHARP, "knots": WIDE_KNOTS, "ranks": WIDE_RANKS},
}
CURVED = {"knots", "ranks"}  # variants that need columns of more than two values
ROWS_TO_BLEND = 100  # independent distinct rows from which on "auto" blends


@dataclass(frozen=True)
class Plan:
    """Everything that training does not change."""

    settings: Any
    variant: Variant
    inputs: Inputs
    loss: Loss
    data: Dataset  # with the rows' own weights (1, n)
    held_out: Dataset | None
    fold: np.ndarray | None  # (n,) the member that does not train on each row
    rows_per_group: float  # rows that carry as much information as one independent row
    stops_early: bool
    stream: bool
    previous: dict[str, Any]  # fitted attributes of the fit that is continued
    levels: LevelStatistics | None
    state: dict[str, Any]  # what a later call continues from; training adds to it

    def generator(self, purpose):
        """The random generator for a purpose. Variants in CURVED have their own."""
        name = self.variant.name if self.variant.name in CURVED else ""
        return generator(self.state["seed"], purpose + name)

    @property
    def before(self):
        """The state of the fit that is continued, empty if there is none."""
        return self.previous.get("_state", {})

    @property
    def shape(self):
        """The sizes of the network."""
        k, h = self.variant.n_estimators, self.variant.hidden_layer_size
        return Shape(self.inputs.n_inputs, h, self.loss.n_outputs, k)

    @property
    def member_data(self):
        """The training rows with their weights (1 or k, n) for the members."""
        if self.fold is None:
            return self.data
        k = self.variant.n_estimators
        weight = member_weights(self.data.weight, self.fold, k)
        return self.data._replace(weight=weight)

    def network(self, params, **options):
        """A network on ``params``."""
        activation = ACTIVATIONS[self.settings.activation]
        return TwoLayerNetwork(self.shape, params, activation, self.loss, **options)

    def out_of_fold_loss(self, network, ready=None):
        """Out-of-fold loss of the rows, from the members that do not train on them."""
        data, fold, n = self.data, self.fold, self.rows_per_group
        return OutOfFoldLoss(network, self.inputs, data, fold, n, ready)

    @property
    def max_iter(self):
        """Maximum number of epochs, which is lower for many rows."""
        if self.stream:
            return 1
        if self.settings.max_iter != "auto":
            return int(self.settings.max_iter)
        n = max(1.0, len(self.data.rows) / ROWS_OF_MOST_EPOCHS)
        return max(FEWEST_EPOCHS, round(MOST_EPOCHS / n**EPOCH_POWER))

    @property
    def batch_size(self):
        """Rows per step. "auto" is a share of the rows, but between 32 and 256.

        With many inputs, such as words, a step takes as long as the update of its
        weights, so there are fewer steps.
        """
        n = len(self.data.rows)
        if self.settings.solver == "lbfgs":
            return min(n, max(256, 2 * self.shape.block_rows(self.state["sparse"])))
        if self.settings.batch_size == "auto":
            n_steps = MOST_STEPS * min(1, FEW_INPUTS / self.inputs.n_inputs)
            return min(n, max(int(n / max(n_steps, FEWEST_STEPS)), 32), 256)
        return min(n, int(self.settings.batch_size))

    def first_params(self):
        """Initial weights: random ones, or those of the fit that is continued."""
        dtype = self.inputs.dtype
        if self.before:
            kept = self.previous["_blend"].models[0].network.params
            return self.before.get("params", kept).astype(dtype)
        params = np.empty(self.shape.n_params, dtype)
        network = self.network(params)
        network.start(self.generator("init"), self._class_log_prior())
        constant = self.inputs.constant_inputs
        # A constant column gives no information. In a stream, it may change later, and
        # the network then learns from it, unless all columns were constant.
        if not (self.stream and constant.all()):
            network.layers[0][constant] = 0  # in W1
        return params

    def _class_log_prior(self):
        """Log class frequencies (1 or k, n_classes) in each member's training rows.

        A class without rows counts as half a row. One with a small weight counts as at
        least half a row or a thousandth, whichever is smaller, so that no logit is
        extreme.
        """
        (_, _, y, weights, _), n_classes = self.member_data, self.loss.n_classes
        counts = np.array([np.bincount(y, w, minlength=n_classes) for w in weights])
        least = np.minimum(0.5, 1e-3 * counts.sum(axis=1, keepdims=True))
        counts = np.maximum(counts, np.where(counts > 0, least, 0.5))
        return np.log(counts / counts.sum(axis=1, keepdims=True))

    @property
    def prior_loss(self):
        """Log-loss of the class frequencies on the rows whose loss is monitored."""
        data, n_classes = self.data, self.loss.n_classes
        frequency = np.bincount(data.y, data.weight[0], minlength=n_classes)
        watched = data
        if self.stops_early and self.held_out is not None:
            watched = self.held_out
        labels = np.bincount(watched.y, watched.weight[0], minlength=n_classes)
        return float(-xlogy(labels / labels.sum(), frequency / frequency.sum()).sum())


def prepare(settings, rows, validation, previous, stream):
    """Weight, split and scale the rows, and resolve "auto".

    Returns the plans of all variants.
    """
    state = previous.get("_state", {})
    seed = state["seed"] if state else _seed(settings.random_state)
    before = state if stream else {}  # the earlier batches

    distinct, sample_weight, class_counts, factor = _weigh(settings, rows, before)
    variant = _variant(settings, previous, len(distinct.rows), rows.X.shape[1])

    rows_per_group = _rows_per_group(rows, distinct)
    held_out, fold, split = None, None, 0
    stops_early = settings.early_stopping
    if stops_early == "auto":
        stops_early = variant.n_estimators > 1 or validation is not None
    stops_early = stops_early and not stream
    if stops_early and validation is None:
        left_out, split = _leave_out(
            settings, variant, rows, distinct, sample_weight, state, seed
        )
        if split and variant.n_estimators > 1:
            fold = left_out
        elif split:
            held_out, distinct = distinct.take(left_out), distinct.take(~left_out)

    rows, levels = _level_statistics(rows, distinct, previous, stream, seed)
    if validation is not None and levels is not None:
        validation = validation._replace(X=levels.transform(validation.X))
    inputs = _inputs(settings, previous, rows)
    if stream or not previous:
        inputs.partial_fit(rows.X, distinct.rows, distinct.weight)
    variants = {variant: inputs}
    n_independent = len(distinct.rows) / rows_per_group
    if not stream and _blends(settings, n_independent, fold, inputs):
        variants = _blend_variants(settings, variant, inputs, rows.X, distinct)

    n_rows = len(distinct.rows) + before.get("n_rows", 0)
    mean_weight, share = before.get("mean_weight", 0.0), len(distinct.rows) / n_rows
    mean_weight += share * (float(distinct.weight.mean()) - mean_weight)
    data = _scaled(distinct, rows.X, mean_weight)
    if held_out is not None:
        held_out = _scaled(held_out, rows.X, mean_weight)
    elif validation is not None:
        held_out = _given_validation(validation, factor)

    next_state = {
        "seed": seed,
        "structure": {name: getattr(settings, name) for name in STRUCTURE},
        "sparse": sp.issparse(rows.X),
        "class_counts": class_counts,  # (n_classes,) sums of sample weights
        "n_rows": n_rows,  # distinct rows trained on, in all calls of a stream
        "mean_weight": mean_weight,  # of these rows
        "split": split,  # names the rows that were left out; 0 if there were none
    }
    shared = {
        "loss": loss_for(len(rows.classes)),
        "data": data,
        "held_out": held_out,
        "fold": fold,
        "rows_per_group": rows_per_group,
        "stops_early": stops_early,
        "stream": stream,
        "previous": previous,
        "levels": levels,
        "state": next_state,
    }
    return [Plan(settings, v, inputs, **shared) for v, inputs in variants.items()]


def _seed(random_state):
    """Return an integer seed for an int, a RandomState, a Generator or None."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    return int(random_state)


def generator(seed, purpose):
    """Independent random generators, one for each purpose."""
    return np.random.default_rng([seed, *purpose.encode()])


def _weigh(settings, rows, before):
    """Multiply by class weights.

    Returns the distinct rows, their sample weights, the class sums and class factors.

    Rows whose weight becomes zero are dropped. The sums, which "balanced" class weights
    need, include earlier batches.
    """
    classes = rows.classes
    distinct = distinct_rows(rows.X, rows.y, rows.sample_weight, rows.group)
    y = distinct.y
    counts = np.bincount(y, distinct.weight, minlength=len(classes))
    counts = counts + before.get("class_counts", 0)
    factor = np.ones(len(classes))
    if isinstance(settings.class_weight, dict):
        factor = np.array([settings.class_weight.get(c, 1) for c in classes.tolist()])
    elif settings.class_weight == "balanced":
        present = np.flatnonzero(counts)
        factor[present] = compute_class_weight(
            "balanced", classes=present, y=present, sample_weight=counts[present]
        )
    sample_weight, weight = distinct.weight, distinct.weight * factor[y]
    distinct = distinct._replace(weight=weight).take(weight > 0)
    return distinct, sample_weight[weight > 0], counts, factor


def _variant(settings, previous, n, d):
    """Resolve "auto" for n distinct rows of d columns.

    More rows lead to fewer and wider members. With few rows, averaging reduces much
    variance, and with many rows, there is finer structure to learn. With tens of
    thousands of columns, such as word counts, memory limits first the number of
    members and then their width. A fit that is continued keeps the sizes and the
    inputs of the first one.
    """
    if previous:
        if len(previous["_blend"].models) > 1:
            warn(
                "The fit that is continued was a blend. Only its first variant is "
                "trained further, and the others are dropped. Use blend=False from the "
                "first fit on."
            )
        names = "n_estimators_", "hidden_layer_size_", "dropout_", "n_knots_"
        variant = Variant("plain", *(previous[name] for name in names))
        dropout = variant.dropout if settings.dropout == "auto" else settings.dropout
        return variant._replace(dropout=dropout, input_dropout=settings.input_dropout)
    h, dropout = (48, 0.5) if n <= FEW_ROWS else (128, 0.35)
    share = min(1.0, FEW_ROWS / n) ** MEMBER_POWER
    k = max(FEWEST_MEMBERS, round(MOST_MEMBERS * share))
    room = _most_weights(settings) // d
    units, members = settings.hidden_layer_size, settings.n_estimators
    if settings.dropout != "auto":
        dropout = settings.dropout
    if members == "auto":
        k = min(k, max(FEWEST_MEMBERS, room // (16 if units == "auto" else int(units))))
    else:
        k = int(members)
    h = min(h, max(8, room // k)) if units == "auto" else int(units)
    return Variant("plain", k, h, dropout, settings.n_knots, settings.input_dropout)


def _most_weights(settings):
    """Most weights of a first layer. L-BFGS stores ten steps and gradients of each."""
    return MOST_WEIGHTS // (8 if settings.solver == "lbfgs" else 1)


def _rows_per_group(rows, distinct):
    """The design effect of Kish (1965) if rows of a group carry the same information.

    The ratio of the effective number of rows to that of groups; 1 without groups.
    """
    if rows.group is None:
        return 1.0
    weight = distinct.weight
    of_group = np.bincount(rows.group[distinct.rows], weight)
    return float(of_group @ of_group / (weight @ weight))


def _leave_out(settings, variant, rows, distinct, sample_weight, state, seed):
    """Folds or held-out rows (n,), and an identifier of this split (0 without one)."""
    y, rng, k = distinct.y, generator(seed, "split"), variant.n_estimators
    asked, heavy = settings.early_stopping != "auto", None
    group = _groups(rows, distinct)
    if rows.group is None:
        # an x that weighs at least k times as much as the mean
        weight = np.bincount(group, sample_weight)
        heavy = weight >= k * weight.mean()
    else:
        n_groups = group.max() + 1
        if n_groups < max(k, 2):
            so = "No rows are left out" if n_groups < 2 else "There are as many folds"
            warn(f"groups has only {n_groups} groups for n_estimators={k}. {so}.")
        asked = n_groups > 1
    if k > 1:
        left_out = deal_folds(y, group, k, rng, heavy)
        # "auto" requires rows in every fold, and True accepts fewer folds
        possible = left_out.max() >= (0 if asked else k - 1)
    else:
        left_out = hold_out(y, group, settings.validation_fraction, rng)
        possible = left_out.any()
    if not possible:
        if asked:
            warn(
                "early_stopping needs more distinct rows, because no class has two "
                "different rows of X, of which one could be held out. Training uses "
                "all rows, without a validation set."
            )
        return left_out, 0
    split = int((distinct.hashes * (left_out + 4).astype(np.uint64)).sum()) or 1
    if state and state["split"] != split:
        warn(
            "The weights that warm_start continues were trained on rows that would now "
            "be held out. Training uses all rows, without a validation set. Pass X_val "
            "and y_val, or fit anew with warm_start=False."
        )
        return left_out, 0
    return left_out, split


def _groups(rows, distinct):
    """The group (n,) of each distinct row. By default, rows of equal x are a group."""
    names = distinct.hashes if rows.group is None else rows.group[distinct.rows]
    return np.unique(names, return_inverse=True)[1]


def _level_statistics(rows, distinct, previous, stream, seed):
    """The rows, with statistics instead of categories with many levels.

    A continued fit keeps the statistics of the first fit, and a stream has none.
    """
    levels = previous["_blend"].levels if previous else None
    many = {j: n for j, n in rows.n_levels.items() if n > MANY_LEVELS}
    if levels is not None:
        X = levels.transform(rows.X)
    elif many and not previous and not stream:
        sizes = list(many), list(many.values())
        levels = LevelStatistics(*sizes, len(rows.classes))
        group, rng = _groups(rows, distinct), generator(seed, "levels")
        fold = deal_folds(distinct.y, group, N_FOLDS, rng)
        fold[fold < 0] = N_FOLDS  # all of them in a fold of their own
        X = levels.fit_transform(rows.X, rows.y, distinct.rows, distinct.weight, fold)
    else:
        return rows, None
    few = {j: n for j, n in rows.n_levels.items() if j not in levels.columns}
    return rows._replace(X=X, n_levels=few), levels


def _inputs(settings, previous, rows):
    """New inputs, or those of the fit that is continued."""
    X, dtype = rows.X, np.float64 if settings.solver == "lbfgs" else settings.dtype
    encoding = settings.standardize, settings.n_knots, dtype, rows.n_levels
    if not previous:
        return Inputs(X.shape[1], *encoding)
    sparse = previous["_state"]["sparse"]
    if settings.standardize and sparse != sp.issparse(X):
        now, then = ("dense", "sparse") if sparse else ("sparse", "dense")
        raise ValueError(
            f"X is {now}, but it was {then} in the fit that warm_start continues. "
            "Sparse columns are not centred. Pass X in the same form, or use "
            "standardize=False."
        )
    return previous["_blend"].models[0].inputs.with_dtype(dtype)


def _blends(settings, n, fold, inputs):
    """Whether to train several variants, which needs folds to compare them."""
    wanted = settings.blend
    if wanted == "auto":
        wanted = settings.dropout == settings.n_knots == "auto" and n >= ROWS_TO_BLEND
    possible = fold is not None and inputs.centred and not settings.warm_start
    if wanted and not possible and settings.blend != "auto":
        warn(
            "blend=True needs folds, dense X, standardize=True and warm_start=False. "
            "One variant is trained instead of a blend."
        )
    return wanted and possible


def _blend_variants(settings, plain, inputs, X, distinct):
    """The variants of a blend and their inputs.

    "plain" is added if `dropout` is given, which no other variant uses. If only one
    variant remains because there are no curves, the network of "ranks" joins it on the
    inputs of "plain".
    """
    variants = {} if settings.dropout == "auto" else {plain: inputs}
    most_weights = _most_weights(settings)
    room = most_weights // X.shape[1]
    most_rows = min(n for n in BLENDS if n >= len(distinct.rows))
    for name, changes in BLENDS[most_rows].items():
        other, units = plain._replace(name=name, **changes), plain.hidden_layer_size
        if settings.hidden_layer_size == "auto":
            units = min(other.hidden_layer_size, max(8, room // plain.n_estimators))
        other = other._replace(hidden_layer_size=units)
        if name not in CURVED:
            variants[other] = inputs
            continue
        n_inputs = len(inputs.numeric) * (3 if other.ranks else other.n_knots)
        if inputs.is_curved and n_inputs * other.n_estimators * units <= most_weights:
            curves = other.n_knots, other.ranks, X, distinct.rows, distinct.weight
            variants[other] = inputs.with_curves(*curves)
    if len(variants) == 1:
        variants[other] = inputs  # the last one, "ranks"
    return variants


def _scaled(data, X, mean_weight):
    """The rows, now of ``X``, with their weights (1, n) divided by the mean weight."""
    weight = data.weight[np.newaxis] / mean_weight
    return data._replace(X=X, weight=weight, hashes=None)


def _given_validation(validation, factor):
    """The rows of the validation set, weighted in the same way as the training rows."""
    X, y, weight, *_ = validation
    weight = weight * factor[y]
    if not weight.any():
        raise ValueError("class_weight gives every row of y_val the weight zero.")
    return Dataset(X, np.arange(X.shape[0]), y, weight[np.newaxis] / weight.max())
