"""Opening a table of runs as people save them: CSV of any delimiter, tabs, lines or an array of JSON, Parquet."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pyarrow as pa

from ..errors import DataError
from ..source.formats import PACKED, extensions

DELIMITERS = (",", "\t", ";")
"""Of a header, the first that stands in it."""
LARGEST = 1 << 30
"""Bytes of a table that was compressed."""
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_table(path: Path) -> pa.Table:
    """The file's rows, whatever its columns are.

    CSV may be separated by commas, semicolons (numbers may then have a decimal comma) or tabs, and be UTF-8 or, as
    spreadsheets save "Unicode text", UTF-16 with its mark; JSON may be an object a line or one array of objects. Both
    may be packed (.gz, .zst).

    Raises:
        DataError: there is no such file, or it cannot be read as a table.
    """
    try:
        table = _read(path)
        _ = table.column_names  # decodes them
        return table
    except FileNotFoundError:
        raise DataError(
            f"There is no file {path}. Name a CSV, JSONL or Parquet table of runs, or a ledger's folder."
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text. Save it as CSV in UTF-8 (in a spreadsheet: CSV UTF-8).") from None
    except RecursionError:
        raise DataError(f"{path} cannot be read as a table of runs: its JSON is too deep.") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read as a table of runs: {told}.") from error


def _read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path, page_checksum_verification=False)
    content = _unpacked(path.read_bytes())
    suffix = "." + extensions(path.name)[0]
    if content.startswith(_WIDE):
        content = content.decode("utf-16").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    if suffix in (".jsonl", ".ndjson", ".json") or content.lstrip()[:1] in (b"[", b"{"):
        return _json(content.decode())
    import pyarrow.csv

    header, _, rest = content.lstrip().partition(b"\n")
    between = [one for one in DELIMITERS if one.encode() in header] or [","]
    delimiter = "\t" if suffix in (".tsv", ".tab") else between[0]
    point = "," if delimiter == ";" and b"," in rest else "."
    # Arrow's threads may let go of what they read after the interpreter has begun to end: no Python object, then.
    memory = pa.BufferOutputStream()
    memory.write(content)
    found = pyarrow.csv.read_csv(
        pa.BufferReader(memory.getvalue()),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in content),
        convert_options=pyarrow.csv.ConvertOptions(decimal_point=point),
    )
    return found.rename_columns([one.strip() for one in found.column_names])


def _unpacked(content: bytes) -> bytes:
    """What a .gz or .zst file holds; other content as it is."""
    for magic, kind in PACKED:
        if content.startswith(magic):
            with pa.CompressedInputStream(pa.BufferReader(content), kind) as stream:
                content = stream.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST >> 20:,} MB")
    return content


def _json(text: str) -> pa.Table:
    """Objects one after the other, or in one array. Not by pyarrow, which a first line of ``null`` makes crash."""
    decoder, rows, at = json.JSONDecoder(), [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        rows += value if isinstance(value, list) else [value]
    if not rows:
        raise ValueError("it holds no row")
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError('every run must be an object like {"mix.web": 0.7, "loss": 2.1}')
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: [row.get(name) for row in rows] for name in names})
