"""Peak memory of ``cuvee select`` over one million vectors of 256 dimensions, by each method: 4 GB are the bound.

``python -m bench.million [NAME ...]``: all methods of ``bench.methods`` but those that train on every row, or those
named, whose figures replace the earlier ones. The pool has the vectors as a column of 32-bit numbers, and short texts
beside them for what reads texts; 1,000 rows are kept, by two workers, from an empty cache. One after the other;
memory is the largest process's, with the parts of the cache that are mapped into it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from .measure import RESULTS, record
from .method_pools import pool
from .methods import FEWER, cases, selected

ROWS, KEPT, WORKERS, BOUND_MB = 1_000_000, 1_000, 2, 4_000


def main(names: Sequence[str] = ()) -> None:
    """Measure, and write the record after each method."""
    known = {name: words for name, words in cases().items() if name not in FEWER and not name.startswith("zipfit")}
    if unknown := set(names) - set(known):
        raise SystemExit(f"no method is called {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    path = RESULTS / "million.json"
    before = json.loads(path.read_text("utf-8"))["methods"] if path.is_file() else {}
    found = {name: one for name, one in before.items() if name in known}
    for name in names or known:
        given = ["--embedding", "embedding", "--rows", str(KEPT)]
        done = selected(known[name], pool(ROWS, True), given, WORKERS)
        found[name] = {
            "peak_mb": round(done.peak_mb),
            "cpu_seconds": round(done.cpu, 1),
            "kept": KEPT,
            "within": done.peak_mb <= BOUND_MB,
        }
        head = {"rows": ROWS, "workers": WORKERS, "bound_mb": BOUND_MB}
        record("million", head | {"methods": dict(sorted(found.items()))})


if __name__ == "__main__":
    main(sys.argv[1:])
