"""The report of ``cuvee mix search``: was the proposal better, what is it, and can the law be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import blocks
from .charts import Curve, Difference, Mixture, Weight, curves, forest, losses, predicted, weights
from .compared import MOST, differences, signed
from .figures import NONE, duration, finite, items, mapping, number, percent, short
from .html import Page, figure, key, sentence
from .markup import EMPTY, isolated, table
from .text import Markup, as_text, cut, escape

_ROLES = ("kept", "arm1", "arm2", "arm3", "arm4")


def render(summary: Mapping[str, Any]) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
    """
    shown = (_tried(summary), _weights(summary), _losses(summary), _predicted(summary), _curves(summary))
    page = Page(
        "mix search",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in shown if picture],
    )
    page.add("Mixture", "The proposed mixture", _proposal(summary), _expected(summary))
    page.add("Held", "The sources that keep their weights to one another", _held(summary))
    page.add("Sampler", "What the sampler does in each source", _sampler(summary))
    page.add("Trial", "The trial of the proposal", _arms(summary), _comparisons(summary), _needed(summary))
    page.add("Caution", "How far toward the law's optimum", _caution(summary))
    page.add("Law", "On mixtures left out", _judged(summary))
    page.add("Runs", "Every mixture that was run", _mixtures(summary))
    page.add("Cost", "What the search cost", *_cost(summary))
    blocks.limits(page, summary, no_text=False)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    count, cost = mapping(summary.get("counts")), mapping(mapping(summary.get("cost")).get("swarm"))
    found = [("runs", number(count.get("runs"))), ("mixtures", number(count.get("settings")))]
    found.append(("tokens of a run", short(summary.get("run_tokens"))))
    found.append(("tokens of the planned run", short(summary.get("tokens"))))
    found.append(("tokens trained on in the swarm", short(cost.get("tokens"))))
    return [(name, value) for name, value in found if value != NONE]


def _primary(summary: Mapping[str, Any]) -> list[Mapping[Any, Any]]:
    return [one for one in blocks.records(summary.get("comparisons")) if one.get("primary")]


def _tried(summary: Mapping[str, Any]) -> Markup:
    rows: list[Difference | str] = []
    for one in _primary(summary):
        mean = finite(one.get("mean"))
        if mean is None:
            continue
        name = f"against {cut(as_text(one.get('against')), 36)}, {cut(as_text(one.get('evaluation')), 30)}"
        values = [finite(value) for value in items(one.get("differences"))]
        low, high = finite(one.get("low")), finite(one.get("high"))
        rows.append(Difference(name, mean, low, high, as_text(one.get("verdict")), 0, values))
    if not rows:
        return EMPTY
    unit = cut(as_text(summary.get("unit")), 60)
    caption = sentence(
        f"Difference in {unit} between the proposal and its rivals, trained on the same seeds, which the "
    )
    caption = sentence(caption, "swarm had not seen. Below zero the proposal is better.")
    return figure("Is the proposal better?", caption, forest(rows, signed, unit))


def _weights(summary: Mapping[str, Any]) -> Markup:
    rows = []
    for one in blocks.records(summary.get("proposal")):
        value = finite(one.get("weight"))
        if value is None:
            continue
        low, high = finite(one.get("low")), finite(one.get("high"))
        rows.append(
            Weight(
                as_text(one.get("name")) or "(unnamed)",
                value,
                value if low is None else low,
                value if high is None else high,
                finite(one.get("proportional")) or 0.0,
                finite(one.get("uniform")) or 0.0,
            )
        )
    if not rows:
        return EMPTY
    caption = sentence("Each source's share of tokens in ", key("the proposal", "kept"), " with its 90 % interval, in ")
    caption = sentence(caption, key("proportional", "ring"), " and in ", key("uniform", "tick"), ".")
    return figure("How much of each source?", caption, weights(rows))


def _runs(summary: Mapping[str, Any]) -> list[Mixture]:
    found = []
    width = len(blocks.records(summary.get("proposal")))
    for one in blocks.records(summary.get("mixtures")):
        shares, loss = [finite(value) or 0.0 for value in items(one.get("shares"))], finite(one.get("loss"))
        if loss is not None and len(shares) == width:
            found.append(Mixture(as_text(one.get("name")), shares, loss, finite(one.get("predicted"))))
    return found


def _losses(summary: Mapping[str, Any]) -> Markup:
    rows, proposal = _runs(summary), blocks.records(summary.get("proposal"))
    if not rows:
        return EMPTY
    names = [as_text(one.get("name")) or "(unnamed)" for one in proposal]
    best = [finite(one.get("weight")) or 0.0 for one in proposal]
    surface = _surface(summary.get("surface"), len(names))
    if len(names) == 2:
        caption = sentence("Measured losses as dots, the fitted law as a line.")
    elif len(names) == 3:
        caption = sentence("A dot is a mixture: the nearer to a corner, the more of that source. ")
        caption = sentence(
            caption, key("Filled in colour", "kept"), " is the best quarter of those run; the shade is the "
        )
        caption = sentence(
            caption, "tenth of all mixtures that the law predicts to be best; the circle is the proposal."
        )
    else:
        caption = sentence(
            "A line is a mixture, going through its share of every source to its measured loss. Dashed: the "
        )
        caption = sentence(caption, "best quarter of those run. ", key("Thick", "kept"), ": the proposal.")
    chart = losses(names, rows, best, surface, cut(as_text(summary.get("unit")), 40))
    return figure("Which mixtures were good?", caption, chart)


