"""No test here needs to wait for the disk."""

from __future__ import annotations

import pytest

from cuvee.engine import files

from .helpers import Quick


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "system", Quick())
