"""The bridge to scikit-learn's callbacks: a fit as tasks that they are told of.

No other module knows their protocol, which scikit-learn declares experimental. Before
scikit-learn 1.9 there is none, and nothing here has an effect.
"""

from contextlib import contextmanager
from copy import deepcopy

import numpy as np

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:
        """Nothing: an estimator has no ``set_callbacks`` before scikit-learn 1.9."""


ABOUT_THE_DATA = {"n_features_in_", "feature_names_in_"}  # known before a fit begins


@contextmanager
def followed(live, classes, X, y, sample_weight):
    """The tasks of one fit, for the callbacks of ``live``; they are torn down after it.

    Parameters
    ----------
    live : estimator
        What callbacks see as the estimator. A stand-in for the one that is fitted: its
        attributes change with every epoch.
    classes : ndarray of shape (n_classes,)
    X, y, sample_weight
        As the user gave them.
    """
    if not (hasattr(live, "set_callbacks") and hasattr(live, "_skl_callbacks")):
        yield NO_CALLBACKS
        return
    _forget(live)  # of an earlier fit
    live.classes_ = classes
    try:
        yield Callbacks(live, X, y, sample_weight)
    finally:
        with_callbacks(_done)(live)


def _forget(live):
    """Drop fitted attributes: they would be read as if they were this fit's."""
    for name in set(vars(live)) - ABOUT_THE_DATA:
        if name.endswith("_") or name in ("_params", "_state"):
            delattr(live, name)


def _done(live):
    """Nothing: ``with_callbacks`` tears down when a method has ended, as this one."""


class Callbacks:
    """The callbacks of one fit, and what each of their hooks is given.

    Parameters
    ----------
    live : estimator
    X, y, sample_weight
        As the user gave them.
    """

    def __init__(self, live, X, y, sample_weight):
        self.live = live
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._given = {"estimator": live, "X": X, "y": y, "metadata": metadata}
        self._errstate = np.geterr()

    def begin(self, name, max_subtasks):
        """Set the callbacks up and begin the task of which all others are part."""
        context = self.live._init_callback_context(
            task_name=name, max_subtasks=max_subtasks
        )
        return Task(self, context)

    def call(self, hook, **given):
        """Call a hook of all callbacks; True if one of them asks to stop."""
        try:
            with np.errstate(**self._errstate):  # not that of the training loop
                return hook(**self._given, **given)
        except StopIteration as error:  # to L-BFGS it would be a request to stop
            raise RuntimeError("A callback raised StopIteration.") from error


class Task:
    """A fit, a member of it or an epoch; its subtasks follow one another."""

    def __init__(self, callbacks, context):
        self._callbacks = callbacks
        self._context = context
        self._subtask = None
        self._ended = False
        callbacks.call(context.call_on_fit_task_begin)

    def begin(self, name, max_subtasks=0):
        """The subtask under way, or else the next one."""
        if self._subtask is None or self._subtask._ended:
            context = self._context.subcontext(
                task_name=name, max_subtasks=max_subtasks
            )
            self._subtask = Task(self._callbacks, context)
        return self._subtask

    def follow(self, monitor, progress, fitted):
        """Make each epoch that a monitor is told of a subtask.

        Parameters
        ----------
        monitor : Monitor
        progress : callable
            Returns the attributes that the live estimator shows.
        fitted : callable
            Returns all attributes, as if training had stopped; copied if a callback
            asks for a fitted estimator.
        """
        vars(self._callbacks.live).update(progress())
        monitor.on_begin = lambda: self.begin("epoch")
        monitor.on_end = lambda: self.begin("epoch").end(progress, fitted)

    def end(self, progress=dict, fitted=None):
        """End the task, as ``follow`` does an epoch; True if a callback asks to stop.

        A subtask that is still under way came to nothing, and nothing is said of it.
        """
        if self._subtask is not None and not self._subtask._ended:
            self._subtask.end()
        self._ended = True
        vars(self._callbacks.live).update(progress())
        return self._callbacks.call(
            self._context.call_on_fit_task_end,
            reconstruction_attributes=fitted and (lambda: deepcopy(fitted())),
        )


class NoCallbacks:
    """Stands for tasks that nobody follows."""

    def begin(self, name, max_subtasks=0):
        """The task itself."""
        return self

    def follow(self, monitor, progress, fitted):
        """Leave the monitor alone."""

    def end(self, progress=dict, fitted=None):
        """Nobody asks to stop."""
        return False


NO_CALLBACKS = NoCallbacks()
