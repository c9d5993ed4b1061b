"""Refusing rows and ids that would make a result wrong, in sentences that name them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .duplicates import count_duplicates
from .engine import files
from .engine.columns import DiskColumns
from .engine.run import Engine
from .engine.stage import Stage
from .errors import DataError
from .pool import Reading
from .report.figures import plural
from .source.base import Spec, remedies

MOST_LOOKED_AT = 200_000
"""Unusable rows whose domains are read."""


def check_rows(
    engine: Engine, stage: Stage, columns_rows: int, reading: Reading, rejected: int, lost: Sequence[str] = (),
    listed: bool = True,
) -> None:  # fmt: skip
    """Refuse unusable rows unless the user asked to skip them.

    ``lost``: sources that have no others. ``listed``: whether the command would write a list of them.
    """
    if not rejected or reading.skip_bad:
        return
    first = list(islice(engine.rejects(stage), 3))
    named = "; ".join(map(str, first)) + (" ..." if rejected > 3 else "")
    rows = rejected + columns_rows
    counted = "The only row" if rows == 1 else f"{rejected:,} of {rows:,} rows"
    them, are = ("it", "it is") if rejected == 1 else ("them", "they are")
    ways = ", ".join([f"Mend {them}", *remedies((reject.reason for reject in first), text=False)])
    told = f"{without_rows(lost)} " if lost else ""
    raise DataError(
        f"{counted} of the {stage.label} cannot be used: {named}. {told}"
        f"{ways}, or go on without {them} with --skip-bad ({are} then counted{' and listed' if listed else ''})."
    )


def usable(engine: Engine, columns: DiskColumns, reading: Reading, listed: bool = True) -> list[str]:
    """What is to be said of the pool's rows that were left out, gravest first; nothing where all can be used.

    Raises:
        DataError: some cannot, and the user did not ask to skip them.
    """
    rejected = columns.rejected
    if not rejected:
        return []
    lost = lost_sources(engine, columns)
    check_rows(engine, engine.pool, columns.n_rows, reading, rejected, lost, listed)
    first = "; ".join(map(str, islice(engine.rejects(engine.pool), 2))) + (" ..." if rejected > 2 else "")
    verb = "does" if rejected == 1 else "do"
    counted = f"{rejected:,} of {plural(rejected + columns.n_rows, 'row')}"
    told = f"{counted} could not be used and {verb} not count: {first}."
    return [without_rows(lost), told] if lost else [told]


def without_rows(lost: Sequence[str]) -> str:
    """That sources have no row that can be used, in a sentence."""
    from .report.terminal import safe

    named = ", ".join(f"'{safe(name, 40)}'" for name in lost[:3])
    more = f" and {len(lost) - 3:,} more" if len(lost) > 3 else ""
    return f"The source{'s' if len(lost) > 1 else ''} {named}{more} {'have' if len(lost) > 1 else 'has'} no usable row."


def lost_sources(engine: Engine, columns: DiskColumns) -> list[str]:
    """The domains, sorted, that stand in unusable rows alone: they are no domains of ``columns``.

    Their names are read once more, without the texts for want of which most rows are refused. At most
    ``MOST_LOOKED_AT`` rows are looked at, and rows that cannot be parsed at all name nothing.
    """
    manifest = engine.pool.manifest
    if manifest.spec.domain is None or list(columns.domains) == ["(all)"]:
        return []
    spec = Spec(text=None, domain=manifest.spec.domain)
    found: set[str] = set()
    looked = 0
    for span in manifest.spans:
        batches, _ = engine.store.table(engine.pool.key("rejects", span))
        rows = np.concatenate([batch.column("row").to_numpy() for batch in batches] or [np.empty(0, np.int64)])
        if not len(rows):
            continue
        for number, raw, take in manifest.raw(int(rows[0]), int(rows[-1]) + 1, spec):
            first = int(manifest.starts[number]) + raw.first_row
            here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + take)] - first
            if len(here):
                found.update(raw.columns["domain"].take(pa.array(here)).drop_null().to_pylist())
        looked += len(rows)
        if looked >= MOST_LOOKED_AT:
            break
    return sorted(found - set(columns.domains))


def check_ids(engine: Engine, columns: DiskColumns) -> None:
    """Refuse ids that occur more than once."""
    if engine.pool.manifest.spec.id is None:
        return
    repeated = count_duplicates(columns, "key", examples=3)
    if not repeated.rows:
        return
    manifest = engine.pool.manifest
    named = []
    for count, row in repeated.largest:
        path, local = manifest.place(row)
        named.append(f"'{row_id(engine, row)}' {count} times, first in {path} row {local + 1:,}")
    occur = "id occurs" if repeated.groups == 1 else "ids occur"
    raise DataError(
        f"{repeated.groups:,} {occur} more than once in column '{manifest.spec.id}' ({'; '.join(named)}). "
        "Give every row its own id, or identify rows by their content with --key content."
    )


def row_id(engine: Engine, row: int) -> str:
    """The id of a pool row by its global number."""
    from .report.terminal import safe

    for number, span in enumerate(engine.pool.manifest.spans):
        batches, _ = engine.store.table(engine.pool.key("facts", span))
        rows = batches[0].column("row").to_numpy()
        at = int(np.searchsorted(rows, row))
        if at < len(rows) and rows[at] == row:
            ids = engine.ids(number)
            return safe(ids[at].as_py(), 60) if ids is not None else str(row)
    return str(row)


def absolute(path: str) -> str:
    """A local path from the root, so that the plan holds from any working folder; URIs as they are."""
    return path if "://" in path else str(Path(path).absolute())


def pool_files(stage: Stage) -> list[dict[str, Any]]:
    """The pool's files in order, with what is needed to notice that one has changed."""
    manifest = stage.manifest
    return [
        {"path": absolute(source.path), "stamp": stamp, "rows": manifest.rows_of(at), "format": source.format}
        for at, (source, stamp) in enumerate(zip(manifest.sources, manifest.stamps, strict=True))
    ]


def write_rejects(engine: Engine, rejected: int, target: Path, shown: Path) -> dict[str, Any]:
    """List every row that cannot be used in a JSONL file; return the counts for the report."""
    counts: dict[str, int] = {}
    first: list[str] = []
    if rejected:
        with files.whole_file(target) as stream:
            for reject in engine.rejects(engine.pool):
                counts[reject.reason] = counts.get(reject.reason, 0) + 1
                if len(first) < 20:
                    first.append(str(reject))
                record = {"file": reject.file, "line": reject.line, "why": reject.reason}
                stream.write(json.dumps(record).encode() + b"\n")
    return {"count": rejected, "by_reason": counts, "first": first, "file": str(shown) if rejected else None}
