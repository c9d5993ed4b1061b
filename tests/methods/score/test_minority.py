"""Minority mining: the autoencoder against PyTorch, the recalibrated layer, and a rare class that is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.core import Batch
from cuvee.engine.draw import uniform
from cuvee.errors import DataError, UsageError
from cuvee.feature.autoencoder import forward, softmax, train_autoencoder
from cuvee.fold.labelled_sample import label_hash
from cuvee.gradient.labelled import parts_of, train_classifier
from cuvee.methods.score.minority import HIDDEN, Minority, Unusual


def given(x: Any, label: Any = None, first: int = 0) -> Batch:
    n = len(x)
    columns: dict[str, Any] = {"embedding": np.asarray(x, np.float32)}
    if label is not None:
        columns["label"] = pa.array([str(one) for one in label])
    key = np.arange(first, first + n, dtype=np.uint64)
    return Batch(np.zeros(0, np.uint8), np.zeros(n + 1, np.int64), np.arange(n), key, columns)


class Vectors:
    """A pool without labels, and a labelled target in two batches."""

    seed = 5

    def __init__(self, pool: Any, target: Any, label: Any) -> None:
        self.pool, self.x, self.label, self.rows = given(pool), np.asarray(target), np.asarray(label), len(pool)

    def fold(self, fold: Any, over: str = "pool") -> Any:
        raise AssertionError("the pool is not needed")

    def targets(self) -> Iterator[Batch]:
        for cut in (slice(0, 7), slice(7, None)):
            yield given(self.x[cut], self.label[cut], 1000 + (cut.start or 0))


def skewed(seed: int, rows: int, rare: float) -> tuple[Any, Any]:
    """Four clusters on the axes, of which the last has this share of the rows."""
    chance = np.random.default_rng(seed)
    label = np.where(chance.random(rows) < rare, 3, chance.integers(0, 3, rows))
    return np.eye(6)[label] + chance.normal(0, 0.12, (rows, 6)), label


def test_the_autoencoder_is_that_of_pytorch() -> None:
    """Layers of the release's sizes, mean squares and Adam at 0.001, from the same beginning over the same batches."""
    torch = pytest.importorskip("torch")
    x = softmax(np.random.default_rng(0).normal(0, 2, (150, 10)))
    key, seed = np.arange(150, dtype=np.uint64), 3
    found = train_autoencoder(x, key, 40, seed)
    assert [w.shape for w, _ in found] == [(10, 10), (10, 9), (9, 10), (10, 10)]
    chance, parts = np.random.default_rng([seed, 11]), list[Any]()
    for before, after in ((10, 10), (10, 9), (9, 10), (10, 10)):
        layer = torch.nn.Linear(before, after, dtype=torch.float64)
        for one, shape in ((layer.weight, (before, after)), (layer.bias, (after,))):
            one.data = torch.tensor((chance.uniform(-1, 1, shape) / np.sqrt(before)).T.copy())
        parts += [layer, torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts[:-1])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(40):
        epoch, at = divmod(step, 3)
        order = np.argsort(uniform(seed, f"autoencoder pass {epoch}", key), kind="stable")
        batch = torch.tensor(x[order[64 * at : 64 * at + 64]])
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(model(batch), batch).backward()
        optimiser.step()
    for (w, b), layer in zip(found, parts[::2], strict=True):
        assert w == pytest.approx(layer.weight.detach().numpy().T, abs=1e-9)
        assert b == pytest.approx(layer.bias.detach().numpy(), abs=1e-9)
    assert forward(x, found)[-1] == pytest.approx(model(torch.tensor(x)).detach().numpy(), abs=1e-9)


def test_the_score_is_what_is_not_rebuilt() -> None:
    layers = [(np.eye(3), np.array([-0.25, 0.0, 0.0]))]
    fitted = Unusual(Any, [(np.eye(3) * 2, np.zeros(3))], layers, False)  # type: ignore[arg-type]
    x = np.array([[0.0, 0.5, 1.0], [3.0, 0.0, 0.0]])
    assert fitted.errors(x) == pytest.approx(0.25**2 / 3)
    assert replace(fitted, logits=True).errors(-x) == pytest.approx(0.25**2 / 3)
    halved = replace(fitted, autoencoder=[(np.eye(3) / 2, np.zeros(3))])
    p = np.exp(2 * x) / np.exp(2 * x).sum(axis=1, keepdims=True)
    assert halved.errors(x) == pytest.approx((p**2).mean(axis=1) / 4)


