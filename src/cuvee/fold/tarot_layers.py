"""The pieces of TAROT's selection that work in memory: layers, the order within the last, and an estimate of the size.

Feng et al., arXiv 2412.00420; the distance between unit vectors is sqrt(2 - 2 u . v), weights are uniform.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.draw import uniform
from .transport import GrowingTransport, blocks, sinkhorn, sinkhorn_by_blocks

Ints = npt.NDArray[np.int64]
AT_ONCE = 1 << 24
"""Pairs of rows and targets whose costs are held, 128 MB and as much again; beyond, they are computed anew in every
iteration: 11 instead of 4 nanoseconds for each pair."""


def distances(x: Array, y: Array) -> npt.NDArray[np.float64]:
    """sqrt(2 - 2 x . y) of unit vectors, float64 (n, m)."""
    found: npt.NDArray[np.float64] = np.asarray(x, np.float64) @ np.asarray(y, np.float64).T
    found *= -2.0
    found += 2.0
    return np.sqrt(np.maximum(found, 0.0, out=found), out=found)


def mean_nearest(vectors: Array, targets: Array) -> float:
    """The mean over targets of the distance to the nearest vector."""
    near = np.full(len(targets), np.inf)
    for part in blocks(len(vectors)):
        np.minimum(near, distances(vectors[part], targets).min(axis=0), out=near)
    return float(near.mean())


def layers(lists: Array, count: Array) -> tuple[Ints, Ints]:
    """Rows on any list, ascending, and the first column in which each stands, int64."""
    column = np.broadcast_to(np.arange(lists.shape[1]), lists.shape)
    inside = column < count[:, None]
    order = np.argsort(column[inside], kind="stable")
    rows, first = np.unique(lists[inside][order], return_index=True)
    return rows.astype(np.int64), column[inside][order][first].astype(np.int64)


def partial_order(vectors: Array, before: Ints, these: Ints, targets: Array, epsilon: float, rule: str) -> Ints:
    """The places ``these`` in the order in which to take them: by the potentials of transport to the targets.

    "union": of all rows in ``before`` and ``these``, the smallest first; "released": of ``these`` alone, the largest.
    """
    taking_part = np.concatenate([before, these]) if rule == "union" else these
    rows = vectors[taking_part]
    if len(rows) * len(targets) <= AT_ONCE:
        potential = sinkhorn(distances(rows, targets), epsilon).f[-len(these) :]
    else:
        potential = sinkhorn_by_blocks(rows, targets, distances, epsilon).f[-len(these) :]
    return these[np.lexsort((these, potential if rule == "union" else -potential))]


def suggested_size(
    vectors: Array, targets: Array, lists: Ints, epsilon: float, seed: int, folds: int = 5, patience: int = 2
) -> int:
    """How many rows the targets' folds ask for together; see ``methods/score/tarot.py``.

    ``lists``: int64 (targets, J), for each target its nearest vectors by place, the nearest first; -1 where there is
    none.
    """
    draw = uniform(seed, "tarot folds", np.arange(len(targets), dtype=np.uint64))
    fold = np.argsort(np.argsort(draw, kind="stable"), kind="stable") % min(folds, len(targets))
    each = [np.flatnonzero(fold == number) for number in range(int(fold.max()) + 1 if len(targets) > 1 else 0)]
    chosen = np.zeros(len(vectors), bool)
    for mine in each:
        room = len(np.unique(lists[mine]))
        growing = GrowingTransport(vectors, np.delete(targets, mine, axis=0), room, distances, epsilon)
        chosen |= _proposed(vectors, targets[mine], lists[mine], growing, patience)
    return int(chosen.sum())


def _proposed(
    vectors: Array, targets: Array, lists: Ints, growing: GrowingTransport, patience: int
) -> npt.NDArray[np.bool_]:
    """Which vectors are among the nearest of one fold's targets at the size that is best for the others."""
    best, failed, inside = np.inf, 0, np.zeros(len(vectors), bool)
    keep = inside.copy()
    for column in lists.T:
        proposed = column[column >= 0]
        similar = np.einsum("ij,ij->i", vectors[proposed], targets[column >= 0])
        new = np.unique(proposed[(similar > 0) & ~inside[proposed]])
        if not (similar > 0).any():
            break
        inside[new] = True
        if len(new):
            growing.add(new)
        cost = growing.solve()
        failed = failed + 1 if cost >= best else 0
        if cost < best:
            best, keep = cost, inside.copy()
        if failed > patience:
            break
    return keep
