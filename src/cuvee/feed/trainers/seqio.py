"""seqio and T5: a mixture of registered tasks with rates, in examples, drawn at random; tasks repeat.

Names of tasks are letters, digits, dots, colons and underscores. ``--data NAME=TASK`` names a source's task; else it is
the source's name with other characters replaced. Rates are numbers here; seqio also takes functions of a task, where
sizes are cut off before a temperature is applied.
"""

from __future__ import annotations

import re

from ...errors import UsageError
from .base import Exported, Mixture, comment, default_place
from .llama_factory import plain_names

STAGES = (
    "One mixture a stage, each in a run from the checkpoint of the one before. Each reads its tasks from their "
    "beginning, shuffled by the run's seed."
)


def tasks(mixture: Mixture) -> list[str]:
    """The name of each source's task.

    Raises:
        UsageError: one that was named by hand is none for seqio, or two sources have the same.
    """
    found = []
    for name, place, plain in zip(mixture.names, mixture.places, plain_names(mixture.names), strict=True):
        task = plain if place == default_place(name) else place
        if not re.fullmatch(r"[\w.:]+", task, re.ASCII):
            raise UsageError(f"'{task}' is no name of a seqio task: letters, digits, '.', ':' and '_'. Change --data.")
        found.append(task)
    if twice := [task for task in found if found.count(task) > 1]:
        raise UsageError(f"Two sources have the task '{twice[0]}'. Name others with --data.")
    return found


def export(mixture: Mixture) -> Exported:
    """``mixture.py``."""
    shares, names = [float(one) for one in mixture.examples()], tasks(mixture)
    rows = "".join(f"        ({task!a}, {share!r}),\n" for task, share in zip(names, shares, strict=True))
    text = comment(mixture) + f'import seqio\n\nseqio.MixtureRegistry.add(\n    "cuvee_mix",\n    [\n{rows}    ],\n)\n'
    notes = [
        "Draws are random, of examples; tasks are repeated without end (num_epochs=None), so the run's steps end it.",
        "Register the tasks first; their names are in mixture.json, under facts.",
    ]
    if not mixture.packed:
        notes.insert(0, "Shares of tokens were turned into shares of documents by each source's mean length.")
    facts = {"examples": shares, "tasks": dict(zip(mixture.names, names, strict=True))}
    return Exported({"mixture.py": text}, notes, 'the mixture "cuvee_mix", once mixture.py is imported', facts)
