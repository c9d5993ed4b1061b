"""The pools that ``bench.methods`` and ``bench.million`` choose from, each with all that any method asks for beside it.

A folder holds ``pool/`` (Parquet: id, domain, text, pass_rate, and for the million rows embedding), ``target.parquet``
(100 documents of one domain), ``labelled.parquet`` (ten of each of twenty domains), ``ratings.parquet`` and
``losses.parquet`` (of 2,000 rows, drawn at random: nothing is learned from them, but the work is the same). The texts
are those of the large pool (``CUVEE_BENCH_POOL``) or of the demonstration, no document twice as far as there are
enough. Vectors are drawn from 300 clusters by a fixed seed, with those of the target from three of them.

    python -m bench.method_pools FOLDER ROWS vectors|texts
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .pools import ROOT, scratch, sources

DIMENSIONS, CLUSTERS, PER_FILE, SEEDS = 256, 300, 50_000, 2_000
SHORT = 200
"""Characters of a text beside a given vector: the vectors are what is measured there."""


def pool(rows: int, vectors: bool) -> Path:
    """The folder, built in a process of its own if it is not there: a child's peak memory is at least its parent's."""
    folder = scratch() / f"methods-{rows}{'-vectors' if vectors else ''}"
    if not (folder / "complete").exists():
        words = [sys.executable, "-m", "bench.method_pools", str(folder), str(rows), "vectors" if vectors else "texts"]
        subprocess.run(words, check=True, cwd=ROOT)
    return folder


def embeddings(seed: int, clusters: npt.NDArray[np.int64]) -> pa.Array:
    """One unit vector for each cluster's number."""
    centres = np.random.default_rng(0).normal(size=(CLUSTERS, DIMENSIONS)).astype(np.float32)
    x = centres[clusters] + np.random.default_rng(seed).standard_normal((len(clusters), DIMENSIONS), np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), DIMENSIONS)


def build(folder: Path, rows: int, vectors: bool) -> None:
    """Write all files."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pool").mkdir(parents=True)
    texts = pa.concat_tables([pq.read_table(path, columns=["domain", "text"]) for path in sources()])
    texts = texts.filter(pc.greater(pc.utf8_length(texts["text"]), 20)).combine_chunks()
    chance = np.random.default_rng(0)
    order = chance.permutation(texts.num_rows)
    domain = texts["domain"].to_pylist()
    counts = {one["values"]: one["counts"] for one in pc.value_counts(texts["domain"]).to_pylist()}
    common = sorted(sorted(counts), key=lambda name: -counts[name])[:20]
    wanted = {name: [at for at in order.tolist() if domain[at] == name][:110] for name in common}
    sizes = texts.append_column("size", pc.utf8_length(texts["text"])).group_by("domain").aggregate([("size", "mean")])
    long = {one["domain"] for one in sizes.to_pylist() if one["size_mean"] >= 1_000}
    aside = {
        "target": wanted[next(name for name in common if name in long)][10:],
        "labelled": [at for name in common for at in wanted[name][:10]],
    }
    taken = {at for places in wanted.values() for at in places}
    left = np.array([at for at in order.tolist() if at not in taken])
    for name, places in aside.items():
        table = texts.take(places)
        if vectors:
            cut = pc.utf8_slice_codeunits(table["text"], 0, SHORT)
            table = table.set_column(1, "text", cut).append_column(
                "embedding", embeddings(1, np.arange(len(table)) % 3)
            )
        pq.write_table(table, folder / f"{name}.parquet")
    for number, first in enumerate(range(0, rows, PER_FILE)):
        many = min(PER_FILE, rows - first)
        table = texts.take(left[(first + np.arange(many)) % len(left)])
        turn = (first + np.arange(many)) // len(left)
        ids = pa.array([f"{first + at}" for at in range(many)])
        table = table.append_column("id", ids).append_column("pass_rate", pa.array(chance.integers(9, size=many) / 8))
        if vectors:
            head = pa.array([f"{one} " if one else "" for one in turn.tolist()])
            text = pc.binary_join_element_wise(head, pc.utf8_slice_codeunits(table["text"], 0, SHORT), "")
            clusters = chance.integers(CLUSTERS, size=many)
            table = table.set_column(1, "text", text).append_column("embedding", embeddings(number + 2, clusters))
        pq.write_table(table, folder / "pool" / f"{number:03}.parquet", compression="zstd", row_group_size=10_000)
        if number == 0:
            some = pa.table({"id": ids[:SEEDS]})
            scores = pa.array(chance.integers(1, 6, size=len(some)).astype(np.float64))
            pq.write_table(some.append_column("overall_score", scores), folder / "ratings.parquet")
            names = [f"model{at}" for at in range(4)]
            for name in names:
                some = some.append_column(name, pa.array(chance.random(len(some))))
            pq.write_table(some, folder / "losses.parquet")
            (folder / "losses.json").write_text(json.dumps({name: at for at, name in enumerate(names)}))
    (folder / "complete").touch()


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "vectors")
