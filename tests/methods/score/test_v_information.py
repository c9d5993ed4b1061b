"""V-information: planted labels that texts tell in full, in part, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch
from cuvee.errors import DataError, UsageError
from cuvee.methods.score.v_information import VInformation, pointwise
from tests.laws.test_laws import Straight, batch_of, part_of


class Planted(Straight):
    """Rows of three labels; the first word of a row names its label but for a known share of wrong ones."""

    def __init__(self, wrong: float) -> None:
        chance = np.random.default_rng(0)
        truth = chance.choice(3, size=1200, p=[0.5, 0.3, 0.2])
        self.wrong = chance.random(1200) < wrong
        shown = np.where(self.wrong, (truth + chance.integers(1, 3, 1200)) % 3, truth)
        filler = chance.choice(["sea", "ship", "whale", "land"], size=(1200, 2))
        batch = batch_of([f"word{t} {a} {b} {i}" for i, (t, (a, b)) in enumerate(zip(truth, filler, strict=True))])
        self.batch = replace(batch, columns={"label": pa.array([f"c{one}" for one in shown], pa.large_string())})

    def fold(self, fold: Any, over: str = "pool") -> Any:
        return fold.finish(
            fold.merge(fold.lift(part_of(self.batch, 0, 500)), fold.lift(part_of(self.batch, 500, 1200)))
        )


def test_pointwise_in_closed_form() -> None:
    share = np.array([0.5, 0.3, 0.2])
    told_nothing = np.tile(np.log(share / (1 - share)), (3, 1))
    assert np.allclose(pointwise(told_nothing, np.arange(3), share), 0, atol=1e-12)
    certain = np.where(np.eye(3) > 0, 25.0, -25.0)
    assert np.allclose(pointwise(certain, np.arange(3), share), -np.log2(share), atol=1e-6)
    assert (pointwise(certain, np.array([1, 2, 0]), share) < -30).all()


def test_wrong_labels_have_the_lowest_values() -> None:
    run: Any = Planted(0.1)
    fitted = VInformation(prefer="easy", drop=0.0).fit(run)
    bits = fitted.apply(run.batch)["score"]
    assert bits[run.wrong].max() < 0 < np.median(bits[~run.wrong])
    assert 0.5 < fitted.notes["bits_told_by_text"] < fitted.notes["bits_of_label"] < 1.6
    assert fitted.notes["bits_told_by_text"] == pytest.approx(bits.mean(), abs=1e-9)
    hard = VInformation(drop=0.1).fit(run).apply(run.batch)["score"]
    left = np.isfinite(hard)
    assert 0.88 <= left.mean() <= 0.92 and np.array_equal(hard[left], -bits[left])
    assert run.wrong[~left].mean() > 0.9


def test_texts_that_tell_nothing_tell_no_bits() -> None:
    run: Any = Planted(0.0)
    labels = np.random.default_rng(5).permutation(run.batch.columns["label"].to_pylist())
    run.batch = replace(run.batch, columns={"label": pa.array(labels.tolist(), pa.large_string())})
    assert VInformation().fit(run).notes["bits_told_by_text"] < 0.05


def test_rows_without_a_label_are_left_out_and_refusals() -> None:
    run: Any = Planted(0.0)
    labels: list[Any] = run.batch.columns["label"].to_pylist()
    labels[7] = None
    run.batch = replace(run.batch, columns={"label": pa.array(labels, pa.large_string())})
    assert VInformation(drop=0.0).fit(run).apply(run.batch)["score"][7] == -np.inf
    batch: Batch = run.batch
    run.batch = replace(batch, columns={"label": pa.array(["a"] * len(batch), pa.large_string())})
    with pytest.raises(DataError, match="2 to 100 labels"):
        VInformation().fit(run)
    with pytest.raises(UsageError):
        VInformation(drop=1.0).fit(run)
