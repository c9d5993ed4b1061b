"""Do training documents hold text of the evaluation sets? By runs of words, before anything is trained.

Evaluation documents are cut into runs of 13 words (Brown et al., "Language Models are Few-Shot Learners", 2020,
appendix C), lower-cased, without punctuation; one of 8 to 12 words is a single run. Every Chinese character or kana
counts as a word, because these scripts put no space between words. A training document is contaminated if

* 50 words in a row occur in the evaluation sets (the length of Lee et al., "Deduplicating Training Data Makes Language
  Models Better", ACL 2022, there in tokens), or
* it holds at least half of the runs of one evaluation document (the rule of Lambert et al., "Tulu 3", 2024, with our
  runs), or
* its text is an evaluation document's to the byte.

A single shared run is no contamination: licence headers, quotations and set phrases are shared by honest documents.
Runs that occur in more than a third of at least 30 evaluation documents are such phrases, too, and do not count.
Paraphrases and translations are not found. Cost: about 100 MB of text per second and core, one pass over the pool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Block, Map
from ..engine.manifest import content_keys
from ..engine.ordered import distinct
from ..engine.run import Engine
from ..feature.ngrams import readonly
from ..feature.unicode import tables
from .overlap_kernels import EMPTY, fill_table, grams_of, memory, search, words_of
from .proxy import Evaluation

if TYPE_CHECKING:
    from .candidates import Candidate
    from .draws import Rows

WORDS = 13
FEWEST_WORDS = 8
RUN = 50
SHARE = 0.5
COMMON = (30, 1 / 3)
"""From so many evaluation documents on, runs in more than this share of them are set phrases."""
SHOWN = 10


@dataclass(frozen=True)
class Shingles(Map):
    """The runs of words of evaluation documents, as a Map over training documents.

    Attributes:
        grams: uint64, (g,), distinct hashes, ascending. ``indptr``, ``documents``: int64, the documents of each.
        sizes: int64, (documents,): distinct runs of each document. ``lengths``: int64, the lengths in words that occur.
        content: uint64, ascending: hashes of whole evaluation documents. ``whole``: int64, which document each is.

    ``apply`` gives "overlap_run" int32 (words), "overlap_share" float64 and "overlap_document" int32 (-1: none).
    """

    grams: Array
    indptr: Array
    documents: Array
    sizes: Array
    lengths: Array
    content: Array
    whole: Array

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation]) -> Shingles:
        """From evaluation sets; documents are numbered through all of them in order."""
        found: list[Array] = []
        lengths: set[int] = set()
        content = []
        for evaluation in evaluations:
            batch = evaluation.batch
            content.append(content_keys(batch.data, batch.offsets, batch.columns))
            first = len(found)
            for i in range(len(batch)):
                grams, length = _grams(batch, i)
                found.append(distinct(grams))
                if len(grams):
                    lengths.add(length)
            _without_common(found, first)
        sizes = np.array([len(one) for one in found], np.int64)
        document = np.repeat(np.arange(len(found)), sizes)
        every = np.concatenate([*found, np.empty(0, np.uint64)])
        order = np.lexsort((document, every))
        grams, counts = np.unique(every, return_counts=True)
        whole = np.concatenate([*content, np.empty(0, np.uint64)])
        by_content = np.argsort(whole, kind="stable")
        return cls(
            grams,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            document[order].astype(np.int64),
            sizes,
            np.array(sorted(lengths), np.int64),
            whole[by_content],
            by_content.astype(np.int64),
        )

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        slots = 1 << max(4, int(4 * len(self.grams)).bit_length())
        table, place = np.full(slots, EMPTY, np.uint64), np.zeros(slots, np.int64)
        fill_table(table, place, self.grams)
        return readonly(table, np.uint64), readonly(place, np.int64)

    def apply(self, batch: Batch) -> Block:
        rows, longest = len(batch), int(np.diff(batch.offsets).max(initial=0))
        run, share, best = np.zeros(rows, np.int32), np.zeros(rows), np.full(rows, -1, np.int32)
        if len(self.grams) and longest:
            seen, count = np.zeros(len(self.grams), np.int32), np.zeros(len(self.sizes), np.int64)
            search(
                readonly(batch.data, np.uint8), readonly(batch.offsets, np.int64), tables(), memory(longest),
                self.lengths, *self._table, self.indptr, self.documents, self.sizes, seen, count,
                np.zeros_like(count), run, share, best,
            )  # fmt: skip
        if rows and len(self.content):
            content = content_keys(batch.data, batch.offsets, batch.columns)
            at = np.minimum(np.searchsorted(self.content, content), len(self.content) - 1)
            same = self.content[at] == content
            share[same], best[same] = 1.0, self.whole[at[same]]
        return {"overlap_run": run, "overlap_share": share, "overlap_document": best}


def _grams(batch: Batch, i: int) -> tuple[npt.NDArray[np.uint64], int]:
    """The hashes of an evaluation document's runs, and their length in words."""
    begin, end = int(batch.offsets[i]), int(batch.offsets[i + 1])
    working = memory(end - begin)
    number = words_of(readonly(batch.data, np.uint8), begin, end, tables(), working)
    length = min(WORDS, number)
    if length < FEWEST_WORDS:
        return np.empty(0, np.uint64), 0
    return _runs(working.words[:number], length), length


