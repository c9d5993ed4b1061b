"""Schedules: shares that change in a run, as what trainers read, stage by stage."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import cuvee
from cuvee import exporting
from cuvee.core import Draw
from cuvee.errors import DataError, UsageError
from cuvee.feed.trainers.axolotl import slices
from cuvee.feed.trainers.base import Mixture
from cuvee.feed.trainers.stages import average, stages_of
from cuvee.methods.policy.cooldown import Cooldown
from cuvee.methods.policy.replay import Replay
from cuvee.online.mixture import Groups
from cuvee.online.rates import falls_to
from tests.command import cuvee as run

SIZES = {"code": 8_000, "poem": 2_000, "web": 40_000}
ROWS = {"code": 80, "poem": 40, "web": 200}
TOKENS = 50_000
STAGES = {
    "stages": [
        {"share": 0.8, "weights": {"web": 0.9, "code": 0.1}},
        {"share": 0.2, "weights": {"web": "0.5", "code": "0.3", "poem": 0.2}},
    ]
}
TRAINERS = exporting.names()


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schedules")
    names = [name for name, number in ROWS.items() for _ in range(number)]
    columns = {
        "text": [f"text {at}" for at in range(len(names))],
        "domain": names,
        "n": [SIZES[name] // ROWS[name] for name in names],
        "id": [str(at) for at in range(len(names))],
    }
    pq.write_table(pa.table(columns), folder / "pool.parquet")
    cuvee.mix_sources(
        folder / "pool.parquet", method="proportional", tokens=TOKENS, reading=cuvee.Reading(tokens="n"),
        output=folder / "mix", cache=folder / "cache",
    )  # fmt: skip
    return folder / "mix"


@pytest.fixture
def stages(tmp_path: Path) -> str:
    (tmp_path / "stages.json").write_text(json.dumps(STAGES))
    return str(tmp_path / "stages.json")


def exported(mix: Path, tmp_path: Path, to: str, schedule: str, **asked: Any) -> tuple[Path, dict[str, Any]]:
    given = {"sequence": 100, "step_tokens": 1_000, **asked}
    found = exporting.export_mix(mix, to, schedule=schedule, output=tmp_path / "out", **given)
    return found.folder, found.summary


def whole(**more: Any) -> Mixture:
    names = tuple(SIZES)
    total = sum(SIZES.values())
    return Mixture(
        names, tuple(Fraction(SIZES[name], total) for name in names), names, TOKENS, tuple(SIZES.values()),
        tuple(ROWS.values()), 100, **more,
    )  # fmt: skip


@pytest.mark.parametrize("to", TRAINERS)
def test_every_trainer(mix: Path, tmp_path: Path, stages: str, to: str) -> None:
    """mixture.json holds the schedule; files are listed; a second export replaces the first, whatever it held."""
    folder, summary = exported(mix, tmp_path, to, stages)
    told = json.loads((folder / "mixture.json").read_text())["schedule"]
    assert [(one["begin"], one["tokens"], one["step"]) for one in told] == [(0, 40_000, 1), (40_000, 10_000, 41)]
    assert told[1]["weights"] == pytest.approx({"web": 0.5, "code": 0.3, "poem": 0.2})
    assert told[1]["passes_before"] == pytest.approx({"web": 0.9, "code": 0.5, "poem": 0.0})
    planned = {one["name"]: one["planned"] for one in summary["sources"]}
    assert planned == {"web": 41_000, "code": 7_000, "poem": 2_000}
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {*summary["files"], "mixture.json"}
    screen = run(
        "mix", "export", mix, "--to", to, "--schedule", stages, "--step-tokens", "1k", "--sequence-length", "100",
        "-o", tmp_path / "again",
    ).screen()  # fmt: skip
    assert any("stage 2 from step 41, 10,000 tokens" in line for line in screen)
    for name in summary["files"]:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    exporting.export_mix(mix, to, output=folder, sequence=100)
    assert not (folder / "stage-1").exists()


def test_policies_decide_as_in_training() -> None:
    """The stages of a policy are its turns: the same shares, changed at the same places, up to a step."""
    sizes, groups = np.array(list(SIZES.values())), Groups(tuple(SIZES), np.array(list(SIZES.values())))
    first, second = stages_of("cooldown:tau=5,at=0.3", whole(), 500)
    assert (first.begin, second.begin, second.step) == (0, 15_000, 31)
    policy = Cooldown(tau=5.0, at=0.3)
    begin = policy.turn(policy.fresh(groups), 1.0, Draw(0)).mixture
    np.testing.assert_allclose(first.mixture.weights(), begin)
    np.testing.assert_allclose(second.mixture.weights(), sizes / sizes.sum())
    assert sum(first.mixture.shares) == sum(second.mixture.shares) == 1
    changed = stages_of("reuse:domains=poem", whole(), None)[1]
    assert abs(changed.begin - falls_to(0.2) * TOKENS) <= 50 and changed.begin % 100 == 0 and changed.step is None
    before, after = stages_of("replay:old=code,share=0.25,begin=0.5", whole(), 500)
    assert before.mixture.names == ("code",)
    policy_state = Replay("code", 0.25, 0.5).start(groups)
    np.testing.assert_allclose(after.mixture.weights(), policy_state["after"])
    (alone,) = stages_of("stratified", whole(), None)
    assert alone.mixture.weights() == pytest.approx([1 / 3] * 3) and alone.mixture.tokens == TOKENS


def test_several_passes_are_one_stage_where_nothing_changes() -> None:
    """Turns end after a pass at the latest; equal ones are joined."""
    many = stages_of("upsample_end:last=0.25,domains=poem", whole(seed=7), None)
    assert [stage.mixture.tokens for stage in many] == [37_500, 12_500]
    assert [stage.mixture.seed for stage in many] == [7, 8]
    assert many[1].mixture.before == tuple(Fraction(3, 4) for _ in SIZES)
    assert average(whole(), many).tokens == TOKENS


def test_journals_are_schedules(mix: Path, tmp_path: Path) -> None:
    """What Aioli decided while a model trained, turn after turn, in units that are stretched to the run's tokens."""
    place, losses = tmp_path / "mix.jsonl", dict.fromkeys(SIZES, 5.0)
    online = cuvee.OnlineMix(
        {"code": 80, "poem": 20, "web": 400}, "aioli", total=500, settings={"rounds": 2, "eta": 2.0}, losses=losses,
        journal=place,
    )  # fmt: skip
    turns = []
    while not online.done:
        turn = online.propose()
        turns.append((turn.weights, len(turn.order)))
        losses = {name: value * (0.9 if name == "poem" else 0.99) for name, value in losses.items()}
        online.update(losses if turn.measure else None)
    _, summary = exported(mix, tmp_path, "order", str(place), step_tokens=None)
    told = summary["schedule"]
    assert sum(one["tokens"] for one in told) == TOKENS
    joined = [turns[0]]
    for weights, units in turns[1:]:
        same = weights == joined[-1][0]
        joined[-1:] = [(weights, joined[-1][1] + units)] if same else [joined[-1], (weights, units)]
    assert len(told) == len(joined) > 3
    for one, (weights, units) in zip(told, joined, strict=True):
        assert one["weights"] == pytest.approx({name: share for name, share in weights.items() if share})
        assert abs(one["tokens"] - units * TOKENS / 500) <= 100
    broken = tmp_path / "broken.jsonl"
    broken.write_text(place.read_text().replace('"poem"', '"poet"', 1))
    with pytest.raises(DataError, match="line 1"):
        exported(mix, tmp_path, "order", str(broken))


