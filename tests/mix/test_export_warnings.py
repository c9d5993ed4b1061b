"""What an export says before anybody trains on it: many passes, another run than planned, verdicts against the mix,
weights that a schedule ignores; and places that no trainer may be sent to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee import exporting
from cuvee.errors import DataError, UsageError
from cuvee.feed.trainers.base import default_place
from cuvee.layout import sealed
from tests.command import cuvee as run

SIZES = {"fiction": 30_000, "speech": 10_000, "web": 60_000}


def pool_of(folder: Path, sizes: dict[str, int]) -> Path:
    names = [name for name, size in sizes.items() for _ in range(size // 1000)]
    texts = [f"text {at}" for at in range(len(names))]
    table = {"text": texts, "domain": names, "n": [1000] * len(names), "id": [str(at) for at in range(len(names))]}
    pq.write_table(pa.table(table), folder / "pool.parquet")
    return folder / "pool.parquet"


def mixed(
    folder: Path, weights: dict[str, str], sizes: dict[str, int] = SIZES, tokens: int = 50_000, **asked: Any
) -> Path:
    cuvee.mix_sources(
        pool_of(folder, sizes), weights=weights, tokens=tokens, reading=cuvee.Reading(tokens="n"), **asked,
        output=folder / "mix", cache=folder / "cache",
    )  # fmt: skip
    return folder / "mix"


def exported(mix: Path, to: str = "order", **asked: Any) -> dict[str, Any]:
    found = exporting.export_mix(mix, to, output=mix.parent / "out", **{"sequence": 100, **asked})
    return found.summary


def changed(mix: Path, name: str, **what: Any) -> Path:
    """A folder like a mix's whose content says something else."""
    content = json.loads((mix / "mix.json").read_text())
    rows = content.pop("sources")
    place = mix.parent / name.removesuffix(".json")
    place.mkdir()
    (place / name).write_text(json.dumps(sealed({**content, "proposal": rows, "tokens": 50_000, **what})))
    return place


EVEN = {"fiction": "0.4", "speech": "0.2", "web": "0.4"}


def test_a_mix_as_planned_has_no_warning(tmp_path: Path) -> None:
    mix = mixed(tmp_path, EVEN)
    assert exported(mix)["warnings"] == []
    answer = run("mix", "export", mix, "--to", "megatron", "-o", tmp_path / "again")
    shown = "\n".join(answer.screen())
    assert "(!)" not in shown and "note" in shown, "what a trainer always does is no warning"


@pytest.mark.parametrize("to", exporting.names())
def test_loss_weights_are_said(tmp_path: Path, to: str) -> None:
    """Half a pass allows 15,000, 5,000 and 30,000 tokens where 20,000, 10,000 and 20,000 were asked for."""
    told = exported(mixed(tmp_path, EVEN, passes=0.5), to)
    weights = {one["name"]: one["loss_weight"] for one in told["sources"]}
    assert weights == pytest.approx({"fiction": 4 / 3, "speech": 2.0, "web": 2 / 3})
    said = told["notes"][0]
    assert "files have no place for them" in said and "They are speech 2, fiction 1.33, web 0.667;" in said


def test_loss_weights_that_say_nothing_are_no_note(tmp_path: Path) -> None:
    """Without a bound they are 1; with one that binds nowhere they hold the rounding to whole tokens alone."""
    thirds = {"fiction": "1/3", "speech": "1/3", "web": "1/3"}
    for weights, asked in ((EVEN, {}), (thirds, {"tokens": 100, "passes": 2})):
        told = exported(mixed(tmp_path, weights, **asked))
        assert {one["loss_weight"] for one in told["sources"]} == {1.0}
        assert not any("oss weights" in one for one in told["notes"])


def test_a_schedule_has_no_loss_weights_of_the_mix(tmp_path: Path) -> None:
    told = exported(mixed(tmp_path, EVEN, passes=0.5), schedule="upsample_end:last=0.2")
    assert {one["loss_weight"] for one in told["sources"]} == {None}
    assert "belong to its own shares" in told["notes"][0]


