"""What ``search.json`` says, from finished runs, a fitted law and the trial of its proposal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core import Law, Settings
from ..engine.plan import parameters
from ..engine.store import digest
from ..law.judge import group_means, seed_noise, spearman
from ..law.table import Table
from ..layout import SEARCH_FORMAT
from ..proof import evaluations
from ..proof.question import name_of
from . import wording

if TYPE_CHECKING:
    from .job import Job

Floats = npt.NDArray[np.float64]


def content(
    job: Job,
    fitted: Mapping[str, Any],
    planned: npt.NDArray[np.int64],
    total: Floats,
    surface: list[list[float]] | None,
    more: Mapping[str, Any],
    swarm_cost: Mapping[str, float],
    tried: Mapping[str, Any],
) -> dict[str, Any]:
    """All but sentences, and what reproduces it. The rows of the fit's proposal are added to.

    Args:
        planned: (k,): tokens of each source in the planned run. ``total``: (n,): the objective of every run.
        more: what only this kind of search has to say. ``tried``: the trial; empty without one.
    """
    question, grid = job.question, job.runs.grid
    fixed = job.anchors()
    rows = fitted["proposal"]
    weights = np.array([one["weight"] for one in rows])
    caution = fitted.get("caution")
    optimum = caution.pop("optimum") if caution else weights.tolist()
    for at, row in enumerate(rows):
        row["optimum"] = optimum[at]
        row["tokens"] = int(planned[at])
        row["documents"] = int(job.documents[at])
        for name, mixture in fixed.items():
            row[name] = float(mixture[at])
            row[f"{name}_passes"] = float(grid.passes(mixture)[at])
    table = job.table()
    outcomes = fitted["outcomes"]
    settings = group_means(table.runs(next(iter(job.outcomes)), ("mixture",)))[0]
    observed = np.sum([one["weight"] * np.array(one["observed"]) for one in outcomes], axis=0)
    predicted = np.sum([one["weight"] * np.array(one["predicted"], np.float64) for one in outcomes], axis=0)
    names, shares = sorted({one.asked.arm for one in job.done}), job.simplex.full(settings.mixture)
    return {
        "format": SEARCH_FORMAT,
        "title": f"Search of a {job.what} by {len(job.done):,} runs"
        + (f", {job.simplex.names[0]}" if job.simplex.told else ""),
        "unit": question.proxy.unit,
        "proxy": {"name": name_of(question.proxy), "settings": parameters(question.proxy)},
        "law": fitted["law"],
        "counts": {
            **fitted["counts"],
            "diverged": job.lost,
            "found": job.runs.found,
            "tokens": int(grid.available.sum()),
            "documents": int(job.documents.sum()),
            **job.rows,
        },
        "tokens": grid.planned,
        "run_tokens": grid.tokens,
        "passes": question.passes,
        "design": question.design,
        "proposal": rows,
        "caution": caution,
        "expected": fitted["expected"],
        "gains": fitted["gains"],
        "optimism": fitted["optimism"],
        "extrapolation": fitted["extrapolation"],
        "natural_known": True,
        "outcomes": outcomes,
        "mixtures": [
            {"name": name, "shares": shares[at].tolist(), "loss": float(observed[at]),
             "predicted": float(predicted[at])}
            for at, name in enumerate(names)
        ],
        "confidence": confidence(total, table, outcomes, observed, predicted),
        "surface": surface,
        "evaluations": evaluations.told(job.sets, job.ledger, digest("searched", weights.tolist())),
        "trial": tried or None,
        "comparisons": tried.get("comparisons", []),
        "cost": {"swarm": swarm_cost, "trial": tried.get("cost"), "seconds": job.seconds},
        "overlap": job.met.as_json(),
        "ledger": str(job.ledger.folder),
        "spec": asdict(job.opened.spec),
        "objective": job.outcomes,
        "refit": wording.refit(job.outcomes, grid.planned, question.passes),
        **more,
    }  # fmt: skip


def confidence(
    total: Floats, table: Table, outcomes: Sequence[Mapping[str, Any]], observed: Floats, predicted: Floats
) -> dict[str, Any]:
    """How well the law predicts the objective itself for mixtures left out.

    Args:
        total: float64, (n,): the objective of every run. ``observed``, ``predicted``: of every mixture.
    """
    runs = table.runs(next(iter(table.outcomes)), ("mixture",))
    noise, freedom = seed_noise(type(runs)(runs.settings, total, runs.group))
    known = np.isfinite(predicted)  # what the law has no form for is not judged
    observed, predicted = observed[known], predicted[known]
    error = float(np.abs(observed - predicted).mean())
    best = np.argsort(observed, kind="stable")[: max(4, math.ceil(len(observed) / 4))]
    guesses = {
        name: sum(one["weight"] * one["baselines"][name] for one in outcomes) for name in outcomes[0]["baselines"]
    }
    ranks = (spearman(predicted, observed), spearman(predicted[best], observed[best]))
    return {
        "error": error,
        "noise": noise,
        "noise_freedom": freedom,
        "error_in_noise": error / noise if noise else None,
        **{name: one if math.isfinite(one) else None for name, one in zip(("rank", "rank_best"), ranks, strict=True)},
        "guesses": guesses,
    }


def surface(law: Law, table: Table, outcomes: Mapping[str, float]) -> list[list[float]]:
    """Predicted losses over a grid of mixtures of two or three sources: shares, then the loss.

    Args:
        outcomes: metrics by name with their weights, which sum to one.
    """
    k = len(table.settings.sources)
    full = [law.fit(table.runs(name, ("mixture",))) for name in outcomes]
    steps = 50 if k == 2 else 24
    grid = [(a, steps - a) if k == 2 else (a, b, steps - a - b)
            for a in range(steps + 1) for b in range(steps + 1 - a if k == 3 else 1)]  # fmt: skip
    points = np.array(grid, np.float64) / steps
    settings = Settings(table.settings.sources, points)
    value = np.sum([w * one.at(settings) for w, one in zip(outcomes.values(), full, strict=True)], axis=0)
    return [[*point, float(one)] for point, one in zip(points.tolist(), value, strict=True)]
