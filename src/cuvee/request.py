"""What a user asks for when selecting, checked before any file is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import registry
from .core import Budget, Choose, Method, Unit
from .engine.plan import make
from .errors import UsageError
from .methods.choose.quota import Quota


@dataclass(frozen=True)
class Request:
    """Everything that decides a selection's content, as given by the user."""

    method: str
    settings: dict[str, Any]
    choose: str | None
    choose_settings: dict[str, Any]
    quota: tuple[tuple[str, float], ...] | str | None
    budget: Budget
    seed: int


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
        return Budget(fraction_of, fraction=fraction)
    unit, amount = given[0]
    if amount <= 0:
        raise UsageError(f"--{unit} must be at least 1, not {amount}.")
    return Budget(unit, amount)  # type: ignore[arg-type]


def plan_methods(request: Request, has_target: bool) -> tuple[Method | None, Choose | None]:
    """The scoring method (None for baselines) and the rule to choose by (None: the method's own).

    Checked before any file is opened.
    """
    kind = registry.load(request.method)
    if issubclass(kind, Choose):
        if request.choose is not None:
            raise UsageError(f"'{request.method}' chooses by itself; leave out --choose.")
        if "score" in kind.card.needs:
            raise UsageError(
                f"'{request.method}' chooses by a score: name a scoring method with --with, "
                f"and use --choose {request.method}."
            )
        return None, make(kind, request.settings, request.method)
    scorer = make(kind, request.settings, request.method)
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
    chosen = registry.load(name)
    if not issubclass(chosen, Choose):
        raise UsageError(f"'{name}' is a scoring method; --choose takes a rule such as top_k or gumbel.")
    if chosen is Quota:
        raise UsageError("Quotas are given with --quota, beside any rule.")
    asked = set(chosen.card.needs) & {"score", "perplexity"}
    if not asked:
        raise UsageError(f"'{name}' does not look at scores: use --with {name} instead of --choose {name}.")
    if asked - set(scorer.card.gives):
        raise UsageError(
            f"'{name}' chooses by {' and '.join(sorted(asked))}, which '{request.method}' does not give "
            f"(it gives {', '.join(scorer.card.gives)})."
        )
    if request.quota is not None and not chosen.by_priority:
        raise UsageError(f"Quotas need a rule that ranks rows, such as top_k or gumbel; '{name}' does not.")
    return make(chosen, request.choose_settings, name)
