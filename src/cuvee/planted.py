"""Planted pairs: how often are copies of the pool's own texts found, when a known part of them was rewritten?

Texts of the pool's uniform sample are copied, words of the copies are replaced by words of other texts at several
rates, and the exact Jaccard similarity of every pair is compared with whether the method calls it a pair. What is
measured is the method on this pool's kind of text, not the pool's own duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .core import Batch, Block
from .examples import as_batch
from .feature.minhash import MinHash, detection, estimated, jaccard

MOST_TEXTS, MOST_BYTES, FEWEST_WORDS = 300, 2_000, 40
GRID = (0.35, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Similarities that are aimed at; what comes out is measured."""
BIN = 0.05


def planted_pairs(texts: Sequence[bytes], n: int, seed: int) -> list[tuple[bytes, bytes]]:
    """(text, copy with replaced words), one for every text and similarity aimed at; long texts are cut."""
    cut = [text[:MOST_BYTES].decode("utf-8", "ignore").split() for text in texts[: 4 * MOST_TEXTS]]
    long = [words for words in cut if len(words) >= FEWEST_WORDS][:MOST_TEXTS]
    draw = np.random.default_rng(abs(seed))
    other = [word for words in long for word in words]
    pairs = []
    for words in long:
        for similarity in GRID:
            kept = 2 * similarity / (1 + similarity)  # share of n-grams that both must have
            changed = np.flatnonzero(draw.random(len(words)) < 1 - kept ** (1 / n))
            copy = list(words)
            for at, source in zip(changed.tolist(), draw.integers(0, len(other), len(changed)).tolist(), strict=True):
                copy[at] = other[source]
            pairs.append((" ".join(words).encode(), " ".join(copy).encode()))
    return pairs


class Pairwise(Protocol):
    """What looks at the texts of candidates."""

    def pairs(self, left: Batch, right: Batch) -> npt.NDArray[np.bool_]:
        """Whether row i of one batch is like row i of the other."""
        ...


def found_in(minhash: MinHash, threshold: float | None, left: Block, right: Block) -> npt.NDArray[np.bool_]:
    """Which pairs (row i of both blocks) agree in a band and, with a threshold, in their estimated similarity."""
    hit = np.zeros(len(left["shingles"]), bool)
    for name in minhash.names:
        hit |= left[name] == right[name]
    hit &= (left["shingles"] > 0) & (right["shingles"] > 0)
    if threshold:
        sides = [np.column_stack([block[name] for name in minhash.checks]) for block in (left, right)]
        for at in np.flatnonzero(hit).tolist():
            hit[at] = estimated(sides[0][at], sides[1][at]) >= threshold
    return hit


def measured_curve(
    minhash: MinHash, threshold: float | None, texts: Sequence[bytes], seed: int, alike: Pairwise | None = None
) -> list[dict[str, Any]]:
    """Per bin of exact similarity: planted pairs, how many were found, the 95 % interval (Wilson), and the mean of P.

    ``alike`` decides about what is found by ``threshold``. Empty when the pool has no text of at least 40 words.
    """
    words = minhash.n if minhash.unit != "char" else 1 + minhash.n // 6
    pairs = planted_pairs(texts, words, seed)
    if not pairs:
        return []
    left, right = (as_batch(list(side)) for side in zip(*pairs, strict=True))
    sets = zip(minhash.shingles(left), minhash.shingles(right), strict=True)
    exact = np.array([jaccard(a, b) for a, b in sets])
    hit = found_in(minhash, threshold, minhash.apply(left), minhash.apply(right))
    if alike is not None:
        hit &= alike.pairs(left, right)
    chance = detection(exact, minhash.bands, minhash.rows)
    number = np.minimum((exact / BIN).astype(int), round(1 / BIN) - 1)
    bins = []
    for at in np.unique(number).tolist():
        some = number == at
        tried, found = int(some.sum()), int(hit[some].sum())
        low, high = wilson(found, tried)
        bins.append(
            {
                "low": round(at * BIN, 6),
                "high": round((at + 1) * BIN, 6),
                "similarity": float(exact[some].mean()),
                "pairs": tried,
                "found": found,
                "interval": [low, high],
                "candidates_expected": float(chance[some].mean()),
            }
        )
    return bins


def wilson(found: int, tried: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's (1927) interval of a share: its ends stay within 0..1 and have width where nothing or all was found."""
    share, over = found / tried, 1 + z**2 / tried
    middle = (share + z**2 / (2 * tried)) / over
    half = z / over * float(np.sqrt(share * (1 - share) / tried + z**2 / (4 * tried**2)))
    return max(0.0, middle - half), min(1.0, middle + half)
