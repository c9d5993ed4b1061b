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
    """One row as a report shows it: ``row`` counts from 1; ``because`` lists the n-grams that weighed most."""

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
        "name": "Jensen-Shannon divergence (bits) from the target's hashed word 1- and 2-grams",
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
    place: Callable[[float], str] | None,
    fitted: Map | None,
    draw: Draw,
) -> dict[str, list[dict[str, Any]]]:
    """Kept and dropped rows drawn uniformly, and those nearest to the cut on either side.

    ``place`` tells in words where a score stands in the pool.
    """
    drawn: dict[str, list[tuple[float, Example]]] = {"kept": [], "dropped": []}
    near: dict[str, list[tuple[float, Example]]] = {"kept": [], "dropped": []}
    why_not = (getattr(fitted, "notes", None) or {}).get("-inf")
    for number, block, at, texts in sampled(engine, columns):
        rows = {name: values[at] for name, values in block.items()}
        repeats, margin = decision.repeats(rows), np.abs(decision.margin(rows))
        luck = draw.uniform("example", rows["key"])
        ids = engine.ids(number)
        for name, mask in (("kept", repeats > 0), ("dropped", repeats == 0)):
            chosen = np.flatnonzero(mask)
            lucky = chosen[np.argsort(luck[chosen])[:SHOWN]].tolist()
            finite = chosen[np.isfinite(margin[chosen])]
            close = finite[np.argsort(margin[finite], kind="stable")[: SHOWN // 2]].tolist()
            picks = sorted({*lucky, *close})
            picked = {column: values[picks] for column, values in rows.items()}
            for i, why in zip(picks, decision.reasons(picked), strict=True):
                score = float(rows["score"][i]) if "score" in rows else None
                told = f"{name}: {why}" + (f" ({why_not})" if why == "not eligible" and why_not else "")
                if score is not None and place is not None and np.isfinite(score):
                    told += f"; {place(score)}"
                example = _example(engine, columns, ids, rows, i, int(at[i]), texts[i], score, told)
                if i in lucky:
                    drawn[name].append((float(luck[i]), example))
                if i in close:
                    near[name].append((float(margin[i]), example))
    found = {name: _first(pairs, SHOWN) for name, pairs in drawn.items()}
    found["borderline"] = _first(near["kept"], SHOWN // 2) + _first(near["dropped"], SHOWN // 2)
    explain = getattr(fitted, "explain", None)
    result: dict[str, list[dict[str, Any]]] = {}
    for name, examples in found.items():
        for example in examples:
            if explain is not None and not example.because:
                example.because = explain(example.text)
            example.text = example.text[:2_000]
        result[name] = [asdict(example) for example in examples]
    return result


def _first(pairs: list[tuple[float, Example]], count: int) -> list[Example]:
    return [example for _, example in sorted(pairs, key=lambda pair: pair[0])[:count]]


def _example(
    engine: Engine,
    columns: DiskColumns,
    ids: Any,
    rows: Block,
    i: int,
    at: int,
    text: bytes,
    score: float | None,
    reason: str,
) -> Example:
    path, row = engine.pool.manifest.place(int(rows["row"][i]))
    return Example(
        id=ids[at].as_py() if ids is not None else "",
        domain=columns.domains[int(rows["domain"][i])],
        score=score if score is not None and np.isfinite(score) else None,
        tokens=int(rows["tokens"][i]),
        file=path,
        row=row + 1,
        text=text.decode("utf-8"),
        reason=reason,
        because=[],
    )
