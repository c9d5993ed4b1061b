"""Folders that cuvee write made: the manifest tells damaged footers, missing files and those of another write."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.errors import DataError
from cuvee.feed.write import write_selection
from cuvee.source.base import Spec
from cuvee.source.discover import discover
from cuvee.source.files import File
from cuvee.source.parquet import FOOTER_READ, footer_digest

from ..feed.helpers import TEXTS, make_selection, opened, read_texts, write_jsonl


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """300 texts in several Parquet shards."""
    write_jsonl(tmp_path / "p.jsonl", [{"text": text} for text in TEXTS])
    kept = make_selection(tmp_path / "kept", opened(tmp_path / "p.jsonl"), [(0, k, 1) for k in range(300)])
    write_selection(kept, tmp_path / "train", shard_bytes=20_000)
    return tmp_path / "train"


def entry(output: Path, number: int = 0) -> dict[str, object]:
    shards: list[dict[str, object]] = json.loads((output / "manifest.json").read_text())["shards"]
    return shards[number]


def test_manifest_holds_the_footers_digest(output: Path) -> None:
    path = output / str(entry(output)["name"])
    with File.local(path).open() as file:
        assert entry(output)["footer"] == footer_digest(file)
    assert read_texts(output) == TEXTS


def test_every_bit_of_a_footer(output: Path) -> None:
    """One flipped bit anywhere in the footer is refused before the footer is parsed, however the file is named."""
    path = output / str(entry(output)["name"])
    sound = path.read_bytes()
    footer = int.from_bytes(sound[-8:-4], "little") + 8
    chance = random.Random(1)
    for _ in range(300):
        hurt = bytearray(sound)
        hurt[-1 - chance.randrange(footer)] ^= 1 << chance.randrange(8)
        path.write_bytes(hurt)
        for named in (output, path, f"{output}/*.parquet"):
            source = discover([named]).sources[0]
            with pytest.raises(DataError, match=rf"{path.name}: its footer is not the one that cuvee wrote"):
                source.fields()
            with pytest.raises(DataError, match="its footer is not the one"):
                source.index()
    path.write_bytes(sound)
    assert read_texts(output) == TEXTS


def test_a_footer_larger_than_one_read(tmp_path: Path) -> None:
    """Many columns: the whole footer enters the digest."""
    table = pa.table({f"a rather long name of a column {k}": [k] for k in range(3000)})
    pq.write_table(table, tmp_path / "wide.parquet")
    body = (tmp_path / "wide.parquet").read_bytes()
    length = int.from_bytes(body[-8:-4], "little") + 8
    assert length > 2 * FOOTER_READ

    def digest(content: bytes) -> str:
        return footer_digest(pa.BufferReader(content))

    right = digest(body)
    for at in (length, length - 1, length // 2, 9, 8, 1):
        hurt = bytearray(body)
        hurt[-at] ^= 1
        assert digest(bytes(hurt)) != right
    hurt = bytearray(body)
    hurt[-length - 1] ^= 1  # a page, which has a checksum of its own
    assert digest(bytes(hurt)) == right


@pytest.mark.parametrize("body", [b"", b"P", b"PAR1", b"\xff" * 8, b"\xff" * 100, b"x" * 90 + b"\xff\xff\xff\x7fPAR1"])
def test_what_has_no_footer_has_a_digest(body: bytes) -> None:
    assert len(footer_digest(pa.BufferReader(body))) == 40


def test_missing_and_cut_shards(output: Path) -> None:
    path = output / str(entry(output, 1)["name"])
    sound = path.read_bytes()
    path.write_bytes(sound[:-1])
    for named in (output, output.parent / "**" / "*.parquet", path):
        with pytest.raises(DataError, match=rf"{path.name}: has [\d,]+ bytes, but [\d,]+ by its manifest\.json"):
            discover([str(named)])
    path.unlink()
    with pytest.raises(DataError, match=rf"manifest\.json: lists {path.name}, which is not there"):
        discover([output])
    (output / "manifest.json").unlink()
    assert 0 < len(discover([output]).sources) < len(TEXTS)


def test_other_files_beside_a_manifest(output: Path) -> None:
    """What looks like a shard of another write is passed over, with a reason; what a user added is read."""
    write_jsonl(output / "mine.jsonl", [{"text": "mine"}])
    (output / "part-00007-01234567.jsonl").write_bytes(b'{"text": "of another write"}\n')
    found = discover([output])
    assert "mine.jsonl" in [Path(source.path).name for source in found.sources]
    reasons = {Path(path).name: reason for path, reason in found.skipped}
    assert reasons["part-00007-01234567.jsonl"] == "a shard that is not in its manifest.json"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"kind": "other", "shards": []}',
        b'{"kind": "cuvee documents"}',
        b"\xff\xfe",
        b"[" * 9999,
        b'{"kind": "cuvee documents", "shards": 5}',
        b'{"kind": "cuvee documents", "shards": [{"name": "a"}]}',
    ],
)
def test_foreign_manifests_say_nothing(tmp_path: Path, content: bytes) -> None:
    write_jsonl(tmp_path / "part-00000.jsonl", [{"text": "t"}])
    (tmp_path / "manifest.json").write_bytes(content)
    (source,) = discover([tmp_path]).sources
    assert discover([source.path]).sources[0].index().rows == 1


def test_dolma_shards_know_their_manifest(tmp_path: Path) -> None:
    """The manifest stands one folder above."""
    write_jsonl(tmp_path / "p.jsonl", [{"text": text} for text in TEXTS])
    kept = make_selection(tmp_path / "kept", opened(tmp_path / "p.jsonl"), [(0, k, 1) for k in range(9)])
    write_selection(kept, tmp_path / "dolma", format="dolma")
    path = tmp_path / "dolma" / str(entry(tmp_path / "dolma")["name"])
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match=r"by its manifest\.json"):
        discover([path])


def test_manifests_without_footers_are_read(output: Path) -> None:
    """As earlier versions wrote them."""
    manifest = json.loads((output / "manifest.json").read_text())
    for shard in manifest["shards"]:
        del shard["footer"]
    (output / "manifest.json").write_text(json.dumps(manifest))
    assert read_texts(output) == TEXTS
    (source, *_) = discover([output]).sources
    assert next(source.read(source.index().segments[0], 0, Spec())).first_row == 0
