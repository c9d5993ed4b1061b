"""The tasks of the league, and what one contender reaches on each: everything that the numbers depend on.

All selections are made from the demonstration's pool (eleven domains of real text), ``SHARE`` of its tokens each, and
judged by the tiny model of the claims: byte 5-grams fitted on the kept texts, bits per character of held-out text.

* **one domain**: the target is 50 documents of one domain; two such targets.
* **two domains**: 25 documents of either of two unlike domains; two such targets. A choice that forgets one pays.
* **junk**: 30 % of the pool's documents are spoiled, a fifth of them in each way of :data:`SPOILS`; the target is 55
  clean documents of all domains, and so is the held-out text.

Each seed cuts pool, target and held-out text anew, such that no page, file or chapter is in two of them. Every
contender faces the same cuts, so differences are paired. Beside each selection stand random rows with its own lengths.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import cycle

import numpy as np

from cuvee.core import Array, Budget, Choose, Method
from cuvee.errors import CuveeError

from ..harness import Experiment, Texts, bits_each, demo, fit_model, generator, join, sample, split

SEEDS, SHARE, JUNK = (1, 2, 3, 4, 5), 0.05, 0.3
ONE, TWO, NOISY = "one domain", "two domains", "junk"
CELLS: dict[str, tuple[tuple[str, ...], ...]] = {
    ONE: (("rust-docs",), ("dialogue",)),
    TWO: (("sqlite-docs", "speech"), ("code-python", "fiction")),
    NOISY: ((),),
}
TARGETS = {ONE: 50, TWO: 25, NOISY: 5}
"""Documents from each of the target's domains; no domain named: from all."""
Random = np.random.Generator


def shuffled_words(words: list[str], random: Random, other: list[str]) -> list[str]:
    """All words, in random order."""
    return [words[at] for at in random.permutation(len(words))]


def scrambled_letters(words: list[str], random: Random, other: list[str]) -> list[str]:
    """The letters of every word in random order."""
    return ["".join(random.permutation(list(word))) for word in words]


def wrong_letters(words: list[str], random: Random, other: list[str]) -> list[str]:
    """One letter in four replaced by a random one."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))

    def spoil(word: str) -> str:
        drawn, wrong = letters[random.integers(26, size=len(word))], random.random(len(word)) < 0.25
        return "".join(str(new) if bad else old for old, new, bad in zip(word, drawn, wrong, strict=True))

    return [spoil(word) for word in words]


def repeated_line(words: list[str], random: Random, other: list[str]) -> list[str]:
    """Twelve words in a row, again and again."""
    begin = int(random.integers(max(len(words) - 12, 0) + 1))
    again = cycle(words[begin : begin + 12])
    return [next(again) for _ in words]


def two_texts_mixed(words: list[str], random: Random, other: list[str]) -> list[str]:
    """Every second word is that of another text."""
    again = cycle(other)
    return [next(again) if at % 2 else word for at, word in enumerate(words)]


SPOILS: tuple[Callable[[list[str], Random, list[str]], list[str]], ...] = (
    shuffled_words,
    scrambled_letters,
    wrong_letters,
    repeated_line,
    two_texts_mixed,
)


def spoiled(texts: Texts, seed: int) -> tuple[Texts, Array]:
    """The texts with ``JUNK`` of them spoiled, and which are: words stay apart by one space, lengths about the same."""
    random = generator(seed, "junk")
    order = random.permutation(len(texts))
    junk, found = order[: round(JUNK * len(texts))], list(texts.text)
    for at, row in enumerate(junk):
        words, other = (texts.text[i].decode().split() for i in (row, order[-1 - at]))
        if words and other:
            found[row] = " ".join(SPOILS[at % len(SPOILS)](words, random, other)).encode()
    return Texts(found, texts.domain, texts.source, texts.key), np.isin(np.arange(len(texts)), junk)


@dataclass
class Cell:
    """One target of one task under one seed: ``right`` marks the pool's rows of the wanted kind."""

    run: Experiment
    held: Texts
    right: Array

    @property
    def budget(self) -> Budget:
        return Budget("tokens", fraction=SHARE)

    def bits(self, rows: Array) -> float:
        """Bits per character of the held-out text, fitted on these rows of the pool."""
        each = bits_each(fit_model(self.run.pool.take(rows)), self.held)
        characters = np.array([len(text.decode()) for text in self.held.text])
        return float(each @ characters / characters.sum())

    def measure(self, method: Method | None, rule: Choose | None) -> dict[str, float]:
        """Fit, choose, fit the tiny model. ``seconds``: processor time of fitting, scoring and choosing."""
        started = time.process_time()
        picked = self.run.select(method, self.budget, rule) if method else self.run.choose(the(rule), self.budget)
        seconds = time.process_time() - started
        tokens = self.run.pool.tokens[picked.rows]
        return {
            "bits": self.bits(picked.rows),
            "matched": self.bits(self.run.matched(picked, self.budget).rows),
            "right": float(tokens[self.right[picked.rows]].sum() / tokens.sum()),
            "tokens": float(tokens.sum()),
            "seconds": seconds * 100_000 / len(self.run.pool),
        }


def the(rule: Choose | None) -> Choose:
    """A rule where one must be."""
    assert rule is not None, "a contender has a method, a rule, or both"
    return rule


@cache
def parts(seed: int) -> tuple[Texts, Texts, Texts]:
    """Held-out text, what targets are drawn from, and the pool."""
    held, near, rest = split(demo(), seed, 0.15, 0.15)
    return held, near, sample(rest, seed, "pool", 0.85)


@cache
def cells(seed: int, task: str) -> list[Cell]:
    """The task's targets under a seed."""
    held, near, pool = parts(seed)
    junk = np.zeros(len(pool), bool)
    if task == NOISY:
        pool, junk = spoiled(pool, seed)
    found = []
    for named in CELLS[task]:
        domains = named or tuple(np.unique(pool.domain).tolist())
        target = join([sample(near.of(name), seed, "target", TARGETS[task]) for name in domains])
        right = np.isin(pool.domain, domains) & ~junk
        tested = held.of(*domains) if named else sample(held, seed, "held", 300)
        run = Experiment(pool, target, seed)
        assert len(run.pool.tokens) + len(run.pool.bytes) + len(run.pool.batch) and len(run.target.batch)  # not timed
        found.append(Cell(run, tested, right))
    return found


Row = dict[str, dict[str, list[float]] | str]
"""Per task, each metric for every seed (the mean over the task's targets); or a sentence why there is none."""


def compete(build: Callable[[], tuple[Method | None, Choose | None]]) -> Row:
    """All tasks and seeds of one contender, built anew each time."""
    return {task: attempt(build, task) for task in CELLS}


def attempt(build: Callable[[], tuple[Method | None, Choose | None]], task: str) -> dict[str, list[float]] | str:
    """One task."""
    try:
        each = [[cell.measure(*build()) for cell in cells(seed, task)] for seed in SEEDS]
    except CuveeError as error:
        return str(error)
    names = each[0][0]
    return {name: [round(float(np.mean([one[name] for one in some])), 6) for some in each] for name in names}
