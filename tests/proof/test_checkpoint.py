"""Going on from a checkpoint: the same bits every time, the rates that are asked for, and files that are no model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.errors import DataError, UsageError
from cuvee.methods.policy.uniform import Uniform
from cuvee.online.rates import cosine, rewarmed
from cuvee.proof.proxies import checkpoint, transformer
from cuvee.proof.proxies.transformer import Shape, Transformer
from cuvee.proof.proxy import Outcome, Recipe, Watch
from cuvee.proof.recipes import from_json, to_json

torch = pytest.importorskip("torch")
from .test_transformer import EVALUATION, texts_of  # noqa: E402

TINY: dict[str, Any] = {"size": "tiny", "context": 32, "batch": 8, "device": "cpu"}
OLD, NEW = texts_of("target.jsonl", 0, 6), texts_of("target.jsonl", 6, 12)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(transformer.SIZES, "tiny", Shape(32, 2, 2, 64, 1e-2))
    monkeypatch.setitem(transformer.SIZES, "other", Shape(16, 2, 2, 64, 1e-2))
    return


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A model trained on the old texts, whose rate ended at a tenth of its peak."""
    place = tmp_path / "old.safetensors"
    Transformer(**TINY, floor=0.1).train(OLD, [], Uniform(), 1.0, 3, Watch(keep=place))
    return place


def run(proxy: Transformer, watch: Watch | None = None, seed: int = 0) -> Outcome:
    return proxy.train(NEW, [EVALUATION], Uniform(), 1.0, seed, watch or Watch())


def loss(one: Outcome) -> float:
    return one.measured["held out"].mean()


