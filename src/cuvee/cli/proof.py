"""The verb prove."""

from __future__ import annotations

from typing import Any, Literal

import click

from ..errors import UsageError
from .group import cli
from .shared import OVERLAP, RUNNING, TRIALS, evaluation_sets, print_plan, print_result, running, typed, without


@cli.command(short_help="Train small models to see whether a selection helps.")
@click.argument("selections", nargs=-1, required=True, metavar="SELECTION...")
@evaluation_sets("Held-out documents that no arm may train on (repeatable). Subgroups by their domain column.")
@click.option(
    "--against",
    multiple=True,
    metavar="BASELINE",
    help="random, length_matched, proportional, full, or another selection's folder (repeatable) "
    "[random, length_matched, and proportional where there are domains].",
)
@click.option("--seeds", type=int, default=8, show_default=True, help="Paired trials of every arm.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first of them.")
@click.option(
    "--proxy",
    default="ngram",
    show_default=True,
    metavar="PROXY",
    help="What is trained, like transformer:size=1M: ngram, transformer, linear_probe, mlp.",
)
@click.option(
    "--policy",
    multiple=True,
    metavar="POLICY",
    help="Compare policies in training, like infobatch:ratio=0.3, with uniform shuffling (repeatable).",
)
@click.option("--epochs", type=float, default=1.0, show_default=True, help="Passes over the documents of a trial.")
@click.option("--tokens", metavar="N", help="Tokens of a trial [half of the selection, or what suits the proxy].")
@click.option(
    "--equal",
    type=click.Choice(["tokens", "cost"]),
    default="tokens",
    show_default=True,
    help="What arms have in common; with cost, a baseline gets more tokens for the seconds that selecting took.",
)
@click.option("--margin", type=float, help="Call a difference of less than this equivalent (in the proxy's unit).")
@click.option("--effect", type=float, help="The difference that you want to be able to see: how many seeds it needs.")
@click.option("--stop-early", is_flag=True, help="Look after half of the seeds, too, and stop if that is enough.")
@OVERLAP
@click.option("--holdout", is_flag=True, help="Answer through a reusable holdout, for one set consulted many times.")
@click.option("--ladder", metavar="STEP", help="Or through a ladder: the best gain so far, in steps of auto, or 0.05.")
@TRIALS
@click.option("--require", is_flag=True, help="Exit with status 1 unless every verdict is: better.")
@click.option("-o", "--output", default="out/prove", show_default=True, help="Folder for the proof and its report.")
@click.option("--text", metavar="COLUMN", help="Text column of the evaluation sets [found by convention].")
@click.option("--domain", metavar="COLUMN", help="Their domain column, for subgroups [domain, source, ...]; or 'none'.")
@click.option("--embedding", metavar="COLUMN", help="Their embedding column.")
@click.option("--label", metavar="COLUMN", help="Their label column.")
@RUNNING
def prove(
    selections: tuple[str, ...],
    evaluations: tuple[str, ...],
    against: tuple[str, ...],
    policy: tuple[str, ...],
    tokens: str | None,
    eval_bytes: str | None,
    skip_bad: bool,
    ladder: str | None,
    require: bool,
    **flags: Any,
) -> None:
    """Show whether a SELECTION helps: train small models on it and on its baselines, and compare them on held-out text.

    \b
    cuvee prove kept/ --eval held-out.jsonl
    cuvee prove kept/ -e law=law.jsonl -e code=code/ --against random --seeds 16
    cuvee prove kept/ -e held-out.jsonl --proxy transformer:size=1M
    cuvee prove kept/ -e held-out.jsonl --margin 0.01      equivalence is an answer, too
    cuvee prove kept/ -e held-out.jsonl --proxy mlp --policy infobatch --epochs 10

    Every trial trains on an equal number of tokens: on a random part of the selection, or on rows drawn from its pool.
    The answer is one of: better, worse, equivalent, not shown. Finished trials are kept in the ledger and never run
    again. Exit status 1 with --require unless every verdict is "better".
    """
    from .. import proving, quantities

    names = ("seeds", "seed", "proxy", "epochs", "equal", "margin", "effect", "stop_early", "overlap", "holdout")
    asked: dict[str, Any] = {name: flags.pop(name) for name in (*names, "ledger", "output")}
    asked |= {
        "evaluations": list(evaluations),
        "against": list(against) or None,
        "policies": list(policy),
        "tokens": quantities.count(tokens) if tokens else None,
        "ladder": _step(ladder),
        "eval_bytes": quantities.size(eval_bytes) if eval_bytes else None,
    }
    unused = dict.fromkeys(("id_", "token_column", "tokenizer"))
    with running({**flags, **unused, "key": "id"}, skip_bad) as common:
        if flags["plan_only"]:
            print_plan(proving.plan(selections, **asked, **without(common, "progress", "show_text")), flags)
            return
        quiet = flags["quiet"] or flags["as_json"]
        say = None if quiet else lambda sentence: click.echo(sentence, err=True)
        result = proving.prove(selections, **asked, **common, say=say, command=typed())
        print_result(result.summary, proving.lines(result), flags)
    if require and not result.better:
        raise SystemExit(1)


def _step(text: str | None) -> float | Literal["auto"] | None:
    """The step of a ladder."""
    from ..quantities import shell_word

    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        given = shell_word(text)
        raise UsageError(f"--ladder {given} is no step: write --ladder auto, or a gain like --ladder 0.05.") from None
