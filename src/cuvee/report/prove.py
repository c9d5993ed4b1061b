"""The report of ``cuvee prove``: did the choice help, does every seed agree, for whom not, and at what cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import blocks
from .charts import Chart, Cost, Curve, Difference, Dot, Reach, costs, curves, forest, reach, scatter, seeds, span
from .charts.curves import Point
from .charts.paired import MOST_SEEDS, ROLES
from .examples import body, hidden
from .figures import NONE, duration, finite, items, mapping, number, plural, short, size
from .html import MOST_BYTES, Page, figure, key, sentence
from .markup import EMPTY, element, isolated, join, table
from .text import Markup, as_text, cut, escape

MOST_DRAWN = 40
"""Comparisons in one picture: those that were declared, then the other evaluation sets, then the worst subgroups."""
_SIZES = ((6, 60), (2, 20), (1, 5))
"""Evaluation sets with pictures of their own, and rows of a table; the next pair if the page would be too large."""
_MOST_SIDE, _NAME = 8, 60
_OTHERS = ("arm1", "arm2", "arm3", "arm4")
_SIGNS = {"more than": ">\u202f", "at least": "≥\u202f", "less than": "<\u202f", "at most": "≤\u202f"}
Form = Callable[[float | None], str]


@dataclass(frozen=True)
class _Comparison:
    """One paired difference, checked."""

    arm: str
    against: str
    evaluation: str
    group: str | None
    primary: bool
    mean: float | None
    low: float | None
    high: float | None
    verdict: str
    level: float | None
    detectable: float | None
    differences: Sequence[float | None]
    row: Mapping[Any, Any]

    @property
    def pair(self) -> tuple[str, str]:
        return self.arm, self.against

    @property
    def words(self) -> str:
        """Arm and baseline, each cut so that both can be seen."""
        return f"{cut(self.arm, 36)} against {cut(self.against, 36)}"

    def told(self, one_arm: bool) -> str:
        """Without the arm where there is no other."""
        return f"against {cut(self.against, 36)}" if one_arm else self.words

    @property
    def badness(self) -> tuple[bool, float]:
        """Sorts the worst first; what has no mean last."""
        return self.mean is None, -(self.mean or 0.0)


@dataclass(frozen=True)
class _Proof:
    """The summary, read once."""

    summary: Mapping[str, Any]
    unit: str
    arms: Sequence[Mapping[Any, Any]]
    comparisons: Sequence[_Comparison]
    roles: Mapping[str, str]
    signed: Form
    loss: Form
    panels: int
    listed: int

    @property
    def whole(self) -> list[_Comparison]:
        """Comparisons over whole evaluation sets; the declared ones first."""
        return sorted((c for c in self.comparisons if c.group is None), key=lambda c: not c.primary)

    @property
    def candidate(self) -> str:
        named = [arm for arm, role in self.roles.items() if role == "kept"]
        return named[0] if named else "the candidate"

    @property
    def one_arm(self) -> bool:
        """Whether every comparison is of the same arm, which then needs no naming in each row."""
        return len({c.arm for c in self.comparisons}) == 1

    def role(self, arm: str) -> str:
        return self.roles.get(arm, "pool")


def render(summary: Mapping[str, Any], no_text: bool = False) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
        no_text: leave out every text of the training data and of the evaluation sets.
    """
    page = ""
    for panels, listed in _SIZES:
        page = _page(_read(summary, panels, listed), no_text)
        if len(page.encode()) < MOST_BYTES:
            break
    return page


