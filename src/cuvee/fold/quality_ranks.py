"""Quality ranks within domains and what QuaDMix makes of them: merged scores, token-weighted ranks, sampling values.

Liu et al., "QuaDMix: Quality-Diversity Balanced Data Selection for Efficient LLM Pretraining", 2025, arXiv 2504.16511,
equations 1 to 3. Documents x of domain m have scores z_n(x), brought to mean 0 and deviation 1 over the pool (the paper
does not say how they are made comparable), here better when higher:

    merged  q(x) = sum_n alpha_mn z_n(x)
    rank    r(x) = tokens of the domain's documents with q >= q(x), divided by all its tokens: 0 is best, ties share
    value   S(r) = (2 / (1 + exp(-lambda_m (omega_m - r))))^eta_m + epsilon_m where r <= omega_m, else epsilon_m

S is how many copies are wanted, up to a factor: between 1 and 2^eta above the threshold, epsilon below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..core import Array, Batch, State
from ..engine.draw import uniform
from ..errors import DataError
from ..feature.content import string_hash
from ..layout import SEARCH
from .smallest_draws import SmallestDraws

Floats = npt.NDArray[np.float64]
WHOLE = "(all)"
"""The domain of a pool without domains."""


@dataclass(frozen=True)
class Sampler:
    """QuaDMix's parameters, a row for each domain.

    Attributes:
        alpha: float64, (domains, criteria): weights of the scores, each row summing to one.
        steepness, threshold, power, floor: float64, (domains,): lambda, omega, eta and epsilon.
    """

    alpha: Floats
    steepness: Floats
    threshold: Floats
    power: Floats
    floor: Floats

    def merged(self, scores: Floats, domain: Array) -> Floats:
        """q of rows with standardised scores, (n, criteria); added in order, so that a row depends on itself alone."""
        found = np.zeros(len(scores))
        for at in range(self.alpha.shape[1]):
            found += scores[:, at] * self.alpha[domain, at]
        return found

    def value(self, rank: Floats, domain: Array) -> Floats:
        """S of rows by rank and domain, float64, (n,)."""
        omega = self.threshold[domain]
        inside = np.clip(self.steepness[domain] * (omega - rank), -50.0, 50.0)
        above = (2.0 / (1.0 + np.exp(-inside))) ** self.power[domain]
        return np.where(rank <= omega, above, 0.0) + self.floor[domain]

    def as_json(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The parameters by domain."""
        return {
            name: {
                "alpha": self.alpha[at].tolist(),
                **{key: float(getattr(self, key)[at]) for key in ("steepness", "threshold", "power", "floor")},
            }
            for at, name in enumerate(names)
        }


@dataclass(frozen=True, eq=False)
class Ranks:
    """Token-weighted ranks by domain. ``edges``: for each domain -q ascending, and the share of tokens up to there."""

    edges: tuple[tuple[Floats, Floats], ...]

    @classmethod
    def of(cls, merged: Floats, tokens: Array, domain: Array, domains: int) -> Ranks:
        """From documents that stand for all: their q, tokens and domains."""
        found = []
        for at in range(domains):
            own = np.flatnonzero(domain == at)
            worse, inverse = np.unique(-merged[own], return_inverse=True)
            held = np.cumsum(np.bincount(inverse, weights=tokens[own], minlength=len(worse))).astype(np.float64)
            found.append((worse, held / held[-1] if len(held) else held))
        return cls(tuple(found))

    def rank(self, merged: Floats, domain: Array) -> Floats:
        """r of rows, float64, (n,); 1 in a domain of which nothing is known."""
        found = np.ones(len(merged))
        for at, (worse, share) in enumerate(self.edges):
            own = np.flatnonzero(domain == at)
            if len(own) and len(worse):
                place = np.searchsorted(worse, -merged[own], side="right")
                found[own] = np.concatenate([[0.0], share])[place]
        return found


def domain_hash(batch: Batch) -> npt.NDArray[np.uint64]:
    """A hash of every row's domain, uint64, (n,)."""
    values = batch.columns.get("domain")
    if values is None:
        return np.repeat(name_hash((WHOLE,)), len(batch))
    return string_hash(values.cast(pa.large_string()).fill_null("(none)"))


def name_hash(names: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """The same of names."""
    return string_hash(pa.array(names, pa.large_string()))


def domain_of(known: Array, found: Array) -> tuple[Array, Array]:
    """The places of hashes among the known ones, and whether they are there."""
    order = np.argsort(known, kind="stable")
    at = order[np.minimum(np.searchsorted(known[order], found), len(known) - 1)]
    return at, known[at] == found


def read_plan(path: str) -> dict[str, Any]:
    """The sampler of a search: "criteria", "mean", "deviation" and "domains".

    Raises:
        DataError: there is none.
    """
    place = Path(path) / SEARCH if Path(path).is_dir() else Path(path)
    try:
        found = json.loads(place.read_text("utf-8"))["sampler"]
        for one in found["domains"].values():
            floats = [*one["alpha"], *(one[name] for name in ("steepness", "threshold", "power", "floor"))]
            if not np.isfinite(floats).all() or len(one["alpha"]) != len(found["criteria"]):
                raise ValueError
        if len(found["mean"]) != len(found["criteria"]) or not min(found["deviation"]) > 0:
            raise ValueError
        return dict(found)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{place} holds no sampler. Name a folder that cuvee mix search --over quadmix wrote."
        ) from error


@dataclass(frozen=True, eq=False)
class SizeSample(SmallestDraws):
    """Domain and size of the ``k`` rows with the smallest draws, in the order of (draw, key, row).

    State: draw float64, key uint64, row int64, domain uint64 (a hash), size int64, all (m,), m <= k. Sizes are tokens
    where a column has them, else bytes. Memory: 40 bytes a row.
    """

    k: int = 1000
    purpose: str = "sizes"
    seed: int = 0

    def empty(self) -> State:
        kinds: dict[str, Any] = {"draw": "f8", "key": "u8", "row": "i8", "domain": "u8", "size": "i8"}
        return {name: np.zeros(0, kind) for name, kind in kinds.items()}

    def of(self, batch: Batch, limit: float) -> State:
        draw = uniform(self.seed, self.purpose, batch.key)
        size: Array = batch.columns.get("tokens", np.diff(batch.offsets))
        found: State = {"draw": draw, "key": batch.key, "row": batch.row, "domain": domain_hash(batch)}
        kept = draw <= limit
        return self.first({name: one[kept] for name, one in (found | {"size": size.astype(np.int64)}).items()})
