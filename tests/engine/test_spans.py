"""Where spans end: by bytes, by rows where texts are short, and larger ones where there would be too many."""

from __future__ import annotations

import pytest

from bench.simulation import fake_manifest
from cuvee.engine import manifest


@pytest.mark.parametrize(("many", "most"), [(100_000, 64), (10, 160), (1, 256)])
def test_spans_of_short_texts_are_bounded_in_rows(monkeypatch: pytest.MonkeyPatch, many: int, most: int) -> None:
    """What is kept per row is held for a span's rows; a pool beyond so many spans gets larger ones, up to a bound."""
    monkeypatch.setattr("bench.simulation.ROW_BYTES", 20)
    monkeypatch.setattr(manifest, "MANY_SPANS", many)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1 << 30, 1 << 30))
    pool = fake_manifest(1_600)
    spans = list(pool.spans)
    assert [span.first for span in spans] == [0, *(span.last for span in spans[:-1])] and spans[-1].last == 1_600
    assert {span.last - span.first for span in spans[:-1]} == {most}
