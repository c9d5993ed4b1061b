"""nanotron: folders and weights of a data stage, in sequences.

The order is the greedy one of Megatron for one epoch, then repeated; the sample of a source is its running count modulo
its size, so every pass has the same order of samples.
"""

from __future__ import annotations

from .base import Exported, Mixture, comment, quoted


def export(mixture: Mixture) -> Exported:
    """``data-stages.yaml``: one stage from step 1."""
    places = ", ".join(map(quoted, mixture.places))
    weights = ", ".join(map(repr, mixture.weights()))
    text = (
        comment(mixture)
        + "data_stages:\n  - name: stable\n    start_training_step: 1\n    data:\n"
        + f"      seed: {mixture.seed}\n      num_loading_workers: 1\n      dataset:\n"
        + f"        dataset_folder: [{places}]\n        dataset_weights: [{weights}]\n"
    )
    notes = ["Sources are repeated in the same order on every pass; counts follow the weights to within two samples."]
    return Exported({"data-stages.yaml": text}, notes, "the key data_stages of the configuration")
