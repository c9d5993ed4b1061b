"""Materialising a selection: the chosen documents, as often as chosen, in shards that appear whole or not at all.

Only segments that hold a chosen row are read, and rows pass through in blocks of about 8 MB, so memory depends on
neither the pool nor the selection (except for a shuffle, see ``order.py``). The same selection gives the same bytes.
A run that is interrupted or killed leaves its finished shards beside the output, and the next one writes the others.
"""

from __future__ import annotations

import json
import platform
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from .. import __version__
from ..engine.one_thread import one_thread
from ..engine.progress import Progress
from ..engine.store import Store, code_digest
from ..errors import DataError, ResourceError, UsageError
from ..source.base import Source
from ..source.files import plain
from .dolma import Dolma
from .jsonl import Jsonl
from .order import SHUFFLE_BYTES, Prepared, in_pool_order, shuffled, shuffled_run, too_large
from .output import KIND, MANIFEST_VERSION, Staging
from .parquet import Parquet
from .pool import Files, check_unchanged, open_files, open_source
from .reach import Block, blocks
from .selection import Selection, Survey
from .shards import Entry, MisfitError, Shards
from .upload import Upload, upload_of

FormatName = Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma"]
Order = Literal["pool", "shuffled"]
SHARD_BYTES = 256 << 20
_Writer = Parquet | Jsonl | Dolma


@dataclass(frozen=True)
class WriteResult:
    """What was written: paths or addresses; ``bytes`` is the size of the files; rows and tokens count repeats."""

    files: tuple[Path | str, ...]
    rows: int
    tokens: int
    bytes: int
    notes: tuple[str, ...]


@one_thread()
def write_selection(
    folder: Path,
    output: Path | str,
    *,
    format: FormatName = "parquet",
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
    order: Order = "pool",
    seed: int = 0,
    shuffle_bytes: int = SHUFFLE_BYTES,
    part: tuple[int, int] = (1, 1),
    store: Store | None = None,
    opener: Callable[[str, str], Source] = open_source,
) -> WriteResult:
    """Write the documents that a selection chose.

    If this fails or is killed, the same call goes on after the last finished file.

    Args:
        folder: what ``cuvee select`` or ``cuvee guard`` wrote.
        output: the folder to write, or an address (``s3://bucket/train``, see ``upload.py``); replaced as a whole if
            cuvee wrote it, refused if it holds anything else.
        format: "parquet", "jsonl", "jsonl.gz", "jsonl.zst" or "dolma".
        shard_bytes: a file is closed once it holds this many bytes as written.
        order: "pool", or "shuffled" by a hash of seed and key, which must fit into ``shuffle_bytes`` of memory.
        part: (3, 16) writes the third of sixteen equal runs: of the chosen rows in pool order, or of the shuffled
            documents. For sixteen processes, on as many machines, which write a folder each.
        store: a cache for the pool's indices, which saves counting lines again.
        opener: turns the path and format of a pool file into its reader.
    """
    if format not in get_args(FormatName):
        raise UsageError(f"There is no format '{format}'. Choose one of: {', '.join(get_args(FormatName))}.")
    if order not in get_args(Order):
        raise UsageError(f"There is no order '{order}'. Choose pool or shuffled.")
    if shard_bytes < 1:
        raise UsageError(f"A shard must have at least 1 byte, not {shard_bytes}.")
    if not 1 <= part[0] <= part[1]:
        raise UsageError(f"There is no part {part[0]} of {part[1]}. Name one from 1/{max(part[1], 1)} on.")
    progress = progress or Progress()
    folder = Path(folder).resolve()
    target = upload_of(output)
    selection, run = Selection.open(folder), None
    if order == "shuffled":
        run = shuffled_run(selection, selection.survey().rows, seed, part, shuffle_bytes)
        selection = replace(selection, picked=(run.place, run.weight))
    else:
        selection = replace(selection, share=part)
    survey = selection.survey()
    if survey.rows == 0 and part != (1, 1):
        raise DataError(f"Part {part[0]} of {part[1]} of the selection in {folder} has no rows. Name fewer parts.")
    if survey.rows == 0:
        raise DataError(f"The selection in {folder} chose no rows: there is nothing to write.")
    if order == "shuffled" and survey.distinct_bytes > shuffle_bytes:
        raise too_large(survey.distinct_bytes, shuffle_bytes)
    staging = target if isinstance(target, Upload) else Staging(target.resolve())
    staging.check(folder, selection, part)
    with staging.lock():
        staging.check(folder, selection, part)
        files = open_files(selection, survey, opener, store)
        writer = _format(format, selection, files, survey.largest)
        shuffle: dict[str, Any] = {"order": order, "seed": seed if order == "shuffled" else None}
        shuffle |= {"part": list(part)} if part != (1, 1) else {}
        staging.begin(_job(format, selection, survey, {**shuffle, "shard_bytes": shard_bytes}))
        try:
            finished = staging.resume(progress)
            with staging.building() as building:
                progress.begin(f"writing {format}", survey.distinct_bytes)
                counts = _Counts(writer, staging.counts if order == "pool" else [])

                def record(entry: Entry) -> None:
                    staging.record(entry, counts.before)

                with (
                    _sayable(format),
                    Shards(building, writer, shard_bytes, finished, record, staging.tag) as shards,
                ):
                    stream = _prepared(selection, files, counts, progress, shards if run is None else None)
                    ordered = in_pool_order(stream) if run is None else shuffled(stream, run.item, shuffle_bytes)
                    for batch in ordered:
                        shards.write(batch)
                    shards.close()
                progress.end()
                _check_unchanged(selection, files, staging)
                notes = writer.notes()
                manifest = _manifest(format, selection, survey, shards, {**shuffle, "notes": notes})
                written = sum(entry.rows for entry in shards.entries) + shards.skip
                assert written == survey.rows, f"{written} rows written, {survey.rows} chosen"
                staging.finish(building, manifest)
        except MisfitError:
            staging.discard()
            raise DataError(
                f"The shards that an earlier run left beside {plain(str(staging))} are not of this selection, and were "
                "removed. Run the same command again."
            ) from None
        except BaseException:
            staging.remove_if_empty()
            raise
        staging.remove()
    return WriteResult(
        files=tuple(staging.place(entry.name) for entry in shards.entries),
        rows=survey.rows,
        tokens=survey.tokens,
        bytes=sum(entry.bytes for entry in shards.entries),
        notes=(*notes, *staging.remarks(selection)),
    )


