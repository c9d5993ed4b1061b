"""``cuvee mix export``: a mix as the configuration that a trainer reads, with a neutral description beside it."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from .engine import files
from .engine.store import digest
from .errors import DataError, UsageError
from .feed import trainers
from .feed.trainers.base import Exported, Mixture, default_place
from .feed.trainers.stages import (
    Stage,
    average,
    described,
    export_stages,
    lost_note,
    stages_of,
    unused_weights,
    used_of,
)
from .layout import FIT, FIT_FORMAT, MIX, MIX_FORMAT, SEARCH, SEARCH_FORMAT, sealed
from .mix.apportion import apportion
from .mix.wording import LINES, MANY_PASSES, MOVED, passes

MIXTURE = "mixture.json"
MIXTURE_FORMAT = 1


@dataclass
class Export:
    """A finished export: the folder, its files, and what the trainer does differently."""

    folder: Path
    summary: dict[str, Any]


def names() -> list[str]:
    """The trainers that --to takes."""
    return sorted(one.name for one in pkgutil.iter_modules(trainers.__path__) if one.name not in trainers.HELPERS)


def export_mix(
    mix: str | os.PathLike[str],
    to: str,
    *,
    places: Mapping[str, str] | None = None,
    tokens: int | None = None,
    sequence: int = 4096,
    packed: bool = False,
    seed: int = 42,
    schedule: str | None = None,
    step_tokens: int | None = None,
    output: str | os.PathLike[str] = "out/export",
) -> Export:
    """Write what a trainer reads, and mixture.json, into ``output``.

    Args:
        mix: the folder of ``cuvee mix``, ``cuvee mix fit`` or ``cuvee mix search``.
        to: a trainer, like "megatron"; :func:`names` lists them.
        places: where the trainer finds each source [data/NAME].
        tokens: of the run [those that the mix was planned for].
        sequence: tokens of a sequence.
        packed: examples are packed sequences, so their share is the tokens' share.
        seed: for trainers that draw.
        schedule: shares that change in the run: a policy that decides beforehand, like "upsample_end:last=0.2", or the
            path of a file of stages, or of the journal of an online mixture.
        step_tokens: of a training step, where a schedule's stages are to begin at whole steps.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next.
    """
    known = names()
    name = to.replace("-", "_")
    if name not in known:
        raise UsageError(f"No trainer is called '{to}'. There are: {', '.join(known)}.")
    if sequence < 1:
        raise UsageError(f"--sequence-length must be at least 1, not {sequence}.")
    mixture = read_mixture(Path(mix), places or {}, tokens, sequence, packed, seed)
    ignored = unused_weights(schedule, mixture) if schedule is not None else []
    if schedule is None and step_tokens is not None:
        raise UsageError("--step-tokens is for a schedule. Give one with --schedule, or leave it out.")
    stages = stages_of(schedule, mixture, step_tokens) if schedule is not None else []
    lost = tuple(dict.fromkeys(name for stage in stages for name in stage.lost))
    if stages:
        mixture = average(mixture, stages)
    else:
        mixture, lost = used_of(mixture)
    folder = Path(output)
    with files.lock(folder):
        _refuse_foreign(folder)
        trainer = importlib.import_module(f"cuvee.feed.trainers.{name}")
        made: Exported = export_stages(trainer, mixture, stages) if stages else trainer.export(mixture)
        weighted = _loss_weights(Path(mix))
        summary = _summary(mixture, name, made, Path(mix), stages, weighted)
        summary["notes"] += lost_note(lost, bool(stages))
        told = [*_doubts(Path(mix), mixture.tokens), *ignored, *made.warnings, *_passes(summary["sources"])]
        summary["warnings"] = told
        with files.whole_folder(folder) as place:
            for file, content in made.files.items():
                (place / file).parent.mkdir(exist_ok=True)
                # bytes of a place that are no text stay as they are
                data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
                files.write_whole(place / file, data)
            text = json.dumps(sealed(summary), indent=1, ensure_ascii=True, allow_nan=False)
            files.write_whole(place / MIXTURE, text.encode())
    return Export(folder, summary)


def read_mixture(
    place: Path, places: Mapping[str, str], tokens: int | None, sequence: int, packed: bool, seed: int
) -> Mixture:
    """The mixture of a mix's or a fit's folder; sources without a weight are left out.

    Raises:
        DataError: neither is there, or it is damaged.
        UsageError: a place is named for a source that the mix does not use.
    """
    found, rows = read_shares(place)
    if found.get("sampler"):
        worse = [one["against"] for one in found["comparisons"] if one["primary"] and one["verdict"] == "worse"]
        if worse:
            raise UsageError(
                f"{place} searched a sampler by quality and lost: what it found is worse than {' and '.join(worse)}. "
                f"Instead: {found['next']}"
            )
        what = "Apply it with" if found["comparisons"] else "It has not been tried. Next"
        raise UsageError(
            f"{place} found a sampler by quality, and a trainer's weights of domains would lose it. {what}: "
            f"{found['next']}"
        )
    rows = [one for one in rows if one["weight"] > 0]
    if not rows:
        raise DataError(
            f"{place} proposes no mixture: {found.get('verdict', '')} Name a mix, or a fit of a mixing law."
        )
    run = tokens if tokens is not None else found.get("planned", found.get("tokens"))
    if run is not None and run < 1:
        raise UsageError(f"--tokens must be at least 1, not {run}.")
    # whole tokens as planned; of a source that has none its weight, in the same unit
    planned = sum(Fraction(one.get("tokens") or 0) for one in rows) or Fraction(1)
    exact = [Fraction(one["tokens"]) if one.get("tokens") else Fraction(one["weight"]) * planned for one in rows]
    whole = sum(exact)
    unknown = sorted(set(places) - {one["name"] for one in rows})
    if unknown:
        used = ", ".join(one["name"] for one in rows[:12])
        raise UsageError(f"The mix uses no source called '{unknown[0]}', which --data names. It uses: {used}.")
    found_at = tuple(places.get(one["name"], default_place(one["name"])) for one in rows)
    if len(set(found_at)) < len(rows):
        place_of = next(one for one in found_at if found_at.count(one) > 1)
        same = [str(one["name"]) for one, where in zip(rows, found_at, strict=True) if where == place_of]
        raise UsageError(
            f"The sources '{same[0]}' and '{same[1]}' would both be at '{place_of}', and a trainer would take them for "
            "one. Give each a place of its own: --data NAME=PLACE."
        )
    held, documents = (
        tuple(int(one[key]) for one in rows) if all(one.get(key) for one in rows) else None
        for key in ("available", "documents")
    )
    return Mixture(
        names=tuple(one["name"] for one in rows),
        shares=tuple(one / whole for one in exact),
        places=found_at,
        tokens=run,
        available=held,
        documents=documents,
        sequence=sequence,
        packed=packed,
        seed=seed,
    )


def read_shares(place: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The content of mix.json, fit.json or search.json, checked against its seal, and the rows of its sources."""
    known = ((MIX, "sources", MIX_FORMAT), (FIT, "proposal", FIT_FORMAT), (SEARCH, "proposal", SEARCH_FORMAT))
    for file, rows, form in known:
        path = place / file if place.is_dir() else place
        if path.name != file or not path.exists():
            continue
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read. Make it again with cuvee mix.") from error
        if not isinstance(found, dict) or found.get("seal") != sealed(found).get("seal"):
            raise DataError(f"{path} is damaged or was changed by hand. Make it again, with --weights if need be.")
        if found.get("format") != form:
            raise DataError(f"{path} has format {found.get('format')}; this cuvee reads {form}. Update cuvee.")
        return found, list(found[rows])
    raise DataError(f"{place} holds neither {MIX}, {FIT} nor {SEARCH}. Name a folder that cuvee mix wrote.")


