"""The transformer proxy: its model, its training, and that the same run gives the same bits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Batch, Draw, Examples, Policy, Round, State
from cuvee.engine.draw import bits
from cuvee.examples import as_batch
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies import transformer
from cuvee.proof.proxies.packing import IGNORED, Rows, pack
from cuvee.proof.proxies.tokens import Vocabulary, train_bpe
from cuvee.proof.proxies.transformer import Shape, Transformer
from cuvee.proof.proxy import Evaluation, Outcome, Watch

torch = pytest.importorskip("torch")
from cuvee.proof.proxies import text_model  # noqa: E402

TINY: dict[str, Any] = {"size": "tiny", "context": 32, "batch": 8, "device": "cpu"}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A size for tests, and one thread for what they compute by themselves."""
    monkeypatch.setitem(transformer.SIZES, "tiny", Shape(32, 2, 2, 64, 1e-2))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def texts_of(name: str, first: int, last: int) -> Batch:
    lines = (Path(__file__).parents[2] / "src/cuvee/demo" / name).read_text(encoding="utf-8").splitlines()[first:last]
    plain = as_batch([json.loads(line)["text"].encode() for line in lines])
    return Batch(plain.data, plain.offsets, plain.row, bits(0, "test", plain.key))


TRAIN = texts_of("target.jsonl", 0, 12)
HELD_OUT = texts_of("target.jsonl", 90, 93)
EVALUATION = Evaluation("held out", HELD_OUT, np.zeros(3, np.int32), ("all",))


def run(proxy: Transformer, data: Batch = TRAIN, seed: int = 0, watch: Watch | None = None) -> Outcome:
    return proxy.train(data, [EVALUATION], Uniform(), 1.0, seed, watch or Watch())


def gradient(one: text_model.TextLearner, places: np.ndarray, weights: np.ndarray) -> Any:
    """Losses, and the gradient as one vector."""
    losses, parts = one.gradient(places, weights)
    return losses, torch.cat([part.flatten() for part in parts])


def learner(proxy: Transformer, data: Batch = TRAIN, seed: int = 0) -> text_model.TextLearner:
    vocabulary = Vocabulary(proxy.tokenizer)
    rows = pack(data, vocabulary.encode(data), proxy.context, vocabulary.separator)
    return text_model.TextLearner(proxy, vocabulary, rows, [EVALUATION], seed)


def same(one: Outcome, two: Outcome) -> bool:
    pairs = zip(one.measured.values(), two.measured.values(), strict=True)
    return one.curve == two.curve and all(np.array_equal(a.loss, b.loss) for a, b in pairs)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(transformer.SIZES, "tiny", Shape(32, 2, 2, 64, 1e-2))
        return run(Transformer(**TINY))


def test_learns(outcome: Outcome) -> None:
    untrained = learner(Transformer(**TINY)).evaluate()["held out"]
    assert outcome.measured["held out"].mean() < 0.65 * untrained
    assert untrained < 9.0  # about uniform: log2(257) = 8.006
    found = [point.loss["held out"] for point in outcome.curve]
    assert found == sorted(found, reverse=True) and found[-1] == outcome.measured["held out"].mean()
    total = float(len(TRAIN.data) + len(TRAIN))
    assert outcome.cost["train_tokens"] == total
    assert outcome.cost["train_flops"] == pytest.approx(Transformer(**TINY).train_flops(total))
    assert outcome.measured["held out"].size.tolist() == np.diff(HELD_OUT.offsets).tolist()


def test_same_seed_same_bits_whatever_the_order(outcome: Outcome) -> None:
    back = np.arange(len(TRAIN))[::-1]
    parts = [TRAIN.text_bytes(i) for i in back]
    turned = as_batch(parts)
    torch.manual_seed(99)
    torch.set_num_threads(2)
    again = run(Transformer(**TINY), Batch(turned.data, turned.offsets, turned.row, TRAIN.key[back]))
    assert same(again, outcome)
    assert torch.get_num_threads() == 2  # put back
    state = torch.get_rng_state()
    assert not same(run(Transformer(**TINY), seed=1), outcome)
    assert torch.equal(state, torch.get_rng_state())


def test_initialisation_is_the_seed_s_alone() -> None:
    one, two, other = (
        learner(Transformer(**TINY), data, seed).state()["parameters"]
        for data, seed in ((TRAIN, 3), (HELD_OUT, 3), (TRAIN, 4))
    )
    assert np.array_equal(one, two) and not np.array_equal(one, other)


