"""Texts for reports, and the distance of kept rows to the target: both from the uniform sample of the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .core import Batch, Block, Decision, Draw, Map
from .engine.columns import DiskColumns
from .engine.run import Engine
from .feature.ngrams import Ngrams

SHOWN = 10
FEATURES = Ngrams(n=2, buckets=10_000)
FEWEST_ROWS = 30
MOST_ROWS = 1_000
RANDOM_DRAWS = 19
PREDICTION = 2.878 * (1 + 1 / RANDOM_DRAWS) ** 0.5  # 99.5 % point of t with 18 degrees of freedom


@dataclass
class Example:
    """One row as a report shows it; ``because`` lists the n-grams that contributed most to its score."""

    id: str
    domain: str
    score: float | None
    tokens: int
    file: str
    row: int
    text: str
    reason: str
    because: list[tuple[str, float]]


def as_batch(texts: list[bytes], rows: npt.NDArray[np.int64] | None = None) -> Batch:
    """A batch of given UTF-8 texts; keys are row numbers."""
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    rows = np.arange(len(texts), dtype=np.int64) if rows is None else rows
    return Batch(np.frombuffer(b"".join(texts), np.uint8), offsets, rows, rows.astype(np.uint64))


def sampled(engine: Engine, columns: DiskColumns) -> Iterator[tuple[int, Block, npt.NDArray[np.int64], list[bytes]]]:
    """Per span: its number, its block, the positions of the sampled rows in the block, and their texts' heads."""
    for number, (span, block) in enumerate(zip(engine.pool.manifest.spans, columns.blocks(), strict=True)):
        table = engine.sample(engine.pool, span)
        at = np.searchsorted(block["row"], table.column("row").to_numpy())
        yield number, block, at, table.column("text").to_pylist()


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """Jensen-Shannon divergence in bits, between 0 and 1."""
    p, q = p / p.sum(), q / q.sum()
    middle = 0.5 * (p + q)

    def relative(a: npt.NDArray[np.float64]) -> float:
        some = a > 0
        return float(np.sum(a[some] * np.log2(a[some] / middle[some])))

    return 0.5 * relative(p) + 0.5 * relative(q)


def divergence_from_target(
    engine: Engine, columns: DiskColumns, arms: Mapping[str, Decision], draw: Draw
) -> dict[str, Any] | None:
    """How far the words of kept rows are from the target's, against random rows with as much text.

    Jensen-Shannon divergence of hashed word 1- and 2-grams between the target and at most 1,000 sampled rows of each
    arm (heads of texts). "random" is the mean of 19 draws, "random_range" the interval in which 99 of 100 further draws
    would fall (by the t distribution). None without a target or with too few sampled rows.
    """
    if engine.target is None:
        return None
    rows: list[tuple[bytes, float, int]] = []  # text, luck, key of every sampled row
    members: dict[str, list[int]] = {name: [] for name in arms}
    for _, block, at, texts in sampled(engine, columns):
        luck = draw.uniform("divergence", block["key"][at])
        for name, decision in arms.items():
            members[name] += (np.flatnonzero(decision.repeats(block)[at]) + len(rows)).tolist()
        rows += zip(texts, luck.tolist(), block["key"][at].tolist(), strict=True)
    if len(members["kept"]) < FEWEST_ROWS:
        return None
    goal = np.zeros(FEATURES.buckets, np.int64)
    for batch in engine.targets():
        FEATURES.add_counts(goal, batch)
    if not goal.any():
        return None

    def distance(chosen: Sequence[int]) -> float:
        counts = FEATURES.count(as_batch([rows[i][0] for i in chosen]))
        return _divergence(counts.astype(float), goal.astype(float)) if counts.any() else 1.0

    found: dict[str, Any] = {
        "name": "Jensen-Shannon divergence of word 1- and 2-grams from the target (0 same, 1 nothing in common)",
    }
    for name, chosen in members.items():
        chosen.sort(key=lambda i: rows[i][1])
        found[name] = distance(chosen[:MOST_ROWS]) if len(chosen) >= FEWEST_ROWS else None
    kept = members["kept"][:MOST_ROWS]
    text = sum(len(rows[i][0]) for i in kept)
    keys = np.array([key for _, _, key in rows], np.uint64)
    sizes = np.array([len(text) for text, _, _ in rows])
    draws = []
    for number in range(RANDOM_DRAWS):
        order = np.argsort(draw.uniform(f"divergence {number}", keys), kind="stable")
        enough = int(np.searchsorted(np.cumsum(sizes[order]), text)) + 1
        draws.append(distance(order[:enough].tolist()))
    middle, spread = float(np.mean(draws)), PREDICTION * float(np.std(draws, ddof=1))
    found |= {"random": middle, "random_range": [middle - spread, middle + spread], "rows": len(kept)}
    return found


