"""Write a page for every method (docs/methods/NAME.md), their index, and docs/laws.md about mixes and laws.

    python scripts/make_docs.py            writes the pages, and src/cuvee/methods/measured.json
    python scripts/make_docs.py --check    exits 1 if one of them is not what would be written

Cards, docstrings and parameters are the source, and the records of claims and benchmarks (``method_records.py``); this
file has no words of its own about any method. ``cuvee methods NAME`` shows the same in a terminal.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import method_records

from cuvee import describing, measured, registry
from cuvee.core import Method, Policy

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
PAGES = PAGE.with_suffix("")
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
    """A group of methods in the index."""
    methods = [one for one in describing.table() if one["family"] not in {*registry.KINDS, "combine"}]
    citations = {one["name"]: accents(one["citation"]) for one in methods}
    lines = ["| method | what it does | needs | CPU s, MB | claim | paper |", "|-|-|-|-|-|-|"]
    for name in names:
        found = describing.facts(name)
        one = found["measured"].get("cost")
        spent = (
            f"{'about ' if one['estimated'] else ''}{number(one['cpu_seconds'])}, {one['peak_mb']:,}" if one else "-"
        )
        tried = found["measured"].get("claims", [])
        own = ", ".join(dict.fromkeys(each["verdict"] for each in tried)) or "-"
        cells = (found["summary"].rstrip("."), needs(found), spent, own, citations[name] or "-")
        lines.append(f"| [`{name}`](methods/{name}.md) | " + " | ".join(escaped(cell) for cell in cells) + " |")
    return lines


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{max(value, 0.0):.1f}"


def parameters(found: dict[str, Any]) -> list[str]:
    if not found["parameters"]:
        return ["**Parameters:** none."]
    lines = ["| parameter | type | default |", "|-|-|-|"]
    for one in found["parameters"]:
        default = "required" if one["required"] else f"`{one['default']}`" if one["default"] else "see above"
        lines.append(f"| `{one['name']}` | `{escaped(one['type'])}` | {default} |")
    return lines


def body_of(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What the docstrings say, with parameters, and when the method fails."""
    body, traps = split_traps(found["description"])
    if found["fails_when"]:
        traps.insert(0, found["fails_when"])
    body += [markdown(part) for part in paragraphs(found["class"])]
    return [*body, "\n".join(parameters(found))], traps


def section(name: str) -> list[str]:
    """One mix's or law's part of its page."""
    found = describing.facts(name)
    body, traps = body_of(found)
    blocks = [f"### {found['name']}", f"**Use it when:** {found['use_when'] or found['summary']}"]
    blocks.append(f"**Needs:** {needs(found)}. **Cost:** {found['cost']}. **Evidence:** {found['evidence']}.")
    blocks += body
    if traps:
        blocks.append("**When it fails:** " + "\n\n".join(traps))
    if found["bibtex"].strip():
        blocks.append(f"```bibtex\n{found['bibtex'].strip()}\n```")
    return blocks


def told(found: dict[str, Any]) -> list[str]:
    """What was measured, as paragraphs and a table."""
    blocks = []
    if text := measured.cost(found):
        blocks.append(f"**Measured:** {text} ([how](../methods.md#costs))")
    for one in found.get("claims", []):
        link = f"[{one['claim']}](../../CLAIMS.md#{one['claim']}-{one['verdict'].replace(' ', '-')})"
        compared = f"{one['metric']}, {one['arm']} less {one['against']}: {measured.interval(one)}"
        blocks.append(f"**Claim {link}: {one['verdict']}.** {compared} (95 %, {one['seeds']} seeds). {one['reason']}")
    if places := found.get("league"):
        lines = ["| task | place | less random | less length-matched |", "|-|-|-|-|"]
        for one in places:
            less = [measured.interval(one[key]) if key in one else "" for key in ("less_random", "less_length_matched")]
            lines.append(f"| {one['task']} | {one['place']} of {one['of']} | {less[0]} | {less[1]} |")
        player = places[0]["contender"]
        blocks.append(f"**[League](../league.md)**, as `{player}`, bits per character (lower is better):")
        blocks.append("\n".join(lines))
    return blocks


