"""From Arrow columns to what methods see: texts as bytes and offsets, ids and domains as strings, counts as integers.

Nothing is taken on trust: offsets come validated from the readers, UTF-8 is checked here by our own kernel, and a row
that cannot be used gets a reason; :mod:`cuvee.source.batches` then removes its values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from cuvee.engine.kernel import kernel
from cuvee.errors import DataError

from .base import Bad
from .files import plain
from .json_tokens import whole_number
from .simd import ill_formed, without

Flags = npt.NDArray[np.uint8]
Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


def field_names(schema: pa.Schema) -> list[str]:
    """Names of all columns, nested ones dotted and behind their parents."""

    def below(prefix: str, fields: Any) -> Iterator[str]:
        for field in fields:
            yield prefix + field.name
            if pt.is_struct(field.type):
                yield from below(f"{prefix}{field.name}.", list(field.type))

    return list(dict.fromkeys(below("", schema)))


def find(columns: Any, path: str, name: str) -> Any:
    """The column at a dotted path of a record batch; a column whose name holds the dots wins."""
    whole = columns.schema.get_all_field_indices(path)
    if len(whole) > 1:
        raise DataError(f"{plain(name)}: has {len(whole)} columns named '{plain(path)}'. Rename all but one.")
    if whole:
        return columns.column(whole[0])
    head, _, rest = path.partition(".")
    array = None
    if rest and len(columns.schema.get_all_field_indices(head)) == 1:
        array = columns.column(head)
    for part in rest.split("."):
        if array is None or not pt.is_struct(array.type) or array.type.get_field_index(part) < 0:
            known = ", ".join(plain(column) for column in field_names(columns.schema)[:40])
            raise DataError(f"{plain(name)}: has no column '{plain(path)}'; it has: {known}.")
        array = pc.struct_field(array, array.type.get_field_index(part))
    return array


def wrong_type(name: str, path: str, kind: Any, wanted: str) -> DataError:
    return DataError(
        f"{plain(name)}: column '{plain(path)}' is of type {plain(str(kind))}, but {wanted} is needed. "
        "Name another column or convert it."
    )


def is_stringlike(kind: Any) -> bool:
    tests = (
        pt.is_string,
        pt.is_large_string,
        pt.is_string_view,
        pt.is_binary,
        pt.is_large_binary,
        pt.is_binary_view,
    )
    return any(test(kind) for test in tests)


def simplify(array: Any) -> Any:
    """Without extension types, dictionaries and run-end encoding."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pt.is_dictionary(array.type):
        return simplify(array.dictionary_decode())
    if pt.is_run_end_encoded(array.type):
        return simplify(pc.run_end_decode(array))
    return array


def bytes_of(array: Any) -> tuple[Bytes, Offsets, npt.NDArray[np.bool_]]:
    """(data, offsets, validity) of a string or binary array, on Arrow's own memory where possible."""
    if pt.is_string_view(array.type) or pt.is_binary_view(array.type):
        array = array.cast(pa.large_binary() if pt.is_binary_view(array.type) else pa.large_string())
    wide = pt.is_large_string(array.type) or pt.is_large_binary(array.type)
    n = len(array)
    valid = np.ones(n, bool) if array.null_count == 0 else pc.is_valid(array).to_numpy(zero_copy_only=False)
    _, ends, body = array.buffers()
    data = np.zeros(0, np.uint8) if body is None else np.frombuffer(body, np.uint8)
    if ends is None or ends.size == 0:
        return data, np.zeros(n + 1, np.int64), valid
    offsets = np.frombuffer(ends, np.int64 if wide else np.int32)[array.offset : array.offset + n + 1]
    return data, offsets.astype(np.int64, copy=False), valid


def strings(data: Bytes, offsets: Offsets, valid: npt.NDArray[np.bool_]) -> Any:
    """A large_string array over the same memory; the bytes must be UTF-8."""
    validity = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


def text_of(array: Any, path: str, name: str) -> tuple[Bytes, Offsets, Flags]:
    """(data, offsets, reasons). Rows with a reason may still have bytes: :func:`assemble` removes them."""
    array = simplify(array)
    bad = np.zeros(len(array), np.uint8)
    if pt.is_null(array.type):
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64), bad + np.uint8(Bad.NO_TEXT)
    if not is_stringlike(array.type):
        raise wrong_type(name, path, array.type, "text")
    data, offsets, valid = bytes_of(array)
    if ill_formed(data, offsets, bad):
        bad[bad > 0] = Bad.BAD_UTF8
    bad[offsets[1:] == offsets[:-1]] = Bad.EMPTY_TEXT
    bad[~valid] = Bad.NO_TEXT
    return data, offsets, bad


def string_of(array: Any, path: str, name: str, absent: Bad, numbers: bool) -> tuple[Any, Flags]:
    """Ids and domains as large_string, with reasons; ``absent`` is the reason for null (OK where null is allowed)."""
    array = simplify(array)
    kind = array.type
    bad = np.zeros(len(array), np.uint8)
    if pt.is_null(kind):
        return pa.nulls(len(array), pa.large_string()), bad + np.uint8(absent)
    if is_stringlike(kind):
        data, offsets, valid = bytes_of(array)
        if ill_formed(data, offsets, bad):
            bad[bad > 0] = Bad.BAD_UTF8
            valid = valid & (bad == 0)
            kept, ends = np.empty(int(offsets[-1] - offsets[0]), np.uint8), np.empty_like(offsets)
            without(data, offsets, bad, kept, ends)
            data, offsets = kept, ends
        out = strings(data, offsets, valid)
    elif pt.is_integer(kind) or (numbers and (pt.is_boolean(kind) or pt.is_floating(kind) or pt.is_temporal(kind))):
        out = array.cast(pa.large_string())
        valid = np.asarray(pc.is_valid(out).to_numpy(zero_copy_only=False))
    else:
        raise wrong_type(name, path, kind, "a string or a number" if numbers else "a string or an integer")
    bad[~valid & (bad == 0)] = absent
    return out, bad


