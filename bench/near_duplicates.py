"""MinHash of 128 permutations over word 5-grams: cuvee's kernel against public implementations, shingling included.

Every program gets the same texts in memory and makes signatures of them; CPU seconds of all its threads are counted
inside its process, after a warm-up. Signatures of planted pairs are then cut into the same bands, so that speed is
compared at equal work: recall of pairs of a Jaccard similarity of at least 0.8, and the share of candidate pairs, among
all texts, that have at least 0.5.

Peers run in an environment of their own: CUVEE_BENCH_PEERS names its Python, in which daft, rensa, gaoya and datasketch
are installed; one that is missing is left out. gaoya has no call for signatures alone: its figure includes putting them
into its index.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.examples import as_batch
from cuvee.feature.minhash import MinHash, detection, jaccard
from cuvee.planted import planted_pairs

from .measure import in_turn, middle, record, run
from .pools import scratch, sources

PERMUTATIONS, BANDS, ROWS, N = 128, 18, 7, 5
ROUNDS, SEEDS = 3, 6
HEAD = """
import sys, time, json
import numpy as np, pyarrow.parquet as pq
pool, planted, out, limit = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
texts = pq.read_table(pool)["text"].combine_chunks()
sizes = np.cumsum(pq.read_table(pool)["size"].to_numpy())
texts = texts.slice(0, int(np.searchsorted(sizes, limit)) + 1)
size = int(sizes[len(texts) - 1])
def measured(work, prepare=lambda array: array):
    work(prepare(texts.slice(0, 100)))
    given = prepare(texts)
    begun = time.process_time()
    work(given)
    return size / (time.process_time() - begun) / 1e6
def save(signatures):
    np.save(out, np.asarray(signatures))
asked = pq.read_table(planted)["text"].combine_chunks()
"""
CUVEE = """
from cuvee.core import Batch
from cuvee.feature.minhash import MinHash
def batch(array):
    import pyarrow as pa
    array = pa.concat_arrays([array])
    _, offsets, data = array.buffers()
    row = np.arange(len(array))
    return Batch(np.frombuffer(data, np.uint8), np.frombuffer(offsets, np.int64)[: len(array) + 1], row, row)
minhash = MinHash(permutations=128)
rate = measured(minhash.apply, batch)
save(minhash.signatures(batch(asked)))
"""
DAFT = """
import daft, pyarrow as pa
def sign(array):
    frame = daft.from_arrow(pa.table({"t": array}))
    hashed = daft.col("t").minhash(num_hashes=128, ngram_size=5, seed=1, hash_function=FUNCTION)
    return frame.select(hashed).to_arrow()[0]
rate = measured(sign)
found = sign(asked).combine_chunks()
save(np.asarray(found.flatten()).reshape(len(asked), 128))
"""
SPLIT = """
def grams(text):
    words = text.lower().split()
    return [" ".join(words[i : i + 5]) for i in range(len(words) - 4)]
"""
RENSA = """
import rensa
def sign(texts):
    return rensa.RMinHash.digest_matrix_from_token_sets([grams(text) for text in texts], 128, 1)
rate = measured(sign, lambda array: array.to_pylist())
sets = [grams(text) for text in asked.to_pylist()]
save(rensa.RMinHash.digests_from_token_sets(sets, 128, 1))
"""
RENSA_C = """
import rensa
def sign(texts):
    return rensa.CMinHash.digests_from_token_sets([grams(text) for text in texts], 128, 1)
rate = measured(sign, lambda array: array.to_pylist())
save(sign(asked.to_pylist()))
"""
DATASKETCH = """
from datasketch import MinHash
def sign(texts):
    return [one.hashvalues for one in MinHash.generator(([g.encode() for g in grams(t)] for t in texts), num_perm=128)]
rate = measured(sign, lambda array: array.to_pylist())
save(sign(asked.to_pylist()))
"""
GAOYA = """
from gaoya.minhash import MinHashStringIndex
def sign(texts):
    index = MinHashStringIndex(32, 0.0, 18, 7, None, "word", True, (5, 5), "smallvec")
    index.par_bulk_insert_docs(list(range(len(texts))), texts)
    return index
