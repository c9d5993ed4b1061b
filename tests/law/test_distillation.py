"""The distillation law: planted numbers, limits in closed form, what is refused, and comparisons at equal compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cuvee
from bench.asking import ALONE, TAUGHT, students
from cuvee.core import Runs, Settings
from cuvee.errors import DataError, UsageError
from cuvee.law.distillation import Distillation, Student
from cuvee.law.distilled import bulk, compared, distilled, said, supervised, unidentified
from cuvee.law.table import groups_of

from .test_fitting import write

TRUE = Student(ALONE, TAUGHT, {})
N, D = np.array([1e9]), np.array([3e10])
BASE = supervised(ALONE[None], N, D)


def planted(noise: float = 0.0, seed: int = 0) -> Runs:
    return students(noise)(np.random.default_rng(seed)).runs


def test_the_formula_as_the_paper_writes_it() -> None:
    law = Distillation().fit(planted())
    one = {name: law.parameters["supervised"][name] for name in ("E", "A", "B", "alpha", "beta", "gamma")}
    alone = one["E"] + (one["A"] / N ** one["alpha"] + one["B"] / D ** one["beta"]) ** one["gamma"]
    two, teacher = law.parameters["distilled"], 2.5
    inner = two["A"] / N ** two["alpha"] + two["B"] / D ** two["beta"]
    gap = (1 + (teacher / (alone * two["d1"])) ** (1 / two["f1"])) ** (-two["c1"] * two["f1"])
    expected = teacher + teacher ** -two["c0"] * gap * inner ** two["gamma"]
    zero = np.zeros(1)
    names = {"teacher_parameters": zero, "teacher_tokens": zero}
    settings = Settings((), np.empty((1, 0)), {"parameters": N, "tokens": D, "teacher_loss": zero + teacher, **names})
    assert law.at(settings) == pytest.approx(expected, rel=1e-9)
    settings.values["teacher_loss"][:] = 0.0  # type: ignore[index]
    assert law.at(settings) == pytest.approx(alone, rel=1e-9)


def test_limits() -> None:
    """A far better teacher, a far worse one, one at the turn, and a student without bounds."""
    own = bulk(TAUGHT[None, 4:], N, D)[0, 0]
    turn = BASE[0, 0] * np.exp(TAUGHT[2])
    for teacher, gap in ((1e-3 * BASE[0, 0], 1.0), (turn, 2.0 ** -np.exp(TAUGHT[1] + TAUGHT[3]))):
        found = distilled(TAUGHT[None], N, D, np.array([teacher]), BASE)[0, 0]
        assert found == pytest.approx(teacher + teacher ** -TAUGHT[0] * gap * own, rel=1e-9)
    worse = np.array([10 * BASE[0, 0]])
    assert distilled(TAUGHT[None], N, D, worse, BASE)[0, 0] == pytest.approx(worse[0], rel=1e-6)
    endless = np.array([1e60])
    base = supervised(ALONE[None], endless, endless)
    assert base[0, 0] == pytest.approx(np.exp(ALONE[0]), rel=1e-6)
    assert distilled(TAUGHT[None], endless, endless, np.array([2.0]), base)[0, 0] == pytest.approx(2.0, rel=1e-6)


def test_complex_steps_see_the_slopes() -> None:
    teacher = np.array([2.5])
    here = TAUGHT[None].astype(np.complex128)
    for place in range(9):
        moved = here.copy()
        moved[0, place] += 1e-30j
        exact = distilled(moved, N, D, teacher, BASE)[0, 0].imag / 1e-30
        ends = [TAUGHT.copy(), TAUGHT.copy()]
        ends[0][place] += 1e-6
        ends[1][place] -= 1e-6
        above, below = (distilled(end[None], N, D, teacher, BASE)[0, 0] for end in ends)
        assert exact == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-8)


def test_planted_numbers() -> None:
    runs = planted(0.002, seed=1)
    fitted = Distillation().fit(runs)
    truth = TRUE.at(runs.settings)
    assert np.abs(fitted.at(runs.settings) / truth - 1).max() < 0.006
    beyond = students(0.0)(np.random.default_rng(0))
    np.testing.assert_allclose(fitted.at(beyond.asked), beyond.truth, rtol=0.01)
    assert fitted.parameters["supervised"]["E"] == pytest.approx(1.5, abs=0.1)
    counts = np.ones((2, len(runs)), np.int64)
    counts[1, ::7] = 0
    for again in Distillation().refit(runs, counts, fitted):
        np.testing.assert_allclose(again.at(runs.settings), truth, rtol=0.01)


def test_what_is_refused() -> None:
    runs = planted()
    for wrong in ({"restarts": 0}, {"restarts": -1}, {"delta": 0.0}, {"delta": -1.0}):
        with pytest.raises(UsageError, match="delta must be above 0 and restarts at least 1"):
            Distillation(**wrong).fit(runs)  # type: ignore[arg-type]
    taught = runs.settings.values["teacher_loss"] > 0
    few = np.concatenate([np.flatnonzero(~taught), np.flatnonzero(taught)[:9]])
    with pytest.raises(DataError, match="10 settings or more with a teacher, and there are 9"):
        Distillation().fit(runs.take(few))
    with pytest.raises(DataError, match=r"7 settings or more without a teacher \(teacher_loss 0\), and there are 0"):
        Distillation().fit(runs.take(taught))
    first = runs.settings.values["teacher_loss"][taught][0]
    same = ~taught | (runs.settings.values["teacher_loss"] == first)
    with pytest.raises(DataError, match="one teacher says nothing of others"):
        Distillation().fit(runs.take(same))
    values = {**runs.settings.values, "tokens": runs.settings.values["tokens"] * 0}
    with pytest.raises(DataError, match="must be above 0"):
        Distillation().fit(Runs(Settings((), runs.settings.mixture, values), runs.outcome, runs.group))


def test_what_is_not_identified() -> None:
    """A small noisy grid leaves numbers open and is told so; the full grid without noise leaves none."""
    runs = planted()
    assert not any("identified" in one for one in Distillation().remarks(runs, Distillation().fit(runs)))
    x = runs.settings.values
    kept = (x["teacher_loss"] == 0) | (x["parameters"] < 5e8) & (x["teacher_loss"] > x["teacher_loss"].max() - 0.4)
    noisy = planted(0.003).take(kept)
    told = " ".join(Distillation().remarks(noisy, Distillation().fit(noisy)))
    assert (
        "have 2 sizes of students; three or more" in told
        and "Not identified by the distilled runs: " in told
        and "f1" in told
    )
    line = unidentified(lambda t: t[:, :1] + t[:, 1:2] + 0 * t[:, :1] * np.arange(5), np.ones(2), np.full(5, 2.0), "ab")
    assert line == ["a", "b"]


def rows(*each: tuple[float, float, float, float, float, float]) -> Runs:
    names = ("parameters", "tokens", "teacher_loss", "teacher_parameters", "teacher_tokens")
    x = np.array(each)
    settings = Settings((), np.empty((len(x), 0)), dict(zip(names, x[:, :5].T, strict=True)))
    return Runs(settings, x[:, 5], groups_of(settings))


def test_equal_compute() -> None:
    """By hand: 1e9 tokens of a teacher of thrice the size cost as much as 2e9 supervised ones, and 8e9 with its own."""
    alone = [(1e8, tokens, 0, 0, 0, 4 - 0.1 * np.log2(tokens / 1e9)) for tokens in (1e9, 4e9, 1.6e10)]
    one = compared(rows(*alone, (1e8, 1e9, 2.5, 3e8, 2e9, 3.8)))[0]
    assert (one.excluded.tokens, one.predictions.tokens, one.included.tokens) == pytest.approx((1e9, 2e9, 8e9))
    found = [each.value for each in (one.excluded, one.predictions, one.included)]
    assert found == pytest.approx([3.8 - 4.0, 3.8 - 3.9, 3.8 - 3.7])
    assert np.isnan(one.predictions.low)
    told = said([one])
    assert [f"in {better} of 1 comparisons" in each for better, each in zip((1, 1, 0), told, strict=True)] == [True] * 3
    assert [part in each for part, each in zip(("nothing of", "predictions", "training"), told, strict=True)] == [
        True
    ] * 3
    far = compared(rows(*alone, (1e8, 1e9, 2.5, 3e8, 2e11, 3.8), (3e8, 1e9, 2.5, 3e8, 2e9, 3.8)))
    assert [np.isnan(each.included.value) for each in far] == [True, True]
    assert "No supervised run of equal size and compute" in said(far)[2]
    (unknown,) = compared(rows(*alone, (1e8, 1e9, 2.5, 0, 0, 3.8)))
    assert (
        unknown.excluded.value == pytest.approx(-0.2)
        and np.isnan([unknown.predictions.value, unknown.included.value]).all()
    )


def test_equal_compute_with_seeds() -> None:
    """Intervals come from the noise between seeds: half of the supervised weight on either side of 2e9 tokens."""
    random = np.random.default_rng(0)
    each = [(1e8, tokens, 0, 0, 0, 4.0) for tokens in (1e9, 4e9)] + [(1e8, 1e9, 2.5, 3e8, 2e9, 3.8)]
    runs = rows(*(one for one in each for _ in range(6)))
    noisy = Runs(runs.settings, runs.outcome + random.normal(0, 0.01, 18), runs.group)
    one = compared(noisy)[0].predictions
    assert one.low < -0.209 < one.high < 0
    assert one.high - one.low == pytest.approx(2 * 2.13 * 0.01 * np.sqrt(1 / 6 + 0.5 / 6), rel=0.5)


def test_through_the_command(tmp_path: Path) -> None:
    runs = planted(0.002, seed=2)
    path = write(tmp_path / "runs.csv", {**runs.settings.values, "loss.val": runs.outcome})
    asked = {"teacher_loss": 2.5, "parameters": 5e8, "tokens": 1.5e10}
    how = {"law": "distillation", "settings": {"restarts": 5}, "at": asked, "resample": 20}
    found = cuvee.fit_law(path, **how, output=tmp_path / "out").summary
    assert found["verdict"].startswith("distillation predicts runs left out to 0.0")
    one = found["asked"]["val"]
    assert one["low"] < one["value"] < one["high"]
    assert sum("At equal compute" in each for each in found["warnings"]) == 3
