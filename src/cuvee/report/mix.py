"""The report of ``cuvee mix``: what a run holds of each source, how often, and what other mixes would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import blocks
from .charts import Bar, Change, bars, dumbbell
from .figures import finite, mapping, number, percent, plural, short
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
        [picture for picture in (_shares(summary), _passes(summary)) if picture],
    )
    page.add("Sources", "Every source", _sources(summary))
    page.add("Rule", "The rule", blocks.pairs(mapping(summary.get("method")).get("parameters"), "Its parameters"))
    blocks.limits(page, summary, no_text=False)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = blocks.records(summary.get("sources"))
    facts = []
    if finite(summary.get("planned")) is not None:
        facts.append(("tokens in the run", short(summary["planned"])))
    if found:
        facts.append(("sources", number(len(found))))
    repeated = [d for d in found if (finite(d.get("passes")) or 0) > 1]
    facts.append(("sources gone through more than once", number(len(repeated))))
    if finite(summary.get("shortfall")):
        facts.append(("tokens that no source can give within the bound on passes", short(summary["shortfall"])))
    return facts


def _shares(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("sources"))
    changes = [
        Change(as_text(d.get("name")) or "(unnamed)", finite(d.get("available")) or 0.0, finite(d.get("tokens")) or 0.0)
        for d in found
    ]
    if not changes:
        return EMPTY
    caption = sentence("Each source's share of tokens in ", key("the pool", "ring"), " and in ")
    caption = sentence(caption, key("the mix", "kept"), ". What gains most stands on top.")
    return figure("What does the mix change?", caption, dumbbell(changes, mixtures=("the pool", "the mix")))


def _passes(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("sources"))
    rows = [
        Bar(as_text(d.get("name")) or "(unnamed)", value, number(round(value, 2)), "kept")
        for d in found
        if (value := finite(d.get("passes"))) is not None
    ]
    if not rows:
        return EMPTY
    caption = sentence("How often the run goes through each source. Up to about four times, repeating is worth ")
    caption = sentence(caption, "nearly as much as new text.")
    return figure("What is repeated?", caption, bars(rows, "Passes over each source", "passes"))


def _sources(summary: Mapping[str, Any]) -> Markup:
    found = sorted(blocks.records(summary.get("sources")), key=lambda d: -(finite(d.get("weight")) or 0))
    if not found:
        return EMPTY
    head = ["Source", "Weight", "Tokens", "Passes", "Available", "Proportional", "passes", "Uniform", "passes"]
    rows = [
        [
            isolated(d.get("name"), 80),
            *(
                escape(words)
                for words in (
                    percent(d.get("weight")),
                    short(d.get("tokens")),
                    number(d.get("passes")),
                    short(d.get("available")),
                    percent(d.get("proportional")),
                    number(d.get("proportional_passes")),
                    percent(d.get("uniform")),
                    number(d.get("uniform_passes")),
                )
            ),
        ]
        for d in found[:200]
    ]
    return table(head, rows, f"{plural(len(found), 'source')} by weight", more=len(found) - 200)
