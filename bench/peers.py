"""Public programs that run in an environment of their own, whose Python ``CUVEE_BENCH_PEERS`` names."""

from __future__ import annotations

import os
import sys

from .measure import run


def interpreter() -> str:
    """The peers' Python; this one where none is named."""
    return os.environ.get("CUVEE_BENCH_PEERS") or sys.executable


def version(package: str) -> str | None:
    """The installed version of a peer, or None, with a line on standard error, if it is missing."""
    asked = (
        "import importlib.metadata as m, sys\n"
        "found = [d.version for d in m.distributions() if d.name.lower() == sys.argv[1]]\n"
        "print(found[0] if found else '')"
    )
    found = run([interpreter(), "-c", asked, package]).output.strip()
    if not found:
        print(f"{package} is not installed: left out", file=sys.stderr)
    return found or None
