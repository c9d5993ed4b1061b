"""DataMan: the release's picks by budget and domain, and ratings distilled into predictions."""

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
from cuvee.feature.content import content_hash
from cuvee.fold.keyed_vectors import Present
from cuvee.methods.choose.quota import Quota
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.dataman import DataMan
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory
from tests.methods.score.test_mates import CODE, SEA, mixed, rows

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "dataman" / "budget.json"


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("strategy", ["uniform", "org_domain", "equi_domain"])
def test_picks_are_the_release_s_but_for_the_row_that_overshoots(case: dict[str, Any], strategy: str) -> None:
    """The release takes the document that reaches a budget (a domain's share of it); here it is the first left out."""
    quality, tokens, domain = (np.array(case[name]) for name in ("quality", "num_tokens", "domain"))
    columns = MemoryColumns(3, ["0", "1", "2", "3"], score=quality, tokens=tokens, domain=domain.astype(np.int32))
    shares = {"uniform": None, "org_domain": "proportional", "equi_domain": "uniform"}[strategy]
    rule = TopK() if shares is None else Quota(TopK(), shares)
    kept = columns.taken(rule.choose(columns, Budget("tokens", case["token_budget"]), Draw(0))) > 0
    theirs = np.isin(np.arange(len(quality)), next(r["indices"] for r in case["runs"] if r["strategy"] == strategy))
    assert not (kept & ~theirs).any()
    groups = [np.ones(len(quality), bool)] if shares is None else [domain == one for one in range(4)]
    for group in groups:
        lowest = min(np.flatnonzero(theirs & group), key=lambda row: quality[row])
        assert set(np.flatnonzero(theirs & ~kept & group)) <= {lowest}
    assert tokens[kept].sum() <= case["token_budget"]


def write(tmp_path: Path, **columns: Any) -> str:
    path = tmp_path / "ratings.parquet"
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_ratings_are_the_scores_of_their_rows(tmp_path: Path) -> None:
    pool = rows(["one", "two", "three", "four"])
    path = write(tmp_path, key=pool.key[[2, 0]], overall_score=np.array([5, 2], np.int8), accuracy=[1.0, 3.0])
    fitted = DataMan(path, others="drop").fit(Memory(pool))
    assert fitted.apply(pool)["score"].tolist() == [2, -np.inf, 5, -np.inf]
    assert fitted.notes == {"ratings": 2, "mean_rating": 3.5, "rated_rows": 2}
    assert DataMan(path, "accuracy", "drop").fit(Memory(pool)).apply(pool)["score"].tolist()[::2] == [3, 1]


def test_other_rows_are_predicted(tmp_path: Path) -> None:
    texts = sorted(set(mixed(4, 300, 0.5)))
    sea = np.array([set(text.split()) <= set(SEA.split()) for text in texts])
    rated = np.arange(len(texts)) % 3 == 0
    pool = rows(texts)
    path = write(
        tmp_path, text=[t for t, one in zip(texts, rated, strict=True) if one], overall_score=4.0 * sea[rated] + 1
    )
    fitted = DataMan(path).fit(Memory(pool))
    score = fitted.apply(pool)["score"]
    assert np.array_equal(score[rated], 4.0 * sea[rated] + 1)
    assert score[~rated & sea].mean() > 4 > 2 > score[~rated & ~sea].mean()
    assert score.min() >= 1 and score.max() <= 5
    assert fitted.notes["held_out_correlation"] > 0.6 and fitted.notes["rated_rows"] == rated.sum()
    nothing = rows(["...", ""])
    assert np.isneginf(fitted.apply(Batch(nothing.data, nothing.offsets, nothing.row, nothing.key))["score"][1])


def test_what_has_no_ratings_is_refused(tmp_path: Path) -> None:
    pool = rows(mixed(1, 60, 0.5))
    with pytest.raises(UsageError, match="cuvee rate"):
        DataMan().fit(Memory(pool))
    with pytest.raises(DataError, match="cannot read"):
        DataMan(str(tmp_path / "none.parquet")).fit(Memory(pool))
    foreign = write(tmp_path, id=["a", "b"], overall_score=[1, 2])
    with pytest.raises(DataError, match="No row of the pool is rated"):
        DataMan(foreign, others="drop").fit(Memory(pool))
    with pytest.raises(DataError, match="No row of the pool is rated"):
        DataMan(foreign).fit(Memory(pool))
    few = write(tmp_path, key=pool.key[:3], overall_score=[1, 2, 3])
    with pytest.raises(DataError, match="needs 20"):
        DataMan(few).fit(Memory(pool))
    alike = write(tmp_path, key=pool.key[:30], overall_score=np.full(30, 4))
    with pytest.raises(DataError, match="rated alike"):
        DataMan(alike).fit(Memory(pool))
    with pytest.raises(DataError, match="no column 'professionalism'"):
        DataMan(alike, "professionalism").fit(Memory(pool))


def test_where_every_row_is_rated_nothing_is_predicted(tmp_path: Path) -> None:
    pool = rows([SEA, CODE, "x"])
    fitted = DataMan(write(tmp_path, key=pool.key, overall_score=[4, 4, 4])).fit(Memory(pool))
    assert fitted.apply(pool)["score"].tolist() == [4, 4, 4] and fitted.notes["rated_rows"] == 3


def test_the_row_of_a_bad_rating_is_counted_from_one(tmp_path: Path) -> None:
    pool = rows([SEA, CODE])
    with pytest.raises(DataError, match="row 2: overall_score"):
        DataMan(write(tmp_path, key=pool.key, overall_score=[4.0, float("nan")])).fit(Memory(pool))


def test_rows_present_are_counted() -> None:
    pool = rows([SEA, CODE, "x"])
    assert content_hash(pool.data, pool.offsets).tolist() == pool.key.tolist()
    fold = Present(np.sort(pool.key[:2]))
    assert fold.finish(fold.merge(fold.lift(pool), fold.lift(rows([SEA, "y"])))) == 3
