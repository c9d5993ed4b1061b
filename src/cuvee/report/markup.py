"""Builds elements from escaped parts. Nothing else in the report writes an angle bracket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .text import Markup, escape

EMPTY = Markup("")
_VOID = frozenset({"meta", "br", "hr", "col"})
ATTRIBUTE_LIMIT = 50_000
Value = str | int | float | bool | None


def join(parts: Iterable[Markup], between: str = "") -> Markup:
    """The parts one after the other; ``between`` is escaped."""
    return Markup(escape(between).join(parts))


def element(name: str, /, *children: Markup, **attributes: Value) -> Markup:
    """One element. Attribute names: a trailing underscore is dropped, others become hyphens; None and False are
    left out. Floats are written with one decimal, a tenth of a pixel in the charts.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(f" {label}")
        elif isinstance(value, float):
            written.append(f' {label}="{value:.1f}"'.replace('.0"', '"'))
        else:
            written.append(f' {label}="{escape(value, ATTRIBUTE_LIMIT)}"')
    start = f"<{name}{''.join(written)}>"
    return Markup(start if name in _VOID else f"{start}{''.join(children)}</{name}>")


def isolated(value: object, limit: int = 200) -> Markup:
    """A word of somebody else inside a sentence of ours: its writing direction stays its own affair."""
    return element("bdi", escape(value, limit))


def table(
    head: Sequence[str], rows: Iterable[Sequence[Markup]], caption: str = "", words: int = 1, more: int = 0
) -> Markup:
    """A table whose first ``words`` columns are words and the others numbers.

    Args:
        more: rows that were left out; stated in a last row.
    """

    def cell(kind: str, i: int, content: Markup, scope: str | None = None) -> Markup:
        return element(kind, content, class_=None if i < words else "n", scope=scope)

    body = [
        element("tr", *(cell("th", 0, c, "row") if i == 0 else cell("td", i, c) for i, c in enumerate(row)))
        for row in rows
    ]
    if not body:
        body = [element("tr", element("td", escape("Nothing to list."), colspan=max(1, len(head)), class_="quiet"))]
    if more > 0:
        body.append(element("tr", element("td", escape(f"and {more:,} more"), colspan=len(head), class_="quiet")))
    return element(
        "div",
        element(
            "table",
            element("caption", escape(caption)) if caption else EMPTY,
            element("thead", element("tr", *(cell("th", i, escape(h), "col") for i, h in enumerate(head))))
            if any(head)
            else EMPTY,
            element("tbody", *body),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption or "Table",
    )
