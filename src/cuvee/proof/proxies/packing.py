"""Documents as rows of one length, so that no computation is spent on padding.

A document of tokens d1 ... dn is read as "separator d1 ... dn" and has to be predicted as "d1 ... dn separator": every
token, and the end of every document, is a target exactly once. Nothing is dropped; what is left of a row is padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import Batch
from ...engine.draw import bits
from .tokens import Tokens

IGNORED = -1
"""Target and document of padding."""


@dataclass(frozen=True)
class Rows:
    """Packed documents.

    Attributes:
        inputs, targets: int32, (r, context).
        document: int32, (r, context): which document a token belongs to, of which the model may look at earlier ones.
        key: uint64, (r,): mixed from the key of the row's first document and the row's offset in it.
        domain: int32, (r,): that of the row's first document.
    """

    inputs: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    document: npt.NDArray[np.int32]
    key: npt.NDArray[np.uint64]
    domain: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.key)


def pack(batch: Batch, tokens: Tokens, context: int, separator: int) -> Rows:
    """Training rows: each domain's documents in the order of their keys, chained and cut every ``context`` tokens.

    What is left of each domain after its last whole row is joined, domain after domain, and cut likewise. So every row
    holds a single domain but at most one a domain, and only the last row is padded. A document that goes over a cut is
    continued in another row, whose tokens then see nothing of its part before: of a document of n tokens, about
    n / context tokens have lost all they could have seen. ``document`` counts by domain and key. Depends on the set of
    (key, text, domain) alone, not on the order of ``batch``.
    """
    order = in_order(batch)
    order = order[np.argsort(_domains(batch)[order], kind="stable")]
    stream, starts = chain(tokens, order, separator)
    total, owner = int(starts[-1]), _domains(batch)[order]
    document = np.repeat(np.arange(len(order), dtype=np.int32), np.diff(starts))
    begins = starts[:-1][np.flatnonzero(np.diff(owner, prepend=owner[:1] - 1))]
    sizes = np.diff(begins, append=total)  # tokens of each domain
    whole = np.arange(total) - np.repeat(begins, sizes) < np.repeat(sizes // context * context, sizes)
    place = np.concatenate([np.flatnonzero(whole), np.flatnonzero(~whole)])
    rows = -(-total // context)
    inputs, targets = np.full(rows * context, separator, np.int32), np.full(rows * context, IGNORED, np.int32)
    held = np.full(rows * context, IGNORED, np.int32)
    inputs[:total], targets[:total], held[:total] = stream[:-1][place], stream[1:][place], document[place]
    cuts = place[::context]
    first = document[cuts]
    offset = (cuts - starts[first]).astype(np.uint64)
    key = bits(0, "packed row", batch.key[order][first] ^ bits(0, "offset in document", offset))
    shape = (rows, context)
    return Rows(inputs.reshape(shape), targets.reshape(shape), held.reshape(shape), key, owner[first])


def windows(tokens: Tokens, context: int, separator: int) -> Rows:
    """Rows for measuring: each document is cut every ``context`` tokens from its own begin, and the windows are packed.

    So a document's windows do not depend on the other documents. Windows of one document never share a row.
    ``document`` holds places; ``key`` and ``domain`` mean nothing here.
    """
    stream, starts = chain(tokens, np.arange(len(tokens.offsets) - 1), separator)
    pieces = [
        (min(context, end - at), place, at)
        for place, (begin, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
        for at in range(begin, end, context)
    ]
    pieces.sort(key=lambda piece: (-piece[0], piece[1], piece[2]))
    free: list[list[int]] = [[] for _ in range(context + 1)]  # rows by the room that they have left
    shape = (len(pieces), context)
    inputs = np.full(shape, separator, np.int32)
    targets, document = np.full(shape, IGNORED, np.int32), np.full(shape, IGNORED, np.int32)
    rows = 0
    for size, place, at in pieces:
        room = next((one for one in range(size, context) if free[one]), context)
        row = free[room].pop() if room < context else rows
        rows = max(rows, row + 1)
        to = slice(context - room, context - room + size)
        inputs[row, to], targets[row, to], document[row, to] = stream[at : at + size], stream[at + 1 :][:size], place
        free[room - size].append(row)
    nothing = np.zeros(rows, np.int32)
    return Rows(inputs[:rows], targets[:rows], document[:rows], nothing.astype(np.uint64), nothing)


def chain(
    tokens: Tokens, order: npt.NDArray[np.int64], separator: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The texts in this order, each after a separator, and one at the end; and where each begins, with the last end.

    Inputs are all but the last of these tokens, targets all but the first.
    """
    sizes = np.diff(tokens.offsets)[order] + 1
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    stream = np.full(int(starts[-1]) + 1, separator, np.int32)
    for begin, size, place in zip(starts[:-1].tolist(), sizes.tolist(), order.tolist(), strict=True):
        first = tokens.offsets[place]
        stream[begin + 1 : begin + size] = tokens.ids[first : first + size - 1]
    return stream, starts


def in_order(batch: Batch) -> npt.NDArray[np.int64]:
    """The places of the texts by key, and by content where keys are equal."""
    order = np.argsort(batch.key, kind="stable")
    key = batch.key[order]
    if len(key) and (key[1:] == key[:-1]).any():
        order = np.array(sorted(range(len(key)), key=lambda i: (int(batch.key[i]), batch.text_bytes(i))), np.int64)
    return order


def domain_names(batch: Batch) -> tuple[str, ...]:
    """What the codes of :class:`Rows` stand for; empty without a column of names."""
    column: Any = batch.columns.get("domain")
    if column is None or np.asarray(column).dtype.kind in "iu":
        return ()
    return tuple(np.unique(np.asarray(column).astype(str)).tolist())


def _domains(batch: Batch) -> npt.NDArray[np.int32]:
    """The column "domain" as codes (names in the order of their letters), all 0 without one."""
    column: Any = batch.columns.get("domain")
    if column is None:
        return np.zeros(len(batch), np.int32)
    names = np.asarray(column)
    if names.dtype.kind in "iu":
        return names.astype(np.int32)
    return np.unique(names.astype(str), return_inverse=True)[1].astype(np.int32)
