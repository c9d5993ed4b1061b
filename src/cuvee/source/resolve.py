"""Which column is the text, the id, the domain, the token count: as told, else by the names in common use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cuvee.errors import DataError, UsageError

from .base import Source, Spec
from .files import plain
from .formats import extensions

CONVENTION: dict[str, tuple[str, ...]] = {
    "text": (
        "text", "content", "raw_content", "document", "body", "raw_text", "markdown", "code", "completion", "sentence",
    ),
    "id": ("id", "doc_id", "uid", "uuid", "_id", "document_id", "example_id", "guid"),
    "domain": (
        "domain", "subset", "source", "category", "metadata.domain", "metadata.source", "meta.pile_set_name",
    ),
    "tokens": ("token_count", "n_tokens", "num_tokens", "tokens", "metadata.token_count"),
}  # fmt: skip
WITHOUT = "none"
ROLES = ("text", "id", "domain", "tokens", "embedding", "label")


@dataclass(frozen=True)
class Resolved:
    """The columns by role, and by role what the user should know about a column that was left out."""

    spec: Spec
    notes: dict[str, str] = field(default_factory=dict)


def resolve_columns(sources: Sequence[Source], **told: str | None) -> Resolved:
    """The columns by role. ``told`` are the user's own names, which must exist, or "none" to go without.

    By convention, a role goes to the first common name that some file has; ids, domains and counts only if all files
    have it, since a part of the rows would be rejected otherwise. One that only some files have leaves a note.
    """
    unknown = sorted(set(told) - set(ROLES))
    if unknown:
        raise UsageError(f"No such role: {', '.join(unknown)}. Roles: {', '.join(ROLES)}.")
    fields = [(source, source.fields()) for source in sources]
    if not fields:
        raise DataError("There are no input files.")
    known = list(dict.fromkeys(name for _, names in fields for name in names))
    arrays = all(source.format in ("npy", "npz") for source in sources)
    listed = ", ".join(plain(column) for column in known[:60]) or "none"
    files = plain(sources[0].path) + (f" and {len(sources) - 1:,} more files" if len(sources) > 1 else "")
    roles: dict[str, str | None] = {}
    notes: dict[str, str] = {}
    for role, wish in told.items():
        if wish not in (None, WITHOUT, *known):
            if not known:
                raise _without(sources[0], f"no column '{plain(str(wish))}' for the {role}")
            raise DataError(f"{files}: no column '{plain(str(wish))}' for the {role}. There are: {listed}.")
    for role in ROLES:
        name = told.get(role)
        if name == WITHOUT:
            name = None
        elif name is not None:
            lacking = [s for s, names in fields if name not in names and (role == "text" or s.format != "jsonl")]
            if lacking:
                raise _lacks(lacking[0], role, name, dict(fields)[lacking[0]])
        elif role == "text":
            name = next((candidate for candidate in CONVENTION["text"] if candidate in known), None)
            if name is None and not arrays:
                if not known:
                    raise _without(sources[0], "no column looks like the text")
                raise DataError(f"{files}: no column looks like the text. Name it (--text). There are: {listed}.")
            for source, names in fields:
                if name is not None and name not in names:
                    raise _lacks(source, role, name, names)
        elif role in CONVENTION:
            shared = (c for c in CONVENTION[role] if all(c in names for _, names in fields))
            name = next((c for c in shared if c != roles["text"]), None)
            partial = next((c for c in CONVENTION[role] if c in known and c != roles["text"]), None)
            if name is None and partial is not None:
                count = sum(partial in names for _, names in fields)
                notes[role] = f"column '{partial}' stands in {count:,} of {len(fields):,} files only and was not used"
        elif arrays and role in known:
            name = role
        roles[role] = name
    return Resolved(Spec(**roles), notes)


def _lacks(source: Source, role: str, name: str, names: Sequence[str]) -> DataError:
    if not names:
        return _without(source, f"has no column '{plain(name)}' for the {role}")
    listed = ", ".join(plain(column) for column in names[:40])
    return DataError(
        f"{plain(source.path)}: has no column '{plain(name)}' for the {role}; it has: {listed}. "
        "Leave the file out or name another column."
    )


def _without(source: Source, what: str) -> DataError:
    """Of a file without any column name: why that is so."""
    fault = source.fault()
    compression = extensions(source.path)[1]
    if compression and getattr(source, "compression", compression) is None:
        fault = f"it is not {compression}, as its name says, and {fault}"
    return DataError(f"{plain(source.path)}: {what}: {fault}. Mend the file or leave it out.")
