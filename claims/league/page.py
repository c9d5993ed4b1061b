"""From the league's record to ``docs/league.md`` and its picture."""

from __future__ import annotations

from typing import Any

from bench import pictures
from cuvee.report.charts.paired import Difference, forest
from cuvee.report.figures import number as short

from ..harness import HERE, Effect, write
from ..report import interval, number, table
from .contenders import BEHIND, SETTINGS, SLOW, discover
from .field import CELLS, JUNK, NOISY, ONE, SEEDS, SHARE, SPOILS, TARGETS
from .record import RANDOM, STRONG, Rows, against, values

PAGE = HERE.parent / "docs" / "league.md"
PICTURE = "league"
PURE = 0.9
MATCHED = "length-matched"
HEAD = """# The league: all methods on the same tasks

<!-- Written by `python -m claims.league` from claims/results/league.json. Change the programs in claims/league. -->

Every scoring method and choosing rule that texts, a target and domains suffice for, on the same tasks, at equal tokens.
What is compared is the loss of a tiny language model (byte 5-grams) fitted on what was kept, in bits per character of
held-out text: lower is better. It rewards nearness of n-grams and little else, pools hold some thousands of documents,
and all parameters are the defaults{but}, which were made for larger pools. So the table says what a method does at this
scale on these tasks, and nothing about large models.
"""


def told(found: Effect | None) -> str:
    """Mean and interval; bold where 0 is outside."""
    if found is None:
        return ""
    words = f"{number(found.mean)} {interval(vars(found))}"
    return f"**{words}**" if found.above or found.below else words


def order(rows: Rows, task: str | None) -> list[str]:
    """Contenders that took part, the lowest mean first."""
    found = {name: against(rows, name, RANDOM, task) for name in rows if name != RANDOM}
    known = {name: one.mean for name, one in found.items() if one is not None} | {RANDOM: 0.0}
    return sorted(known, key=lambda name: (known[name], name))


def ties(rows: Rows, ranked: list[str], task: str | None) -> list[str]:
    """For each, the first and last place that its paired difference does not tell it from."""
    found = []
    for at, name in enumerate(ranked):
        like = [at]
        for place, other in enumerate(ranked):
            one = None if other == name else against(rows, name, other, task)
            if one is not None and not (one.above or one.below):
                like.append(place)
        low, high = min(like) + 1, max(like) + 1
        found.append(f"{low} to {high}" if low < high else f"{low}")
    return found


def mean(found: list[float] | None) -> float:
    return sum(found) / len(found) if found else float("nan")


