"""grain: a deterministic mix by integer proportions, which ends with its shortest source.

``MapDataset.mix`` makes int(100 w / min w) of weights, whole ones too, wrong by up to 1 % of the smallest weight, and
refuses 0. So a selection map is written instead, which goes by grain's own rule with the run's whole counts. The
mix is as long as its scarcest source allows, so small sources are repeated first, by the passes that the plan needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ...errors import UsageError
from ...mix.apportion import apportion
from . import carried
from .base import Exported, Mixture, comment
from .stages import Stage, followed

PARTS = 1_000_000
"""Of which shares are whole numbers where the run's examples are not known."""
PLAN = '''
class Plan(grain.transforms.DatasetSelectionMap):
    """Where element t comes from, in exact shares: each source against all that follow it."""

    def __init__(self, parts, counts):
        self.counts, self.whole = counts, sum(counts)
        self.size = min(len(part) * self.whole // count for part, count in zip(parts, counts))

    def __len__(self):
        return self.size

    def __getitem__(self, t):
        now, after, left = t, t + 1, self.whole
        for source, count in enumerate(self.counts):
            others, others_after = now * (left - count) // left, after * (left - count) // left
            if after - others_after > now - others:
                return source, now - others
            left, now, after = left - count, others, others_after
'''


def integer_proportions(weights: list[float]) -> list[int]:
    """What ``MapDataset.mix`` makes of weights."""
    return [int(weight * 100 / min(weights)) for weight in weights]


def order(proportions: list[int], size: int) -> tuple[list[int], list[int]]:
    """Source and place in that source of each of ``size`` elements of ``MapDataset.mix``."""
    found, keys = [], []
    for t in range(size):
        index, left = t, list(proportions)
        for source in range(len(proportions)):  # the first against all others, then the second against the rest
            first, whole = left[source], sum(left[source:])
            before, after = -(-index * first // whole), -(-(index + 1) * first // whole)
            if after > before or source == len(proportions) - 1:
                found.append(source)
                keys.append(before if source < len(proportions) - 1 else index)
                break
            index -= before
    return found, keys


def export(mixture: Mixture) -> Exported:
    """``mix.py``: the mixed data set of repeated and shuffled sources."""
    number = mixture.number()
    if mixture.packed:
        weights = mixture.sequences().tolist()
    else:
        weights = apportion(mixture.examples(), number or PARTS).tolist()
    scale = math.gcd(*weights)
    used = [at for at, weight in enumerate(weights) if weight]  # a count of 0 would be divided by
    weights = [weights[at] // scale for at in used]
    known = mixture.tokens is not None and mixture.available is not None
    passes = mixture.passes() if known else [Fraction(1)] * len(mixture.names)
    times = [max(1, math.ceil(passes[at])) for at in used]
    rows = "".join(
        f"    source({mixture.places[at]!a}).shuffle(seed={mixture.seed + at}).repeat({often}),\n"
        for at, often in zip(used, times, strict=True)
    )
    text = (
        comment(mixture)
        + "import grain\n\n"
        + PLAN
        + "\n\ndef mixed(source):\n"
        + '    """``source`` opens a place as a grain.MapDataset."""\n'
        + "    parts = [\n"
        + "".join(f"    {line}\n" for line in rows.splitlines())
        + f"    ]\n    plan = Plan(parts, {weights})\n    return grain.MapDataset.select_from_datasets(parts, plan)\n"
    )
    notes = ["The mix ends with its scarcest source: small ones are repeated first, in one order that a seed fixes."]
    if not known:
        notes.append("Sizes or tokens are not known, so nothing is repeated: the mix ends when the first source does.")
    if not number:
        notes.append(f"The run's length is not known: shares are whole numbers of {PARTS:,} parts.")
    if lacking := [name for at, name in enumerate(mixture.names) if at not in used]:
        notes.append(
            f"Left out, their shares are less than {'a sequence' if mixture.packed else 'a document'} of this run: "
            f"{', '.join(lacking)}. Plan more --tokens{', or shorter sequences' if mixture.packed else ''}."
        )
    facts = {"sources": [mixture.names[at] for at in used], "weights": weights, "repeat": times}
    return Exported({"mix.py": text}, notes, "mixed(source) in mix.py", facts)


def export_stages(whole: Mixture, stages: Sequence[Stage]) -> Exported:
    """``mix.py``: one data set, the stages one after the other, each source from where the stage before has left it."""
    if any(stage.mixture.number() is None for stage in stages):
        raise UsageError("This schedule needs the sources' sizes. Export a mix that cuvee mix made of the pool.")
    counts = carried.counts(carried.run_of(whole, stages, not whole.packed), len(stages))
    ends = counts.cumsum(0)
    used = np.flatnonzero(ends[-1]).tolist()
    rows = [
        [(place, int(end[at] - own[at]), int(own[at])) for place, at in enumerate(used) if own[at]]
        for own, end in zip(counts, ends, strict=True)
        if own.any()
    ]
    parts = "".join(f"        source({whole.places[at]!a}).shuffle(seed={whole.seed + at}),\n" for at in used)
    text = (
        comment(whole)
        + "import grain\n\n"
        + PLAN
        + "\n\n# of each stage: source, how many of its elements came before, and how many come now\n"
        + "STAGES = [\n"
        + "".join(f"    {row},\n" for row in rows)
        + f"]\nTAKEN = {ends[-1][used].tolist()}\n\n\ndef mixed(source):\n"
        + '    """``source`` opens a place as a grain.MapDataset."""\n'
        + f"    parts = [\n{parts}    ]\n"
        + "    parts = [part.repeat(-(-end // len(part))) for part, end in zip(parts, TAKEN)]\n    stages = []\n"
        + "    for stage in STAGES:\n"
        + "        cut = [parts[at][first : first + count] for at, first, count in stage]\n"
        + "        plan = Plan(cut, [count for _, _, count in stage])\n"
        + "        stages.append(grain.MapDataset.select_from_datasets(cut, plan))\n"
        + "    return grain.MapDataset.concatenate(stages)\n"
    )
    notes = [
        "Counts of every stage are whole, and what a stage cannot give whole is carried to the next; a source is gone "
        "through on from stage to stage, pass after pass."
    ]
    facts, warnings = followed(whole, stages, counts.tolist(), not whole.packed)
    told = [{name: count for name, count in zip(whole.names, own, strict=True) if count} for own in counts.tolist()]
    return Exported({"mix.py": text}, notes, "mixed(source) in mix.py", {**facts, "stages": told}, warnings)
