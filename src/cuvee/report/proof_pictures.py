"""The pictures in the report of ``cuvee prove``: differences, seeds, learning curves, multiples, costs, groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import blocks
from .charts import Chart, Cost, Curve, Difference, Dot, Reach, costs, curves, forest, reach, scatter, seeds
from .charts.curves import Point
from .charts.paired import MOST_SEEDS, ROLES
from .figures import NONE, finite, items, mapping, number, plural
from .html import figure, key, sentence
from .markup import EMPTY, element, isolated
from .proof_summary import (
    MOST_NAME,
    Comparison,
    Proof,
    bound_of,
    fixed,
    level,
    name_of,
    times,
    unit_of,
)
from .text import Markup, as_text, cut

MOST_DRAWN = 40
"""Comparisons in one picture: those that were declared, then the other evaluation sets, then the worst subgroups."""


def pictures(proof: Proof) -> list[Markup]:
    """All of them, in the report's order; some may be empty."""
    found = [_did_it_help(proof), _every_seed(proof), *_learning(proof), *_multiples(proof), _costs(proof)]
    return found + _followed(proof)


def _did_it_help(proof: Proof) -> Markup:
    rows, left_out = _drawn(proof)
    found = [row for row in rows if isinstance(row, Difference)]
    if not found:
        return EMPTY
    margin = finite(proof.summary.get("margin"))
    groups = sum(c.group is not None for c in left_out)
    parts = [plural(groups, "subgroup")] if groups else []
    parts += [plural(len(left_out) - groups, "comparison")] if len(left_out) > groups else []
    more = f"{' and '.join(parts)} more, in the tables below" if parts else ""
    pairs = sorted({c.pair for c in proof.comparisons})
    who = " minus ".join(cut(name, 40) for name in pairs[0]) if len(pairs) == 1 else "arm minus baseline"
    caption = [f"Difference in {cut(proof.unit, 60)}, {who}, the same seeds on both sides: ", *_keys(found), ". "]
    if margin is not None and margin > 0:
        caption += ["Within ", key(f"±{number(margin)}", "margin"), " counts as no difference. "]
    caption.append(_levels(proof))
    if any(row.depth for row in found):
        caption.append(" Smaller marks are subgroups, the worst first.")
    chart = forest(rows, proof.signed, cut(proof.unit, 60), margin, more)
    return figure("Did it help?", sentence(*caption), chart)


def _keys(rows: Sequence[Difference]) -> list[Markup | str]:
    """The verdicts that occur, each with its mark."""
    roles = {row.role for row in rows}
    told = [*ROLES.items(), ("not shown", "open")]
    keys = [key(word, role) for word, role in told if role in roles]
    return [part for made in keys for part in (made, ", ")][:-1]


def _levels(proof: Proof) -> str:
    """What the intervals of the declared comparisons hold."""
    declared = [c for c in proof.comparisons if c.primary]
    each, other = ({level(c.level) for c in proof.comparisons if c.primary is p} - {NONE} for p in (True, False))
    together = level(proof.summary.get("level"))
    if len(each) != 1:
        return f"The lines are intervals of {together}." if together != NONE else "The lines are intervals."
    one = next(iter(each))
    rest = f"; the others of {next(iter(other))}" if len(other) == 1 and other != each else ""
    if len(declared) == 1:
        return f"The declared comparison has an interval of {one}{rest}."
    joint = "" if together in (NONE, one) else f", so that {together} hold for all of them together"
    return f"The {len(declared):,} declared comparisons have intervals of {one} each{joint}{rest}."


def _drawn(proof: Proof) -> tuple[list[Difference | str], list[Comparison]]:
    """The rows of the forest, evaluation set by evaluation set, and what did not fit."""
    known = [c for c in proof.comparisons if c.mean is not None]
    whole = sorted((c for c in known if c.group is None), key=lambda c: (not c.primary, c.badness))
    ranked = [*whole, *sorted((c for c in known if c.group is not None), key=lambda c: (not c.primary, c.badness))]
    shown, left_out = ranked[:MOST_DRAWN], ranked[MOST_DRAWN:]
    several, one = len({c.pair for c in known}) > 1, proof.one_arm
    order = {name: i for i, name in enumerate(dict.fromkeys(c.evaluation for c in proof.whole))}
    rows: list[Difference | str] = []
    for evaluation in sorted({c.evaluation for c in shown}, key=lambda name: (order.get(name, len(order)), name)):
        here = [c for c in shown if c.evaluation == evaluation]
        pairs = dict.fromkeys(c.pair for c in sorted(here, key=lambda c: (not c.primary, c.group is not None)))
        if several:
            rows.append(evaluation)
        for pair in pairs:
            mine = [c for c in here if c.pair == pair]
            main = [c for c in mine if c.group is None]
            if not main and not several:
                rows.append(evaluation)
            rows += [_difference(c, c.told(one) if several else evaluation, 0) for c in main]
            groups = [c for c in mine if c.group is not None]
            if not main and several:
                rows += [_difference(c, f"{c.group or ''}, {c.told(one)}", 1) for c in groups]
            else:
                rows += [_difference(c, c.group or "", 1) for c in groups]
    return rows, left_out


