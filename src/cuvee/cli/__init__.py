"""The command line: one thin function per verb. Everything heavy is imported when a verb runs, never for --help."""

from __future__ import annotations

# isort: off
from .group import cli
from . import pools, proof, continuing, mixing, ends, transport, about  # verbs stand in --help in this order
from .start import main, run

__all__ = ["about", "cli", "continuing", "ends", "main", "mixing", "pools", "proof", "run", "transport"]
