"""Why a text scored as it did: the n-grams that contributed most to a sum of table look-ups."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import numpy.typing as npt

from ..core import Batch
from .ngrams import Ngrams

MOST_TOKENS = 2_000


def contributions(ngrams: Ngrams, table: npt.NDArray[np.float64], text: str, most: int = 6) -> list[tuple[str, float]]:
    """The n-grams of ``text`` with the largest absolute contribution, count times ``table`` entry, largest first.

    ``table`` is float64, (buckets,). Words only; the first 2,000 tokens count. A hashed bucket serves several n-grams,
    so the value is the bucket's, as in the score itself.
    """
    if ngrams.unit != "word":
        return []
    tokens = re.findall(r"\w+|[^\w\s]+", text.lower())[:MOST_TOKENS]
    runs = [tuple(tokens[i : i + n]) for n in range(1, ngrams.n + 1) for i in range(len(tokens) - n + 1)]
    counts = Counter(runs)
    if not counts:
        return []
    keys = sorted(counts, key=len)
    total = dict(zip(keys, ngrams.sums(_batch([" ".join(key) for key in keys]), table)[0].tolist(), strict=True))
    value: dict[tuple[str, ...], float] = {}
    for key in keys:  # the sum over a run holds all shorter runs inside it: take them off
        inner = [key[i : i + n] for n in range(1, len(key)) for i in range(len(key) - n + 1)]
        value[key] = total[key] - sum(value[part] for part in inner)
    ranked = sorted(counts, key=lambda key: (-abs(counts[key] * value[key]), key))
    return [(" ".join(key), counts[key] * value[key]) for key in ranked[:most]]


def _batch(texts: list[str]) -> Batch:
    raw = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in raw])]).astype(np.int64)
    rows = np.arange(len(raw), dtype=np.int64)
    return Batch(np.frombuffer(b"".join(raw), np.uint8), offsets, rows, rows.astype(np.uint64))
