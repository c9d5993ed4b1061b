"""RegMix's training code (TinyLlama): a YAML map from prefixes of packed files to weights, drawn at random.

Keys are what names of the files begin with, ``train_NAME`` and ``valid_NAME``; ``--data NAME=PREFIX`` gives another.
Files hold packed sequences, so weights are shares of tokens.
"""

from __future__ import annotations

from ...errors import UsageError
from .base import Exported, Mixture, comment, decimal, default_place, key
from .llama_factory import plain_names

STAGES = (
    "One run a stage, from the checkpoint of the one before. Each reads its sources from their beginning, in an order "
    "of the run's seed, and has a learning-rate schedule of its own."
)


def export(mixture: Mixture) -> Exported:
    """``mixture.yaml``."""
    names = []
    for name, place, plain in zip(mixture.names, mixture.places, plain_names(mixture.names), strict=True):
        names.append(f"train_{plain}" if place == default_place(name) else place)
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"Two sources have the prefix '{twice[0]}'. Name others with --data.")
    train = "".join(
        f"  {key(name, 2)} {decimal(weight)}\n" for name, weight in zip(names, mixture.weights(), strict=True)
    )
    valid = "".join(f"  {key('valid_' + name.removeprefix('train_'), 2)} 1.0\n" for name in names)
    notes = [
        "Draws are random; packed files are read again from the beginning when they end.",
        "valid names every source's held-out files: keep those whose loss counts, and add model_name.",
    ]
    facts = {"prefixes": dict(zip(mixture.names, names, strict=True))}
    text = comment(mixture) + f"train:\n{train}valid:\n{valid}"
    return Exported({"mixture.yaml": text}, notes, "mixture.yaml as RegMix's configuration of data", facts)
