"""Influence with curvature, for the byte table of ``step_influence.py``: exact, and cheap once it is prepared.

With the mean loss of the training text as function of the logits, the Hessian falls into a block for each context c,

    H_c = s_c (diag(p_c) - p_c p_c^T),      s_c the context's share of the training bytes,

and what a text z is worth to a reference is the product of their gradients in the metric of the damped inverse,

    I(z) = g_ref^T (H + damping)^(-1) g_z,    g(c, w) = (n(c) p(w | c) - n(c, w)) / bytes,

positive where a step on z lowers the reference's loss (as the inverse approaches a multiple of the identity, for large
damping, it is the first order of one plain step). Since g_z is linear in the counts of z, I(z) is the mean over the
bytes of z of a table V(c, w) = u_c . p_c - u_c(w), u = (H + damping)^(-1) g_ref, solved in closed form (Sherman and
Morrison) and looked up. Cost: microseconds for a text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch
from ..engine.kernel import kernel
from .step_influence import ByteTable, _contexts

Floats = npt.NDArray[np.float64]


@kernel
def _means(data: Array, offsets: Array, order: int, bits: int, table: Floats, out: Floats) -> None:
    """The mean of ``table`` over the bytes of every text; 0 for an empty one."""
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        context = _contexts(text, order, bits)
        total = 0.0
        for i in range(len(text)):
            total += table[context[i], text[i]]
        out[row] = total / max(len(text), 1)


def solve(share: Floats, p: Floats, right: Floats, damping: float) -> Floats:
    """(s (diag(p) - p p^T) + damping)^(-1) right, for every context: share (c,), p and right (c, 256)."""
    scale = 1.0 / (share[:, None] * p + damping)
    plain, along = scale * right, scale * p
    left = 1.0 - share * np.einsum("cw,cw->c", p, along)
    return plain + along * (share * np.einsum("cw,cw->c", p, plain) / left)[:, None]


@dataclass(frozen=True, eq=False)
class Curved:
    """``value`` float64 (contexts, 256): what a byte in its context is worth to the reference."""

    value: Floats
    order: int
    bits: int

    def influence(self, batch: Batch) -> Floats:
        """I(z) of every text, float64 (rows,)."""
        out = np.zeros(len(batch))
        _means(batch.data, batch.offsets, self.order, self.bits, self.value, out)
        return out


def curved(table: ByteTable, trained_on: Floats, reference: Floats, damping: float) -> Curved:
    """Prepare the influence on a reference.

    Args:
        trained_on, reference: counts of bytes by context, float64 (contexts, 256).
        damping: in units of the mean diagonal of the Hessian.
    """
    p, share = np.exp(table.logits), trained_on.sum(axis=1) / max(trained_on.sum(), 1.0)
    mean = float((share[:, None] * p * (1.0 - p)).mean())
    gradient = (reference.sum(axis=1, keepdims=True) * p - reference) / max(reference.sum(), 1.0)
    u = solve(share, p, gradient, damping * mean)
    return Curved(np.einsum("cw,cw->c", u, p)[:, None] - u, table.order, table.bits)
