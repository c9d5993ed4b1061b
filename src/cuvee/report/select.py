"""The report of ``cuvee select``: what was kept, what that changed, and whether the choice can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import blocks
from .charts import Bar, Change, Range, Series, band, bars, dumbbell, histogram
from .examples import sides
from .figures import counts, finite, items, mapping, number, percent, plural, share, short, size
from .html import Page, figure, key, sentence
from .markup import EMPTY, element, table
from .text import Markup, as_text, escape

_GROUPS = ("pool", "kept", "random")


def render(summary: Mapping[str, Any], no_text: bool = False) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
        no_text: leave out every text of the pool, and what quotes one.
    """
    page = Page(
        "select",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in (_domains(summary), _lengths(summary), _score_by_length(summary)) if picture],
    )
    page.add("Numbers", "The numbers", *_numbers(summary))
    _examples(page, summary, no_text)
    page.add("Slices", "Every domain", _slices(summary))
    blocks.limits(page, summary, no_text)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    count, distance = mapping(summary.get("counts")), mapping(summary.get("distance"))
    usable = count.get("usable", count.get("rows"))
    facts = []
    if finite(count.get("kept")) is not None:
        facts.append((f"of {number(usable)} usable rows kept ({share(count['kept'], usable)})", number(count["kept"])))
    if finite(count.get("kept_tokens")) is not None:
        tokens = count.get("pool_tokens")
        facts.append(
            (f"of {short(tokens)} tokens kept ({share(count['kept_tokens'], tokens)})", short(count["kept_tokens"]))
        )
    if finite(distance.get("pool")) is not None and finite(distance.get("kept")) is not None:
        random = finite(distance.get("random"))
        than = f"; a random choice {number(random)}" if random is not None else ""
        facts.append(
            (f"distance to the target, pool to kept{than}", f"{number(distance['pool'])} → {number(distance['kept'])}")
        )
    if finite(count.get("rejected")):
        facts.append(("rows rejected as unusable", number(count["rejected"])))
    return facts


def _domains(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("domains"))
    changes = [
        Change(
            as_text(d.get("name")) or "(unnamed)",
            finite(d.get("pool_tokens")) or 0.0,
            finite(d.get("kept_tokens")) or 0.0,
            finite(d.get("random_tokens")),
        )
        for d in found
    ]
    if not changes:
        return EMPTY
    random = [", ", key("a random choice", "tick")] if any(c.random is not None for c in changes) else []
    caption = sentence("Each domain's share of tokens in ", key("the pool", "ring"), *random, " and in ")
    caption = sentence(caption, key("what was kept", "kept"), ". What gained most stands on top.")
    return figure("Which domains did the selection favour?", caption, dumbbell(changes))


def _series(value: Any, names: Sequence[str] = _GROUPS) -> list[Series]:
    return [Series(name, name, counts(value[name])) for name in names if items(value.get(name))]


def _lengths(summary: Mapping[str, Any]) -> Markup:
    lengths, quantiles = mapping(summary.get("lengths")), mapping(summary.get("quantiles"))
    series = _series(lengths)
    if not series:
        return EMPTY
    chart = histogram(
        items(lengths.get("edges")), series, size, "length of a text", _ranges(quantiles), log=True, shares=True
    )
    random = [", ", key("random", "random")] if any(s.role == "random" for s in series) else []
    caption = sentence("Share of rows by length, each group for itself: ", key("pool", "pool"), *random, " and ")
    caption = sentence(caption, key("kept", "kept box"), ". Below: median, and the range of nine rows in ten.")
    return figure("Did it choose by length?", caption, chart)


def _ranges(quantiles: Mapping[Any, Any]) -> list[Range]:
    ranges = []
    for name in _GROUPS:
        p5, p50, p95 = (finite(mapping(quantiles.get(name)).get(p)) for p in ("p5", "p50", "p95"))
        if p5 is not None and p50 is not None and p95 is not None:
            ranges.append(Range(name, name, p5, p50, p95))
    return ranges


def _score_by_length(summary: Mapping[str, Any]) -> Markup:
    found = mapping(summary.get("score_by_length"))
    if not items(found.get("median")):
        return EMPTY
    low, middle, high = (items(found.get(name)) for name in ("p10", "median", "p90"))
    chart = band(items(found.get("length_edges")), low, middle, high, size, "length of a text", "score")
    caption = sentence("The median score of the pool by length, and the band that holds eight rows in ten. ")
    caption = sentence(caption, "A flat line is good news: the score then sees more than length.")
    return figure("Does the score only measure length?", caption, chart)


def _numbers(summary: Mapping[str, Any]) -> list[Markup]:
    halves = [part for part in (_distance(summary), _scores(summary)) if part]
    lengths = blocks.quantiles((name, mapping(summary.get("quantiles")).get(name)) for name in _GROUPS)
    tables = [_method(summary), element("div", _modes(summary), _checks(summary), lengths)]
    return [
        element("div", *halves, class_="halves") if halves else EMPTY,
        element("div", *(part for part in tables if part), class_="halves") if any(tables) else EMPTY,
    ]


