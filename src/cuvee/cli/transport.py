"""The verb transport of mix."""

from __future__ import annotations

from typing import Any

import click

from ..errors import UsageError
from .mixing import mix
from .shared import READING, RUNNING, SKIP_BAD, print_plan, print_result, running, typed, without


@mix.command("transport", short_help="A mixture by its transport distance to validation data (projektor).")
@click.argument("runs")
@click.option("--pool", multiple=True, required=True, metavar="PATH", help="Samples of the sources (repeatable).")
@click.option("--target", multiple=True, required=True, metavar="PATH", help="Validation data (repeatable).")
@click.option("--by", metavar="COLUMN", help="Column that names the sources; the same as --domain.")
@click.option("--metric", metavar="NAME", help="The outcome to climb, more being better [the only one].")
@click.option("--samples", metavar="N", help="The size that is asked about [the largest run's].")
@click.option("--rows", type=int, default=600, show_default=True, help="Of all sources, and of the validation data.")
@click.option("--rate", type=float, metavar="N", help="Of the climb [the first step moves 2 %].")
@click.option("--steps", type=int, default=100, show_default=True, help="Of the climb.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the rows drawn and of resamples.")
@SKIP_BAD
@click.option(
    "-o", "--output", default="out/transport", show_default=True, help="Folder for transport.json and the report."
)
@READING
@RUNNING
def mix_transport(
    runs: str,
    pool: tuple[str, ...],
    target: tuple[str, ...],
    by: str | None,
    metric: str | None,
    samples: str | None,
    skip_bad: bool,
    **flags: Any,
) -> None:
    """Choose a mixture for sources of which samples are known: by finished RUNS and the distance to validation data.

    \b
    cuvee mix transport runs.csv --pool samples/ --by domain --target validation.jsonl --samples 1M
    cuvee mix transport runs.csv --pool samples/ --target validation.jsonl --label label

    RUNS has columns mix.NAME, samples (two sizes) and metric.NAME, of which more is better. The distance of every
    mixture is measured on rows of the samples; projektor is fitted, judged on mixtures left out, and climbed. With
    --label the labels of both count. OUTPUT gets transport.json, runs.csv with the distances, and report.html.
    """
    from .. import planning, quantities, transporting
    from ..layout import REJECTS, REPORT, RUNS, TRANSPORT

    if by is not None and flags["domain"] is not None and by != flags["domain"]:
        raise UsageError("--by and --domain mean the same: give one of them.")
    flags["domain"] = by or flags["domain"]
    asked = {name: flags.pop(name) for name in ("rows", "rate", "steps", "seed", "output")}
    with running(flags, skip_bad) as common:
        if flags["plan_only"]:
            plan = planning.planned(pool, common["reading"], common["cache"], common["workers"], 2)
            written = [f"{asked['output']}/{name}" for name in (TRANSPORT, RUNS, REPORT, REJECTS)]
            print_plan({**plan, "writes": written}, flags)
            return
        result = transporting.transport_mix(
            runs,
            pool,
            target,
            outcome=metric,
            samples=quantities.count(samples) if samples else None,
            **asked,
            command=typed(),
            **without(common, "show_text"),
        )
        print_result(result.summary, transporting.lines(result), flags)
