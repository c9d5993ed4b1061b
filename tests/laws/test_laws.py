"""The laws of the contracts, over every method and every Fold that the folders hold.

Discovery is the same as the command line's: a new file is checked without being registered here. One that cannot be
built without arguments names them in ``EXAMPLES``; one that is missing there fails. The number of checks is printed.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
import json
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee.fold
from cuvee import registry
from cuvee.core import Batch, Budget, Choose, Draw, Examples, Feedback, Fold, Map, Method, Policy, Round, State
from cuvee.engine.plan import describe, make, parameters
from cuvee.engine.store import digest
from cuvee.feature.content import content_hash
from cuvee.feature.ngrams import Ngrams
from cuvee.online.mixture import MixturePolicy
from tests.conftest import MemoryColumns

FAST_PROBE: dict[str, Any] = {"tokens": 24, "epochs": 1, "checkpoints": 1, "warm_up": 800}
"""Methods on gradients would train for minutes."""
EXAMPLES: dict[str, dict[str, Any]] = {
    "dataman": {"ratings": "RATINGS"},
    "ekfac": FAST_PROBE | {"sample": 12},
    "quadmix": {"ratings": "RATINGS"},
    "samplemix": {"ratings": "RATINGS"},
    "learning_percentage": {"tokens": 16, "epochs": 2, "warm_up": 600},
    "length_matched": {"like": "SELECTION"},
    "less": FAST_PROBE,
    "preselect": {"losses": "LOSSES"},
    "supportive": {"tokens": 24, "epochs": 1, "warm_up": 800, "sample": 20, "rounds": 2, "share": 0.3},
    "threshold": {"minimum": -10.0},
    "tracin": FAST_PROBE,
    "trak": FAST_PROBE | {"dimensions": 16, "sample": 20},
    "NgramCounts": {"ngrams": Ngrams(2, 101)},
    "Words": {"ngrams": Ngrams(2, 101)},
    "Extremes": {"ngrams": Ngrams(2, 101), "table": np.linspace(-9.0, -1.0, 101), "k": 5},
}
CHECKS: dict[str, int] = {}


def counted(law: str) -> None:
    """One more check of a law has run."""
    CHECKS[law] = CHECKS.get(law, 0) + 1


def batch_of(texts: list[str], first: int = 0) -> Batch:
    raw = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in raw])]).astype(np.int64)
    data = np.frombuffer(b"".join(raw), np.uint8)
    rows = np.arange(first, first + len(texts), dtype=np.int64)
    domains = pa.array([f"d{row % 3}" for row in rows], pa.string())
    columns = {"domain": domains, "label": rows % 5 / 4}
    return Batch(data, offsets, rows, content_hash(data, offsets), columns)


def part_of(batch: Batch, low: int, high: int) -> Batch:
    columns = {name: values[low:high] for name, values in batch.columns.items()}
    return Batch(batch.data, batch.offsets[low : high + 1], batch.row[low:high], batch.key[low:high], columns)


WORDS = "the sea of rows select from join where index whale captain def return None 3.14 Straße ΟΔΟΣ привет 数据"
WORD_LIST = WORDS.split()


def texts(seed: int, count: int, length: int = 40) -> list[str]:
    chance = np.random.default_rng(seed)
    shift = seed % len(WORD_LIST)
    words = WORD_LIST[shift:] + WORD_LIST[:shift]
    weights = 1 / np.arange(1, len(words) + 1)
    return [" ".join(chance.choice(words, size=length + i % 7, p=weights / weights.sum())) for i in range(count)]


POOL, TARGET = batch_of(texts(0, 90)), batch_of(texts(5, 30))


class Straight:
    """Runs Folds over batches in memory: the double of the engine that methods are fitted with."""

    seed = 3
    rows = len(POOL)

    def fold(self, fold: Fold, over: str = "pool") -> Any:
        batch = POOL if over == "pool" else TARGET
        return fold.finish(fold.merge(fold.lift(part_of(batch, 0, 11)), fold.lift(part_of(batch, 11, len(batch)))))

    def targets(self) -> Iterator[Batch]:
        yield TARGET


def build(name: str, kind: type, tmp_path: Path) -> Any:
    given = dict(EXAMPLES.get(name, {}))
    if given.get("ratings"):
        given["ratings"] = str(tmp_path / "ratings.parquet")
        pq.write_table(pa.table({"key": POOL.key[::2], "overall_score": POOL.row[::2] % 5 + 1}), given["ratings"])
    if given.get("losses"):
        from tests.methods.score.test_preselect import write_losses

        given["losses"] = write_losses(tmp_path, POOL)
    return make(kind, given, name)


METHODS = sorted(registry.entries())
SCORERS = [name for name in METHODS if issubclass(registry.load(name), Method)]
CHOOSERS = [name for name in METHODS if issubclass(registry.load(name), Choose)]
POLICIES = [name for name in METHODS if issubclass(registry.load(name), Policy)]


def fold_classes() -> dict[str, type[Fold]]:
    found = {}
    for info in pkgutil.iter_modules(cuvee.fold.__path__):
        module = importlib.import_module(f"cuvee.fold.{info.name}")
        for name, kind in vars(module).items():
            own = inspect.isclass(kind) and issubclass(kind, Fold) and kind.__module__ == module.__name__
            if own and not inspect.isabstract(kind):
                found[name] = kind
    return found


FOLDS = fold_classes()


@pytest.mark.parametrize("name", METHODS)
def test_card(name: str) -> None:
    """It says what it is, what it needs and costs, on what evidence, and cites."""
    kind = registry.load(name)
    card = kind.card
    for part in ("summary", "family", "cost", "evidence"):
        assert getattr(card, part).strip(), f"{name}: the card's {part} is empty"
        counted("the card is complete")
    if issubclass(kind, Method):
        assert "@" in card.bibtex and "author" in card.bibtex and "year" in card.bibtex
        counted("it cites")
    assert inspect.getdoc(inspect.getmodule(kind))
    counted("it is documented")


@pytest.mark.parametrize("name", METHODS)
def test_plan_round_trip(name: str, tmp_path: Path) -> None:
    """Frozen; the plan survives JSON; its digest changes with every field."""
    kind = registry.load(name)
    method = build(name, kind, tmp_path)
    assert kind.__dataclass_params__.frozen, f"{name} must be a frozen dataclass"
    counted("it is frozen")
    plain = {key: value for key, value in parameters(method).items() if not isinstance(value, dict)}
    again = make(kind, json.loads(json.dumps(plain)), name)
    assert again == method and digest(describe(again)) == digest(describe(method))
    counted("the plan round-trips")
    for field in dataclasses.fields(kind):
        other = _different(getattr(method, field.name))
        if other is None:
            continue
        changed = object.__new__(kind)
        for one in dataclasses.fields(kind):
            object.__setattr__(changed, one.name, other if one.name == field.name else getattr(method, one.name))
        assert digest(describe(changed)) != digest(describe(method)), f"{name}.{field.name} is not in the digest"
        counted("the digest changes with every field")


def _different(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if np.isfinite(value) else 0.0
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, 1.0)
    return 1.0 if value is None else None


def fitted(name: str, tmp_path: Path) -> Map:
    return build(name, registry.load(name), tmp_path).fit(Straight())


def equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key], equal_nan=True) for key in left)


@pytest.mark.parametrize("name", SCORERS)
def test_map_laws(name: str, tmp_path: Path) -> None:
    """A row's score depends on that row alone; inputs stay as they are; threads agree; empty gives empty."""
    scorer = fitted(name, tmp_path)
    frozen = (POOL.data.copy(), POOL.offsets.copy(), POOL.row.copy(), POOL.key.copy())
    whole = scorer.apply(POOL)
    assert whole["score"].dtype == np.float64 and all(len(column) == len(POOL) for column in whole.values())
    counted("a block has the batch's length")
    assert not np.isnan(whole["score"]).any()
    counted("a score is never NaN")
    for seed in range(4):
        cuts = np.sort(np.random.default_rng(seed).choice(len(POOL) + 1, 3))
        edges = [0, *cuts.tolist(), len(POOL)]
        parts = [scorer.apply(part_of(POOL, low, high)) for low, high in itertools.pairwise(edges) if high > low]
        joined = {key: np.concatenate([part[key] for part in parts]) for key in whole}
        assert equal(joined, whole), f"{name}: splitting the batch changed the block"
        counted("any split gives the same bits")
    for before, after in zip(frozen, (POOL.data, POOL.offsets, POOL.row, POOL.key), strict=True):
        assert np.array_equal(before, after)
        counted("inputs are not changed")
    with ThreadPoolExecutor(4) as pool:
        assert all(equal(block, whole) for block in pool.map(scorer.apply, [POOL] * 8))
    counted("threads agree")
    nothing = scorer.apply(part_of(POOL, 0, 0))
    assert nothing.keys() == whole.keys() and all(len(column) == 0 for column in nothing.values())
    counted("empty gives empty")
    assert equal(fitted(name, tmp_path).apply(POOL), whole)
    counted("fitting twice gives the same bits")
    digest(describe(scorer))
    counted("the fitted map has a digest")


