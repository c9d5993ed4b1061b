"""Run the league and write docs/league.md: ``python -m claims.league [NAME ...] [--again]``.

A contender whose row is of the present code is not run again unless asked; rows of methods that are gone are dropped.
A row is saved as soon as it is known.
"""

from __future__ import annotations

import argparse
import sys
import time

from ..harness import hardware
from ..report import update_methods
from . import page
from .contenders import discover
from .field import SEEDS, compete
from .record import read, record, save, stale


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m claims.league", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="contenders as the table names them")
    parser.add_argument("--again", action="store_true", help="run even if the row is fresh")
    asked = parser.parse_args()
    known = {one.name: one for one in discover()[0]}
    for name in asked.names:
        if name not in known:
            parser.error(f"no contender is called {name!r}; there are: {', '.join(known)}")
    rows = {name: row for name, row in read().items() if name in known}
    wanted = {one.name for one in (known.values() if asked.again else stale(rows, slow=bool(asked.names)))}
    for name in asked.names or [one for one in known if one in rows or not known[one].slow]:
        if name not in wanted:
            continue
        digest, started = known[name].digest(), time.process_time()
        tasks = compete(known[name].build)
        if known[name].digest() != digest:
            print(f"{name}: its code changed while it ran; nothing was recorded. Run it again.", flush=True)
            continue
        rows = {other: row for other, row in read().items() if other in known}  # another run may have added some
        rows[name] = {"digest": digest, "tasks": tasks, "cpu_seconds": round(time.process_time() - started, 1)}
        save(rows, {"seeds": SEEDS, "hardware": hardware()})
        print(f"{name:<32} {rows[name]['cpu_seconds']:6.1f} s", flush=True)
    page.update(rows, record())
    update_methods()
    return 0 if not stale(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
