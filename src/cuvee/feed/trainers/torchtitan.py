"""torchtitan: interleaved Hugging Face sources with weights, drawn at random, in packed sequences.

Every data-parallel rank draws with the same seed, so at each position all ranks read the same source: a global batch of
one sequence a rank holds a single source. Take several sequences a rank, or materialise the order (``--to order``).
"""

from __future__ import annotations

import random

from .base import Exported, Mixture, comment

STAGES = (
    "One run a stage, from the checkpoint of the one before with the dataloader left out of loading. Each stage reads "
    "its sources from their beginning: shuffle the files, or name others for the later stages."
)


def order(weights: list[float], size: int, seed: int) -> list[int]:
    """The sources of ``size`` draws."""
    return random.Random(seed).choices(range(len(weights)), weights=weights, k=size)


def export(mixture: Mixture) -> Exported:
    """``dataloader.py``: the dataloader's configuration."""
    sources = "".join(
        f"        HFDataSource(dataset={name!a}, dataset_path={place!a}, infinite=True, weight={weight!r}),\n"
        for name, place, weight in zip(mixture.names, mixture.places, mixture.weights(), strict=True)
    )
    text = (
        comment(mixture)
        + "dataloader = InterleavedHuggingFaceTextDataLoader.Config(\n    sources=[\n"
        + sources
        + f'    ],\n    seed={mixture.seed},\n    stopping_strategy="on_first_exhausted",\n)\n'
    )
    notes = [
        "Draws are random: shares of a run of n sequences stray by about sqrt(p (1 - p) / n).",
        "All ranks draw the same source at the same position: use several sequences a rank, or --to order.",
    ]
    return Exported({"dataloader.py": text}, notes, "import the names from torchtitan and pass the configuration")
