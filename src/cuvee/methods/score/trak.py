"""TRAK: rows that a linearised model, fitted to the pool, credits with the target's outputs.

Park, Georgiev, Ilyas, Leclerc and Madry, "TRAK: Attributing Model Behavior at Scale", ICML 2023, arXiv 2303.14186. With
f the model's margin, phi(x) = R^T grad f(x) / sqrt(P) its gradient projected to k random signs (``dimensions``), P the
number of parameters, and Phi the projections of the pool's rows,

    score(x) = mean_t <phi_t(x), K_t^-1 mean over z of the target of phi_t(z)> * mean_t (1 - p_t(x)),
    K_t = Phi_t^T Phi_t / rows + ridge * mean diagonal * I.

For texts f is the mean over tokens of log(p / (1 - p)), for classifiers log(p / (1 - p)) of the label, and p the
probability of what stands there. K comes from ``sample`` rows of the pool drawn by key. The solution is carried back to
the parameters once (R K^-1 phi), so that rows of the pool cost one product, and no projection.

The means over t are those of the paper's ensemble. ``trainings`` above 1 trains as many models, each on a random half
of the warm-up rows, from a beginning and in an order of its own, with random signs of its own; each gives
``checkpoints`` of the t. One training (the default) sees all warm-up rows.

Against the release: its K has no division by rows, its ridge is absolute and 0 by default (singular with fewer rows
than dimensions), and it divides each K^-1 by its mean absolute entry (so does ``attribution``, not the score here).
The scale is arbitrary, ranks are what counts. The paper's sparsifying is left out.

Inputs: those of ``less``. Cost: ``sample`` projections (2 ms each), then as ``less``; all of it times ``trainings``.
Trap: where the model is sure, 1 - p takes the score to 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...core import Array, Card, Method, Run
from ...errors import UsageError
from ...gradient.fitting import ProbeKind, fit_probe, probe_needs
from ...gradient.projection import Projection
from ...gradient.scores import GradientScores


def attribution(rows: Array, targets: Array, wrong: Array, ridge: float, parameters: int) -> Array:
    """TRAK's scores as the release computes them, float64 (n, m).

    Projected gradients of the margin (checkpoints, n, k) and (checkpoints, m, k), 1 - p of the rows (checkpoints, n).
    """
    total = np.zeros((rows.shape[1], targets.shape[1]))
    for left, right in zip(rows.astype(np.float64), targets.astype(np.float64), strict=True):
        left, right = left / np.sqrt(parameters), right / np.sqrt(parameters)
        inverse = np.linalg.inv(left.T @ left + ridge * np.eye(left.shape[1]))
        total += left @ (inverse / np.abs(inverse).mean()) @ right.T
    return total / len(rows) * wrong.mean(axis=0)[:, None]


@dataclass(frozen=True)
class Trak(Method):
    """See :class:`cuvee.methods.score.less.Less`; ``ridge`` is a share of K's mean diagonal, ``trainings`` the models
    to average over."""

    probe: ProbeKind = "text"
    size: str = "0.06M"
    tokens: int = 256
    epochs: int = 4
    checkpoints: int = 2
    warm_up: int = 100_000
    mixed: bool = False
    dimensions: int = 256
    sample: int = 1000
    ridge: float = 0.1
    trainings: int = 1

    card: ClassVar[Card] = Card(
        summary="rows that a linearised model of the pool credits with the target's outputs",
        family="gradients",
        needs=("text", "target"),
        cost="a warm-up and some projections, then a backward pass per row and checkpoint; needs torch",
        bibtex="@inproceedings{park2023trak, title={{TRAK}: Attributing Model Behavior at Scale}, author={Park, Sung"
        " Min and Georgiev, Kristian and Ilyas, Andrew and Leclerc, Guillaume and Madry, Aleksander}, booktitle={ICML},"
        " year={2023}}",
        evidence="scores of traker 0.3.2; claim: direction only (8 seeds)",
        use_when="You have labelled vectors (`probe=linear`) and want what a retrained classifier would make of rows.",
        fails_when="With one training (the default) it falls behind `tracin`; ten were better and cost ten times as "
        "much. Where the probe is sure of a row, its score goes to 0.",
    )

    def needs(self) -> tuple[str, ...]:
        return probe_needs(self.probe)

    def fit(self, run: Run) -> GradientScores:
        if min(self.dimensions, self.sample, self.trainings) < 1 or not 0 < self.ridge < np.inf:
            raise UsageError("trak: dimensions, sample and trainings are at least 1, and ridge is above 0.")
        fitted = fit_probe(run, self, "trak", output="margin", trainings=self.trainings)
        projections = [Projection(self.dimensions, seed) for seed in fitted.seeds for _ in range(self.checkpoints)]
        grams, rows = fitted.grams(run, projections, self.sample)
        vectors, counts = fitted.target_vectors(run, False, unit=False)
        found = np.empty_like(vectors)
        for c, gram in enumerate(grams):
            ridge = self.ridge * np.trace(gram) / len(gram)
            if not ridge > 0:
                raise UsageError("trak: the sampled rows have no gradients; give another seed or more sample.")
            query = projections[c].project(vectors[c])
            solved = np.linalg.solve(gram + ridge * np.eye(len(gram)), query.T).T
            found[c] = projections[c].back(solved, fitted.probe.size)
        notes = {**fitted.notes, "targets": sum(counts.values()), "sampled": rows}
        weight = np.full(len(grams), 1.0 / len(grams))
        return GradientScores(fitted.probe, found, weight, cosine=False, doubt=True, notes=notes)