def _page(proof: _Proof, no_text: bool) -> str:
    summary = proof.summary
    pictures = [_did_it_help(proof), _every_seed(proof), *_learning(proof), *_multiples(proof), _costs(proof)]
    pictures += _followed(proof)
    page = Page(
        "prove",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(proof),
        [picture for picture in pictures if picture],
    )
    page.add("Numbers", "The numbers", _comparisons(proof), *_power(proof))
    page.add("Subgroups", "Every subgroup, the worst first", *_subgroups(proof), _follows(proof))
    page.add("Arms", "What was trained", _arms(proof), _losses(proof), _proxy(proof))
    page.add("Evaluation", "What it was measured on", _evaluations(proof), _holdout(proof))
    page.add("Overlap", "Texts on both sides", *_overlap(proof, no_text))
    told = "Texts are hidden on request: overlaps show which documents meet, not what they share."
    page.add("Limits", "Limits", blocks.lines([told] * no_text + items(summary.get("limits"))))
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _read(summary: Mapping[str, Any], panels: int, listed: int) -> _Proof:
    arms = blocks.records(summary.get("arms"))
    found = [_comparison(row) for row in blocks.records(summary.get("comparisons"))]
    return _Proof(
        summary,
        _name(summary.get("unit"), "loss"),
        arms,
        found,
        _roles(arms),
        fixed([c.mean for c in found], sign=True),
        fixed([1.0]),
        panels,
        listed,
    )


def _comparison(row: Mapping[Any, Any]) -> _Comparison:
    return _Comparison(
        _name(row.get("arm")),
        _name(row.get("against")),
        _name(row.get("evaluation")),
        None if row.get("group") is None else _name(row["group"]),
        row.get("primary") is True,
        finite(row.get("mean")),
        finite(row.get("low")),
        finite(row.get("high")),
        as_text(row.get("verdict"))[:40],
        finite(row.get("level")),
        finite(row.get("detectable")),
        [finite(v) for v in items(row.get("differences"))],
        row,
    )


def _name(value: Any, otherwise: str = "(unnamed)") -> str:
    return cut(as_text(value), 1_000) or otherwise


def _unit(proof: _Proof) -> str:
    """The unit at the beginning of a sentence."""
    return cut(proof.unit[:1].upper() + proof.unit[1:], 60)


def _roles(arms: Sequence[Mapping[Any, Any]]) -> dict[str, str]:
    """How each arm is drawn: the first candidate and random as themselves, the others by colours and dashes."""
    kinds = [(as_text(arm.get("kind")), _name(arm.get("name"))) for arm in arms]
    order = ("candidate", "selection", "policy")
    candidate = next((name for kind in order for k, name in kinds if k == kind), None)
    roles, others = dict[str, str](), itertools.chain(_OTHERS, itertools.repeat("pool"))
    for kind, name in kinds:
        if name not in roles:
            roles[name] = "kept" if name == candidate else "random" if kind == "random" else next(others)
    return roles


def fixed(values: Iterable[float | None], sign: bool = False) -> Form:
    """A form with as many decimals for all numbers as show three digits of the largest; a dash for a missing one."""
    largest = max((abs(v) for v in values if v is not None), default=1.0) or 1.0
    digits = min(6, max(0, 2 - math.floor(math.log10(largest)))) if largest < 1 else 3 if largest < 100 else 1

    def form(value: float | None) -> str:
        if value is None:
            return NONE
        if abs(value) >= 1e5 or 0 < abs(value) < 10.0**-digits / 2 < 1e-6:
            return ("+" if sign and value > 0 else "") + number(value)
        text = f"{value:,.{digits}f}"
        if not text.strip("-0.,"):
            return text.removeprefix("-")
        return f"+{text}" if sign and value > 0 else text

    return form


def level(value: Any) -> str:
    """0.983 -> "98.3 %"; nothing that is not between 0 and 1."""
    x = finite(value)
    return f"{100 * x:.3g} %" if x is not None and 0 < x < 1 else NONE


def times(value: Any) -> str:
    """4 -> "4.0", 12.3 -> "12"."""
    x = finite(value)
    return NONE if x is None else f"{x:.1f}" if 0.05 <= abs(x) < 9.95 else number(float(f"{x:.2g}"))


def operations(value: Any) -> str:
    """Floating-point operations: 2.1e9 -> "2.1G"."""
    x = finite(value)
    if x is None or abs(x) < 999.5:
        return number(value)
    for power, unit in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if abs(x) >= 0.9995 * 10**power:
            return f"{x / 10**power:.1f}{unit}" if abs(x) < 999.5e18 else f"{x:.2g}"
    return number(x)


