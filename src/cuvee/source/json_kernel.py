"""A strict JSON parser for lines, compiled, that checks whole lines and captures a few values.

Every line must be one JSON object by RFC 8259; each wanted value is found by a small tree of keys, so that nested
objects cost nothing extra. A line's verdict is the first of these that applies: bad UTF-8, bad JSON or nesting beyond
512 levels, not an object, a lone surrogate, a wanted key twice, then the values in the order of :data:`SLOTS`.

The buffer must end with a newline at ``end - 1`` and have :data:`~cuvee.source.simd.SLACK` bytes behind it: the newline,
being no part of any legal token, stops every inner loop without a comparison against the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.kernel import kernel
from .base import Bad, Spec
from .simd import copy32, newline, special, utf8_step, utf8_valid

SLOTS = ("text", "id", "domain", "tokens", "label", "embedding")
DEPTH = 512
ABSENT, NULL, STRING, INTEGER, REAL, BOOLEAN, OBJECT, ARRAY, VECTOR = range(9)

_OK, _NO_TEXT, _EMPTY, _TEXT = int(Bad.OK), int(Bad.NO_TEXT), int(Bad.EMPTY_TEXT), int(Bad.TEXT_TYPE)
_JSON, _OBJECT, _UTF8, _SURROGATE = int(Bad.BAD_JSON), int(Bad.NOT_OBJECT), int(Bad.BAD_UTF8), int(Bad.SURROGATE)
_TWICE, _DEEP, _NO_ID, _ID = int(Bad.DUPLICATE_KEY), int(Bad.TOO_DEEP), int(Bad.NO_ID), int(Bad.ID_TYPE)
_TOKENS, _DOMAIN = int(Bad.TOKENS_TYPE), int(Bad.DOMAIN_TYPE)
_LABEL, _EMBEDDING = int(Bad.LABEL_TYPE), int(Bad.EMBEDDING_TYPE)

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Keys:
    """The wanted key paths as a tree: node 0 is the line's object; edge e leads from ``parent[e]`` by a key."""

    parent: Numbers
    child: Numbers
    key: Bytes
    key_end: Numbers
    slot: Numbers
    """Per node: the slot its value goes to, or -1."""
    alias: Numbers
    """Per slot: the slot that captures the same path (itself, when it is the first), or -1 when not wanted."""

    @classmethod
    def of(cls, spec: Spec) -> Keys:
        nodes: dict[tuple[int, str], int] = {}
        slots: list[int] = [-1]
        alias = np.full(len(SLOTS), -1, np.int64)

        def node(parent: int, key: str) -> int:
            if (parent, key) not in nodes:
                nodes[parent, key] = len(slots)
                slots.append(-1)
            return nodes[parent, key]

        for number, role in enumerate(SLOTS):
            path = getattr(spec, role)
            if path is None:
                continue
            at = 0
            for part in path.split("."):
                at = node(at, part)
            nodes.setdefault((0, path), at)  # a key that contains the dots itself
            at = nodes[0, path] if "." in path else at
            if slots[at] < 0:
                slots[at] = number
            alias[number] = slots[at]
        spelled = [key.encode() for _, key in nodes]
        return cls(
            parent=np.array([parent for parent, _ in nodes], np.int64),
            child=np.array(list(nodes.values()), np.int64),
            key=np.frombuffer(b"".join(spelled) + b"\0", np.uint8),
            key_end=np.cumsum([0] + [len(key) for key in spelled]).astype(np.int64),
            slot=np.array(slots, np.int64),
            alias=alias,
        )

    def arrays(self) -> tuple[Any, ...]:
        return self.parent, self.child, self.key, self.key_end, self.slot, self.alias


@kernel
def _hex4(buf: Bytes, i: int) -> int:
    """The value of four hexadecimal digits at i, -1 when they are none."""
    value = 0
    for k in range(4):
        c = np.int64(buf[i + k])
        if 48 <= c <= 57:
            digit = c - 48
        elif 65 <= c <= 70:
            digit = c - 55
        elif 97 <= c <= 102:
            digit = c - 87
        else:
            return -1
        value = value * 16 + digit
    return value