def _runs(words: Array, length: int) -> npt.NDArray[np.uint64]:
    """Hashes of all runs of so many words."""
    grams = np.empty(max(len(words) - length + 1, 0), np.uint64)
    grams_of(words, len(words), length, grams)
    return grams


def _without_common(found: list[Array], first: int) -> None:
    """Take out of an evaluation set's documents what stands in many of them."""
    least, share = COMMON
    number = len(found) - first
    if number < least:
        return
    grams, counts = np.unique(np.concatenate(found[first:]), return_counts=True)
    common = grams[counts > share * number]
    if len(common):
        found[first:] = [np.setdiff1d(one, common, assume_unique=True) for one in found[first:]]


def contaminated(block: Block) -> npt.NDArray[np.bool_]:
    """Which rows hold evaluation text, by the rule above."""
    return np.asarray((block["overlap_run"] >= RUN) | (block["overlap_share"] >= SHARE))


@dataclass(frozen=True)
class Overlap:
    """What was found in a pool.

    Attributes:
        contaminated: int64, ascending: rows that hold evaluation text.
        documents: per evaluation set, how many of its documents were met, and how many it has. Of several documents
            in one row only the one that it holds the largest share of is counted.
        selected: per selection, how many of these rows it holds.
        examples: some pairs with the words that they share.
    """

    contaminated: Rows
    documents: Mapping[str, tuple[int, int]]
    selected: Mapping[str, int]
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.contaminated)

    def told(self) -> str:
        """Which evaluation documents were met, in words."""
        met = [f"{some:,} of the {every:,} in '{name}'" for name, (some, every) in self.documents.items() if some]
        return f"at least {', '.join(met)} evaluation documents" if met else "none"

    def as_json(self) -> list[dict[str, Any]]:
        """One entry per evaluation set, as the report takes it."""
        return [
            {
                "evaluation": name,
                "arm": ", ".join(one for one, rows in self.selected.items() if rows) or "the pool",
                "documents": some,
                "of": every,
                "removed": self.rows,
                "examples": [one for one in self.examples if one["evaluation"] == name],
            }
            for name, (some, every) in self.documents.items()
            if some
        ]


def _contaminated_rows(block: Block) -> tuple[Array, Array]:
    found = contaminated(block)
    return block["row"][found], block["overlap_document"][found]


def find(engine: Engine, evaluations: Sequence[Evaluation], candidates: Sequence[Candidate]) -> Overlap:
    """Look for evaluation texts in the whole pool."""
    keys = engine.apply(Shingles.of(evaluations), "looking for evaluation texts in the pool")
    columns = engine.columns(keys, domain_by_convention=True)
    names = ("row", "overlap_run", "overlap_share", "overlap_document")
    met = list(columns.each(_contaminated_rows, *names))
    row = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in met)])
    document = np.concatenate([np.empty(0, np.int32), *(documents for _, documents in met)])
    first = np.cumsum([0, *(len(one.batch) for one in evaluations)])
    seen = np.unique(document[document >= 0])
    counts = {
        one.name: (int(np.count_nonzero((seen >= low) & (seen < low + len(one.batch)))), len(one.batch))
        for one, low in zip(evaluations, first.tolist(), strict=False)
    }
    selected = {one.name: int(np.isin(row, one.row, assume_unique=True).sum()) for one in candidates}
    examples = []
    for at in range(min(SHOWN, len(row))):
        number = int(np.searchsorted(first, document[at], side="right")) - 1
        if document[at] < 0 or not 0 <= number < len(evaluations):
            continue
        evaluation = evaluations[number]
        text = engine.texts([int(row[at])])[0].decode("utf-8", "replace")
        if not text:  # equal vectors: there are no words to show
            continue
        other = evaluation.batch.text(int(document[at]) - int(first[number]))
        path, local = engine.pool.manifest.place(int(row[at]))
        shared, words, of = explain(text, other)
        examples.append(
            {
                "evaluation": evaluation.name,
                "evaluation_id": f"document {int(document[at]) - int(first[number]) + 1}",
                "training_id": f"{path}:{local + 1}",
                "shared": shared,
                "tokens": f"{words} of {of} words",
            }
        )
    return Overlap(row, counts, selected, examples)


SHOWN_WORDS = 3_000
_WORD = re.compile("(?=\\w)[{0}]|[^\\W{0}]+".format("\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"))
"""A word as the kernels see it."""


def explain(text: str, evaluation: str) -> tuple[str, int, int]:
    """The longest run of words that two texts share, how many words it has, and how many the evaluation text has."""
    mine, other = (_WORD.findall(one.lower()) for one in (text, evaluation))
    numbers: dict[str, int] = {}
    first, second = (
        np.array([numbers.setdefault(word, len(numbers) + 1) for word in one], np.uint64) for one in (mine, other)
    )
    begin, size, most = 0, 0, min(len(mine), len(other))
    while size < most:  # texts that share a run share all shorter ones
        length = (size + most + 1) // 2
        shared = np.flatnonzero(np.isin(_runs(first, length), _runs(second, length)))
        if len(shared):
            begin, size = int(shared[0]), length
        else:
            most = length - 1
    return " ".join(mine[begin : begin + min(size, SHOWN_WORDS)]), size, len(other)
