"""Duplicates between parts of a pool that are meant to be kept apart: training, validation and test data, or domains.

A test row that repeats a training row makes the score on it count what was learned by heart (Lee et al. 2022, found so
in over 4 % of the validation sets of standard corpora). So what two splits share is told, whatever becomes of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from .clusters import Members
from .engine.manifest import Manifest

MOST_GROUPS, MOST_PAIRS = 64, 20
_SPLIT = re.compile(r"(?<![a-z])(train|valid|val|dev|test|eval)(?:ing|ation|uation|elopment)?(?![a-z])")
_KNOWN = {"train": "train", "valid": "validation", "val": "validation", "dev": "validation", "test": "test"}


def split_of(name: str) -> str | None:
    """The split that a name speaks of ("train-00001.parquet", "dev", "data/test/p.jsonl"); None if none or several."""
    found = {_KNOWN.get(word, "test") for word in _SPLIT.findall(name.lower())}
    return found.pop() if len(found) == 1 else None


def splits_by_file(manifest: Manifest) -> list[str]:
    """The split of every file, by its name or else its folder's; empty unless all files have one, and there are two."""
    found = []
    for source in manifest.sources:
        *_, folder, name = ["", "", *source.path.split("?")[0].rstrip("/").split("/")]
        if (split := split_of(name) or split_of(folder)) is None:
            return []
        found.append(split)
    return found if len(set(found)) > 1 else []


def across(members: Members, domains: Sequence[str], manifest: Manifest) -> list[dict[str, Any]]:
    """What splits share, then what domains share: the pairs with most clusters in common first, at most 20 of each.

    Returns:
        By pair: ``by`` ("split" or "domain"), ``between`` (two names), ``clusters`` that hold rows of both, and the
        ``rows`` of either in these.
    """
    found = []
    if files := splits_by_file(manifest):
        names = sorted(set(files))
        number = np.array([names.index(name) for name in files])
        found += shared(
            members, number[np.searchsorted(manifest.starts, members.row, side="right") - 1], names, "split"
        )
    if 1 < len(domains) <= MOST_GROUPS:
        kind = "split" if not files and all(map(split_of, domains)) else "domain"
        found += shared(members, members.domain, domains, kind)
    return found


def shared(members: Members, group: npt.NDArray[Any], names: Sequence[str], kind: str) -> list[dict[str, Any]]:
    """The pairs of groups that have clusters in common. ``group``: int, (m,), each member's, below 64."""
    if not len(group):
        return []
    number, counts = members.numbers()
    order = np.argsort(number, kind="stable")
    starts = np.cumsum(counts) - counts
    held = np.bitwise_or.reduceat(np.uint64(1) << group[order].astype(np.uint64), starts)
    masks, often = np.unique(held, return_counts=True)
    bits = (masks[:, None] >> np.arange(len(names), dtype=np.uint64) & np.uint64(1)).astype(np.int64)
    both = bits.T @ (bits * often[:, None])
    pairs = [(a, b) for a, b in combinations(range(len(names)), 2) if both[a, b]]
    pairs.sort(key=lambda pair: (-both[pair], pair))
    found = []
    for a, b in pairs[:MOST_PAIRS]:
        wanted = np.uint64(1 << a | 1 << b)
        inside = group[(held & wanted == wanted)[number]]
        rows = [int(np.count_nonzero(inside == one)) for one in (a, b)]
        found.append({"by": kind, "between": [names[a], names[b]], "clusters": int(both[a, b]), "rows": rows})
    return found
