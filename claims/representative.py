"""Representative samples: strata by declared variables, against uniform rows and against the most popular ones.

**The paper's claim** (Cabot and others, 2024, with Cochran's theory). Samples of repositories are drawn at random or by
popularity; drawn by the variables that a study declares, they agree with the population on these, and a report on them
tells a sample that does not.

**Small scale.** The demonstration's pool, its eleven domains thinned in proportions of 1, 1/2, 1/3 ... (dealt out anew
by each seed), as heavy-tailed as repositories' languages. Declared are domain and length; 300 rows, 100 draws of each
seed. "Popular" are the rows of most made-up stars, which follow length (correlation of some 0.5 with its logarithm),
the same in every draw. Errors are root mean squares over the draws: chi-square distance of the domains per degree of
freedom, the mean log2 length, and two means that were not declared: the share of characters that are no letters, which
follows the domain, and a number that follows nothing (both in the pool's standard deviations). The report is
``fold/strata.py``'s; it flags a sample whose chi-square is above the 95 % point of ten degrees or whose mean log length
is off by more than 1.96 standard errors, so that uniform rows may be flagged in about a tenth of the draws.

**Reproduced** if strata are closer than uniform and than popular rows on both declared variables, with 95 % intervals
apart from 0; are not worse than uniform ones on what follows nothing (no interval above 0); and the report flags the
popular rows of every seed, uniform ones in at most 12 % and strata in at most 5 % of the draws. **Direction only** if
strata are closer than uniform rows on both declared variables. **Not reproduced** otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cuvee.core import Array, Budget
from cuvee.fold.strata import report
from cuvee.methods.choose.representative import Representative
from cuvee.methods.choose.top_k import TopK

from .harness import Claim, Experiment, Found, Measured, Picked, Texts, demo, generator, join

NAME, UNIFORM, POPULAR, EQUAL = "representative", "uniform", "popular", "equal strata"
DOMAINS, LENGTH, SIGNS, OTHER, FLAGGED = "domains", "mean log length", "share of signs", "unrelated", "flagged"
DECLARED = (DOMAINS, LENGTH)
CLAIM = Claim(
    name="representative",
    judges=("choose/representative.py", "../fold/strata.py"),
    metrics={
        DOMAINS: "declared: chi-square distance between sample and pool per degree of freedom, mean over draws",
        LENGTH: "declared: error of the mean log2 length, in standard deviations, root mean square over draws",
        SIGNS: "not declared, follows the domain: error of the mean share of characters that are no letters, likewise",
        OTHER: "not declared, follows nothing: error of the mean, likewise",
        FLAGGED: "share of draws that the report flags",
    },
    contrasts=(
        *((metric, NAME, (UNIFORM, POPULAR)) for metric in (*DECLARED, SIGNS, OTHER)),
        (FLAGGED, NAME, (UNIFORM,)),
    ),
    settings={"rows": 300, "draws": 100, "bins": 4, "least": 20},
)
CHI_SQUARE, NORMAL = 18.307 / 10, 1.96
"""95 % points: chi-square of ten degrees of freedom, per degree; normal, both sides."""


def heavy_tailed(seed: int) -> Texts:
    """Domains with 1, 1/2, 1/3 ... of the largest's documents."""
    random, whole = generator(seed, "pool"), demo()
    parts = []
    for place, domain in enumerate(random.permutation(np.unique(whole.domain))):
        rows = whole.of(domain)
        keep = max(CLAIM.settings["least"], len(rows) // (place + 1))
        parts.append(rows.take(np.sort(random.permutation(len(rows))[:keep])))
    return join(parts)


def trial(seed: int) -> Measured:
    """All arms."""
    told, pool, random = CLAIM.settings, heavy_tailed(seed), generator(seed, "numbers")
    run, budget = Experiment(pool, pool, seed), Budget("rows", told["rows"])
    length = np.log2(pool.bytes + 1.0)
    spread = (length - length.mean()) / length.std()
    stars = {"score": np.exp(0.6 * spread + random.normal(size=len(pool)))}
    letters = np.array([sum(map(str.isalpha, one.decode())) / len(one.decode()) for one in pool.text])
    means = {LENGTH: length, SIGNS: 1 - letters, OTHER: random.normal(size=len(pool))}
    popular = run.choose(TopK(), budget, stars)
    found: dict[str, list[dict[str, float]]] = {}
    for draw in range(told["draws"]):
        again = replace(run, seed=1000 * seed + draw)
        arms = {NAME: again.choose(Representative(told["bins"]), budget), UNIFORM: again.random(budget)}
        arms |= {POPULAR: popular, EQUAL: again.choose(Representative(told["bins"], "equal"), budget)}
        for arm, picked in arms.items():
            found.setdefault(arm, []).append(errors(pool, picked, means))
    return {arm: summary(several) for arm, several in found.items()}


def errors(pool: Texts, picked: Picked, means: dict[str, Array]) -> dict[str, float]:
    """Squared errors of the means, and what the report says of domains and length."""
    code = np.unique(pool.domain, return_inverse=True)[1]
    step = np.rint(means[LENGTH] * 2**16)

    def moments(rows: Array) -> Array:
        values = (np.ones(len(rows)), step[rows], step[rows] ** 2)
        return np.array([np.bincount(code[rows], one, minlength=code.max() + 1) for one in values])

    told = report(moments(np.arange(len(pool))), moments(picked.rows), 1)
    chi, off = told["domain_chi_square_per_degree"], told["log_length_difference"]
    least = (1 / len(picked.rows) - 1 / len(pool)) ** 0.5
    squares = {name: float((x[picked.rows].mean() - x.mean()) / x.std()) ** 2 for name, x in means.items()}
    return squares | {DOMAINS: chi, FLAGGED: float(chi > CHI_SQUARE or abs(off) > NORMAL * least)}


def summary(several: list[dict[str, float]]) -> dict[str, float]:
    """Over the draws: roots of the mean squares, and means of the rest."""
    mean = {name: float(np.mean([one[name] for one in several])) for name in several[0]}
    return {name: mean[name] ** 0.5 if name in (LENGTH, SIGNS, OTHER) else mean[name] for name in CLAIM.metrics}


def judge(found: Found) -> str:
    """By the rule above."""
    if not all(found.of(metric, NAME, UNIFORM).below for metric in DECLARED):
        return "not reproduced"
    ahead = all(found.of(metric, NAME, POPULAR).below for metric in DECLARED)
    ahead = ahead and not found.of(OTHER, NAME, UNIFORM).above
    rates = {arm: found.of(FLAGGED, arm).mean for arm in (NAME, UNIFORM, POPULAR)}
    told = rates[POPULAR] == 1 and rates[UNIFORM] <= 0.12 and rates[NAME] <= 0.05
    return "reproduced" if ahead and told else "direction only"