def test_other_loss_weights_are_another_export(tmp_path: Path) -> None:
    """The same tokens of each source, bound to that or asked for."""
    bound = exported(mixed(tmp_path, EVEN, passes=0.5))
    asked = exported(mixed(tmp_path, {"fiction": "0.3", "speech": "0.1", "web": "0.6"}))
    assert [one["planned"] for one in bound["sources"]] == [one["planned"] for one in asked["sources"]]
    assert bound["digest"] != asked["digest"]


def test_another_run_than_planned_and_many_passes(tmp_path: Path) -> None:
    told = exported(mixed(tmp_path, EVEN), tokens=5_000_000)["warnings"]
    assert "planned for 50,000 tokens, and --tokens asks for 5,000,000" in told[0]
    assert "3 sources are gone through more than 4 times (speech 100, fiction 66.7, web 33.3)" in told[1]


def test_verdicts_against_the_mix(tmp_path: Path) -> None:
    mix = mixed(tmp_path, EVEN)
    doubt = "Not to be relied on: data_mixing_laws misses runs left out by 0.3, no better than the mean."
    told = exported(changed(mix, "fit.json", verdict=doubt))["warnings"]
    assert len(told) == 1 and doubt in told[0]
    for number, (said, warned) in enumerate(
        (
            ("Its proposal is predicted to be no better than proportional (gain -0.1 [-0.3, +0.1]): keep it.", True),
            ("Expected gain over proportional: +0.1 [-0.1, +0.3]: not shown.", True),
            ("The gain over proportional is not determined.", True),
            ("Expected gain over proportional: +0.1 [+0.05, +0.15].", False),
        )
    ):
        (place := tmp_path / f"{number}").mkdir()
        told = exported(changed(mixed(place, EVEN), "fit.json", verdict=said))["warnings"]
        assert [said in one for one in told] == [True] * warned
    lost = {"primary": True, "against": "proportional", "verdict": "worse"}
    instead = "cuvee mix pool pool.parquet --by domain --with proportional --tokens 50000"
    told = exported(
        changed(mix, "search.json", verdict="Worse than proportional (+0.1).", comparisons=[lost], next=instead)
    )["warnings"]
    assert len(told) == 1 and "found it worse than proportional" in told[0] and told[0].endswith(instead)


def test_a_search_without_a_trial(tmp_path: Path) -> None:
    place = changed(mixed(tmp_path, EVEN), "search.json", verdict="Proposed, not tried.", comparisons=[])
    assert "has not been tried" in exported(place)["warnings"][0]


WEIGHTS = {"fiction": "0.9", "speech": "0.1"}


def stages_of(mix: Path, schedule: str) -> tuple[list[dict[str, float]], list[str]]:
    found = exported(mix, schedule=schedule)
    return [one["weights"] for one in found["schedule"]], found["warnings"]


def test_a_schedule_begins_with_the_weights_of_the_mix(tmp_path: Path) -> None:
    """Speech is the smaller source in the pool, so it is what the end lifts; the mix decides how the rest is shared."""
    mix = mixed(tmp_path, WEIGHTS, {"fiction": 30_000, "speech": 10_000})
    (first, last), told = stages_of(mix, "upsample_end:last=0.2")
    assert first == pytest.approx({"fiction": 0.9, "speech": 0.1}, abs=1e-6)
    assert last == pytest.approx({"fiction": 0.5, "speech": 0.5}, abs=1e-6)
    assert not any("no part" in one for one in told)
    (first, last), _ = stages_of(mix, "upsample_end:last=0.2,domains=fiction,share=0.95")
    assert first["fiction"] == pytest.approx(0.9) and last["fiction"] == pytest.approx(0.95)


