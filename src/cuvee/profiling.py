"""``cuvee profile``: what is in a pool, what repeats, what is usual and unusual in it, and what cannot be used."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .checks import write_rejects
from .duplicates import Duplicates, count_duplicates
from .engine import files
from .engine.columns import DiskColumns
from .engine.local import Executor, Local
from .engine.one_thread import one_thread
from .engine.progress import Progress
from .engine.run import Engine
from .engine.store import Store, digest
from .examples import Example
from .feature.ngrams import Ngrams
from .fold.extremes import Extreme, Extremes, Words
from .layout import PROFILE, PROFILE_FORMAT, REJECTS, REPORT, Result, publish, refuse_foreign, versions
from .planning import planned
from .pool import Opened, Paths, Reading, open_stage
from .profile_contents import cards, dimensions, sampled_texts, vocabulary_growth
from .profile_wording import limits, next_command, profile_lines, verdict, warnings
from .request import check_arguments
from .summary import Arm, length_histogram

NGRAMS = Ngrams(n=2, buckets=1 << 16)
SHOWN = 10
FEWEST_WORDS = 20
LANGUAGE_ROWS = 2_000
HEAPS = """@book{heaps1978information,
  title={Information Retrieval: Computational and Theoretical Aspects},
  author={Heaps, H. S.},
  publisher={Academic Press},
  year={1978}
}"""


class Profiled(Result):
    """A finished profile: the folder it lies in and the content of its ``profile.json``."""


@one_thread()
def profile(
    pool: Paths,
    *,
    output: str | os.PathLike[str] = "out/profile",
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    show_text: bool = True,
    command: str | None = None,
) -> Profiled:
    """Look into ``pool`` and write what was found into ``output``: profile.json, report.html, rejects.jsonl.

    Args:
        pool: files, folders, globs or URIs.
        workers: threads; 0 takes every core. The result does not depend on it.
        show_text: False leaves every text of the pool out of all that is written.

    Raises:
        UsageError, DataError, ResourceError, BusyError: with a sentence that says what, where and what next. Rows that
        cannot be used are counted and listed; only a pool without a single usable row is refused.
    """
    started = time.monotonic()
    check_arguments(pool=pool, output=output, reading=reading, workers=workers)
    reading = reading or Reading()
    folder = Path(output)
    store = Store(Path(cache) if cache is not None else None)
    with files.lock(folder), store.in_use():
        refuse_foreign(folder, PROFILE, "profile")
        opened = open_stage(pool, reading, store)
        engine = Engine(opened.stage, None, store, executor or Local(workers), progress or Progress())
        paths = [str(pool)] if isinstance(pool, str | os.PathLike) else [str(path) for path in pool]
        found = _look(engine, opened)
        with files.whole_folder(folder) as place:
            summary = _describe(engine, opened, found, reading, show_text)
            summary["rejects"] = write_rejects(engine, found.rejected, place / REJECTS, folder / REJECTS)
            summary["next"] = next_command(paths, reading, summary)
            summary["warnings"] = warnings(summary, [*opened.notes, *found.columns.notes])
            summary["verdict"] = verdict(summary)
            summary["limits"] = limits(reading, opened, FEWEST_WORDS)
            summary["reproduce"] |= {"command": command or f"cuvee.profile({paths!r})", "digest": _digest(summary)}
            found.timings["total"] = time.monotonic() - started
            summary["reproduce"]["timings"] = {name: round(value, 3) for name, value in found.timings.items()}
            from .report.profile import render

            summary = publish(place, PROFILE, summary, partial(render, no_text=not show_text))
    return Profiled(folder, summary)


def lines(profiled: Profiled) -> list[str]:
    """What the command line prints."""
    return profile_lines(profiled.folder, profiled.summary)


def plan(pool: Paths, *, output: str, reading: Reading, workers: int = 0, cache: str | None = None) -> dict[str, Any]:
    """What ``profile`` would read and write, and about what it would cost; only rows are counted."""
    refuse_foreign(Path(output), PROFILE, "profile")
    written = [str(Path(output) / name) for name in (PROFILE, REPORT, REJECTS)]
    return {**planned(pool, reading, cache, workers, 2), "writes": written}


@dataclass
class _Found:
    """What the passes over the pool gave."""

    columns: DiskColumns
    rejected: int
    characters: dict[str, int]
    extremes: dict[str, list[Extreme]]
    timings: dict[str, float]


def _look(engine: Engine, opened: Opened) -> _Found:
    """One pass to count, and one over texts to find the most and least usual."""
    begun = time.monotonic()
    characters: dict[str, int] = {}
    extremes: dict[str, list[Extreme]] = {"typical": [], "strange": []}
    words = engine.fold(Words(NGRAMS)) if opened.spec.text is not None else None
    columns = engine.columns(domain_by_convention=opened.domain_by_convention)
    rejected = columns.rejected
    timings = {"reading": time.monotonic() - begun}
    if words is not None:
        begun = time.monotonic()
        characters = words.quantiles()
        extremes = engine.fold(Extremes(NGRAMS, words.log_shares(), SHOWN, FEWEST_WORDS))
        timings["typical and strange"] = time.monotonic() - begun
    return _Found(columns, rejected, characters, extremes, timings)


def _describe(engine: Engine, opened: Opened, found: _Found, reading: Reading, show_text: bool) -> dict[str, Any]:
    columns, manifest, spec = found.columns, engine.pool.manifest, opened.spec
    arm = Arm(len(columns.domains))
    domain_bytes = np.zeros(len(columns.domains), np.int64)
    for block in columns.blocks("bytes", "tokens", "domain"):
        arm.add(block, np.ones(len(block["bytes"]), np.int64))
        domain_bytes += np.bincount(block["domain"], block["bytes"], len(domain_bytes)).astype(np.int64)
    copies = count_duplicates(columns, "content", examples=5)
    ids = count_duplicates(columns, "key", examples=3) if spec.id is not None else Duplicates(0, 0, [], [])
    begun = time.monotonic()
    looked = sampled_texts(engine, columns) if spec.text is not None else []
    heads = [text.decode("utf-8") for _, text in looked]
    examples: dict[str, list[tuple[int, float | None, str, str]]] = {
        side: [(e.row, e.score, e.text, f"{word}: {-e.score:.2f} nats per n-gram") for e in found.extremes[side]]
        for side, word in (("typical", "usual"), ("strange", "unusual"))
    }
    examples["sample"] = [
        (row, None, text, "drawn at random") for (row, _), text in zip(looked[:SHOWN], heads, strict=False)
    ]
    shown = {row for rows in examples.values() for row, *_ in rows} | {row for _, row in ids.largest}
    known = cards(engine, columns, shown)
    summary: dict[str, Any] = {"format": PROFILE_FORMAT, "title": "Profile of the pool"}
    for name, rows in examples.items():
        summary[name] = [
            asdict(_example(known[row], score, text[:2_000] if show_text else "", why))
            for row, score, text, why in rows
        ]
    largest = []
    firsts = [row for _, row in copies.largest]
    texts = engine.texts(firsts, 8_000) if spec.text is not None and show_text else []
    for at, (count, row) in enumerate(copies.largest):
        path, local = manifest.place(row)
        text = texts[at].decode()[:2_000] if texts else ""
        largest.append({"count": count, "text": text, "file": path, "row": local + 1})
    summary |= {
        "counts": {
            "rows": columns.n_rows + found.rejected,
            "usable": columns.n_rows,
            "rejected": found.rejected,
            "files": len(manifest.sources),
            "bytes": columns.totals["bytes"],
            "tokens": columns.totals["tokens"],
        },
        "duplicates": {"rows": copies.rows, "groups": copies.groups, "largest": largest, "sizes": copies.sizes},
        "repeated_ids": {
            "groups": ids.groups,
            "column": spec.id,
            "first": [[count, known[row]["id"]] for count, row in ids.largest],
        },
        "lengths": length_histogram({"pool": arm}) if spec.text is not None else {},
        "quantiles": {"pool": arm.quantiles(), "characters": found.characters} if spec.text is not None else {},
        "domains": [
            {"name": n, "rows": int(r), "tokens": int(t), "bytes": int(b)}
            for n, r, t, b in zip(columns.domains, arm.domain_rows, arm.domain_tokens, domain_bytes, strict=True)
        ],
        "dimensions": dimensions(engine) if spec.embedding is not None else None,
    }
    if heads:
        from .feature.language import language_shares

        summary["languages"] = language_shares(heads[:LANGUAGE_ROWS])
        summary["language_rows"] = len(heads[:LANGUAGE_ROWS])
        summary["vocabulary"] = vocabulary_growth([text for _, text in looked])
    found.timings["languages and vocabulary"] = time.monotonic() - begun
    summary["spec"] = asdict(spec)
    summary["reproduce"] = {
        "seed": 0,
        "versions": versions(),
        "citations": [HEAPS] if heads else [],
        "passes": engine.passes,
        "files": [[source.path, manifest.rows_of(at)] for at, source in enumerate(manifest.sources[:100])],
    }
    return summary


def _example(card: Mapping[str, Any], score: float | None, text: str, reason: str) -> Example:
    """What is known about a row, as reports show it: its number counts from 1."""
    return Example(**{**card, "row": card["row"] + 1, "score": score, "text": text, "reason": reason})


def _digest(summary: Mapping[str, Any]) -> str:
    counts = {name: value for name, value in summary["counts"].items() if name != "files"}
    copies = {name: summary["duplicates"][name] for name in ("rows", "groups", "sizes")}
    parts = (counts, copies, summary["quantiles"], summary["lengths"], summary["domains"], summary["dimensions"])
    return digest("profile", PROFILE_FORMAT, *parts)
