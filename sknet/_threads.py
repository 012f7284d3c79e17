"""BLAS threads: none but the caller's where a second one costs more than it helps.

Each product of a training step is handed to the threads and waited for. On an idle
machine that pays early. But where another program runs on one of the cores, a thread
may wait a time slice of milliseconds for its turn, at every product of every step, and
a fit took 2 to 3 times as long. Only products that take as long themselves are shared.

NumPy and SciPy each bring a BLAS with threads of its own, if they come as wheels. While
the threads of one wait for their next product, they take the cores from those of the
other, which works on Adam's vectors: a step took up to 40 times as long. So SciPy's has
one thread in any case; its few operations on vectors lose nothing by that.

A limit holds for the whole process, and fits may run side by side in threads. So there
is one for each library: the first fit to come sets it, the last to go takes it back.
"""

import functools
from os import environ, getpid
from pathlib import PurePath
from threading import Lock

import threadpoolctl

WORTH_SHARING = 1 << 28  # multiplications of a product: some 4 ms of one core


class Limit:
    """One thread for a BLAS library while somebody holds the limit.

    A library whose numbers of threads are each thread's own, as OpenMP's are, is
    limited and set free by every holder for itself.

    Parameters
    ----------
    library : threadpoolctl.LibController
    before : int or None, default=None
        The number of threads to return to, if the limit is set already.
    """

    def __init__(self, library, before=None):
        self.library = library
        self.before = before
        self._each_its_own = getattr(library, "threading_layer", None) == "openmp"
        self._holders = {}  # to the number that each found
        self._lock = Lock()

    def take(self, holder):
        """Set the limit, or share in it."""
        with self._lock:
            now = self._holders[holder] = self.library.num_threads
            if now != 1:  # else somebody else, or another holder, has set it
                self.before = now
                self._set(1)

    def let_go(self, holder):
        """Back to what was before, after the last holder; said twice, it is safe."""
        with self._lock:
            if self._each_its_own:
                before = self._holders.get(holder)
            else:
                before = None if self._holders.keys() - {holder} else self.before
            if before not in (None, 1):
                self._set(before)
            self._holders.pop(holder, None)
            if not self._holders:
                self.before = None

    def _set(self, n_threads):
        self.library.set_num_threads(n_threads)
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


def belongs_to_scipy(library):
    """Whether a library lies in a folder of SciPy's, beside another one of NumPy's."""
    folders = PurePath(library.filepath).parent.parts
    return len(_blas()) > 1 and ("scipy.libs" in folders or "scipy" in folders)


_limits = {}  # lists, by the process that they hold for


def _limits_here():
    """The limits of this process.

    A forked process has its own: threads that held its parent's are not in it, and a
    lock may have been held by one of them.
    """
    process = getpid()
    if process not in _limits:
        known = [limit for limits in list(_limits.values()) for limit in limits]
        before = {limit.library.filepath: limit.before for limit in known}
        limits = [Limit(library, before.get(library.filepath)) for library in _blas()]
        _limits.setdefault(process, limits)  # another thread may have been quicker
    return _limits[process]


def run_with_threads_for(n_multiplications, call):
    """Return ``call()``, with BLAS kept to one thread if products are of this size.

    Not a context manager: a Ctrl-C may come after the limit is set and before a
    ``with`` statement knows of it, and the process would keep it. With
    SKNET_LIMIT_BLAS=0 in the environment all products are shared.
    """
    shared = (
        n_multiplications >= WORTH_SHARING or environ.get("SKNET_LIMIT_BLAS") == "0"
    )
    limits = [
        limit
        for limit in _limits_here()
        if not shared or belongs_to_scipy(limit.library)
    ]
    holder = object()
    try:
        for limit in limits:
            limit.take(holder)
        return call()
    finally:
        try:
            _let_go(limits, holder)
        except BaseException:  # the interruption that must not come in between
            _let_go(limits, holder)
            raise


def _let_go(limits, holder):
    for limit in limits:
        limit.let_go(holder)
