"""Schedules: mixtures that change in training, as stages that a trainer runs one after the other.

A stage is a mixture with tokens of its own; it begins where the one before ended, at a whole step (or sequence), and
knows how far each source has been read by then. A trainer's file may define ``export_stages`` where its format holds
several stages; for the others each stage is exported by itself, into a folder ``stage-1``, ``stage-2`` and so on, with
a seed of its own, and the file's ``STAGES`` says how the runs follow each other.

Where a schedule comes from: a policy that decides beforehand (cooldown, upsample_end, replay, reuse, stratified), the
journal of an online mixture (:class:`cuvee.OnlineMix`), or a file of stages:

    {"stages": [{"share": 0.8, "weights": {"web": 0.9, "code": 0.1}}, {"share": 0.2, "weights": {"code": 1}}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import Draw
from ...engine.plan import make
from ...errors import DataError, UsageError
from ...layout import sealed
from ...mix.apportion import apportion
from ...online.mixture import Groups, MixturePolicy
from ...quantities import method_call
from ...registry import load
from . import carried
from .base import Exported, Mixture

MOST = 1000
OFF = 0.01
"""Of its planned samples, what a source may be off without a warning."""
ROUNDED = Fraction(1, 100)
"""Shares of stages may be off one by so much, for their rounding, before they are refused."""
Shares = tuple[Fraction, ...]


@dataclass(frozen=True)
class Stage:
    """``begin``: tokens before it. ``step``: the step it begins at, counted from 1, where steps are known. ``mixture``:
    its sources, shares and tokens, and ``before``, the passes over each source until it begins. ``lost``: sources whose
    share of even the whole run's tokens rounds to none, so that they are left out."""

    begin: int
    step: int | None
    mixture: Mixture
    lost: tuple[str, ...] = ()


