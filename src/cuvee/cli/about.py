"""Verbs about cuvee itself: methods, demo, cache."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .group import cli


@cli.command(short_help="List the methods, or explain one.")
@click.argument("name", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def methods(name: tuple[str, ...], as_json: bool) -> None:
    """List the methods, those of one family, or explain one: what it does, its parameters, its paper.

    \b
    cuvee methods
    cuvee methods choose
    cuvee methods target similarity
    cuvee methods dsir
    """
    from .. import describing

    wanted = " ".join(name)
    table = describing.table(wanted)
    if table:
        click.echo(json.dumps(table, indent=1) if as_json else describing.as_text(table))
    else:
        facts, others = describing.facts(wanted), describing.namesakes(wanted)
        if as_json:
            also = {"namesakes": [describing.facts(one) for one in others]} if others else {}
            click.echo(json.dumps({**facts, **also}, indent=1))
            return
        if others:
            click.echo(f"{len(others) + 1} have this name; each stands below.\n")
        click.echo("\n\n".join(map(describing.page, [facts, *map(describing.facts, others)])))


@cli.command(short_help="Profile, select and prove on a pool that comes along.")
@click.option("-o", "--output", default="out/demo", show_default=True, help="Folder for the results.")
@click.option("--seeds", type=click.IntRange(2), default=8, show_default=True, help="Trials of every arm of a proof.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Threads; 0 takes every core.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def demo(output: str, seeds: int, workers: int, quiet: bool) -> None:
    """Run the main job on the pool that comes with cuvee: profile, select, compare with random, and prove it."""
    from .. import demonstration
    from ..engine.progress import for_terminal

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
    from ..engine.store import Store, check_place
    from ..report.terminal import safe

    check_place(cache)
    store = Store(Path(cache) if cache else None)
    if clear:
        removed = store.clear()
        click.echo(f"Removed {removed / 1e6:,.1f} MB from {safe(str(store.root), 60)}")
    else:
        click.echo(f"{store.used() / 1e6:,.1f} MB in {safe(str(store.root), 60)}")
