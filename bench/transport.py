"""How many rows does the target ask for? TAROT's estimate of the size, and the choice, beside the way of its release.

Both get the same files of unit vectors (64 dimensions, 20 modes of which the target has 5): 20,000 candidates and 1,000
targets. The released way, written anew with geomloss as that code uses it: all similarities, and for each tenth of the
targets the union of their nearest candidates, grown by one each time, with a Sinkhorn distance to the other nine
tenths solved from nothing for every size until it first rises. cuvee: lists of the nearest candidates from the pool
as it passes by, 1,000 rows at a time, and their vectors from a second pass (``fold/nearest.py``), fifths, potentials
carried on from size to size, and two more sizes tried after a rise. One thread each; whole processes.
"working_mb" is the peak less "imports_mb", the peak after imports (Python, NumPy, PyArrow and Numba with loaded kernels
here; Python, NumPy and PyTorch there), since PyTorch's alone are larger than the work.

Peers run in the environment of ``CUVEE_BENCH_PEERS``, with torch and geomloss; without it, cuvee's side alone is told.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import peers
from .facility import ONE_THREAD
from .measure import in_turn, middle, record
from .pools import scratch

ROUNDS, CANDIDATES, TARGETS, WIDTH, MODES, WANTED = 3, 20_000, 1_000, 64, 20, 5
HEAD = """
import json, resource, sys, time
import numpy as np
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def say(chosen):
    told = {"rows": len(chosen), "seconds": time.process_time() - begun, "working_mb": peak() - before}
    wanted = np.load(sys.argv[1] + "/mode.npy")[chosen] < int(sys.argv[2])
    print(json.dumps({**told, "imports_mb": before, "wanted": float(np.mean(wanted))}))
"""
CUVEE = """
from cuvee.core import Batch
from cuvee.feature.embed import Given
from cuvee.fold.nearest import NearestRows, VectorsOf
from cuvee.fold.tarot_layers import layers, suggested_size
def batches(width, rows=1000):
    with open(sys.argv[1] + "/pool.f32", "rb") as file:
        start = 0
        while len(block := np.fromfile(file, np.float32, rows * width).reshape(-1, width)):
            row = np.arange(start, start + len(block))
            none = np.zeros(len(block) + 1, np.int64)
            yield Batch(none[:0].astype(np.uint8), none, row, row.astype(np.uint64), {"embedding": block})
            start += len(block)
def folded(fold, width):
    state = fold.empty()
    for batch in batches(width):
        state = fold.update(state, batch)
    return fold.finish(state)
one, row = np.ones((1, 1), np.float32), np.zeros(1, np.int64)  # PyArrow and compiled code are loaded beforehand
batch = Batch(np.zeros(0, np.uint8), np.zeros(2, np.int64), row, row.astype(np.uint64), {"embedding": one})
for fold in (NearestRows(Given(1), one, 1), VectorsOf(Given(1), row)):
    fold.lift(batch)
before = peak()
begun = time.process_time()
targets = np.load(sys.argv[1] + "/targets.npy")
width = targets.shape[1]
found = folded(NearestRows(Given(width), targets, 50), width)
rows, layer = layers(found["row"], found["count"])
vectors = folded(VectorsOf(Given(width), rows), width)["vectors"]
number = suggested_size(vectors, targets, np.searchsorted(rows, found["row"]), 0.02, 0)
say(rows[np.argsort(layer, kind="stable")[:number]])
"""
RELEASED = """
import torch
from geomloss import SamplesLoss
torch.set_num_threads(1)
loss = SamplesLoss("sinkhorn", p=2, blur=0.01, scaling=0.5, debias=False, cost=torch.cdist, backend="tensorized")
before = peak()
begun = time.process_time()
targets = torch.tensor(np.load(sys.argv[1] + "/targets.npy"))
pool = torch.tensor(np.fromfile(sys.argv[1] + "/pool.f32", np.float32).reshape(-1, targets.shape[1]))
scores = pool @ targets.T
chosen = torch.zeros(len(pool), dtype=bool)
for fold in torch.randperm(len(targets), generator=torch.Generator().manual_seed(42)).chunk(10):
    rest = torch.ones(len(targets), dtype=bool)
    rest[fold] = False
    order = scores[:, fold].argsort(0, descending=True)
    inside, last = torch.zeros(len(pool), dtype=bool), float("inf")
    for nearest in order:
        inside[nearest[scores[nearest, fold] > 0]] = True
        with torch.no_grad():
            now = float(loss(pool[inside], targets[rest]))
        if now > last:
            break
        last = now
    chosen |= inside
say(chosen.nonzero()[:, 0].numpy())
"""


def vectors(folder: Path) -> None:
    """The vectors that both sides get, in files of their own: numbers of the pool, the targets, the pool's modes."""
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(MODES, WIDTH))

    def drawn(mode: Any) -> Any:
        x = centres[mode] + 0.8 * chance.normal(size=(len(mode), WIDTH))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    mode, wanted = chance.integers(MODES, size=CANDIDATES), chance.integers(WANTED, size=TARGETS)
    folder.mkdir(exist_ok=True)
    drawn(mode).tofile(folder / "pool.f32")
    np.save(folder / "targets.npy", drawn(wanted))
    np.save(folder / "mode.npy", mode)


def main() -> None:
    """All figures."""
    folder = scratch() / "transport"
    vectors(folder)
    tail = [str(folder), str(WANTED)]
    commands: dict[str, Sequence[str]] = {"cuvee": [sys.executable, "-c", HEAD + CUVEE, *tail]}
    versions = {package: peers.version(package) for package in ("geomloss", "torch")}
    if all(versions.values()):
        commands["released"] = [peers.interpreter(), "-c", HEAD + RELEASED, *tail]
    in_turn({"cuvee": commands["cuvee"]}, 1, ONE_THREAD)  # kernels are compiled once an installation
    runs = in_turn(commands, ROUNDS, ONE_THREAD)
    found: dict[str, Any] = {}
    for name, several in runs.items():
        told = [json.loads(one.output.splitlines()[-1]) for one in several]
        found[name] = {key: middle([one[key] for one in told]) for key in told[0]}
        found[name]["peak_mb"] = max(one.peak_mb for one in several)
    shutil.rmtree(folder)
    if "released" in found:
        found["seconds_ratio"] = found["released"]["seconds"] / found["cuvee"]["seconds"]
        found["working_mb_ratio"] = found["cuvee"]["working_mb"] / found["released"]["working_mb"]
    record("transport", {"candidates": CANDIDATES, "targets": TARGETS, "versions": versions, **found})


if __name__ == "__main__":
    main()
