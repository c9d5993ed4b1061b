"""The documents of all trials, read from the pool in one pass and kept in the cache, span by span."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..core import Batch
from ..engine.executor import Stopped, Watch
from ..engine.manifest import Manifest, Span
from ..engine.run import Engine
from ..engine.store import Store, digest
from .draws import Rows

COLUMNS = ("domain", "label", "embedding")


def gather(engine: Engine, rows: Rows) -> list[str]:
    """Cache keys of tables that hold these rows of the pool in ascending order.

    Columns: row int64, key uint64, text large_binary, and where the pool has them domain, label and embedding. Spans
    without a wanted row are not read; those gathered before come from the cache.
    """
    manifest = engine.pool.manifest
    wanted: dict[Span, Rows] = {}
    keys: dict[Span, str] = {}
    for span in manifest.spans:
        low, high = np.searchsorted(rows, [span.first * manifest.chunk_rows, span.last * manifest.chunk_rows])
        if high > low:
            wanted[span] = rows[low:high]
            raw = hashlib.blake2b(wanted[span].tobytes(), digest_size=20).hexdigest()
            keys[span] = digest("prove corpus", engine.pool.key("facts", span), raw)
    missing = [span for span in wanted if not engine.store.has(keys[span])]

    if missing:
        engine.progress.begin("reading the documents of all trials", sum(span.bytes for span in missing))
        engine.executor.ready([engine.store.root], manifest.sources)
        work = _Gather(manifest, engine.store, wanted, keys)
        for _ in engine.executor.map(work, missing, engine.progress.advance):
            pass
        engine.progress.end()
    return [keys[span] for span in wanted]


@dataclass(frozen=True)
class _Gather:
    """Reads a span and puts the wanted rows of it into the cache."""

    manifest: Manifest
    store: Store
    wanted: Mapping[Span, Rows]
    keys: Mapping[Span, str]

    def __call__(self, span: Span, watch: Watch) -> None:
        found = []
        for piece in self.manifest.read(span):
            if watch.stopped():
                raise Stopped
            kept = np.flatnonzero(np.isin(piece.batch.row, self.wanted[span], assume_unique=True))
            if len(kept):
                found.append(_table(piece.batch, kept))
            watch.advance(int(piece.batch.offsets[-1] - piece.batch.offsets[0]))
        self.store.put_table(self.keys[span], found)


def _table(batch: Batch, at: Rows) -> pa.RecordBatch:
    columns = {
        "row": pa.array(batch.row[at]),
        "key": pa.array(batch.key[at]),
        "text": pa.array([batch.text_bytes(i) for i in at.tolist()], pa.large_binary()),
    }
    for name in COLUMNS:
        values = batch.columns.get(name)
        if isinstance(values, pa.Array):
            columns[name] = values.take(pa.array(at)).cast(pa.large_string())
        elif values is not None:
            chosen = np.ascontiguousarray(values[at])
            flat = pa.array(chosen.reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, chosen.shape[1]) if chosen.ndim == 2 else flat
    return pa.RecordBatch.from_pydict(columns)