def test_a_rare_class_is_found() -> None:
    """Of the pool's 12 %, three labelled rows of sixty are known; they lead, and better than by chance."""
    target, label = skewed(1, 60, 0.0)
    target[:3], label[:3] = np.eye(6)[3] + np.random.default_rng(9).normal(0, 0.12, (3, 6)), 3
    pool, wanted = skewed(2, 400, 0.12)
    run = Vectors(pool, target, label)
    fitted = Minority().fit(run)
    assert fitted.notes["rarest"] == 3 and fitted.notes["labelled_rows"] == 60
    score = fitted.apply(run.pool)["score"]
    top = np.argsort(-score)[: int((wanted == 3).sum())]
    assert (wanted[top] == 3).mean() > 0.6


def test_the_last_layer_is_trained_anew_on_the_frozen_one() -> None:
    target, label = skewed(1, 60, 0.2)
    run = Vectors(target, target, label)
    fitted = Minority(epochs=4, steps=5).fit(run)
    key = np.concatenate([np.arange(1000, 1007), np.arange(1007, 1060)]).astype(np.uint64)
    (u, a), (w, b) = fitted.classifier
    x = target.astype(np.float32).astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)  # as embedders give them
    h = np.maximum(x @ u + a, 0)
    _, place = np.unique(label_hash(given(target, label), "label"), return_inverse=True)
    begun = train_classifier(x, place, 4, key, HIDDEN, 4, 1, run.seed).parameters[0].astype(np.float64)
    frozen, _, old, _ = parts_of(begun, 6, 4, HIDDEN)
    assert u == pytest.approx(frozen, abs=1e-4) and not np.allclose(w, old, atol=0.05)
    anew = train_classifier(h, place, 4, key, 0, 4, 1, run.seed).parameters[0]
    _, _, w_again, b_again = parts_of(anew.astype(np.float64), HIDDEN, 4, 0)
    assert w == pytest.approx(w_again, abs=1e-4) and b == pytest.approx(b_again, abs=1e-4)


def test_refused() -> None:
    pool, label = skewed(0, 20, 0.2)
    with pytest.raises(UsageError, match="rebuild is softmax or logits"):
        Minority(rebuild="probabilities").fit(Vectors(pool, pool, label))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="none is rare"):
        Minority().fit(Vectors(pool, pool, np.zeros(20, int)))

    class Bare(Vectors):
        def targets(self) -> Iterator[Batch]:
            yield given(self.x)

    with pytest.raises(DataError, match="a column of domains, or labels"):
        Minority().fit(Bare(pool, pool, label))


def test_by_the_command_the_pool_needs_no_labels(tmp_path: Path) -> None:
    """Two frequent kinds and a rare one, named by the target's domains: its rows lead, however the files are cut."""
    chance = np.random.default_rng(0)
    kinds = [
        "select from where join table index",
        "whale sea captain harpoon ship",
        "protein enzyme membrane cell acid",
    ]
    kind = np.where(chance.random(150) < 0.15, 2, chance.integers(0, 2, 150))
    rows = [json.dumps({"text": " ".join(chance.choice(kinds[one].split(), 8))}) + "\n" for one in kind]
    (tmp_path / "pool").mkdir()
    (tmp_path / "whole.jsonl").write_text("".join(rows))
    (tmp_path / "pool" / "0.jsonl").write_text("".join(rows[:40]))
    (tmp_path / "pool" / "1.jsonl").write_text("".join(rows[40:]))
    shown = [0] * 25 + [1] * 25 + [2] * 3
    target = [{"text": " ".join(chance.choice(kinds[one].split(), 8)), "domain": f"k{one}"} for one in shown]
    (tmp_path / "target.jsonl").write_text("".join(json.dumps(row) + "\n" for row in target))
    digests = set()
    for number, pool in enumerate(("whole.jsonl", "pool")):
        found = cuvee.select(
            tmp_path / pool,
            target=tmp_path / "target.jsonl",
            method="minority",
            settings={"steps": 1500},
            rows=15,
            workers=1 + 2 * number,
            output=tmp_path / str(number),
        )
        digests.add(found.digest)
    assert len(digests) == 1
    kept = pq.read_table(tmp_path / "0" / "selection.parquet").column("row").to_pylist()
    assert np.mean(kind[kept] == 2) > 0.5
