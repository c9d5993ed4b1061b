"""Vectors of rows: a column that the data brings, or the shipped static embedding of its texts.

An embedder is a small frozen object with ``vectors(batch)``, float32 (rows, width), ``width``, and ``unit`` (whether
the vectors have length 1). There are :class:`Given`, the column with the role "embedding" (any model's, any width);
``StaticEmbedding`` (``static_embedding.py``); ``Lsa`` (``lsa.py``); and ``Whitened`` (``whitening.py``) around another.
:func:`of_target` and :func:`of_pool` choose once, so that pool and target lie in the same space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Block, Fold, Map, Run, State
from ..errors import DataError, UsageError
from .embed_kernels import products
from .static_embedding import StaticEmbedding, normalised

Vectors = npt.NDArray[np.float32]
Source: TypeAlias = Literal["auto", "given", "static", "lsa"]
SOURCES = ("auto", "given", "static", "lsa")


class Embedder(Protocol):
    """What gives vectors. Each row's vector depends on that row alone; no known word or number gives zeros."""

    @property
    def width(self) -> int:
        """The length of the vectors."""
        ...

    @property
    def unit(self) -> bool:
        """Whether every vector that is not zero has length 1."""
        ...

    def vectors(self, batch: Batch) -> Vectors:
        """float32, (rows, width)."""
        ...


@dataclass(frozen=True)
class Given:
    """The rows' own embeddings, of ``width`` numbers each. ``unit`` divides each by its length (cosine)."""

    width: int
    unit: bool = True

    def vectors(self, batch: Batch) -> Vectors:
        found = batch.columns.get("embedding")
        if found is None:
            raise DataError(
                "Pool and target must both have an embedding column, or neither. Name the columns with --embedding, or "
                "leave them out with --embedding none."
            )
        if found.shape[1] != self.width:
            raise DataError(
                f"Embeddings have {found.shape[1]} numbers in one place and {self.width} in another: pool and target "
                "must be embedded by the same model."
            )
        return normalised(found) if self.unit else np.asarray(found, np.float32)


@dataclass(frozen=True)
class Kinds(Fold):
    """What rows bring: rows, those with text, and the width of their embeddings."""

    exact = True

    def empty(self) -> State:
        return {"rows": np.zeros(2, np.int64), "width": np.zeros(1, np.int64)}

    def lift(self, batch: Batch) -> State:
        found = batch.columns.get("embedding")
        width = 0 if found is None or not len(batch) else found.shape[1]
        rows = [len(batch), np.count_nonzero(np.diff(batch.offsets))]
        return {"rows": np.array(rows, np.int64), "width": np.array([width], np.int64)}

    def merge(self, left: State, right: State) -> State:
        return {"rows": left["rows"] + right["rows"], "width": np.maximum(left["width"], right["width"])}


def check(source: str) -> None:
    """Refuse an unknown source by name."""
    if source not in SOURCES:
        raise UsageError(f"embedding is one of {', '.join(SOURCES)}, not '{source}'.")


def of_pool(run: Run, source: Source = "auto", unit: bool = True) -> Embedder:
    """The embedder for a method without a target. "auto" takes the pool's embedding column if there is one."""
    check(source)
    if source == "lsa":
        from .lsa import fit_lsa

        return fit_lsa(run)
    if source in ("auto", "given"):
        found = run.fold(Kinds())
        if width := int(found["width"][0]):
            return Given(width, unit)
        if source == "given" or not found["rows"][1]:
            raise DataError("The pool has no embedding column. Name it with --embedding, or give texts.")
    return StaticEmbedding(unit=unit)


def of_target(run: Run, source: Source = "auto", unit: bool = True) -> tuple[Embedder, Vectors]:
    """The embedder for a method with a target, and the target's vectors, float32 (rows, width), without zero rows.

    "auto" takes the target's embedding column if it has one; the pool is then embedded in the same way.
    """
    check(source)
    batches = [batch for batch in run.targets() if len(batch)]
    widths = {batch.columns["embedding"].shape[1] for batch in batches if "embedding" in batch.columns}
    embedder: Embedder = StaticEmbedding(unit=unit)
    if source == "lsa":
        embedder = of_pool(run, source)
    elif source == "given" or (source == "auto" and widths):
        embedder = Given(max(widths, default=0), unit)
    parts = [embedder.vectors(batch) for batch in batches]
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    vectors = vectors[np.any(vectors != 0, axis=1)]
    if not len(vectors):
        if isinstance(embedder, Given) and batches:
            raise DataError("The target gives no embedding: every vector of its column is zero. Name another column.")
        raise DataError("The target gives no embedding: it has no rows, or no text with a known word.")
    return embedder, vectors


def similarities(vectors: Vectors, others: Array) -> Vectors:
    """Inner products, float32 (rows, len(others)), whose bits depend on the two vectors alone."""
    out = np.empty((len(vectors), len(others)), np.float32)
    across = np.ascontiguousarray(np.asarray(others, np.float32).T)
    products(np.ascontiguousarray(vectors, np.float32), across, out)
    return out


@dataclass(frozen=True, eq=False)
class Embeddings(Map):
    """Block: "embedding", float16 (rows, d) for unit vectors, else float32, and "score".

    The score is the inner product with ``direction``, float64 (d,); 0 without one. Rows without a vector have -inf.
    """

    embedder: Embedder
    direction: Array | None = None
    notes: dict[str, Any] | None = None

    def apply(self, batch: Batch) -> Block:
        vectors = self.embedder.vectors(batch)
        score = np.zeros(len(vectors))
        if self.direction is not None:
            score = similarities(vectors, self.direction[None])[:, 0].astype(np.float64)
        score[~np.any(vectors != 0, axis=1)] = -np.inf
        return {"embedding": vectors.astype(np.float16) if self.embedder.unit else vectors, "score": score}
