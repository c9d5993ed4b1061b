"""What a table of runs shows before any law is fitted, and its user should know: as sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ..core import Law
from ..quantities import shell_word, weight_list
from .curve import CurveLaw
from .table import SIZES, Table

Floats = npt.NDArray[np.float64]
MORE = re.compile(
    r"(?<![^\W_])(acc(uracy)?|score|f1|auc|bleu|rouge|exact_match|pass|reward|win_rate)(?![^\W\d_])", re.I
)
"""Names of outcomes of which more is better."""
DROWNED = 10.0
"""An outcome that differs so many times less between runs than another hardly counts in their sum."""


def about(
    table: Table, law: Law, called: str, minimised: Sequence[str], sized: Iterable[str], alike: bool = False
) -> list[str]:
    """Sentences, gravest first.

    Args:
        law, called: the law that will be fitted, and its name.
        minimised: outcomes of which a mixture is proposed. sized: names whose sizes were given.
        alike: whether these outcomes are added up as they are, since no weights were given.
    """
    return [
        *_negative(table, law, called, minimised),
        *_upward(table, minimised),
        *_constant(table, minimised),
        *(_drowned(table, minimised) if alike else []),
        *_elsewhere(table, sized),
        *_never(table),
        *_copied(table),
        *_mingled(table, law, called),
        *_told_otherwise(table, law, called),
    ]


def mingled(table: Table, law: Law) -> list[str]:
    """Sizes by which runs differ and at which the law does not look."""
    return [
        name
        for name, column in table.settings.values.items()
        if name in SIZES and name not in law.card.needs and column.min() < column.max()
    ]


def _negative(table: Table, law: Law, called: str, minimised: Sequence[str]) -> list[str]:
    """Outcomes with values that a sum of a level and exponentials or powers, all above 0, does not reach."""
    found = [name for name in minimised if table.outcomes[name].min() < 0]
    if not found or not isinstance(law, CurveLaw):
        return []
    return [
        f"{_first(found)} {'has' if len(found) == 1 else 'have'} values below 0, and {called} gives none: take 1 less "
        "the score instead of minus the score, or fit gaussian_process."
    ]


def upward(table: Table, minimised: Sequence[str]) -> list[str]:
    """Outcomes whose names say that more of them is better, of which no sign was turned."""
    return [name for name in minimised if MORE.search(name) and table.outcomes[name].max() > 0]


def _upward(table: Table, minimised: Sequence[str]) -> list[str]:
    found = upward(table, minimised)
    if not found:
        return []
    sounds = "is minimised like a loss, and its name sounds" if len(found) == 1 else "are minimised, and sound"
    return [
        f"{_first(found)} {sounds} as if more were better: then take 1 less the score, or fit losses alone (--loss)."
    ]


def _spread(outcome: Floats) -> float:
    """The standard deviation; 0 of what is constant but for rounding."""
    return 0.0 if np.ptp(outcome) <= 1e-9 * np.abs(outcome).max() else float(outcome.std())


def constant(table: Table, minimised: Sequence[str]) -> list[str]:
    """Outcomes that are the same in every run."""
    return [name for name in minimised if _spread(table.outcomes[name]) == 0]


def _constant(table: Table, minimised: Sequence[str]) -> list[str]:
    found = constant(table, minimised)
    if not found:
        return []
    alone = f"{_first(found)} is the same" if len(found) == 1 else f"Each of {_first(found)} is the same"
    return [f"{alone} in every run, so it is left out."]


def _drowned(table: Table, minimised: Sequence[str]) -> list[str]:
    """Outcomes that differ so little between runs, next to another one, that their sum knows nothing of them."""
    spread = {name: _spread(table.outcomes[name]) for name in minimised}
    if not spread or not math.isfinite(sum(spread.values())):
        return []
    widest = max(spread, key=lambda name: spread[name])
    found = [name for name in minimised if 0 < spread[name] < spread[widest] / DROWNED]
    if not found:
        return []
    varies, counts = ("varies", "it hardly counts") if len(found) == 1 else ("vary", "they hardly count")
    weights = {name: 1 / one for name, one in spread.items() if one > 0}
    told = {name: float(f"{weight / sum(weights.values()):.2g}") for name, weight in weights.items()}
    most = max(told, key=lambda name: told[name])
    told[most] += 1 - sum(told.values())  # they are to sum to 1
    example = f" {shell_word(weight_list(told, 10))} would let them count alike." if len(weights) < 5 else ""
    return [
        f"Over the runs {_first(found)} {varies} less than a tenth of what '{widest}' does, so {counts} in their sum. "
        f"Weigh outcomes with --objective.{example}"
    ]


def _elsewhere(table: Table, sized: Iterable[str]) -> list[str]:
    """Names among the sizes that no run holds: misspelt, or of another pool."""
    found = [name for name in sized if name not in table.settings.sources]
    return [f"Sizes are given of {_first(found)}, which no run holds: passed over."] if found else []


def _never(table: Table) -> list[str]:
    """Sources that no run holds anything of."""
    most = table.settings.mixture.max(0, initial=0.0)
    found = [name for name, share in zip(table.settings.sources, most, strict=True) if share == 0]
    if not found:
        return []
    return [f"No run holds anything of {_first(found)}, so nothing is known of it: try it, or drop it."]


def _mingled(table: Table, law: Law, called: str) -> list[str]:
    found = {name: table.settings.values[name] for name in mingled(table, law)}
    instead = "Fit one size" + (
        ", or nested_mixing." if {"tokens", "parameters"} <= table.settings.values.keys() else "."
    )
    return [
        f"Runs differ in {name}, from {column.min():.3g} to {column.max():.3g}, and {called} does not look at it: "
        f"losses of different sizes do not belong into one fit. {instead}"
        for name, column in found.items()
    ]


def _copied(table: Table) -> list[str]:
    """Rows that are the same in all that is measured and set, though luck differs between runs."""
    columns = [*table.settings.mixture.T, *table.settings.values.values(), *table.outcomes.values()]
    first = np.unique(np.column_stack(columns), axis=0, return_index=True)[1]
    copies = np.setdiff1d(np.arange(len(table)), first)
    outcomes = np.column_stack(list(table.outcomes.values()))
    if not len(copies) or len(np.unique(outcomes, axis=0)) == len(np.unique(table.group)):  # no luck at all: told so
        return []
    rows = ", ".join(map(str, table.numbers()[copies[:3]])) + (", ..." if len(copies) > 3 else "")
    is_one, it = ("is a copy of another one", "it") if len(copies) == 1 else ("are copies of others", "them")
    return [
        f"{'Row' if len(copies) == 1 else 'Rows'} {rows} {is_one} to the last digit: drop {it}, or the law seems to "
        "predict better than it does."
    ]


def _told_otherwise(table: Table, law: Law, called: str) -> list[str]:
    """A size that the law takes as a parameter, and that the runs have otherwise."""
    column, taken = table.settings.values.get("tokens"), getattr(law, "tokens", None)
    if column is None or taken is None or "tokens" in law.card.needs:
        return []
    held = float(column[0])
    if held == taken or not (column == held).all():  # where they differ, that is said elsewhere
        return []
    return [
        f"The runs have {held:.6g} tokens, and {called} was fitted as for {taken:.6g}: fit {called}:tokens={held:.15g}."
    ]


def _first(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(f"'{name}'" for name in names[:3]) + more