def test_nanotron(mix: Path, tmp_path: Path, stages: str) -> None:
    folder, _ = exported(mix, tmp_path, "nanotron", stages)
    assert (folder / "data-stages.yaml").read_text() == (
        "# written by cuvee mix export: 3 sources; see mixture.json\n"
        "data_stages:\n"
        "  - name: stage_1\n"
        "    start_training_step: 1\n"
        "    data:\n"
        "      seed: 42\n"
        "      num_loading_workers: 1\n"
        "      dataset:\n"
        '        dataset_folder: ["data/code", "data/web"]\n'
        "        dataset_weights: [0.1, 0.9]\n"
        "  - name: stage_2\n"
        "    start_training_step: 41\n"
        "    data:\n"
        "      seed: 43\n"
        "      num_loading_workers: 1\n"
        "      dataset:\n"
        '        dataset_folder: ["data/code", "data/poem", "data/web"]\n'
        "        dataset_weights: [0.3, 0.2, 0.5]\n"
    )
    with pytest.raises(UsageError, match="--step-tokens"):
        exported(mix, tmp_path, "nanotron", stages, step_tokens=None)


def test_files_for_each_stage(mix: Path, tmp_path: Path, stages: str) -> None:
    """Megatron, OLMo-core, torchtitan, LLaMA-Factory and Streaming read one blend a run."""
    folder, _ = exported(mix, tmp_path, "megatron", stages)
    assert (folder / "stage-1" / "data-path.txt").read_text() == "0.1 data/code 0.9 data/web\n"
    assert (folder / "stage-2" / "data-path.txt").read_text() == "0.3 data/code 0.2 data/poem 0.5 data/web\n"
    folder, summary = exported(mix, tmp_path, "olmo_core", stages)
    second = yaml.safe_load((folder / "stage-2" / "source-mixture.yaml").read_text())["sources"]
    assert [(one["source_name"], one["target_ratio"]) for one in second] == [("code", 0.3), ("poem", 0.2), ("web", 0.5)]
    assert [one["requested_tokens"] for one in summary["facts"]["stages"]] == [40_000, 10_000]
    folder, _ = exported(mix, tmp_path, "torchtitan", stages)
    text = (folder / "stage-2" / "dataloader.py").read_text()
    assert "seed=43," in text and "dataset_path='data/poem', infinite=True, weight=0.2)" in text
    folder, _ = exported(mix, tmp_path, "llama_factory", stages, packed=True)
    assert yaml.safe_load((folder / "stage-1" / "train.yaml").read_text())["interleave_probs"] == "0.1,0.9"
    folder, _ = exported(mix, tmp_path, "streaming", stages, packed=True)
    told = [json.loads((folder / f"stage-{at}" / "streams.json").read_text()) for at in (1, 2)]
    assert [[one["choose"] for one in stage] for stage in told] == [[40, 360], [30, 20, 50]]
    assert "shuffle_seed=43" in (folder / "stage-2" / "streams.py").read_text()


