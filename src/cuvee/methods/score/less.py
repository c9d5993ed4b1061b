"""LESS: rows whose step of Adam points the way that the target's gradients point.

Xia, Malladi, Gururangan, Arora and Chen, "LESS: Selecting Influential Data for Targeted Instruction Tuning", ICML 2024,
arXiv 2402.04333. A model is warmed up on a part of the pool for some passes; checkpoint t, at the end of a pass, has
Adam's moments m, v and a mean learning rate eta_t (weights sum to one). With g the gradient of one text's mean loss,

    Gamma = (b1 m + (1 - b1) g) / sqrt(b2 v + (1 - b2) g^2 + 1e-8)       for rows of the pool,
    score(x) = max over subtasks s of the mean over z in s of sum_t eta_t cos(Gamma_t(x), g_t(z)),

and the highest scores are taken. The cosine takes away that short texts have long gradients, not that they have other
directions. Subtasks are the target's domains (``subtasks=none``: the target is one).

The paper fine-tunes a large model by LoRA and projects gradients to 8,192 random numbers. Here the probe is a small
language model on bytes, trained on ``warm_up`` bytes of pool texts drawn by key, all parameters count, and nothing is
projected: the mean over a subtask is taken first, which leaves exact products of a row's gradient with S vectors.
``mixed`` warms up on the target's texts as well, half of the bytes, so that its gradients are what is left to learn.
Adam's decay rates are those of the warm-up (0.9, 0.95; the paper's model: 0.9, 0.999). With ``probe`` "linear" or
"mlp" the model is a classifier of labelled vectors (embedding and label columns; ``gradient/labelled.py``), and its
gradients are closed forms.

Inputs: texts of pool and target, or vectors and labels. Cost: the warm-up, then a forward and a backward pass a row and
checkpoint: 28 milliseconds of a core for a text at the default size (docs/gradients.md). Needs PyTorch for texts.
Traps: a probe of bytes sees style and words, not reasoning; the first ``tokens`` bytes stand for a text; gradients of
near copies are alike, so remove duplicates first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ...core import Array, Card, Method, Run
from ...errors import UsageError
from ...gradient.fitting import ProbeKind, fit_probe, probe_needs
from ...gradient.scores import GradientScores


def influence(rows: Array, targets: Array, rate: Array) -> Array:
    """sum_t eta_t cos(rows_t, targets_t), float64 (n, m), of gradients (checkpoints, n, k) and (checkpoints, m, k).

    ``rate``, (checkpoints,), is divided by its sum. For projected gradients as well.
    """
    weight = np.asarray(rate, np.float64) / np.sum(rate)
    total = np.zeros((rows.shape[1], targets.shape[1]))
    for c, one in enumerate(weight):
        left, right = (np.asarray(part[c], np.float64) for part in (rows, targets))
        lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
        total += one * (left @ right.T) / np.where(lengths > 0, lengths, 1.0)
    return total


def best_subtask(found: Array, subtask: Array) -> Array:
    """The largest over subtasks of the mean influence, float64 (n,): ``found`` (n, m), ``subtask`` (m,) names."""
    means = [found[:, subtask == name].mean(axis=1) for name in np.unique(subtask)]
    return np.max(means, axis=0)


@dataclass(frozen=True)
class Less(Method):
    """``size``, ``tokens``, ``epochs``: of the probe; ``checkpoints``: the last so many passes count; ``warm_up``:
    bytes of text (or rows with labels) that it is trained on."""

    probe: ProbeKind = "text"
    size: str = "0.06M"
    tokens: int = 256
    epochs: int = 4
    checkpoints: int = 4
    warm_up: int = 100_000
    mixed: bool = False
    subtasks: Literal["domain", "none"] = "domain"

    card: ClassVar[Card] = Card(
        summary="rows whose gradients, as Adam would step, point where the target's point",
        family="gradients",
        needs=("text", "target"),
        cost="a warm-up, then a backward pass per row and checkpoint: 30 ms a text on one core; needs torch",
        bibtex="@inproceedings{xia2024less, title={{LESS}: Selecting Influential Data for Targeted Instruction Tuning},"
        " author={Xia, Mengzhou and Malladi, Sadhika and Gururangan, Suchin and Arora, Sanjeev and Chen, Danqi},"
        " booktitle={ICML}, year={2024}}",
        evidence="scores and Adam's directions of the release; claim: direction only (8 seeds)",
        use_when="A few texts of each kind that you want, and a model to be fine-tuned on what is like them in effect: "
        "the strongest method by gradients, at a hundred times the cost of vectors.",
        fails_when="It costs a backward pass for each row and checkpoint, and was no better than `rds_plus` or `dsir` "
        "for a tiny model.",
    )

    def needs(self) -> tuple[str, ...]:
        return probe_needs(self.probe)

    def fit(self, run: Run) -> GradientScores:
        if self.subtasks not in ("domain", "none"):
            raise UsageError("less: subtasks is domain or none.")
        fitted = fit_probe(run, self, "less")
        vectors, counts = fitted.target_vectors(run, self.subtasks == "domain", unit=True)
        weight = fitted.rate / fitted.rate.sum()
        notes = {**fitted.notes, "subtasks": counts, "checkpoint_weights": weight.tolist()}
        return GradientScores(fitted.probe, vectors, weight, fitted.adam, cosine=True, notes=notes)
