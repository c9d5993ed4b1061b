"""Answers that were paid for are kept: a file of JSON lines, one for each, added to as they come.

An answer is known by the digest of model, question and text, so that another model or wording asks anew and the same
never does. A line that a kill cut short is passed over, and asked again; so is one that holds what came instead of an
answer, for the user to see. Nothing in the file says who asked: no key, no address.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..engine import files


def digest(model: str, question: str) -> str:
    """What an answer is known by. ``question`` holds the text."""
    return hashlib.blake2b(f"{model}\0{question}".encode(), digest_size=16).hexdigest()


class Answers:
    """The file of answers, read once and added to."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, {}
        raw = path.read_bytes() if path.is_file() else b""
        self._open_line = bool(raw) and not raw.endswith(b"\n")
        for line in raw.splitlines():
            try:
                found = json.loads(line)
                key, answer = found["question"], found["answer"]
            except (ValueError, LookupError, TypeError, RecursionError):
                continue
            if isinstance(key, str) and isinstance(answer, str):
                self.known[key] = answer

    known: dict[str, str]
    """Answers by digest."""

    def add(self, key: str, answer: str) -> None:
        """Keep one more."""
        self._append({"question": key, "answer": answer})
        self.known[key] = answer

    def add_instead(self, key: str, instead: str) -> None:
        """Keep what came where no answer did; the question stays open."""
        self._append({"question": key, "instead": instead})

    def _append(self, line: dict[str, str]) -> None:
        files.append(self.path, (("\n" if self._open_line else "") + json.dumps(line) + "\n").encode())
        self._open_line = False
