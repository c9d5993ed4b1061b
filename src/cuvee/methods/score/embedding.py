"""Vectors of rows, for the rules that choose by them: spread out, covering, or following the pool.

Vectors are the pool's embedding column, or made from its texts: by the shipped static table (``static``: Tulkens and
van Dongen, "Model2Vec", 2024; English) or by latent semantic analysis of this pool (``lsa``; any language, two more
passes). ``whiten`` moves and turns them to mean zero and covariance one: by the pool's rows ("plain"), or by its
tokens' counts ("zipfian": Yokoi et al., NeurIPS 2024), which keeps frequent words from deciding everything.

Inputs: texts, or an embedding column. Block: "embedding", (rows, width), of length 1, and "score", the cosine with the
mean vector of the target, or of the pool where there is none: how ordinary a row is. Rows without a vector have -inf.

Cost: one pass, 20,000 documents of 1.7 kB a second and core with the shipped table; 512 bytes a row in the cache.
Traps: only the first 512 tokens of a text count; the cosine with one mean knows one mode only (``rds_plus`` knows all).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from ...core import Card, Choose, Map, Method, Run
from ...errors import UsageError
from ...feature.embed import Embedder, Embeddings, of_pool
from ...feature.static_embedding import StaticEmbedding
from ...feature.whitening import fit_whitening
from ...fold.moments import Sums
from ..choose.facility_location import FacilityLocation


@dataclass(frozen=True)
class Embedding(Method):
    """``source``: "auto", "given", "static", "lsa"; ``whiten``: "none", "plain", "zipfian"; ``towards``: whose mean."""

    source: Literal["auto", "given", "static", "lsa"] = "auto"
    whiten: Literal["none", "plain", "zipfian"] = "none"
    towards: Literal["pool", "target"] = "pool"

    card: ClassVar[Card] = Card(
        summary="vectors of rows, for rules that spread out or cover: k_center, facility_location, herding",
        family="diversity",
        needs=("embedding",),
        cost="two passes, 20,000 documents a second and core; then the rule's",
        bibtex="@software{tulkens2024model2vec, title={Model2Vec: Fast State-of-the-Art Static Embeddings},"
        " author={Tulkens, Stephan and van Dongen, Thomas}, year={2024}, doi={10.5281/zenodo.17270888}}",
        evidence="tokens and vectors of model2vec 0.10.0; published whitening; claim: not reproduced (8 seeds)",
        gives=("score", "embedding"),
        use_when="You have no target and want rows that cover the pool, or spread out, by meaning and not by wording: "
        "`--with embedding --choose facility_location`, `k_center` or `herding`.",
        fails_when="It knows no quality: what its rules take for variety may be junk (`k_center` above all), and "
        "without a target random rows are hard to beat.",
    )

    def needs(self) -> tuple[str, ...]:
        return (*self.card.needs, "target") if self.towards == "target" else self.card.needs

    def fit(self, run: Run) -> Embeddings:
        embedder = self._embedder(run)
        (found,) = run.fold(Sums(embedder), over=self.towards)
        mean = found.mean / max(float(np.linalg.norm(found.mean)), 1e-300)
        return Embeddings(embedder, mean, {"rows_with_a_vector": found.count, "width": embedder.width})

    def _embedder(self, run: Run) -> Embedder:
        if self.whiten == "none":
            return of_pool(run, self.source)
        if self.whiten == "zipfian":
            if self.source not in ("auto", "static"):
                raise UsageError(
                    "embedding: zipfian whitening needs the shipped table: leave source at auto or static."
                )
            return fit_whitening(run, StaticEmbedding(unit=False), "zipfian")
        inner = of_pool(run, self.source, unit=False)
        return replace(fit_whitening(run, inner), unit=True)

    def chooser(self, fitted: Map) -> Choose:
        return FacilityLocation()
