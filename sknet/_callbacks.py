"""The bridge to scikit-learn's callbacks. It describes a fit as a tree of tasks.

No other module depends on their protocol, which scikit-learn declares experimental.
Before scikit-learn 1.9, there are no callbacks and this module has no effect.
"""

from copy import deepcopy

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:
        """Empty, as estimators have no ``set_callbacks`` before scikit-learn 1.9."""


class Task:
    """A fit, one of its variants or an epoch, as callbacks see it.

    Without callbacks, there is no context, and the methods do nothing.

    Parameters
    ----------
    estimator : estimator
        Its attributes show the progress of the fit.
    context : sklearn.callback.CallbackContext or None
    data : dict
        X, y and metadata as the user gave them.
    """

    def __init__(self, estimator, context, data):
        self.estimator = estimator
        self.context = context
        self.data = data
        self._subtask = None
        self._ended = False
        if context is not None:
            self._call(context.call_on_fit_task_begin)

    @classmethod
    def of_fit(cls, estimator, name, X, y, sample_weight, max_subtasks):
        """The task of the whole fit, which contains all other tasks."""
        if not getattr(estimator, "_skl_callbacks", None):
            return cls(estimator, None, {})
        context = estimator._init_callback_context(
            task_name=name, max_subtasks=max_subtasks
        )
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        return cls(estimator, context, {"X": X, "y": y, "metadata": metadata})

    def subtask(self, name, max_subtasks=0):
        """The current subtask, or the next one if none is running."""
        if self.context is None:
            return self
        if self._subtask is None or self._subtask._ended:
            context = self.context.subcontext(task_name=name, max_subtasks=max_subtasks)
            self._subtask = Task(self.estimator, context, self.data)
        return self._subtask

    def follow(self, monitor, progress, fitted):
        """Make each epoch of a monitor a subtask.

        Parameters
        ----------
        monitor : Monitor
        progress : callable
            Returns the attributes that the estimator shows to callbacks.
        fitted : callable
            Returns all fitted attributes, as if training had stopped. They are copied
            if a callback asks for a fitted estimator.
        """
        if self.context is None:
            return
        vars(self.estimator).update(progress())
        monitor.on_begin = lambda: self.subtask("epoch")
        monitor.on_end = lambda: self.subtask("epoch").end(progress, fitted)

    def end(self, progress, fitted):
        """End the task and return True if a callback asks to stop."""
        if self.context is None:
            return False
        if self._subtask is not None and not self._subtask._ended:
            self._subtask.end(progress, fitted)  # it was started but not finished
        self._ended = True
        vars(self.estimator).update(progress())
        hook = self.context.call_on_fit_task_end
        return self._call(hook, reconstruction_attributes=lambda: deepcopy(fitted()))

    def _call(self, hook, **values):
        """Call the given hook of every callback."""
        try:
            return hook(estimator=self.estimator, **self.data, **values)
        except StopIteration as error:  # SciPy's L-BFGS would take it as its own signal
            raise RuntimeError("A callback raised StopIteration.") from error
