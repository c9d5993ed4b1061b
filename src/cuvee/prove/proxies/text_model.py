"""The transformer's model, optimiser and learner. Only this module imports PyTorch.

Written with plain functions on a flat vector of parameters, so that the optimiser, clipping and checkpoints are a few
operations on one array each.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ...core import State
from ...engine.draw import bits
from ..proxy import Evaluation, Measured
from .packing import IGNORED, Rows, windows
from .tokens import Vocabulary, text_size

if TYPE_CHECKING:
    from .transformer import Shape, Transformer

EPSILON = 1e-6
"""Added to mean squares in norms."""
BETAS = (0.9, 0.95)
"""AdamW's decay rates of the moments, usual for language models."""
MEASURED_TOKENS = 4096
"""Tokens in a batch of measuring: small enough for the processor's caches."""


@contextlib.contextmanager
def reproducible(device: str) -> Iterator[None]:
    """Let PyTorch give the same bits every time, and put its settings back afterwards.

    On a CPU: one thread, since the order of additions follows the number of threads. On a GPU: deterministic kernels.
    The settings are the process's: other threads that use PyTorch meanwhile see them.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)
    if place(device).type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=lenient)


def place(device: str) -> torch.device:
    """The device that a name stands for."""
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


class RMSNorm(torch.autograd.Function):
    """x / sqrt(mean(x**2)) * gain over the last axis (Zhang and Sennrich 2019).

    With its own backward pass: PyTorch composes it of many small operations on a CPU, which takes three times as long.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, gain: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.rsqrt(size.square_().div_(x.shape[-1]).add_(EPSILON))
        unit = x * scale
        context.save_for_backward(unit, scale, gain)
        return unit * gain

    @staticmethod
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor, Tensor]:
        unit, scale, gain = context.saved_tensors
        (given,) = outer
        inner = given * gain
        along = (inner * unit).mean(-1, keepdim=True)
        return torch.addcmul(inner, unit, along, value=-1).mul_(scale), (given * unit).flatten(0, -2).sum(0)


def normed(x: Tensor, gain: Tensor) -> Tensor:
    """:class:`RMSNorm`, (..., width) to the same."""
    found: Tensor = cast(Any, RMSNorm).apply(x, gain)
    return found


