"""The verb pretrain."""

from __future__ import annotations

from typing import Any

import click

from .group import cli
from .shared import READING, RUNNING, SKIP_BAD, print_plan, print_result, running, without


@cli.command(short_help="Train a small model and keep it, for trainings that go on from it.")
@click.argument("pool", nargs=-1, required=True)
@click.option(
    "--proxy",
    default="transformer",
    show_default=True,
    metavar="PROXY",
    help="What is trained, like transformer:size=1M,floor=0.1 (the rate's end, as a share of its peak).",
)
@click.option("--only", multiple=True, metavar="DOMAIN", help="Take documents of this domain (repeatable) [all].")
@click.option("--tokens", metavar="N", help="Take random documents of so many tokens [all documents].")
@click.option("--epochs", type=float, default=1.0, show_default=True, help="Passes over these documents.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the model, the documents and their order.")
@SKIP_BAD
@click.option("-o", "--output", default="out/model.safetensors", show_default=True, help="The model's file.")
@READING
@RUNNING
def pretrain(pool: tuple[str, ...], tokens: str | None, only: tuple[str, ...], skip_bad: bool, **flags: Any) -> None:
    """Train a small model on a POOL and keep it, so that trials of cuvee prove can go on from it.

    \b
    cuvee pretrain old/ --proxy transformer:floor=0.1 -o old.safetensors
    cuvee pretrain pool/ --only fiction --tokens 100k -o fiction.safetensors
    cuvee prove kept/ -e held-out.jsonl --proxy transformer:start=old.safetensors
    cuvee prove kept/ -e held-out.jsonl --proxy transformer:start=old.safetensors,onward=redecay --policy reuse

    The same pool, settings and seed give the same file. Interrupted, the same command goes on where it was.
    """
    from .. import pretraining, quantities

    asked: dict[str, Any] = {name: flags.pop(name) for name in ("proxy", "epochs", "seed", "output")}
    asked |= {"only": list(only), "tokens": quantities.count(tokens) if tokens else None}
    with running(flags, skip_bad) as common:
        if flags["plan_only"]:
            print_plan(pretraining.plan(pool, **asked, **without(common, "progress", "show_text")), flags)
            return
        result = pretraining.pretrain(pool, **asked, **without(common, "show_text"))
    print_result(result.summary, pretraining.lines(result), flags)
