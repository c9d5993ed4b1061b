"""MosaicML Streaming: exact counts of samples for each stream.

``choose`` is used: it is absolute and exact, and an ``epoch_size`` beside it is an error there. ``proportion`` is
apportioned by the library to the same counts up to its own rounding; ``repeat`` is cut to int(size * repeat), so up to
a sample of each stream would be lost against the plan.
"""

from __future__ import annotations

import json

from ...mix.apportion import apportion
from .base import Exported, Mixture, comment

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
