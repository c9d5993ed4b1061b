"""Hugging Face datasets: interleave_datasets with probabilities, in examples, drawn at random.

Counts are binomial. ``first_exhausted`` stops as soon as one source ends, ``all_exhausted`` goes on until the last one
has, repeating the others: both may be far from the plan (a reference case gives 113 or 387 of 230 rows), and where
every source is gone through more than once both end too early. So sources are repeated without end where the run's
length is known, and ``take`` ends it. With several loader workers each shard stops by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ...errors import UsageError
from .base import Exported, Mixture, comment
from .stages import Stage

UNSHUFFLED = (
    "Sources are read in the order of their files and are not shuffled, in no pass: write them in a random order "
    "(cuvee write --shuffle), or add .shuffle(seed, buffer_size) to each."
)


def order(shares: list[float], lengths: list[int], seed: int, strategy: str) -> list[tuple[int, int]]:
    """Source and row of every example that ``interleave_datasets`` gives on data sets of these lengths."""
    random = np.random.default_rng(seed)
    place, ended = [0] * len(lengths), [False] * len(lengths)
    stop = any if strategy == "first_exhausted" else all
    found: list[tuple[int, int]] = []
    while True:
        for source in random.choice(len(shares), size=1000, p=shares).tolist():
            if stop(ended):
                return found
            found.append((source, place[source]))
            place[source] += 1
            if place[source] >= lengths[source]:
                ended[source], place[source] = True, 0


def export(mixture: Mixture) -> Exported:
    """``interleave.py``."""
    shares = [float(one) for one in mixture.examples()]
    number = mixture.number()
    again, strategy = (".repeat(None)", "first_exhausted") if number else ("", "all_exhausted")
    rows = "".join(f"    load_dataset({place!a}, split='train', streaming=True){again},\n" for place in mixture.places)
    taken = f".take({number})" if number else ""
    text = (
        comment(mixture)
        + f"from datasets import interleave_datasets, load_dataset\n\nparts = [\n{rows}]\n"
        + f"probabilities = {shares}\n"
        + "mixed = interleave_datasets(\n"
        + f"    parts, probabilities=probabilities, seed={mixture.seed}, stopping_strategy='{strategy}'\n){taken}\n"
    )
    notes = ["Draws are random: counts are binomial about the plan. For exact counts use --to order with select."]
    notes.append(UNSHUFFLED)
    if number is None:
        notes.append("The run's length is not known: all_exhausted goes on until the last source has ended.")
    return Exported({"interleave.py": text}, notes, "mixed in interleave.py", {"examples": shares, "take": number})


def export_stages(whole: Mixture, stages: Sequence[Stage]) -> Exported:
    """``interleave.py``: the stages one after the other, each source from where the stage before has left it."""
    text = comment(whole) + (
        "from datasets import concatenate_datasets, interleave_datasets, load_dataset\n\n\n"
        "def part(place, gone):\n"
        '    """A source without end, after as many examples as the stages before are planned to take."""\n'
        "    return load_dataset(place, split='train', streaming=True).repeat(None).skip(gone)\n\n\n"
        "stages = [\n"
    )
    taken: list[int] = []
    planned = Fraction(0)
    for stage in stages:
        one = stage.mixture
        rows = one.rows()
        if one.number() is None or rows is None:
            raise UsageError("This schedule needs the sources' sizes. Export a mix that cuvee mix made of the pool.")
        planned += Fraction(one.tokens or 0, one.sequence) if one.packed else one.amount()
        number = (math.floor if one.packed else round)(planned) - sum(taken)  # not each stage's own, rounded alone
        if not number:
            raise UsageError(f"The stage from token {stage.begin:,} has no whole document. Plan fewer stages.")
        gone = [round(times * held) % held for times, held in zip(one.earlier(), rows, strict=True)]
        parts = ", ".join(f"part({place!a}, {skipped})" for place, skipped in zip(one.places, gone, strict=True))
        text += (
            f"    interleave_datasets(\n        [{parts}],\n"
            + f"        probabilities={[float(share) for share in one.examples()]}, seed={one.seed},\n"
            + f"        stopping_strategy='first_exhausted',\n    ).take({number}),\n"
        )
        taken.append(number)
    notes = [
        "Draws are random: counts of a stage are binomial about the plan. For exact counts use --to order with select.",
        "A stage reads on where the plan of the earlier ones ends: some examples at the seam come once more or less. "
        "What is skipped is read through first.",
        UNSHUFFLED,
    ]
    return Exported(
        {"interleave.py": text + "]\nmixed = concatenate_datasets(stages)\n"},
        notes,
        "mixed in interleave.py",
        {"take": taken},
    )
