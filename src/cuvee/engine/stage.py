"""A pool or a target: its manifest, how its facts are computed, and where the cache keeps what is known of a span."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .facts import Facts
from .manifest import Manifest, Piece, Span
from .store import Store, as_block, code_digest, digest


@dataclass
class Stage:
    """The pool or the target: a manifest, how its facts are computed, and what is cached about it."""

    manifest: Manifest
    facts: Facts
    label: str
    facts_ready: bool = False
    code: str = field(default_factory=code_digest)
    """Of the process that began the run: a worker's own could differ if somebody edits the sources meanwhile."""
    vectors: str = ""
    """The digest of the Map whose vectors rows are given as their column "embedding"; "" where they keep their own."""
    _facts_plan: str = ""

    @property
    def facts_plan(self) -> str:
        """A digest of how facts are computed."""
        if not self._facts_plan:
            self._facts_plan = self.facts.plan()
        return self._facts_plan

    @property
    def plan(self) -> str:
        return digest(self.code, self.manifest.digest, self.facts_plan, *self.added)

    @property
    def added(self) -> tuple[str, ...]:
        """What rows are given beside what the files hold: part of every key but those of facts."""
        return (self.vectors,) if self.vectors else ()

    def pieces(self, span: Span, store: Store) -> Iterator[Piece]:
        """The span's rows, with the vectors that were made for them."""
        if not self.vectors:
            yield from self.manifest.read(span)
            return
        batches, _ = store.table(digest("map", self.vectors, self.key("facts", span)))
        made, at = as_block(batches[0]), 0
        for piece in self.manifest.read(span):
            rows = len(piece.batch)
            if rows:
                columns = {**piece.batch.columns, "embedding": made["embedding"][at : at + rows]}
                piece.batch, at = replace(piece.batch, columns=columns), at + rows
            yield piece

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is stored about every span."""
        return ("facts", "rejects", "sample", "ids") if self.has_ids else ("facts", "rejects", "sample")

    @property
    def has_ids(self) -> bool:
        return self.manifest.spec.id is not None and self.facts.key == "id"

    def key(self, kind: str, span: Span) -> str:
        """Where the cache keeps what it knows about a span."""
        return digest(kind, self.code, self.facts_plan, self.manifest.span_key(span))
