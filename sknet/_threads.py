"""BLAS threads: none but the caller's where a second one costs more than it helps.

Each product of a training step is handed to the threads and waited for. On an idle
machine that pays early. But where another program runs on one of the cores, a thread
may wait a time slice of milliseconds for its turn, at every product of every step, and
a fit took 2 to 24 times as long. Only products that take as long themselves are shared.

A limit holds for the whole process, and fits may run side by side in threads. So there
is one: the first fit to come sets it, and the last to go takes it back.
"""

import functools
from os import environ, getpid
from threading import Lock

import threadpoolctl

WORTH_SHARING = 1 << 28  # multiplications of a product: some 3 ms of one core


class Limit:
    """One thread for each BLAS library while somebody holds the limit.

    Parameters
    ----------
    libraries : list of threadpoolctl.LibController
    before : list of int or None, default=None
        The numbers of threads to return to, if the limit is set already.
    """

    def __init__(self, libraries, before=None):
        self.process = getpid()
        self.before = before
        self._libraries = libraries
        self._holders = set()
        self._lock = Lock()

    def take(self, holder):
        """Set the limit, or share in it."""
        with self._lock:
            if self.before is None:
                self.before = [library.num_threads for library in self._libraries]
            self._holders.add(holder)
            if len(self._holders) == 1:
                self._set([1] * len(self._libraries))

    def let_go(self, holder):
        """Back to what was before, after the last holder; said twice, it is safe."""
        with self._lock:
            self._holders.discard(holder)
            if not self._holders and self.before is not None:
                self._set(self.before)
                self.before = None

    def _set(self, numbers):
        for library, number in zip(self._libraries, numbers, strict=True):
            library.set_num_threads(number)
        # or no other thread could set a limit of its own while this one lives
        threadpoolctl.OpenBLASController.clear_controlling_thread()


@functools.cache
def _blas():
    """The BLAS libraries that are loaded; none if their limits could not be trusted.

    threadpoolctl 3.8 lets one thread at a time set limits, and that thread can be told
    to give way; before, they are better left alone.
    """
    if not hasattr(threadpoolctl.OpenBLASController, "clear_controlling_thread"):
        return []
    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


_limits = []  # the process's only one, once there is one


def _limit():
    """The limit of this process.

    A forked process has its own: threads that held its parent's are not in it, and the
    lock may have been held by one of them.
    """
    if not _limits:
        _limits.append(Limit(_blas()))
    elif _limits[0].process != getpid():
        _limits[0] = Limit(_blas(), _limits[0].before)
    return _limits[0]


def run_with_threads_for(n_multiplications, call):
    """Return ``call()``, with BLAS kept to one thread if products are of this size.

    Not a context manager: a Ctrl-C may come after the limit is set and before a
    ``with`` statement knows of it, and the process would keep it. With
    SKNET_LIMIT_BLAS=0 in the environment BLAS keeps the caller's threads.
    """
    asked_not_to = environ.get("SKNET_LIMIT_BLAS") == "0"
    if n_multiplications >= WORTH_SHARING or asked_not_to or not _blas():
        return call()
    limit, holder = _limit(), object()
    try:
        limit.take(holder)
        return call()
    finally:
        try:
            limit.let_go(holder)
        except BaseException:  # the interruption that must not come in between
            limit.let_go(holder)
            raise
