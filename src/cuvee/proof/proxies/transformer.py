"""A small transformer language model as a proxy: seconds to minutes a run on one core, and the same bits every time.

Decoder only: RMS norm before each part, rotary positions, SwiGLU, tied embeddings (the architecture of LLaMA, Touvron
et al. 2023, without biases), trained with AdamW. Documents are packed into rows of ``context`` tokens; a token sees
the earlier tokens of its own document in its row, and nothing else unless ``leak`` is set. A document longer than the
context is cut, in training wherever the row ends, in measuring every ``context`` tokens from its begin: the first
tokens after a cut are predicted from little or nothing.

Needs PyTorch. On a CPU one thread is used and the same data, seed and recipe give the same bits on the same kind of
machine. On a GPU (bfloat16 autocast) PyTorch's deterministic kernels are asked for, which is not tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from ...core import Batch, Examples, Policy
from ...errors import CuveeError, DataError, MissingExtraError, ResourceError, UsageError
from .. import loop
from ..proxy import Evaluation, Outcome, Proxy, Watch
from . import checkpoint, tokens
from .packing import domain_names, pack

if TYPE_CHECKING:
    from .text_model import TextLearner


@dataclass(frozen=True)
class Shape:
    """``hidden``: width of the MLP. ``rate``: the peak learning rate that suits this size."""

    width: int
    depth: int
    heads: int
    hidden: int
    rate: float

    def parameters(self, vocabulary: int) -> int:
        """Numbers to learn; the embedding is also the output layer and counts once."""
        block = 4 * self.width**2 + 3 * self.width * self.hidden + 2 * self.width
        return self.depth * block + (vocabulary + 2) * self.width

    def forward_flops(self, vocabulary: int, context: int) -> float:
        """Operations per token: two per parameter (embeddings count as output layer), and for the attention two
        products of ``context`` x ``width`` per layer, counted in full although half is masked. Training takes three
        times as many, so 6 N + 12 depth context width (PaLM's count, Chowdhery et al. 2022, appendix B)."""
        return 2.0 * self.parameters(vocabulary) + 4.0 * self.depth * context * self.width


SIZES = {
    "0.3M": Shape(96, 3, 2, 192, 4e-3),
    "1M": Shape(160, 3, 4, 448, 3e-3),
    "3M": Shape(256, 4, 4, 640, 2e-3),
    "8M": Shape(384, 4, 6, 1216, 1.5e-3),
    "20M": Shape(512, 6, 8, 1472, 1e-3),
}
"""By name, the number of parameters with bytes as tokens. The rate of 0.3M was found by trial on 100,000 bytes of the
demonstration pool; the others follow from it, about as width**-0.8."""


@dataclass(frozen=True)
class Transformer(Proxy):
    """What the training depends on besides data, policy and seed.

    Attributes:
        size: parameters, with bytes as tokens.
        tokenizer: path of a tokenizer.json of a byte-level BPE, shared by all arms; None for bytes.
        tokenizer_digest: of that file's content; filled in, and checked where it is given.
        context: tokens a row.
        batch: rows a step.
        rate: peak learning rate; None for the size's own.
        warmup: share of the training in which the rate rises from a tenth to the peak.
        schedule: after that "cosine" falls to the end; "wsd" stays, and falls linearly in the last ``decay`` share.
        floor: the rate at the end, as a share of the peak.
        start: a checkpoint to go on from (``cuvee pretrain``), its moments included; None for a new model.
        start_digest: of that file's content; filled in, and checked where it is given.
        onward: the rate of a training that goes on: "rewarm" rises from where the earlier one ended to the peak, then
            as usual (Ibrahim et al. 2024); "redecay" takes the end of the earlier one for its peak and does not warm up
            (Parmar et al. 2024).
        weight_decay: of all but the norms' gains, per step times the rate (decoupled).
        clip: gradients of a larger norm are scaled down to it.
        leak: whether tokens see the documents before their own in the row; in training only, never in measuring.
        device: "auto" takes a GPU if there is one.
    """

    size: Literal["0.3M", "1M", "3M", "8M", "20M"] = "0.3M"
    tokenizer: str | None = field(default=None, compare=False)  # its content counts, not its place
    tokenizer_digest: str = ""
    context: int = 128
    batch: int = 2
    rate: float | None = None
    warmup: float = 0.1
    schedule: Literal["cosine", "wsd"] = "cosine"
    decay: float = 0.2
    floor: float = 0.0
    start: str | None = field(default=None, compare=False)  # its content counts, not its place
    start_digest: str = ""
    onward: Literal["rewarm", "redecay"] = "rewarm"
    weight_decay: float = 0.1
    clip: float = 1.0
    leak: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    ended: float = field(default=0.0, init=False, repr=False, compare=False)
    """The rate at which the checkpoint's training ended."""

    summary: ClassVar[str] = "decoder-only transformer of 0.3 to 20 million parameters; seconds to minutes a run"
    unit: ClassVar[str] = "bits per byte"
    most_tokens: ClassVar[int | None] = 100_000
    eval_bytes: ClassVar[int] = 128 << 10

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise UsageError(f"transformer: size must be one of {', '.join(SIZES)}, not {self.size}")
        if self.schedule not in ("cosine", "wsd"):
            raise UsageError(f"transformer: schedule must be cosine or wsd, not {self.schedule}")
        if self.context < 2 or self.batch < 1:
            raise UsageError("transformer: context must be at least 2 tokens and batch at least 1 row")
        if not (0 <= self.warmup < 1 and 0 <= self.decay <= 1):
            raise UsageError("transformer: warmup must be in [0, 1) and decay in [0, 1]")
        if not 0 <= self.floor < 1:
            raise UsageError("transformer: floor must be in [0, 1)")
        if self.onward not in ("rewarm", "redecay"):
            raise UsageError(f"transformer: onward must be rewarm or redecay, not {self.onward}")
        object.__setattr__(self, "start_digest", self._start())
        if not (self.peak > 0 and self.clip > 0 and self.weight_decay >= 0):
            raise UsageError("transformer: rate and clip must be above 0, and weight_decay must not be below")
        if self.tokenizer is None:
            if self.tokenizer_digest:
                raise UsageError("transformer: tokenizer_digest needs the tokenizer's file, tokenizer=PATH")
            return
        found = tokens.inspect(self.tokenizer).digest
        if self.tokenizer_digest not in ("", found):
            raise UsageError(f"transformer: {self.tokenizer} is not the tokenizer that was asked for; it has changed")
        object.__setattr__(self, "tokenizer_digest", found)

    def _start(self) -> str:
        """The digest of the checkpoint, or "" without one."""
        if self.start is None:
            if self.start_digest or self.onward != "rewarm":
                raise UsageError("transformer: start_digest and onward need a checkpoint, start=PATH")
            return ""
        found = checkpoint.inspect(self.start)
        if self.start_digest not in ("", found.digest):
            raise UsageError(f"transformer: {self.start} is not the checkpoint that was asked for; it has changed")
        if (found.about.proxy, found.about.size) != ("transformer", self.size):
            raise UsageError(f"transformer: {self.start} is a model of size={found.about.size}, not of {self.size}")
        if self.onward == "redecay" and self.rate is None and not found.about.rate > 0:
            raise UsageError(
                f"transformer: the training of {self.start} ended at a rate of 0, from which none falls. Make it with "
                "floor=0.1, or give rate"
            )
        object.__setattr__(self, "ended", found.about.rate)
        return found.digest

    @property
    def shape(self) -> Shape:
        return SIZES[self.size]

    @property
    def peak(self) -> float:
        """The peak learning rate."""
        if self.rate is None and self.onward == "redecay" and self.start is not None:
            return self.ended
        return self.shape.rate if self.rate is None else self.rate

    def rate_at(self, progress: float) -> float:
        """The learning rate at this share of the training."""
        peak, warmup = self.peak, 0.0 if self.onward == "redecay" else self.warmup
        if progress < warmup:
            first = 0.1 if self.start is None else min(1.0, self.ended / peak)
            return peak * (first + (1.0 - first) * progress / warmup)
        if self.schedule == "cosine":
            return peak * self._above(0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))))
        return peak * self._above(min(1.0, (1 - progress) / self.decay)) if self.decay else peak

    def _above(self, share: float) -> float:
        """A share of the way from the end to the peak, as a share of the peak."""
        return self.floor + (1.0 - self.floor) * share

    def train(
        self, data: Batch, evaluations: Sequence[Evaluation], policy: Policy, epochs: float, seed: int, watch: Watch
    ) -> Outcome:
        """See :class:`Proxy`. Examples are packed rows, and tokens those of the vocabulary, separators included.

        Raises:
            MissingExtraError: PyTorch is not installed (or tokenizers, where a tokenizer is given).
            ResourceError: the GPU's memory does not suffice.
        """
        try:
            import torch
        except ImportError:
            raise MissingTorchError from None
        from .text_model import TextLearner, reproducible

        vocabulary = tokens.Vocabulary(self.tokenizer)
        rows = pack(data, vocabulary.encode(data), self.context, vocabulary.separator)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("transformer: device=cuda, but PyTorch finds no GPU; leave it out to use the processor")
        with reproducible(self.device):
            try:
                learner = TextLearner(self, vocabulary, rows, evaluations, seed)
                before = self._load(learner, vocabulary.size)
                examples = Examples(rows.key, rows.domain, domain_names(data))
                trained = loop.train(learner, examples, policy, epochs, self.batch, seed, watch)
                if not trained.diverged and len(learner.measured) < len(evaluations):
                    learner.evaluate()  # a run resumed from its very end
                if watch.keep is not None and not trained.diverged:
                    tokens_seen = before + trained.tokens
                    checkpoint.write(watch.keep, self._about(vocabulary.size, tokens_seen, seed), learner.state())
            except torch.OutOfMemoryError as error:
                raise ResourceError("The GPU's memory does not suffice: use a smaller batch or size.") from error
        forward = self.shape.forward_flops(vocabulary.size, self.context)
        cost = {
            "train_flops": 3 * forward * trained.passed,
            "eval_flops": forward * sum(one.targets for one in learner.evaluations) * len(trained.curve),
            "eval_seconds": trained.measuring,
            "train_tokens": float(trained.tokens),
            "forward": float(trained.examples),
            "backward": float(trained.examples),
        }
        return Outcome(trained.diverged, {} if trained.diverged else dict(learner.measured), tuple(trained.curve), cost)

    def _load(self, learner: TextLearner, vocabulary: int) -> int:
        """Put the checkpoint into a new learner; how many tokens it was trained on."""
        if self.start is None:
            return 0
        about, state = checkpoint.read(self.start, self.start_digest)
        if (about.vocabulary, about.tokenizer) != (vocabulary, self.tokenizer_digest):
            raise UsageError(f"transformer: {self.start} was trained on tokens of another tokenizer. Give that one.")
        if {name: one.shape for name, one in state.items()} != {
            name: one.shape for name, one in learner.state().items()
        }:
            raise DataError(f"{self.start} is no checkpoint of a transformer of {self.size}. Make one: cuvee pretrain.")
        learner.load(state)
        return about.tokens

    def _about(self, vocabulary: int, tokens_seen: int, seed: int) -> checkpoint.About:
        rates = (float(self.rate_at(1.0)), float(self.peak))
        return checkpoint.About(
            "transformer", self.size, self.context, vocabulary, self.tokenizer_digest, *rates, tokens_seen,
            self.start_digest, seed,
        )  # fmt: skip

    def train_flops(self, tokens: float) -> float:
        """``tokens``: of this proxy's vocabulary. See :meth:`Shape.forward_flops`."""
        return 3 * self.shape.forward_flops(self.vocabulary_size(), self.context) * tokens

    def vocabulary_size(self) -> int:
        """Number of token ids, the separator's included."""
        return tokens.Vocabulary(self.tokenizer).size


class MissingTorchError(MissingExtraError):
    """PyTorch is not installed."""

    def __init__(self) -> None:
        CuveeError.__init__(
            self,
            "The transformer proxy needs PyTorch, which is not installed. Install it with: pip install 'cuvee[torch]'.",
        )
