"""The page that every command writes: verdict, warnings, next step, pictures, numbers, texts, limits, recipe.

One file that asks nothing of the network and holds no script. Its content security policy forbids everything except
the one style sheet inside it, which it names by digest, so that a text which should slip through could neither run
nor load nor restyle anything.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from .charts import Chart
from .figures import items
from .markup import EMPTY, element, isolated, join
from .text import Markup, as_text, escape

MOST_BYTES = 3_000_000
"""No report is larger, whatever the pool."""


@cache
def style() -> str:
    """The style sheet."""
    return (files(__package__) / "report.css").read_text("utf-8")


@cache
def policy() -> str:
    """The content security policy: nothing, except the style sheet with this digest."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@dataclass
class Page:
    """What a report says, in the order in which it is read. Parts that are empty are left out."""

    command: str
    title: Any
    verdict: Any
    warnings: Any = ()
    next: Any = ""
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Markup] = ()
    sections: list[tuple[str, str, Sequence[Markup]]] = field(default_factory=list)

    def add(self, name: str, heading: str, *parts: Markup) -> None:
        """A section under a heading; ``name`` stands in the list of contents. Left out when all parts are empty."""
        if any(parts):
            self.sections.append((name, heading, parts))

    def render(self) -> str:
        """The whole file."""
        sections = [("Pictures", "", list(self.pictures))] if self.pictures else []
        sections += [(name, heading, list(parts)) for name, heading, parts in self.sections]
        title = as_text(self.title) or f"cuvee {self.command}"
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy()),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="referrer", content="no-referrer"),
            element("meta", name="robots", content="noindex"),
            element("title", escape(title, 120)),
            element("style", Markup(style())),
        )
        body = element(
            "body",
            element("a", escape("Skip to the verdict"), href="#verdict", class_="skip"),
            element("header", self._masthead(title, [name for name, _, _ in sections])),
            element("main", self._opening(), *(_section(i, *parts) for i, parts in enumerate(sections))),
            element("footer", escape("Written by cuvee. This page holds no script and asks nothing of the network.")),
        )
        return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"

    def _masthead(self, title: str, names: Sequence[str]) -> Markup:
        contents = [element("li", element("a", escape(name), href=f"#part{i}")) for i, name in enumerate(names)]
        return element(
            "div",
            element("span", escape(f"cuvee {self.command} · "), element("b", isolated(title, 120))),
            element("nav", element("ul", *contents), aria_label="Contents"),
            class_="masthead",
        )

    def _opening(self) -> Markup:
        warnings = items(self.warnings)
        shown = [element("li", element("b", escape("Warning")), isolated(text, 600)) for text in warnings[:20] if text]
        if len(warnings) > 20:
            shown.append(element("li", escape(f"and {len(warnings) - 20:,} more warnings")))
        pairs = [
            element("div", element("dt", escape(name, 80)), element("dd", escape(value, 60)))
            for name, value in self.facts
        ]
        return join(
            [
                element(
                    "h1",
                    isolated(_kept_together(as_text(self.verdict)) or "No verdict.", 400),
                    id="verdict",
                    tabindex=-1,
                ),
                element("dl", *pairs, class_="facts") if pairs else EMPTY,
                element("ul", *shown, class_="warnings", aria_label="Warnings") if shown else EMPTY,
                _next(self.next),
            ]
        )


def _kept_together(text: str) -> str:
    """A number and its unit do not part at a line's end."""
    return re.sub(r"(?<=\d) (?=%|[^\W\d_]{1,2}\b)", "\u00a0", text[:1_000])


def _next(command: Any) -> Markup:
    if not as_text(command).strip():
        return EMPTY
    line = element("pre", escape(command, 1_000), class_="command", tabindex=0, dir="auto")
    return element("div", element("p", escape("What to do next")), line, class_="next")


def _section(i: int, name: str, heading: str, parts: Sequence[Markup]) -> Markup:
    head = element("h2", escape(heading), id=f"head{i}") if heading else EMPTY
    label = None if heading else name
    return element(
        "section", head, *parts, id=f"part{i}", aria_label=label, aria_labelledby=f"head{i}" if heading else None
    )


def figure(question: str, caption: Markup, chart: Chart, part: bool = False) -> Markup:
    """A picture with the question that it answers, how to read it, and the numbers behind it.

    Args:
        part: half as wide, to stand beside another one.
    """
    behind = element("details", element("summary", escape("The numbers behind this picture")), chart.table)
    words = element("figcaption", element("h3", escape(question, 160)), element("p", caption))
    return element("figure", words, chart.wide, chart.narrow, behind, class_="part" if part else None)


def key(name: str, kind: str) -> Markup:
    """A word in a caption with the sign by which its group is drawn ("pool", "kept", "random", "ring", "tick")."""
    return element("span", escape(name), class_=f"key {kind}")


def sentence(*parts: Markup | str) -> Markup:
    """Words and marked words, one after the other. Plain strings are escaped."""
    return join(part if isinstance(part, Markup) else escape(part) for part in parts)
