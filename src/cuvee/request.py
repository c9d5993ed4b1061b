"""What a user asks for when selecting, checked before any file is opened."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NoReturn

from . import registry
from .core import Budget, Choose, Method, Unit
from .engine.plan import make
from .errors import UsageError
from .methods.choose.quota import Quota
from .pool import Reading
from .quantities import MOST
from .source.base import Spec

if TYPE_CHECKING:
    from .feature.models import ModelVectors


@dataclass(frozen=True)
class Request:
    """Everything that decides a selection's content, as given by the user.

    ``method`` is its name, or those of several with "+" between them; ``parts`` are names and settings, one or more.
    """

    method: str
    parts: tuple[tuple[str, dict[str, Any]], ...]
    combine: str | None
    combine_settings: dict[str, Any]
    choose: str | None
    choose_settings: dict[str, Any]
    quota: tuple[tuple[str, float], ...] | str | None
    budget: Budget
    seed: int


def check_arguments(
    *,
    pool: Any = ".",
    target: Any = None,
    output: Any = ".",
    reading: Any = None,
    workers: Any = 0,
    seed: Any = 0,
    quota: Any = None,
    tokens: Any = None,
    rows: Any = None,
    bytes: Any = None,
    fraction: Any = None,
) -> None:
    """Refuse arguments from Python that are of the wrong kind; UsageError names the argument and says what it must be.

    What they must amount to (exactly one budget, known domains) is checked where they are used.
    """
    _check_paths("pool", pool)
    if target is not None:
        _check_paths("target", target)
    if not isinstance(output, str | os.PathLike):
        _refuse("output", "the path of a folder", output)
    if reading is not None and not isinstance(reading, Reading):
        _refuse("reading", 'a cuvee.Reading, like cuvee.Reading(text="text")', reading)
    for name, value in vars(reading or Reading()).items():
        if name != "skip_bad" and value is not None and not isinstance(value, str):
            _refuse(f"reading.{name}", "text", value)
    if not _is_whole(workers) or workers < 0:
        _refuse("workers", "a whole number of at least 0 (0 takes every core)", workers)
    if not _is_whole(seed):
        _refuse("seed", "a whole number", seed)
    for name, value in (("tokens", tokens), ("rows", rows), ("bytes", bytes)):
        if value is not None and not _is_whole(value):
            _refuse(name, "a whole number, like 2_000_000", value)
    if fraction is not None and not _is_number(fraction):
        _refuse("fraction", "a number above 0 and at most 1, like 0.1", fraction)
    if quota is not None:
        _check_quota(quota)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _check_paths(name: str, value: Any) -> None:
    if isinstance(value, str | os.PathLike):
        return
    what = "a path or a list of paths"
    if not isinstance(value, Collection) or isinstance(value, bytes | Mapping):
        _refuse(name, what, value)
    for one in value:
        if not isinstance(one, str | os.PathLike):
            _refuse(name, what, one)


def _check_quota(quota: Any) -> None:
    what = 'a dict of shares by domain, like {"web": 0.7, "code": 0.3}, or "proportional" or "uniform"'
    if isinstance(quota, str):
        if quota not in ("proportional", "uniform"):
            _refuse("quota", what, quota)
        return
    if not isinstance(quota, dict) or not quota or not all(isinstance(name, str) for name in quota):
        _refuse("quota", what, quota)
    for name, share in quota.items():
        if not _is_number(share) or share < 0:
            _refuse(f"quota['{name}']", "a number of at least 0", share)


def _refuse(name: str, what: str, value: Any) -> NoReturn:
    from .report.terminal import safe

    kind = "" if value is None else f", of type {type(value).__name__}"
    raise UsageError(f"{safe(name, 60)} must be {what}, not {safe(repr(value), 60)}{kind}.")


def make_budget(
    tokens: int | None, rows: int | None, size: int | None, fraction: float | None, fraction_of: Unit = "tokens"
) -> Budget:
    """Exactly one kind of budget; UsageError otherwise."""
    given = [
        (unit, amount) for unit, amount in (("tokens", tokens), ("rows", rows), ("bytes", size)) if amount is not None
    ]
    if len(given) + (fraction is not None) != 1:
        raise UsageError("Give exactly one budget: --tokens, --rows, --bytes or --fraction.")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise UsageError(f"--fraction must be above 0 and at most 1, not {fraction}.")
        return Budget(fraction_of, fraction=float(fraction))
    unit, amount = given[0]
    if amount <= 0:
        raise UsageError(f"--{unit} must be at least 1, not {amount}.")
    if amount > MOST:
        raise UsageError(f"--{unit} {amount} is more than can be counted. Ask for less.")
    return Budget(unit, int(amount))  # type: ignore[arg-type]


def make_parts(
    method: str | Sequence[str], settings: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Names and settings of one method or of several; UsageError if there is not one of the other for each."""
    names = [method] if isinstance(method, str) else list(method)
    given = [settings or {}] if settings is None or isinstance(settings, Mapping) else list(settings)
    if not names or not all(isinstance(name, str) for name in names):
        _refuse("method", 'a name like "dsir", or a list of names to be combined', method)
    if len(names) > 1 and settings is None:
        given = [{}] * len(names)
    if len(given) != len(names) or not all(isinstance(one, Mapping) for one in given):
        _refuse("settings", "a dict, or with several methods a list of dicts, one for each", settings)
    return tuple((name, dict(one)) for name, one in zip(names, given, strict=True))


