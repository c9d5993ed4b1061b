"""The verbs of mix: pool, search, fit, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from .group import Verbs, cli
from .shared import (
    OVERLAP,
    READING,
    RUNNING,
    SKIP_BAD,
    TRIALS,
    evaluation_sets,
    print_plan,
    print_result,
    running,
    typed,
    without,
)

ROUNDED = 5e-3
"""How far from 1 the weights of an objective may sum: three of 0.33 are too far, three of 0.333 are not."""


class Mixing(Verbs):
    """``cuvee mix POOL`` without a verb's name is ``cuvee mix pool POOL``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["pool", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Where a verb misses what it works on, and something here has the verb's name, say how that is written."""
        try:
            return super().invoke(ctx)
        except click.MissingParameter as error:
            verb = error.ctx.info_name if error.ctx is not None else None
            if verb is None or not isinstance(error.param, click.Argument) or not Path(verb).exists():
                raise
            raise click.UsageError(
                f"{error.format_message()} '{verb}' is a verb here; what lies in ./{verb} is named so: "
                f"cuvee mix ./{verb}",
                error.ctx,
            ) from None


@cli.group(cls=Mixing, short_help="Decide how much of each source a run sees, and tell a trainer.")
def mix() -> None:
    """Decide how much of each source goes into a training run, and how often it is repeated.

    \b
    cuvee mix pool/ --by domain --tokens 1B                weights, tokens, passes
    cuvee mix pool/ --by domain --with temperature:tau=3.3
    cuvee mix search pool/ --by domain --eval held.jsonl   learn weights from small runs, and try them
    cuvee mix utilities pool/ --by domain -e held.jsonl    what each source is worth at the end of training
    cuvee mix fit runs.csv                                 learn weights from finished runs
    cuvee mix transport runs.csv --pool ... --target ...   by distance to validation data
    cuvee mix export out/mix --to megatron                 the configuration that a trainer reads

    A pool in a folder called pool, search, utilities, transport, fit or export is named ./pool, ./search and so on.
    """


@mix.command("pool", short_help="(the default) Weights, tokens and passes of each source, from sizes alone.")
@click.argument("pool", nargs=-1, required=True)
@click.option("--by", metavar="COLUMN", help="Column that names the sources; the same as --domain.")
@click.option("--with", "method", metavar="MIX", help="Static mix, like unimax:epochs=4 [unimax]. See: cuvee methods.")
@click.option("--weights", metavar="SHARES", help="Your own weights that sum to 1: code=0.3,web=0.7.")
@click.option("--tokens", metavar="N", help="Tokens of the run, like 2M or 1B [as many as the pool has].")
@click.option("--passes", type=float, metavar="N", help="Go through no source more often than this.")
@SKIP_BAD
@click.option("-o", "--output", default="out/mix", show_default=True, help="Folder for mix.json and the report.")
@READING
@RUNNING
def mix_pool(
    pool: tuple[str, ...],
    by: str | None,
    method: str | None,
    weights: str | None,
    tokens: str | None,
    passes: float | None,
    output: str,
    skip_bad: bool,
    **flags: Any,
) -> None:
    """Decide from sizes alone how many tokens of each source a run sees, and how often it goes through it.

    \b
    cuvee mix pool/ --by domain --with unimax:epochs=4 --tokens 1B
    cuvee mix pool/ --weights web=0.6,code=0.4 --tokens 1B

    OUTPUT gets mix.json and report.html. What proportional and uniform mixes would give is always shown beside.
    """
    from .. import mixing, planning, quantities
    from ..layout import MIX, REJECTS, REPORT

    if by is not None and flags["domain"] is not None and by != flags["domain"]:
        raise UsageError("--by and --domain mean the same: give one of them.")
    flags["domain"] = by or flags["domain"]
    with running(flags, skip_bad) as common:
        name, settings = quantities.method_call(method) if method else (None, {})
        asked: dict[str, Any] = {
            "method": name,
            "settings": settings,
            "weights": quantities.weights(weights) if weights is not None else None,
        }
        if flags["plan_only"]:
            chosen = mixing.choose_mix(**asked)
            plan = planning.planned(pool, common["reading"], common["cache"], common["workers"], 1)
            written = [str(Path(output) / name) for name in (MIX, REPORT, REJECTS)]
            print_plan({**plan, "mix": str(chosen), "writes": written}, flags)
            return
        amount = quantities.count(tokens) if tokens else None
        result = mixing.mix_sources(
            pool,
            **asked,
            tokens=amount,
            passes=passes,
            output=output,
            command=typed(),
            **without(common, "show_text"),
        )
        print_result(result.summary, mixing.lines(result), flags)


def _objective(text: str | None, what: str) -> dict[str, float] | None:
    """What is minimised, of evaluation sets or outcomes: weights that sum to 1 but for their rounding."""
    from .. import quantities

    if text is None:
        return None
    found = {name: float(value) for name, value in quantities.weights(text, "--objective", what).items()}
    total = sum(found.values())
    if total > 0 and abs(total - 1) > ROUNDED:
        scaled = quantities.weight_list({name: value / total for name, value in found.items()})
        raise UsageError(f"The weights of --objective sum to {total:.6g}, not to 1. In proportion they are: {scaled}.")
    return found


@mix.command("search", short_help="Learn weights from a swarm of small runs, and try them.")
@click.argument("pool", nargs=-1, required=True)
@evaluation_sets("Held-out documents like those the model is for (repeatable).")
@click.option("--by", metavar="COLUMN", help="Column that names the sources; the same as --domain.")
@click.option("--runs", type=int, default=64, show_default=True, help="In the swarm, several seeds of two included.")
@click.option("--iterations", type=int, default=1, show_default=True, help="Rounds: later ones look around the best.")
@click.option(
    "--proxy", default="ngram", show_default=True, metavar="PROXY", help="What is trained, like transformer:size=1M."
)
@click.option(
    "--over",
    metavar="SAMPLER",
    help="Search a sampler by quality instead of a mixture: quadmix:ratings=FILE,criteria=a/b.",
)
@click.option("--clusters", metavar="K", help="Mix so many clusters of the pool's own instead of domains, like 20.")
@click.option("--law", metavar="LAW", help="See: cuvee methods [optimal_mixtures].")
@click.option("--tokens", metavar="N", help="Tokens of the run that is planned, like 1B [as many as the pool has].")
@click.option("--run-tokens", metavar="N", help="Tokens of a run of the swarm [what suits the proxy].")
@click.option("--passes", type=float, default=4.0, show_default=True, help="Go through no source more often than this.")
@click.option("--seeds", type=int, default=8, show_default=True, help="Of the proposal's trial; 0 leaves it out.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed of the swarm.")
@click.option("--objective", metavar="SHARES", help="Weight of each evaluation set: web=0.7,code=0.3 [alike].")
@OVERLAP
@click.option("--bold", is_flag=True, help="Propose the law's optimum, shown to be better than proportional or not.")
@click.option("--resamples", type=int, metavar="N", help="Resamples for intervals [100; 40 surfaces for trees].")
@click.option(
    "--proposer",
    type=click.Choice(["law", "rounds", "perturbed"]),
    default="law",
    show_default=True,
    help="Look for the law's best mixture as it does, by rounds of random ones, or by some near the best of them.",
)
@click.option("--levels", is_flag=True, help="Draw groups first, then sources, by names like web/science.")
@click.option(
    "--design",
    type=click.Choice(["random", "cover"]),
    default="random",
    show_default=True,
    help="Draw mixtures around proportional, or all over what --passes allows: for few sources and runs.",
)
@click.option(
    "--freeze",
    metavar="FOLDER",
    help="Hold the weights of an earlier mix, search or fit to one another; search new sources beside them.",
)
@click.option("--changed", multiple=True, metavar="NAME", help="A source not to be held, with --freeze (repeatable).")
@TRIALS
@click.option("-o", "--output", default="out/search", show_default=True, help="Folder for search.json and the report.")
@READING
@RUNNING
def mix_search(
    pool: tuple[str, ...],
    evaluations: tuple[str, ...],
    by: str | None,
    tokens: str | None,
    run_tokens: str | None,
    objective: str | None,
    resamples: int | None,
    eval_bytes: str | None,
    skip_bad: bool,
    **flags: Any,
) -> None:
    """Search the mixture of POOL's sources that is best on held-out documents, by a swarm of small runs.

    \b
    cuvee mix search pool/ --by domain --eval held-out.jsonl
    cuvee mix search pool/ -e code=code.jsonl -e text=text.jsonl --tokens 1B --passes 4
    cuvee mix search pool/ -e held-out.jsonl --proxy transformer --runs 48 --iterations 3
    cuvee mix search pool/ -e held-out.jsonl --freeze out/before --runs 16 -o out/after

    Random mixtures are trained, a law is fitted to their losses, and a mixture between proportional and the law's
    optimum, as far from proportional as is shown to be worth it, is trained against proportional, uniform and the best
    mixture run, at seeds that the swarm has not seen. Finished runs are kept in the ledger: the
    same command goes on where it was. OUTPUT gets search.json, runs.csv (for cuvee mix fit) and report.html.
    """
    from .. import quantities, searching

    if by is not None and flags["domain"] is not None and by != flags["domain"]:
        raise UsageError("--by and --domain mean the same: give one of them.")
    flags["domain"] = by or flags["domain"]
    if by is not None and flags["clusters"] is not None:
        raise UsageError("--clusters mixes clusters instead of the sources that --by names: give one of them.")
    names = ("runs", "iterations", "proxy", "law", "passes", "seeds", "seed", "overlap", "bold", "ledger", "output")
    more = ("over", "clusters", "proposer", "levels", "design", "freeze", "changed")
    asked: dict[str, Any] = {name: flags.pop(name) for name in (*names, *more)}
    asked |= {
        "evaluations": list(evaluations),
        "tokens": quantities.count(tokens) if tokens else None,
        "run_tokens": quantities.count(run_tokens) if run_tokens else None,
        "objective": _objective(objective, "evaluation set"),
        "resample": resamples,
        "eval_bytes": quantities.size(eval_bytes) if eval_bytes else None,
    }
    with running(flags, skip_bad) as common:
        common.pop("show_text")
        if flags["plan_only"]:
            print_plan(searching.plan(pool, **asked, **without(common, "progress")), flags)
            return
        quiet = flags["quiet"] or flags["as_json"]
        say = None if quiet else lambda sentence: click.echo(sentence, err=True)
        result = searching.search_mix(pool, **asked, **common, say=say, command=typed())
        print_result(result.summary, searching.lines(result), flags)


@mix.command("fit", short_help="Learn weights from finished runs.")
@click.argument("runs")
@click.option("--with", "law", default="data_mixing_laws", show_default=True, metavar="LAW", help="See: cuvee methods.")
@click.option("--sources", metavar="NAMES", help="Columns that hold shares [those called mix.NAME].")
@click.option(
    "--loss", "losses", multiple=True, metavar="COLUMN", help="Column of an outcome (repeatable) [loss.NAME]."
)
@click.option("--objective", metavar="SHARES", help="What counts how much: web=0.5,code=0.5 [all outcomes alike].")
@click.option("--arms", metavar="FILE", help="For a ledger: a table with a column 'arm' and each arm's shares.")
@click.option("--sizes", metavar="MIX", help="Tokens of each source: a folder of cuvee mix, or web=10B,code=1B.")
@click.option("--tokens", metavar="N", help="Tokens of the run that is planned; with --sizes, gives passes.")
@click.option("--passes", type=float, metavar="N", help="Go through no source more often than this.")
@click.option("--at", multiple=True, metavar="COLUMN=N", help="Where another column stands (repeatable) [its largest].")
@click.option(
    "--resamples", type=int, metavar="N", help="Resamples for intervals, 20 or more [400; 40 surfaces for trees]."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of resamples and simulated mixtures.")
@click.option(
    "--proposer",
    type=click.Choice(["law", "rounds", "perturbed"]),
    default="law",
    show_default=True,
    help="Look for the best mixture as the law does, by rounds of random ones, or by some near the best of them.",
)
@click.option("--skip-bad", is_flag=True, help="Go on without runs whose outcome is not a finite number.")
@click.option("-o", "--output", default="out/fit", show_default=True, help="Folder for fit.json and the report.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def mix_fit(
    runs: str,
    law: str,
    sources: str | None,
    losses: tuple[str, ...],
    objective: str | None,
    arms: str | None,
    sizes: str | None,
    tokens: str | None,
    passes: float | None,
    at: tuple[str, ...],
    resamples: int | None,
    seed: int,
    proposer: str,
    skip_bad: bool,
    output: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Learn from finished RUNS what a mixture is worth, how far that can be believed, and which mixture to try next.

    \b
    cuvee mix fit runs.csv                     columns mix.web, mix.code, loss.held_out
    cuvee mix fit runs.parquet --with regmix --sizes out/mix --tokens 1B --passes 4
    cuvee mix fit runs.csv --with d_cpt --at share=0.3

    RUNS is a table made by anybody, one row a run, or a ledger's folder with --arms.
    """
    from .. import fitting, quantities
    from ..engine.progress import for_terminal
    from ..mixing import sizes_of

    name, settings = quantities.method_call(law)
    result = fitting.fit_law(
        runs,
        law=name,
        settings=settings,
        sources=[one.strip() for one in sources.split(",")] if sources else None,
        losses=list(losses) or None,
        objective=_objective(objective, "outcome"),
        arms=arms,
        sizes=sizes_of(sizes) if sizes else None,
        tokens=quantities.count(tokens) if tokens else None,
        passes=passes,
        at=quantities.settings(at) if at else None,
        resample=resamples,
        seed=seed,
        proposer=proposer,
        skip_bad=skip_bad,
        output=output,
        progress=for_terminal(quiet or as_json),
        command=typed(),
    )
    print_result(result.summary, fitting.lines(result), {"as_json": as_json})


