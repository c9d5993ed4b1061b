"""Curves of checkpoints: a small model's foretell a large one's, unless they do not, which is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee.core import Runs
from cuvee.errors import DataError, UsageError
from cuvee.law.checkpoints import alike, course, courses, forecast, forecasts, likeness, noise, redrawn
from cuvee.law.fine_line import FineLine
from tests.command import cuvee as run

from .planted import at, table
from .test_fitting import write

TOKENS = np.linspace(1e9, 3e10, 30)
SMALL, LARGE = 1e7, 1e8


def bend(x: Any, middle: float, width: float) -> Any:
    return 1 / (1 + np.exp(-(x - middle) / width))


SHAPES = {
    "cloze": lambda u: u**0.5,
    "copying": lambda u: bend(u, 0.3, 0.05),
    "brackets": lambda u: u**2,
    "facts": lambda u: bend(u, 0.15, 0.03),
    "order": lambda u: u,
}


def frame(sigma: float = 0.003, seed: int = 0, seen: float = 1.0) -> dict[str, Any]:
    """Two sizes, five metrics that move alike, one that only the large model learns, and the loss."""
    random = np.random.default_rng(seed)
    u = TOKENS / TOKENS[-1]
    known = u <= seen
    columns: dict[str, Any] = {
        "parameters": np.concatenate([np.full(30, SMALL), np.full(int(known.sum()), LARGE)]),
        "tokens": np.concatenate([TOKENS, TOKENS[known]]),
        "run": ["small"] * 30 + ["large"] * int(known.sum()),
    }
    curves = {f"metric.{name}": (0.25 + 0.2 * f(u), 0.3 + 0.35 * f(u)) for name, f in SHAPES.items()}
    curves["metric.sums"] = (0.1 + 0 * u, 0.1 + 0.5 * bend(u, 0.7, 0.05))
    curves["loss.val"] = (1 + 1.5 * (u + 0.03) ** -0.3, 1 + 1.2 * (u + 0.03) ** -0.3)
    for name, (small, large) in curves.items():
        clean = np.concatenate([small, large[known]])
        columns[name] = clean + random.normal(0, sigma, len(clean))
    return columns


def metric(name: str, **how: Any) -> Runs:
    columns = frame(**how)
    return table(columns[name], parameters=columns["parameters"], tokens=columns["tokens"])


def test_the_nearest_monotone_curve() -> None:
    """Rising or falling by what lies nearer; seeds count as their mean; nothing outside what was measured."""
    rising = course(np.array([3.0, 1, 2, 2]), np.array([5.0, 1, 4, 2]))
    assert rising.tokens.tolist() == [1, 2, 3] and rising.value.tolist() == [1, 3, 5] and rising.rises
    falling = course(np.arange(4.0), np.array([9.0, 5, 6, 1]))
    assert falling.smooth.tolist() == [9, 5.5, 5.5, 1] and not falling.rises
    assert falling.at(np.array([-1.0, 0.5, 9.0])) == pytest.approx([np.nan, 7.25, np.nan], nan_ok=True)


def test_noise_is_told_without_a_fit() -> None:
    """A line has none, however steep; planted noise is found on curves that a monotone fit would follow."""
    x = np.sort(np.random.default_rng(1).uniform(0, 1, 400))
    assert noise(course(x, 7 * x)) == pytest.approx(0, abs=1e-12)
    random = np.random.default_rng(0)
    assert noise(course(x, 40 * x + random.normal(0, 0.05, 400))) == pytest.approx(0.05, rel=0.15)
    again = redrawn(course(x, 40 * x + random.normal(0, 0.05, 400)), random)
    assert np.std(again.value - 40 * x) == pytest.approx(0.05, rel=0.35)


def test_the_planted_line_is_found() -> None:
    """Without noise level and slope are exact, and the end is foretold from a third of the large model's curve."""
    runs = metric("metric.brackets", sigma=0.0, seen=1 / 3)
    fitted = FineLine().fit(runs)
    slope = 0.35 / 0.2
    assert fitted.line == pytest.approx((0.3 - slope * 0.25, slope))
    asked = at(parameters=[LARGE, LARGE, LARGE, SMALL, 5e7], tokens=[2e10, 3e10, np.nan, 3e10, 2e10])
    assert fitted.at(asked)[:4] == pytest.approx([0.3 + 0.35 * 4 / 9, 0.65, 0.65, 0.45])
    assert np.isnan(fitted.at(asked)[4])
    assert np.isnan(fitted.at(at(parameters=[LARGE], tokens=[4e10])))


def test_likeness_and_its_null() -> None:
    """Curves moved and scaled are alike to one; the right matching is the best of all, a wrong one is not."""
    small, large = ({}, {})
    for name in SHAPES:
        own = courses(metric(f"metric.{name}"))
        small[name], large[name] = own[SMALL], own[LARGE]
        assert likeness(small[name], large[name]) > 0.98
    found = alike(small, large)
    assert found.p_all == pytest.approx(1 / 120) and found.p.max() < 0.35
    turned = dict(zip(large, [*list(large.values())[1:], large["cloze"]], strict=True))
    assert alike(small, turned).p_all > 0.3
    flat = course(TOKENS, np.full(30, 0.1))
    assert np.isnan(likeness(flat, large["cloze"])) and np.isnan(likeness(small["cloze"], large["cloze"].until(2e9)))
    assert np.isnan(alike({"a": small["cloze"], "b": flat}, {"a": large["cloze"], "b": flat}).p_all)


