"""DSIR against the public package's recorded output, the counting Fold's laws, and the choice for several targets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Array, Batch, Block, Budget, Columns, Draw, Fold
from cuvee.engine.draw import uniform
from cuvee.engine.plan import describe
from cuvee.errors import DataError, UsageError
from cuvee.feature.log_ratio import EPSILON, divergence, kl_reduction, quotas, shares
from cuvee.feature.ngrams import Ngrams
from cuvee.fold.counts import NgramCounts
from cuvee.methods.choose.gumbel import Gumbel
from cuvee.methods.choose.top_k import TopK
from cuvee.methods.score.dsir import Dsir, SeparateTargets

GOLDEN = Path(__file__).parents[2] / "data/golden/dsir"
CASES = ["hashed_2gram_1000", "hashed_3gram_500_smooth", "separate_targets_auto"]


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def batch_of(texts: list[str], domain: list[str] | None = None, first: int = 0) -> Batch:
    raw = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, raw)]).astype(np.int64)
    row = np.arange(first, first + len(raw))
    columns = {"domain": pa.array(domain)} if domain else {}
    return Batch(np.frombuffer(b"".join(raw), np.uint8), offsets, row, row.astype(np.uint64), columns)


@dataclass
class FakeRun:
    """A Run over two batches in memory."""

    pool: Batch
    target: Batch
    seed: int = 0

    @property
    def rows(self) -> int:
        return len(self.pool)

    def fold(self, fold: Fold, over: Literal["pool", "target"] = "pool") -> Any:
        return fold.finish(fold.lift(self.pool if over == "pool" else self.target))

    def targets(self) -> Iterator[Batch]:
        yield self.target


@dataclass
class FakeColumns(Columns):
    """Score columns in memory, in blocks of 7 rows."""

    block: Block
    domains: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.n_rows = len(self.block["row"])
        self.totals = {"rows": self.n_rows}

    def blocks(self, *names: str) -> Iterator[Block]:
        for at in range(0, self.n_rows, 7):
            yield {name: column[at : at + 7] for name, column in self.block.items() if not names or name in names}


class Silent(Draw):
    """No noise: what the package calls top_k=True."""

    def gumbel(self, purpose: str, key: Array) -> Array:
        return np.zeros(len(key))


def method_of(case: dict[str, Any]) -> Dsir:
    return Dsir(
        ngrams=case["ngrams"],
        buckets=case["num_buckets"],
        min_length=case["min_example_length"],
        smoothing=case["target_laplace_smoothing"],
        hash="sha256",
        separate_targets=case["separate_targets"],
    )


def run_of(case: dict[str, Any]) -> FakeRun:
    names = [f"t{i}" for i, texts in enumerate(case["target_texts"]) for _ in texts]
    return FakeRun(batch_of(case["raw_texts"]), batch_of(list(chain(*case["target_texts"])), names))


def test_golden_buckets_and_counts() -> None:
    case = golden("hash_and_tokens")
    # Each string as one n-gram: its tokens, all orders, and of these the last.
    for buckets in (10_000, 997):
        for text, expected in zip(case["strings"], case[f"buckets_{buckets}"], strict=True):
            if text != text.lower() or not text:
                continue  # upper case and the empty string never reach the hash
            (_, _, ends, ids), *_ = Ngrams(max(1, len(text.split(" "))), buckets, hash="sha256").pieces(
                batch_of([text])
            )
            assert ids[ends[0] - 1] == expected
    compared = 0
    for i, text in enumerate(case["texts"]):
        if "İ" in text:
            # nltk 3.10 tokenises with the regex engine, to which the dot above of a lower-cased İ belongs to the word.
            assert case["wordpunct_tokens_lower"][i][1] == "i\u0307stanbul"
            continue
        for n, buckets in ((2, 1000), (3, 257)):
            _, ids, counts = Ngrams(n, buckets, hash="sha256").rows(batch_of([text]))
            found = {str(k): v for k, v in zip(ids.tolist(), counts.tolist(), strict=True)}
            assert found == case[f"counts_{n}gram_{buckets}"][i]
            compared += 1
    assert compared == 2 * (len(case["texts"]) - 1)


@pytest.mark.parametrize("name", CASES)
def test_golden_weights_lengths_and_rows(name: str) -> None:
    case = golden(name)
    method, run = method_of(case), run_of(case)
    fitted = method.fit(run)
    ngrams = fitted.ngrams
    assert np.allclose(shares(ngrams.count(run.pool)), case["raw_probs"], rtol=0, atol=1e-11)
    p = np.exp(fitted.table) * (np.array(case["raw_probs"]) + EPSILON) - EPSILON
    assert np.allclose(p, case["target_probs"], rtol=0, atol=1e-11)

    everything = replace(fitted, min_length=0).apply(run.pool)
    weight = np.array(case["log_importance_weights"]).reshape(len(run.pool), -1)
    columns = [everything["score"]] if weight.shape[1] == 1 else [everything[f"score_{t}"] for t in (0, 1)]
    assert np.allclose(np.stack(columns, axis=1), weight, rtol=1e-8, atol=0)

    block = fitted.apply(run.pool)
    assert np.array_equal(np.isfinite(block["score"]), np.array(case["token_lengths"]) >= method.min_length)
    block |= {"row": run.pool.row, "key": run.pool.key}
    chooser = method.chooser(fitted) if method.separate_targets else TopK()
    decision = chooser.choose(FakeColumns(block), Budget("rows", case["num_to_sample"]), Silent(0))
    assert np.flatnonzero(decision.repeats(block)).tolist() == case["topk_ids"]
    if method.separate_targets:
        assert np.allclose(fitted.proportions, case["target_proportions"], rtol=1e-12)
        assert sum(part["kept"] for part in decision.notes.values()) == case["num_to_sample"]


def test_choice_for_several_targets_is_disjoint_and_keyed() -> None:
    case = golden("separate_targets_auto")
    method, run = method_of(case), run_of(case)
    fitted = replace(method, temperature=100.0, proportions=(3.0, 1.0)).fit(run)
    block = fitted.apply(run.pool) | {"row": run.pool.row, "key": run.pool.key}
    chooser = replace(method, temperature=100.0).chooser(fitted)
    taken = [chooser.choose(FakeColumns(block), Budget("rows", 20), Draw(seed)).repeats(block) for seed in (1, 1, 2)]
    assert all(t.sum() == 20 and t.max() == 1 for t in taken)
    assert np.array_equal(taken[0], taken[1]) and not np.array_equal(taken[0], taken[2])
    order = np.random.default_rng(0).permutation(len(run.pool))
    shuffled = {name: column[order] for name, column in block.items()}
    again = chooser.choose(FakeColumns(shuffled), Budget("rows", 20), Draw(1)).repeats(shuffled)
    assert np.array_equal(again, taken[0][order])


@dataclass(frozen=True)
class Counting(Draw):
    """Counts the draws, and so the priorities that were computed."""

    calls: list[str] = field(default_factory=list)

    def gumbel(self, purpose: str, key: Array) -> Array:
        self.calls.append(purpose)
        return super().gumbel(purpose, key)


def test_the_work_for_several_targets_does_not_double_with_each() -> None:
    rng = np.random.default_rng(0)
    block = {f"score_{t}": rng.normal(size=40) for t in range(12)}
    block |= {"row": np.arange(40), "key": np.arange(40).astype(np.uint64)}
    draw = Counting(0)
    decision = SeparateTargets((1.0,) * 12).choose(FakeColumns(block), Budget("rows", 24), draw)
    draw.calls.clear()
    assert decision.repeats(block).sum() == 24
    assert draw.calls == [f"gumbel {t}" for t in range(12)]


def test_mean_fast_hash_and_default_choice() -> None:
    case = golden("hashed_2gram_1000")
    run = run_of(case)
    total = Dsir(min_length=0).fit(run).apply(run.pool)["score"]
    mean = Dsir(min_length=0, normalise="mean").fit(run).apply(run.pool)["score"]
    assert np.allclose(mean, total / Ngrams(2).lengths(run.pool) * 255)  # 128 words, 127 pairs
    assert Dsir(temperature=3.0).chooser(Dsir().fit(run)) == Gumbel(3.0)
    one = Dsir(min_length=0).fit(run).apply(batch_of(case["raw_texts"][5:6]))["score"]
    assert one[0] == total[5]
    described = describe(Dsir().fit(run))
    assert described == describe(Dsir().fit(run)) != describe(Dsir(min_length=7).fit(run))


@pytest.mark.parametrize("share", [1.0, 0.4, 0.0])
def test_counting_a_share_of_rows_merges_exactly(share: float) -> None:
    texts = golden("hashed_2gram_1000")["raw_texts"]
    fold = NgramCounts(Ngrams(2, 300), share)
    whole = fold.lift(batch_of(texts))
    for cuts in ([0, 48], [0, 1, 48], [0, 20, 20, 48], list(range(49))):
        state = fold.empty()
        for a, b in reversed(list(pairwise(cuts))):
            state = fold.merge(fold.lift(batch_of(texts[a:b], first=a)), state)
        assert np.array_equal(state["counts"], whole["counts"])
    rows = uniform(0, "ngram counts", batch_of(texts).key) < share
    expected = Ngrams(2, 300).count(batch_of([text for text, taken in zip(texts, rows, strict=True) if taken]))
    assert np.array_equal(fold.finish(whole), expected)


def test_a_sample_of_rows_scores_like_all_of_them() -> None:
    case = golden("hashed_2gram_1000")
    run = run_of(case)
    exact = Dsir(min_length=0, fit_rows=0).fit(run).apply(run.pool)["score"]
    assert np.array_equal(Dsir(min_length=0, fit_rows=10**6).fit(run).apply(run.pool)["score"], exact)
    sampled = Dsir(min_length=0, fit_rows=24).fit(run).apply(run.pool)["score"]
    assert not np.array_equal(sampled, exact) and np.corrcoef(sampled, exact)[0, 1] > 0.9


def test_kl_reduction_and_quotas() -> None:
    generator = np.random.default_rng(0)
    target, pool, selected = generator.integers(0, 50, (3, 40))
    p, q, r = (c / c.sum() for c in (target, pool, selected))
    expected = np.sum(p * (np.log(p + 1e-8) - np.log(q + 1e-8))) - np.sum(p * (np.log(p + 1e-8) - np.log(r + 1e-8)))
    assert np.isclose(kl_reduction(target, pool, selected), expected, rtol=1e-12)
    assert kl_reduction(target, pool, target) == pytest.approx(float(divergence(p, q)))
    both = kl_reduction(np.stack([target, selected]), pool, selected)
    assert both == pytest.approx((expected + float(divergence(r, q))) / 2)
    assert quotas(11, [0.465, 0.535]).tolist() == [5, 6]
    assert quotas(10, (1, 1, 1)).tolist() == [3, 3, 4]


def test_what_is_refused() -> None:
    run = FakeRun(batch_of(["a b c"]), batch_of([" "]))
    with pytest.raises(DataError, match="n-gram"):
        Dsir().fit(run)
    with pytest.raises(DataError, match="domain"):
        Dsir(separate_targets=True).fit(run)
    with pytest.raises(DataError, match="proportions"):
        Dsir(separate_targets=True, proportions=(1.0, 2.0)).fit(FakeRun(run.pool, batch_of(["a"], ["x"])))
    for wrong in (Dsir(smoothing=-1), Dsir(fit_rows=-1), Dsir(normalise="x"), Dsir(temperature=0.0)):  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            wrong.fit(run)
