"""What is known about every row before any method runs: identity, content hash, size, tokens, domain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..core import Batch
from ..errors import DataError, MissingExtraError
from ..source.files import plain, reading
from .draw import uniform
from .manifest import Piece, content_keys
from .store import digest

SAMPLE_ROWS = 20_000
SAMPLE_BYTES = 4_000
"""Every pass for facts also keeps the heads of about this many uniformly drawn texts, for reports and estimates. A pool
of no more rows is kept whole; the draw is keyed, so it is the same for every run, sharding and seed."""

BYTES_PER_TOKEN = 4
"""The estimate used where neither a column nor a tokenizer gives counts: English prose has 4 to 4.5 bytes a token under
common byte-pair encodings, source code 3 to 4, and most other scripts fewer characters but similar bytes."""


def head(text: bytes, limit: int) -> bytes:
    """At most ``limit`` bytes of a UTF-8 text, cut between characters."""
    if len(text) <= limit:
        return text
    while limit and text[limit] & 0xC0 == 0x80:
        limit -= 1
    return text[:limit]


def _head_of(batch: Batch, i: int) -> bytes:
    """The sample's part of a text, without a copy of the whole."""
    begin, end = int(batch.offsets[i]), int(batch.offsets[i + 1])
    return head(batch.data[begin : min(end, begin + SAMPLE_BYTES + 1)].tobytes(), SAMPLE_BYTES)


@dataclass(frozen=True)
class Facts:
    """How facts are computed. ``tokenizer`` is the path of a Hugging Face ``tokenizer.json``."""

    tokenizer: str | None = None
    key: str = "id"
    """"id" identifies rows by their id column where there is one; "content" always by content."""

    def plan(self) -> str:
        """A digest that changes with every setting and with the tokenizer file's content."""
        content = None
        if self.tokenizer is not None:
            with reading(f"Tokenizer file {self.tokenizer}", advice="Name a file tokenizer.json."):
                content = digest(Path(self.tokenizer).read_text(encoding="utf-8"))
        return digest("facts", self.key, content)

    def counter(self) -> Any:
        """A function from a batch to token counts (int64), or None for the estimate."""
        if self.tokenizer is None:
            return None
        self.plan()  # a file that cannot be read is reported before a package that is missing
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingExtraError("tokenizers", "Counting tokens with a tokenizer file") from None
        try:
            tokenizer = Tokenizer.from_file(self.tokenizer)
        except Exception as error:  # the library raises bare Exception for malformed files
            reason = plain(str(error))
            raise DataError(f"{plain(self.tokenizer)} is no tokenizer file (tokenizer.json): {reason}") from error

        def count(batch: Batch) -> npt.NDArray[np.int64]:
            texts = [batch.text(i) for i in range(len(batch))]
            encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            return np.array([len(one) for one in encoded], np.int64)

        return count


class SpanFacts:
    """Collects the facts of one span's pieces and turns them into tables."""

    def __init__(self, counter: Any, by_id: bool, rows: int) -> None:
        self.counter, self.by_id = counter, by_id
        self.share = SAMPLE_ROWS / max(rows, 1)
        self.sampled: list[tuple[npt.NDArray[np.int64], list[bytes]]] = []
        self.parts: list[dict[str, Any]] = []
        self.ids: list[pa.Array] = []
        self.codes: dict[str, int] = {}
        self.bad: list[dict[str, npt.NDArray[Any]]] = []

    def add(self, piece: Piece) -> None:
        """Take in one piece."""
        batch = piece.batch
        if len(piece.bad["row"]):
            self.bad.append(piece.bad)
        if not len(batch):
            return
        size = np.diff(batch.offsets)
        content = content_keys(batch.data, batch.offsets, batch.columns) if "id" in batch.columns else batch.key
        if "tokens" in batch.columns:
            tokens = batch.columns["tokens"].astype(np.int64)
        elif self.counter is not None:
            tokens = self.counter(batch)
        else:
            tokens = np.maximum(1, (size + BYTES_PER_TOKEN // 2) // BYTES_PER_TOKEN)
        if "domain" in batch.columns:
            encoded = pc.dictionary_encode(pc.fill_null(batch.columns["domain"], "(none)"))
            names = encoded.dictionary.to_pylist()
            local = np.array([self.codes.setdefault(name, len(self.codes)) for name in names], np.int32)
            domain = local[encoded.indices.to_numpy(zero_copy_only=False)]
        else:
            self.codes.setdefault("(all)", 0)
            domain = np.zeros(len(batch), np.int32)
        if self.by_id:
            self.ids.append(batch.columns["id"].cast(pa.large_string()))
        drawn = np.flatnonzero(uniform(0, "sample", batch.key) < self.share)
        self.sampled.append((batch.row[drawn], [_head_of(batch, int(i)) for i in drawn]))
        self.parts.append(
            {
                "row": batch.row,
                "key": batch.key if self.by_id else content,
                "content": content,
                "bytes": size.astype(np.int64),
                "tokens": tokens,
                "domain": domain,
            }
        )

    def sample(self) -> pa.RecordBatch:
        """The rows drawn for the sample, with the heads of their texts."""
        return pa.RecordBatch.from_pydict(
            {
                "row": np.concatenate([rows for rows, _ in self.sampled] or [np.empty(0, np.int64)]),
                "text": pa.array([text for _, texts in self.sampled for text in texts], pa.large_binary()),
            }
        )

    def tables(self) -> tuple[pa.RecordBatch, dict[str, Any], pa.RecordBatch | None, pa.RecordBatch]:
        """(facts, note, ids or None, rejects)."""
        types = {"row": "i8", "key": "u8", "content": "u8", "bytes": "i8", "tokens": "i8", "domain": "i4"}
        columns = {
            name: np.concatenate([part[name] for part in self.parts] or [np.empty(0, kind)]).astype(kind, copy=False)
            for name, kind in types.items()
        }
        note = {
            "domains": list(self.codes),
            "totals": {
                "rows": len(columns["row"]),
                "tokens": int(columns["tokens"].sum()),
                "bytes": int(columns["bytes"].sum()),
            },
            "rejected": sum(len(bad["row"]) for bad in self.bad),
        }
        ids = None
        if self.by_id:
            ids = pa.RecordBatch.from_pydict({"id": pa.chunked_array(self.ids, pa.large_string()).combine_chunks()})
        rejects = pa.RecordBatch.from_pydict(
            {
                name: np.concatenate([bad[name] for bad in self.bad] or [np.empty(0, kind)])
                for name, kind in {"file": "i8", "row": "i8", "line": "i8", "code": "u1"}.items()
            }
        )
        return pa.RecordBatch.from_pydict(columns), note, ids, rejects