def _job(name: str, selection: Selection, survey: Survey, more: dict[str, Any]) -> dict[str, Any]:
    """All that the bytes of the shards depend on: a run goes on from the shards of an equal job only."""
    chosen = [selection.files[number] for number in survey.chosen]
    return {
        "format": name,
        "selection": selection.digest,
        "pool_columns": asdict(selection.spec),
        "pool": [[file.path, file.stamp, file.format] for file in chosen],
        "versions": [code_digest(), pa.__version__, platform.python_version(), zlib.ZLIB_RUNTIME_VERSION],
        **more,
    }


def _check_unchanged(selection: Selection, files: Files, staging: Staging | Upload) -> None:
    """Finished shards may hold rows of a file that changed: they are of no use to anyone."""
    try:
        check_unchanged(selection, files)
    except DataError:
        staging.discard()
        raise


@contextmanager
def _sayable(format: str) -> Iterator[None]:
    """What Arrow itself refuses to copy or write, as a sentence."""
    try:
        yield
    except MemoryError:
        raise ResourceError("Memory ran out while writing. Nothing was changed. Give the process more.") from None
    except pa.ArrowException as error:
        raise DataError(
            f"The chosen rows cannot be written as {format} ({plain(str(error))}). Choose another format."
        ) from error


def _format(name: FormatName, selection: Selection, files: Files, largest: int) -> _Writer:
    if name == "parquet":
        return Parquet(selection.spec, files, largest)
    if name == "dolma":
        return Dolma(selection.spec)
    return Jsonl(selection.spec, {"jsonl": None, "jsonl.gz": "gzip", "jsonl.zst": "zstd"}[name])


class _Counts:
    """What a format counts while it prepares rows, for its notes.

    Blocks whose rows are all in finished shards are not prepared again. The one with the last such row is, because the
    next rows may stand in it: so a finished shard comes with the counts ``before`` the block in which it ends.
    """

    def __init__(self, writer: _Writer, before: list[int]) -> None:
        self.writer, self.before = writer, before
        if before:
            writer.records.not_finite, writer.records.twice, named = before
            if isinstance(writer, Dolma):
                writer.named = named

    def prepare(self, block: Block) -> pa.RecordBatch:
        named = self.writer.named if isinstance(self.writer, Dolma) else 0
        self.before = [self.writer.records.not_finite, self.writer.records.twice, named]
        return self.writer.prepare(block)


def _prepared(
    selection: Selection, files: Files, counts: _Counts, progress: Progress, shards: Shards | None
) -> Iterator[Prepared]:
    """All chosen rows; if ``shards`` are given, not the blocks before the one where they end (each block is written
    before the next is asked for, so that they know)."""
    for block in blocks(selection.parts(), files):
        if shards is not None and shards.skip > (rows := int(block.weight.sum())):
            shards.skip -= rows
            progress.advance(sum(map(len, block.items)) if isinstance(block.items, list) else block.items.nbytes)
            continue
        ready = [Prepared(counts.prepare(block), block.weight)]
        size = int(ready[0].rows.nbytes)
        del block  # its rows may be huge
        yield ready.pop()
        progress.advance(size)


def _manifest(name: str, selection: Selection, survey: Survey, shards: Shards, more: dict[str, Any]) -> bytes:
    """Nothing that changes from run to run: no time, no host, no path of the output."""
    content = {
        "kind": KIND,
        "version": MANIFEST_VERSION,
        "format": name,
        "rows": survey.rows,
        "tokens": survey.tokens,
        "bytes": sum(entry.bytes for entry in shards.entries),
        "shards": [entry.as_json() for entry in shards.entries],
        "selection_digest": selection.digest,
        "pool_columns": asdict(selection.spec),
        "versions": {"cuvee": __version__, "pyarrow": pa.__version__, "python": platform.python_version()},
        **more,
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
