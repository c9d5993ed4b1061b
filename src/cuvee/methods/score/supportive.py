"""Supportive data (ORCA-ICL): rows whose gradients point where the task's do, while the model learns from those found.

Han, Simig, Mihaylov, Tsvetkov, Celikyilmaz and Wang, "Understanding In-Context Learning via Supportive Pretraining
Data", ACL 2023, arXiv 2306.15091. With theta_0 the model, and g_task(theta) the gradient of the loss summed over the
target's texts, in round i = 1 ... M

    S_i = the k rows, not taken before, with the largest cos(grad l(x; theta_0), g_task(theta_{i-1})),
    theta_i = theta_0 after one pass of training on S_1, ..., S_i,

and S_1, ..., S_M are the selection: rows' gradients stay where they were, the task's moves on to what is left to learn.
For in-context learning, the target's texts are prompts that hold demonstrations and the answer; the loss counts all of
a text.

The rounds are run on ``sample`` rows of the pool drawn by key, of which all rounds together take ``share``. Round i has
the vector u_i = g_task(theta_{i-1}) and the bound b_i, the lowest cosine that it took. A row of the pool belongs to the
first round whose bound it reaches: score = M - i + 1 + (1 + cos_i) / 2; a row of no round has (1 + cos_M) / 2. So the
highest scores are the paper's union if the sample is the pool, in the order of rounds, and fill larger budgets by the
last task gradient. The paper has M = 5 and 2,000 rows of 2.5 million; its model has 6.7 billion parameters, the
probe here ``size``, on bytes, warmed up on ``warm_up`` bytes of the pool, and ``rate`` is a share of its peak rate. The
paper's analysis of what was found (rare tokens, long contexts) is not made.

Inputs: texts of pool and target. Cost: the warm-up; each round a backward pass (7 ms) for every sampled row and target
text, and a pass of training; then one a row. Needs PyTorch. Traps: those of ``less``; later rounds stray if ``rate`` or
``share`` is large; a model this small learns a prompt's form, hardly to use its context.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...errors import DataError, UsageError
from ...fold.bottom_k import BottomK, as_batch
from ...fold.scores import part_of
from ...gradient.continuing import continue_text
from ...gradient.fitting import told
from ...gradient.products import inner
from ...gradient.scores import subtasks_of, target_vectors
from ...gradient.text import SHAPES, TextProbe, TextSpec
from ...gradient.warm_up import train_text, warm_up_texts


def cosines(probe: TextProbe, vectors: Array, batch: Batch) -> Array:
    """Of every text's gradient with unit vectors (s, size), float64 (n, s); NaN for a text without gradient."""
    found, out = np.full((len(batch), len(vectors)), np.nan), np.empty(len(vectors) + 1)
    for i, one in enumerate(probe.each(batch)):
        if one:
            inner(one[0][0], vectors, out)
            found[i] = out[:-1] / np.sqrt(out[-1]) if out[-1] > 0 else 0.0
    return found


@dataclass(frozen=True, eq=False)
class Rounds(Map):
    """The fitted score: float32 ``vectors`` (rounds, size), of length 1, and float64 ``bounds`` (rounds,)."""

    probe: TextProbe
    vectors: Array
    bounds: Array
    notes: dict[str, Any] = field(default_factory=dict, compare=False)

    rows_at_once: ClassVar[int | None] = 64

    def apply(self, batch: Batch) -> Block:
        found = cosines(self.probe, self.vectors, batch)
        reached = found >= self.bounds
        at = np.where(reached.any(axis=1), reached.argmax(axis=1), len(self.bounds) - 1)
        place = (1 + found[np.arange(len(found)), at]) / 2
        score = np.where(reached.any(axis=1), len(self.bounds) - at, 0) + place
        return {"score": np.where(np.isfinite(score), score, -np.inf)}