def _bound(row: Mapping[Any, Any]) -> str:
    """ "more than" for a multiple that lies beyond what was tried; nothing for one that was met."""
    return as_text(row.get("bound"))[:20].strip()


def _facts(proof: _Proof) -> list[tuple[str, str]]:
    facts = []
    drawn = [c for c in proof.whole if c.mean is not None]
    if drawn:
        first = drawn[0]
        told = f"{cut(proof.unit, 20)}, {cut(first.arm, 16)} against {cut(first.against, 16)}"
        told += f" on {cut(first.evaluation, 16)}" if len({c.evaluation for c in drawn}) > 1 else ""
        facts.append((told, proof.signed(first.mean)))
        known = [v for v in first.differences if v is not None]
        if known:
            facts.append(("paired seeds are better", f"{sum(v < 0 for v in known):,} of {len(known):,}"))
    multiple = next(iter(_multiples_known(proof)), None)
    if multiple is not None:
        bound = _bound(multiple)
        sign = _SIGNS.get(bound, f"{bound} " if bound else "")
        facts.append(("the tokens that random would need", f"{sign}{times(multiple.get('times'))} ×"))
    power = finite(mapping(proof.summary.get("power")).get("detectable"))
    if power is not None:
        facts.append(("smallest effect that these seeds see in 4 of 5 repetitions", number(power)))
    return facts


def _did_it_help(proof: _Proof) -> Markup:
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


def _levels(proof: _Proof) -> str:
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


def _drawn(proof: _Proof) -> tuple[list[Difference | str], list[_Comparison]]:
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


def _difference(c: _Comparison, name: str, depth: int) -> Difference:
    return Difference(name, c.mean or 0.0, c.low, c.high, c.verdict, depth, c.differences)


def _every_seed(proof: _Proof) -> Markup:
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


def _learning(proof: _Proof) -> list[Markup]:
    found = mapping(proof.summary.get("curves"))
    first = {c.evaluation: i for i, c in reversed(list(enumerate(proof.whole)))}
    named = sorted(found.items(), key=lambda pair: first.get(_name(pair[0]), len(first)))
    ranks = {arm: i for i, arm in enumerate(sorted(proof.roles, key=lambda arm: _rank(proof.roles[arm])))}
    made = list[tuple[str, Markup, Chart]]()
    for name, arms in named:
        lines = [
            Curve(_name(arm), proof.role(_name(arm)), points)
            for arm, curve in mapping(arms).items()
            if (points := _points(mapping(curve), "mean"))
        ]
        if not lines:
            continue
        lines.sort(key=lambda line: ranks.get(line.name, len(ranks)))
        caption = [f"{_unit(proof)} on ", isolated(_name(name), _NAME), " by tokens seen, on a "]
        caption += ["logarithmic axis. Each band is the interval of the mean over seeds. Lower is better."]
        question = f"On {cut(_name(name), 40)}" if made else "How do the losses fall?"
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


def _multiples_known(proof: _Proof) -> list[Mapping[Any, Any]]:
    found = blocks.records(proof.summary.get("multiples"))
    return [row for row in found if (finite(row.get("times")) or 0) > 0]


def _multiples(proof: _Proof) -> list[Markup]:
    tokens = {_name(arm.get("name")): finite(arm.get("tokens")) for arm in proof.arms}
    candidate, made, known = proof.candidate, list[tuple[str, Markup, Chart]](), 0
    random = next((arm for arm, role in proof.roles.items() if role == "random"), "random")
    for row in blocks.records(proof.summary.get("multiples")):
        points, goal = _points(row, "loss"), finite(row.get("candidate_loss"))
        if not points or goal is None:
            continue
        known += 1
        if len(made) == proof.panels:
            continue
        found, bound = finite(row.get("times")), _bound(row)
        low, high = finite(row.get("low")), finite(row.get("high"))
        where = isolated(_name(row.get("evaluation")), _NAME)
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
        question = f"On {cut(_name(row.get('evaluation')), 40)}" if made else "What would random need?"
        made.append((question, caption, chart))
    return _panels(made, known - len(made))


