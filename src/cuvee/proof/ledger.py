"""The ledger of trials: a folder of Parquet files that several processes write and any tool reads as one dataset.

    ledger/trials/ab/abcd....parquet     one finished trial each; ``read_parquet('ledger/trials/*/*.parquet')``
    ledger/consulted/EVALUATION/COMPARISON.json
    ledger/running/KEY/                  checkpoints of trials under way
    ledger/ledger.json                   the format's version

A trial's file appears whole or not at all, so a kill loses at most the trials under way, and writing needs no lock.
Its footer holds a digest of the file's bytes, which is checked before anything is parsed: what was changed or cut off
counts as absent, and is named.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..core import Trial
from ..engine import files
from ..errors import BusyError, DataError, ResourceError, UsageError
from .record import FORMAT, Record, decode, encode, format_of, intact

_PATIENCE_SECONDS = 30.0
_HEX = re.compile(r"[0-9a-f]{8,128}")


def warn(sentence: str) -> None:
    """Say it as a Python warning."""
    warnings.warn(sentence, stacklevel=3)


class Ledger:
    """Finished trials, and which evaluation sets were consulted how often.

    Args:
        folder: created when first written to.
        notice: told about damaged files, one sentence each, once.

    Raises:
        UsageError: the folder was written by a newer cuvee, or is none.
        DataError: its version cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str], notice: Callable[[str], object] = warn) -> None:
        self.folder = Path(folder)
        self.notice = notice
        self.damaged: dict[Path, str] = {}
        """Files that counted as absent, and why."""
        self._check_version()

    def path(self, key: str) -> Path:
        """Where the trial of this key is, or would be."""
        return self.folder / "trials" / key[:2] / f"{key}.parquet"

    def running(self, key: str) -> Path:
        """The folder for the checkpoints of a trial under way; its lock lies beside it."""
        return self.folder / "running" / key

    def append(self, record: Record) -> None:
        """Add a trial, whose claim the caller holds; returns when it is on the disk.

        Raises:
            ResourceError: it cannot be written.
        """
        self._mark()
        path = self.path(record.key)
        _sweep_up(path)
        with self._writing():
            files.write_whole(path, encode(record))

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """Hold the right to run a trial; the system gives it back when this process ends, however that ends.

        Raises:
            BusyError: another process runs it.
            ResourceError: the ledger cannot be written.
        """
        with contextlib.ExitStack() as stack:
            with self._writing():
                stack.enter_context(files.lock(self.running(key), tidy=False))
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Failures to write name the ledger and its option."""
        try:
            yield
        except ResourceError as error:
            told = str(error).replace(" Choose another place with -o or --cache.", "")
            if "No space left" in told:
                raise
            raise ResourceError(
                f"The ledger {self.folder} cannot be written. {told} Mend that, or name another folder with --ledger."
            ) from error

    def find(self, key: str) -> Record | None:
        """The trial of this key, if its file is there and intact; a damaged one is named by ``notice``.

        Raises:
            UsageError: the file was written by a newer cuvee.
            ResourceError: the file is there and cannot be read.
        """
        return self._read(self.path(key), key)

    def records(self) -> Iterator[Record]:
        """All intact trials, in the order of their keys. Damaged files are named by ``notice`` and passed over."""
        for path in sorted((self.folder / "trials").glob("*/*.parquet")):
            if not path.name.startswith("."):
                record = self._read(path, path.stem)
                if record is not None:
                    yield record

    def trials(self) -> list[Trial]:
        """All intact trials as :class:`cuvee.core.Trial`, in the order of their keys."""
        return [record.trial() for record in self.records()]

    def consult(self, evaluation: str, name: str, comparison: str) -> int:
        """Record that an evaluation set was consulted for a comparison; the same comparison counts once.

        Args:
            evaluation, comparison: hex digests. ``name``: the evaluation set's name, for readers.

        Returns:
            How many distinct comparisons have consulted this set, this one included.
        """
        for one in (evaluation, comparison):
            if not _HEX.fullmatch(one):
                raise ValueError(f"not a digest: {one!r}")
        path = self.folder / "consulted" / evaluation / f"{comparison}.json"
        self._mark()
        first = datetime.now(UTC).isoformat(timespec="seconds")
        note = {"evaluation": evaluation, "name": name, "comparison": comparison, "first": first}
        self._write_once(path, json.dumps(note, indent=1).encode())
        return self.consulted(evaluation)

    def consulted(self, evaluation: str) -> int:
        """How many distinct comparisons have consulted this evaluation set."""
        folder = self.folder / "consulted" / evaluation
        return sum(_HEX.fullmatch(path.stem) is not None for path in folder.glob("*.json"))

    def _read(self, path: Path, key: str) -> Record | None:
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ResourceError(
                f"Cannot read {path}: {error.strerror or error}. Mend that, or name another folder with --ledger."
            ) from error
        if not intact(raw):
            self._damaged(path, "is damaged, or was not written by cuvee")
            return None
        if format_of(raw) > FORMAT:
            raise UsageError(_newer(path, format_of(raw)))
        record = decode(raw)
        if record.key != key:
            self._damaged(path, f"holds the trial {record.key}, which is not its name")
            return None
        return record

    def _damaged(self, path: Path, why: str) -> None:
        if path not in self.damaged:
            self.damaged[path] = why
            self.notice(f"{path} {why}. It counts as absent; its trial is run again when it is needed.")

    def _check_version(self) -> None:
        path = self.folder / "ledger.json"
        try:
            version = json.loads(path.read_bytes())["format"]
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            raise UsageError(f"The ledger {self.folder} is no folder. Name another with --ledger.") from error
        except OSError as error:
            raise ResourceError(
                f"Cannot read {path}: {error.strerror or error}. Mend that, or name another folder with --ledger."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} does not tell the ledger's format. If the folder is a ledger of cuvee {FORMAT}.x, remove this "
                "file; else name another folder with --ledger."
            ) from error
        if not isinstance(version, int) or version > FORMAT:
            raise UsageError(_newer(path, version))

    def _mark(self) -> None:
        """Write the format's version into a new ledger."""
        self._write_once(
            self.folder / "ledger.json", json.dumps({"format": FORMAT, "what": "trials of cuvee"}).encode()
        )

    def _write_once(self, path: Path, data: bytes) -> None:
        """Write a small file that several processes may want to write, and remove what killed ones left of it."""
        if path.exists() and not any(path.parent.glob(f".{path.name}.*")):
            return
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                with self._writing(), files.lock(path):
                    _sweep_up(path)
                    if not path.exists():
                        files.write_whole(path, data)
                return
            except BusyError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def forget(self, key: str) -> None:
        """Remove the checkpoints of a trial that is in the ledger; the caller holds its lock."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.running(key))

    def tidy(self, keys: Collection[str]) -> None:
        """Remove what killed processes left of these trials, which are in the ledger."""
        left = {path.name.removeprefix(".").removesuffix(".lock") for path in (self.folder / "running").glob("*")}
        for key in left.intersection(keys):
            with contextlib.suppress(BusyError, ResourceError), files.lock(self.running(key)):
                self.forget(key)


def _sweep_up(path: Path) -> None:
    """Remove what killed writers left of a file that nobody else is writing."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            stale.unlink()


def _newer(path: Path, version: object) -> str:
    return (
        f"{path} was written by a newer cuvee (ledger format {version}; this one reads up to {FORMAT}). Update cuvee, "
        "or name another folder with --ledger."
    )
