"""Tables of paired differences between arms, as searches and utilities show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import NONE, finite
from .markup import EMPTY, isolated, table
from .text import Markup, as_text, cut, escape

MOST = 200


def signed(value: float | None) -> str:
    """A difference with its sign."""
    return NONE if value is None else f"{value:+.4f}"


def differences(found: Sequence[Mapping[Any, Any]], head: Sequence[str], caption: str) -> Markup:
    """Each comparison: what it was measured on, against whom, the difference with its interval, and the verdict."""
    rows = [
        [
            escape(f"{cut(as_text(d.get('evaluation')), 40)}{_group(d)}"),
            isolated(d.get("against"), 60),
            escape(signed(finite(d.get("mean")))),
            escape(f"[{signed(finite(d.get('low')))}, {signed(finite(d.get('high')))}]"),
            isolated(d.get("verdict"), 20),
        ]
        for d in found[:MOST]
    ]
    return table(head, rows, caption, words=2, more=len(found) - MOST) if rows else EMPTY


def _group(one: Mapping[Any, Any]) -> str:
    return f", {cut(as_text(one.get('group')), 40)}" if one.get("group") is not None else ""
