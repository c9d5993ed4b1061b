"""The paper's loop, written out with dense products on a model small enough to hold all gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cuvee.core import Batch
from cuvee.errors import DataError, UsageError
from cuvee.fold.scores import part_of
from tests.laws.test_laws import Straight, batch_of, texts

torch = pytest.importorskip("torch")
from cuvee.gradient import text as text_probes  # noqa: E402
from cuvee.gradient.continuing import continue_text  # noqa: E402
from cuvee.gradient.text import TextProbe, TextSpec  # noqa: E402
from cuvee.gradient.warm_up import train_text, warm_up_texts  # noqa: E402
from cuvee.methods.score.supportive import Rounds, Supportive  # noqa: E402
from cuvee.proof.proxies.transformer import Shape  # noqa: E402

METHOD = Supportive("tiny", tokens=32, epochs=1, warm_up=3000, sample=1000, rounds=3, share=0.4, rate=1.0)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text_probes.SHAPES, "tiny", Shape(16, 1, 2, 24, 1e-2))


class Few(Straight):
    """45 texts, some of them longer than is read and one empty, in any order; the target is of other words."""

    def __init__(self, order: Any = None) -> None:
        found = batch_of([*texts(0, 24, 4), *texts(9, 20, 9), ""])
        self.pool = found if order is None else part_of(found, order)
        self.target = batch_of(texts(9, 5, 4))
        self.rows = len(self.pool)

    def fold(self, fold: Any, over: str = "pool") -> Any:
        return fold.finish(fold.lift(self.pool if over == "pool" else self.target))

    def targets(self) -> Iterator[Batch]:
        yield self.target


def unit(x: Any) -> Any:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_the_highest_scores_are_the_union_of_the_rounds() -> None:
    run = Few()
    spec = TextSpec("tiny", epochs=1)
    begun = train_text(spec, warm_up_texts(run, 3000, False), run.seed, 1).parameters[0]
    probe = TextProbe(spec, begun[None], 32)
    with_text = np.flatnonzero(np.diff(run.pool.offsets))
    rows = unit(np.stack([one[0][0] for one in probe.each(run.pool) if one]).astype(np.float64))
    left, taken, now, cosines = with_text.tolist(), list[list[int]](), begun, list[Any]()
    for _ in range(3):
        task = TextProbe(spec, now[None], 32, total=True)
        wanted = unit(np.sum([one[0][0] for one in task.each(run.target)], axis=0, dtype=np.float64))
        cosines.append(dict(zip(with_text.tolist(), (rows @ wanted).tolist(), strict=True)))
        best = sorted(left, key=lambda row: -cosines[-1][row])[:6]
        taken.append(best)
        left = [row for row in left if row not in best]
        union = np.sort(np.concatenate(taken)).tolist()
        now = continue_text(spec, begun, ordered(run.pool, union), run.seed, 1.0)
    fitted = METHOD.fit(run)
    assert fitted.notes["taken"] == 18 and fitted.notes["turned"][0] == pytest.approx(1.0)
    assert max(fitted.notes["turned"][1:]) < 0.999  # the task's gradient did move
    score = fitted.apply(run.pool)["score"]
    assert np.argsort(-score, kind="stable")[:18].tolist() == np.concatenate(taken).tolist()
    for number, rows_of in enumerate(taken):
        place = [3 - number + (1 + cosines[number][row]) / 2 for row in rows_of]
        assert score[rows_of] == pytest.approx(place, abs=1e-4)
    assert score[left] == pytest.approx([(1 + cosines[2][row]) / 2 for row in left], abs=1e-4)
    assert score[44] == -np.inf


def ordered(batch: Batch, rows: list[int]) -> Batch:
    """Some rows as the keyed sample holds them: cut, and in the order of their draws."""
    from cuvee.fold.bottom_k import BottomK, as_batch

    sample = as_batch(BottomK(1000, "supportive", Few.seed, 40).lift(batch))
    return part_of(sample, np.isin(sample.row, rows))


def test_the_pool_s_order_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(45)
    one = METHOD.fit(Few()).apply(Few().pool)["score"]
    other = METHOD.fit(Few(order)).apply(Few().pool)["score"]
    assert np.array_equal(one, other)


def test_continuing_begins_where_it_is_told() -> None:
    """One pass of so many steps from the parameters given, which stay; a rate of almost nothing changes nothing."""
    run, spec = Few(), TextSpec("tiny", epochs=1)
    begun = train_text(spec, warm_up_texts(run, 3000, False), run.seed, 1).parameters[0]
    kept, shares = begun.copy(), list[float]()
    found = continue_text(spec, begun, run.pool, 1, 1.0, shares.append)
    assert np.array_equal(begun, kept) and shares[-1] == 1.0 and len(shares) > 3
    assert np.array_equal(found, continue_text(spec, begun, run.pool, 1, 1.0))
    assert not np.array_equal(found, continue_text(spec, begun, run.pool, 2, 1.0))
    assert continue_text(spec, begun, run.pool, 1, 1e-9) == pytest.approx(begun, abs=1e-7)
    before, after = (TextProbe(spec, one[None], 400).perplexities(run.pool)[:44].mean() for one in (begun, found))
    assert after < before
    first = np.abs(continue_text(spec, begun, part_of(run.pool, np.array([0])), 1, 0.5) - begun)
    assert 0 < first.max() < 0.02  # a step or two of Adam at half of the peak rate, 0.01


def test_more_rounds_than_rows_are_refused() -> None:
    with pytest.raises(DataError, match="too few rows with text"):
        replace(METHOD, sample=2, rounds=3, share=1.0).fit(Few())
    for wrong in ({"size": "7B"}, {"rounds": 0}, {"share": 0.0}, {"rate": -1.0}):
        with pytest.raises(UsageError, match="supportive: "):
            replace(METHOD, **wrong).fit(Few())


def test_a_row_belongs_to_the_first_round_whose_bound_it_reaches() -> None:
    class Fixed:
        def each(self, batch: Batch) -> Iterator[list[tuple[Any, float]]]:
            for row in ([3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]):
                yield [(np.array(row, np.float32), 0.5)]
            yield []

    fitted = Rounds(Fixed(), np.array([[1, 0], [0, 1]], np.float32), np.array([0.6, 0.9]))  # type: ignore[arg-type]
    found = fitted.apply(batch_of(["a", "b", "c", ""]))["score"]
    assert found[:3].tolist() == [2 + (1 + 0.6) / 2, 1 + 1.0, 0.5]
    assert found[3] == -np.inf
