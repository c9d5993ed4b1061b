"""A filter and duplicate pass by datatrove and Data-Juicer beside ``cuvee guard``: same texts, same rule, one core.

The job: of 100 MB of JSONL, drop texts of fewer than 200 characters, then texts that repeat an earlier one exactly or
nearly, and write what stays as JSONL. All programs look for near-duplicates by the same rule: MinHash over word
5-grams, 14 bands of 8 rows (112 permutations), every candidate is a pair; so a pair of similarity J is found with
probability 1 - (1 - J^8)^14 by each, and their costs may be compared. The texts are words of letters with one blank
between them, on which all of them cut the same words (but for spaCy, datatrove's default for English, which also cuts
inside some). Cuvee has no filter by length: its side begins with one of some lines of PyArrow, whose cost is counted.

A tenth of the texts has an exact copy, another a copy in which words were replaced. What is told of each program: CPU
seconds of all its processes, the largest process's memory, rows kept, and how many of the copies it kept beside their
originals: of the exact ones (0 is right), and of those with J of at least 0.8 (the rule lets some by).

Peers run in the environment of ``CUVEE_BENCH_PEERS`` (what it needs is in ``README.md``); one that is missing is left
out. "datatrove, blanks" is datatrove with words cut at blanks instead of by spaCy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.examples import as_batch
from cuvee.feature.minhash import MinHash, detection, jaccard

from . import peers
from .measure import Run, middle, record, run
from .pools import scratch, sources

ROUNDS, N, BANDS, ROWS, SHORTEST = 3, 5, 14, 8, 200
ALONE = {
    **dict.fromkeys(("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE", "UV_OFFLINE", "PIP_NO_INDEX"), "1"),
    "PIP_CONFIG_FILE": os.devnull,
    "LOGURU_LEVEL": "ERROR",
}
"""Data-Juicer installs what it lacks while it runs, gigabytes of it: whatever it needs must be there before."""
GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
FILTER = """
import sys
import pyarrow as pa, pyarrow.compute as pc, pyarrow.json as pj, pyarrow.parquet as pq
schema = pa.schema([("id", pa.string()), ("text", pa.string())])
options = pj.ReadOptions(use_threads=False, block_size=8 << 20)
with pq.ParquetWriter(sys.argv[2], schema, compression="zstd") as out:
    for batch in pj.open_json(sys.argv[1], read_options=options, parse_options=pj.ParseOptions(explicit_schema=schema)):
        out.write_batch(batch.filter(pc.greater_equal(pc.utf8_length(batch["text"]), int(sys.argv[3]))))
"""
CUVEE = """
set -e
mkdir -p "$4"
"$1" -c "$2" "$3" "$4/long.parquet" 200
"$1" -m cuvee.cli guard "$4/long.parquet" --preset cuvee:permutations=112,bands=14,rows=8 --threshold 0 --workers 1 \
 -o "$4/kept" --cache "$4/cache" --quiet
"$1" -m cuvee.cli write "$4/kept" --format jsonl -o "$4/out" --cache "$4/cache" --quiet
"""
DATATROVE = """
import sys
from loguru import logger
logger.remove()
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter,
    MinhashDedupSignature)
from datatrove.pipeline.dedup.exact_dedup import (ExactDedupConfig, ExactDedupFilter, ExactDedupSignature,
    ExactFindDedups)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
pool, place, blanks = sys.argv[1], sys.argv[2], sys.argv[3] == "blanks"
def text(document) -> bytes:
    return document.text.encode()
def steps(*pipeline, tasks=1):
    steps.count += 1
    logs = f"{place}/logs-{steps.count}"
    LocalPipelineExecutor(list(pipeline), tasks=tasks, workers=1, logging_dir=logs, skip_completed=False).run()
steps.count = 0
exact = ExactDedupConfig(content_getter=text)
config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
steps(JsonlReader(pool), LambdaFilter(lambda document: len(document.text) >= 200),
    JsonlWriter(f"{place}/long", compression=None), ExactDedupSignature(f"{place}/exact", config=exact))
steps(ExactFindDedups(f"{place}/exact", f"{place}/exact-found", config=exact))
sign = MinhashDedupSignature(f"{place}/signatures", config=config)
if blanks:
    class Blanks:
        def word_tokenize(self, text):
            return text.split()
    sign.word_tokenizer = Blanks()
