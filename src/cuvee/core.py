"""The contracts that every method is written against, and the records that pass between them.

    Map      rows in, one block of the same length out (features, scores)
    Fold     a mergeable summary of a distribution (counts, quantiles, samples)
    Choose   a decision over score columns under a budget
    Policy   online decisions while a trainer runs
    Law      a prediction learned from finished runs
    Test     a comparison of two distributions

A plug-in needs nothing but this module: a subclass of one contract, named in the entry-point group ``cuvee.methods``.

* Instances are frozen dataclasses whose fields are the method's parameters (numbers, strings, booleans or
  tuples of these), so that a plan round-trips through JSON and its digest changes with every field.
* Randomness comes from :class:`Draw`, keyed by row, never from a global state; inputs are never modified.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
State = dict[str, Array]
"""A Fold's state: named NumPy arrays (no object dtype), so that it can be stored, checked and sent."""
Block = dict[str, Array]
"""Named columns of equal length, one entry per row of the batch that they were computed from."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Batch:
    """Consecutive usable rows of a pool, with their texts as one run of UTF-8 bytes.

    Attributes:
        data: uint8, (bytes,): all texts; may hold more than this batch's rows.
        offsets: int64, (n + 1,): text i is ``data[offsets[i]:offsets[i + 1]]``.
        row: int64, (n,): global row numbers, ascending (gaps where rows were rejected).
        key: uint64, (n,): the identity of each row, a hash of its id or, without ids, of its content.
        columns: further columns of length n by role ("domain", "tokens", "embedding", "label", ...).
            Strings come as ``pyarrow`` string arrays, numbers as one- or two-dimensional NumPy arrays.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    key: npt.NDArray[np.uint64]
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row)

    def text_bytes(self, i: int) -> bytes:
        """The UTF-8 bytes of text i (a copy)."""
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def text(self, i: int) -> str:
        """Text i as a Python string; for methods that cannot work on bytes."""
        return self.text_bytes(i).decode("utf-8")


@dataclass(frozen=True)
class Card:
    """What users read about a method: ``cuvee methods NAME``."""

    summary: str
    family: str
    needs: tuple[str, ...]
    cost: str
    bibtex: str
    evidence: str = "oracle test; claim not run yet"
    gives: tuple[str, ...] = ("score",)
    """The columns of a scoring method's block that a choice may ask for."""
    use_when: str = ""
    fails_when: str = ""
    """When to take it, and when it fails, in one or two sentences each, true of what its claims have shown. What
    belongs to the method itself stands as "Traps" in its file's docstring."""


class Map(ABC):
    """Features or scores: rows in, one block of the same length out.

    ``apply`` must depend on each row alone, not on its neighbours or on the batch's size, and must be safe to call
    from several threads at once. It may hold fitted state, given to its constructor.
    """

    rows_at_once: ClassVar[int | None] = None
    """A slow Map names a small number: more rows are not given to it at once, so that progress is shown and a kill
    loses little."""

    @abstractmethod
    def apply(self, batch: Batch) -> Block:
        """Return named columns of length ``len(batch)``. Scores are float64; higher means "choose"."""


class Fold(ABC):
    """A mergeable summary of a distribution.

    Laws: ``merge(empty(), s) == s``; ``lift`` of a concatenation equals the merge of the lifts (exactly for integer
    states; for floating point the engine fixes the tree of merges, so results still do not depend on who finished
    first). ``exact = True`` declares that merging is associative to the bit, which lets the engine update one state
    over many batches instead of lifting each.
    """

    exact: ClassVar[bool] = False

    @abstractmethod
    def empty(self) -> State:
        """The identity of ``merge``."""

    @abstractmethod
    def lift(self, batch: Batch) -> State:
        """The summary of one batch."""

    @abstractmethod
    def merge(self, left: State, right: State) -> State:
        """The summary of the rows of ``left`` followed by those of ``right``. May reuse ``left``'s memory."""

    def update(self, state: State, batch: Batch) -> State:
        """``merge(state, lift(batch))``, possibly in place: override it when a state is large."""
        return self.merge(state, self.lift(batch))

    def finish(self, state: State) -> Any:
        """What the summary is good for: a fitted model, a table, a number."""
        return state


