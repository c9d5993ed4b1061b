"""LLaMA-Factory: data sets interleaved with probabilities, in examples, drawn at random.

``interleave_over`` goes on until every source was used up once, repeating those that end earlier; ``max_steps`` has to
end the run. Probabilities together with plain concatenation are an error there. Names of data sets must stand in
``dataset_info.json``, which is written, too; they are made of letters, digits and underscores.
"""

from __future__ import annotations

import json
import re

from .base import Exported, Mixture, comment

STAGES = (
    "One run a stage, from the model of the one before, with max_steps of the stage. Each reads its sources from their "
    "beginning, shuffled by its own seed within a buffer, and has a learning-rate schedule of its own."
)


def plain_names(names: tuple[str, ...]) -> list[str]:
    """Different names of letters, digits and underscores, in the same order."""
    found: list[str] = []
    for name in names:
        base = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "source"
        number, tried = 2, base
        while tried in found:
            tried, number = f"{base}_{number}", number + 1
        found.append(tried)
    return found


def export(mixture: Mixture) -> Exported:
    """``train.yaml`` (the part about data) and ``dataset_info.json``."""
    names, shares = plain_names(mixture.names), [float(one) for one in mixture.examples()]
    text = (
        comment(mixture)
        + f'dataset: "{",".join(names)}"\nmix_strategy: interleave_over\n'
        + f'interleave_probs: "{",".join(map(repr, shares))}"\nstreaming: true\nseed: {mixture.seed}\n'
    )
    info = {
        name: {"file_name": place, "columns": {"prompt": "text"}}
        for name, place in zip(names, mixture.places, strict=True)
    }
    notes = [
        "Probabilities are of examples, and draws are random.",
        "Set max_steps: interleave_over ends late otherwise.",
    ]
    if not mixture.packed:
        notes.insert(0, "Shares of tokens were turned into shares of documents by each source's mean length.")
    files = {"train.yaml": text, "dataset_info.json": json.dumps(info, indent=1) + "\n"}
    return Exported(files, notes, "train.yaml, with dataset_dir at dataset_info.json", {"examples": shares})
