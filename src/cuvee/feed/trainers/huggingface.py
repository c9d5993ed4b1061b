"""Hugging Face datasets: interleave_datasets with probabilities, in examples, drawn at random.

Counts are binomial. ``first_exhausted`` stops as soon as one source ends, ``all_exhausted`` goes on until the last one
has, repeating the others: both may be far from the plan (a reference case gives 113 or 387 of 230 rows), and where
every source is gone through more than once both end too early. So sources are repeated without end where the run's
length is known, and ``take`` ends it. With several loader workers each shard stops by itself.
"""

from __future__ import annotations

import numpy as np

from .base import Exported, Mixture, comment


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
    number = None
    if mixture.tokens is not None and mixture.available is not None and mixture.documents is not None:
        number = round(sum(t * d for t, d in zip(mixture.passes(), mixture.documents, strict=True)))
    if mixture.packed and mixture.tokens is not None:
        number = mixture.tokens // mixture.sequence
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
    if number is None:
        notes.append("The run's length is not known: all_exhausted goes on until the last source has ended.")
    return Exported({"interleave.py": text}, notes, "mixed in interleave.py", {"examples": shares, "take": number})
