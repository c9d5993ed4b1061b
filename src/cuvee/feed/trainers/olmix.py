"""olmix: the part ``mix`` of a launch configuration, in tokens: sources with topics, and how often each may repeat.

A source called ``dclm/science`` is the topic ``science`` of ``dclm``: its share is the product of the source's weight
and its own. ``repetition_factor`` bounds the passes, so it is what the plan needs, at least 1. Paths stand elsewhere in
the configuration (``data: sources``), under the same names.
"""

from __future__ import annotations

import math
from fractions import Fraction

from ...errors import UsageError
from .base import Exported, Mixture, comment, decimal, key

STAGES = "One launch a stage, from the checkpoint of the one before; each draws its parts of the sources anew."
OWN = ("weight", "repetition_factor")


def export(mixture: Mixture) -> Exported:
    """``mix.yaml``."""
    known = mixture.available is not None and mixture.tokens is not None
    needed = mixture.passes() if known else [Fraction(1)] * len(mixture.names)
    tree: dict[str, list[tuple[str, Fraction, str]]] = {}
    for name, share, passes in zip(mixture.names, mixture.shares, needed, strict=True):
        source, _, topic = name.partition("/")
        factor = f"repetition_factor: {decimal(max(1.0, math.ceil(passes * 1000) / 1000))}"
        tree.setdefault(source, []).append((topic, share, factor))
        if topic in OWN or not source or (not topic and "/" in name):
            raise UsageError(f"'{name}' cannot be written for olmix: a source and its topic need names of their own.")
    text = comment(mixture) + "mix:\n"
    for source, topics in tree.items():
        whole = sum((share for _, share, _ in topics), Fraction(0))
        text += f"  {key(source, 2)}\n    weight: {decimal(float(whole))}\n"
        if topics[0][0] == "" and len(topics) == 1:
            text += f"    {topics[0][2]}\n"
            continue
        for topic, share, factor in topics:
            if not topic:
                raise UsageError(f"'{source}' is a source and has topics, which olmix cannot tell apart. Rename it.")
            text += f"    {key(topic, 4)}\n      weight: {decimal(float(share / whole))}\n      {factor}\n"
    notes = [
        "repetition_factor is what the mix's token counts need, and those are estimates unless cuvee mix was given "
        "--token-column or --tokenizer: raise it where files hold fewer tokens."
        if known
        else "Sizes or tokens are not known: repetition_factor is 1, raise it for sources that are repeated.",
        "Paths are not part of it: the names must be those of data: sources (and topics) in the configuration.",
    ]
    return Exported({"mix.yaml": text}, notes, "the key mix of olmix's launch configuration")
