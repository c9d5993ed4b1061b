"""One thread for every call of linear algebra, so that results do not depend on how many cores a machine has.

BLAS shares a sum among threads, and where it cuts changes the last bits: scores of ``gotd`` and intervals of laws were
others on two cores than on one. Work is in threads of our own (:mod:`cuvee.engine.local`), which BLAS's would only
fight, and one solves small systems of equations, as laws have, faster than two. Of libraries that threadpoolctl knows
(OpenBLAS, MKL, BLIS) and that are loaded when a job begins; other work of the same process has one thread, too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

_lock = threading.Lock()
_inside = 0
_limits: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Meanwhile BLAS has one thread in this process; a decorator, too. The last of several to end gives back others."""
    global _inside, _limits
    with _lock:
        if not _inside:
            _limits = threadpool_limits(1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limits.restore_original_limits()
