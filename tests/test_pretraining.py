"""cuvee pretrain: a model kept from a pool, and trials that go on from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cuvee
from cuvee import pretraining
from cuvee.errors import DataError, UsageError
from cuvee.proof.ledger import Ledger

from .command import cuvee as command

pytest.importorskip("torch")
PROXY = "transformer:context=32,batch=8,floor=0.1"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pretraining") / "pool.jsonl"
    rows = [{"text": f"{word} {i} " * 20, "domain": word} for word in ("alpha", "beta") for i in range(12)]
    place.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return place


def test_a_file_names_its_training(pool: Path, tmp_path: Path) -> None:
    one = cuvee.pretrain(pool, proxy=PROXY, only=["alpha"], output=tmp_path / "one", cache=tmp_path / "cache")
    two = cuvee.pretrain(pool, proxy=PROXY, only=["alpha"], output=tmp_path / "two", cache=tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert one.summary["digest"] == two.summary["digest"]
    assert one.summary["documents"] == 12
    assert one.summary["about"]["tokens"] > 0
    other = cuvee.pretrain(pool, proxy=PROXY, only=["beta"], output=tmp_path / "two", cache=tmp_path / "cache")
    assert other.summary["digest"] != one.summary["digest"]
    part = cuvee.pretrain(pool, proxy=PROXY, tokens=200, output=tmp_path / "two", cache=tmp_path / "cache")
    assert 0 < part.summary["tokens"] <= 200


def test_trials_go_on_from_it(pool: Path, tmp_path: Path) -> None:
    """The checkpoint's digest is in the trial's key: another model, other trials; the same one, none."""
    held = tmp_path / "held.jsonl"
    held.write_text("".join(json.dumps({"text": f"alpha {i} and beta {i} " * 9}) + "\n" for i in range(8)))
    kept = cuvee.select(pool, method="random", fraction=0.9, output=tmp_path / "kept", cache=tmp_path / "cache").folder
    model = tmp_path / "model.safetensors"

    def prove() -> int:
        cuvee.prove(
            kept, evaluations={"held": held}, against="random", seeds=2, proxy=f"{PROXY},start={model}", tokens=300,
            ledger=tmp_path / "ledger", output=tmp_path / "proof", cache=tmp_path / "cache", workers=1,
        )  # fmt: skip
        # how many multiples of random are tried depends on the losses, so these do not count
        return sum(one.arm in (kept.name, "random") for one in Ledger(tmp_path / "ledger").records())

    counts = []
    for domain in ("alpha", "alpha", "beta"):
        cuvee.pretrain(pool, proxy=PROXY, only=[domain], output=model, cache=tmp_path / "cache")
        counts.append(prove())
    assert counts == [counts[0], counts[0], 2 * counts[0]]


def test_wrong_requests_are_sentences(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no domain 'gamma'"):
        cuvee.pretrain(pool, proxy=PROXY, only=["gamma"], output=tmp_path / "model")
    with pytest.raises(UsageError, match="Only a transformer"):
        cuvee.pretrain(pool, proxy="ngram", output=tmp_path / "model")
    with pytest.raises(DataError, match="nothing to train on"):
        cuvee.pretrain(pool, proxy=PROXY, tokens=1, output=tmp_path / "model")
    foreign = tmp_path / "foreign"
    foreign.write_text("mine")
    with pytest.raises(UsageError, match="no checkpoint of cuvee"):
        cuvee.pretrain(pool, proxy=PROXY, output=foreign)
    assert foreign.read_text() == "mine"


def test_the_command(pool: Path, tmp_path: Path) -> None:
    place = tmp_path / "model.safetensors"
    done = command("pretrain", pool, "--proxy", PROXY.replace(",floor=0.1", ""), "--tokens", "300", "-o", place)
    assert done.status == 0
    assert "onward=redecay" in done.out and "start=" in done.out
    assert command("pretrain", pool, "--epochs", "0", "-o", place).status == 2
    planned = command("pretrain", pool, "--plan", "-o", tmp_path / "none")
    assert planned.status == 0 and not (tmp_path / "none").exists()


def test_a_plan_refuses_what_the_training_would_refuse(pool: Path, tmp_path: Path) -> None:
    """And trains, writes and keeps nothing."""
    from click.testing import CliRunner

    from cuvee.cli import cli

    held = tmp_path / "out"
    held.mkdir()
    (held / "notes.txt").write_text("mine")

    def planned(*words: str) -> tuple[int, str]:
        common = ["--cache", str(tmp_path / "cache"), "--plan"]
        found = CliRunner().invoke(cli, ["pretrain", *words, *common])
        return found.exit_code, found.output or str(found.exception)

    asked = ["--proxy", PROXY, "-o", str(held / "model.safetensors")]
    status, said = planned(str(pool), *asked, "--only", "alpha", "--tokens", "200")
    assert status == 0 and "documents, " in said and "1 pass" in said
    for words, wanted in (
        ([str(tmp_path / "none"), *asked], "no such file"),
        ([str(pool), *asked, "--only", "gamma"], "no domain 'gamma'"),
        ([str(pool), *asked, "--epochs", "0"], "above 0"),
        ([str(pool), "--proxy", "ngram"], "Only a transformer"),
        ([str(pool), "--proxy", PROXY, "-o", str(held / "notes.txt")], "no checkpoint of cuvee"),
    ):
        status, said = planned(*words)
        assert status != 0 and wanted in said
    assert [one.name for one in held.iterdir()] == ["notes.txt"]


def test_the_loss_at_the_end_is_said(pool: Path, tmp_path: Path) -> None:
    """A model that has seen the same few documents often loses less on them than one that has seen them once."""
    once, often = (
        cuvee.pretrain(pool, proxy=PROXY, epochs=epochs, output=tmp_path / "model", cache=tmp_path / "cache")
        for epochs in (1, 8)
    )
    assert 0 < often.summary["loss"] < once.summary["loss"] < 6
    assert any(f"{often.summary['loss']:.4f} nats a token" in line for line in pretraining.lines(often))


def test_rejected_rows_are_listed_beside_the_model(pool: Path, tmp_path: Path) -> None:
    """The list of an earlier training goes with its model; a file that is none is not replaced."""
    spoilt, model, listed = tmp_path / "pool.jsonl", tmp_path / "model.safetensors", tmp_path / "model.rejects.jsonl"
    spoilt.write_text(pool.read_text() + '{"text": null, "domain": "alpha"}\n{"text"\n')
    asked = ["--proxy", PROXY, "--cache", tmp_path / "cache", "-o", model]
    refused = command("pretrain", spoilt, *asked)
    assert refused.status == 3 and "counted and listed" in refused.error() and not listed.exists()
    planned = command("pretrain", spoilt, *asked, "--skip-bad", "--plan")
    assert str(listed) in "".join(planned.out.split()) and not listed.exists()
    done = command("pretrain", spoilt, *asked, "--skip-bad")
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [one["line"] for one in rows] == [25, 26] and all(one["file"] == str(spoilt) for one in rows)
    shown = " ".join(done.out.split())
    assert "(!) 2 of 26 rows could not be used" in shown and "listed beside it in model.rejects.jsonl" in shown
    assert command("pretrain", pool, *asked).status == 0 and not listed.exists()
    listed.write_text("mine\n")
    assert command("pretrain", pool, *asked).status == 2 and listed.read_text() == "mine\n"
