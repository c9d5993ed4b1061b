"""MinHash: the kernel against its formula, the curve against planted pairs, other programs' signatures to the bit."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee.engine.executor import Watch
from cuvee.engine.group import Clusters, EqualKeys, Share
from cuvee.engine.store import Store
from cuvee.errors import UsageError
from cuvee.examples import as_batch
from cuvee.feature import minhash_kernels as kernels
from cuvee.feature.minhash import (
    PRESETS,
    MinHash,
    covering_bands,
    detection,
    estimated,
    factors,
    jaccard,
    optimal_bands,
)
from cuvee.feature.minhash_compatible import CompatibleMinHash, normalised
from cuvee.feature.xxhash import xxhash

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "minhash_lsh"


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def batch_of(*texts: str) -> Any:
    return as_batch([text.encode() for text in texts])


def units(text: str, unit: str) -> list[str]:
    """The oracle's idea of what n-grams are made of."""
    low = text.lower()
    if unit == "word":
        return re.findall(r"\w+", low)
    if unit == "token":
        return re.findall(r"\w+|[^\w\s]+", low)
    if unit == "blank":
        return low.split()
    return list(re.sub(r"\s+", " ", low))


def grams(text: str, unit: str, n: int) -> set[tuple[str, ...]]:
    parts = units(text, unit)
    return {tuple(parts[i : i + n]) for i in range(len(parts) - n + 1)}


SOME = [
    "The quick brown fox jumps over the lazy dog, twice; and the quick brown fox jumps over the lazy dog again!",
    "",
    "two words",
    "Ein Grüßchen aus Österreich: der Fluß führt   Hochwasser.\n\nЁлка и Ёж — друзья. 東京 は 大きい。",
    "a " * 5_000,
    " ".join(f"w{i % 997}" for i in range(20_000)),
    "x" * 9_000,
    "don't stop -- 1,234.5 € \u2028 naïve\tcafé",
]


@pytest.mark.parametrize("unit", ["word", "token", "blank", "char"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_the_n_grams_are_those_of_the_definition(unit: Any, n: int) -> None:
    """As many distinct hashes as distinct n-grams, and equal sets for texts that share them."""
    found = MinHash(n, unit, 1, 1, 1).shingles(batch_of(*SOME))
    for text, hashes in zip(SOME, found, strict=True):
        assert len(hashes) == len(grams(text, unit, n)), (text[:30], unit)
    left, right = SOME[0], SOME[0].replace("lazy", "sleepy", 1)
    a, b = MinHash(n, unit, 1, 1, 1).shingles(batch_of(left, right))
    one, two = grams(left, unit, n), grams(right, unit, n)
    assert jaccard(a, b) == len(one & two) / len(one | two)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name not in ("refinedweb", "lee")])
def test_signatures_are_minima_of_the_formula(preset: str) -> None:
    minhash = PRESETS[preset].minhash
    batch = batch_of(*SOME)
    signatures, factor = minhash.signatures(batch), factors(minhash.permutations, minhash.seed)
    for least, hashes in zip(signatures, minhash.shingles(batch), strict=True):
        if not len(hashes):
            assert (least == kernels.NONE).all()
            continue
        low, high = hashes.astype(np.uint32), (hashes >> np.uint64(32)).astype(np.uint32)
        want = [(a * low + high).min() for a in factor[: minhash.permutations]]
        assert least.tolist() == want


def test_band_keys_are_equal_exactly_where_the_rows_are() -> None:
    minhash = MinHash(2, "word", 8, 3, 27)
    draw = np.random.default_rng(4)
    texts = [" ".join(draw.choice(["a", "b", "c", "d"], 6)) for _ in range(300)]
    block, least = minhash.apply(batch_of(*texts)), minhash.signatures(batch_of(*texts))
    for band, name in enumerate(minhash.names):
        rows = least[:, 3 * band : 3 * band + 3]
        same_rows = (rows[:, None] == rows[None]).all(2)
        same_keys = block[name][:, None] == block[name][None]
        assert (same_rows == same_keys).all()
    assert set(block) == {"shingles", *minhash.names, *minhash.checks}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=12), st.data())
def test_a_row_depends_on_its_text_alone(texts: list[str], data: st.DataObject) -> None:
    minhash = MinHash(2, data.draw(st.sampled_from(["word", "token", "blank", "char"])), 4, 2, 8, digits=True)
    whole = minhash.apply(batch_of(*texts))
    cut = data.draw(st.integers(0, len(texts)))
    parts = [minhash.apply(batch_of(*some)) for some in (texts[:cut], texts[cut:]) if some]
    for name, values in whole.items():
        assert values.tolist() == np.concatenate([part[name] for part in parts]).tolist()


def test_what_normalisation_folds() -> None:
    def same(left: str, right: str, **options: Any) -> bool:
        found = MinHash(n=3, **options).shingles(batch_of(left, right))
        return len(found[0]) > 0 and found[0].tolist() == found[1].tolist()

    assert same("Straße NACH  Rom, heute", "straße nach rom heute")
    assert not same("a b, c d", "a b c d", unit="token")
    assert same("on 12 May 2021 at 9", "on 3 May 1999 at 17", digits=True)
    assert not same("on 12 May 2021 at 9", "on 3 May 1999 at 17")
    assert same("٣٤ rows of ٥", "7 rows of 12", digits=True), "digits of every script"
    assert same("a,b -- c\n\n d", "a b c d", unit="char", signs=True)


