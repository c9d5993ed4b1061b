"""The errors that users see: each says what is wrong, where, and what to do next.

Every class carries the exit status that the command line returns for it.
"""

from __future__ import annotations


class CuveeError(Exception):
    """Base of all errors that cuvee raises on purpose. The message is one plain sentence or two."""

    exit_status = 3


class UsageError(CuveeError):
    """The request itself is wrong: an unknown method, an impossible budget, a missing target."""

    exit_status = 2


class DataError(CuveeError):
    """The data is wrong: an unreadable file, a missing column, a bad row, an empty pool."""

    exit_status = 3


class ResourceError(CuveeError):
    """Disk or memory ran out, or an output could not be written."""

    exit_status = 4


class BusyError(CuveeError):
    """Another process is writing the same output."""

    exit_status = 5


class MissingExtraError(CuveeError):
    """An optional dependency is not installed."""

    exit_status = 2

    def __init__(self, package: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed. Install it with: pip install {package}."
        )