def stages_of(schedule: str, mixture: Mixture, step_tokens: int | None) -> list[Stage]:
    """The stages of a run.

    Args:
        schedule: a policy with settings, or the path of a file of stages or of a journal.
        mixture: of the run; its tokens must be known.
        step_tokens: of a training step; stages begin at whole steps, or else at whole sequences.

    Raises:
        UsageError: a policy that measures while it trains, unknown sources, a stage shorter than a step.
        DataError: a file that cannot be read.
    """
    if mixture.tokens is None:
        raise UsageError("A schedule needs the run's tokens. Give --tokens.")
    if step_tokens is not None and step_tokens < mixture.sequence:
        raise UsageError(
            f"--step-tokens must be at least a sequence, {mixture.sequence:,} tokens, not {step_tokens:,}."
        )
    parts = _from_file(Path(schedule), mixture) if Path(schedule).is_file() else _from_policy(schedule, mixture)
    if len(parts) > MOST:
        raise UsageError(
            f"The schedule has {len(parts):,} stages; at most {MOST:,} are written. Let fewer rounds decide."
        )
    unit = step_tokens or mixture.sequence
    whole, total = sum(share for share, _ in parts), mixture.tokens
    edges, done = [0], Fraction(0)
    for share, _ in parts[:-1]:
        done += share / whole
        edges.append(round(done * total / unit) * unit)
    edges.append(total)
    held, before = mixture.available, [Fraction(0)] * len(mixture.names)
    found = []
    for number, ((_, shares), low, high) in enumerate(zip(parts, edges[:-1], edges[1:], strict=True)):
        if high - low < unit:
            what = "step" if step_tokens else "sequence"
            raise UsageError(
                f"Stage {number + 1} of the schedule has less than a {what} of {unit:,} tokens. Plan more --tokens, or "
                "fewer stages."
            )
        one, lost = used_of(replace(mixture, shares=shares, before=tuple(before), seed=mixture.seed + number))
        one = replace(one, tokens=high - low)
        found.append(Stage(low, None if step_tokens is None else 1 + low // step_tokens, one, lost))
        if held is not None:
            for name, times in zip(one.names, one.passes(), strict=True):
                before[mixture.names.index(name)] += times
    return found


def used_of(mixture: Mixture) -> tuple[Mixture, tuple[str, ...]]:
    """The mixture of the sources that have tokens, and the names of those whose share of its tokens rounds to none."""
    lost: list[str] = []
    if mixture.tokens is not None:
        planned = apportion(mixture.shares, mixture.tokens).tolist()
        rows = zip(mixture.names, mixture.shares, planned, strict=True)
        lost = [name for name, share, own in rows if share and not own and share * mixture.tokens < Fraction(1, 2)]
    used = [at for at, share in enumerate(mixture.shares) if share and mixture.names[at] not in lost]
    return (mixture if len(used) == len(mixture.names) else mixture.only(used)), tuple(lost)


def lost_note(lost: Sequence[str], scheduled: bool) -> list[str]:
    """That sources are left out whose planned tokens round to 0."""
    if not lost:
        return []
    named = ", ".join(lost[:12]) + (f" and {len(lost) - 12:,} more" if len(lost) > 12 else "")
    where = "in stages where" if scheduled else "as"
    return [f"Left out, as sources of weight 0 are, {where} their planned tokens round to 0: {named}."]


def average(mixture: Mixture, stages: Sequence[Stage]) -> Mixture:
    """The run as a whole: each source's share of all its tokens; sources that no stage uses are left out."""
    total = dict.fromkeys(mixture.names, Fraction(0))
    for stage in stages:
        for name, share in zip(stage.mixture.names, stage.mixture.shares, strict=True):
            total[name] += share * (stage.mixture.tokens or 0)
    return replace(mixture, shares=tuple(total.values())).only([at for at, one in enumerate(total.values()) if one])


def export_stages(trainer: ModuleType, whole: Mixture, stages: Sequence[Stage]) -> Exported:
    """What the trainer reads: in one file where its format holds stages, else a folder for each."""
    if hasattr(trainer, "export_stages"):
        found: Exported = trainer.export_stages(whole, stages)
        return found
    each: list[Exported] = [trainer.export(stage.mixture) for stage in stages]
    facts, warnings = trainer.tally(whole, stages) if hasattr(trainer, "tally") else ({}, [])
    return in_folders(trainer.STAGES, each, facts, warnings)


def in_folders(how: str, each: Sequence[Exported], facts: Mapping[str, Any], warnings: Sequence[str] = ()) -> Exported:
    """A folder for each stage; ``how`` says how the runs follow each other."""
    files = {f"stage-{at}/{name}": text for at, one in enumerate(each, 1) for name, text in one.files.items()}
    notes = list(dict.fromkeys([how, *(note for one in each for note in one.notes)]))
    told = {**facts, "stages": [dict(one.facts) for one in each]}
    return Exported(files, notes, f"{each[0].use}, a run for each stage", told, warnings)


FEW = "Whole samples cannot be nearer to so few: plan more --tokens, or shorter samples."
ALONE = (
    "The trainer counts each stage alone, so that what it rounds adds up over stages of few samples: plan fewer or "
    "longer ones, or take --to order."
)


def followed(
    whole: Mixture, stages: Sequence[Stage], counts: Sequence[Sequence[int]], documents: bool, why: str = FEW
) -> tuple[dict[str, Any], list[str]]:
    """What is drawn of each source in the whole run, for mixture.json, and a warning where that is not the plan.

    Args:
        counts: (stages, k), of the sources of ``whole``.
        documents: samples are documents, else sequences.
        why: the end of the warning.
    """
    lengths, shares = carried.planned(whole, stages, documents)
    drawn = [sum(own) for own in zip(*counts, strict=True)]
    plan = [
        float(sum(length * own[at] for length, own in zip(lengths, shares, strict=True)))
        for at in range(len(whole.names))
    ]
    facts = {"drawn": dict(zip(whole.names, drawn, strict=True))}
    off = [
        (-abs(have / want - 1), f"{name} {have:,} of {want:,.1f}" if want >= 1 else f"{name} {have:,} of {want:.2g}")
        for name, have, want in zip(whole.names, drawn, plan, strict=True)
        if abs(have - want) > want * OFF
    ]
    if not off:
        return facts, []
    named = ", ".join(one for _, one in sorted(off)[:3]) + (f" and {len(off) - 3:,} more" if len(off) > 3 else "")
    sources = "1 source is" if len(off) == 1 else f"{len(off):,} sources are"
    unit = "documents" if documents else "sequences"
    return facts, [f"Over the whole run {sources} drawn more than 1 % off the plan ({named} {unit} planned). {why}"]


def described(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """The schedule for mixture.json."""
    return [
        {
            "begin": stage.begin,
            "tokens": stage.mixture.tokens,
            "step": stage.step,
            "weights": dict(zip(stage.mixture.names, stage.mixture.weights(), strict=True)),
            "passes_before": dict(zip(stage.mixture.names, map(float, stage.mixture.before), strict=True))
            if stage.mixture.available
            else None,
        }
        for stage in stages
    ]


def _from_policy(schedule: str, mixture: Mixture) -> list[tuple[Fraction, Shares]]:
    """Parts of the run and their shares, as a policy decides them beforehand."""
    name, settings = _called(schedule)
    kind = load(name, "policy")
    if not issubclass(kind, MixturePolicy) or "domain" not in kind.card.needs:
        raise UsageError(f"'{name}' decides about single examples, not about shares of sources.")
    if mixture.available is None:
        raise UsageError("A policy needs the sources' sizes. Export a mix that cuvee mix made of the pool.")
    policy: MixturePolicy = make(kind, settings, name)
    sizes, total = np.array(mixture.available, np.int64), Fraction(mixture.tokens or 0)
    epochs = float(total / int(sizes.sum()))
    # names sorted, as everywhere else where domains are numbered
    order = sorted(range(len(sizes)), key=lambda at: mixture.names[at])
    groups = Groups(tuple(mixture.names[at] for at in order), sizes[order])
    if _lifts(policy):
        shares_of = apportion([mixture.shares[at] for at in order], max(int(sizes.sum()), LEAST_UNITS))
        policy, groups = _resolved(policy), _Weighed(groups.names, shares_of, groups.sizes)
    state = policy.fresh(groups)
    found: list[tuple[Fraction, Shares]] = []
    while float(state["done"][0]) < epochs * (1.0 - 1e-12):
        turn = policy.turn(state, epochs, Draw(mixture.seed))
        if turn.asks or turn.restart:
            raise UsageError(
                f"{name} decides by what it measures while a model trains. Run it (cuvee.OnlineMix) and export the "
                "journal, --schedule mix.jsonl."
            )
        back = np.empty(len(order))
        back[order] = turn.mixture
        shares = exact(back.tolist())
        if found and found[-1][1] == shares:
            found[-1] = (found[-1][0] + Fraction(turn.length), shares)
        else:
            found.append((Fraction(turn.length), shares))
        state = {**state, "done": state["done"] + turn.length}
    return found


def _called(schedule: str) -> tuple[str, dict[str, Any]]:
    """A policy's name and settings; what is named like a file is none."""
    named = schedule.partition(":")[0]
    if "/" in named or named.endswith((".json", ".jsonl")):
        raise UsageError(
            f"There is no file {schedule}. Name a file of stages, the journal of an OnlineMix, or a policy."
        )
    return method_call(schedule)


def unused_weights(schedule: str, mixture: Mixture) -> list[str]:
    """That a policy takes nothing from the mix's weights, where these are not by size; those that lift some sources of
    the mix do, and a file says its shares itself."""
    held = mixture.available
    by_size = held is not None and all(
        abs(float(share) - size / sum(held)) < SAME for share, size in zip(mixture.shares, held, strict=True)
    )
    if by_size or Path(schedule).is_file():
        return []
    name, settings = _called(schedule)
    if _lifts(make(load(name, "policy"), settings, name)):
        return []
    told = sorted(zip(mixture.shares, mixture.names, strict=True), key=lambda one: (-round(float(one[0]), 4), one[1]))
    named = ", ".join(f"{source} {float(share):.3g}" for share, source in told[:4]) + (", ..." if len(told) > 4 else "")
    return [
        f"{name} decides by the sources' sizes: the mix's weights ({named}) have no part in the run. For those write a "
        "file of stages, or take upsample_end."
    ]


LIFTING = ("domains", "old")
"""Parameters that name the sources which a policy treats apart; all others go by size, or by a mix's weights."""
CHOSEN = "\0"
"""What a policy's parameter names where it names nothing: those that it would choose by size."""
LEAST_UNITS = 10**9
SAME = 1e-3


def _lifts(policy: Any) -> bool:
    return any(hasattr(policy, one) for one in LIFTING)


def _resolved(policy: Any) -> Any:
    """The policy, told to ask for the groups that it would choose by their sizes."""
    return replace(policy, **{one: CHOSEN for one in LIFTING if getattr(policy, one, None) == ""})


@dataclass(frozen=True)
class _Weighed(Groups):
    """Groups whose sizes are a mix's weights; which are small, or the largest, is still told by their ``own`` sizes."""

    own: npt.NDArray[np.int64]

    def named(self, names: str, method: str) -> npt.NDArray[np.bool_]:
        if names != CHOSEN:
            return super().named(names, method)
        if method == "replay":
            return np.arange(len(self)) == int(np.argmax(self.own))
        return np.asarray(self.own * len(self) < self.own.sum())


def exact(weights: Sequence[float | str | Fraction]) -> Shares:
    """Shares that sum to one exactly."""
    parts = [Fraction(one) if isinstance(one, Fraction) else Fraction(str(one)) for one in weights]
    return tuple(one / sum(parts) for one in parts)


def _from_file(place: Path, mixture: Mixture) -> list[tuple[Fraction, Shares]]:
    """Parts and shares from a file of stages, or from a journal."""
    try:
        text = place.read_text("utf-8")
        first = json.loads(text.splitlines()[0]) if place.suffix == ".jsonl" else json.loads(text)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{place} cannot be read as JSON: {error}.") from None
    if isinstance(first, dict) and first.get("kind") == "online mixture":
        return _from_journal(place, text, mixture)
    try:
        rows = first["stages"]
        if {"share", "tokens"} == {unit for row in rows for unit in ("share", "tokens") if unit in row}:
            raise DataError(
                f"{place}: some stages have a share and some tokens. Give every stage the same one of both."
            )
        unit = "tokens" if "tokens" in rows[0] else "share"
        found = [(Fraction(str(row[unit])), _named(row["weights"], mixture, place)) for row in rows]
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, AttributeError):
        raise DataError(
            f'{place} is no schedule. Write {{"stages": [{{"share": 0.8, "weights": {{"web": 0.9, "code": 0.1}}}}, '
            "...]}, with share or tokens in every stage."
        ) from None
    if not found or not all(part > 0 for part, _ in found):
        raise DataError(f"{place}: every stage needs a share, or tokens, above 0.")
    together = sum((part for part, _ in found), Fraction(0))
    if unit == "share" and abs(together - 1) > ROUNDED:
        raise DataError(
            f"{place}: the stages' shares sum to {float(together):g}, not to 1. In proportion they are: "
            f"{', '.join(f'{float(part / together):.4g}' for part, _ in found[:8])}{', ...' if len(found) > 8 else ''}."
        )
    if unit == "tokens" and sum(part for part, _ in found) != mixture.tokens:
        raise DataError(
            f"{place}: the stages have {int(sum(part for part, _ in found)):,} tokens together, and the run "
            f"{mixture.tokens:,}. Give --tokens, or shares instead of tokens."
        )
    return found


def _from_journal(place: Path, text: str, mixture: Mixture) -> list[tuple[Fraction, Shares]]:
    """What an online mixture decided, turn after turn, in the proportions of its units."""
    found: list[tuple[Fraction, Shares]] = []
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            record = json.loads(line)
            if sealed(record)["seal"] != record["seal"]:
                raise ValueError
            if number == 1:
                policy = record["policy"]
                if load(policy, "policy").restarts:
                    raise UsageError(
                        f"{place}: {policy} trains models that are thrown away, so its journal is no schedule of one "
                        "training. Export the weights that it found: cuvee mix --weights."
                    )
                continue
            shares, units = _named(record["weights"], mixture, place), sum(map(int, record["units"].values()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(f"{place}, line {number} is damaged, or is not of a journal of OnlineMix.") from None
        if found and found[-1][1] == shares:
            found[-1] = (found[-1][0] + units, shares)
        else:
            found.append((Fraction(units), shares))
    if not found:
        raise DataError(f"{place} holds no turn yet.")
    return found


def _named(weights: Mapping[str, Any], mixture: Mixture, place: Path) -> Shares:
    """A stage's weights in the order of the mixture; what is not named has none."""
    if unknown := sorted(set(weights) - set(mixture.names)):
        used = ", ".join(mixture.names[:12])
        raise UsageError(f"{place}: the mix uses no source called '{unknown[0]}'. It uses: {used}.")
    parts = [Fraction(str(weights.get(name, 0))) for name in mixture.names]
    if any(part < 0 for part in parts) or abs(float(sum(parts)) - 1.0) > 1e-6:
        raise DataError(f"{place}: the weights of a stage sum to {float(sum(parts)):g}, not to 1, or one is below 0.")
    return exact(parts)
