"""An order of sources that stays within one sample of the exact shares at every prefix.

Of n_j units of source j among T, the (c + 1)-th may come once c < n_j (t + 1) / T, and should have come when
(c + 1) <= n_j t / T; among the sources that may come, the one whose deadline is first comes next. After any t draws the
counts then differ from t n_j / T by less than one: the schedule of proportionate fairness on one processor (Baruah,
Cohen, Plaxton and Varvel, "Proportionate Progress", Algorithmica 1996). Choosing the source that lags most, as some
trainers do, strays by up to 1.7.

Deterministic, and resumable from t alone together with the counts so far. Cost: k integer operations a draw.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..engine.kernel import kernel
from ..errors import UsageError

MOST = 2**30
"""Units of a plan: their products still fit into 64 bits."""


@kernel
def _earliest_deadline(
    planned: npt.NDArray[np.int64], taken: npt.NDArray[np.int64], begin: int, order: npt.NDArray[np.int32]
) -> None:
    total = planned.sum()
    for at in range(len(order)):
        t = begin + at
        best, due = -1, np.int64(0)
        for j in range(len(planned)):
            if planned[j] > 0 and taken[j] * total < planned[j] * (t + 1):
                # the first whole t by which unit taken + 1 must have come
                deadline = ((taken[j] + 1) * total + planned[j] - 1) // planned[j]
                if best < 0 or deadline < due:
                    best, due = j, deadline
        taken[best] += 1
        order[at] = best


def interleave(
    planned: npt.NDArray[np.int64], begin: int = 0, taken: npt.NDArray[np.int64] | None = None, count: int | None = None
) -> npt.NDArray[np.int32]:
    """The sources of draws ``begin`` and following.

    Args:
        planned: int64, (k,): units of each source in the whole plan, as :func:`~cuvee.mix.apportion.apportion` gives.
        begin, taken: where a resumed run stands: draws made, and units of each source among them.
        count: draws wanted [to the end of the plan]; the plan may be gone through more than once.

    Returns:
        int32, (count,): places of sources. ``planned`` and ``taken`` are not changed.

    Raises:
        UsageError: a negative count, an empty plan, one of more than 2^30 units, or counts that are not of ``begin``.
    """
    planned = np.asarray(planned, np.int64)
    total = int(planned.sum())
    if (planned < 0).any() or not 0 < total <= MOST:
        raise UsageError(f"A plan has between 1 and {MOST:,} units and no negative ones, not {total:,}.")
    so_far = np.zeros_like(planned) if taken is None else np.array(taken, np.int64)
    if so_far.shape != planned.shape or int(so_far.sum()) != begin:
        raise UsageError(f"The counts so far must be of {len(planned)} sources and sum to {begin}, the draws made.")
    length = total - begin % total if count is None else count
    if length > MOST:
        raise UsageError("An order of so many draws cannot be computed. Ask for part of it.")
    order = np.empty(length, np.int32)
    rounds = begin // total
    _earliest_deadline(planned, so_far - rounds * planned, begin - rounds * total, order)
    return order
