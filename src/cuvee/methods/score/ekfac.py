"""EK-FAC influence functions: rows that would bring the target's loss down if the model were trained on them more.

Koh and Liang, "Understanding Black-box Predictions via Influence Functions", ICML 2017; in the form of Grosse et al.,
"Studying Large Language Model Generalization with Influence Functions", 2023, arXiv 2308.03296. With g the gradient of
one text's loss at the end of a training,

    score(x) = < (F + lambda)^-1 mean over z of the target of g(z), g(x) >,

F the Fisher matrix on the model's own predictions (for softmax that of Gauss and Newton) of ``sample`` rows of the pool
drawn by key, layer by layer as a Kronecker product with corrected eigenvalues (George et al., "Fast Approximate Natural
Gradient Descent in a Kronecker-factored Eigenbasis", NeurIPS 2018, arXiv 1806.03884; ``gradient/curvature.py``), and
lambda = ``damping`` times the layer's mean eigenvalue. Higher is better: the paper's influence on the target's log
likelihood. ``corrected=false``: K-FAC's eigenvalues. ``fisher=given``: on the labels that are there.

Losses are summed over a text's tokens, as in the paper, so long texts have more influence; ``per_token`` takes the mean
for target and rows. All linear layers count; the paper takes those of the MLPs alone. Embeddings and norms have no
part. The mean over the target is solved for once, so a row costs its gradient and one product. With several
``checkpoints`` the score is their mean; the paper has one. The model is the small probe of ``less``, not yours.

Inputs: those of ``less``. Cost: the sample's backward passes twice over, then one a row and checkpoint. Traps: the
damping decides where the sample has few directions; influence is of first order, at a model that has hardly converged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ...core import Card, Method, Run
from ...errors import UsageError
from ...fold.bottom_k import BottomK, as_batch
from ...fold.labelled_sample import LabelledSample
from ...gradient.curvature import Curvature, Sides, fit_curvature
from ...gradient.fitting import Fitted, ProbeKind, fit_probe, probe_needs, told
from ...gradient.labelled import LabelledProbe
from ...gradient.scores import GradientScores
from ...gradient.sides import labelled_layers, labelled_sides, text_layers, text_sides


def pool_curvature(run: Run, fitted: Fitted, sample: int, sampled: bool, corrected: bool) -> Curvature:
    """The curvature of a warmed-up probe on ``sample`` rows of the pool."""
    probe: Any = fitted.probe
    if isinstance(probe, LabelledProbe):
        drawn = LabelledSample(sample, fitted.name, run.seed, probe.embedder, probe.column)
        state = run.fold(drawn)
        parts = (state["vectors"], state["label"], state["key"])
        layers, rows = labelled_layers(probe, parts[0].shape[1]), len(parts[2])
    else:
        batch = as_batch(run.fold(BottomK(sample, fitted.name, run.seed, 4096)))
        layers, rows = text_layers(probe), len(batch)
    passes = 1 + corrected
    with told(run, f"{fitted.name}: the curvature of the pool's sample") as tell:
        done = 0

        def sides() -> Iterator[list[Sides]]:
            nonlocal done
            labelled = isinstance(probe, LabelledProbe)
            found = labelled_sides(probe, *parts, run.seed, sampled) if labelled else None
            for one in found or text_sides(probe, batch, run.seed, sampled):
                yield one
                done += 1
                tell(done / (passes * rows))

        return fit_curvature(layers, len(probe), sides, corrected)


@dataclass(frozen=True)
class EkFac(Method):
    """See :class:`cuvee.methods.score.less.Less`; ``sample``, ``damping``, ``corrected``, ``fisher``, ``per_token``:
    see above."""

    probe: ProbeKind = "text"
    size: str = "0.06M"
    tokens: int = 256
    epochs: int = 4
    checkpoints: int = 1
    warm_up: int = 100_000
    mixed: bool = False
    sample: int = 1000
    damping: float = 0.1
    corrected: bool = True
    fisher: Literal["sampled", "given"] = "sampled"
    per_token: bool = False

    card: ClassVar[Card] = Card(
        summary="rows whose weight in training would have lowered the target's loss, by EK-FAC influence functions",
        family="gradients",
        needs=("text", "target"),
        cost="a warm-up, the sample's backward passes twice, then one per row and checkpoint; needs torch",
        bibtex="@article{grosse2023studying, title={Studying Large Language Model Generalization with Influence"
        " Functions}, author={Grosse, Roger and Bae, Juhan and Anil, Cem and Elhage, Nelson and Tamkin, Alex and others"
        "}, journal={arXiv:2308.03296}, year={2023}}",
        evidence="influences of kronfluence 1.0.1; claim: direction only (8 seeds)",
        use_when="You want the effect of a row's weight in training on the target's loss, as influence functions "
        "estimate it.",
        fails_when="At a model that has hardly converged, such as a small probe, plain products of gradients "
        "(`tracin`) do as well for less work. Long texts lead unless `per_token=true`.",
    )

    def needs(self) -> tuple[str, ...]:
        return probe_needs(self.probe)

    def fit(self, run: Run) -> GradientScores:
        if self.sample < 1 or not 0 < self.damping < np.inf or self.fisher not in ("sampled", "given"):
            raise UsageError("ekfac: sample is at least 1, damping above 0, and fisher is sampled or given.")
        fitted = fit_probe(run, self, "ekfac", total=not self.per_token)
        found = pool_curvature(run, fitted, self.sample, self.fisher == "sampled", self.corrected)
        vectors, counts = fitted.target_vectors(run, False, unit=False)
        solved = np.stack([found.solve(c, one[0], self.damping)[None] for c, one in enumerate(vectors)])
        covered = sum(one.rows * one.columns for one in found.layers) / fitted.probe.size
        notes = {**fitted.notes, "targets": sum(counts.values()), "sampled": found.examples, "covered": covered}
        weight = np.full(len(vectors), 1.0 / len(vectors))
        return GradientScores(fitted.probe, solved.astype(np.float32), weight, cosine=False, notes=notes)
