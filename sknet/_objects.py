"""The estimator's settings as objects: here, once, strings are looked at.

Also the way back from fitted attributes to the network that they describe.
"""

from typing import NamedTuple

import numpy as np

from sknet._activations import IDENTITY, LOGISTIC, RELU, TANH
from sknet._losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from sknet._network import Shape, TwoLayerNetwork
from sknet._optimizers import SGD, Adam, ScalingLayerAdam
from sknet._schedules import Adaptive, Constant, InverseScaling, WarmupCosine
from sknet._standardizer import Split, Standardizer

ACTIVATIONS = {"relu": RELU, "tanh": TANH, "logistic": LOGISTIC, "identity": IDENTITY}


def loss_for(n_classes):
    """One sigmoid output for two classes, else a softmax output for each."""
    return SigmoidCrossEntropy() if n_classes == 2 else SoftmaxCrossEntropy(n_classes)


def fitted_shape(attributes):
    """The network's sizes, from an estimator's fitted attributes."""
    structure = attributes["_state"]["structure"]
    n_classes = len(attributes["classes_"])
    return Shape(
        attributes["n_features_in_"] + len(attributes["split_columns_"]),
        structure["hidden_layer_size"],
        1 if n_classes == 2 else n_classes,
        structure["n_estimators"],
    )


def split_of(columns, offset):
    """The columns that enter twice, as the standardizer takes them; None without."""
    return Split(columns, offset) if len(columns) else None


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
        attributes["mean_"],
        attributes["scale_"],
        structure["squash"],
        params.dtype,
        split_of(attributes["split_columns_"], attributes["split_offset_"]),
    )
    return network, standardizer


def optimizer_for(settings, network):
    """Make a new optimizer for the network's parameters."""
    if settings.solver == "sgd":
        return SGD(
            network.params,
            momentum=settings.momentum,
            nesterov=settings.nesterovs_momentum,
        )
    adam = {
        "beta_1": settings.beta_1,
        "beta_2": settings.beta_2,
        "epsilon": settings.epsilon,
        "alpha": settings.alpha,
        "n_decayed": network.shape.n_weights,
    }
    if settings.scaling_layer:
        d, h, o, k = network.shape
        return ScalingLayerAdam(network.params, k * h * o, d * k, h, **adam)
    return Adam(network.params, **adam)


def schedule_for(settings, n_batches):
    """Make the learning rate's course over ``max_iter`` epochs of so many updates."""
    rate = settings.learning_rate_init
    makers = {
        "constant": lambda: Constant(rate),
        "invscaling": lambda: InverseScaling(rate, settings.power_t),
        "adaptive": lambda: Adaptive(rate),
        "cosine": lambda: WarmupCosine(rate, settings.max_iter, n_batches),
    }
    return makers[settings.learning_rate]()


def batch_size_for(settings, n):
    """A twentieth of the n rows, between 32 and 256, unless a number is given."""
    if settings.batch_size == "auto":
        return min(max(n // 20, 32), 256)
    return settings.batch_size


def dropout_for(settings, n):
    """Share of hidden units to switch off with n rows, unless it is given."""
    if settings.dropout == "auto":
        return 0.5 if n <= FEW_ROWS else 0.35
    return settings.dropout


MOST_SPLIT_COLUMNS = 128


def columns_to_split(settings, statistics):
    """Indices of the columns that enter the network twice; none without statistics."""
    nothing = np.empty(0, np.intp)
    if statistics is None or not settings.split_inputs:
        return nothing
    columns = statistics.splittable
    many = len(columns) > MOST_SPLIT_COLUMNS
    return nothing if many and settings.split_inputs == "auto" else columns


class Sizes(NamedTuple):
    """How many members, and how many hidden units each."""

    n_estimators: int
    hidden_layer_size: int


FEW_ROWS, SIZES_FOR_FEW, SIZES_FOR_MANY = 5_000, Sizes(12, 48), Sizes(4, 128)
MOST_WEIGHTS = 1 << 24  # of the first layer: with gradient, moments and the like 0.5 GB
FEWEST, ENOUGH_UNITS = Sizes(4, 8), 16  # rather than more members


def sizes_for(settings, n, d):
    """The sizes for n distinct rows of d columns.

    What "auto" stands for. More rows, fewer and wider members: few rows leave much
    variance to average away, many rows have finer structure to learn. Tens of thousands
    of columns, such as words, leave room for fewer members, then for narrower ones.
    """
    most = SIZES_FOR_FEW if n <= FEW_ROWS else SIZES_FOR_MANY
    room = MOST_WEIGHTS // d
    k, h = settings.n_estimators, settings.hidden_layer_size
    if k == "auto":
        units = ENOUGH_UNITS if h == "auto" else h
        k = min(most.n_estimators, max(FEWEST.n_estimators, room // units))
    if h == "auto":
        h = min(most.hidden_layer_size, max(FEWEST.hidden_layer_size, room // k))
    return Sizes(k, h)
