"""The shipped table gives the tokens and vectors of model2vec, whatever stands around a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cuvee.errors import UsageError
from cuvee.examples import as_batch
from cuvee.feature.static_embedding import LICENCE, StaticEmbedding, normalised, tokenize

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "static_embedding" / "reference.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as stored:
        return dict(stored)


def texts_of(golden: dict[str, np.ndarray]) -> list[bytes]:
    return golden["text"].tobytes().split(b"\n\0\n")


def test_tokens_are_those_of_the_reference(golden: dict[str, np.ndarray]) -> None:
    ids, count = tokenize(as_batch(texts_of(golden)))
    assert np.array_equal(count, golden["count"])
    assert np.array_equal(ids, golden["ids"])
    assert len(ids) > 30_000


def test_vectors_are_those_of_the_reference(golden: dict[str, np.ndarray]) -> None:
    """The reference holds its rows in float32 and its results in float16; ours are 8-bit with a scale a row."""
    vectors = StaticEmbedding(max_tokens=0).vectors(as_batch(texts_of(golden)))
    expected = golden["vector"].astype(np.float32)
    empty = golden["count"] == 0
    assert empty.sum() == 2
    assert not vectors[empty].any()
    assert (np.einsum("ij,ij->i", vectors, expected)[~empty] > 0.9997).all()
    assert np.abs(vectors - expected).max() < 3e-3


def test_a_text_s_vector_does_not_depend_on_its_neighbours(golden: dict[str, np.ndarray]) -> None:
    texts = texts_of(golden)
    whole = StaticEmbedding().vectors(as_batch(texts))
    alone = np.concatenate([StaticEmbedding().vectors(as_batch([text])) for text in texts])
    assert np.array_equal(whole, alone)
    assert np.allclose(np.linalg.norm(whole[golden["count"] > 0], axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("most", [1, 7, 255, 256, 257, 600])
def test_only_the_first_tokens_count(golden: dict[str, np.ndarray], most: int) -> None:
    """The mean over the first tokens equals that of the text that ends there, at borders of blocks too."""
    text = b" ".join(texts_of(golden)[120:140])
    ids, _ = tokenize(as_batch([text]))
    from cuvee.feature.static_embedding import tables

    found = tables()
    rows = found.rows[ids[:most]].astype(np.float64) * found.scale[ids[:most]].astype(np.float64)[:, None]
    expected = normalised(rows.sum(axis=0, keepdims=True))
    assert np.allclose(StaticEmbedding(most).vectors(as_batch([text])), expected, atol=1e-6)


def test_hostile_bytes_give_finite_vectors() -> None:
    """Bytes that are no UTF-8 are passed over; a word of a million letters is left out."""
    texts = [b"\xff\xfe\x80 word \xc3", b"\xf0\x9f\x98", b"a" * 1_000_000, b"word", "\u0000\u200b".encode(), b""]
    vectors = StaticEmbedding().vectors(as_batch(texts))
    assert np.isfinite(vectors).all()
    assert np.array_equal(vectors[0], vectors[3])
    assert not vectors[[1, 2, 4, 5]].any()


def test_similar_texts_are_near() -> None:
    texts = [b"The cat sat on the mat.", b"A kitten is sitting on a rug.", b"Interest rates rose in the third quarter."]
    vectors = StaticEmbedding().vectors(as_batch(texts))
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_the_licence_is_shipped_and_bad_settings_are_refused() -> None:
    text = LICENCE.read_text("utf-8")
    assert "all-MiniLM-L6-v2" in text
    assert "Apache License" in text
    with pytest.raises(UsageError, match="max_tokens"):
        StaticEmbedding(max_tokens=-1)
