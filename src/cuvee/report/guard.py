"""The report of ``cuvee guard``: what repeats, how surely that is found, and what is left without it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from . import blocks
from .charts import Bar, Series, bars, histogram
from .charts.detection import Planted, detection
from .charts.histogram import span
from .examples import sides
from .figures import finite, items, mapping, number, plural, share, short
from .html import Page, figure, key, sentence
from .markup import EMPTY, element, join, table
from .text import Markup, as_text, escape


def render(summary: Mapping[str, Any], no_text: bool = False) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
        no_text: leave out every text of the pool.
    """
    page = Page(
        "guard",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in (_domains(summary), _sizes(summary), _curve(summary)) if picture],
    )
    page.add("Rule", "What counts as a duplicate", _rule(summary), _parameters(summary))
    page.add("Clusters", "The largest clusters", _largest(summary, no_text))
    beside = "Removed, beside what was kept for it" if _some_gone(summary) else "Beside another of its cluster"
    page.add("Pairs", beside, _similarities(summary), _pairs(summary, no_text))
    page.add("Across", "Shared by splits or domains", _across(summary))
    page.add("Slices", "Every domain", _slices(summary))
    blocks.limits(page, summary, no_text)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    count = mapping(summary.get("counts"))
    usable, found = count.get("usable"), []
    for name, words in (
        ("exact", f"rows repeat an earlier one exactly ({share(count.get('exact'), usable)})"),
        ("near", f"more nearly ({share(count.get('near'), usable)})"),
        ("clusters", "clusters"),
        ("removed", "of them removed"),
        ("kept", f"of {plural(usable, 'row')} kept"),
    ):
        if name == "removed" and finite(count.get(name)) == sum(
            finite(count.get(one)) or 0 for one in ("exact", "near")
        ):
            continue  # all that repeat
        if finite(count.get(name)) is not None:
            found.append((words, number(count[name])))
    if finite(count.get("kept_tokens")) is not None:
        found.append((f"of {short(count.get('pool_tokens'))} tokens kept", short(count["kept_tokens"])))
    if finite(count.get("rejected")):
        found.append(("rows rejected as unusable", number(count["rejected"])))
    return found


def _some_gone(summary: Mapping[str, Any]) -> bool:
    return bool(finite(mapping(summary.get("counts")).get("removed")))


def _gone(domain: Mapping[Any, Any]) -> float:
    return max(0.0, (finite(domain.get("pool_rows")) or 0.0) - (finite(domain.get("kept_rows")) or 0.0))


def _domains(summary: Mapping[str, Any]) -> Markup:
    found = [one for one in blocks.records(summary.get("domains")) if finite(one.get("pool_rows"))]
    if not any(_gone(one) for one in found):
        return EMPTY
    rows = [
        Bar(
            as_text(one.get("name")) or "(unnamed)",
            _gone(one) / (finite(one.get("pool_rows")) or 1.0),
            f"{share(_gone(one), one.get('pool_rows'))} · {number(_gone(one))} of {number(one.get('pool_rows'))}",
        )
        for one in found
    ]
    chart = bars(rows, "Share of rows removed, by domain", "rows removed")
    return figure("Where was it repeated?", sentence("The share of each domain's rows that was removed."), chart)


def _sizes(summary: Mapping[str, Any]) -> Markup:
    pairs = [[finite(part) for part in items(one)] for one in items(summary.get("sizes"))]
    known = [(one[0], one[1]) for one in pairs if len(one) == 2 and one[0] is not None and one[1] is not None]
    known = [(size, count) for size, count in known if size >= 2 and count > 0]
    if not known:
        return EMPTY
    octaves = range(1, 2 + int(math.log2(max(size for size, _ in known))))
    edges = [2.0**octave for octave in (*octaves, octaves[-1] + 1)]
    rows = [sum(size * count for size, count in known if 2**o <= size < 2 ** (o + 1)) for o in octaves]
    clusters = [sum(count for size, count in known if 2**o <= size < 2 ** (o + 1)) for o in octaves]
    chart = histogram(
        edges, [Series("rows in clusters", "pool", rows)], number, "rows of a cluster", log=True, whole=True
    )
    sizes = [
        [escape(span(a, b, number, True)), escape(number(c)), escape(number(r))]
        for a, b, c, r in zip(edges, edges[1:], clusters, rows, strict=False)
    ]
    chart = type(chart)(
        chart.wide, chart.narrow, table(["Rows of a cluster", "Clusters", "Rows in them"], sizes, "Clusters by size")
    )
    caption = sentence(key("Rows", "pool"), " by the size of the cluster that they are in, each bar twice the size of ")
    caption = sentence(caption, "the last. Mass to the right means few texts repeated very often.")
    return figure("How often is a text repeated?", caption, chart)