@mix.command("export", short_help="Write a mix as the configuration that a trainer reads.")
@click.argument("mixture", metavar="MIX", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="TRAINER",
    help="megatron, olmo_core, olmix, nanotron, torchtitan, axolotl, llama_factory, streaming, litdata, grain, seqio, "
    "huggingface, regmix, doremi; or order, for a trainer of your own.",
)
@click.option("--data", multiple=True, metavar="NAME=PLACE", help="Where a source is (repeatable) [data/NAME].")
@click.option("--tokens", metavar="N", help="Tokens of the run [those the mix was planned for].")
@click.option("--sequence-length", type=int, default=4096, show_default=True, help="Tokens of a sequence.")
@click.option("--packed", is_flag=True, help="Examples are packed sequences: no conversion into documents.")
@click.option("--seed", type=int, default=42, show_default=True, help="For trainers that draw.")
@click.option(
    "--schedule",
    metavar="POLICY",
    help="Shares that change in the run: a policy like upsample_end:last=0.2, a file of stages, or a mix.jsonl.",
)
@click.option("--step-tokens", metavar="N", help="Tokens of a training step: stages begin at whole steps.")
@click.option("-o", "--output", default="out/export", show_default=True, help="Folder for the files.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def mix_export(
    mixture: Path,
    to: str,
    data: tuple[str, ...],
    tokens: str | None,
    sequence_length: int,
    packed: bool,
    seed: int,
    schedule: str | None,
    step_tokens: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Write a MIX (the folder of cuvee mix or cuvee mix fit) as the configuration that a trainer reads.

    \b
    cuvee mix export out/mix --to megatron --data web=/data/web_text_document
    cuvee mix export out/fit --to order --tokens 1B --sequence-length 2048
    cuvee mix export out/mix --to nanotron --schedule cooldown:tau=5 --step-tokens 4M

    OUTPUT gets the trainer's files and mixture.json, which says the same for any reader. What the trainer does
    differently from the plan is said; what it cannot do is refused.
    """
    from .. import exporting, quantities

    places = {}
    for part in data:
        name, equals, place = part.partition("=")
        if not equals or not name or not place:
            raise UsageError(f"'{part}' is not a place. Write --data web=/data/web.")
        if name in places:
            raise UsageError(f"--data names '{name}' twice. Give each source one place.")
        places[name] = place
    result = exporting.export_mix(
        mixture,
        to,
        places=places,
        tokens=quantities.count(tokens) if tokens else None,
        sequence=sequence_length,
        packed=packed,
        seed=seed,
        schedule=schedule,
        step_tokens=quantities.count(step_tokens) if step_tokens else None,
        output=output,
    )
    print_result(result.summary, exporting.lines(result), {"as_json": as_json})
