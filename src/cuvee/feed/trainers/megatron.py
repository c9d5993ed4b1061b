"""Megatron-LM and Megatron-Core: weights and prefixes, in sequences.

Megatron asks at step t for the source that lags most, argmax_j w_j max(t, 1) - c_j, so counts stray from the plan by up
to about 1.7 samples. Weights must be above 0. Each source is asked for 0.5 % more samples than planned, and repeated as
needed. Without weights (an odd number of words, or none) all sources are used up in proportion to their size instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...engine.kernel import kernel
from .base import Exported, Ints, Mixture
from .stages import ALONE, Stage, followed

MOST_STEPS = 2 * 10**9
"""Samples times sources up to which it is counted what a schedule's stages draw."""

STAGES = (
    "One run a stage: end each at its last step (--exit-interval) and go on from its checkpoint with the next blend; "
    "--train-samples and the learning rate's schedule are those of the whole run. Megatron goes on at the number of "
    "samples consumed, in an index built anew for the new blend, so sources do not read on exactly where they were."
)


@kernel
def _next(share: npt.NDArray[np.float64], taken: npt.NDArray[np.float64], t: int) -> int:
    """The source that is furthest behind its share after t samples; the first of several."""
    best = 0
    for j in range(1, len(share)):
        if share[j] * max(t, 1) - taken[j] > share[best] * max(t, 1) - taken[best]:
            best = j
    return best


def order(weights: list[float], size: int) -> npt.NDArray[np.int32]:
    """The sources of ``size`` samples as Megatron's blend index has them."""
    share = np.array(weights, np.float64) / np.sum(weights)
    taken, found = np.zeros(len(share)), np.empty(size, np.int32)
    for t in range(size):
        best = _next(share, taken, t)
        found[t] = best
        taken[best] += 1
    return found


@kernel
def _drawn(share: npt.NDArray[np.float64], begin: int, end: int) -> Ints:
    """Samples of each source among those from ``begin`` to ``end`` of :func:`order`."""
    taken, found = np.zeros(len(share)), np.zeros(len(share), np.int64)
    for t in range(end):
        best = _next(share, taken, t)
        taken[best] += 1
        found[best] += t >= begin
    return found


def strayed(whole: Mixture, stages: Sequence[Stage], anew: bool) -> tuple[dict[str, Any], list[str]]:
    """Counts of the stages by the rule of :func:`order`, and a warning where they stray from the plan together.

    Args:
        anew: a stage begins its index at its beginning, as in nanotron, not at the samples consumed.
    """
    cuts = []
    for stage in stages:
        begin, tokens = stage.begin // whole.sequence, stage.mixture.tokens or 0
        end = (stage.begin + tokens) // whole.sequence
        cuts.append((0, end - begin) if anew else (begin, end))
    if sum(end for _, end in cuts) * len(whole.names) > MOST_STEPS:
        return {}, []  # of so many samples two in a stage are nothing
    counts = []
    for stage, (begin, end) in zip(stages, cuts, strict=True):
        weights = np.array(stage.mixture.weights())
        own = dict(zip(stage.mixture.names, _drawn(weights / weights.sum(), begin, end).tolist(), strict=True))
        counts.append([own.get(name, 0) for name in whole.names])
    return followed(whole, stages, counts, False, ALONE)


def tally(whole: Mixture, stages: Sequence[Stage]) -> tuple[dict[str, Any], list[str]]:
    """What the stages draw, each from its place in the index of its own blend."""
    return strayed(whole, stages, anew=False)


def export(mixture: Mixture) -> Exported:
    """``data-path.txt`` for --data-path, and ``blend.json`` for --per-split-data-args-path."""
    weights = mixture.weights()
    words = [word for weight, place in zip(weights, mixture.places, strict=True) for word in (repr(weight), place)]
    spaced = [place for place in mixture.places if any(letter.isspace() for letter in place)]
    notes = ["Counts follow the weights to within two samples of each source."]
    if spaced:
        notes.append(f"'{spaced[0]}' holds a space, which --data-path cannot: use blend.json.")
    # the loader asks for all three keys; null is a split without data
    files = {"blend.json": json.dumps({"train": words, "valid": None, "test": None}, indent=1) + "\n"}
    if not spaced:
        files["data-path.txt"] = " ".join(words) + "\n"
    notes.append(
        "valid and test are yours: in blend.json they are null, which is a run without evaluation (--eval-iters 0). "
        "With --data-path Megatron cuts them from these sources, by --split."
    )
    split = "--per-split-data-args-path blend.json (valid and test are yours)"
    return Exported(files, notes, split if spaced else "--data-path $(cat data-path.txt), or blend.json by split")
