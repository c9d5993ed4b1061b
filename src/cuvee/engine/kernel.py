"""The one decorator under which hot loops are compiled, so that all of them release the interpreter lock and are
cached between processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])
_COMMON: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_BORROWING: dict[str, Any] = {**_COMMON, "_nrt": False}


def kernel(function: F) -> F:
    """Compile with Numba: cached on disk, free of the interpreter lock, strict floating point (same bits)."""
    return cast(F, numba.njit(**_COMMON)(function))


def leaf(function: F) -> F:
    """The same for what kernels call for every text: arrays are borrowed instead of counted, because counting many
    references (an atomic operation each) costs more than a short text, and workers would fight over the counters of
    tables that they share. Such a function must not create arrays, but for slices of its arguments."""
    return cast(F, numba.njit(**_BORROWING)(function))
