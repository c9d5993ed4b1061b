"""The text probe's gradients: against double precision, alone and in company; its training."""

from __future__ import annotations

import builtins
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cuvee.engine.draw import bits
from cuvee.errors import MissingExtraError, UsageError
from cuvee.examples import as_batch
from cuvee.gradient.warm_up import beginning, head, train_text

torch = pytest.importorskip("torch")
from cuvee.gradient import text as text_probes  # noqa: E402
from cuvee.gradient.text import TextProbe, TextSpec, one_thread  # noqa: E402
from cuvee.proof.proxies.transformer import Shape  # noqa: E402

TEXTS = [b"the sea of rows", b"", b"select a from b " * 9, "Stra\u00dfe \u4e2d\u6587".encode(), b"x"]
CONTEXT = 16


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A size for tests, and one thread for what they compute by themselves."""
    monkeypatch.setitem(text_probes.SHAPES, "tiny", Shape(16, 2, 2, 24, 1e-2))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def probe() -> TextProbe:
    """Two random models, of which one is not near its beginning."""
    spec = TextSpec("tiny", context=CONTEXT)
    first = beginning(spec, 1)
    second = first + np.random.default_rng(0).normal(0, 0.1, len(first)).astype(np.float32)
    return TextProbe(spec, np.stack([first, second]), tokens=40)


def reference(parameters: Any, text: bytes, tokens: int, output: str, total: bool) -> Any:
    """The same output, written out in double precision for one text; differentiable by ``parameters``."""
    width, depth, heads, hidden = 16, 2, 2, 24
    sizes: list[tuple[int, ...]] = [(257, width)]
    for _ in range(depth):
        sizes += [(3 * width, width), (width, width), (2 * hidden, width), (width, hidden)]
    sizes += [(width,)] * (2 + 2 * depth)
    parts, at = [], 0
    for size in sizes:
        many = int(np.prod(size))
        parts.append(parameters[at : at + many].reshape(size))
        at += many
    assert at == len(parameters)
    table, blocks, gains = parts[0], parts[1 : 1 + 4 * depth], parts[1 + 4 * depth :]

    def norm(x: Any, gain: Any) -> Any:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * gain

    def turned(x: Any) -> Any:
        half = x.shape[-1] // 2
        angle = torch.arange(len(x), dtype=x.dtype)[:, None] * 10000.0 ** (-torch.arange(half, dtype=x.dtype) / half)
        even, odd = x[:, 0::2], x[:, 1::2]
        return torch.stack(
            [even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()], -1
        ).flatten(-2)

    stream = [256, *text[:tokens], *([256] if len(text) <= tokens else [])]
    losses = []
    for begin in range(0, len(stream) - 1, CONTEXT):
        ids = torch.tensor(stream[begin : begin + CONTEXT + 1])
        x = norm(table[ids[:-1]], gains[0])
        for i in range(depth):
            qkv, out, up, down = blocks[4 * i : 4 * i + 4]
            y = norm(x, gains[2 + 2 * i])
            q, k, v = (y @ qkv.T).split(width, -1)
            seen = []
            for h in range(heads):
                part = slice(h * width // heads, (h + 1) * width // heads)
                score = turned(q[:, part]) @ turned(k[:, part]).T / (width // heads) ** 0.5
                score = score.masked_fill(torch.ones_like(score, dtype=torch.bool).triu(1), -torch.inf)
                seen.append(score.softmax(-1) @ v[:, part])
            x = x + torch.cat(seen, -1) @ out.T
            gate, value = (norm(x, gains[3 + 2 * i]) @ up.T).chunk(2, -1)
            x = x + (gate * gate.sigmoid() * value) @ down.T
        logits = norm(x, gains[1]) @ table.T
        losses.append(logits.logsumexp(-1) - logits.gather(-1, ids[1:, None])[:, 0])
    loss = torch.cat(losses)
    each = loss if output == "loss" else -loss - torch.log(-torch.expm1(-loss))
    return each.sum() if total else each.mean()


@pytest.mark.parametrize(("output", "total"), [("loss", False), ("loss", True), ("margin", False)])
def test_against_double_precision(probe: TextProbe, output: Any, total: bool) -> None:
    """Every number of every gradient, to single precision; and the reference itself by finite differences."""
    one = replace(probe, output=output, total=total)
    for text, found in zip(TEXTS, one.each(as_batch(TEXTS)), strict=True):
        if not text:
            assert found == []
            continue
        for parameters, (gradient, wrong) in zip(one.parameters, found, strict=True):
            exact = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)
            value = reference(exact, text, 40, output, total)
            (wanted,) = torch.autograd.grad(value, exact)
            assert gradient.dtype == np.float32
            assert gradient == pytest.approx(wanted.numpy(), abs=1e-5 * float(wanted.abs().max()))
            assert 0.0 < wrong < 1.0
    with torch.no_grad():
        for at in (300, 5_000, len(exact) - 5):
            step = torch.zeros_like(exact)
            step[at] = 1e-6
            sides = [reference(exact + sign * step, TEXTS[-1], 40, output, total).item() for sign in (1, -1)]
            assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(wanted[at].item(), abs=1e-7)


def test_a_text_s_bits_are_its_own(probe: TextProbe) -> None:
    """Whatever stands beside it, how many threads there are and who else computes."""
    texts = TEXTS * 3
    batch = as_batch(texts)
    whole = list(probe.each(batch))
    for at in (0, 2, 3, 9):
        (alone,) = probe.each(as_batch([texts[at]]))
        assert all(np.array_equal(a, b) and p == q for (a, p), (b, q) in zip(alone, whole[at], strict=True))
    torch.set_num_threads(2)
    with ThreadPoolExecutor(4) as pool:
        for again in pool.map(lambda _: list(probe.each(batch)), range(6)):
            for one, two in zip(again, whole, strict=True):
                assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(one, two, strict=True))
    assert torch.get_num_threads() == 2  # put back


def test_a_probe_travels_without_its_models(probe: TextProbe) -> None:
    """To other processes: what is sent is no larger after use, and gives the same bits there."""
    before = pickle.dumps(probe)
    (found,) = probe.each(as_batch(TEXTS[:1]))
    assert pickle.dumps(probe) == before
    (again,) = pickle.loads(before).each(as_batch(TEXTS[:1]))
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(found, again, strict=True))


def test_threads_are_put_back_whoever_leaves_last() -> None:
    torch.set_num_threads(3)
    inside, go = threading.Event(), threading.Event()

    def stay() -> int:
        with one_thread():
            inside.set()
            go.wait(20)
            return int(torch.get_num_threads())

    with ThreadPoolExecutor(1) as pool:
        with one_thread():
            other = pool.submit(stay)
            assert inside.wait(20)
            assert torch.get_num_threads() == 1
        go.set()  # the first has left
        assert other.result() == 1
        assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == 3
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3


def test_only_the_first_tokens_count(probe: TextProbe) -> None:
    long = b"abcdefgh" * 20
    (one,), (two,) = (list(probe.each(as_batch([text]))) for text in (long, long + b" and more"))
    (short,) = probe.each(as_batch([long[:39]]))
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(one, two, strict=True))
    assert not np.array_equal(one[0][0], short[0][0])


def test_perplexities(probe: TextProbe) -> None:
    found = probe.perplexities(as_batch(TEXTS))
    assert found.shape == (5, 2) and np.isnan(found[1]).all()
    for c, parameters in enumerate(probe.parameters):
        exact = torch.tensor(parameters, dtype=torch.float64)
        wanted = [np.exp(reference(exact, text, 40, "loss", False).item()) for text in TEXTS if text]
        assert found[[0, 2, 3, 4], c] == pytest.approx(wanted, rel=1e-5)


def test_training_learns_and_its_bits_are_the_seed_s() -> None:
    texts = as_batch([b"the sea of rows and the whale " * 4, b"select join where index " * 5] * 6)
    texts = replace(texts, key=bits(0, "test", texts.key))
    spec = TextSpec("tiny", context=32, epochs=3)
    found = train_text(spec, texts, 5, keep=2)
    assert found.parameters.shape == found.first.shape == found.second.shape == (2, len(beginning(spec, 5)))
    assert found.loss[1] < found.loss[0] < np.log(257)
    assert found.rate[0] > found.rate[1] > 0 and (found.second >= 0).all()
    order = np.arange(len(texts))[::-1]
    turned = as_batch([texts.text_bytes(int(i)) for i in order])
    again = train_text(spec, replace(turned, key=texts.key[order]), 5, keep=2)
    for name in ("parameters", "first", "second"):
        assert np.array_equal(getattr(found, name), getattr(again, name))
    assert not np.array_equal(train_text(spec, texts, 6, keep=2).parameters, found.parameters)


def test_heads_of_a_sample() -> None:
    texts = as_batch([b"aa", b"bbb", b"c", b""])
    assert [len(head(texts, size)) for size in (0, 1, 2, 5, 6, 100)] == [1, 1, 1, 2, 3, 4]


def test_refused_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"one of 0\.06M"):
        TextSpec("2M")
    spec = TextSpec("tiny")
    plain = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'cuvee\[torch\]'"):
        train_text(spec, as_batch(TEXTS), 0, 1)
