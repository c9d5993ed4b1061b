"""What ``proof.json`` says, from the trials of a proof and their answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import proof_wording as wording
from ..engine.plan import parameters
from ..engine.store import digest
from ..layout import PROOF_FORMAT, versions
from ..quantities import shell_path
from . import evaluations, findings
from .question import name_of

if TYPE_CHECKING:
    from .job import Job


def content(
    job: Job,
    seeds: Sequence[int],
    answers: findings.Answers,
    power: Mapping[str, Any] | None,
    multiples: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Everything in ``proof.json`` but timings and the seal.

    Args:
        seeds: that are done, and ``answers`` at them. ``power``: what the pilot said. ``multiples``: what random needs.
    """
    question = job.question
    arms = findings.arms_table(job.plan, seeds, job.sets, job.records)
    comparisons = findings.comparisons(answers)
    first = next(pair for pair in job.plan.pairs if not pair.reference).against.name
    cost = findings.costs(arms, [one for one in answers.primary if one.against == first])
    chosen = [one.plan["reproduce"]["digest"] for one in job.candidates]
    asked = digest("question", [question.as_json(), chosen, [one.digest for one in job.sets], job.plan.tokens])
    tried = digest("tried", chosen, [name for name, _ in question.policies])
    summary: dict[str, Any] = {
        "format": PROOF_FORMAT,
        "title": f"Proof of {', '.join(one.name for one in job.candidates if one.name not in job.others)}",
        "unit": question.proxy.unit,
        "seeds": list(seeds),
        "proxy": {
            "name": name_of(question.proxy),
            "summary": type(question.proxy).summary,
            "settings": parameters(question.proxy),
        },
        "margin": question.margin,
        "level": 1 - question.alpha,
        "tokens": job.plan.tokens,
        "arms": arms,
        "evaluations": evaluations.told(job.sets, job.ledger, tried, size=True),
        "comparisons": comparisons,
        "small_groups": list(answers.small),
        "on_target": job.on_target,
        "curves": findings.curves(job.plan, seeds, job.sets, job.records),
        "group_curves": wording.group_curves(findings.group_curves(job.sets, job.records, question.alpha)),
        "multiples": multiples,
        "costs": cost,
        "power": power,
        "noise": findings.noise(job.plan, seeds, job.sets, job.records),
        "trials": {
            "count": len({(record.key) for record in job.records.values()}),
            "train_seconds": sum({one.key: one.cost["train_seconds"] for one in job.records.values()}.values()),
        },
        "holdout": wording.holdout(job.ask_holdout(answers), question.proxy.unit) if job.guarded else None,
        "overlap": job.met.as_json(),
        "selections": [
            {
                "name": one.name,
                "folder": str(one.folder),
                "method": one.method,
                "digest": one.plan["reproduce"]["digest"],
                "next": str(one.plan.get("next", "")),
            }
            for one in job.candidates
        ],
        "reproduce": {
            "command": job.command,
            "digest": "",
            "versions": versions(),
            "citations": sorted({text for one in job.candidates for text in one.plan["reproduce"]["citations"]}),
        },
    }
    summary["warnings"] = [*job.warnings, *wording.warnings(summary, answers, question)]
    summary["limits"] = wording.limits(summary, question)
    summary["verdict"] = wording.verdict(summary, answers)
    if answers.primary and answers.unanswered:
        lost = " and ".join(dict.fromkeys(f"'{one.arm}' against '{one.against}'" for one in answers.unanswered))
        summary["verdict"] = f"No answer for {lost}: too many trials diverged. {summary['verdict']}"
    summary["next"] = _next(job, answers, len(seeds))
    table = [[one[name] for name in ("arm", "against", "evaluation", "group", "mean", "low", "high", "verdict")]
             for one in comparisons]  # fmt: skip
    summary["reproduce"]["digest"] = digest("proof", asked, table)
    return summary


def _next(job: Job, answers: findings.Answers, seeds: int) -> str:
    """What to do after this answer."""
    verdict = answers.primary[0].verdict if answers.primary else "not shown"
    if verdict == "worse":
        return "cuvee methods"
    if verdict == "not shown" and job.command.startswith("cuvee prove "):
        return f"{re.sub(' --seeds[ =][0-9]+', '', job.command)} --seeds {2 * seeds}"
    return f"cuvee write {shell_path(job.candidates[0].folder)} --format parquet"
