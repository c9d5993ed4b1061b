"""Write docs/methods.md, and docs/laws.md about mixes and laws, from the methods' cards, parameters and docstrings.

    python scripts/make_docs.py            writes the pages
    python scripts/make_docs.py --check    exits 1 if a page is not what would be written

Cards and docstrings are the source; this file has no words of its own about any method.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from cuvee import describing, registry
from cuvee.core import Method, Policy

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
LAWS = PAGE.with_name("laws.md")

_ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")
_TRAPS = re.compile(r"(?<![\w`])Traps?[:.]\s+")


def paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text.strip("\n")) if part.strip()]


def markdown(text: str) -> str:
    """A docstring's paragraph in Markdown: single backticks, no roles; indented equations are code already."""
    text = _ROLE.sub(r"`\1`", text).replace("``", "`")
    if text.startswith("    "):
        return text
    first, *rest = text.splitlines()
    if first.strip() == "Attributes:":
        return "\n".join(re.sub(r"^ {4}([^:]+):", _fields, line) for line in rest)
    return "\n".join(line if line.startswith("    ") else line.strip() for line in [first, *rest])


def _fields(match: re.Match[str]) -> str:
    return "- " + ", ".join(f"`{name.strip()}`" for name in match[1].split(",")) + ":"


def split_traps(docstring: str) -> tuple[list[str], list[str]]:
    """The paragraphs of a module's docstring, and what they say about traps."""
    body, traps = [], []
    for part in paragraphs(docstring):
        found = None if part.startswith("    ") else _TRAPS.search(part)
        if found is None:
            body.append(markdown(part))
            continue
        if before := part[: found.start()].strip():
            body.append(markdown(before))
        rest = " ".join(markdown(part[found.end() :]).split())
        traps.append(rest[:1].upper() + rest[1:])
    return body, traps


def needs(found: dict[str, Any]) -> str:
    return ", ".join(found["needs"]) or "nothing"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def accents(text: str) -> str:
    """TeX accents as letters, for the table."""
    for tex, letter in (('\\"a', "ä"), ('\\"o', "ö"), ('\\"u', "ü"), ("\\'a", "á"), ("\\'i", "í"), ("\\'e", "é")):
        text = text.replace(tex, letter)
    return text


def kinds() -> dict[str, list[str]]:
    """The names of the methods by what they are."""
    groups: dict[str, list[str]] = {"Scoring methods": [], "Baselines": [], "Choosing rules": [], "Policies": []}
    for name, entry in registry.entries().items():
        if entry.point is not None:
            continue  # installed beside cuvee, not part of it
        kind = entry.load()
        baseline = kind.card.family == "baseline"
        title = "Baselines" if baseline else "Choosing rules"
        if issubclass(kind, Method | Policy):
            title = "Scoring methods" if issubclass(kind, Method) else "Policies"
        groups[title].append(name)
    return groups


ROLES = {
    "Scoring methods": "Named with `--with`. Each gives every row a score and brings the rule that its paper chooses "
    "by; `--choose` replaces that rule.",
    "Baselines": "Named with `--with` as well; they choose without a score.",
    "Choosing rules": "Named with `--choose`, beside a scoring method.",
    "Policies": "They decide while a model trains: which examples come next, in which order, and how much each counts. "
    "A selection does not use them; `cuvee prove --policy` compares training with and without one.",
}


def table(names: list[str]) -> list[str]:
    methods = [one for one in describing.table() if one["family"] not in registry.KINDS]
    citations = {one["name"]: accents(one["citation"]) for one in methods}
    lines = ["| method | what it does | needs | cost | paper |", "|-|-|-|-|-|"]
    for name in names:
        found = describing.facts(name)
        cells = (found["summary"].rstrip("."), needs(found), found["cost"], citations[name] or "-")
        lines.append(f"| [`{name}`](#{name}) | " + " | ".join(escaped(cell) for cell in cells) + " |")
    return lines


def parameters(found: dict[str, Any]) -> list[str]:
    if not found["parameters"]:
        return ["**Parameters:** none."]
    lines = ["| parameter | type | default |", "|-|-|-|"]
    for one in found["parameters"]:
        default = "required" if one["required"] else f"`{one['default']}`" if one["default"] else "see above"
        lines.append(f"| `{one['name']}` | `{escaped(one['type'])}` | {default} |")
    return lines


def section(name: str) -> list[str]:
    """One method's part of the page."""
    found = describing.facts(name)
    body, traps = split_traps(found["description"])
    if found["fails_when"]:
        traps.insert(0, found["fails_when"])
    blocks = [f"### {found['name']}"]
    blocks.append(f"**Use it when:** {found['use_when'] or found['summary']}")
    blocks.append(f"**Needs:** {needs(found)}. **Cost:** {found['cost']}. **Evidence:** {found['evidence']}.")
    blocks += body
    blocks += [markdown(part) for part in paragraphs(found["class"])]
    blocks.append("\n".join(parameters(found)))
    if traps:
        blocks.append("**When it fails:** " + "\n\n".join(traps))
    if found["bibtex"].strip():
        blocks.append(f"```bibtex\n{found['bibtex'].strip()}\n```")
    return blocks


def page() -> str:
    """The whole page."""
    groups = kinds()
    blocks = [
        "# Methods",
        "<!-- Written by scripts/make_docs.py from the methods' cards and docstrings. Change those, then run it. -->",
        "The same facts stand in the program: `cuvee methods` prints the table, `cuvee methods NAME` one method. "
        "Parameters are set as `--with NAME:parameter=value,parameter=value`, in Python as `settings={...}`; those of "
        "a rule as `--choose NAME:parameter=value` and `choose_settings={...}`. A list of numbers is typed `0.2/0.8`. "
        '"Evidence" says what an implementation was checked against. None of it says that a model trained on the '
        "choice is better.",
    ]
    for title, names in groups.items():
        blocks += [f"## {title}", ROLES[title], "\n".join(table(names))]
        for name in names:
            blocks += section(name)
    return "\n\n".join(blocks) + "\n"


def laws() -> str:
    """The page about static mixes and laws."""
    blocks = [
        "# Static mixes and laws",
        "<!-- Written by scripts/make_docs.py from cards and docstrings. Change those, then run it. -->",
        "What `cuvee mix POOL --with MIX` and `cuvee mix fit RUNS --with LAW` take. When to use which, and when they "
        "fail, stands in [mix.md](mix.md). Parameters are set as `--with NAME:parameter=value`.",
    ]
    for kind, title in (("mix", "Static mixes"), ("law", "Laws")):
        blocks.append(f"## {title}")
        for name in registry.found_in(kind):
            blocks += section(f"{kind}:{name}")
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    for place, text in ((PAGE, page()), (LAWS, laws())):
        if "--check" in sys.argv[1:]:
            if not place.is_file() or place.read_text(encoding="utf-8") != text:
                raise SystemExit(f"{place} is not up to date: run python scripts/make_docs.py")
            continue
        place.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
