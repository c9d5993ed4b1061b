"""``cuvee rate``: have a sample of a pool rated by a language model, once; the method ``dataman`` chooses by it.

The sample is uniform and keyed, so that a larger one holds a smaller one of the same seed, and what was rated before is
not asked again. Requests run ``at_once`` at a time; the result depends on the answers alone, not on their order.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core import Batch
from ..engine import files
from ..engine.local import Executor, Local
from ..engine.progress import Progress
from ..engine.run import Engine
from ..engine.store import Store
from ..errors import DataError, UsageError
from ..fold.bottom_k import BottomK, as_batch
from ..pool import Paths, Reading, open_stage
from .answers import Answers, digest
from .criteria import CRITERIA, PROMPT, check_prompt, fill, parse
from .endpoint import Endpoint, Reply

RATINGS, ANSWERS, SUMMARY = "ratings.parquet", "answers.jsonl", "rating.json"
FIRST, TOO_MANY = 20, 0.5
"""After so many answers the work stops if more than this share cannot be read."""
BYTES_PER_TOKEN, TOKENS_OUT = 4, 150


@dataclass
class Rated:
    """Ratings: the folder they lie in, and the content of its ``rating.json`` (before asking: what it would cost)."""

    folder: Path
    summary: dict[str, Any]


def rate(
    pool: Paths,
    *,
    endpoint: str,
    model: str,
    rows: int = 1000,
    seed: int = 0,
    output: str | os.PathLike[str] = "out/rate",
    prompt: str = "",
    key_variable: str = "OPENAI_API_KEY",
    at_once: int = 4,
    timeout: float = 60.0,
    tries: int = 5,
    max_bytes: int = 8192,
    price_in: float | None = None,
    price_out: float | None = None,
    start: bool = False,
    reading: Reading | None = None,
    workers: int = 0,
    executor: Executor | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Rated:
    """Have ``rows`` documents rated on fourteen criteria, and write ratings.parquet and rating.json into ``output``.

    Args:
        endpoint: address of an OpenAI-compatible API, like http://127.0.0.1:8000/v1.
        prompt: another wording of the question, with ``{text}`` in it.
        key_variable: the environment variable that holds the key, if one is needed.
        timeout, tries: seconds for each request, and how often one is tried.
        max_bytes: longer documents are cut, at a character.
        price_in, price_out: per million tokens, for the estimate of cost.
        start: without it nothing is sent; the summary says what would be.

    Raises:
        UsageError: the endpoint refuses (key, model, address), or a parameter is wrong.
        DataError: the pool has no texts, or most of the first answers cannot be read.
        ResourceError: the endpoint gives no answer. Answers that came are kept: the same call goes on.
    """
    if min(rows, at_once, max_bytes) < 1:
        raise UsageError("rate: rows, at_once and max_bytes must be at least 1.")
    if not all(price is None or 0 <= price < math.inf for price in (price_in, price_out)):
        raise UsageError("rate: prices are amounts of money for a million tokens, 0 or more.")
    asked = Endpoint(endpoint, model, key_variable, timeout, tries)
    question, folder = check_prompt(prompt or PROMPT), Path(output)
    store = Store(Path(cache) if cache is not None else None)
    progress = progress or Progress()
    with files.lock(folder), store.in_use():
        _refuse_foreign(folder)
        opened = open_stage(pool, reading or Reading(), store)
        if opened.spec.text is None:
            raise DataError("rate needs texts, and the pool has none. Name their column with --text.")
        engine = Engine(opened.stage, None, store, executor or Local(workers), progress)
        batch = as_batch(engine.fold(BottomK(rows, "rate", seed, max_bytes)))
        answers = Answers(folder / ANSWERS)
        questions = [fill(question, batch.text(row)) for row in range(len(batch))]
        keys = [digest(model, one) for one in questions]
        left = {key: one for key, one in zip(keys, questions, strict=True) if key not in answers.known}
        summary: dict[str, Any] = {"model": model, "rows": len(batch), "rows_asked_for": rows, "seed": seed}
        summary["answered_before"] = sum(key in answers.known for key in keys)
        summary["same_text"] = len(batch) - len(left) - summary["answered_before"]
        summary["cost"] = cost(list(left.values()), price_in, price_out)
        if not start:
            return Rated(folder, {**summary, "started": False})
        folder.mkdir(parents=True, exist_ok=True)
        empty = _ask(asked, left, answers, at_once, progress)
        found = [parse(answers.known.get(key, "")) for key in keys]
        summary |= {"started": True, "rated": sum(one is not None for one in found), "no_answer": empty}
        summary["malformed"] = len(found) - summary["rated"]
        if not summary["rated"]:
            if empty:
                raise DataError(_no_text(f"{empty} of {len(found)} answers hold", endpoint, answers))
            raise DataError(f"None of {len(found)} answers can be read; they are in {folder / ANSWERS}.")
        summary["overall_score"] = {
            str(n): sum(one is not None and one[0][-1] == n for one in found) for n in range(1, 6)
        }
        _write(folder / RATINGS, batch, found)
        text = json.dumps(summary, indent=1, allow_nan=False)
        files.write_whole(folder / SUMMARY, text.encode())
    return Rated(folder, summary)


def cost(questions: list[str], price_in: float | None, price_out: float | None) -> dict[str, Any]:
    """Requests, and about how many tokens and (with prices per million tokens) how much money they take."""
    tokens_in = sum(len(one.encode()) for one in questions) // BYTES_PER_TOKEN
    found: dict[str, Any] = {"requests": len(questions), "tokens_in": tokens_in}
    found["tokens_out"] = TOKENS_OUT * len(questions)
    if price_in is not None or price_out is not None:
        found["price"] = round((tokens_in * (price_in or 0) + found["tokens_out"] * (price_out or 0)) / 1e6, 4)
    return found


def _no_text(who: str, address: str, answers: Answers) -> str:
    """What to say where no text came."""
    return (
        f"{who} no text where an OpenAI-compatible API puts it (choices[0].message.content). What came is in "
        f"{answers.path}. Check that {address} is the address of such an API, and the model."
    )


def _refuse_foreign(folder: Path) -> None:
    """Never write among files that are not of a rating."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names - {RATINGS, ANSWERS, SUMMARY} or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} holds files that are not of a rating. Choose another place with -o.")


