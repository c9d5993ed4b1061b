"""TracIn: rows whose training steps would have lowered the target's loss, by inner products of gradients.

Pruthi, Liu, Kale and Sundararajan, "Estimating Training Data Influence by Tracing Gradient Descent", NeurIPS 2020,
arXiv 2002.08484, its practical form TracInCP. With checkpoints theta_t of one training and their learning rates eta_t,

    score(x) = sum_t eta_t <grad l(x; theta_t), mean over z of the target of grad l(z; theta_t)>,

losses summed over a text's tokens. It is what a plain gradient step on x takes from the target's loss, to first order.

``cosine`` divides each gradient by its length: without it the texts with the longest gradients (long, or odd ones) lead
the ranking, whatever they say. The probe is trained with Adam, as language models are, whose steps these are not:
``less`` corrects for that. ``probe``, ``size``, ``tokens``, ``epochs``, ``checkpoints``, ``warm_up``, ``mixed``: as for
``less``.

Inputs, cost: those of ``less``. Traps: gradients shrink late in a training, so the last checkpoints say little; the
first ``tokens`` bytes stand for a text; a low score is no sign of a wrong label (see the claim), which the loss finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Array, Card, Method, Run
from ...gradient.fitting import ProbeKind, fit_probe, probe_needs
from ...gradient.scores import GradientScores


def influences(rows: Array, targets: Array, rate: Array) -> Array:
    """sum_t eta_t <rows_t, targets_t>, float64 (n, m), of gradients (checkpoints, n, k) and (checkpoints, m, k)."""
    weight = np.asarray(rate, np.float64)
    return np.einsum("t,tnk,tmk->nm", weight, rows.astype(np.float64), targets.astype(np.float64), optimize=True)


@dataclass(frozen=True)
class TracIn(Method):
    """See :class:`cuvee.methods.score.less.Less`; ``cosine``: of gradients' directions alone."""

    probe: ProbeKind = "text"
    size: str = "0.06M"
    tokens: int = 256
    epochs: int = 4
    checkpoints: int = 4
    warm_up: int = 100_000
    mixed: bool = False
    cosine: bool = False

    card: ClassVar[Card] = Card(
        summary="rows whose gradient steps would have lowered the target's loss most",
        family="gradients",
        needs=("text", "target"),
        cost="a warm-up, then a backward pass per row and checkpoint: 30 ms a text on one core; needs torch",
        bibtex="@inproceedings{pruthi2020estimating, title={Estimating Training Data Influence by Tracing Gradient"
        " Descent}, author={Pruthi, Garima and Liu, Frederick and Kale, Satyen and Sundararajan, Mukund},"
        " booktitle={NeurIPS}, year={2020}}",
        evidence="influences of captum 0.9.0; claim: direction only (8 seeds)",
        use_when="You want to know what single steps on a row would do to the target's loss, without Adam's part in "
        "it.",
        fails_when="It does not find wrong labels (the loss does), and what a probe of bytes learns is style and "
        "words.",
    )

    def needs(self) -> tuple[str, ...]:
        return probe_needs(self.probe)

    def fit(self, run: Run) -> GradientScores:
        fitted = fit_probe(run, self, "tracin", total=not self.cosine)
        vectors, counts = fitted.target_vectors(run, False, unit=self.cosine)
        notes = {**fitted.notes, "targets": sum(counts.values())}
        return GradientScores(fitted.probe, vectors, fitted.rate, cosine=self.cosine, notes=notes)
