"""Shared pieces of the claims: real text cut into pool, target and held-out parts, a tiny model, intervals, records.

A claim is one program with a docstring (what the paper says, what is compared, what counts), ``CLAIM`` (settings),
``trial(seed)`` (one repetition: arm -> metric -> number) and ``judge(found)`` (the verdict, by rules fixed beforehand).

The tiny model is the project's own n-gram language model, fitted on the kept texts: bytes, order 5 ("bits per
character", a closed vocabulary, so that arms compare fairly) and words, order 3 ("nats per word", all unseen words
being one). It stands for a trained transformer only as far as nearness of n-grams matters.

Each seed cuts anew: sources (pages, files, chapters) are divided between pool, target and held-out text, so that no two
parts hold pieces of one document; then the pool is sampled; then the method draws. Arms of one seed share all of it, so
differences are paired. Seeds do overlap in text: intervals tell what repeating the experiment on this corpus would
give, not what another corpus would.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import io
import json
import os
import platform
import re
import time
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import cuvee
from cuvee.core import Array, Batch, Block, Budget, Choose, Columns, Decision, Draw, Fold, Map, Method
from cuvee.examples import as_batch
from cuvee.feature.ngrams import Ngrams
from cuvee.fold.ngram_lm import LanguageModel, NgramLM
from cuvee.methods.choose.length_matched import cost_by_length, matched_to
from cuvee.methods.choose.random import Random

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SOURCE = Path(cuvee.__file__).parent
POOL = SOURCE / "demo" / "pool.parquet"
VERDICTS = ("reproduced", "direction only", "not reproduced")
BITS, NATS, PRECISION = "bits per character", "nats per word", "precision"
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""97.5 % points of Student's t with 1, 2, ... degrees of freedom."""


@dataclass(frozen=True)
class Texts:
    """Documents in memory: UTF-8 texts, domain and source names, keys."""

    text: list[bytes]
    domain: Array
    source: Array
    key: Array

    def __len__(self) -> int:
        return len(self.text)

    def take(self, at: Array) -> Texts:
        """The rows at these places or under this mask."""
        at = np.flatnonzero(at) if np.asarray(at).dtype == bool else np.asarray(at, np.int64)
        return Texts([self.text[i] for i in at], self.domain[at], self.source[at], self.key[at])

    def of(self, *domains: str) -> Texts:
        """The rows of these domains."""
        return self.take(np.isin(self.domain, domains))

    @cached_property
    def batch(self) -> Batch:
        """The rows as the methods take them."""
        plain = as_batch(self.text)
        return replace(plain, key=self.key, columns={"domain": pa.array(self.domain.tolist(), pa.large_string())})

    @cached_property
    def tokens(self) -> Array:
        """Words and runs of signs in each text."""
        return Ngrams(1).lengths(self.batch)

    @cached_property
    def bytes(self) -> Array:
        return np.diff(self.batch.offsets)


def join(parts: Sequence[Texts]) -> Texts:
    """One set of documents after the other; keys are given anew."""
    names = [np.concatenate([getattr(part, name) for part in parts]) for name in ("domain", "source")]
    text = [one for part in parts for one in part.text]
    return Texts(text, names[0], names[1], np.arange(len(text), dtype=np.uint64))


@cache
def demo() -> Texts:
    """The demonstration pool: 6,532 documents of eleven domains."""
    table = pq.read_table(POOL)
    text = [one.encode() for one in table.column("text").to_pylist()]
    domain, source = (np.array(table.column(name).to_pylist()) for name in ("domain", "source"))
    return Texts(text, domain, source, np.arange(len(text), dtype=np.uint64))


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for cutting and sampling; the methods draw theirs by key."""
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(f"{seed} {purpose}".encode(), digest_size=8).digest()))


def split(texts: Texts, seed: int, *shares: float) -> list[Texts]:
    """Parts with about these shares of every domain's rows, and the rest; no source is in two parts."""
    random, part = generator(seed, "split"), np.full(len(texts), len(shares))
    edges = np.cumsum(shares)
    for domain in np.unique(texts.domain):
        rows = np.flatnonzero(texts.domain == domain)
        _, code, count = np.unique(texts.source[rows], return_inverse=True, return_counts=True)
        order = random.permutation(len(count))
        place = np.empty(len(count))
        place[order] = (np.cumsum(count[order]) - 0.5 * count[order]) / len(rows)
        part[rows] = np.searchsorted(edges, place[code])
    return [texts.take(part == number) for number in range(len(shares) + 1)]


def sample(texts: Texts, seed: int, purpose: str, amount: float) -> Texts:
    """A uniform sample: a share below or at 1, else a number of rows."""
    number = int(amount * len(texts)) if amount <= 1 else min(int(amount), len(texts))
    return texts.take(np.sort(generator(seed, purpose).permutation(len(texts))[:number]))