@kernel
def _string(buf: Bytes, i: int, end: int, out: Bytes, o: int) -> tuple[int, int, int]:
    """Decode the string whose opening quote stands before i; returns (behind the closing quote, end of output, verdict).

    A lone surrogate is a verdict but does not stop the scan, since the rest may be worse.
    """
    verdict = _OK
    while True:
        run = special(buf, i)
        copy32(out, o, buf, i)
        i += run
        o += run
        if run == 32:
            continue
        c = buf[i]
        if c == 34:
            return i + 1, o, verdict
        if c == 92:
            c = buf[i + 1]
            i += 2
            if c == 110:
                out[o] = 10
            elif c == 34 or c == 92 or c == 47:
                out[o] = c
            elif c == 116:
                out[o] = 9
            elif c == 114:
                out[o] = 13
            elif c == 98:
                out[o] = 8
            elif c == 102:
                out[o] = 12
            elif c == 117:
                code = _hex4(buf, i)
                if code < 0:
                    return i, o, _JSON
                i += 4
                if 0xD800 <= code < 0xE000:
                    low = np.int64(-1)
                    if code < 0xDC00 and buf[i] == 92 and buf[i + 1] == 117:
                        low = _hex4(buf, i + 2)
                    if 0xDC00 <= low < 0xE000:
                        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                        i += 6
                    else:
                        verdict = _SURROGATE
                        continue
                if code < 0x80:
                    out[o] = code
                    o += 1
                elif code < 0x800:
                    out[o] = 0xC0 | (code >> 6)
                    out[o + 1] = 0x80 | (code & 63)
                    o += 2
                elif code < 0x10000:
                    out[o] = 0xE0 | (code >> 12)
                    out[o + 1] = 0x80 | ((code >> 6) & 63)
                    out[o + 2] = 0x80 | (code & 63)
                    o += 3
                else:
                    out[o] = 0xF0 | (code >> 18)
                    out[o + 1] = 0x80 | ((code >> 12) & 63)
                    out[o + 2] = 0x80 | ((code >> 6) & 63)
                    out[o + 3] = 0x80 | (code & 63)
                    o += 4
                continue
            else:
                return i - 2, o, _JSON
            o += 1
            continue
        if c < 32:
            return i, o, _JSON
        while buf[i] >= 0x80:
            length = utf8_step(buf, i, end)
            if length == 0:
                return i, o, _UTF8
            for _ in range(length):
                out[o] = buf[i]
                o += 1
                i += 1


@kernel
def _number(buf: Bytes, i: int) -> tuple[int, int]:
    """(behind the number at i, INTEGER or REAL); kind ABSENT when it breaks the grammar."""
    if buf[i] == 45:
        i += 1
    if buf[i] == 48:
        i += 1
    elif 49 <= buf[i] <= 57:
        while 48 <= buf[i] <= 57:
            i += 1
    else:
        return i, ABSENT
    kind = INTEGER
    if buf[i] == 46:
        kind = REAL
        i += 1
        if not 48 <= buf[i] <= 57:
            return i, ABSENT
        while 48 <= buf[i] <= 57:
            i += 1
    if buf[i] == 101 or buf[i] == 69:
        kind = REAL
        i += 1
        if buf[i] == 43 or buf[i] == 45:
            i += 1
        if not 48 <= buf[i] <= 57:
            return i, ABSENT
        while 48 <= buf[i] <= 57:
            i += 1
    return i, kind


@kernel
def whole_number(text: Bytes, start: int, end: int) -> int:
    """The value of a JSON number literal if it is a whole number from 0 to 2^63 - 1, else -1. Exact."""
    i = start
    negative = text[i] == 45
    if negative:
        i += 1
    digits = 0
    point = 0
    pending = 0  # zeros not yet known to matter
    behind = False
    while i < end:
        c = np.int64(text[i])
        i += 1
        if c == 46:
            behind = True
            continue
        if c == 101 or c == 69:
            break
        if behind:
            point -= 1
        if c == 48:
            if digits:
                pending += 1
            continue
        for _ in range(pending + 1):
            if digits > 922337203685477580:
                return -1
            digits *= 10
        pending = 0
        if digits > 9223372036854775807 - (c - 48):
            return -1
        digits += c - 48
    if digits == 0:
        return 0
    exponent = 0
    if i < end:
        below = text[i] == 45
        if text[i] == 43 or below:
            i += 1
        while i < end:
            exponent = min(exponent * 10 + np.int64(text[i]) - 48, 100_000_000_000)
            i += 1
        if below:
            exponent = -exponent
    exponent += point + pending
    if negative or exponent < 0 or exponent > 18:
        return -1
    for _ in range(exponent):
        if digits > 922337203685477580:
            return -1
        digits *= 10
    return digits


@kernel
def _vector(buf: Bytes, start: int, end: int) -> bool:
    """Whether the valid JSON array ``buf[start:end]`` holds numbers only, at least one."""
    some = False
    for i in range(start + 1, end - 1):
        c = buf[i]
        if 48 <= c <= 57:
            some = True
        elif not (c == 32 or c == 9 or c == 13 or 43 <= c <= 46 or c == 101 or c == 69):
            return False
    return some


