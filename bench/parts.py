"""Where the time of ``select --with dsir`` goes, part by part, beside the limits that the machine sets.

Every part is run by itself, in this process, on one thread, over the same pool, and its CPU seconds are counted; what
the command as a whole takes beyond the sum is told as "not accounted for". Decoding and checking happen twice in a
selection (count, score), the others once. Two parts come from whole processes: start-up is the command on a pool of
1 MB, and closing (choosing, controls, examples, report) is the command run again over a full cache, less start-up.

The limits: bytes of the files as they lie on disk, read from the page cache without decoding, and a copy of 256 MB in
memory by NumPy. Both are in MB of what is read; a text byte is several times cheaper to read packed than to decode.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cuvee.core import Batch
from cuvee.engine.facts import SpanFacts
from cuvee.engine.manifest import Manifest, Piece
from cuvee.engine.store import Store
from cuvee.feature.ngrams import Ngrams
from cuvee.fold.counts import NgramCounts
from cuvee.pool import Reading, open_stage

from .measure import in_turn, middle, python, record
from .pools import TARGET, parquet_pool, scratch

ROUNDS = 3
COPY = 256_000_000
HELD = 200_000_000
"""Bytes of text that are held in memory for the parts that need no reading."""
WRITTEN = """
import json, sys, time
from pathlib import Path
from cuvee.feed.write import write_selection
write_selection(Path(sys.argv[2]), sys.argv[3])
begun = time.process_time()
found = write_selection(Path(sys.argv[1]), sys.argv[3])
print(json.dumps([time.process_time() - begun, found.rows]))
"""


def seconds(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """CPU seconds of a piece of work: the median."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return middle(found)


