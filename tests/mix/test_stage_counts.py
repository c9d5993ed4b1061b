"""Counts over a run of many stages: what a stage cannot give whole is carried on, and nothing is drawn in a pause."""

from __future__ import annotations

import ast
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cuvee.errors import DataError, UsageError
from cuvee.feed.trainers import carried, grain, huggingface, megatron, nanotron, order, streaming
from cuvee.feed.trainers.base import Mixture
from cuvee.feed.trainers.stages import average, export_stages, stages_of
from cuvee.layout import FIT_FORMAT, sealed
from tests.command import cuvee as run
from tests.mix.test_export_warnings import EVEN, exported, mixed

Stages = tuple[list[Fraction], list[tuple[Fraction, ...]]]


@st.composite
def runs(draw: st.DrawFn, whole: bool) -> Stages:
    """Short stages of up to seven sources, of which many have no share."""
    sources = draw(st.integers(1, 7))
    amounts = st.lists(st.sampled_from([0, 0, 1, 2, 7, 50]), min_size=sources, max_size=sources)
    parts = draw(st.lists(amounts.filter(any), min_size=1, max_size=14))
    length = st.integers(1, 9).map(Fraction) if whole else st.fractions(1, 9, max_denominator=7)
    lengths = draw(st.lists(length, min_size=len(parts), max_size=len(parts)))
    lengths[-1] += -sum(lengths) % 1
    return lengths, [tuple(Fraction(one, sum(own)) for one in own) for own in parts]


def exact_after(stages: Stages, end: Fraction) -> list[Fraction]:
    """The sum of the shares over the first samples of a run."""
    lengths, shares = stages
    found, begin = [Fraction(0)] * len(shares[0]), Fraction(0)
    for length, own in zip(lengths, shares, strict=True):
        covered = max(min(end - begin, length), Fraction(0))
        found = [sum_ + covered * share for sum_, share in zip(found, own, strict=True)]
        begin += length
    return found


def furthest(counts: Any, planned: list[Fraction]) -> Fraction:
    return max(abs(int(count) - exact) for count, exact in zip(counts, planned, strict=True))


THIRDS = (Fraction(1, 3),) * 3
PAUSING: Stages = (
    [Fraction(1)] * 4,
    [THIRDS, (Fraction(0), Fraction(1, 2), Fraction(1, 2)), THIRDS, (Fraction(1), Fraction(0), Fraction(0))],
)


@settings(deadline=None, max_examples=300)
@given(stages=runs(whole=True))
@example(PAUSING)
@example(([Fraction(3)] * 40, [tuple(Fraction(1, 11) for _ in range(11))] * 40))
def test_every_prefix_of_an_order(stages: Stages) -> None:
    """Within one at the end of every stage, and at every prefix or else within two; nothing in a pause."""
    lengths, shares = stages
    found, off = carried.order(carried.segments(lengths, shares))
    counts, t = np.zeros(len(shares[0]), np.int64), 0
    for length, own in zip(lengths, shares, strict=True):
        for source in found[t : t + int(length)].tolist():
            assert own[source] > 0
            counts[source] += 1
            t += 1
            assert furthest(counts, exact_after(stages, Fraction(t))) < off
        assert furthest(counts, exact_after(stages, Fraction(t))) < 1
    assert t == len(found)
    if all(share > 0 for own in shares for share in own):
        assert off == 1


@settings(deadline=None, max_examples=300)
@given(stages=runs(whole=True))
@example(PAUSING)
def test_counts_of_stages(stages: Stages) -> None:
    lengths, shares = stages
    counts = carried.counts(carried.segments(lengths, shares), len(lengths))
    assert counts.sum(1).tolist() == lengths and (counts >= 0).all()
    ends = np.cumsum(counts, 0)
    for at, own in enumerate(shares):
        assert not any(count and not share for count, share in zip(counts[at], own, strict=True))
        assert furthest(ends[at], exact_after(stages, sum(lengths[: at + 1], Fraction(0)))) < 1


