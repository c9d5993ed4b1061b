"""litdata: a combined streaming data set with weights, in samples, drawn at random, which ends with its first source.

Weights beside litdata's default ``iterate_over_all=True`` are an error there, so it is set to False; then the mix ends
as soon as one source ends, and nothing is repeated. How much of the plan that leaves is said.
"""

from __future__ import annotations

from .base import Exported, Mixture, comment

STAGES = (
    "One data set a stage. Each reads its sources from their beginning, shuffled by a seed of its own, so a stage that "
    "takes a part of a source takes another part than the one before, with some samples in both."
)


def export(mixture: Mixture) -> Exported:
    """``mixed.py``."""
    shares = [float(one) for one in mixture.examples()]
    rows = "".join(
        f"    StreamingDataset({place!a}, shuffle=True, seed={mixture.seed + at}),\n"
        for at, place in enumerate(mixture.places)
    )
    text = (
        comment(mixture)
        + "from litdata import CombinedStreamingDataset, StreamingDataset\n\n"
        + f"parts = [\n{rows}]\nweights = {shares}\n"
        + f"mixed = CombinedStreamingDataset(parts, seed={mixture.seed}, weights=weights, iterate_over_all=False)\n"
    )
    notes = ["Draws are random, and the mix ends when its first source does: nothing is repeated."]
    facts: dict[str, object] = {"examples": shares}
    if mixture.tokens is not None and mixture.available is not None:
        most, name = max(zip(mixture.passes(), mixture.names, strict=True))
        facts["reached"] = min(1.0, float(1 / most))
        if most > 1:
            notes.append(
                f"The plan goes through '{name}' {float(most):.2f} times, so the mix ends after about "
                f"{float(1 / most):.0%} of the run. Bound the passes (cuvee mix --passes 1), or write copies of it."
            )
    if not mixture.packed:
        notes.append("Shares of tokens were turned into shares of documents by each source's mean length.")
    return Exported({"mixed.py": text}, notes, "mixed in mixed.py", facts)