def seconds(row: dict[str, Any]) -> str:
    """The middle of what all tasks and seeds took, for 100,000 documents."""
    every = sorted(one for task in CELLS for one in values(row, task, "seconds") or [])
    return number(every[len(every) // 2]) if every else ""


def overall(rows: Rows) -> str:
    """All tasks together."""
    ranked = order(rows, None)
    lines = []
    for place, (name, like) in enumerate(zip(ranked, ties(rows, ranked, None), strict=True), 1):
        against_all = [told(against(rows, name, other, None)) if name != other else "" for other in (RANDOM, MATCHED)]
        strong = told(against(rows, name, STRONG, None)) if STRONG in rows and name != STRONG else ""
        lines.append([str(place), like, f"`{name}`", *against_all, strong, seconds(rows[name])])
    head = ["place", "not told from", "contender", "less random", f"less {MATCHED}", "less RDS+", "CPU s per 100,000"]
    return table(head, lines)


def one_task(rows: Rows, task: str) -> str:
    """One task."""
    ranked = order(rows, task)
    lines = []
    for place, (name, like) in enumerate(zip(ranked, ties(rows, ranked, task), strict=True), 1):
        bits, right = (number(mean(values(rows[name], task, metric))) for metric in ("bits", "right"))
        cells = [told(against(rows, name, other, task)) if name != other else "" for other in (RANDOM, MATCHED)]
        strong = told(against(rows, name, STRONG, task)) if STRONG in rows and name != STRONG else ""
        lines.append([str(place), like, f"`{name}`", bits, *cells, strong, right])
    head = ["place", "not told from", "contender", "bits", "less random", f"less {MATCHED}", "less RDS+", "right"]
    return table(head, lines)


def verdict(found: Effect) -> str:
    return "better" if found.below else "worse" if found.above else "not shown"


def picture(rows: Rows) -> str:
    """The differences from random rows, all tasks together; returns the picture's address."""
    drawn = []
    for name in order(rows, None):
        one = against(rows, name, RANDOM, None) if name != RANDOM else None
        if one is not None:
            drawn.append(Difference(name, one.mean, one.low, one.high, verdict(one)))
    return pictures.save(PICTURE, forest(drawn, short, "bits per character").wide)


def summary(rows: Rows) -> str:
    """What the figures say, in sentences."""
    ranked = [name for name in order(rows, None) if name != RANDOM]

    def better(other: str, task: str | None) -> set[str]:
        found = {name: against(rows, name, other, task) for name in ranked if name != other}
        return {name for name, one in found.items() if one is not None and one.below}

    def worse(other: str) -> set[str]:
        found = {name: against(rows, name, other, None) for name in ranked if name != other}
        return {name for name, one in found.items() if one is not None and one.above}

    def listed(names: set[str]) -> str:
        return ", ".join(f"`{name}`" for name in ranked if name in names) or "none"

    first = ranked[0]
    like = {name for name in ranked[1:] if not (one := against(rows, first, name, None)) or not one.below}
    everywhere = set.intersection(*(better(RANDOM, task) for task in CELLS))
    lines = [
        f"* Of {len(ranked)} contenders, {len(better(RANDOM, None))} are better than random rows over all tasks "
        f"(interval below 0), {len(worse(RANDOM))} worse; on each task better: {listed(everywhere)}.",
        f"* Better than random rows with their own lengths: {len(better(MATCHED, None))}. Against random rows but not "
        f"against these: {listed(better(RANDOM, None) - better(MATCHED, None))}.",
        f"* First is `{first}`; not told from it: {listed(like)}.",
    ]
    if STRONG in rows:
        lines.append(f"* Better than RDS+: {listed(better(STRONG, None))}.")
    pure = {name for name in ranked if mean(values(rows[name], ONE, "right")) > PURE}
    lines.append(
        f"* The right kind is not enough: {listed(pure - better(RANDOM, ONE))} took more than {PURE:.0%} of their "
        "tokens from the target's own domain on the first task, and are not shown to be better than random rows there: "
        "rows of the highest scores resemble each other, or are few and long."
    )
    return "\n".join(lines)


def absent(rows: Rows) -> str:
    """Who took no part, and why."""
    playing, out = discover()
    out = out | {one.method: SLOW[one.method] for one in playing if one.slow and one.name not in rows}
    lines = [[f"`{name}`", "all", reason] for name, reason in sorted(out.items())]
    for name, row in sorted(rows.items()):
        why = {task: row["tasks"][task] for task in CELLS if isinstance(row["tasks"][task], str)}
        same = len(why) == len(CELLS) and len(set(why.values())) == 1
        lines += [[f"`{name}`", "all" if same else task, why[task]] for task in list(why)[: 1 if same else None]]
    return table(["contender", "task", "why not"], [[" ".join(cell.split()) for cell in row] for row in lines])


def tasks() -> str:
    """The tasks in words."""
    lines = []
    for task, targets in CELLS.items():
        if task != NOISY:
            pairs = "; ".join(" and ".join(names) for names in targets)
            lines.append(f"* **{task}**: targets of {TARGETS[task]} documents from each of: {pairs}.")
    ways = "; ".join(f"{way.__name__.replace('_', ' ')}: {str(way.__doc__)[0].lower()}{str(way.__doc__)[1:-1]}"
                     for way in SPOILS)  # fmt: skip
    lines.append(
        f"* **{NOISY}**: {JUNK:.0%} of the pool's documents are real ones that were spoiled, a fifth of them in each "
        f"of these ways ({ways}). Target ({TARGETS[NOISY]} documents of every domain) and held-out text are clean, "
        "and *right* is the share of kept tokens that are clean; else it is that of the target's domains."
    )
    return "\n".join(lines)


def page(rows: Rows, about: dict[str, Any]) -> str:
    """The whole page."""
    played = {one.method for one in discover()[0] if one.name in rows}
    but = ", ".join(f"`{name}`" for name in SETTINGS if name in played)
    behind = ", ".join(f"`{column}` of `{name}`" for column, name in BEHIND.items())
    cpu = sum(row["cpu_seconds"] for row in rows.values())
    parts = [
        HEAD.strip().replace("{but}", f" (but for {but}, cut down to what the whole table takes)" if but else ""),
        f"The pool is the demonstration's: eleven domains, some 3,900 documents of 1.7 kB after target and held-out "
        f"text are cut off; {SHARE:.0%} of its tokens are kept. {len(SEEDS)} seeds, each with its own cuts.",
        tasks(),
        f"A scoring method chooses by its paper's rule; a rule is tried on the column that it reads: {behind}.\n"
        "Differences are paired by seed; intervals are 95 %, Student's t over the seeds, each for itself: among forty "
        "comparisons two are apart from 0 by chance alone. Bold: 0 is outside. *Not told from*: the places from "
        "which the paired difference is not apart from 0. *Less length-matched*: against random rows of the "
        "selection's own lengths. The cost is processor time of fitting, scoring and choosing on one core, scaled in "
        "proportion from this small pool, so what is paid once weighs more than it would; rows were timed beside other "
        "work on the machine, which adds up to a third.",
        f"## All tasks\n\nMeans of the {len(CELLS)} tasks, each counting the same; contenders that took part in all.",
        summary(rows),
        f"![Differences from random rows with intervals, best first]({picture(rows)})",
        overall(rows),
        *(f"## Task: {task}\n\n{one_task(rows, task)}" for task in CELLS),
        f"## Not taking part\n\n{absent(rows)}",
        f"{cpu:.0f} s of processor time in all; {about['hardware']}. Every number of every seed: "
        "`claims/results/league.json`; programs: `claims/league`. A new method takes part by itself: "
        "`python -m claims.league` runs what has no row of the present code.",
    ]
    return "\n\n".join(parts) + "\n"


def update(rows: Rows, about: dict[str, Any]) -> None:
    """Write page and picture."""
    write(PAGE, page(rows, about))
