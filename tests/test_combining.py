"""Several methods as one score: ranks, conjunctions, learned weights, and what users see of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import quantities
from cuvee.combine_rules import ByRank, Filter, Min, Passing, Rank, ranks_of
from cuvee.combining import Combined
from cuvee.errors import UsageError
from cuvee.fold.linear_kernels import mean_ranks
from cuvee.fold.scores import ScoreSample
from cuvee.methods.score.clusters import Clusters
from cuvee.methods.score.dsir import Dsir
from cuvee.methods.score.embedding import Embedding
from cuvee.methods.score.rds_plus import RdsPlus
from cuvee.report.terminal import safe
from tests.laws.test_laws import POOL, Straight, part_of
from tests.test_embedding_methods import many_chunks, pools

__all__ = ["many_chunks", "pools"]
SCORES = np.random.default_rng(0).normal(size=(500, 3)).round(1)


def test_ranks_are_mean_ranks_and_go_on_beyond_the_sample() -> None:
    ranks = ranks_of(SCORES[:, 0], "one")
    assert np.allclose(ranks.of(SCORES[:, 0]), (mean_ranks(SCORES[:, 0]) - 0.5) / 500, rtol=0, atol=1e-12)
    x = np.array([-np.inf, -1e300, -50.0, -4.05, 0.0, 0.04, 0.05, 50.0, 51.0, 1e300, np.inf])
    found = ranks.of(x)
    assert found[0] == -np.inf and (np.diff(found) >= 0).all() and found[1:].min() >= 0 and found.max() == 1.0
    assert found[-3] > found[-4] > ranks.rank[-1]
    assert ranks.of(np.array([np.nan]))[0] == -np.inf
    assert ranks_of(np.array([3.0, 3.0]), "constant").of(np.array([2.0, 3.0, 4.0])).tolist() == pytest.approx(
        [0, 0.5, 1]
    )


def test_rules_in_closed_form() -> None:
    every = np.column_stack([(mean_ranks(SCORES[:, j]) - 0.5) / 500 for j in range(3)])
    run: Any = Straight()
    weighted = Rank((2.0, 1.0, 0.0)).fit(run, "abc", SCORES)
    assert np.allclose(weighted.of(SCORES), (2 * every[:, 0] + every[:, 1]) / 3)
    assert np.allclose(Min().fit(run, "abc", SCORES).of(SCORES), every.min(axis=1))
    passing = Filter(above=(0.0, 1.0)).fit(run, "abc", SCORES)
    expected = np.where((SCORES[:, 1] >= 0) & (SCORES[:, 2] >= 1), SCORES[:, 0], -np.inf)
    assert np.array_equal(passing.of(SCORES), expected)
    top = Filter(top=(0.2, 1.0)).fit(run, "abc", SCORES)
    assert isinstance(top, Passing)
    kept = np.isfinite(top.of(SCORES)).sum()
    assert 100 <= kept == np.count_nonzero(SCORES[:, 1] >= np.sort(SCORES[:, 1])[-100])
    out = SCORES.copy()
    out[7, 1] = -np.inf
    for rule in (weighted, Min().fit(run, "abc", SCORES)):
        assert isinstance(rule, ByRank) and rule.of(out)[7] == -np.inf and np.isfinite(np.delete(rule.of(out), 7)).all()
    assert top.of(out)[7] == -np.inf


def test_the_sample_does_not_depend_on_the_cut() -> None:
    maps = (Dsir(min_length=0).fit(Straight()), Embedding().fit(Straight()))
    fold = ScoreSample(maps, 20)
    whole = fold.lift(POOL)
    assert whole["score"].shape == (20, 2)
    state = fold.empty()
    for low, high in ((0, 5), (5, 6), (6, 70), (70, 90)):
        state = fold.update(state, part_of(POOL, low, high))
    merged = fold.merge(fold.lift(part_of(POOL, 50, 90)), fold.lift(part_of(POOL, 0, 50)))
    for other in (state, merged):
        assert all(np.array_equal(other[name], whole[name]) for name in whole)
    at = np.searchsorted(POOL.row, whole["row"])
    assert np.array_equal(whole["score"][:, 0], maps[0].apply(POOL)["score"][at])


def test_rows_that_do_not_pass_cannot_be_chosen_by_any_column() -> None:
    parts = (Clusters(k=4), Embedding(), RdsPlus(rule="max"))
    method = Combined(parts, ("clusters", "embedding", "rds_plus"), "filter", Filter(top=(1.0, 0.3)))
    fitted = method.fit(Straight())
    block = fitted.apply(POOL)
    out = block["score"] == -np.inf
    assert 20 <= np.count_nonzero(~out) <= 35
    assert (block["cluster"][out] == -1).all() and not block["embedding"][out].any()
    assert (block["cluster"][~out] >= 0).all() and block["embedding"][~out].any(axis=1).all()
    assert np.array_equal(block["score"][~out], parts[0].fit(Straight()).apply(POOL)["score"][~out])
    assert type(method.chooser(fitted)).__name__ == "ClusterClip"
    assert set(method.card.gives) == {"score", "cluster", "embedding"} and "target" in method.needs()


def test_typing_several_methods() -> None:
    found = quantities.method_calls("dsir:ngrams=3,buckets=50,classifier,zipfit:mode=pooled")
    expected = [("dsir", {"ngrams": "3", "buckets": "50"}), ("classifier", {}), ("zipfit", {"mode": "pooled"})]
    assert found == expected
    assert quantities.method_calls("preselect:losses=C:/a.parquet,epochs=2") == [
        ("preselect", {"losses": "C:/a.parquet", "epochs": "2"})
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": ["dsir", "classifier"]}, "say how to combine"),
    ({"method": ["dsir", "classifier"], "combine": "sum"}, "is one of rank, min, filter, learned"),
    ({"method": "dsir", "combine": "rank"}, "two or more methods"),
    ({"method": ["dsir", "random"], "combine": "rank"}, "'random' chooses by itself"),
    ({"method": ["dsir", "classifer"], "combine": "rank"}, "Did you mean classifier"),
    ({"method": ["dsir", "classifier"], "combine": "rank", "combine_settings": {"weights": "1"}}, "2 weights"),
    ({"method": ["dsir", "classifier"], "combine": "rank", "combine_settings": {"wights": "1"}}, "no parameter"),
    ({"method": ["dsir", "classifier"], "combine": "filter"}, "a bound for each method after the first, 1 here"),
    ({"method": ["dsir", "classifier"], "combine": "filter", "combine_settings": {"top": "2"}}, "above 0 and at most"),
    (
        {"method": ["dsir", "classifier"], "combine": "learned", "combine_settings": {"steps": "0"}},
        "^--combine learned: steps is at least 1",
    ),
    ({"method": ["dsir", "classifier"], "combine": "learned", "combine_settings": {"rate": "0"}}, "^--combine learned"),
    ({"method": ["dsir", "classifier"], "combine": "rank", "settings": [{}]}, "a list of dicts, one for each"),
    ({"method": ["dsir", 3], "combine": "rank"}, "a list of names"),
    ({"method": ["dsir", "classifier"], "combine": "rank", "choose": "kmq"}, "chooses by cluster"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_refusals_before_anything_is_read(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        cuvee.select("nowhere", target="nowhere", rows=1, output=tmp_path / "x", **given)
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("many_chunks")
@pytest.mark.parametrize(
    ("combine", "settings"), [("rank", {}), ("min", {}), ("filter", {"top": (0.5,)}), ("learned", {"steps": 20})]
)
def test_one_digest(
    pools: tuple[Path, Path],
    target: Path,
    tmp_path: Path,
    combine: str,
    settings: dict[str, Any],
) -> None:
    found = [
        cuvee.select(
            pool,
            target=target,
            method=["dsir", "rds_plus"],
            settings=[{"min_length": 20}, {"rule": "max"}],
            combine=combine,
            combine_settings=settings,
            tokens=20_000,
            output=tmp_path / str(workers),
            cache=tmp_path / f"cache{workers}",
            workers=workers,
        )
        for pool, workers in zip(pools, (1, 3), strict=True)
    ]
    assert found[0].digest == found[1].digest
    method = json.loads((found[0].folder / "plan.json").read_text())["method"]
    assert method["name"] == "dsir+rds_plus" and method["parameters"]["combine"] == combine
    assert -1 <= method["notes"]["rank_correlation"]["dsir rds_plus"] <= 1
    citations = found[0].summary["reproduce"]["citations"]
    assert ("FLYT" in str(citations) or "Filter Like You Test" in str(citations)) == (combine == "learned")
    reasons = pq.read_table(found[0].folder / "selection.parquet")["reason"].to_pylist()
    assert all(safe(reason, 200).startswith("dsir+rds_plus score") for reason in reasons)
