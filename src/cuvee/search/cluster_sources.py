"""Clusters instead of domains: what CLIMB searches a mixture of.

Diao et al., "CLIMB: Clustering-based Iterative Data Mixture Bootstrapping for Language Model Pre-training", 2025, arXiv
2504.13161. Documents are clustered finely by their vectors, clusters of low quality are left out, and near ones are
merged into some twenty sources; the mixture of these is then searched in rounds (``--iterations``).

Fine clusters are those of :mod:`cuvee.fold.kmeans`. The paper merges centroids closer than 1.5, which means nothing for
other vectors than its own and lets chains grow into one giant cluster. Here the two are merged that add least to the
squared distances from centroids (Ward's linkage, by tokens), which takes in outliers, too, until as many as asked are
left; no merged cluster gets more than ``share`` of the tokens, or 1.5 times an even share. Quality is the mean rating
of a cluster's rated documents, where ratings are given; the paper's bound is 3 on a scale from 1 to 5. Documents
without a vector, and those of clusters left out, are in no run.

Cost: k-means on a sample, two passes over the texts at embedding speed, a second for merging 1,000 clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Block, Columns
from ..engine.run import Engine
from ..errors import DataError, UsageError
from ..feature import named_values
from ..feature.embed import of_pool
from ..fold.kmeans import fit_clusters
from ..quantities import method_call

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MOST_FINE, ROWS_OF_FINE = 1_000, 100


@dataclass(frozen=True)
class Clustering:
    """``number`` of sources, from ``fine`` clusters (0: one for 100 documents, at least four times as many as sources,
    at most 1,000); clusters whose mean ``criterion`` of ``ratings`` is below ``least`` are left out."""

    number: int
    fine: int = 0
    ratings: str = ""
    criterion: str = "overall_score"
    least: float = 3.0
    share: float = 0.25

    def __post_init__(self) -> None:
        if not 2 <= self.number <= 1_000 or not (self.fine == 0 or self.number <= self.fine <= 100_000):
            raise UsageError("--clusters is 2 to 1,000 sources, like 20, and fine at least as many: 20:fine=500.")
        if not 0 < self.share <= 1 or not np.isfinite(self.least):
            raise UsageError("--clusters: share is above 0 and at most 1, and least a number.")


def clustering_of(text: str) -> Clustering:
    """From ``20`` or ``20:ratings=FILE,least=3``."""
    from ..engine.plan import make

    name, settings = method_call(text)
    if not name.isdigit():
        raise UsageError(f"--clusters takes a number of sources, like 20 or 20:fine=500, not '{text}'.")
    found: Clustering = make(Clustering, {"number": int(name), **settings}, "--clusters")
    return found


class ByCluster(Columns):
    """Columns whose domains are merged clusters; rows in none are left out."""

    def __init__(self, columns: Columns, place: Ints, names: list[str]) -> None:
        """``place``: int64, (fine clusters,): the number of the merged cluster of each, -1 for none."""
        self.columns, self.place, self.domains = columns, place, names
        totals = {"rows": 0, "tokens": 0, "bytes": 0}
        for block in self.blocks("row", "tokens", "bytes"):
            totals["rows"] += len(block["row"])
            for unit in ("tokens", "bytes"):
                totals[unit] += int(block[unit].sum())
        self.n_rows, self.totals = totals["rows"], totals

    def blocks(self, *names: str) -> Iterator[Block]:
        asked = names or ("row", "key", "content", "bytes", "tokens", "domain")
        for block in self.columns.blocks(*dict.fromkeys((*(name for name in asked if name != "domain"), "cluster"))):
            found = np.where(block["cluster"] >= 0, self.place[np.maximum(block["cluster"], 0)], -1)
            kept = found >= 0
            told = {name: block[name][kept] for name in asked if name != "domain"}
            yield told | ({"domain": found[kept].astype(np.int32)} if "domain" in asked else {})

    def table(self) -> pa.Table:
        """Which document is in which cluster: key, row (in the pool, from 0) and cluster."""
        blocks = list(self.blocks("key", "row", "domain"))
        key, row, code = (np.concatenate([block[name] for block in blocks]) for name in ("key", "row", "domain"))
        names = pa.DictionaryArray.from_arrays(code.astype(np.int32), pa.array(self.domains, pa.string()))
        return pa.table({"key": key, "row": row, "cluster": names})


def cluster_sources(engine: Engine, asked: Clustering, seed: int) -> tuple[ByCluster, dict[str, Any]]:
    """The pool's rows by merged clusters, and what was done.

    Raises:
        DataError: fewer clusters are left than two.
    """
    fine = asked.fine or int(np.clip(engine.rows // ROWS_OF_FINE, 4 * asked.number, max(MOST_FINE, 4 * asked.number)))
    fitted = fit_clusters(engine, of_pool(engine), fine, seed)
    columns = engine.columns(engine.apply(fitted, "clustering"), domain_by_convention=True)
    k = len(fitted.centroids)
    tokens, total, rated = np.zeros(k, np.int64), np.zeros(k), np.zeros(k, np.int64)
    key, rating = _ratings(asked)
    for block in columns.blocks("cluster", "tokens", "key"):
        used = block["cluster"] >= 0
        cluster = block["cluster"][used]
        tokens += np.bincount(cluster, weights=block["tokens"][used], minlength=k).astype(np.int64)
        if len(key):
            at = np.minimum(np.searchsorted(key, block["key"][used]), len(key) - 1)
            known = key[at] == block["key"][used]
            total += np.bincount(cluster[known], weights=rating[at[known]], minlength=k)
            rated += np.bincount(cluster[known], minlength=k)
    kept = tokens > 0
    pruned = np.zeros(k, bool)
    if len(key):
        if not rated.any():
            raise DataError(f"No document of the pool is rated in {asked.ratings}. Are they the pool's own ids?")
        pruned = kept & (rated > 0) & (total < asked.least * rated)
    kept &= ~pruned
    if kept.sum() < 2:
        raise DataError(
            f"{int(kept.sum())} of {int((tokens > 0).sum())} clusters have a mean rating of at least {asked.least:g}: "
            "nothing is left to mix. Give a smaller least, or more clusters."
        )
    place = np.full(k, -1, np.int64)
    place[kept] = merged(fitted.centroids[kept].astype(np.float64), tokens[kept], asked.number, asked.share)
    number = int(place.max()) + 1
    names = [f"cluster {at + 1:0{len(str(number))}}" for at in range(number)]
    left_out = int(tokens[pruned].sum())
    told = {"asked": asked.number, "fine": int((tokens > 0).sum()), "pruned": int(pruned.sum()), "merged": number}
    return ByCluster(columns, place, names), told | {"tokens_left_out": left_out}


def _ratings(asked: Clustering) -> tuple[npt.NDArray[np.uint64], Floats]:
    if not asked.ratings:
        return np.zeros(0, np.uint64), np.zeros(0)
    found = named_values.read(asked.ratings, (asked.criterion,), "--clusters")
    order = np.argsort(found.key)
    return found.key[order], found.values[order, 0]


def merged(centroids: Floats, tokens: Ints, number: int, share: float) -> Ints:
    """The merged cluster of each fine one, int64, (k,), the largest first: Ward's linkage down to ``number``.

    No merged cluster has more than ``share`` of the tokens or 1.5 times an even share; where that forbids all that is
    left to merge, more clusters than asked remain.
    """
    k, most = len(centroids), max(share, 1.5 / number) * float(tokens.sum())
    centre, held, label = centroids.astype(np.float64), tokens.astype(np.float64), np.arange(k)
    alive = np.ones(k, bool)

    def costs(one: int) -> Floats:
        """What merging a cluster with each other one adds to the squared distances from centroids."""
        square = ((centre - centre[one]) ** 2).sum(axis=1)
        found = held * held[one] / np.maximum(held + held[one], 1.0) * square
        return np.where(alive & (held + held[one] <= most) & (np.arange(k) != one), found, np.inf)

    cost = np.stack([costs(one) for one in range(k)])
    for _ in range(k - number):
        first, second = sorted(int(at) for at in np.unravel_index(int(cost.argmin()), cost.shape))
        if not np.isfinite(cost[first, second]):
            break
        whole = held[first] + held[second]
        centre[first] = (held[first] * centre[first] + held[second] * centre[second]) / whole
        held[first], alive[second] = whole, False
        label[label == second] = first
        cost[second], cost[:, second] = np.inf, np.inf
        cost[first] = costs(first)
        cost[:, first] = cost[first]
    left = np.unique(label)
    order = left[np.lexsort((left, -held[left]))]
    place = np.empty(k, np.int64)
    place[order] = np.arange(len(order))
    return np.asarray(place[label])
