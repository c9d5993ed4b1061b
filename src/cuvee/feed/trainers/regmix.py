"""RegMix's training code (TinyLlama): a YAML map from prefixes of packed files to weights, drawn at random.

Keys are what names of the files begin with, ``train_NAME`` and ``valid_NAME``; ``--data NAME=PREFIX`` gives another.
Files hold packed sequences, so weights are shares of tokens.
"""

from __future__ import annotations

from ...errors import UsageError
from .base import Exported, Mixture, comment, default_place, quoted
from .llama_factory import plain_names

STAGES = (
    "One run a stage, from the checkpoint of the one before. Each reads its sources from their beginning, in an order "
    "of the run's seed, and has a learning-rate schedule of its own."
)


def export(mixture: Mixture) -> Exported:
    """``mixture.yaml``."""
    keys = []
    for name, place, plain in zip(mixture.names, mixture.places, plain_names(mixture.names), strict=True):
        keys.append(f"train_{plain}" if place == default_place(name) else place)
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise UsageError(f"Two sources have the prefix '{twice[0]}'. Name others with --data.")
    train = "".join(f"  {quoted(key)}: {weight!r}\n" for key, weight in zip(keys, mixture.weights(), strict=True))
    valid = "".join(f"  {quoted('valid_' + key.removeprefix('train_'))}: 1.0\n" for key in keys)
    notes = [
        "Draws are random; packed files are read again from the beginning when they end.",
        "valid names every source's held-out files: keep those whose loss counts, and add model_name.",
    ]
    facts = {"prefixes": dict(zip(mixture.names, keys, strict=True))}
    text = comment(mixture) + f"train:\n{train}valid:\n{valid}"
    return Exported({"mixture.yaml": text}, notes, "mixture.yaml as RegMix's configuration of data", facts)
