"""Patience with remote servers: what may pass is tried again, what will not becomes a sentence at once.

A request that fails for want of a connection, of time, or of a server in good health is repeated after 0.1, 0.2, 0.4,
... 5 s, until ``PATIENCE`` seconds have passed since the first failure; without jitter, so that a run is the same each
time. Denied access, unknown keys, missing buckets and wrong regions are final.

A server that was never reached is more likely misspelt than busy, so the first request is given up after
``CONTACT_PATIENCE`` seconds, and after ``CONTACT_LIMIT`` even where the library is still waiting (``contact``).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from cuvee.errors import CuveeError, DataError

PATIENCE = 60.0
"""Seconds."""
CONTACT_PATIENCE, CONTACT_LIMIT = 8.0, 15.0
"""Seconds from the first request: after so many it is not repeated; after so many it is no longer waited for."""
LONGEST_PAUSE = 5.0
TOLD_EVERY = 5.0
_STATUS = re.compile(r"HTTP status (\d+)")
_CODE = re.compile(r"AWS Error ([A-Z_]+)")
_NAME = re.compile(r"Unable to parse ExceptionName: (\w+)")
_DENIED = {"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID"}
_DENIED |= {"UNRECOGNIZED_CLIENT", "MISSING_AUTHENTICATION_TOKEN", "INVALID_TOKEN_ID", "EXPIRED_TOKEN"}
_GONE = re.compile(r"NO_SUCH_BUCKET|Bucket '[^']*' not found|bucket (does not exist|not found)", re.IGNORECASE)
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"

T = TypeVar("T")


class _Teller:
    """Says what is being waited for, at most once every few seconds, whoever waits."""

    def __init__(self) -> None:
        self.say: Callable[[str], None] = lambda said: None
        """Where it is said: nowhere, unless a command line asks for it."""
        self._last = -TOLD_EVERY
        self._lock = threading.Lock()

    def wait(self, name: str, what: str, begun: float) -> None:
        """``name`` keeps somebody waiting since ``begun``."""
        now = time.monotonic()
        with self._lock:
            if now - max(self._last, begun) < TOLD_EVERY:
                return
            self._last = now
        self.say(f"waiting for {plain(name, 120)}, {what}")


teller = _Teller()


class GivenUpError(Exception):
    """Nobody wants the result any more."""


def plain(text: str, limit: int = 300) -> str:
    """One printable line: names and messages from outside may hold terminal escapes."""
    first = text.strip().split("\n", 1)[0]
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in first)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def persist(
    work: Callable[[], T],
    name: str,
    place: str = "",
    stopped: threading.Event | None = None,
    patience: float | None = None,
) -> T:
    """What ``work`` returns, as soon as it does.

    Args:
        work: may be called many times; raises OSError where a repetition may help.
        name, place: the file and the place in it, for the sentence.
        stopped: when set, no repetition is made (GivenUpError).
        patience: seconds from now on, instead of ``PATIENCE`` from the first failure on.

    Raises:
        DataError: with what to do, for what no repetition will help, or when patience ends.
    """
    where = f"{plain(name)}, {place}" if place else plain(name)
    begun, pause, tries = 0.0 if patience is None else time.monotonic(), 0.1, 0
    limit = PATIENCE if patience is None else patience
    while True:
        try:
            return work()
        except CuveeError:
            raise
        except OSError as error:
            if sentence := final(error):
                raise DataError(f"{where}: {sentence}") from None
            tries += 1
            now = time.monotonic()
            begun = begun or now
            if now + pause - begun > limit:
                often = "once" if tries == 1 else f"{tries} times"
                raise DataError(
                    f"{where}: the connection failed {often} within {now - begun:.0f} s ({reason(error)}). "
                    "Check the network, the endpoint and the server, and run the same command again: it goes on where "
                    "it stopped."
                ) from None
            teller.wait(where, f"attempt {tries + 1} after {now - begun:.0f} of {limit:g} s ({reason(error)})", begun)
        if stopped is None:
            time.sleep(pause)
        elif stopped.wait(pause):
            raise GivenUpError
        pause = min(2 * pause, LONGEST_PAUSE)


def contact(work: Callable[[], T], name: str) -> T:
    """What ``work`` returns, which asks a server that was not reached before.

    It runs in a thread of its own, because libraries may try for minutes on end, and cannot be stopped.

    Raises:
        DataError: as for :func:`persist`, but within ``CONTACT_LIMIT`` seconds.
    """
    found: Future[T] = Future()
    stopped = threading.Event()

    def ask() -> None:
        try:
            found.set_result(persist(work, name, "", stopped, min(PATIENCE, CONTACT_PATIENCE)))
        except BaseException as error:  # whatever it is, it belongs to whoever waits
            found.set_exception(error)

    begun = time.monotonic()
    threading.Thread(target=ask, name="cuvee-contact", daemon=True).start()
    try:
        while True:
            with suppress(TimeoutError):
                return found.result(min(1.0, CONTACT_LIMIT))
            if found.done():
                return found.result()
            waited = time.monotonic() - begun
            if waited > CONTACT_LIMIT:
                raise DataError(
                    f"{plain(name)}: no answer within {waited:.0f} s. Check the address, the network and the server, "
                    "and run the same command again."
                )
            teller.wait(name, f"{waited:.0f} of {CONTACT_LIMIT:g} s", begun)
    finally:
        stopped.set()


def final(error: OSError) -> str | None:
    """The sentence for an error that no repetition will mend; None if one may."""
    said = str(error)
    code, status, name = (found[1] if (found := p.search(said)) else "" for p in (_CODE, _STATUS, _NAME))
    if _GONE.search(said):
        return "there is no such bucket. Check the address and the endpoint."
    if isinstance(error, FileNotFoundError):
        return "no such file. Check the path."
    if code in _DENIED or status in ("401", "403") or isinstance(error, PermissionError) or "PERMISSION_DENIED" in said:
        if said.find("AWS") >= 0 and not _has_keys():
            return (
                f"access is denied, and there are no credentials. Set {_KEYS}, or add ?anonymous=true if it is public."
            )
        return f"access is denied. Check the credentials ({_KEYS} for S3) and what they may do with the bucket."
    if name in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
        return "the bucket is in another region. Name it: add ?region=REGION, or set AWS_REGION."
    if status in ("301", "307", "400"):
        return (
            f"the server refuses the request (HTTP status {status}). The bucket may be in another region: add "
            "?region=REGION; or the endpoint may speak another protocol: add ?scheme=http or https."
        )
    if code == "RESOURCE_NOT_FOUND":
        return "no such file. Check the path."
    if status.startswith("4") and status not in ("408", "425", "429"):
        return f"the server refuses the request ({reason(error)}). Check the address and your access to it."
    return None


def reason(error: OSError) -> str:
    """What PyArrow said, shortened to what helps."""
    said = str(error)
    if found := re.search(r"CURL error \[\d+\]=(.+?)(?: error_info=|$)", said):
        return plain(found[1].strip().rstrip("."), 160)
    if "OAuth2 access token" in said:
        return (
            "no access token could be had from Google: set GOOGLE_APPLICATION_CREDENTIALS, or write "
            "gs://anonymous@BUCKET for public data"
        )
    if found := re.search(r"curlCode: \d+, ([^;]+)(?:; Details: (.+))?", said):
        return plain((found[2] or found[1]).strip().rstrip("."), 160)
    found = re.search(r"AWS Error (.+?) during", said)
    return plain(found[1] if found else error.strerror or said, 160).rstrip(".")


def _has_keys() -> bool:
    """Whether credentials are to be found where most people keep them."""
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("AWS_PROFILE"):
        return True
    if any(os.environ.get(f"AWS_{name}") for name in ("ROLE_ARN", "CONTAINER_CREDENTIALS_RELATIVE_URI")):
        return True
    shared = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    return Path(shared or Path.home() / ".aws" / "credentials").exists()
