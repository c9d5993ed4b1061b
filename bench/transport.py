"""How many rows does the target ask for? TAROT's estimate of the size, and the choice, beside the way of its release.

Both get the same file of unit vectors (64 dimensions, 20 modes of which the target has 5): 20,000 candidates and 1,000
targets. The released way, written anew with geomloss as that code uses it: all similarities, and for each tenth of the
targets the union of their nearest candidates, grown by one each time, with a Sinkhorn distance to the other nine
tenths solved from nothing for every size until it first rises. cuvee: lists of the nearest candidates
(``fold/nearest.py``), fifths, potentials carried on from size to size, and two more sizes tried after a rise. One
thread each; whole processes.
"working_mb" is the peak less what the process has after its imports, since PyTorch's alone are larger than the work.

Peers run in the environment of ``CUVEE_BENCH_PEERS``, with torch and geomloss; without it, cuvee's side alone is told.
"""

from __future__ import annotations

import json
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
    print(json.dumps({"rows": len(chosen), "wanted": float(np.mean(mode[chosen] < int(sys.argv[2]))),
        "seconds": time.process_time() - begun, "working_mb": peak() - before}))
"""
CUVEE = """
from cuvee.fold.nearest import insert_rows
from cuvee.fold.tarot_layers import layers, suggested_size
ones = np.ones((1, 1))
insert_rows(ones.astype("f"), ones.astype("u8"), ones.astype("i8"), np.zeros(1, "i8"), ones.astype("f"),
    np.zeros(1, "u8"), np.zeros(1, "i8"))  # compiled code is loaded, as the libraries are
before = peak()
begun = time.process_time()
given = np.load(sys.argv[1])
pool, targets, mode = given["pool"], given["targets"], given["mode"]
shape = (len(targets), 50)
value, key, row = np.zeros(shape, np.float32), np.zeros(shape, np.uint64), np.zeros(shape, np.int64)
count, every = np.zeros(len(targets), np.int64), np.arange(len(pool))
for at in np.array_split(every, 20):
    insert_rows(value, key, row, count, pool[at] @ targets.T, at.astype(np.uint64), at)
rows, layer = layers(row, count)
number = suggested_size(pool[rows], targets, np.searchsorted(rows, row), 0.02, 0)
say(rows[np.argsort(layer, kind="stable")[:number]])
"""
RELEASED = """
import torch
from geomloss import SamplesLoss
torch.set_num_threads(1)
loss = SamplesLoss("sinkhorn", p=2, blur=0.01, scaling=0.5, debias=False, cost=torch.cdist, backend="tensorized")
before = peak()
begun = time.process_time()
given = np.load(sys.argv[1])
pool, targets, mode = torch.tensor(given["pool"]), torch.tensor(given["targets"]), given["mode"]
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


def vectors(path: Path) -> None:
    """The vectors that both sides get."""
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(MODES, WIDTH))

    def drawn(mode: Any) -> Any:
        x = centres[mode] + 0.8 * chance.normal(size=(len(mode), WIDTH))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    mode, wanted = chance.integers(MODES, size=CANDIDATES), chance.integers(WANTED, size=TARGETS)
    np.savez(path, pool=drawn(mode), targets=drawn(wanted), mode=mode)


def main() -> None:
    """All figures."""
    path = scratch() / "transport.npz"
    vectors(path)
    tail = [str(path), str(WANTED)]
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
    path.unlink()
    if "released" in found:
        found["seconds_ratio"] = found["released"]["seconds"] / found["cuvee"]["seconds"]
        found["working_mb_ratio"] = found["cuvee"]["working_mb"] / found["released"]["working_mb"]
    record("transport", {"candidates": CANDIDATES, "targets": TARGETS, "versions": versions, **found})


if __name__ == "__main__":
    main()