def _difference(c: Comparison, name: str, depth: int) -> Difference:
    return Difference(name, c.mean or 0.0, c.low, c.high, c.verdict, depth, c.differences)


def _every_seed(proof: Proof) -> Markup:
    known = [c for c in proof.whole if c.mean is not None and any(v is not None for v in c.differences)]
    if not known:
        return EMPTY
    shown = known[:16]
    names = [as_text(seed) for seed in items(proof.summary.get("seeds"))]
    several = len({c.pair for c in known}) > 1
    rows: list[Difference | str] = []
    for evaluation in dict.fromkeys(c.evaluation for c in shown):
        if several:
            rows.append(evaluation)
        here = [c for c in shown if c.evaluation == evaluation]
        rows += [_difference(c, c.told(proof.one_arm) if several else evaluation, 0) for c in here]
    left_out = [f"and {plural(len(known) - 16, 'comparison')} more, in the tables below"] if len(known) > 16 else []
    longest = max(len(c.differences) for c in shown)
    left_out += [f"the first {MOST_SEEDS} of {longest:,} seeds"] if longest > MOST_SEEDS else []
    caption = sentence(
        "One dot per seed; the same seed stands at the same height in every row. Behind them ",
        key("mean", "mean"),
        " and ",
        key("interval", "span"),
        ". Where dots lie on both sides of zero, another seed could have said the opposite.",
    )
    form = fixed([v for c in shown for v in c.differences[:MOST_SEEDS]], sign=True)
    return figure("Does every seed agree?", caption, seeds(rows, names, form, "; ".join(left_out)))


def _panels(made: Sequence[tuple[str, Markup, Chart]], missing: int) -> list[Markup]:
    """The first picture at full width and the others side by side, two of them side by side; how many are missing."""
    first = 0 if len(made) == 2 else 1
    shown = [figure(*parts, part=i >= first) for i, parts in enumerate(made)]
    rest = element("div", *shown[first:], class_="halves") if shown[first:] else EMPTY
    more = blocks.lead(f"and {plural(missing, 'evaluation set')} more, without this picture.") if missing > 0 else EMPTY
    return [*shown[:first], rest, more]


def _learning(proof: Proof) -> list[Markup]:
    found = mapping(proof.summary.get("curves"))
    first = {c.evaluation: i for i, c in reversed(list(enumerate(proof.whole)))}
    named = sorted(found.items(), key=lambda pair: first.get(name_of(pair[0]), len(first)))
    ranks = {arm: i for i, arm in enumerate(sorted(proof.roles, key=lambda arm: _rank(proof.roles[arm])))}
    made = list[tuple[str, Markup, Chart]]()
    for name, arms in named:
        lines = [
            Curve(name_of(arm), proof.role(name_of(arm)), points)
            for arm, curve in mapping(arms).items()
            if (points := _points(mapping(curve), "mean"))
        ]
        if not lines:
            continue
        lines.sort(key=lambda line: ranks.get(line.name, len(ranks)))
        caption = [f"{unit_of(proof)} on ", isolated(name_of(name), MOST_NAME), " by tokens seen, on a "]
        caption += ["logarithmic axis. Each band is the interval of the mean over seeds. Lower is better."]
        question = f"On {cut(name_of(name), 40)}" if made else "How do the losses fall?"
        drawn = curves(lines, proof.loss, cut(proof.unit, 40))
        made.append((question, sentence(*caption), drawn))
        if len(made) == proof.panels:
            break
    return _panels(made, len(named) - len(made) if len(made) == proof.panels else 0)


def _rank(role: str) -> int:
    return {"kept": 0, "random": 1, "pool": 9}.get(role, 2)


def _points(curve: Mapping[Any, Any], key: str) -> list[Point]:
    """Tokens, mean and band; points without tokens or mean are dropped."""
    low, high = items(curve.get("low")), items(curve.get("high"))
    made = list[Point]()
    for i, (x, y) in enumerate(zip(items(curve.get("tokens")), items(curve.get(key)), strict=False)):
        tokens, mean = finite(x), finite(y)
        if tokens is not None and tokens > 0 and mean is not None:
            ends = [finite(values[i]) if i < len(values) else None for values in (low, high)]
            made.append((tokens, mean, ends[0], ends[1]))
    return made


