"""The training whose checkpoints gradients are taken at: a small language model on a sample of the pool.

Some rows of the pool, drawn by key, and as many of the target's if they are mixed in, are packed and passed over
``epochs`` times with AdamW; at the end of each pass (or of the last ones) parameters and Adam's moments are kept. The
same sample, seed and settings give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Examples, Run
from ..engine.draw import uniform
from ..errors import DataError
from ..fold.bottom_k import BottomK, as_batch
from ..proof.proxies.packing import pack
from .text import VOCABULARY, TextSpec, need_torch, one_thread

BETAS = (0.9, 0.95)
"""Adam's decay rates in the training of text probes (those of ``proof/proxies/text_model.py``)."""


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """What a training left behind, at every checkpoint.

    Attributes:
        parameters, first, second: float32, (checkpoints, size): Adam's moments lie as the parameters do.
        rate: float64, (checkpoints,): the mean learning rate of the pass that ended there.
        loss: float64, (checkpoints,): the mean training loss of that pass, nats per token.
    """

    parameters: Array
    first: Array
    second: Array
    rate: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]


def warm_up_texts(run: Run, tokens: int, mixed: bool) -> Batch:
    """Texts for a warm-up of about ``tokens`` bytes: pool rows drawn by key, each up to 4,096 bytes; if ``mixed``,
    half of the bytes are the target's, as far as it has so many."""
    most = max(16, tokens // 64)
    drawn = as_batch(run.fold(BottomK(most, "warm-up", run.seed, 4096)))
    parts = []
    if mixed:
        parts.append(head(_together(list(run.targets()), run.seed), tokens // 2))
    parts.append(head(drawn, tokens - sum(int(part.offsets[-1]) for part in parts)))
    found = _join([part for part in parts if len(part)])
    if not len(found) or not found.offsets[-1]:
        raise DataError("There is no text to warm the probe up on: the pool's rows are all empty.")
    return found


def head(batch: Batch, size: int) -> Batch:
    """The first texts, whole, until they hold ``size`` bytes; at least one if there is any."""
    sizes = batch.offsets[1:] - batch.offsets[0]
    last = min(len(batch), int(np.searchsorted(sizes, size)) + 1)
    low, high = int(batch.offsets[0]), int(batch.offsets[last])
    offsets = batch.offsets[: last + 1] - low
    return Batch(batch.data[low:high], offsets, batch.row[:last], batch.key[:last])


def _together(batches: list[Batch], seed: int) -> Batch:
    """Target batches as one, in a random order by key, so that a head is a sample; texts cut at 4,096 bytes."""
    state = BottomK(1 << 30, "warm-up target", seed, 4096)
    total = state.empty()
    for batch in batches:
        total = state.merge(total, state.lift(batch))
    return as_batch(total)


def _join(parts: list[Batch]) -> Batch:
    """Batches one after the other; rows are numbered anew, keys are made apart."""
    data = np.concatenate([part.data for part in parts]) if parts else np.zeros(0, np.uint8)
    sizes = [np.diff(part.offsets) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]) if parts else np.zeros(1)
    keys = [part.key ^ np.uint64(at) for at, part in enumerate(parts)]
    key = np.concatenate(keys) if parts else np.zeros(0, np.uint64)
    return Batch(data, offsets.astype(np.int64), np.arange(len(key)), key)


def train_text(
    spec: TextSpec, texts: Batch, seed: int, keep: int, progress: Callable[[float], None] = lambda share: None
) -> Checkpoints:
    """Train a text probe and keep its last ``keep`` checkpoints (one at the end of each pass).

    Raises:
        MissingTorchError: PyTorch is not installed.
        DataError: the training diverged.
    """
    need_torch("A text probe")
    from ..proof.proxies.text_model import TextLearner, reproducible
    from ..proof.proxies.tokens import Vocabulary

    vocabulary = Vocabulary(None)
    rows = pack(texts, vocabulary.encode(texts), spec.context, vocabulary.separator)
    kept: list[dict[str, Array]] = []
    losses = np.zeros(spec.epochs)
    with reproducible(spec.device), one_thread():
        learner = TextLearner(cast(Any, spec), vocabulary, rows, [], seed)
        examples = Examples(rows.key, rows.domain)
        steps = -(-len(rows) // spec.batch)
        for epoch in range(spec.epochs):
            order = np.argsort(uniform(seed, f"warm-up pass {epoch}", examples.key), kind="stable")
            total = 0.0
            for at in range(steps):
                places = order[at * spec.batch : (at + 1) * spec.batch]
                share = (epoch + at / steps) / spec.epochs
                total += float(learner.step(places, np.ones(len(places)), share).mean())
                progress((epoch + (at + 1) / steps) / spec.epochs)
            losses[epoch] = total / steps
            if not np.isfinite(total):
                raise DataError("The warm-up training diverged: use another seed or a smaller size.")
            if epoch >= spec.epochs - keep:
                kept.append(learner.state())
    grid = (np.arange(1000) + 0.5) / 1000
    rates = [np.mean([spec.rate_at((epoch + x) / spec.epochs) for x in grid]) for epoch in range(spec.epochs)]
    arrays = {name: np.stack([state[name] for state in kept]) for name in ("parameters", "first", "second")}
    return Checkpoints(**arrays, rate=np.array(rates[-keep:]), loss=losses[-keep:])


def beginning(spec: TextSpec, seed: int) -> Array:
    """The parameters before training, float32 (size,)."""
    need_torch("A text probe")
    from ..proof.proxies.text_model import TextModel, place

    found: Array = TextModel(spec.shape, VOCABULARY, spec.context, seed, place(spec.device)).flat.cpu().numpy()
    return found
