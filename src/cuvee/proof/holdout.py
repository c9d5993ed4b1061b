"""A guarded evaluation set that can be asked again and again: Thresholdout.

Dwork et al., "Generalization in Adaptive Data Analysis and Holdout Reuse" (NIPS 2015). Whoever picks the best of many
selections by one evaluation set fits that set. Here a query is a candidate's improvement on every document, phi in
[-1, 1], on a development set (E_t its mean) and on the guarded set of n documents (E_h). While both agree within a
noisy threshold, the answer is E_t, which reveals nothing of the guarded set; else it is E_h with noise.

* ``laplace``, the paper's algorithm: T^ = T + Lap(2 s); if |E_h - E_t| > T^ + Lap(4 s), answer E_h + Lap(s), draw T^
  anew and take one from the budget B; refuse when B is used up. Defaults T = 4 / sqrt(n) and s = T / 24, at which the
  comparison's noise is that of the other variant.
* ``gaussian``, the paper's experiment: T = 4 / sqrt(n), noise N(0, 1 / sqrt(n)) on threshold and answer, no budget.

What it cannot do: where both means differ by less than T the answer is the development set's, right or wrong, so a gain
below T = 4 / sqrt(n) is out of reach: n >= (4 / gain)^2 documents are needed, 160,000 for a gain of 0.01. The paper's
guarantee asks for more still. Noise is a function of (seed, number of the query), and T^, budget and answers are kept
in one file under a lock: neither a restart nor a second process refreshes the noise or the budget. Keep the file from
whoever asks: its budget and seed tell which answers came from the guarded set.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..engine import files
from ..errors import DataError, UsageError
from .proxy import Floats

FORMAT = 1


def practical_answer(
    train: npt.ArrayLike,
    holdout: npt.ArrayLike,
    threshold: float,
    threshold_noise: npt.ArrayLike,
    answer_noise: npt.ArrayLike,
) -> Floats:
    """Answers of the Gaussian variant to any number of queries at once; arrays broadcast."""
    train, holdout = np.asarray(train, np.float64), np.asarray(holdout, np.float64)
    agree = np.abs(train - holdout) <= threshold + np.asarray(threshold_noise)
    return np.asarray(np.where(agree, train, holdout + np.asarray(answer_noise)))


def documents_needed(gain: float) -> int:
    """How many guarded documents show a gain: (4 / gain)^2."""
    if not 0 < gain <= 1:
        raise UsageError(f"A gain of {gain} cannot be asked for: name one above 0, at most 1.")
    return math.ceil((4 / gain) ** 2 - 1e-9)


@dataclass(frozen=True)
class ReusableHoldout:
    """One guarded set and its file of answers.

    Attributes:
        path: JSON; made at the first query, refused if it was made with other settings.
        n: guarded documents.
        variant: "gaussian" or "laplace".
        budget: how often the Laplace variant may answer from the guarded set, at least 1.
        threshold, scale: T and s; None for the defaults above.
        seed: of the noise; None draws one at the first query and keeps it in the file, which is safest.
        wait: seconds to wait while another process asks.
    """

    path: Path
    n: int
    variant: Literal["gaussian", "laplace"] = "gaussian"
    budget: int | None = None
    threshold: float | None = None
    scale: float | None = None
    seed: int | None = None
    wait: float = 30.0

    def __post_init__(self) -> None:
        if self.n < 1 or self.variant not in ("gaussian", "laplace"):
            raise UsageError("A reusable holdout needs documents, and the variant gaussian or laplace.")
        if (self.variant == "laplace") != (self.budget is not None) or (self.budget is not None and self.budget < 1):
            raise UsageError("The laplace variant needs a budget of at least 1; the gaussian one has none.")
        if any(one is not None and not 0 < one < math.inf for one in (self.threshold, self.scale)):
            raise UsageError("Threshold and scale of a reusable holdout are numbers above zero.")

    @property
    def settings(self) -> dict[str, Any]:
        """All that answers depend on besides the seed."""
        threshold = self.threshold if self.threshold is not None else 4 / math.sqrt(self.n)
        scale = self.scale if self.scale is not None else threshold / (4 if self.variant == "gaussian" else 24)
        return {"n": self.n, "variant": self.variant, "budget": self.budget, "threshold": threshold, "scale": scale}

    def limits(self, gain: float = 0.01) -> str:
        """What this set cannot show, as a sentence."""
        least = self.settings["threshold"]
        return (
            f"With {self.n:,} guarded documents, gains below {least:.2g} cannot be told from chance: unless the "
            "development and the guarded set differ by more, the answer is the development set's own, however far "
            f"it is from the truth. A gain of {gain:g} needs {documents_needed(gain):,} documents."
        )

    def ask(self, development: npt.ArrayLike, guarded: npt.ArrayLike) -> float:
        """The mean improvement, safe to act upon.

        Args:
            development: improvement of each development document, at least one; clipped to [-1, 1].
            guarded: the same for the ``n`` guarded documents, in an order that does not change.

        Raises:
            UsageError: the budget is used up, another number of documents, or a file made with other settings.
            DataError: improvements that are not finite, or a damaged file.
            BusyError: another process holds the file for longer than ``wait``.
        """
        train, holdout = (np.asarray(one, np.float64).ravel() for one in (development, guarded))
        if len(holdout) != self.n or not len(train):
            raise UsageError(f"This holdout guards {self.n:,} documents, not {len(holdout):,}; both sets need some.")
        if not (np.isfinite(train).all() and np.isfinite(holdout).all()):
            raise DataError("An improvement is not a finite number. Leave diverged runs out.")
        train, holdout = (np.clip(one, -1.0, 1.0) + 0.0 for one in (train, holdout))
        raw = len(train).to_bytes(8) + train.tobytes() + holdout.tobytes()
        query = hashlib.blake2b(raw, digest_size=16).hexdigest()
        with files.waited_lock(self.path, self.wait):
            state = self._load()
            if query in state["answers"]:
                return float(state["answers"][query])
            if self.budget is not None and state["left"] < 1:
                raise UsageError(
                    f"The budget of {self.budget} answers from the guarded set is used up: what it still tells would "
                    "be fitted to it. Guard new documents for further questions."
                )
            answer = self._answer(state, float(train.mean()), float(holdout.mean()))
            state["answers"][query] = answer
            # On disk before anybody learns the answer: a kill in between costs budget, never privacy.
            files.write_whole(self.path, json.dumps(state, indent=1).encode())
            return answer

    def _answer(self, state: dict[str, Any], train: float, holdout: float) -> float:
        """One new answer; changes ``state``."""
        number, given = len(state["answers"]) + 1, self.settings
        noise = np.random.default_rng([state["seed"], number])
        threshold, scale = given["threshold"], given["scale"]
        if self.variant == "gaussian":
            first, second = noise.normal(0.0, scale, 2)
            return float(practical_answer(train, holdout, threshold, first, second))
        crossed, told, anew = noise.laplace(0.0, [4 * scale, scale, 2 * scale])
        if abs(holdout - train) <= state["noisy_threshold"] + crossed:
            return train
        state["left"] -= 1
        state["noisy_threshold"] = threshold + float(anew)
        return holdout + float(told)

    def _load(self) -> dict[str, Any]:
        """The file's state, or that of a holdout that nobody has asked."""
        if not self.path.exists():
            seed = self.seed if self.seed is not None else secrets.randbits(64)
            noise = float(np.random.default_rng([seed, 0]).laplace(0.0, 2 * self.settings["scale"]))
            state = {"format": FORMAT, "settings": self.settings, "seed": seed, "left": self.budget}
            return state | {"noisy_threshold": self.settings["threshold"] + noise, "answers": {}}
        try:
            found: dict[str, Any] = json.loads(self.path.read_bytes())
            if found["format"] != FORMAT or not isinstance(found["answers"], dict):
                raise ValueError(f"format {found['format']}")
            same = found["settings"] == self.settings and self.seed in (None, found["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path} is no readable file of a reusable holdout ({error}). Without it nobody knows what has "
                "been asked: restore it from a copy, or guard new documents."
            ) from None
        if not same:
            raise UsageError(f"{self.path} was made with other settings ({found['settings']}). Use those.")
        return found
