"""A strict JSON parser for lines, compiled, that checks whole lines and captures a few values.

Every line must be one JSON object by RFC 8259; each wanted value is found by a small tree of keys, so that nested
objects cost nothing extra. A line's verdict is the first of these that applies: bad UTF-8, bad JSON or nesting beyond
512 levels, not an object, a lone surrogate, a wanted key twice, then the values in the order of :data:`SLOTS`.

The buffer must end with a newline at ``end - 1`` and have :data:`~cuvee.source.simd.SLACK` bytes behind it: the
newline, being no part of any legal token, stops every inner loop without a comparison against the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cuvee.engine.kernel import kernel

from .base import Bad
from .json_tokens import (
    ABSENT,
    ARRAY,
    BOOLEAN,
    INTEGER,
    NULL,
    OBJECT,
    REAL,
    STRING,
    VECTOR,
    Bytes,
    Numbers,
    only_numbers,
    read_number,
    read_string,
    whole_number,
)
from .simd import newline, utf8_valid

DEPTH = 512

_OK, _NO_TEXT, _EMPTY, _TEXT = int(Bad.OK), int(Bad.NO_TEXT), int(Bad.EMPTY_TEXT), int(Bad.TEXT_TYPE)
_JSON, _OBJECT, _UTF8, _SURROGATE = int(Bad.BAD_JSON), int(Bad.NOT_OBJECT), int(Bad.BAD_UTF8), int(Bad.SURROGATE)
_TWICE, _DEEP, _NO_ID, _ID = int(Bad.DUPLICATE_KEY), int(Bad.TOO_DEEP), int(Bad.NO_ID), int(Bad.ID_TYPE)
_TOKENS, _DOMAIN, _LONG = int(Bad.TOKENS_TYPE), int(Bad.DOMAIN_TYPE), int(Bad.TOO_LONG)
_LABEL, _EMBEDDING = int(Bad.LABEL_TYPE), int(Bad.EMBEDDING_TYPE)


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
    span: Any = np.int64(-1)
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
                i, at[place], found = read_string(buf, i + 1, end, store[place], at[place])
                kind[place] = STRING
            else:
                i, _, found = read_string(buf, i + 1, end, store[0], at[0])
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
                i, what = read_number(buf, i)
                if what == ABSENT:
                    return i, _JSON
            elif c == 116 and buf[i + 1] == 114 and buf[i + 2] == 117 and buf[i + 3] == 101:
                what = BOOLEAN
                i += 4
            elif c == 102 and buf[i + 1] == 97 and buf[i + 2] == 108 and buf[i + 3] == 115 and buf[i + 4] == 101:
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
                    if only_numbers(buf, span, i):
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
        i, stop, found = read_string(buf, i + 1, end, store[0], base)
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
    buf: Bytes, i: int, end: int, rows: int, first_line: int, limit: int, parent: Numbers, child: Numbers,
    key: Bytes, key_end: Numbers, slot: Numbers, alias: Numbers, store: Bytes, ends: Numbers, kinds: Bytes,
    tokens: Numbers, bad: Bytes, line: Numbers,
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
        i, verdict = _line(buf, i, end, row, parent, child, key, key_end, slot, store, at, kind, seen, closers, nodes)
        while True:
            ahead = newline(buf, i)
            i += ahead
            if ahead < 32:
                break
        if verdict in (_JSON, _DEEP) and not utf8_valid(buf, begin, i):
            verdict = _UTF8
        if i - begin > limit:
            verdict = _LONG
        value: Any = np.int64(-1)
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
        tokens[row] = value if verdict == _OK and value > 0 else 0
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