steps(JsonlReader(f"{place}/long"), ExactDedupFilter(f"{place}/exact-found", config=exact),
    JsonlWriter(f"{place}/unique", compression=None), sign)
steps(MinhashDedupBuckets(f"{place}/signatures", f"{place}/buckets", config=config), tasks=14)
steps(MinhashDedupCluster(f"{place}/buckets", f"{place}/clusters", config=config))
steps(JsonlReader(f"{place}/unique"), MinhashDedupFilter(f"{place}/clusters"),
    JsonlWriter(f"{place}/out", compression=None))
"""
JUICER = """
import json, sys
pool, place = sys.argv[1], sys.argv[2]
recipe = {
    "project_name": "bench", "dataset_path": pool, "export_path": f"{place}/out/kept.jsonl", "work_dir": place,
    "np": 1, "use_cache": False, "ds_cache_dir": f"{place}/cache", "open_tracer": False, "open_monitor": False,
    "keep_stats_in_res_ds": False, "keep_hashes_in_res_ds": False,
    "process": [
        {"text_length_filter": {"min_len": 200}},
        {"document_deduplicator": {"lowercase": False}},
        {"document_minhash_deduplicator": {"tokenization": "space", "window_size": 5, "num_permutations": 112,
            "num_bands": 14, "num_rows_per_band": 8, "jaccard_threshold": 0.8}},
    ],
}
path = f"{place}/recipe.yaml"
open(path, "w").write(json.dumps(recipe))
from data_juicer.config import init_configs
from data_juicer.core import DefaultExecutor
DefaultExecutor(init_configs(["--config", path])).run()
"""
PROGRAMS: dict[str, tuple[str, Sequence[str]]] = {
    "cuvee": ("", ["sh", "-c", CUVEE, "sh", sys.executable, FILTER, "POOL/pool.jsonl", "PLACE"]),
    "datatrove": ("datatrove", ["PEER", "-c", DATATROVE, "POOL", "PLACE", "words"]),
    "datatrove, blanks": ("datatrove", ["PEER", "-c", DATATROVE, "POOL", "PLACE", "blanks"]),
    "Data-Juicer": ("py-data-juicer", ["PEER", "-c", JUICER, "POOL/pool.jsonl", "PLACE"]),
}


def rewritten(text: str, similarity: float, draw: np.random.Generator, other: Sequence[str]) -> str:
    """A copy with as many words replaced as bring it to about this similarity."""
    words = text.split()
    kept = 2 * similarity / (1 + similarity)
    changed = np.flatnonzero(draw.random(len(words)) < 1 - kept ** (1 / N))
    for at, source in zip(changed.tolist(), draw.integers(0, len(other), len(changed)).tolist(), strict=True):
        words[at] = other[source]
    return " ".join(words)


def plain(amount: int, draw: np.random.Generator) -> list[str]:
    """Texts of words and single blanks, of about so many bytes in all."""
    texts = pa.concat_arrays(
        [pq.read_table(path, columns=["text"])["text"].cast(pa.large_string()).combine_chunks() for path in sources()]
    )
    found, size = [], 0
    for at in draw.permutation(len(texts)).tolist():
        text = " ".join(re.findall(r"[a-z]+", texts[at].as_py().lower()))
        if text:
            found.append(text)
            size += len(text)
        if size >= amount:
            break
    return found


def build(megabytes: int, folder: Path) -> None:
    """The pool, and beside it the planted pairs with their exact similarities."""
    shutil.rmtree(folder, ignore_errors=True)
    draw = np.random.default_rng(0)
    base = plain(megabytes * 680_000, draw)
    other = [word for text in base[:2_000] for word in text.split()]
    rows = [(f"b{at}", text) for at, text in enumerate(base)]
    long = [at for at, text in enumerate(base) if len(text) >= 2 * SHORTEST]
    chosen = draw.choice(long, min(len(long), len(base) // 5), replace=False).tolist()
    half = len(chosen) // 2
    pairs: list[tuple[str, str, float]] = []
    for at in chosen[:half]:
        rows.append((f"e{at}", base[at]))
        pairs.append((f"b{at}", f"e{at}", 1.0))
    copies = [rewritten(base[at], float(draw.choice(GRID)), draw, other) for at in chosen[half:]]
    minhash = MinHash(N)
    left = minhash.shingles(as_batch([base[at].encode() for at in chosen[half:]]))
    right = minhash.shingles(as_batch([text.encode() for text in copies]))
    for at, text, a, b in zip(chosen[half:], copies, left, right, strict=True):
        rows.append((f"n{at}", text))
        pairs.append((f"b{at}", f"n{at}", jaccard(a, b)))
    (folder / "input").mkdir(parents=True)
    with (folder / "input" / "pool.jsonl").open("w") as stream:
        for at in draw.permutation(len(rows)).tolist():
            stream.write(json.dumps({"id": rows[at][0], "text": rows[at][1]}) + "\n")
    (folder / "pairs.json").write_text(json.dumps(pairs))


def place_of(megabytes: int) -> Path:
    """Where the pool lies."""
    return scratch() / f"filter-{megabytes}mb"


def filled(line: Sequence[str], pool: Path, place: Path) -> list[str]:
    """A command line with its places filled in."""
    names = {"POOL": str(pool), "PLACE": str(place), "PEER": peers.interpreter()}
    return [re.sub("^(POOL|PLACE|PEER)", lambda match: names[match[0]], one) for one in line]


def kept(place: Path) -> set[str]:
    """The ids of what a program wrote."""

    def lines() -> Iterator[str]:
        for path in sorted(set((place / "out").glob("*.jsonl")) - set((place / "out").glob("*_stats.jsonl"))):
            with path.open() as stream:
                yield from stream

    return {json.loads(line)["id"] for line in lines()}


def quality(ids: set[str], pairs: list[tuple[str, str, float]]) -> dict[str, float]:
    """How many copies stand beside their originals, in shares of all copies of their kind."""
    both = np.array([a in ids and b in ids for a, b, _ in pairs])
    similarity = np.array([one for _, _, one in pairs])
    exact = np.array([b.startswith("e") for _, b, _ in pairs])
    near = ~exact & (similarity >= 0.8)
    return {
        "rows_kept": len(ids),
        "exact_copies_kept": float(both[exact].mean()),
        "near_copies_kept": float(both[near].mean()),
    }


def main() -> None:
    """All figures."""
    megabytes = int(os.environ.get("CUVEE_BENCH_FILTER_MB", "100"))
    rounds = int(os.environ.get("CUVEE_BENCH_FILTER_ROUNDS", str(ROUNDS)))
    folder = place_of(megabytes)
    if not (folder / "pairs.json").exists():
        # in a process of its own: a child's peak memory, as the system counts it, is at least its parent's
        run([sys.executable, "-m", "bench.filter_dedup", str(megabytes)])
    pairs = [tuple(one) for one in json.loads((folder / "pairs.json").read_text())]
    similar = np.array([one for _, copy, one in pairs if copy.startswith("n") and one >= 0.8])
    versions = {package: peers.version(package) for package in sorted({one for one, _ in PROGRAMS.values() if one})}
    place = scratch() / "filter-work"
    quiet = {**ALONE, "HF_HOME": str(place / "home")}
    runs: dict[str, list[Run]] = {}
    found: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name, (package, line) in PROGRAMS.items():
            if package and not versions[package]:
                continue
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            runs.setdefault(name, []).append(run(filled(line, folder / "input", place), quiet))
            found[name] = quality(kept(place), pairs)
            print(name, runs[name][-1].cpu, found[name], file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    size = (folder / "input" / "pool.jsonl").stat().st_size
    for name, several in runs.items():
        cpu = middle([one.cpu for one in several])
        found[name] |= {
            "cpu_seconds": cpu,
            "wall_seconds": middle([one.wall for one in several]),
            "peak_mb": max(one.peak_mb for one in several),
            "mb_per_cpu_second": size / cpu / 1e6,
            "cpu_over_cuvee": middle([b.cpu / a.cpu for a, b in zip(runs["cuvee"], several, strict=True)]),
        }
    figures = {
        "rounds": rounds,
        "pool_mb": size / 1e6,
        "rows": sum(1 for _ in (folder / "input" / "pool.jsonl").open()),
        "bands": BANDS,
        "rows_a_band": ROWS,
        "near_copies_expected": float(1 - detection(similar, BANDS, ROWS).mean()),
        "versions": versions,
        "programs": found,
    }
    record("filter_dedup", figures)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        build(int(sys.argv[1]), place_of(int(sys.argv[1])))
    else:
        main()
