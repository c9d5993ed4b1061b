"""Text that comes from a pool, made fit to be shown: nothing hidden, nothing interpreted, never longer than asked.

``escape`` is the only way from a string into a page. It returns ``Markup``, a type of its own, and every function
that assembles a page takes nothing else, so that the type checker refuses a string that was not escaped.
"""

from __future__ import annotations

import html
import re
import unicodedata
from numbers import Real
from typing import Any


class Markup(str):
    """HTML or SVG that was built here or escaped. Joining or formatting it gives a plain string again."""

    __slots__ = ()


TEXT_LIMIT = 2_000
"""The longest text of a document that a report shows, in characters."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters other than tab and newline
    "\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"  # separators, overrides, tags
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # what no encoder may write
)


def _show(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code in (0xFFFE, 0xFFFF):
        return "\ufffd"
    return f"‹U+{code:04X}›"


def as_text(value: Any) -> str:
    """The value as a string: None is empty, NaN and infinities are a dash, bytes are decoded.

    An object that cannot say what it is is named by its type.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Real) and value - value != 0:
        return "–"
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def visible(value: Any) -> str:
    """The text with every character that is unseen, or changes how others are shown, replaced by a sign.

    Tabs and newlines stay, and so do the marks and joiners that ordinary Arabic, Hebrew, Persian and emoji need.
    """
    text = as_text(value)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub(_show, text)


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters, the last one an ellipsis where something was left out."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def escape(value: Any, limit: int = TEXT_LIMIT) -> Markup:
    """Any value as text of a page or as an attribute's value: cut, made visible, and with & < > " ' escaped."""
    text = as_text(value)
    if len(text) > limit + 1:  # everything is only lengthened below, so what is beyond can never be shown
        text = text[: limit + 1]
    return Markup(html.escape(cut(visible(text), limit), quote=True))


def width(text: str) -> int:
    """Columns on a terminal: 2 for wide characters, 0 for combining marks and joiners."""
    if text.isascii():
        return len(text)
    columns = 0
    for character in text:
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            continue
        columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def fit(text: str, limit: int) -> str:
    """At most ``limit`` columns, the last one an ellipsis where something was left out."""
    if width(text) <= limit:
        return text
    kept: list[str] = []
    columns = 0
    for character in text:
        columns += width(character)
        if columns > limit - 1:
            break
        kept.append(character)
    return "".join(kept) + "…" if limit > 0 else ""