def _surface(value: Any, sources: int) -> list[list[float]]:
    found = []
    for point in items(value):
        numbers = [finite(one) for one in items(point)]
        if len(numbers) == sources + 1 and all(one is not None for one in numbers):
            found.append([one for one in numbers if one is not None])
    return found


def _predicted(summary: Mapping[str, Any]) -> Markup:
    rows = _runs(summary)
    if not rows:
        return EMPTY
    sure = mapping(summary.get("confidence"))
    told = f"Mean error {number(sure.get('error'))}"
    if finite(sure.get("error_in_noise")) is not None:
        told += f", {number(sure.get('error_in_noise'))} times the noise between seeds"
    caption = sentence(f"Each mixture was predicted by a law fitted to all others. {told}.")
    return figure("Can the law be believed?", caption, predicted(rows, cut(as_text(summary.get("unit")), 40)))


def _curves(summary: Mapping[str, Any]) -> Markup:
    found = mapping(mapping(summary.get("trial")).get("curves"))
    for evaluation, arms in found.items():
        lines = []
        for at, (arm, one) in enumerate(mapping(arms).items()):
            columns = [[finite(v) for v in items(mapping(one).get(name))] for name in ("tokens", "mean", "low", "high")]
            points = [
                (t, m, low, high) for t, m, low, high in zip(*columns, strict=False) if t is not None and m is not None
            ]
            if len(points) > 1:
                lines.append(Curve(as_text(arm), _ROLES[at % len(_ROLES)], points))
        if lines:
            caption = sentence("Losses on ", isolated(evaluation, 60), " over tokens, with 95 % bands over seeds.")
            unit = cut(as_text(summary.get("unit")), 40)
            return figure("How do they learn?", caption, curves(lines, lambda v: f"{v:.3f}", unit))
    return EMPTY


def _proposal(summary: Mapping[str, Any]) -> Markup:
    found = sorted(blocks.records(summary.get("proposal")), key=lambda d: -(finite(d.get("weight")) or 0))
    if not found:
        return EMPTY
    rows = [
        [
            isolated(d.get("name"), 80),
            *(escape(percent(d.get(name))) for name in ("weight", "low", "high")),
            escape(short(d.get("tokens"))),
            escape(number(d.get("passes"))),
            escape(percent(d.get("proportional"))),
            escape(number(d.get("proportional_passes"))),
            escape(percent(d.get("uniform"))),
            escape(number(d.get("uniform_passes"))),
            escape(percent(d.get("best_measured"))),
            escape(percent(d.get("optimum"))),
        ]
        for d in found[:MOST]
    ]
    head = ["Source", "Weight", "from", "to (90 %)", "Tokens", "Passes", "Proportional", "passes", "Uniform", "passes"]
    head += ["Best run", "Law's optimum"]
    return table(head, rows, "Weights, tokens and passes of the planned run", more=len(found) - MOST)


def _held(summary: Mapping[str, Any]) -> Markup:
    """The sources whose weights were held, and what each is of all of them."""
    told = mapping(summary.get("held"))
    shares = [(as_text(name), finite(share) or 0.0) for name, share in mapping(told.get("sources")).items()]
    ordered = sorted(shares, key=lambda one: (-one[1], one[0]))
    rows = [[isolated(name, 80), escape(percent(share))] for name, share in ordered[:MOST]]
    caption = f"As in {cut(as_text(told.get('from')), 60)}; the law knows them as one source"
    return table(["Source", "Of these sources"], rows, caption, more=len(shares) - MOST) if rows else EMPTY


def _sampler(summary: Mapping[str, Any]) -> Markup:
    """The parameters of a sampler by quality."""
    told = mapping(summary.get("sampler"))
    criteria = [as_text(one)[:30] for one in items(told.get("criteria"))][:8]
    rows = []
    for name, one in list(mapping(told.get("domains")).items())[:MOST]:
        alpha = [finite(value) for value in items(mapping(one).get("alpha"))]
        alpha = (alpha + [None] * len(criteria))[: len(criteria)]
        numbers = [finite(mapping(one).get(key)) for key in ("threshold", "steepness", "power", "floor")]
        rows.append(
            [isolated(name, 80), *(escape(percent(value)) for value in alpha), *(escape(number(v)) for v in numbers)]
        )
    head = ["Source", *(f"weight of {one}" for one in criteria), "Threshold", "Steepness", "Power", "Floor"]
    caption = "Copies of a row by its rank in its source, 0 for the best: to 2^power above the threshold, else floor"
    return table(head, rows, caption, more=len(mapping(told.get("domains"))) - MOST) if rows else EMPTY