def chunks(texts: Texts, words: int) -> Texts:
    """Every text cut into pieces of exactly ``words`` words and signs; the rest of each is dropped."""
    found: list[tuple[bytes, int]] = []
    for row, raw in enumerate(texts.text):
        text = raw.decode()
        at = [match.start() for match in re.finditer(r"\w+|[^\w\s]+", text)] + [len(text)]
        edges = at[: len(at) - (len(at) - 1) % words : words]
        found += [(text[low:high].strip().encode(), row) for low, high in pairwise(edges)]
    rows = np.array([row for _, row in found])
    return Texts([one for one, _ in found], texts.domain[rows], texts.source[rows], np.arange(len(rows)).astype("u8"))


@dataclass
class Table(Columns):
    """A pool's columns as the choosing rules read them, in blocks."""

    pool: Texts
    more: Block

    def __post_init__(self) -> None:
        names, code = np.unique(self.pool.domain, return_inverse=True)
        self.domains = names.tolist()
        self.n_rows = len(self.pool)
        measures = {"tokens": self.pool.tokens, "bytes": self.pool.bytes}
        self.totals = {"rows": self.n_rows} | {name: int(values.sum()) for name, values in measures.items()}
        known = {"row": np.arange(self.n_rows), "key": self.pool.key, "domain": code.astype(np.int32)}
        self.data: Block = known | measures | self.more

    def blocks(self, *names: str) -> Iterator[Block]:
        """Two blocks, so that rules are held to work block by block."""
        for cut in (slice(0, self.n_rows // 2), slice(self.n_rows // 2, None)):
            yield {name: self.data[name][cut] for name in names or tuple(self.data)}


@dataclass
class Picked:
    """A selection: places of kept rows (repeated as often as taken), and what decided."""

    rows: Array
    table: Any
    decision: Decision
    fitted: Map | None = None


@dataclass
class Experiment:
    """A pool, a target and a seed: what methods are fitted on (the ``Run`` of core.py), and selections from it."""

    pool: Texts
    target: Texts
    seed: int

    @property
    def rows(self) -> int:
        return len(self.pool)

    def fold(self, fold: Fold, over: Literal["pool", "target"] = "pool") -> Any:
        return fold.finish(fold.lift((self.pool if over == "pool" else self.target).batch))

    def targets(self) -> Iterator[Batch]:
        yield self.target.batch

    def select(self, method: Method, budget: Budget, rule: Choose | None = None) -> Picked:
        """Fit, score, and choose by the method's own rule or the given one."""
        fitted = method.fit(self)
        return self.choose(rule or method.chooser(fitted), budget, fitted.apply(self.pool.batch), fitted)

    def choose(self, rule: Choose, budget: Budget, block: Block | None = None, fitted: Map | None = None) -> Picked:
        """Choose by given scores."""
        table: Any = Table(self.pool, block or {})
        return self._picked(table, rule.choose(table, budget, Draw(self.seed)), fitted)

    def random(self, budget: Budget, purpose: str = "random") -> Picked:
        """Uniformly random rows."""
        return self.choose(Random(purpose), budget)

    def matched(self, like: Picked, budget: Budget) -> Picked:
        """Random rows with the lengths of ``like``."""
        total = cost_by_length(like.table, like.decision, budget)
        return self._picked(like.table, matched_to(total, like.table, budget, Draw(self.seed)), None)

    def _picked(self, table: Any, decision: Decision, fitted: Map | None) -> Picked:
        repeats = np.concatenate([decision.repeats(block) for block in table.blocks()])
        return Picked(np.repeat(np.arange(self.rows), repeats), table, decision, fitted)

    def measure(self, picked: Picked, held: Texts, *domains: str) -> dict[str, float]:
        """Share of kept tokens from the target's domains, and the tiny model's losses on held-out text."""
        kept = self.pool.take(picked.rows)
        right = kept.tokens[np.isin(kept.domain, domains)].sum()
        return {PRECISION: float(right / kept.tokens.sum()), **losses(kept, held)}


def study(seed: int, domain: str, words: int = 0, targets: int = 50) -> tuple[Experiment, Texts]:
    """85 % of the pool's part of the demonstration, ``targets`` texts of one domain, and that domain's held-out text.

    ``words`` cuts all three into pieces of that many words and signs.
    """
    held, near, rest = split(demo(), seed, 0.15, 0.15)
    parts = [sample(rest, seed, "pool", 0.85), near.of(domain), held.of(domain)]
    pool, target, held = (chunks(part, words) if words else part for part in parts)
    return Experiment(pool, sample(target, seed, "target", targets), seed), held


def fit_model(texts: Texts, unit: Literal["bytes", "words"] = "bytes") -> LanguageModel:
    """The tiny model."""
    counts = NgramLM(order=5 if unit == "bytes" else 3, table_bits=21, unit=unit)
    return counts.finish(counts.lift(texts.batch))


def bits_each(model: LanguageModel, texts: Texts) -> Array:
    """Bits per character of every text."""
    return model.score(texts.batch)["bits_per_character"]


def losses(train: Texts, held: Texts) -> dict[str, float]:
    """Losses of the tiny models fitted on ``train``, over all held-out text."""
    by_bytes = fit_model(train).score(held.batch)["log10"].sum()
    by_words = fit_model(train, "words").score(held.batch)
    characters = sum(len(one.decode()) for one in held.text)
    return {
        BITS: float(-by_bytes * np.log2(10) / characters),
        NATS: float(-by_words["log10"].sum() * np.log(10) / by_words["tokens"].sum()),
    }


Measured = dict[str, dict[str, float]]


def mean_of(parts: Sequence[Measured]) -> Measured:
    """Averages of the same metrics of the same arms, for instance over targets."""
    return {
        arm: {metric: float(np.mean([part[arm][metric] for part in parts])) for metric in parts[0][arm]}
        for arm in parts[0]
    }


@dataclass(frozen=True)
class Effect:
    """A mean over seeds with 95 % intervals: Student's t, by which verdicts are given, and the bootstrap over seeds."""

    mean: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float

    @property
    def below(self) -> bool:
        return self.high < 0

    @property
    def above(self) -> bool:
        return self.low > 0


def effect(values: Sequence[float]) -> Effect:
    """Mean and intervals of one number per seed."""
    x = np.asarray(values, np.float64)
    half = T_975[len(x) - 2] * float(x.std(ddof=1)) / len(x) ** 0.5
    again = x[np.random.default_rng(0).integers(len(x), size=(10_000, len(x)))].mean(axis=1)
    low, high = np.quantile(again, (0.025, 0.975))
    return Effect(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half, float(low), float(high))


@dataclass(frozen=True)
class Found:
    """What all seeds gave."""

    trials: list[Measured]

    def of(self, metric: str, arm: str, against: str | None = None) -> Effect:
        """An arm's metric or, with ``against``, the paired difference to another arm's."""
        less = [trial[against][metric] if against else 0.0 for trial in self.trials]
        return effect([trial[arm][metric] - other for trial, other in zip(self.trials, less, strict=True)])


@dataclass(frozen=True)
class Claim:
    """``judges``: the modules of methods/ that the result speaks about; ``metrics`` explains the columns;
    ``contrasts``: (metric, arm, arms that it is compared with)."""

    name: str
    judges: tuple[str, ...]
    metrics: dict[str, str]
    contrasts: tuple[tuple[str, str, tuple[str, ...]], ...]
    settings: dict[str, Any]
    seeds: tuple[int, ...] = field(default=tuple(range(1, 9)))

    def digests(self) -> dict[str, str]:
        """Of everything that the result depends on and that may make it stale."""
        code = [bare((SOURCE / "methods" / path).read_text("utf-8")) for path in self.judges]
        code += [bare((HERE / "harness.py").read_text("utf-8")), (HERE / f"{self.name}.py").read_text("utf-8")]
        settings = json.dumps([self.settings, self.seeds], sort_keys=True)
        parts = {"code": "\n\0".join(code).encode(), "settings": settings.encode(), "data": POOL.read_bytes()}
        return {name: hashlib.blake2b(part, digest_size=12).hexdigest() for name, part in parts.items()}

    def run(self, trial: Callable[[int], Measured], judge: Callable[[Found], str]) -> dict[str, Any]:
        """Run all seeds and write the record."""
        digests, started, cpu = self.digests(), time.perf_counter(), time.process_time()
        found = Found([trial(seed) for seed in self.seeds])
        if self.digests() != digests:
            raise SystemExit(f"{self.name}: its code or data changed while it ran; nothing was recorded. Run it again.")
        first = found.trials[0]
        record = {
            "name": self.name,
            "verdict": judge(found),
            "reason": "",
            "arms": {arm: {metric: vars(found.of(metric, arm)) for metric in first[arm]} for arm in first},
            "contrasts": [
                {"metric": metric, "arm": arm, "against": against, **vars(found.of(metric, arm, against))}
                for metric, arm, others in self.contrasts
                for against in others
            ],
            "seeds": list(self.seeds),
            "trials": found.trials,
            "settings": self.settings,
            "digests": digests,
            "versions": {"cuvee": cuvee.__version__, "python": platform.python_version(), "numpy": np.__version__}
            | {"numba": numba.__version__, "pyarrow": pa.__version__},
            "hardware": hardware(),
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }
        write(RESULTS / f"{self.name}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
        return record


def names() -> list[str]:
    """All claims, in the order of their names."""
    return sorted({path.stem for path in HERE.glob("*.py")} - {"__init__", "__main__", "harness", "report"})


def program(name: str) -> Any:
    """The module of a claim."""
    return importlib.import_module(f"claims.{name}")


def bare(code: str) -> str:
    """Source without comments, docstrings, empty lines and cards: what is left decides results."""
    tree, lines = ast.parse(code), code.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    for node in ast.walk(tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        card = isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "card"
        if text or card:
            assert isinstance(node, ast.stmt) and node.end_lineno is not None
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def hardware() -> str:
    """Processor and cores, in words."""
    try:
        told = Path("/proc/cpuinfo").read_text("utf-8")
        model = next(line.split(":")[1].strip() for line in told.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


def write(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    partial.replace(path)
