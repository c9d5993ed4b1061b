"""What a table of runs cannot tell a law is said beside its answer; checkpoints of one run are not runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import cuvee
from cuvee import registry
from cuvee.core import Law, Runs, Settings
from cuvee.engine.plan import make
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.effective_tokens import EffectiveTokens
from cuvee.law.judge import folds, resamples, unlike
from cuvee.law.table import from_arrow

from .planted import NAMES, loss, swarm, table
from .test_fitting import frame, write


def remarks(name: str, runs: Runs, **settings: Any) -> str:
    law: Law = make(registry.find("law", name), settings, name)
    return " ".join(law.remarks(runs, law.fit(runs)))


def test_a_diverged_run_is_named() -> None:
    runs = swarm(30, 0.01)
    assert unlike(runs, DataMixingLaws().fit(runs)) == []
    outcome = runs.outcome.copy()
    outcome[16] += 0.5
    bad = Runs(runs.settings, outcome, runs.group)
    (said,) = unlike(bad, DataMixingLaws().fit(bad))
    assert said.startswith("Run 17 of the table lies 0.") and said.endswith(
        "did it diverge, or does the law not hold there?"
    )
    outcome[3] += 0.4
    assert "2 runs lie" in unlike(bad, DataMixingLaws().fit(bad))[0]
    numbers = np.arange(30) + 3  # two rows of the table were left out
    assert "(rows 6, 19)" in unlike(bad, DataMixingLaws().fit(bad), numbers)[0]
    exact = swarm(30, 0.0)
    assert unlike(exact, DataMixingLaws().fit(exact)) == []


def test_sizes_at_which_a_law_does_not_look(tmp_path: Path) -> None:
    columns = frame() | {"tokens": np.repeat([1e9, 2e9], 24), "rate": np.repeat([1e-3, 2e-3], 24)}
    found = cuvee.fit_law(write(tmp_path / "runs.csv", columns), resample=20, output=tmp_path / "out").summary
    said = [one for one in found["warnings"] if "does not look" in one]
    assert len(said) == 1 and said[0].startswith("Runs differ in tokens, from 1e+09 to 2e+09, and data_mixing_laws")


def test_tokens_that_a_law_takes_otherwise(tmp_path: Path) -> None:
    columns = frame() | {"tokens": np.full(48, 2_000_000)}
    path = write(tmp_path / "runs.csv", columns)
    asked: dict[str, Any] = {"law": "autoscale", "resample": 20, "losses": ["first"], "output": tmp_path / "out"}
    told = "The runs have 2e+06 tokens, and autoscale was fitted as for 1e+09: fit autoscale:tokens=2000000."
    assert told in cuvee.fit_law(path, **asked).summary["warnings"]
    said = cuvee.fit_law(path, **asked, settings={"tokens": 2e6}).summary["warnings"]
    assert not any("was fitted as for" in one for one in said)


def test_d_cpt_says_what_is_open() -> None:
    share, tokens = (one.ravel() for one in np.meshgrid(np.linspace(0.2, 1, 6), [2e9, 4e9]))
    sizes = np.repeat([5e8, 2e9], len(share))
    share, tokens = np.tile(share, 2), np.tile(tokens, 2)
    rising = 1.5 + 8 / (sizes / 1e6) ** 0.35 + 30 * share**0.6 / (tokens / 1e6) ** 0.4
    said = remarks("d_cpt", table(rising, parameters=sizes, tokens=tokens, share=share))
    assert "No run has a share below 0.05" in said and "vary less than fourfold" in said
    assert "more of a corpus raises its own loss at shares of" in said
    share = np.concatenate([[0.0], share[1:]])
    tokens = np.where(np.arange(len(tokens)) % 2, tokens, 4 * tokens)
    falling = 1.5 + 8 / (sizes / 1e6) ** 0.35 + 0.5 / (share + 0.1) ** 0.6
    assert remarks("d_cpt", table(falling, parameters=sizes, tokens=tokens, share=share)) == ""


def test_d_cpt_looks_at_the_fewest_tokens() -> None:
    """Planted so that more of the corpus raises its loss at 2e9 tokens, and nowhere at 2e11."""
    columns = [one.ravel() for one in np.meshgrid(np.linspace(0, 1, 7), [2e9, 1e10, 5e10, 2e11], [5e8, 2e9])]
    share, tokens, sizes = columns
    data = 30 * share**0.6 / (tokens / 1e6) ** 0.4
    planted = 1.5 + 8 / (sizes / 1e6) ** 0.35 + data + 0.3 / (share + 0.1) ** 0.6
    said = remarks("d_cpt", table(planted, parameters=sizes, tokens=tokens, share=share))
    assert "raises its own loss at shares of" in said and "with 2e+09 tokens" in said and "2e+11" not in said


def test_other_laws_say_what_is_open() -> None:
    clean, noisy = (one.ravel() for one in np.meshgrid([100.0, 1e3, 1e4], [1e3, 1e5]))
    said = remarks("noise_price", table(1 + 5 / (clean + 0.5 * noisy) ** 0.4, clean=clean, noisy=noisy))
    assert "less than 1 % of clean samples" in said and "No run is on clean samples alone" in said
    x = np.linspace(2.0, 3.0, 12)
    pair = table(0.9 * (x - 1.5) ** 1.1 + 1.0, loss_a=x)
    assert "neither is identified" in remarks("loss_to_loss", pair)
    assert remarks("loss_to_loss", pair, floor_a=1.5) == ""
    pools = Settings(("a", "b"), np.repeat(np.eye(2), 4, 0), {"samples": np.tile([2e5, 5e5, 1e6, 2e6], 2)})
    pools.values["pass"] = np.repeat([1e6, 4e6], 4)  # type: ignore[index]
    once = Runs(pools, np.linspace(0.5, 0.3, 8), np.arange(8))
    assert remarks("data_filtering", once).startswith("No run goes through b twice")


def corpora(sets: int, luck: float = 0.1) -> Runs:
    """Six runs of each of so many data sets, whose tokens count by their indicators and by luck of their own."""
    random = np.random.default_rng(sets)
    diversity, syntheticity = random.uniform(2, 5, sets), random.uniform(0, 0.1, sets)
    worth = np.exp(-0.4 * diversity + 8 * syntheticity + random.normal(0, luck, sets))
    n, d = (np.tile(one.ravel(), sets) for one in np.meshgrid([3e7, 1e8, 5e8], [1e9, 8e9]))
    value = 1.7 + 400 / n**0.34 + 410 / (d * np.repeat(worth, 6)) ** 0.28
    columns = {"diversity": np.repeat(diversity, 6), "syntheticity": np.repeat(syntheticity, 6)}
    return table(value * np.exp(random.normal(0, 0.003, 6 * sets)), parameters=n, tokens=d, **columns)


def test_few_data_sets_are_told_with_intervals() -> None:
    law = EffectiveTokens(restarts=8)
    said, widths = {}, []
    for sets in (3, 6, 12, 20):
        runs = corpora(sets)
        said[sets] = " ".join(law.remarks(runs, law.fit(runs)))
        for name, truth in (("diversity", -0.4), ("syntheticity", 8.0)):
            told = re.search(rf"{name} \S+ \[(\S+), (\S+)\]", said[sets])
            assert (told is not None) == (sets in (6, 12))
            if told is not None:
                low, high = (float(one) for one in told.groups())
                assert low < truth < high
                widths.append(high - low)
    assert said[20] == "" and said[3].startswith("Runs of 3 data sets hardly tell")
    assert widths[0] > widths[2] > 0 and widths[1] > widths[3] > 0


def test_a_falling_score_is_said() -> None:
    tokens = np.repeat(np.geomspace(1e8, 1e11, 8), 4)
    steps = np.log10(tokens) - 8
    random = np.random.default_rng(0)
    aligned = table((np.log(3 * tokens**0.2)) ** 1.2 + random.normal(0, 0.02, 32), tokens=tokens)
    assert remarks("downstream_log", aligned) == ""
    turned = table(5 + steps - 0.6 * steps**2 + random.normal(0, 0.02, 32), tokens=tokens)
    said = remarks("downstream_log", turned)
    assert "does not follow the law" in said and "falls with more pretraining" in said


def test_a_fall_of_single_runs_is_said() -> None:
    """Eight sizes at one seed: five runs in falling order are 1 of 120, which the upper four, 1 of 24, could not be."""
    tokens = np.geomspace(1e8, 1e11, 8)
    falling = table(np.array([3.0, 4.0, 5.0, 5.5, 5.2, 4.8, 4.1, 3.5]), tokens=tokens)
    assert "falls with more pretraining over the larger sizes" in remarks("downstream_log", falling)
    late = table(np.array([3.0, 4.0, 5.0, 5.1, 5.6, 5.2, 4.8, 4.1]), tokens=tokens)
    assert "5 runs there cannot tell that from chance (p = 0.12): repeat them" in remarks("downstream_log", late)
    few = table(np.array([5.0, 4.5, 4.0, 3.5]), tokens=tokens[:4])
    assert "4 runs there cannot tell that from chance" in remarks("downstream_log", few)
    rising = table(np.linspace(3, 6, 8), tokens=tokens)
    assert "fall" not in remarks("downstream_log", rising)


def checkpoints(mixtures: int = 12, seeds: int = 1) -> dict[str, Any]:
    """Every mixture a run with checkpoints at three numbers of tokens, all of them off by the run's own luck."""
    random = np.random.default_rng(0)
    rows, runs, outcome = [], [], []
    for number, mixture in enumerate(random.dirichlet([2.5, 1.5, 1.0], mixtures)):
        for seed in range(seeds):
            luck = random.normal(0, 0.05)
            for tokens in (1e9, 2e9, 4e9):
                rows.append((*mixture, tokens))
                runs.append(f"m{number}s{seed}")
                outcome.append(float(loss(mixture, 0)) + luck)
    found = {f"mix.{name}": np.array(rows)[:, at] for at, name in enumerate(NAMES)}
    return found | {"tokens": np.array(rows)[:, 3], "run": runs, "loss.held": outcome}


@pytest.mark.parametrize("seeds", [1, 2])
def test_checkpoints_of_a_run_are_left_out_and_drawn_together(seeds: int) -> None:
    found = from_arrow(pa.table(checkpoints(12, seeds)), "x", None, None)
    assert "36 settings are 12 that share no run" in found.notes[0]
    runs = found.runs("held", ("mixture", "tokens"))
    each = 3 * seeds
    for mask in folds(runs):
        assert (mask.reshape(12, each).sum(1) % each == 0).all()
    counts = resamples(runs, 40, 0).reshape(40, 12, each)
    assert (counts == counts[:, :, :1]).all() and (counts[:, :, 0].sum(1) == 12).all()
    assert runs.take(np.arange(5)).cluster is not None


def test_names_of_runs_that_join_nothing() -> None:
    """Names that are all different, and numbers of repetitions: every row is a run of its own."""
    columns = checkpoints(12)
    for name in ([f"r{at}" for at in range(36)], [1, 2, 3] * 12):
        assert from_arrow(pa.table(columns | {"run": name}), "x", None, None).cluster is None
    alike = {name: column[:3] for name, column in columns.items()}
    found = from_arrow(pa.table(alike), "x", None, None)
    assert found.cluster is None and "far too small" in found.notes[0]
