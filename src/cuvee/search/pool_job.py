"""A job over the sources of one pool: what searches of mixtures and utilities of sources do before they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..checks import usable
from ..core import Columns
from ..engine.columns import NOT_TOLD_APART, DiskColumns
from ..engine.executor import Executor
from ..engine.progress import Progress
from ..engine.run import Engine
from ..engine.store import Store
from ..errors import DataError, UsageError
from ..mixing import check_sources, count_sources
from ..pool import Opened, Paths, Reading, open_stage
from ..proof import evaluations, overlap
from ..proof.evaluations import EvaluationSet
from ..proof.ledger import Ledger
from ..proof.places import Place
from ..proof.proxy import Proxy


@dataclass
class PoolJob:
    """Pool and evaluation sets, opened and looked at; what is trained is decided by those who inherit.

    Attributes:
        warnings: of the pool and the sets, gravest first; ``notes``: of columns found and not used, which come last.
        rows: of the pool, and those that cannot be used.
    """

    place: Place
    command: str
    paths: Sequence[str] = ()
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)

    engine: Engine = field(init=False)
    opened: Opened = field(init=False)
    reading: Reading = field(init=False)
    sets: list[EvaluationSet] = field(init=False)
    met: overlap.Overlap = field(init=False)

    @property
    def store(self) -> Store:
        return self.place.store

    @property
    def ledger(self) -> Ledger:
        return self.place.ledger

    @property
    def executor(self) -> Executor:
        return self.place.executor

    @property
    def progress(self) -> Progress:
        return self.place.progress

    def begin(self, pool: Paths, sets: Mapping[str, Paths], reading: Reading, eval_bytes: int) -> None:
        """Open pool and evaluation sets; nothing is read but their heads, and the evaluation sets.

        Raises:
            UsageError: the pool has no texts.
        """
        self.opened, self.reading = open_stage(pool, reading, self.store), reading
        if self.opened.spec.text is None:
            raise UsageError("The pool has no texts to train on. Name their column with --text.")
        self.engine = Engine(self.opened.stage, None, self.store, self.executor, self.progress)
        held = Reading(text=reading.text, skip_bad=reading.skip_bad)
        self.sets = [
            evaluations.read(name, paths, held, self.store, eval_bytes, ("text",)) for name, paths in sets.items()
        ]
        self.notes += [f"{note}." for note in self.opened.notes]
        self.warnings += evaluations.checked(self.sets, reading)

    def look(
        self, how: Literal["clean", "refuse", "ignore"], column: str | None
    ) -> tuple[Columns, npt.NDArray[np.int64]]:
        """The pool's rows by sources, and those that no run may draw, ascending, since they hold evaluation text.

        Args:
            how: --overlap. ``column``: what names the sources.

        Raises:
            DataError: rows cannot be used, the pool has one source, or evaluation text is in it and is refused.
        """
        known = self.engine.columns(domain_by_convention=self.opened.domain_by_convention)
        self.rows = {"rows": known.n_rows + known.rejected, "rejected": known.rejected}
        left_out = usable(self.engine, known, self.reading)
        columns = self._columns(known)
        if columns is known and list(known.domains) == [NOT_TOLD_APART]:
            self.engine.columns()  # refuses, and names columns that would do
        check_sources(count_sources(columns), column)
        self.met, bad, told = evaluations.found_in(self.engine, self.sets, how)
        self.warnings = [*left_out, *told, *self.warnings]
        return columns, bad

    def _columns(self, known: DiskColumns) -> Columns:
        """The pool's rows by sources."""
        return known


def lengths(tokens: int | None, run_tokens: int | None, whole: int, proxy: Proxy) -> tuple[int, int]:
    """Tokens of the planned run [the ``whole`` pool], and of the one that is trained here [what suits the proxy].

    Raises:
        UsageError: the second is longer than the first.
    """
    planned = tokens or whole
    length = run_tokens or min(planned, proxy.most_tokens or planned)
    if length > planned:
        raise UsageError(
            f"A proxy run of {length:,} tokens is longer than the planned run of {planned:,}. Give fewer --run-tokens, "
            "or more --tokens."
        )
    return planned, length


def refuse_empty(names: Sequence[str], held: npt.NDArray[np.int64], whence: str) -> None:
    """DataError if one of these sources holds no token; ``whence``: what it may be left out of."""
    if empty := [name for name, tokens in zip(names, held.tolist(), strict=True) if not tokens]:
        raise DataError(
            f"Nothing is left of the source '{empty[0]}': it is empty, or every document holds evaluation text. "
            f"Leave it out of {whence}, or evaluate on other documents."
        )