def method_page(name: str, title: str) -> str:
    """A method's page."""
    found = describing.facts(name)
    body, traps = body_of(found)
    blocks = [
        f"# {name}",
        "<!-- Written by scripts/make_docs.py from the method's file and the records of claims and benchmarks. -->",
        f"{sentence(found['summary'])} [{title}](../methods.md#{title.lower().replace(' ', '-')}); family: "
        f"{found['family']}.",
        f"**Use it when:** {found['use_when'] or found['summary']}",
    ]
    if traps:
        blocks.append(f"**When it fails:** {traps[0]}")
    blocks += [f"**Needs:** {needs(found)}. **Cost:** {found['cost']}.", f"```sh\n{found['example']}\n```"]
    blocks += ["## How it works", *body]
    blocks += [f"**Trap:** {trap}" for trap in traps[1:]]
    blocks += ["## What is known of it", f"**Checked against:** {found['evidence']}.", *told(found["measured"])]
    if found["bibtex"].strip():
        blocks += ["## Paper", f"```bibtex\n{found['bibtex'].strip()}\n```"]
    return "\n\n".join(blocks) + "\n"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


COSTS = (
    "CPU seconds of one core and megabytes at the peak, of `cuvee select` over the same 100,000 documents of 0.85 kB "
    "on average, with an empty cache, 1 % of the rows kept, start-up left out; a rule with the method that it is shown "
    "with. Measured by `python -m bench.methods` beside other work on the machine: ratios to `random` in the same run "
    'are steadier than seconds. "About": measured over fewer documents and drawn on along a line.'
)


def page() -> str:
    """The index."""
    blocks = [
        "# Methods",
        "<!-- Written by scripts/make_docs.py from the methods' cards and docstrings. Change those, then run it. -->",
        "Every method has a page. The same facts stand in the program: `cuvee methods` prints the table, `cuvee "
        "methods NAME` one method. Parameters are set as `--with NAME:parameter=value,parameter=value`, in Python as "
        "`settings={...}`; those of a rule as `--choose NAME:parameter=value` and `choose_settings={...}`. A list of "
        'numbers is typed `0.2/0.8`. "Checked against", on a page, says what the implementation was held to; a claim '
        "is what the paper says, tried again at a small scale ([CLAIMS.md](../CLAIMS.md)). All of them on the same "
        "tasks: [the league](league.md).",
    ]
    for title, names in kinds().items():
        blocks += [f"## {title}", ROLES[title], "\n".join(table(names))]
    more = {name: one for name, one in method_records.benchmark("methods").items() if name not in registry.entries()}
    told = [f"`{name}` {number(one['cpu_seconds'])} s and {one['peak_mb']:,} MB" for name, one in more.items()]
    beside = [f'Beside them: {"; ".join(told)} ("combine": `dsir,classifier`).'] if told else []
    return "\n\n".join([*blocks, "## Costs", COSTS, *beside]) + "\n"


def laws() -> str:
    """The page about static mixes and laws."""
    blocks = [
        "# Static mixes and laws",
        "<!-- Written by scripts/make_docs.py from cards and docstrings. Change those, then run it. -->",
        "What `cuvee mix POOL --with MIX` and `cuvee mix fit RUNS --with LAW` take. When to use which, and when they "
        "fail, stands in [mix.md](mix.md). Parameters are set as `--with NAME:parameter=value`. "
        "A law's cost is that of one fit; `cuvee mix fit` makes hundreds, and looks for the best mixture of each "
        "([what that takes](mix.md#learning-from-runs)).",
    ]
    for kind, title in (("mix", "Static mixes"), ("law", "Laws")):
        blocks.append(f"## {title}")
        for name in registry.found_in(kind):
            blocks += section(f"{kind}:{name}")
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    check = "--check" in sys.argv[1:]

    def put(place: Path, text: str) -> None:
        if not check:
            place.parent.mkdir(exist_ok=True)
            place.write_text(text, encoding="utf-8")
        elif not place.is_file() or place.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{place} is not up to date: run python scripts/make_docs.py")

    put(measured.RECORD, json.dumps(method_records.everything(), indent=1, allow_nan=False) + "\n")
    measured.everything.cache_clear()
    put(PAGE, page())
    put(LAWS, laws())
    pages = {f"{name}.md": method_page(name, title) for title, names in kinds().items() for name in names}
    for name, text in pages.items():
        put(PAGES / name, text)
    for left in sorted({path.name for path in PAGES.glob("*.md")} - set(pages)):
        if check:
            raise SystemExit(f"{PAGES / left} is of no method: remove it")
        (PAGES / left).unlink()


if __name__ == "__main__":
    main()
