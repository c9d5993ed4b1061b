"""The league's record holds every method, is of the present code, and the page says what it holds. Nothing is run."""

from __future__ import annotations

import numpy as np
import pytest

from claims.harness import Texts
from claims.league import contenders, field, page, record
from cuvee import registry
from cuvee.core import Method, Policy

ROWS = record.read()
PLAYING, OUT = contenders.discover()


def test_every_method_takes_part_or_is_left_out_with_a_reason() -> None:
    played = {part for one in PLAYING for part in (one.method, one.rule)} | contenders.OWN
    for name, entry in registry.entries().items():
        if entry.point is None and not issubclass(entry.load(), Policy):
            assert name in played or OUT.get(name)
    assert all(issubclass(registry.load(name), Method) for name in contenders.BEHIND.values())


def test_rows_are_of_the_present_code() -> None:
    assert {one.name for one in PLAYING if not one.slow} <= set(ROWS) <= {one.name for one in PLAYING}
    names = " ".join(f"'{one.name}'" for one in record.stale(ROWS))
    assert not names, f"stale; run: python -m claims.league {names}"


def test_rows_are_complete() -> None:
    for row in ROWS.values():
        for task in field.CELLS:
            for metric in ("bits", "matched", "right", "seconds"):
                found = record.values(row, task, metric)
                assert found is None or (len(found) == len(field.SEEDS) and np.isfinite(found).all())


def test_the_page_is_what_the_record_says(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(page.pictures, "save", lambda name, drawing: drawn.append(drawing) or f"pictures/{name}.svg")
    assert page.PAGE.read_text("utf-8") == page.page(ROWS, record.record()), "run: python -m claims.league random"
    assert drawn


def test_a_row_goes_stale_with_what_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    dsir = contenders.Contender("dsir")
    files = {path.name for path in contenders.used(("dsir", "top_k"))}
    assert {"dsir.py", "gumbel.py", "cut.py", "top_k.py"} <= files and "classifier.py" not in files
    before = dsir.digest()
    monkeypatch.setattr(contenders, "bare", lambda code: code + "changed")
    assert dsir.digest() != before


def rows_of(**bits: list[float]) -> record.Rows:
    """Rows with the same bits on every task."""
    return {
        name: {"tasks": {task: {"bits": values, "matched": [9.0] * 5} for task in field.CELLS}}
        for name, values in bits.items()
    }


def test_places_and_ties_follow_paired_differences() -> None:
    noise = np.array([0.3, -0.3, 0.2, -0.2, 0.0])
    rows = rows_of(
        random=list(3.0 + noise),
        better=list(2.0 + noise + [0.01, 0, 0, 0, 0.01]),
        alike=list(3.01 + noise[::-1]),
    )
    ranked = page.order(rows, None)
    assert ranked == ["better", "random", "alike"]
    assert page.ties(rows, ranked, field.ONE) == ["1", "2 to 3", "2 to 3"]
    found = record.against(rows, "better", "length-matched", None)
    assert found is not None and found.mean == pytest.approx(2.004 - 9)
    rows["better"]["tasks"][field.TWO] = "it needs what it has not"
    assert record.against(rows, "better", "random", None) is None
    assert page.order(rows, None) == ["random", "alike"]


@pytest.mark.parametrize("spoil", field.SPOILS)
def test_junk_is_made_of_the_text(spoil: object) -> None:
    assert callable(spoil)
    words, other = [f"word{n}" for n in range(20)], ["another", "text"]
    found = spoil(words, np.random.default_rng(1), other)
    assert len(found) == len(words) and found != words
    assert [len(word) for word in found] == [len(word) for word in words] or set(found) <= {*words, *other}


def test_a_fixed_share_is_spoiled_and_known() -> None:
    texts = [" ".join(f"word{n}-{at}" for at in range(20)).encode() for n in range(50)]
    names = np.array(["d"] * 50)
    pool = Texts(texts, names, names, np.arange(50, dtype=np.uint64))
    found, junk = field.spoiled(pool, 1)
    assert junk.sum() == 15
    changed = np.array([a != b for a, b in zip(found.text, texts, strict=True)])
    assert not changed[~junk].any() and changed[junk].sum() >= 14
    assert found.text == field.spoiled(pool, 1)[0].text != field.spoiled(pool, 2)[0].text
