"""How much one step of training on a text changes the loss on a reference: exact, for the smallest of language models.

The proxy is a table of logits, float64 (contexts, 256): the distribution of the next byte after the ``order - 1`` bytes
before it, whose hash is the context (a softmax regression on one-hot contexts). It is trained in closed form: after
context c, with n counts of the training text and P the smoothed shares of single bytes,

    logits(c, w) = log((n(c, w) + a P(w)) / (n(c) + a)),      a = ``PRIOR``.

One step of gradient descent on the mean loss of a text x of L bytes, at rate r, moves the logits to

    logits'(c, w) = logits(c, w) + r (n_x(c, w) - n_x(c) p(w | c)) / L,

and the influence of x is what the reference's mean loss, in nats a byte, falls by: L_ref(before) - L_ref(after). Only
contexts of the text change, so no state has to be restored. Compared in ``tests`` with a step of the whole table; to
first order it is r times the inner product of the two gradients.

Cost: 256 exponentials for each different context of the text that the reference has too: about a millisecond for a
text of 2 kB. A rate that moves the logits of a frequent context by about one is right; the ranks hardly depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch
from ..engine.kernel import kernel

Floats = npt.NDArray[np.float64]
PRIOR = 16.0


@kernel
def _contexts(text: Array, order: int, bits: int) -> Array:
    """The context of every byte; bytes before the text are zeros."""
    found = np.empty(len(text), np.int64)
    mask = (np.uint64(1) << np.uint64(8 * (order - 1))) - np.uint64(1)
    window = np.uint64(0)
    for i in range(len(text)):
        found[i] = ((window + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)
        window = ((window << np.uint64(8)) | np.uint64(text[i])) & mask
    return found


@kernel
def _count(data: Array, offsets: Array, order: int, bits: int, out: Floats) -> None:
    """Add the counts of all texts to ``out`` (contexts, 256)."""
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        context = _contexts(text, order, bits)
        for i in range(len(text)):
            out[context[i], text[i]] += 1.0


@kernel
def _influence(
    data: Array, offsets: Array, order: int, bits: int, logits: Floats, reference: Floats, rate: float, out: Floats
) -> None:
    """Falls of each reference's total loss by one step on each text; ``reference`` (parts, contexts, 256)."""
    moved = np.empty(256, np.float64)
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        context = _contexts(text, order, bits)
        by_context = np.argsort(context, kind="mergesort")
        begin = 0
        while begin < len(text):
            c = context[by_context[begin]]
            end = begin
            while end < len(text) and context[by_context[end]] == c:
                end += 1
            seen = 0.0
            for part in range(len(reference)):
                seen += reference[part, c].sum()
            if seen > 0.0:
                share = rate / len(text)
                for w in range(256):
                    moved[w] = logits[c, w] - share * (end - begin) * np.exp(logits[c, w])
                for i in range(begin, end):
                    moved[text[by_context[i]]] += share
                top = moved.max()
                norm = top + np.log(np.exp(moved - top).sum())
                for part in range(len(reference)):
                    for w in range(256):
                        if reference[part, c, w] > 0.0:
                            out[row, part] += reference[part, c, w] * (moved[w] - norm - logits[c, w])
            begin = end


@dataclass(frozen=True, eq=False)
class ByteTable:
    """A trained table: ``logits`` float64 (2**bits, 256), each row's exponentials adding up to one."""

    logits: Floats
    order: int
    bits: int

    def influence(self, batch: Batch, references: Floats, rate: float) -> Floats:
        """float64 (rows, parts): what each reference's mean loss falls by, in nats a byte, after a step on each text.

        Args:
            references: counts by :func:`counts`, float64 (parts, 2**bits, 256).
        """
        out = np.zeros((len(batch), len(references)))
        _influence(batch.data, batch.offsets, self.order, self.bits, self.logits, references, rate, out)
        return out / np.maximum(references.sum(axis=(1, 2)), 1.0)

    def loss(self, reference: Floats) -> float:
        """Mean loss on counted text, nats a byte."""
        return float(-(reference * self.logits).sum() / max(reference.sum(), 1.0))


def counts(batch: Batch, order: int, bits: int) -> Floats:
    """Bytes by context, float64 (2**bits, 256)."""
    out = np.zeros((1 << bits, 256))
    _count(batch.data, batch.offsets, order, bits, out)
    return out


def train(batch: Batch, order: int = 3, bits: int = 12) -> ByteTable:
    """The table trained on the texts of a batch."""
    seen = counts(batch, order, bits)
    single = (seen.sum(axis=0) + 1.0) / (seen.sum() + 256.0)
    shares = (seen + PRIOR * single) / (seen.sum(axis=1) + PRIOR)[:, None]
    return ByteTable(np.log(shares), order, bits)