@pytest.mark.parametrize("name", sorted(FOLDS))
def test_fold_laws(name: str, tmp_path: Path) -> None:
    """Identity, associativity under any split, update equals merge of lift; states hold arrays only."""
    fold: Fold = build(name, FOLDS[name], tmp_path)

    def copy(state: State) -> State:
        return {key: array.copy() for key, array in state.items()}

    whole = fold.lift(POOL)
    assert all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in whole.values())
    counted("states are plain arrays")
    assert equal(fold.merge(fold.empty(), copy(whole)), whole)
    assert equal(fold.merge(copy(whole), fold.empty()), whole)
    counted("empty is the identity")
    assert equal(fold.lift(part_of(POOL, 0, 0)), fold.empty())
    counted("nothing lifts to empty")
    if not fold.exact:
        return
    for seed in range(6):
        chance = np.random.default_rng(seed)
        cuts = np.sort(chance.choice(np.arange(1, len(POOL)), 4, replace=False))
        edges = [0, *cuts.tolist(), len(POOL)]
        states = [fold.lift(part_of(POOL, low, high)) for low, high in itertools.pairwise(edges)]
        while len(states) > 1:
            at = int(chance.integers(len(states) - 1))
            states[at : at + 2] = [fold.merge(states[at], states[at + 1])]
        assert equal(states[0], whole), f"{name}: merging in another order changed the state"
        counted("any tree of merges gives the same bits")
        state = fold.empty()
        for low, high in itertools.pairwise(edges):
            state = fold.update(state, part_of(POOL, low, high))
        assert equal(state, whole)
        counted("update equals merge of lift")
        backwards = fold.empty()
        for part in [fold.lift(part_of(POOL, low, high)) for low, high in itertools.pairwise(edges)][::-1]:
            backwards = fold.merge(backwards, part)
        assert equal(backwards, whole), f"{name}: an exact Fold must not depend on the order of merges"
        counted("exact folds commute")


