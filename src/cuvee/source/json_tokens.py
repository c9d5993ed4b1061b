"""The tokens of JSON by RFC 8259: strings and numbers, read from a buffer in which a newline stops every inner loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuvee.engine.kernel import kernel

from .base import Bad
from .simd import copy32, special, utf8_step

ABSENT, NULL, STRING, INTEGER, REAL, BOOLEAN, OBJECT, ARRAY, VECTOR = range(9)
_OK, _JSON, _UTF8, _SURROGATE = int(Bad.OK), int(Bad.BAD_JSON), int(Bad.BAD_UTF8), int(Bad.SURROGATE)

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


@kernel
def _hex4(buf: Bytes, i: int) -> int:
    """The value of four hexadecimal digits at i, -1 when they are none."""
    value: Any = 0
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
def read_string(buf: Bytes, i: int, end: int, out: Bytes, o: int) -> tuple[int, int, int]:
    """Decode the string that begins at i, behind its quote; returns (behind the closing quote, end of output, verdict).

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
                code: Any = _hex4(buf, i)
                if code < 0:
                    return i, o, _JSON
                i += 4
                if 0xD800 <= code < 0xE000:
                    low: Any = np.int64(-1)
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
def read_number(buf: Bytes, i: int) -> tuple[int, int]:
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
    digits: Any = 0
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
    exponent: Any = 0
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
def only_numbers(buf: Bytes, start: int, end: int) -> bool:
    """Whether the valid JSON array ``buf[start:end]`` holds numbers only, at least one."""
    some = False
    for i in range(start + 1, end - 1):
        c = buf[i]
        if 48 <= c <= 57:
            some = True
        elif not (c == 32 or c == 9 or c == 13 or 43 <= c <= 46 or c == 101 or c == 69):
            return False
    return some
