"""Verbs on a pool and on what was chosen of it: profile, select, rate, guard, write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from .group import cli
from .shared import READING, RUNNING, check_cache, print_plan, print_result, running, typed, without


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
    from .. import profiling

    with running(flags) as common:
        if flags["plan_only"]:
            print_plan(profiling.plan(pool, output=output, **without(common, "progress", "show_text")), flags)
            return
        result = profiling.profile(pool, output=output, command=typed(), **common)
        print_result(result.summary, profiling.lines(result), flags)


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
    help="How to choose, like gumbel:temperature=2. By the score: top_k, gumbel, poisson, soft_cap, copies, simans, "
    "threshold; clusters: cluster_clip, kmq; vectors: k_center, herding, facility_location, volume, d_optimal; "
    "perplexity: keep_probability. See: cuvee methods choose [the method's own].",
)
@click.option(
    "--quota",
    metavar="SHARES",
    help="Budget by domain: code=0.3,web=0.7 (scaled to sum to 1; 'web/*' for all that begin so), or proportional, or "
    "uniform.",
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
    from .. import planning, quantities, selecting

    with running(flags, skip_bad) as common:
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
            print_plan(planning.plan_selection(pool, **asked, **without(common, "progress", "show_text")), flags)
            return
        result = selecting.select(pool, **asked, command=typed(), **common)
        print_result(result.summary, selecting.lines(result), flags)


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
    from .. import quantities
    from ..rating import job, wording

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
    with running(flags) as common:
        common.pop("show_text")
        result = job.rate(pool, **asked, start=yes and not flags["plan_only"], **common)
        print_result(result.summary, wording.lines(result, typed()), flags)


def _only_within(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> None:
    """Say where what is asked for is to be had: guard has nothing to compare a pool with."""
    if value:
        raise UsageError(
            f"cuvee guard compares the rows of a pool with one another, so it has no {parameter.opts[0]}. Copies of "
            "evaluation sets are found, and kept out of training, by cuvee prove and cuvee mix search (--eval)."
        )


@cli.command(short_help="Leave out rows that repeat others, exactly or nearly.")
@click.argument("pool", nargs=-1, required=True)
@click.option("--against", multiple=True, hidden=True, expose_value=False, callback=_only_within)
@click.option("--eval", "-e", multiple=True, hidden=True, expose_value=False, callback=_only_within)
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
    help="How MinHash is set, like fineweb or cuvee:n=13,permutations=256: cuvee, fineweb, refinedweb, lee, "
    "slimpajama, data-juicer, nemo-curator [cuvee].",
)
@click.option(
    "--threshold",
    type=float,
    metavar="J",
    help="Near-duplicates share at least this much of their n-grams, by estimate; 0 takes every candidate "
    "[0.8 for cuvee and lee, 0 for other presets].",
)
@click.option(
    "--edit",
    type=float,
    metavar="E",
    help="Look at the texts of candidates again: they must share this much in the same order, 0.5 to below 1; 0 does "
    "not look [0.8 for lee, else 0].",
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
    from .. import near_duplicates, quantities

    names = ("duplicates", "threshold", "edit", "normal", "scope", "keep", "copies", "record", "seed", "output")
    asked: dict[str, Any] = {name: flags.pop(name) for name in names}
    if preset is not None:
        asked["preset"], asked["settings"] = quantities.method_call(preset, "--preset")
    with running(flags, skip_bad) as common:
        if flags["plan_only"]:
            print_plan(near_duplicates.plan(pool, **asked, **without(common, "progress", "show_text")), flags)
            return
        result = near_duplicates.guard(pool, **asked, command=typed(), **common)
        print_result(result.summary, near_duplicates.lines(result), flags)


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
    from .. import quantities
    from ..engine.progress import for_terminal
    from ..engine.store import Store
    from ..feed.write import write_selection
    from ..source.retry import teller

    check_cache(cache)
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
    from ..report.terminal import plural, safe, size, width

    summary = {
        "output": str(target),
        "rows": result.rows,
        "tokens": result.tokens,
        "files": [str(f) for f in result.files],
        "bytes": result.bytes,
        "notes": list(result.notes),
    }
    amount = f"{plural(result.rows, 'document')} ({plural(result.tokens, 'token')}, {size(result.bytes)} on disk)"
    said, place = f"Wrote {amount} in {plural(len(result.files), 'file')} to", safe(str(target), 60)
    lines = [f"{said} {place}"] if width(f"{said} {place}") <= 80 else [said, f"  {place}"]
    print_result(summary, [*lines, *(f"  {safe(str(note), 76)}" for note in result.notes)], {"as_json": as_json})
