"""The report of ``cuvee profile``: what is in the pool, what repeats, and what cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import blocks
from .charts import Bar, Range, Series, bars, growth, histogram
from .examples import sides
from .figures import counts, finite, items, mapping, number, percent, plural, share, short, size
from .html import Page, figure, key, sentence
from .markup import EMPTY, element, table
from .text import Markup, as_text, escape


def render(summary: Mapping[str, Any], no_text: bool = False) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
        no_text: leave out every text of the pool, and what quotes one.
    """
    page = Page(
        "profile",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in (_domains(summary), _lengths(summary), _vocabulary(summary)) if picture],
    )
    page.add("Numbers", "The numbers", *_numbers(summary))
    page.add("Repeated", "What repeats", *_duplicates(summary, no_text))
    typical = ("Typical", "the most usual words", "", summary.get("typical"))
    strange = ("Strange", "far from everything else", "kept", summary.get("strange"))
    sample = sides([("Drawn at random", "", "", summary.get("sample"))], no_text)
    page.add("Examples", "Read what is in it", sides([typical, strange], no_text), sample)
    page.add("Slices", "Every domain", _slices(summary))
    blocks.limits(page, summary, no_text)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    count, duplicates = mapping(summary.get("counts")), mapping(summary.get("duplicates"))
    facts = []
    if finite(count.get("usable")) is not None:
        facts.append((f"of {plural(count.get('rows'), 'row')} are usable", number(count["usable"])))
    if finite(count.get("tokens")) is not None:
        facts.append(("tokens", short(count["tokens"])))
    if finite(count.get("bytes")) is not None:
        files = f" in {plural(count['files'], 'file')}" if finite(count.get("files")) is not None else ""
        facts.append((f"of text{files}", size(count["bytes"])))
    if finite(duplicates.get("rows")) is not None:
        facts.append(
            (f"rows repeat another one ({share(duplicates['rows'], count.get('usable'))})", number(duplicates["rows"]))
        )
    if finite(count.get("rejected")):
        facts.append(("rows rejected as unusable", number(count["rejected"])))
    return facts


def _domains(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("domains"))
    unit = next((u for u in ("tokens", "bytes", "rows") if any(finite(d.get(u)) for d in found)), "rows")
    whole = blocks.total([d.get(unit) for d in found])
    form = size if unit == "bytes" else short
    rows = [
        Bar(
            as_text(d.get("name")) or "(unnamed)",
            max(0.0, finite(d.get(unit)) or 0.0),
            f"{form(max(0.0, finite(d.get(unit)) or 0.0))} · {share(d.get(unit), whole)}",
        )
        for d in found
    ]
    if not rows:
        return EMPTY
    caption = sentence(f"{unit.capitalize()} per domain, and their share of the pool.")
    return figure("What is in it?", caption, bars(rows, f"{unit.capitalize()} by domain", unit))


def _lengths(summary: Mapping[str, Any]) -> Markup:
    lengths = mapping(summary.get("lengths"))
    if not items(lengths.get("pool")):
        return EMPTY
    found = mapping(mapping(summary.get("quantiles")).get("pool"))
    p5, p50, p95 = (finite(found.get(p)) for p in ("p5", "p50", "p95"))
    known = p5 is not None and p50 is not None and p95 is not None
    ranges = [Range("median", "pool", p5 or 0.0, p50 or 0.0, p95 or 0.0)] if known else []
    series = [Series("pool", "pool", counts(lengths.get("pool")))]
    chart = histogram(items(lengths.get("edges")), series, size, "length of a text", ranges, log=True)
    caption = sentence(key("Rows", "pool"), " by length in bytes, on a logarithmic axis. ")
    caption = sentence(caption, "Below: median, and the range of nine rows in ten.")
    return figure("How long are the texts?", caption, chart)


def _vocabulary(summary: Mapping[str, Any]) -> Markup:
    found = mapping(summary.get("vocabulary"))
    if len(items(found.get("tokens"))) < 3:
        return EMPTY
    exponent = finite(found.get("exponent"))
    chart = growth(items(found["tokens"]), items(found.get("distinct")), exponent, "tokens", "different words")
    caption = sentence("How many different words have been met after so many tokens, on logarithmic axes. ")
    caption = sentence(caption, "Where the line bends down, the pool has begun to repeat itself.")
    return figure("Does it keep saying new things?", caption, chart)


def _numbers(summary: Mapping[str, Any]) -> list[Markup]:
    count = mapping(summary.get("counts"))
    forms = {"bytes": size}
    rows = [
        [escape(name), escape(forms.get(name, number)(count[name]))]
        for name in ("rows", "usable", "rejected", "files", "bytes", "tokens")
        if finite(count.get(name)) is not None
    ]
    tables = [
        table(["", ""], rows, "Counts") if rows else EMPTY,
        blocks.quantiles([("pool", mapping(summary.get("quantiles")).get("pool"))]),
    ]
    halves = [_languages(summary), element("div", *tables) if any(tables) else EMPTY]
    return [element("div", *halves, class_="halves") if any(halves) else EMPTY]


def _languages(summary: Mapping[str, Any]) -> Markup:
    found = [
        Bar(as_text(entry.get("name")) or "(unknown)", value, percent(value))
        for entry in blocks.records(summary.get("languages"))
        if (value := finite(entry.get("share"))) is not None
    ]
    if not found:
        return EMPTY
    rows = summary.get("language_rows")
    over = f"Guessed from {plural(rows, 'row')}." if finite(rows) is not None else "Guessed from a sample of rows."
    return figure("Which languages?", sentence(over), bars(found, "Languages", "share of rows", most=8), part=True)


def _duplicates(summary: Mapping[str, Any], no_text: bool) -> list[Markup]:
    found = mapping(summary.get("duplicates"))
    repeated = finite(found.get("rows"))
    if repeated is None:
        return []
    if not repeated:
        return [blocks.lead("No text stands in the pool twice.")]
    groups = f", in {plural(found['groups'], 'group')}" if finite(found.get("groups")) is not None else ""
    largest = [{**entry, "reason": ""} for entry in blocks.records(found.get("largest"))]
    return [
        blocks.lead(f"{plural(repeated, 'row')} say the same, to the byte, as another row{groups}."),
        sides([("The largest groups", "one text of each", "", largest)], no_text),
    ]


def _slices(summary: Mapping[str, Any]) -> Markup:
    found = sorted(blocks.records(summary.get("domains")), key=lambda d: -(finite(d.get("tokens")) or 0))
    whole = blocks.total([d.get("tokens") for d in found])

    def row(d: Mapping[Any, Any]) -> list[str]:
        mean = (finite(d.get("bytes")) or 0) / rows if (rows := finite(d.get("rows"))) else None
        return [
            number(d.get("rows")),
            short(d.get("tokens")),
            share(d.get("tokens"), whole),
            size(d.get("bytes")),
            size(mean),
        ]

    return blocks.slices(found, ["Domain", "Rows", "Tokens", "Share of tokens", "Text", "Text per row"], row)