@settings(deadline=None, max_examples=300)
@given(stages=runs(whole=False))
def test_stages_that_end_within_a_sample(stages: Stages) -> None:
    """Every prefix of the run is as near as elsewhere; where a stage ends, its last sample may be the next one's."""
    lengths, shares = stages
    parts = carried.segments(lengths, shares)
    found, off = carried.order(parts)
    assert len(found) == sum(lengths)
    sums = np.cumsum(np.eye(len(shares[0]), dtype=np.int64)[found], 0)
    for t in range(len(found)):
        assert furthest(sums[t], exact_after(stages, Fraction(t + 1))) < off
    for counts in (carried.counts(parts, len(lengths)), carried.counted(parts, found, len(lengths))):
        ends = np.cumsum(counts, 0)
        for at, own in enumerate(shares):
            assert not any(count and not share for count, share in zip(counts[at], own, strict=True))
            assert furthest(ends[at], exact_after(stages, sum(lengths[: at + 1], Fraction(0)))) < 2


def test_shares_without_a_common_denominator() -> None:
    """Online mixtures decide other floats each turn: exact but for a rounding to 2^-60 a draw."""
    random = np.random.default_rng(3)
    shares = [tuple(Fraction(str(one)) for one in random.dirichlet([0.3] * 11)) for _ in range(69)]
    shares = [tuple(one / sum(own) for one in own) for own in shares]
    stages = [Fraction(int(one)) for one in random.integers(1, 40, 69)], shares
    found, off = carried.order(carried.segments(*stages))
    sums = np.cumsum(np.eye(11, dtype=np.int64)[found], 0)
    for end in np.cumsum([int(one) for one in stages[0]]).tolist():
        assert furthest(sums[end - 1], exact_after(stages, Fraction(end))) < off + Fraction(1, 10**9)
    assert off == 1


NAMES = tuple("abcdefghijk")


def many(tmp_path: Path, number: int = 100, **more: Any) -> tuple[Mixture, list[Any]]:
    """Equal stages of eleven equal shares: 14.67 sequences each."""
    whole = Mixture(
        NAMES, (Fraction(1, 11),) * 11, NAMES, tokens=3_000_000, available=tuple(range(300_000, 311_000, 1_000)),
        documents=tuple(range(400, 620, 20)), sequence=2_048, **more,
    )  # fmt: skip
    stage = {"share": str(Fraction(1, number)), "weights": dict.fromkeys(NAMES, "1/11")}
    (tmp_path / "many.json").write_text(json.dumps({"stages": [stage] * number}))
    stages = stages_of(str(tmp_path / "many.json"), whole, 30_000)
    return average(whole, stages), stages


def test_a_hundred_equal_stages(tmp_path: Path) -> None:
    """Each stage rounded alone gave [200, 200, 200, 164, 100, ...] sequences of 133.1 each."""
    whole, stages = many(tmp_path)
    made = order.export_stages(whole, stages)
    drawn = list(made.facts["drawn"].values())
    assert sum(drawn) == 1_464 and min(drawn) >= 133 and max(drawn) <= 134
    assert not made.warnings and np.sum(made.facts["stages"], 0).tolist() == drawn


@pytest.mark.parametrize("trainer", [grain, streaming])
@pytest.mark.parametrize("packed", [False, True])
def test_trainers_that_count(tmp_path: Path, trainer: Any, packed: bool) -> None:
    """Within a sample of the plan; rounded alone, documents were 0.93 to 1.04 of it."""
    whole, stages = many(tmp_path, packed=packed)
    made = export_stages(trainer, whole, stages)
    exact = [float(one) for one in whole.passes()]
    held = [one / 2_048 for one in whole.available or ()] if packed else whole.documents or ()
    for name, times, rows in zip(NAMES, exact, held, strict=True):
        assert made.facts["drawn"][name] == pytest.approx(times * rows, abs=1.5)
    if trainer is grain:
        taken = ast.literal_eval(re.search(r"TAKEN = (\[.*?\])", str(made.files["mix.py"]))[1])  # type: ignore[index]
        assert taken == list(made.facts["drawn"].values())
    else:
        counts = dict.fromkeys(NAMES, 0)
        for at in range(1, 101):
            for one in json.loads(made.files[f"stage-{at}/streams.json"]):
                counts[one["local"]] += one["choose"]
        assert counts == made.facts["drawn"]
    assert not made.warnings


