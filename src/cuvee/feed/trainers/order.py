"""The order itself, for a trainer of your own: which source each sequence comes from, within one sample of the plan.

``order.npy`` holds int32 numbers, one a sequence, the place of a source in mixture.json. Read one more sample of that
source each time; begin its next pass with another seed. With W workers, worker w takes the draws t = w modulo W, so the
order does not depend on how many there are; a run resumes from the number of draws alone.
"""

from __future__ import annotations

import io

import numpy as np

from ...errors import UsageError
from ...mix.interleave import interleave
from .base import Exported, Mixture

MOST = 500_000_000


def export(mixture: Mixture) -> Exported:
    """``order.npy``."""
    counts = mixture.sequences()
    total = int(counts.sum())
    if total > MOST:
        raise UsageError(
            f"The order of {total:,} sequences is too long to write. Give longer ones with --sequence-length."
        )
    sink = io.BytesIO()
    np.save(sink, interleave(counts))
    notes = ["At every prefix each source has strictly less than one sequence more or fewer than its exact share."]
    use = "numpy.load('order.npy', mmap_mode='r')"
    return Exported({"order.npy": sink.getvalue()}, notes, use, {"sequences": counts.tolist()})
