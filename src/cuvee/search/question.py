"""What a search asks: everything that is decided before the first run, checked before the pool is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core import Law
from ..engine.plan import make
from ..errors import UsageError
from ..fitting import check_proposer
from ..mixing import check_amounts
from ..pool import Paths
from ..proof.evaluations import required
from ..proof.proxy import Proxy
from ..proof.question import name_of
from ..proof.recipes import load_proxy
from ..quantities import method_call
from ..registry import find
from .cluster_sources import Clustering, clustering_of
from .cover import DESIGNS
from .design import FEWEST_RUNS, rounds
from .simplex import Frozen

NO_SETS = (
    ", so no mixture can be better than another: give held-out documents like those the model is for, with --eval FILE"
)


@dataclass(frozen=True)
class Question:
    """All that is decided before the first run.

    Attributes:
        tokens: of the planned run; None for as many as the pool has. ``run_tokens``: of a proxy run.
        seeds: of the trial of the proposal; 0 leaves it out.
        levels: whether random mixtures are drawn by groups first. ``frozen``: weights held relative to one another.
        design: how the first round's mixtures are drawn, one of ``DESIGNS``.
    """

    runs: int
    iterations: int
    proxy: Proxy
    law: Law
    law_name: str
    tokens: int | None
    run_tokens: int | None
    passes: float
    seeds: int
    seed: int
    objective: Mapping[str, float] | None
    overlap: Literal["clean", "refuse", "ignore"]
    resample: int | None
    eval_bytes: int
    bold: bool = False
    clusters: Clustering | None = None
    proposer: str = "law"
    levels: bool = False
    frozen: Frozen | None = None
    design: str = "random"


def ask(
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    output: str | os.PathLike[str],
    sampled: bool,
    *,
    runs: int,
    iterations: int,
    proxy: str | Proxy,
    law: str | None,
    tokens: int | None,
    run_tokens: int | None,
    passes: float,
    seeds: int,
    seed: int,
    objective: Mapping[str, float] | None,
    overlap: Literal["clean", "refuse", "ignore"],
    resample: int | None,
    eval_bytes: int | None,
    clusters: str | int | None,
    bold: bool,
    proposer: str,
    levels: bool,
    design: str,
    freeze: str | os.PathLike[str] | None,
    changed: Sequence[str],
) -> tuple[Question, dict[str, Paths]]:
    """The arguments as one checked object, and the evaluation sets' paths by name.

    Args:
        output: the folder that is going to be written. ``sampled``: whether a sampler is searched, not a mixture.
    """
    check_amounts(tokens, passes)
    if run_tokens is not None and run_tokens < 1:
        raise UsageError(f"--run-tokens must be at least 1, not {run_tokens}.")
    if eval_bytes is not None and eval_bytes < 1:
        raise UsageError(f"--eval-bytes must be at least 1, not {eval_bytes}.")
    for name, value, least, most in (
        ("--runs", runs, FEWEST_RUNS, 100_000),
        ("--iterations", iterations, 1, 10),
        ("--seeds", seeds, 0, 10_000),
        ("--seed", seed, 0, 2**40),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise UsageError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}.")
    if seeds == 1:
        raise UsageError("One seed cannot tell a difference from chance: use at least --seeds 2, better 8; or 0.")
    if resample is not None and resample < 20:
        raise UsageError(f"--resamples must be at least 20, not {resample}.")
    if rounds(runs, iterations)[-1] < 2:
        raise UsageError(f"--iterations {iterations} leaves the last round without runs. Give more --runs.")
    if overlap not in ("clean", "refuse", "ignore"):
        raise UsageError(f"overlap must be one of clean, refuse, ignore, not {overlap!r}.")
    sets = required(evaluations, NO_SETS)
    model = proxy if isinstance(proxy, Proxy) else load_proxy(*method_call(proxy))
    if "text" not in model.needs:
        raise UsageError(f"The proxy {name_of(model)} learns no text. Use --proxy ngram or transformer.")
    name, settings = method_call(law or ("regmix:model=linear" if sampled else "optimal_mixtures"))
    kind: Law = make(find("law", name), settings, name)
    if tuple(kind.card.needs) != ("mixture",) or kind.card.gives != ("loss",):
        others = [one for one in kind.card.needs if one != "mixture"]
        raise UsageError(
            f"{name} asks for {', '.join(others) or 'another outcome'}, and a swarm has mixtures and losses alone. Use "
            "--law optimal_mixtures, data_mixing_laws, olmix or regmix."
        )
    if sampled and clusters is not None:
        raise UsageError("--over quadmix samples within domains, not within clusters: leave out --clusters.")
    if sampled and (name != "regmix" or iterations > 1):
        raise UsageError(
            "A search over quadmix has one round, and its law is a regression: --law regmix (boosted trees, for "
            "hundreds of runs) or regmix:model=linear (the default), without --iterations."
        )
    unknown = sorted(set(objective or {}) - set(sets))
    if unknown:
        raise UsageError(f"--objective names '{unknown[0]}', which is no evaluation set. There are: {', '.join(sets)}.")
    if objective is not None and not sum(objective.values()) > 0:
        raise UsageError("--objective gives no evaluation set a weight above 0.")
    check_proposer(proposer)
    if sampled and (levels or proposer != "law"):
        raise UsageError("--levels and --proposer are about mixtures, and --over searches a sampler: leave them out.")
    if design not in DESIGNS:
        raise UsageError(f"design must be one of {', '.join(DESIGNS)}, not {design!r}.")
    if design == "cover" and (sampled or levels):
        other = "--over searches a sampler" if sampled else "--levels draws them by groups"
        raise UsageError(f"--design cover is about how mixtures are drawn, and {other}: leave out one of them.")
    if clusters is not None and levels:
        raise UsageError("--levels goes by the names of sources, and clusters have none: leave out one of them.")
    if freeze is None and changed:
        raise UsageError("--changed names sources that --freeze would hold: give --freeze FOLDER as well.")
    if freeze is not None and (sampled or clusters is not None):
        raise UsageError("--freeze holds weights of a pool's sources: leave out --over and --clusters.")
    if freeze is not None and Path(freeze).resolve() == Path(output).resolve():
        raise UsageError(f"{freeze} is to be held and would be overwritten. Choose another place with -o.")
    frozen = Frozen.read(str(freeze), tuple(changed)) if freeze is not None else None
    question = Question(
        runs, iterations, model, kind, name, tokens, run_tokens, passes, seeds, seed, objective, overlap, resample,
        eval_bytes or model.eval_bytes, bold, clustering_of(str(clusters)) if clusters is not None else None, proposer,
        levels, frozen, design,
    )  # fmt: skip
    return question, sets
