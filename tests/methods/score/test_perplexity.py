"""Perplexity as a method: what it is fitted on, what it returns, which rule it chooses by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest

from cuvee.core import Batch, Fold, Method
from cuvee.errors import DataError, UsageError
from cuvee.fold.ngram_lm import NgramLM
from cuvee.methods.choose.keep_probability import KeepProbability
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.perplexity import Perplexity


def batch(texts: list[str], first: int = 0) -> Batch:
    raw = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in raw])]).astype(np.int64)
    key = np.array([hash_of(text) for text in texts], np.uint64)
    return Batch(np.frombuffer(b"".join(raw), np.uint8), offsets, np.arange(first, first + len(raw)), key)


def hash_of(text: str) -> int:
    import hashlib

    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Small:
    """A Run over texts in memory, in batches of a given size."""

    def __init__(self, pool: list[str], target: list[str] = [], size: int = 50, seed: int = 0) -> None:  # noqa: B006
        self.seed, self.size, self.folds = seed, size, 0
        self.texts = {"pool": pool, "target": target}

    def fold(self, fold: Fold, over: Literal["pool", "target"] = "pool") -> Any:
        self.folds += 1
        state, texts = fold.empty(), self.texts[over]
        for start in range(0, len(texts), self.size):
            state = fold.merge(state, fold.lift(batch(texts[start : start + self.size], start)))
        return fold.finish(state)

    def targets(self) -> Iterator[Batch]:
        yield batch(self.texts["target"])


def sentences(number: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    nouns, verbs = [f"noun{i}" for i in range(40)], [f"verb{i}" for i in range(20)]
    one = lambda: f"the {rng.choice(nouns)} {rng.choice(verbs)} a {rng.choice(nouns)}"  # noqa: E731
    return ["\n".join(one() for _ in range(5)) for _ in range(number)]


def junk(number: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join("".join(rng.choice(list("qxzjkv"), 6)) for _ in range(25)) for _ in range(number)]


SMALL = {"table_bits": 16}


@pytest.mark.parametrize("fit_on", ["pool", "target"])
def test_junk_is_perplexing_and_the_score_is_minus_the_logarithm(fit_on: Any) -> None:
    good, bad = sentences(200, 0), junk(60, 1)
    run = Small(good + bad, sentences(100, 2))
    fitted = Perplexity(fit_on=fit_on, **SMALL).fit(run)
    block = fitted.apply(batch(good + bad))
    assert set(block) == {"score", "perplexity"}
    np.testing.assert_allclose(block["score"], -np.log10(block["perplexity"]), rtol=1e-15)
    assert block["perplexity"][:200].max() < block["perplexity"][200:].min()
    assert run.folds == 1


def test_target_values_are_those_of_the_model() -> None:
    target = sentences(30, 0)
    fitted = Perplexity(fit_on="target", order=4, **SMALL).fit(Small(["unused"], target))
    found = fitted.apply(batch(["the noun1\n\nx"]))
    fold = NgramLM(4, 16)
    expected = fold.finish(fold.lift(batch(target))).score(batch(["the noun1\n\nx"]))
    assert found["perplexity"].tolist() == expected["perplexity"].tolist()
    assert expected["tokens"].tolist() == [3 + 1 + 2]


def test_pool_rows_do_not_vouch_for_themselves() -> None:
    """A text of its own kind is as strange whether or not it was in the pool, and so is its exact copy."""
    good, strange = sentences(200, 0), "colourless green ideas sleep furiously tonight\n" * 3
    score = lambda pool: Perplexity(**SMALL).fit(Small(pool)).apply(batch([strange]))["perplexity"][0]  # noqa: E731
    alone, twice = score([*good, strange]), score([*good, strange, strange])
    assert alone == twice
    fold = NgramLM(3, 16)
    seen = fold.finish(fold.lift(batch([*good, strange]))).score(batch([strange]))["perplexity"][0]
    assert alone > 20 * seen


def test_same_bits_for_any_batches_and_order() -> None:
    pool = sentences(120, 0) + junk(20, 1)
    plain = Perplexity(**SMALL).fit(Small(pool)).apply(batch(pool))["score"]
    for size, step in ((7, 1), (1000, 1), (13, -1)):
        fitted = Perplexity(**SMALL).fit(Small(pool[::step], size=size))
        assert np.array_equal(fitted.apply(batch(pool))["score"], plain)
    pieces = [Perplexity(**SMALL).fit(Small(pool)).apply(batch(pool[i : i + 9]))["score"] for i in range(0, 140, 9)]
    assert np.array_equal(np.concatenate(pieces), plain)


def test_limits_of_the_fit() -> None:
    pool = sentences(400, 0)
    for settings, low, high in (({"fit_rows": 100}, 100, 100), ({"fit_megabytes": 0.01}, 50, 120), ({}, 400, 400)):
        model = Perplexity(**SMALL, **settings).fit(Small(pool)).model  # type: ignore[attr-defined]
        lines = int(model.nodes[:, 0, -1, 0].sum())  # begins of lines; five to a text
        assert 5 * low <= lines <= 5 * high
    one, other = (Perplexity(fit_rows=100, **SMALL).fit(Small(pool, seed=s)).apply(batch(pool[:5])) for s in (0, 1))
    assert (one["score"] != other["score"]).all()


NO_MAP: Any = None  # the rule does not depend on the fitted map


def test_rules() -> None:
    assert issubclass(Perplexity, Method)
    assert Perplexity().chooser(NO_MAP) == KeepProbability("gaussian")
    assert Perplexity(rule="stepwise").chooser(NO_MAP) == KeepProbability("stepwise")
    assert Perplexity(rule="lowest").chooser(NO_MAP) == TopK()
    assert "2207.06814" in Perplexity.card.bibtex and r"{Gonz{\'a}lez" in Perplexity.card.bibtex


def test_refusals() -> None:
    wrong: dict[str, Any]
    for wrong in ({"fit_on": "web"}, {"rule": "middle"}, {"fit_rows": 0}, {"table_bits": 40}, {"order": 9}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Perplexity(**wrong)
    with pytest.raises(DataError, match="no text"):
        Perplexity(fit_on="target", **SMALL).fit(Small(["a"], []))