class Interrupted(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("after", [0.07, 0.6, 1.0])
def test_resumes_exactly(after: float, outcome: Outcome, tmp_path: Path) -> None:
    def interrupt(share: float) -> None:
        if share >= after:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(Transformer(**TINY), watch=Watch(interrupt, tmp_path, 0.0))
    shares: list[float] = []
    again = run(Transformer(**TINY), watch=Watch(shares.append, tmp_path, 0.0))
    assert len(shares) <= (1 - after) * 74 + 2  # of 74 steps
    assert same(again, outcome) and again.cost == {**outcome.cost, "eval_seconds": again.cost["eval_seconds"]}
    assert again.cost["eval_seconds"] > 0


def test_resumes_from_the_very_end(tmp_path: Path, outcome: Outcome) -> None:
    def interrupt(self: Uniform, state: State, done: Round, loss: np.ndarray) -> State:
        raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Uniform, "update", interrupt)
        with pytest.raises(Interrupted):
            run(Transformer(**TINY), watch=Watch(checkpoint=tmp_path, every_seconds=0.0))
    shares: list[float] = []
    again = run(Transformer(**TINY), watch=Watch(shares.append, tmp_path))
    assert shares == [] and same(again, outcome)


def test_parameters_are_as_many_as_counted() -> None:
    assert len(learner(Transformer(**TINY)).state()["parameters"]) == transformer.SIZES["tiny"].parameters(257)


def test_state_holds_all_that_steps_depend_on() -> None:
    proxy = Transformer(**TINY)
    one, two = learner(proxy), learner(proxy, seed=5)
    places, weights = np.arange(8), np.ones(8)
    one.step(places, weights, 0.3)
    kept = one.state()
    two.load(kept)
    for _ in range(2):
        losses = [each.step(places, weights, 0.5) for each in (one, two)]
        assert np.array_equal(*losses)
    assert all(np.array_equal(a, b) for a, b in zip(one.state().values(), two.state().values(), strict=True))
    assert kept["steps"].tolist() == [1]  # a copy


def test_divergence_is_an_outcome() -> None:
    found = run(Transformer(**TINY, rate=1e30))
    assert found.diverged and found.measured == {}


@pytest.mark.parametrize("leak", [False, True])
def test_documents_see_only_themselves(leak: bool) -> None:
    model = learner(Transformer(**TINY)).model
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.integers(0, 256, (2, 32)))
    document = torch.tensor([[0] * 10 + [1] * 15 + [IGNORED] * 7, [3] * 32])
    targets = torch.where(document == IGNORED, IGNORED, torch.from_numpy(rng.integers(0, 256, (2, 32))))
    seen = None if leak else document
    changed = inputs.clone()
    changed[0, :10] = 7
    with torch.no_grad():
        before, after = (model.losses(one, targets, seen) for one in (inputs, changed))
    assert not torch.equal(before[0, :10], after[0, :10])
    assert torch.equal(before[0, 10:25], after[0, 10:25]) == (not leak)
    assert torch.equal(before[1], after[1])
    assert (before[0, 25:] == 0).all()
    later = inputs.clone()
    later[:, 20:] = 7
    with torch.no_grad():
        assert torch.equal(model.losses(later, targets, seen)[:, :20], before[:, :20])  # causal


def test_leaking_changes_the_training_of_rows_with_several_documents_only() -> None:
    closed, open_ = (learner(Transformer(**TINY, leak=leak)) for leak in (False, True))
    several = np.array([len(set(row)) > 1 for row in closed.rows.document.tolist()])
    for group, equal in ((~several, True), (several, False)):
        places = np.flatnonzero(group)
        found = [gradient(one, places, np.ones(len(places)))[1] for one in (closed, open_)]
        assert torch.allclose(*found, rtol=1e-3, atol=1e-6) == equal


@pytest.mark.parametrize("leak", [False, True])
def test_a_document_is_measured_alone_as_among_others(leak: bool) -> None:
    one = learner(Transformer(**TINY, leak=leak))
    one.evaluate()
    among = one.measured["held out"].loss
    for i in range(3):
        alone = Evaluation("held out", as_batch([HELD_OUT.text_bytes(i)]), np.zeros(1, np.int32), ("all",))
        prepared = text_model.Prepared(alone, Vocabulary(None), 32)
        with torch.no_grad():
            assert one.measure(prepared).loss[0] == pytest.approx(among[i], rel=1e-5)


def test_rotary_attention_sees_relative_positions_only() -> None:
    model = learner(Transformer(**TINY)).model
    text = torch.arange(40, 52)
    targets = torch.full((1, 32), IGNORED)
    found = []
    for begin in (0, 17):
        inputs, document = torch.zeros(1, 32, dtype=torch.int64), torch.full((1, 32), IGNORED)
        inputs[0, begin : begin + 12], document[0, begin : begin + 12] = text, 0
        goal = targets.clone()
        goal[0, begin : begin + 12] = text + 1
        with torch.no_grad():
            found.append(model.losses(inputs, goal, document)[0, begin : begin + 12])
    assert torch.allclose(*found, rtol=1e-4, atol=1e-5)