def _curve(summary: Mapping[str, Any]) -> Markup:
    curve = mapping(summary.get("curve"))
    if not items(curve.get("similarity")):
        return EMPTY
    planted = []
    for one in blocks.records(curve.get("planted")):
        low, high = (*[finite(part) for part in items(one.get("interval"))], None, None)[:2]
        at, pairs, found = (finite(one.get(name)) for name in ("similarity", "pairs", "found"))
        if None not in (low, high, at, pairs, found):
            expected = finite(one.get("candidates_expected"))
            planted.append(Planted(at or 0.0, int(pairs or 0), int(found or 0), low or 0.0, high or 0.0, expected))
    threshold = finite(curve.get("threshold"))
    chart = detection(items(curve["similarity"]), items(curve.get("candidates")), planted, threshold)
    caption = sentence("The probability that two rows of a similarity become ", key("candidates", "random"), ", and ")
    verified = " and verified" if threshold is not None else ""
    caption = sentence(caption, key(f"planted pairs found{verified}", "kept"), ", with 95 % intervals. ")
    caption = sentence(caption, "Similarity is the share of n-grams in common (Jaccard).")
    return figure("What does it find, and what not?", caption, chart)


def _rule(summary: Mapping[str, Any]) -> Markup:
    method = mapping(summary.get("method"))
    names = (
        ("exact", "Exact duplicates"),
        ("near", "Near-duplicates"),
        ("preset", "After"),
        ("finds", "By the formula"),
        ("compares", "Compared"),
        ("keeps", "Kept"),
    )
    return blocks.pairs({words: method[name] for name, words in names if as_text(method.get(name))}, "The rule")


def _parameters(summary: Mapping[str, Any]) -> Markup:
    return blocks.pairs(mapping(mapping(summary.get("method")).get("parameters")), "Parameters")


def _largest(summary: Mapping[str, Any], no_text: bool) -> Markup:
    found = blocks.records(summary.get("largest"))
    if not found:
        return blocks.lead("No cluster was found.")
    return sides([("The largest", "the first text of each", "", found)], no_text)


def _similarities(summary: Mapping[str, Any]) -> Markup:
    values = sorted(v for v in (finite(one) for one in items(summary.get("similarities"))) if v is not None)
    if not values:
        return EMPTY
    middle = values[len(values) // 2]
    first, last = f"{values[0]:.2f}", f"{values[-1]:.2f}"
    spread = first if first == last else f"{first} to {last}, the median {middle:.2f}"
    other = "with the row kept for them" if _some_gone(summary) else "with another of their cluster"
    return blocks.lead(
        f"{plural(len(values), 'row')} drawn from those that repeat another nearly: their exact Jaccard similarity "
        f"{other} is {spread}. Low values are joined through others between them."
    )


def _pairs(summary: Mapping[str, Any], no_text: bool) -> Markup:
    words = ("Kept", "Removed", "dropped") if _some_gone(summary) else ("One", "Another", "")
    pairs = [
        sides([(words[0], "", "", [pair.get("kept")]), (words[1], "", words[2], [pair.get("removed")])], no_text)
        for pair in blocks.records(summary.get("pairs"))
    ]
    return element("div", *pairs) if pairs else EMPTY


def _across(summary: Mapping[str, Any]) -> Markup:
    rows = []
    for one in blocks.records(summary.get("across")):
        names, counts = [*items(one.get("between")), "", ""], [*items(one.get("rows")), None, None]
        cells = [as_text(one.get("by")), *(as_text(name) for name in names[:2]), number(one.get("clusters"))]
        rows.append([escape(cell) for cell in (*cells, *(number(count) for count in counts[:2]))])
    if not rows:
        return EMPTY
    head = ["By", "One", "Other", "Clusters in both", "Rows of one", "Rows of the other"]
    told = blocks.lead("Clusters of duplicates that hold rows of two splits or domains, the most frequent pairs first.")
    return join([told, table(head, rows, "Pairs with clusters in common")])


def _slices(summary: Mapping[str, Any]) -> Markup:
    def row(d: Mapping[Any, Any]) -> list[str]:
        return [
            number(d.get("pool_rows")),
            number(d.get("kept_rows")),
            share(_gone(d), d.get("pool_rows")),
            short(d.get("pool_tokens")),
            short(d.get("kept_tokens")),
        ]

    found = sorted(blocks.records(summary.get("domains")), key=lambda d: -(finite(d.get("pool_rows")) or 0))
    return blocks.slices(found, ["Domain", "Pool rows", "Kept rows", "Removed", "Pool tokens", "Kept tokens"], row)
