"""Exported mixes in the hands of the loaders that they are for: what a million draws hold, beside the plan.

    CUVEE_BENCH_PEERS=PYTHON CUVEE_BENCH_STREAMING=PYTHON python -m bench.loaders [--draws N] [--only NAME]

The demonstration pool's eleven sources are mixed by temperature (tau = 2), exported by ``cuvee mix export`` for grain,
Hugging Face datasets and MosaicML Streaming, and each package then reads its export, unchanged, on files of its own
kind: ``--draws`` times with documents as examples (so that shares of tokens became shares of documents), and
``--sequences`` times with packed sequences of 128 tokens [a million each]; Streaming, whose order is shuffled over the
whole run and whose counts are exact at its end, for a whole epoch. Draws are counted by source and compared with the
plan:

    examples  the counts of examples against what the plan makes of their number: largest difference in standard errors
              of independent draws, sqrt(n p (1 - p)), chi-square and its p-value
    tokens    the largest difference of a source's share of tokens (documents only, by each document's own length)
    prefix    the largest difference, in examples, of a source's count from its exact share over all prefixes

``--only "streaming, sequences"`` (repeatable) measures that anew and leaves the rest of the record as it is.

Deterministic loaders must be far below one standard error; random ones about it. ``CUVEE_BENCH_STREAMING`` names the
Python of an environment for Streaming alone, whose dependencies may exclude those of datasets. Streaming's part for
pictures needs torchvision; it is not used here, and where it cannot be imported its names are stood in for.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import cuvee

from . import peers
from .measure import RESULTS, record, run
from .pools import ROOT, scratch

SEQUENCE = 128
LOADERS = {"grain": "grain", "huggingface": "datasets", "streaming": "mosaicml-streaming"}
COMMON = """
import itertools, json, sys, time
import numpy as np
folder, draws = sys.argv[1], int(sys.argv[2])
def say(pairs, length=None):
    begun = time.process_time()
    found = np.fromiter(itertools.chain.from_iterable(itertools.islice(pairs, draws)), np.int64).reshape(-1, 2)
    np.save(folder + "/drawn.npy", found)
    print(json.dumps({"length": length, "seconds": time.process_time() - begun}))
"""
CONSUME = {
    "grain": """
import pyarrow.parquet as pq
sys.path.insert(0, folder)
import grain, mix
def source(place):
    table = pq.read_table(place)
    return grain.MapDataset.source(list(zip(table["source"].to_pylist(), table["row"].to_pylist())))
mixed = mix.mixed(source)
say((mixed[t] for t in range(len(mixed))), len(mixed))
""",
    "huggingface": """
sys.path.insert(0, folder)
from interleave import mixed
say((one["source"], one["row"]) for one in mixed)
""",
    "streaming": """
import importlib.machinery, types
def stand(name, **names):
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__dict__.update(names)
    sys.modules[name] = module
try:
    import torchvision
except Exception:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    stand("torchvision")
    stand("torchvision.transforms")
    stand("torchvision.datasets", VisionDataset=object)
    stand("torchvision.transforms.functional", to_tensor=None)
sys.path.insert(0, folder)
import streams
dataset = streams.dataset(1)
say(((one["source"], one["row"]) for one in dataset), len(dataset))
""",
}
WRITE_STREAMS = """
import pyarrow.parquet as pq
from streaming import MDSWriter
for place, into in json.loads(sys.argv[3]):
    with MDSWriter(out=into, columns={"source": "int", "row": "int", "text": "str"}) as writer:
        for row in pq.read_table(place).to_pylist():
            writer.write(row)
"""


def python(loader: str) -> str:
    """The interpreter that has a loader."""
    named = os.environ.get("CUVEE_BENCH_STREAMING") if loader == "streaming" else None
    return named or peers.interpreter()


def version(loader: str) -> str | None:
    """The installed version of a loader, or None."""
    asked = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    try:
        return run([python(loader), "-c", asked, LOADERS[loader]]).output.strip()
    except RuntimeError:
        print(f"{LOADERS[loader]} is not installed: left out", file=sys.stderr)
        return None


def write_sources(folder: Path, names: list[str], packed: bool) -> dict[str, np.ndarray[Any, Any]]:
    """A Parquet file a source, of documents or of packed sequences; the length of each row in bytes."""
    table = pq.read_table(ROOT / "src" / "cuvee" / "demo" / "pool.parquet", columns=["domain", "text"])
    lengths = {}
    for at, name in enumerate(names):
        texts = table.filter(pa.compute.equal(table["domain"], name))["text"].to_pylist()
        if packed:
            joined, width = "\n".join(texts).encode(), 4 * SEQUENCE
            last = len(joined) // width * width
            texts = [joined[start : start + width].decode(errors="replace") for start in range(0, last, width)]
        place = folder / name
        place.mkdir(parents=True)
        rows = {"source": [at] * len(texts), "row": list(range(len(texts))), "text": texts}
        pq.write_table(pa.table(rows), place / "part.parquet")
        lengths[name] = np.array([len(text.encode()) for text in texts])
    return lengths


def tail(chi: float, freedom: int) -> float:
    """Probability that chi-square with an even number of degrees of freedom is larger: the closed form."""
    if freedom % 2:
        raise ValueError(f"{freedom} degrees of freedom are not even")
    term = total = math.exp(-chi / 2)
    for at in range(1, freedom // 2):
        term *= chi / 2 / at
        total += term
    return total


def judge(drawn: np.ndarray[Any, Any], shares: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Counts by source against shares of examples."""
    source, number = drawn[:, 0], len(drawn)
    counts = np.bincount(source, minlength=len(shares))
    errors = np.sqrt(number * shares * (1 - shares))
    chi = float(((counts - number * shares) ** 2 / (number * shares)).sum())
    steps = np.arange(1, number + 1)
    stray = max(float(np.abs(np.cumsum(source == at) - steps * share).max()) for at, share in enumerate(shares))
    return {
        "counts": counts.tolist(),
        "planned": (number * shares).tolist(),
        "largest_difference": float(np.abs(counts - number * shares).max()),
        "largest_in_standard_errors": float((np.abs(counts - number * shares) / errors).max()),
        "chi_square": chi,
        "p_value": tail(chi, len(shares) - 1),
        "prefix": stray,
    }


