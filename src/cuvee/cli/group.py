"""The command ``cuvee``, to which every verb adds itself."""

from __future__ import annotations

import click

from .. import __version__

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
