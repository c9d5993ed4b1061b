"""``cuvee demo``: the main job on the pool that comes with the package, ending with a proof."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable
from importlib.resources import files as package_files
from pathlib import Path

from .engine import files
from .engine.progress import Progress
from .layout import REPORT

TOKENS = 200_000
TARGET = "sqlite-docs"
PROXY = "ngram"
SOFTENED = {"temperature": "100"}
"""For a target like the pool, where DSIR's weights collapse: with 100, thousands of rows keep an effective weight."""


def run(output: Path, seeds: int, workers: int, progress: Progress, say: Callable[[str], object]) -> None:
    """Profile the demonstration pool, select toward SQLite's documentation, compare with random, and prove it."""
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
    like = {"like": str(output / "dsir")}
    arms: dict[str, tuple[str, str, dict[str, str]]] = {
        "dsir": ("2. Choose 200,000 tokens like the target, 100 pages of SQLite's documentation", target, {}),
        "random": ("3. The baseline: random rows", target, {}),
        "length_matched": ("4. The honest control: random rows of the same lengths", target, like),
        "control": ("5. A target drawn from the pool itself: there is nothing to gain", control, SOFTENED),
    }
    results = {}
    for name, (title, goal, settings) in arms.items():
        say(f"\n{title}\n")
        method = "dsir" if name == "control" else name
        results[name] = selecting.select(
            pool,
            target=goal,
            method=method,
            settings=settings,
            tokens=TOKENS,
            output=output / name,
            workers=workers,
            progress=progress,
            command=f"cuvee select {pool} --target {goal} --with {_call(method, settings)} --tokens {TOKENS} "
            f"-o {output / name}",
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
    _prove(output, seeds, workers, progress, say)
    say(f"\nDone in {time.monotonic() - started:.0f} s. Open {output / 'proof' / REPORT} in a browser.")


def _prove(output: Path, seeds: int, workers: int, progress: Progress, say: Callable[[str], object]) -> None:
    """Does it help? Once where it should, and once where it should not."""
    from . import proving

    held = str(package_files("cuvee.demo") / "evaluation.jsonl")
    near = output / f"{TARGET}.jsonl"
    rows = [json.loads(line) for line in Path(held).read_text("utf-8").splitlines()]
    kept = [json.dumps(row) + "\n" for row in rows if row["domain"] == TARGET]
    files.write_whole(near, "".join(kept).encode())
    proofs = {
        "proof": ("6. Does it help? Held-out pages of SQLite's documentation", "dsir", {TARGET: str(near)}),
        "proof-control": (
            "7. The same for the target drawn from the pool: held-out documents of all kinds",
            "control",
            {"all": held},
        ),
    }
    for name, (title, selection, sets) in proofs.items():
        say(f"\n{title}\n")
        against = ["random", "length_matched"] if name == "proof" else ["random"]
        given = " ".join(f"-e {key}={path}" for key, path in sets.items())
        named = " ".join(f"--against {one}" for one in against)
        found = proving.prove(
            output / selection,
            evaluations=sets,
            against=against,
            proxy=PROXY,
            seeds=seeds,
            ledger=output / "ledger",
            output=output / name,
            workers=workers,
            progress=progress,
            say=lambda sentence: say("\n".join(textwrap.wrap(sentence, 78))),
            command=f"cuvee prove {output / selection} {given} {named} --seeds {seeds} --ledger {output / 'ledger'} "
            f"-o {output / name}",
        )
        say("")
        for line in proving.lines(found):
            say(line)


def _call(method: str, settings: dict[str, str]) -> str:
    return method + (":" + ",".join(f"{key}={value}" for key, value in settings.items()) if settings else "")
