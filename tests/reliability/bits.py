"""Flipped bits: every reading of a damaged file is refused with a sentence, or is right."""

from __future__ import annotations

import faulthandler
import json
import os
import random
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.engine import files
from cuvee.engine.store import Store
from cuvee.errors import CuveeError
from cuvee.layout import sealed

from ..command import cuvee, inside
from .cases import furnish


@dataclass
class Flips:
    """One kind of file with its reader: every reading of a damaged copy is refused with a sentence, or is right."""

    name: str
    paths: list[Path]
    read: Callable[[Path], Any]
    part: Callable[[Path], tuple[int, int]] = lambda path: (0, path.stat().st_size)
    """The bytes that are hurt; all by default."""
    flipped: int = 0
    noticed: int = 0
    crashed: int = 0
    """Readings that ended the process, as malformed Parquet may: the command line has a sentence for that."""
    silent: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    """Readings that ended in anything else."""

    def run(self, count: int, chance: random.Random) -> None:
        """Flip ``count`` bits, one after the other, drawn from all bits of the files."""
        right = {path: self.read(path) for path in self.paths}
        parts = [self.part(path) for path in self.paths]
        sizes = [end - begin for begin, end in parts]
        tasks = []
        for _ in range(count):
            (number,) = chance.choices(range(len(sizes)), sizes)
            tasks.append((number, chance.randrange(*parts[number]), chance.randrange(8)))
        while tasks:
            sound = [path.read_bytes() for path in self.paths]
            answers = self._in_child(self._once(right, sound, *task) for task in tasks)
            for path, body in zip(self.paths, sound, strict=True):
                if path.read_bytes() != body:
                    path.write_bytes(body)
            if len(answers) < len(tasks):
                answers.append("crashed")
            for answer, (number, at, bit) in zip(answers, tasks, strict=False):
                self.flipped += 1
                self.noticed += answer == "noticed"
                self.crashed += answer == "crashed"
                place = f"{self.paths[number].name}, byte {at} of {len(sound[number])}, bit {bit}"
                if answer == "silent":
                    self.silent.append(place)
                elif answer.startswith("odd"):
                    self.odd.append(f"{place}: {answer}")
            tasks = tasks[len(answers) :]

    def _once(self, right: dict[Path, Any], sound: list[bytes], number: int, at: int, bit: int) -> str:
        path = self.paths[number]
        hurt = bytearray(sound[number])
        hurt[at] ^= 1 << bit
        path.write_bytes(hurt)
        try:
            found = self.read(path)
        except (CuveeError, FileNotFoundError) as error:
            answer = "noticed" if str(error) else f"odd: {error!r}"
        except Exception as error:
            answer = f"odd: {error!r}"
        else:
            answer = "same" if found == right[path] else "silent"
        path.write_bytes(sound[number])
        return answer.replace("\n", " ")

    @staticmethod
    def _in_child(work: Iterator[str]) -> list[str]:
        """What ``work`` yields in a forked process, as far as it comes."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                faulthandler.disable()
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                for answer in work:
                    os.write(write, f"{answer}\n".encode())
                os._exit(0)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read) as stream:
            answers = stream.read().splitlines()
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0, "the reading process failed"
        return answers


def _selection(folder: Path) -> Any:
    from cuvee.feed.selection import Selection

    opened = Selection.open(folder)
    parts = [(part.file, part.row.tolist(), part.weight.tolist(), part.key.tolist()) for part in opened.parts()]
    return opened.files, opened.spec, opened.digest, opened.survey(), parts


def _lengths(path: Path) -> tuple[int, int]:
    """Where the column of lengths stands in a selection."""
    found = pq.read_metadata(path)
    column = found.row_group(0).column(found.schema.names.index("bytes"))
    begin = column.dictionary_page_offset or column.data_page_offset
    return begin, begin + column.total_compressed_size


def _matched(path: Path) -> Any:
    """The tokens of each length that ``length_matched`` finds in an earlier selection."""
    from cuvee.core import Budget, Draw
    from cuvee.methods.choose import length_matched

    def found(cost: Any, *_: Any) -> Any:
        return cost.tolist()

    with patch.object(length_matched, "matched_to", found):
        return length_matched.LengthMatched(str(path.parent)).choose(
            None,  # type: ignore[arg-type]
            Budget("tokens", 1),
            Draw(0),
        )


def _profile(path: Path) -> Any:
    """As a careful program reads it: the content has to agree with its seal."""
    try:
        content = json.loads(path.read_bytes())
        if content.get("seal") != sealed(content)["seal"]:
            raise CuveeError("the profile's content has changed")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CuveeError(f"the profile cannot be read: {error}") from None
    if not isinstance(content, dict) or "reproduce" not in content:
        raise CuveeError("this is no profile")
    return content


def _cached(path: Path) -> Any:
    """Through the cache's own reader, as a new run does: columns and notes; absent when damaged."""
    store = Store(path.parents[1])
    batches, note = store.table(path.parent.name + path.stem)
    return [batch.to_pydict() for batch in batches], note


def _written(path: Path) -> Any:
    """As cuvee reads it when it is a pool: every column, page checksums verified."""
    from cuvee.feed.pool import open_source

    source = open_source(str(path), "parquet")
    index = source.index()
    batches: list[pa.RecordBatch] = []
    for segment in index.segments[:1]:
        batches += source.rows(segment, 0)
    return index.rows, [(batch.schema.names, batch.to_pylist()) for batch in batches]


def _pages(path: Path) -> tuple[int, int]:
    """The part of a Parquet file that has checksums, and the headers of its pages."""
    return 0, _footer(path)[0]


def _footer(path: Path) -> tuple[int, int]:
    """The part of a Parquet file for which the format has no checksum: names and types of columns, places of pages."""
    body = path.read_bytes()
    return len(body) - 8 - int.from_bytes(body[-8:-4], "little"), len(body)


def _listed(path: Path) -> Any:
    """As a trainer should: against the digest that the manifest lists."""
    shards = json.loads((path.parent / "manifest.json").read_bytes())["shards"]
    if files.file_digest(path) not in {shard["blake2b"] for shard in shards}:
        raise CuveeError(f"{path} is not the file that the manifest lists")
    return True


def flips(place: Path) -> Iterator[Flips]:
    """Everything that cuvee wrote and reads again, with its reader."""
    furnish(place)
    with inside(place):
        more = ("--skip-bad", "--quiet", "--cache", "cache")
        target = ("--target", "target.jsonl")
        assert cuvee("select", "pool", *target, "--with", "dsir", "--rows", 80, "-o", "out", *more).status == 0
        assert cuvee("profile", "pool", "-o", "profile", "--quiet", "--cache", "cache").status == 0
        assert cuvee("write", "out", "--shard", "20kB", "-o", "data", "--cache", "cache").status == 0
    yield Flips("selection.parquet", [place / "out/selection.parquet"], lambda path: _selection(path.parent))
    kept = place / "out/selection.parquet"
    yield Flips("selection.parquet, by length_matched", [kept], _matched, _lengths)
    yield Flips("plan.json", [place / "out/plan.json"], lambda path: _selection(path.parent))
    yield Flips("profile.json", [place / "profile/profile.json"], _profile)
    yield Flips("cache", sorted((place / "cache").glob("??/[0-9a-f]*.arrow")), _cached)
    yield Flips("written Parquet, by the manifest", sorted((place / "data").glob("*.parquet")), _listed)
    shards = sorted((place / "data").glob("*.parquet"))
    yield Flips("written Parquet's pages, by the reader", shards, _written, _pages)
    yield Flips("written Parquet's footer, by the reader", shards, _written, _footer)