def _ask(endpoint: Endpoint, left: dict[str, str], answers: Answers, at_once: int, progress: Progress) -> int:
    """Ask what is left, keep what comes, and return how many answers were empty. The first error ends it.

    The threads are daemons, so that an interrupt does not wait for requests under way.
    """
    progress.begin("rating", len(left), "answers")
    waiting: SimpleQueue[tuple[str, str]] = SimpleQueue()
    come: Queue[tuple[str, Reply | BaseException]] = Queue(1)  # nobody runs far ahead of what is kept
    over = threading.Event()
    for pair in left.items():
        waiting.put(pair)

    def work() -> None:
        while not over.is_set():
            try:
                key, question = waiting.get_nowait()
            except Empty:
                return
            found: Reply | BaseException
            try:
                found = endpoint.reply(question)
            except BaseException as error:  # handed to the thread that waits
                found = error
            while not over.is_set():
                with contextlib.suppress(Full):
                    come.put((key, found), timeout=0.2)
                    break
            if isinstance(found, BaseException):
                return  # the first error ends the work: nothing more is asked

    for _ in range(min(at_once, len(left))):
        threading.Thread(target=work, daemon=True).start()
    unread = empty = 0
    try:
        for seen in range(1, len(left) + 1):
            key, reply = come.get()
            if isinstance(reply, BaseException):
                raise reply
            if reply.text:
                answers.add(key, reply.text)
            else:
                answers.add_instead(key, reply.instead)
            empty, unread = empty + (not reply.text), unread + (parse(reply.text) is None)
            progress.advance(1)
            if seen == FIRST and empty > TOO_MANY * FIRST:
                raise DataError(
                    _no_text(f"The work stops here: {empty} of the first {seen} answers hold", endpoint.url, answers)
                )
            if seen == FIRST and unread > TOO_MANY * FIRST:
                raise DataError(
                    f"{unread} of the first {seen} answers cannot be read as ratings, so the work stops here. "
                    f"They are in {answers.path}. Try another model, or a --prompt of its own."
                )
    finally:
        over.set()
        progress.end()
    return empty


def _write(path: Path, batch: Batch, found: list[tuple[tuple[int, ...], str] | None]) -> None:
    """The ratings that could be read, in the order of the sample."""
    rows = [row for row, one in enumerate(found) if one is not None]
    read = [one for one in found if one is not None]
    columns: dict[str, Any] = {"key": batch.key[rows]}
    for at, name in enumerate(CRITERIA):
        columns[name] = np.array([numbers[at] for numbers, _ in read], np.int8)
    columns["domain"] = pa.array([domain for _, domain in read], pa.string())
    with files.whole_file(path) as stream:
        pq.write_table(pa.table(columns), stream, compression="zstd", write_page_checksum=True)
