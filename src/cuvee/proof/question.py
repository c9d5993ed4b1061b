"""What a proof asks: everything that is decided before the first trial, checked before any file is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from .. import registry
from ..core import Policy
from ..engine.plan import make
from ..errors import UsageError
from ..layout import PLAN
from ..methods.policy.uniform import Uniform
from ..pool import Paths
from ..quantities import method_call
from .arms import BASELINES
from .evaluations import named_paths
from .proxy import Proxy, Recipe
from .recipes import load_proxy

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Question:
    """All that is decided before the first trial; its digest names the comparison in the ledger.

    Attributes:
        against: baselines and folders of other selections; ``policies``: instead of baselines.
        tokens: of a trial; None for half of the smallest selection, or what suits the proxy.
        margin: a difference smaller than this is called equivalent; ``effect``: one that should be seen. In the unit of
            the proxy's loss.
        ladder: the step of the guard, or "auto"; None with ``holdout`` for Thresholdout.
    """

    selections: tuple[Path, ...]
    against: tuple[str, ...]
    proxy: Proxy
    policies: tuple[tuple[str, Policy], ...]
    epochs: float
    seeds: tuple[int, ...]
    tokens: int | None
    equal: Literal["tokens", "cost"]
    margin: float | None
    effect: float | None
    stop_early: bool
    overlap: Literal["clean", "refuse", "ignore"]
    holdout: bool
    eval_bytes: int
    alpha: float = 0.05
    ladder: float | Literal["auto"] | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON-able values, without places on this machine."""
        same = ("tokens", "equal", "margin", "stop_early", "overlap", "alpha")
        return {
            "against": [Path(one).name for one in self.against],
            "recipe": Recipe(self.proxy, Uniform(), self.epochs).digest(),
            "policies": [name for name, _ in self.policies],
            "seeds": list(self.seeds),
            **{name: getattr(self, name) for name in same},
        }


def ask(
    selections: Paths,
    evaluations: Mapping[str, Paths] | Sequence[str] | str,
    against: Sequence[str] | str | None,
    seeds: int,
    seed: int,
    proxy: str | Proxy,
    policies: Sequence[str],
    epochs: float,
    tokens: int | None,
    equal: Literal["tokens", "cost"],
    margin: float | None,
    effect: float | None,
    stop_early: bool,
    overlap: Literal["clean", "refuse", "ignore"],
    holdout: bool,
    eval_bytes: int | None,
    ladder: float | Literal["auto"] | None = None,
) -> tuple[Question, dict[str, Paths]]:
    """The arguments as one checked object, and the evaluation sets' paths by name."""
    _check_types(
        {"seeds": seeds, "seed": seed, "tokens": tokens, "eval_bytes": eval_bytes},
        {"epochs": epochs, "margin": margin, "effect": effect},
        {"equal": (equal, ("tokens", "cost")), "overlap": (overlap, ("clean", "refuse", "ignore"))},
    )
    if ladder is not None and ladder != "auto" and (isinstance(ladder, bool | str) or not 0 < float(ladder) <= 1):
        raise UsageError(f"The step of --ladder is auto, or a gain above 0 and at most 1, not {ladder!r}.")
    if ladder is not None and holdout:
        raise UsageError("--holdout and --ladder guard the same half in two ways: give one of them.")
    if not isinstance(proxy, str | Proxy):
        raise UsageError(f"proxy must be a name like 'ngram', or a Proxy, not {type(proxy).__name__}.")
    if against is not None and not isinstance(against, str | list | tuple):
        raise UsageError(f"against must be names of baselines or folders, not {type(against).__name__}.")
    folders = [selections] if isinstance(selections, str | os.PathLike) else list(selections)
    if not folders:
        raise UsageError("Name a selection: the folder that cuvee select wrote.")
    sets = named_paths([evaluations] if isinstance(evaluations, str) else evaluations)
    if not sets:
        raise UsageError(
            "There is no evaluation set: give held-out documents like those the model is for, that no arm may train "
            "on, with --eval FILE. (The target that the selection was made with is no such set: it was chosen to "
            "look like it.)"
        )
    if seeds > MOST_SEEDS:
        raise UsageError(f"--seeds {seeds:,} is too many: use at most {MOST_SEEDS:,}.")
    if seeds < 2:
        raise UsageError("One seed cannot tell a difference from chance: use at least --seeds 3, better 8.")
    for name, value in (("--margin", margin), ("--effect", effect)):
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{name} must be above 0, not {value}: a difference in the unit of the proxy's loss.")
    if not 0 < epochs <= 1000:
        raise UsageError(f"--epochs must be above 0 and at most 1,000, not {epochs}.")
    if tokens is not None and tokens < 1:
        raise UsageError(f"--tokens must be at least 1, not {tokens}.")
    if equal == "cost" and (policies or len(folders) > 1):
        raise UsageError("--equal cost gives the baselines of one selection more tokens: prove selections one by one.")
    if policies and against:
        raise UsageError("--policy compares with uniform shuffling on the same documents; leave out --against.")
    named = [against] if isinstance(against, str) else list(against or ())
    if equal == "cost" and not set(named) <= set(BASELINES):
        raise UsageError(
            "--equal cost gives baselines more tokens, and another selection has no more: leave it out of --against."
        )
    for one in named:
        if one not in BASELINES and not (Path(one) / PLAN).is_file():
            raise UsageError(
                f"'{one}' is neither a baseline ({', '.join(BASELINES)}) nor the folder of a selection. "
                "Write --against random."
            )
    model = proxy if isinstance(proxy, Proxy) else load_proxy(*method_call(proxy))
    chosen = []
    for text in policies:
        name, settings = method_call(text)
        kind = registry.load(name, "policy")
        if not issubclass(kind, Policy):
            raise UsageError(f"'{name}' is not a policy in training. There are: {', '.join(registry.policies())}.")
        chosen.append((text, make(kind, settings, name)))
    if (chosen or epochs != 1.0) and not model.iterates:
        raise UsageError(
            f"The proxy {name_of(model)} counts each document once, in any order: policies and repeated passes need "
            "another proxy, like --proxy transformer."
        )
    question = Question(
        tuple(Path(one) for one in folders),
        tuple(named),
        model,
        tuple(chosen),
        float(epochs),
        tuple(range(seed, seed + seeds)),
        tokens,
        equal,
        margin,
        effect,
        stop_early,
        overlap,
        holdout or ladder is not None,
        eval_bytes or model.eval_bytes,
        ladder=ladder,
    )
    return question, sets


def _check_types(
    whole: Mapping[str, Any], numbers: Mapping[str, Any], choices: Mapping[str, tuple[Any, tuple[str, ...]]]
) -> None:
    """Refuse values of the wrong type, which Python callers may give; None stands for a default."""
    for name, value in whole.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise UsageError(f"{name} must be a whole number, not {value!r}.")
        if value is not None and not (0 if name == "seed" else 1) <= int(value) < 2**62:
            raise UsageError(f"{name} must be at least {0 if name == 'seed' else 1} and below 2^62, not {value}.")
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise UsageError(f"{name} must be a number, not {value!r}.")
    for name, (value, known) in choices.items():
        if value not in known:
            raise UsageError(f"{name} must be one of {', '.join(known)}, not {value!r}.")


def name_of(proxy: Proxy) -> str:
    """The proxy's name on the command line."""
    return type(proxy).__module__.rpartition(".")[2]
