"""Refusals that name the remedy: unusable columns, a tokenizer file or package that is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cuvee.checks import check_rows
from cuvee.engine.facts import Facts
from cuvee.engine.run import Engine
from cuvee.engine.store import Store
from cuvee.errors import DataError, MissingExtraError
from cuvee.pool import Reading, open_stage, target_reading
from cuvee.source.base import REASON, Bad, remedies


def refused(tmp_path: Path, *rows: Any) -> str:
    """What check_rows says about a pool of these rows and a usable one."""
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ({"id": 0, "tokens": 1, "text": "a"}, *rows)))
    store = Store(tmp_path / "cache")
    opened = open_stage(path, Reading(), store)
    with pytest.raises(DataError) as caught:
        check_rows(Engine(opened.stage, None, store), opened.stage, 1, Reading(), len(rows))
    return str(caught.value).replace(str(path), "p.jsonl")


def test_remedy_for_the_reason_at_hand(tmp_path: Path) -> None:
    assert refused(tmp_path, {"id": 1, "tokens": [], "text": "a"}) == (
        "1 of 2 rows of the pool cannot be used: p.jsonl:2 token count is not a whole number of at least 0. Mend it, "
        "leave the column out with --token-column none, or go on without it with --skip-bad (it is then counted and "
        "listed)."
    )
    both = refused(tmp_path, {"id": [], "tokens": 1, "text": "a"}, {"id": 1, "tokens": "x", "text": "a"})
    assert both.startswith("2 of 3 rows") and "Mend them, identify rows by their content with --key content, " in both
    assert "--token-column none, or go on without them" in both
    plain = refused(tmp_path, {"id": 2, "tokens": 1, "text": ""})
    assert "empty text. Mend it, or go on" in plain


def test_only_row(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"text": 1}\n')
    store = Store(tmp_path / "cache")
    stage = open_stage(path, Reading(), store).stage
    stage.facts_ready = True
    engine = Engine(stage, None, store)
    engine.rejects = lambda stage: iter(())  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"^The only row of the pool cannot be used"):
        check_rows(engine, stage, 0, Reading(), 1)


def test_remedies_by_role() -> None:
    assert remedies([REASON[Bad.DOMAIN_TYPE]]) == ["leave the column out with --domain none"]
    assert remedies([REASON[Bad.EMPTY_TEXT], REASON[Bad.NO_TEXT]]) == ["name the column of the texts with --text"]
    assert remedies([REASON[Bad.EMPTY_TEXT]], text=False) == remedies([REASON[Bad.BAD_JSON]]) == []


def test_remedies_hold_for_the_target(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "a", "id": [], "tokens": "x", "domain": []}\n')
    reading = target_reading(Reading(domain="none"))
    spec = open_stage(tmp_path / "t.jsonl", reading, Store(tmp_path / "cache")).spec
    assert (spec.id, spec.tokens, spec.domain) == (None, None, None)


def test_tokenizer_file_before_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError) as caught:
        Facts(f"{tmp_path}/gone.json").counter()
    assert str(caught.value) == f"Tokenizer file {tmp_path}/gone.json: no such file. Check the path."
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)\. Name a file tokenizer\.json\.$"):
        open_stage(tmp_path / "no pool", Reading(tokenizer=str(tmp_path)), Store(tmp_path / "cache"))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(MissingExtraError, match=r"Install it with: pip install tokenizers\.$"):
        Facts(f"{tmp_path}/tokenizer.json").counter()
