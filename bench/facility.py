"""Facility location from vectors to picks: cuvee beside apricot and submodlib, unit vectors of 64 dimensions.

Each side gets the same file of vectors, drawn from 100 clusters by a fixed seed, and picks one row in twenty such that
the sum over all rows of the largest similarity (cosine, none below 0) to a pick is large, on one thread and by its lazy
greedy algorithm. Computing the similarities is part of the job, as are start-up and what is compiled on the way.
apricot is given the similarities in float64, the type in which it works; submodlib computes its own by scikit-learn,
and holds each as a Python number meanwhile: some 50 bytes, which would be 20 GB for 20,000 rows, so it is compared at
5,000. The value of every result is computed here.

(``vectors`` measures the greedy step alone, similarities given, and k-means.)

Peers run in the environment of ``CUVEE_BENCH_PEERS``: apricot-select 0.6.1 (with scikit-learn) and submodlib-py 0.0.3;
one that is missing is left out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import peers
from .measure import in_turn, middle, record
from .pools import scratch

ROUNDS, WIDTH, CLUSTERS = 3, 64, 100
CUVEE = """
import sys
import numpy as np
from cuvee.feature.embed import similarities
from cuvee.methods.choose.facility_location import cover
x, kept = np.load(sys.argv[1]), int(sys.argv[3])
s = similarities(x, x)
np.maximum(s, 0, out=s)
np.save(sys.argv[2], cover(s, np.ones(len(x), np.int64), kept)[0])
"""
APRICOT = """
import sys
import numpy as np
import apricot
x, kept = np.load(sys.argv[1]), int(sys.argv[3])
s = np.maximum((x @ x.T).astype(np.float64), 0)
chosen = apricot.FacilityLocationSelection(kept, metric="precomputed", optimizer="lazy").fit(s)
np.save(sys.argv[2], chosen.ranking)
"""
SUBMODLIB = """
import sys
import numpy as np
from submodlib import FacilityLocationFunction
x, kept = np.load(sys.argv[1]), int(sys.argv[3])
function = FacilityLocationFunction(n=len(x), mode="dense", data=x, metric="cosine")
found = function.maximize(budget=kept, optimizer="LazyGreedy", show_progress=False)
np.save(sys.argv[2], np.array([row for row, _ in found]))
"""
PROGRAMS = {"apricot, lazy": ("apricot-select", APRICOT, 20_000), "submodlib, lazy": ("submodlib-py", SUBMODLIB, 5_000)}
"""Package, program, and the most rows that it is given."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def vectors(path: Path, rows: int) -> None:
    """The vectors that all sides get."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(CLUSTERS, WIDTH))[draw.integers(CLUSTERS, size=rows)] + draw.normal(size=(rows, WIDTH))
    np.save(path, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))


def value(path: Path, chosen: Path) -> float:
    """The objective of the picks, in parts so that this process stays small."""
    x, rows = np.load(path), np.load(chosen)
    return sum(float((part @ x[rows].T).max(axis=1).clip(0).sum(dtype=np.float64)) for part in np.array_split(x, 20))


def compare(rows: int, versions: dict[str, str | None]) -> dict[str, Any]:
    """CPU seconds, memory and value of each side."""
    path = scratch() / "facility.npy"
    vectors(path, rows)
    out = {name: scratch() / f"facility-{at}.npy" for at, name in enumerate(("cuvee", *PROGRAMS))}
    tail = {name: [str(path), str(place), str(rows // 20)] for name, place in out.items()}
    commands: dict[str, Sequence[str]] = {"cuvee": [sys.executable, "-c", CUVEE, *tail["cuvee"]]}
    for name, (package, code, most) in PROGRAMS.items():
        if versions[package] and rows <= most:
            commands[name] = [peers.interpreter(), "-c", code, *tail[name]]
    in_turn({"cuvee": commands["cuvee"]}, 1, ONE_THREAD)  # kernels are compiled once an installation
    runs = in_turn(commands, ROUNDS, ONE_THREAD)
    found: dict[str, dict[str, Any]] = {}
    for name, several in runs.items():
        found[name] = {
            "cpu_seconds": middle([one.cpu for one in several]),
            "wall_seconds": middle([one.wall for one in several]),
            "peak_mb": max(one.peak_mb for one in several),
            "value": value(path, out[name]),
            "cpu_over_cuvee": middle([b.cpu / a.cpu for a, b in zip(runs["cuvee"], several, strict=True)]),
        }
    best = max(one["value"] for one in found.values())
    for name, one in found.items():
        one["value_over_best"] = one["value"] / best
        out[name].unlink()
    path.unlink()
    return {"kept": rows // 20, "programs": found}


def main() -> None:
    """All figures, by number of rows."""
    versions = {package: peers.version(package) for package, _, _ in PROGRAMS.values()}
    sizes = [int(one) for one in os.environ.get("CUVEE_BENCH_FACILITY_ROWS", "5000,20000").split(",")]
    record("facility", {"width": WIDTH, "versions": versions, "rows": {str(n): compare(n, versions) for n in sizes}})


if __name__ == "__main__":
    main()
