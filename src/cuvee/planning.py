"""``--plan``: what a command would read, and about what it would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import registry
from .combining import Combined
from .core import Choose, Method
from .engine.local import Local
from .engine.memory import expected
from .engine.plan import parameters
from .engine.store import Store
from .errors import UsageError
from .layout import PLAN, REPORT, SELECTION, refuse_foreign
from .pool import Opened, Paths, Reading, open_both, open_stage
from .report.terminal import plural
from .request import Request, check_columns, make_budget, make_parts, model_of, plan_methods

SECONDS_PER_BYTE = 1 / 150e6
"""Reading and counting n-grams on one core; what a method does beyond that stands in its card."""


def planned(pool: Paths, reading: Reading, cache: str | None, workers: int, passes: int) -> dict[str, Any]:
    """Files, rows, bytes, expected seconds and memory of some passes over a pool."""
    store = Store(Path(cache) if cache is not None else None)
    return _resources(open_stage(pool, reading, store), store, workers, passes)


def _resources(opened: Opened, store: Store, workers: int, passes: int) -> dict[str, Any]:
    manifest = opened.stage.manifest
    local = Local(workers)
    seconds = max(2.0, passes * manifest.bytes * SECONDS_PER_BYTE / local.workers)
    columns = ", ".join(f"{role} = {name}" for role, name in vars(opened.spec).items() if name)
    times = "once" if passes == 1 else "twice" if passes == 2 else f"{passes} times"
    return {
        "reads": f"{_files_and_rows(opened)}, about {manifest.bytes / 1e6:,.1f} MB of text, {times}",
        "columns": columns,
        "cache": str(store.root),
        "time": f"about {seconds:,.0f} s with {plural(local.workers, 'worker')}",
        "memory": f"about {expected(local.workers) / 1e6:,.0f} MB",
    }


def _files_and_rows(opened: Opened) -> str:
    manifest = opened.stage.manifest
    return f"{plural(len(manifest.sources), 'file')}, {plural(manifest.rows, 'row')}"


def plan_selection(
    pool: Paths, *, output: str, workers: int = 0, cache: str | None = None, reading: Reading, **asked: Any
) -> dict[str, Any]:
    """What ``select`` with the same arguments would read and write, and about what it would cost; nothing is done
    beyond counting the rows of pool and target."""
    budget = make_budget(asked["tokens"], asked["rows"], asked["bytes"], asked["fraction"])
    quota = asked["quota"]
    shares = tuple(sorted(quota.items())) if isinstance(quota, dict) else quota
    parts = make_parts(asked["method"], asked["settings"])
    request = Request(
        "+".join(name for name, _ in parts),
        parts,
        asked["combine"],
        asked["combine_settings"],
        asked["choose"],
        asked["choose_settings"],
        shares,
        budget,
        asked["seed"],
    )
    scorer, chooser = plan_methods(request, asked["target"] is not None)
    model = model_of(reading, scorer, request.method)
    refuse_foreign(Path(output), PLAN, "selection")
    store = Store(Path(cache) if cache is not None else None)
    target = asked["target"]
    opened, against = open_both(pool, target, reading, store, scorer.needs() if scorer is not None else ())
    check_columns(request, scorer, opened.spec)
    found = _resources(opened, store, workers, 1 if scorer is None else 2)
    if against is not None:
        if opened.spec.text is not None and against.spec.text is None:
            raise UsageError("The target has no texts: give --target files of documents, like the pool's.")
        paths = [target] if isinstance(target, str) else [str(path) for path in target]
        found["target"] = f"{_files_and_rows(against)} ({', '.join(paths)})"
    method = scorer if scorer is not None else chooser
    found["method"] = _with_parameters(request.method, method)
    if model is not None:
        found["model"] = f"{model.path} ({model.kind}): reads every text of pool and target once; its vectors are kept"
    if scorer is not None:
        found["time"] += f" for reading and n-grams; {request.method}: {scorer.card.cost}"
        found["rule"] = _rule(request, scorer, chooser)
    if shares is not None:
        found["quota"] = shares if isinstance(shares, str) else ", ".join(f"{name}={part:g}" for name, part in shares)
    amount = f"{budget.amount:,}" if budget.amount is not None else f"{budget.fraction:.6g} of the pool's"
    found["budget"] = f"{amount} {budget.unit}"
    found["seed"] = str(request.seed)
    return {**found, "writes": [str(Path(output) / name) for name in (SELECTION, PLAN, REPORT)]}


def _rule(request: Request, scorer: Method, chooser: Choose | None) -> str:
    if chooser is None:
        own = type(scorer).chooser is not Method.chooser
        if isinstance(scorer, Combined):
            return f"the one of {scorer.names[0]}'s paper, or top_k" if scorer.combine == "filter" else "top_k"
        return f"the one of {request.method}'s paper" if own else "top_k: the highest scores"
    name = request.choose or ""
    return f"{_with_parameters(name, chooser)}; {registry.card(name).cost}"


def _with_parameters(name: str, method: Method | Choose | None) -> str:
    """ "dsir: ngrams=2, buckets=10000"."""
    said = ", ".join(f"{key}={_value(value)}" for key, value in parameters(method).items())
    return f"{name}: {said}" if said else name


def _value(value: Any) -> str:
    """As it is typed behind a parameter's name."""
    if isinstance(value, dict):  # a method within a method
        inside = ", ".join(f"{key}={_value(one)}" for key, one in value.items() if key != "method")
        return f"{value.get('method', '')}({inside})"
    if isinstance(value, tuple | list):
        return "/".join(map(_value, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)
