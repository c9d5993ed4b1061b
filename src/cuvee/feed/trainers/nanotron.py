"""nanotron: folders and weights of a data stage, in sequences.

The order is the greedy one of Megatron for one epoch, then repeated; the sample of a source is its running count modulo
its size, so every pass has the same order of samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...errors import UsageError
from .base import Exported, Mixture, comment, decimal, quoted
from .megatron import strayed
from .stages import Stage


def samples(order: npt.NDArray[np.int32], sizes: Sequence[int]) -> list[int]:
    """Which sample of its source each place of an order of sources takes."""
    taken, found = [0] * len(sizes), []
    for source in order.tolist():
        found.append(taken[source] % sizes[source])
        taken[source] += 1
    return found


def stage(name: str, step: int, mixture: Mixture) -> str:
    """One entry of ``data_stages``."""
    places = ", ".join(map(quoted, mixture.places))
    weights = ", ".join(map(decimal, mixture.weights()))
    return (
        f"  - name: {name}\n    start_training_step: {step}\n    data:\n"
        + f"      seed: {mixture.seed}\n      num_loading_workers: 1\n      dataset:\n"
        + f"        dataset_folder: [{places}]\n        dataset_weights: [{weights}]\n"
    )


def export_stages(whole: Mixture, stages: Sequence[Stage]) -> Exported:
    """``data-stages.yaml``: a data stage for each stage of the schedule."""
    text = comment(whole) + "data_stages:\n"
    for number, one in enumerate(stages, 1):
        if one.step is None:
            raise UsageError("nanotron's stages begin at training steps. Give the tokens of one with --step-tokens.")
        text += stage(f"stage_{number}", one.step, one.mixture)
    notes = [
        "A stage counts its samples anew: it begins each source at its beginning, in an order of its own (its seed).",
        "Counts follow the weights of a stage to within two samples.",
    ]
    facts, warnings = strayed(whole, stages, anew=True)
    return Exported({"data-stages.yaml": text}, notes, "the key data_stages of the configuration", facts, warnings)


def export(mixture: Mixture) -> Exported:
    """``data-stages.yaml``: one stage from step 1."""
    text = comment(mixture) + "data_stages:\n" + stage("stable", 1, mixture)
    notes = ["Sources are repeated in the same order on every pass; counts follow the weights to within two samples."]
    return Exported({"data-stages.yaml": text}, notes, "the key data_stages of the configuration")
