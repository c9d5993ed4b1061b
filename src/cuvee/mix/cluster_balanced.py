"""Cluster-balanced: every cluster alike until it is used up; with nested names, level by level.

Vo et al., "Automatic Data Curation for Self-Supervised Learning: A Clustering-Based Approach", TMLR 2024, arXiv
2405.15613, section 3: from hierarchical clusters, each level shares its budget as evenly as the sizes below allow,

    min(n_c, level) tokens of cluster c, with one level for all siblings so that the budget is met.

Inputs: a column of cluster names (``--by cluster``), nested ones as "science/physics/optics". Cost: none. The clusters
are made beforehand, by k-means on embeddings for example. Trap: outliers make small clusters, and balancing gives them
the same as large ones; look at what the smallest clusters hold. No cluster is repeated unless ``epochs`` is above 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..core import Card
from ..errors import UsageError
from .base import Floats, Mix, Sources, poured


@dataclass(frozen=True)
class ClusterBalanced(Mix):
    """``separator``: between the levels of a name; ``epochs``: the most passes over any cluster."""

    separator: str = "/"
    epochs: float = 1.0

    card: ClassVar[Card] = Card(
        summary="Every cluster alike until it is used up, level by level where names are nested.",
        family="mix",
        needs=("domain",),
        cost="none beyond counting the pool",
        bibtex="""@article{vo2024automatic,
  title={Automatic Data Curation for Self-Supervised Learning: A Clustering-Based Approach},
  author={Vo, Huy V. and Khalidov, Vasil and Darcet, Timoth{\\'e}e and Moutakanni, Th{\\'e}o and others},
  journal={Transactions on Machine Learning Research},
  year={2024}
}""",
        evidence="closed form: water-filling",
        gives=("weights",),
    )

    def __post_init__(self) -> None:
        if not self.separator or not self.epochs > 0:
            raise UsageError("cluster_balanced: separator must not be empty, and epochs must be above 0.")

    def allot(self, sources: Sources, budget: int) -> Floats:
        paths = [name.split(self.separator) for name in sources.names]
        room = self.epochs * sources.tokens.astype(np.float64)
        found = np.zeros(len(sources))
        self._share(list(range(len(sources))), 0, float(budget), paths, room, found)
        return found

    def _share(
        self, inside: list[int], depth: int, total: float, paths: list[list[str]], room: Floats, found: Floats
    ) -> None:
        """Spend ``total`` among the sources ``inside``, whose names agree in their first ``depth`` levels."""
        groups: dict[str | None, list[int]] = {}
        for at in inside:
            groups.setdefault(paths[at][depth] if depth < len(paths[at]) else None, []).append(at)
        members = list(groups.values())
        caps = np.array([room[group].sum() for group in members])
        for group, part in zip(members, poured(np.ones(len(members)), caps, total), strict=True):
            if len(group) == 1:
                found[group[0]] = part
            else:
                self._share(group, depth + 1, float(part), paths, room, found)
