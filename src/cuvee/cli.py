"""The command line: one thin function per verb. Everything heavy is imported when a verb runs, never for --help."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from . import __version__
from .errors import CuveeError, ResourceError, UsageError
from .quantities import shell_line
from .supervisor import INTERRUPTED, supervise

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Verbs(click.Group):
    """Keeps the verbs in the order of a job."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Verbs, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="cuvee")
def cli() -> None:
    """cuvee decides what a model trains on, and proves that it helped.

    \b
    Point it at a pool of documents, perhaps at a small target set, and give a budget:
      cuvee profile pool/*.parquet
      cuvee guard   pool/ -o unique/
      cuvee select  pool/ --target target.jsonl --with dsir --tokens 1B -o kept/
      cuvee write   kept/ --format parquet -o train/
      cuvee prove   kept/ --eval held-out.jsonl --seeds 8

    Try it without any data of your own: cuvee demo
    """


def options(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several click options as one decorator."""

    def apply(function: Any) -> Any:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


READING = options(
    click.option("--text", metavar="COLUMN", help="Text column [found by convention: text, content, ...]."),
    click.option("--id", "id_", metavar="COLUMN", help="Id column [id, doc_id, ...]; 'none' goes without."),
    click.option("--domain", metavar="COLUMN", help="Domain column [domain, source, ...]; 'none' goes without."),
    click.option("--token-column", metavar="COLUMN", help="Column with token counts [token_count, ...]."),
    click.option("--embedding", metavar="COLUMN", help="Embedding column."),
    click.option("--label", metavar="COLUMN", help="Label column."),
    click.option("--tokenizer", metavar="FILE", help="A tokenizer.json to count tokens with [1 token = 4 bytes]."),
    click.option(
        "--key",
        type=click.Choice(["id", "content"], case_sensitive=False),
        default="id",
        show_default=True,
        help="What identifies a row.",
    ),
)
RUNNING = options(
    click.option(
        "--workers", type=click.IntRange(0), default=0, help="Threads; 0 takes every core. Never changes a result."
    ),
    click.option(
        "--on",
        type=click.Choice(["local", "ray"], case_sensitive=False),
        default="local",
        show_default=True,
        help="Run on this machine's threads, or on a Ray cluster: that of RAY_ADDRESS, or one started here.",
    ),
    click.option(
        "--memory", metavar="SIZE", help="Use at most about this much memory, like 1GB; refuse if it cannot be."
    ),
    click.option("--cache", metavar="FOLDER", help="Where finished work is kept for the next run [~/.cache/cuvee]."),
    click.option("--plan", "plan_only", is_flag=True, help="Say what would be read and written, and stop."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."),
    click.option("--no-text", is_flag=True, help="Leave all texts out of the report (confidential pools)."),
    click.option("--quiet", "-q", is_flag=True, help="No progress."),
)


@cli.command(short_help="Look into a pool: lengths, domains, duplicates, bad rows.")
@click.argument("pool", nargs=-1, required=True)
@click.option("-o", "--output", default="out/profile", show_default=True, help="Folder for the report.")
@READING
@RUNNING
def profile(pool: tuple[str, ...], output: str, **flags: Any) -> None:
    """Look into a pool: rows, lengths, domains, languages, duplicates, the typical and the strange.

    \b
    cuvee profile pool.jsonl
    cuvee profile data/*.parquet --text body --domain subset

    Rows that cannot be used are counted and listed in OUTPUT/rejects.jsonl with file, line and reason.
    """
    from . import profiling

    with _running(flags) as common:
        if flags["plan_only"]:
            _print_plan(profiling.plan(pool, output=output, **_without(common, "progress", "show_text")), flags)
            return
        result = profiling.profile(pool, output=output, command=_command(), **common)
        _print(result.summary, profiling.lines(result), flags)


@cli.command(short_help="Choose a training set from a pool within a budget.")
@click.argument("pool", nargs=-1, required=True)
@click.option("--target", "-t", multiple=True, help="Documents like those you want (repeatable).")
@click.option(
    "--with",
    "method",
    default=None,
    metavar="METHOD",
    help="Method, like dsir or zipfit:level=9 [dsir with a target, else random]. Several, like dsir,classifier, are "
    "combined. See: cuvee methods.",
)
@click.option(
    "--combine",
    metavar="RULE",
    help="How several scores become one: rank, min, filter:top=0.5, learned.",
)
@click.option(
    "--choose",
    metavar="RULE",
    help="How to choose by the score, like gumbel:temperature=2: top_k, gumbel, poisson, soft_cap, threshold, "
    "keep_probability [the method's own].",
)
@click.option(
    "--quota",
    metavar="SHARES",
    help="Budget by domain: code=0.3,web=0.7 (scaled to sum to 1), or proportional, or uniform.",
)
@click.option("--tokens", metavar="N", help="Budget in tokens, like 2M or 1B.")
@click.option("--rows", metavar="N", help="Budget in rows.")
@click.option("--bytes", "size", metavar="SIZE", help="Budget in bytes of text, like 500MB.")
@click.option("--fraction", metavar="SHARE", help="Budget as a share of the pool's tokens, like 0.1 or 10%.")
@click.option("--model", metavar="FOLDER", help="Make embeddings with this model, for methods on embeddings.")
@click.option("--seed", type=int, default=0, show_default=True, help="The only source of randomness.")
@click.option("-o", "--output", default="out/select", show_default=True, help="Folder for selection, plan and report.")
@click.option("--skip-bad", is_flag=True, help="Go on without rows that cannot be used; they are counted and listed.")
@READING
@RUNNING
def select(
    pool: tuple[str, ...],
    target: tuple[str, ...],
    method: str | None,
    combine: str | None,
    choose: str | None,
    quota: str | None,
    tokens: str | None,
    rows: str | None,
    size: str | None,
    fraction: str | None,
    seed: int,
    output: str,
    skip_bad: bool,
    **flags: Any,
) -> None:
    """Choose a training set from POOL within a budget.

    \b
    cuvee select pool/ --target target.jsonl --tokens 2M
    cuvee select pool/ --target t.jsonl --with zipfit:mode=pooled --fraction 10% -o kept/
    cuvee select pool/ --with perplexity --rows 50k --quota uniform
    cuvee select pool/ -t t.jsonl --with dsir,rds_plus --combine rank --tokens 2M
    cuvee select pool/ --with random --tokens 2M            the baseline to beat

    OUTPUT gets selection.parquet (which rows, why), plan.json (how, digests, seed, citations) and report.html.
    The digest is the same for any number of workers and any cut of the same rows into files.
    """
    from . import planning, quantities, selecting

    with _running(flags, skip_bad) as common:
        calls = quantities.method_calls(method or ("dsir" if target else "random"))
        name, settings = calls[0] if len(calls) == 1 else tuple(map(list, zip(*calls, strict=True)))
        together, together_settings = quantities.method_call(combine) if combine else (None, {})
        rule, rule_settings = quantities.method_call(choose) if choose else (None, {})
        asked: dict[str, Any] = {
            "target": target or None,
            "method": name,
            "settings": settings,
            "combine": together,
            "combine_settings": together_settings,
            "choose": rule,
            "choose_settings": rule_settings,
            "quota": quantities.shares(quota) if quota else None,
            "tokens": quantities.count(tokens) if tokens else None,
            "rows": quantities.count(rows) if rows else None,
            "bytes": quantities.size(size) if size else None,
            "fraction": quantities.fraction(fraction) if fraction else None,
            "seed": seed,
            "output": output,
        }
        if flags["plan_only"]:
            _print_plan(planning.plan_selection(pool, **asked, **_without(common, "progress", "show_text")), flags)
            return
        result = selecting.select(pool, **asked, command=_command(), **common)
        _print(result.summary, selecting.lines(result), flags)


@cli.command(short_help="Have documents rated by a language model, for --with dataman.")
@click.argument("pool", nargs=-1, required=True)
@click.option(
    "--endpoint", required=True, metavar="URL", help="An OpenAI-compatible API, like http://127.0.0.1:8000/v1."
)
@click.option("--model", required=True, metavar="NAME", help="Which of its models.")
@click.option("--rows", metavar="N", default="1k", show_default=True, help="How many documents, drawn at random.")
@click.option(
    "--prompt", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Another wording, with {text}."
)
@click.option("--key-variable", default="OPENAI_API_KEY", show_default=True, help="Environment variable with the key.")
@click.option("--at-once", type=click.IntRange(1, 256), default=4, show_default=True, help="Requests at a time.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds for each request.")
@click.option("--tries", type=click.IntRange(1), default=5, show_default=True, help="How often a request is tried.")
@click.option("--most-bytes", metavar="SIZE", default="8KB", show_default=True, help="Longer documents are cut.")
@click.option("--price-in", type=float, metavar="AMOUNT", help="Price of a million tokens sent, for the estimate.")
@click.option("--price-out", type=float, metavar="AMOUNT", help="Price of a million tokens received.")
@click.option("--yes", is_flag=True, help="Begin. Without it only the cost is told.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which documents are drawn.")
@click.option("-o", "--output", default="out/rate", show_default=True, help="Folder for ratings and answers.")
@READING
@RUNNING
def rate(pool: tuple[str, ...], rows: str, prompt: Path | None, most_bytes: str, yes: bool, **flags: Any) -> None:
    """Have documents of POOL rated on fourteen criteria by a language model behind an HTTP endpoint.

    \b
    cuvee rate pool/ --endpoint http://127.0.0.1:8000/v1 --model rater --rows 2k          the cost
    cuvee rate pool/ --endpoint http://127.0.0.1:8000/v1 --model rater --rows 2k --yes    the ratings
    cuvee select pool/ --with dataman:ratings=out/rate/ratings.parquet --tokens 2M

    OUTPUT gets ratings.parquet, rating.json, and answers.jsonl, to which every answer is added as it comes: the same
    command again asks only for what is missing.
    """
    from . import quantities
    from .rating import job, wording

    names = (
        "endpoint",
        "model",
        "key_variable",
        "at_once",
        "timeout",
        "tries",
        "price_in",
        "price_out",
        "seed",
        "output",
    )
    asked: dict[str, Any] = {name: flags.pop(name) for name in names}
    asked |= {"rows": quantities.count(rows), "max_bytes": quantities.size(most_bytes)}
    asked["prompt"] = wording.read_prompt(prompt) if prompt else ""
    with _running(flags) as common:
        common.pop("show_text")
        result = job.rate(pool, **asked, start=yes and not flags["plan_only"], **common)
        _print(result.summary, wording.lines(result, _command()), flags)


@cli.command(short_help="Leave out rows that repeat others, exactly or nearly.")
@click.argument("pool", nargs=-1, required=True)
@click.option(
    "--duplicates",
    type=click.Choice(["near", "exact"]),
    default="near",
    show_default=True,
    help="What to look for; near includes exact.",
)
@click.option(
    "--preset",
    metavar="NAME",
    help="How MinHash is set, like fineweb or cuvee:n=13,permutations=256: cuvee, fineweb, refinedweb, slimpajama, "
    "data-juicer, nemo-curator [cuvee].",
)
@click.option(
    "--threshold",
    type=float,
    metavar="J",
    help="Near-duplicates share at least this much of their n-grams, by estimate; 0 takes every candidate "
    "[0.8 for cuvee, 0 for other presets].",
)
@click.option(
    "--normal",
    type=click.Choice(["bytes", "space", "punctuation", "digits"]),
    default="space",
    show_default=True,
    help="What exact comparison passes over: nothing; case and white space; signs, too; differing numbers, too.",
)
@click.option(
    "--scope",
    type=click.Choice(["global", "domain"]),
    default="global",
    show_default=True,
    help="Compare all rows, or only those of the same domain.",
)
@click.option(
    "--keep",
    type=click.Choice(["first", "longest", "random"]),
    default="first",
    show_default=True,
    help="Which rows of a cluster stay: the pool's first, the longest, or some drawn by --seed.",
)
@click.option("--copies", type=int, default=1, show_default=True, help="How many rows of a cluster stay.")
@click.option("--record", is_flag=True, help="Keep every row, and only record how often it occurs.")
@click.option("--seed", type=int, default=0, show_default=True, help="What --keep random keeps.")
@click.option("-o", "--output", default="out/guard", show_default=True, help="Folder for selection, clusters, report.")
@click.option("--skip-bad", is_flag=True, help="Go on without rows that cannot be used; they are counted and listed.")
@READING
@RUNNING
def guard(pool: tuple[str, ...], preset: str | None, skip_bad: bool, **flags: Any) -> None:
    """Find the rows of POOL that repeat others, exactly or nearly, and choose the pool without them.

    \b
    cuvee guard pool/                                    pairs that share 80 % of their word 5-grams
    cuvee guard pool/ --duplicates exact                 equal but for case and white space
    cuvee guard pool/ --preset fineweb --scope domain    as FineWeb did, each crawl (domain) by itself
    cuvee guard pool/ --threshold 0.9 --keep longest -o unique/
    cuvee guard pool/ --copies 3                         cap repetition instead of ending it
    cuvee guard pool/ --record                           remove nothing, look at clusters.parquet

    OUTPUT gets selection.parquet (which rows stay, for cuvee write and cuvee prove), clusters.parquet (row, cluster,
    n_copies of every row that has copies), plan.json and report.html. The digest is the same for any number of workers
    and any cut of the same rows into files.
    """
    from . import near_duplicates, quantities

    names = ("duplicates", "threshold", "normal", "scope", "keep", "copies", "record", "seed", "output")
    asked: dict[str, Any] = {name: flags.pop(name) for name in names}
    if preset is not None:
        asked["preset"], asked["settings"] = quantities.method_call(preset, "--preset")
    with _running(flags, skip_bad) as common:
        if flags["plan_only"]:
            _print_plan(near_duplicates.plan(pool, **asked, **_without(common, "progress", "show_text")), flags)
            return
        result = near_duplicates.guard(pool, **asked, command=_command(), **common)
        _print(result.summary, near_duplicates.lines(result), flags)


@cli.command(short_help="Write the documents of a selection for a trainer.")
@click.argument("selection", type=click.Path(path_type=Path))
@click.option("-o", "--output", help="Folder or address (s3://...) for the documents [SELECTION-data].")
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma"], case_sensitive=False),
    default="parquet",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--shard", metavar="SIZE", default="256MB", show_default=True, help="Begin a new file after this much on disk."
)
@click.option("--shuffle", type=int, metavar="SEED", default=None, help="Write in a random order keyed by this seed.")
@click.option(
    "--part", metavar="I/N", help="Write only the I-th of N equal runs, with --shuffle of the shuffled order."
)
@click.option("--cache", metavar="FOLDER", help="Where finished work is kept for the next run [~/.cache/cuvee].")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def write(
    selection: Path,
    output: str | None,
    form: str,
    shard: str,
    shuffle: int | None,
    part: str | None,
    cache: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the documents of a SELECTION, in the pool's own columns, ready for a trainer.

    \b
    cuvee write kept/ --format jsonl.zst -o train/
    cuvee write kept/ --part 3/16 -o train/03      one of sixteen, on any machine that sees the pool
    """
    from . import quantities
    from .engine.progress import for_terminal
    from .engine.store import Store
    from .feed.write import write_selection
    from .source.retry import teller

    _check_cache(cache)
    progress = for_terminal(quiet or as_json)
    teller.say = progress.say
    try:
        target = output or selection.with_name(selection.name + "-data")
        result = write_selection(
            selection,
            target,
            format=form,  # type: ignore[arg-type]
            shard_bytes=quantities.size(shard),
            progress=progress,
            order="pool" if shuffle is None else "shuffled",
            seed=shuffle or 0,
            part=quantities.part(part) if part else (1, 1),
            store=Store(Path(cache) if cache else None),
        )
    finally:
        progress.close()
    from .report.terminal import plural, safe, size, width

    if as_json:
        click.echo(
            json.dumps(
                {
                    "output": str(target),
                    "rows": result.rows,
                    "tokens": result.tokens,
                    "files": [str(f) for f in result.files],
                    "bytes": result.bytes,
                    "notes": list(result.notes),
                }
            )
        )
        return
    amount = f"{plural(result.rows, 'document')} ({plural(result.tokens, 'token')}, {size(result.bytes)} on disk)"
    said, place = f"Wrote {amount} in {plural(len(result.files), 'file')} to", safe(str(target), 60)
    click.echo(f"{said} {place}" if width(f"{said} {place}") <= 80 else f"{said}\n  {place}")
    for note in result.notes:
        click.echo(f"  {safe(str(note), 76)}")


@cli.command(short_help="Train small models to see whether a selection helps.")
@click.argument("selections", nargs=-1, required=True, metavar="SELECTION...")
@click.option(
    "--eval",
    "-e",
    "evaluations",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Held-out documents that no arm may train on (repeatable). Subgroups by their domain column.",
)
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
@click.option(
    "--overlap",
    type=click.Choice(["clean", "refuse", "ignore"]),
    default="clean",
    show_default=True,
    help="Documents of the pool that hold evaluation text: leave them out of all arms, stop, or go on.",
)
@click.option("--holdout", is_flag=True, help="Answer through a reusable holdout, for one set consulted many times.")
@click.option("--skip-bad", is_flag=True, help="Go on without evaluation examples that cannot be used.")
@click.option("--eval-bytes", metavar="SIZE", help="Use at most so much of an evaluation set [by proxy].")
@click.option("--ledger", default="out/ledger", show_default=True, help="Folder where finished trials are kept.")
@click.option("--gpus", type=click.FloatRange(0), default=0.0, help="GPUs for each trial, with --on ray [0].")
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
    from . import proving, quantities

    names = ("seeds", "seed", "proxy", "epochs", "equal", "margin", "effect", "stop_early", "overlap", "holdout")
    asked: dict[str, Any] = {name: flags.pop(name) for name in (*names, "ledger", "output")}
    asked |= {
        "evaluations": list(evaluations),
        "against": list(against) or None,
        "policies": list(policy),
        "tokens": quantities.count(tokens) if tokens else None,
        "eval_bytes": quantities.size(eval_bytes) if eval_bytes else None,
    }
    unused = dict.fromkeys(("id_", "token_column", "tokenizer"))
    with _running({**flags, **unused, "key": "id"}, skip_bad) as common:
        if flags["plan_only"]:
            _print_plan(proving.plan(selections, **asked, **_without(common, "progress", "show_text")), flags)
            return
        quiet = flags["quiet"] or flags["as_json"]
        say = None if quiet else lambda sentence: click.echo(sentence, err=True)
        result = proving.prove(selections, **asked, **common, say=say, command=_command())
        _print(result.summary, proving.lines(result), flags)
    if require and not result.better:
        raise SystemExit(1)


class Mixing(Verbs):
    """``cuvee mix POOL`` without a verb's name is ``cuvee mix pool POOL``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["pool", *args]
        return super().parse_args(ctx, args)


@cli.group(cls=Mixing, short_help="Decide how much of each source a run sees, and tell a trainer.")
def mix() -> None:
    """Decide how much of each source goes into a training run, and how often it is repeated.

    \b
    cuvee mix pool/ --by domain --tokens 1B                weights, tokens, passes
    cuvee mix pool/ --by domain --with temperature:tau=3.3
    cuvee mix search pool/ --by domain --eval held.jsonl   learn weights from small runs, and try them
    cuvee mix fit runs.csv                                 learn weights from finished runs
    cuvee mix export out/mix --to megatron                 the configuration that a trainer reads

    A pool in a folder called search, fit or export is named ./search, ./fit or ./export.
    """


@mix.command("pool", short_help="(the default) Weights, tokens and passes of each source, from sizes alone.")
@click.argument("pool", nargs=-1, required=True)
@click.option("--by", metavar="COLUMN", help="Column that names the sources; the same as --domain.")
@click.option("--with", "method", metavar="MIX", help="Static mix, like unimax:epochs=4 [unimax]. See: cuvee methods.")
@click.option("--weights", metavar="SHARES", help="Your own weights that sum to 1: code=0.3,web=0.7.")
@click.option("--tokens", metavar="N", help="Tokens of the run, like 2M or 1B [as many as the pool has].")
@click.option("--passes", type=float, metavar="N", help="Go through no source more often than this.")
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
    **flags: Any,
) -> None:
    """Decide from sizes alone how many tokens of each source a run sees, and how often it goes through it.

    \b
    cuvee mix pool/ --by domain --with unimax:epochs=4 --tokens 1B
    cuvee mix pool/ --weights web=0.6,code=0.4 --tokens 1B

    OUTPUT gets mix.json and report.html. What proportional and uniform mixes would give is always shown beside.
    """
    from . import mixing, planning, quantities
    from .layout import MIX, REJECTS, REPORT

    if by is not None and flags["domain"] is not None and by != flags["domain"]:
        raise UsageError("--by and --domain mean the same: give one of them.")
    flags["domain"] = by or flags["domain"]
    with _running(flags) as common:
        name, settings = quantities.method_call(method) if method else (None, {})
        asked: dict[str, Any] = {
            "method": name,
            "settings": settings,
            "weights": quantities.weights(weights) if weights else None,
        }
        if flags["plan_only"]:
            chosen = mixing.choose_mix(**asked)
            plan = planning.planned(pool, common["reading"], common["cache"], common["workers"], 1)
            written = [str(Path(output) / name) for name in (MIX, REPORT, REJECTS)]
            _print_plan({**plan, "mix": str(chosen), "writes": written}, flags)
            return
        amount = quantities.count(tokens) if tokens else None
        result = mixing.mix_sources(
            pool,
            **asked,
            tokens=amount,
            passes=passes,
            output=output,
            command=_command(),
            **_without(common, "show_text"),
        )
        _print(result.summary, mixing.lines(result), flags)


@mix.command("search", short_help="Learn weights from a swarm of small runs, and try them.")
@click.argument("pool", nargs=-1, required=True)
@click.option(
    "--eval",
    "-e",
    "evaluations",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Held-out documents like those the model is for (repeatable).",
)
@click.option("--by", metavar="COLUMN", help="Column that names the sources; the same as --domain.")
@click.option("--runs", type=int, default=64, show_default=True, help="In the swarm, several seeds of two included.")
@click.option("--iterations", type=int, default=1, show_default=True, help="Rounds: later ones look around the best.")
@click.option(
    "--proxy", default="ngram", show_default=True, metavar="PROXY", help="What is trained, like transformer:size=1M."
)
@click.option("--law", default="optimal_mixtures", show_default=True, metavar="LAW", help="See: cuvee methods.")
@click.option("--tokens", metavar="N", help="Tokens of the run that is planned, like 1B [as many as the pool has].")
@click.option("--run-tokens", metavar="N", help="Tokens of a run of the swarm [what suits the proxy].")
@click.option("--passes", type=float, default=4.0, show_default=True, help="Go through no source more often than this.")
@click.option("--seeds", type=int, default=8, show_default=True, help="Of the proposal's trial; 0 leaves it out.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first seed of the swarm.")
@click.option("--objective", metavar="SHARES", help="Weight of each evaluation set: web=0.7,code=0.3 [alike].")
@click.option(
    "--overlap",
    type=click.Choice(["clean", "refuse", "ignore"]),
    default="clean",
    show_default=True,
    help="Documents of the pool that hold evaluation text: leave them out, stop, or go on.",
)
@click.option("--bold", is_flag=True, help="Propose the law's optimum, shown to be better than proportional or not.")
@click.option("--resamples", type=int, metavar="N", help="Bootstrap resamples for intervals [100; 40 for trees].")
@click.option("--eval-bytes", metavar="SIZE", help="Use at most so much of an evaluation set [by proxy].")
@click.option("--skip-bad", is_flag=True, help="Go on without evaluation examples that cannot be used.")
@click.option("--ledger", default="out/ledger", show_default=True, help="Folder where finished trials are kept.")
@click.option("--gpus", type=click.FloatRange(0), default=0.0, help="GPUs for each trial, with --on ray [0].")
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

    Random mixtures are trained, a law is fitted to their losses, and a mixture between proportional and the law's
    optimum, as far from proportional as is shown to be worth it, is trained against proportional, uniform and the best
    mixture run, at seeds that the swarm has not seen. Finished runs are kept in the ledger: the
    same command goes on where it was. OUTPUT gets search.json, runs.csv (for cuvee mix fit) and report.html.
    """
    from . import quantities, searching

    if by is not None and flags["domain"] is not None and by != flags["domain"]:
        raise UsageError("--by and --domain mean the same: give one of them.")
    flags["domain"] = by or flags["domain"]
    names = ("runs", "iterations", "proxy", "law", "passes", "seeds", "seed", "overlap", "bold", "ledger", "output")
    asked: dict[str, Any] = {name: flags.pop(name) for name in names}
    weights = quantities.weights(objective) if objective else None
    asked |= {
        "evaluations": list(evaluations),
        "tokens": quantities.count(tokens) if tokens else None,
        "run_tokens": quantities.count(run_tokens) if run_tokens else None,
        "objective": {name: float(value) for name, value in weights.items()} if weights else None,
        "resample": resamples,
        "eval_bytes": quantities.size(eval_bytes) if eval_bytes else None,
    }
    with _running(flags, skip_bad) as common:
        common.pop("show_text")
        if flags["plan_only"]:
            _print_plan(searching.plan(pool, **asked, **_without(common, "progress")), flags)
            return
        quiet = flags["quiet"] or flags["as_json"]
        say = None if quiet else lambda sentence: click.echo(sentence, err=True)
        result = searching.search_mix(pool, **asked, **common, say=say, command=_command())
        _print(result.summary, searching.lines(result), flags)


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
@click.option("--resamples", type=int, metavar="N", help="Bootstrap resamples for intervals [400; 40 for trees].")
@click.option("--seed", type=int, default=0, show_default=True, help="Of resamples and simulated mixtures.")
@click.option("--skip-bad", is_flag=True, help="Go on without runs whose outcome is not a finite number.")
@click.option("-o", "--output", default="out/fit", show_default=True, help="Folder for fit.json and the report.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
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
    skip_bad: bool,
    output: str,
    as_json: bool,
) -> None:
    """Learn from finished RUNS what a mixture is worth, how far that can be believed, and which mixture to try next.

    \b
    cuvee mix fit runs.csv                     columns mix.web, mix.code, loss.held_out
    cuvee mix fit runs.parquet --with regmix --sizes out/mix --tokens 1B --passes 4
    cuvee mix fit runs.csv --with d_cpt --at share=0.3

    RUNS is a table made by anybody, one row a run, or a ledger's folder with --arms.
    """
    from . import fitting, quantities
    from .mixing import sizes_of

    name, settings = quantities.method_call(law)
    result = fitting.fit_law(
        runs,
        law=name,
        settings=settings,
        sources=[one.strip() for one in sources.split(",")] if sources else None,
        losses=list(losses) or None,
        objective={key: float(value) for key, value in quantities.weights(objective).items()} if objective else None,
        arms=arms,
        sizes=sizes_of(sizes) if sizes else None,
        tokens=quantities.count(tokens) if tokens else None,
        passes=passes,
        at=quantities.settings(at) if at else None,
        resample=resamples,
        seed=seed,
        skip_bad=skip_bad,
        output=output,
        command=_command(),
    )
    _print(result.summary, fitting.lines(result), {"as_json": as_json})


@mix.command("export", short_help="Write a mix as the configuration that a trainer reads.")
@click.argument("mixture", metavar="MIX", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="TRAINER",
    help="megatron, olmo_core, nanotron, torchtitan, axolotl, llama_factory, streaming, grain, huggingface; or order, "
    "for a trainer of your own.",
)
@click.option("--data", multiple=True, metavar="NAME=PLACE", help="Where a source is (repeatable) [data/NAME].")
@click.option("--tokens", metavar="N", help="Tokens of the run, where the mix does not say.")
@click.option("--sequence-length", type=int, default=4096, show_default=True, help="Tokens of a sequence.")
@click.option("--packed", is_flag=True, help="Examples are packed sequences: no conversion into documents.")
@click.option("--seed", type=int, default=42, show_default=True, help="For trainers that draw.")
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
    output: str,
    as_json: bool,
) -> None:
    """Write a MIX (the folder of cuvee mix or cuvee mix fit) as the configuration that a trainer reads.

    \b
    cuvee mix export out/mix --to megatron --data web=/data/web_text_document
    cuvee mix export out/fit --to order --tokens 1B --sequence-length 2048

    OUTPUT gets the trainer's files and mixture.json, which says the same for any reader. What the trainer does
    differently from the plan is said; what it cannot do is refused.
    """
    from . import exporting, quantities

    places = {}
    for part in data:
        name, equals, place = part.partition("=")
        if not equals or not name or not place:
            raise UsageError(f"'{part}' is not a place. Write --data web=/data/web.")
        places[name] = place
    result = exporting.export_mix(
        mixture,
        to,
        places=places,
        tokens=quantities.count(tokens) if tokens else None,
        sequence=sequence_length,
        packed=packed,
        seed=seed,
        output=output,
    )
    _print(result.summary, exporting.lines(result), {"as_json": as_json})


@cli.command(short_help="List the methods, or explain one.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def methods(name: str | None, as_json: bool) -> None:
    """List the methods, or explain one: what it does, its parameters, its paper.

    \b
    cuvee methods
    cuvee methods dsir
    """
    from . import describing

    if name is None:
        table = describing.table()
        click.echo(json.dumps(table, indent=1) if as_json else describing.as_text(table))
    else:
        facts = describing.facts(name)
        click.echo(json.dumps(facts, indent=1) if as_json else describing.page(facts))


@cli.command(short_help="Profile, select and prove on a pool that comes along.")
@click.option("-o", "--output", default="out/demo", show_default=True, help="Folder for the results.")
@click.option("--seeds", type=click.IntRange(2), default=8, show_default=True, help="Trials of every arm of a proof.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Threads; 0 takes every core.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def demo(output: str, seeds: int, workers: int, quiet: bool) -> None:
    """Run the main job on the pool that comes with cuvee: profile, select, compare with random, and prove it."""
    from . import demonstration
    from .engine.progress import for_terminal

    progress = for_terminal(quiet)
    try:
        demonstration.run(Path(output), seeds, workers, progress, click.echo)
    finally:
        progress.close()


@cli.command(short_help="Say where finished work is kept, or remove it.")
@click.option("--clear", is_flag=True, help="Remove everything that no running command uses.")
@click.option("--cache", metavar="FOLDER", help="Which cache [~/.cache/cuvee].")
def cache(clear: bool, cache: str | None) -> None:
    """Say where finished work is kept for the next run, and how much; or remove it."""
    from .engine.store import Store
    from .report.terminal import safe

    store = Store(Path(cache) if cache else None)
    if clear:
        removed = store.clear()
        click.echo(f"Removed {removed / 1e6:,.1f} MB from {safe(str(store.root), 60)}")
    else:
        click.echo(f"{store.used() / 1e6:,.1f} MB in {safe(str(store.root), 60)}")


def _command() -> str:
    """The command line as it can be typed again. Needs no import, so that an interrupt may come at any time."""
    return shell_line(["cuvee", *sys.argv[1:]])


def _check_cache(cache: str | None) -> None:
    """Refuse a folder for the cache that cannot be made; one that cannot be written is refused when it is."""
    from .engine.store import Store

    folder = Store(Path(cache) if cache else None).root
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError):
        pass
    except OSError as error:
        raise ResourceError(
            f"The cache folder {folder} cannot be made: {error.strerror or error}. Name another with --cache."
        ) from error


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


@contextlib.contextmanager
def _running(flags: dict[str, Any], skip_bad: bool = True) -> Iterator[dict[str, Any]]:
    """The keyword arguments that profile and select share; closes the progress display at the end."""
    from . import quantities
    from .engine.memory import workers_within
    from .engine.progress import for_terminal
    from .pool import Reading
    from .source.retry import teller

    reading = Reading(
        text=flags["text"],
        id=flags["id_"],
        domain=flags["domain"],
        tokens=flags["token_column"],
        embedding=flags["embedding"],
        label=flags["label"],
        tokenizer=flags["tokenizer"],
        key=flags["key"],
        skip_bad=skip_bad,
        model=flags.get("model"),
    )
    _check_cache(flags["cache"])
    workers = flags["workers"]
    if flags["memory"]:
        workers = workers_within(quantities.size(flags["memory"]), workers)
    with contextlib.ExitStack() as stack:
        executor: dict[str, Any] = {}
        if flags["on"] == "ray":
            from .engine import ray, ray_cluster

            stack.enter_context(ray_cluster.quietly())
        progress = for_terminal(flags["quiet"] or flags["as_json"])
        teller.say = progress.say
        if flags["on"] == "ray" and not flags["plan_only"]:
            executor["executor"] = stack.enter_context(ray.Ray(workers, gpus=flags.get("gpus") or 0.0))
        elif flags["on"] == "ray":
            workers = ray.planned(workers)[1] or workers
        stack.callback(progress.close)
        yield {
            **executor,
            "reading": reading,
            "workers": workers,
            "cache": flags["cache"],
            "progress": progress,
            "show_text": not flags["no_text"],
        }


def _print(summary: dict[str, Any], lines: list[str], flags: dict[str, Any]) -> None:
    if flags["as_json"]:
        click.echo(json.dumps(summary, ensure_ascii=True, allow_nan=False))
    else:
        for line in lines:
            click.echo(line)


def _print_plan(plan: dict[str, Any], flags: dict[str, Any]) -> None:
    if flags.get("on") == "ray":
        from .engine.ray import planned

        said, joined = planned(flags["workers"])
        plan = {**_without(plan, "memory" if joined else ""), "ray": said}  # the memory is that of other machines
    if flags["as_json"]:
        click.echo(json.dumps(plan))
        return
    from .report.terminal import safe

    for name, value in plan.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        wrapped = textwrap.wrap(safe(shown, 400), 69, break_on_hyphens=False, max_lines=4, placeholder=" …")
        for at, part in enumerate(wrapped or [""]):
            click.echo(f"{name if at == 0 else '':<10} {part}")


def _fail(message: str, status: int) -> NoReturn:
    from .report.terminal import safe

    with contextlib.suppress(OSError):
        click.echo(f"error: {safe(message, 2000)}", err=True)
    raise SystemExit(status)


def run() -> None:
    """Run the command line in this process and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without the characters of a chart gets question marks
            stream.reconfigure(errors="replace")
    warnings.showwarning = _warn
    try:
        # not cli.main(), which makes "aborted" of an interrupt and status 1 of a closed pipe
        with cli.make_context("cuvee", sys.argv[1:]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        _show(error)
        raise SystemExit(UsageError.exit_status) from None
    except CuveeError as error:
        _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        _fail(f"interrupted; finished parts are kept. Go on with: {_command()}", INTERRUPTED)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except MemoryError:
        _fail("memory ran out. Use fewer --workers, or give --memory.", ResourceError.exit_status)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}. Run the same command again to go on.", ResourceError.exit_status)
    raise SystemExit(0)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A library's warning, on a line."""
    from .report.terminal import safe

    with contextlib.suppress(OSError):
        click.echo(f"warning: {safe(message, 2000)}", err=True)


def _show(error: click.ClickException) -> None:
    """What click says about a wrong command line, which it may quote: nothing may reach the terminal as it is."""
    from .report.terminal import safe

    told = io.StringIO()
    error.show(told)
    with contextlib.suppress(OSError):
        for line in told.getvalue().splitlines():
            click.echo(safe(line, 2000), err=True)


def main() -> NoReturn:
    """The ``cuvee`` command."""
    supervise(run)


if __name__ == "__main__":
    main()
