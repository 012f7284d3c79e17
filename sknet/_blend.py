"""A trained blend and its predictions, the weighted average over network variants.

Without a blend, there is one variant with weight 1.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from scipy.special import logsumexp

from sknet._data.inputs import Inputs
from sknet._data.levels import LevelStatistics
from sknet._network.activations import ACTIVATIONS
from sknet._network.losses import loss_for
from sknet._network.network import Shape, TwoLayerNetwork

FEW_ROWS = 1_000  # more rows are predicted in the precision of training


def n_threads(n_jobs, n_tasks):
    """Number of threads by joblib's conventions, or one inside other parallel code."""
    backend, _ = get_active_backend()
    if backend.nesting_level:
        return 1
    return min(effective_n_jobs(n_jobs), n_tasks)


@dataclass
class Model:
    """The trained network of a variant and everything needed to predict with it."""

    inputs: Inputs
    network: TwoLayerNetwork
    temperature: float  # of the mean of all members
    weight: float  # in the blend
    dtype: str  # of training, or that of X if it is less precise

    def state(self):
        """All attributes but the inputs, as plain types."""
        network = self.network
        parts = tuple(network.shape), network.params, network.activation.name
        return {**vars(self), "inputs": None, "network": parts}

    @classmethod
    def restored(cls, state, inputs, n_classes):
        """The model with these attributes."""
        shape, params, activation = state["network"]
        parts = Shape(*shape), params, ACTIVATIONS[activation], loss_for(n_classes)
        network = TwoLayerNetwork(*parts)
        return cls(**{**state, "inputs": inputs, "network": network})


@dataclass
class Blend:
    """The models of all variants, and the statistics that replace some columns of X."""

    models: list[Model]
    levels: LevelStatistics | None

    @property
    def used(self):
        """The models with a positive weight. That of the first variant may be zero."""
        return [model for model in self.models if model.weight]

    def _in_training_precision(self):
        """The models in use, with weights and inputs in the dtype of training."""
        inputs = {id(m.inputs): m.inputs.with_dtype(m.dtype) for m in self.used}
        return [
            replace(
                m,
                inputs=inputs[id(m.inputs)],
                network=replace(m.network, params=m.network.params.astype(m.dtype)),
            )
            for m in self.used
        ]

    def predict(self, X, reduction, n_jobs=None):
        """Apply ``reduction(loss, raws, weights)`` block by block, in threads.

        ``raws`` are the logits (k, m, o) of each variant for m rows.
        """
        if self.levels is not None:
            X = self.levels.transform(X)
        n, first = X.shape[0], self.models[0].network
        models = self.used if n <= FEW_ROWS else self._in_training_precision()
        loss, dtype = first.loss, first.params.dtype
        weights = [model.weight for model in models]

        def _predict(part):
            raws, inputs, known = [], None, None
            with np.errstate(all="ignore"):  # overflows are clipped or become 0
                for model in models:
                    if model.inputs is not known:  # some follow one that shares them
                        known, inputs = model.inputs, model.inputs.take(X, part)
                    raw = model.network.raw_prediction(inputs)
                    raws.append(raw.astype(dtype, copy=False))
                    raws[-1] *= 1 / model.temperature
                return reduction(loss, raws, weights)

        step = min(
            model.network.shape.block_rows(model.inputs.stays_sparse(X))
            for model in models
        )
        if n <= step:
            return _predict(slice(0, n))
        parts = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        threads = n_threads(n_jobs, len(parts))
        with ThreadPoolExecutor(threads) as pool:
            blocks = pool.map(_predict, parts) if threads > 1 else map(_predict, parts)
            for part, block in zip(parts, blocks, strict=True):
                if part.start == 0:
                    result = np.empty((n, *block.shape[1:]), block.dtype)
                result[part] = block
        return result

    def state(self):
        """All attributes, as plain types that skops trusts by default."""
        inputs = [model.inputs for model in self.models]
        return {
            "inputs": [each.state() for each in inputs],
            "shared_with": [inputs.index(each) for each in inputs],
            "models": [model.state() for model in self.models],
            "levels": self.levels and vars(self.levels),
        }

    @classmethod
    def restored(cls, state, n_classes):
        """The blend with these attributes."""
        inputs = [Inputs.restored(each) for each in state["inputs"]]
        models = [
            Model.restored(model, inputs[place], n_classes)
            for place, model in zip(state["shared_with"], state["models"], strict=True)
        ]
        levels = state["levels"] and LevelStatistics(**state["levels"])
        return cls(models, levels)


def mean_proba(loss, raws, weights):
    """Probabilities (m, n_classes), averaged over members and variants."""
    return sum(w * loss.mean_proba(raw) for w, raw in zip(weights, raws, strict=True))


def log_mean_proba(loss, raws, weights):
    """Logarithm (m, n_classes) of the probabilities, always finite."""
    log_proba = [loss.log_mean_proba(raw) for raw in raws]
    if len(raws) == 1:
        return log_proba[0]
    return logsumexp(np.stack(log_proba, axis=-1), axis=-1, b=weights)


def member_proba(loss, raws, weights):
    """Probabilities (m, n_members, n_classes) of all variants' members."""
    members = [member[np.newaxis] for raw in raws for member in raw]
    return np.stack([loss.mean_proba(member) for member in members], axis=1)
