"""No test here needs to wait for the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from cuvee.engine import files

from .helpers import TEXTS, Quick, make_selection, opened, write_jsonl


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "system", Quick())


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "p.jsonl", [{"text": text} for text in TEXTS])
    return tmp_path / "p.jsonl"


@pytest.fixture
def kept(pool: Path, tmp_path: Path) -> Path:
    return make_selection(tmp_path / "kept", opened(pool), [(0, k, 1 + k % 3) for k in range(0, 300, 2)])