def test_the_same_training_gives_the_same_file(old: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    Transformer(**TINY, floor=0.1).train(OLD, [], Uniform(), 1.0, 3, Watch(keep=again))
    assert again.read_bytes() == old.read_bytes()
    other = tmp_path / "other.safetensors"
    Transformer(**TINY, floor=0.1).train(OLD, [], Uniform(), 1.0, 4, Watch(keep=other))
    assert checkpoint.inspect(other).digest != checkpoint.inspect(old).digest


def test_other_programs_read_it(old: Path) -> None:
    tensors = pytest.importorskip("safetensors.numpy").load_file(old)
    _, state = checkpoint.read(old, checkpoint.inspect(old).digest)
    assert set(tensors) == set(state)
    assert all(np.array_equal(tensors[name], state[name]) for name in state)


def test_training_goes_on_from_the_model(old: Path) -> None:
    """The curve begins where the old model stands: a rate near 0 leaves it there, for any seed."""
    still = Transformer(**TINY, start=str(old), rate=1e-12, weight_decay=0.0)
    kept = Transformer(**TINY, floor=0.1).train(OLD, [EVALUATION], Uniform(), 1.0, 3, Watch())
    assert loss(run(still)) == pytest.approx(loss(kept), abs=1e-6)
    assert loss(run(still, seed=5)) == pytest.approx(loss(kept), abs=1e-6)
    on = run(Transformer(**TINY, start=str(old)))
    assert loss(on) < loss(kept) - 0.05
    assert (
        on.measured["held out"].loss.tobytes()
        == run(Transformer(**TINY, start=str(old))).measured["held out"].loss.tobytes()
    )


def test_moments_and_steps_go_on(old: Path, tmp_path: Path) -> None:
    """What a checkpoint's successor says of itself, and a step that only the old moments can have made."""
    frozen = Transformer(**TINY, start=str(old), weight_decay=0.0, clip=1e-12, rate=1e-2)
    frozen.train(NEW, [], Uniform(), 0.2, 0, Watch(keep=tmp_path / "next"))
    (about, before), (further, after) = (
        checkpoint.read(place, checkpoint.inspect(place).digest) for place in (old, tmp_path / "next")
    )
    assert further.begun == checkpoint.inspect(old).digest
    assert further.tokens > about.tokens
    assert after["steps"][0] > before["steps"][0] > 0
    moved = after["parameters"] - before["parameters"]
    assert np.abs(moved).max() > 1e-4  # gradients are clipped to nothing: momentum moves it
    large = np.abs(before["first"]) > np.quantile(np.abs(before["first"]), 0.9)
    assert (np.sign(moved[large]) == -np.sign(before["first"][large])).mean() > 0.99


def test_resumes_exactly(old: Path, tmp_path: Path) -> None:
    proxy = Transformer(**TINY, start=str(old))
    whole = run(proxy, Watch(keep=tmp_path / "whole"))

    def stop(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(proxy, Watch(stop, tmp_path / "running", 0.0, tmp_path / "resumed"))
    assert not (tmp_path / "resumed").exists()
    resumed = run(proxy, Watch(checkpoint=tmp_path / "running", keep=tmp_path / "resumed"))
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
    assert resumed.measured["held out"].loss.tobytes() == whole.measured["held out"].loss.tobytes()


def test_rates_are_those_of_the_papers(old: Path) -> None:
    told = checkpoint.inspect(old).about
    assert (told.peak, told.rate) == pytest.approx((1e-2, 1e-3))
    again = Transformer(**TINY, start=str(old), warmup=0.01, floor=0.1)
    falling = Transformer(**TINY, start=str(old), onward="redecay", floor=0.01)
    for at in (0.0, 0.005, 0.01, 0.3, 0.711, 1.0):
        assert again.rate_at(at) == pytest.approx(rewarmed(at, 1e-2, 0.1, 0.01))
        assert falling.rate_at(at) == pytest.approx(cosine(at, 1e-3, 0.01))
    assert Transformer(**TINY, floor=0.25, schedule="wsd").rate_at(1.0) == pytest.approx(0.25e-2)


def test_the_digest_is_part_of_the_key(old: Path, tmp_path: Path) -> None:
    proxy = Transformer(**TINY, start=str(old))
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(old.read_bytes())
    keys = {Recipe(replace(proxy, start=str(place)), Uniform()).digest() for place in (old, moved)}
    assert len(keys) == 1  # its content counts, not its place
    assert Recipe(Transformer(**TINY), Uniform()).digest() not in keys
    Transformer(**TINY, floor=0.1).train(OLD, [], Uniform(), 1.0, 4, Watch(keep=old))
    assert Recipe(Transformer(**TINY, start=str(old)), Uniform()).digest() not in keys
    with pytest.raises(UsageError, match="has changed"):
        Transformer(**TINY, start=str(old), start_digest=proxy.start_digest)
    with pytest.raises(DataError, match="has changed"):
        run(proxy)


@pytest.mark.parametrize("cut", [0, 7, 40, -1])
def test_what_is_no_model_is_refused(cut: int, old: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(old.read_bytes()[:cut])
    with pytest.raises(DataError, match="no checkpoint"):
        Transformer(**TINY, start=str(broken))


@pytest.mark.parametrize(
    "change",
    [{"shape": [-1, 2]}, {"shape": [3]}, {"data_offsets": [-8, 0]}, {"data_offsets": [0, 1 << 60]}, {"dtype": "BF16"}],
)
def test_headers_that_lie_are_refused(change: dict[str, Any], old: Path) -> None:
    raw = old.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["parameters"] |= change
    text = json.dumps(header).encode()
    old.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    with pytest.raises(DataError, match="no checkpoint"):
        Transformer(**TINY, start=str(old))


def test_models_that_do_not_suit_are_refused(old: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size=tiny"):
        Transformer(**(TINY | {"size": "other"}), start=str(old))
    with pytest.raises(DataError, match="cannot be read"):
        Transformer(**TINY, start=str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="need a checkpoint"):
        Transformer(**TINY, onward="redecay")
    ended = tmp_path / "ended"
    Transformer(**TINY).train(OLD, [], Uniform(), 1.0, 3, Watch(keep=ended))
    with pytest.raises(UsageError, match="rate of 0"):
        Transformer(**TINY, start=str(ended), onward="redecay")
    assert Transformer(**TINY, start=str(ended), onward="redecay", rate=1e-3).rate_at(0.0) == 1e-3


def test_recipes_name_their_checkpoint(tmp_path: Path) -> None:
    about = checkpoint.About("transformer", "0.3M", 64, 257, "", 4e-4, 4e-3, 100, "", 0)
    checkpoint.write(tmp_path / "model", about, {"steps": np.zeros(1, np.int64)})
    proxy = Transformer(start=str(tmp_path / "model"), onward="redecay")
    again = from_json(json.loads(json.dumps(to_json(Recipe(proxy, Uniform())))))
    assert again.proxy == proxy
    assert again.digest() == Recipe(proxy, Uniform()).digest()
    with pytest.raises(DataError, match="no checkpoint of a transformer"):
        proxy.train(NEW, [], Uniform(), 1.0, 0, Watch())


def test_a_diverged_model_is_not_kept(tmp_path: Path) -> None:
    outcome = Transformer(**TINY, rate=1e9, clip=1e9).train(OLD, [], Uniform(), 4.0, 0, Watch(keep=tmp_path / "model"))
    assert outcome.diverged
    assert not (tmp_path / "model").exists()
