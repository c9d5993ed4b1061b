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
MOST_ALIKE = 8
"""Rows of one key whose ids are compared: with more, it is one id that occurs often."""


def check_rows(
    engine: Engine, stage: Stage, columns_rows: int, reading: Reading, rejected: int, lost: Sequence[str] = ()
) -> None:
    """Refuse unusable rows unless the user asked to skip them.

    ``lost``: sources that have no others.
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
        f"{ways}, or go on without {them} with --skip-bad ({are} then counted and listed)."
    )


def usable(engine: Engine, columns: DiskColumns, reading: Reading) -> list[str]:
    """What is to be said of the pool's rows that were left out, gravest first; nothing where all can be used.

    Raises:
        DataError: some cannot, and the user did not ask to skip them.
    """
    rejected = columns.rejected
    if not rejected:
        return []
    lost = lost_sources(engine, columns)
    check_rows(engine, engine.pool, columns.n_rows, reading, rejected, lost)
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
    """Refuse ids that occur more than once, and different ones that have the same hash."""
    if engine.pool.manifest.spec.id is None:
        return
    repeated = count_duplicates(columns, "key", examples=3)
    if not repeated.rows:
        return
    manifest = engine.pool.manifest
    column = manifest.spec.id
    alike = _rows_alike(columns, [row for _, row in repeated.largest])
    ids = _ids(engine, [row for rows in alike.values() for row in rows])
    named = []
    for count, row in repeated.largest:
        path, local = manifest.place(row)
        other = next((one for one in alike[row] if ids[one] != ids[row]), None)
        if other is not None:
            there, at = manifest.place(other)
            raise DataError(
                f"Two ids of column '{column}' have the same hash, by which rows are known: '{_shown(ids[row])}' in "
                f"{path} row {local + 1:,}, and '{_shown(ids[other])}' in {there} row {at + 1:,}. Rename one of them, "
                "or identify rows by their content with --key content."
            )
        named.append(f"'{_shown(ids[row])}' {count} times, first in {path} row {local + 1:,}")
    occur = "id occurs" if repeated.groups == 1 else "ids occur"
    raise DataError(
        f"{repeated.groups:,} {occur} more than once in column '{column}' ({'; '.join(named)}). "
        "Give every row its own id, or identify rows by their content with --key content."
    )


def _rows_alike(columns: DiskColumns, firsts: Sequence[int]) -> dict[int, list[int]]:
    """The first ``MOST_ALIKE`` rows with the key of each of some rows, which is the first of its key, in row order."""
    found: dict[int, list[int]] = {}
    wanted: dict[int, list[int]] = {}
    for block in columns.blocks("key", "row"):
        here = set(firsts).intersection(block["row"].tolist())
        for row in here:
            wanted[int(block["key"][np.searchsorted(block["row"], row)])] = found.setdefault(row, [])
        for at in np.flatnonzero(np.isin(block["key"], np.array(list(wanted), np.uint64))):
            wanted[int(block["key"][at])].append(int(block["row"][at]))
        if len(found) == len(set(firsts)) and all(len(rows) >= MOST_ALIKE for rows in found.values()):
            break
    return {row: rows[:MOST_ALIKE] for row, rows in found.items()}


def _ids(engine: Engine, rows: Sequence[int]) -> dict[int, Any]:
    """The ids of pool rows by their global numbers."""
    found: dict[int, Any] = {}
    wanted = np.unique(np.array(rows, np.int64))
    for number, span in enumerate(engine.pool.manifest.spans):
        batches, _ = engine.store.table(engine.pool.key("facts", span))
        here = batches[0].column("row").to_numpy()
        places = np.flatnonzero(np.isin(here, wanted))
        ids = engine.ids(number) if len(places) else None
        found |= {int(here[at]): ids[at].as_py() if ids is not None else int(here[at]) for at in places.tolist()}
        if len(found) == len(wanted):
            break
    return found


def _shown(name: Any) -> str:
    """An id in a message."""
    from .report.terminal import safe

    return safe(name, 60)


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