@dataclass(frozen=True)
class Supportive(Method):
    """``rounds``, ``share``, ``rate``, ``sample``: see above; the others as for
    :class:`cuvee.methods.score.less.Less`."""

    size: str = "0.06M"
    tokens: int = 256
    epochs: int = 4
    warm_up: int = 100_000
    sample: int = 1000
    rounds: int = 5
    share: float = 0.1
    rate: float = 0.1

    card: ClassVar[Card] = Card(
        summary="rows whose gradients point where the task's do, in rounds of training on what was found",
        family="gradients",
        needs=("text", "target"),
        cost="a warm-up, a backward pass per round and sampled row, then one a row: 7 ms; needs torch",
        bibtex="@inproceedings{han2023understanding, title={Understanding In-Context Learning via Supportive"
        " Pretraining Data}, author={Han, Xiaochuang and Simig, Daniel and Mihaylov, Todor and Tsvetkov, Yulia and"
        " Celikyilmaz, Asli and Wang, Tianlu}, booktitle={ACL}, year={2023}}",
        evidence="the paper's loop, by dense products; claim: direction only (8 seeds)",
        use_when="A few prompts show what a language model should learn to do, and you look for rows to go on "
        "training it with.",
        fails_when="Several rounds were no better than one, and less precise: later rounds look for what the first "
        "rows did not teach. Without a target for a language model it has nothing to follow.",
    )

    def fit(self, run: Run) -> Rounds:
        if self.size not in SHAPES or min(self.epochs, self.warm_up, self.sample, self.rounds) < 1 or self.tokens < 2:
            raise UsageError(f"supportive: size is one of {', '.join(SHAPES)}, tokens at least 2, the other counts 1.")
        if not (0 < self.share <= 1 and 0 < self.rate < np.inf):
            raise UsageError("supportive: share is above 0 and at most 1, and rate above 0.")
        spec = TextSpec(self.size, epochs=self.epochs)
        with told(run, "supportive: warming the probe up") as tell:
            begun = train_text(spec, warm_up_texts(run, self.warm_up, False), run.seed, 1, tell)
        probe = TextProbe(spec, begun.parameters, self.tokens)
        # a few bytes more than are read, so that the probe sees that a text goes on
        batch = as_batch(run.fold(BottomK(self.sample, "supportive", run.seed, self.tokens + 8)))
        batches, names = subtasks_of(run.targets(), False)
        if not batches:
            raise DataError("The target gives no gradient: it has no rows.")
        taken, now = np.full(len(batch), -1), begun.parameters[0]
        vectors, bounds = list[Array](), list[float]()
        many = max(1, round(self.share * len(batch) / self.rounds))
        with told(run, "supportive: rounds") as tell:
            for number in range(self.rounds):
                task = TextProbe(spec, now[None], self.tokens, total=True)
                vector = target_vectors(task, batches, names, False)[0][0, 0]
                vectors.append(vector / max(float(np.linalg.norm(vector.astype(np.float64))), 1e-30))
                cosine = cosines(probe, vectors[-1][None], batch)[:, 0]
                free = np.flatnonzero((taken < 0) & np.isfinite(cosine))
                if not len(free):
                    raise DataError("The pool's sample has too few rows with text for so many rounds: raise sample.")
                best = free[np.lexsort((batch.key[free], -cosine[free]))[:many]]
                taken[best] = number
                bounds.append(float(cosine[best].min()))
                if number + 1 < self.rounds:
                    now = continue_text(spec, begun.parameters[0], part_of(batch, taken >= 0), run.seed, self.rate)
                tell((number + 1) / self.rounds)
        notes = {"warm_up_loss": begun.loss.tolist(), "sampled": len(batch), "taken": int((taken >= 0).sum())}
        notes |= {"bounds": bounds, "turned": [float(vectors[0] @ one) for one in vectors]}
        return Rounds(probe, np.stack(vectors).astype(np.float32), np.array(bounds), notes)
