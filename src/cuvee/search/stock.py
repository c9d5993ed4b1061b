"""What a run of a mixture trains on, so that a short run repeats its sources as the planned one would.

A planned run of T tokens goes through a source of n tokens p T / n times. In a proxy run of t tokens, drawn from the
whole pool, a small source that the planned run repeats ten times would be seen less than once, and would look better
than it is ("Repetition mismatch", arXiv 2606.07597). So every source is first cut down to n t / T tokens, its *stock*,
another at every seed; a share p of t tokens then goes through the stock as often as the planned run through the source.

Documents stand in an order keyed by seed and row. The stock is cut into slices of about equal tokens, and a run takes a
whole number of slices of each source: the first m slices of the order once more than the others. (A document belongs to
the slice in which its middle token falls.) So mixtures of one seed are nested: what is run with a larger share of a
source sees all that a smaller share has shown, and arms of one seed are paired by their documents.

Whole slices keep runs exact: counts of n-grams may be added slice by slice (:mod:`cuvee.search.counted`). They are a
256th of a run or a 32nd of a stock, whichever is smaller; laws are fitted to the shares that a run has seen in fact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Block, Draw
from ..errors import DataError
from ..proof.draws import Drawn, Part, drawn

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
OF_A_RUN, OF_A_STOCK = 256, 32
NAMES = ("row", "key", "content", "bytes", "tokens", "domain")


@dataclass(frozen=True)
class Grid:
    """How shares become slices.

    Attributes:
        names: (k,): the sources. ``available``: int64, (k,): tokens that each holds.
        planned, tokens: of the planned run, and of a proxy run.
        size: float64, (k,): tokens of a slice. ``whole``: int64, (k,): slices in a stock.
    """

    names: tuple[str, ...]
    available: Ints
    planned: int
    tokens: int
    size: Floats
    whole: Ints

    @classmethod
    def of(cls, names: tuple[str, ...], available: Ints, planned: int, tokens: int) -> Grid:
        stock = available * (tokens / planned)
        whole = np.maximum(np.ceil(stock / (tokens / OF_A_RUN)), OF_A_STOCK).astype(np.int64)
        return cls(names, available, planned, tokens, stock / whole, whole)

    def slices(self, mixture: Floats) -> Ints:
        """Whole slices of each source, (k,), for shares that sum to one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(self.size > 0, np.rint(mixture * self.tokens / self.size), 0.0)
        return found.astype(np.int64)

    def passes(self, mixture: Floats) -> Floats:
        """How often the planned run goes through each source, (k,)."""
        return np.divide(mixture * self.planned, self.available, out=np.zeros(len(mixture)), where=self.available > 0)


@dataclass(frozen=True)
class Stock:
    """The documents that runs of one seed draw from, in row order.

    Attributes:
        documents: "row", "content", "bytes", "tokens", "domain", and "slice", the place in the order of the domain.
    """

    grid: Grid
    seed: int
    documents: Block

    def within(self, most: Ints) -> Stock:
        """The same stock without the slices that no run takes, (k,)."""
        kept = self.documents["slice"] < most[self.documents["domain"]]
        return Stock(self.grid, self.seed, {name: values[kept] for name, values in self.documents.items()})

    def repeats(self, slices: Ints) -> Ints:
        """How often each document is taken, (n,)."""
        domain = self.documents["domain"]
        full, rest = np.divmod(slices, self.grid.whole)
        return np.asarray(full[domain] + (self.documents["slice"] < rest[domain]), np.int64)

    def draw(self, slices: Ints) -> tuple[Drawn, Floats]:
        """The documents of a run, and the share of its tokens that each source has in fact, (k,)."""
        repeats = self.repeats(slices)
        at = np.flatnonzero(repeats)
        taken = {name: self.documents[name][at] for name in ("row", "content", "tokens", "bytes")}
        taken["repeats"] = repeats[at]
        for unit in ("tokens", "bytes"):
            taken[unit] = taken[unit] * taken["repeats"]
        seen = np.bincount(self.documents["domain"][at], weights=taken["tokens"], minlength=len(self.grid.names))
        return drawn(taken), seen / max(float(seen.sum()), 1.0)


def draw_stock(part: Part, grid: Grid, seed: int, most: Ints) -> Stock:
    """The stock of one seed, as far as any run takes of it.

    Args:
        most: int64, (k,): the most slices that any run takes. Documents beyond are not held in memory.

    Raises:
        DataError: a source that runs take from has no document so short that it fits.
    """
    wanted = np.minimum(most, grid.whole)
    rows = np.zeros(len(grid.names))
    for block in part.blocks("domain"):
        rows += np.bincount(block["domain"], minlength=len(grid.names))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(grid.available > 0, wanted * grid.size / grid.available, 0.0)
        limit = np.where(wanted > 0, np.minimum(1.0, 1.5 * share + 1_000 / np.maximum(rows, 1)), 0.0)
    while True:
        found = _before(part, Draw(seed), limit)
        documents, reached = _sliced(found, grid, wanted)
        short = (limit < 1) & (reached < wanted * grid.size)
        if not short.any():
            break
        limit[short] = 1.0  # long documents: their order has to be looked at as a whole
    held = np.bincount(documents["domain"], minlength=len(grid.names))
    empty = np.flatnonzero((held == 0) & (wanted > 0))
    if len(empty):
        at = int(empty[0])
        given = wanted[at] * grid.size[at]
        raise DataError(
            f"A proxy run of {grid.tokens:,} tokens stands for one of {grid.planned:,}, so it would be given "
            f"{given:,.0f} tokens of '{grid.names[at]}' to go through: less than a document. Give "
            f"{'more --run-tokens, fewer --tokens,' if grid.tokens < grid.planned else 'more --tokens'} or a pool "
            "without this source."
        )
    return Stock(grid, seed, documents)


def _before(part: Part, draw: Draw, limit: Floats) -> Block:
    """The documents whose place in the order, a number below 1, is below their domain's limit."""
    found: list[Block] = []
    for block in part.blocks(*NAMES):
        place = draw.uniform("mix search", block["key"])
        at = np.flatnonzero(place < limit[block["domain"]])
        if len(at):
            found.append({**{name: block[name][at] for name in NAMES}, "place": place[at]})
    if not found:
        raise DataError("No document is left to train on. Look into the pool with cuvee profile.")
    return {name: np.concatenate([block[name] for block in found]) for name in (*NAMES, "place")}


def _sliced(found: Block, grid: Grid, wanted: Ints) -> tuple[Block, Floats]:
    """The documents with their slices, those beyond the wanted ones left out; and how far each domain's order went."""
    order = np.lexsort((found["row"], found["place"], found["domain"]))
    domain, tokens = found["domain"][order], found["tokens"][order]
    ends = np.cumsum(tokens)
    first = np.searchsorted(domain, np.arange(len(grid.names)))
    before = np.concatenate([[0], ends])[first]
    middle = ends - tokens / 2 - before[domain]
    slices = np.floor(middle / np.maximum(grid.size[domain], 1e-300)).astype(np.int64)
    kept = order[slices < wanted[domain]]
    slices = slices[slices < wanted[domain]]
    by_row = np.argsort(found["row"][kept], kind="stable")
    names = ("row", "content", "bytes", "tokens", "domain")
    documents = {name: found[name][kept[by_row]] for name in names}
    documents["slice"] = slices[by_row]
    reached: Floats = np.bincount(domain, weights=tokens, minlength=len(grid.names)).astype(np.float64)
    return documents, reached