@pytest.mark.parametrize("name", CHOOSERS)
def test_choose_laws(name: str, tmp_path: Path) -> None:
    """Within the budget, whatever the blocks; NaN and -inf never taken; only the named columns are read."""
    kind = registry.load(name)
    chance = np.random.default_rng(2)
    rows = 400
    score = chance.normal(size=rows)
    score[::17], score[5::29], score[7::31] = np.nan, -np.inf, np.inf
    data: dict[str, Any] = {
        "score": score,
        "perplexity": np.exp(chance.normal(size=rows)),
        "key": chance.integers(0, 2**63, rows).astype(np.uint64),
        "tokens": chance.integers(1, 50, rows),
        "bytes": chance.integers(1, 4000, rows),
        "domain": chance.integers(0, 3, rows).astype(np.int32),
        "content": chance.integers(0, 2**63, rows).astype(np.uint64),
        "embedding": chance.normal(size=(rows, 8)).astype(np.float16),
        "cluster": chance.integers(-1, 12, rows).astype(np.int32),
    }
    data["embedding"][::19] = 0
    like = {"like": str(_selection(tmp_path))} if name == "length_matched" else {}
    method = make(kind, EXAMPLES.get(name, {}) | like, name)
    results = []
    for blocks in (1, 2, 7):
        columns = MemoryColumns(blocks, ["a", "b", "c"], **data)
        decision = method.choose(columns, Budget("tokens", 900), Draw(4))
        taken = columns.taken(decision)
        assert taken.min() >= 0 and taken.dtype == np.int64
        kept = int((taken * data["tokens"]).sum())
        if name != "poisson":
            assert 0 < kept <= 900, f"{name} kept {kept} of 900"
            counted("the budget holds")
        if "score" in decision.needs:
            assert not taken[np.isnan(score) | (score == -np.inf)].any()
            counted("NaN and -inf are never taken")
        json.dumps(dict(decision.notes))
        counted("notes are JSON")
        results.append(taken)
    assert all(np.array_equal(results[0], other) for other in results[1:]), f"{name} depends on the blocks"
    counted("blocks do not matter")
    again = method.choose(MemoryColumns(3, ["a", "b", "c"], **data), Budget("tokens", 900), Draw(4))
    assert np.array_equal(MemoryColumns(3, **data).taken(again), results[0])
    counted("the same seed gives the same rows")