rate = measured(sign, lambda array: array.to_pylist())
given = asked.to_pylist()
index = sign(given)
pairs = sorted({(min(a, b), max(a, b)) for a, text in enumerate(given) for b in index.query(text) if a != b})
save(pairs)
"""
TAIL = '\nprint(json.dumps({"rate": rate}))\n'
PEERS: dict[str, tuple[str, str, int]] = {
    "daft murmurhash3": ("daft", DAFT.replace("FUNCTION", "'murmurhash3'"), 40_000_000),
    "daft xxhash64": ("daft", DAFT.replace("FUNCTION", "'xxhash64'"), 40_000_000),
    "rensa R": ("rensa", SPLIT + RENSA, 15_000_000),
    "rensa C": ("rensa", SPLIT + RENSA_C, 15_000_000),
    "gaoya": ("gaoya", GAOYA, 15_000_000),
    "datasketch": ("datasketch", SPLIT + DATASKETCH, 3_000_000),
}


def inputs() -> tuple[Path, Path, list[bytes], int]:
    """(pool, planted texts, these texts, number of planted pairs): left sides, then right ones."""
    texts = pa.concat_arrays(
        [pq.read_table(path, columns=["text"])["text"].cast(pa.large_string()).combine_chunks() for path in sources()]
    )
    texts = texts.take(pa.array(np.random.default_rng(0).permutation(len(texts))))
    sizes = np.array([len(text) for text in texts.cast(pa.large_binary()).to_pylist()])
    last = int(np.searchsorted(np.cumsum(sizes), 60_000_000)) + 1
    pool, planted = scratch() / "minhash-pool.parquet", scratch() / "minhash-planted.parquet"
    pq.write_table(pa.table({"text": texts.slice(0, last), "size": sizes[:last]}), pool)
    # words alone, separated by one blank each: every program then has the same n-grams
    plain = [" ".join(re.findall(r"[a-z]+", text.lower())) for text in texts.slice(0, 60_000).to_pylist()]
    long = [text.encode() for text in plain if len(text) > 600]
    pairs = [pair for at in range(4) for pair in planted_pairs(long[at * 1_200 : (at + 1) * 1_200], N, at)]
    both = [left for left, _ in pairs] + [right for _, right in pairs]
    pq.write_table(pa.table({"text": pa.array([text.decode() for text in both], pa.large_string())}), planted)
    return pool, planted, both, len(pairs)


def candidates(found: Any) -> set[tuple[int, int]]:
    """Pairs of texts that agree in a band; what is no matrix of signatures holds the pairs themselves."""
    if found.shape[1] == 2:
        return {(int(a), int(b)) for a, b in found}
    pairs = set()
    for band in range(BANDS):
        groups = defaultdict(list)
        for text, key in enumerate(map(bytes, np.ascontiguousarray(found[:, band * ROWS : (band + 1) * ROWS]))):
            groups[key].append(text)
        pairs |= {pair for group in groups.values() for pair in combinations(group, 2)}
    return pairs


def quality(found: Any, sets: list[Any], planted: int) -> dict[str, float]:
    """Recall of planted pairs of at least 0.8 (beside what the formula expects), and precision at 0.5."""
    pairs = candidates(found)
    exact = np.array([jaccard(sets[at], sets[planted + at]) for at in range(planted)])
    similar = np.flatnonzero(exact >= 0.8)
    hit = np.array([(int(at), int(at) + planted) in pairs for at in similar])
    good = sum(jaccard(sets[a], sets[b]) >= 0.5 for a, b in pairs)
    return {
        "pairs_of_at_least_0.8": len(similar),
        "recall": float(hit.mean()),
        "recall_expected": float(detection(exact[similar], BANDS, ROWS).mean()),
        "candidate_pairs": len(pairs),
        "precision": good / max(len(pairs), 1),
    }


def main() -> None:
    """All figures."""
    pool, planted, texts, pairs = inputs()
    sets = MinHash(N).shingles(as_batch(texts))
    peers = os.environ.get("CUVEE_BENCH_PEERS")
    files = {"cuvee": scratch() / "minhash-cuvee.npy"}
    commands: dict[str, Sequence[str]] = {
        "cuvee": [sys.executable, "-c", HEAD + CUVEE + TAIL, str(pool), str(planted), str(files["cuvee"]), "60000000"]
    }
    versions = {}
    for name, (package, code, limit) in PEERS.items():
        asked = f"import importlib.metadata as m; print(m.version('{package}'))"
        try:
            versions[package] = run([peers or sys.executable, "-c", asked]).output.strip()
        except RuntimeError:
            print(f"{package} is not installed: left out", file=sys.stderr)
            continue
        files[name] = scratch() / f"minhash-{name.replace(' ', '-')}.npy"
        script = HEAD + code + TAIL
        commands[name] = [peers or sys.executable, "-c", script, str(pool), str(planted), str(files[name]), str(limit)]
    runs = in_turn(commands, ROUNDS)
    rates = {name: middle([json.loads(one.output)["rate"] for one in found]) for name, found in runs.items()}
    others = {name: rate for name, rate in rates.items() if name != "cuvee"}
    best = max(others, key=lambda name: others[name]) if others else ""
    ratios = [
        json.loads(a.output)["rate"] / json.loads(b.output)["rate"]
        for a, b in zip(runs["cuvee"], runs.get(best, runs["cuvee"]), strict=True)
    ]
    record(
        "near_duplicates",
        {
            "permutations": PERMUTATIONS,
            "bands": BANDS,
            "rows": ROWS,
            "mb_per_cpu_second": rates,
            "versions": versions,
            "fastest_peer": best,
            "ratio": middle(ratios),
            "quality": {name: quality(np.load(path), sets, pairs) for name, path in files.items()},
            "cuvee_by_seed": [
                quality(MinHash(N, permutations=PERMUTATIONS, seed=seed).signatures(as_batch(texts)), sets, pairs)
                for seed in range(1, SEEDS + 1)
            ],
        },
    )
