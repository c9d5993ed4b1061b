"""Order, repeats, shards, and what is read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee import quantities
from cuvee.engine.draw import bits
from cuvee.engine.files import file_digest
from cuvee.engine.store import Store
from cuvee.errors import DataError, ResourceError, UsageError
from cuvee.feed import order
from cuvee.feed.write import write_selection
from cuvee.layout import sealed
from cuvee.source.base import Spec

from .helpers import TEXTS, Double, all_of, contents, make_selection, opened, read_texts, write_jsonl

FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma")


def test_unneeded_files_may_be_gone(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "a"}])
    write_jsonl(tmp_path / "b.jsonl", [{"text": "b"}])
    sources = opened(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    kept = make_selection(tmp_path / "kept", sources, [(1, 0, 1)])
    (tmp_path / "a.jsonl").unlink()
    write_selection(kept, tmp_path / "out", format="jsonl")
    assert read_texts(tmp_path / "out") == ["b"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["pool", "shuffled"])
def test_repeats_shards_manifest_and_same_bytes(kept: Path, tmp_path: Path, form: Any, kind: Any) -> None:
    wanted = [TEXTS[k] for k in range(0, 300, 2) for _ in range(1 + k % 3)]
    once = write_selection(kept, tmp_path / "a", format=form, order=kind, seed=5, shard_bytes=40_000)
    write_selection(kept, tmp_path / "b", format=form, order=kind, seed=5, shard_bytes=40_000)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    found = read_texts(tmp_path / "a")
    assert found == wanted if kind == "pool" else (found != wanted and Counter(found) == Counter(wanted))
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert len(manifest["shards"]) > 1 or form == "jsonl.zst"  # which holds back a block of 128 KB
    for shard, path in zip(manifest["shards"], once.files, strict=True):
        body = path.read_bytes()
        assert path == tmp_path / "a" / shard["name"]
        assert (shard["bytes"], shard["blake2b"]) == (len(body), hashlib.blake2b(body, digest_size=20).hexdigest())
    assert sum(shard["rows"] for shard in manifest["shards"]) == len(wanted) == once.rows == manifest["rows"]
    assert once.tokens == 3 * len(wanted) and once.bytes == sum(p.stat().st_size for p in once.files)
    assert manifest["selection_digest"] == json.loads((kept / "plan.json").read_text())["selection_digest"]


def test_shuffle_depends_on_seed_alone(kept: Path, pool: Path, tmp_path: Path) -> None:
    def shuffled(folder: Path, seed: int, **more: Any) -> list[str]:
        write_selection(folder, tmp_path / "out", format="jsonl", order="shuffled", seed=seed, **more)
        return read_texts(tmp_path / "out")

    lines = pool.read_bytes().splitlines(keepends=True)
    (tmp_path / "1.jsonl").write_bytes(b"".join(lines[:100]))
    (tmp_path / "2.jsonl").write_bytes(b"".join(lines[100:]))
    halves = opened(tmp_path / "1.jsonl", tmp_path / "2.jsonl")
    chosen = [(int(k >= 100), k - 100 * (k >= 100), 1 + k % 3) for k in range(0, 300, 2)]
    apart = make_selection(tmp_path / "apart", halves, chosen)
    assert shuffled(kept, 1) == shuffled(apart, 1)
    assert shuffled(kept, 1) != shuffled(kept, 2)
    with pytest.raises(ResourceError, match="limit of 1,000"):
        shuffled(kept, 1, shuffle_bytes=1000)
    with pytest.raises(ResourceError, match=r"limit of 2,000.*pool order"):
        shuffled(kept, 1, shuffle_bytes=2000)


def test_shuffled_dictionaries_and_nested_columns(tmp_path: Path) -> None:
    coded = pa.dictionary(pa.int32(), pa.string())
    batches = [
        pa.record_batch({"text": [f"{k}"], "d": pa.array([f"d{k}"]).cast(coded), "n": [{"a": [k]}]}) for k in range(40)
    ]
    source = Double("x", batches)
    kept = make_selection(tmp_path / "kept", [source], all_of([source], 2))
    result = write_selection(kept, tmp_path / "out", order="shuffled", opener=lambda path, form: source)
    rows = [row for path in result.files for row in pq.read_table(path).to_pylist()]
    assert sorted(int(row["text"]) for row in rows) == sorted([*range(40), *range(40)])
    assert all(row["d"] == f"d{row['text']}" and row["n"] == {"a": [int(row["text"])]} for row in rows)


def test_only_segments_with_chosen_rows_are_read(tmp_path: Path) -> None:
    batches = [pa.record_batch({"text": [f"{k}-{j}" for j in range(10)]}) for k in range(20)]
    source = Double("x", batches)
    chosen = [(0, 3, 1), (0, 19, 1), (0, 20, 1), (0, 150, 1), (0, 155, 2), (0, 159, 1)]
    kept = make_selection(tmp_path / "kept", [source], chosen)
    result = write_selection(kept, tmp_path / "out", format="jsonl", opener=lambda path, form: source)
    assert source.fetched == [0, 1, 2, 15] and source.read_from == [0, 15]
    texts = [json.loads(line)["text"] for line in result.files[0].read_text().splitlines()]
    assert texts == ["0-3", "1-9", "2-0", "15-0", "15-5", "15-5", "15-9"]


def test_random_subsets_of_many_files_and_row_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sources, paths = [], []
    for number, rows in enumerate([1, 700, 33, 5000]):
        path = tmp_path / f"{number}.{'parquet' if number % 2 else 'jsonl'}"
        texts = [f"{number}:{row}" for row in range(rows)]
        if number % 2:
            pq.write_table(pa.table({"text": texts}), path, row_group_size=97)
        else:
            write_jsonl(path, [{"text": text} for text in texts])
        paths.append(path)
    sources = opened(*paths)
    for share in (0.002, 0.3, 0.99):
        chosen = [(n, r, int(rng.integers(1, 4))) for n, r, _ in all_of(sources) if rng.random() < share]
        kept = make_selection(tmp_path / "kept", sources, chosen)
        for form in ("jsonl", "parquet"):
            write_selection(kept, tmp_path / form, format=form, shard_bytes=4000)  # type: ignore[arg-type]
            wanted = [f"{n}:{r}" for n, r, w in chosen for _ in range(w)]
            assert read_texts(tmp_path / form) == wanted


def test_selection_in_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvee.feed.selection.BATCH_ROWS", 7)
    sources = [Double("x", [pa.record_batch({"text": [f"{k}-{j}" for j in range(10)]}) for k in range(9)])]
    kept = make_selection(tmp_path / "kept", sources, [(0, k, 1) for k in range(0, 90, 2)])
    write_selection(kept, tmp_path / "out", format="jsonl", opener=lambda path, form: sources[0])
    assert read_texts(tmp_path / "out") == [f"{k // 10}-{k % 10}" for k in range(0, 90, 2)]


def test_large_weight_streams(tmp_path: Path) -> None:
    source = Double("x", [pa.record_batch({"text": ["a" * 1000, "b"]})])
    kept = make_selection(tmp_path / "kept", [source], [(0, 0, 80_000), (0, 1, 1)])
    result = write_selection(kept, tmp_path / "out", opener=lambda path, form: source)
    table = pq.read_table(result.files[0])
    assert table.num_rows == 80_001 and pq.ParquetFile(result.files[0]).num_row_groups > 1


def test_index_comes_from_the_cache(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "cache")
    write_selection(kept, tmp_path / "a", format="jsonl", store=store)
    monkeypatch.setattr("cuvee.source.jsonl.JsonlSource.index", None)
    write_selection(kept, tmp_path / "b", format="jsonl", store=store)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_pools_without_text(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(12, dtype=np.float32).reshape(4, 3))
    sources = opened(tmp_path / "x.npy")
    kept = make_selection(tmp_path / "kept", sources, [(0, 1, 2)], Spec(text=None))
    result = write_selection(kept, tmp_path / "out", format="parquet")
    (column,) = pq.read_table(result.files[0]).columns
    assert column.to_pylist() == [[3.0, 4.0, 5.0]] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_output(tmp_path: Path) -> None:
    texts = [os.urandom(5000).hex() for _ in range(2000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "p.parquet", compression="none")
    sources = opened(tmp_path / "p.parquet")
    peaks = []
    for weight in (1, 16):
        make_selection(tmp_path / "kept", sources, all_of(sources, weight))
        script = (
            "import sys, resource; from pathlib import Path; from cuvee.feed.write import write_selection;"
            "write_selection(Path(sys.argv[1]), Path(sys.argv[2]), shard_bytes=64 << 20);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        asked = [sys.executable, "-c", script, str(tmp_path / "kept"), str(tmp_path / "out")]
        peaks.append(int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout))
    assert peaks[1] < peaks[0] + 120_000, peaks


@pytest.mark.parametrize("among", [2, 3, 7])
def test_parts_are_the_whole(kept: Path, tmp_path: Path, among: int) -> None:
    write_selection(kept, tmp_path / "whole", format="jsonl")
    lines = []
    for number in range(1, among + 1):
        result = write_selection(kept, tmp_path / f"{number}", format="jsonl", part=(number, among))
        lines += [path.read_bytes() for path in result.files]
        assert json.loads((tmp_path / f"{number}" / "manifest.json").read_text())["part"] == [number, among]
    assert b"".join(lines) == b"".join(path.read_bytes() for path in sorted((tmp_path / "whole").glob("part-*")))


def test_a_part_does_not_replace_another(kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for shuffle in ({}, {"order": "shuffled", "seed": 3}):
        write_selection(kept, out, format="jsonl", part=(1, 3), **shuffle)  # type: ignore[arg-type]
        before = contents(out)
        with pytest.raises(UsageError, match=r"holds part 1 of 3 of this selection, .* a folder for each part"):
            write_selection(kept, out, format="jsonl", part=(2, 3), **shuffle)  # type: ignore[arg-type]
        assert contents(out) == before
        write_selection(kept, out, format="jsonl", part=(1, 3), shard_bytes=9_000)  # the same part: made again
        write_selection(kept, out, format="jsonl")  # the whole holds it


def test_parts_that_are_not_there(kept: Path, tmp_path: Path) -> None:
    for part in ((0, 2), (3, 2)):
        with pytest.raises(UsageError, match=rf"no part {part[0]} of 2\. Name one from 1/2 on\."):
            write_selection(kept, tmp_path / "out", part=part)
    with pytest.raises(DataError, match=r"Part 1 of 100000 .* has no rows\. Name fewer parts\."):
        write_selection(kept, tmp_path / "out", part=(1, 100_000))
    with pytest.raises(UsageError, match=r"'3' is not a part\. Write it like 3/16"):
        quantities.part("3")


def test_a_shuffle_is_the_same_for_ever(kept: Path, tmp_path: Path) -> None:
    """By hand: a hash of seed, key and copy number; what an earlier cuvee wrote comes out again."""
    write_selection(kept, tmp_path / "out", format="jsonl", order="shuffled", seed=5)
    table = pq.read_table(kept / "selection.parquet").to_pylist()
    items = []
    for row in table:
        for copy in range(row["weight"]):
            salt = int(bits(5, "copy", np.array([copy], np.uint64))[0]) if copy else 0
            items.append((int(bits(5, "write order", np.array([row["key"] ^ salt], np.uint64))[0]), row["row"]))
    assert read_texts(tmp_path / "out") == [TEXTS[row] for _, row in sorted(items, key=lambda item: item[0])]


@pytest.mark.parametrize("among", [2, 5, 31])
def test_parts_of_a_shuffle_are_the_whole(
    kept: Path, tmp_path: Path, among: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One order of all documents, repeats included, cut into runs, none of which holds the others' rows."""
    monkeypatch.setattr("cuvee.feed.selection.BATCH_ROWS", 40)
    monkeypatch.setattr(order, "HASHED", 7)
    monkeypatch.setattr(order, "BINS", 8)
    monkeypatch.setattr(order, "BIN_SHIFT", np.uint64(61))
    whole = write_selection(kept, tmp_path / "whole", format="jsonl", order="shuffled", seed=3)
    found, sizes = [], []
    for number in range(1, among + 1):
        part = write_selection(
            kept, tmp_path / f"{number}", format="jsonl", order="shuffled", seed=3, part=(number, among)
        )
        found += read_texts(tmp_path / f"{number}")
        sizes.append(part.rows)
        assert json.loads((tmp_path / f"{number}" / "manifest.json").read_text())["part"] == [number, among]
    assert found == read_texts(tmp_path / "whole") and max(sizes) - min(sizes) <= 1 and sum(sizes) == whole.rows
    with pytest.raises(ResourceError, match="limit of 9,000"):
        write_selection(kept, tmp_path / "out", order="shuffled", seed=3, shuffle_bytes=9_000)
    write_selection(kept, tmp_path / "out", order="shuffled", seed=3, shuffle_bytes=9_000, part=(1, 31))


def test_equal_keys_stay_in_pool_order(tmp_path: Path) -> None:
    """Rows of one text have one key: their order does not depend on how many parts there are."""
    write_jsonl(tmp_path / "p.jsonl", [{"text": "same", "n": n} for n in range(50)])
    kept = make_selection(tmp_path / "kept", opened(tmp_path / "p.jsonl"), [(0, k, 2) for k in range(50)])
    table = pq.read_table(kept / "selection.parquet")
    one_key = pa.array(np.full(50, 7, np.uint64))
    table = table.set_column(table.schema.get_field_index("key"), table.schema.field("key"), one_key)
    pq.write_table(table, kept / "selection.parquet", write_page_checksum=True)
    content = json.loads((kept / "plan.json").read_text())
    content["selection_digest"] = file_digest(kept / "selection.parquet")
    (kept / "plan.json").write_text(json.dumps(sealed(content)))
    found = []
    for number in (1, 2, 3):
        result = write_selection(kept, tmp_path / f"{number}", format="jsonl", order="shuffled", part=(number, 3))
        found += [json.loads(line)["n"] for line in result.files[0].read_text().splitlines()]
    assert found == [*range(50), *range(50)]
