"""One schema for Parquet out of those of many files: missing columns become nulls, unlike types the wider one."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from ..errors import DataError
from ..source.base import Index, Source, Spec
from ..source.files import plain, reading

ADVICE = "Write jsonl instead, which keeps each row as it is."


def documents(spec: Spec) -> pa.Schema:
    """What JSONL becomes: id, text and domain where they are known, everything else as JSON text."""
    roles = [(role, getattr(spec, role)) for role in ("id", "text", "domain")]
    names = [role for role, path in roles if path is not None]
    return pa.schema([(name, pa.large_string()) for name in [*names, "metadata"]])


def unify(files: Mapping[int, tuple[Source, Index]], spec: Spec) -> tuple[pa.Schema, list[str]]:
    """The schema that holds the rows of all these files, and notes."""
    schemas: list[tuple[str, pa.Schema]] = []
    _same_kind([source for source, _ in files.values()], spec)
    for source, index in files.values():
        schemas.append((source.path, _schema(source, index, spec)))
    fields: dict[str, pa.Field] = {}
    owner: dict[str, str] = {}
    for path, schema in schemas:
        for field in schema:
            if schema.names.count(field.name) > 1:
                raise DataError(f"{plain(path)}: has two columns named '{plain(field.name)}'. Rename one.")
            known = fields.setdefault(field.name, field)
            owner.setdefault(field.name, path)
            if not known.equals(field, check_metadata=True):
                fields[field.name] = _merge(known, field, owner[field.name], path)
    first = schemas[0][1]
    same = all(schema.equals(first, check_metadata=True) for _, schema in schemas)
    if not same:
        everywhere = set.intersection(*(set(schema.names) for _, schema in schemas))
        fields = {n: f if n in everywhere else f.with_nullable(True) for n, f in fields.items()}
    agreed = all(schema.metadata == first.metadata for _, schema in schemas)
    unified = pa.schema(list(fields.values()), metadata=first.metadata if agreed else None)
    _writable(unified)
    return unified, [] if same else ["the files' columns differ: columns that a file lacks are null in its rows"]


def _same_kind(sources: list[Source], spec: Spec) -> None:
    """JSONL's columns get fixed names, so other formats can stand beside it only if they use the same ones."""
    lines = [source for source in sources if source.format == "jsonl"]
    others = [source for source in sources if source.format != "jsonl"]
    alike = all(getattr(spec, role) in (None, role) for role in ("id", "text", "domain"))
    if lines and others and not alike:
        one, other = lines[0], others[0]
        raise DataError(
            f"The pool mixes JSON lines ({plain(one.path)}) with {other.format} ({plain(other.path)}), and its columns "
            f"are not called id, text and domain, so the two do not fit into one table. {ADVICE}"
        )


def _schema(source: Source, index: Index, spec: Spec) -> pa.Schema:
    if source.format == "jsonl":
        return documents(spec)
    rows = source.rows(index.segments[0], 0)
    try:
        return next(rows).schema
    finally:
        rows.close()  # type: ignore[attr-defined]


def _merge(one: pa.Field, other: pa.Field, path: str, other_path: str) -> pa.Field:
    merged = _wider(one.remove_metadata(), other.remove_metadata()) or _wider(_decoded(one), _decoded(other))
    if merged is None:
        raise DataError(
            f"Column '{plain(one.name)}' is of type {plain(str(one.type))} in {plain(path)}, but of type "
            f"{plain(str(other.type))} in {plain(other_path)}, so they do not fit into one Parquet table. {ADVICE}"
        )
    return merged.with_metadata(one.metadata) if one.metadata == other.metadata and one.metadata else merged


def _wider(one: pa.Field, other: pa.Field) -> pa.Field | None:
    try:
        return pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive").field(0)
    except pa.ArrowException:
        return None


def _decoded(field: pa.Field) -> pa.Field:
    """The field without dictionary encoding or views, which other files may do without."""
    kind = field.type.value_type if pt.is_dictionary(field.type) else field.type
    if pt.is_string_view(kind) or pt.is_binary_view(kind):
        kind = pa.large_string() if pt.is_string_view(kind) else pa.large_binary()
    return field.with_type(kind).remove_metadata()


def _writable(schema: pa.Schema) -> None:
    for field in schema:
        part = pa.schema([field])
        try:
            with pq.ParquetWriter(pa.BufferOutputStream(), part) as writer:
                writer.write_table(part.empty_table())
        except (pa.ArrowException, NotImplementedError) as error:
            raise DataError(
                f"Column '{plain(field.name)}' is of type {plain(str(field.type))}, which Parquet cannot hold "
                f"({plain(str(error))}). {ADVICE}"
            ) from None


def align(batch: pa.RecordBatch, schema: pa.Schema, path: str) -> pa.RecordBatch:
    """The batch in the unified schema; its own memory wherever nothing changes."""
    if batch.schema.equals(schema, check_metadata=False):
        return batch
    columns = []
    for field in schema:
        at = batch.schema.get_field_index(field.name)
        if at < 0:
            columns.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(at)
        if column.type != field.type:
            with reading(path, f"column '{plain(field.name)}'", ADVICE):
                column = column.cast(field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)