@dataclass(frozen=True)
class Draw:
    """Randomness as a function of (seed, purpose, row key), never of a stream."""

    seed: int

    def uniform(self, purpose: str, key: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        """Numbers strictly between 0 and 1, one per key: the same key and purpose give the same number."""
        from .engine.draw import uniform

        return uniform(self.seed, purpose, key)

    def gumbel(self, purpose: str, key: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        """Standard Gumbel noise, -log(-log U)."""
        return -np.log(-np.log(self.uniform(purpose, key)))


Unit = Literal["tokens", "rows", "bytes"]


@dataclass(frozen=True)
class Budget:
    """How much may be kept: an amount of tokens, rows or text bytes, or a fraction of the pool's."""

    unit: Unit
    amount: int | None = None
    fraction: float | None = None

    def resolve(self, total: int) -> int:
        """The amount, given the pool's total in this unit."""
        if self.amount is not None:
            return self.amount
        assert self.fraction is not None
        return int(self.fraction * total)


class Columns(Protocol):
    """Everything known about the usable rows, read block by block from disk in global row order: ``row`` int64,
    ``key`` uint64, ``content`` uint64 (hash of the text), ``bytes`` int64, ``tokens`` int64, ``domain`` int32 (code
    into ``domains``), and in a scored pool what the method gives, such as ``score`` float64, ``cluster`` int32, or
    ``embedding``, a matrix with a row for each.
    """

    domains: Sequence[str]
    n_rows: int
    totals: Mapping[str, int]

    def blocks(self, *names: str) -> Iterator[Block]:
        """Blocks with the named columns (all when none is named), in row order."""
        ...

    def each(self, work: Callable[[Block], Result], *names: str) -> Iterator[Result]:
        """``work(block)`` for the same blocks, in the same order, by all workers where there are many rows.

        ``work`` must be a pure function: it may run in another process, on a copy of what it refers to.
        """
        return map(work, self.blocks(*names))

    def total(self, work: Callable[[Block], tuple[Any, ...]], *names: str) -> list[Any]:
        """The sums of what ``work(block)`` returns, item by item, which must be exact: whole numbers or arrays of them.

        ``work`` runs as for :meth:`each`.
        """
        return summed(self.each(work, *names))


def summed(parts: Iterable[Sequence[Any]]) -> list[Any]:
    """The sums of tuples, item by item; arrays are added in place once they are this function's own."""
    found: list[Any] = []
    for part in parts:
        if not found:
            found = [item.copy() if isinstance(item, np.ndarray) else item for item in part]
            continue
        for at, item in enumerate(part):
            found[at] += item
    return found


class Decision(ABC):
    """What a Choose decided, as a rule that is evaluated block by block, so that nothing grows with the pool.

    ``needs`` names the columns that ``repeats`` reads; ``notes`` holds JSON-able facts for the report.
    """

    needs: tuple[str, ...]
    notes: Mapping[str, Any]

    @abstractmethod
    def repeats(self, block: Block) -> npt.NDArray[np.int64]:
        """How often each row of the block is taken: 0 for dropped, more than 1 for repeated."""

    def reasons(self, block: Block) -> list[str]:
        """Why each row of a small block is taken or not, in words, for reports."""
        return ["taken" if repeats else "not taken" for repeats in self.repeats(block)]

    def margin(self, block: Block) -> Array:
        """How far each row stands above (+) or below (-) the cut; NaN where there is no such measure. float64, (n,)."""
        return np.full(len(block["row"]), np.nan)


class Choose(ABC):
    """Selection, static mixing, sampling or ordering under a budget."""

    card: ClassVar[Card]
    by_priority: ClassVar[bool] = True
    """Whether the choice ranks rows, which quotas need."""

    @abstractmethod
    def choose(self, columns: Columns, budget: Budget, draw: Draw) -> Decision:
        """Decide. May pass over ``columns`` several times; must not hold a pool's rows in memory."""


@dataclass(frozen=True)
class Examples:
    """What a Policy may know of the examples in training: ``key`` uint64 (n,), ``domain`` int32 (n,) codes.

    ``names``: of the domains, by code; empty where the trainer knows codes alone.
    """

    key: npt.NDArray[np.uint64]
    domain: npt.NDArray[np.int32]
    names: tuple[str, ...] = ()


Ask = Literal["validation", "excess", "gradients"]
"""What a policy may ask a trainer to measure after a round: see :class:`Feedback`."""


@dataclass(frozen=True)
class Round:
    """What to train on next: examples by place, in order, with loss weights.

    Attributes:
        order: int64, (k,), k > 0.
        weight: float64, (k,): each example's loss is multiplied by it, and the sum divided by the number of examples
            (never by the sum of weights).
        epochs: how much of the training this round stands for, in passes over all examples; the rate schedule and the
            end of training follow it. A round that leaves examples out may still stand for a whole pass.
        asks: what is to be measured for the policy, before and after the round.
        restart: if above 0, the model first goes back to its initial state, and a training of so many passes begins,
            along a rate schedule of its own. What it did before has been paid for all the same.
        reference: whether the model as it stands after the round becomes the one that "excess" compares with.
        note: plain arrays that :meth:`Policy.inform` wants to see again; nothing is trained on them.
    """

    order: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    epochs: float
    asks: tuple[Ask, ...] = ()
    restart: float = 0.0
    reference: bool = False
    note: State = field(default_factory=dict)


@dataclass(frozen=True)
class Feedback:
    """What a trainer measured for a policy. The domains, k, are those of the examples in training, by ascending code.

    Attributes:
        cost: what measuring took, in passes over the examples; a forward pass counts a third. The training ends so
            much earlier, so that policies are compared at equal cost.
        before, after: float64, (k,): each domain's mean loss on examples that are never trained on, when the round
            began (after a restart) and when it had ended; NaN for a domain of which none could be held out.
        excess: float64, (k,): by domain the mean, over the round's examples, of max(loss - loss of the reference
            model, 0), the loss as measured in training; NaN for a domain that the round did without.
        gradients: float64, (2 k, 2 k): inner products of the gradients of mean losses: first of each domain's examples
            in the round, then of as many of those held out. Zeros for a domain without.
    """

    cost: float = 0.0
    before: npt.NDArray[np.float64] | None = None
    after: npt.NDArray[np.float64] | None = None
    excess: npt.NDArray[np.float64] | None = None
    gradients: npt.NDArray[np.float64] | None = None


class Policy(ABC):
    """Online decisions while a trainer runs: order, in-training pruning, online mixing, curricula.

    The trainer owns the loop. It asks for a round, trains on it, and hands back each example's loss as it was measured
    in training, before weighting. State is named arrays, saved with the trainer's checkpoint; ``propose`` is a pure
    function of its arguments, so that a resumed run goes on exactly.
    """

    card: ClassVar[Card]
    restarts: ClassVar[bool] = False
    """Whether a round may send the model back to its beginning; the trainer then keeps its initial state."""

    @abstractmethod
    def init(self, examples: Examples) -> State:
        """The state before the first round."""

    @abstractmethod
    def propose(self, state: State, examples: Examples, number: int, epochs: float, draw: Draw) -> Round:
        """Round ``number`` (from 0) of a training that lasts ``epochs`` passes."""

    def update(self, state: State, done: Round, loss: npt.NDArray[np.float64]) -> State:
        """Take in the losses of a finished round, float64, (k,), finite, in the round's order. May change ``state``."""
        return state

    def holds(self) -> float:
        """Share of each domain's examples that the trainer keeps out of training, to measure on: 0 to below 1."""
        return 0.0

    def inform(self, state: State, done: Round, feedback: Feedback) -> State:
        """Take in what was measured for a round that asked for something; called after :meth:`update`."""
        return state


@dataclass(frozen=True)
class Trial:
    """One run: what was trained on, how, at which cost, and what came out (nothing but the cost, if it diverged).

    Attributes:
        arm, selection: the arm's name, and a digest of how its examples are drawn.
        recipe: digest of the training recipe; the same recipe, selection and seed give the same metrics.
        cost: "select_seconds", "select_flops", "train_seconds", "train_flops", "eval_seconds", "eval_flops",
            "train_tokens" (those trained on, repeats included), "tokens" (distinct ones).
        metrics: mean loss per evaluation set ("NAME") and per subgroup ("NAME/GROUP").
    """

    arm: str
    selection: str
    recipe: str
    seed: int
    status: Literal["finished", "diverged"]
    cost: Mapping[str, float]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Settings:
    """Where runs stand, or where a law is asked, one row each.

    Attributes:
        sources: (k,): names of the mixture's parts; empty for laws without a mixture.
        mixture: float64, (n, k): shares of training tokens, every row summing to one.
        values: further columns by name, float64, (n,): "parameters", "tokens", ...
    """

    sources: tuple[str, ...]
    mixture: npt.NDArray[np.float64]
    values: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.mixture)

    def take(self, rows: Array) -> Settings:
        """The rows at these places, or those that a mask names."""
        return Settings(self.sources, self.mixture[rows], {name: column[rows] for name, column in self.values.items()})


@dataclass(frozen=True)
class Runs:
    """Finished runs as a law sees them: settings, and one outcome of which less is better unless the law says other.

    Attributes:
        outcome: float64, (n,), finite.
        group: int64, (n,): runs of equal number differ in nothing but the seed.
        cluster: int64, (n,): groups that are left out and drawn together, since they hold checkpoints of one run; None
            if every row is a run of its own.
    """

    settings: Settings
    outcome: npt.NDArray[np.float64]
    group: npt.NDArray[np.int64]
    cluster: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.outcome)

    def take(self, rows: Array) -> Runs:
        """The runs at these places, or those that a mask names."""
        cluster = self.cluster[rows] if self.cluster is not None else None
        return Runs(self.settings.take(rows), self.outcome[rows], self.group[rows], cluster)


