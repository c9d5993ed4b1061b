"""The transformer proxy's training against a plain PyTorch loop of the same model on the same data, by turns in one
process on one core; and the speed of every size. On a GPU also the share of its peak that is used."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.nn import functional

from cuvee.core import Batch
from cuvee.examples import as_batch
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.packing import IGNORED, pack
from cuvee.proof.proxies.text_model import place, reproducible
from cuvee.proof.proxies.tokens import Vocabulary
from cuvee.proof.proxies.transformer import SIZES, Transformer
from cuvee.proof.proxy import Watch

from .measure import middle, record
from .pools import sources

TOKENS = {"0.3M": 30_000, "1M": 16_000, "3M": 10_000, "8M": 8_000, "20M": 8_000}
"""Bytes to train on: seconds a run, and enough of them that making a model (0.1 s of 20M) hardly counts."""
ROUNDS = 5
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations per second by the device's name, from the makers' data sheets."""


class Norm(nn.RMSNorm):
    """The norm as PyTorch has it."""

    def __init__(self, width: int) -> None:
        nn.RMSNorm.__init__(self, width, eps=1e-6)


class Block(nn.Module):
    """Attention and SwiGLU, each behind a norm."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        nn.Module.__init__(self)
        self.heads = heads
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 2 * hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(rows, length, 3, self.heads, -1).transpose(1, 3)
        q, k, v = qkv.unbind(2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).reshape(rows, length, width))
        gate, value = self.up(self.norm2(x)).chunk(2, -1)
        return x + self.down(functional.silu(gate) * value)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions as most code has them."""
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


class Plain(nn.Module):
    """The same model as the proxy's, out of PyTorch's modules."""

    def __init__(self, proxy: Transformer, vocabulary: int) -> None:
        nn.Module.__init__(self)
        shape = proxy.shape
        self.embedding = nn.Embedding(vocabulary, shape.width)
        nn.init.normal_(self.embedding.weight, std=4 / shape.width)
        self.first, self.last = Norm(shape.width), Norm(shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads, shape.hidden) for _ in range(shape.depth))
        half = shape.width // shape.heads // 2
        angle = torch.arange(proxy.context)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, inputs: Tensor, targets: Tensor, document: Tensor) -> Tensor:
        mask = (document[:, :, None] == document[:, None, :]).tril()[:, None]
        x = self.first(self.embedding(inputs))
        for block in self.blocks:
            x = block(x, mask, self.cos, self.sin)
        logits = functional.linear(self.last(x), self.embedding.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def plain_run(proxy: Transformer, data: Batch) -> int:
    """Train the plain way for one pass; returns the number of target tokens."""
    vocabulary, device = Vocabulary(None), place(proxy.device)
    rows = pack(data, vocabulary.encode(data), proxy.context, vocabulary.separator)
    model = Plain(proxy, vocabulary.size).to(device)
    assert sum(one.numel() for one in model.parameters()) == proxy.shape.parameters(vocabulary.size)
    groups: list[dict[str, Any]] = [
        {"params": [one for one in model.parameters() if one.dim() > 1], "weight_decay": proxy.weight_decay},
        {"params": [one for one in model.parameters() if one.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=proxy.peak, betas=(0.9, 0.95), fused=True)
    steps = math.ceil(len(rows) / proxy.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: proxy.rate_at(step / steps) / proxy.peak)
    arrays = (torch.from_numpy(one).long() for one in (rows.inputs, rows.targets, rows.document))
    inputs, targets, document = (one.to(device) for one in arrays)
    for at in torch.split(torch.randperm(len(rows)).to(device), proxy.batch):
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = model(inputs[at], targets[at], document[at])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), proxy.clip)
        optimiser.step()
        schedule.step()
        if not math.isfinite(loss.item()):
            raise ArithmeticError("diverged")
    return int((rows.targets != IGNORED).sum())


def own_run(proxy: Transformer, data: Batch) -> int:
    """Train as a proof does."""
    return int(proxy.train(data, [], Uniform(), 1.0, 0, Watch()).cost["train_tokens"])


def seconds(work: Callable[[], int]) -> tuple[float, int]:
    """CPU seconds of this process, or wall seconds where a GPU works; and what the work returns."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    started = clock()
    found = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - started, found


def documents(amount: int) -> Batch:
    """About so many bytes of the pool's texts, drawn over all of it."""
    texts = pq.read_table(sources()[0], columns=["text"])["text"].to_pylist()
    order = np.random.default_rng(0).permutation(len(texts))
    encoded = [texts[i].encode() for i in order[:20_000]]
    until = int(np.searchsorted(np.cumsum([len(one) for one in encoded]), amount)) + 1
    return as_batch(encoded[:until])


def peak() -> float | None:
    """Operations per second of the GPU, if it is known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((value for part, value in PEAKS.items() if part in name), None)


def compare(size: str, amount: int, rounds: int) -> dict[str, Any]:
    """Both ways by turns, ``rounds`` times after one to warm up."""
    proxy: Transformer = Transformer(size=size)  # type: ignore[arg-type]
    data = documents(amount)
    own_run(proxy, documents(3_000))
    plain_run(proxy, documents(3_000))
    own, plain, tokens = [], [], 0
    for _ in range(rounds):
        spent, tokens = seconds(lambda: own_run(proxy, data))
        own.append(spent)
        plain.append(seconds(lambda: plain_run(proxy, data))[0])
    speed = tokens / middle(own)
    best = peak()
    return {
        "parameters": proxy.shape.parameters(257),
        "tokens": tokens,
        "tokens_per_second": speed,
        "plain_tokens_per_second": tokens / middle(plain),
        "ratio": middle([b / a for a, b in zip(own, plain, strict=True)]),
        "ratios": [b / a for a, b in zip(own, plain, strict=True)],
        "seconds_for_100k_tokens": 1e5 / speed,
        "seconds_for_1m_tokens": 1e6 / speed,
        "flops_per_second": proxy.train_flops(speed),
        "share_of_peak": None if best is None else proxy.train_flops(speed) / best,
    }


def main() -> None:
    """Tokens per second of every size, and the ratio to the plain loop (above 1: ours is faster)."""
    with reproducible("auto"):
        found = {}
        for size in SIZES:
            found[size] = compare(size, TOKENS[size], ROUNDS)
            print(size, found[size], file=sys.stderr)
    record("transformer", {"torch": torch.__version__, "device": str(place("auto")), "sizes": found})