def _selection(tmp_path: Path) -> Path:
    import pyarrow.parquet as pq

    path = tmp_path / "selection.parquet"
    sizes = np.arange(50, 3000, 50)
    columns = {"bytes": sizes, "weight": np.ones(len(sizes), np.int32), "tokens": sizes // 4}
    pq.write_table(pa.table(columns), path)
    return path


def _learning(number: int, key: Any) -> Any:
    """Losses that fall from round to round and differ from example to example: a stub of a model."""
    return np.exp(-0.2 * number) * (0.5 + (key % np.uint64(1009)).astype(np.float64) / 1009)


def _copies(state: State, done: Round) -> list[Any]:
    return [state[name].copy() for name in sorted(state)] + [done.order.copy(), done.weight.copy()]


def _measured(number: int, examples: Examples) -> Feedback:
    """What a trainer would answer: losses that fall, of every domain and none, and gradients of two directions."""
    k = len(np.unique(examples.domain))
    before = 3.0 / (1.0 + 0.1 * number) + 0.1 * np.arange(k)
    excess = np.where(np.arange(k) == number % 3, np.nan, 0.2 + 0.1 * np.arange(k))
    slopes = np.stack([np.arange(2 * k) % 3 - 0.5, np.ones(2 * k)], axis=1)
    return Feedback(0.001, before, before - 0.05 * (1 + np.arange(k) % 2), excess, slopes @ slopes.T)


def _run(policy: Policy, examples: Examples, epochs: float, seed: int) -> Iterator[tuple[State, int, Round]]:
    """A whole training with the stub: the state before each round, the round's number, and the round."""
    state, number, done = policy.init(examples), 0, 0.0
    while done < epochs - 1e-9:
        proposed = policy.propose(state, examples, number, epochs, Draw(seed))
        yield state, number, proposed
        state = policy.update(state, proposed, _learning(number, examples.key[proposed.order]))
        number, done = number + 1, done + proposed.epochs
        if proposed.asks:
            feedback = _measured(number, examples)
            state, done = policy.inform(state, proposed, feedback), done + feedback.cost


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("n", [1, 2, 37, 200])
def test_policy_laws(name: str, n: int, tmp_path: Path) -> None:
    """Rounds are pure functions of keyed arguments, in range, of finite positive weights; states are plain arrays."""
    policy: Policy = build(name, registry.load(name), tmp_path)
    chance = np.random.default_rng(n)
    examples = Examples(chance.integers(0, 2**64, n, dtype=np.uint64), chance.integers(0, 3, n).astype(np.int32))
    given = (examples.key.copy(), examples.domain.copy())
    order = chance.permutation(n)
    shuffled = Examples(examples.key[order], examples.domain[order])
    epochs, before = 6.0, repr(np.random.get_state())
    others = _run(policy, shuffled, epochs, 3)
    seen, same = np.zeros(n, bool), []
    for state, number, proposed in _run(policy, examples, epochs, 3):
        assert all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in state.values())
        counted("a policy's state is plain arrays")
        assert proposed.order.dtype == np.int64 and proposed.weight.dtype == np.float64
        assert 0 < len(proposed.order) == len(proposed.weight)
        assert proposed.order.min() >= 0 and proposed.order.max() < n
        counted("a round's places are in range")
        assert np.isfinite(proposed.weight).all() and (proposed.weight > 0).all()
        counted("weights are finite and positive")
        assert proposed.epochs > 0 and proposed.weight.sum() == pytest.approx(n * proposed.epochs)
        counted("the weights add up to the examples that a round stands for")
        held = _copies(state, proposed)
        again = policy.propose(state, examples, number, epochs, Draw(3))
        assert all(np.array_equal(one, two) for one, two in zip(held, _copies(state, again), strict=True))
        counted("proposing again gives the same bits and leaves the state")
        stored = {key: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape) for key, array in state.items()}
        assert np.array_equal(policy.propose(stored, examples, number, epochs, Draw(3)).order, proposed.order)
        counted("a stored state gives the same round, and is not written to")
        loss = _learning(number, examples.key[proposed.order])
        taken = loss.copy()
        learned = policy.update(state, proposed, loss)
        if proposed.asks:
            policy.inform(learned, proposed, _measured(number, examples))
        assert np.array_equal(loss, taken)
        assert all(np.array_equal(one, two) for one, two in zip(held, _copies(state, proposed), strict=True))
        counted("taking in losses changes no input")
        other = next(others)[2]
        assert np.array_equal(shuffled.key[other.order], examples.key[proposed.order])
        assert np.array_equal(other.weight, proposed.weight)
        counted("the order of the examples does not matter")
        seen[proposed.order] = True
        differently = policy.propose(state, examples, number, epochs, Draw(4))
        if len(proposed.order) > 2:  # one or two may be alike by chance
            same.append(np.array_equal(differently.order, proposed.order))
    assert next(others, None) is None
    assert seen.all(), f"{name} never used {np.flatnonzero(~seen)}"
    counted("no example is left out for good")
    assert n < 37 or not any(same)
    counted("another seed gives another order")
    assert repr(np.random.get_state()) == before
    counted("global random numbers are left alone")
    for one, two in zip(given, (examples.key, examples.domain), strict=True):
        assert np.array_equal(one, two)
        counted("inputs are not changed")