def draw_examples(
    engine: Engine,
    columns: DiskColumns,
    decision: Decision,
    reason: Callable[[float | None], str],
    fitted: Map | None,
    draw: Draw,
) -> dict[str, list[dict[str, Any]]]:
    """Kept, borderline and dropped rows to look at: drawn uniformly; borderline ones by nearness to the cut."""
    scored = fitted is not None
    gathered: dict[str, list[tuple[float, Example]]] = {"kept": [], "dropped": []}
    scores: dict[str, list[tuple[float, Example]]] = {"kept": [], "dropped": []}
    for number, block, at, texts in sampled(engine, columns):
        repeats = decision.repeats(block)[at]
        luck = draw.uniform("example", block["key"][at])
        for name, mask in (("kept", repeats > 0), ("dropped", repeats == 0)):
            chosen = np.flatnonzero(mask)
            if not len(chosen):
                continue
            by_luck = chosen[np.argsort(luck[chosen])[:SHOWN]]
            picks = set(by_luck.tolist())
            edge: list[int] = []
            if scored:
                score = block["score"][at]
                finite = chosen[np.isfinite(score[chosen])]
                order = np.argsort(score[finite] if name == "kept" else -score[finite], kind="stable")
                edge = finite[order[: SHOWN // 2]].tolist()
            for i in sorted(picks | set(edge)):
                example = _example(engine, columns, number, block, int(at[i]), texts[i], reason, repeats[i] > 0)
                if i in picks:
                    gathered[name].append((float(luck[i]), example))
                if i in edge:
                    scores[name].append((float(block["score"][at[i]]), example))
    found = {}
    for name, pairs in gathered.items():
        pairs.sort(key=lambda pair: pair[0])
        found[name] = [example for _, example in pairs[:SHOWN]]
    border = sorted(scores["kept"], key=lambda pair: pair[0])[: SHOWN // 2]
    border += sorted(scores["dropped"], key=lambda pair: -pair[0])[: SHOWN // 2]
    found["borderline"] = [example for _, example in border]
    explain = getattr(fitted, "explain", None)
    result: dict[str, list[dict[str, Any]]] = {}
    for name, examples in found.items():
        for example in examples:
            if explain is not None and not example.because:
                example.because = explain(example.text)
            example.text = example.text[:2_000]
        result[name] = [asdict(example) for example in examples]
    return result


def _example(
    engine: Engine,
    columns: DiskColumns,
    span: int,
    block: Block,
    at: int,
    text: bytes,
    reason: Callable[[float | None], str],
    kept: bool,
) -> Example:
    path, row = engine.pool.manifest.place(int(block["row"][at]))
    ids = engine.ids(span)
    score = float(block["score"][at]) if "score" in block else None
    return Example(
        id=ids[at].as_py() if ids is not None else "",
        domain=columns.domains[int(block["domain"][at])],
        score=score if score is not None and np.isfinite(score) else None,
        tokens=int(block["tokens"][at]),
        file=path,
        row=row,
        text=text.decode("utf-8"),
        reason=("kept: " if kept else "dropped: ") + reason(score),
        because=[],
    )
