"""One question to an OpenAI-compatible endpoint (POST .../chat/completions), by the standard library alone.

The key comes from an environment variable, travels in a header, and is written nowhere: not to files, not to messages.
It is not sent over plain HTTP but to this machine itself. Redirections are refused: they would carry it elsewhere.

What may pass is tried again, ``tries`` times in all, with pauses that double from one second (or as long as the server
says, up to a minute): no connection, no answer within ``timeout`` seconds, statuses 408, 409, 429 and 5xx. Other
statuses end the work: a wrong key or model does not become right. A body that ends before its announced length counts
as no answer. A whole one that is not what the protocol says counts as malformed, not as an error; its beginning is
handed on, so that a user sees what came.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import ResourceError, UsageError

PASSING = frozenset({408, 409, 425, 429, *range(500, 600)})
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONGEST_PAUSE, MOST_BYTES, MOST_INSTEAD = 60.0, 1 << 20, 1000


@dataclass(frozen=True)
class Reply:
    """The model's ``text``; where there is none, ``instead``: the first characters of what came."""

    text: str
    instead: str = ""


@dataclass(frozen=True)
class Endpoint:
    """``url`` ends where "/chat/completions" is added; ``variable`` names the environment variable with the key."""

    url: str
    model: str
    variable: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    tries: int = 5
    most_tokens: int = 400
    pause: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"The endpoint must be an address like https://host/v1, not '{self.url}'.")
        if parts.username or parts.password:
            raise UsageError(f"Put no key into the endpoint's address; put it into the variable {self.variable}.")
        if self.key and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UsageError(
                f"The key in {self.variable} would travel unencrypted to {parts.hostname}. Use https, or unset it."
            )
        if self.timeout <= 0 or self.tries < 1 or self.most_tokens < 1:
            raise UsageError("An endpoint needs a timeout above 0, and at least one try and one token.")

    @property
    def key(self) -> str:
        """The key, or nothing."""
        return os.environ.get(self.variable, "").strip()

    def ask(self, question: str) -> str:
        """The text of ``reply``."""
        return self.reply(question).text

    def reply(self, question: str) -> Reply:
        """What the model answers; an empty text where the answer is not of the protocol.

        Raises:
            UsageError: the endpoint refuses the request (key, model, address).
            ResourceError: no answer after all tries.
        """
        asked = {"model": self.model, "messages": [{"role": "user", "content": question}]}
        body = json.dumps({**asked, "temperature": 0, "max_tokens": self.most_tokens}).encode()
        why = ""
        for attempt in range(self.tries):
            if attempt:
                self.pause(min(2.0 ** (attempt - 1), LONGEST_PAUSE))
            try:
                status, answer, wait = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                why = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
                continue
            if status == 200:
                text = content(answer)
                raw = "" if text else answer.decode(errors="replace")
                return Reply(text, (raw.replace(self.key, "[key]") if self.key else raw)[:MOST_INSTEAD])
            why = f"status {status}"
            if status not in PASSING:
                raise UsageError(
                    f"The endpoint {self.url} refuses the request: status {status}{reason(answer, self.key)}. "
                    f"Check the address, the model '{self.model}', and the key in {self.variable}."
                )
            if wait:
                self.pause(min(wait, LONGEST_PAUSE))
        raise ResourceError(
            f"The endpoint {self.url} gave no answer after {self.tries} tries ({why}). What was answered before is "
            "kept: run the same command again to go on."
        )

    def _post(self, body: bytes) -> tuple[int, bytes, float]:
        """Status, answer, and the seconds that the server asks to wait."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "cuvee"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        started = time.monotonic()
        try:
            connection.request("POST", f"{parts.path.rstrip('/')}/chat/completions", body, headers)
            response = connection.getresponse()
            wait = response.getheader("Retry-After", "")
            return response.status, read(response, started + self.timeout), float(wait) if wait.isdigit() else 0.0
        finally:
            connection.close()


def read(response: http.client.HTTPResponse, until: float) -> bytes:
    """The body, at most ``MOST_BYTES`` of it; a server that drips is cut off when time is up."""
    parts, size = [], 0
    while size < MOST_BYTES and (part := response.read1(1 << 16)):
        parts.append(part)
        size += len(part)
        if time.monotonic() > until:
            raise TimeoutError
    announced = response.getheader("Content-Length", "")
    if not response.chunked and announced.isdecimal() and size < min(int(announced), MOST_BYTES):
        raise http.client.IncompleteRead(b"".join(parts), int(announced) - size)
    return b"".join(parts)


def content(answer: bytes) -> str:
    """The first choice's text."""
    try:
        found = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def reason(answer: bytes, key: str) -> str:
    """What the endpoint says of its refusal, shortened, without the key."""
    try:
        found = json.loads(answer)["error"]
        said = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    said = " ".join(said.split())[:200]
    return f', "{said.replace(key, "[key]") if key else said}"'
