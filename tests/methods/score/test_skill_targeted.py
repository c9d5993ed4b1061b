"""Skill-targeted selection: weights against a simulation of the published procedure, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch, Budget, Draw
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.fold.tag_counts import TagCounts, split, tagged
from cuvee.methods.score.skill_targeted import SkillTargeted
from tests.conftest import MemoryColumns
from tests.feature.test_embeddings import Memory

POOL = ["algebra", "algebra; fractions", "fractions", "geometry", "", "geometry;algebra", "sets"] * 3
FAILED = ["algebra;fractions", "fractions", "fractions; fractions", "", "logic"]


def rows(labels: list[str] | None, column: str = "label", number: int = 0) -> Batch:
    plain = as_batch([b"text %d" % i for i in range(len(labels) if labels is not None else number)])
    columns: dict[str, Any] = {} if labels is None else {column: pa.array(labels, pa.large_string())}
    return Batch(plain.data, plain.offsets, plain.row, plain.key, columns)


def weights(method: SkillTargeted, pool: list[str], failed: list[str]) -> Any:
    run = Memory(rows(pool), rows(failed))
    return np.exp(method.fit(run).apply(run.pool)["score"])


def test_weights_are_the_expected_counts_of_the_procedure() -> None:
    """For each missed skill of each failed question, five uniform draws among the rows with that skill."""
    chance, drawn, rounds = np.random.default_rng(0), np.zeros(len(POOL)), 4000
    for question in FAILED:
        for skill in split(question, ";"):
            having = [i for i, label in enumerate(POOL) if skill in split(label, ";")]
            if having:
                np.add.at(drawn, chance.choice(having, 5 * rounds), 1)
    assert np.allclose(5 * weights(SkillTargeted(), POOL, FAILED), drawn / rounds, rtol=0.05, atol=1e-3)


def test_total_is_the_profile_whatever_the_pool_holds() -> None:
    found = weights(SkillTargeted(), POOL, FAILED)
    assert found.sum() == pytest.approx(1 + 3)  # algebra once, fractions three times; no row has logic
    assert found[POOL.index("geometry")] == 0 == found[POOL.index("")]
    with_all = weights(SkillTargeted(smoothing=0.5), POOL, FAILED)
    assert with_all.sum() == pytest.approx(4 * 1.5) and with_all.min() > 0
    assert np.allclose(with_all - found, 4 * 0.5 / len(POOL))


def test_rows_are_drawn_in_proportion() -> None:
    run = Memory(rows(POOL * 40), rows(["algebra"] * 3 + ["sets"]))
    method = SkillTargeted()
    fitted = method.fit(run)
    score = fitted.apply(run.pool)["score"]
    picked = []
    for seed in range(60):
        columns = MemoryColumns(3, score=score)
        picked += np.flatnonzero(
            columns.taken(method.chooser(fitted).choose(columns, Budget("rows", 8), Draw(seed)))
        ).tolist()
    skills = [split((POOL * 40)[i], ";") for i in picked]
    assert all("algebra" in one or "sets" in one for one in skills)
    assert 0.15 < np.mean(["sets" in one for one in skills]) < 0.35


def test_notes_tell_what_was_missed_and_what_the_pool_lacks() -> None:
    notes = SkillTargeted().fit(Memory(rows(POOL), rows(FAILED))).notes
    assert notes["missed"] == {"algebra": 1, "fractions": 3, "logic": 1}
    assert (notes["failed"], notes["without_skills"], notes["not_in_the_pool"]) == (5, 1, ["logic"])
    assert "1 of the 3" in notes["warning"]


def test_domains_are_skills_where_there_are_no_labels() -> None:
    run = Memory(rows(["a", "b", "b"], "domain"), rows(["b"], "domain"))
    assert np.exp(SkillTargeted().fit(run).apply(run.pool)["score"]).tolist() == [0, 0.5, 0.5]


def test_other_separators_and_numbers_as_skills() -> None:
    run = Memory(rows(["a|b;c", "b;c"]), rows(["a"]))
    assert np.exp(SkillTargeted(separator="|").fit(run).apply(run.pool)["score"]).tolist() == [1, 0]
    plain = rows(None, number=3)
    numbers = Batch(plain.data, plain.offsets, plain.row, plain.key, {"label": np.array([1, 2, 2])})
    at, sets = tagged(numbers, ";")
    assert [sets[i] for i in at] == [{"1"}, {"2"}, {"2"}]


def test_counts_do_not_depend_on_batches() -> None:
    fold = TagCounts(("algebra", "geometry", "logic"))
    parts = [fold.lift(rows(POOL[:5])), fold.lift(rows(POOL[5:6])), fold.lift(rows(POOL[6:]))]
    whole = fold.finish(fold.lift(rows(POOL)))
    merged = fold.finish(fold.merge(parts[2], fold.merge(parts[0], parts[1])))
    assert whole[0] == merged[0] == 21 and whole[1].tolist() == merged[1].tolist() == [9, 6, 0]


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(UsageError, match="smoothing"):
        SkillTargeted(smoothing=-1).fit(Memory(rows(POOL), rows(FAILED)))
    with pytest.raises(UsageError, match="separator"):
        SkillTargeted(separator="").fit(Memory(rows(POOL), rows(FAILED)))
    with pytest.raises(DataError, match="no skills in the target"):
        SkillTargeted().fit(Memory(rows(POOL), rows(None, number=3)))
    with pytest.raises(DataError, match="No row of the pool"):
        SkillTargeted().fit(Memory(rows(POOL), rows(["logic"])))
