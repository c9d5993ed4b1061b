"""What cards say of a fit's cost is within three times what was measured (``python -m bench.law_costs``)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cuvee import registry

MEASURED = {
    one["law"]: one["fit_cpu_seconds"]
    for one in json.loads((Path(__file__).parents[2] / "bench" / "results" / "law_costs.json").read_text())
}
WORDS = (
    ("less than a millisecond", 0.0, 1e-3),
    ("milliseconds", 1e-3, 1e-2),
    ("a hundredth of a second", 5e-3, 2e-2),
    ("hundredths of a second", 1e-2, 1e-1),
    ("a fifth of a second", 0.2, 0.2),
    ("tenths of a second", 1e-1, 1.0),
    ("a fraction of a second", 5e-2, 1.0),
    ("about a second", 0.5, 2.0),
    ("seconds a fit", 1.0, 1e1),
)


def told(cost: str) -> tuple[float, float] | None:
    """The least and most seconds that a card's first words about time allow; None where it tells no time."""
    found = [(match.start(), -len(words), low, high) for words, low, high in WORDS if (match := re.search(words, cost))]
    return min(found)[2:] if found else None


def test_words_are_read() -> None:
    assert told("less than a millisecond a fit") == (0.0, 1e-3) and told("O(items^2)") is None
    assert told("tenths of a second a fit, seconds for eight sources") == (1e-1, 1.0)
    assert told("seconds a fit for six pools") == (1.0, 1e1)


@pytest.mark.parametrize("law", sorted(registry.found_in("law")))
def test_a_card_tells_the_measured_cost(law: str) -> None:
    """Every law was measured, and none says three times more or less than that."""
    cost = registry.find("law", law).card.cost
    seconds, allowed = MEASURED[law], told(cost)
    if allowed is None:
        assert "O(" in cost, f"{cost}: it tells neither a time nor how the cost grows"
        return
    assert allowed[0] / 3 <= seconds <= 3 * allowed[1], f"{law}: {cost}; measured: {seconds} s"
