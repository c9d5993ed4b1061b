"""Some of each reliability check: kills of all commands, flipped bits, rivals. For all: ``bench/reliability.py``."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from .command import contents
from .reliability import CASES, Flips, Kills, Launcher, Rivals, flips, furnish, in_two, kill_processes, restore

KILLS = 24


def test_a_kill_leaves_whole_files_and_the_next_run_ends_the_same(tmp_path: Path) -> None:
    """kill -9 of the group, the parent or the worker, at points of progress and after times, for every command."""

    def half(place: Path, launcher: Launcher, number: int) -> Kills:
        session, hits, turn = Kills(place, launcher), 0, 0
        cases = CASES[number::2]
        session.prepare(cases)
        while (len(session.hits) < len(cases) or hits < KILLS // 2) and turn < 10 * len(cases):
            hits += session.once(cases[turn % len(cases)], random.Random(f"test-{number}-{turn}"))
            turn += 1
        return session

    sessions = in_two(tmp_path, half)
    assert [failure for session in sessions for failure in session.failures] == []
    assert sum(sum(session.hits.values()) for session in sessions) >= KILLS
    assert {name for session in sessions for name in session.hits} == {case.name for case in CASES}


def test_a_killed_process_as_users_start_it(tmp_path: Path) -> None:
    furnish(tmp_path, 1000)
    assert kill_processes(tmp_path, 4, random.Random(3)) == []


def test_the_check_of_kills_notices(tmp_path: Path) -> None:
    """What a kill must not leave is told when it is there."""
    case = next(case for case in CASES if case.name == "write jsonl")
    with Launcher() as launcher:
        session = Kills(tmp_path, launcher)
        session.prepare([case])
    whole = contents(tmp_path / "out")
    name = next(name for name in whole if name.startswith("part-"))
    allowed = [None, session.right[case.name]]
    session._check(case, "whole", allowed, False)
    assert session.failures == []
    (tmp_path / "out" / name).write_bytes(whole[name][:-1])
    session._check(case, "cut", allowed, False)
    assert len(session.failures) == 1 and "is neither the earlier output nor the new one" in session.failures[0]
    shutil.rmtree(tmp_path / "out")
    session._check(case, "gone", [{"earlier": b""}, session.right[case.name]], True)
    assert len(session.failures) == 2 and "the earlier output is gone" in session.failures[1]
    restore(tmp_path / "out", whole)
    stored = next((tmp_path / "cache").glob("??/[0-9a-f]*.arrow"))
    stored.write_bytes(stored.read_bytes()[:-1])
    session._check(case, "cache", allowed, False)
    assert len(session.failures) == 3 and "damaged in the cache" in session.failures[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Flips]:
    """All that cuvee reads again, by name."""
    return {kind.name: kind for kind in flips(tmp_path_factory.mktemp("written"))}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("selection.parquet", 200),
        ("plan.json", 200),
        ("cache", 200),
        ("written Parquet, by the manifest", 200),
        ("written Parquet's pages, by the reader", 200),
        ("written Parquet's footer, by the reader", 200),
        ("profile.json", 200),
        ("selection.parquet, by length_matched", 40),
    ],
)
def test_no_flipped_bit_is_read_back_silently_wrong(written: dict[str, Flips], name: str, count: int) -> None:
    kind = written[name]
    kind.run(count, random.Random(name))
    assert kind.silent == [] and kind.odd == []
    whole = (
        "selection.parquet",
        "cache",
        "written Parquet, by the manifest",
        "written Parquet's footer, by the reader",
    )
    if name in whole:
        assert kind.noticed == count


def test_one_of_several_writers_wins_or_they_take_turns(tmp_path: Path) -> None:
    with Launcher() as launcher:
        session = Rivals(tmp_path, launcher)
        session.prepare(writers=5)
        for number, kind in enumerate(("select", "profile", "write")):
            session.once(kind, random.Random(4 + number))
        session.shared_cache(random.Random(0))
    assert session.failures == []
    assert session.refused and session.stale and session.won > 3
