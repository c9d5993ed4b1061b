"""The parts at the end of every report: limits, rejected rows, and how to make the same again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .figures import counts, duration, finite, items, mapping, number, plural, share, size
from .html import Page
from .markup import EMPTY, element, isolated, join, table
from .text import Markup, as_text, escape


def lines(values: Any, most: int = 40, limit: int = 600) -> Markup:
    """A list of sentences."""
    texts = [value for value in items(values) if as_text(value).strip()]
    if not texts:
        return EMPTY
    shown = [element("li", isolated(text, limit)) for text in texts[:most]]
    if len(texts) > most:
        shown.append(element("li", escape(f"and {len(texts) - most:,} more"), class_="quiet"))
    return element("ul", *shown, class_="lines")


def lead(value: Any) -> Markup:
    """A paragraph; nothing for an empty one."""
    return element("p", isolated(value, 800), class_="lead") if as_text(value).strip() else EMPTY


def pairs(values: Any, caption: str, form: Callable[[Any], str] | None = None, most: int = 60) -> Markup:
    """A mapping as a table of two columns; nested mappings are written as "name value" one after the other."""
    entries = list(mapping(values).items())
    if not entries:
        return EMPTY
    rows = [[isolated(name, 80), isolated(_words(value, form), 400)] for name, value in entries[:most]]
    return table(["", ""], rows, caption, words=2, more=len(entries) - most)


def _words(value: Any, form: Callable[[Any], str] | None = None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return form(value) if form else number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{as_text(k)} {_words(v, form)}" for k, v in list(value.items())[:40])
    if isinstance(value, list | tuple):
        return ", ".join(_words(v, form) for v in value[:40])
    return as_text(value)


def rejects(value: Any, rows: Any, no_text: bool = False) -> Markup:
    """How many rows were unusable, why, the first of them, and where all of them are listed."""
    found = mapping(value)
    if not found:
        return EMPTY
    total = finite(found.get("count")) or 0
    if total <= 0:
        return element("p", escape("No row was rejected."), class_="lead")
    of = f" of {number(rows)} ({share(total, rows)})" if finite(rows) else ""
    told = [escape(f"{plural(total, 'row')}{of} could not be used.")]
    if as_text(found.get("file")):
        told += [escape(" All of them are listed in "), element("code", isolated(found["file"], 300)), escape(".")]
    reasons = sorted(mapping(found.get("by_reason")).items(), key=lambda pair: -(finite(pair[1]) or 0))
    by_reason = [[isolated(reason, 160), escape(number(count))] for reason, count in reasons[:30]]
    first = EMPTY if no_text else lines(found.get("first"), most=10, limit=300)
    return join(
        [
            element("h3", escape("Rejected rows")),
            element("p", *told, class_="lead"),
            table(["Why", "Rows"], by_reason, "Rejected rows by reason", more=len(reasons) - 30)
            if by_reason
            else EMPTY,
            element("h3", escape("The first of them")) if first else EMPTY,
            first,
        ]
    )


def slices(
    domains: Sequence[Mapping[Any, Any]], head: Sequence[str], row: Callable[[Mapping[Any, Any]], Sequence[str]]
) -> Markup:
    """Every domain with its numbers, up to a hundred of them."""
    if not domains:
        return EMPTY
    made = [[isolated(d.get("name"), 80), *(escape(words, 40) for words in row(d))] for d in domains[:100]]
    return table(head, made, "By domain", more=len(domains) - 100)


def limits(page: Page, summary: Mapping[Any, Any], no_text: bool) -> None:
    """What the result does not say, and which rows it does not speak of."""
    rows = mapping(summary.get("counts")).get("rows")
    hidden = "Texts are hidden on request: examples show where a row stands and how it scored, not what it says."
    parts = [lines([hidden, *items(summary.get("limits"))] if no_text else summary.get("limits"))]
    page.add("Limits", "Limits and rejected rows", *parts, rejects(summary.get("rejects"), rows, no_text))


def reproduce(page: Page, value: Any) -> None:
    """The command, the digest and seed, versions, timings, files and citations."""
    recipe = mapping(value)
    if not recipe:
        return
    command = as_text(recipe.get("command"))
    files = [items(entry) for entry in items(recipe.get("files"))]
    listed = [[isolated(f[0], 300), escape(number(f[1]))] for f in files[:60] if len(f) == 2]
    citations = [as_text(c) for c in items(recipe.get("citations")) if as_text(c).strip()]
    shown = [element("pre", escape(c, 2_000), class_="text", dir="auto") for c in citations[:20]]
    keys = {name: recipe[name] for name in ("digest", "seed") if as_text(recipe.get(name))}
    keys = {name: as_text(key) for name, key in keys.items()}  # a seed is a name, not an amount: no commas
    page.add(
        "Reproduce",
        "How to reproduce",
        element("pre", escape(command, 4_000), class_="command", tabindex=0, dir="auto") if command else EMPTY,
        pairs(keys, "The same digest means the same rows"),
        pairs(recipe.get("timings"), "Time taken", duration),
        pairs(recipe.get("versions"), "Versions"),
        table(["File", "Rows"], listed, "Files read", more=len(files) - 60) if listed else EMPTY,
        element("details", element("summary", escape("What to cite")), *shown) if shown else EMPTY,
    )


def quantiles(groups: Iterable[tuple[str, Any]]) -> Markup:
    """Lengths: the 5th, 50th and 95th percentile of each group."""
    rows = []
    for name, value in groups:
        found = mapping(value)
        if found:
            rows.append([escape(name), *(escape(size(found.get(key))) for key in ("p5", "p50", "p95"))])
    return table(["Length in bytes", "5 % are shorter", "median", "5 % are longer"], rows, "Length") if rows else EMPTY


def total(values: Any) -> float:
    """The sum of what is a number."""
    return sum(counts(values))


def records(value: Any) -> list[Mapping[Any, Any]]:
    """The mappings in a list."""
    return [entry for entry in items(value) if isinstance(entry, Mapping)]
