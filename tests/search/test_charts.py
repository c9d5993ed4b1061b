"""Charts of mixtures stay inside their frame, and their labels do not fall on each other."""

from __future__ import annotations

import numpy as np
import pytest

from cuvee.report.charts import Mixture, Weight, losses, predicted, weights
from tests.report.test_charts import check


@pytest.mark.parametrize("count", [0, 1, 3, 16, 40])
def test_weights(count: int) -> None:
    rows = [Weight(f"domain number {i} of the pool", 1 / (i + 1), 0.5 / (i + 1), 1.0, 0.1, 0.2) for i in range(count)]
    chart = weights(rows)
    check(chart)
    assert ("more" in chart.wide) == (count > 16)
    check(weights([Weight("none", 0.0, 0.0, 0.0, 0.0, 0.0)]))


@pytest.mark.parametrize("count", [0, 1, 60])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1e3])
def test_predicted(count: int, scale: float) -> None:
    random = np.random.default_rng(count)
    rows = [
        Mixture(f"m{i}", (0.5, 0.5), 2 + scale * random.random(), 2 + scale * random.random()) for i in range(count)
    ]
    check(predicted([*rows, Mixture("without", (1.0, 0.0), 2.0, None)], "bits per byte"))


@pytest.mark.parametrize("sources", [2, 3, 4, 7, 12, 36])
@pytest.mark.parametrize("long", [False, True])
def test_losses(sources: int, long: bool) -> None:
    """Any number of sources, long names and short ones."""
    random = np.random.default_rng(sources)
    names = [f"a source of a long name, number {i}" if long else f"s{i}" for i in range(sources)]
    shares = random.dirichlet(np.ones(sources), 50)
    rows = [Mixture(f"m{i}", one.tolist(), 2 + float(one[0]), None) for i, one in enumerate(shares)]
    surface = [[*one.tolist(), 2 + float(one[0])] for one in shares] if sources < 4 else []
    check(losses(names, rows, shares[0].tolist(), surface, "bits per byte"))
    check(losses(names, [rows[0]], shares[0].tolist(), [], "bits per byte"))
    check(losses(names, [], shares[0].tolist(), [], "bits per byte"))
