"""A guarded evaluation set that tells of the best alone: the Ladder.

Blum and Hardt, "The Ladder: A Reliable Leaderboard for Machine Learning Competitions" (ICML 2015, arXiv 1502.04585).
Whoever sends candidate after candidate to one evaluation set, and learns each one's mean, can put those that were lucky
together (the paper's boosting attack) until the set reports what no fresh document would. A ladder keeps the best mean
so far and tells that: a new one is released only if it is larger by more than a step, and rounded. Between two releases
nothing is learned but that nobody was better by a step.

Here a query is a candidate's improvement on each of n guarded documents, phi in [-1, 1]; its mean is E, the best R
begins at 0, which is the baseline itself. (The paper has losses and begins with infinity, so it releases the first.)

* A fixed ``step`` eta: where E > R + eta, R becomes the multiple of eta that is nearest to E (algorithm 1).
* Without one, the step is s / sqrt(n), with s the standard deviation of phi less the best's, document by document
  (algorithm 2, the parameter-free ladder). R is rounded to the largest power of two that is no larger than the step.
  The paper rounds to 1 / n, made for shares of errors: coarser than the step where models are much alike.

Means of different things share no ladder: each yardstick (proxy, tokens, baseline) has a *board* of its own, and every
board tells something of the same documents.

What it cannot do: it says nothing of candidates that are not the best, and what it says of the best is no estimate for
small sets. With probability 0.95, R is within :func:`promised` of the best true mean over k queries (theorem 3.1, for a
fixed step); that is 0.27 at 10,000 documents and 10 queries, and no promise at all below 220. The parameter-free step
is one standard error: of candidates that are no better than the best one in six passes it, so the best of 200 that
differ by luck alone is reported nearly as high as without a ladder. It holds adaptive attacks down, not the luck of
many tries.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import files
from ..errors import DataError, UsageError
from .proxy import Floats

FORMAT = 1
FAILURE = 0.05


@dataclass(frozen=True)
class Best:
    """The best so far: ``gain`` as it was told, and the improvements behind it, float64, (n,)."""

    gain: float
    each: Floats


def climb(best: Best, gains: Floats, step: float | None) -> Best:
    """The best after one more query: the same object, unless it is ahead by more than a step.

    Args:
        gains: improvement of each guarded document, (n,).
        step: eta; None for the parameter-free ladder.
    """
    size = step if step is not None else float(np.std(gains - best.each, ddof=1)) / math.sqrt(len(gains))
    mean = float(gains.mean())
    if not mean > best.gain + size:
        return best
    grain = size if step is not None else 2.0 ** math.floor(math.log2(size)) if size > 0 else 1 / len(gains)
    return Best(round(mean / grain) * grain, gains)


def promised(n: int, queries: int, failure: float = FAILURE) -> float:
    """The error of the best within which R stays for any questions, with the step for which that is least.

    Theorem 3.1: P(error > e + eta) <= exp(-2 e^2 n + (1 / eta + 2) log(4 k / eta) + 1) for losses in [0, 1]; gains in
    [-1, 1] are twice as wide. 1 or more promises nothing.
    """
    eta = np.geomspace(1e-4, 1.0, 400)
    error = np.sqrt(((1 / eta + 2) * np.log(4 * max(queries, 1) / eta) + 1 - math.log(failure)) / (2 * n))
    return float(2 * (error + eta).min())


@dataclass(frozen=True)
class Told:
    """The answer to a query: the best gain so far, and whether it is this candidate's."""

    gain: float
    ahead: bool


@dataclass(frozen=True)
class Ladder:
    """One guarded set and its file of answers.

    Attributes:
        path: JSON; made at the first query, refused if it was made with other settings.
        n: guarded documents, at least 2.
        step: eta, above 0 and at most 1; None for the parameter-free ladder.
        wait: seconds to wait while another process asks.
    """

    path: Path
    n: int
    step: float | None = None
    wait: float = 30.0

    def __post_init__(self) -> None:
        if self.n < 2:
            raise UsageError("A ladder needs at least two guarded documents.")
        if self.step is not None and not 0 < self.step <= 1:
            raise UsageError(f"The step of a ladder is above 0 and at most 1, not {self.step}; or auto.")

    @property
    def settings(self) -> dict[str, Any]:
        """All that answers depend on besides the queries and their order."""
        return {"n": self.n, "step": self.step}

    def limits(self) -> str:
        """What this set cannot show, in two sentences."""
        least = promised(self.n, 10)
        bound = f"within {least:.2g} of the truth" if least < 1 else "to nothing"
        size = "one standard error" if self.step is None else f"{self.step:g}"
        return (
            f"A ladder tells of the best so far alone, and only if it is ahead by a step ({size}); of all others "
            f"nothing is known but that. With {self.n:,} guarded documents its bound for ten questions holds the best "
            f"{bound}, so the best of many that differ by luck is still told too high: confirm it on fresh documents."
        )

    def ask(self, guarded: npt.ArrayLike, board: str = "") -> Told:
        """The best gain so far, safe to act upon.

        Args:
            guarded: improvement of each of the ``n`` guarded documents, in an order that does not change; clipped to
                [-1, 1].
            board: the yardstick: what the improvement is measured by and against.

        Raises:
            UsageError: another number of documents, or a file made with other settings.
            DataError: improvements that are not finite, or a damaged file.
            BusyError: another process holds the file for longer than ``wait``.
        """
        gains = np.asarray(guarded, np.float64).ravel()
        if len(gains) != self.n:
            raise UsageError(f"This ladder guards {self.n:,} documents, not {len(gains):,}.")
        if not np.isfinite(gains).all():
            raise DataError("An improvement is not a finite number. Leave diverged runs out.")
        gains = np.clip(gains, -1.0, 1.0) + 0.0
        query = hashlib.blake2b(board.encode() + b"\0" + gains.tobytes(), digest_size=16).hexdigest()
        with files.waited_lock(self.path, self.wait):
            state = self._load()
            if query in state["answers"]:
                return Told(**state["answers"][query])
            kept = state["boards"].get(board, {"gain": 0.0, "each": [0.0] * self.n})
            best = Best(float(kept["gain"]), np.array(kept["each"], np.float64))
            found = climb(best, gains, self.step)
            told = Told(found.gain, found is not best)
            state["boards"][board] = {"gain": found.gain, "each": found.each.tolist()}
            state["answers"][query] = {"gain": told.gain, "ahead": told.ahead}
            # On disk before anybody learns the answer, so that no restart goes back to a lower best.
            files.write_whole(self.path, json.dumps(state, indent=1).encode())
            return told

    def _load(self) -> dict[str, Any]:
        """The file's state, or that of a ladder that nobody has asked."""
        if not self.path.exists():
            return {"format": FORMAT, "settings": self.settings, "boards": {}, "answers": {}}
        try:
            found: dict[str, Any] = json.loads(self.path.read_bytes())
            sound = found["format"] == FORMAT and isinstance(found["answers"], dict)
            if not sound or any(len(one["each"]) != found["settings"]["n"] for one in found["boards"].values()):
                raise ValueError(f"format {found['format']}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{self.path} is no readable file of a ladder ({error}). Without it nobody knows what has been told: "
                "restore it from a copy, or guard new documents."
            ) from None
        if found["settings"] != self.settings:
            step, n = found["settings"]["step"], found["settings"]["n"]
            raise UsageError(
                f"{self.path} was made with a step of {'auto' if step is None else step} and {n} documents. Use those, "
                "or another --ledger."
            )
        return found
