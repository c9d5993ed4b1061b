"""How the best mixture is looked for: as the law does it, by rounds, or by draws and more draws near their best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..core import Law, Prediction
from . import perturbed, rounds
from .propose import Question

Floats = npt.NDArray[np.float64]
PROPOSERS = ("law", "rounds", "perturbed")


def best(proposer: str, question: Question, law: Law, fits: Sequence[Sequence[Prediction]]) -> Floats:
    """One proposal for each column of ``fits``, outcomes by resamples: float64, (b, k).

    Args:
        proposer: one of ``PROPOSERS``.
    """
    if proposer == "law":
        return question.best(law, fits)
    many = len(fits[0])
    if proposer == "perturbed":
        return np.stack([perturbed.best(question, fits, at) for at in range(many)])
    draws = rounds.DRAWS if many == 1 else rounds.FEW_DRAWS
    return np.stack([rounds.tightened(question, fits, at, draws) for at in range(many)])
