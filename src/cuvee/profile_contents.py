"""What a profile looks at more closely: sampled texts, single rows, the growth of the vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from .engine.columns import DiskColumns
from .engine.draw import uniform
from .engine.run import Engine
from .examples import as_batch, sampled
from .feature.ngrams import Ngrams

WORDS = Ngrams(n=1, buckets=1 << 28)
"""Words are told apart by hashes of 28 bits: among 500,000 different ones, about 460 pass for another."""
SAMPLED_ROWS = 5_000


def sampled_texts(engine: Engine, columns: DiskColumns) -> list[tuple[int, bytes]]:
    """(row, head of the text) of the pool's uniform sample, at most 5,000, in the order of keyed draws."""
    held: list[tuple[float, int, bytes]] = []
    for _, block, at, texts in sampled(engine, columns):
        draw = uniform(0, "profile", block["key"][at]).tolist()
        held += zip(draw, block["row"][at].tolist(), texts, strict=True)
        held.sort(key=lambda one: one[:2])
        del held[SAMPLED_ROWS:]
    return [(row, text) for _, row, text in held]


def cards(engine: Engine, columns: DiskColumns, rows: set[int]) -> dict[int, dict[str, Any]]:
    """What an :class:`Example` says about each of some rows, in one pass over the columns."""
    wanted = np.array(sorted(rows), np.int64)
    found: dict[int, dict[str, Any]] = {}
    for number, block in enumerate(columns.blocks("row", "domain", "tokens")):
        if not len(block["row"]):
            continue
        here = wanted[(wanted >= block["row"][0]) & (wanted <= block["row"][-1])]
        ids = engine.ids(number) if len(here) else None
        for row, at in zip(here.tolist(), np.searchsorted(block["row"], here).tolist(), strict=True):
            path, local = engine.pool.manifest.place(row)
            found[row] = {
                "id": ids[at].as_py() if ids is not None else "",
                "domain": columns.domains[int(block["domain"][at])],
                "tokens": int(block["tokens"][at]),
                "file": path,
                "row": local,
                "because": [],
            }
    return found


def dimensions(engine: Engine) -> int:
    """The length of the pool's embeddings."""
    (_, raw, _), *_ = engine.pool.manifest.raw(0, 1)
    return int(raw.columns["embedding"].shape[1])


def vocabulary_growth(texts: list[bytes]) -> dict[str, Any]:
    """How many different words stand among the first so many of these texts, and the exponent of Heaps' law.

    distinct = a tokens^b, by least squares on the logarithms over the last hundredth part to all of the tokens.
    """
    pieces = [ids[: ends[n - 1]].copy() for _, n, ends, ids in WORDS.pieces(as_batch(texts)) if n]
    words = np.concatenate(pieces or [np.empty(0, np.int32)])
    total = len(words)
    if total < 2:
        return {"tokens": [], "distinct": [], "exponent": None}
    first = np.sort(np.unique(words, return_index=True)[1])
    points = np.unique(np.round(np.geomspace(min(10, total), total, 40)).astype(np.int64))
    distinct = np.searchsorted(first, points)
    late = points >= total / 100
    slope = None
    if np.count_nonzero(late) >= 3 and total >= 1_000:
        x, y = np.log(points[late]), np.log(distinct[late])
        slope = round(float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()), 4)
    return {"tokens": points.tolist(), "distinct": distinct.tolist(), "exponent": slope}
