"""Opening pools and targets: from paths and column names to stages that the engine can run on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path

from .engine.facts import Facts
from .engine.manifest import Manifest
from .engine.stage import Stage
from .engine.store import Store
from .errors import UsageError
from .source.base import Spec

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


def named(paths: Paths) -> list[str]:
    """Paths as a list of texts."""
    return [str(paths)] if isinstance(paths, str | PathLike) else [str(path) for path in paths]


@dataclass(frozen=True)
class Reading:
    """How rows are to be read. ``None`` finds a column by convention; "none" goes without.

    Attributes:
        text, id, domain, tokens, embedding, label: column names; dots reach into nested objects.
        tokenizer: path of a Hugging Face ``tokenizer.json`` to count tokens with.
        key: "id" or "content": what identifies a row.
        skip_bad: go on without rows that cannot be used (they are counted and listed); else refuse.
        model: the folder of a model that makes the embeddings of a selection's rows (``feature/models.py``).
    """

    text: str | None = None
    id: str | None = None
    domain: str | None = None
    tokens: str | None = None
    embedding: str | None = None
    label: str | None = None
    tokenizer: str | None = None
    key: str = "id"
    skip_bad: bool = False
    model: str | None = None

    def columns(self) -> dict[str, str | None]:
        """The columns named by the user, by role."""
        return {role: getattr(self, role) for role in asdict(Spec())}


@dataclass
class Opened:
    """A stage together with what was decided on the way."""

    stage: Stage
    spec: Spec
    skipped: list[tuple[str, str]]
    domain_by_convention: bool
    notes: list[str] = field(default_factory=list)
    """Sentences without a full stop about columns that were found, but not used."""


def open_both(
    pool: Paths, target: Paths | None, reading: Reading, store: Store, needs: Collection[str] = ()
) -> tuple[Opened, Opened | None]:
    """The pool, and the target if there is one.

    ``needs``: what the method reads of the pool. Where labels are not among it, the column that ``reading`` names for
    them may be the target's alone.
    """
    if target is None:
        return open_stage(pool, reading, store), None
    opened = open_stage(pool, reading, store, may_lack=() if "label" in needs else ("label",))
    against = open_stage(target, target_reading(reading), store, "target", may_lack=("embedding", "label"))
    if reading.label not in (None, "none") and opened.spec.label is None and against.spec.label is None:
        open_stage(pool, reading, store)  # says that there is no such column
    return opened, against


def open_stage(
    paths: Paths, reading: Reading, store: Store, label: str = "pool", may_lack: Collection[str] = ()
) -> Opened:
    """Find the files, resolve the columns, index the rows.

    ``may_lack``: columns, by role, that need not be there though they are named; a method that needs them says so.
    """
    from .source.discover import discover
    from .source.resolve import resolve_columns

    if reading.tokenizer is not None and reading.tokens is not None:
        raise UsageError("Give either --tokenizer or --token-column, not both.")
    if reading.key not in ("id", "content"):
        raise UsageError(f"--key must be 'id' or 'content', not '{reading.key}'")
    if isinstance(paths, str | PathLike):
        paths = [paths]
    names = [str(path) for path in paths]
    if not names:
        raise UsageError(f"No {label} was named.")
    facts = Facts(reading.tokenizer, reading.key)
    facts.plan()  # a tokenizer file that cannot be read is reported before anything is done
    found = discover(names)
    data = found.sources if label == "pool" else []
    local = [(Path(source.path), source.format) for source in data if "://" not in source.path]
    store.keep_from({path if form == "text" and path.is_dir() else path.parent for path, form in local})
    wanted = reading.columns()
    if named := [role for role in may_lack if wanted[role] not in (None, "none")]:
        known = set().union(*(source.fields() for source in found.sources))
        wanted |= {role: None for role in named if wanted[role] not in known}
    resolved = resolve_columns(found.sources, **wanted)
    spec, notes = resolved.spec, dict(resolved.notes)
    if reading.key == "content":
        spec = replace(spec, id=None)
        notes.pop("id", None)
    if reading.tokenizer is not None:
        spec = replace(spec, tokens=None)
        notes.pop("tokens", None)
    manifest = Manifest.build(found.sources, spec, store, label)
    by_convention = reading.domain is None and spec.domain is not None
    return Opened(Stage(manifest, facts, label), spec, list(found.skipped), by_convention, list(notes.values()))


def target_reading(reading: Reading) -> Reading:
    """How the target is read: the pool's text, embedding and label columns if named and there, domains by convention
    unless the pool goes without."""
    return Reading(
        text=reading.text,
        domain="none" if reading.domain == "none" else None,
        tokens="none" if reading.tokenizer is None else None,
        embedding=reading.embedding,
        label=reading.label,
        tokenizer=reading.tokenizer,
        key="content",
        skip_bad=reading.skip_bad,
    )