@kernel
def _line(
    buf: Bytes, i: int, end: int, row: int, parent: Numbers, child: Numbers, key: Bytes, key_end: Numbers,
    slot: Numbers, store: Bytes, at: Numbers, kind: Bytes, seen: Numbers, closers: Bytes, nodes: Numbers,
) -> tuple[int, int]:  # fmt: skip
    """Parse one line from i; returns (where it stopped, verdict). ``at`` moves on by what was captured."""
    depth = 0
    verdict = _OK
    top = True
    node = np.int64(0)
    span = np.int64(-1)
    span_depth = -1
    while True:
        # --- a value, whose node is `node` ---
        while buf[i] == 32 or buf[i] == 9 or buf[i] == 13:
            i += 1
        c = buf[i]
        place = slot[node] if node >= 0 and not top else np.int64(-1)
        if top and c != 123:
            verdict = _OBJECT
            node = np.int64(-1)
        top = False
        opened = False
        if c == 34:
            if place >= 0:
                i, at[place], found = _string(buf, i + 1, end, store[place], at[place])
                kind[place] = STRING
            else:
                i, _, found = _string(buf, i + 1, end, store[0], at[0])
            if found == _SURROGATE:
                verdict = _SURROGATE if verdict != _OBJECT else verdict
            elif found != _OK:
                return i, found
        elif c == 123 or c == 91:
            if depth == DEPTH:
                return i, _DEEP
            closers[depth] = c + 2
            nodes[depth] = node if c == 123 else -1
            depth += 1
            if place >= 0:
                kind[place] = OBJECT if c == 123 else ARRAY
                if c == 91 and place == 5:
                    span = np.int64(i)
                    span_depth = depth
            i += 1
            opened = True
        else:
            begin = i
            if c == 45 or 48 <= c <= 57:
                i, what = _number(buf, i)
                if what == ABSENT:
                    return i, _JSON
            elif c == 116 and buf[i + 1] == 114 and buf[i + 2] == 117 and buf[i + 3] == 101:
                what = BOOLEAN
                i += 4
            elif (
                c == 102 and buf[i + 1] == 97 and buf[i + 2] == 108 and buf[i + 3] == 115 and buf[i + 4] == 101
            ):
                what = BOOLEAN
                i += 5
            elif c == 110 and buf[i + 1] == 117 and buf[i + 2] == 108 and buf[i + 3] == 108:
                what = NULL
                i += 4
            else:
                return i, _JSON
            if place >= 0:
                kind[place] = what
                o = at[place]
                for k in range(begin, i):
                    store[place, o] = buf[k]
                    o += 1
                at[place] = o
        # --- what follows: the end of containers, a comma, or a key ---
        while True:
            while buf[i] == 32 or buf[i] == 9 or buf[i] == 13:
                i += 1
            c = buf[i]
            if depth == 0:
                return i, verdict if c == 10 else _JSON
            closer = closers[depth - 1]
            if c == closer:
                i += 1
                if depth == span_depth:
                    span_depth = -1
                    if _vector(buf, span, i):
                        kind[5] = VECTOR
                        o = at[5]
                        for k in range(span + 1, i - 1):
                            store[5, o] = buf[k]
                            o += 1
                        at[5] = o
                depth -= 1
                opened = False
                continue
            if not opened:
                if c != 44:
                    return i, _JSON
                i += 1
            break
        node = np.int64(-1)
        if closer == 93:
            continue
        while buf[i] == 32 or buf[i] == 9 or buf[i] == 13:
            i += 1
        if buf[i] != 34:
            return i, _JSON
        base = at[0]
        i, stop, found = _string(buf, i + 1, end, store[0], base)
        if found == _SURROGATE:
            verdict = _SURROGATE if verdict != _OBJECT else verdict
        elif found != _OK:
            return i, found
        inside = nodes[depth - 1]
        if inside >= 0:
            size = stop - base
            for e in range(len(parent)):
                if parent[e] == inside and key_end[e + 1] - key_end[e] == size:
                    same = True
                    for k in range(size):
                        if key[key_end[e] + k] != store[0, base + k]:
                            same = False
                            break
                    if same:
                        node = child[e]
                        if seen[node] == row:
                            verdict = _TWICE if verdict == _OK else verdict
                            node = np.int64(-1)
                        else:
                            seen[node] = row
                        break
        while buf[i] == 32 or buf[i] == 9 or buf[i] == 13:
            i += 1
        if buf[i] != 58:
            return i, _JSON
        i += 1


