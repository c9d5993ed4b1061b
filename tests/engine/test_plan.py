"""Settings as text become typed values; plans become JSON that differs whenever they do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from cuvee.engine.plan import describe, finite, make
from cuvee.errors import UsageError


@dataclass(frozen=True)
class Example:
    count: int = 1
    share: float = 0.5
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] | None = None
    many: tuple[float, ...] = ()
    name: str = ""


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("count", "1_000", 1000),
        ("share", "inf", float("inf")),
        ("flag", "yes", True),
        ("kind", "b", "b"),
        ("pair", "1/2.5", (1.0, 2.5)),
        ("pair", "none", None),
        ("many", "1/2/3", (1.0, 2.0, 3.0)),
        ("name", "none", "none"),
    ],
)
def test_text_becomes_typed(field: str, text: str, value: Any) -> None:
    found = getattr(make(Example, {field: text}, "example"), field)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("count", "1.5", "a whole number"),
        ("share", "nan", "a number"),
        ("flag", "perhaps", "true or false"),
        ("kind", "c", "one of a, b"),
        ("pair", "1/2/3", "a sequence of 2 values"),
        ("sahre", "1", "no parameter 'sahre'"),
    ],
)
def test_wrong_text_is_refused_by_name(field: str, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        make(Example, {field: text}, "example")
    assert "example" in str(caught.value)


def test_descriptions_tell_values_apart() -> None:
    values = [1, 1.0, True, "1", None, (1,), [1, 1], {"a": 1}, np.ones(2), np.ones((1, 2)), np.ones(2, np.float32)]
    texts = [json.dumps(describe(value)) for value in values]
    assert texts[0] == "1" and texts[1] == "1.0" and len(set(texts)) == len(values)
    with pytest.raises(TypeError, match="cannot be part of a plan"):
        describe(object())
    with pytest.raises(TypeError, match="Python objects"):
        describe(np.array([None]))


def test_a_foreign_class_brings_its_source() -> None:
    assert "code" in describe(Example()) and "code" not in describe(make_own())


def make_own() -> Any:
    from cuvee.methods.choose.top_k import TopK

    return TopK()


def test_finite_leaves_nothing_that_json_lacks() -> None:
    found = finite({"a": [float("inf"), float("nan"), np.float64("-inf")], "b": np.arange(2), 3: (1.5, True, None)})
    assert found == {"a": ["inf", None, "-inf"], "b": [0, 1], "3": [1.5, True, None]}
    json.dumps(found, allow_nan=False)
