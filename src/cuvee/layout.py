"""Output folders: the names of their files, what stands in all of them, and whose folder may be replaced."""

from __future__ import annotations

import platform
from pathlib import Path

from . import __version__
from .errors import UsageError

SELECTION = "selection.parquet"
PLAN = "plan.json"
PROFILE = "profile.json"
REPORT = "report.html"
REJECTS = "rejects.jsonl"
PLAN_FORMAT = 1
PROFILE_FORMAT = 1
"""Raised when an older cuvee could misread the file."""


def versions() -> dict[str, str]:
    """What the result's bits may depend on."""
    import numba
    import numpy as np
    import pyarrow as pa

    return {
        "cuvee": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "pyarrow": pa.__version__,
        "machine": platform.machine(),
    }


def refuse_foreign(folder: Path, own: str, kind: str) -> None:
    """Never replace a folder that cuvee did not write: one that holds anything must hold the file ``own``."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Choose another place with -o.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / own).is_file():
        raise UsageError(f"{folder} holds files that are not a cuvee {kind}. Choose another place with -o.")
