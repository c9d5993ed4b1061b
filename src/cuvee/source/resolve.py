"""Which column is the text, the id, the domain, the token count: as told, else by the names in common use."""

from __future__ import annotations

from collections.abc import Sequence

from cuvee.errors import DataError, UsageError

from .base import Source, Spec
from .files import plain

CONVENTION: dict[str, tuple[str, ...]] = {
    "text": (
        "text", "content", "raw_content", "document", "body", "raw_text", "markdown", "code", "completion", "sentence",
    ),
    "id": ("id", "doc_id", "uid", "uuid", "_id", "document_id", "example_id", "guid"),
    "domain": (
        "domain", "subset", "source", "category", "metadata.domain", "metadata.source", "meta.pile_set_name",
    ),
    "tokens": ("token_count", "n_tokens", "num_tokens", "tokens"),
}  # fmt: skip
WITHOUT = "none"
ROLES = ("text", "id", "domain", "tokens", "embedding", "label")


def resolve_columns(sources: Sequence[Source], **told: str | None) -> Spec:
    """The columns by role. ``told`` are the user's own names, which must exist, or "none" to go without.

    By convention, a role goes to the first common name that some file has; ids, domains and counts only if all files
    have it, since a part of the rows would be rejected otherwise.
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
    for role, wish in told.items():
        if wish not in (None, WITHOUT, *known):
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
                raise DataError(f"{files}: no column looks like the text. Name it (--text). There are: {listed}.")
            for source, names in fields:
                if name is not None and name not in names:
                    raise _lacks(source, role, name, names)
        elif role in CONVENTION:
            shared = (c for c in CONVENTION[role] if all(c in names for _, names in fields))
            name = next((c for c in shared if c != roles["text"]), None)
        elif arrays and role in known:
            name = role
        roles[role] = name
    return Spec(**roles)


def _lacks(source: Source, role: str, name: str, names: Sequence[str]) -> DataError:
    listed = ", ".join(plain(column) for column in names[:40]) or "none"
    return DataError(
        f"{plain(source.path)}: has no column '{plain(name)}' for the {role}; it has: {listed}. "
        "Leave the file out or name another column."
    )
