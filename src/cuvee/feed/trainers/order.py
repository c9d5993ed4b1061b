"""The order itself, for a trainer of your own: which source each sequence comes from, within one sample of the plan.

``order.npy`` holds int32 numbers, one a sequence, the place of a source in mixture.json. Read one more sample of that
source each time; begin its next pass with another seed. With W workers, worker w takes the draws t = w modulo W, so the
order does not depend on how many there are; a run resumes from the number of draws alone.

The order follows the exact shares p_j, not counts of the run that were rounded to whole sequences: counts differ from
t p_j by less than one after any t draws (the rule of ``mix/interleave.py``, for shares instead of counts), and so they
do from the sum of the shares where these change from stage to stage; see :mod:`.carried`. Cost: k integer comparisons a
draw.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...errors import UsageError
from . import carried
from .base import Exported, Mixture, counts_of
from .stages import Stage, followed

MOST = 500_000_000
USE = "numpy.load('order.npy', mmap_mode='r')"


def order_of(mixture: Mixture) -> npt.NDArray[np.int32]:
    """The source of each whole sequence of a run, int32: at every prefix less than one off its exact share.

    Raises:
        UsageError: the run's tokens are not known, fewer than one sequence, or too many to write.
    """
    return _drawn([carried.Segment(int(mixture.sequences().sum()), {0: mixture.shares})])[0]


def _drawn(run: Sequence[carried.Segment]) -> tuple[npt.NDArray[np.int32], int]:
    number = sum(one.number for one in run)
    if number > MOST:
        raise UsageError(
            f"The order of {number:,} sequences is too long to write. Give longer ones with --sequence-length."
        )
    return carried.order(run)


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
    """``order.npy``: the stages one after the other; places are of the whole run's sources."""
    run = carried.run_of(whole, stages, documents=False)
    order, off = _drawn(run)
    notes = [
        "At every prefix of the run each source has less than one sequence more or fewer than the exact sum of the "
        "stages' shares, so far."
        if off == 1
        else "At the end of every stage each source has less than one sequence more or fewer than the exact sum of the "
        "stages' shares, and less than two within stages: sources pause, and none is drawn in its pause."
    ]
    notes += _rest(sum(stage.mixture.tokens or 0 for stage in stages), whole.sequence, len(order))
    counts = carried.counted(run, order, len(stages)).tolist()
    facts, warnings = followed(whole, stages, counts, False)
    return Exported({"order.npy": _written(order)}, notes, USE, {**facts, "stages": counts}, warnings)


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