def copying() -> float:
    """CPU seconds of a copy in memory."""
    source, target = np.ones(COPY // 8), np.empty(COPY // 8)
    np.copyto(target, source)
    return seconds(lambda: np.copyto(target, source), 5)


def raw_bytes(pool: Path) -> int:
    """Read every file to its end, and do nothing with it."""
    space, total = bytearray(1 << 20), 0
    for path in sorted(pool.glob("*.parquet")):
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(space):
                total += count
    return total


def column(pool: Path) -> int:
    """Decode the text column with PyArrow."""
    total = 0
    for path in sorted(pool.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["text"], use_threads=False):
            total += batch.nbytes
    return total


def pieces(manifest: Manifest) -> Iterator[Piece]:
    """The pool as a pass sees it: decoded, checked, with keys."""
    for span in manifest.spans:
        yield from manifest.read(span)


def held(manifest: Manifest) -> list[Piece]:
    """The first pieces of the pool, 200 MB of text or less."""
    found, size = [], 0
    for piece in pieces(manifest):
        found.append(piece)
        size += text_size(piece.batch)
        if size >= HELD:
            break
    return found


def text_size(batch: Batch) -> int:
    return int(batch.offsets[-1] - batch.offsets[0])


def kernels(manifest: Manifest, some: list[Piece]) -> dict[str, float]:
    """CPU seconds per byte of text of the parts that work on what is decoded already."""
    ngrams, table = Ngrams(2, 10_000), np.random.default_rng(0).normal(size=10_000)
    counts = NgramCounts(ngrams)
    batches = [piece.batch for piece in some]
    size = sum(map(text_size, batches))

    def hashed() -> None:
        for batch in batches:
            for _ in ngrams.pieces(batch):
                pass

    def facts() -> None:
        collected = SpanFacts(None, True, manifest.rows)
        for piece in some:
            collected.add(piece)
        collected.tables(), collected.sample()

    def scored() -> None:
        for batch in batches:
            ngrams.sums(batch, table)

    def counted() -> None:
        for batch in batches:
            counts.update(state, batch)

    state = counts.empty()
    for work in (hashed, facts, scored, counted):  # kernels are loaded
        work()
    tokens = seconds(hashed)
    return {
        "facts": seconds(facts) / size,
        "tokenise and hash": tokens / size,
        "look up": max(0.0, seconds(scored) - tokens) / size,
        "tally": max(0.0, seconds(counted) - tokens) / size,
    }


def merging(spans: int) -> float:
    """CPU seconds of merging as many states of counts as the pool has spans."""
    counts = NgramCounts(Ngrams(2, 10_000))
    states = [counts.empty() for _ in range(spans)]

    def work() -> None:
        total = counts.empty()
        for state in states:
            total = counts.merge(total, state)

    return seconds(work)


def whole(pool: Path, place: Path) -> dict[str, float]:
    """CPU seconds of whole commands on one thread: the selection, the same again over a full cache, and start-up."""
    base = [sys.executable, "-m", "cuvee.cli", "select"]
    tail = ["--target", str(TARGET), "--with", "dsir", "--fraction", "10%", "--workers", "1", "--quiet"]

    def command(of: Path, name: str, clean: bool) -> list[str]:
        cache, out = str(place / f"cache-{name}"), str(place / f"kept-{name}")
        line = [*base, str(of), *tail, "-o", out, "--cache", cache]
        return ["sh", "-c", 'rm -rf "$1"; shift; exec "$@"', "sh", cache, *line] if clean else line

    commands: dict[str, Sequence[str]] = {
        "start-up": command(parquet_pool(1), "tiny", True),
        "select": command(pool, "pool", True),
        "again": command(pool, "pool", False),
    }
    runs = in_turn(commands, ROUNDS)
    return {name: middle([one.cpu for one in several]) for name, several in runs.items()}


def writing(place: Path) -> tuple[float, int]:
    """CPU seconds of writing the tenth that was kept as Parquet, and the bytes of its texts."""
    out = place / "written"
    # the tiny selection first, into the same folder: start-up is not counted
    found = python(WRITTEN, str(place / "kept-pool"), str(place / "kept-tiny"), str(out)).output
    plan = json.loads((place / "kept-pool" / "plan.json").read_text())
    return json.loads(found.splitlines()[-1])[0], int(plan["counts"]["kept_bytes"])


def main() -> None:
    """All figures."""
    pool = parquet_pool(int(os.environ.get("CUVEE_BENCH_PARTS_MB", "1000")))
    place = scratch() / "parts"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        figures = measure(pool, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    record("parts", figures)


def measure(pool: Path, place: Path) -> dict[str, Any]:
    """Seconds and MB per CPU second of every part."""
    copied = copying()
    manifest = open_stage(str(pool), Reading(), Store(place / "cache-here")).stage.manifest
    some = held(manifest)
    size = sum(text_size(piece.batch) for piece in pieces(manifest))
    each = kernels(manifest, some)
    del some
    packed = raw_bytes(pool)
    reading = seconds(lambda: raw_bytes(pool))
    decoding = seconds(lambda: column(pool))
    checking = max(0.0, seconds(lambda: [None for _ in pieces(manifest)]) - decoding)
    commands = whole(pool, place)
    spent, written = writing(place)
    sample = min(1.0, 100_000 / max(manifest.rows, 1))  # DSIR counts the pool's n-grams on so many rows
    in_select = {
        "start-up": commands["start-up"],
        "decode the column, twice": 2 * decoding,
        "ids, UTF-8, keys, twice": 2 * checking,
        "facts of every row": each["facts"] * size,
        "tokenise and hash": each["tokenise and hash"] * size * (1 + sample),
        "look up scores": each["look up"] * size,
        "count n-grams, sample": each["tally"] * size * sample,
        "merge states": merging(len(manifest.spans)),
        "choose, controls, report": max(0.0, commands["again"] - commands["start-up"]),
    }
    in_select["not accounted for"] = commands["select"] - sum(in_select.values())
    rates = {
        "copy in memory (NumPy)": COPY / copied,
        "read the files' bytes": packed / reading,
        "decode the column (PyArrow)": size / decoding,
        "ids, UTF-8 check, keys": size / checking if checking else None,
        "facts of every row": 1 / each["facts"],
        "tokenise and hash": 1 / each["tokenise and hash"],
        "look up scores": 1 / each["look up"] if each["look up"] else None,
        "write a tenth, reading included": written / spent,
        "select --with dsir, whole": size / commands["select"],
    }
    return {
        "text_mb": size / 1e6,
        "packed_mb": packed / 1e6,
        "spans": len(manifest.spans),
        "mb_per_cpu_second": {name: None if rate is None else rate / 1e6 for name, rate in rates.items()},
        "seconds_in_select": in_select,
        "select_cpu_seconds": commands["select"],
        "select_over_reading_bytes": commands["select"] / reading,
        "select_over_decoding": commands["select"] / decoding,
        "share_of_copying_in_memory": size / commands["select"] / (COPY / copied),
    }


if __name__ == "__main__":
    main()
