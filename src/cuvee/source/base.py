"""What a reader of one file must offer, so that the engine can cut any pool into the same chunks.

A *row* is one document as it stands in the file, good or bad: a non-blank JSONL line, a Parquet or Arrow row, a CSV
record, a whole text file, one row of an array. Rows are numbered from 0 within their file. Bad rows keep their number
and get a reason; readers never drop, merge or invent one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt


class Bad(IntEnum):
    """Why a row cannot be used; 0 is a good row."""

    OK = 0
    NO_TEXT = 1
    EMPTY_TEXT = 2
    TEXT_TYPE = 3
    BAD_JSON = 4
    NOT_OBJECT = 5
    BAD_UTF8 = 6
    SURROGATE = 7
    DUPLICATE_KEY = 8
    TOO_DEEP = 9
    TOO_LONG = 10
    NO_ID = 11
    ID_TYPE = 12
    TOKENS_TYPE = 13
    NOT_FINITE = 14
    DOMAIN_TYPE = 15
    BAD_RECORD = 16
    LABEL_TYPE = 17
    EMBEDDING_TYPE = 18
    LABEL_NOT_FINITE = 19


REASON: dict[Bad, str] = {
    Bad.NO_TEXT: "no text",
    Bad.EMPTY_TEXT: "empty text",
    Bad.TEXT_TYPE: "text is not a string",
    Bad.BAD_JSON: "bad JSON",
    Bad.NOT_OBJECT: "not a JSON object",
    Bad.BAD_UTF8: "bad UTF-8",
    Bad.SURROGATE: "lone surrogate",
    Bad.DUPLICATE_KEY: "the same key twice",
    Bad.TOO_DEEP: "nested too deep",
    Bad.TOO_LONG: "longer than the row limit",
    Bad.NO_ID: "no id",
    Bad.ID_TYPE: "id is neither a string nor an integer",
    Bad.TOKENS_TYPE: "token count is not a whole number of at least 0",
    Bad.NOT_FINITE: "NaN or infinity",
    Bad.DOMAIN_TYPE: "domain is neither a string nor a number",
    Bad.BAD_RECORD: "wrong number of fields",
    Bad.LABEL_TYPE: "label is neither a string nor a number",
    Bad.EMBEDDING_TYPE: "embedding is not a list of numbers of the file's length",
    Bad.LABEL_NOT_FINITE: "label is NaN or infinity",
}


_BY_CONTENT = "identify rows by their content with --key content"
_OTHER_TEXT = "name the column of the texts with --text"
_OTHER_VECTORS = "name another column with --embedding"
_REMEDY: dict[Bad, str] = {
    Bad.NO_TEXT: _OTHER_TEXT,
    Bad.EMPTY_TEXT: _OTHER_TEXT,
    Bad.TEXT_TYPE: _OTHER_TEXT,
    Bad.NO_ID: _BY_CONTENT,
    Bad.ID_TYPE: _BY_CONTENT,
    Bad.TOKENS_TYPE: "leave the column out with --token-column none",
    Bad.DOMAIN_TYPE: "leave the column out with --domain none",
    Bad.LABEL_TYPE: "leave the column out with --label none",
    Bad.LABEL_NOT_FINITE: "name another column with --label",
    Bad.NOT_FINITE: _OTHER_VECTORS,
    Bad.EMBEDDING_TYPE: _OTHER_VECTORS,
}


def remedies(reasons: Iterable[str], text: bool = True) -> list[str]:
    """What helps against these reasons (values of REASON) besides mending the rows; ``text`` includes --text."""
    said = set(reasons)
    found = dict.fromkeys(_REMEDY[bad] for bad, reason in REASON.items() if reason in said and bad in _REMEDY)
    return [words for words in found if text or words != _OTHER_TEXT]


@dataclass(frozen=True)
class Spec:
    """Which columns play which role; ``None`` means absent. A dot reaches into nested objects ("metadata.source")."""

    text: str | None = "text"
    id: str | None = None
    domain: str | None = None
    tokens: str | None = None
    embedding: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Segment:
    """A run of rows that can be reached without reading what stands before it."""

    first_row: int
    rows: int
    bytes: int
    """Estimate of the text bytes in it, for planning only."""
    position: int
    """Where it begins: byte offset, row group, record batch or row number, as the reader likes."""
    line: int = 1
    """Number of the line it begins at, for formats that have lines."""


@dataclass(frozen=True)
class Index:
    """The shape of one file, cheap to compute and to store as JSON."""

    rows: int
    segments: tuple[Segment, ...]


@dataclass
class RawBatch:
    """Consecutive rows of one file as read; bad rows have a reason and an empty text.

    Attributes:
        first_row: number of the first row in the file.
        data, offsets: texts as in :class:`cuvee.core.Batch`; n + 1 offsets (all zero without texts).
        bad: uint8, (n,): a :class:`Bad` per row.
        line: int64, (n,) or None: 1-based line numbers in the file where they differ from the row number + 1.
        columns: by role: "id" (Arrow string array), "domain" (Arrow string array, nulls allowed),
            "tokens" (int64 NumPy), "embedding" (float32 (n, d)), "label" (NumPy or Arrow string). Strings are always
            ``large_string``; ids keep their digits, so they are strings, too. Bad rows hold null, 0 or zeros.
    """

    first_row: int
    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    bad: npt.NDArray[np.uint8]
    line: npt.NDArray[np.int64] | None = None
    columns: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.bad)


class Source(ABC):
    """One file of a pool. Opened lazily; every method may be called from several threads."""

    path: str
    format: str

    @abstractmethod
    def fields(self) -> list[str]:
        """Column names as the file tells them (for JSONL, those of the first usable rows)."""

    def fault(self) -> str:
        """Why there are no column names, as the end of a sentence about the file; asked only if ``fields`` is empty."""
        return "it has no columns"

    @abstractmethod
    def index(self) -> Index:
        """Count the rows and find where reading may begin. Raises DataError naming the file."""

    @abstractmethod
    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        """Batches from row ``start.first_row + skip`` to the END OF THE FILE (across later segments), each of at
        most about 4 MB of text and 4,096 rows unless one row is larger. The caller stops when it has enough."""

    @abstractmethod
    def rows(self, start: Segment, skip: int) -> Iterator[Any]:
        """Whole rows from the same place to the end of the file, unchanged, for writing them out again: raw line
        bytes without line end (JSONL) or Arrow record batches with every column (all other formats). Good and bad
        rows alike, so that they count as ``read`` counts."""

    @abstractmethod
    def stamp(self) -> str:
        """Hex digest that changes when the content does: size, times, inode (local files), first and last 64 KB.

        Cheap, for cache keys; the path is not part of it."""