def _distance(summary: Mapping[str, Any]) -> Markup:
    found = mapping(summary.get("distance"))
    names = (
        ("pool", "the pool", "pool"),
        ("random", "a random choice", "random"),
        ("length_matched", "random, of the same lengths", "random"),
        ("kept", "kept", "kept"),
    )
    rows = [
        Bar(words, value, number(value), role)
        for name, words, role in names
        if (value := finite(found.get(name))) is not None
    ]
    if not rows:
        return EMPTY
    chart = bars(rows, "Distance to the target", as_text(found.get("name")) or "Distance", largest_first=False)
    over = f", over {plural(found['rows'], 'row')}" if finite(found.get("rows")) is not None else ""
    caption = sentence(as_text(found.get("name")) or "Distance", f"{over}. Shorter is nearer.")
    return figure("Is it nearer to the target than chance?", caption, chart, part=True)


def _modes(summary: Mapping[str, Any]) -> Markup:
    found, rows = mapping(summary.get("coverage")), []
    arms = (
        ("kept", "Kept"),
        ("random", "Random rows"),
        ("length_matched", "... of the same lengths"),
        ("ceiling", "One half of the target, beside the other"),
    )
    for name, words in arms:
        shares = [finite(mapping(found.get(name)).get(one)) for one in ("precision", "recall", "coverage")]
        if None not in shares:
            rows.append([escape(words), *(escape(percent(one)) for one in shares)])
    if not rows:
        return EMPTY
    over = f", over {plural(found['rows'], 'row')} each" if finite(found.get("rows")) is not None else ""
    note = f". {as_text(summary['coverage_note']).capitalize()}" if summary.get("coverage_note") else ""
    caption = f"Coverage of the target: {as_text(found.get('name'))}{over}{note}"
    return table(["", "Like the target (precision)", "Reached (recall)", "Reached (coverage)"], rows, caption)


def _scores(summary: Mapping[str, Any]) -> Markup:
    found = mapping(summary.get("scores"))
    series = _series(found, ("pool", "kept"))
    if not series:
        return EMPTY
    chart = histogram(items(found.get("edges")), series, number, "score")
    caption = sentence("Rows by score: ", key("pool", "pool"), " and, of these, ", key("kept", "kept box"), ".")
    return figure("Where was the line drawn?", caption, chart, part=True)


def _method(summary: Mapping[str, Any]) -> Markup:
    method = mapping(summary.get("method"))
    rows = [
        (name, words)
        for name, words in (
            ("Score", as_text(method.get("name"))),
            ("What it does", as_text(method.get("summary"))),
            ("Choice", as_text(method.get("chooser"))),
            ("Budget", as_text(summary.get("budget"))),
        )
        if words
    ]
    parameters = {f"{as_text(k)}": v for k, v in mapping(method.get("parameters")).items()}
    chooser = {f"{as_text(k)} (choice)": v for k, v in mapping(method.get("chooser_parameters")).items()}
    return blocks.pairs({**dict(rows), **parameters, **chooser}, "How it chose")


def _checks(summary: Mapping[str, Any]) -> Markup:
    count, controls = mapping(summary.get("counts")), mapping(summary.get("controls"))
    duplicates, rows = mapping(summary.get("duplicates")), []
    for name, words in (("random", "Rows shared with a random choice"), ("length_matched", "... of the same lengths")):
        overlap = finite(mapping(controls.get(name)).get("overlap"))
        if overlap is not None:
            rows.append([escape(words), escape(percent(overlap))])
    effective = finite(summary.get("effective_sample_size"))
    if effective is not None:
        of = f" of {number(count.get('usable'))}" if finite(count.get("usable")) is not None else ""
        rows.append([escape("Rows that the weights leave effective"), escape(number(round(effective)) + of)])
    if finite(duplicates.get("rows")) is not None:
        groups = f" in {plural(duplicates['groups'], 'group')}" if finite(duplicates.get("groups")) is not None else ""
        rows.append([escape("Exact duplicates among the kept"), escape(plural(duplicates["rows"], "row") + groups)])
    return table(["", ""], rows, "Checks") if rows else EMPTY


def _examples(page: Page, summary: Mapping[str, Any], no_text: bool) -> None:
    found = mapping(summary.get("examples"))
    both = sides([("Kept", "", "kept", found.get("kept")), ("Dropped", "", "dropped", found.get("dropped"))], no_text)
    border = sides(
        [("At the border", "a little more or less and these change sides", "", found.get("borderline"))], no_text
    )
    page.add("Examples", "Read what it chose", both, border)


def _slices(summary: Mapping[str, Any]) -> Markup:
    def row(d: Mapping[Any, Any]) -> list[str]:
        tokens = short(d.get("pool_tokens")), short(d.get("kept_tokens"))
        return [
            number(d.get("pool_rows")),
            number(d.get("kept_rows")),
            share(d.get("kept_rows"), d.get("pool_rows")),
            *tokens,
        ]

    found = sorted(blocks.records(summary.get("domains")), key=lambda d: -(finite(d.get("pool_tokens")) or 0))
    return blocks.slices(found, ["Domain", "Pool rows", "Kept rows", "Kept", "Pool tokens", "Kept tokens"], row)
