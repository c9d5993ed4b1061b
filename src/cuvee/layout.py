"""Output folders: the names of their files, what stands in all of them, and whose folder may be replaced."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__
from .engine import files
from .engine.plan import finite
from .engine.store import digest
from .errors import UsageError

SELECTION = "selection.parquet"
PLAN = "plan.json"
PROFILE = "profile.json"
PROOF = "proof.json"
MIX = "mix.json"
FIT = "fit.json"
SEARCH = "search.json"
UTILITIES = "utilities.json"
TRANSPORT = "transport.json"
RUNS = "runs.csv"
CLUSTERS = "clusters.parquet"
DEDUPLICATED = "selection without duplicates"
REPORT = "report.html"
REJECTS = "rejects.jsonl"
PLAN_FORMAT = 1
PROFILE_FORMAT = 1
PROOF_FORMAT = 1
MIX_FORMAT = 1
FIT_FORMAT = 1
SEARCH_FORMAT = 1
UTILITIES_FORMAT = 1
TRANSPORT_FORMAT = 1
"""Raised when an older cuvee could misread the file."""


@dataclass
class Result:
    """What a job left: the folder it lies in, and what is known about it (the content of the folder's JSON file)."""

    folder: Path
    summary: dict[str, Any]

    @property
    def digest(self) -> str:
        """The same for any number of workers, any cut of the same rows into files, and after any interruption."""
        return str(self.summary["reproduce"]["digest"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, {self.summary['verdict']!r})"


def publish(place: Path, name: str, summary: dict[str, Any], page: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """Write a summary as the file ``name``, and its report, into a folder that is being made.

    Returns the summary as written: sealed, and with None for numbers that JSON lacks.
    """
    summary = sealed(finite(summary))
    text = json.dumps(summary, indent=1, ensure_ascii=True, allow_nan=False)
    files.write_whole(place / name, text.encode())
    files.write_whole(place / REPORT, page(summary).encode("utf-8", "replace"))
    return summary


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


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The same JSON-able content with a digest of itself, so that a changed byte is noticed."""
    return {**content, "seal": digest({name: value for name, value in content.items() if name != "seal"})}


def refuse_foreign(folder: Path, own: str, kind: str) -> None:
    """Never replace a folder that cuvee did not write: one that holds anything must hold the file ``own``."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Choose another place with -o.")
    if "://" in str(folder) or str(folder).startswith(("s3:/", "gs:/")):
        address = str(folder).replace(":/", "://", 1)  # a path has no double slash
        raise UsageError(f"{address} is an address: only cuvee write writes to one. Choose a folder with -o.")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if own == PLAN and names and (CLUSTERS in names) != (kind == DEDUPLICATED):
        raise UsageError(f"{folder} holds the result of another command. Choose another place with -o.")
    known = {SELECTION, CLUSTERS, PLAN, PROFILE, PROOF, MIX, FIT, SEARCH, RUNS, UTILITIES, TRANSPORT, REPORT, REJECTS}
    if names and (own not in names or names - known):
        raise UsageError(f"{folder} holds files that are not a cuvee {kind}. Choose another place with -o.")
