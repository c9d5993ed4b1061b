"""TRAK over several trainings: each model is what its half alone gives, and the scores are the paper's mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cuvee.core import Batch
from cuvee.engine.draw import uniform
from cuvee.errors import UsageError
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.fold.labelled_sample import label_hash
from cuvee.gradient.fitting import fit_probe, half, seeds_of
from cuvee.gradient.labelled import class_of, train_classifier
from cuvee.gradient.projection import Projection
from cuvee.methods.score.trak import Trak
from tests.laws.test_laws import Straight, batch_of, texts


class Labelled(Straight):
    """A pool and a target of three domains, whose words differ a little."""

    def __init__(self) -> None:
        self.pool = batch_of(texts(0, 24, 8) + texts(7, 16, 8))
        self.target = batch_of(texts(7, 6, 8))
        self.rows = len(self.pool)

    def fold(self, fold: Any, over: str = "pool") -> Any:
        return fold.finish(fold.lift(self.pool if over == "pool" else self.target))

    def targets(self) -> Iterator[Batch]:
        yield self.target


METHOD = Trak("linear", epochs=3, checkpoints=1, warm_up=1000, dimensions=24, sample=1000, ridge=0.2, trainings=3)


def test_every_model_is_trained_on_its_own_half() -> None:
    run = Labelled()
    fitted = fit_probe(run, METHOD, "trak", output="margin", trainings=3)
    seeds = seeds_of(run.seed, 3)
    assert fitted.seeds == seeds and len(set(seeds)) == 3 and seeds_of(run.seed, 1) == (run.seed,)
    vectors = StaticEmbedding().vectors(run.pool)
    assert fitted.probe.column == "label"
    place = class_of(label_hash(run.pool, "label"), fitted.probe.classes)
    count, halves = len(fitted.probe.classes) + 1, []
    for seed, parameters in zip(seeds, fitted.probe.parameters, strict=True):
        draw = uniform(seed, "half of the warm-up", run.pool.key)
        rows = np.flatnonzero(draw <= np.sort(draw)[19])
        halves.append(frozenset(rows.tolist()))
        found = train_classifier(vectors[rows], place[rows], count, run.pool.key[rows], 0, 3, 1, seed)
        assert parameters == pytest.approx(found.parameters[0], abs=1e-6)
    assert len(set(halves)) == 3
    assert not np.allclose(fitted.probe.parameters[0], fitted.probe.parameters[1], atol=1e-3)


def test_scores_are_the_mean_over_models_times_the_mean_doubt() -> None:
    """By dense algebra in double precision, with each model's own projection (section 3 of the paper)."""
    run = Labelled()
    probe = fit_probe(run, METHOD, "trak", output="margin", trainings=3).probe
    inner, doubt = np.zeros(run.rows), np.zeros(run.rows)
    rows, target = list(probe.each(run.pool)), list(probe.each(run.target))
    for t, seed in enumerate(seeds_of(run.seed, 3)):
        signs = Projection(24, seed).matrix(0, probe.size).astype(np.float64) / np.sqrt(24 * probe.size)
        phi = np.stack([one[t][0] for one in rows]).astype(np.float64) @ signs
        query = np.mean([one[t][0] for one in target], axis=0, dtype=np.float64) @ signs
        gram = phi.T @ phi / len(phi)
        gram += 0.2 * np.trace(gram) / len(gram) * np.eye(len(gram))
        inner += phi @ np.linalg.solve(gram, query) / 3
        doubt += np.array([one[t][1] for one in rows]) / 3
    wanted = inner * doubt
    found = METHOD.fit(run).apply(run.pool)["score"]
    scale = float(found @ wanted / (wanted @ wanted))  # the scale is arbitrary
    assert scale > 0
    assert found == pytest.approx(scale * wanted, abs=1e-5 * float(np.abs(found).max()))


def test_halves_depend_on_keys_alone() -> None:
    key = np.random.default_rng(0).integers(0, 2**63, 31).astype(np.uint64)
    order = np.random.default_rng(1).permutation(31)
    assert len(half(key, 5)) == 15
    assert set(key[half(key, 5)].tolist()) == set(key[order][half(key[order], 5)].tolist())
    assert half(key[:1], 5).tolist() == [0]


def test_no_training_is_refused() -> None:
    with pytest.raises(UsageError, match="trainings are at least 1"):
        Trak("linear", trainings=0).fit(Labelled())
