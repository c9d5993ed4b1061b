"""Repeat factors: what occurs in few documents is repeated, by the square root of how rare it is.

Gupta, Dollar and Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019, section 5.2. With
f_c the share of documents that hold category c, and a threshold t,

    r_c = max(1, sqrt(t / f_c)),    r_d = the largest r_c over the categories of document d (1 without any).

As a mix of sources the category is the source, and a source's tokens are multiplied by its factor. For documents with
several categories use :func:`repeat_factors` and :func:`copies`. Copies are floor(r) and one more with probability
r - floor(r), which keeps the expectation; rounding up, as one library does, doubles every r just above 1. What an epoch
then holds, of each category, too, is :func:`expected`: look at it, as frequent categories grow with rare ones.

Inputs: documents of each source. Cost: none. Trap: frequent categories that occur beside rare ones are repeated, too;
the paper's threshold of 0.001 belongs to 1,200 categories, and does nothing for a handful of sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card
from ..engine.draw import uniform
from ..errors import UsageError
from .base import Floats, Mix, Sources


@dataclass(frozen=True)
class RepeatFactor(Mix):
    """``threshold``: the share of documents below which a source is repeated."""

    threshold: float = 0.1

    card: ClassVar[Card] = Card(
        summary="Sources with few documents are repeated by the square root of their rarity.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="""@inproceedings{gupta2019lvis,
  title={{LVIS}: A Dataset for Large Vocabulary Instance Segmentation},
  author={Gupta, Agrim and Doll{\\'a}r, Piotr and Girshick, Ross},
  booktitle={IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year={2019}
}""",
        evidence="oracle: mmengine 0.10.7, 200 documents to 1e-12",
        gives=("weights",),
    )

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"repeat_factor: threshold must be above 0 and at most 1, not {self.threshold}.")

    def allot(self, sources: Sources, budget: int) -> Floats:
        share = sources.documents / sources.documents.sum()
        found = factors(share, self.threshold) * sources.tokens
        return budget * found / found.sum()


def factors(share: Floats, threshold: float) -> Floats:
    """r_c of categories by the share of documents that hold them; 1 for a category that none holds."""
    return np.sqrt(np.maximum(1.0, np.divide(threshold, share, out=np.ones(len(share)), where=share > 0)))


def repeat_factors(
    offsets: npt.NDArray[np.int64], category: npt.NDArray[np.int64], categories: int, threshold: float
) -> Floats:
    """r_d of documents with several categories each: float64, (n,).

    Args:
        offsets: int64, (n + 1,): document d holds ``category[offsets[d]:offsets[d + 1]]``, repeated ones counting once.
        category: int64, below ``categories``.
    """
    documents, pair = len(offsets) - 1, _pairs(offsets, category, categories)
    held = np.bincount(pair % categories, minlength=categories)
    found = np.ones(documents)
    np.maximum.at(found, pair // categories, factors(held / max(documents, 1), threshold)[pair % categories])
    return found


def expected(
    offsets: npt.NDArray[np.int64], category: npt.NDArray[np.int64], categories: int, factor: Floats
) -> tuple[float, Floats]:
    """Documents of an epoch, copies counted, in expectation: all of them, and those that hold each category, (c,).

    Args:
        offsets, category, categories: as for :func:`repeat_factors`. ``factor``: (n,), what it returned.
    """
    pair = _pairs(offsets, category, categories)
    each = np.bincount(pair % categories, factor[pair // categories], categories)
    return float(factor.sum()), each.astype(np.float64)


def _pairs(offsets: npt.NDArray[np.int64], category: npt.NDArray[np.int64], categories: int) -> npt.NDArray[np.int64]:
    """Every document with every category that it holds, once: document x categories + category, ascending."""
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.unique(owner * categories + category)


def copies(factor: Floats, key: npt.NDArray[np.uint64], seed: int, epoch: int = 0) -> npt.NDArray[np.int64]:
    """Whole copies of each document in one epoch: floor(r + U) with a keyed uniform U, so that their mean is r."""
    return np.floor(factor + uniform(seed, f"repeat_factor {epoch}", key)).astype(np.int64)
