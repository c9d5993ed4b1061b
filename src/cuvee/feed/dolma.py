"""Dolma's document files: ``documents/*.jsonl.gz``, each row ``{"id", "text", "source", "metadata": {...}}``.

Soldaini et al., "Dolma: an Open Corpus of Three Trillion Tokens for Language Model Pretraining Research", 2024. The
source is the row's domain, or the name of its file; a row without an id is named after its file and row number. A row
that is written several times keeps its id.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import pyarrow as pa

from ..errors import DataError, UsageError
from ..source.base import Spec
from ..source.files import plain
from .jsonl import Lines, lines_batch
from .reach import Block, drained
from .records import Records
from .roles import Parts, parse, split


class Dolma(Lines):
    """Documents as the Dolma toolkit reads them."""

    folder = "documents"

    def __init__(self, spec: Spec) -> None:
        if spec.text is None:
            raise UsageError("The Dolma format needs texts, and this pool has none. Write parquet or jsonl instead.")
        super().__init__("gzip")
        self.records = Records(spec)
        self.named = 0

    def prepare(self, block: Block) -> pa.RecordBatch:
        if isinstance(block.items, list):
            lines = zip(drained(block.items), block.row.tolist(), strict=True)
            return lines_batch(
                [self._document(parse(line, self.records, block.file, row), block.file, row) for line, row in lines]
            )
        records = self.records.rows(block.items, block.file)
        rows = zip(records, block.row.tolist(), strict=True)
        return lines_batch([self._document(split(record, self.records.spec), block.file, row) for record, row in rows])

    def _document(self, parts: Parts, file: str, row: int) -> bytes | bytearray:
        if parts.text is None:
            raise DataError(f"{plain(file)}, row {row:,}: has no text. The pool changed: make the selection again.")
        self.named += parts.id is None
        document = {
            "id": f"{file}:{row}" if parts.id is None else parts.id,
            "text": parts.text,
            "source": PurePosixPath(file).name if parts.domain is None else parts.domain,
            "metadata": parts.rest,
        }
        return self.records.line(document, file, row)

    def notes(self) -> list[str]:
        named = f"{self.named:,} documents without an id are named after their file and row"
        return ([named] if self.named else []) + self.records.notes()
