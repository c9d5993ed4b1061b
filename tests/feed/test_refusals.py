"""What is refused, and that a failing disk never harms an earlier output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pytest

from cuvee.engine import files
from cuvee.errors import BusyError, CuveeError, DataError, ResourceError, UsageError
from cuvee.feed.write import write_selection

from .helpers import Double, Quick, all_of, contents, make_selection, opened

FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma")


def refused(kept: Path, output: Path, pattern: str, kind: type[CuveeError] = DataError, **more: Any) -> None:
    before = contents(output) if output.is_dir() else None
    with pytest.raises(kind, match=pattern):
        write_selection(kept, output, format="jsonl", **more)
    assert (contents(output) if output.is_dir() else None) == before


def test_no_selection(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", tmp_path / "out", "There is no selection in", UsageError)


def test_newer_plan(kept: Path, tmp_path: Path) -> None:
    plan = json.loads((kept / "plan.json").read_text())
    (kept / "plan.json").write_text(json.dumps({**plan, "format": 2}))
    refused(kept, tmp_path / "out", "newer cuvee")


@pytest.mark.parametrize("broken", ["", "[]", "{}", "null", '{"files": 3, "spec": {}, "selection_digest": ""}', "\xff"])
def test_broken_plan(kept: Path, tmp_path: Path, broken: str) -> None:
    (kept / "plan.json").write_bytes(broken.encode("latin-1"))
    refused(kept, tmp_path / "out", "plan.json cannot be read")


def test_damaged_selection(kept: Path, tmp_path: Path) -> None:
    sound = (kept / "selection.parquet").read_bytes()
    for at in (0, len(sound) // 2, len(sound) - 1):
        hurt = bytearray(sound)
        hurt[at] ^= 1
        (kept / "selection.parquet").write_bytes(hurt)
        refused(kept, tmp_path / "out", "is damaged")
    (kept / "selection.parquet").write_bytes(sound[:-9])
    refused(kept, tmp_path / "out", "is damaged")


@pytest.mark.parametrize(
    ("chosen", "pattern"),
    [
        ([(0, 3, 1), (0, 2, 1)], "order of the pool"),
        ([(0, 3, 1), (0, 3, 1)], "order of the pool"),
        ([(0, 300, 1)], "outside its file"),
        ([(0, 1, 0), (0, 2, 1)], "weight"),
    ],
)
def test_selection_that_makes_no_sense(pool: Path, tmp_path: Path, chosen: Any, pattern: str) -> None:
    refused(make_selection(tmp_path / "kept", opened(pool), chosen), tmp_path / "out", pattern)


def test_empty_selection(pool: Path, tmp_path: Path) -> None:
    refused(make_selection(tmp_path / "kept", opened(pool), []), tmp_path / "out", "chose no rows")


def test_changed_or_missing_pool(kept: Path, pool: Path, tmp_path: Path) -> None:
    with pool.open("ab") as stream:
        stream.write(b'{"text":"more"}\n')
    refused(kept, tmp_path / "out", r"p\.jsonl has changed")
    pool.unlink()
    refused(kept, tmp_path / "out", r"cannot be opened.*p\.jsonl")


def test_pool_that_changes_while_it_is_read(tmp_path: Path) -> None:
    source = Double("x", [pa.record_batch({"text": ["a", "b"]})])
    kept = make_selection(tmp_path / "kept", [source], all_of([source]))
    marks = iter(["stamp", "other"])
    source.stamp = lambda: next(marks)  # type: ignore[method-assign]
    refused(kept, tmp_path / "out", "x has changed", opener=lambda path, form: source)


def test_foreign_output(kept: Path, pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    refused(kept, out, "not empty", UsageError)
    refused(kept, out / "mine.txt", "is a file", UsageError)
    refused(kept, kept, "being read", UsageError)
    refused(kept, tmp_path, "being read", UsageError)
    refused(kept, kept / "data", "lies in the selection's own folder", UsageError)
    refused(kept, kept / "a" / "b", "Choose a folder beside it", UsageError)
    assert sorted(contents(kept)) == ["plan.json", "selection.parquet"] and not (kept / "a").exists()
    (out / "mine.txt").unlink()
    write_selection(kept, out, format="jsonl")
    write_selection(kept, out, format="parquet")
    assert sorted(contents(out)) == ["manifest.json", "part-00000.parquet"]
    (out / "mine.txt").write_text("x")
    refused(kept, out, r"mine\.txt", UsageError)


def test_output_that_feeds_the_selection_is_not_replaced(kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = write_selection(kept, out, format="jsonl")
    again = opened(result.files[0])
    refused(make_selection(tmp_path / "kept2", again, all_of(again)), out, "being read", UsageError)


def test_one_writer_at_a_time(kept: Path, tmp_path: Path) -> None:
    with files.lock((tmp_path / "out").resolve()):
        refused(kept, tmp_path / "out", "is being written by", BusyError)


class Faulty(Quick):
    """Fails at the k-th call of one kind."""

    def __init__(self, kind: str, k: int) -> None:
        self.kind, self.left = kind, k

    def _count(self, kind: str) -> None:
        if kind == self.kind:
            self.left -= 1
            if self.left == 0:
                raise OSError(28, "No space left on device")

    def write(self, stream: IO[bytes], data: Any) -> None:
        self._count("write")
        super().write(stream, data)

    def sync(self, stream: IO[bytes]) -> None:
        self._count("sync")
        super().sync(stream)

    def rename(self, source: Path, target: Path) -> None:
        self._count("rename")
        super().rename(source, target)


@pytest.mark.parametrize("form", FORMATS)
def test_every_fault_leaves_the_old_output(
    pool: Path, tmp_path: Path, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = make_selection(tmp_path / "kept", opened(pool), [(0, k, 1) for k in range(0, 60, 2)])
    out = tmp_path / "out"
    write_selection(make_selection(tmp_path / "older", opened(pool), [(0, 0, 1)]), out, format=form)
    before = contents(tmp_path)
    for kind in ("write", "sync", "rename"):
        for k in range(1, 200):
            faulty = Faulty(kind, k)
            monkeypatch.setattr(files, "system", faulty)
            try:
                write_selection(kept, out, format=form, shard_bytes=9_000)
            except ResourceError as error:
                assert "No space left" in str(error) and "writing" not in str(error).split("while writing ")[1]
                finished = contents(tmp_path / ".out.writing")
                visible = {name: body for name, body in contents(tmp_path).items() if ".out.writing" not in name}
                assert visible == before, (kind, k)
                assert not finished or "progress.jsonl" in finished
                shutil.rmtree(tmp_path / ".out.writing", ignore_errors=True)
            else:
                assert faulty.left > 0, f"{kind} {k} failed in silence"
                assert not (tmp_path / ".out.writing").exists()
                break
        else:
            raise AssertionError(f"{kind} never stopped failing")
        assert k > 2
        monkeypatch.setattr(files, "system", Quick())
        write_selection(make_selection(tmp_path / "older", opened(pool), [(0, 0, 1)]), out, format=form)
        before = contents(tmp_path)


def test_unknown_requests(kept: Path, tmp_path: Path) -> None:
    for more in ({"format": "csv"}, {"order": "up"}, {"shard_bytes": 0}):
        with pytest.raises(UsageError):
            write_selection(kept, tmp_path / "out", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "words"), [("guard", "cuvee guard"), ("dsir", "cuvee select"), (None, "Make")])
def test_the_command_that_made_it_is_named(pool: Path, tmp_path: Path, method: str | None, words: str) -> None:
    """A selection without duplicates is made again by the command that made it."""
    more = {"method": {"name": method}} if method else {}
    kept = make_selection(tmp_path / "kept", opened(pool), [(0, 1, 1)], **more)
    with pool.open("ab") as stream:
        stream.write(b'{"text":"more"}\n')
    refused(kept, tmp_path / "out", rf"has changed since the selection was made\. (Run )?{words}")
    (kept / "selection.parquet").write_bytes(b"PAR1")
    refused(kept, tmp_path / "out", rf"is damaged.*(Run )?{words}")


def test_documents_among_the_pool_are_remarked(pool: Path, tmp_path: Path) -> None:
    """Where several files of the pool lie, its folder may be named again, and then holds the output, too."""
    other = tmp_path / "q.jsonl"
    other.write_bytes(pool.read_bytes())
    kept = make_selection(tmp_path / "kept", opened(pool, other), [(0, 1, 1)])
    (note,) = write_selection(kept, tmp_path / "a" / "train").notes
    assert f"{tmp_path}, as the pool does" in note
    assert str(tmp_path) not in (tmp_path / "a" / "train" / "manifest.json").read_text()
    alone = make_selection(tmp_path / "alone", opened(pool), [(0, 1, 1)])
    assert write_selection(alone, tmp_path / "b").notes == ()
