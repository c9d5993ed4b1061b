"""Reads a report as a browser would and says what stands in it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ELEMENTS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "main",
        "footer",
        "nav",
        "section",
        "article",
        "div",
        "span",
        "p",
        "b",
        "h1",
        "h2",
        "h3",
        "ul",
        "li",
        "dl",
        "dt",
        "dd",
        "pre",
        "code",
        "bdi",
        "mark",
        "figure",
        "figcaption",
        "details",
        "summary",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "svg",
        "text",
        "line",
        "circle",
        "rect",
        "path",
    ]
)
ATTRIBUTES = frozenset(
    [
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "href",
        "class",
        "id",
        "tabindex",
        "role",
        "aria-label",
        "aria-labelledby",
        "dir",
        "scope",
        "colspan",
        "viewbox",
        "width",
        "height",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "rx",
        "d",
        "text-anchor",
    ]
)
VOID = frozenset({"meta"})
NASTY = [
    "<script>window.__pwned=1</script>",
    "</script><script>window.__pwned=2</script>",
    "<!--<script>window.__pwned=3",
    "</textarea><img src=x onerror=window.__pwned=4>",
    '"><svg onload=window.__pwned=5>',
    "' onmouseover='window.__pwned=6",
    "</title></style><script>window.__pwned=7</script>",
    "]]><a href=javascript:window.__pwned=8>x</a>",
    "{{constructor.constructor('window.__pwned=9')()}}",
    "&lt;script&gt;&#x3c;img src=//evil.example/x&#x3e;",
    "@import url(https://evil.example/x.css); </style><style>*{display:none}",
    "\u202egnp.exe\u2066\u2028\u2029",
    "\x1b]0;owned\x07\x1b[31m\x00\x9b2J",
    "\ud800 half \udfff",
    "nan",
    "a" * 5000,
    '"' * 5000,
    "\u202e" * 5000,
    "\n" * 300,
]


def payloads(folder: Path = Path("/nonexistent")) -> list[str]:
    """The strings above; further ones if a folder of them is given."""
    found = list(NASTY)
    for path in sorted(folder.glob("*.jsonl")):
        found += [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]
    return found


class Reader(HTMLParser):
    """Collects elements, attributes and visible text, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ELEMENTS:
            self.problems.append(f"element {tag}")
        self.problems += [f"attribute {tag} {name}" for name, _ in attrs if name not in ATTRIBUTES]
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"end of {tag}")

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"comment {data[:40]}")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def labels(self) -> list[str]:
        return [a["aria-label"] or "" for _, a in self.seen if "aria-label" in a]


def read(page: str) -> Reader:
    """Parse a page and fail if anything stands in it that no report writes."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [], reader.open
    assert reader.problems == [], reader.problems[:10]
    for tag, attributes in reader.seen:
        href = attributes.get("href")
        assert href is None or href.startswith("#"), (tag, href)
    assert all(attributes.get("http-equiv") in (None, "Content-Security-Policy") for _, attributes in reader.seen)
    page.encode("utf-8")
    return reader


def replaced(value: Any, replacement: Any, numbers: bool = False) -> Any:
    """The same structure with every string (and every mapping's free key, and if asked every number) replaced."""
    if isinstance(value, dict):
        free = {"parameters", "chooser_parameters", "by_reason", "versions", "timings"}
        return {
            key: {f"{replacement}{i}": replaced(v, replacement, numbers) for i, v in enumerate(entry.values())}
            if key in free and isinstance(entry, dict)
            else replaced(entry, replacement, numbers)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [replaced(entry, replacement, numbers) for entry in value]
    if isinstance(value, str) or (numbers and isinstance(value, int | float)):
        return replacement
    return value
