"""Which vectors a fitted method looks at, so that what is said of its choice can look at the same."""

from __future__ import annotations

import dataclasses
from typing import Any

from .embed import Embedder, Given
from .lsa import Lsa
from .static_embedding import StaticEmbedding
from .whitening import Whitened

TABLE = "vectors of texts by the shipped table (English)"


def embedder_of(fitted: Any) -> Embedder | None:
    """The first embedder that a fitted Map holds, itself or in what it holds; None where it looks at no vectors."""
    if isinstance(fitted, Given | Lsa | StaticEmbedding | Whitened):
        return fitted
    held: list[Any] = list(fitted) if isinstance(fitted, tuple) else []
    if dataclasses.is_dataclass(fitted) and not isinstance(fitted, type):
        held = [getattr(fitted, one.name) for one in dataclasses.fields(fitted)]
    return next((found for one in held if (found := embedder_of(one)) is not None), None)


def column_of(embedder: Embedder) -> Given | None:
    """What reads the rows' column of embeddings, if anything does; else texts suffice."""
    if isinstance(embedder, Whitened):
        return column_of(embedder.inner)
    return embedder if isinstance(embedder, Given) else None


def in_words(embedder: Embedder, model: str | None = None) -> str:
    """What the vectors are; ``model`` names the one that made the column."""
    if isinstance(embedder, Whitened):
        return f"{in_words(embedder.inner, model)}, whitened"
    if isinstance(embedder, Given):
        return f"vectors of the model {model}" if model else "the embedding column"
    if isinstance(embedder, Lsa):
        return "vectors of texts by latent semantic analysis of the pool"
    return TABLE
