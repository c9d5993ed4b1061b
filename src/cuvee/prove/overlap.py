"""Do training documents hold text of the evaluation sets? By runs of words, before anything is trained.

Evaluation documents are cut into runs of 13 words (Brown et al., "Language Models are Few-Shot Learners", 2020,
appendix C), lower-cased, without punctuation; one of 8 to 12 words is a single run. A training document is
contaminated if

* 50 words in a row occur in the evaluation sets (the length of Lee et al., "Deduplicating Training Data Makes Language
  Models Better", ACL 2022, there in tokens), or
* it holds at least half of the runs of one evaluation document (the rule of Lambert et al., "Tulu 3", 2024, with our
  runs), or
* its text is an evaluation document's to the byte.

A single shared run is no contamination: licence headers, quotations and set phrases are shared by honest documents.
Runs that occur in more than a tenth of at least 30 evaluation documents are such phrases, too, and do not count.
Paraphrases and translations are not found. Cost: about 100 MB of text per second and core, one pass over the pool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core import Array, Batch, Block, Map
from ..engine.manifest import content_keys
from ..engine.run import Engine
from ..feature.ngram_kernels import scratch
from ..feature.ngrams import readonly
from ..feature.unicode import tables
from .overlap_kernels import EMPTY, fill_table, grams_of, search, words_of
from .proxy import Evaluation

if TYPE_CHECKING:
    from .candidates import Candidate
    from .draws import Rows

WORDS = 13
FEWEST_WORDS = 8
RUN = 50
SHARE = 0.5
COMMON = (30, 0.1)
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
                found.append(np.unique(grams))
                if len(grams):
                    lengths.add(length)
            _without_common(found, first)
        document = np.repeat(np.arange(len(found)), [len(one) for one in found])
        every = np.concatenate([*found, np.empty(0, np.uint64)])
        order = np.lexsort((document, every))
        grams, counts = np.unique(every, return_counts=True)
        whole = np.concatenate(content)
        by_content = np.argsort(whole, kind="stable")
        return cls(
            grams,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            document[order].astype(np.int64),
            np.array([len(one) for one in found], np.int64),
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
        words = np.empty(longest // 2 + 2, np.uint64)  # a word has at least one byte, and a gap before the next
        if len(self.lengths) and longest:
            search(
                readonly(batch.data, np.uint8), readonly(batch.offsets, np.int64), tables(), scratch(longest),
                self.lengths, *self._table, self.indptr, self.documents, self.sizes, words,
                np.zeros(len(self.sizes), np.int64), np.zeros(len(self.sizes), np.int64), run, share, best,
            )  # fmt: skip
        content = content_keys(batch.data, batch.offsets, batch.columns)
        at = np.minimum(np.searchsorted(self.content, content), len(self.content) - 1)
        same = self.content[at] == content
        share[same], best[same] = 1.0, self.whole[at[same]]
        return {"overlap_run": run, "overlap_share": share, "overlap_document": best}


def _grams(batch: Batch, i: int) -> tuple[npt.NDArray[np.uint64], int]:
    """The hashes of an evaluation document's runs, and their length in words."""
    begin, end = int(batch.offsets[i]), int(batch.offsets[i + 1])
    words, grams = np.empty(end - begin + 2, np.uint64), np.empty(end - begin + 2, np.uint64)
    data = readonly(batch.data, np.uint8)
    number = words_of(data, begin, end, tables(), scratch(end - begin), words)
    length = min(WORDS, number)
    if length < FEWEST_WORDS:
        return grams[:0], 0
    return grams[: grams_of(words, number, length, grams)].copy(), length


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
        documents: per evaluation set, how many of its documents were met, and how many it has.
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
        return f"{', '.join(met)} evaluation documents" if met else "none"

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


def find(engine: Engine, evaluations: Sequence[Evaluation], candidates: Sequence[Candidate]) -> Overlap:
    """Look for evaluation texts in the whole pool."""
    keys = engine.apply(Shingles.of(evaluations), "looking for evaluation texts in the pool")
    columns = engine.columns(keys, domain_by_convention=True)
    rows: list[Array] = [np.empty(0, np.int64)]
    met: list[Array] = [np.empty(0, np.int32)]
    for block in columns.blocks("row", "overlap_run", "overlap_share", "overlap_document"):
        found = contaminated(block)
        rows.append(block["row"][found])
        met.append(block["overlap_document"][found])
    row, document = np.concatenate(rows), np.concatenate(met)
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


MOST_WORDS = 3_000


def explain(text: str, evaluation: str) -> tuple[str, int, int]:
    """The longest run of words that two texts share, how many words it has, and how many the evaluation text has."""
    mine, other = (re.findall(r"\w+", one.lower())[:MOST_WORDS] for one in (text, evaluation))
    found = SequenceMatcher(None, mine, other, autojunk=False).find_longest_match()
    return " ".join(mine[found.a : found.a + found.size]), found.size, len(other)
