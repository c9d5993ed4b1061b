"""kMQ: whole allocations, inclusion by quality, and weights that feedback refines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.feature.content import string_hash
from cuvee.fold.feedback import refined
from cuvee.methods.choose.kmq import Kmq
from tests.conftest import MemoryColumns

IDS = [f"row {i}" for i in range(600)]
KEY = string_hash(pa.array(IDS, pa.large_string()))
CLUSTER = np.repeat([0, 1, 2, -1], [300, 200, 80, 20])


def columns(score: Any = None) -> MemoryColumns:
    return MemoryColumns(4, key=KEY, cluster=CLUSTER, score=np.ones(600) if score is None else score)


def by_cluster(rule: Kmq, budget: int, score: Any = None, seed: int = 0) -> tuple[list[int], np.ndarray]:
    pool = columns(score)
    taken = pool.taken(rule.choose(pool, Budget("rows", budget), Draw(seed)))
    assert taken.max() == 1 and not taken[CLUSTER < 0].any()
    return np.bincount(CLUSTER[CLUSTER >= 0], weights=taken[CLUSTER >= 0]).astype(int).tolist(), taken > 0


def test_allocations() -> None:
    assert by_cluster(Kmq(), 58)[0] == [30, 20, 8]
    assert by_cluster(Kmq(allocation="equal"), 60)[0] == [20, 20, 20]
    assert by_cluster(Kmq(allocation="equal"), 330)[0] == [125, 125, 80], (
        "what a small cluster lacks goes to the others"
    )
    assert by_cluster(Kmq(), 10_000)[0] == [300, 200, 80]


def test_rows_are_drawn_by_quality() -> None:
    score = np.where(np.arange(600) % 2 == 0, 1.0, 3.0)
    score[5] = 0.0  # the lowest, so that shifted qualities are 1 and 3
    even, odd = np.arange(600) % 2 == 0, np.arange(600) % 2 == 1
    drawn = np.array([by_cluster(Kmq(), 30, score, seed)[1] for seed in range(60)])
    ratio = drawn[:, odd].sum() / drawn[:, even].sum()
    assert 2.4 < ratio < 3.3 and not drawn[:, 5].any()
    soft = np.array([by_cluster(Kmq(quality="softmax", scale=2 / np.log(3)), 30, score, seed)[1] for seed in range(60)])
    assert 2.4 < soft[:, odd].sum() / soft[:, even].sum() < 3.4
    plain = np.array([by_cluster(Kmq(quality="none"), 30, score, seed)[1] for seed in range(60)])
    assert 0.85 < plain[:, odd].sum() / plain[:, even].sum() < 1.15


def test_rounds_of_feedback(tmp_path: Path) -> None:
    path, plain = tmp_path / "feedback.parquet", by_cluster(Kmq(allocation="equal"), 60)[0]
    assert plain == [20, 20, 20]
    known = [*range(10), *range(300, 310)]
    gains = [np.log(3.0)] * 10 + [0.0] * 10
    pq.write_table(pa.table({"id": [IDS[i] for i in known], "gain": gains}), path)
    rule = Kmq(allocation="equal", feedback=str(path))
    found, taken = by_cluster(rule, 60)
    assert found == [30, 10, 20], "weights of scored clusters go as 3 to 1, the third keeps its own"
    assert not taken[known].any()
    pq.write_table(
        pa.table({"id": [IDS[i] for i in known], "gain": gains, "round": [4] * 5 + [9] * 5 + [4] * 10}), path
    )
    assert by_cluster(rule, 60)[0] == [30, 10, 20], "a round that scored one cluster alone changes no weight"


def test_weights_after_rounds() -> None:
    weight = np.exp(
        refined(
            np.array([1.0, 1.0, 2.0]),
            np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 1.0]]),
            np.array([[2, 1, 0], [0, 1, 1]]),
            1.0,
        )
    )
    first = 2 * np.e / (np.e + 1)
    second = 2 - first
    assert weight[0] == pytest.approx(first)
    scale = (second + 2) / (second * np.exp(2) + 2)
    assert weight[1:] == pytest.approx([second * np.exp(2) * scale, 2 * scale])


def test_huge_gains_leave_no_budget_unspent(tmp_path: Path) -> None:
    path = tmp_path / "feedback.parquet"
    known = [*range(10), *range(300, 310), *range(500, 510)]
    gains = np.repeat([-1e9, 1e6, 3e9], 10)
    pq.write_table(pa.table({"id": [IDS[i] for i in known], "gain": gains}), path)
    rule = Kmq(feedback=str(path))
    assert by_cluster(rule, 50)[0] == [0, 0, 50]
    assert by_cluster(rule, 100)[0] == [0, 30, 70], "what the best cannot fill goes to the next"
    assert by_cluster(rule, 300)[0] == [40, 190, 70]
    pool = columns()
    notes = rule.choose(pool, Budget("rows", 560), Draw(0)).notes
    assert notes["asked"] == 560 and notes["kept"] == 550, "550 rows are left"


def test_a_round_of_huge_gains_is_undone_by_the_next() -> None:
    gains = np.array([[4000.0, 0.0], [0.0, 4000.0]])
    assert refined(np.ones(2), gains, np.ones((2, 2)), 1.0) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_feedback_of_other_rows_or_of_all(tmp_path: Path) -> None:
    path = tmp_path / "feedback.parquet"
    pq.write_table(pa.table({"id": ["foreign"], "gain": [1.0]}), path)
    with pytest.raises(DataError, match="names no row of the pool"):
        by_cluster(Kmq(feedback=str(path)), 10)
    pq.write_table(pa.table({"id": IDS, "gain": np.ones(600)}), path)
    with pytest.raises(DataError, match="names every row that could be taken"):
        by_cluster(Kmq(feedback=str(path)), 10)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"id": ["a"]}, "no column 'gain'"),
        ({"gain": [1.0]}, "no column 'text'"),
        ({"id": ["a", "a"], "gain": [1.0, 2.0]}, "each once"),
        ({"id": ["a"], "gain": [float("nan")]}, "finite gain"),
        ({"id": pa.array([], pa.string()), "gain": pa.array([], pa.float64())}, "one or more rows"),
        ({"id": ["a"], "gain": ["high"]}, "cannot read"),
    ],
)
def test_feedback_that_cannot_be_used(table: Any, words: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    with pytest.raises(DataError, match=words):
        by_cluster(Kmq(feedback=str(tmp_path / "f.parquet")), 10)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        by_cluster(Kmq(feedback=str(tmp_path / "none.parquet")), 10)
    for settings in ({"allocation": "x"}, {"quality": "x"}, {"scale": 0.0}, {"temperature": np.inf}):
        wrong: dict[str, Any] = settings
        with pytest.raises(UsageError):
            Kmq(**wrong)
    with pytest.raises(DataError, match="no clusters"):
        pool = MemoryColumns(2, cluster=np.full(10, -1), score=np.ones(10))
        Kmq().choose(pool, Budget("rows", 2), Draw(0))