class TextModel:
    """A decoder-only transformer.

    Attributes:
        flat: float32, (parameters,): all that is learned, matrices first.
        decayed: how many of them are matrices.
        parts: views of ``flat`` by name.
    """

    def __init__(
        self, shape: Shape, vocabulary: int, context: int, seed: int, device: torch.device, leak: bool = False
    ) -> None:
        """Initialise from the seed alone: normal numbers, narrower by depth where a block adds to the stream.

        Embeddings are small, since as output layer they would else begin by repeating the token before; a norm behind
        them keeps the tokens visible among what the blocks add. Without that a run of 100 steps learns much less.
        """
        self.shape, self.leak = shape, leak
        width, hidden, added = shape.width, shape.hidden, (2 * shape.depth) ** -0.5
        plan: dict[str, tuple[tuple[int, ...], float]] = {"embedding": ((vocabulary, width), 4 * width**-0.5)}
        for i in range(shape.depth):
            plan[f"{i}.qkv"] = ((3 * width, width), 1.0)
            plan[f"{i}.out"] = ((width, width), added)
            plan[f"{i}.up"] = ((2 * hidden, width), 1.0)
            plan[f"{i}.down"] = ((width, hidden), added)
        self.decayed = sum(rows * columns for (rows, columns), _ in plan.values())
        gains = ["first", "last", *(f"{i}.norm{j}" for i in range(shape.depth) for j in (1, 2))]
        plan |= dict.fromkeys(gains, ((width,), 0.0))
        source = torch.Generator()
        source.manual_seed(int(bits(seed, "initial parameters", np.zeros(1, np.uint64))[0] >> np.uint64(1)))
        parts = [
            torch.randn(form, generator=source) * (scale * form[-1] ** -0.5) if scale else torch.ones(form)
            for form, scale in plan.values()
        ]
        self.flat = torch.cat([one.flatten() for one in parts]).to(device)
        sizes = [one.numel() for one in parts]
        views = [one.view(form) for one, (form, _) in zip(torch.split(self.flat, sizes), plan.values(), strict=True)]
        self.parts = {name: one.detach().requires_grad_() for name, one in zip(plan, views, strict=True)}
        half = width // shape.heads // 2
        angle = torch.arange(context)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.turn = torch.polar(torch.ones_like(angle), angle)[:, None, None].to(device)  # (context, 1, 1, half)

    def losses(self, inputs: Tensor, targets: Tensor, document: Tensor) -> Tensor:
        """-ln p of every target, (b, t) float32, 0 where it is IGNORED; all arguments are int64, (b, t).

        Rotary positions are relative, so counting along the row is the same as counting along each document.
        """
        rows, length = inputs.shape
        mask = None if self.leak else self.mask(document)
        x = normed(functional.embedding(inputs, self.parts["embedding"]), self.parts["first"])
        for i in range(self.shape.depth):
            x = x + self.attention(i, normed(x, self.parts[f"{i}.norm1"]), mask)
            up = functional.linear(normed(x, self.parts[f"{i}.norm2"]), self.parts[f"{i}.up"])
            gate, value = up.chunk(2, -1)
            x = x + functional.linear(functional.silu(gate) * value, self.parts[f"{i}.down"])
        logits = functional.linear(normed(x, self.parts["last"]), self.parts["embedding"])
        found = functional.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), reduction="none", ignore_index=IGNORED
        )
        return found.view(rows, length)

    def attention(self, i: int, x: Tensor, mask: Tensor | None) -> Tensor:
        """The attention of block i; (b, t, width) to the same."""
        rows, length, width = x.shape
        heads = self.shape.heads
        pair, value = torch.split(functional.linear(x, self.parts[f"{i}.qkv"]), [2 * width, width], -1)
        complexes = torch.view_as_complex(pair.float().reshape(rows, length, 2, heads, -1, 2))
        turned = torch.view_as_real(complexes * self.turn[:length]).flatten(-2).to(value.dtype)
        # unbind and split, not indexing: their gradients are one copy, those of indices are sums of padded arrays
        q, k = turned.transpose(1, 3).unbind(2)
        v = value.view(rows, length, heads, -1).transpose(1, 2)
        seen = functional.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None)
        return functional.linear(seen.transpose(1, 2).reshape(rows, length, width), self.parts[f"{i}.out"])

    def mask(self, document: Tensor) -> Tensor:
        """bool, (b, 1, t, t): which token (third axis) sees which (fourth): itself and earlier ones of its document."""
        same = document[:, :, None] == document[:, None, :]
        return same.tril_()[:, None]


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019) and clipping, on one flat vector."""

    def __init__(self, flat: Tensor, decayed: int, weight_decay: float, clip: float) -> None:
        """``decayed``: how many of the first entries decay."""
        self.flat, self.decayed, self.weight_decay, self.clip = flat, decayed, weight_decay, clip
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        self.steps = 0

    def step(self, gradient: Tensor, rate: float) -> None:
        """One update; changes ``gradient``."""
        self.steps += 1
        gradient.mul_((self.clip / (gradient.norm() + EPSILON)).clamp(max=1.0))
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        self.flat[: self.decayed].mul_(1 - rate * self.weight_decay)
        scale = (self.second / (1 - BETAS[1] ** self.steps)).sqrt_().add_(1e-8)
        self.flat.addcdiv_(self.first, scale, value=-rate / (1 - BETAS[0] ** self.steps))


class Prepared:
    """An evaluation set as rows. ``targets``: how many tokens are predicted."""

    def __init__(self, evaluation: Evaluation, vocabulary: Vocabulary, context: int) -> None:
        self.name, self.size = evaluation.name, text_size(evaluation)
        self.rows = windows(vocabulary.encode(evaluation.batch), context, vocabulary.separator)
        self.targets = int((self.rows.targets != IGNORED).sum())


class TextLearner:
    """The learner of :mod:`cuvee.prove.loop` whose examples are packed rows.

    ``measured``: what the last :meth:`evaluate` found, by name; losses in bits.
    """

    def __init__(
        self, proxy: Transformer, vocabulary: Vocabulary, rows: Rows, evaluations: Sequence[Evaluation], seed: int
    ) -> None:
        self.proxy, self.rows, self.device = proxy, rows, place(proxy.device)
        self.model = TextModel(proxy.shape, vocabulary.size, proxy.context, seed, self.device, proxy.leak)
        self.optimiser = AdamW(self.model.flat, self.model.decayed, proxy.weight_decay, proxy.clip)
        self.counts = (rows.targets != IGNORED).sum(1)
        self.evaluations = [Prepared(one, vocabulary, proxy.context) for one in evaluations]
        self.measured: Mapping[str, Measured] = {}

    def losses(self, rows: Rows, at: npt.NDArray[np.int64] | slice) -> Tensor:
        """-ln p of every target of some rows, (b, context)."""
        parts = (rows.inputs[at], rows.targets[at], rows.document[at])
        inputs, targets, document = (torch.from_numpy(one).to(self.device, torch.int64) for one in parts)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model.losses(inputs, targets, document)

    def gradient(
        self, places: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], Tensor]:
        """Mean token loss per row, and the flat gradient of sum_i weight_i * (token losses of row i) / targets."""
        counts = self.counts[places]
        total = self.losses(self.rows, places).sum(1)
        share = torch.from_numpy(weights / counts.sum()).to(self.device, torch.float32)
        found = torch.autograd.grad((total * share).sum(), list(self.model.parts.values()))
        return total.detach().double().cpu().numpy() / counts, torch.cat([one.flatten() for one in found])

    def step(
        self, places: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], progress: float
    ) -> npt.NDArray[np.float64]:
        loss, gradient = self.gradient(places, weights)
        self.optimiser.step(gradient, self.proxy.rate_at(progress))
        return loss

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        self.measured = {one.name: self.measure(one) for one in self.evaluations}
        return {name: found.mean() for name, found in self.measured.items()}

    def measure(self, prepared: Prepared) -> Measured:
        """Bits of every text, its end included."""
        rows, many = prepared.rows, max(1, MEASURED_TOKENS // self.proxy.context)
        bits_of = np.zeros(len(prepared.size))
        for begin in range(0, len(rows), many):
            at = slice(begin, begin + many)
            document, loss = rows.document[at], self.losses(rows, at).double().cpu().numpy()
            kept = document != IGNORED
            bits_of += np.bincount(document[kept], loss[kept] / np.log(2.0), len(bits_of))
        return Measured(bits_of, prepared.size)

    def tokens(self, places: npt.NDArray[np.int64]) -> int:
        return int(self.counts[places].sum())

    def state(self) -> State:
        optimiser = self.optimiser
        arrays = {"flat": optimiser.flat, "first": optimiser.first, "second": optimiser.second}
        kept = {name: one.cpu().numpy().copy() for name, one in arrays.items()}
        return {**kept, "steps": np.array([optimiser.steps], np.int64)}

    def load(self, state: State) -> None:
        optimiser = self.optimiser
        for name, one in (("flat", optimiser.flat), ("first", optimiser.first), ("second", optimiser.second)):
            one.copy_(torch.from_numpy(state[name]))
        optimiser.steps = int(state["steps"][0])