def passes(drawn: np.ndarray[Any, Any], lengths: list[np.ndarray[Any, Any]]) -> dict[str, Any]:
    """How evenly the rows of each source were gone through: fewest and most uses of a row, over all sources."""
    spread = 0
    for at, size in enumerate(lengths):
        uses = np.bincount(drawn[drawn[:, 0] == at, 1], minlength=len(size))
        spread = max(spread, int(uses.max() - uses.min()))
    return {"largest_difference_in_uses_of_rows": spread}


def consume(loader: str, mix: Path, packed: bool, draws: int, place: Path) -> dict[str, Any]:
    """One loader on one export."""
    told = json.loads((mix / "mix.json").read_text())
    names = [one["name"] for one in told["sources"] if one["weight"] > 0]
    raw, places = place / "raw", place / "data"
    found = write_sources(raw, names, packed)
    lengths = [found[name] for name in names]
    if loader == "streaming":
        pairs = json.dumps([(str(raw / name), str(places / name)) for name in names])
        stand = CONSUME["streaming"].split("sys.path.insert")[0]
        run([python(loader), "-W", "ignore", "-c", COMMON + stand + WRITE_STREAMS, str(place), "0", pairs])
    else:
        raw.rename(places)
    export = cuvee.export_mix(
        mix, loader, places={name: str(places / name) for name in names}, sequence=SEQUENCE, packed=packed,
        output=place / "export",
    )  # fmt: skip
    most = 2 * draws if loader == "streaming" else draws  # a whole epoch, whose counts are exact
    one = run(
        [python(loader), "-W", "ignore", "-c", COMMON + CONSUME[loader], str(export.folder), str(most)],
        {"HF_HOME": str(place / "home"), "HF_HUB_OFFLINE": "1"},
    )
    drawn = np.load(export.folder / "drawn.npy")
    plan = np.array([row["weight"] for row in export.summary["sources"]])
    documents = np.array([one["documents"] / one["available"] for one in told["sources"] if one["weight"] > 0])
    shares = plan if packed else plan * documents / (plan * documents).sum()
    tokens = np.array(
        [lengths[at][drawn[drawn[:, 0] == at, 1]].sum() if not packed else (drawn[:, 0] == at).sum()
         for at in range(len(names))], np.float64,
    )  # fmt: skip
    return {
        "version": version(loader),
        "draws": len(drawn),
        "offered": json.loads(one.output.splitlines()[-1])["length"],
        "cpu_seconds": one.cpu,
        **judge(drawn, shares),
        "largest_difference_of_a_share_of_tokens": float(np.abs(tokens / tokens.sum() - plan).max()),
        "shares_of_tokens": (tokens / tokens.sum()).tolist(),
        "plan": plan.tolist(),
        **passes(drawn, lengths),
    }


def main() -> None:
    """All loaders that are installed."""
    asked = argparse.ArgumentParser(prog="python -m bench.loaders")
    asked.add_argument("--draws", type=int, default=1_000_000)
    asked.add_argument("--sequences", type=int, default=1_000_000)
    asked.add_argument("--only", action="append", metavar="NAME", help='like "grain, documents" (repeatable)')
    given = asked.parse_args(sys.argv[1:] if sys.argv[0].endswith("loaders.py") else [])
    room = scratch() / "loaders"
    shutil.rmtree(room, ignore_errors=True)
    pool = ROOT / "src" / "cuvee" / "demo" / "pool.parquet"
    here = [loader for loader in LOADERS if version(loader)]
    results: dict[str, Any] = {}
    if given.only:
        results = json.loads((RESULTS / "loaders.json").read_text())["loaders"]
    for unit, packed, draws in (("documents", False, given.draws), ("sequences", True, given.sequences)):
        wanted = [loader for loader in here if not given.only or f"{loader}, {unit}" in given.only]
        if not wanted:
            continue
        mixed = room / f"mix-{unit}"
        # about 430 tokens a document: a run of a few per cent more examples than are drawn
        tokens = draws * (SEQUENCE if packed else 440)
        cuvee.mix_sources(
            pool, method="temperature", settings={"tau": 2}, tokens=tokens, output=mixed,
            reading=cuvee.Reading(domain="domain"),
        )  # fmt: skip
        with ThreadPoolExecutor(len(wanted)) as several:
            each = {
                loader: several.submit(consume, loader, mixed, packed, draws, room / f"{loader}-{unit}")
                for loader in wanted
            }
        results |= {f"{loader}, {unit}": found.result() for loader, found in each.items()}
        record("loaders", {"sequence_tokens": SEQUENCE, "loaders": results})
    shutil.rmtree(room)


if __name__ == "__main__":
    main()
