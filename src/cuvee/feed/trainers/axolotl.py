"""axolotl: concatenated data sets, without weights: whole copies of a source and a slice of it, to the document.

A source that the run goes through 2.3 times is listed twice and once more with the first 0.3 of its documents, so its
files should be in random order. Duplicates must not be removed afterwards, which ``dataset_exact_deduplication: false``
says.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ...errors import UsageError
from ...mix.apportion import apportion
from .base import Exported, Mixture, comment, quoted
from .stages import Stage, followed

MOST_COPIES = 100


STAGES = (
    "One run a stage, from the checkpoint of the one before; each takes the documents after those that came before. "
    "Let lr_scheduler and max_steps span the whole run."
)


def slices(first: int, last: int, held: int) -> list[str]:
    """The documents from ``first`` up to ``last``, counted on through the passes, as splits of a set of ``held``."""
    found = []
    while first < last:
        begin, end = first % held, min(held, first % held + last - first)
        found.append("train" if end - begin == held else f"train[{begin or ''}:{end if end < held else ''}]")
        first += end - begin
    return found


def _documents(passes: Fraction, held: int) -> int:
    """Whole documents of so many passes."""
    whole = int(passes)
    return whole * held + int(apportion([passes - whole, 1 - (passes - whole)], held)[0])


def tally(whole: Mixture, stages: Sequence[Stage]) -> tuple[dict[str, Any], list[str]]:
    """Documents that the slices of the stages have."""
    counts = []
    for stage in stages:
        one = stage.mixture
        rows = zip(one.names, one.passes(), one.documents or (), one.earlier(), strict=True)
        own = {name: _documents(before + times, held) - _documents(before, held) for name, times, held, before in rows}
        counts.append([own.get(name, 0) for name in whole.names])
    return followed(whole, stages, counts, True)


def export(mixture: Mixture) -> Exported:
    """``datasets.yaml``: the entries, and the options without which they mean something else."""
    passes, documents = mixture.passes(), mixture.documents
    if documents is None:
        raise UsageError("axolotl needs the documents of each source. Export a mix that cuvee mix made of the pool.")
    lines = [comment(mixture), "datasets:\n"]
    rows = zip(mixture.names, mixture.places, passes, documents, mixture.earlier(), strict=True)
    for name, place, times, held, before in rows:
        if times > MOST_COPIES:
            raise UsageError(f"'{name}' would be listed {float(times):.0f} times. Bound it: cuvee mix --passes 16.")
        for split in slices(_documents(before, held), _documents(before + times, held), held):
            lines.append(f"  - path: {quoted(place)}\n    type: completion\n    split: {quoted(split)}\n")
    lines.append("dataset_exact_deduplication: false\nshuffle_merged_datasets: true\n")
    notes = [
        "axolotl has no weights: sources are listed as often as they are gone through, with a slice of documents for "
        "the rest. Slices take the first documents, so shuffle the files beforehand.",
        "Slices count documents: tokens follow the plan as far as the first documents are of mean length.",
    ]
    return Exported({"datasets.yaml": "".join(lines)}, notes, "the keys of the configuration")
