"""The report of ``cuvee mix fit``: how well a law predicts runs left out, what it proposes, and what to expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import blocks
from .charts import Bar, Change, bars, dumbbell
from .figures import finite, items, mapping, number, percent
from .html import Page, figure, key, sentence
from .markup import EMPTY, isolated, table
from .text import Markup, as_text, escape

_NAMES = {
    "proposal": "proposal",
    "proportional": "proportional",
    "uniform": "uniform",
    "best_measured": "best mixture run",
}


def render(summary: Mapping[str, Any]) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
    """
    page = Page(
        "mix fit",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in (_change(summary), _expected(summary), _errors(summary)) if picture],
    )
    page.add("Proposal", "The proposed mixture", _proposal(summary))
    page.add("Judgement", "On runs left out", _judged(summary), _residuals(summary))
    page.add("Law", "The fitted law", *_parameters(summary))
    blocks.limits(page, summary, no_text=False)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    count = mapping(summary.get("counts"))
    labels = {"runs": "finished runs", "settings": "different settings", "sources": "sources", "resamples": "resamples"}
    return [(label, number(count[name])) for name, label in labels.items() if finite(count.get(name)) is not None]


def _change(summary: Mapping[str, Any]) -> Markup:
    changes = [
        Change(
            as_text(d.get("name")) or "(unnamed)", finite(d.get("proportional")) or 0.0, finite(d.get("weight")) or 0.0
        )
        for d in blocks.records(summary.get("proposal"))
    ]
    if not changes:
        return EMPTY
    caption = sentence("Each source's share in ", key("the proportional mix", "ring"), " and in ")
    caption = sentence(caption, key("the proposal", "kept"), ". What gains most stands on top.")
    return figure("What does the law propose?", caption, dumbbell(changes, mixtures=("proportional", "proposal")))


def _expected(summary: Mapping[str, Any]) -> Markup:
    found = mapping(summary.get("gains"))
    rows = []
    for name, value in found.items():
        one = mapping(value)
        gain = finite(one.get("gain"))
        if gain is not None:
            words = f"{number(gain)} [{number(one.get('low'))}, {number(one.get('high'))}]"
            rows.append(Bar(f"over {_NAMES.get(as_text(name), as_text(name))}", gain, words, "kept"))
    if not rows:
        return EMPTY
    caption = sentence("How much less loss the proposal is expected to have, with 90 % intervals. An interval that ")
    caption = sentence(caption, "holds zero shows nothing.")
    return figure("Is it worth it?", caption, bars(rows, "Expected gain", "less loss", largest_first=False))


def _errors(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("outcomes"))
    if not found:
        return EMPTY
    first = found[_shown(summary, len(found))]
    name = as_text(mapping(summary.get("law")).get("name"))
    rows = [Bar(name, finite(first.get("error")) or 0.0, number(first.get("error")), "kept")]
    for other, error in mapping(first.get("baselines")).items():
        if finite(error) is not None:
            rows.append(Bar(f"guess: {as_text(other)}", finite(error) or 0.0, number(error)))
    if finite(first.get("noise")) is not None:
        rows.append(Bar("seed noise", finite(first.get("noise")) or 0.0, number(first["noise"]), "random"))
    caption = sentence("Mean error on runs left out, for ", isolated(first.get("name"), 60), ".")
    chart = bars(rows, "Error on runs left out", "error", largest_first=False)
    return figure("Can the law be believed?", caption, chart, part=False)


def _shown(summary: Mapping[str, Any], outcomes: int) -> int:
    """The place of the outcome that the verdict turns on; the first in fits that do not say."""
    place = summary.get("shown")
    return place if isinstance(place, int) and 0 <= place < outcomes else 0


def _proposal(summary: Mapping[str, Any]) -> Markup:
    found = sorted(blocks.records(summary.get("proposal")), key=lambda d: -(finite(d.get("weight")) or 0))
    if not found:
        return EMPTY
    rows = [
        [
            isolated(d.get("name"), 80),
            *(
                escape(words)
                for words in (
                    percent(d.get("weight")),
                    percent(d.get("low")),
                    percent(d.get("high")),
                    percent(d.get("proportional")),
                    percent(d.get("best_measured")),
                    number(d.get("passes")),
                )
            ),
        ]
        for d in found[:200]
    ]
    head = ["Source", "Weight", "from", "to (90 %)", "Proportional", "Best run", "Passes"]
    return table(head, rows, "The proposed mixture", more=len(found) - 200)


def _judged(summary: Mapping[str, Any]) -> Markup:
    rows = [
        [
            isolated(d.get("name"), 80),
            *(
                escape(number(d.get(name)))
                for name in ("weight", "error", "noise", "error_in_noise", "rank", "rank_best")
            ),
        ]
        for d in blocks.records(summary.get("outcomes"))[:100]
    ]
    head = ["Outcome", "Weight", "Error", "Seed noise", "Error / noise", "Rank", "Rank, best quarter"]
    return table(head, rows, "Errors and rank correlations of runs left out") if rows else EMPTY


def _residuals(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("outcomes"))
    if not found:
        return EMPTY
    first = found[_shown(summary, len(found))]
    pairs = list(zip(items(first.get("observed")), items(first.get("predicted")), strict=False))
    pairs.sort(key=lambda pair: finite(pair[0]) or 0.0)
    rows = [[escape(number(a)), escape(number(b))] for a, b in pairs[:100]]
    caption = f"Observed and, while left out, predicted: {as_text(first.get('name'))[:60]}"
    return table(["Observed", "Predicted"], rows, caption, words=0, more=len(pairs) - 100)


def _parameters(summary: Mapping[str, Any]) -> list[Markup]:
    found = blocks.records(summary.get("outcomes"))
    return [blocks.pairs(d.get("parameters"), f"Parameters for {as_text(d.get('name'))[:60]}") for d in found[:12]]
