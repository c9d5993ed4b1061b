"""Run some or all benchmarks, then write ``docs/performance.md``."""

from __future__ import annotations

import importlib
import os
import sys

from . import page

NAMES = (
    "dsir",
    "scaling",
    "zipfit",
    "profile",
    "transformer",
    "near_duplicates",
    "vectors",
    "filter_dedup",
    "facility",
    "transport",
    "scan",
    "parts",
    "growth",
    "scale",
)


def main() -> None:
    """``python -m bench dsir scaling``; without names, all of them; ``page`` alone rewrites the page."""
    possible = [name for name in NAMES if name != "vectors" or os.environ.get("CUVEE_BENCH_PEERS")]
    for name in sys.argv[1:] or possible:
        if name == "page":
            continue
        if name not in NAMES:
            raise SystemExit(f"no benchmark is called {name!r}; there are: {', '.join(NAMES)}, page")
        importlib.import_module(f"bench.{name}").main()
    page.write()


if __name__ == "__main__":
    main()
