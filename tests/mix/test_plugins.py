"""Mixes and laws of other packages: what is refused, and that they are listed; the way they work is docs/plugins.md."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from cuvee import describing, registry
from cuvee.errors import UsageError
from cuvee.law.bimix import Bimix
from cuvee.mix.uniform import Uniform


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registry.found_in.cache_clear()
    yield
    registry.found_in.cache_clear()


def plug(monkeypatch: pytest.MonkeyPatch, kind: str, name: str, value: str) -> None:
    point = EntryPoint(name, value, registry.GROUPS[kind])
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])


def test_found_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "law", "sums", "cuvee.law.bimix:Bimix")
    assert registry.find("law", "sums") is Bimix and "sums" not in registry.found_in("mix")
    assert {"sums", "bimix"} <= {one["name"] for one in describing.table() if one["family"] == "law"}
    assert describing.facts("sums")["name"] == "sums"
    registry.found_in.cache_clear()
    plug(monkeypatch, "mix", "alike", "cuvee.mix.uniform:Uniform")
    assert registry.find("mix", "alike") is Uniform


@pytest.mark.parametrize(
    ("kind", "name", "value", "said"),
    [
        ("law", "bimix", "nowhere:Law", "takes the name 'bimix'"),
        ("law", "other", "cuvee.mix.uniform:Uniform", "is not a Law class"),
        ("mix", "other", "cuvee.law.bimix:Bimix", "is not a Mix class"),
        ("mix", "other", "cuvee.mix.base:poured", "is not a Mix class"),
        ("mix", "other", "nowhere_at_all:Mix", "cannot be imported: No module named 'nowhere_at_all'"),
        ("law", "other", "cuvee.law.bimix:Bimux", "cannot be imported: "),
    ],
)
def test_refused(monkeypatch: pytest.MonkeyPatch, kind: str, name: str, value: str, said: str) -> None:
    plug(monkeypatch, kind, name, value)
    with pytest.raises(UsageError, match=said):
        registry.find(kind, name)
