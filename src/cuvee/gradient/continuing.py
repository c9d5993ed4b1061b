"""Going on with a text probe's training for one pass over some texts, at a steady rate and with fresh moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..core import Array, Batch, Examples
from ..engine.draw import uniform
from ..errors import DataError
from ..proof.proxies.packing import pack
from .text import TextSpec, need_torch, one_thread


@dataclass(frozen=True)
class SteadySpec(TextSpec):
    """``share`` of the size's peak rate throughout."""

    share: float = 0.1

    def rate_at(self, progress: float) -> float:
        return self.share * self.shape.rate


def continue_text(
    spec: TextSpec,
    parameters: Array,
    texts: Batch,
    seed: int,
    share: float,
    progress: Callable[[float], None] = lambda done: None,
) -> Array:
    """The parameters, float32 (size,), after one pass over ``texts`` from ``parameters``, which stay as they are.

    Raises:
        MissingTorchError: PyTorch is not installed.
        DataError: the training diverged.
    """
    need_torch("A text probe")
    from ..proof.proxies.text_model import TextLearner, reproducible
    from ..proof.proxies.tokens import Vocabulary

    steady = SteadySpec(spec.size, spec.context, spec.batch, 1, spec.device, spec.weight_decay, spec.clip, share)
    vocabulary = Vocabulary(None)
    rows = pack(texts, vocabulary.encode(texts), spec.context, vocabulary.separator)
    with reproducible(spec.device), one_thread():
        learner = TextLearner(cast(Any, steady), vocabulary, rows, [], seed)
        zeros = np.zeros(len(parameters), np.float32)
        known = {"parameters": parameters, "first": zeros, "second": zeros, "steps": np.zeros(1, np.int64)}
        learner.load({name: np.array(one) for name, one in known.items()})
        examples = Examples(rows.key, rows.domain)
        order = np.argsort(uniform(seed, "continued pass", examples.key), kind="stable")
        steps, total = -(-len(order) // spec.batch), 0.0
        for at in range(steps):
            places = order[at * spec.batch : (at + 1) * spec.batch]
            total += float(learner.step(places, np.ones(len(places)), at / steps).mean())
            progress((at + 1) / steps)
        found = learner.state()["parameters"]
    if not (np.isfinite(total) and np.isfinite(found).all()):
        raise DataError("The continued training diverged: use a smaller rate.")
    return found
