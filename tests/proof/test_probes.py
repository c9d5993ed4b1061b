"""The probes: gradients, closed forms, arm-independence, order-independence, divergence, and exact resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch, Policy
from cuvee.errors import DataError, UsageError
from cuvee.examples import as_batch
from cuvee.feature.ngrams import Ngrams
from cuvee.methods.policy.infobatch import InfoBatch
from cuvee.methods.policy.rs2 import Rs2
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.labelled import Probe, cross_entropy, features
from cuvee.proof.proxies.linear_probe import LinearProbe
from cuvee.proof.proxies.mlp import Mlp, gelu, relu
from cuvee.proof.proxy import Evaluation, Outcome, Watch

WORDS = {"sea": "whale ship wave harpoon sail the of and", "code": "def return import class self the of and"}
PROBES: list[Probe] = [LinearProbe(width=64, n=1), Mlp(width=64, n=1, hidden=8), Mlp(width=64, n=1, activation="gelu")]
POLICIES: list[Policy] = [Uniform(), Rs2(0.3), Rs2(0.3, "with"), InfoBatch(), InfoBatch(weights="package", clip=0.9)]


UNIFORM, UNWATCHED = Uniform(), Watch()


def texts(n: int, seed: int = 0, column: str = "label") -> Batch:
    """Short texts of two kinds, named in ``column``."""
    chance = np.random.default_rng(seed)
    kind = [("sea", "code")[int(one)] for one in chance.integers(0, 2, n)]
    found = [" ".join(chance.choice(WORDS[one].split(), 5)).encode() for one in kind]
    batch = as_batch(found)
    key = chance.integers(0, 2**64, n, dtype=np.uint64)
    return dataclasses.replace(batch, key=key, columns={column: pa.array(kind, pa.large_string())})


def rows(n: int, seed: int = 0, d: int = 6) -> Batch:
    """Embeddings of three classes, numbered 1, 2 and 3."""
    chance = np.random.default_rng(seed)
    label = chance.integers(1, 4, n)
    x = chance.normal(size=(n, d)) + 3.0 * np.eye(3, d)[label - 1]
    key = chance.integers(0, 2**64, n, dtype=np.uint64)
    columns = {"embedding": x.astype(np.float32), "label": label}
    return Batch(np.empty(0, np.uint8), np.zeros(n + 1, np.int64), np.arange(n), key, columns)


def held(batch: Batch, name: str = "test") -> Evaluation:
    return Evaluation(name, batch, np.zeros(len(batch), np.int32), ("all",))


def take(batch: Batch, at: Any) -> Batch:
    """Rows at these places, with texts."""
    found = as_batch([batch.text_bytes(i) for i in at])
    columns = {k: v.take(pa.array(at)) if isinstance(v, pa.Array) else v[at] for k, v in batch.columns.items()}
    return Batch(found.data, found.offsets, batch.row[at], batch.key[at], columns)


def run(
    probe: Probe, data: Batch, test: Batch, policy: Policy = UNIFORM, epochs: float = 5.0, watch: Watch = UNWATCHED
) -> Outcome:
    return probe.train(data, [held(test)], policy, epochs, 3, watch)


def same(left: Outcome, right: Outcome) -> bool:
    """To the bit, the time aside."""
    costs = [{name: value for name, value in one.cost.items() if name != "eval_seconds"} for one in (left, right)]
    if left.diverged != right.diverged or left.curve != right.curve or costs[0] != costs[1]:
        return False
    pairs = [(left.measured[name], right.measured[name]) for name in left.measured]
    return all(np.array_equal(a.loss, b.loss) and np.array_equal(a.correct, b.correct) for a, b in pairs)


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("make", [texts, rows])
def test_it_learns(probe: Probe, make: Callable[..., Batch]) -> None:
    probe = dataclasses.replace(probe, rate=0.1)
    found = run(probe, make(300), make(100, 1), epochs=8.0)
    one = found.measured["test"]
    assert not found.diverged and one.correct is not None
    assert one.correct.mean() > 0.85 and one.mean() < 0.5
    assert (one.size == 1).all() and set(one.correct) <= {0.0, 1.0}
    assert found.curve[-1].loss["test"] == one.mean() and found.curve[-1].tokens == 2400
    assert found.cost["train_tokens"] == found.cost["forward"] == found.cost["backward"] == 2400
    assert found.cost["train_flops"] > 0 and probe.train_flops(10.0) == 10 * probe.train_flops(1.0)


@pytest.mark.parametrize("probe", PROBES)
def test_gradients(probe: Probe) -> None:
    """Every parameter's slope against differences of the loss."""
    chance = np.random.default_rng(0)
    x, label, weight = chance.normal(size=(7, 5)), chance.integers(0, 4, 7), chance.random(7)
    parameters = {
        name: one.astype(np.float64) + chance.normal(size=one.shape)
        for name, one in probe.begin(np.random.default_rng(1), 5, 4).items()
    }

    def loss() -> float:
        return float((cross_entropy(probe.forward(parameters, x)[0], label)[0] * weight).mean())

    logits, memory = probe.forward(parameters, x)
    slope = cross_entropy(logits, label)[1] * (weight / 7)[:, None]
    gradient = probe.backward(parameters, memory, slope)
    assert gradient.keys() == parameters.keys()
    for name, one in parameters.items():
        for at in np.ndindex(one.shape):
            kept, ends = one[at], []
            for step in (1e-6, -1e-6):
                one[at] = kept + step
                ends.append(loss())
            one[at] = kept
            assert gradient[name][at] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_activations() -> None:
    z = np.linspace(-4, 4, 33)
    for activation in (relu, gelu):
        value, slope = activation(z)
        ahead, behind = activation(z + 1e-6)[0], activation(z - 1e-6)[0]
        smooth = z != 0 if activation is relu else np.ones(len(z), bool)
        np.testing.assert_allclose(slope[smooth], ((ahead - behind) / 2e-6)[smooth], atol=1e-7)
        assert value[0] == pytest.approx(0.0, abs=1e-3) and value[-1] == pytest.approx(4.0, abs=1e-3)


