"""Choosing by vectors against public packages: facility location against apricot, k-means against scikit-learn.

``python -m bench.vectors``. Both sides get the same 20,000 (facility location) or 100,000 (k-means) unit vectors of 256
dimensions, drawn from 300 clusters by a fixed seed, and one thread each; CPU seconds are counted inside the processes,
after a warm-up. Facility location: 1,000 rows, the similarities given; its value is the sum over all rows of the
largest similarity. k-means: squared distances, 64 and 256 centres; inertia over all rows.

Peers run in an environment of their own: CUVEE_BENCH_PEERS names its Python, in which apricot-select 0.6.1 and
scikit-learn are installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .measure import in_turn, middle, record
from .pools import scratch

ROUNDS, ROWS, COVERED, KEPT = 3, 100_000, 20_000, 1_000
HEAD = """
import sys, time, json
import numpy as np
x = np.load(sys.argv[1])
found = {}
def timed(name, work, value):
    begun = time.process_time()
    result = work()
    found[name] = {"seconds": time.process_time() - begun, "value": float(value(result))}
def inertia(centres):
    total = 0.0
    for part in np.array_split(x, 20):
        square = (part * part).sum(1)[:, None] - 2 * part @ centres.T + (centres * centres).sum(1)
        total += square.min(axis=1).sum()
    return total
def similarity():
    return np.maximum(x[:20_000] @ x[:20_000].T, 0)
"""
CUVEE = """
from cuvee.fold.kmeans import fit_centroids
from cuvee.methods.choose.facility_location import cover
ones = np.ones(20_000, np.int64)
fit_centroids(x[:3000], 16, 0)
for k in (64, 256):
    timed(f"k-means {k}", lambda: fit_centroids(x, k, 0, spherical=False)[0], inertia)
s = similarity()
cover(s[:50], ones[:50], 5)
timed("facility location", lambda: cover(s, ones, 1000)[0], lambda order: s[order].max(axis=0).sum())
print(json.dumps(found))
"""
PEERS = """
from sklearn.cluster import MiniBatchKMeans
import apricot
MiniBatchKMeans(16, n_init=1).fit(x[:3000])
for k in (64, 256):
    work = lambda: MiniBatchKMeans(k, batch_size=4096, n_init=1, random_state=0).fit(x).cluster_centers_
    timed(f"k-means {k}", work, inertia)
s = similarity()
apricot.FacilityLocationSelection(5, metric="precomputed").fit(np.eye(50) + 0.1)
given = s.astype(np.float64)
for optimizer in ("lazy", "two-stage"):
    work = lambda: apricot.FacilityLocationSelection(1000, metric="precomputed", optimizer=optimizer).fit(given).ranking
    timed(f"facility location, {optimizer}", work, lambda order: s[order].max(axis=0).sum())
print(json.dumps(found))
"""


def vectors(path: Path) -> None:
    """The vectors that both sides get."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(300, 256))[chance.integers(300, size=ROWS)] + chance.normal(size=(ROWS, 256))
    np.save(path, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))


def main() -> None:
    """Measure, in turn, and write the record."""
    peers = os.environ.get("CUVEE_BENCH_PEERS")
    if not peers:
        raise SystemExit("Name the peers' Python in CUVEE_BENCH_PEERS: it needs apricot-select 0.6.1 and scikit-learn.")
    path = scratch() / "vectors.npy"
    vectors(path)
    commands: dict[str, Sequence[str]] = {
        "cuvee": [sys.executable, "-c", HEAD + CUVEE, str(path)],
        "peers": [peers, "-c", HEAD + PEERS, str(path)],
    }
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    runs = in_turn(commands, ROUNDS, one)
    found: dict[str, Any] = {}
    for side, several in runs.items():
        read = [json.loads(run.output.splitlines()[-1]) for run in several]
        for name in read[0]:
            seconds, value = (middle([each[name][part] for each in read]) for part in ("seconds", "value"))
            found[f"{side}: {name}"] = {"cpu_seconds": round(seconds, 3), "value": round(value, 2)}
    record("vectors", found)


if __name__ == "__main__":
    main()