class Prediction(ABC):
    """A fitted law. ``parameters`` is JSON-able."""

    parameters: Mapping[str, Any]
    posterior: ClassVar[bool] = False
    """Whether it is a draw of a posterior, or the mean of such draws: these do not flatter themselves at the least."""

    @abstractmethod
    def at(self, settings: Settings) -> npt.NDArray[np.float64]:
        """The expected outcome of each row, float64, (n,); NaN where the law has no answer."""

    def slope(self, settings: Settings) -> npt.NDArray[np.float64] | None:
        """Its derivative by each share of the mixture, float64, (n, k); None if there is none (trees)."""
        return None


class Law(ABC):
    """A relation between settings and one outcome, learned from finished runs: mixing laws, scaling laws, prices.

    Subclasses are frozen dataclasses of plain parameters. ``card.needs`` names the columns of :class:`Settings` that
    must be there, "mixture" among them. Judging a fit, intervals and proposals are the same for all laws and live in
    ``cuvee/law``; so a law has to say only how it is fitted and what it predicts.
    """

    card: ClassVar[Card]
    simulated: ClassVar[bool] = False
    """Whether its best mixture is the mean of the best of many random ones, instead of where descent ends."""
    left_out: ClassVar[str | tuple[str, ...] | None] = None
    """What is left out as a whole when the law is judged: "mixture", a column, or several; None for runs alike but the
    seed."""
    drawn: ClassVar[str | None] = None
    """What the bootstrap draws as a whole, likewise. Of a drawn column, a question without a value asks about all."""
    checkpoints: ClassVar[bool] = False
    """Whether it is about curves of checkpoints, so that those of one run are not left out and drawn together."""

    @abstractmethod
    def numbers(self, sources: int) -> int:
        """How many numbers are fitted for a mixture of so many sources; fewer different settings are refused."""

    @abstractmethod
    def fit(self, runs: Runs) -> Prediction:
        """Learn from the runs. Must not use chance but from a seed of its own, nor look at the runs' order."""

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        """Fits to many resamples: row b of ``counts``, int64 (b, n), says how often each run is in the b-th.

        A law that can fit many at once overrides this. ``begin``, a fit to all runs, asks for what that fit might as
        well have been, one for each row: refits may begin there, be moved farther from it, or be draws of what the law
        knows of its own uncertainty. None asks for fits that owe nothing to the runs left out.
        """
        every = np.arange(len(runs))
        return [self.fit(runs.take(np.repeat(every, row))) for row in counts]

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        """What these runs cannot tell this law, and where its form goes wrong on them: a sentence each, for users."""
        return []

    def rivals(self) -> tuple[tuple[str, Law], ...]:
        """Simpler laws of the same columns that this one has to beat on runs left out, beside the usual guesses."""
        return ()

    def across(self, outcomes: Mapping[str, Runs]) -> list[str]:
        """What all outcomes of a table say together, by name: a sentence each, for users.

        Raises:
            UsageError: a parameter names an outcome that is not there.
        """
        return []


