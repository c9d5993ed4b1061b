"""What the records of claims and benchmarks say of each method, for ``src/cuvee/methods/measured.json`` and the pages.

Read are ``bench/results/methods.json`` and ``million.json``, ``claims/results``, the league among them. A method's
claims are the one of its name or, without, those that judge its file, if these are few; its places in the league are
those of the contender in which it takes part.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from claims import harness, report  # noqa: E402
from claims.league import contenders, page, record  # noqa: E402
from claims.league.field import CELLS  # noqa: E402
from cuvee import describing, registry  # noqa: E402

MANY = 3
"""A rule that more claims than this judge is a tool of theirs, not what they are about."""
ALL = "all tasks"


def short(value: float) -> float:
    """Four digits."""
    return float(f"{value:.4g}")


def effect(found: Any) -> dict[str, float]:
    """A mean and its interval."""
    return {name: short(getattr(found, name)) for name in ("mean", "low", "high")}


def benchmark(name: str) -> dict[str, Any]:
    """The figures of one benchmark by method."""
    path = ROOT / "bench" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))["methods"] if path.is_file() else {}
    return found


def claims() -> dict[str, list[dict[str, Any]]]:
    """The claims about every method."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in report.records():
        for path in harness.program(one["name"]).CLAIM.judges:
            folder, _, file = path.rpartition("/")
            name = file.removesuffix(".py")
            if folder not in registry.FOLDERS:
                continue
            arms = [re.sub(r"\W+", "_", each["arm"].lower()) for each in one["contrasts"]]
            first = one["contrasts"][arms.index(name) if name in arms else 0]
            said = {
                "claim": one["name"],
                "verdict": one["verdict"],
                "reason": " ".join(one["reason"].split(". ")[0].rstrip(".").split()) + ".",
                **{key: first[key] for key in ("metric", "arm", "against")},
                **{key: short(first[key]) for key in ("mean", "low", "high")},
                "seeds": len(one["seeds"]),
            }
            found.setdefault(name, []).append(said)
    own = {name: [one for one in several if one["claim"] == name] for name, several in found.items()}
    return {name: own[name] or (several if len(several) <= MANY else []) for name, several in found.items()}


def contender(name: str, rows: record.Rows) -> str | None:
    """The name under which a method or rule takes part in the league."""
    by_parts = {(one.method, one.rule): one.name for one in contenders.discover()[0] if one.name in rows}
    if (name, "") in by_parts:
        return by_parts[name, ""]
    if name in contenders.OWN:
        column = next(one for one in registry.card(name).needs if one in describing.BEHIND)
        return by_parts.get((describing.BEHIND[column], ""))
    return next((told for (_, rule), told in by_parts.items() if rule == name), None)


def league(names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The places of every method, over all tasks and on each."""
    rows, found = record.read(), {name: list[dict[str, Any]]() for name in names}
    players = {name: contender(name, rows) for name in names}
    for task in (None, *CELLS):
        ranked = page.order(rows, task)
        for name, player in players.items():
            if player not in ranked:
                continue
            place = {"task": task or ALL, "contender": player, "place": ranked.index(player) + 1, "of": len(ranked)}
            for key, other in (("less_random", record.RANDOM), ("less_length_matched", page.MATCHED)):
                if player != other and (one := record.against(rows, player, other, task)) is not None:
                    place[key] = effect(one)
            found[name].append(place)
    return found


def everything() -> dict[str, Any]:
    """All figures by method, in the order of the names."""
    names = [name for name, entry in registry.entries().items() if entry.point is None]
    cost, million, tried, places = benchmark("methods"), benchmark("million"), claims(), league(names)
    found: dict[str, Any] = {}
    for name in names:
        one: dict[str, Any] = {}
        if name in cost:
            one["cost"] = cost[name]
        if name in million:
            one["million_mb"] = million[name]["peak_mb"]
        if tried.get(name):
            one["claims"] = tried[name]
        if places[name]:
            one["league"] = places[name]
        found[name] = one
    return found
