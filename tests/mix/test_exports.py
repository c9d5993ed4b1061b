"""Exports: each file read back as its trainer would, drawn by the trainer's own published rule, against the plan."""

from __future__ import annotations

import json
import types
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cuvee
from cuvee import exporting
from cuvee.errors import DataError, UsageError
from cuvee.feed.trainers import (
    axolotl,
    grain,
    huggingface,
    megatron,
    nanotron,
    olmix,
    olmo_core,
    regmix,
    streaming,
    torchtitan,
)
from cuvee.feed.trainers.base import LONGEST_KEY, Mixture, counts_of, decimal, quoted
from cuvee.feed.trainers.llama_factory import plain_names
from tests.command import cuvee as run

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "trainer_blends"
HOSTILE = 'poem\'s "x"\n: [y]\\ {z} é'
TRAINERS = exporting.names()


@pytest.mark.parametrize("name", ["three_sources", "skewed"])
def test_what_trainers_draw(name: str, tmp_path: Path) -> None:
    """Our copies of the trainers' rules give the orders and counts that the packages gave."""
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    inputs, outputs = case["inputs"], case["outputs"]
    weights, lengths, size, seed = (inputs[key] for key in ("weights", "lengths", "size", "seed"))
    order = megatron.order(weights, size)
    assert order.tolist() == outputs["megatron_core_0.16.1"]["order"]
    assert order.tolist() == outputs["nanotron_one_epoch_before_shuffle"]["order"]
    assert nanotron.samples(order, lengths) == outputs["nanotron_one_epoch_before_shuffle"]["sample"]
    assert counts_of(order, 3).tolist() == outputs["megatron_core_0.16.1"]["counts"]
    assert counts_of(order, 3).tolist() == outputs["nanotron_one_epoch_before_shuffle"]["counts"]
    every = megatron.order(lengths, sum(lengths))  # without weights, sizes are the weights until all is used up
    assert every.tolist() == outputs["megatron_core_0.16.1_no_weights_exhaustive"]["order"]
    shares, places = tuple(Fraction(str(weight)) for weight in weights), ("a", "b", "c")
    planned = Mixture(places, shares, places, tokens=size, available=tuple(lengths), sequence=1, packed=True)
    exported = streaming.export(planned).facts
    chosen = exported["choose"]
    assert exported["epoch_size"] == outputs["mosaicml_streaming_0.13.0_repeat"]["epoch"]
    for way in ("proportion", "repeat"):  # what Streaming makes of proportions, and of the passes of this plan
        assert chosen == outputs[f"mosaicml_streaming_0.13.0_{way}"]["choose"]
    given = outputs["mosaicml_streaming_0.13.0_repeat"]["given_repeat"]
    assert [float(one) for one in planned.passes()] == pytest.approx(given, rel=1e-15)
    told = outputs["grain_0.2.18"]
    assert grain.integer_proportions(weights) == told["integer_proportions"]
    assert grain.order(told["integer_proportions"], size) == (told["order"], told["key"])
    (tmp_path / "plan.py").write_text(grain.PLAN)
    space = types.SimpleNamespace(transforms=types.SimpleNamespace(DatasetSelectionMap=object))
    plan = executed(tmp_path / "plan.py", grain=space)["Plan"](
        [range(one) for one in lengths], told["integer_proportions"]
    )
    assert len(plan) == told["length"]
    assert counts_of([plan[t][0] for t in range(size)], 3).tolist() == told["counts"]
    for strategy in ("first_exhausted", "all_exhausted"):
        drawn = huggingface.order(weights, lengths, seed, strategy)
        told = outputs[f"hf_datasets_5.2.0_{strategy}"]
        assert len(drawn) == told["total"]
        assert [1000 * source + row for source, row in drawn[:60]] == told["first_60"]
    for key, most in (("olmo_core_3.0.0_sample_sizes", 1.0), ("olmo_core_3.0.0_sample_sizes_rep", 4.0)):
        assert olmo_core.instances(lengths, weights, [most] * 3) == outputs[key]["sizes"]
    assert torchtitan.order(weights, 60, seed) == outputs["torchtitan_0.3.0_interleave"]["first_60"]


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources, one with a name that breaks careless formats, and one that has no weight."""
    folder = tmp_path_factory.mktemp("mix")
    names = ["web"] * 40 + ["code"] * 10 + [HOSTILE] * 5 + ["unused"] * 3
    tokens = [1000] * 40 + [4000] * 10 + [2000] * 5 + [10] * 3
    columns = {
        "text": [f"text {at}" for at in range(58)],
        "domain": names,
        "n": tokens,
        "id": [str(at) for at in range(58)],
    }
    pq.write_table(pa.table(columns), folder / "pool.parquet")
    cuvee.mix_sources(
        folder / "pool.parquet",
        weights={"web": "0.5", "code": "0.3", HOSTILE: "0.2"},
        tokens=100_000,
        reading=cuvee.Reading(tokens="n"),
        output=folder / "mix",
        cache=folder / "cache",
    )
    return folder / "mix"


SHARES = {"code": 0.3, HOSTILE: 0.2, "web": 0.5}


def exported(mix: Path, tmp_path: Path, to: str, **asked: Any) -> tuple[Path, dict[str, Any]]:
    found = exporting.export_mix(mix, to, output=tmp_path / "out", **{"sequence": 100, **asked})
    return found.folder, found.summary


@pytest.mark.parametrize("to", TRAINERS)
def test_every_export(mix: Path, tmp_path: Path, to: str) -> None:
    """The neutral description beside it holds the plan; sources without a weight are left out; harmless screens."""
    folder, summary = exported(mix, tmp_path, to)
    told = json.loads((folder / "mixture.json").read_text())
    assert {one["name"]: one["weight"] for one in told["sources"]} == pytest.approx(SHARES)
    assert {one["name"]: one["planned"] for one in told["sources"]} == {"code": 30_000, HOSTILE: 20_000, "web": 50_000}
    assert {one["name"]: one["passes"] for one in told["sources"]} == pytest.approx(
        {"code": 0.75, HOSTILE: 2.0, "web": 1.25}
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted([*told["files"], "mixture.json"])
    assert told["seal"] and summary["use"]
    found = run("mix", "export", mix, "--to", to, "--sequence-length", "100", "-o", tmp_path / "again")
    assert found.screen()[0].startswith(f"Wrote 3 sources for {to}")
    for name in told["files"]:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def read_yaml(path: Path) -> Any:
    return pytest.importorskip("yaml").safe_load(path.read_text())


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e-05)
@example(1e16)
@example(5e-324)
def test_every_reader_of_yaml_takes_numbers_for_what_they_are(value: float) -> None:
    """YAML 1.1 wants a point and a sign beside an exponent; what is a number of JSON is one of YAML 1.2."""
    for found in (pytest.importorskip("yaml").safe_load(decimal(value)), json.loads(decimal(value))):
        assert type(found) is float and found.hex() == value.hex()


ODD = st.text(
    st.sampled_from("\"\\\n\r\t\0\x1b\x7f\x85\xa0\u2028\ufeff\ufffe\ud800\udcff😀𝒳{[:#&*!|>'%@`,/ ") | st.characters()
)


@settings(deadline=None)
@given(name=ODD, rare=st.integers(2, 10**18))
@example(name="😀", rare=10**6)
@example(name="\ud83d\ude00", rare=3)
@example(name="<<", rare=3)
@example(name="é" * 200 + "😀" * 100, rare=10**17)
@example(name="=" * (LONGEST_KEY - 2), rare=3)
@example(name="x" * 3000, rare=3)
def test_yaml_gives_names_places_and_weights_back(name: str, rare: int) -> None:
    """Whatever a source is called, and however small its share."""
    load = pytest.importorskip("yaml").safe_load
    names, shares = (f"a{name}", "b"), (Fraction(1, rare), 1 - Fraction(1, rare))
    places, weights = (f"/{name}", "b"), [1 / rare, float(shares[1])]
    mixture = Mixture(names, shares, places, tokens=1000, available=(10, 1000), documents=(10, 10))

    def read(export: Any, one: Mixture = mixture) -> Any:
        (text,) = export(one).files.values()
        assert text.isascii()
        return load(text)

    assert load(quoted(name)) == name
    rows = read(olmo_core.export)["sources"]
    assert [(one["source_name"], one["target_ratio"]) for one in rows] == list(zip(names, weights, strict=True))
    assert [one["paths"] for one in rows] == [[place] for place in places]
    found = read(nanotron.export)["data_stages"][0]["data"]["dataset"]
    assert found == {"dataset_folder": list(places), "dataset_weights": weights}
    assert read(regmix.export)["train"] == dict(zip(places, weights, strict=True))
    even = replace(mixture, shares=(Fraction(1, 2), Fraction(1, 2)))
    assert {one["path"] for one in read(axolotl.export, even)["datasets"]} == set(places)
    topics = replace(mixture, names=(f"a{name}".replace("/", "_"), f"b/c{name}"))
    source, topic = topics.names[0], f"c{name}"
    told = read(olmix.export, topics)["mix"]
    assert told == {
        source: {"weight": weights[0], "repetition_factor": told[source]["repetition_factor"]},
        "b": {"weight": weights[1], topic: {"weight": 1.0, "repetition_factor": 1.0}},
    }


def test_megatron_takes_a_place_whose_bytes_are_no_text(mix: Path, tmp_path: Path) -> None:
    """A path of the command line that is not UTF-8 was a crash; the shell gets its bytes."""
    place = b"/d/\xff".decode("utf-8", "surrogateescape")
    folder, _ = exported(mix, tmp_path, "megatron", places={"web": place, HOSTILE: "/d/w"})
    assert (folder / "data-path.txt").read_bytes().split()[-1] == b"/d/\xff"
    assert json.loads((folder / "blend.json").read_text())["train"][-1] == place


def test_megatron(mix: Path, tmp_path: Path) -> None:
    folder, _ = exported(mix, tmp_path, "megatron", places={"web": "/d/web", "code": "/d/code", HOSTILE: "/d/w"})
    words = (folder / "data-path.txt").read_text().split()
    assert words == json.loads((folder / "blend.json").read_text())["train"]
    # the loader reads all three keys, and takes null for a split without data
    blend, (_, summary) = json.loads((folder / "blend.json").read_text()), exported(mix, tmp_path, "megatron")
    assert list(blend) == ["train", "valid", "test"] and blend["valid"] is blend["test"] is None
    assert "valid and test are yours" in summary["use"] and any("null" in note for note in summary["notes"])
    weights, places = [float(one) for one in words[::2]], words[1::2]
    assert places == ["/d/code", "/d/w", "/d/web"] and sum(weights) == pytest.approx(1)
    drawn = counts_of(megatron.order(weights, 1000), 3)
    np.testing.assert_allclose(drawn, [300, 200, 500], atol=2)
    spaced, _ = exported(mix, tmp_path, "megatron")
    assert not (spaced / "data-path.txt").exists() and json.loads((spaced / "blend.json").read_text())


def test_olmo_core(mix: Path, tmp_path: Path) -> None:
    folder, summary = exported(mix, tmp_path, "olmo_core")
    rows = read_yaml(folder / "source-mixture.yaml")["sources"]
    assert {one["source_name"]: one["target_ratio"] for one in rows} == pytest.approx(SHARES)
    assert sum(one["target_ratio"] for one in rows) == pytest.approx(1, abs=1e-12)
    held = {"code": 40_000, HOSTILE: 10_000, "web": 40_000}
    for one in rows:  # OLMo-core's own condition: int(requested * ratio) within size * repetition
        wanted = int(summary["facts"]["requested_tokens"] * one["target_ratio"])
        assert wanted <= held[one["source_name"]] * one["max_repetition_ratio"] and one["max_repetition_ratio"] >= 1


def test_nanotron(mix: Path, tmp_path: Path) -> None:
    folder, _ = exported(mix, tmp_path, "nanotron")
    (stage,) = read_yaml(folder / "data-stages.yaml")["data_stages"]
    assert stage["start_training_step"] == 1
    found = stage["data"]["dataset"]
    assert found["dataset_folder"] == ["data/code", f"data/{HOSTILE}", "data/web"]
    assert found["dataset_weights"] == pytest.approx(list(SHARES.values()))


def executed(path: Path, **names: Any) -> dict[str, Any]:
    space: dict[str, Any] = dict(names)
    exec(compile(path.read_text(), str(path), "exec"), space)
    return space


class Recorder:
    """Stands for a trainer's class or function: remembers what it was called with."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        self.positional, self.named = positional, named


