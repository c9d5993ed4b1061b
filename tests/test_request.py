"""What is asked from Python: arguments of the wrong kind are refused by name; commands to copy can be copied."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuvee
from cuvee import quantities
from cuvee.core import Budget
from cuvee.errors import UsageError
from cuvee.pool import Reading
from cuvee.request import check_arguments, make_budget

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"pool": None}, "pool must be a path or a list of paths, not None."),
    ({"pool": b"x"}, "pool must be a path or a list of paths"),
    ({"pool": 3}, "not 3, of type int"),
    ({"pool": ["a", None]}, "pool must be a path or a list of paths, not None."),
    ({"target": {"text": "x"}}, "target must be a path or a list of paths"),
    ({"output": None}, "output must be the path of a folder, not None."),
    ({"reading": {"text": "text"}}, "reading must be a cuvee.Reading, like cuvee.Reading(text"),
    ({"reading": Reading(text=3)}, "reading.text must be text, not 3"),  # type: ignore[arg-type]
    ({"workers": -2}, "workers must be a whole number of at least 0"),
    ({"workers": 1.5}, "workers must be"),
    ({"workers": True}, "workers must be"),
    ({"seed": "a"}, "seed must be a whole number, not 'a', of type str."),
    ({"seed": 1.0}, "seed must be"),
    ({"tokens": "2M"}, "tokens must be a whole number, like 2_000_000, not '2M', of type str."),
    ({"tokens": 1e9}, "tokens must be a whole number"),
    ({"rows": 3.5}, "rows must be a whole number"),
    ({"rows": True}, "rows must be a whole number"),
    ({"bytes": [1]}, "bytes must be a whole number"),
    ({"fraction": "10%"}, "fraction must be a number above 0 and at most 1, like 0.1, not '10%', of type str."),
    ({"fraction": float("nan")}, "fraction must be"),
    ({"quota": ["news"]}, "quota must be a dict of shares by domain"),
    ({"quota": "unifrom"}, "quota must be"),
    ({"quota": {}}, "quota must be"),
    ({"quota": {"news": "1"}}, "quota['news'] must be a number of at least 0"),
    ({"quota": {"news": -1}}, "quota['news'] must be"),
    ({"quota": {3: 1.0}}, "quota must be"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_arguments_of_the_wrong_kind(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        check_arguments(**given)


def test_arguments_of_the_right_kind() -> None:
    check_arguments()
    check_arguments(pool=Path("x"), target=("a", Path("b")), output=Path("o"), reading=Reading(), workers=np.int64(2))
    check_arguments(seed=np.uint8(3), tokens=np.int64(5), fraction=np.float64(0.5), quota={"a": 1, "b": np.float32(0)})
    check_arguments(pool={"a"}, quota="uniform", rows=3)


def test_profile_checks_its_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="workers must be"):
        cuvee.profile("pool", workers=-1, output=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_budgets_are_plain_numbers() -> None:
    budget = make_budget(np.int64(5), None, None, None)  # type: ignore[arg-type]
    assert budget == Budget("tokens", 5) and type(budget.amount) is int
    with pytest.raises(UsageError, match="more than can be counted"):
        make_budget(None, 10**30, None, None)


def test_the_package_lists_what_it_offers() -> None:
    assert set(cuvee.__all__) <= set(dir(cuvee))


def test_commands_to_copy() -> None:
    assert quantities.shell_word("plain") == "plain"
    assert quantities.shell_word("a\nb'c\\\x1b\udcff") == "$'a\\nb\\'c\\\\\\x1b\\xff'"
    assert quantities.shell_path("-x y") == "'./-x y'" and quantities.shell_path(Path("x")) == "x"
    command = quantities.shell_line(["cuvee", "select", "a b", "new\nline it's", "it's", *["--option"] * 20])
    lines = quantities.next_lines(command)
    assert lines[0].startswith("next: cuvee select 'a b' $'new\\nline it\\'s'") and len(lines) > 2
    assert " ".join(line.removesuffix(" \\").strip() for line in lines) == f"next: {command}"
    assert max(map(len, lines)) <= 80
    assert quantities.next_lines("cuvee 'never closed") == ["next: cuvee 'never closed"]
    assert shlex.split(quantities.shell_line(["a", "b c", "d'e"])) == ["a", "b c", "d'e"]


def test_a_domain_has_one_share_and_a_parameter_one_value() -> None:
    with pytest.raises(UsageError, match="--preset cuvee sets 'n' twice"):
        quantities.method_call("cuvee:n=3, n =4", "--preset")
    assert quantities.shares("a=1,b=2") == {"a": 1.0, "b": 2.0}
    with pytest.raises(UsageError, match="'a' twice"):
        quantities.shares("a=1,b=1,a=1")