def test_a_falling_metric_counts_as_its_mirror_image() -> None:
    rising, other = courses(metric("metric.cloze")), courses(metric("metric.copying"))
    falling = [course(one.tokens, 1 - one.value) for one in other.values()]
    both = alike({"a": rising[SMALL], "b": other[SMALL]}, {"a": rising[LARGE], "b": other[LARGE]})
    turned = alike({"a": rising[SMALL], "b": falling[0]}, {"a": rising[LARGE], "b": falling[1]})
    np.testing.assert_allclose(turned.matrix, both.matrix, atol=1e-9)


def test_forecasts_and_where_they_fail() -> None:
    columns = frame()
    pairs = {}
    for name in (*(f"metric.{one}" for one in (*SHAPES, "sums")), "loss.val"):
        own = courses(table(columns[name], parameters=columns["parameters"], tokens=columns["tokens"]))
        pairs[name.partition(".")[2]] = (own[SMALL], own[LARGE])
    found = forecasts(pairs, 1 / 3, "val")
    assert set(found) == {*SHAPES, "sums"}
    for name in ("cloze", "brackets", "order"):
        one = found[name]
        assert one is not None and not one.fails and one.known == 10
        assert one.errors["fine"] < 0.08 < one.errors["last"]
    sums = found["sums"]
    assert sums is not None and sums.fails and sums.errors["fine"] > 0.3
    assert forecast(*pairs["cloze"], 0.05) is None and forecast(pairs["cloze"][0], pairs["cloze"][1].until(9e9), 1 / 3)


def test_what_has_no_answer() -> None:
    """One size, too few common checkpoints, a size that is not there: refused; a flat curve: said."""
    runs = metric("metric.cloze")
    one_size = runs.take(runs.settings.values["parameters"] == SMALL)
    with pytest.raises(DataError, match="two sizes of models or more"):
        FineLine().fit(one_size)
    late = (runs.settings.values["parameters"] == LARGE) | (runs.settings.values["tokens"] <= 2e9)
    with pytest.raises(DataError, match="share 2 checkpoints by tokens, and 3 are needed"):
        FineLine().fit(runs.take(late))
    with pytest.raises(UsageError, match=r"no smaller model has 3e\+07 parameters\. There are: 1e\+07"):
        FineLine(small=3e7).fit(runs)
    for bad in ({"part": 1.0}, {"part": 0.0}, {"small": -1.0}):
        with pytest.raises(UsageError, match="fine_line: "):
            FineLine(**bad)
    emergent = metric("metric.sums", sigma=0.0)
    fitted = FineLine().fit(emergent)
    assert np.isnan(fitted.at(at(parameters=[LARGE], tokens=[3e10]))).all()
    assert "does not move" in FineLine().remarks(emergent, fitted)[0]
    opposite = runs.outcome * np.where(runs.settings.values["parameters"] == LARGE, -1, 1)
    falling = table(opposite, **runs.settings.values)
    assert "the other's falls" in FineLine().remarks(falling, FineLine().fit(falling))[0]


def test_fits_without_a_model_have_no_answers() -> None:
    """A resample or a fold may lose all of one model's checkpoints; nothing is raised."""
    runs = metric("metric.cloze")
    counts = np.stack([runs.settings.values["parameters"] == size for size in (SMALL, LARGE)]).astype(np.int64)
    for fitted in FineLine().refit(runs, counts):
        assert np.isnan(fitted.at(at(parameters=[LARGE], tokens=[2e10]))).all()


def test_through_the_command(tmp_path: Path) -> None:
    """Every metric is judged and asked; what they say together stands among the warnings; runs join nothing."""
    path = write(tmp_path / "runs.csv", frame())
    words = ("--with", "fine_line:loss=val", "--at", "tokens=3e10", "-o", tmp_path / "out")
    screen = " ".join(" ".join(run("mix", "fit", path, *words).screen()).split())
    assert " nan" not in screen and "brackets 0.6" in screen
    assert "are more alike than those of different metrics" in screen
    assert "for 4 of 6 metrics; not for: facts, sums" in screen
    found = cuvee.fit_law(path, law="fine_line", at={"tokens": 3e10}, resample=20, output=tmp_path / "b").summary
    told = " ".join(found["warnings"])
    assert "checkpoints of" not in told and "diverge" not in told and found["counts"]["settings"] == 60
    brackets = found["asked"]["brackets"]
    assert brackets["low"] < 0.65 < brackets["high"] and brackets["high"] - brackets["low"] < 0.05
    with pytest.raises(UsageError, match=r"no outcome is called 'bits'\. The table has: brackets"):
        cuvee.fit_law(path, law="fine_line", settings={"loss": "bits"}, resample=20, output=tmp_path / "c")