class Loader:
    Config = Recorder


def test_torchtitan(mix: Path, tmp_path: Path) -> None:
    folder, _ = exported(mix, tmp_path, "torchtitan", seed=7)
    made = executed(folder / "dataloader.py", HFDataSource=Recorder, InterleavedHuggingFaceTextDataLoader=Loader)
    sources = made["dataloader"].named["sources"]
    assert {one.named["dataset"]: one.named["weight"] for one in sources} == pytest.approx(SHARES)
    assert all(one.named["infinite"] for one in sources) and made["dataloader"].named["seed"] == 7
    drawn = counts_of(torchtitan.order([one.named["weight"] for one in sources], 20_000, 7), 3) / 20_000
    np.testing.assert_allclose(drawn, list(SHARES.values()), atol=0.015)


def test_axolotl(mix: Path, tmp_path: Path) -> None:
    """Documents by whole copies and a slice: passes to the document."""
    folder, _ = exported(mix, tmp_path, "axolotl")
    found = read_yaml(folder / "datasets.yaml")
    splits: dict[str, list[str]] = {}
    for one in found["datasets"]:
        splits.setdefault(one["path"].removeprefix("data/"), []).append(one["split"])
    assert splits == {"code": ["train[:8]"], HOSTILE: ["train", "train"], "web": ["train", "train[:10]"]}
    assert found["dataset_exact_deduplication"] is False


