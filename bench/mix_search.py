"""How long a search of a mixture takes: 64 n-gram runs over a large pool, fit and proposal.

    CUVEE_BENCH_POOL=FOLDER python -m bench.mix_search [--case short|long ...]

The pool is that of ``scripts/make_large_pool.py`` (36 domains, 500 MB), else the demonstration's. Held-out text are
some documents of its domains of software documentation, which are left out of the pool as every search does. Each case
starts with an empty cache and an empty ledger. A short run has a million tokens; a long one 32 million, with larger
tables. "search" is everything up to the proposal; the trial of the proposal is timed apart.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import measure, pools

DOCUMENTS = 30
"""Held-out documents of each domain."""
CASES: dict[str, dict[str, Any]] = {
    "short": {"run_tokens": 1_000_000, "proxy": "ngram", "seeds": 8},
    "long": {"run_tokens": 32_000_000, "proxy": "ngram:table_bits=24", "seeds": 0},
}
CODE = """
import json, sys
import cuvee
asked = json.loads(sys.argv[1])
found = cuvee.search_mix(**asked).summary
names = ("counts", "run_tokens", "tokens", "cost", "confidence", "verdict", "law")
print(json.dumps({name: found[name] for name in names}))
"""


def held_out(folder: Path) -> Path:
    """Some documents on software, none longer than 20 kB."""
    path = folder / "held.parquet"
    parts = []
    for file in pools.sources():
        table = pq.read_table(file, columns=["text", "domain"])
        domain = np.array(table.column("domain").to_pylist())
        size = np.array([len(text.encode()) for text in table.column("text").to_pylist()])
        for name in sorted(name for name in set(domain) if "docs" in name.split("-")):
            rows = np.flatnonzero((domain == name) & (size < 20_000) & (size > 200))
            chosen = np.random.default_rng(0).permutation(rows)[:DOCUMENTS]
            parts.append(table.take(pa.array(np.sort(chosen))))
    pq.write_table(pa.concat_tables(parts), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=list(CASES), action="append")
    wanted = parser.parse_args().case or list(CASES)
    folder = pools.scratch() / "mix-search"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    held = held_out(folder)
    known = measure.RESULTS / "mix_search.json"
    cases: dict[str, Any] = json.loads(known.read_text())["cases"] if known.exists() else {}
    for name in wanted:
        place = folder / name
        asked = {
            "pool": [str(path) for path in pools.sources()],
            "evaluations": {"held": str(held)},
            "runs": 64,
            "ledger": str(place / "ledger"),
            "cache": str(place / "cache"),
            "output": str(place / "out"),
            **CASES[name],
        }
        begun = time.monotonic()
        done = measure.python(CODE, json.dumps(asked))
        found = json.loads(done.output)
        found["law"].pop("parameters", None)
        seconds = found["cost"]["seconds"]
        cases[name] = {
            **found,
            "proxy": CASES[name]["proxy"],
            "search_seconds": round(seconds["reading"] + seconds["swarm"] + seconds["fit and proposal"], 1),
            "wall_seconds": round(time.monotonic() - begun, 1),
            "cpu_seconds": round(done.cpu, 1),
            "peak_mb": round(done.peak_mb),
            "load_before": measure.machine()["load_before"],
        }
        shutil.rmtree(place, ignore_errors=True)
        size = sum(path.stat().st_size for path in pools.sources())
        measure.record("mix_search", {"pool_bytes_compressed": size, "cases": cases})


if __name__ == "__main__":
    main()
