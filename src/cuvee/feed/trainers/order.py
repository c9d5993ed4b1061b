"""The order itself, for a trainer of your own: which source each sequence comes from, within one sample of the plan.

``order.npy`` holds int32 numbers, one a sequence, the place of a source in mixture.json. Read one more sample of that
source each time; begin its next pass with another seed. With W workers, worker w takes the draws t = w modulo W, so the
order does not depend on how many there are; a run resumes from the number of draws alone.

The order follows the exact shares p_j, not counts of the run that were rounded to whole sequences: the (c + 1)-th of
source j may come once c < p_j (t + 1), should have come when c + 1 <= p_j t, and among those that may come the one
whose deadline is first comes next, so that counts differ from t p_j by less than one after any t draws (the rule of
``mix/interleave.py``, for shares instead of counts). The kernel keeps a p_j-th's lag, which stays below one unit, so
that no product overflows. Cost: k integer operations a draw.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...engine.kernel import kernel
from ...errors import UsageError
from ...mix.apportion import apportion
from .base import Exported, Ints, Mixture, counts_of
from .stages import Stage

MOST = 500_000_000
MOST_UNITS = 2**60
"""Common denominator of the shares up to which they are exact; beyond, they are rounded to it, which is no sample."""
USE = "numpy.load('order.npy', mmap_mode='r')"


@kernel
def _fill(units: Ints, order: npt.NDArray[np.int32]) -> None:
    whole = units.sum()
    ahead = np.zeros(len(units), np.int64)  # units x (draws so far) - whole x (samples so far): within +-whole
    for t in range(len(order)):
        best, due = -1, np.int64(0)
        for j in range(len(units)):
            if units[j] > 0 and ahead[j] + units[j] > 0:
                # draws from now until the next sample must have come, rounded up
                deadline = (whole - ahead[j] - 1) // units[j] + 1
                if best < 0 or deadline < due:
                    best, due = j, deadline
        for j in range(len(units)):
            ahead[j] += units[j]
        ahead[best] -= whole
        order[t] = best


def order_of(mixture: Mixture) -> npt.NDArray[np.int32]:
    """The source of each whole sequence of a run, int32: at every prefix less than one off its exact share.

    Raises:
        UsageError: the run's tokens are not known, fewer than one sequence, or too many to write.
    """
    number = int(mixture.sequences().sum())
    if number > MOST:
        raise UsageError(
            f"The order of {number:,} sequences is too long to write. Give longer ones with --sequence-length."
        )
    common = math.lcm(*(share.denominator for share in mixture.shares))
    units = apportion(mixture.shares, min(common, MOST_UNITS))
    order = np.empty(number, np.int32)
    _fill(units, order)
    return order


def export(mixture: Mixture) -> Exported:
    """``order.npy``."""
    order = order_of(mixture)
    notes = ["At every prefix each source has strictly less than one sequence more or fewer than its exact share."]
    return Exported(
        {"order.npy": _written(order)},
        [*notes, *_rest(mixture.tokens, mixture.sequence, len(order))],
        USE,
        {"sequences": counts_of(order, len(mixture.names)).tolist()},
    )


def export_stages(whole: Mixture, stages: Sequence[Stage]) -> Exported:
    """``order.npy``: the stages one after the other, in whole sequences; places are of the whole run's sources."""
    parts, counts = [], []
    for stage in stages:
        own = np.array([whole.names.index(name) for name in stage.mixture.names], np.int32)
        parts.append(own[order_of(stage.mixture)])
        counts.append(counts_of(parts[-1], len(whole.names)).tolist())
    order = np.concatenate(parts)
    if len(order) > MOST:
        raise UsageError(
            f"The order of {len(order):,} sequences is too long to write. Give longer ones with --sequence-length."
        )
    notes = ["At every prefix of a stage each source has less than one sequence more or fewer than its exact share."]
    notes += _rest(sum(stage.mixture.tokens or 0 for stage in stages), whole.sequence, len(order))
    return Exported({"order.npy": _written(order)}, notes, USE, {"stages": counts})


def _rest(tokens: int | None, sequence: int, number: int) -> list[str]:
    """That the run's tokens are no whole number of sequences."""
    left = (tokens or 0) - number * sequence
    if not left:
        return []
    return [f"{left:,} of {tokens:,} tokens are left out: they fill no sequence of {sequence:,}."]


def _written(order: npt.NDArray[np.int32]) -> bytes:
    sink = io.BytesIO()
    np.save(sink, order)
    return sink.getvalue()
