"""Which format a file is in: by its extension, and by its first bytes where the extension is missing or lies."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pyarrow as pa

from cuvee.errors import DataError

from .arrays import ArraySource
from .arrow import ArrowSource
from .base import Source
from .csv import CsvSource
from .files import File, plain, reading
from .jsonl import JsonlSource
from .parquet import ParquetSource

COMPRESSIONS = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd"}
TABLES = {
    "jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "parquet": "parquet", "pq": "parquet", "arrow": "arrow",
    "feather": "arrow", "ipc": "arrow", "csv": "csv", "tsv": "tsv", "npy": "npy", "npz": "npz",
}  # fmt: skip
TEXTS = frozenset((
    "txt", "text", "md", "markdown", "rst", "tex", "org", "adoc", "log", "html", "htm", "xml", "yaml", "yml", "toml",
    "ini", "cfg", "conf", "py", "pyi", "c", "h", "cc", "cpp", "cxx", "hpp", "hh", "java", "js", "jsx", "ts", "tsx",
    "go", "rs", "rb", "php", "pl", "pm", "r", "jl", "scala", "kt", "swift", "m", "mm", "lua", "hs", "ml", "mli", "ex",
    "exs", "erl", "clj", "lisp", "el", "scm", "sh", "bash", "zsh", "fish", "ps1", "bat", "sql", "css", "scss", "vue",
    "dart", "zig", "nim", "d", "f", "f90", "f95", "pas", "vb", "cs", "fs", "tcl", "asm", "s", "cu", "cl", "proto",
    "cmake", "mk", "diff", "patch", "srt", "vtt", "bib", "po",
))  # fmt: skip
MAGIC = (
    (b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"\x93NUMPY", "npy"), (b"PK\x03\x04", "npz"),
    (b"\xff\xff\xff\xff", "arrow"), (b"FEA1", "feather1"),
)  # fmt: skip
PACKED = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
SUPPORTED = "JSON Lines (.jsonl, .json), CSV, TSV (these also .gz or .zst), Parquet, Arrow IPC, .npy, .npz, text"


@dataclass(frozen=True)
class Kind:
    """A format (a value of TABLES, "text" or "unknown") and the compression around it."""

    format: str
    compression: str | None = None


def extensions(path: str) -> tuple[str, str | None]:
    """(extension in lower case, compression by a second extension)."""
    parts = path.rsplit("/", 1)[-1].lower().split(".")
    compression = COMPRESSIONS.get(parts[-1]) if len(parts) > 1 else None
    if compression:
        parts.pop()
    return (parts[-1] if len(parts) > 1 else ""), compression


def kind_of(file: File) -> Kind:
    """The format of a file that is not empty."""
    extension, _ = extensions(file.path)
    named = TABLES.get(extension, "text" if extension in TEXTS else "unknown")
    if named == "text":
        return Kind("text")
    head = file.head(1 << 16)
    compression = next((name for magic, name in PACKED if head.startswith(magic)), None)
    if compression:
        with file.open() as raw, reading(file.name, advice="It may be truncated: fetch it again."):
            head = pa.CompressedInputStream(raw, compression).read(1 << 16)
    seen = next((name for magic, name in MAGIC if head.startswith(magic)), None)
    opening = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:1]
    if seen is None and opening == b"{" and named not in ("csv", "tsv", "json"):
        seen = "jsonl"
    found = seen or named
    if found == "json":
        found = "jsonl" if _is_lines(head) else "document"
    return Kind(found, compression)


def _is_lines(head: bytes) -> bool:
    """Whether the first line with anything in it is a JSON object by itself (or goes on beyond the head)."""
    lines = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").split(b"\n", 1)
    if not lines[0].startswith(b"{"):
        return False
    if len(lines) == 1:
        return True
    try:
        return isinstance(json.loads(lines[0]), dict)
    except (ValueError, RecursionError):
        # broken, but alone on its line: the reader will say so; an opening brace alone begins a document
        return len(lines[0].strip()) > 1


def source_of(file: File, kind: Kind, footer: str | None = None) -> Source:
    """A reader for a file of a table format; ``footer``: see ``ParquetSource``."""
    if kind.compression and kind.format not in ("jsonl", "csv", "tsv"):
        raise DataError(f"{plain(file.name)}: {kind.format} inside {kind.compression}. Decompress it first.")
    match kind.format:
        case "jsonl":
            return JsonlSource(file, kind.compression)
        case "csv" | "tsv":
            return CsvSource(file, "\t" if kind.format == "tsv" else ",", kind.compression)
        case "parquet":
            return ParquetSource(file, footer)
        case "arrow":
            return ArrowSource(file)
        case "npy" | "npz":
            return ArraySource(file, packed=kind.format == "npz")
        case "document":
            raise DataError(
                f"{plain(file.name)}: is one JSON document, not JSON Lines. Convert it: jq -c '.[]' FILE > FILE.jsonl"
            )
        case "feather1":
            raise DataError(f"{plain(file.name)}: is Feather version 1. Write it again as version 2 or Parquet.")
        case _:
            raise DataError(f"{plain(file.name)}: is of no known format. Supported: {SUPPORTED}.")