def test_what_is_lifted_or_old_is_told_by_sizes(tmp_path: Path) -> None:
    """The mix gives the largest source least: the parts of a schedule are still named by the pool's sizes."""
    mix = mixed(tmp_path, {"fiction": "0.5", "speech": "0.4", "web": "0.1"})
    (first, last), _ = stages_of(mix, "upsample_end:last=0.5,share=0.8")
    assert first == pytest.approx({"fiction": 0.5, "speech": 0.4, "web": 0.1}, abs=1e-6)
    assert last == pytest.approx({"fiction": 0.8 * 5 / 9, "speech": 0.8 * 4 / 9, "web": 0.2}, abs=1e-6)
    (before, after), _ = stages_of(mix, "replay:share=0.25,begin=0.5")
    assert before == {"web": 1.0}
    assert after == pytest.approx({"web": 0.25, "fiction": 0.75 * 5 / 9, "speech": 0.75 * 4 / 9}, abs=1e-6)


@pytest.mark.parametrize("schedule", ["cooldown:tau=5", "stratified"])
def test_a_schedule_that_ignores_the_weights_says_so(tmp_path: Path, schedule: str) -> None:
    _, told = stages_of(mixed(tmp_path, WEIGHTS), schedule)
    assert any("the mix's weights (fiction 0.9, speech 0.1) have no part in the run" in one for one in told)


def test_no_word_where_the_weights_are_the_sizes(tmp_path: Path) -> None:
    mix = mixed(tmp_path, {"fiction": "0.3", "speech": "0.1", "web": "0.6"})
    assert not any("no part" in one for one in stages_of(mix, "cooldown:tau=5")[1])


def test_shares_of_stages_sum_to_one(tmp_path: Path) -> None:
    mix, place = mixed(tmp_path, EVEN), tmp_path / "stages.json"
    one, two = {"share": 0.8, "weights": {"web": 1}}, {"share": 0.3, "weights": {"fiction": 1}}
    place.write_text(json.dumps({"stages": [one, two]}))
    with pytest.raises(DataError, match=r"sum to 1\.1, not to 1\. In proportion they are: 0\.7273, 0\.2727"):
        exported(mix, schedule=str(place))
    place.write_text(json.dumps({"stages": [{**one, "share": 0.667}, {**two, "share": 0.333}]}))
    assert exported(mix, schedule=str(place))["warnings"] == []


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("web", "data/web"), ("web/science", "data/web/science"), ("", "data/%"), ("..", "data/%2E%2E"),
        ("../../etc", "data/%2E%2E/%2E%2E/etc"), (".", "data/%2E"), ("/etc", "data/%/etc"), ("a//b/", "data/a/%/b/%"),
        ("a\0b", "data/a%00b"), ("...", "data/..."),
    ],
)  # fmt: skip
def test_places_stay_below_the_folder_of_data(name: str, place: str) -> None:
    assert default_place(name) == place


def test_no_source_is_sent_above_the_data(tmp_path: Path) -> None:
    sizes = {"": 2_000, "../../etc": 2_000, "web": 6_000}
    mix = mixed(tmp_path, {"": "0.2", "../../etc": "0.2", "web": "0.6"}, sizes, 10_000)
    for to in sorted(set(exporting.names()) - {"olmix"}):  # which has no places and refuses such names
        found = exporting.export_mix(mix, to, output=tmp_path / "out", sequence=100, packed=to != "axolotl")
        assert sorted(one["place"] for one in found.summary["sources"]) == [
            "data/%",
            "data/%2E%2E/%2E%2E/etc",
            "data/web",
        ]
        text = "".join((found.folder / name).read_text("latin-1") for name in found.summary["files"])
        assert "data/.." not in text and '"data/"' not in text and "'data/'" not in text, to
        assert to != "doremi" or "../" not in text  # its names are folders


def test_two_sources_have_two_places(tmp_path: Path) -> None:
    mix = mixed(tmp_path, EVEN)
    with pytest.raises(UsageError, match=r"'fiction' and 'web' would both be at '/data/a'"):
        exported(mix, "megatron", places={"fiction": "/data/a", "web": "/data/a"})
    with pytest.raises(UsageError, match="would both be at"):
        exported(mix, "megatron", places={"fiction": "data/web"})
    answer = run("mix", "export", mix, "--to", "megatron", "--data", "web=a", "--data", "web=b", "-o", tmp_path / "out")
    assert "names 'web' twice" in answer.error()