def plan_methods(request: Request, has_target: bool) -> tuple[Method | None, Choose | None]:
    """The scoring method (None for baselines) and the rule to choose by (None: the method's own).

    Checked before any file is opened.
    """
    if len(request.parts) > 1 or request.combine is not None:
        return _plan_combined(request, has_target)
    ((_, settings),) = request.parts
    kind = registry.load(request.method, "method")
    if issubclass(kind, Choose):
        if request.choose is not None:
            _load_rule(request.choose)
            raise UsageError(
                f"'{request.method}' chooses by itself, so there is no score for '{request.choose}' to choose by: name "
                "a scoring method with --with, or leave out --choose."
            )
        if asked := registry.CHOSEN_BY & set(kind.card.needs):
            if "score" not in asked:
                raise UsageError(
                    f"'{request.method}' chooses by the column {' and '.join(sorted(asked))}: "
                    f"use --with {registry.giving(asked)[0]} --choose {request.method}."
                )
            raise UsageError(
                f"'{request.method}' chooses by a score: name a scoring method with --with, "
                f"and use --choose {request.method}."
            )
        return None, make(kind, settings, request.method)
    scorer = make(kind, settings, request.method)
    return _with_rule(request, scorer, has_target)


def _plan_combined(request: Request, has_target: bool) -> tuple[Method, Choose | None]:
    """Several scoring methods as one."""
    from .combine_rules import RULES
    from .combining import Combined

    rules = ", ".join(RULES)
    if request.combine is None:
        raise UsageError(
            f"{len(request.parts)} methods are named: say how to combine their scores with --combine ({rules})."
        )
    if request.combine not in RULES:
        raise UsageError(f"--combine is one of {rules}, not '{request.combine}'.")
    if len(request.parts) < 2:
        raise UsageError("--combine needs two or more methods, like --with dsir,classifier.")
    found = []
    for name, settings in request.parts:
        kind = registry.load(name, "method")
        if issubclass(kind, Choose):
            raise UsageError(f"'{name}' chooses by itself and gives no score that could be combined: leave it out.")
        found.append(make(kind, settings, name))
    rule = make(RULES[request.combine], request.combine_settings, f"--combine {request.combine}")
    names = tuple(name.replace("-", "_") for name, _ in request.parts)
    rule.check(names)
    return _with_rule(request, Combined(tuple(found), names, request.combine, rule), has_target)


def _with_rule(request: Request, scorer: Method, has_target: bool) -> tuple[Method, Choose | None]:
    """The method with the rule that is asked for, if it has what it needs."""
    if "target" in scorer.needs() and not has_target:
        raise UsageError(
            f"'{request.method}' compares with a target: name files like the data you want with --target, "
            "or use --with random."
        )
    if request.choose is None:
        return scorer, None
    return scorer, _rule(request, scorer)


def _rule(request: Request, scorer: Method) -> Choose:
    """The rule named by --choose, if it suits the method."""
    name = request.choose or ""
    chosen = _load_rule(name)
    asked = set(chosen.card.needs) & registry.CHOSEN_BY
    if not asked:
        raise UsageError(f"'{name}' does not look at scores: use --with {name} instead of --choose {name}.")
    if asked - set(scorer.card.gives):
        giving = registry.giving(asked)
        raise UsageError(
            f"'{name}' chooses by {' and '.join(sorted(asked))}, which '{request.method}' does not give "
            f"(it gives {', '.join(scorer.card.gives)}). "
            + (f"Use --with {' or --with '.join(giving)}." if giving else "Choose by another rule.")
        )
    if request.quota is not None and not chosen.by_priority:
        raise UsageError(f"Quotas need a rule that ranks rows, such as top_k or gumbel; '{name}' does not.")
    return make(chosen, request.choose_settings, name)


def _load_rule(name: str) -> type[Choose]:
    """The class of what --choose names; a rule, whether or not it looks at scores."""
    chosen = registry.load(name, "rule")
    if not issubclass(chosen, Choose):
        raise UsageError(
            f"'{name}' is a scoring method: use --with {name}. --choose takes a rule, like top_k or gumbel."
        )
    if chosen is Quota:
        raise UsageError("Quotas are given with --quota, beside any rule.")
    return chosen


def model_of(reading: Reading, scorer: Method | None, name: str) -> ModelVectors | None:
    """The model that makes embeddings, if one is named; refused where nothing would use it."""
    if reading.model is None:
        return None
    if reading.embedding not in (None, "none"):
        raise UsageError("Give either --model, which makes embeddings, or --embedding, which names their column.")
    if scorer is None or "embedding" not in scorer.needs():
        raise UsageError(f"'{name}' uses no embeddings: leave out --model, or use a method that does, like rds_plus.")
    from .feature.models import open_model

    return open_model(reading.model)


def check_columns(request: Request, scorer: Method | None, spec: Spec) -> None:
    """Refuse what a pool with these columns cannot be asked for."""
    unit = request.budget.unit
    if spec.text is None and unit != "rows" and not (unit == "tokens" and spec.tokens):
        raise UsageError(f"The pool has no texts, so its {unit} cannot be counted: give the budget as --rows.")
    if spec.text is None and scorer is not None and "text" in scorer.needs():
        raise UsageError(f"'{request.method}' needs texts, and the pool has none. Use --with random.")
    if spec.domain is None and isinstance(request.quota, tuple):
        unknown = [name for name, _ in request.quota if name != "(all)"]
        if unknown:
            raise UsageError(
                f"No domain is called {', '.join(map(repr, unknown[:3]))}: the pool has no domain column. "
                "Name one with --domain, or leave out --quota."
            )
