"""What every exporter is given and gives back.

Weights of a mix are shares of training tokens. A trainer that counts packed sequences takes them as they are; one that
counts examples needs shares of documents, p_i / (mean tokens of a document of i), renormalised. An exporter refuses
what its format cannot express, or writes whole counts; it never approximates without a note.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import UsageError
from ...mix.apportion import apportion

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mixture:
    """A mix to be exported; sources without a weight are left out.

    Attributes:
        names: (k,), as in the pool.
        shares: (k,), of training tokens; exact, summing to one.
        places: (k,), where the trainer finds each source.
        tokens: of the run; None if it is not known.
        available, documents: (k,): tokens and documents of each source; None if they are not known.
        sequence: tokens of a sequence.
        packed: whether examples are packed sequences of equal length, so that their share is the tokens' share.
        seed: for trainers that draw.
        before: (k,), passes over each source before this stage of a schedule; empty where nothing came before.
    """

    names: tuple[str, ...]
    shares: tuple[Fraction, ...]
    places: tuple[str, ...]
    tokens: int | None = None
    available: tuple[int, ...] | None = None
    documents: tuple[int, ...] | None = None
    sequence: int = 4096
    packed: bool = False
    seed: int = 42
    before: tuple[Fraction, ...] = ()

    def only(self, at: Sequence[int]) -> Mixture:
        """That of the sources at these places alone, in proportion."""
        whole = sum((self.shares[place] for place in at), Fraction(0))
        return replace(
            self,
            names=tuple(self.names[place] for place in at),
            shares=tuple(self.shares[place] / whole for place in at),
            places=tuple(self.places[place] for place in at),
            available=tuple(self.available[place] for place in at) if self.available else None,
            documents=tuple(self.documents[place] for place in at) if self.documents else None,
            before=tuple(self.before[place] for place in at) if self.before else (),
        )

    def weights(self) -> list[float]:
        """Shares of tokens as floats."""
        return [float(share) for share in self.shares]

    def sequences(self) -> Ints:
        """Whole sequences of each source in the run: int64, (k,).

        Raises:
            UsageError: the run's tokens are not known, or fewer than one sequence.
        """
        if self.tokens is None:
            raise UsageError("This export needs the run's tokens. Give --tokens.")
        if self.tokens < self.sequence:
            raise UsageError(f"{self.tokens:,} tokens are less than one sequence of {self.sequence:,}. Shorten it.")
        return apportion(self.shares, self.tokens // self.sequence)

    def examples(self) -> tuple[Fraction, ...]:
        """Shares of examples: of documents, unless examples are packed sequences."""
        if self.packed:
            return self.shares
        if self.documents is None or self.available is None:
            raise UsageError(
                "This trainer counts examples, and the documents of each source are not known. Export a mix that "
                "cuvee mix made of the pool, or say with --packed that examples are packed sequences."
            )
        rate = [
            share * documents / held
            for share, documents, held in zip(self.shares, self.documents, self.available, strict=True)
        ]
        return tuple(one / sum(rate) for one in rate)

    def number(self) -> int | None:
        """Examples of the run: whole sequences if they are packed, else documents; None if that is not known.

        Raises:
            UsageError: the run is shorter than one.
        """
        if self.packed:
            return None if self.tokens is None else int(self.sequences().sum())
        if self.tokens is None or self.available is None or self.documents is None:
            return None
        found = round(self.amount())
        if not found:
            raise UsageError(f"{self.tokens:,} tokens are less than one document of mean length. Give more --tokens.")
        return found

    def amount(self) -> Fraction:
        """Documents of the run, by each source's mean length; not whole.

        Raises:
            UsageError: the run's tokens or the sources' sizes are not known.
        """
        passes = self.passes()
        return sum((times * held for times, held in zip(passes, self.documents or (), strict=True)), Fraction(0))

    def rows(self) -> tuple[int, ...] | None:
        """Examples that each source holds: packed sequences or documents; None if that is not known."""
        if self.packed:
            return None if self.available is None else tuple(max(1, held // self.sequence) for held in self.available)
        return self.documents

    def earlier(self) -> list[Fraction]:
        """Passes over each source before this stage."""
        return list(self.before) or [Fraction(0)] * len(self.names)

    def passes(self) -> list[Fraction]:
        """How often the run goes through each source."""
        if self.tokens is None or self.available is None:
            raise UsageError(
                "This export needs the run's tokens and the sources' sizes. Export a mix that cuvee mix made of "
                "the pool."
            )
        return [share * self.tokens / held for share, held in zip(self.shares, self.available, strict=True)]


@dataclass(frozen=True)
class Exported:
    """Files by name, what the trainer does differently from the plan, how it is told to read them, and what is to be
    known before anybody trains on them."""

    files: Mapping[str, str | bytes]
    notes: Sequence[str] = ()
    use: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def default_place(name: str) -> str:
    """Where a source is looked for if nobody says: data/NAME, and never above or outside data/.

    Steps of a path that lead elsewhere or nowhere are escaped as in addresses: ".." is "%2E%2E", none is "%".
    """
    steps = [{"": "%", ".": "%2E", "..": "%2E%2E"}.get(step, step) for step in name.replace("\0", "%00").split("/")]
    return f"data/{'/'.join(steps)}"


LONGEST_KEY = 1000
"""YAML reads keys of at most 1,024 characters without a question mark before them."""


def quoted(text: str) -> str:
    """A string in YAML: double quotes, everything unusual escaped.

    As in JSON, but for characters beyond 16 bits: JSON's two escapes for one of them are two characters in YAML.
    """
    escaped = (f"\\U{ord(one):08x}" if one > "\uffff" else json.dumps(one)[1:-1] for one in text)
    return f'"{"".join(escaped)}"'


def key(text: str, indent: int) -> str:
    """A key of a mapping in YAML, with its colon; ``indent``: of the line, which may be continued on another."""
    told = quoted(text)
    return f"{told}:" if len(told) <= LONGEST_KEY else f"? {told}\n{' ' * indent}:"


def decimal(value: float) -> str:
    """A finite number in YAML, exact; with a point, as YAML 1.1 takes 1e-05 for text."""
    digits, e, exponent = repr(value).partition("e")
    return f"{digits}{'' if '.' in digits else '.0'}{e}{exponent}"


def comment(mixture: Mixture) -> str:
    """The first line of every text file."""
    return f"# written by cuvee mix export: {len(mixture.names)} sources; see mixture.json\n"


def counts_of(order: npt.NDArray[np.int32] | Sequence[int], sources: int) -> Ints:
    """How often each source stands in an order."""
    return np.bincount(np.asarray(order, np.int64), minlength=sources)
