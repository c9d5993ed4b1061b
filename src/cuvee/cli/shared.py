"""What verbs share: options for reading and running, and how a result or a plan is printed."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import ResourceError, UsageError
from ..quantities import shell_line


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
SKIP_BAD = click.option("--skip-bad", is_flag=True, help="Go on without rows that cannot be used, and list them.")
TRIALS = options(
    click.option("--skip-bad", is_flag=True, help="Go on without rows and evaluation examples that cannot be used."),
    click.option("--eval-bytes", metavar="SIZE", help="Use at most so much of an evaluation set [by proxy]."),
    click.option("--ledger", default="out/ledger", show_default=True, help="Folder where finished trials are kept."),
    click.option("--gpus", type=click.FloatRange(0), default=0.0, help="GPUs for each trial, with --on ray [0]."),
)


OVERLAP = click.option(
    "--overlap",
    type=click.Choice(["clean", "refuse", "ignore"]),
    default="clean",
    show_default=True,
    help="Documents of the pool that hold evaluation text: leave them out of all training, stop, or go on.",
)


def evaluation_sets(help_text: str) -> Callable[[Any], Any]:
    """The option that names evaluation sets."""
    return click.option("--eval", "-e", "evaluations", multiple=True, metavar="[NAME=]PATH", help=help_text)


def typed() -> str:
    """The command line as it can be typed again. Needs no import, so that an interrupt may come at any time."""
    return shell_line(["cuvee", *sys.argv[1:]])


def check_cache(cache: str | None) -> None:
    """Refuse a cache that is no folder or cannot be made; one that cannot be written is refused when it is."""
    from ..engine.store import Store, check_place

    check_place(cache)
    folder = Store(Path(cache) if cache else None).root
    check_place(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError):
        pass
    except OSError as error:
        raise ResourceError(
            f"The cache folder {folder} cannot be made: {error.strerror or error}. Name another with --cache."
        ) from error


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


@contextlib.contextmanager
def running(flags: dict[str, Any], skip_bad: bool = True) -> Iterator[dict[str, Any]]:
    """The keyword arguments that profile and select share; closes the progress display at the end."""
    from .. import quantities
    from ..engine.memory import workers_within
    from ..engine.progress import for_terminal
    from ..pool import Reading
    from ..source.retry import teller

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
    check_cache(flags["cache"])
    if flags.get("gpus") and flags["on"] != "ray":
        raise UsageError("--gpus says what trials ask of a cluster: use it with --on ray, or leave it out.")
    workers = flags["workers"]
    if flags["memory"]:
        workers = workers_within(quantities.size(flags["memory"]), workers)
    with contextlib.ExitStack() as stack:
        executor: dict[str, Any] = {}
        if flags["on"] == "ray":
            from ..engine import ray, ray_cluster

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


def print_result(summary: dict[str, Any], lines: list[str], flags: dict[str, Any]) -> None:
    if flags["as_json"]:
        click.echo(json.dumps(summary, ensure_ascii=True, allow_nan=False))
    else:
        for line in lines:
            click.echo(line)


def print_plan(plan: dict[str, Any], flags: dict[str, Any]) -> None:
    if flags.get("on") == "ray":
        from ..engine.ray import planned

        said, joined = planned(flags["workers"])
        plan = {**without(plan, "memory" if joined else ""), "ray": said}  # the memory is that of other machines
    if flags["as_json"]:
        click.echo(json.dumps(plan))
        return
    from ..report.terminal import safe

    for name, value in plan.items():
        shown = str(value)
        if isinstance(value, list):
            shown = ("; " if any("," in str(one) for one in value) else ", ").join(map(str, value))
        wrapped = textwrap.wrap(safe(shown, 400), 69, break_on_hyphens=False, max_lines=4, placeholder=" …")
        for at, part in enumerate(wrapped or [""]):
            click.echo(f"{name if at == 0 else '':<10} {part}")