@kernel
def _judge(kind: Bytes, alias: Numbers, size: int, tokens: int) -> int:
    """The verdict over the captured values of a well-formed line."""
    if alias[0] >= 0:
        if kind[0] <= NULL:
            return _NO_TEXT
        if kind[0] != STRING:
            return _TEXT
        if size == 0:
            return _EMPTY
    if alias[1] >= 0:
        if kind[1] == ABSENT:
            return _NO_ID
        if kind[1] != STRING and kind[1] != INTEGER:
            return _ID
    if alias[3] >= 0 and tokens < 0:
        return _TOKENS
    if alias[2] >= 0 and kind[2] >= OBJECT:
        return _DOMAIN
    if alias[4] >= 0 and kind[4] >= OBJECT:
        return _LABEL
    if alias[5] >= 0 and kind[5] != VECTOR:
        return _EMBEDDING
    return _OK


@kernel
def parse_lines(
    buf: Bytes, i: int, end: int, rows: int, first_line: int, parent: Numbers, child: Numbers, key: Bytes,
    key_end: Numbers, slot: Numbers, alias: Numbers, store: Bytes, ends: Numbers, kinds: Bytes, tokens: Numbers,
    bad: Bytes, line: Numbers,
) -> tuple[int, int, int]:  # fmt: skip
    """Parse up to ``rows`` non-blank lines of ``buf[i:end]``; returns (where it stopped, rows, next line number).

    Outputs: ``store`` (slots, bytes), ``ends`` (slots, rows + 1), ``kinds`` (slots, rows), and one entry per row in
    ``tokens``, ``bad`` and ``line``.
    """
    slots = len(alias)
    at = np.zeros(slots, np.int64)
    kind = np.zeros(slots, np.uint8)
    seen = np.full(len(slot), -1, np.int64)
    closers = np.zeros(DEPTH, np.uint8)
    nodes = np.zeros(DEPTH, np.int64)
    number = first_line
    row = 0
    while i < end and row < rows:
        begin = i
        while buf[i] == 32 or buf[i] == 9 or buf[i] == 13:
            i += 1
        if buf[i] == 10:
            i += 1
            number += 1
            continue
        kind[:] = ABSENT
        i, verdict = _line(
            buf, i, end, row, parent, child, key, key_end, slot, store, at, kind, seen, closers, nodes
        )
        while True:
            ahead = newline(buf, i)
            i += ahead
            if ahead < 32:
                break
        if (verdict == _JSON or verdict == _DEEP) and not utf8_valid(buf, begin, i):
            verdict = _UTF8
        value = np.int64(-1)
        if verdict == _OK:
            for s in range(slots):
                a = alias[s]
                if a >= 0 and a != s:
                    kind[s] = kind[a]
                    for k in range(ends[a, row], at[a]):
                        store[s, at[s]] = store[a, k]
                        at[s] += 1
            if kind[3] == INTEGER or kind[3] == REAL:
                value = whole_number(store[3], ends[3, row], at[3])
            verdict = _judge(kind, alias, at[0] - ends[0, row], value)
        tokens[row] = max(value, 0)
        bad[row] = verdict
        line[row] = number
        for s in range(slots):
            if verdict != _OK or kind[s] <= NULL:
                kind[s] = NULL
                at[s] = ends[s, row]
            kinds[s, row] = kind[s]
            ends[s, row + 1] = at[s]
        row += 1
        i += 1
        number += 1
    return i, row, number


@kernel
def count_lines(
    buf: Bytes, size: int, base: int, every: int, state: Numbers, cuts: Numbers
) -> int:
    """Count over ``buf[:size]``, which begins at file offset ``base`` and has slack behind it.

    ``state`` is carried on: [rows, lines, whether the open line has more than blanks, next offset to cut at]. A cut
    (offset, rows and lines before it) is written at the first line border at or behind every multiple of ``every``.
    """
    i = 0
    count = 0
    while i < size:
        if state[2] == 0:
            while i < size and (buf[i] == 32 or buf[i] == 9 or buf[i] == 13):
                i += 1
            if i < size and buf[i] != 10:
                state[2] = 1
        while i < size:
            ahead = newline(buf, i)
            i += ahead
            if ahead < 32:
                break
        if i >= size:
            break
        i += 1
        state[0] += state[2]
        state[1] += 1
        state[2] = 0
        if base + i >= state[3]:
            cuts[count, 0] = base + i
            cuts[count, 1] = state[0]
            cuts[count, 2] = state[1]
            count += 1
            state[3] = (base + i) // every * every + every
    return count