def test_axolotl_goes_on_where_the_stage_before_ended(mix: Path, tmp_path: Path, stages: str) -> None:
    """All slices of a source, one after the other, walk through its documents pass by pass."""
    folder, _ = exported(mix, tmp_path, "axolotl", stages, tokens=200_000)
    walked: dict[str, list[int]] = {name: [] for name in ROWS}
    for at in (1, 2):
        for one in yaml.safe_load((folder / f"stage-{at}" / "datasets.yaml").read_text())["datasets"]:
            name = one["path"].removeprefix("data/")
            low, _, high = one["split"].removeprefix("train").strip("[]").partition(":")
            walked[name] += range(int(low or 0), int(high or ROWS[name]))
    planned = {"web": 164_000, "code": 28_000, "poem": 8_000}
    for name, rows in walked.items():
        assert rows == [at % ROWS[name] for at in range(len(rows))]
        assert len(rows) == pytest.approx(planned[name] / SIZES[name] * ROWS[name], abs=1)
    assert slices(3, 3, 5) == [] and slices(3, 11, 5) == ["train[3:]", "train", "train[:1]"]


def test_order(mix: Path, tmp_path: Path, stages: str) -> None:
    folder, _ = exported(mix, tmp_path, "order", stages)
    order = np.load(folder / "order.npy")
    for part, shares in ((order[:400], [0.1, 0.0, 0.9]), (order[400:], [0.3, 0.2, 0.5])):
        counts = np.cumsum(np.eye(3)[part], 0)
        assert np.abs(counts - np.arange(1, len(part) + 1)[:, None] * np.array(shares)).max() < 1
    assert len(order) == 500


def drawn_counts(drawn: list[tuple[int, int]], sources: int = 3) -> np.ndarray:
    return np.bincount([source for source, _ in drawn], minlength=sources)


