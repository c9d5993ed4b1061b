"""Which mixtures a swarm runs: anchors with several seeds, random mixtures around the natural one, and refinements.

* **Anchors.** Proportional and uniform (the latter within the bound on passes) are run at several seeds: they are what
  a proposal has to beat, and their spread over seeds is the noise by which every error is judged.
* **Random mixtures** are Dirichlet draws around the natural mix raised to the power 1/2, as in RegMix (Liu et al., ICLR
  2025, arXiv 2407.01492): around the natural mix itself, little would be learnt of small sources. Fifteen strengths,
  log-spaced from k/2 to 8k for k sources (k with equal shares would be uniform on the simplex), since one strength
  alone gives corners or copies. Shares above a source's cap go to the others; near copies are dropped.
  RegMix and olmix draw at strengths 0.1 to 5, far nearer to corners, set shares below 0.0002 and 0.002 to 0, and RegMix
  bounds a share by 15 times the natural one. Here there is no such bound, and no mixture leaves a source out: what a
  law says of a share of 0 is extrapolated a little from small ones.
* **Rounds** after the first follow CLIMB (Diao et al., "CLIMB: Clustering-based Iterative Data Mixture Bootstrapping",
  2025, arXiv 2504.13161): a law fitted to all runs so far predicts many untested mixtures, of the best 4 M of which M
  are drawn and run. Each round has half as many runs as the one before (the paper: 64, 32, 16). Of how many of the
  best is not stated there; 4 M is this package's choice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..law.propose import Bounds, random_mixtures
from ..mix.base import poured

Floats = npt.NDArray[np.float64]
STRENGTHS = 15
TEMPER = 0.5
NEAR = 0.02
"""Mixtures whose shares differ by less than this, summed, are one mixture."""
OVERSAMPLE = 10
CANDIDATES = 20_000
ANCHOR_SEEDS = 4
FEWEST_RUNS = 8


def anchor_seeds(runs: int) -> int:
    """At how many seeds each anchor is run: four, or a quarter of a small swarm, but two at least."""
    return max(2, min(ANCHOR_SEEDS, runs // 8))


def rounds(runs: int, iterations: int) -> list[int]:
    """How many runs each round has, halving from round to round; they sum to ``runs``."""
    weight = [2 ** (iterations - 1 - at) for at in range(iterations)]
    later = [runs * one // sum(weight) for one in weight[1:]]
    return [runs - sum(later), *later]


def anchors(natural: Floats, caps: Floats) -> dict[str, Floats]:
    """Proportional, and uniform as far as the caps allow: (k,) each."""
    uniform = poured(np.full(len(natural), 1 / len(natural)), caps, 1.0)
    return {"proportional": natural, "uniform": uniform / uniform.sum()}


def swarm(natural: Floats, caps: Floats, count: int, seed: int, known: Floats) -> Floats:
    """Random mixtures, (count, k) or fewer if the caps leave no room, none near another or near ``known``, (n, k)."""
    k = len(natural)
    centre = np.where(natural > 0, natural, 0.0) ** TEMPER
    bounds = Bounds(centre / centre.sum(), caps)
    strength = np.geomspace(k / 2, 8 * k, STRENGTHS) / k**0.5
    drawn = random_mixtures(bounds, max(OVERSAMPLE * count, 1), seed, strength)
    order = np.random.default_rng([seed, 1]).permutation(len(drawn))
    return apart(drawn[order], known, count)


def refined(
    value: Callable[[Floats], Floats], best: Floats, bounds: Bounds, count: int, seed: int, known: Floats
) -> Floats:
    """Untested mixtures for a further round: (count, k) or fewer.

    Args:
        value: what the law predicts for mixtures, (n, k) to (n,). ``best``: (k,), its present proposal.
        known: (n, k): mixtures run so far.
    """
    floor = np.maximum(best, 1e-3)
    near = random_mixtures(Bounds(floor / floor.sum(), bounds.caps), CANDIDATES // 2, seed)
    far = random_mixtures(bounds, CANDIDATES // 2, seed + 1)
    drawn = np.concatenate([near, far])
    order = np.argsort(value(drawn), kind="stable")
    wanted = apart(drawn[order], known, 4 * count)
    chosen = np.random.default_rng([seed, 2]).permutation(len(wanted))[:count]
    return wanted[np.sort(chosen)]


def apart(mixtures: Floats, known: Floats, count: int) -> Floats:
    """The first ``count`` mixtures that are near none before them, nor near any of ``known``."""
    kept = list(known)
    found: list[Floats] = []
    for one in mixtures:
        if len(found) == count:
            break
        if not kept or np.abs(np.stack(kept) - one).sum(1).min() >= NEAR:
            kept.append(one)
            found.append(one)
    return np.stack(found) if found else np.empty((0, mixtures.shape[1]))
