"""Megatron-LM and Megatron-Core: weights and prefixes, in sequences.

Megatron asks at step t for the source that lags most, argmax_j w_j max(t, 1) - c_j, so counts stray from the plan by up
to about 1.7 samples. Weights must be above 0. Each source is asked for 0.5 % more samples than planned, and repeated as
needed. Without weights (an odd number of words, or none) all sources are used up in proportion to their size instead.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

from .base import Exported, Mixture

STAGES = (
    "One run a stage: end each at its last step (--exit-interval) and go on from its checkpoint with the next blend; "
    "--train-samples and the learning rate's schedule are those of the whole run. Megatron goes on at the number of "
    "samples consumed, in an index built anew for the new blend, so sources do not read on exactly where they were."
)


def order(weights: list[float], size: int) -> npt.NDArray[np.int32]:
    """The sources of ``size`` samples as Megatron's blend index has them."""
    share = np.array(weights, np.float64) / np.sum(weights)
    taken, found = np.zeros(len(share)), np.empty(size, np.int32)
    for t in range(size):
        best = int(np.argmax(share * max(t, 1) - taken))
        found[t] = best
        taken[best] += 1
    return found


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
