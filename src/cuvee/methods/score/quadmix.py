"""QuaDMix: how often each row is wanted, by its merged quality rank within its domain.

Liu et al., "QuaDMix: Quality-Diversity Balanced Data Selection for Efficient LLM Pretraining", 2025, arXiv 2504.16511.
Scores of several kinds are merged with weights of each domain's own; a row of token-weighted rank r in its domain (0 is
best) is wanted

    S(r) = (2 / (1 + exp(-steepness (threshold - r))))^power + floor    where r <= threshold, else floor

times, up to a factor that the budget decides: whole copies and one more by chance (``copies``). The paper searches the
parameters with some thousand small models; ``cuvee mix search --over quadmix`` does so and writes ``plan``, which this
method reads. Without a plan all domains share the parameters given here, and all scores count alike.

``ratings`` is a Parquet file with ``key``, ``id`` or ``text`` and the columns of numbers named by ``criteria``, higher
is better: what ``cuvee rate`` writes, the ``selection.parquet`` of a selection that kept all rows (its column is
``score``), or your own. Scores are brought to mean 0 and deviation 1 over the pool. Rows without scores are left out.

Block: "score", the logarithm of S. Notes: rows that were rated; mean and deviation of each score.

Deviations: the paper's line for random steepness reads as 10^(3 u) or as 10^3 u; a search draws the first, every decade
from 1 to 1,000 as likely, since the second would make nearly all settings hard cuts. Ranks come from a keyed sample of
``sample`` rows (exact in a smaller pool; the paper takes 10,000); sizes are bytes where no column has tokens; ``limit``
bounds the copies; the budget is met to the row.

Cost: one pass for the sample, one to score. Traps: with a small threshold little of the pool is left, and is then
repeated; what is good for a scorer need not be good for the model, and a domain's rank says nothing about how good the
domain is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...core import Array, Batch, Block, Card, Choose, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature import named_values
from ...fold.quality_ranks import Ranks, Sampler, SizeSample, domain_hash, domain_of, name_hash, read_plan
from ..choose.copies import Copies


@dataclass(frozen=True, eq=False)
class Values(Map):
    """``key`` uint64, ascending, with standardised ``scores``; ``domains`` uint64, hashes in ``sampler``'s order."""

    key: Array
    scores: Array
    domains: Array
    sampler: Sampler
    ranks: Ranks
    notes: dict[str, Any] = field(compare=False)

    def apply(self, batch: Batch) -> Block:
        at = np.minimum(np.searchsorted(self.key, batch.key), len(self.key) - 1)
        domain, inside = domain_of(self.domains, domain_hash(batch))
        merged = self.sampler.merged(self.scores[at], domain)
        value = self.sampler.value(self.ranks.rank(merged, domain), domain)
        with np.errstate(divide="ignore"):
            return {"score": np.where(inside & (self.key[at] == batch.key), np.log(value), -np.inf)}


@dataclass(frozen=True)
class QuadMix(Method):
    """``criteria``: columns of ``ratings``; ``plan``: a search's folder; else the parameters of all domains."""

    ratings: str = ""
    criteria: tuple[str, ...] = ("overall_score",)
    plan: str = ""
    steepness: float = 100.0
    threshold: float = 0.1
    power: float = 0.5
    floor: float = 0.001
    limit: int = 4
    sample: int = 1 << 17

    card: ClassVar[Card] = Card(
        summary="copies by merged quality ranks within domains; parameters given, or from a search",
        family="quality",
        needs=("text",),
        cost="two passes; the scores; with a search, its runs",
        bibtex="@article{liu2025quadmix, title={{QuaDMix}: Quality-Diversity Balanced Data Selection for Efficient"
        " {LLM} Pretraining}, author={Liu, Fengze and Zhou, Weidong and Liu, Binbin and others},"
        " journal={arXiv:2504.16511}, year={2025}}",
        evidence="merged scores, ranks and values of a public implementation; claim: direction only (6 seeds)",
        use_when="You have scores of several kinds and domains, and a search (`cuvee mix search --over quadmix`) has"
        " found how much of which quality each domain should have; or you want the best of every domain, in copies.",
        fails_when="Without a search all domains share one threshold, whatever they are worth; with one of few runs,"
        " the parameters are little better than chosen at random.",
    )

    def __post_init__(self) -> None:
        finite = np.isfinite([self.steepness, self.threshold, self.power, self.floor]).all()
        if not finite or min(self.steepness, self.threshold, self.power, self.floor) < 0 or self.sample < 1:
            raise UsageError("quadmix: steepness, threshold, power and floor are at least 0, sample above 0.")
        if not self.criteria:
            raise UsageError("quadmix: criteria names the columns of scores, like criteria=clean/useful.")
        Copies(limit=self.limit)

    def fit(self, run: Run) -> Values:
        if not self.ratings:
            raise UsageError("quadmix needs ratings=FILE.parquet with the rows' scores: key, id or text, and criteria.")
        plan = read_plan(self.plan) if self.plan else None
        criteria = tuple(plan["criteria"]) if plan else self.criteria
        found = named_values.read(self.ratings, criteria, "quadmix")
        order = np.argsort(found.key)
        key, scores = found.key[order], found.values[order]
        rows = run.fold(SizeSample(self.sample, "quadmix", run.seed))
        at = np.minimum(np.searchsorted(key, rows["key"]), max(len(key) - 1, 0))
        rated = key[at] == rows["key"] if len(key) else np.zeros(len(at), bool)
        if not rated.any():
            raise DataError(f"No row of the pool is rated in {self.ratings}. Are they the pool's own ids or texts?")
        mean, deviation = scores[at[rated]].mean(axis=0), scores[at[rated]].std(axis=0)
        if plan:
            mean, deviation = np.array(plan["mean"]), np.array(plan["deviation"])
        flat = np.flatnonzero(~(deviation > 0))
        if len(flat):
            raise DataError(f"{self.ratings}: '{criteria[flat[0]]}' is the same for all rows. Leave it out.")
        scores = (scores - mean) / deviation
        domains, sampler = self._sampler(plan, rows["domain"][rated], len(criteria))
        domain, inside = domain_of(domains, rows["domain"])
        used = rated & inside
        merged = sampler.merged(scores[at[used]], domain[used])
        ranks = Ranks.of(merged, rows["size"][used], domain[used], len(domains))
        notes: dict[str, Any] = {"rated_in_sample": int(rated.sum()), "sample": len(rated), "domains": len(domains)}
        notes |= {"mean": mean.tolist(), "deviation": deviation.tolist(), "-inf": "they have no scores"}
        return Values(key, scores, domains, sampler, ranks, notes)

    def _sampler(self, plan: dict[str, Any] | None, domain: Array, criteria: int) -> tuple[Array, Sampler]:
        names = ("steepness", "threshold", "power", "floor")
        if plan is None:
            domains = np.unique(domain)
            same = [np.full(len(domains), float(getattr(self, name))) for name in names]
            return domains, Sampler(np.full((len(domains), criteria), 1 / criteria), *same)
        told = list(plan["domains"].values())
        domains = name_hash(tuple(plan["domains"]))
        if not np.isin(domain, domains).any():
            known = ", ".join(list(plan["domains"])[:8])
            raise DataError(f"No row of the pool is in a domain of {self.plan}: {known}. Give --domain.")
        return domains, Sampler(
            np.array([one["alpha"] for one in told], np.float64),
            *(np.array([one[name] for one in told], np.float64) for name in names),
        )

    def chooser(self, fitted: Map) -> Choose:
        return Copies(limit=self.limit)