def _costs(proof: _Proof) -> Markup:
    rows = []
    for row in blocks.records(proof.summary.get("costs")):
        select, train = finite(row.get("select_seconds")), finite(row.get("train_seconds"))
        total = finite(row.get("total_seconds"))
        if total is None and (select is not None or train is not None):
            total = (select or 0.0) + (train or 0.0)
        gain, name = finite(row.get("gain")), _name(row.get("arm"))
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


def _followed(proof: _Proof) -> list[Markup]:
    """A picture per evaluation set: the small group that goes against the largest, or else is bent, or is smallest."""
    found = blocks.records(proof.summary.get("group_curves"))
    ranked = sorted(found, key=lambda row: (row.get("against") is not True, row.get("answer") != "curve"))
    made = list[tuple[str, Markup, Chart]]()
    names = list(dict.fromkeys(_name(row.get("evaluation")) for row in found))
    for name in names[: proof.panels]:
        row = next(one for one in ranked if _name(one.get("evaluation")) == name)
        dots = list[Dot]()
        for point in items(row.get("points")):
            arm, *values = items(point) or [""]
            x, y = (finite(v) for v in values[:2]) if len(values) > 1 else (None, None)
            if x is not None and y is not None:
                dots.append(Dot(_name(arm), proof.role(_name(arm)), x, y))
        if not dots:
            continue
        dots.sort(key=lambda dot: -_rank(dot.role))
        drawn = [finite(v) for v in items(row.get("coefficients"))]
        small, large = _name(row.get("minority")), _name(row.get("majority"))
        caption: list[Markup | str] = ["A dot per trial, ", *_arm_keys(proof, dots), ": "]
        caption += [f"{cut(proof.unit, 40)} on ", isolated(small, _NAME), " over those on ", isolated(large, _NAME)]
        caption += [", the largest group; left and down is better. ", as_text(row.get("said"))[:400]]
        question = f"On {cut(name, 40)}" if made else "Do small groups follow the largest?"
        chart = scatter(
            dots, [v for v in drawn if v is not None], proof.loss, f"on {large}", f"on {small}", cut(proof.unit, 40)
        )
        made.append((question, sentence(*caption), chart))
    return _panels(made, len(names) - len(made))


def _arm_keys(proof: _Proof, dots: Sequence[Dot]) -> list[Markup | str]:
    """The arms that are drawn each in a way of their own, and all others as rings."""
    own = [arm for arm, role in proof.roles.items() if role != "pool" and any(dot.name == arm for dot in dots)]
    signs = {arm: "spot" if proof.roles[arm] == "random" else f"spot {proof.roles[arm]}" for arm in own}
    keys = [key(cut(arm, 22), sign) for arm, sign in signs.items()]
    keys += [key("others", "ring")] if any(dot.role == "pool" for dot in dots) else []
    return [part for made in keys for part in (made, ", ")][:-1]


def _follows(proof: _Proof) -> Markup:
    """How every small group that was looked at depends on the largest."""
    found = blocks.records(proof.summary.get("group_curves"))
    rows = [
        [
            isolated(_name(row.get("minority")), _NAME),
            isolated(_name(row.get("majority")), _NAME),
            isolated(_name(row.get("evaluation")), _NAME),
            escape("against" if row.get("against") is True else as_text(row.get("answer")), 20),
            escape(f"{number(row.get('trials'))}, {number(row.get('arms'))}"),
            *(_ends(row, name) for name in ("slope", "end", "bend")),
            *(escape(number(row.get(name))) for name in ("p", "aicc_gain", "spread")),
        ]
        for row in found[: proof.listed]
    ]
    head = ["Group", "Largest group", "Of", "Follows", "Trials, arms", "Slope", "Slope at the best", "Bend"]
    head += ["P of the bend", "AICc gain", "Spread"]
    lead = (
        "On a line, on a curve, or open. Bend: second derivative. AICc gain: of a curve over a line. Spread: of what "
    )
    lead += "neither explains, in the best tenth of trials."
    caption = "Small groups over the largest"
    return (
        join([blocks.lead(lead), table(head, rows, caption, words=4, more=len(found) - proof.listed)])
        if rows
        else EMPTY
    )


