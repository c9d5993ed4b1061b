"""Multi-source selection: uncertain rows, unless they are of a group from which nothing can be learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch
from cuvee.errors import DataError, UsageError
from cuvee.methods.score.multi_source import MultiSource
from cuvee.methods.score.rds_plus import RdsPlus
from cuvee.methods.score.v_information import VInformation
from cuvee.methods.score.weak_supervision import WeakSupervision
from tests.feature.test_embeddings import Memory
from tests.methods.score.test_mates import CODE, SEA, rows

NOISE = ["licence", "copyright", "warranty", "holder", "liable", "damages", "notice", "permission", "software"]


def labelled(texts: list[str], label: list[str]) -> Batch:
    plain = rows(texts)
    columns = {"label": pa.array(label, pa.large_string())}
    return Batch(plain.data, plain.offsets, plain.row, plain.key, columns)


def two_sources(seed: int, number: int, noise: float) -> tuple[list[str], list[str], Any]:
    """Texts, labels, and which are of the source whose labels are drawn at random."""
    chance, texts, label = np.random.default_rng(seed), [], []
    unlearnable = chance.random(number) < noise
    for bad in unlearnable:
        kind = int(chance.integers(2))
        own = int(chance.integers(9, 13))  # the rest is of the other kind: rows differ in how sure one can be
        words = [*chance.choice([SEA, CODE][kind].split(), own), *chance.choice([CODE, SEA][kind].split(), 12 - own)]
        texts.append(" ".join(chance.choice(NOISE, 12) if bad else words))
        label.append("ab"[int(chance.integers(2)) if bad else kind])
    return texts, label, unlearnable


@pytest.fixture(scope="module")
def run() -> Memory:
    texts, label, _ = two_sources(1, 600, 0.3)
    shown, told, _ = two_sources(2, 60, 0.0)
    return Memory(labelled(texts, label), labelled(shown, told))


@pytest.mark.parametrize("by", ["label", "nearness"])
def test_the_unlearnable_source_is_screened(run: Memory, by: Any) -> None:
    unlearnable = two_sources(1, 600, 0.3)[2]
    plain = WeakSupervision(rule="hard").fit(run).apply(run.pool)["score"]
    most = np.argsort(-plain)[:60]
    assert unlearnable[most].mean() > 0.8  # what uncertainty alone is after
    fitted = MultiSource(0.3, by).fit(run)
    score = fitted.apply(run.pool)["score"]
    screened = np.isneginf(score)
    assert screened.mean() == pytest.approx(0.3, abs=0.01)
    assert unlearnable[screened].mean() > (0.6 if by == "label" else 0.95)
    assert np.array_equal(score[~screened], plain[~screened])
    assert fitted.notes["uncertain_screened"] > 0.4


def test_it_is_composed_of_its_parts(run: Memory) -> None:
    told = VInformation("easy", 0.0).fit(run).apply(run.pool)["score"]
    near = RdsPlus("max").fit(run).apply(run.pool)["score"]
    for by, screen in (("label", told), ("nearness", near)):
        kept = np.isfinite(MultiSource(0.4, by).fit(run).apply(run.pool)["score"])
        assert screen[kept].min() > screen[~kept].max()


def test_what_it_needs_depends_on_the_screen() -> None:
    assert MultiSource().needs() == ("text", "target", "label")
    assert MultiSource(by="nearness").needs() == ("text", "target")


def test_what_cannot_be_screened_is_refused(run: Memory) -> None:
    for wrong in (MultiSource(0), MultiSource(1), MultiSource(by="age"), MultiSource(sample=0)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="multi_source"):
            wrong.fit(run)
    unlabelled = rows(["a b", "c d"])
    for by in ("label", "nearness"):
        with pytest.raises(DataError, match=r"multi_source learns from labels.*--label"):
            MultiSource(by=by).fit(Memory(run.pool, unlabelled))  # type: ignore[arg-type]
    wordless = Memory(rows(["", ""]), run.target)
    with pytest.raises(DataError, match="can be screened"):
        MultiSource(by="nearness").fit(wordless)