@pytest.mark.parametrize("packed", [False, True])
def test_grain_reads_it(mix: Path, tmp_path: Path, stages: str, packed: bool) -> None:
    """By grain itself: exact counts in every stage, and no document twice before all of its source came once."""
    grain = pytest.importorskip("grain")
    folder, summary = exported(mix, tmp_path, "grain", stages, packed=packed, tokens=200_000)
    names: dict[str, Any] = {"__name__": "mix"}
    exec((folder / "mix.py").read_text(), names)
    held = {name: SIZES[name] // 100 if packed else ROWS[name] for name in SIZES}

    def source(place: str) -> Any:
        name = place.removeprefix("data/")
        return grain.MapDataset.source([(list(SIZES).index(name), row) for row in range(held[name])])

    mixed = names["mixed"](source)
    drawn = [mixed[at] for at in range(len(mixed))]
    at = 0
    for counts in summary["facts"]["stages"]:
        number = sum(counts.values())
        assert drawn_counts(drawn[at : at + number]).tolist() == [counts.get(name, 0) for name in SIZES]
        at += number
    assert at == len(drawn)
    for place, name in enumerate(SIZES):
        rows = [row for source, row in drawn if source == place]
        for begin in range(0, len(rows), held[name]):
            one = rows[begin : begin + held[name]]
            assert len(set(one)) == len(one)


def test_datasets_reads_it(mix: Path, tmp_path: Path, stages: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Hugging Face datasets itself: the planned number, counts as near as draws are, and rows read on."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("datasets")
    places = {name: tmp_path / "data" / name for name in SIZES}
    for at, (name, place) in enumerate(places.items()):
        place.mkdir(parents=True)
        rows = {"source": [at] * (SIZES[name] // 100), "row": range(SIZES[name] // 100)}
        pq.write_table(pa.table(rows), place / "part.parquet")
    folder, summary = exported(
        mix, tmp_path, "huggingface", stages, packed=True, tokens=500_000,
        places={name: str(place) for name, place in places.items()},
    )  # fmt: skip
    names: dict[str, Any] = {"__name__": "interleave"}
    exec((folder / "interleave.py").read_text(), names)
    drawn = [(one["source"], one["row"]) for one in names["mixed"]]
    at = 0
    for number, shares in zip(summary["facts"]["take"], ([0.1, 0.0, 0.9], [0.3, 0.2, 0.5]), strict=True):
        counts, expected = drawn_counts(drawn[at : at + number]), number * np.array(shares)
        assert (np.abs(counts - expected) <= 4 * np.sqrt(expected + 1e-9)).all()
        at += number
    assert at == len(drawn) == 5_000
    first = next(row for source, row in drawn[4_000:] if source == 2)
    assert first == round(4_000 * 0.9) % 400


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as JSON"),
        ('{"stages": []}', "is no schedule"),
        ('{"stages": [{"weights": {"web": 1}}]}', "is no schedule"),
        ('{"stages": [{"share": 0, "weights": {"web": 1}}]}', "above 0"),
        ('{"stages": [{"share": 1, "weights": {"web": 0.5}}]}', "sum to 0.5"),
        ('{"stages": [{"share": 1, "weights": {"web": 2, "code": -1}}]}', "below 0"),
        ('{"stages": [{"share": 1, "weights": {"wob": 1}}]}', "no source called 'wob'"),
        ('{"stages": [{"tokens": 10, "weights": {"web": 1}}]}', "the run 50,000"),
        (
            '{"stages": [{"share": 1e-9, "weights": {"web": 1}}, {"share": 1, "weights": {"code": 1}}]}',
            "less than a step",
        ),
    ],
)
def test_bad_files(mix: Path, tmp_path: Path, content: str, said: str) -> None:
    place = tmp_path / "stages.json"
    place.write_text(content)
    with pytest.raises((DataError, UsageError), match=said):
        exported(mix, tmp_path, "order", str(place))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("schedule", "asked", "said"),
    [
        ("aioli", {}, "OnlineMix"),
        ("infobatch", {}, "single examples"),
        ("two_set", {}, "single examples"),
        ("cooldown:tau=0", {}, "above 0"),
        ("upsample_end:domains=nothing", {}, "nothing"),
        ("cooldown", {"step_tokens": 10}, "at least a sequence"),
    ],
)
def test_bad_policies(mix: Path, tmp_path: Path, schedule: str, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        exported(mix, tmp_path, "order", schedule, **asked)


def test_step_tokens_alone_are_refused(mix: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is for a schedule"):
        exporting.export_mix(mix, "order", step_tokens=1_000, sequence=100, output=tmp_path / "out")