def _expected(summary: Mapping[str, Any]) -> Markup:
    rows = [
        [
            escape(as_text(name).replace("_", " ")),
            *(escape(number(mapping(one).get(k))) for k in ("loss", "low", "high")),
        ]
        for name, one in mapping(summary.get("expected")).items()
    ]
    return table(["Mixture", "Predicted loss", "from", "to (90 %)"], rows, "What the law predicts") if rows else EMPTY


def _caution(summary: Mapping[str, Any]) -> Markup:
    """The bounds on the way from proportional to the mean of the resamples' optima, of which the least is taken."""
    told = mapping(summary.get("caution"))
    share = finite(told.get("share"))
    rows = []
    for point in items(told.get("path"))[:MOST]:
        values = [finite(one) for one in items(point)]
        if len(values) == 4 and values[0] is not None:
            mark = "the proposal" if values[0] == share else ""
            rows.append([escape(percent(values[0])), *(escape(signed(one)) for one in values[1:]), escape(mark)])
    head = ["Of the way", "Predicted difference", "Bound by refits", "Bound by refits and misfit", ""]
    level = finite(told.get("level"))
    bounds = f"{percent(level)} bounds" if level else "bounds"
    caption = f"Differences to proportional: predicted, and {bounds}. The least bound is taken, or proportional"
    return table(head, rows, caption) if rows else EMPTY


def _arms(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(mapping(summary.get("trial")).get("arms"))
    names = list(mapping(found[0].get("losses"))) if found else []
    rows = [
        [
            isolated(d.get("name"), 60),
            escape(short(d.get("tokens"))),
            escape(duration(d.get("train_seconds"))),
            *(escape(number(mapping(mapping(d.get("losses")).get(name)).get("mean"))) for name in names[:8]),
        ]
        for d in found[:50]
    ]
    head = ["Mixture", "Tokens", "Training", *(as_text(name)[:40] for name in names[:8])]
    return table(head, rows, "Mean losses of the trial's runs") if rows else EMPTY


def _comparisons(summary: Mapping[str, Any]) -> Markup:
    head = ["Evaluated on", "against", "Difference", "95 % together", "Verdict"]
    return differences(blocks.records(summary.get("comparisons")), head, "The proposal less its rivals")


def _needed(summary: Mapping[str, Any]) -> Markup:
    """What proportional would need for the proposal's loss."""
    found = blocks.records(mapping(summary.get("trial")).get("multiples"))
    rows = [
        [
            isolated(d.get("evaluation"), 60),
            isolated(d.get("said"), 300),
            escape(number(d.get("proposal_loss"))),
            escape(", ".join(short(one) for one in items(d.get("tokens")))),
            escape(", ".join(number(one) for one in items(d.get("loss")))),
        ]
        for d in found[:MOST]
    ]
    head = ["Evaluated on", "", "Loss of the proposal", "Tokens of proportional", "its losses"]
    caption = "What proportional would need for the proposal's loss, from runs of their own"
    return table(head, rows, caption, words=2, more=len(found) - MOST) if rows else EMPTY


def _judged(summary: Mapping[str, Any]) -> Markup:
    names = ("weight", "error", "noise", "error_in_noise", "rank", "rank_best")
    rows = [
        [isolated(d.get("name"), 80), *(escape(number(d.get(name))) for name in names)]
        for d in blocks.records(summary.get("outcomes"))[:100]
    ]
    head = ["Outcome", "Weight", "Error", "Seed noise", "Error / noise", "Rank", "Rank, best quarter"]
    return table(head, rows, "Errors and rank correlations of mixtures left out") if rows else EMPTY


def _mixtures(summary: Mapping[str, Any]) -> Markup:
    found = sorted(_runs(summary), key=lambda one: one.loss)
    names = [as_text(one.get("name"))[:30] for one in blocks.records(summary.get("proposal"))][:20]
    rows: list[Sequence[Markup]] = [
        [isolated(one.name, 40), escape(number(one.loss)), *(escape(percent(s)) for s in one.shares[:20])]
        for one in found[:MOST]
    ]
    return table(["Mixture", "Loss", *names], rows, "The best first", more=len(found) - MOST) if rows else EMPTY


def _cost(summary: Mapping[str, Any]) -> list[Markup]:
    cost = mapping(summary.get("cost"))
    rows = []
    for name, label in (("swarm", "the swarm"), ("trial", "the trial of the proposal")):
        one = mapping(cost.get(name))
        if one:
            seconds = (escape(duration(one.get(k))) for k in ("train_seconds", "eval_seconds"))
            rows.append([escape(label), escape(number(one.get("runs"))), escape(short(one.get("tokens"))), *seconds])
    if not rows:
        return []
    found = [
        table(["", "Trials", "Tokens", "Training", "Measuring"], rows, "Trials, each once, as the ledger has them")
    ]
    ledger = as_text(summary.get("ledger"))
    if ledger:
        found.append(blocks.pairs({"ledger": ledger, "runs": "runs.csv"}, "Where the runs are"))
    found.append(blocks.pairs(cost.get("seconds"), "Time taken by this command", duration))
    return found
