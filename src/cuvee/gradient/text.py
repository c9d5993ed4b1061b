"""A text's gradient under small transformer language models saved along one training: the text probe.

The probe reads a text's first ``tokens`` bytes after a separator, and predicts each (the separator at the end as well,
of a text that is not cut). Texts longer than ``context`` are read in windows that see nothing of each other, as the
model was trained (``proof/proxies/packing.py``). With the losses l_1 ... l_n of the tokens, the gradient is that of

    loss     sum l_i / n, or sum l_i,
    margin   sum log(p_i / (1 - p_i)) / n with p_i = exp(-l_i): TRAK's output function, token by token,

by all parameters of the model, in single precision.

One text is passed at a time, and nothing but that text decides the shapes, so its bits depend on it alone; on one
core, eight texts at once would take seven eighths of the time (measured at 0.3 million parameters). Needs PyTorch.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch
from ..errors import CuveeError, MissingExtraError, UsageError
from ..proof.proxies.tokens import BYTES
from ..proof.proxies.transformer import SIZES, Shape

Floats32 = npt.NDArray[np.float32]
SEPARATOR = BYTES
VOCABULARY = BYTES + 1
SHAPES = {"0.06M": Shape(48, 2, 2, 96, 1e-2), **SIZES}
"""The proxies' sizes and a smaller one."""


class MissingTorchError(MissingExtraError):
    """PyTorch is not installed."""

    def __init__(self, purpose: str) -> None:
        message = f"{purpose} needs PyTorch, which is not installed. Install it with: pip install 'cuvee[torch]'."
        CuveeError.__init__(self, message)


def need_torch(purpose: str) -> Any:
    """The package torch; MissingTorchError with the command that installs it."""
    try:
        import torch
    except ImportError:
        raise MissingTorchError(purpose) from None
    return torch


_LOCK = threading.Lock()
_INSIDE: list[int] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch with one thread: the order of its additions follows their number. Any thread may enter at any time.

    Each thread has a setting of its own, and new ones take the one set last: the first to enter notes it, and the last
    to leave puts it back.
    """
    import torch

    with _LOCK:
        own = torch.get_num_threads()
        _INSIDE.append(own if not _INSIDE else _INSIDE[0])
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LOCK:
            before = _INSIDE.pop()
            torch.set_num_threads(own if _INSIDE else before)


@dataclass(frozen=True)
class TextSpec:
    """A probe's model and training. As :class:`cuvee.proof.proxies.transformer.Transformer`, with bytes as tokens.

    Attributes:
        size: parameters, one of ``SHAPES``.
        context: tokens that a window holds.
        batch: windows a step of the training.
        epochs: passes of the training.
    """

    size: str = "0.06M"
    context: int = 128
    batch: int = 4
    epochs: int = 4
    device: Literal["auto", "cpu", "cuda"] = "auto"
    weight_decay: float = 0.1
    clip: float = 1.0
    leak: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.size not in SHAPES:
            raise UsageError(f"A probe's size is one of {', '.join(SHAPES)}, not {self.size}.")
        if self.context < 2 or self.batch < 1 or self.epochs < 1:
            raise UsageError("A probe's context is at least 2 tokens; batch and epochs are at least 1.")

    @property
    def shape(self) -> Shape:
        return SHAPES[self.size]

    def rate_at(self, progress: float) -> float:
        """The learning rate at this share of the training: a tenth of it warms up, the rest falls along half a
        cosine to a tenth of the peak, so that the last checkpoint still counts."""
        if progress < 0.1:
            return self.shape.rate * (0.1 + 9.0 * progress)
        return self.shape.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)))


@dataclass(frozen=True, eq=False)
class TextProbe:
    """Models saved along one training, and how a text is read.

    Attributes:
        parameters: float32, (checkpoints, size).
        tokens: bytes of a text that are read at most.
        output: whose gradient is taken; ``total``: of its sum over a text's tokens, not the mean.
    """

    spec: TextSpec
    parameters: Array
    tokens: int = 256
    output: Literal["loss", "margin"] = "loss"
    total: bool = False

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def size(self) -> int:
        """How many numbers a gradient has."""
        return int(self.parameters.shape[1])

    @cached_property
    def models(self) -> list[Any]:
        """The models, each on the probe's device."""
        import torch

        from ..proof.proxies.text_model import TextModel, place

        found = []
        for one in self.parameters:
            model = TextModel(self.spec.shape, VOCABULARY, self.spec.context, 0, place(self.spec.device))
            model.flat.copy_(torch.from_numpy(np.array(one, np.float32)))
            found.append(model)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: one for name, one in self.__dict__.items() if name != "models"}

    def each(self, batch: Batch) -> Iterator[list[tuple[Floats32, float]]]:
        """For every text its gradient, float32 (size,), and its mean 1 - p, at every checkpoint; [] without text."""
        for i in range(len(batch)):
            windows = self.windows(batch.data[batch.offsets[i] : batch.offsets[i + 1]])
            yield [] if windows is None else [self.gradient(model, *windows) for model in self.models]

    def windows(self, text: Array) -> tuple[Array, Array] | None:
        """Inputs and targets, int64 (windows, length), targets -1 behind the end; None for an empty text."""
        if not len(text):
            return None
        end = [SEPARATOR] if len(text) <= self.tokens else []
        stream = np.concatenate([[SEPARATOR], text[: self.tokens], end]).astype(np.int64)
        count = len(stream) - 1
        length = min(count, self.spec.context)
        rows = -(-count // length)
        inputs, targets = np.full(rows * length, SEPARATOR), np.full(rows * length, -1)
        inputs[:count], targets[:count] = stream[:-1], stream[1:]
        return inputs.reshape(rows, length), targets.reshape(rows, length)

    def gradient(self, model: Any, inputs: Array, targets: Array) -> tuple[Floats32, float]:
        """The gradient of one text's output under one model, and the mean over its tokens of 1 - p."""
        import torch

        with one_thread():
            device = model.flat.device
            losses = model.losses(torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device), None)
            known = torch.from_numpy(targets >= 0).to(device)
            kept = losses[known]
            wrong = -torch.expm1(-kept)  # 1 - p
            output = kept if self.output == "loss" else -kept - torch.log(wrong.clamp_min(1e-7))
            reduced = output.sum() if self.total else output.mean()
            parts = torch.autograd.grad(reduced, list(model.parts.values()))
            flat = torch.cat([part.flatten() for part in parts])
            return cast(Floats32, flat.cpu().numpy()), float(wrong.detach().mean())

    def perplexities(self, batch: Batch) -> npt.NDArray[np.float64]:
        """exp of the mean loss of every text's tokens at every checkpoint, float64 (texts, checkpoints); NaN without
        text."""
        import torch

        found = np.full((len(batch), len(self)), np.nan)
        with one_thread(), torch.no_grad():
            for i in range(len(batch)):
                windows = self.windows(batch.data[batch.offsets[i] : batch.offsets[i + 1]])
                if windows is None:
                    continue
                inputs, targets = (torch.from_numpy(one) for one in windows)
                for c, model in enumerate(self.models):
                    losses = model.losses(inputs.to(model.flat.device), targets.to(model.flat.device), None)
                    found[i, c] = np.exp(losses.double().sum().item() / int((targets >= 0).sum()))
        return found