def test_grain_leaves_out_what_no_stage_draws(tmp_path: Path) -> None:
    names = ("web", "rare")
    whole = Mixture(names, (Fraction(1, 2),) * 2, names, 10_000, (9_000, 9_000), sequence=100, packed=True)
    stage = {"share": 0.5, "weights": {"web": 0.999, "rare": 0.001}}
    (tmp_path / "two.json").write_text(json.dumps({"stages": [stage, stage]}))
    stages = stages_of(str(tmp_path / "two.json"), whole, None)
    made = grain.export_stages(average(whole, stages), stages)
    assert "rare" not in str(made.files["mix.py"]) and "TAKEN = [100]" in str(made.files["mix.py"])
    assert "1 source is drawn more than 1 % off the plan (rare 0 of 0.1 sequences planned)" in made.warnings[0]


def test_huggingface_draws_as_many_as_planned(tmp_path: Path) -> None:
    """Two hundred stages of 7.3 documents or so are not two hundred times seven."""
    whole, stages = many(tmp_path, packed=True)
    made = huggingface.export_stages(whole, stages)
    assert sum(made.facts["take"]) == 1_464


def test_trainers_that_count_each_stage_alone_are_told(tmp_path: Path) -> None:
    """nanotron begins each stage with its first sources; Megatron goes on in an index that is the same here."""
    whole, stages = many(tmp_path)
    made = export_stages(nanotron, whole, stages)
    drawn = np.zeros(11, np.int64)
    for stage in stages:
        size = (stage.begin + 30_000) // 2_048 - stage.begin // 2_048
        drawn += np.bincount(megatron.order(stage.mixture.weights(), size), minlength=11)
    assert list(made.facts["drawn"].values()) == drawn.tolist() and drawn.max() == 200
    assert "11 sources are drawn more than 1 % off the plan (a 200 of 133.2" in made.warnings[0]
    one = export_stages(megatron, whole, stages)
    assert not one.warnings and max(one.facts["drawn"].values()) <= 135
    end = 3_000_000 // 2_048
    assert list(one.facts["drawn"].values()) == np.bincount(megatron.order([1 / 11] * 11, end)).tolist()


def test_megatron_goes_on_in_the_next_blends_own_index(tmp_path: Path) -> None:
    """Of uneven stages: the second's samples are those after the first's number, in an index of its own weights."""
    names, weights = ("a", "b", "c"), ([0.5, 0.3, 0.2], [0.2, 0.15, 0.65])
    whole = Mixture(
        names, tuple(Fraction(str(one)) for one in weights[0]), names, tokens=10_000, available=(10_000,) * 3,
        documents=(100,) * 3, sequence=100,
    )  # fmt: skip
    parts = [
        {"share": share, "weights": dict(zip(names, own, strict=True))}
        for share, own in zip(("0.37", "0.63"), weights, strict=True)
    ]
    (tmp_path / "two.json").write_text(json.dumps({"stages": parts}))
    stages = stages_of(str(tmp_path / "two.json"), whole, 100)
    drawn = export_stages(megatron, average(whole, stages), stages).facts["drawn"]
    order = [megatron.order(weights[0], 37), megatron.order(weights[1], 100)[37:]]
    assert list(drawn.values()) == np.bincount(np.concatenate(order)).tolist()


