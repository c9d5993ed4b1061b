"""NumPy files: .npy (two dimensions are embeddings, one is labels) and .npz with named arrays. Nothing is unpickled.

A .npy file is read in slices and may be of any size; the arrays of a .npz file are held in memory while it is read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from cuvee.errors import DataError

from .base import Index, RawBatch, Segment, Source, Spec
from .batches import BATCH_ROWS, pieces, to_raw
from .files import File, plain, reading

SEGMENT_ROWS = 1 << 16
SLICE = 16 << 20
MOST = 8 << 30
_NAMES = {"embeddings": "embedding", "labels": "label", "ids": "id", "texts": "text", "domains": "domain"}


class ArraySource(Source):
    """A .npy or .npz file. Columns are named ``embedding``, ``label``, ``id``, ``text`` or ``domain``."""

    format = "npy"

    def __init__(self, file: File, packed: bool = False) -> None:
        self.file = file
        self.path = file.name
        self.format = "npz" if packed else "npy"
        self._shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] | None = None

    def stamp(self) -> str:
        return self.file.stamp()

    def fields(self) -> list[str]:
        return list(self._headers())

    def index(self) -> Index:
        headers = self._headers()
        rows = next(iter(headers.values()))[0][0]
        width = sum(int(np.prod(shape[1:])) * kind.itemsize for shape, kind in headers.values())
        firsts = range(0, rows, SEGMENT_ROWS)
        counts = [min(SEGMENT_ROWS, rows - first) for first in firsts]
        segments = [Segment(f, n, n * width, f) for f, n in zip(firsts, counts, strict=True)]
        return Index(rows, tuple(segments))

    def read(self, start: Segment, skip: int, spec: Spec) -> Iterator[RawBatch]:
        wanted = {path for path in vars(spec).values() if path is not None}
        for first, columns in self._slices(start.first_row + skip, wanted):
            with reading(self.path):
                width = self._headers().get(spec.embedding or "", ((0, 1), None))[0][-1]
                batch = to_raw(columns, first, spec, partial(int, width), self.path)
            yield from pieces(batch)

    def rows(self, start: Segment, skip: int) -> Iterator[pa.RecordBatch]:
        for _, columns in self._slices(start.first_row + skip, None):
            yield columns

    def _slices(self, first: int, wanted: set[str] | None) -> Iterator[tuple[int, pa.RecordBatch]]:
        for at, arrays in self._packed(first, wanted) if self.format == "npz" else self._plain(first):
            with reading(self.path):
                columns = [_arrow(array) for array in arrays.values()]
            yield at, pa.RecordBatch.from_arrays(columns, names=list(arrays))

    def _plain(self, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """A .npy file by slices, so that its size does not matter."""
        ((name, (shape, kind)),) = self._headers().items()
        row = int(np.prod(shape[1:])) * kind.itemsize
        step = max(1, min(BATCH_ROWS, SLICE // max(1, row)))
        with self.file.open() as file:
            with reading(self.path):
                _header(file, self.path)
                file.seek(file.tell() + first * row)
            for at in range(first, shape[0], step):
                count = min(step, shape[0] - at)
                with reading(self.path, f"rows from {at}"):
                    body = file.read(count * row)
                    array = np.frombuffer(body, kind).reshape(count, *shape[1:])
                yield at, {name: array}

    def _packed(self, first: int, wanted: set[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
        headers = self._headers()
        arrays: dict[str, Any] = {}
        with self.file.open() as file, reading(self.path), _archive(file) as archive:
            for member in archive.infolist():
                name = _name(member.filename)
                if name in headers and (wanted is None or name in wanted or not arrays):
                    if member.file_size > MOST:
                        raise DataError(
                            f"{plain(self.path)}: {plain(member.filename)} unpacks to {member.file_size} bytes. "
                            "Save it as a .npy file, which need not be held in memory."
                        )
                    with archive.open(member) as stream:
                        arrays[name] = npy.read_array(stream, allow_pickle=False)
        rows = next(iter(headers.values()))[0][0]
        for at in range(first, rows, BATCH_ROWS):
            yield at, {name: array[at : at + BATCH_ROWS] for name, array in arrays.items()}

    def _headers(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and type by column, checked: one number of rows, nothing that would need unpickling."""
        if self._shapes is None:
            found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
            with self.file.open() as file, reading(self.path, advice="Save it again with NumPy."):
                if self.format == "npy":
                    shape, kind = _header(file, self.path)
                    found["embedding" if len(shape) == 2 else "label"] = (shape, kind)
                    size = int(np.prod(shape, dtype=object)) * kind.itemsize
                    if size != self.file.size() - file.tell():
                        raise DataError(
                            f"{plain(self.path)}: should hold {size} bytes of numbers, but holds "
                            f"{self.file.size() - file.tell()}. It may be truncated: fetch it again."
                        )
                else:
                    with _archive(file) as archive:
                        for member in archive.infolist():
                            with archive.open(member) as stream:
                                found[_name(member.filename)] = _header(stream, self.path)
            counts = {name: shape[0] for name, (shape, _) in found.items()}
            if len(set(counts.values())) != 1:
                told = ", ".join(f"{plain(name)} {count}" for name, count in counts.items()) or "no arrays"
                raise DataError(f"{plain(self.path)}: its arrays must have the same number of rows, but: {told}.")
            self._shapes = found
        return self._shapes


def _name(member: str) -> str:
    name = member.removesuffix(".npy")
    return _NAMES.get(name, name)


def _archive(file: Any) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from None


def _header(file: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the header of an array and leave the file behind it."""
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, fortran, kind = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, kind = npy.read_array_header_2_0(file)
    else:
        raise DataError(f"{plain(name)}: is of NumPy format {version}, which is not known. Save it as version 1.")
    if kind.hasobject or kind.kind not in "biufUS":
        raise DataError(f"{plain(name)}: holds {kind}; numbers or strings are needed. Save it as another type.")
    if len(shape) not in (1, 2) or (fortran and len(shape) == 2) or min(shape) < 0:
        order = " in Fortran order" if fortran else ""
        raise DataError(
            f"{plain(name)}: has shape {shape}{order}; one or two dimensions in C order are needed. "
            "Save np.ascontiguousarray of it."
        )
    return shape, kind


def _arrow(array: Any) -> Any:
    if array.dtype.kind in "US":
        return pa.array(array.tolist(), pa.large_string() if array.dtype.kind == "U" else pa.large_binary())
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    if native.ndim == 1:
        return pa.array(native)
    return pa.FixedSizeListArray.from_arrays(pa.array(native.reshape(-1)), native.shape[1])
