"""Score columns on disk, read block by block: what a Choose works on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core import Block
from ..errors import DataError
from .store import Store, as_block

MOST_DOMAINS = 5_000
HELD_BYTES = 64 << 20
"""A selection reads its columns a dozen times: the first spans' blocks, up to this much, are kept in memory."""


@dataclass
class DiskColumns:
    """The blocks of a pool's spans, in row order, from one or more stored tables per span.

    ``parts`` lists, per span, the cache keys whose columns belong together. Implements
    :class:`cuvee.core.Columns`; see there for the columns.
    """

    store: Store
    parts: list[list[str]]
    domain_by_convention: bool = False
    domains: Sequence[str] = field(default_factory=list)
    n_rows: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _held: dict[int, list[Block]] = field(default_factory=dict, repr=False)
    _held_bytes: int = 0

    def __post_init__(self) -> None:
        names: set[str] = set()
        local: list[list[str]] = []
        totals = {"rows": 0, "tokens": 0, "bytes": 0}
        for keys in self.parts:
            _, note = self.store.table(keys[0])
            local.append(note["domains"])
            names.update(note["domains"])
            for unit in totals:
                totals[unit] += note["totals"][unit]
        self.totals, self.n_rows = totals, totals["rows"]
        if len(names) > MOST_DOMAINS:
            if not self.domain_by_convention:
                raise DataError(
                    f"The domain column has {len(names):,} different values; at most {MOST_DOMAINS:,} can be told "
                    "apart. Name a coarser column with --domain, or leave it out with --domain none."
                )
            self.notes.append(f"the domain column has {len(names):,} different values and was not used")
            self.domains = ["(all)"]
            self._maps = [np.zeros(len(one), np.int32) for one in local]
            return
        self.domains = sorted(names)
        code = {name: i for i, name in enumerate(self.domains)}
        self._maps = [np.array([code[name] for name in one], np.int32) for one in local]

    def blocks(self, *names: str) -> Iterator[Block]:
        wanted = set(names)
        for span in range(len(self.parts)):
            for block in self._held.get(span) or self._read(span):
                if wanted - block.keys():
                    raise KeyError(f"no column {sorted(wanted - block.keys())}")
                yield {name: values for name, values in block.items() if not wanted or name in wanted}

    def _read(self, span: int) -> list[Block]:
        """A span's blocks with all their columns, kept for the next pass while there is room."""
        merged: list[Block] = []
        for number, key in enumerate(self.parts[span]):
            batches, _ = self.store.table(key)
            for at, batch in enumerate(batches):
                block = as_block(batch)
                if number == 0:
                    block["domain"] = self._maps[span][block["domain"]]
                    block["domain"].flags.writeable = False  # like the others, which are Arrow's: blocks are shared
                    merged.append(block)
                else:
                    merged[at].update(block)
        size = sum(values.nbytes for block in merged for values in block.values())
        if self._held_bytes + size <= HELD_BYTES:
            self._held[span] = merged
            self._held_bytes += size
        return merged
