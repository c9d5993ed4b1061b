"""What a reliability check needs, at the size of a test and at full size: kills, flipped bits, rivals.

Commands run in a *launcher*, a process that has imported cuvee and forks a child per command: what the child does is
what ``cuvee`` does (it forks its supervised worker in turn), without the second that imports take. Chunks and spans are
small there, so that a small pool has many of them and a Fold is saved after each. Kills come at a point of progress (a
write, a sync, any change of a folder, seen by an audit hook) or after a time, and hit the group, the parent or the
worker. ``tests/test_reliability.py`` does some of it in every test run, ``python -m bench.reliability`` all of it.
"""

from __future__ import annotations

from .bits import Flips, flips
from .cases import CASES, Case, furnish
from .killing import Kills, kill_processes
from .launcher import DEMO, Command, End, Kill, Launcher
from .remains import fingerprint, in_two, leftovers, restore, table
from .rivals import Rivals

__all__ = [
    "CASES",
    "DEMO",
    "Case",
    "Command",
    "End",
    "Flips",
    "Kill",
    "Kills",
    "Launcher",
    "Rivals",
    "fingerprint",
    "flips",
    "furnish",
    "in_two",
    "kill_processes",
    "leftovers",
    "restore",
    "table",
]
