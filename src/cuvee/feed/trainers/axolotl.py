"""axolotl: concatenated data sets, without weights: whole copies of a source and a slice of it, to the document.

A source that the run goes through 2.3 times is listed twice and once more with the first 0.3 of its documents, so its
files should be in random order. Duplicates must not be removed afterwards, which ``dataset_exact_deduplication: false``
says.
"""

from __future__ import annotations

from ...errors import UsageError
from ...mix.apportion import apportion
from .base import Exported, Mixture, comment, quoted

MOST_COPIES = 100


def export(mixture: Mixture) -> Exported:
    """``datasets.yaml``: the entries, and the options without which they mean something else."""
    passes, documents = mixture.passes(), mixture.documents
    if documents is None:
        raise UsageError("axolotl needs the documents of each source. Export a mix that cuvee mix made of the pool.")
    lines = [comment(mixture), "datasets:\n"]
    for name, place, times, held in zip(mixture.names, mixture.places, passes, documents, strict=True):
        if times > MOST_COPIES:
            raise UsageError(f"'{name}' would be listed {float(times):.0f} times. Bound it: cuvee mix --passes 16.")
        whole = int(times)
        part = int(apportion([times - whole, 1 - (times - whole)], held)[0])
        for split in ["train"] * whole + ([f"train[:{part}]"] if part else []):
            lines.append(f"  - path: {quoted(place)}\n    type: completion\n    split: {quoted(split)}\n")
    lines.append("dataset_exact_deduplication: false\nshuffle_merged_datasets: true\n")
    notes = [
        "axolotl has no weights: sources are listed as often as they are gone through, with a slice of documents for "
        "the rest. Slices take the first documents, so shuffle the files beforehand.",
        "Slices count documents: tokens follow the plan as far as the first documents are of mean length.",
    ]
    return Exported({"datasets.yaml": "".join(lines)}, notes, "the keys of the configuration")
