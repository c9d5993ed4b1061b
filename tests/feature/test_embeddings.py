"""Whitening against the published code, latent semantic analysis against a dense solution, and choosing an embedder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Batch, Fold
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.feature.embed import Embeddings, Given, of_pool, of_target, similarities
from cuvee.feature.lsa import fit_lsa
from cuvee.feature.ngrams import Ngrams
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.feature.whitening import fit_whitening, symmetry, weighted_moments, whitening_matrix
from cuvee.fold.moments import Moments, gaussian_of
from cuvee.methods.score.classifier import sparse_means

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "zipfian_whitening"
TEXTS = [f"{a} {b} {c}".encode() for a in ("sea", "ship", "rows") for b in ("select", "from", "where") for c in "abcd"]


class Memory:
    """A run over batches in memory."""

    seed = 1

    def __init__(self, pool: Batch, target: Batch | None = None) -> None:
        self.pool, self.target, self.rows = pool, target, len(pool)

    def fold(self, fold: Fold, over: str = "pool") -> Any:
        batch = self.pool if over == "pool" else self.target
        assert batch is not None
        return fold.finish(fold.merge(fold.empty(), fold.lift(batch)))

    def targets(self) -> Iterator[Batch]:
        assert self.target is not None
        yield self.target


def with_vectors(vectors: np.ndarray, texts: list[bytes] | None = None) -> Batch:
    batch = as_batch(texts or [b""] * len(vectors))
    return replace(batch, key=np.arange(len(vectors), dtype=np.uint64), columns={"embedding": vectors})


@pytest.mark.parametrize("name", ["V40_d8_a12", "V60_d5_a1"])
def test_zipfian_whitening_equals_the_published_code(name: str) -> None:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        case = dict(stored)
    words, p = case["W"], case["p"]
    mean, covariance = weighted_moments(words, p)
    assert np.allclose(mean, case["zipf_mu"], atol=1e-8)
    z = (words - mean) @ whitening_matrix(covariance)
    assert np.allclose(z @ z.T, case["zipf_gram"], atol=1e-8)
    assert np.allclose(np.linalg.norm(z, axis=1), case["zipf_norm"], atol=1e-8)
    assert np.allclose(symmetry(words, p), case["symmetry_scores"][:2], atol=1e-8)
    assert np.allclose(symmetry(z, p), [1.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("name", ["V40_d8_a12", "V60_d5_a1"])
def test_plain_whitening_equals_the_published_code(name: str) -> None:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        case = dict(stored)
    found = gaussian_of(case["W"])
    z = (case["W"] - found.mean) @ whitening_matrix(found.covariance(ddof=1))
    assert np.allclose(z @ z.T, case["uniform_gram"], atol=1e-5)


def test_plain_whitening_of_a_pool() -> None:
    chance = np.random.default_rng(0)
    vectors = (chance.normal(size=(500, 6)) @ chance.normal(size=(6, 6)) + 3).astype(np.float32)
    pool = with_vectors(vectors)
    whitened = replace(fit_whitening(Memory(pool), Given(6, unit=False)), unit=False)
    z = whitened.vectors(pool).astype(np.float64)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(np.cov(z.T, ddof=0), np.eye(6), atol=1e-3)
    flat = np.tile(vectors[:1], (5, 1))
    with pytest.raises(DataError, match="all the same"):
        fit_whitening(Memory(with_vectors(flat)), Given(6, unit=False))


def test_zipfian_whitening_of_texts_makes_tokens_even() -> None:
    pool = as_batch(TEXTS * 3)
    whitened = fit_whitening(Memory(pool), StaticEmbedding(), "zipfian")
    assert np.isfinite(whitened.vectors(pool)).all()
    assert np.allclose(np.linalg.norm(whitened.vectors(pool), axis=1), 1, atol=1e-5)
    with pytest.raises(UsageError, match="token vectors"):
        fit_whitening(Memory(pool), Given(3), "zipfian")


def test_moments_merge_to_those_of_all_rows() -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
    vectors[7] = 0
    fold = Moments(Given(5, unit=False))
    parts = [fold.lift(with_vectors(vectors[low : low + 20])) for low in (0, 20, 40)]
    (found,) = fold.finish(fold.merge(fold.merge(parts[0], parts[1]), parts[2]))
    kept = np.delete(vectors, 7, axis=0).astype(np.float64)
    assert found.count == 59
    assert np.allclose(found.mean, kept.mean(axis=0))
    assert np.allclose(found.covariance(1), np.cov(kept.T))


def test_lsa_spans_the_largest_directions() -> None:
    """Subspace iteration finds what a dense decomposition finds, up to rotation within the span."""
    chance = np.random.default_rng(4)
    words = [f"w{i}" for i in range(40)]
    pool = as_batch([" ".join(chance.choice(words[i % 4 :: 4 + i % 3], 15)).encode() for i in range(80)])
    width, buckets = 4, 256
    fitted = fit_lsa(Memory(pool), width, buckets, n=1, smoothing=10.0, iterations=200)
    indptr, index, value = sparse_means(Ngrams(1, buckets), pool)
    dense = np.zeros((len(pool), buckets))
    dense[np.repeat(np.arange(len(pool)), np.diff(indptr)), index] = value
    p = Ngrams(1, buckets).count(pool)
    dense *= 10.0 / (10.0 + p / p.sum())
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    axes = np.linalg.svd(dense)[2][:width]
    expected = dense @ axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = fitted.vectors(pool).astype(np.float64)
    assert found.shape == (len(pool), width)
    assert np.allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_products_do_not_depend_on_their_neighbours() -> None:
    chance = np.random.default_rng(2)
    x, y = (chance.normal(size=(n, 37)).astype(np.float32) for n in (50, 23))
    whole = similarities(x, y)
    assert np.allclose(whole, x @ y.T, atol=1e-5)
    assert np.array_equal(whole[17:18], similarities(x[17:18], y))
    assert np.array_equal(whole[:, 3:4], similarities(x, y[3:4]))


def test_pool_and_target_are_embedded_alike() -> None:
    """The target's column decides; a pool without one, or of another width, is refused in a sentence."""
    vectors = np.random.default_rng(3).normal(size=(4, 8)).astype(np.float32)
    texts = [b"some words here", b"other words", b"the sea", b"ships"]
    plain, given = as_batch(texts), with_vectors(vectors, texts)
    embedder, found = of_target(Memory(plain, given))
    assert isinstance(embedder, Given)
    assert found.shape == (4, 8)
    with pytest.raises(DataError, match="both have an embedding column"):
        embedder.vectors(plain)
    with pytest.raises(DataError, match="same model"):
        embedder.vectors(with_vectors(vectors[:, :5], texts))
    embedder, found = of_target(Memory(given, plain))
    assert isinstance(embedder, StaticEmbedding)
    assert isinstance(of_pool(Memory(given)), Given)
    assert isinstance(of_pool(Memory(given), "static"), StaticEmbedding)
    assert isinstance(of_pool(Memory(plain)), StaticEmbedding)
    with pytest.raises(DataError, match="no embedding column"):
        of_pool(Memory(plain), "given")
    with pytest.raises(UsageError, match="embedding is one of"):
        of_pool(Memory(plain), "bert")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no text with a known word"):
        of_target(Memory(plain, as_batch([b"", b"\n"])))


def test_block_of_embeddings() -> None:
    batch = as_batch([b"the sea", b"", b"ships at sea"])
    block = Embeddings(StaticEmbedding(), StaticEmbedding().vectors(batch)[0].astype(np.float64)).apply(batch)
    assert block["embedding"].dtype == np.float16
    assert block["embedding"].shape == (3, 256)
    assert block["score"][0] == pytest.approx(1.0, abs=1e-5)
    assert block["score"][1] == -np.inf
    assert 0.3 < block["score"][2] < 1
