"""BLAS threads: none but the caller's where a second one costs more than it helps.

Each product of a training step is handed to the threads and waited for. On an idle
machine that pays early. But where another program runs on one of the cores, a thread
may wait a time slice of milliseconds for its turn, at every product of every step, and
a fit took 2 to 24 times as long. Only products that take as long themselves are shared.
"""

import functools

import threadpoolctl

WORTH_SHARING = 1 << 28  # multiplications of a product: some 3 ms of one core


@functools.cache
def _blas():
    """The BLAS libraries that are loaded; None if their limits could not be trusted.

    A limit holds for the whole process. threadpoolctl 3.8 lets one thread at a time set
    it, so that fits which run side by side cannot restore each other's limit for good;
    before, they are better left alone.
    """
    safe = hasattr(threadpoolctl.OpenBLASController, "clear_controlling_thread")
    return (
        threadpoolctl.ThreadpoolController().select(user_api="blas") if safe else None
    )


def run_with_threads_for(n_multiplications, call):
    """Return ``call()``, with BLAS kept to one thread if products are of this size.

    Not a context manager: a Ctrl-C may come after the limit is set and before a
    ``with`` statement knows of it, and the process would keep it.
    """
    blas = _blas() if n_multiplications < WORTH_SHARING else None
    if blas is None:
        return call()
    before = [library.num_threads for library in blas.lib_controllers]
    try:
        with blas.limit(limits=1):
            return call()
    except BaseException:
        for library, n_threads in zip(blas.lib_controllers, before, strict=True):
            library.set_num_threads(n_threads)
        raise
