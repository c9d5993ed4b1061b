"""The one decorator under which hot loops are compiled, so that all of them release the interpreter lock and are
cached between processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile with Numba: cached on disk, free of the interpreter lock, strict floating point (same bits)."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
