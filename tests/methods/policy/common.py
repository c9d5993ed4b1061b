"""What the tests of the policies share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cuvee.core import Draw, Examples, Policy, Round

GOLDEN = Path(__file__).parents[2] / "data/golden"


def examples_of(n: int, seed: int = 0, high: int = 2**64) -> Examples:
    """Random keys, three domains."""
    chance = np.random.default_rng(seed)
    key = chance.integers(0, high, n, dtype=np.uint64)
    return Examples(key, (np.arange(n) % 3).astype(np.int32))


def rounds(policy: Policy, examples: Examples, number: int, epochs: float, loss: Any, seed: int = 1) -> list[Round]:
    """The first rounds, with losses ``loss(round, places)``."""
    state, found = policy.init(examples), []
    for at in range(number):
        one = policy.propose(state, examples, at, epochs, Draw(seed))
        found.append(one)
        state = policy.update(state, one, np.asarray(loss(at, one.order), np.float64))
    return found
