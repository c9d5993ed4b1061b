"""Texts as tokens: bytes, or a byte-level BPE read from a tokenizer.json.

All arms of a comparison must share the tokenizer, so none is ever trained on an arm: :func:`train_bpe` is for texts
drawn from the pool, and the file goes by path to the proxy. One more token than the vocabulary holds, the last id,
separates documents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import Batch
from ...errors import DataError, MissingExtraError, UsageError
from ..proxy import Evaluation

BYTES = 256


@dataclass(frozen=True)
class Tokens:
    """Encoded texts. ``ids``: int32, (t,); text i is ``ids[offsets[i]:offsets[i + 1]]``, offsets int64, (n + 1,)."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class File:
    """What a tokenizer.json says of itself: a digest of its content, and its number of tokens."""

    digest: str
    size: int


def inspect(path: str | Path) -> File:
    """Read a tokenizer.json without the package that runs it.

    Raises:
        DataError: it cannot be read.
        UsageError: it is not a byte-level BPE without normaliser. Others lose or change characters, and bits per byte
            would then be those of another text.
    """
    try:
        raw = Path(path).read_bytes()
        content = json.loads(raw)
        vocabulary = content["model"]["vocab"]
        ids = [*vocabulary.values(), *(one["id"] for one in content.get("added_tokens") or ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as a tokenizer.json: {error}.") from error
    if content["model"].get("type") != "BPE" or content.get("normalizer") or '"ByteLevel"' not in json.dumps(content):
        raise UsageError(
            f"{path} is no byte-level BPE without normaliser; with any other tokenizer bits per byte mean nothing."
        )
    return File(hashlib.blake2b(raw, digest_size=20).hexdigest(), 1 + max(ids))


class Vocabulary:
    """A tokenizer. ``size``: number of ids, the separator's (the last) included."""

    def __init__(self, path: str | None) -> None:
        """``path`` of a tokenizer.json; None for bytes."""
        self.path = path
        self.separator = BYTES if path is None else inspect(path).size
        self.size = self.separator + 1

    def encode(self, batch: Batch) -> Tokens:
        """The tokens of every text, without separators.

        Raises:
            MissingExtraError: the package tokenizers is not installed.
        """
        if self.path is None:
            first, last = int(batch.offsets[0]), int(batch.offsets[-1])
            return Tokens(batch.data[first:last].astype(np.int32), batch.offsets - first)
        tokenizer = _package("A byte-pair vocabulary").Tokenizer.from_file(self.path)
        texts = [batch.text(i) for i in range(len(batch))]
        found = [one.ids for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in found])]).astype(np.int64)
        ids = np.fromiter((token for one in found for token in one), np.int32, int(offsets[-1]))
        return Tokens(ids, offsets)


def train_bpe(texts: Iterable[str], size: int, path: str | Path) -> str:
    """Train a byte-level BPE and write it as a tokenizer.json; returns the digest of the file.

    The same texts give the same file, in whatever order they come.

    Args:
        texts: drawn from the pool, never from one arm.
        size: tokens, the 256 bytes included; fewer if the texts do not hold so many pairs.
    """
    if size < BYTES:
        raise UsageError(f"A byte-level vocabulary has at least {BYTES} tokens, not {size}.")
    package = _package("Training a byte-pair vocabulary")
    tokenizer = package.Tokenizer(package.models.BPE())
    tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = package.decoders.ByteLevel()
    alphabet = package.pre_tokenizers.ByteLevel.alphabet()
    trainer = package.trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
    return inspect(path).digest


def text_size(evaluation: Evaluation) -> npt.NDArray[np.float64]:
    """UTF-8 bytes of every text, (n,); an empty text counts as one byte."""
    return np.maximum(np.diff(evaluation.batch.offsets), 1).astype(np.float64)


def _package(purpose: str) -> Any:
    try:
        import tokenizers
    except ImportError:
        raise MissingExtraError("tokenizers", purpose) from None
    return tokenizers
