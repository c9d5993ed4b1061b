"""Every static mix: reference values, laws over all of them, and what each is for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvee import registry
from cuvee.engine.plan import make
from cuvee.errors import UsageError
from cuvee.mix.base import Mix, Sources, poured
from cuvee.mix.given import Given
from cuvee.mix.repeat_factor import copies, expected, repeat_factors
from cuvee.mix.temperature import Temperature
from cuvee.mix.unimax import Unimax
from cuvee.quantities import weights

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
NAMES = sorted(registry.found_in("mix"))
SIZES = st.lists(st.integers(1, 10**9), min_size=1, max_size=8)


def sources(tokens: list[int], documents: list[int] | None = None) -> Sources:
    return Sources(
        tuple(f"d{at}" for at in range(len(tokens))),
        np.array(tokens, np.int64),
        np.array(documents or tokens, np.int64),
    )


def build(name: str, names: tuple[str, ...] = ("d0",)) -> Mix:
    return make(registry.find("mix", name), {"weights": [(names[0], "1")]} if name == "given" else {}, name)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(tokens=SIZES, budget=st.integers(1, 10**12))
def test_laws(name: str, tokens: list[int], budget: int) -> None:
    """Not negative; never more than the budget; less only where the rule bounds repetition and all bounds are met."""
    held = sources(tokens)
    mix = build(name, held.names)
    found = mix.allot(held, budget)
    assert found.shape == (len(tokens),) and np.isfinite(found).all() and (found >= 0).all()
    assert found.sum() <= budget * (1 + 1e-9)
    if found.sum() < budget * (1 - 1e-9):
        np.testing.assert_allclose(found, getattr(mix, "epochs") * held.tokens, rtol=1e-9)  # noqa: B009


@pytest.mark.parametrize("name", [name for name in NAMES if name != "given"])
@settings(deadline=None)
@given(tokens=SIZES, empty=st.integers(1, 9), budget=st.integers(1, 10**12))
def test_a_source_without_tokens_gets_nothing(name: str, tokens: list[int], empty: int, budget: int) -> None:
    """Nothing could be read of it; the others share as they would without it."""
    documents = [max(one // 100, 1) for one in tokens]
    found = build(name).allot(sources([0] * empty + tokens, [0] * empty + documents), budget)
    assert found[:empty].tolist() == [0.0] * empty
    np.testing.assert_allclose(found[empty:], build(name).allot(sources(tokens, documents), budget), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_card(name: str) -> None:
    card = registry.find("mix", name).card
    assert card.family == "mix" and card.summary and card.evidence


@pytest.mark.parametrize("name", [name for name in NAMES if name != "given"])
@settings(deadline=None)
@given(tokens=SIZES)
def test_order_of_sources_does_not_matter(name: str, tokens: list[int]) -> None:
    here, there = sources(tokens), sources(tokens[::-1])
    mix = build(name)
    np.testing.assert_allclose(mix.allot(here, 10**6), mix.allot(there, 10**6)[::-1], rtol=1e-9, atol=1e-6)


def test_unimax_reference() -> None:
    case = json.loads((GOLDEN / "unimax" / "cases_1.json").read_text())
    for inputs, outputs in zip(case["inputs"]["cases"], case["outputs"]["cases"], strict=True):
        names = sorted(inputs["sizes"])
        held = sources([inputs["sizes"][name] for name in names])
        found = Unimax(inputs["max_epochs"]).allot(held, inputs["budget"])
        expected = np.array([outputs["budgets"][name] for name in names])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert inputs["budget"] - found.sum() == pytest.approx(outputs["leftover"], abs=1e-9)
        for theirs, ours in (("epochs", found / held.tokens), ("probabilities", found / inputs["budget"])):
            np.testing.assert_allclose(ours, [outputs[theirs][name] for name in names], rtol=1e-12)


@settings(deadline=None)
@given(tokens=SIZES, budget=st.integers(1, 10**10), epochs=st.sampled_from([0.5, 1.0, 4.0]))
def test_unimax_is_poured_uniform(tokens: list[int], budget: int, epochs: float) -> None:
    """The published loop is water-filling toward the uniform mix."""
    held = sources(tokens)
    filled = poured(np.ones(len(tokens)), epochs * held.tokens.astype(np.float64), budget)
    np.testing.assert_allclose(Unimax(epochs).allot(held, budget), filled, rtol=1e-9)


@settings(deadline=None)
@given(
    target=st.lists(st.just(0.0) | st.floats(1e-6, 10), min_size=1, max_size=7).filter(lambda t: sum(t) > 0),
    caps=st.lists(st.just(0.0) | st.floats(1e-6, 5), min_size=7, max_size=7),
    total=st.floats(0.01, 20),
)
def test_pouring(target: list[float], caps: list[float], total: float) -> None:
    """All is spent if caps allow it, and sources below their cap keep the target's proportions."""
    goal, bound = np.array(target), np.array(caps[: len(target)])
    found = poured(goal, bound, total)
    assert (found <= bound + 1e-12).all()
    assert found.sum() == pytest.approx(min(total, bound[goal > 0].sum()), rel=1e-9, abs=1e-12)
    free = (found < bound * (1 - 1e-9)) & (goal > 1e-9)
    if free.sum() > 1:
        scale = found[free] / goal[free]
        assert scale.max() == pytest.approx(scale.min(), rel=1e-6)


