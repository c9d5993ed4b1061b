"""PreSelect: the released counts, the choice of classes, refusals, and both ways to name documents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Batch, Fold
from cuvee.errors import DataError, UsageError
from cuvee.feature.content import content_hash, string_hash
from cuvee.fold.linear_kernels import auc
from cuvee.methods.score.preselect import PreSelect, classes, concordant_pairs, strength

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "preselect" / "predictive_strength.json"
CASE = json.loads(GOLDEN.read_text(encoding="utf-8"))
LOSSES, ABILITY = np.array(CASE["losses"]), np.array(CASE["ability"])


def test_the_released_counts():
    assert concordant_pairs(LOSSES, ABILITY).tolist() == CASE["concordant_pairs"]
    np.testing.assert_allclose(strength(LOSSES, ABILITY), CASE["strength"], rtol=0, atol=1e-12)


def test_ties_in_loss_or_ability_count_as_wrong():
    losses = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 2.0], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
    assert strength(losses, np.array([1.0, 2.0, 3.0])).tolist() == [1.0, 2 / 3, 0.0, 0.0]
    assert strength(losses, np.array([1.0, 2.0, 2.0])).tolist() == [2 / 3, 2 / 3, 0.0, 0.0]


def test_the_order_of_models_does_not_matter():
    order = np.random.default_rng(0).permutation(len(ABILITY))
    assert np.array_equal(strength(LOSSES[:, order], ABILITY[order]), strength(LOSSES, ABILITY))


def test_negatives_are_the_lowest_then_by_key():
    value = np.array([1.0, 0.2, 0.0, 1.0, 0.2, 0.2, 1.0])
    key = np.array([9, 8, 7, 6, 5, 4, 3], np.uint64)
    positive, negative = classes(value, key, 0, 100)
    assert sorted(positive) == [0, 3, 6]
    assert negative.tolist() == [2, 5, 4]
    positive, negative = classes(value, key, 0, 2)
    assert len(positive) == 2 and set(positive) < {0, 3, 6}
    assert negative.tolist() == [2, 5]
    assert len({tuple(sorted(classes(value, key, seed, 2)[0])) for seed in range(20)}) == 3  # a sample by seed
    assert classes(np.array([1.0, 1.0, 0.5]), key[:3], 0, 9)[1].tolist() == [2]


def make(rows: list[str], ids: list[str] | None = None, first: int = 0) -> Batch:
    raw = [text.encode() for text in rows]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    data = np.frombuffer(b"".join(raw), np.uint8)
    key = content_hash(data, offsets) if ids is None else string_hash(pa.array(ids, pa.string()))
    return Batch(data, offsets, np.arange(first, first + len(rows)), key)


class Run:
    """What the engine offers, over lists with ids."""

    def __init__(self, pool: list[str], ids: list[str], seed: int = 0, size: int = 40) -> None:
        self.seed, self.pool, self.ids, self.size = seed, pool, ids, size

    def fold(self, fold: Fold, over: str = "pool") -> object:
        assert over == "pool"
        state = fold.empty()
        for i in range(0, len(self.pool), self.size):
            cut = slice(i, i + self.size)
            state = fold.update(state, make(self.pool[cut], self.ids[cut], i))
        return fold.finish(state)


def vocabulary(seed: int, words: range, rows: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(f"w{w}" for w in random.choice(words, random.integers(20, 60))) for _ in range(rows)]


GOOD, BAD = vocabulary(1, range(60), 80), vocabulary(2, range(40, 100), 120)
POOL = GOOD + BAD
IDS = [f"doc {i}" for i in range(200)]
MODELS = {"small-0.1b": 1.0, "middle": 2.0, "large": 3.0}


def write_losses(folder: Path, batch: Batch) -> str:
    """Losses for every text of a batch, half of them falling with ability, and the abilities; the losses' path."""
    losses = np.sort(np.random.default_rng(0).normal(3, 1, (len(batch), 3)), axis=1)
    losses[::2] = losses[::2, ::-1]
    columns = {name: losses[:, j] for j, name in enumerate(MODELS)}
    path = folder / "losses.parquet"
    pq.write_table(pa.table({"text": [batch.text(i) for i in range(len(batch))], **columns}), path)
    path.with_suffix(".json").write_text(json.dumps(MODELS))
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Losses that fall with ability on the good documents alone; abilities."""
    random = np.random.default_rng(0)
    losses = np.sort(random.normal(3, 1, (200, 3)), axis=1)
    losses[:80] = losses[:80, ::-1]
    table = {"id": IDS, "text": POOL, **{name: losses[:, j] for j, name in enumerate(MODELS)}}
    abilities = tmp_path / "abilities.json"
    abilities.write_text(json.dumps(MODELS))

    def write(drop: str | None = None, rows: slice = slice(None), **changed: object) -> PreSelect:
        table_now = pa.table({k: v for k, v in {**table, **changed}.items() if k != drop})
        keep = np.arange(table_now.num_rows)[rows]
        pq.write_table(table_now.take(pa.array(keep)), tmp_path / "losses.parquet")
        return PreSelect(str(tmp_path / "losses.parquet"), str(abilities), buckets=1 << 12)

    return write


def test_texts_in_the_file_and_ids_into_the_pool_give_the_same_kind_of_classifier(files):
    fresh = make(vocabulary(3, range(60), 40)), make(vocabulary(4, range(40, 100), 40))
    by_text, by_id = files(drop="id").fit(Run([], [])), files(drop="text").fit(Run(POOL, IDS))
    for model in (by_text, by_id):
        like, unlike = (model.apply(batch)["score"] for batch in fresh)
        assert auc(like, unlike)[0] > 0.98
        assert model.notes["positives"] == model.notes["negatives"] == model.notes["strength_1"] == 80
        assert model.notes["highest_negative_strength"] == 0.0
        assert model.notes["documents"] == 200
        assert model.notes["auc_low"] > 0.9


def test_losses_without_relation_to_ability_give_nothing(files):
    """The control: over ten sets of noise the classifier prefers neither kind of text, and its notes say so."""
    fresh = vocabulary(3, range(60), 60) + vocabulary(4, range(40, 100), 60)
    found, noted = [], []
    for seed in range(10):
        random = np.random.default_rng(seed)
        model = files(drop="id", **{name: random.normal(size=200) for name in MODELS}).fit(Run([], []))
        score = model.apply(make(fresh))["score"]
        found.append(auc(score[:60], score[60:])[0])
        noted.append(model.notes["auc"])
    assert min(found) < 0.4 and max(found) > 0.6
    assert 0.4 < np.mean(noted) < 0.6


def test_same_bits_for_any_batches_and_file_order(files):
    one = files(drop="text").fit(Run(POOL, IDS))
    other = files(drop="text", rows=slice(None, None, -1)).fit(Run(POOL, IDS, size=7))
    assert np.array_equal(one.weight, other.weight) and one.bias == other.bias and one.notes == other.notes
    seeded = files(drop="text").fit(Run(POOL, IDS, seed=1))
    assert not np.array_equal(one.weight, seeded.weight)


def test_abilities_stand_beside_the_losses_by_default(tmp_path):
    model = PreSelect(write_losses(tmp_path, make(POOL))).fit(Run([], []))
    assert model.notes["positives"] == model.notes["negatives"] == 100
    (tmp_path / "other.json").write_text(json.dumps({name: -x for name, x in MODELS.items()}))
    turned = PreSelect(str(tmp_path / "losses.parquet"), str(tmp_path / "other.json")).fit(Run([], []))
    score = [m.apply(make(POOL))["score"] for m in (model, turned)]
    assert auc(score[0][::2], score[0][1::2])[0] > 0.9 > 0.1 > auc(score[1][::2], score[1][1::2])[0]


def test_integer_ids_match_as_text(files):
    numbers = files(drop="text", id=np.arange(200)).fit(Run(POOL, [str(i) for i in range(200)]))
    assert np.array_equal(
        numbers.weight,
        files(drop="text", id=[str(i) for i in range(200)]).fit(Run(POOL, [str(i) for i in range(200)])).weight,
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"drop": "middle"}, "no column 'middle'"),
        ({"middle": np.where(np.arange(200) == 17, np.nan, 1.0)}, "row 18: the loss of middle"),
        ({"middle": pa.array([None, *[1.0] * 199])}, "row 1: the loss of middle"),
        ({"middle": ["high"] * 200}, "cannot read the losses"),
        ({"drop": "text", "id": ["twice", *IDS[:198], "twice"]}, "a document twice"),
        ({"drop": "text", "id": [None, *IDS[:199]]}, "1 rows have no id"),
        ({"middle": np.full(200, 1.0), "large": np.full(200, 1.0)}, "documents of strength 1"),
        ({"rows": slice(0, 80)}, "documents of strength 1"),
        ({"rows": slice(0, 0)}, "documents of strength 1"),
        ({"drop": "text", "id": [f"other {i}" for i in range(200)]}, "found 0 of 160"),
    ],
)
def test_bad_losses_are_refused_by_name(files, changed, message):
    with pytest.raises(DataError, match=message):
        files(**changed).fit(Run(POOL, IDS))


@pytest.mark.parametrize(
    "text", ["[1, 2]", "{", '{"a": 1}', '{"a": 1, "b": NaN}', '{"a": 1, "b": true}', '{"a": 1, "b": "x"}']
)
def test_bad_abilities_are_refused(files, tmp_path, text):
    method = files()
    (tmp_path / "abilities.json").write_text(text)
    with pytest.raises(DataError, match="abilities"):
        method.fit(Run(POOL, IDS))


def test_missing_settings_and_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="losses=FILE"):
        PreSelect().fit(Run(POOL, IDS))
    with pytest.raises(DataError, match="cannot read the abilities"):
        PreSelect(str(tmp_path / "none"), str(tmp_path / "none")).fit(Run(POOL, IDS))
