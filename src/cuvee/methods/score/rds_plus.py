"""RDS+: every target text in turn takes the row most like it.

Ivison et al., "Large-Scale Data Selection for Instruction Tuning", arXiv 2503.01807. With unit vectors, each target
pops its most similar row (cosine) that it has not popped before, round after round; a row that is taken already adds
nothing, and the turn is lost. Rows are ranked by when they were taken: score 0, -1, -2, ...; rows that no list reached
follow by their largest cosine. Lists hold 200,000 entries in all, at least 16 a target (``most`` sets their length).

RDS+ takes the vectors from the model that is to be trained: the mean over the positions i = 1..L of the last layer's
hidden states, weighted i / (1 + ... + L) (``pooled``), given as an embedding column. On other vectors, such as the
shipped table's, this is round-robin cosine, and that name should be used in reports.

``sets="domain"`` is the paper's way for several target sets, here the target's domains: a row's score for a set is the
largest cosine with any of its texts, and the sets, not the texts, take turns; so every set counts the same, however
many texts it has. A set's list ends where one of its texts' lists does, so that no row is missing from it.

Deviations: targets take turns in a keyed order, since with fewer rows than targets only the first are served.
``rule`` "max" and "mean" rank by the largest and the mean cosine instead.

Inputs: texts or embedding columns of pool and target. Cost: two passes at embedding speed, each with rows x targets x
dimensions multiplications (1,000 targets at 256: 20 microseconds a row). Traps: every target counts the same, odd ones
included; the score is a rank, so its differences mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Array, Batch, Block, Card, Map, Method, Run
from ...engine.draw import uniform
from ...errors import DataError, UsageError
from ...feature.embed import Embedder, of_target, similarities
from ...fold.nearest import NearestRows, list_length, lists_of_sets

Ints = npt.NDArray[np.int64]


def pooled(hidden: Array) -> npt.NDArray[np.float64]:
    """Position-weighted mean of one text's hidden states (length, d), of length 1: float64 (d,)."""
    weight = np.arange(1, len(hidden) + 1, dtype=np.float64)
    mean = weight @ np.asarray(hidden, np.float64) / weight.sum()
    return mean / max(float(np.linalg.norm(mean)), 1e-300)


def round_robin(lists: Array, count: Array, most: int) -> Ints:
    """Rows in the order taken, at most ``most``; ``lists[t, :count[t]]`` are target t's rows, the nearest first."""
    taken: dict[int, None] = {}
    for column in range(int(count.max(initial=0))):
        for row in lists[count > column, column].tolist():
            taken.setdefault(row)
            if len(taken) == most:
                return np.fromiter(taken, np.int64, len(taken))
    return np.fromiter(taken, np.int64, len(taken))


@dataclass(frozen=True, eq=False)
class Ranked(Map):
    """The fitted ranking: ``rows`` ascending with their ``rank``; all others by similarity, below them."""

    embedder: Embedder
    targets: Array
    rows: Ints
    rank: Ints
    rule: str
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        found = similarities(vectors, self.targets)
        near = found.mean(axis=1, dtype=np.float64) if self.rule == "mean" else found.max(axis=1).astype(np.float64)
        if self.rule == "round_robin":
            near -= len(self.rows) + 1.0
            if len(self.rows):
                at = np.minimum(np.searchsorted(self.rows, batch.row), len(self.rows) - 1)
                near = np.where(self.rows[at] == batch.row, -self.rank[at].astype(np.float64), near)
        near[~np.any(vectors != 0, axis=1)] = -np.inf
        return {"score": near}


def domains_of(run: Run, embedder: Embedder) -> Array:
    """The domain of every target row that has a vector, strings; DataError where the target has no domains."""
    found: list[str] = []
    for batch in run.targets():
        if len(batch):
            column = batch.columns.get("domain")
            if column is None:
                raise DataError("rds_plus: sets=domain needs domains in the target: name their column with --domain.")
            known = np.any(embedder.vectors(batch) != 0, axis=1)
            found += [str(name) for name, kept in zip(column.to_pylist(), known, strict=True) if kept]
    return np.array(found)


@dataclass(frozen=True)
class RdsPlus(Method):
    """``rule``: "round_robin", "max" or "mean"; ``most``: rows in each target's list (0: by the number of targets);
    ``sets``: what takes turns, the target's texts ("none") or its domains."""

    rule: Literal["round_robin", "max", "mean"] = "round_robin"
    most: int = 0
    sets: Literal["none", "domain"] = "none"
    source: Literal["auto", "given", "static", "lsa"] = "auto"

    card: ClassVar[Card] = Card(
        summary="each target text in turn takes the row most like it, by cosine of vectors",
        family="target similarity",
        needs=("embedding", "target"),
        cost="two passes at embedding speed, and rows x targets x dimensions in each",
        bibtex="@article{ivison2025large, title={Large-Scale Data Selection for Instruction Tuning}, author={Ivison,"
        " Hamish and Zhang, Muru and Brahman, Faeze and Koh, Pang Wei and Dasigi, Pradeep}, journal={arXiv:2503.01807},"
        " year={2025}}",
        evidence="pooling and picks of the release; claim: reproduced (8 seeds)",
        use_when="The target has several kinds of text, each of which should be served. The method to beat among those "
        "that follow a target.",
        fails_when="Every target text takes as many rows as any other, odd ones included, and near copies of a row are "
        "taken with it.",
    )

    def fit(self, run: Run) -> Ranked:
        if self.most < 0 or self.rule not in ("round_robin", "max", "mean"):
            raise UsageError("rds_plus: most is at least 0; rule is round_robin, max or mean.")
        if self.sets not in ("none", "domain") or (self.sets == "domain" and self.rule != "round_robin"):
            raise UsageError("rds_plus: sets is none or domain; domains take turns, so rule is round_robin with them.")
        embedder, targets = of_target(run, self.source)
        turn = np.argsort(uniform(run.seed, "rds_plus", np.arange(len(targets), dtype=np.uint64)), kind="stable")
        targets = targets[turn]
        notes: dict[str, Any] = {"targets": len(targets), "width": embedder.width}
        taken = np.zeros(0, np.int64)
        if self.rule == "round_robin":
            found = run.fold(NearestRows(embedder, targets, self.most or list_length(len(targets))))
            lists, count = found["row"], found["count"]
            if self.sets == "domain":
                names = domains_of(run, embedder)[turn]
                first = {name: at for at, name in enumerate(dict.fromkeys(names.tolist()))}  # in the order of turns
                lists, count = lists_of_sets(found, np.array([first[name] for name in names.tolist()]))
                notes["sets"] = {name: int(count[at]) for name, at in first.items()}
            taken = round_robin(lists, count, max(lists.size, 1))
            notes |= {"ranked": len(taken), "list_length": found["row"].shape[1]}
        order = np.argsort(taken, kind="stable")
        return Ranked(embedder, targets, taken[order], order.astype(np.int64), self.rule, notes)