def test_cross_entropy() -> None:
    """Nats of the softmax, also of logits that exp cannot take."""
    loss, slope = cross_entropy(np.array([[0.0, 0.0], [1e4, 0.0]], np.float32), np.array([0, 1]))
    assert loss.tolist() == pytest.approx([np.log(2.0), 1e4])
    np.testing.assert_allclose(slope, [[-0.5, 0.5], [1.0, -1.0]])


def test_the_linear_probe_finds_the_minimum() -> None:
    """Full batches: the gradient vanishes, so the log odds of two groups are those of their counts."""
    x = np.repeat(np.eye(2), [40, 60], axis=0)
    label = np.array([0] * 30 + [1] * 10 + [0] * 15 + [1] * 45)
    columns = {"embedding": x, "label": label}
    batch = Batch(np.empty(0, np.uint8), np.zeros(101, np.int64), np.arange(100), np.arange(100).astype("u8"), columns)
    probe = LinearProbe(batch=100, optimizer="sgd", rate=2.0)
    loss = run(probe, batch, batch, epochs=3_000.0).measured["test"].loss
    wanted = -np.log(np.where(x[:, 0] == 1, np.where(label == 0, 0.75, 0.25), np.where(label == 0, 0.25, 0.75)))
    np.testing.assert_allclose(loss, wanted, atol=2e-3)  # the unused class keeps a little


