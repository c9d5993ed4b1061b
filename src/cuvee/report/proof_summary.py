"""What the report of ``cuvee prove`` reads of a summary, where anything may be missing, and how it writes numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import blocks
from .figures import NONE, finite, items, number
from .text import as_text, cut

MOST_NAME = 60
"""Characters of a name that are shown."""
_OTHERS = ("arm1", "arm2", "arm3", "arm4")
Form = Callable[[float | None], str]


@dataclass(frozen=True)
class Comparison:
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
class Proof:
    """The summary, read once."""

    summary: Mapping[str, Any]
    unit: str
    arms: Sequence[Mapping[Any, Any]]
    comparisons: Sequence[Comparison]
    roles: Mapping[str, str]
    signed: Form
    loss: Form
    panels: int
    listed: int

    @property
    def whole(self) -> list[Comparison]:
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


def read(summary: Mapping[str, Any], panels: int, listed: int) -> Proof:
    arms = blocks.records(summary.get("arms"))
    found = [_comparison(row) for row in blocks.records(summary.get("comparisons"))]
    return Proof(
        summary,
        name_of(summary.get("unit"), "loss"),
        arms,
        found,
        _roles(arms),
        fixed([c.mean for c in found], sign=True),
        fixed([1.0]),
        panels,
        listed,
    )


def _comparison(row: Mapping[Any, Any]) -> Comparison:
    return Comparison(
        name_of(row.get("arm")),
        name_of(row.get("against")),
        name_of(row.get("evaluation")),
        None if row.get("group") is None else name_of(row["group"]),
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


def name_of(value: Any, otherwise: str = "(unnamed)") -> str:
    return cut(as_text(value), 1_000) or otherwise


def unit_of(proof: Proof) -> str:
    """The unit at the beginning of a sentence."""
    return cut(proof.unit[:1].upper() + proof.unit[1:], 60)


def _roles(arms: Sequence[Mapping[Any, Any]]) -> dict[str, str]:
    """How each arm is drawn: the first candidate and random as themselves, the others by colours and dashes."""
    kinds = [(as_text(arm.get("kind")), name_of(arm.get("name"))) for arm in arms]
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


def bound_of(row: Mapping[Any, Any]) -> str:
    """ "more than" for a multiple that lies beyond what was tried; nothing for one that was met."""
    return as_text(row.get("bound"))[:20].strip()


def multiples_known(proof: Proof) -> list[Mapping[Any, Any]]:
    found = blocks.records(proof.summary.get("multiples"))
    return [row for row in found if (finite(row.get("times")) or 0) > 0]
