"""The report of ``cuvee mix utilities``: what is lost without each source at the end of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import blocks
from .charts import Difference, forest
from .compared import MOST, differences, signed
from .figures import NONE, duration, finite, items, mapping, number, percent, short
from .html import Page, figure, sentence
from .markup import EMPTY, isolated, table
from .text import Markup, as_text, cut, escape


def render(summary: Mapping[str, Any]) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
    """
    page = Page(
        "mix utilities",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in (_pictured(summary),) if picture],
    )
    page.add("Utilities", "What is lost without each source", _utilities(summary), _groups(summary))
    page.add("Sources", "The final mix", _sources(summary))
    page.add("Losses", "Mean losses of the ends", _losses(summary))
    page.add("Cost", "What it cost", _cost(summary))
    blocks.limits(page, summary, no_text=False)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("seeds", number(len(items(summary.get("seeds"))))),
        ("share that is the end", percent(summary.get("last"))),
    ]
    found.append(("tokens of the run", short(summary.get("run_tokens"))))
    found.append(("tokens of the planned run", short(summary.get("tokens"))))
    return [(name, value) for name, value in found if value != NONE]


def _pictured(summary: Mapping[str, Any]) -> Markup:
    rows: list[Difference | str] = []
    for one in blocks.records(summary.get("utilities"))[:40]:
        mean = finite(one.get("utility"))
        if mean is None:
            continue
        name = f"{cut(as_text(one.get('name')), 36)}, {cut(as_text(one.get('evaluation')), 30)}"
        values = [finite(value) for value in items(one.get("differences"))]
        low, high = finite(one.get("low")), finite(one.get("high"))
        rows.append(Difference(name, mean, low, high, as_text(one.get("verdict")), 0, values))
    if not rows:
        return EMPTY
    unit = cut(as_text(summary.get("unit")), 60)
    caption = sentence(f"Rise of the loss in {unit} when the end is trained without a source, whose share the others ")
    caption = sentence(caption, "get. Above zero the source helps.")
    return figure("What is each source worth?", caption, forest(rows, signed, unit))


def _utilities(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("utilities"))
    rows = [
        [
            isolated(d.get("evaluation"), 60),
            isolated(d.get("name"), 80),
            *(escape(signed(finite(d.get(name)))) for name in ("utility", "low", "high")),
            isolated(d.get("verdict"), 20),
        ]
        for d in found[:MOST]
    ]
    head = ["Evaluated on", "Source left out", "Utility", "from", "to (95 % together)", ""]
    caption = "Loss without the source less loss with it"
    return table(head, rows, caption, words=2, more=len(found) - MOST) if rows else EMPTY


def _groups(summary: Mapping[str, Any]) -> Markup:
    found = [one for one in blocks.records(summary.get("comparisons")) if one.get("group") is not None]
    head = ["Subgroup", "full less", "Difference", "95 % together", "full is"]
    return differences(found, head, "By subgroup: below zero the source helps")


def _sources(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("sources"))
    rows = [
        [
            isolated(d.get("name"), 80),
            escape(short(d.get("available"))),
            *(escape(percent(d.get(name))) for name in ("natural", "final", "seen")),
            *(escape(number(d.get(name))) for name in ("passes_before", "passes")),
        ]
        for d in found[:MOST]
    ]
    head = ["Source", "Tokens", "Before the end", "Final mix", "given in fact", "Passes before", "in the end"]
    caption = "Shares of tokens, and passes of the planned run"
    return table(head, rows, caption, more=len(found) - MOST) if rows else EMPTY


def _losses(summary: Mapping[str, Any]) -> Markup:
    told = mapping(summary.get("losses"))
    names = list(told)[:8]
    arms = list(mapping(told.get(names[0]))) if names else []
    rows = [
        [isolated(arm, 80), *(escape(number(mapping(told.get(name)).get(arm))) for name in names)]
        for arm in arms[:MOST]
    ]
    head = ["End", *(as_text(name)[:40] for name in names)]
    return table(head, rows, "Means over the seeds", more=len(arms) - MOST) if rows else EMPTY


def _cost(summary: Mapping[str, Any]) -> Markup:
    cost = mapping(summary.get("cost"))
    told = {
        "tokens trained on": short(cost.get("tokens")),
        "tokens of whole runs for the same": short(cost.get("whole_runs")),
        "training of the ends": duration(cost.get("train_seconds")),
        "ends": number(cost.get("trials")),
        "ledger": as_text(summary.get("ledger")),
    }
    return blocks.pairs({name: value for name, value in told.items() if value and value != NONE}, "Each trial once")
