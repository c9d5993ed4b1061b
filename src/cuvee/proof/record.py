"""One finished trial, and how it is written: a Parquet file of one row, sealed by a digest of its bytes."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core import Trial
from .proxy import Measured, Point

FORMAT = 1
"""Raised when an older cuvee could misread a file."""

_DOUBLES = pa.list_(pa.float64())
_LOSSES = pa.struct([("evaluation", pa.string()), ("loss", _DOUBLES), ("size", _DOUBLES), ("correct", _DOUBLES)])
_POINT = pa.struct([("tokens", pa.int64()), ("loss", pa.map_(pa.string(), pa.float64()))])
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("arm", pa.string()),
        ("selection", pa.string()),
        ("recipe", pa.string()),
        ("recipe_json", pa.string()),
        ("seed", pa.int64()),
        ("status", pa.string()),
        ("evaluations", pa.map_(pa.string(), pa.string())),
        ("cost", pa.map_(pa.string(), pa.float64())),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("curve", pa.list_(_POINT)),
        ("losses", pa.list_(_LOSSES)),
        ("versions", pa.map_(pa.string(), pa.string())),
        ("hardware", pa.map_(pa.string(), pa.string())),
        ("started", pa.timestamp("us", "UTC")),
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True, eq=False)
class Record:
    """A finished or diverged trial.

    Attributes:
        key: digest of selection, recipe, seed and evaluation sets; the file's name.
        arm, selection, recipe, seed, status, cost, metrics: see :class:`cuvee.core.Trial`.
        recipe_json: the recipe, as :func:`cuvee.proof.recipes.to_json` writes it.
        evaluations: digest by name, of the examples in their order.
        curve, measured: see :class:`cuvee.proof.proxy.Outcome`; ``measured`` is empty if the trial diverged.
        versions, hardware: what the bits and the seconds may depend on.
        started: UTC, of the last attempt; ``seconds``: of training and measuring, earlier attempts included.
    """

    key: str
    arm: str
    selection: str
    recipe: str
    recipe_json: str
    seed: int
    status: Literal["finished", "diverged"]
    evaluations: Mapping[str, str]
    cost: Mapping[str, float]
    metrics: Mapping[str, float]
    curve: tuple[Point, ...]
    measured: Mapping[str, Measured]
    versions: Mapping[str, str]
    hardware: Mapping[str, str]
    started: datetime
    seconds: float

    def trial(self) -> Trial:
        """What laws and reports learn from."""
        return Trial(self.arm, self.selection, self.recipe, self.seed, self.status, self.cost, self.metrics)


def encode(record: Record) -> bytes:
    """The record as a sealed Parquet file with page checksums."""
    losses = [
        {"evaluation": name, "loss": one.loss, "size": one.size, "correct": one.correct}
        for name, one in sorted(record.measured.items())
    ]
    plain = (
        "key arm selection recipe recipe_json seed status evaluations cost metrics versions hardware started seconds"
    )
    row: dict[str, Any] = {name: getattr(record, name) for name in plain.split()}
    for name in ("evaluations", "cost", "metrics", "versions", "hardware"):
        row[name] = sorted(row[name].items())
    row["curve"] = [{"tokens": one.tokens, "loss": sorted(one.loss.items())} for one in record.curve]
    row["losses"] = losses
    table = pa.Table.from_arrays([pa.array([row[one.name]], one.type) for one in SCHEMA], schema=SCHEMA)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd", write_page_checksum=True, write_statistics=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"cuvee.ledger": str(FORMAT), "cuvee.seal": _OPEN.decode()})
    raw = sink.getvalue()
    found = _SEAL.search(raw, max(0, len(raw) - _FOOTER))
    assert found is not None
    return _with_seal(raw, found.span(1), _digest(raw))


def decode(raw: bytes) -> Record:
    """The record in an intact file of a known format."""
    # Not read_table: its threads may let go of these bytes after the interpreter has begun to end, which aborts it.
    with pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True) as file:
        table = file.read(columns=SCHEMA.names, use_threads=False)
    small = table.drop_columns(["losses", "curve"]).to_pylist(maps_as_pydicts="strict")[0]
    curve = table.column("curve").to_pylist(maps_as_pydicts="strict")[0]
    measured = {}
    for one in table.column("losses")[0]:
        loss, size, correct = (_array(one[name]) for name in ("loss", "size", "correct"))
        assert loss is not None
        assert size is not None
        measured[one["evaluation"].as_py()] = Measured(loss, size, correct)
    return Record(**small, curve=tuple(Point(one["tokens"], one["loss"]) for one in curve), measured=measured)


def _array(value: Any) -> np.ndarray | None:
    return value.values.to_numpy(zero_copy_only=False) if value.is_valid else None


_OPEN = b"0" * 64
_SEAL = re.compile(rb"cuvee\.seal[^0-9a-f]{1,4}([0-9a-f]{64})")
_FOOTER = 1 << 16
"""The seal stands in the file's last bytes: the footer of one row takes 5 KB."""


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=32).hexdigest().encode()


def _with_seal(raw: bytes, at: tuple[int, int], seal: bytes) -> bytes:
    return raw[: at[0]] + seal + raw[at[1] :]


def intact(raw: bytes) -> bool:
    """Whether the bytes are those that were written: the seal in the footer is the digest of all others."""
    begin = max(0, len(raw) - _FOOTER)
    found = _SEAL.search(raw, begin)
    if found is None:
        return False
    return _digest(_with_seal(raw, found.span(1), _OPEN)) == found.group(1)


def format_of(raw: bytes) -> int:
    """The format's version that an intact file declares."""
    return int(pq.read_metadata(pa.BufferReader(raw)).metadata[b"cuvee.ledger"])
