"""Run some or all benchmarks."""

from __future__ import annotations

import importlib
import sys

NAMES = ("dsir", "scaling", "zipfit", "profile")


def main() -> None:
    """``python -m bench dsir scaling``; without names, all of them."""
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            raise SystemExit(f"no benchmark is called {name!r}; there are: {', '.join(NAMES)}")
        importlib.import_module(f"bench.{name}").main()


main()
