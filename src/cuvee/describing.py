"""``cuvee methods``: the table of methods, and one method's page."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from typing import Any

from . import measured, registry
from .combine_rules import FAMILY, RULES, Rule
from .core import Choose, Policy

BEHIND = {"score": "classifier", "perplexity": "perplexity", "embedding": "embedding", "cluster": "clusters"}
"""The scoring method that a rule is shown with, by the column that the rule reads."""
SHOWN = {
    "dataman": "--with dataman:ratings=ratings.parquet",
    "kmq": "--target target.jsonl --with clusters,classifier --combine rank:weights=0/1 --choose kmq",
    "length_matched": "--with length_matched:like=kept/",
    "mig": "--with mig:tags=clusters",
    "minority": "--target labelled.jsonl --with minority",
    "multi_source": "--target labelled.jsonl --with multi_source",
    "pass_rate": "--with pass_rate --label pass_rate",
    "preselect": "--with preselect:losses=losses.parquet",
    "quadmix": "--with quadmix:ratings=ratings.parquet,threshold=0.2",
    "quota": "--target target.jsonl --with classifier --quota uniform",
    "samplemix": "--with samplemix:ratings=ratings.parquet",
    "skill_targeted": "--target failed.jsonl --with skill_targeted",
    "threshold": "--target target.jsonl --with classifier --choose threshold:minimum=0",
    "weak_supervision": "--target labelled.jsonl --with weak_supervision",
}
"""Arguments of the examples that need more than their card tells."""
COMBINED = {"rank": "rank:weights=2/1", "filter": "filter:top=0.5"}
"""What follows --combine in the examples, where it is not the rule's name alone."""
USES = {
    FAMILY: "cuvee select --with METHOD,METHOD --combine NAME:parameter=value combines",
    "policy": "cuvee prove --policy NAME:parameter=value tries a policy",
    "mix": "cuvee mix POOL --with NAME:parameter=value uses a mix",
    "law": "cuvee mix fit RUNS --with NAME:parameter=value fits a law",
}
"""How what is listed is used, by family; all others with ``cuvee select --with``."""


def arguments(name: str) -> list[str]:
    """What ``cuvee select`` is called with to use a method: all but the pool, the budget and the output."""
    if name in SHOWN:
        return SHOWN[name].split()
    kind = registry.load(name)
    target = ["--target", "target.jsonl"] if "target" in kind.card.needs else []
    if not issubclass(kind, Choose) or kind.card.family == "baseline":
        return [*target, "--with", name]
    behind = next((BEHIND[column] for column in kind.card.needs if column in BEHIND), None)
    return [*(arguments(behind) if behind else [*target, "--with", "METHOD"]), "--choose", name]


def example(name: str) -> str:
    """A command that uses a method, or a rule of --combine."""
    if name not in registry.entries():
        together = f"--with dsir,classifier --combine {COMBINED.get(name, name)}"
        return f"cuvee select pool/ --target target.jsonl {together} --tokens 20k -o {name}/"
    if issubclass(registry.load(name), Policy):
        return f"cuvee prove kept/ -e evaluation.jsonl --proxy mlp --policy {name}"
    return " ".join(["cuvee select pool/", *arguments(name), "--tokens 20k", f"-o {name}/"])


def table(family: str = "") -> list[dict[str, Any]]:
    """One entry per method, static mix, law and rule of --combine: name, family, needs, cost, citation, evidence.

    ``family``: only those of the family of this name; none if there is no such family, or if a method has that name.
    """
    wanted = family.replace("-", " ").replace("_", " ").lower()
    if ":" in wanted or wanted.replace(" ", "_") in registry.entries():  # known before all are imported
        return []
    kinds: list[tuple[str, type[Any]]] = [(name, entry.load()) for name, entry in registry.entries().items()]
    kinds += [(name, registry.find(kind, name)) for kind in registry.KINDS for name in registry.found_in(kind)]
    kinds += RULES.items()
    found = [
        {
            "name": name,
            "family": kind.card.family,
            "summary": kind.card.summary,
            "needs": list(kind.card.needs),
            "cost": kind.card.cost,
            "citation": short_citation(kind.card.bibtex),
            "evidence": kind.card.evidence,
        }
        for name, kind in kinds
    ]
    found.sort(key=lambda one: (one["family"], one["name"]))
    if not family:
        return found
    return [one for one in found if str(one["family"]).replace("-", " ") == wanted]


def _load(name: str) -> tuple[str, type[Any]]:
    """A method, mix, law or rule of --combine by its name; where two have the same, "mix:uniform" is the mix and
    "uniform" is not."""
    prefix, _, rest = name.rpartition(":")
    if prefix in registry.KINDS:
        return rest.replace("-", "_"), registry.find(prefix, rest)
    plain = name.replace("-", "_")
    if plain not in registry.entries():
        for kind in registry.KINDS:
            if plain in registry.found_in(kind):
                return plain, registry.find(kind, plain)
        if plain in RULES:
            return plain, RULES[plain]
    return plain, registry.load(name)