def test_warnings_reach_mixture_json(tmp_path: Path) -> None:
    mix, place = mixed(tmp_path, EVEN), tmp_path / "stages.json"
    stage = {"share": 0.04, "weights": {"fiction": "1/3", "speech": "1/3", "web": "1/3"}}
    place.write_text(json.dumps({"stages": [stage] * 25}))
    told = exported(mix, "nanotron", schedule=str(place), step_tokens=2_000)
    assert told["facts"]["drawn"] == {"fiction": 175, "speech": 175, "web": 150}
    assert any("web 150 of 166.7" in one for one in told["warnings"])
    told = exported(mix, "order", schedule=str(place), step_tokens=2_000)
    assert sorted(told["facts"]["drawn"].values()) == [166, 167, 167]
    assert not any("off the plan" in one for one in told["warnings"])


@pytest.mark.parametrize("name", ["nosuch.json", "nosuch.jsonl", "folder/nosuch"])
def test_a_schedule_that_is_no_file(tmp_path: Path, name: str) -> None:
    answer = run("mix", "export", mixed(tmp_path, EVEN), "--to", "order", "--schedule", name, "-o", tmp_path / "out")
    assert f"There is no file {name}" in answer.error()
    with pytest.raises(UsageError, match="No policy is called 'nosuch'"):
        exported(tmp_path / "mix", schedule="nosuch:domains=a/b.json")


def test_stages_have_one_unit(tmp_path: Path) -> None:
    stages = [{"share": 0.5, "weights": {"web": 1}}, {"tokens": 25_000, "weights": {"fiction": 1}}]
    (tmp_path / "both.json").write_text(json.dumps({"stages": stages}))
    with pytest.raises(DataError, match=r"some stages have a share and some tokens\. Give every stage the same one"):
        exported(mixed(tmp_path, EVEN), schedule=str(tmp_path / "both.json"))


TINY = {"fiction": "0.5", "speech": "1e-23", "web": "0.5"}


def fitted(folder: Path, weight: float) -> Path:
    """A fit's folder, of the mix of all tokens but for one source of such a weight."""
    mixed(folder, {"fiction": "0.5", "web": "0.5"})
    content = json.loads((folder / "mix" / "mix.json").read_text())
    rows = [{**one, "weight": one["weight"] or weight} for one in content["sources"]]
    (folder / "fit").mkdir()
    fit = {"format": FIT_FORMAT, "verdict": "", "tokens": 50_000, "proposal": rows}
    (folder / "fit" / "fit.json").write_text(json.dumps(sealed(fit)))
    return folder / "fit"


@pytest.mark.parametrize("to", ["megatron", "nanotron", "torchtitan", "regmix", "doremi", "olmo_core", "order"])
def test_what_rounds_to_no_token_is_left_out(tmp_path: Path, to: str) -> None:
    told = exported(fitted(tmp_path, 1e-23), to)
    assert [(one["name"], one["weight"]) for one in told["sources"]] == [("fiction", 0.5), ("web", 0.5)]
    assert "Left out, as sources of weight 0 are, as their planned tokens round to 0: speech." in told["notes"]
    for name in told["files"]:
        assert b"speech" not in (tmp_path / "out" / name).read_bytes()


def test_a_stage_leaves_it_out_too(tmp_path: Path) -> None:
    stages = [{"share": 0.5, "weights": TINY}, {"share": 0.5, "weights": EVEN}]
    (tmp_path / "tiny.json").write_text(json.dumps({"stages": stages}))
    told = exported(mixed(tmp_path, EVEN), "megatron", schedule=str(tmp_path / "tiny.json"))
    assert list(told["schedule"][0]["weights"]) == ["fiction", "web"] and len(told["schedule"][1]["weights"]) == 3
    assert any("in stages where their planned tokens round to 0: speech." in one for one in told["notes"])
    assert (tmp_path / "out" / "stage-1" / "data-path.txt").read_text() == "0.5 data/fiction 0.5 data/web\n"


def test_a_longer_run_has_the_weight_that_was_asked_for(tmp_path: Path) -> None:
    """A weight of 1e-6 is none of 50,000 tokens, and 1,000 of a thousand million."""
    told = exported(fitted(tmp_path, 1e-6), "megatron", tokens=10**9)
    assert {one["name"]: one["planned"] for one in told["sources"]}["speech"] == 1_000
