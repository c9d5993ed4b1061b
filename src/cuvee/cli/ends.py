"""The verb utilities of mix."""

from __future__ import annotations

from typing import Any

import click

from ..errors import UsageError
from .mixing import mix
from .shared import (
    OVERLAP,
    READING,
    RUNNING,
    TRIALS,
    evaluation_sets,
    print_plan,
    print_result,
    running,
    typed,
    without,
)


@mix.command("utilities", short_help="What each source is worth at the end of training.")
@click.argument("pool", nargs=-1, required=True)
@evaluation_sets("Held-out documents like those the model is for (repeatable).")
@click.option("--by", metavar="COLUMN", help="Column that names the sources; the same as --domain.")
@click.option(
    "--with",
    "method",
    default="upsample_end",
    show_default=True,
    metavar="POLICY",
    help="The final mix, and the share of the run that it has: upsample_end:domains=a+b,share=0.5,last=0.2.",
)
@click.option("--weights", metavar="SHARES", help="The final mix itself: code=0.3,web=0.7.")
@click.option("--only", multiple=True, metavar="NAME", help="A source to leave out (repeatable) [each of the mix].")
@click.option("--tokens", metavar="N", help="Tokens of the run that is planned, like 1B [as many as the pool has].")
@click.option("--run-tokens", metavar="N", help="Tokens of the run that is trained here [what suits the proxy].")
@click.option("--seeds", type=int, default=5, show_default=True, help="At which every end is trained.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the beginning, and the first of the ends.")
@click.option("--proxy", default="transformer", show_default=True, metavar="PROXY", help="The transformer's settings.")
@OVERLAP
@TRIALS
@click.option(
    "-o", "--output", default="out/utilities", show_default=True, help="Folder for utilities.json and report."
)
@READING
@RUNNING
def mix_utilities(
    pool: tuple[str, ...],
    evaluations: tuple[str, ...],
    by: str | None,
    weights: str | None,
    only: tuple[str, ...],
    tokens: str | None,
    run_tokens: str | None,
    eval_bytes: str | None,
    skip_bad: bool,
    **flags: Any,
) -> None:
    """Tell what each of POOL's sources is worth at the end of training: ends of one run, with and without it.

    \b
    cuvee mix utilities pool/ --by domain --eval held-out.jsonl
    cuvee mix utilities pool/ -e held-out.jsonl --with upsample_end:domains=code+math,share=0.4,last=0.1
    cuvee mix utilities pool/ -e held-out.jsonl --weights web=0.5,code=0.3,math=0.2 --tokens 1B

    A run is trained once up to its last part; from there one end on the full final mix, and one without each source,
    whose share goes to the others. Finished ends are kept in the ledger: the same command goes on where it was. OUTPUT
    gets utilities.json and report.html.
    """
    from .. import quantities, utilities

    if by is not None and flags["domain"] is not None and by != flags["domain"]:
        raise UsageError("--by and --domain mean the same: give one of them.")
    flags["domain"] = by or flags["domain"]
    names = ("method", "seeds", "seed", "proxy", "overlap", "ledger", "output")
    asked: dict[str, Any] = {name: flags.pop(name) for name in names}
    asked |= {
        "evaluations": list(evaluations),
        "weights": quantities.weights(weights) if weights else None,
        "only": list(only),
        "tokens": quantities.count(tokens) if tokens else None,
        "run_tokens": quantities.count(run_tokens) if run_tokens else None,
        "eval_bytes": quantities.size(eval_bytes) if eval_bytes else None,
    }
    with running(flags, skip_bad) as common:
        common.pop("show_text")
        if flags["plan_only"]:
            print_plan(utilities.plan(pool, **asked, **without(common, "progress")), flags)
            return
        quiet = flags["quiet"] or flags["as_json"]
        say = None if quiet else lambda sentence: click.echo(sentence, err=True)
        result = utilities.end_utilities(pool, **asked, **common, say=say, command=typed())
        print_result(result.summary, utilities.lines(result), flags)
