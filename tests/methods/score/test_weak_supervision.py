"""Weak supervision: the release's inclusion probabilities, and hard rows where two kinds of text meet."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch, Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.methods.choose.poisson import Poisson
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.weak_supervision import WeakSupervision, hardness
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "weak_supervision" / "pi.json"
SEA, CODE = ["ship", "whale", "sea", "captain", "sail", "wave"], ["def", "return", "import", "class", "self", "print"]


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text())


def test_inclusion_probabilities_are_the_release_s(golden: dict) -> None:
    log_h = np.log(hardness(np.array(golden["X"]) @ np.array(golden["theta_surrogate"])))
    for run in golden["runs"]:
        columns = MemoryColumns(3, score=run["alpha"] * log_h)
        wanted = Budget("rows", len(log_h) * run["percent"] // 100)
        decision = Poisson().choose(columns, wanted, Draw(0))
        found = np.concatenate([decision.probability(block) for block in columns.blocks()])  # type: ignore[attr-defined]
        assert np.allclose(found, run["pi"], atol=1e-9)


@pytest.mark.parametrize(("name", "sign"), [("easy", -1.0), ("hard", 1.0)])
def test_the_extremes_are_the_release_s(golden: dict, name: str, sign: float) -> None:
    log_h = np.log(hardness(np.array(golden["X"]) @ np.array(golden["theta_surrogate"])))
    columns = MemoryColumns(2, score=sign * log_h)
    taken = columns.taken(TopK().choose(columns, Budget("rows", 60), Draw(0)))
    assert np.flatnonzero(taken).tolist() == sorted(golden[f"top20_{name}"])


def test_two_classes_are_a_case_of_many() -> None:
    z = np.linspace(-12, 12, 50)
    assert np.allclose(hardness(z), hardness(np.column_stack([z, -z])))
    assert hardness(np.zeros((1, 4)))[0] == pytest.approx((1 - 0.25) / 2)


def texts(kinds: list[list[str]], count: int, seed: int) -> list[bytes]:
    chance = np.random.default_rng(seed)
    return [" ".join(chance.choice(kinds[i % len(kinds)], 12)).encode() for i in range(count)]


def target_of(labels: list[str]) -> Batch:
    raw = texts([SEA, CODE], 40, 1)
    return replace(as_batch(raw), columns={"label": pa.array([labels[i % len(labels)] for i in range(40)])})


def test_mixed_texts_are_hard() -> None:
    clear, mixed = texts([SEA, CODE], 60, 2), texts([SEA + CODE], 30, 3)
    pool = as_batch(clear + mixed)
    fitted = WeakSupervision().fit(Memory(pool, target_of(["sea", "code"])))
    score = fitted.apply(pool)["score"]
    assert score[60:].min() > np.median(score[:60])
    assert np.array_equal(
        WeakSupervision(-0.5).fit(Memory(pool, target_of(["sea", "code"]))).apply(pool)["score"], -0.5 * score
    )
    easy = WeakSupervision(rule="easy")
    assert isinstance(easy.chooser(fitted), TopK)
    assert np.array_equal(easy.fit(Memory(pool, target_of(["sea", "code"]))).apply(pool)["score"], -score)


def test_refusals() -> None:
    pool = as_batch(texts([SEA], 5, 0))
    with pytest.raises(DataError, match="2 to 100 labels"):
        WeakSupervision().fit(Memory(pool, target_of(["one"])))
    with pytest.raises(DataError, match="label column"):
        WeakSupervision().fit(Memory(pool, as_batch(texts([SEA, CODE], 4, 0))))
    for bad in (WeakSupervision(np.nan), WeakSupervision(rule="best"), WeakSupervision(cost=0.0)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="weak_supervision"):
            bad.fit(Memory(pool, target_of(["sea", "code"])))
