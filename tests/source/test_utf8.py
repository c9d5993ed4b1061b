"""The UTF-8 check of texts lying one after the other, against Python's decoder."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from cuvee.source.simd import ill_formed

EDGES = bytes.fromhex("00417f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5ff")
CHARACTERS = ["a", "é", "€", "😀", "\u0800", "\ud7ff", "\ue000", "\U00010000", "\U0010ffff"]


def well_formed(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def check(texts: list[bytes], before: bytes = b"", after: bytes = b"") -> None:
    offsets = len(before) + np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    flags = np.full(len(texts), 7, np.uint8)
    count = ill_formed(np.frombuffer(before + b"".join(texts) + after, np.uint8), offsets, flags)
    wanted = [0 if well_formed(text) else 1 for text in texts]
    assert (flags.tolist(), count) == (wanted, sum(wanted)), texts


@pytest.mark.parametrize("lead", [0, 61, 62, 63, 64])
def test_every_group_of_edge_bytes(lead: int) -> None:
    for group in itertools.product(EDGES, repeat=3):
        check([b"a" * lead + bytes(group) + b"b"])
    for second, third in itertools.product(EDGES, repeat=2):
        for first in (0xEF, 0xF0, 0xF1, 0xF4, 0xF5):
            check([b"a" * lead + bytes([first, second, 0x80, third])])


def test_texts_that_are_whole_only_together() -> None:
    check(["é".encode()[:1], "é".encode()[1:]])
    check([b"a" * 63 + "€".encode()[:1], "€".encode()[1:], b"", "日本".encode()])
    check([b"", b""], before=b"\x80", after=b"\x80")
    check([], before=b"\xff")


def test_random_texts() -> None:
    random.seed(1)
    for _ in range(5_000):
        texts = []
        for _ in range(random.choice([1, 1, 2, 5])):
            length = random.choice([0, 1, 3, 20, 63, 64, 65, 130])
            text = bytearray("".join(random.choice(CHARACTERS) for _ in range(length)).encode())
            if text and random.random() < 0.1:
                text[random.randrange(len(text))] = random.choice(EDGES)
            texts.append(bytes(text[: random.randint(0, len(text))] if random.random() < 0.1 else text))
        check(texts, random.choice([b"", b"x", b"\x80"]), random.choice([b"", b"\x80\xff" * 40]))
