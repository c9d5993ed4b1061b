"""Files and folders appear whole or not at all, whichever call fails."""

from __future__ import annotations

import errno
import multiprocessing
from pathlib import Path
from typing import IO, Any

import pytest

from cuvee.engine import files
from cuvee.errors import BusyError, ResourceError


class Faulty(files.System):
    """Fails at the k-th call."""

    def __init__(self, k: int, code: int = errno.ENOSPC) -> None:
        self.left, self.code = k, code

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, "injected")

    def write(self, stream: IO[bytes], data: bytes | memoryview) -> None:
        self._count()
        super().write(stream, data)

    def sync(self, stream: IO[bytes]) -> None:
        self._count()
        super().sync(stream)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)


def write_folder(target: Path, text: bytes) -> None:
    with files.whole_folder(target) as place:
        for name in ("a", "b"):
            files.write_whole(place / name, text)


def test_every_failing_call_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    write_folder(target, b"old")
    failures = 0
    for k in range(1, 100):
        monkeypatch.setattr(files, "system", Faulty(k))
        try:
            write_folder(target, b"new")
        except ResourceError as error:
            failures += 1
            assert "No space left" in str(error) and "untouched" in str(error)
            assert {path.name: path.read_bytes() for path in target.iterdir()} == {"a": b"old", "b": b"old"}
            assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing temporary is left"
        else:
            break
    assert failures == 8  # two files (write, sync, rename) and two renames of folders
    assert (target / "a").read_bytes() == b"new"


def test_a_killed_swap_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write_folder(target, b"old")
    target.rename(tmp_path / ".out.replaced")  # what a kill between the two renames leaves
    with pytest.raises(RuntimeError), files.whole_folder(target):
        assert (target / "a").read_bytes() == b"old"
        raise RuntimeError
    assert (target / "a").read_bytes() == b"old"


@pytest.mark.parametrize(("code", "words"), [(errno.EROFS, "Cannot write"), (errno.EIO, "failed")])
def test_failures_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    monkeypatch.setattr(files, "system", Faulty(1, code))
    with pytest.raises(ResourceError, match=words):
        files.write_whole(tmp_path / "x", b"1")


def _hold(path: Path, ready: Any, done: Any) -> None:
    with files.lock(path):
        ready.set()
        done.wait(20)


def test_lock_names_its_owner_and_ends_with_it(tmp_path: Path) -> None:
    target = tmp_path / "out"
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(target, ready, done))
    process.start()
    assert ready.wait(20)
    with pytest.raises(BusyError, match=f"process {process.pid}"), files.lock(target):
        pass
    process.kill()
    process.join()
    with files.lock(target):
        pass
    assert not list(tmp_path.iterdir())


def test_folders_made_for_nothing_are_removed(tmp_path: Path) -> None:
    """Those that the lock made, if nothing was written; never one that was there, and none for who keeps them."""
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyError), files.lock(tmp_path / "there" / "a" / "b" / "out"):
        raise KeyError
    assert list((tmp_path / "there").iterdir()) == []
    with files.lock(tmp_path / "there" / "out"):
        pass
    with files.lock(tmp_path / "new" / "out"):
        (tmp_path / "new" / "out").write_text("kept")
    with files.lock(tmp_path / "kept" / "out", tidy=False):
        pass
    assert sorted(one.name for one in tmp_path.iterdir()) == ["kept", "new", "there"]


def test_a_place_where_nothing_can_be_made_is_refused_at_once() -> None:
    with pytest.raises(ResourceError, match="/proc/out failed"), files.lock(Path("/proc/out")):
        pass
