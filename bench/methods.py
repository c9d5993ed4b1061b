"""What each method of ``cuvee select`` costs: CPU seconds and peak memory over the same 100,000 documents.

``python -m bench.methods [NAME ...]``: all methods, or those named, whose figures replace the earlier ones. Each is
called as its example is (``describing.arguments``), with one worker, an empty cache and 1 % of the rows for a budget.
Seconds are those of the whole process less those of the same command on 100 documents by ``random``, which is what
starting costs; memory is the peak of the process. Beside each stands the ratio to ``random`` over the same documents,
measured before and after in the same run: that is the reading, the controls and the report, which every selection pays.

``FEWER`` methods would take up to hours; they run over two small pools of the same documents, and the line through
both, drawn on to 100,000, is given (``estimated``). Their memory is that of the larger of the two.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cuvee import describing, registry
from cuvee.core import Policy

from .measure import RESULTS, Run, middle, record, run
from .method_pools import pool
from .pools import scratch

ROWS, ROUNDS, ONE_IN = 100_000, 1, 100
FEWER = {
    "zipfit": (500, 2_000),
    "less": (200, 600),
    "supportive": (200, 600),
    "tracin": (200, 600),
    "trak": (200, 600),
    "ekfac": (200, 600),
    "learning_percentage": (500, 1_500),
}
"""Over how many documents the slow ones run."""
MORE = {
    "zipfit:mode=pooled": "--target target.jsonl --with zipfit:mode=pooled",
    "zipfit:mode=dictionary": "--target target.jsonl --with zipfit:mode=dictionary",
    "combine rank": "--target target.jsonl --with dsir,classifier --combine rank",
    "combine min": "--target target.jsonl --with dsir,classifier --combine min",
    "combine filter": "--target target.jsonl --with dsir,classifier --combine filter:top=0.5",
    "combine learned": "--target target.jsonl --with dsir,classifier --combine learned",
}
"""Measured beside the methods of the registry."""
FILES = {
    "target.jsonl": "target.parquet",
    "labelled.jsonl": "labelled.parquet",
    "failed.jsonl": "labelled.parquet",
    "ratings.parquet": "ratings.parquet",
    "losses.parquet": "losses.parquet",
    "kept/": "kept",
}
"""The files of the examples, and what stands for them beside the pool."""


def cases() -> dict[str, list[str]]:
    """Arguments of ``cuvee select`` for every method and rule, and what is measured beside them."""
    kinds = {name: entry.load() for name, entry in registry.entries().items() if entry.point is None}
    found = {name: describing.arguments(name) for name, kind in kinds.items() if not issubclass(kind, Policy)}
    return found | {name: words.split() for name, words in MORE.items()}


def placed(words: Sequence[str], folder: Path) -> list[str]:
    """The same words with the files of this folder."""
    found = list(words)
    for shown, name in FILES.items():
        found = [word.replace(shown, str(folder / name)) for word in found]
    return found


def selected(words: Sequence[str], folder: Path, budget: Sequence[str], workers: int = 1, kept: str = "") -> Run:
    """One selection from nothing; its folder is put beside the pool if it gets a name, else removed."""
    cache, output = scratch() / "methods-cache", scratch() / "methods-out"
    for place in (cache, output):
        shutil.rmtree(place, ignore_errors=True)
    if any("kept/" in word for word in words) and not (folder / "kept").exists():
        selected(["--with", "random"], folder, budget, workers, "kept")
    command = [sys.executable, "-m", "cuvee.cli", "select", str(folder / "pool"), *placed(words, folder), *budget]
    done = run([*command, "-o", str(output), "--cache", str(cache), "--workers", str(workers), "--quiet"])
    if kept:
        output.rename(folder / kept)
    for place in (cache, output):
        shutil.rmtree(place, ignore_errors=True)
    return done


def several(words: Sequence[str], rows: int) -> tuple[float, float]:
    """CPU seconds and peak megabytes over so many documents: the median."""
    runs = [selected(words, pool(rows, False), ["--rows", str(rows // ONE_IN)]) for _ in range(ROUNDS)]
    return middle([one.cpu for one in runs]), middle([one.peak_mb for one in runs])


def measured(name: str, words: Sequence[str], start: float) -> dict[str, Any]:
    """One method: seconds net of ``start``, and memory."""
    if name not in FEWER:
        cpu, peak = several(words, ROWS)
        return {"cpu_seconds": round(cpu - start, 2), "peak_mb": round(peak), "documents": ROWS, "estimated": False}
    low, high = FEWER[name]
    few, many = several(words, low)[0], several(words, high)
    slope = (many[0] - few) / (high - low)
    seconds = few - start + slope * (ROWS - low)
    return {"cpu_seconds": round(seconds, 2), "peak_mb": round(many[1]), "documents": high, "estimated": True}


def main(names: Sequence[str] = ()) -> None:
    """Measure, and write the record after each method."""
    known = cases()
    if unknown := set(names) - set(known):
        raise SystemExit(f"no method is called {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    path = RESULTS / "methods.json"
    before: dict[str, Any] = json.loads(path.read_text("utf-8"))["methods"] if path.is_file() else {}
    found = {name: one for name, one in before.items() if name in known}
    start = several(known["random"], 100)[0]
    last = measured("random", known["random"], start)
    found["random"] = last | {"over_random": 1.0}
    for name in names or sorted(known, key=lambda name: name in FEWER):  # the slow ones last
        if name == "random":
            continue
        one = measured(name, known[name], start)
        again = measured("random", known["random"], start)
        random, last = 0.5 * (last["cpu_seconds"] + again["cpu_seconds"]), again
        found[name] = one | {"over_random": round(one["cpu_seconds"] / random, 2)}
        record(
            "methods", {"one_row_in": ONE_IN, "start_seconds": round(start, 2), "methods": dict(sorted(found.items()))}
        )


if __name__ == "__main__":
    main(sys.argv[1:])