def test_padding_of_the_signature_changes_nothing() -> None:
    """The first permutations are the same however many follow."""
    short, long = MinHash(5, "word", 4, 4, 16), MinHash(5, "word", 4, 4, 8192)
    assert (long.signatures(batch_of(*SOME))[:, :16] == short.signatures(batch_of(*SOME))).all()


def planted(seed: int, pairs: int, words: int) -> list[tuple[str, str]]:
    """Random texts and copies in which some words are replaced, at rates that spread their similarity over 0..1."""
    draw, found = np.random.default_rng(seed), []
    for at in range(pairs):
        text = draw.integers(0, 1 << 40, words)
        other = text.copy()
        changed = draw.random(words) < 0.12 * (at + 1) / pairs
        other[changed] = draw.integers(1 << 40, 1 << 41, int(changed.sum()))
        found.append((" ".join(f"w{x:x}" for x in text), " ".join(f"w{x:x}" for x in other)))
    return found


@pytest.mark.parametrize(("bands", "rows", "permutations"), [(14, 8, 112), (18, 7, 128), (9, 13, 128), (25, 5, 128)])
def test_recall_follows_the_curve(bands: int, rows: int, permutations: int) -> None:
    """In every bin of similarity the planted pairs found lie within 3.5 standard deviations of the curve's sum."""
    minhash = MinHash(5, "word", bands, rows, permutations)
    pairs = planted(bands, 3_000, 120)
    left, right = (batch_of(*side) for side in zip(*pairs, strict=True))
    keys = [[part.apply(side)[name] for name in minhash.names] for part, side in ((minhash, left), (minhash, right))]
    hit = (np.array(keys[0]) == np.array(keys[1])).any(0)
    sets = zip(minhash.shingles(left), minhash.shingles(right), strict=True)
    similarity = np.array([jaccard(a, b) for a, b in sets])
    chance = detection(similarity, bands, rows)
    for low in np.arange(0, 1, 0.1):
        some = (similarity >= low) & (similarity < low + 0.1)
        if np.count_nonzero(some) >= 30:
            expected, spread = chance[some].sum(), np.sqrt((chance * (1 - chance))[some].sum())
            assert abs(hit[some].sum() - expected) <= 3.5 * spread + 0.5, (low, hit[some].sum(), expected)
    assert np.count_nonzero((similarity > 0.6) & (similarity < 0.9)) > 400, "the steep part is tried"


def test_estimates_are_unbiased_with_the_known_spread() -> None:
    minhash = MinHash(5, "word", 18, 7, 128)
    pairs = planted(7, 2_000, 150)
    left, right = (batch_of(*side) for side in zip(*pairs, strict=True))
    exact = np.array([jaccard(a, b) for a, b in zip(minhash.shingles(left), minhash.shingles(right), strict=True)])
    a, b = minhash.apply(left), minhash.apply(right)
    checks = [np.column_stack([block[name] for name in minhash.checks]) for block in (a, b)]
    guess = np.array([estimated(x, y) for x, y in zip(*checks, strict=True)])
    some = (exact > 0.05) & (exact < 0.95)
    z = (guess - exact)[some] / np.sqrt(exact * (1 - exact) / 128)[some]
    assert abs(z.mean()) < 0.1 and 0.9 < z.std() < 1.15


def test_permutations_do_not_move_together() -> None:
    """For unrelated pairs at one similarity, whether one position agrees says nothing about another."""
    minhash = MinHash(5, "word", 16, 8, 128)
    draw = np.random.default_rng(1)
    agree = []
    for _ in range(1_500):
        shared, own = draw.integers(0, 1 << 40, 60), draw.integers(0, 1 << 40, (2, 24))
        texts = [" ".join(f"{x:x}" for x in np.concatenate([shared, part])) for part in own]
        a, b = minhash.signatures(batch_of(*texts))
        agree.append(a == b)
    seen = np.array(agree, float)
    correlation = np.corrcoef(seen.T)[np.triu_indices(128, 1)]
    assert abs(correlation.mean()) < 0.003
    assert np.abs(correlation).max() < 6 / np.sqrt(len(seen))