UNSHOWN = ("no better than", "not shown", "not determined")
"""In the verdict of a fit, whose gain is then no reason to train on it."""


def _doubts(place: Path, run: int | None) -> list[str]:
    """What the mix's own file says against training on it, gravest first."""
    found, rows = read_shares(place)
    said = []
    worse = [one["against"] for one in found.get("comparisons", ()) if one["primary"] and one["verdict"] == "worse"]
    if worse:
        said.append(
            f"The trial of this mixture found it worse than {' and '.join(dict.fromkeys(worse))}. Instead: "
            f"{found['next']}"
        )
    tried = "comparisons" in found
    doubtful = ("Not to be relied on", *(() if worse else ("worse than",)), *(() if tried else UNSHOWN))
    if any(one in found["verdict"] for one in doubtful):
        said.append(f"What {place} says of this mixture: {found['verdict']}")
    if tried and not found["comparisons"]:
        said.append("This mixture has not been tried: its search was asked for no trial, or needed none.")
    planned = found.get("planned", found.get("tokens"))
    if run and planned and run != planned:
        fixed = (
            " Its weights were made for that: make it again for this run." if rows and rows[0].get("available") else ""
        )
        said.append(f"The mix was planned for {planned:,} tokens, and --tokens asks for {run:,}.{fixed}")
    return said


def _loss_weights(place: Path) -> dict[str, float]:
    """What the losses of each used source would have to count, by name; none where no bound on passes moved a share."""
    rows = [one for one in read_shares(place)[1] if one["weight"] > 0 and "loss_weight" in one]
    off = [(abs(one["loss_weight"] - 1), one["tokens"]) for one in rows]
    if not any(moved > MOVED and moved * tokens > 1 for moved, tokens in off):  # whole tokens move less than one
        return {}
    return {one["name"]: one["loss_weight"] for one in rows}


