"""A pool or a target: its manifest, how its facts are computed, and where the cache keeps what is known of a span."""

from __future__ import annotations

from dataclasses import dataclass, field

from .facts import Facts
from .manifest import Manifest, Span
from .store import code_digest, digest


@dataclass
class Stage:
    """The pool or the target: a manifest, how its facts are computed, and what is cached about it."""

    manifest: Manifest
    facts: Facts
    label: str
    facts_ready: bool = False
    code: str = field(default_factory=code_digest)
    """Of the process that began the run: a worker's own could differ if somebody edits the sources meanwhile."""
    _facts_plan: str = ""

    @property
    def facts_plan(self) -> str:
        """A digest of how facts are computed."""
        if not self._facts_plan:
            self._facts_plan = self.facts.plan()
        return self._facts_plan

    @property
    def plan(self) -> str:
        return digest(self.code, self.manifest.digest, self.facts_plan)

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
