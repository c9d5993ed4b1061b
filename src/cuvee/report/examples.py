"""Texts of the pool as cards: where each stands, why it was kept or dropped, and which n-grams spoke for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

from .figures import finite, items, mapping, number, plural
from .markup import EMPTY, element, isolated, join
from .text import TEXT_LIMIT, Markup, as_text, cut, escape, visible

MOST = 20
"""Texts per finding."""
_LEAD, _LINES = 420, 11
Gram = tuple[str, float | None]
_MOST_CHIPS = 10
_TOKEN = re.compile(r"\w+|[^\w\s]+")


def sides(columns: Sequence[tuple[str, str, str, Any]], no_text: bool = False) -> Markup:
    """Lists of examples side by side.

    Args:
        columns: for each a heading, a remark, "kept" or "dropped", and the examples.
    """
    made = [
        element(
            "div",
            element("h3", escape(heading), element("span", escape(f" {remark}")) if remark else EMPTY),
            *(card(example, no_text) for example in items(examples)[:MOST]),
            _more(len(items(examples))),
            class_=role,
        )
        for heading, remark, role, examples in columns
        if items(examples)
    ]
    return element("div", *made, class_="sides one" if len(made) == 1 else "sides") if made else EMPTY


def _more(count: int) -> Markup:
    return element("p", escape(f"and {count - MOST:,} more"), class_="quiet") if count > MOST else EMPTY


def card(example: Any, no_text: bool = False) -> Markup:
    """One text with its origin, its score, the reason and the n-grams that contributed most."""
    row = mapping(example)
    place = as_text(row.get("file"))
    if row.get("row") is not None:
        place += f", row {number(row['row']) if finite(row['row']) is not None else as_text(row['row'])}"
    facts = [
        element("b", isolated(row["id"], 80)) if as_text(row.get("id")) else EMPTY,
        element("span", isolated(row["domain"], 60)) if as_text(row.get("domain")) else EMPTY,
        _fact("score ", row.get("score"), "score"),
        element("span", escape(f"{row['count']:,} times"), class_="score") if _whole(row.get("count")) else EMPTY,
        element("span", escape(plural(row["tokens"], "token"))) if finite(row.get("tokens")) is not None else EMPTY,
        element("span", isolated(place, 160)) if place else EMPTY,
    ]
    because = [] if no_text else _contributions(row.get("because"))
    reason = as_text(row.get("reason"))
    return element(
        "article",
        element("header", *facts),
        element("p", isolated(reason, 300), class_="reason") if reason else EMPTY,
        hidden() if no_text else body(row.get("text"), because),
        _chips(because),
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and finite(value) is not None


def _fact(name: str, value: Any, kind: str) -> Markup:
    return element("span", escape(name + number(value)), class_=kind) if finite(value) is not None else EMPTY


def hidden() -> Markup:
    """Stands where a confidential text would."""
    return element("p", escape("Text hidden on request."), class_="quiet")


def body(text: Any, grams: Sequence[Gram] = ()) -> Markup:
    """A text: its beginning, and the rest on request. What is beyond 2,000 characters is left out, and said to be."""
    raw = as_text(text)
    if not raw:
        return element("p", escape("(empty text)"), class_="quiet")
    shown = cut(visible(raw[: TEXT_LIMIT + 1]), TEXT_LIMIT)
    omitted = len(raw) > TEXT_LIMIT or len(visible(raw)) > TEXT_LIMIT
    marks = _Marks(grams) if grams else None
    note = f"The first {TEXT_LIMIT:,} of {len(raw):,} characters are shown." if omitted else ""
    end = element("p", escape(note), class_="quiet") if note else EMPTY
    at = _lead(shown)
    if at >= len(shown):
        return join([_box(shown, marks), end])
    more = element("summary", escape(f"{len(shown) - at:,} more characters"))
    return join(
        [_box(shown[:at].rstrip() + " …", marks), element("details", more, _box(shown[at:].lstrip("\n"), marks), end)]
    )


def _lead(text: str) -> int:
    """Where the part ends that is shown at once: a dozen lines, at a space; the text's end if little would be left."""
    most = _LEAD
    for line in islice(re.finditer("\n", text[:_LEAD]), _LINES - 1, _LINES):
        most = line.start()
    if len(text) <= 1.3 * most:
        return len(text)
    at = max(text.rfind(" ", most // 2, most + 1), text.rfind("\n", most // 2, most + 1))
    return at if at > 0 else most


class _Marks:
    """Finds n-grams in a text, whatever their case and spacing; the longest first."""

    def __init__(self, grams: Sequence[Gram]) -> None:
        tokens = {tuple(_TOKEN.findall(visible(gram[:80]).lower())): value for gram, value in grams}
        self.signs = {"".join(words): value for words, value in tokens.items()}
        known = [words for words in tokens if any(c.isalnum() for word in words for c in word)]
        known.sort(key=lambda words: -len("".join(words)))
        choices = [r"(?<!\w)" + r"\s{0,4}".join(map(re.escape, words)) + r"(?!\w)" for words in known]
        self.pattern = re.compile("|".join(choices) or "(?!)", re.IGNORECASE)

    def mark(self, text: str) -> Markup:
        """The text with its n-grams marked, those that spoke against the row in another way."""
        parts, start = [], 0
        for match in self.pattern.finditer(text):
            value = self.signs.get("".join(match.group().split()).lower())
            marked = element("mark", escape(match.group()), class_="up" if (value or 0) > 0 else None)
            parts += [escape(text[start : match.start()]), marked]
            start = match.end()
        return join([*parts, escape(text[start:])])


def _box(text: str, marks: _Marks | None) -> Markup:
    return element("div", marks.mark(text) if marks else escape(text), class_="text", dir="auto", lang="")


def _contributions(because: Any) -> list[Gram]:
    pairs = [items(pair) for pair in items(because)]
    return [(as_text(pair[0]), finite(pair[1])) for pair in pairs if len(pair) == 2 and as_text(pair[0])][:_MOST_CHIPS]


def _chips(pairs: Sequence[Gram]) -> Markup:
    made = []
    for gram, value in pairs:
        shown = visible(gram).replace("\n", "↵").replace("\t", "⇥")
        amount = EMPTY if value is None else element("b", escape(f" {_signed(value)}"))
        word = element("code", element("bdi", escape(shown, 60)))
        made.append(element("li", word, amount, class_="up" if value is not None and value > 0 else None))
    return element("ul", *made, class_="chips", aria_label="n-grams that contributed most") if made else EMPTY


def _signed(value: float) -> str:
    return f"{value:+.2g}" if abs(value) < 100 else f"{value:+,.0f}" if abs(value) < 1e9 else f"{value:+.1e}"