def namesakes(name: str) -> list[str]:
    """What else has this name, as :func:`facts` takes it: "mix:uniform" beside the policy "uniform"."""
    plain = name.replace("-", "_")
    if ":" in name:
        return []
    of_kinds = [kind for kind in registry.KINDS if plain in registry.found_in(kind)]
    return [f"{kind}:{plain}" for kind in (of_kinds if plain in registry.entries() else of_kinds[1:])]


def short_citation(bibtex: str) -> str:
    """ "Author (year)" of the first BibTeX entry."""
    authors, year = _field(bibtex, "author"), _field(bibtex, "year")
    if not authors:
        return ""
    names = authors.split(" and ")
    first = names[0].split(",")[0].strip().split()[-1] if "," not in names[0] else names[0].split(",")[0].strip()
    return f"{first}{' et al.' if len(names) > 1 else ''} {year}".strip()


def _field(bibtex: str, name: str) -> str:
    import re

    match = re.search(
        rf"\b{name}\s*=\s*[{{\"](.*?)[}}\"]\s*(?:,\s*\n|\n|,\s*\w+\s*=|}}\s*$)", bibtex, re.DOTALL | re.IGNORECASE
    )
    if not match:
        return ""
    plain = re.sub(r"\\[\"'`^~=.]\{?([a-zA-Z])\}?", r"\1", match.group(1))  # \"a is written without its accent
    return " ".join(plain.replace("{", "").replace("}", "").split())


def as_text(entries: list[dict[str, Any]]) -> str:
    """The table for a terminal of 80 columns, by family."""
    lines: list[str] = []
    family = ""
    wide = max((len(entry["name"]) for entry in entries), default=0) + 3
    for entry in entries:
        if entry["family"] != family:
            family = entry["family"]
            lines += ["", family] if lines else [family]
        summary = entry["summary"][:1].upper() + entry["summary"][1:].rstrip(".") + "."
        citation = f" [{entry['citation']}]" if entry["citation"] else ""
        facts = [
            f"needs {', '.join(entry['needs']) or 'nothing'}; cost: {entry['cost']}",
            f"evidence: {entry['evidence']}",
        ]
        for at, text in enumerate([summary + citation, *facts]):
            head = f"  {entry['name']:<{wide - 3}} " if at == 0 else " " * wide
            lines += textwrap.wrap(text, 79, initial_indent=head, subsequent_indent=" " * wide)
    families = list(dict.fromkeys(one["family"] for one in entries if one["family"] not in registry.entries()))
    if len(families) > 1:
        told = f"families: {', '.join(families)} (cuvee methods FAMILY lists one)"
        lines += ["", *textwrap.wrap(told, 79, subsequent_indent="  ")]
    here = {str(entry["family"]) for entry in entries}
    uses = [use for family, use in USES.items() if family in here]
    if here - set(USES):
        uses.insert(0, "cuvee select --with NAME:parameter=value uses it")
    lines += ["", "next: cuvee methods NAME explains one;", *(f"      {use};" for use in uses)]
    lines[-1] = lines[-1].removesuffix(";")
    return "\n".join(lines)


def facts(name: str) -> dict[str, Any]:
    """All that is known about one method."""
    from . import combining

    plain, kind = _load(name)
    module = combining if issubclass(kind, Rule) else inspect.getmodule(kind)
    shown = issubclass(kind, Rule) or (plain in registry.entries() and ":" not in name)
    parameters = [
        {
            "name": field.name,
            "type": str(field.type),
            "default": None if field.default is dataclasses.MISSING else repr(field.default),
            "required": field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        }
        for field in dataclasses.fields(kind)
        if field.init
    ]
    return {
        "name": plain,
        **dataclasses.asdict(kind.card),
        "description": inspect.getdoc(module) or "",
        "class": inspect.getdoc(kind) or "",
        "parameters": parameters,
        "example": example(plain) if shown else "",
        "measured": measured.of(plain) if plain in registry.entries() and ":" not in name else {},
    }


def page(found: dict[str, Any]) -> str:
    """One method's page for a terminal."""
    lines = [f"{found['name']} ({found['family']})", "", *textwrap.wrap(found["summary"], 78), ""]
    for told, text in (("Use it when: ", found["use_when"]), ("When it fails: ", found["fails_when"])):
        lines += [*textwrap.wrap(told + text, 78), ""] if text else []
    lines += [found["description"], "", found["class"], "", "Parameters:"]
    for one in found["parameters"]:
        value = "required" if one["required"] else f"default {one['default']}"
        lines.append(f"  {one['name']}: {one['type']}, {value}")
    if not found["parameters"]:
        lines.append("  none")
    lines += ["", *([f"Example: {found['example']}"] if found["example"] else [])]
    lines += [f"Needs: {', '.join(found['needs']) or 'nothing'}", f"Cost: {found['cost']}"]
    lines += [f"Evidence: {found['evidence']}"]
    for text in measured.lines(found["measured"]):
        lines += textwrap.wrap(text, 78, subsequent_indent="  ")
    if found["bibtex"]:
        lines += ["", found["bibtex"]]
    return "\n".join(lines)
