"""What one training's end holds: which documents come before it, which in it, and at which rates.

A run of T tokens takes the natural mix for its first (1 - f) T and a final mix for the rest. Its documents are those of
a *stock* (:mod:`cuvee.search.stock`), which a proxy run goes through as often as the planned run through the sources.
The beginning is one walk through each source's stock. The end, drawn anew at every seed, goes on with the documents
that the beginning has taken least often. Of a source that gets a larger share, more of the same order is taken, so
arms of one seed share their documents.

One schedule of the rate holds for the whole run: it rises, stays, and falls linearly in the last f ("wsd"). So the
beginning is a run of its own that ends at the peak, and every end starts from there (``onward=redecay``) and falls to
the floor: together they are one run that changed its data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..core import Block, Draw
from ..errors import UsageError
from ..proof.draws import Drawn, drawn
from ..proof.proxies.transformer import Transformer

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def left_out(mixture: Floats, source: int) -> Floats:
    """The mixture without one source, whose share goes to the others in proportion, (k,).

    Raises:
        UsageError: there is no other.
    """
    rest = np.where(np.arange(len(mixture)) == source, 0.0, mixture)
    if not rest.sum() > 0:
        raise UsageError("The final mix is one source alone: without it nothing is left. Give another final mix.")
    return np.asarray(rest / rest.sum())


def rates(model: Transformer, last: float, start: str | None = None) -> Transformer:
    """The proxy of a run's beginning, or with its checkpoint that of an end of ``last`` of the run."""
    if start is None:
        return replace(model, schedule="wsd", decay=0.0, warmup=min(model.warmup / (1.0 - last), 0.99), floor=0.0)
    return replace(model, schedule="wsd", decay=1.0, start=start, onward="redecay", rate=None)


def walk(documents: Block, order: Ints, wanted: Floats) -> Ints:
    """How often each document is taken, (n,), when each source is gone through in an order for so many tokens.

    A document is taken if its middle token is, so a source is off by half a document at most.

    Args:
        documents: "domain" and "tokens", (n,). ``order``: (n,), places.
        wanted: (k,), tokens of each source; more than it has are further passes.
    """
    domain, tokens = documents["domain"], documents["tokens"].astype(np.float64)
    total = np.bincount(domain, weights=tokens, minlength=len(wanted))
    with np.errstate(divide="ignore", invalid="ignore"):
        full = np.where(total > 0, np.floor(wanted / total + 1e-9), 0.0)
    rest = np.maximum(wanted - full * total, 0.0)
    by_source = order[np.argsort(domain[order], kind="stable")]
    ends = np.cumsum(tokens[by_source])
    first = np.searchsorted(domain[by_source], np.arange(len(wanted)))
    before = np.concatenate([[0.0], ends])[first]
    middle = ends - tokens[by_source] / 2 - before[domain[by_source]]
    found = full[domain].astype(np.int64)
    found[by_source[middle < rest[domain[by_source]]]] += 1
    return found


@dataclass(frozen=True)
class Course:
    """One run: what it takes from its stock before the end, and in it.

    Attributes:
        documents: of the stock, in row order: "row", "content", "bytes", "tokens", "domain".
        begun: int64, (n,): how often the beginning takes each.
        tokens: of the end.
    """

    documents: Block
    begun: Ints
    tokens: float

    @classmethod
    def of(cls, documents: Block, natural: Floats, tokens: int, last: float, seed: int) -> Course:
        """A run of so many tokens, the ``last`` share of which is its end."""
        order = np.argsort(Draw(seed).uniform("end of training: before", documents["content"]), kind="stable")
        begun = walk(documents, order, natural * (1.0 - last) * tokens)
        return cls(documents, begun, last * tokens)

    def beginning(self) -> Drawn:
        """The documents before the end."""
        return self._taken(self.begun)

    def ending(self, mixture: Floats, seed: int) -> tuple[Drawn, Floats]:
        """The documents of an end, and the share of its tokens that each source has in fact, (k,)."""
        place = Draw(seed).uniform("end of training: last", self.documents["content"])
        repeats = walk(self.documents, np.lexsort((place, self.begun)), mixture * self.tokens)
        seen = np.bincount(self.documents["domain"], weights=self.documents["tokens"] * repeats, minlength=len(mixture))
        return self._taken(repeats), seen / max(float(seen.sum()), 1.0)

    def _taken(self, repeats: Ints) -> Drawn:
        at = np.flatnonzero(repeats)
        whole = {name: self.documents[name][at] for name in ("row", "content", "tokens", "bytes")}
        whole["repeats"] = repeats[at]
        for unit in ("tokens", "bytes"):
            whole[unit] = whole[unit] * whole["repeats"]
        return drawn(whole)
