"""How long trials are going to take, told before the first of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .. import proof_wording as wording
from ..core import Batch
from ..engine.run import Engine
from ..errors import ResourceError, UsageError
from ..methods.policy.uniform import Uniform
from .arms import Plan
from .corpus import gather
from .draws import Drawn, Rows
from .evaluations import EvaluationSet
from .exchange import Corpus
from .loop import CURVE
from .proxy import Evaluation, Proxy, Watch
from .question import Question

SAMPLE_ROWS = (8, 8, 32)
"""Documents for telling beforehand how long the trials take."""
SLOW_SECONDS, SLOW_ROWS = 1.0, 16
"""Where the second takes longer, the third has so many."""
LONG_SECONDS = 3.0
"""Where the second takes longer, there is no third, and what a trial costs by itself is not told apart."""
OVERHEAD_SECONDS = 0.1
"""Of a trial, beside training."""


def more_trials(question: Question, plan: Plan) -> list[tuple[float, int]]:
    """Multiples of random's tokens that may be trained on, and at how many seeds."""
    random = [pair.against for pair in plan.pairs if pair.against.kind == "random"]
    if not random or question.equal == "cost":
        return []
    proxy, whole = question.proxy, random[0].source.totals["tokens"]
    seeds = len(question.seeds[: proxy.multiple_seeds])
    return [(times, seeds) for times in proxy.multiples if times * random[0].tokens <= whole]


@dataclass(frozen=True)
class Speed:
    """Seconds of one core: ``fixed`` for a trial of whatever size, ``each`` for a byte trained on or measured."""

    fixed: float
    each: float

    def seconds(self, amount: float, trials: int, held: int) -> float:
        """Of so many trials that train on so many bytes together, and measure on ``held`` bytes each, ever again."""
        return trials * (OVERHEAD_SECONDS + self.fixed) + self.each * (amount + trials * len(CURVE) * held)


def speed(proxy: Proxy, engine: Engine, rows: Rows, evaluation: Evaluation) -> Speed | None:
    """From training on a few of these rows and measuring on a little; None where so little does not suit the proxy.

    Raises:
        UsageError, ResourceError: what a trial would raise: the proxy cannot run here.
    """
    rows = rows[: SAMPLE_ROWS[-1]]
    corpus = Corpus(engine.store, gather(engine, rows))
    points: list[tuple[int, float]] = []
    for number in SAMPLE_ROWS:  # the first time kernels are compiled or loaded
        if len(points) > 1 and points[-1][1] > SLOW_SECONDS:
            number = SLOW_ROWS
        found = timed(proxy, corpus.batch(rows[:number]), evaluation, number)
        if found is None:
            return None
        points.append(found)
        if len(points) > 1 and found[1] > LONG_SECONDS:
            break
    (seen, fewest), (most, longest) = points[-2:] if len(points) > 2 else ((0, 0.0), points[-1])
    slope = max(longest - fewest, 0.0) / max(most - seen, 1)
    return Speed(max(longest - slope * most, 0.0) if len(points) > 2 else 0.0, slope)


def seconds(
    question: Question,
    engine: Engine,
    draws: Sequence[Drawn],
    sets: Sequence[EvaluationSet],
    more: Sequence[tuple[float, int]],
) -> float | None:
    """Time of a proof's trials on one core; None where it cannot be told beforehand."""
    found = speed(question.proxy, engine, draws[0].row, sets[0].evaluation)
    if found is None:
        return None
    text = "text" in question.proxy.needs or engine.pool.manifest.spec.text is not None
    size = sum(drawn.bytes if text else drawn.documents for drawn in draws)
    size += int(sum(size / len(draws) * times * seeds for times, seeds in more))
    trials = len(draws) + sum(seeds for _, seeds in more)
    return found.seconds(size * question.epochs, trials, measured(sets, text))


def measured(sets: Sequence[EvaluationSet], text: bool = True) -> int:
    """Bytes of all sets, or their examples where these are no texts."""
    return sum(_amount(one.evaluation.batch, text) for one in sets)


def said(seconds: float | None, known: Sequence[bool]) -> str:
    """About how long trials take, that would take so many seconds if the ledger had none.

    Args:
        seconds: by the clock; None if nobody knows. ``known``: of each trial, whether the ledger has it.
    """
    if all(known):
        return "no time for these: the ledger holds all of them"
    if seconds is None:
        return "not known beforehand"
    told = f"about {wording.duration(seconds * (1 - sum(known) / len(known)))}"
    return told + (f" ({sum(known)} of them are in the ledger)" if any(known) else "")


def timed(proxy: Proxy, batch: Batch, evaluation: Evaluation, number: int) -> tuple[int, float] | None:
    """How much a little trial trains on and measures, and how long it takes."""
    some = evaluation_head(evaluation, number)
    begun = time.monotonic()
    try:
        proxy.train(batch, [some], Uniform(), 1.0, 0, Watch())
    except (UsageError, ResourceError):
        raise
    except Exception:  # so little may not suit the proxy; if it fails on all of it, its trials tell
        return None
    took, text = time.monotonic() - begun, bool(batch.offsets[-1])
    return _amount(batch, text) + len(CURVE) * _amount(some.batch, text), took


def _amount(batch: Batch, text: bool) -> int:
    """Bytes of text, or rows where there is none."""
    return int(batch.offsets[-1] - batch.offsets[0]) if text else len(batch)


def evaluation_head(evaluation: Evaluation, number: int) -> Evaluation:
    """The first examples of an evaluation set."""
    batch = evaluation.batch
    columns = {name: values[:number] for name, values in batch.columns.items()}
    head = Batch(batch.data, batch.offsets[: number + 1], batch.row[:number], batch.key[:number], columns)
    return replace(evaluation, batch=head, group=evaluation.group[:number])