def test_examples_are_documents_unless_packed(mix: Path, tmp_path: Path) -> None:
    """Documents of 4,000, 2,000 and 1,000 tokens: shares of tokens become shares of documents, and back."""
    folder, _ = exported(mix, tmp_path, "llama_factory")
    found = read_yaml(folder / "train.yaml")
    shares = np.array([float(one) for one in found["interleave_probs"].split(",")])
    tokens = shares * np.array([4000, 2000, 1000])
    np.testing.assert_allclose(tokens / tokens.sum(), list(SHARES.values()))
    info = json.loads((folder / "dataset_info.json").read_text())
    assert found["dataset"].split(",") == list(info) and found["mix_strategy"] == "interleave_over"
    packed, _ = exported(mix, tmp_path, "llama_factory", packed=True)
    again = [float(one) for one in read_yaml(packed / "train.yaml")["interleave_probs"].split(",")]
    assert again == pytest.approx(list(SHARES.values()))


def test_plain_names_stay_apart() -> None:
    assert plain_names(("a b", "a_b", "a-b", "é")) == ["a_b", "a_b_2", "a_b_3", "source"]


def test_streaming(mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.SimpleNamespace(Stream=Recorder, StreamingDataset=Recorder)
    monkeypatch.setitem(__import__("sys").modules, "streaming", module)
    folder, _ = exported(mix, tmp_path, "streaming")
    made = executed(folder / "streams.py")["dataset"](8).named
    chosen = [one.named["choose"] for one in made["streams"]]
    assert made["batch_size"] == 8 and "epoch_size" not in made  # which Streaming refuses beside choose
    assert chosen == [8, 10, 50] or np.abs(np.array(chosen) - [7.5, 10, 50]).max() < 1
    packed, _ = exported(mix, tmp_path, "streaming", packed=True)
    assert [one["choose"] for one in json.loads((packed / "streams.json").read_text())] == [300, 200, 500]


def test_grain(mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By grain's rule for order and length: the planned counts, and no source ends before the run does."""

    class Part:
        def __init__(self, place: str) -> None:
            self.place, self.often = place, 1

        def shuffle(self, seed: int) -> Part:
            return self

        def repeat(self, often: int) -> Part:
            self.often = often
            return self

        def __len__(self) -> int:
            return held[self.place] * self.often

    class MapDataset:
        @staticmethod
        def select_from_datasets(parts: list[Part], plan: Any) -> tuple[list[Part], Any]:
            return parts, plan

    held = {"data/code": 400, f"data/{HOSTILE}": 100, "data/web": 400}
    transforms = types.SimpleNamespace(DatasetSelectionMap=object)
    module = types.SimpleNamespace(MapDataset=MapDataset, transforms=transforms)
    monkeypatch.setitem(__import__("sys").modules, "grain", module)
    folder, _ = exported(mix, tmp_path, "grain", packed=True)
    made = executed(folder / "mix.py", __name__="mix")
    parts, plan = made["mixed"](Part)
    assert [part.place for part in parts] == ["data/code", f"data/{HOSTILE}", "data/web"]
    assert np.bincount([plan[t][0] for t in range(1000)]).tolist() == [300, 200, 500]
    assert len(plan) >= 1000
    for t in range(len(plan)):
        source, key = plan[t]
        assert 0 <= key < len(parts[source])
    # grain's own mix would make 966, 233 and 100 of these counts
    uneven = [29, 7, 3]
    plan = made["Plan"]([range(10**6)] * 3, uneven)
    drawn = [plan[t] for t in range(390)]
    assert drawn == list(zip(*grain.order(uneven, 390), strict=True))
    assert np.bincount([source for source, _ in drawn]).tolist() == [290, 70, 30]


def test_grain_without_what_has_no_sequence(tmp_path: Path) -> None:
    """A share of less than a sequence may round to none: it is left out and named, and no count of 0 is divided by."""
    names, shares = ("web", "rare", "code"), (Fraction(60, 100), Fraction(1, 1000), Fraction(399, 1000))
    mixture = Mixture(names, shares, names, tokens=10_000, available=(3_000, 500, 9_000), sequence=100, packed=True)
    made = grain.export(mixture)
    assert made.facts == {"sources": ["web", "code"], "weights": [3, 2], "repeat": [2, 1]}
    assert "'rare'" not in str(made.files["mix.py"]) and any(
        note.endswith("rare. Plan more --tokens, or shorter sequences.") for note in made.notes
    )
    (tmp_path / "plan.py").write_text(grain.PLAN)
    space = types.SimpleNamespace(transforms=types.SimpleNamespace(DatasetSelectionMap=object))
    plan = executed(tmp_path / "plan.py", grain=space)["Plan"]([range(60), range(90)], made.facts["weights"])
    assert np.bincount([plan[t][0] for t in range(100)]).tolist() == [60, 40]


def test_grain_by_documents_has_the_counts_of_the_run(mix: Path, tmp_path: Path) -> None:
    """7.5, 10 and 50 documents of 67.5, and none of a source whose share is less than one."""
    _, summary = exported(mix, tmp_path, "grain")
    assert summary["facts"]["weights"] == [4, 5, 25]
    names, shares = ("web", "rare"), (1 - Fraction(1, 10**9), Fraction(1, 10**9))
    few = Mixture(names, shares, names, tokens=10**6, available=(10**6, 10**6), documents=(1_000, 1_000))
    assert grain.export(few).facts["sources"] == [
        "web"
    ]  # rounded up to a millionth it would have a thousand times more
    many = Mixture(names, shares, names, tokens=10**12, available=(10**12, 10**6), documents=(10**9, 1_000))
    assert grain.export(many).facts["weights"] == [10**9 - 1, 1]


@pytest.mark.parametrize("to", ["huggingface", "streaming", "grain"])
def test_a_run_of_less_than_an_example_is_refused(to: str) -> None:
    """An endless mix, or an epoch without samples, was written."""
    names, shares = ("web", "code"), (Fraction(1, 2), Fraction(1, 2))
    export = {"huggingface": huggingface.export, "streaming": streaming.export, "grain": grain.export}[to]
    short = Mixture(names, shares, names, tokens=400, available=(10**6, 10**6), documents=(10, 10))
    with pytest.raises(UsageError, match="less than one document of mean length"):
        export(short)
    with pytest.raises(UsageError, match="less than one sequence"):
        export(replace(short, packed=True))


def test_huggingface(mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mixed(Recorder):
        def take(self, number: int) -> Mixed:
            self.number = number
            return self

    class Part(Recorder):
        often: int | None = 1

        def repeat(self, often: int | None) -> Part:
            self.often = often
            return self

    module = types.SimpleNamespace(interleave_datasets=Mixed, load_dataset=Part)
    monkeypatch.setitem(__import__("sys").modules, "datasets", module)
    folder, _ = exported(mix, tmp_path, "huggingface")
    made = executed(folder / "interleave.py")["mixed"]
    tokens = np.array(made.named["probabilities"]) * np.array([4000, 2000, 1000])
    np.testing.assert_allclose(tokens / tokens.sum(), list(SHARES.values()))
    assert abs(made.number - 67.5) < 1 and len(made.positional[0]) == 3
    # two sources are gone through more than once: nothing may end the mix but its length
    assert all(part.often is None for part in made.positional[0])


def test_litdata(mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are of documents; where a source is repeated by the plan, the screen says when the mix ends."""
    module = types.SimpleNamespace(CombinedStreamingDataset=Recorder, StreamingDataset=Recorder)
    monkeypatch.setitem(__import__("sys").modules, "litdata", module)
    folder, summary = exported(mix, tmp_path, "litdata")
    made = executed(folder / "mixed.py")["mixed"]
    assert made.named["iterate_over_all"] is False  # with weights True is an error there
    tokens = np.array(made.named["weights"]) * np.array([4000, 2000, 1000])
    np.testing.assert_allclose(tokens / tokens.sum(), list(SHARES.values()))
    assert [one.positional for one in made.positional[0]] == [("data/code",), (f"data/{HOSTILE}",), ("data/web",)]
    assert summary["facts"]["reached"] == 0.5 and any("after about 50% of the run" in one for one in summary["notes"])
    _, short = exported(mix, tmp_path, "litdata", tokens=40_000)
    assert short["facts"]["reached"] == 1 and not any("of the run" in one for one in short["notes"])


def test_seqio(mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[tuple[Any, ...]] = []
    registry = types.SimpleNamespace(add=lambda *given: added.append(given))
    monkeypatch.setitem(__import__("sys").modules, "seqio", types.SimpleNamespace(MixtureRegistry=registry))
    folder, summary = exported(mix, tmp_path, "seqio", packed=True, places={"web": "c4.en:2"})
    executed(folder / "mixture.py")
    ((name, rates),) = added
    assert [task for task, _ in rates] == ["code", "poem_s_x_y_z", "c4.en:2"] and name == "cuvee_mix"
    assert [rate for _, rate in rates] == pytest.approx(list(SHARES.values()))
    assert summary["facts"]["tasks"]["web"] == "c4.en:2"
    for places, said in (({"web": "a b"}, "'a b' is no name"), ({"web": "code"}, "Two sources have the task 'code'")):
        with pytest.raises(UsageError, match=said):
            exported(mix, tmp_path, "seqio", places=places)


def test_olmix(mix: Path, tmp_path: Path) -> None:
    """Products along the tree are the shares, factors the passes; a source with topics is no topic itself."""
    folder, _ = exported(mix, tmp_path, "olmix")
    found = read_yaml(folder / "mix.yaml")["mix"]
    assert {name: one["weight"] for name, one in found.items()} == pytest.approx(SHARES)
    assert {name: one["repetition_factor"] for name, one in found.items()} == {"code": 1.0, HOSTILE: 2.0, "web": 1.25}

    def written(*names: str) -> Any:
        shares = (Fraction(1, 2), Fraction(1, 6), Fraction(1, 3))
        made = olmix.export(Mixture(names, shares, names, tokens=600, available=(100, 200, 100)))
        (tmp_path / "mix.yaml").write_text(str(made.files["mix.yaml"]))
        return read_yaml(tmp_path / "mix.yaml")["mix"]

    tree = written("dclm/science", "arxiv", "dclm/sport")
    assert list(tree) == ["dclm", "arxiv"] and tree["dclm"]["weight"] == pytest.approx(5 / 6)
    assert tree["dclm"]["weight"] * tree["dclm"]["sport"]["weight"] == pytest.approx(1 / 3)
    assert tree["dclm"]["science"]["repetition_factor"] == 3.0 and "repetition_factor" not in tree["dclm"]
    for names in (("dclm/science", "dclm", "web"), ("dclm/weight", "web", "code"), ("dclm/", "web", "code")):
        with pytest.raises(UsageError, match="olmix"):
            written(*names)


def test_regmix_and_doremi(mix: Path, tmp_path: Path) -> None:
    folder, summary = exported(mix, tmp_path, "regmix", places={"web": "train_the_pile_cc"})
    found = read_yaml(folder / "mixture.yaml")
    assert found["train"] == pytest.approx({"train_code": 0.3, "train_poem_s_x_y_z": 0.2, "train_the_pile_cc": 0.5})
    assert found["valid"] == {"valid_code": 1.0, "valid_poem_s_x_y_z": 1.0, "valid_the_pile_cc": 1.0}
    assert summary["facts"]["prefixes"]["web"] == "train_the_pile_cc"
    with pytest.raises(UsageError, match="prefix 'train_code'"):
        exported(mix, tmp_path, "regmix", places={"web": "train_code"})
    folder, _ = exported(mix, tmp_path, "doremi")
    weights = json.loads((folder / "domain_weights.json").read_text())
    assert weights["train_domain_weights"] == pytest.approx(SHARES)
    assert weights["eval_domain_weights"] == weights["train_domain_weights"]
    folder, _ = exported(mix, tmp_path, "doremi", places={"web": "pile_cc"})
    named = json.loads((folder / "domain_weights.json").read_text())["train_domain_weights"]
    assert named == pytest.approx({"code": 0.3, HOSTILE: 0.2, "pile_cc": 0.5})
    with pytest.raises(UsageError, match="folder 'code'"):
        exported(mix, tmp_path, "doremi", places={"web": "code"})


def test_order(mix: Path, tmp_path: Path) -> None:
    folder, _ = exported(mix, tmp_path, "order")
    order = np.load(folder / "order.npy")
    counts = np.cumsum(np.eye(3)[order], 0)
    exact = np.arange(1, 1001)[:, None] * np.array(list(SHARES.values()))
    assert order.dtype == np.int32 and np.abs(counts - exact).max() < 1


def test_a_fit_is_exported_too(tmp_path: Path) -> None:
    from tests.law.test_fitting import frame, write

    runs = write(tmp_path / "runs.csv", frame())
    fitted = cuvee.fit_law(runs, resample=20, output=tmp_path / "fit")
    folder, summary = exported(tmp_path / "fit", tmp_path, "nanotron")
    assert {one["name"]: one["weight"] for one in summary["sources"]} == pytest.approx(
        {name: weight for name, weight in fitted.weights.items() if weight > 0}
    )
    with pytest.raises(UsageError, match="--tokens"):
        exported(tmp_path / "fit", tmp_path, "order")
    with pytest.raises(UsageError, match="--packed"):
        exported(tmp_path / "fit", tmp_path, "llama_factory")
    folder, _ = exported(tmp_path / "fit", tmp_path, "order", tokens=50_000)
    assert len(np.load(folder / "order.npy")) == 500


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--to", "megatrom"], 2, "No trainer is called 'megatrom'. There are: axolotl, doremi, grain"),
        (["--to", "grain", "--data", "wiki=/d"], 2, "no source called 'wiki'"),
        (["--to", "grain", "--data", "wiki"], 2, "Write --data web=/data/web"),
        (["--to", "order", "--sequence-length", "0"], 2, "--sequence-length must be at least 1"),
        (["--to", "order", "--sequence-length", "1000000"], 2, "less than one sequence"),
        (["--to", "order", "--tokens", "0"], 2, "--tokens must be at least 1"),
    ],
)
def test_bad_requests(mix: Path, tmp_path: Path, words: list[str], status: int, said: str) -> None:
    found = run("mix", "export", mix, *words, "-o", tmp_path / "out")
    assert found.status == status and said in found.error()
    assert not (tmp_path / "out").exists()


def test_planned_tokens_are_all_of_the_run(mix: Path, tmp_path: Path) -> None:
    """Rounded source by source, 0.5, 0.3 and 0.2 of 101 tokens would be 50, 30 and 20."""
    _, summary = exported(mix, tmp_path, "megatron", tokens=101)
    assert [one["planned"] for one in summary["sources"]] == [30, 20, 51]
    # sizes need not be those of the tokenised files, and OLMo-core stops where they fall short
    assert any("estimates" in note for note in exported(mix, tmp_path, "olmo_core")[1]["notes"])


def test_damaged_and_foreign(mix: Path, tmp_path: Path) -> None:
    for name, content in (("mix.json", "{"), ("mix.json", json.dumps({"format": 1, "sources": []}))):
        (tmp_path / "bad").mkdir(exist_ok=True)
        (tmp_path / "bad" / name).write_text(content)
        with pytest.raises(DataError, match=r"cannot be read|damaged"):
            exported(tmp_path / "bad", tmp_path, "grain")
    with pytest.raises(DataError, match="holds neither"):
        exported(tmp_path, tmp_path, "grain")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a cuvee export"):
        exported(mix, tmp_path, "grain")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_shares_are_exact() -> None:
    """Nothing is lost between the planned tokens and the sequences: exact fractions all the way."""
    shares = (Fraction(1, 3), Fraction(1, 3), Fraction(1, 3))
    mixture = Mixture(("a", "b", "c"), shares, ("a", "b", "c"), tokens=10**9 + 7, sequence=1)
    assert mixture.sequences().sum() == 10**9 + 7
