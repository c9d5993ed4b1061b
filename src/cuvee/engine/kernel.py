"""The one decorator under which hot loops are compiled, so that all of them release the interpreter lock and are
cached between processes."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

F = TypeVar("F", bound=Callable[..., Any])
_Loading: Any = FunctionCache
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_BORROWING: dict[str, Any] = {**_OPTIONS, "_nrt": False}


class _Cache(_Loading):  # type: ignore[misc]
    """Numba's cache on disk, but compiled code is loaded without all that compiling would need.

    Before it loads anything, Numba imports its implementations of Python and NumPy, and SciPy where there is one: a
    third of the time in which a small command starts. Machine code that exists needs none of it. Where there is none
    yet, or none that can be read, Numba imports them when it compiles.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # the symbols that compiled code is linked to
        try:
            return self._load_overload(sig, target_context)
        except Exception:
            return None


def _compiled(function: F, options: dict[str, Any]) -> F:
    dispatcher: Any = numba.njit(**options)(function)
    dispatcher._cache = _cache_of(dispatcher.py_func) or dispatcher._cache
    return cast(F, dispatcher)


def _cache_of(function: Any) -> Any:
    """Where compiled code is kept: beside the source, or in the user's cache; in a folder for temporary files where
    neither can be written, as in many containers; None, so that it is compiled anew each time, where nothing can."""
    try:
        return _Cache(function)
    except RuntimeError:  # Numba has found no place
        place = own_folder()
    if place is None:
        return None
    settings: Any = numba.config
    settings.CACHE_DIR = str(place)  # kernels still to come find it at once
    try:
        return _Cache(function)
    except RuntimeError:
        return None


def own_folder() -> Path | None:
    """A folder for temporary files that only this user can write or enter; None if there is none.

    Compiled code is unpickled and run, so a folder that somebody else made, or can write to, is never used.
    """
    try:
        place = Path(tempfile.gettempdir()) / f"cuvee-kernels-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
        found = place.lstat()
    except OSError:
        return None
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return place if mine else None


def kernel(function: F) -> F:
    """Compile with Numba: cached on disk, free of the interpreter lock, strict floating point (same bits)."""
    return _compiled(function, _OPTIONS)


def leaf(function: F) -> F:
    """The same for what kernels call for every text: arrays are borrowed instead of counted, because counting many
    references (an atomic operation each) costs more than a short text, and workers would fight over the counters of
    tables that they share. Such a function must not create arrays, but for slices of its arguments."""
    return _compiled(function, _BORROWING)
