"""Answers that were paid for are kept: a file of JSON lines, one for each, added to as they come.

An answer is known by the digest of model, question and text, so that another model or wording asks anew and the same
never does. A line that a kill cut short is passed over, and asked again. Nothing in the file says who asked: no key, no
address.
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
        line = json.dumps({"question": key, "answer": answer}) + "\n"
        files.append(self.path, (("\n" if self._open_line else "") + line).encode())
        self._open_line, self.known[key] = False, answer