def _multiples(proof: Proof) -> list[Markup]:
    tokens = {name_of(arm.get("name")): finite(arm.get("tokens")) for arm in proof.arms}
    candidate, made, known = proof.candidate, list[tuple[str, Markup, Chart]](), 0
    random = next((arm for arm, role in proof.roles.items() if role == "random"), "random")
    for row in blocks.records(proof.summary.get("multiples")):
        points, goal = _points(row, "loss"), finite(row.get("candidate_loss"))
        if not points or goal is None:
            continue
        known += 1
        if len(made) == proof.panels:
            continue
        found, bound = finite(row.get("times")), bound_of(row)
        low, high = finite(row.get("low")), finite(row.get("high"))
        where = isolated(name_of(row.get("evaluation")), MOST_NAME)
        told, need = "", "No multiple is known of the tokens that "
        if found is not None and found > 0:
            ends = f" ({times(low)} to {times(high)})" if low is not None and high is not None and not bound else ""
            told = f"{bound} {times(found)} times".strip()
            need = f" would need {told} the tokens{ends} "
        names = key(cut(random, 22), "random"), key(cut(candidate, 22), "kept")
        caption = (
            sentence(names[0], need, "for what ", names[1], " reached on ", where, ".")
            if told
            else sentence(need, names[0], " needs for what ", names[1], " reached on ", where, ".")
        )
        open_ = bound in ("more than", "at least")
        mark = Reach(cut(candidate, 30), goal, tokens.get(candidate), found, low, high, open_)
        chart = reach(Curve(random, "random", points), mark, proof.loss, cut(proof.unit, 40), told)
        question = f"On {cut(name_of(row.get('evaluation')), 40)}" if made else "What would random need?"
        made.append((question, caption, chart))
    return _panels(made, known - len(made))


def _costs(proof: Proof) -> Markup:
    rows = []
    for row in blocks.records(proof.summary.get("costs")):
        select, train = finite(row.get("select_seconds")), finite(row.get("train_seconds"))
        total = finite(row.get("total_seconds"))
        if total is None and (select is not None or train is not None):
            total = (select or 0.0) + (train or 0.0)
        gain, name = finite(row.get("gain")), name_of(row.get("arm"))
        if total is not None and gain is not None:
            low, high = finite(row.get("low")), finite(row.get("high"))
            rows.append(Cost(name, proof.role(name), total, select, train, gain, low, high))
    if not rows:
        return EMPTY
    rows.sort(key=lambda row: _rank(row.role))
    caption = "A dot per arm: the time for selection and training together, and the difference to random with its "
    caption += "interval. Down is better, left is cheaper."
    form = fixed([row.gain for row in rows], sign=True)
    return figure("What does it cost?", sentence(caption), costs(rows, form, cut(proof.unit, 40)))


def _followed(proof: Proof) -> list[Markup]:
    """A picture per evaluation set: the small group that goes against the largest, or else is bent, or is smallest."""
    found = blocks.records(proof.summary.get("group_curves"))
    ranked = sorted(found, key=lambda row: (row.get("against") is not True, row.get("answer") != "curve"))
    made = list[tuple[str, Markup, Chart]]()
    names = list(dict.fromkeys(name_of(row.get("evaluation")) for row in found))
    for name in names[: proof.panels]:
        row = next(one for one in ranked if name_of(one.get("evaluation")) == name)
        dots = list[Dot]()
        for point in items(row.get("points")):
            arm, *values = items(point) or [""]
            x, y = (finite(v) for v in values[:2]) if len(values) > 1 else (None, None)
            if x is not None and y is not None:
                dots.append(Dot(name_of(arm), proof.role(name_of(arm)), x, y))
        if not dots:
            continue
        dots.sort(key=lambda dot: -_rank(dot.role))
        drawn = [finite(v) for v in items(row.get("coefficients"))]
        small, large = name_of(row.get("minority")), name_of(row.get("majority"))
        caption: list[Markup | str] = ["A dot per trial, ", *_arm_keys(proof, dots), ": "]
        caption += [f"{cut(proof.unit, 40)} on ", isolated(small, MOST_NAME)]
        caption += [" over those on ", isolated(large, MOST_NAME)]
        caption += [", the largest group; left and down is better. ", as_text(row.get("said"))[:400]]
        question = f"On {cut(name, 40)}" if made else "Do small groups follow the largest?"
        chart = scatter(
            dots, [v for v in drawn if v is not None], proof.loss, f"on {large}", f"on {small}", cut(proof.unit, 40)
        )
        made.append((question, sentence(*caption), chart))
    return _panels(made, len(names) - len(made))


def _arm_keys(proof: Proof, dots: Sequence[Dot]) -> list[Markup | str]:
    """The arms that are drawn each in a way of their own, and all others as rings."""
    own = [arm for arm, role in proof.roles.items() if role != "pool" and any(dot.name == arm for dot in dots)]
    signs = {arm: "spot" if proof.roles[arm] == "random" else f"spot {proof.roles[arm]}" for arm in own}
    keys = [key(cut(arm, 22), sign) for arm, sign in signs.items()]
    keys += [key("others", "ring")] if any(dot.role == "pool" for dot in dots) else []
    return [part for made in keys for part in (made, ", ")][:-1]