def _ends(row: Mapping[Any, Any], name: str) -> Markup:
    """A number with its interval."""
    value, low, high = (finite(row.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    form = fixed([value], sign=True)
    return escape(form(value) + (f" {span(form, low, high)}" if low is not None and high is not None else ""))


def _comparisons(proof: _Proof) -> Markup:
    found, one = proof.whole, proof.one_arm
    rows = [
        [
            isolated(c.told(one), 90),
            isolated(c.evaluation, _NAME),
            _verdict(c),
            *(escape(words) for words in _intervals(c, proof.signed)),
            escape(_agree(c)),
            escape(number(c.detectable)),
        ]
        for c in found[: proof.listed]
    ]
    head = ["Comparison", "On", "Verdict", "Difference", "Interval", "Level", "Student's t", "Bootstrap"]
    head += ["Better", "Detects"]
    if not rows:
        return EMPTY
    lead = "A dot marks what was declared beforehand. Better: seeds below zero. Detects: the smallest effect that this "
    lead += "comparison sees in 4 of 5 repetitions."
    arm = f", {cut(found[0].arm, _NAME)} minus the other" if one else ""
    caption = f"Paired differences in {cut(proof.unit, 60)}{arm}"
    return join([blocks.lead(lead), table(head, rows, caption, words=3, more=len(found) - proof.listed)])


def _verdict(c: _Comparison, flag: str = "") -> Markup:
    words = escape(c.verdict or NONE, 20)
    shown = element("b", words, escape(" •")) if c.primary else words
    return join([shown, escape(" "), element("mark", escape(flag), class_="up")]) if flag else shown


def _intervals(c: _Comparison, form: Form) -> list[str]:
    """Mean, interval, its level, and the two other intervals."""

    def other(kind: str) -> str:
        return span(form, *(finite(c.row.get(f"{kind}_{end}")) for end in ("low", "high")))

    return [form(c.mean), span(form, c.low, c.high), level(c.level), other("t"), other("bootstrap")]


def _agree(c: _Comparison) -> str:
    known = [v for v in c.differences if v is not None]
    return f"{sum(v < 0 for v in known):,} of {len(known):,}" if known else NONE


def _power(proof: _Proof) -> list[Markup]:
    found = mapping(proof.summary.get("power"))
    smallest = finite(found.get("detectable"))
    count = len(items(proof.summary.get("seeds")))
    over = f"With {plural(count, 'paired seed')}" if count else "With these seeds"
    lead = f"{over} the smallest effect seen in 4 of 5 repetitions is {number(smallest)}."
    asked = [row for row in blocks.records(found.get("seeds_for")) if finite(row.get("effect")) is not None]
    rows = [
        [
            escape(number(row["effect"])),
            escape(plural(row["seeds"], "seed") if finite(row.get("seeds")) is not None else "out of reach"),
        ]
        for row in asked[:20]
    ]
    return [
        blocks.lead(lead) if smallest is not None else EMPTY,
        table(["To see an effect of", "needs"], rows, "Seeds for an effect", more=len(asked) - 20) if rows else EMPTY,
    ]


def _subgroups(proof: _Proof) -> list[Markup]:
    found = sorted((c for c in proof.comparisons if c.group is not None), key=lambda c: c.badness)
    if not found:
        return []
    whole = {(c.pair, c.evaluation): c.mean for c in proof.whole}
    losing = {id(c) for c in found if (c.mean or 0) > 0 and (whole.get((c.pair, c.evaluation)) or 0) < 0}
    one, several = proof.one_arm, len({c.pair for c in found}) > 1
    rows = [
        [
            isolated(c.group, _NAME),
            isolated(c.evaluation, _NAME),
            *([isolated(c.told(one), 90)] if several else []),
            _verdict(c, "the average gains" if id(c) in losing else ""),
            *(escape(words) for words in _intervals(c, proof.signed)),
        ]
        for c in found[: proof.listed]
    ]
    head = ["Subgroup", "Of", *(["Comparison"] if several else []), "Verdict", "Difference", "Interval", "Level"]
    head += ["Student's t", "Bootstrap"]
    pair = "" if several else f", {' minus '.join(cut(name, 40) for name in found[0].pair)}"
    caption = f"Differences in {cut(proof.unit, 60)}{pair}"
    return [
        _losers([c for c in found if id(c) in losing]),
        table(head, rows, caption, words=len(head) - 5, more=len(found) - proof.listed),
    ]


def _losers(losing: Sequence[_Comparison]) -> Markup:
    """Which subgroups lose where the average gains, and how sure that is."""
    if not losing:
        return EMPTY
    several = len({c.evaluation for c in losing}) > 1
    named = list(dict.fromkeys(_part(c, several) for c in losing))
    sure = sum(c.verdict == "worse" for c in losing)
    shown = "" if len(losing) == 1 and not sure else f", {number(sure)} of them shown to be worse"
    shown = ", and is shown to be worse" if len(losing) == sure == 1 else shown
    lead = f"The average gains, but {plural(len(losing), 'subgroup loses', 'subgroups lose')}{shown}: "
    marked = [part for name in named[:6] for part in (isolated(name), escape(", "))][:-1]
    more = f" and {len(named) - 6:,} more" if len(named) > 6 else ""
    return element("p", escape(lead), *marked, escape(f"{more}."), class_="lead")


def _part(c: _Comparison, several: bool) -> str:
    return cut(c.group or "", 30) + (f" ({cut(c.evaluation, 30)})" if several else "")


def _arms(proof: _Proof) -> Markup:
    rows = []
    for arm in proof.arms[: proof.listed]:
        seconds = [finite(arm.get(k)) for k in ("select_seconds", "train_seconds")]
        together = sum(v for v in seconds if v is not None) if any(v is not None for v in seconds) else None
        numbers = [short(arm.get(k)) for k in ("tokens", "documents", "selection_tokens")]
        numbers.append(times(arm.get("passes")))
        numbers += [duration(v) for v in (*seconds, together)]
        numbers += [operations(arm.get(k)) for k in ("select_flops", "train_flops")]
        diverged = escape(number(arm.get("diverged")))
        if finite(arm.get("diverged")):
            diverged = element("mark", diverged, class_="up")
        kind = as_text(arm.get("kind")).replace("_", " ")
        rows.append([isolated(_name(arm.get("name")), _NAME), escape(kind, 30), *map(escape, numbers), diverged])
    head = ["Arm", "Kind", "Tokens seen", "Documents", "Tokens chosen", "Passes", "Selecting", "Training", "In all"]
    head += ["FLOP to select", "FLOP to train", "Diverged"]
    return table(head, rows, "Arms", words=2, more=len(proof.arms) - proof.listed) if rows else EMPTY


def _losses(proof: _Proof) -> Markup:
    """Arms in rows, evaluation sets in columns."""
    named = [(_name(arm.get("name")), mapping(arm.get("losses"))) for arm in proof.arms]
    sets = list(dict.fromkeys(name for _, losses in named for name in losses))
    shown = sets[:_MOST_SIDE]
    if not shown:
        return EMPTY

    def cell(losses: Mapping[Any, Any], name: Any) -> Markup:
        found = mapping(losses.get(name))
        mean, low, high = (finite(found.get(k)) for k in ("mean", "low", "high"))
        return escape(proof.loss(mean) + (f" {span(proof.loss, low, high)}" if low is not None or high else ""))

    rows = [
        [isolated(arm, _NAME), *(cell(losses, name) for name in shown)]
        for arm, losses in named[: proof.listed]
        if losses
    ]
    over = f"; {plural(len(sets) - _MOST_SIDE, 'evaluation set')} more" if len(sets) > _MOST_SIDE else ""
    caption = f"{_unit(proof)}: mean over seeds, with its interval{over}"
    return table(["Arm", *(cut(_name(name), _NAME) for name in shown)], rows, caption)


def _proxy(proof: _Proof) -> Markup:
    proxy = mapping(proof.summary.get("proxy"))
    told = {"Proxy": proxy.get("name"), "What it is": proxy.get("summary")}
    told = {k: as_text(v) for k, v in told.items() if as_text(v)}
    settings = {as_text(k): v for k, v in mapping(proxy.get("settings")).items()}
    return blocks.pairs({**told, **settings}, "The model that was trained")


def _evaluations(proof: _Proof) -> Markup:
    found = blocks.records(proof.summary.get("evaluations"))
    rows = []
    for row in found[: proof.listed]:
        groups = [as_text(g) for g in items(row.get("groups"))]
        consulted = finite(row.get("consulted"))
        rows.append(
            [
                isolated(_name(row.get("name")), _NAME),
                _list([isolated(g, 30) for g in groups[:12]], len(groups) - 12) if groups else escape(NONE),
                escape(number(row.get("documents"))),
                escape(size(row.get("bytes"))),
                escape(NONE if consulted is None else "once" if consulted == 1 else f"{number(consulted)} times"),
                _met(mapping(row.get("overlap"))),
            ]
        )
    head = ["Evaluation set", "Subgroups", "Documents", "Text", "Consulted so far", "Shared with the training data"]
    return table(head, rows, "Evaluation sets", words=2, more=len(found) - proof.listed) if rows else EMPTY


def _list(parts: Sequence[Markup], more: int) -> Markup:
    told = [escape(f"and {more:,} more")] if more > 0 else []
    return join([*parts, *told], ", ")


def _met(overlap: Mapping[Any, Any]) -> Markup:
    """What was found on both sides: "exact 0, near 2"."""
    known = [(as_text(k), v) for k, v in overlap.items() if finite(v) is not None]
    parts = [join([isolated(name, 24), escape(f" {number(v)}")]) for name, v in known[:6]]
    return _list(parts, len(known) - 6) if parts else escape(NONE)


def _holdout(proof: _Proof) -> Markup:
    found = {as_text(k).replace("_", " "): v for k, v in mapping(proof.summary.get("holdout")).items()}
    return blocks.pairs(found, "Set aside for measuring")


def _overlap(proof: _Proof, no_text: bool) -> list[Markup]:
    found = blocks.records(proof.summary.get("overlap"))
    if not found:
        return []
    rows = [
        [
            isolated(_name(row.get("evaluation")), _NAME),
            isolated(_name(row.get("arm")), _NAME),
            escape(number(row.get("documents"))),
            escape(number(row.get("removed"))),
        ]
        for row in found[: proof.listed]
    ]
    examples = [(row, e) for row in found for e in blocks.records(row.get("examples"))]
    cards = [_shared(row, example, no_text) for row, example in examples[:12]]
    more = f"and {len(examples) - 12:,} more" if len(examples) > 12 else ""
    head = ["Evaluation set", "Arm", "Documents that meet", "Removed"]
    return [
        table(head, rows, "Overlap of training data and evaluation sets", words=2, more=len(found) - proof.listed),
        element("div", element("div", *cards), class_="sides one") if cards else EMPTY,
        element("p", escape(more), class_="quiet") if more else EMPTY,
    ]


def _shared(row: Mapping[Any, Any], example: Mapping[Any, Any], no_text: bool) -> Markup:
    """One text that stands on both sides, or only where it stands."""
    tokens = as_text(example.get("tokens"))
    facts = [
        element("b", isolated(_name(example.get("evaluation_id")), _NAME)),
        element("span", escape("in "), isolated(_name(row.get("evaluation")), _NAME)),
        element("span", escape("meets "), isolated(_name(example.get("training_id")), _NAME)),
        element("span", escape("in "), isolated(_name(row.get("arm")), _NAME)),
        element("span", isolated(tokens, 40), escape(" tokens")) if tokens else EMPTY,
    ]
    return element("article", element("header", *facts), hidden() if no_text else body(example.get("shared")))
