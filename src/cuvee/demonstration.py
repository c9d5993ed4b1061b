"""``cuvee demo``: the main job on the pool that comes with the package."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from importlib.resources import files as package_files
from pathlib import Path

from .engine.progress import Progress
from .layout import REPORT

TOKENS = 200_000


def run(output: Path, workers: int, progress: Progress, say: Callable[[str], object]) -> None:
    """Profile the demonstration pool, select toward SQLite's documentation, and compare with two kinds of random."""
    from . import profiling, selecting, wording

    started = time.monotonic()
    folder = package_files("cuvee.demo")
    pool, target, control = (str(folder / name) for name in ("pool.parquet", "target.jsonl", "target_control.jsonl"))
    say("1. What is in the pool? (speeches, novels, scripture, manuals, licences, dialogues, code)\n")
    profiled = profiling.profile(
        pool,
        output=output / "profile",
        workers=workers,
        progress=progress,
        command=f"cuvee profile {pool} -o {output / 'profile'}",
    )
    for line in profiling.lines(profiled):
        say(line)
    arms = {
        "dsir": ("2. Choose 200,000 tokens like the target, 100 pages of SQLite's documentation", target, {}),
        "random": ("3. The baseline: random rows", target, {}),
        "length_matched": ("4. The honest control: random rows of the same lengths", target, {"like": "dsir"}),
        "control": ("5. A target drawn from the pool itself: selection should not get nearer than chance", control, {}),
    }
    results = {}
    for name, (title, goal, settings) in arms.items():
        say(f"\n{title}\n")
        method = "dsir" if name == "control" else name
        results[name] = selecting.select(
            pool,
            target=goal,
            method=method,
            settings={key: str(output / value) for key, value in settings.items()},
            tokens=TOKENS,
            output=output / name,
            workers=workers,
            progress=progress,
            command=f"cuvee select {pool} --target {goal} --with {method} --tokens {TOKENS} -o {output / name}",
        )
        if name == "dsir":
            for line in wording.select_lines(results[name].folder, results[name].summary):
                say(line)
        else:
            for line in textwrap.wrap(results[name].summary["verdict"], 78):
                say(line)
            say(f"report: {results[name].folder / REPORT}")
    say("\nIn short: distance to the target (lower is nearer), 99 % range of random draws, share of SQLite\n")
    for name, result in results.items():
        distance = result.summary["distance"]
        share = {one["name"]: one["kept_tokens"] for one in result.summary["domains"]}.get("sqlite-docs", 0)
        low, high = distance["random_range"]
        of_kept = share / result.summary["counts"]["kept_tokens"]
        say(f"  {name:<16} {distance['kept']:.3f}   {low:.3f} to {high:.3f}   {of_kept:.0%}")
    say(f"\nDone in {time.monotonic() - started:.0f} s. Open {output / 'dsir' / 'report.html'} in a browser.")
