"""MATES: the one-step oracle against a step of the whole table, the regression, and the picks of the release's data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Batch, Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.feature.content import content_hash
from cuvee.feature.regression import beside, learn, ridge
from cuvee.feature.step_influence import _contexts, counts, train
from cuvee.fold.linear_kernels import rank_correlation
from cuvee.methods.choose.gumbel import Gumbel
from cuvee.methods.score.mates import Mates
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory, with_vectors

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "mates" / "gumbel_select.json"
SEA = "the whale and the sea captain sailed where the sea was wide and the wind was high"
CODE = "def select(rows): return [row for row in rows if row.index is not None and row.key]"


def rows(texts: list[str]) -> Batch:
    plain = as_batch([text.encode() for text in texts])
    return Batch(plain.data, plain.offsets, plain.row, content_hash(plain.data, plain.offsets))


def mixed(seed: int, number: int, share: float) -> list[str]:
    """Texts of twelve words, a share of them about the sea; the words of both kinds in random order."""
    chance = np.random.default_rng(seed)
    kinds = [SEA.split(), CODE.split()]
    return [" ".join(chance.choice(kinds[int(chance.random() >= share)], 12)) for _ in range(number)]


def whole_step(batch: Batch, row: int, reference: Any, rate: float) -> float:
    """The fall of the reference's loss by a step on one row, with all logits computed anew."""
    table = train(rows(mixed(1, 40, 0.5)), 3, 9)
    one = counts(rows([batch.text(row)]), 3, 9)
    gradient = one.sum(axis=1, keepdims=True) * np.exp(table.logits) - one
    moved = table.logits - rate * gradient / one.sum()
    after = moved - np.log(np.exp(moved).sum(axis=1, keepdims=True))
    return table.loss(reference) + float((reference * after).sum() / reference.sum())


@pytest.mark.parametrize("rate", [0.5, 30.0])
def test_influence_is_that_of_a_step_of_the_whole_table(rate: float) -> None:
    probes, table = rows(mixed(2, 8, 0.5)), train(rows(mixed(1, 40, 0.5)), 3, 9)
    reference = counts(rows(mixed(3, 9, 1.0)), 3, 9)
    found = table.influence(probes, np.stack([reference, 2 * reference]), rate)
    expected = [whole_step(probes, row, reference, rate) for row in range(len(probes))]
    assert np.allclose(found[:, 0], expected, rtol=1e-9, atol=1e-12)
    assert np.allclose(found[:, 1], found[:, 0])


def test_small_steps_are_the_product_of_gradients() -> None:
    probes, table = rows(mixed(2, 6, 0.5)), train(rows(mixed(1, 40, 0.5)), 3, 9)
    reference = counts(rows(mixed(3, 9, 1.0)), 3, 9)

    def gradient(count: Any) -> Any:
        return (count.sum(axis=1, keepdims=True) * np.exp(table.logits) - count) / count.sum()

    products = [float((gradient(reference) * gradient(counts(rows([probes.text(i)]), 3, 9))).sum()) for i in range(6)]
    assert np.allclose(table.influence(probes, reference[None], 1e-5)[:, 0] / 1e-5, products, rtol=1e-3)


def test_the_table_is_a_distribution_and_learns() -> None:
    texts = rows(mixed(1, 40, 1.0))
    table = train(texts, 3, 9)
    assert np.allclose(np.exp(table.logits).sum(axis=1), 1.0)
    assert table.loss(counts(texts, 3, 9)) < 2.5 < np.log(256)
    assert table.loss(counts(texts, 3, 9)) < table.loss(counts(rows(mixed(1, 40, 0.0)), 3, 9))


def test_contexts_are_the_bytes_before() -> None:
    a, b = (np.frombuffer(text, np.uint8) for text in (b"xxab?", b"yab!ab"))
    first, second = _contexts(a, 3, 12), _contexts(b, 3, 12)
    assert first[4] == second[3] and first[3] != second[3]
    assert len({*first.tolist(), *second.tolist()}) > 6


def test_ridge_solves_its_normal_equations() -> None:
    chance = np.random.default_rng(0)
    x, y = chance.normal(size=(30, 4)), chance.normal(size=30)
    weight = ridge(x, y, (0.3,))[0]
    centred = x - x.mean(axis=0)
    residual = y - x @ weight[:-1] - weight[-1]
    assert np.allclose(centred.T @ residual, 30 * 0.3 * weight[:-1])
    assert residual.sum() == pytest.approx(0, abs=1e-9)
    assert np.allclose(ridge(x, x @ np.ones(4) + 5, (1e-12,))[0], [1, 1, 1, 1, 5])


