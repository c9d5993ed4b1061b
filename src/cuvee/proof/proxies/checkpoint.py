"""Trained models in files: what a later training goes on from, and what it must know about the earlier one.

A file is in the safetensors format: its length as eight bytes, a header in JSON that names every array, and the arrays
behind it. Nothing is pickled, and other programs read it. The header's ``__metadata__`` says how the model was made.
The same training gives the same bytes, so a digest of the file names the training, and is part of the key of every
trial that begins with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...core import State
from ...engine import files
from ...errors import DataError

FORMAT = "cuvee checkpoint 1"
MOST_HEADER = 1 << 20
_KINDS: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}


@dataclass(frozen=True)
class About:
    """How a model was made.

    Attributes:
        proxy: the file of the proxy's class, like "transformer"; ``size``, ``context``: as there.
        vocabulary: token ids; ``tokenizer``: digest of the tokenizer's file, or "" for bytes.
        rate: learning rate at the end; ``peak``: the highest.
        tokens: trained on, repeats and those of earlier checkpoints included.
        begun: digest of the checkpoint that the training began with, or "".
        seed: of the training.
    """

    proxy: str
    size: str
    context: int
    vocabulary: int
    tokenizer: str
    rate: float
    peak: float
    tokens: int
    begun: str
    seed: int


@dataclass(frozen=True)
class Kept:
    """A checkpoint's file: a digest of its bytes, and how it was made."""

    digest: str
    about: About


def write(path: Path, about: About, state: State) -> None:
    """Write a model, whole or not at all.

    Raises:
        ResourceError: the file cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "about": json.dumps(asdict(about), sort_keys=True)}}
    parts, at = [], 0
    for name in sorted(state):
        kind = next(key for key, one in _KINDS.items() if one == state[name].dtype)
        raw = np.ascontiguousarray(state[name], _KINDS[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(state[name].shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    files.write_whole(path, b"".join([len(text).to_bytes(8, "little"), text, *parts]))


def inspect(path: str | Path) -> Kept:
    """What a checkpoint says of itself.

    Raises:
        DataError: it cannot be read, or is no checkpoint of cuvee.
    """
    try:
        facts = Path(path).stat()
    except OSError as error:
        raise DataError(
            f"The checkpoint {path} cannot be read: {error.strerror}. Make one with cuvee pretrain."
        ) from None
    return _inspect(str(path), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=16)
def _inspect(path: str, size: int, changed: int) -> Kept:
    raw = _bytes(path)
    return Kept(hashlib.blake2b(raw, digest_size=20).hexdigest(), _opened(path, raw)[0])


def read(path: str | Path, digest: str) -> tuple[About, State]:
    """The model of a checkpoint.

    Args:
        digest: of the file when the recipe was made.

    Raises:
        DataError: it cannot be read, is no checkpoint, or has changed since.
    """
    raw = _bytes(path)
    if hashlib.blake2b(raw, digest_size=20).hexdigest() != digest:
        raise DataError(f"The checkpoint {path} has changed since this training was described. Start it again.")
    return _opened(path, raw)


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error


def _opened(path: str | Path, raw: bytes) -> tuple[About, State]:
    try:
        length = int.from_bytes(raw[:8], "little")
        if not 0 < length <= min(MOST_HEADER, len(raw) - 8):
            raise ValueError
        header: Mapping[str, Any] = json.loads(raw[8 : 8 + length])
        told, body, state = header["__metadata__"], memoryview(raw)[8 + length :], {}
        if told["format"] != FORMAT:
            raise ValueError
        for name, one in header.items():
            if name == "__metadata__":
                continue
            low, high = one["data_offsets"]
            part = body[low:high]
            if not 0 <= low <= high == low + len(part) or min(one["shape"], default=0) < 0:
                raise ValueError
            state[name] = np.frombuffer(part, _KINDS[one["dtype"]]).reshape(one["shape"]).copy()
            if not np.isfinite(state[name]).all():
                raise ValueError
        about = About(**json.loads(told["about"]))
        if not all(type(value) is type(getattr(_EXAMPLE, name)) for name, value in asdict(about).items()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(
            f"{path} is damaged, or is no checkpoint of this cuvee. Make one with cuvee pretrain."
        ) from None
    return about, state


_EXAMPLE = About("", "", 0, 0, "", 0.0, 0.0, 0, "", 0)