def test_pouring_what_rounding_leaves() -> None:
    """Caps of two sources sum to the total up to rounding, and the others' targets are next to nothing."""
    caps = np.minimum(1, 4 * np.array([0.40, 0.25, 0.20, 0.10, 0.05]))
    found = poured(np.array([4.7e-23, 1e-18, 0.347, 3e-29, 1.0]), caps, 1.0)
    np.testing.assert_allclose(found, [0, 0, 0.8, 0, 0.2], atol=1e-9)
    tiny = poured(np.array([1e-320, 1e-321, 0.5, 1.0]), np.array([1.0, 1.0, 0.1, 0.2]), 1.0)
    assert np.isfinite(tiny).all() and tiny.sum() == pytest.approx(1) and tiny[2:].tolist() == [0.1, 0.2]


@pytest.mark.parametrize(("tau", "ratio"), [(1, 1.0), (2, 1.66), (1 / 0.3, 3.55), (5, 5.62), (100, 13.1)])
def test_temperature_variance_ratio(tau: float, ratio: float) -> None:
    """sum p(tau)^2 / p(1), the variance of weighting against sampling at equal gradient norms."""
    held = sources([10_000, 1_000, 100])
    p = Temperature(tau).allot(held, 1)
    assert (p**2 / held.natural()).sum() == pytest.approx(ratio, rel=5e-3)


def test_repeat_factor_reference() -> None:
    case = json.loads((GOLDEN / "repeat_factor" / "lvis_200.json").read_text())
    labels = case["inputs"]["labels"]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in labels])])
    flat = np.array([category for one in labels for category in one])
    found = repeat_factors(offsets, flat, 20, case["inputs"]["threshold"])
    np.testing.assert_allclose(found, case["outputs"]["repeat_factors"], rtol=1e-12)
    # what an epoch holds: against counting, with a label given twice to a document counting once
    twice = np.append(flat, flat[-1]), np.append(offsets[:-1], offsets[-1] + 1)
    every, each = expected(twice[1], twice[0], 20, found)
    assert every == pytest.approx(found.sum()) and every > len(labels)
    counted = [sum(r for r, held in zip(found, labels, strict=True) if c in held) for c in range(20)]
    np.testing.assert_allclose(each, counted, rtol=1e-12)
    plain = np.array([sum(c in held for held in labels) for c in range(20)])
    assert each[plain.argmax()] > plain.max()  # the most frequent one occurs beside rare ones


def test_copies_keep_the_expectation() -> None:
    """Rounding up would give 2 for every factor of 1.1."""
    key = np.arange(40_000, dtype=np.uint64)
    taken = copies(np.full(len(key), 1.1), key, seed=3)
    assert set(taken.tolist()) == {1, 2} and taken.mean() == pytest.approx(1.1, abs=5 * 0.3 / 200)
    assert (copies(np.full(len(key), 1.1), key, seed=3, epoch=1) != taken).any()


def test_nested_clusters() -> None:
    """Siblings share alike, so a level with many clusters does not win over one with few."""
    names = ("a/1", "a/2", "a/3", "a/4", "b/1")
    held = Sources(names, np.full(5, 1000), np.full(5, 10))
    flat = make(registry.find("mix", "cluster_balanced"), {"separator": "|"}, "x").allot(held, 1000)
    nested = make(registry.find("mix", "cluster_balanced"), {}, "x").allot(held, 1000)
    np.testing.assert_allclose(flat, 200)
    np.testing.assert_allclose(nested, [125, 125, 125, 125, 500])


def test_limit_comes_before_the_temperature() -> None:
    kind = registry.find("mix", "examples_proportional")
    found = make(kind, {"limit": 100, "tau": 2}, "x").allot(sources([400, 100, 25]), 1)
    np.testing.assert_allclose(found, np.array([10, 10, 5]) / 25)
    by_documents = make(kind, {"unit": "documents"}, "x").allot(sources([400, 100], [10, 10]), 500)
    np.testing.assert_allclose(by_documents, [400, 100])


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((("d0", "0.5"), ("d1", "0.4")), r"sum to 0.9, not to 1. In proportion they are: d0=0.555556,d1=0.444444"),
        ((("d0", "0.5"), ("web", "0.5")), "No domain is called 'web'. The pool has: d0, d1"),
        ((("d0", "nan"), ("d1", "1")), "not a finite number"),
        ((("d0", "-1"), ("d1", "2")), "negative"),
        ((("d0", "0.5"), ("d2", "0.5")), "The domain 'd2' has no tokens"),
    ],
)
def test_bad_given_weights(weights: tuple[tuple[str, str], ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Given(weights).allot(sources([10, 20, 0]), 5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("unimax", {"epochs": "0"}),
        ("temperature", {"tau": "-1"}),
        ("examples_proportional", {"unit": "pages"}),
        ("repeat_factor", {"threshold": "2"}),
        ("cluster_balanced", {"separator": ""}),
    ],
)
def test_bad_parameters(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=name):
        make(registry.find("mix", name), settings, name)


def test_rounded_weights_are_scaled_and_what_is_offered_is_taken() -> None:
    three = tuple((f"d{at}", "0.333") for at in range(3))
    np.testing.assert_allclose(Given(three).allot(sources([10, 20, 30]), 9), [3, 3, 3])
    with pytest.raises(UsageError, match=r"sum to 0\.97, not to 1") as refused:
        Given((("d0", "0.33"), ("d1", "0.32"), ("d2", "0.32")))
    offered = re.search(r"they are: (.*)\.$", str(refused.value))
    assert offered is not None
    Given(tuple(weights(offered[1]).items()))  # is not refused again
    with pytest.raises(UsageError, match=r"sum to 0\.999, not to 1"):
        Given((("d0", "0.49900"), ("d1", "0.50000")))  # five digits do not round so far
    with pytest.raises(UsageError, match="names no domain"):
        weights(" ")