@dataclass(frozen=True)
class Finding:
    """What a Test found."""

    statistic: float
    p_value: float
    effect: float
    per_row: Array | None = None


class Test(ABC):
    """A comparison of two distributions: shift, contamination, membership, provenance."""

    @abstractmethod
    def test(self, p: Batch, q: Batch) -> Finding: ...


class Run(Protocol):
    """What a scoring method may ask of the engine while it is being fitted."""

    seed: int

    @property
    def rows(self) -> int:
        """Rows of the pool, usable or not; independent of how they lie in files."""
        ...

    def fold(self, fold: Fold, over: Literal["pool", "target"] = "pool") -> Any:
        """Run a Fold over the pool or the target and return what its ``finish`` returns."""
        ...

    def targets(self) -> Iterator[Batch]:
        """The target's batches (targets are expected to fit into memory; the pool is not)."""
        ...


class Method(ABC):
    """What a file in ``methods/score/`` defines: how to get a score for every row, and how to choose by it.

    The file's name is the method's name. The card's ``needs`` may be "text", "target", "domain", "label",
    "embedding" (a column of vectors, or texts to make them from).
    """

    card: ClassVar[Card]

    def needs(self) -> tuple[str, ...]:
        """What must be given with these parameters; the card's needs unless a parameter changes them."""
        return self.card.needs

    @abstractmethod
    def fit(self, run: Run) -> Map:
        """Learn what is needed from pool and target; return the Map whose block has a ``score`` column."""

    def chooser(self, fitted: Map) -> Choose:
        """The rule the paper chooses by, given what :meth:`fit` returned. Default: the highest scores."""
        from .methods.choose.top_k import TopK

        return TopK()
