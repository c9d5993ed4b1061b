"""DoReMi's training code: weights of domains for training and for evaluation as JSON, drawn at random.

Names are those of the domains' folders, and are sorted there; ``--data NAME=FOLDER`` gives another. Weights are of
packed sequences, its default, and so shares of tokens.
"""

from __future__ import annotations

import json

from ...errors import UsageError
from .base import Exported, Mixture, default_place

STAGES = (
    "One run a stage, from the checkpoint of the one before, with a seed of its own. Each reads its domains from their "
    "beginning."
)


def export(mixture: Mixture) -> Exported:
    """``domain_weights.json``, as --domain_config_path takes it."""
    folders = [
        default_place(name).removeprefix("data/") if place == default_place(name) else place
        for name, place in zip(mixture.names, mixture.places, strict=True)
    ]
    if twice := [folder for folder in folders if folders.count(folder) > 1]:
        raise UsageError(f"Two sources have the folder '{twice[0]}'. Name others with --data.")
    weights = dict(sorted(zip(folders, mixture.weights(), strict=True)))
    text = json.dumps({"train_domain_weights": weights, "eval_domain_weights": weights}, indent=1) + "\n"
    notes = [
        "Draws are random, of packed sequences: without packing the weights would count documents.",
        "Evaluation has the weights of training; they count for its mean alone, and are yours to change.",
    ]
    return Exported({"domain_weights.json": text}, notes, "--domain_config_path domain_weights.json")