def test_learning_reports_what_the_held_out_rows_say() -> None:
    chance = np.random.default_rng(1)
    x, length = chance.normal(size=(400, 5)), chance.integers(1, 100, 400)
    held = np.arange(400) < 80
    _, told = learn(x, 3 * x[:, 0] - x[:, 1] + 7, length, held)
    assert told["held_out_correlation"] > 0.99 and told["penalty"] <= 1e-2
    _, told = learn(x, chance.permutation(x[:, 0]), length, held)
    assert abs(told["held_out_correlation"]) < 0.35
    follows = np.log(length) + 0.01 * x[:, 0]
    assert beside(follows, np.log(length), length.astype(float)) == pytest.approx(0, abs=0.2)


def test_picks_are_those_of_true_gumbel_top_k() -> None:
    """With the release's predictions and noise: what its code keeps is another set."""
    case = json.loads(GOLDEN.read_text())

    class Given(Draw):
        def gumbel(self, purpose: str, key: Any) -> Any:
            return np.array(case["gumbel"])[key.astype(np.int64)]

    columns = MemoryColumns(3, score=-np.array(case["predicted_reference_loss"]))
    rule = Mates(temperature=case["temperature"]).chooser(None)  # type: ignore[arg-type]
    assert rule == Gumbel(case["temperature"])
    kept = np.flatnonzero(columns.taken(rule.choose(columns, Budget("rows", case["k"]), Given(0))))
    assert set(kept.tolist()) == set(case["gumbel_topk_selection"]) != set(case["released_selection"])


def test_rows_like_the_target_are_predicted_to_help() -> None:
    texts = mixed(4, 300, 0.3)
    run = Memory(rows(texts), rows(mixed(5, 30, 1.0)))
    fitted = Mates(probes=100, warmup=100).fit(run)
    like = np.array([set(text.split()) <= set(SEA.split()) for text in texts])
    score = fitted.apply(run.pool)["score"]
    assert np.mean(score[like][:, None] > score[~like][None]) > 0.97
    assert fitted.notes["held_out_correlation"] > 0.5 and fitted.notes["correlation_of_references"] > 0.9
    assert fitted.notes["probes"] == 100


def test_influences_of_another_model_are_learned(tmp_path: Path) -> None:
    """From a file, by text: here the opposite of the tiny model's taste; no target is needed."""
    texts = sorted(set(mixed(4, 300, 0.3)))
    like = np.array([set(text.split()) <= set(SEA.split()) for text in texts])
    path = str(tmp_path / "influences.parquet")
    chosen = np.arange(len(texts)) % 2 == 0
    table = {"text": [text for text, one in zip(texts, chosen, strict=True) if one], "influence": -1.0 * like[chosen]}
    pq.write_table(pa.table(table), path)
    method, run = Mates(influences=path), Memory(rows(texts), rows([]))
    assert method.needs() == ("text",)
    score = method.fit(run).apply(run.pool)["score"]
    assert np.mean(score[like][:, None] < score[~like][None]) > 0.97


def test_given_embeddings_are_used() -> None:
    chance = np.random.default_rng(3)
    texts = mixed(4, 120, 0.5)
    like = np.array([set(text.split()) <= set(SEA.split()) for text in texts])
    vectors = chance.normal(size=(120, 6)).astype(np.float32)
    vectors[:, 0] += np.where(like, 4, -4)
    plain, columns = rows(texts), with_vectors(vectors).columns
    pool = Batch(plain.data, plain.offsets, plain.row, plain.key, columns)
    fitted = Mates(probes=60).fit(Memory(pool, rows(mixed(5, 30, 1.0))))
    assert len(fitted.weight) == 7 and fitted.weight[0] > 5 * np.abs(fitted.weight[1:-1]).max()


@pytest.mark.parametrize("what", ["probes", "warmup", "rate", "temperature"])
def test_senseless_parameters_are_refused(what: str) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Mates(**{what: 0}).fit(Memory(rows(mixed(1, 50, 0.5)), rows([SEA])))


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    pool, path = rows(mixed(1, 50, 0.5)), tmp_path / "influences.parquet"
    with pytest.raises(DataError, match="target is empty"):
        Mates().fit(Memory(pool, rows([])))
    with pytest.raises(DataError, match="needs 20"):
        Mates(probes=5).fit(Memory(pool, rows([SEA])))
    pq.write_table(pa.table({"text": [SEA, CODE], "influence": [1.0, float("nan")]}), path)
    with pytest.raises(DataError, match="row 2: influence is missing"):
        Mates(influences=str(path)).fit(Memory(pool, rows([])))
    pq.write_table(pa.table({"text": [SEA, SEA], "influence": [1.0, 2.0]}), path)
    with pytest.raises(DataError, match="names a document twice"):
        Mates(influences=str(path)).fit(Memory(pool, rows([])))
    pq.write_table(pa.table({"id": ["a"], "loss": [1.0]}), path)
    with pytest.raises(DataError, match="no column 'influence'"):
        Mates(influences=str(path)).fit(Memory(pool, rows([])))


def test_correlation_of_ranks_is_not_fooled_by_length() -> None:
    length = np.arange(50.0)
    assert rank_correlation(length, length**3) == pytest.approx(1)
    assert beside(length, length**3, length) == pytest.approx(0, abs=1e-6)