def test_norm_s_gradient_is_that_of_its_formula() -> None:
    source = torch.Generator()
    source.manual_seed(0)
    x, gain, given = (torch.randn(form, generator=source, dtype=torch.float64) for form in ((2, 3, 8), (8,), (2, 3, 8)))
    x.requires_grad_(), gain.requires_grad_()
    own = torch.autograd.grad(text_model.normed(x, gain), (x, gain), given)
    plain = torch.autograd.grad(torch.nn.functional.rms_norm(x, (8,), gain, text_model.EPSILON), (x, gain), given)
    assert all(torch.allclose(a, b) for a, b in zip(own, plain, strict=True))


def test_optimiser_is_adamw_with_clipping() -> None:
    source = torch.Generator()
    source.manual_seed(0)
    start, gradients = torch.randn(20, generator=source), torch.randn(5, 20, generator=source)

    def parts(flat: torch.Tensor) -> list[torch.Tensor]:
        return [flat[:12].view(3, 4).clone(), flat[12:].clone()]

    ours, theirs = parts(start), [one.requires_grad_() for one in parts(start)]
    optimiser = text_model.AdamW(ours, 0.1, 1.0)
    groups = [{"params": theirs[:1], "weight_decay": 0.1}, {"params": theirs[1:], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.02, betas=text_model.BETAS)
    for scale, gradient in zip((1.0, 0.01, 3.0, 0.1, 1.0), gradients, strict=True):
        optimiser.step(parts(gradient * scale), 0.02)
        for one, part in zip(theirs, parts(gradient * scale), strict=True):
            one.grad = part
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        reference.step()
    assert optimiser.steps == 5
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(ours, theirs, strict=True))


def test_weights_scale_each_row_s_gradient() -> None:
    one = learner(Transformer(**TINY))
    places = np.array([4, 0, len(one.rows) - 1])  # the last row is padded
    assert one.counts[places[-1]] < 32
    losses, whole = gradient(one, places, np.array([2.0, 0.5, 3.0]))
    counts = one.counts[places]
    parts = [gradient(one, places[i : i + 1], np.ones(1)) for i in range(3)]
    assert losses == pytest.approx([found[0] for found, _ in parts], rel=1e-5)
    expected = sum(w * n * g for w, n, (_, g) in zip((2.0, 0.5, 3.0), counts, parts, strict=True)) / counts.sum()
    assert torch.allclose(whole, expected, rtol=1e-3, atol=1e-6)
    assert torch.allclose(gradient(one, places, 2 * np.ones(3))[1], 2 * gradient(one, places, np.ones(3))[1])


@dataclass(frozen=True)
class Watcher(Policy):
    """Notes what it is told."""

    def init(self, examples: Examples) -> State:
        return {"seen": np.zeros(len(examples.key))}

    def propose(self, state: State, examples: Examples, number: int, epochs: float, draw: Draw) -> Round:
        assert len(set(examples.key.tolist())) == len(examples.key)
        order = np.arange(len(examples.key))[::-1].copy()
        return Round(order, np.full(len(order), 2.0), 1.0)

    def update(self, state: State, done: Round, loss: np.ndarray) -> State:
        assert len(loss) == len(done.order) and np.isfinite(loss).all()
        assert 1.0 < loss.mean() < 7.0  # nats a token, before weighting
        return state


def test_policies_see_packed_rows() -> None:
    found = Transformer(**TINY).train(TRAIN, [], Watcher(), 2.0, 0, Watch())
    assert found.cost["forward"] == 2 * len(learner(Transformer(**TINY)).rows)
    assert found.measured == {}


def test_learns_with_a_byte_pair_vocabulary(tmp_path: Path, outcome: Outcome) -> None:
    pytest.importorskip("tokenizers")
    path = str(tmp_path / "tokenizer.json")
    train_bpe([TRAIN.text(i) for i in range(len(TRAIN))], 320, path)
    found = run(Transformer(**TINY, tokenizer=path))
    assert found.cost["train_tokens"] < 0.8 * outcome.cost["train_tokens"]
    # bits per byte, so that vocabularies compare
    assert found.measured["held out"].mean() == pytest.approx(outcome.measured["held out"].mean(), rel=0.25)
    assert found.measured["held out"].size.tolist() == outcome.measured["held out"].size.tolist()


def test_loss_is_that_of_the_packed_text() -> None:
    """The loss of one short text, against a forward pass by hand."""
    one = learner(Transformer(**TINY))
    text = HELD_OUT.text_bytes(0)[:20]
    inputs, targets = torch.tensor([[256, *text]]), torch.tensor([[*text, 256]])
    with torch.no_grad():
        nats = one.model.losses(inputs, targets, torch.zeros_like(inputs)).sum().item()
        short = Evaluation("short", as_batch([text, b""]), np.zeros(2, np.int32), ("all",))
        found = one.measure(text_model.Prepared(short, Vocabulary(None), 32))
    assert found.loss[0] == pytest.approx(nats / np.log(2), rel=1e-5)
    assert found.size.tolist() == [20.0, 1.0]


def test_rows_without_texts_are_no_rows() -> None:
    empty = as_batch([])
    rows: Rows = pack(empty, Vocabulary(None).encode(empty), 32, 256)
    assert len(rows) == 0
