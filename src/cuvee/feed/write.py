"""Materialising a selection: the chosen documents, as often as chosen, in shards that appear whole or not at all.

Only segments that hold a chosen row are read, and rows pass through in blocks of about 8 MB, so memory depends on
neither the pool nor the selection (except for a shuffle, see ``order.py``). The same selection gives the same bytes.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa

from .. import __version__
from ..engine.files import lock, whole_folder, write_whole
from ..engine.progress import Progress
from ..engine.store import Store
from ..errors import DataError, ResourceError, UsageError
from ..source.base import Source
from ..source.files import plain
from .dolma import Dolma
from .format import Format
from .jsonl import Jsonl
from .order import SHUFFLE_BYTES, Prepared, in_pool_order, shuffled, too_large
from .output import KIND, MANIFEST_VERSION, check_output
from .parquet import Parquet
from .pool import Files, check_unchanged, open_files, open_source
from .reach import blocks
from .selection import Selection, Survey
from .shards import Shards

FormatName = Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma"]
Order = Literal["pool", "shuffled"]
SHARD_BYTES = 256 << 20


@dataclass(frozen=True)
class WriteResult:
    """What was written. ``bytes`` is the size of the files on disk; rows and tokens count repeats."""

    files: tuple[Path, ...]
    rows: int
    tokens: int
    bytes: int
    notes: tuple[str, ...]


def write_selection(
    folder: Path,
    output: Path,
    *,
    format: FormatName = "parquet",
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
    order: Order = "pool",
    seed: int = 0,
    shuffle_bytes: int = SHUFFLE_BYTES,
    store: Store | None = None,
    opener: Callable[[str, str], Source] = open_source,
) -> WriteResult:
    """Write the documents that a selection chose.

    Args:
        folder: what ``cuvee select`` wrote.
        output: the folder to write; replaced as a whole if cuvee wrote it, refused if it holds anything else.
        format: "parquet", "jsonl", "jsonl.gz", "jsonl.zst" or "dolma".
        shard_bytes: a file is closed once it holds this many bytes as written.
        order: "pool", or "shuffled" by a hash of seed and key, which must fit into ``shuffle_bytes`` of memory.
        store: a cache for the pool's indices, which saves counting lines again.
        opener: turns the path and format of a pool file into its reader.
    """
    if format not in get_args(FormatName):
        raise UsageError(f"There is no format '{format}'. Choose one of: {', '.join(get_args(FormatName))}.")
    if order not in get_args(Order):
        raise UsageError(f"There is no order '{order}'. Choose pool or shuffled.")
    if shard_bytes < 1:
        raise UsageError(f"A shard must have at least 1 byte, not {shard_bytes}.")
    progress = progress or Progress()
    folder, output = Path(folder).resolve(), Path(output).resolve()
    selection = Selection.open(folder)
    survey = selection.survey()
    if survey.rows == 0:
        raise DataError(f"The selection in {folder} chose no rows: there is nothing to write. Raise its budget.")
    if order == "shuffled" and survey.distinct_bytes > shuffle_bytes:
        raise too_large(survey.distinct_bytes, shuffle_bytes)
    check_output(output, folder, selection)
    with lock(output):
        check_output(output, folder, selection)
        files = open_files(selection, survey, opener, store)
        writer = _format(format, selection, files, survey.largest)
        with whole_folder(output) as building:
            progress.begin(f"writing {format}", survey.distinct_bytes)
            with _sayable(format), Shards(building, writer, shard_bytes) as shards:
                stream = _prepared(selection, files, writer, progress)
                ordered = in_pool_order(stream) if order == "pool" else shuffled(stream, seed, shuffle_bytes)
                for batch in ordered:
                    shards.write(batch)
                shards.close()
            progress.end()
            check_unchanged(selection, files)
            notes = writer.notes()
            shuffle = {"order": order, "seed": seed if order == "shuffled" else None}
            manifest = _manifest(format, selection, survey, shards, {**shuffle, "notes": notes})
            write_whole(building / "manifest.json", manifest)
    written = sum(entry.rows for entry in shards.entries)
    assert written == survey.rows, f"{written} rows written, {survey.rows} chosen"
    return WriteResult(
        files=tuple(output / entry.name for entry in shards.entries),
        rows=survey.rows,
        tokens=survey.tokens,
        bytes=sum(entry.bytes for entry in shards.entries),
        notes=tuple(notes),
    )


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


def _format(name: FormatName, selection: Selection, files: Files, largest: int) -> Format:
    if name == "parquet":
        return Parquet(selection.spec, files, largest)
    if name == "dolma":
        return Dolma(selection.spec)
    return Jsonl(selection.spec, {"jsonl": None, "jsonl.gz": "gzip", "jsonl.zst": "zstd"}[name])


def _prepared(selection: Selection, files: Files, writer: Format, progress: Progress) -> Iterator[Prepared]:
    for block in blocks(selection.parts(), files):
        ready = [Prepared(writer.prepare(block), block.weight, block.key)]
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
