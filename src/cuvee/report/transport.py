"""The report of ``cuvee mix transport``: the mixture proposed, what is predicted, and how near the sources are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import blocks
from .charts import Bar, Change, bars, dumbbell
from .figures import finite, mapping, number, percent, short
from .html import Page, figure, key, sentence
from .markup import EMPTY, isolated, table
from .text import Markup, as_text, escape


def render(summary: Mapping[str, Any]) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
    """
    page = Page(
        "mix",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in (_shares(summary), _distances(summary)) if picture],
    )
    page.add("Predicted", "What is predicted", _expected(summary))
    page.add("Sources", "Every source", _sources(summary))
    blocks.limits(page, summary, no_text=False)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        (label, short(summary[name]))
        for name, label in (("runs", "runs"), ("samples", "samples asked about"))
        if finite(summary.get(name)) is not None
    ]
    if as_text(summary.get("features")):
        facts.append(("vectors", as_text(summary.get("features"))))
    return facts


def _shares(summary: Mapping[str, Any]) -> Markup:
    changes = [
        Change(
            as_text(one.get("name")) or "(unnamed)",
            finite(one.get("proportional")) or 0.0,
            finite(one.get("weight")) or 0.0,
        )
        for one in blocks.records(summary.get("proposal"))
    ]
    if not changes:
        return EMPTY
    caption = sentence("Each source's share by its ", key("size", "ring"), " and in ")
    caption = sentence(caption, key("the proposal", "kept"), ". What gains most stands on top.")
    return figure("Which mixture?", caption, dumbbell(changes, mixtures=("by size", "the proposal")))


def _distances(summary: Mapping[str, Any]) -> Markup:
    rows = [
        Bar(as_text(one.get("name")) or "(unnamed)", value, number(value), "kept")
        for one in blocks.records(summary.get("proposal"))
        if (value := finite(one.get("distance"))) is not None
    ]
    if not rows:
        return EMPTY
    caption = sentence(
        "The distance of each source by itself to the validation data: 0 where nothing tells them apart."
    )
    return figure("How near is each source?", caption, bars(rows, "Distance to the validation data", "distance"))


def _expected(summary: Mapping[str, Any]) -> Markup:
    found = mapping(summary.get("expected"))
    rows = [
        [
            isolated(name, 60),
            escape(number(mapping(one).get("performance"))),
            escape(number(mapping(one).get("distance"))),
        ]
        for name, one in found.items()
    ]
    return table(["mixture", "performance", "distance"], rows) if rows else EMPTY


def _sources(summary: Mapping[str, Any]) -> Markup:
    rows = [
        [
            isolated(one.get("name"), 200),
            escape(percent(one.get("weight"))),
            escape(percent(one.get("proportional"))),
            escape(number(one.get("distance"))),
        ]
        for one in blocks.records(summary.get("proposal"))
    ]
    return table(["source", "weight", "by size", "distance"], rows) if rows else EMPTY