def test_features_by_hand() -> None:
    """Square roots of shares; embeddings of length 1; zeros stay zeros; dense and sparse rows agree."""
    found = features(as_batch([b"a a a b", b"", b"c"]), Ngrams(1, 1 << 20), False).rows(np.array([0, 1, 2, 0]))
    assert sorted(found[0][found[0] > 0].tolist()) == pytest.approx([0.5, 0.75**0.5])
    assert not found[1].any() and found[2].max() == 1 and np.array_equal(found[0], found[3])
    x = np.array([[3.0, 4.0], [0.0, 0.0], [1e300, 0.0], [0.0, 1e-300]])
    batch = Batch(
        np.empty(0, np.uint8), np.zeros(5, np.int64), np.arange(4), np.arange(4).astype("u8"), {"embedding": x}
    )
    near = features(batch, Ngrams(), True).rows(np.arange(4))
    np.testing.assert_allclose(near, [[0.6, 0.8], [0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_order_of_the_examples_does_not_matter(probe: Probe, policy: Policy) -> None:
    data, test = texts(120), texts(40, 1)
    order = np.random.default_rng(9).permutation(len(data))
    assert same(run(probe, data, test, policy), run(probe, take(data, order), test, policy))


def test_equal_keys_with_different_labels() -> None:
    """Duplicate texts share a key; their labels settle the order."""
    base, test = texts(30), texts(40, 1)
    twin = take(base, np.repeat(np.arange(30), 2))
    label = np.array(["sea", "code"] * 30)
    twin = dataclasses.replace(twin, columns={"label": pa.array(label)})
    order = np.random.default_rng(2).permutation(60)
    assert same(run(PROBES[1], twin, test, Rs2(0.3)), run(PROBES[1], take(twin, order), test, Rs2(0.3)))


def test_arms_share_shape_and_beginning() -> None:
    """Whatever classes an arm has or lacks, losses before the first step agree; unknown labels are one more class."""
    test = texts(40, 1)
    base = texts(60)
    known = base.columns["label"].to_pylist()
    arms = []
    for label in (known, ["sea"] * 60, ["other"] * 60, known[:50] + ["x", "y"] * 5):
        arm = dataclasses.replace(base, columns={"label": pa.array(label)})
        probe = Mlp(width=64, n=1, rate=1e-30)
        arms.append(run(probe, arm, test, epochs=1.0).measured["test"].loss)
    assert all(np.array_equal(arms[0], one) for one in arms[1:])


def test_labels_may_be_numbers_or_text() -> None:
    data, test = rows(100), rows(40, 1)
    named = {
        k: {**one.columns, "label": pa.array([str(v) for v in one.columns["label"]])}
        for k, one in (("data", data), ("test", test))
    }
    plain = run(PROBES[1], data, test)
    again = run(
        PROBES[1], dataclasses.replace(data, columns=named["data"]), dataclasses.replace(test, columns=named["test"])
    )
    assert same(plain, again)


def test_domains_stand_in_for_labels() -> None:
    one, two = texts(100), texts(40, 1)
    assert same(run(PROBES[0], one, two), run(PROBES[0], texts(100, 0, "domain"), texts(40, 1, "domain")))


def test_the_seed_decides() -> None:
    data, test = texts(100), texts(40, 1)
    first, second = (PROBES[1].train(data, [held(test)], Uniform(), 2.0, seed, Watch()) for seed in (1, 2))
    assert not same(first, second)
    state = repr(np.random.get_state())
    assert same(first, PROBES[1].train(data, [held(test)], Uniform(), 2.0, 1, Watch()))
    assert repr(np.random.get_state()) == state


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_divergence_is_an_outcome(optimizer: Any) -> None:
    """A rate beyond reason gives neither an exception, nor a warning, nor numbers."""
    probe = Mlp(width=64, n=1, rate=1e30, optimizer=optimizer)
    found = run(probe, texts(100), texts(40, 1))
    assert found.diverged and not found.measured and found.cost["train_tokens"] > 0


def test_weight_decay_shrinks() -> None:
    free, held_back = (run(LinearProbe(width=64, n=1, decay=decay), texts(100), texts(40, 1)) for decay in (0.0, 5.0))
    assert held_back.measured["test"].mean() > free.measured["test"].mean()


class Killed(Exception):  # noqa: N818
    """The process ends here."""


def killed(after: int) -> Callable[[float], None]:
    """A progress report that ends the run at its ``after``-th call."""
    calls = [0]

    def progress(share: float) -> None:
        assert 0 < share <= 1
        calls[0] += 1
        if calls[0] == after:
            raise Killed

    return progress


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_killed_and_resumed_is_bit_identical(policy: Policy, optimizer: Any, tmp_path: Path) -> None:
    """Ended after every step in turn, in the middle of rounds and at their borders, and gone on."""
    data, test = texts(70), texts(40, 1)
    probe = Mlp(width=64, n=1, hidden=8, batch=16, optimizer=optimizer)
    steps = [0]
    whole = run(probe, data, test, policy, 3.0, Watch(lambda share: steps.__setitem__(0, steps[0] + 1)))
    for after in range(1, steps[0] + 1):
        place = tmp_path / str(after)
        with pytest.raises(Killed):
            run(probe, data, test, policy, 3.0, Watch(killed(after), place, 0.0))
        assert same(run(probe, data, test, policy, 3.0, Watch(checkpoint=place, every_seconds=0.0)), whole)


def test_killed_again_and_again(tmp_path: Path) -> None:
    data, test = texts(70), texts(40, 1)
    probe, watch = Mlp(width=64, n=1, hidden=8, batch=16), Watch(killed(2), tmp_path, 0.0)
    for _ in range(1_000):
        try:
            found = run(probe, data, test, InfoBatch(), 3.0, dataclasses.replace(watch, progress=killed(2)))
        except Killed:
            continue
        break
    assert same(found, run(probe, data, test, InfoBatch(), 3.0))


def test_policies_cost_what_they_say() -> None:
    """At equal passes RS2 presents what uniform does; InfoBatch presents less, and all end the schedule."""
    data, test = texts(200), texts(40, 1)
    counts = {type(one).__name__: run(PROBES[1], data, test, one, 8.0).cost["forward"] for one in POLICIES[:4]}
    assert counts["Uniform"] == 1600 and abs(counts["Rs2"] - 1600) <= 1
    assert 800 < counts["InfoBatch"] < 1500


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"label": pa.array(["a", None] * 20)}, DataError, "Row 2 has no label"),
        ({"embedding": np.zeros((40, 3)), "label": np.arange(40)}, UsageError, "all have embeddings, or none"),
        ({}, UsageError, "no column 'domain'"),
    ],
)
def test_what_is_missing_is_told(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(PROBES[0], dataclasses.replace(texts(40), columns=change), texts(40, 1))


def test_bad_embeddings_are_refused() -> None:
    data = rows(40)
    data.columns["embedding"][7, 2] = np.nan
    with pytest.raises(DataError, match="Row 8 has an embedding that is not finite"):
        run(PROBES[0], data, rows(40, 1))
    with pytest.raises(DataError, match="differ in length"):
        run(PROBES[0], rows(40), rows(40, 1, d=5))


@pytest.mark.parametrize(
    "settings", [{"rate": 0.0}, {"momentum": 1.0}, {"decay": -1.0}, {"batch": 0}, {"hidden": 0}, {"width": 0}]
)
def test_parameters_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Mlp(**settings)
