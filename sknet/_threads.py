"""BLAS threads: a small matrix product loses more by waiting for a second one.

The limit is the process's, not the thread's: while fits run side by side, the first one
in sets it and the last one out takes it back.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

SMALL_PRODUCT = 2**25  # multiplications; less takes a core half a millisecond at most

_lock = threading.Lock()
_running = 0  # fits under the limit
_limit = None  # takes it back


@contextmanager
def one_thread_for_small(n_multiplications: int) -> Iterator[None]:
    """Hold BLAS to one thread meanwhile, if its largest product is small.

    Parameters
    ----------
    n_multiplications : int
        Of the largest product, rows x inputs x units.
    """
    if n_multiplications > SMALL_PRODUCT:
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _running, _limit
    with _lock:
        if _running == 0:
            _limit = ThreadpoolController().limit(limits=1, user_api="blas")
        _running += 1


def _leave() -> None:
    global _running, _limit
    with _lock:
        _running -= 1
        if _running == 0 and _limit is not None:
            _limit.restore_original_limits()
            _limit = None
