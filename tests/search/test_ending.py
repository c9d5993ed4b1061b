"""What the end of a run holds: documents, shares without a source, and rates that join to one schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Block
from cuvee.errors import UsageError
from cuvee.proof.proxies.transformer import Transformer
from cuvee.search.ending import Course, left_out, rates, walk


def documents(counts: tuple[int, ...], tokens: int = 10) -> Block:
    """So many documents of each source, all of one length."""
    n = sum(counts)
    return {
        "row": np.arange(n),
        "content": np.arange(n, dtype=np.uint64) + np.uint64(77),
        "tokens": np.full(n, tokens),
        "bytes": np.full(n, 4 * tokens),
        "domain": np.repeat(np.arange(len(counts)), counts),
    }


def test_the_others_share_in_proportion() -> None:
    mixture = np.array([0.5, 0.3, 0.2])
    assert left_out(mixture, 0) == pytest.approx([0, 0.6, 0.4])
    assert left_out(mixture, 2) == pytest.approx([0.625, 0.375, 0])
    with pytest.raises(UsageError, match="one source alone"):
        left_out(np.array([0.0, 1.0]), 1)


def test_a_walk_takes_whole_passes_and_a_part() -> None:
    """Source 0 has 40 tokens in four documents, source 1 has 20 in two: 90 tokens are two passes and a document."""
    held = documents((4, 2))
    order = np.array([5, 3, 1, 0, 2, 4])
    found = walk(held, order, np.array([90.0, 10.0]))
    assert found.tolist() == [2, 2, 2, 3, 0, 1]  # the order begins with 3 in source 0, with 5 in source 1
    assert walk(held, order, np.array([40.0, 0.0])).tolist() == [1, 1, 1, 1, 0, 0]
    assert walk(held, order, np.array([4.0, 6.0])).tolist() == [0, 0, 0, 0, 0, 1]  # by the middle of a document


def course(seed: int = 0) -> Course:
    """1,000 tokens of three sources, the last fifth of which is the end."""
    counts = (60, 30, 10)
    return Course.of(documents(counts), np.array([0.6, 0.3, 0.1]), 1_000, 0.2, seed)


def test_the_end_goes_on_where_the_beginning_stopped() -> None:
    """By size the end takes exactly what is left; a source that is lifted is repeated only after that."""
    run = course()
    begun = run.beginning()
    assert begun.tokens == 800 and begun.documents == len(begun.row) == 80
    natural, _ = run.ending(np.array([0.6, 0.3, 0.1]), 5)
    assert natural.tokens == 200 and not set(natural.row.tolist()) & set(begun.row.tolist())
    lifted, seen = run.ending(np.array([0.0, 0.0, 1.0]), 5)
    assert seen.tolist() == [0, 0, 1] and lifted.tokens == 200  # ten documents, two passes each
    assert lifted.repeats.tolist() == [2] * 10
    part, _ = run.ending(np.array([0.0, 0.95, 0.05]), 5)
    assert {90, 91, 92, 93, 94, 95, 96, 97, 98, 99} & set(part.row.tolist()) <= set(natural.row.tolist())


def test_arms_of_a_seed_share_their_documents_and_seeds_differ() -> None:
    run, mixture = course(), np.array([0.2, 0.4, 0.4])
    full, shares = run.ending(mixture, 3)
    assert shares == pytest.approx(mixture)
    without, more = run.ending(left_out(mixture, 2), 3)
    assert more == pytest.approx([1 / 3, 2 / 3, 0], abs=0.03) and without.tokens == pytest.approx(full.tokens, abs=10)
    rest = set(full.row[full.row < 90].tolist())
    assert rest < set(without.row.tolist())
    assert run.ending(mixture, 4)[0].digest != full.digest == course().ending(mixture, 3)[0].digest
    assert course(1).beginning().digest != run.beginning().digest


@pytest.mark.parametrize("last", [0.1, 0.3])
def test_beginning_and_end_have_the_rates_of_one_run(last: float, tmp_path: Path, monkeypatch: Any) -> None:
    """A run that rises, stays, and falls linearly in its last part to a tenth of the peak."""
    model = Transformer(rate=0.01, warmup=0.05, floor=0.1)
    whole = Transformer(rate=0.01, warmup=0.05, floor=0.1, schedule="wsd", decay=last)
    begin = rates(model, last)

    def started(self: Transformer) -> str:
        if self.start:
            object.__setattr__(self, "ended", begin.rate_at(1.0))
        return "digest" if self.start else ""

    monkeypatch.setattr(Transformer, "_start", started)
    end = rates(model, last, str(tmp_path / "model"))
    assert begin.rate_at(1.0) == begin.peak == end.peak == 0.01
    for at in np.linspace(0, 1, 101):
        joined = begin.rate_at(at / (1 - last)) if at < 1 - last else end.rate_at((at - 1 + last) / last)
        assert joined == pytest.approx(whole.rate_at(at), rel=1e-9)
