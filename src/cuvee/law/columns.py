"""What the columns that laws look at may hold: told once, for tables of runs and for questions (``--at``).

A law takes logarithms of sizes, so a negative one becomes NaN somewhere inside a fit, and a 0 an infinity. Columns that
are not named here (diversity, syntheticity, distance, item) may hold any number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Settings
from ..errors import DataError, UsageError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """What a column may hold: from ``least`` (itself, unless ``above``) to ``most``; ``words`` follow "must be"."""

    words: str
    least: float = 0.0
    above: bool = False
    most: float = math.inf

    def holds(self, values: Floats) -> npt.NDArray[np.bool_]:
        """Whether each value is allowed; NaN and infinities never are."""
        low = values > self.least if self.above else values >= self.least
        return low & (values <= self.most) & np.isfinite(values)


ABOVE, NOT_BELOW = Limit("above 0", above=True), Limit("at least 0")
ANY = Limit("a finite number", -math.inf)
LIMITS: Mapping[str, Limit] = {
    **dict.fromkeys(("parameters", "tokens", "samples", "compute", "steps", "step", "size", "pass"), ABOVE),
    **dict.fromkeys(("loss_a", "loss_inside", "early_loss"), ABOVE),
    **dict.fromkeys(("teacher_loss", "teacher_parameters", "teacher_tokens", "early_decline"), NOT_BELOW),
    **dict.fromkeys(("clean", "noisy", "target", "other"), NOT_BELOW),
    "share": Limit("between 0 and 1", most=1.0),
}
NOT_BOTH_ZERO = (("clean", "noisy"), ("target", "other"))
"""Samples of two kinds: a run was trained on some of either."""
TEACHER = ("teacher_loss", "teacher_parameters", "teacher_tokens")
"""All 0 in runs without a teacher; of one, the tokens alone may be 0, which says that they are not known."""


def limit(name: str, untrained: bool = False) -> Limit:
    """What a column may hold; ``untrained``: curves of checkpoints may begin at 0 tokens."""
    return NOT_BELOW if untrained and name == "tokens" else LIMITS.get(name, ANY)


def check_table(
    settings: Settings, needs: Sequence[str], row: npt.NDArray[np.int64], name: str, law: str, untrained: bool = False
) -> None:
    """Refuse runs with settings that a law cannot look at.

    Args:
        needs: the law's columns. row: int64, (n,): the number of each run in its file, from 1.
        name, law: how file and law are called in messages.

    Raises:
        DataError: with row, column and value, and how many rows are like it.
    """
    values = settings.values
    for column in needs:
        if column not in values:
            continue
        allowed = limit(column, untrained)
        wrong = np.flatnonzero(~allowed.holds(values[column]))
        if len(wrong):
            told = f"{column} is {values[column][wrong[0]]:.6g}, and must be {allowed.words} for {law}"
            raise DataError(f"{_place(row, wrong, name)}: {told}. Mend it, or leave such runs out.")
    for pair in NOT_BOTH_ZERO:
        if set(pair) <= set(needs) & set(values):
            wrong = np.flatnonzero((values[pair[0]] == 0) & (values[pair[1]] == 0))
            if len(wrong):
                told = f"{pair[0]} and {pair[1]} are both 0, so the run was trained on nothing"
                raise DataError(f"{_place(row, wrong, name)}: {told}. Mend it, or leave such runs out.")
    if set(TEACHER) <= set(needs) & set(values):
        loss, size, tokens = (values[column] for column in TEACHER)
        wrong = np.flatnonzero(((loss > 0) != (size > 0)) | ((loss == 0) & (tokens > 0)))
        if len(wrong):
            told = ", ".join(f"{column} is {values[column][wrong[0]]:.6g}" for column in TEACHER)
            raise DataError(
                f"{_place(row, wrong, name)}: {told}. A run with a teacher gives the teacher's loss and parameters, "
                "and one without has 0 in all three. Mend it, or leave such runs out."
            )


def check_asked(asked: Mapping[str, float], needs: Sequence[str], law: str, untrained: bool = False) -> None:
    """Refuse a question about settings that no run can have.

    Raises:
        UsageError: with the column, what it may hold, and what was asked.
    """
    unknown = sorted(set(asked) - set(needs))
    if unknown:
        raise UsageError(
            f"{law} does not look at '{unknown[0]}'. It looks at: {', '.join(needs) or 'the mixture alone'}."
        )
    for name, value in asked.items():
        allowed = limit(name, untrained)
        if not allowed.holds(np.array([value]))[0]:
            raise UsageError(f"--at {name} must be {allowed.words}, not {value:.4g}.")
    for pair in NOT_BOTH_ZERO:
        if all(asked.get(name) == 0 for name in pair):
            raise UsageError(f"--at {pair[0]}=0 and {pair[1]}=0 ask about a run on nothing. Give one of them.")
    none = next((name for name in TEACHER[:2] if asked.get(name) == 0), None)
    given = next((name for name in TEACHER if asked.get(name, 0.0) > 0), None)
    if none and given:
        raise UsageError(f"--at {none}=0 asks about a run without a teacher, which has no {given}. Leave one out.")


def of_one_teacher(asked: Mapping[str, float]) -> dict[str, float]:
    """What a question says of a teacher without naming it: 0 in all where there is none, else NaN, not known.

    The largest values of the columns would be three teachers' in one; of a teacher a prediction needs the loss alone.
    """
    if any(asked.get(name) == 0 for name in TEACHER[:2]):
        return dict.fromkeys(TEACHER, 0.0)
    return {name: math.nan for name in TEACHER[1:] if name not in asked}


def _place(row: npt.NDArray[np.int64], wrong: npt.NDArray[np.int64], name: str) -> str:
    """ "Row 3 of runs.csv", and how many such rows there are if there are more."""
    more = f" ({len(wrong):,} such rows)" if len(wrong) > 1 else ""
    return f"Row {row[wrong[0]]} of {name}{more}"
