"""The objects of one fit: streams of chance, loss, standardizer, network, start.

They are made here; ``_fitting`` lets them work together.
"""

from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state

from sknet._columns import ColumnStatistics
from sknet._network import Shape, TwoLayerNetwork
from sknet._objects import ACTIVATIONS, Sizes, columns_to_split, loss_for, split_of
from sknet._standardizer import Standardizer, working_dtype

LARGEST_PENALTY = 1e100  # no weight is left long before; its square is finite


class Session:
    """What one fit trains with. ``bind`` gives it the rows, when they are known.

    ``n_rows`` is then the number that "auto" goes by: of the fit, or, if it continues
    one, of the first.

    Parameters
    ----------
    settings : SimpleNamespace
    classes : ndarray of shape (n_classes,)
    X : ndarray or csr_array
        Predictions are made in the float dtype that holds its dtype.
    previous : dict or None
        Attributes of the fit that is continued.
    stream : bool, default=False
        Whether X is one of a stream of batches.
    """

    def __init__(self, settings, classes, X, previous, *, stream=False):
        self.settings = settings
        self.previous = previous
        self.stream = stream
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
        self.n_rows = self.state.get("n_rows", prepared.n_rows)
        self.split_columns, self.split_offset = self._split()
        self.shape = Shape(
            prepared.data.X.shape[1] + len(self.split_columns),
            prepared.sizes.hidden_layer_size,
            self.loss.n_outputs,
            prepared.sizes.n_estimators,
        )
        self.standardizer = self.standardizer_for(self.dtype)

    def standardizer_for(self, dtype):
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
            alpha=min(self.settings.alpha, LARGEST_PENALTY) if penalized else 0.0,
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
        if prepared.statistics is not None:
            # what is the same in all rows says nothing of one in which it is not. A
            # stream may still bring it, and then it learns, unless nothing else varied
            constant = prepared.statistics.deviation == 0
            if not (self.stream and constant.all()):
                self.shape.views(params).W1[: len(constant)][constant] = 0
        return params

    def _class_log_prior(self):
        """What each member's own rows say of the classes (1 or k, n_classes).

        A class without rows counts as half a row, one of small weight as half a row or
        a thousandth, whichever is less: no logit is far out.
        """
        _, _, y, weights = self.prepared.member_data()
        counts = [np.bincount(y, w, minlength=self.loss.n_classes) for w in weights]
        total = np.sum(counts, axis=1, keepdims=True)
        least = np.where(np.greater(counts, 0), np.minimum(0.5, 1e-3 * total), 0.5)
        floored = np.maximum(counts, least)
        return np.log(floored / floored.sum(axis=1, keepdims=True))


def seed_of(random_state):
    """One integer from an int, a RandomState, a Generator or None."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    return int(random_state)


@contextmanager
def unmoved_by_failure(random_state):
    """Put a generator that is a setting back if the fit that drew from it fails."""
    old = isinstance(random_state, np.random.RandomState)
    new = isinstance(random_state, np.random.Generator)
    if old:
        before = random_state.get_state(legacy=False)
    elif new:
        before = random_state.bit_generator.state
    try:
        yield
    except BaseException:
        if old:
            random_state.set_state(before)
        elif new:
            random_state.bit_generator.state = before
        raise


def streams(seed):
    """Separate generators, so that one use of chance does not move another."""
    names = ("init", "split", "shuffle", "dropout")
    children = np.random.SeedSequence(seed).spawn(len(names))
    return {
        name: np.random.default_rng(c) for name, c in zip(names, children, strict=True)
    }
