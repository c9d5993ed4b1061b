"""The transformer's model, optimiser and learner. Only this module imports PyTorch.

Written with plain functions on a flat vector of parameters, of which named parts are views: the state is three arrays.
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
from torch.optim.adamw import adamw

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
        flat: float32, (parameters,): all that is learned.
        parts: views of it by name.
    """

    def __init__(self, shape: Shape, vocabulary: int, context: int, seed: int, device: torch.device) -> None:
        """Initialise from the seed alone: normal numbers, narrower by depth where a block adds to the stream.

        Embeddings are small, since as output layer they would else begin by repeating the token before; a norm behind
        them keeps the tokens visible among what the blocks add. Without that a run of 100 steps learns much less.
        """
        self.shape = shape
        width, hidden, added = shape.width, shape.hidden, (2 * shape.depth) ** -0.5
        plan: dict[str, tuple[tuple[int, ...], float]] = {"embedding": ((vocabulary, width), 4 * width**-0.5)}
        for i in range(shape.depth):
            plan[f"{i}.qkv"] = ((3 * width, width), 1.0)
            plan[f"{i}.out"] = ((width, width), added)
            plan[f"{i}.up"] = ((2 * hidden, width), 1.0)
            plan[f"{i}.down"] = ((width, hidden), added)
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

    def losses(self, inputs: Tensor, targets: Tensor, document: Tensor | None) -> Tensor:
        """-ln p of every target, (b, t) float32, 0 where it is IGNORED; all arguments are int64, (b, t).

        ``document`` keeps tokens from seeing other documents; with None they see all that precedes them. Rotary
        positions are relative, so counting along the row is the same as counting along each document.
        """
        rows, length = inputs.shape
        mask = None if document is None else self.mask(document)
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
    """Adam with decoupled weight decay of the matrices (Loshchilov and Hutter 2019), and clipping.

    PyTorch's fused kernel, one pass over memory: written out, a step of 3M costs more than its gradient does.
    ``first``, ``second``: the moments, float32, as flat as the parameters; ``steps``: taken so far.
    """

    def __init__(self, parts: Sequence[Tensor], weight_decay: float, clip: float) -> None:
        self.parts, self.weight_decay, self.clip = list(parts), weight_decay, clip
        size = sum(one.numel() for one in parts)
        self.first, self.second = (torch.zeros(size, device=parts[0].device) for _ in range(2))
        self.steps = 0
        sizes = [one.numel() for one in parts]
        self.moments = [
            [one.view_as(part) for one, part in zip(torch.split(flat, sizes), parts, strict=True)]
            for flat in (self.first, self.second)
        ]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """One update; may change ``gradients``."""
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in gradients]))
        scale = ((norm + EPSILON) / self.clip).clamp(min=1.0)  # what the kernel divides gradients by
        for matrices in (True, False):
            at = [i for i, part in enumerate(self.parts) if (part.dim() > 1) == matrices]
            adamw(
                [self.parts[i] for i in at],
                [gradients[i] for i in at],
                [self.moments[0][i] for i in at],
                [self.moments[1][i] for i in at],
                [],
                list(torch.full((len(at),), float(self.steps), device=scale.device).unbind()),
                fused=True,
                grad_scale=scale,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=rate,
                weight_decay=self.weight_decay if matrices else 0.0,
                eps=1e-8,
                maximize=False,
            )
        self.steps += 1


class Prepared:
    """An evaluation set as rows. ``targets``: how many tokens are predicted."""

    def __init__(self, evaluation: Evaluation, vocabulary: Vocabulary, context: int) -> None:
        self.name, self.size = evaluation.name, text_size(evaluation)
        self.rows = windows(vocabulary.encode(evaluation.batch), context, vocabulary.separator)
        self.targets = int((self.rows.targets != IGNORED).sum())


class TextLearner:
    """The learner of :mod:`cuvee.proof.loop` whose examples are packed rows.

    ``measured``: what the last :meth:`evaluate` found, by name; losses in bits.
    """

    def __init__(
        self, proxy: Transformer, vocabulary: Vocabulary, rows: Rows, evaluations: Sequence[Evaluation], seed: int
    ) -> None:
        self.proxy, self.rows, self.device = proxy, rows, place(proxy.device)
        self.model = TextModel(proxy.shape, vocabulary.size, proxy.context, seed, self.device)
        self.optimiser = AdamW(list(self.model.parts.values()), proxy.weight_decay, proxy.clip)
        self.counts = (rows.targets != IGNORED).sum(1)
        self.evaluations = [Prepared(one, vocabulary, proxy.context) for one in evaluations]
        self.measured: Mapping[str, Measured] = {}

    def by_token(self, rows: Rows, at: npt.NDArray[np.int64] | slice, leak: bool = False) -> Tensor:
        """-ln p of every target of some rows, (b, context)."""
        parts = (rows.inputs[at], rows.targets[at], rows.document[at])
        inputs, targets, document = (torch.from_numpy(one).to(self.device, torch.int64) for one in parts)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model.losses(inputs, targets, None if leak else document)

    def gradient(
        self, places: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], Sequence[Tensor]]:
        """Mean token loss per row, and the gradient by parts of sum_i weight_i * (token losses of row i) / targets."""
        counts = self.counts[places]
        total = self.by_token(self.rows, places, self.proxy.leak).sum(1)
        share = torch.from_numpy(weights / counts.sum()).to(self.device, torch.float32)
        found = torch.autograd.grad((total * share).sum(), list(self.model.parts.values()))
        return total.detach().double().cpu().numpy() / counts, found

    def step(
        self, places: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], progress: float
    ) -> npt.NDArray[np.float64]:
        loss, gradients = self.gradient(places, weights)
        self.optimiser.step(gradients, self.proxy.rate_at(progress))
        return loss

    @torch.no_grad()
    def losses(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Mean token loss per row as :meth:`step` returns it, and nothing is learned."""
        many = max(1, MEASURED_TOKENS // self.proxy.context)
        parts = [
            self.by_token(self.rows, places[low : low + many], self.proxy.leak).sum(1).double().cpu().numpy()
            for low in range(0, len(places), many)
        ]
        return np.concatenate([np.empty(0), *parts]) / self.counts[places]

    def products(self, groups: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
        """Inner products of the gradients of the groups' mean token losses."""
        size = sum(one.numel() for one in self.model.parts.values())
        slopes = torch.zeros(len(groups), size, device=self.device)
        for at, places in enumerate(groups):
            if len(places):
                _, parts = self.gradient(places, np.ones(len(places)))
                slopes[at] = torch.cat([one.flatten() for one in parts])
        return (slopes @ slopes.T).double().cpu().numpy()

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
            document, loss = rows.document[at], self.by_token(rows, at).double().cpu().numpy()
            kept = document != IGNORED
            bits_of += np.bincount(document[kept], loss[kept] / np.log(2.0), len(bits_of))
        return Measured(bits_of, prepared.size)

    def tokens(self, places: npt.NDArray[np.int64]) -> int:
        return int(self.counts[places].sum())

    def state(self) -> State:
        found = {name: one.cpu().numpy().copy() for name, one in self.arrays().items()}
        return {**found, "steps": np.array([self.optimiser.steps], np.int64)}

    def load(self, state: State) -> None:
        for name, one in self.arrays().items():
            one.copy_(torch.from_numpy(state[name]))
        self.optimiser.steps = int(state["steps"][0])

    def arrays(self) -> dict[str, Tensor]:
        """All that training changes, each float32, (parameters,)."""
        return {"parameters": self.model.flat, "first": self.optimiser.first, "second": self.optimiser.second}
