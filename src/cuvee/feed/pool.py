"""The pool's files, opened again and compared with what the selection saw."""

from __future__ import annotations

from collections.abc import Callable

from ..engine.manifest import Manifest
from ..engine.store import Store
from ..errors import DataError
from ..source.base import Index, Source, Spec
from ..source.files import plain
from .selection import AGAIN, PoolFile, Selection, Survey

Files = dict[int, tuple[Source, Index]]
"""Reader and index by the file's number in the plan; only files with chosen rows."""


def open_source(path: str, format: str) -> Source:
    """The reader of one pool file."""
    from ..source.discover import discover

    for source in discover([path]).sources:
        if source.path == path and source.format == format:
            return source
    raise DataError(f"{plain(path)} is no longer a {format} file. {AGAIN}")


def open_files(
    selection: Selection, survey: Survey, opener: Callable[[str, str], Source], store: Store | None
) -> Files:
    """Open and index the files with chosen rows; refuse one that is missing or changed."""
    found: dict[int, Source] = {}
    for number in survey.chosen:
        file = selection.files[number]
        try:
            source = opener(file.path, file.format)
            stamp = source.stamp()
        except DataError as error:
            raise DataError(f"A file of the pool cannot be opened. {error}") from error
        if stamp != file.stamp:
            raise _changed(file, selection)
        found[number] = source
    files: Files = {}
    for number, source in found.items():
        files[number] = source, _index(source, store)
        if files[number][1].rows != selection.files[number].rows:
            raise _changed(selection.files[number], selection)
    return files


def _index(source: Source, store: Store | None) -> Index:
    if store is None:
        return source.index()
    return Manifest.build([source], Spec(text=None), store).index(0)


def check_unchanged(selection: Selection, files: Files) -> None:
    """Refuse to publish rows of a file that was changed while it was being read."""
    for number, (source, _) in files.items():
        if source.stamp() != selection.files[number].stamp:
            raise _changed(selection.files[number], selection)


def _changed(file: PoolFile, selection: Selection) -> DataError:
    return DataError(f"{plain(file.path)} has changed since the selection was made. {selection.again}")