@kernel
def _literals(data: Bytes, offsets: Offsets, wanted: npt.NDArray[np.bool_], out: Offsets) -> None:
    for k in range(len(out)):
        out[k] = whole_number(data, offsets[k], offsets[k + 1]) if wanted[k] else -1


_LITERAL = r"^(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"


def tokens_of(array: Any, path: str, name: str) -> tuple[Offsets, Flags]:
    """Token counts; anything but a whole number from 0 on gets a reason. Strings count when they spell one."""
    array = simplify(array)
    kind = array.type
    out = np.full(len(array), -1, np.int64)
    valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
    if pt.is_integer(kind):
        raw = array.fill_null(0).to_numpy(zero_copy_only=False)
        fits = raw <= np.iinfo(np.int64).max if raw.dtype == np.uint64 else np.ones(len(raw), bool)
        out[fits] = raw[fits].astype(np.int64)
    elif pt.is_floating(kind):
        real = array.fill_null(-1.0).to_numpy(zero_copy_only=False).astype(np.float64)
        fits = (real >= 0) & (real < 2**53) & (np.floor(real) == real)
        out[fits] = real[fits].astype(np.int64)
    elif is_stringlike(kind):
        text, bad = string_of(array, path, name, Bad.OK, False)
        data, offsets, _ = bytes_of(text)
        spelled = pc.match_substring_regex(text, _LITERAL).fill_null(False).to_numpy(zero_copy_only=False)
        _literals(data, offsets, spelled & (bad == 0), out)
    elif not pt.is_null(kind):
        raise wrong_type(name, path, kind, "a whole number")
    good = valid & (out >= 0)
    return np.where(good, out, 0), np.where(good, 0, Bad.TOKENS_TYPE).astype(np.uint8)


def numbers_of_lists(array: Any, width: int, bad: Flags) -> tuple[npt.NDArray[np.float32], Flags]:
    """(rows, width) float32 from lists of numbers or numerals; rows of another length or not finite get a reason."""
    bad = bad.copy()
    sizes = np.asarray(pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False))
    fits = sizes == width
    out = np.zeros((len(array), width), np.float32)
    values = (array if fits.all() else array.filter(pa.array(fits))).flatten()
    if is_stringlike(values.type):
        values = pc.utf8_trim_whitespace(values)
        try:
            values = values.cast(pa.float64())
        except pa.ArrowInvalid:  # numerals beyond the range of floating point
            values = pa.array([float(numeral) for numeral in values.to_pylist()], pa.float64())
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width)
    out[fits] = numbers
    finite = np.isfinite(out).all(axis=1)
    out[~finite] = 0
    bad[~fits & (bad == 0)] = Bad.EMBEDDING_TYPE
    bad[~finite & (bad == 0)] = Bad.NOT_FINITE
    return out, bad


def embedding_of(array: Any, path: str, name: str, width: int) -> tuple[npt.NDArray[np.float32], Flags]:
    array = simplify(array)
    bad = np.zeros(len(array), np.uint8)
    if pt.is_null(array.type):
        return np.zeros((len(array), width), np.float32), bad + np.uint8(Bad.EMBEDDING_TYPE)
    lists = pt.is_list(array.type) or pt.is_large_list(array.type) or pt.is_fixed_size_list(array.type)
    if not lists or not (pt.is_floating(array.type.value_type) or pt.is_integer(array.type.value_type)):
        raise wrong_type(name, path, array.type, "a list of numbers")
    return numbers_of_lists(array, width, bad)


def label_of(array: Any, path: str, name: str) -> tuple[Any, Flags]:
    """Strings stay strings, numbers become int64 or float64; a missing or non-finite number gets a reason."""
    array = simplify(array)
    kind = array.type
    if is_stringlike(kind) or pt.is_null(kind):
        return string_of(array, path, name, Bad.OK, True)
    if not (pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind)):
        raise wrong_type(name, path, kind, "a string or a number")
    valid = np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))
    target = pa.float64() if pt.is_floating(kind) else pa.int64()
    out = array.cast(target).fill_null(0).to_numpy(zero_copy_only=False)
    bad = np.where(valid, 0, Bad.LABEL_TYPE).astype(np.uint8)
    bad[~np.isfinite(out)] = Bad.LABEL_NOT_FINITE
    return out, bad


def embedding_width(array: Any, path: str, name: str) -> int:
    """The length of the first list that is neither null nor empty, 0 when there is none."""
    array = simplify(array)
    if pt.is_fixed_size_list(array.type):
        return int(array.type.list_size)
    if not (pt.is_list(array.type) or pt.is_large_list(array.type)):
        raise wrong_type(name, path, array.type, "a list of numbers")
    sizes = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return int(sizes[sizes > 0][0]) if (sizes > 0).any() else 0