@pytest.mark.parametrize("name", POLICIES)
def test_policies_and_equal_keys(name: str, tmp_path: Path) -> None:
    """Examples of equal keys, and keys beyond what a float can hold, are told apart."""
    policy: Policy = build(name, registry.load(name), tmp_path)
    key = np.repeat(np.array([7, 2**24 + 1, 2**31 + 1, 2**53 + 1, 2**64 - 1], np.uint64), 4)
    examples = Examples(key, np.zeros(len(key), np.int32))
    times = np.zeros(len(key), np.int64)
    for _, _, proposed in _run(policy, examples, 4.0, 0):
        if isinstance(policy, MixturePolicy):  # a round may begin in one pass and end in the next
            times += np.bincount(proposed.order, minlength=len(key))
            group = policy.init(examples)["group"]
            assert all(np.ptp(times[group == one]) <= 1 for one in np.unique(group))
            counted("the examples of a domain are taken equally often, or once more")
        else:
            assert len(np.unique(proposed.order)) == len(proposed.order)
            counted("equal keys do not repeat an example within a round")
    near = Examples(np.arange(2**53, 2**53 + 64, dtype=np.uint64), np.zeros(64, np.int32))
    first = next(_run(policy, near, 4.0, 0))[2].order
    assert isinstance(policy, MixturePolicy) or len(np.unique(first)) == len(first)  # a mixture may repeat small groups
    assert len(first) < 3 or (len(np.unique(first)) > 1 and (np.diff(first) != 1).any())
    counted("large keys stay apart")


def test_no_method_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    """Every method was checked, and the run says how much was."""
    assert sorted(SCORERS + CHOOSERS + POLICIES) == METHODS
    checks = sum(CHECKS.values())
    if checks:  # not when this test is run by itself
        with capsys.disabled():
            print(f"\nlaws: {checks:,} checks of {len(CHECKS)} laws over {len(METHODS)} methods and {len(FOLDS)} folds")
