"""A write that was cut short goes on after its finished shards, to the same bytes."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.engine import files
from cuvee.engine.files import staging_of
from cuvee.engine.progress import Progress
from cuvee.errors import DataError, ResourceError, UsageError
from cuvee.feed import order, reach
from cuvee.feed.dolma import Dolma
from cuvee.feed.output import Staging
from cuvee.feed.shards import Entry
from cuvee.feed.write import write_selection

from .helpers import Double, Quick, all_of, contents, make_selection, opened, write_jsonl

FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma")


class Killed(BaseException):
    """No error that anything handles."""


class Deadly(Quick):
    """Dies at the k-th write, sync or rename, in the midst of a write; every later call fails, too."""

    def __init__(self, k: int) -> None:
        self.left, self.calls = k, 0

    def _count(self) -> None:
        self.calls += 1
        self.left -= 1
        if self.left <= 0:
            raise Killed

    def write(self, stream: IO[bytes], data: Any) -> None:
        try:
            self._count()
        except Killed:
            stream.write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
            raise
        super().write(stream, data)

    def sync(self, stream: IO[bytes]) -> None:
        self._count()
        super().sync(stream)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)


class Stops(Progress):
    """Ctrl-C at the k-th step."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.left = k

    def advance(self, count: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(order, "BLOCK_BYTES", 20_000)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A selection of lines and of Parquet rows with codes, lists and NaN, some of them several times."""
    chance = np.random.default_rng(1)
    texts = [chance.bytes(int(size)).hex() for size in chance.integers(10, 700, 900)]
    half = len(texts) // 2
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts[:half]])
    columns = {
        "text": pa.array(texts[half:]),
        "code": pa.array([f"c{k % 7}" for k in range(half)]).dictionary_encode(),
        "some": pa.array([list(range(k % 5)) for k in range(half)]),
        "real": pa.array([float("nan") if k % 9 == 0 else k / 3 for k in range(half)]),
    }
    pq.write_table(pa.table(columns), tmp_path / "b.parquet", row_group_size=97)
    sources = opened(tmp_path / "a.jsonl", tmp_path / "b.parquet")
    chosen = [(n, r, int(chance.integers(1, 4))) for n, r, _ in all_of(sources) if chance.random() < 0.8]
    return make_selection(tmp_path / "kept", sources, chosen)


def marks(folder: Path) -> dict[str, tuple[int, int]]:
    """Of each shard: that it is the same file, and when it was written."""
    paths = [path for path in folder.rglob("part-*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def listed(output: Path) -> list[str]:
    """The shards that a run which was cut short has finished."""
    journal = staging_of(output) / "progress.jsonl"
    if not journal.exists():
        return []
    found = []
    for line in journal.read_bytes().split(b"\n")[:-1]:
        found.append(str(json.loads(line)["shard"]["name"]))
    return found


def cut_short(kept: Path, output: Path, shards: int, **more: Any) -> None:
    """Write until so many shards are finished."""

    def record(self: Staging, entry: Entry, counts: list[int]) -> None:
        right(self, entry, counts)
        if self._count == shards:
            raise KeyboardInterrupt

    right = Staging.record
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Staging, "record", record)
        write_selection(kept, output, **more)
    assert len(listed(output)) == shards


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("how", ["pool", "shuffled"])
def test_killed_anywhere_it_ends_with_the_same_bytes(
    mixed: Path, tmp_path: Path, form: Any, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job: dict[str, Any] = {"format": form, "order": how, "seed": 3, "shard_bytes": 50_000}
    counter = Deadly(10**9)
    monkeypatch.setattr(files, "system", counter)
    write_selection(mixed, tmp_path / "right", **job)
    right = contents(tmp_path / "right")
    assert len(right) > 4
    out, chance, went_on = tmp_path / "out", random.Random(f"{form} {how}"), 0
    older = make_selection(tmp_path / "older", opened(tmp_path / "a.jsonl"), [(0, 0, 1)])
    for turn in range(8):
        monkeypatch.setattr(files, "system", Quick())
        if turn % 2:
            write_selection(older, out, format=form)
        earlier = contents(out)
        before = set(tmp_path.iterdir())
        while True:
            known = {name: mark for name, mark in marks(staging_of(out) / "out").items() if name in listed(out)}
            went_on += bool(known)
            try:
                if chance.random() < 0.3:
                    write_selection(mixed, out, **job, progress=Stops(chance.randint(1, 60)))
                else:
                    monkeypatch.setattr(files, "system", Deadly(chance.randint(1, counter.calls)))
                    write_selection(mixed, out, **job)
                break
            except (Killed, KeyboardInterrupt):
                monkeypatch.setattr(files, "system", Quick())
                aside = tmp_path / ".out.replaced"
                assert contents(aside if aside.exists() else out) == earlier
            standing = marks(staging_of(out) / "out")
            assert all(standing[name] == mark for name, mark in known.items()), "a finished shard is written once"
        assert contents(out) == right
        assert all(marks(out)[name] == mark for name, mark in known.items())
        assert set(tmp_path.iterdir()) - before <= {out}
        for path in sorted(out.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        out.rmdir()
    assert went_on > 4


def test_finished_rows_are_not_prepared_again(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only of the block where the finished shards end; what was counted before is in the notes all the same."""
    write_selection(mixed, tmp_path / "right", format="dolma", shard_bytes=50_000)
    assert len(json.loads((tmp_path / "right/manifest.json").read_text())["notes"]) == 2
    names = [shard["name"] for shard in json.loads((tmp_path / "right/manifest.json").read_text())["shards"]]
    prepared = 0

    def prepare(self: Dolma, block: reach.Block) -> Any:
        nonlocal prepared
        prepared += int(block.weight.sum())
        return right(self, block)

    right = Dolma.prepare
    monkeypatch.setattr(Dolma, "prepare", prepare)
    before = 10**9
    for shards in range(1, len(names) + 1):
        cut_short(mixed, tmp_path / "out", shards, format="dolma", shard_bytes=50_000)
        prepared = 0
        write_selection(mixed, tmp_path / "out", format="dolma", shard_bytes=50_000)
        assert contents(tmp_path / "out") == contents(tmp_path / "right")
        assert prepared <= before  # two shards may end in one block
        before = prepared
    assert prepared < 200, "of some 1,400"


def test_a_disk_that_is_full_keeps_the_shards(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Deadly):
        def _count(self) -> None:
            try:
                super()._count()
            except Killed:
                raise OSError(28, "No space left on device") from None

    write_selection(mixed, tmp_path / "right", format="jsonl", shard_bytes=50_000)
    monkeypatch.setattr(files, "system", Full(120))
    with pytest.raises(ResourceError, match=rf"No space left while writing {tmp_path}/out .*goes on"):
        write_selection(mixed, tmp_path / "out", format="jsonl", shard_bytes=50_000)
    finished = listed(tmp_path / "out")
    assert finished
    known = marks(staging_of(tmp_path / "out") / "out")
    monkeypatch.setattr(files, "system", Quick())
    write_selection(mixed, tmp_path / "out", format="jsonl", shard_bytes=50_000)
    assert contents(tmp_path / "out") == contents(tmp_path / "right")
    assert all(marks(tmp_path / "out")[name] == known[name] for name in finished)


@pytest.mark.parametrize("form", ["parquet", "dolma"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "line", "journal cut", "journal gone"])
def test_damage_is_noticed(mixed: Path, tmp_path: Path, form: Any, harm: str) -> None:
    job: dict[str, Any] = {"format": form, "shard_bytes": 50_000}
    write_selection(mixed, tmp_path / "right", **job)
    out = tmp_path / "out"
    cut_short(mixed, out, 4, **job)
    known, names = marks(staging_of(out) / "out"), listed(out)
    journal = staging_of(out) / "progress.jsonl"
    sound = 2
    if "journal" in harm or harm == "line":
        body = journal.read_bytes()
        lines = body.splitlines(keepends=True)
        if harm == "line":
            third = json.loads(lines[2])
            third["shard"]["rows"] += 1
            journal.write_bytes(b"".join([*lines[:2], json.dumps(third).encode() + b"\n", *lines[3:]]))
        elif harm == "journal cut":
            journal.write_bytes(body[:-7])
            sound = 3
        else:
            journal.unlink()
            sound = 0
    else:
        shard = staging_of(out) / "out" / names[2]
        hurt = bytearray(shard.read_bytes())
        hurt[len(hurt) // 2] ^= 4
        shard.write_bytes(hurt if harm == "flipped" else hurt[:-1])
        if harm == "gone":
            shard.unlink()
    (staging_of(out) / "out" / ".part-00009.1.00000000.tmp").write_text("what a kill left")
    write_selection(mixed, out, **job)
    assert contents(out) == contents(tmp_path / "right")
    again = marks(out)
    assert [again[name] == known[name] for name in names] == [k < sound for k in range(4)]
    assert not staging_of(out).exists()


def test_only_the_same_job_goes_on(mixed: Path, tmp_path: Path) -> None:
    job: dict[str, Any] = {"format": "dolma", "order": "shuffled", "seed": 1, "shard_bytes": 30_000}
    sources = opened(tmp_path / "a.jsonl", tmp_path / "b.parquet")
    other = make_selection(tmp_path / "other", sources, all_of(sources, 2))
    out = tmp_path / "out"
    for kept, more in (
        (other, {}),
        (mixed, {"seed": 2}),
        (mixed, {"order": "pool"}),
        (mixed, {"shard_bytes": 30_001}),
        (mixed, {"format": "jsonl.gz"}),
        (mixed, {"format": "parquet"}),
        (mixed, {"order": "pool", "seed": 2}),
    ):
        write_selection(kept, tmp_path / "right", **{**job, **more})
        cut_short(mixed, out, 3, **job)
        known = marks(staging_of(out) / "out")
        write_selection(kept, out, **{**job, **more})
        assert contents(out) == contents(tmp_path / "right")
        assert not set(known.values()) & set(marks(out).values())
        assert not staging_of(out).exists()
        assert sorted(path.name for path in out.iterdir()) == sorted(
            path.name for path in (tmp_path / "right").iterdir()
        )
        (out / "manifest.json").unlink()
        for path in sorted(out.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def test_other_code_does_not_go_on(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_short(mixed, tmp_path / "out", 3, shard_bytes=50_000)
    known = marks(staging_of(tmp_path / "out") / "out")
    monkeypatch.setattr("cuvee.feed.write.code_digest", lambda: "other")
    write_selection(mixed, tmp_path / "out", shard_bytes=50_000)
    assert not set(known.values()) & set(marks(tmp_path / "out").values())


def test_an_interrupt_while_the_shards_are_checked_keeps_them(mixed: Path, tmp_path: Path) -> None:
    cut_short(mixed, tmp_path / "out", 4, format="jsonl", shard_bytes=50_000)
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_selection(mixed, tmp_path / "out", format="jsonl", shard_bytes=50_000, progress=Stops(2))
    assert contents(tmp_path) == before


def test_nothing_is_left_when_no_shard_is_finished(mixed: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        write_selection(mixed, tmp_path / "out", progress=Stops(3))
    assert sorted(tmp_path.iterdir()) == before


def test_a_pool_that_changed_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    source = Double("x", [pa.record_batch({"text": ["a" * 9000, "b" * 9000]})])
    kept = make_selection(tmp_path / "kept", [source], all_of([source]))
    found = iter(["stamp", "other"])
    source.stamp = lambda: next(found)  # type: ignore[method-assign]
    with pytest.raises(DataError, match="x has changed"):
        write_selection(kept, tmp_path / "out", format="jsonl", shard_bytes=1, opener=lambda path, form: source)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_shards_that_end_elsewhere_are_removed(mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot come from the same job; should they, nothing wrong is written, and the run after that is right."""
    job: dict[str, Any] = {"format": "jsonl", "shard_bytes": 50_000}
    right = Staging.record
    with monkeypatch.context() as patch:
        patch.setattr(
            Staging, "record", lambda self, entry, counts: right(self, replace(entry, rows=entry.rows + 1), counts)
        )
        patch.setattr("cuvee.feed.write.check_unchanged", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_selection(mixed, tmp_path / "out", **job)
    journal = staging_of(tmp_path / "out") / "progress.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:1]))
    with pytest.raises(DataError, match="were removed"):
        write_selection(mixed, tmp_path / "out", **job)
    write_selection(mixed, tmp_path / "out", **job)
    write_selection(mixed, tmp_path / "right", **job)
    assert contents(tmp_path / "out") == contents(tmp_path / "right")


def test_what_is_read_is_not_removed_with_the_shards(mixed: Path, tmp_path: Path) -> None:
    cut_short(mixed, tmp_path / "out", 3, format="jsonl", shard_bytes=50_000)
    (shard, *_) = opened(staging_of(tmp_path / "out") / "out" / "part-00000.jsonl")
    kept = make_selection(tmp_path / "again", [shard], all_of([shard]))
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="being read"):
        write_selection(kept, tmp_path / "out", format="jsonl")
    assert contents(tmp_path) == before
