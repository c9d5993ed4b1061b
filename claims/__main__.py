"""Run some or all claims, two at a time, and write CLAIMS.md: ``python -m claims [NAME ...] [--again]``.

A claim whose code, settings and data are those of its record is not run again unless asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import report
from .harness import RESULTS, names, program


def stored(name: str) -> dict[str, Any] | None:
    """The record of a claim, if it is of the present code."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return record if record["digests"] == program(name).CLAIM.digests() else None


def in_own_process(name: str) -> bool:
    """Run one claim and tell whether it came to an end."""
    done = subprocess.run([sys.executable, "-m", "claims", "--here", name], capture_output=True, text=True)
    print((done.stdout if done.returncode == 0 else f"{name}: failed\n{done.stderr}").rstrip(), flush=True)
    return done.returncode == 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m claims", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    parser.add_argument("--again", action="store_true", help="run even if the record is fresh")
    parser.add_argument("--here", action="store_true", help="run in this process and leave CLAIMS.md alone")
    asked = parser.parse_args()
    wanted = asked.names or names()
    for name in wanted:
        if name not in names():
            parser.error(f"no claim is called {name!r}; there are: {', '.join(names())}")
    if asked.here:
        for name in wanted:
            module = program(name)
            print(report.line(module.CLAIM.run(module.trial, module.judge)), flush=True)
        return 0
    fresh = {} if asked.again else {name: found for name in wanted if (found := stored(name)) is not None}
    for record in fresh.values():
        print(f"{report.line(record)} (fresh, not run again)", flush=True)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(in_own_process, [name for name in wanted if name not in fresh]))
    report.update()
    report.update_methods()
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
