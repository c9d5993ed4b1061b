"""From what is to be compared to the arms: who trains on what, how much, and against whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core import Columns, Policy
from ..errors import DataError, UsageError
from .candidates import Candidate
from .draws import PART_OF_SELECTION, PROPORTIONAL, RANDOM, Arm, Part, Rows, length_matched

BASELINES = ("random", "length_matched", "proportional", "full")
LARGEST_PART = 0.5
"""Of a selection in one trial. Half of it tells how much the whole owes to luck; more than half does not."""


@dataclass(frozen=True)
class Pair:
    """A comparison to be made. ``reference``: arms differ in size by design, so no verdict is given."""

    arm: Arm
    against: Arm
    reference: bool = False


@dataclass(frozen=True)
class Plan:
    """All arms of a proof, each once, and the comparisons between them."""

    arms: tuple[Arm, ...]
    pairs: tuple[Pair, ...]
    tokens: int


def clean_parts(columns: Columns, candidates: Sequence[Candidate], contaminated: Rows) -> tuple[Part, dict[str, Part]]:
    """The pool and each candidate's rows, without those that hold evaluation texts."""
    pool = Part(columns, without=contaminated)
    parts = {}
    for one in candidates:
        parts[one.name] = Part(columns, only=one.row, repeats=one.repeats, without=contaminated)
        if not parts[one.name].n_rows:
            raise DataError(f"Every document of '{one.name}' holds evaluation text: there is nothing left to train on.")
    return pool, parts


def tokens_of_a_trial(asked: int | None, parts: Sequence[Part], most: int | None) -> int:
    """How many tokens each trial trains on: half of the smallest selection, or as asked, or as the proxy can bear.

    Raises:
        UsageError: more was asked than half of a selection.
    """
    half = int(min(part.totals["tokens"] for part in parts) * LARGEST_PART)
    if half < 1:
        raise DataError("The selection holds fewer than two tokens: there is nothing to draw parts from.")
    if asked is None:
        return min(half, most) if most is not None else half
    if asked > half:
        raise UsageError(
            f"--tokens {asked:,} is more than half of the selection ({half:,} tokens). Each trial trains on another "
            "random part of it, and the parts must differ for the seeds to tell how much is luck. Give at most half."
        )
    return asked


def against_baselines(
    pool: Part,
    candidates: Sequence[Candidate],
    parts: dict[str, Part],
    against: Sequence[str],
    others: Sequence[str],
    tokens: int,
    policy: Policy,
    epochs: float,
) -> Plan:
    """Every candidate against each baseline by name, and against each of the selections ``others``."""
    _enough(pool, tokens)
    candidate_arms = {one.name: _part_of(one, parts[one.name], tokens, policy, epochs) for one in candidates}
    common = {
        "random": Arm("random", "random", pool, RANDOM, tokens, policy, epochs),
        "proportional": Arm("proportional", "proportional", pool, PROPORTIONAL, tokens, policy, epochs),
        "full": Arm("full", "full", pool, None, pool.totals["tokens"], policy, epochs),
    }
    pairs = []
    subjects = [one for one in candidates if one.name not in others]
    for one in subjects:
        for name in against:
            if name == "length_matched":
                label = "length_matched" if len(subjects) == 1 else f"length_matched to {one.name}"
                rule = length_matched(parts[one.name])
                other = Arm(label, "length_matched", pool, rule, tokens, policy, epochs)
            else:
                other = common[name]
            pairs.append(Pair(candidate_arms[one.name], other, reference=name == "full"))
        pairs += [Pair(candidate_arms[one.name], candidate_arms[name]) for name in others]
    return _plan(pairs, tokens)


def against_uniform(
    candidates: Sequence[Candidate],
    parts: dict[str, Part],
    policies: Sequence[tuple[str, Policy]],
    uniform: Policy,
    tokens: int,
    epochs: float,
) -> Plan:
    """Policies against uniform shuffling, on the same documents; so the choice of these is no matter of luck."""
    pairs = []
    for one in candidates:
        plain = replace(
            _part_of(one, parts[one.name], tokens, uniform, epochs),
            name=f"{one.name}, uniform",
            kind="uniform",
            fixed=0.0,
        )
        pairs += [
            Pair(replace(plain, name=f"{one.name}, {name}", kind="policy", policy=policy), plain)
            for name, policy in policies
        ]
    return _plan(pairs, tokens)


def with_more_tokens(plan: Plan, more: int) -> Plan:
    """The same plan, its baselines with so many more tokens than the candidates (the whole pool aside)."""
    arms = {}
    for arm in plan.arms:
        grows = arm.kind not in ("candidate", "full")
        arms[arm.name] = replace(arm, tokens=min(arm.tokens + more, arm.source.totals["tokens"])) if grows else arm
    pairs = [replace(pair, arm=arms[pair.arm.name], against=arms[pair.against.name]) for pair in plan.pairs]
    return _plan(pairs, plan.tokens)


def multiple(arm: Arm, times: float) -> Arm:
    """The same baseline with so many times the tokens."""
    return replace(arm, name=f"{arm.name} x{times:g}", kind="multiple", tokens=int(arm.tokens * times))


def _part_of(one: Candidate, part: Part, tokens: int, policy: Policy, epochs: float) -> Arm:
    whole = part.totals["tokens"]
    return Arm(
        one.name,
        "candidate",
        part,
        PART_OF_SELECTION,
        tokens,
        policy,
        epochs,
        fixed=tokens / whole,
        select_seconds=one.seconds,
        select_tokens=whole,
    )


def _plan(pairs: Sequence[Pair], tokens: int) -> Plan:
    arms: dict[str, Arm] = {}
    for pair in pairs:
        arms.setdefault(pair.arm.name, pair.arm)
        arms.setdefault(pair.against.name, pair.against)
    return Plan(tuple(arms.values()), tuple(pairs), tokens)


def _enough(pool: Part, tokens: int) -> None:
    if pool.totals["tokens"] < tokens:
        raise DataError(
            f"The pool holds {pool.totals['tokens']:,} tokens without those that hold evaluation texts: fewer than the "
            f"{tokens:,} of a trial."
        )
