"""MIG and structurally diverse sampling: the releases' picks, bounds, and tags from labels, words and clusters."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.fold.tag_names import TagNames, packed, tag_matrix
from cuvee.methods.choose.information_gain import InformationGain
from cuvee.methods.choose.structure import Structure
from cuvee.methods.score.mig import Mig, propagation
from cuvee.methods.score.structural_diversity import StructuralDiversity
from tests.conftest import MemoryColumns
from tests.laws.test_laws import POOL, Straight, part_of

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
MIG = json.loads((GOLDEN / "mig" / "greedy.json").read_text())
DIVERSE = json.loads((GOLDEN / "structdiv" / "selection.json").read_text())


def matrix(rows: list[list[int]], most: int = 16) -> np.ndarray:
    flat = [(i, tag) for i, tags in enumerate(rows) for tag in tags]
    pairs = np.array(flat, np.int64).reshape(-1, 2)
    return packed(pairs[:, 0], pairs[:, 1], len(rows), most)


@pytest.mark.parametrize("run", MIG["runs"], ids=lambda run: f"threshold {run['threshold']}, norm {run['norm']}")
def test_mig_picks_of_the_release(run: dict[str, Any]) -> None:
    graph = propagation(np.array(run["similarity"]), run["threshold"], run["prop_weight"])
    assert np.allclose(graph, np.array(run["propagation"]), rtol=0, atol=1e-6)
    rule = InformationGain(graph, run["phi_b"], run["phi_a"], run["norm"], False)
    tags, quality = matrix(MIG["labels"]), np.array(MIG["quality"])
    order = rule.order(tags, quality, np.ones(len(tags), np.int64), len(run["order"]))
    assert order.tolist() == run["order"]


def test_exact_information_is_greedy_and_within_the_bound() -> None:
    chance = np.random.default_rng(3)
    tags = matrix([sorted(chance.choice(6, size=chance.integers(1, 4), replace=False).tolist()) for _ in range(12)])
    quality, cosines = chance.uniform(0.5, 2, 12), np.clip(np.corrcoef(chance.normal(size=(6, 3))), 0, 1)
    graph = propagation(cosines, 0.5, 1.0)
    rule = InformationGain(graph, 0.8, 1e-6, False, True)

    def information(chosen: Any) -> float:
        mass = sum((quality[i] * graph[tags[i][tags[i] >= 0]].sum(axis=0) for i in chosen), np.zeros(6))
        return float(((mass + 1e-6) ** 0.8).sum())

    order = rule.order(tags, quality, np.ones(12, np.int64), 4).tolist()
    for size in range(4):
        left = [i for i in range(12) if i not in order[:size]]
        best = max(information([*order[:size], i]) for i in left)
        assert information(order[: size + 1]) == pytest.approx(best, rel=1e-12)
    optimum = max(information(chosen) for chosen in itertools.combinations(range(12), 4))
    assert information(order) >= (1 - 1 / np.e) * optimum


def compounds_of(case: dict[str, Any]) -> tuple[list[str], np.ndarray]:
    names = sorted({name for found in case["example_compounds"].values() for name in found})
    rows = list(case["example_compounds"])
    return rows, matrix([[names.index(one) for one in case["example_compounds"][row]] for row in rows], 32)


@pytest.mark.parametrize("case", DIVERSE["deterministic"], ids=lambda case: f"{len(case['example_compounds'])} rows")
def test_structures_of_the_release(case: dict[str, Any]) -> None:
    rows, tags = compounds_of(case)
    frequency = np.array([case["template_frequency"][row] for row in rows], float)
    luck = np.random.default_rng(0).uniform(size=(2, len(rows)))
    rule, one = Structure("none", True), np.ones(len(rows), np.int64)
    order = rule.order(tags, np.arange(len(rows)), frequency, (luck[0], luck[1]), one, case["n_select"])
    assert [rows[at] for at in order] == case["selection"]


def test_as_many_compounds_as_the_release_covers() -> None:
    case = DIVERSE["statistical"]
    rows, tags = compounds_of(case)
    names = sorted(set(case["example_template"].values()))
    template = np.array([names.index(case["example_template"][row]) for row in rows])
    covered: dict[str, list[int]] = {k: [] for k in case["mean_compounds_covered"]["diverse"]}
    for seed in range(60):
        chance = np.random.default_rng(seed)
        lucks = (chance.uniform(size=tags.max() + 1), chance.uniform(size=len(rows)))
        order = Structure().order(tags, template, np.zeros(len(names)), lucks, np.ones(len(rows), np.int64), 40)
        for k, found in covered.items():
            taken = tags[order[: int(k)]]
            found.append(len(np.unique(taken[taken >= 0])))
    for k, found in covered.items():
        assert np.mean(found) == pytest.approx(case["mean_compounds_covered"]["diverse"][k], abs=1.0)


def labelled(labels: list[str | None]) -> Any:
    return replace(part_of(POOL, 0, len(labels)), columns={"label": pa.array(labels, pa.large_string())})


def test_names_are_counted_once_a_row_and_in_any_order() -> None:
    batch = labelled(["b; a", "a", None, " ", "c ;a; a", "Ä"])
    fold = TagNames("x", ";")
    names, count = fold.finish(fold.lift(batch))
    assert names == ["a", "b", "c", "Ä"] and count.tolist() == [3, 1, 1, 1]
    halves = [fold.lift(part_of(batch, low, high)) for low, high in ((0, 2), (2, 6))]
    for pair in (halves, halves[::-1]):
        again, same = fold.finish(fold.merge(*pair))
        assert again == names and same.tolist() == count.tolist()
    tags = tag_matrix(batch, ("a", "c"), "x", ";", 4)
    assert tags.tolist() == [[0, -1, -1, -1], [0, -1, -1, -1], [-1] * 4, [-1] * 4, [0, 1, -1, -1], [-1] * 4]
    numbers = replace(batch, columns={"label": np.array([1.5, 2, 2, 2, 2, 2])})
    assert TagNames("x", ";").finish(TagNames("x", ";").lift(numbers))[0] == ["2", "1.5"]
    with pytest.raises(DataError, match="--label"):
        fold.lift(replace(batch, columns={}))


def test_too_many_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvee.fold.tag_names.MOST_NAMES", 2)
    with pytest.raises(DataError, match="coarser column"):
        TagNames("mig", ";").lift(labelled(["a", "b", "c"]))


def test_tags_spread_over_what_there_is() -> None:
    chance = np.random.default_rng(1)
    tags = np.sort(chance.zipf(1.5, size=(3000, 3)) % 40, axis=1).astype(np.int32)
    columns = MemoryColumns(4, ["a", "b"], tags=tags, score=np.ones(3000), domain=chance.integers(0, 2, 3000))
    rules = {
        "mig": InformationGain(np.eye(40), 0.8, 1e-6, True, False),
        "structure": Structure(),
    }
    for rule in rules.values():
        taken = columns.taken(rule.choose(columns, Budget("rows", 60), Draw(0))) > 0
        assert taken.sum() == 60
        assert len(np.unique(tags[taken])) > 1.15 * len(np.unique(tags[chance.permutation(3000)[:60]]))


def test_methods_in_a_pool() -> None:
    words = StructuralDiversity().fit(Straight()).apply(POOL)
    assert words["tags"].dtype == np.int32 and words["tags"].shape == (len(POOL), 32)
    assert np.array_equal(np.maximum(words["score"], 0), (words["tags"] >= 0).sum(axis=1))
    clusters = Mig(tags="clusters", k=5, nearest=2).fit(Straight())
    found = clusters.apply(POOL)["tags"]
    assert ((found >= 0).sum(axis=1) == 2).all() and found.max() == 4 and clusters.graph.shape == (5, 5)
    assert Mig().fit(Straight()).apply(POOL)["tags"][:, 0].max() == 4
    assert Mig(tags="clusters").needs() == ("embedding",) and StructuralDiversity(compounds="label").needs() == (
        "label",
    )


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Mig, {"power": 1.5}),
        (Mig, {"nearest": 17}),
        (Mig, {"gain": "x"}),
        (Mig, {"threshold": float("nan")}),
        (StructuralDiversity, {"compounds": "x"}),
        (StructuralDiversity, {"n": 0}),
    ],
)
def test_refusals(kind: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        kind(**settings)


def test_equal_gains_go_by_draw_and_not_by_place() -> None:
    columns = MemoryColumns(3, tags=np.zeros((400, 1), np.int32), score=np.ones(400), key=np.arange(400) * 977 + 5)
    rule = InformationGain(np.eye(1), 0.8, 1e-6, True, False)
    taken = [np.flatnonzero(columns.taken(rule.choose(columns, Budget("rows", 40), Draw(seed)))) for seed in (0, 1)]
    assert all(np.histogram(rows, 4, (0, 400))[0].min() >= 3 for rows in taken)
    assert not np.array_equal(*taken)
