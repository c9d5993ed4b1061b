"""The n-gram language model as a proxy: a run takes a second, and nothing random happens in it.

Bytes, interpolated Witten-Bell smoothing (:mod:`cuvee.fold.ngram_lm`). It learns which strings are frequent and nothing
else, so it shows whether a selection holds the target's wording; it says little about what a trained transformer
generalises to. Order of the documents and repeated passes do not matter to counts: only the uniform policy and one
pass make sense. Cost: about 10 MB of text per second and core, 150 MB of memory. Trap: in small tables n-grams collide
and losses come out too low, the more so the more text was counted: by 1 % at 4 MB of text with the default 22 bits, 3 %
at 30 MB (measured on 36 domains; :mod:`cuvee.fold.ngram_lm`). A trial therefore takes a million tokens at most unless
more are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Batch, Policy
from ...errors import UsageError
from ...fold.ngram_lm import LanguageModel, NgramLM
from ...methods.policy.uniform import Uniform
from ..loop import CURVE
from ..proxy import Evaluation, Measured, Outcome, Point, Proxy, Watch

OPERATIONS = 20.0
"""Per byte and order, counted in the kernel: hashing, two probes, smoothing. Mostly integer operations."""


@dataclass(frozen=True)
class Ngram(Proxy):
    """``order``: of the model, in bytes, 1 to 5. ``table_bits``: 2**table_bits slots per order, 12 to 24."""

    order: int = 5
    table_bits: int = 22

    summary: ClassVar[str] = "byte n-gram language model with Witten-Bell smoothing; a second a run"
    unit: ClassVar[str] = "bits per byte"
    most_tokens: ClassVar[int | None] = 1_000_000
    seedless: ClassVar[bool] = True
    iterates: ClassVar[bool] = False
    multiples: ClassVar[tuple[float, ...]] = (0.5, 2.0, 4.0)
    multiple_seeds: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        NgramLM(self.order, self.table_bits, "bytes")  # refuses what it cannot do

    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        if not isinstance(policy, Uniform) or epochs != 1.0:
            raise UsageError(
                "The n-gram proxy counts each document once, in any order: policies and repeated passes need another "
                "proxy, like --proxy transformer."
            )
        fold = NgramLM(self.order, self.table_bits, "bytes")
        state, curve, seen, done, measuring = fold.empty(), [], 0, 0, 0.0
        measured: dict[str, Measured] = {}
        order = np.argsort(data.key, kind="stable")
        ends = np.cumsum(np.diff(data.offsets)[order])
        for share in CURVE:
            until = int(np.searchsorted(ends, share * ends[-1] - 0.5)) + 1
            if until > done:
                state = fold.update(state, gather(data, order[done:until]))
            done, seen = until, int(ends[until - 1])
            model = fold.finish(state)
            begun = time.monotonic()
            measured = {one.name: measure(model, one) for one in evaluations}
            measuring += time.monotonic() - begun
            curve.append(Point(seen, {name: found.mean() for name, found in measured.items()}))
            watch.progress(share)
        size = float(sum(found.size.sum() for found in measured.values()))
        cost = {
            "train_flops": self.train_flops(seen),
            "eval_flops": OPERATIONS * self.order * size * len(curve),
            "eval_seconds": measuring,
            "train_tokens": float(seen),
            "forward": float(len(data)),
            "backward": 0.0,
        }
        return Outcome(False, measured, tuple(curve), cost)

    def train_flops(self, tokens: float) -> float:
        return OPERATIONS * self.order * tokens


def gather(batch: Batch, at: np.ndarray) -> Batch:
    """The texts at these places, in this order."""
    sizes = np.diff(batch.offsets)[at]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    data = np.empty(int(offsets[-1]), np.uint8)
    for begin, place, size in zip(offsets.tolist(), batch.offsets[at].tolist(), sizes.tolist(), strict=False):
        data[begin : begin + size] = batch.data[place : place + size]
    return Batch(data, offsets, batch.row[at], batch.key[at])


def measure(model: LanguageModel, evaluation: Evaluation) -> Measured:
    """Bits of every text of an evaluation set; empty texts count as one byte."""
    log10 = model.score(evaluation.batch)["log10"]
    size = np.maximum(np.diff(evaluation.batch.offsets), 1)
    return Measured(-log10 * np.log2(10.0), size.astype(np.float64))
