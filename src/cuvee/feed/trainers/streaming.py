"""MosaicML Streaming: exact counts of samples for each stream.

``choose`` is used: it is absolute and exact, and an ``epoch_size`` beside it is an error there. ``proportion`` is
apportioned by the library to the same counts up to its own rounding; ``repeat`` is cut to int(size * repeat), so up to
a sample of each stream would be lost against the plan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...errors import UsageError
from ...mix.apportion import apportion
from . import carried
from .base import Exported, Mixture, comment
from .stages import Stage, followed, in_folders

STAGES = (
    "One StreamingDataset a stage, for one epoch; each has a seed of its own, so that a stage that takes a part of a "
    "stream takes another part than the one before, with some samples in both."
)


def export(mixture: Mixture) -> Exported:
    """``streams.py``, and the counts as ``streams.json``."""
    if mixture.packed or mixture.documents is None:
        counts = mixture.sequences().tolist()
    else:
        mixture.passes()  # without which nothing can be counted
        counts = apportion(mixture.examples(), mixture.number() or 0).tolist()
    return _written(mixture, counts)


def export_stages(whole: Mixture, stages: Sequence[Stage]) -> Exported:
    """A folder for each stage; what a stage cannot give whole is carried to the next ones."""
    documents = not whole.packed and whole.documents is not None
    for stage in stages:
        if documents:
            stage.mixture.number()  # which refuses a stage of less than one
    counts = carried.counts(carried.run_of(whole, stages, documents), len(stages))
    each = []
    for stage, own in zip(stages, counts.tolist(), strict=True):
        drawn = [own[whole.names.index(name)] for name in stage.mixture.names]
        if not any(drawn):
            raise UsageError(f"The stage from token {stage.begin:,} has no whole document. Plan fewer stages.")
        used = [at for at, count in enumerate(drawn) if count]
        each.append(_written(stage.mixture.only(used), [drawn[at] for at in used]))
    facts, warnings = followed(whole, stages, counts.tolist(), documents)
    return in_folders(STAGES, each, facts, warnings)


def _written(mixture: Mixture, counts: Sequence[int]) -> Exported:
    """The files, of sources in whole counts."""
    rows = "".join(
        f"    Stream(local={place!a}, choose={count}),\n" for place, count in zip(mixture.places, counts, strict=True)
    )
    text = (
        comment(mixture)
        + f"from streaming import Stream, StreamingDataset\n\nstreams = [\n{rows}]\n\n\n"
        + f'def dataset(batch_size):\n    """{sum(counts)} samples an epoch; ``batch_size`` is that of one device."""\n'
        + "    return StreamingDataset(\n        streams=streams, batch_size=batch_size, shuffle=True, "
        + f"shuffle_seed={mixture.seed}\n    )\n"
    )
    told = [{"local": place, "choose": count} for place, count in zip(mixture.places, counts, strict=True)]
    notes = ["Counts are exact; a stream with more chosen than it holds is repeated."]
    if not mixture.packed and mixture.documents is not None:
        notes.append("Samples are documents, by each source's mean length. With packed samples export with --packed.")
    files = {"streams.py": text, "streams.json": json.dumps(told, indent=1) + "\n"}
    facts = {"choose": counts, "epoch_size": sum(counts)}
    return Exported(files, notes, "dataset(batch_size) in streams.py", facts)