def _weighting(weighted: Mapping[str, float], scheduled: bool) -> list[str]:
    """That the mix has loss weights, and that they are not in the trainer's files."""
    if not weighted:
        return []
    told = sorted(weighted.items(), key=lambda one: (-abs(one[1] - 1), one[0]))
    named = ", ".join(f"{name} {weight:.3g}" for name, weight in told[:3])
    named += f" and {len(told) - 3:,} more" if len(told) > 3 else ""
    if scheduled:
        return [f"The mix's loss weights belong to its own shares, not to a schedule's, and are left out: {named}."]
    return [
        "The bound on passes keeps the shares from those asked for. Loss weights would make up for it, but the files "
        f"have no place for them: the trainer's code would have to multiply each source's losses. They are {named}; "
        f"see loss_weight in {MIXTURE}."
    ]


def _passes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """That sources are gone through more often than repeating is worth."""
    many = sorted((one for one in rows if (one["passes"] or 0) > MANY_PASSES * 1.001), key=lambda one: -one["passes"])
    if not many:
        return []
    named = ", ".join(f"{one['name']} {passes(one['passes'])}" for one in many[:3])
    more = f" and {len(many) - 3:,} more" if len(many) > 3 else ""
    sources = "1 source is" if len(many) == 1 else f"{len(many):,} sources are"
    return [
        f"{sources} gone through more than {MANY_PASSES:g} times ({named}{more}): plan fewer tokens, or other weights."
    ]


def _refuse_foreign(folder: Path) -> None:
    """Only an earlier export may be replaced: its mixture.json lists its files."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file. Choose another place with -o.")
    inside = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if not inside:
        return
    try:
        own = set(json.loads((folder / MIXTURE).read_text("utf-8"))["files"]) | {MIXTURE}
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    if inside - own:
        raise UsageError(f"{folder} holds files that are not a cuvee export. Choose another place with -o.")


def _summary(
    mixture: Mixture, name: str, made: Exported, mix: Path, stages: Sequence[Stage], weighted: Mapping[str, float]
) -> dict[str, Any]:
    held, run = mixture.available, mixture.tokens
    planned = None if run is None else apportion(mixture.shares, run).tolist()
    rows = []
    for at, source in enumerate(mixture.names):
        share = mixture.shares[at]
        rows.append(
            {
                "name": source,
                "place": mixture.places[at],
                "weight": float(share),
                "planned": None if planned is None else planned[at],
                "available": held[at] if held else None,
                "documents": mixture.documents[at] if mixture.documents else None,
                "passes": float(share * run / held[at]) if held and run else None,
                "loss_weight": None if weighted and stages else weighted.get(source, 1.0),
            }
        )
    shares = [str(share) for share in mixture.shares]
    losses = [one["loss_weight"] for one in rows] if weighted else []
    return {
        "format": MIXTURE_FORMAT,
        "trainer": name,
        "unit": "share of training tokens",
        "tokens": run,
        "sequence_length": mixture.sequence,
        "packed": mixture.packed,
        "seed": mixture.seed,
        "sources": rows,
        "schedule": described(stages) or None,
        "files": sorted(made.files),
        "use": made.use,
        "warnings": [],
        "notes": [*_weighting(weighted, bool(stages)), *made.notes],
        "facts": dict(made.facts),
        "from": str(mix),
        "digest": digest("mixture", list(mixture.names), shares, run, described(stages), *losses),
    }


def lines(export: Export) -> list[str]:
    """What the command line prints."""
    from .report.terminal import plural, safe, warned

    found = export.summary
    said = f"Wrote {plural(len(found['sources']), 'source')} for {found['trainer']} to {safe(export.folder, 60)}"
    shown = [said if len(said) <= 80 else f"Wrote {plural(len(found['sources']), 'source')} for {found['trainer']} to"]
    if len(said) > 80:
        shown.append(f"  {safe(export.folder, 76)}")
    shown.append(f"  files   {safe(', '.join([*found['files'], MIXTURE]), 70)}")
    for at, stage in enumerate((found["schedule"] or [])[:6], 1):
        first = f"token {stage['begin']:,}" if stage["step"] is None else f"step {stage['step']:,}"
        mixed = ", ".join(f"{name} {share:.3f}" for name, share in stage["weights"].items())
        shown.append(f"  stage {at} from {first}, {stage['tokens']:,} tokens")
        shown.append(f"          {safe(mixed, 68)}")
    if found["schedule"] and len(found["schedule"]) > 6:
        shown.append(f"          and {len(found['schedule']) - 6} more stages; see {MIXTURE}")
    if found["use"]:
        shown.append(f"  use     {safe(found['use'], 70)}")
    for warning in found["warnings"]:
        shown += warned(warning, 80, 5)
    for note in found["notes"]:
        wrapped = textwrap.wrap(safe(note, 400), 70, break_on_hyphens=False)
        shown += [f"  note    {part}" if at == 0 else f"          {part}" for at, part in enumerate(wrapped)]
    if len(shown) > LINES:
        shown = [*shown[: LINES - 1], f"  the rest stands in {MIXTURE}"]
    return shown
