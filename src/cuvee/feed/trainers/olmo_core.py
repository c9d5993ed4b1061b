"""OLMo-core: a source mixture in tokens, exact, with a bound on repetition that is an error beyond.

``SourceMixtureList`` as YAML: every ``target_ratio`` above 0, all summing to one; a source that cannot supply its
tokens within ``max_repetition_ratio`` stops the run, so that is set to the passes that the plan needs. Places are globs
of tokenised .npy files. For composable instance sources, which shrink the whole mixture instead: :func:`instances`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .base import Exported, Mixture, comment, decimal, quoted
from .stages import ALONE, Stage, followed

STAGES = (
    "One run a stage, from the checkpoint of the one before without its data loader's state, which belongs to other "
    "data; requested_tokens are those of the stage. Each stage draws its parts of the sources anew, by its seed, in "
    "whole sequences of each file, rounded down."
)


def instances(sizes: list[int], ratios: list[float], repetition: list[float]) -> list[int]:
    """Instances that OLMo-core's mixing source takes without a target size: all shrink to the scarcest one's share."""
    whole, total = sum(sizes), sum(ratios)
    ideal = [whole * ratio / total for ratio in ratios]
    limit = [size * min(most, max(want / size, 1.0)) for size, want, most in zip(sizes, ideal, repetition, strict=True)]
    scale = min(1.0, *(most / want for most, want in zip(limit, ideal, strict=True)))
    return [int(want * scale + 1e-9) for want in ideal]


def tally(whole: Mixture, stages: Sequence[Stage]) -> tuple[dict[str, Any], list[str]]:
    """Whole sequences that the stages take where each source is one file; more files lose more."""
    counts = []
    for stage in stages:
        own = dict(zip(stage.mixture.names, stage.mixture.shares, strict=True))
        counts.append([int(own.get(name, 0) * (stage.mixture.tokens or 0) / whole.sequence) for name in whole.names])
    return followed(whole, stages, counts, False, ALONE)


def export(mixture: Mixture) -> Exported:
    """``source-mixture.yaml``."""
    lines = [comment(mixture), "sources:\n"]
    known = mixture.available is not None and mixture.tokens is not None
    needed = [float(one) for one in mixture.passes()] if known else [1.0] * len(mixture.names)
    for name, weight, place, passes in zip(mixture.names, mixture.weights(), mixture.places, needed, strict=True):
        lines.append(f"  - source_name: {quoted(name)}\n    target_ratio: {decimal(weight)}\n")
        most = decimal(max(1.0, math.ceil(passes * 1000) / 1000))
        lines.append(f"    paths: [{quoted(place)}]\n    max_repetition_ratio: {most}\n")
    notes = ["A source that cannot supply its tokens within max_repetition_ratio is an error, not a shorter run."]
    notes.append(
        "max_repetition_ratio is what the mix's token counts need, and those are estimates unless cuvee mix was given "
        "--token-column or --tokenizer: where the .npy files hold fewer tokens, raise it."
        if known
        else "Sizes or tokens are not known: max_repetition_ratio is 1, raise it for sources that are repeated."
    )
    facts = {"requested_tokens": mixture.tokens, "seed": mixture.seed, "sequence_length": mixture.sequence}
    return Exported({"source-mixture.yaml": "".join(lines)}, notes, "SourceMixtureList, with requested_tokens", facts)
