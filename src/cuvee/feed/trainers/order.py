"""The order itself, for a trainer of your own: which source each sequence comes from, within one sample of the plan.

``order.npy`` holds int32 numbers, one a sequence, the place of a source in mixture.json. Read one more sample of that
source each time; begin its next pass with another seed. With W workers, worker w takes the draws t = w modulo W, so the
order does not depend on how many there are; a run resumes from the number of draws alone.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from ...errors import UsageError
from ...mix.interleave import interleave
from .base import Exported, Ints, Mixture
from .stages import Stage

MOST = 500_000_000


def export(mixture: Mixture) -> Exported:
    """``order.npy``."""
    counts = mixture.sequences()
    notes = ["At every prefix each source has strictly less than one sequence more or fewer than its exact share."]
    use = "numpy.load('order.npy', mmap_mode='r')"
    return Exported({"order.npy": _written([counts])}, notes, use, {"sequences": counts.tolist()})


def export_stages(whole: Mixture, stages: Sequence[Stage]) -> Exported:
    """``order.npy``: the stages one after the other, in whole sequences; places are of the whole run's sources."""
    counts = []
    for stage in stages:
        own = dict(zip(stage.mixture.names, stage.mixture.sequences().tolist(), strict=True))
        counts.append(np.array([own.get(name, 0) for name in whole.names], np.int64))
    notes = ["At every prefix of a stage each source has less than one sequence more or fewer than its exact share."]
    told = [one.tolist() for one in counts]
    return Exported({"order.npy": _written(counts)}, notes, "numpy.load('order.npy', mmap_mode='r')", {"stages": told})


def _written(stages: Sequence[Ints]) -> bytes:
    """The order of some counts of sequences after each other, as an array's file."""
    total = int(sum(one.sum() for one in stages))
    if total > MOST:
        raise UsageError(
            f"The order of {total:,} sequences is too long to write. Give longer ones with --sequence-length."
        )
    sink = io.BytesIO()
    np.save(sink, np.concatenate([interleave(one) for one in stages]))
    return sink.getvalue()