def test_bands_are_the_published_optimum() -> None:
    for one in golden("datasketch")["optimal_bands_rows"]:
        assert optimal_bands(one["threshold"], one["num_perm"]) == (one["bands"], one["rows"])
    bands, rows = covering_bands(0.8, 128)
    assert detection(0.8, bands, rows) >= 0.95 > detection(0.8, 128 // (rows + 1), rows + 1)


def test_the_published_curve() -> None:
    assert np.round(detection(np.array([0.5, 0.6, 0.7, 0.75, 0.8, 0.85]), 14, 8), 3).tolist() == [
        0.053,
        0.211,
        0.565,
        0.772,
        0.924,
        0.988,
    ]
    assert np.round(detection(np.array([0.8, 0.85, 0.9]), 9, 13), 3).tolist() == [0.399, 0.686, 0.929]
    assert float(detection(0.0, 5, 5)) == 0.0 and float(detection(1.0, 5, 5)) == 1.0


@pytest.mark.parametrize("number", [0, 1])
def test_datatrove_to_the_bit(number: int) -> None:
    found = golden(f"datatrove_{number}")
    how = found["config"]
    minhash = CompatibleMinHash(
        "datatrove", how["n_grams"], how["num_buckets"], how["hashes_per_bucket"], how["precision"], how["seed"]
    )
    assert [normalised(text) for text in found["docs"]] == found["normalised"]
    shingles = [minhash.grams(text) for text in found["docs"]]
    assert [len(one) for one in shingles] == found["n_shingles"]
    assert [[str(x) for x in one[:3]] for one in shingles] == found["first_shingles"]
    for one, want in zip(shingles, found["signature_docs_0_to_3"], strict=False):
        if len(one):
            grid = minhash.signature(one).reshape(minhash.bands, minhash.rows)
            assert [[str(x) for x in row] for row in grid] == want
        else:
            assert want is None
    block = minhash.apply(batch_of(*found["docs"]))
    pairs = set()
    for name in sorted(block.keys() - {"shingles"}):
        rows = [row for row in range(len(shingles)) if block["shingles"][row]]
        rows.sort(key=lambda row: (minhash_order(minhash, shingles[row], name), row))
        pairs |= {(a, b) for a, b in itertools.pairwise(rows) if block[name][a] == block[name][b]}
    assert pairs == {tuple(pair) for pair in found["candidate_pairs"]}


@pytest.mark.parametrize("number", [0, 1])
def test_clusters_of_datatrove(number: int, tmp_path: Path) -> None:
    """From texts through its signatures and our shuffle to its clusters; it names them otherwise."""
    found = golden(f"datatrove_{number}")
    how = found["config"]
    minhash = CompatibleMinHash(
        "datatrove", how["n_grams"], how["num_buckets"], how["hashes_per_bucket"], how["precision"], how["seed"]
    )
    batch = batch_of(*found["docs"])
    store, rows = Store(tmp_path), np.arange(len(batch))
    facts = {"row": rows, "domain": np.zeros(len(rows), np.int32)}
    store.put_table("f" * 40, [pa.RecordBatch.from_pydict(facts)], {"domains": ["(all)"]})
    block = minhash.apply(batch)
    store.put_table("a" * 40, [pa.RecordBatch.from_pydict(block)])
    work, clusters = EqualKeys(store, ["f" * 40], ["a" * 40], "shingles"), Clusters()
    for name in block.keys() - {"shingles"}:
        clusters.add(*work(Share(name, 0, 1), Watch()))
    row, root = clusters.members()
    ours = {frozenset(row[root == one].tolist()) for one in set(root.tolist())}
    named: dict[int, set[int]] = {}
    for document, cluster in found["cluster_of"]:
        named.setdefault(cluster, set()).add(document)
    assert ours == {frozenset(members) for members in named.values() if len(members) > 1}
    assert len(rows) - len(found["removed"]) == len(rows) - len(row) + len(ours)


def minhash_order(minhash: CompatibleMinHash, shingles: Any, name: str) -> list[int]:
    """The minima of a band, by which datatrove sorts."""
    return minhash.signature(shingles).reshape(minhash.bands, minhash.rows)[int(name.split("_")[1])].tolist()


def test_datasketch_to_the_bit() -> None:
    found = golden("datasketch")
    for case in found["cases"]:
        scheme: Any = {"legacy": "datasketch-legacy", "affine32": "datasketch"}[case["scheme"]]
        minhash = CompatibleMinHash(scheme, found["width"], 4, 4, 32, case["seed"])
        shingles = [minhash.grams(text) for text in found["docs"]]
        assert [len(one) for one in shingles] == found["feature_counts"]
        assert [minhash.signature(one).tolist() for one in shingles] == case["hashvalues"]


def test_xxhash_of_known_texts() -> None:
    """Values printed by the reference implementation (xxhsum -H64, -H32) for every code path."""
    texts = [b"", b"a", b"abc", b"Nobody inspects the spammish repetition"]
    known = [0xEF46DB3751D8E999, 0xD24EC4F1A98C6E5B, 0x44BC2CF5AD770999, 0xFBCEA83C8A378BF1]
    assert xxhash(texts).tolist() == known
    assert xxhash(texts, 32).tolist() == [0x02CC5D05, 0x550D7456, 0x32D153FF, 0xE2293B2F]
    assert len({*xxhash([bytes(n) for n in range(80)]).tolist()}) == 80


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 0},
        {"n": 65},
        {"unit": "line"},
        {"bands": 0},
        {"rows": -1},
        {"bands": 40, "rows": 4},
        {"permutations": 1 << 15},
    ],
)
def test_wrong_parameters_are_refused_in_words(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^[A-Z0-9n].{20,}\.$"):
        MinHash(**wrong)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_a_threshold_is_a_similarity(threshold: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        optimal_bands(threshold, 128)
