"""The fine line: a small model's checkpoints tell what a large model's metrics will come to.

**The paper's claim** (Yang et al., "The Fine Line", 2024). Over training, specific downstream metrics move alike in
models of different sizes, so a small model's curve informs about a large run, beyond the law of losses.

**Small scale.** Models of the next letter with one hidden layer of 12 and of 64 units (``claims/letters``), trained on
the same 600,000 letters of the demonstration pool in one pass, with 24 checkpoints of each at the same letters. The 14
metrics are shares of held-out letters foretold, in percent: by kind (inside a word, a word's first letter, capitals,
spaces, digits, closing brackets, other signs, line ends) and by domain (six of them, 2,000 letters each). From the
large model's first eight checkpoints and all of the small one's its last value of every metric is foretold by
``fine_line``, and compared with its last value known then, and with a line of the metric in the loss, which is given
the large model's last loss. Where the small model's curve does not move it foretells nothing: such metrics are not
counted among errors, and as not nearest. Likeness is the correlation of smoothed curves between the sizes.

**Reproduced** if curves are more like those of the same metric than like those of others, and the mean error over
metrics is less than that of both others. **Direction only** if curves are so, and the error is less than that of one.
**Not reproduced** otherwise. By 95 % intervals apart from 0.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array
from cuvee.law.checkpoints import Course, alike, course, forecasts

from .harness import Claim, Found, Measured, demo, generator, split
from .letters import BATCH, HERE, SIGNS, Letters, signs, windows

SIZES, LETTERS, CHECKPOINTS, PART, EACH = (12, 64), 600_000, 24, 1 / 3, 2_000
DOMAINS = ("code-go", "dialogue", "fiction", "rust-docs", "scripture", "sqlite-docs")
OURS, LAST, LOSS = "fine line", "last value", "line in the loss"
SAME, OTHER = "same metric", "other metrics"
ERROR, NEAREST, LIKENESS = "error, percentage points", "metrics nearest", "likeness"
CLAIM = Claim(
    name="fine_line",
    judges=("../law/checkpoints.py", "../law/items.py", HERE),
    metrics={
        ERROR: "mean absolute error of the large model's last value, over metrics",
        NEAREST: "share of metrics for which it is the nearest of the three",
        LIKENESS: "mean correlation of smoothed curves of the two sizes, over metrics",
    },
    contrasts=((ERROR, OURS, (LAST, LOSS)), (NEAREST, OURS, (LAST, LOSS)), (LIKENESS, SAME, (OTHER,))),
    settings={"sizes": SIZES, "letters": LETTERS, "checkpoints": CHECKPOINTS, "part": PART, "each": EACH},
    seeds=tuple(range(1, 9)),
)


def kinds(data: Array) -> dict[str, Array]:
    """Masks of windows by the sign to be foretold, and the one before it."""
    after, before = data[:, -1].astype(np.int64) + 32, data[:, -2].astype(np.int64) + 32
    small, capital = (after >= 97) & (after <= 122), (after >= 65) & (after <= 90)
    digit, end = (after >= 48) & (after <= 57), after == SIGNS - 1 + 32
    bracket, space = np.isin(after, [ord(one) for one in ")]}"]), after == 32
    return {
        "inside a word": small & (before != 32),
        "first letter": small & (before == 32),
        "capitals": capital,
        "spaces": space,
        "digits": digit,
        "closing brackets": bracket,
        "line ends": end,
        "other signs": ~(small | capital | digit | end | bracket | space),
    }


def curves(units: int, seed: int, data: Array, judged: Array, parts: dict[str, Array]) -> dict[str, Course]:
    """Every metric over the checkpoints of one training; "loss" besides."""
    steps = LETTERS // BATCH
    stops = {round(steps * (at + 1) / CHECKPOINTS) * BATCH for at in range(CHECKPOINTS)}
    model, at, found = Letters(units, seed), [], []
    for seen in model.trained(data):
        if seen in stops:
            chance = model.chances(judged[:, :-1])
            right = chance.argmax(1) == judged[:, -1]
            own = chance[np.arange(len(judged)), judged[:, -1]]
            at.append(seen)
            found.append([*(100 * right[mask].mean() for mask in parts.values()), -np.log(own).mean()])
    values = np.array(found, np.float64).T
    return {name: course(np.array(at, np.float64), one) for name, one in zip([*parts, "loss"], values, strict=True)}


def trial(seed: int) -> Measured:
    """All arms."""
    held, rest = split(demo(), seed, 0.25)
    random = generator(seed, "windows")
    judged = np.concatenate([windows(signs(held.of(domain)), random, EACH) for domain in DOMAINS])
    place = np.repeat(np.arange(len(DOMAINS)), EACH)
    parts = kinds(judged) | {domain: place == at for at, domain in enumerate(DOMAINS)}
    data = windows(signs(rest), random, LETTERS)
    small, large = (curves(units, seed, data, judged, parts) for units in SIZES)
    pairs = {name: (small[name], large[name]) for name in small}
    told = [one for one in forecasts(pairs, PART, "loss").values() if one is not None]
    found: Measured = {}
    errors = np.array([list(one.errors.values()) for one in told])
    known = np.isfinite(errors[:, 0])
    nearest = np.nan_to_num(errors, nan=np.inf).argmin(1)
    for column, arm in enumerate((OURS, LAST, LOSS)):
        found[arm] = {ERROR: float(errors[known, column].mean()), NEAREST: float((nearest == column).mean())}
    both = alike({name: small[name] for name in parts}, {name: large[name] for name in parts})
    own = np.diag(both.matrix)
    others = both.matrix[~np.eye(len(own), dtype=bool)]
    return found | {SAME: {LIKENESS: float(np.nanmean(own))}, OTHER: {LIKENESS: float(np.nanmean(others))}}


def judge(found: Found) -> str:
    """By the rule above."""
    same = found.of(LIKENESS, SAME, OTHER).above
    less = [found.of(ERROR, OURS, other).below for other in (LAST, LOSS)]
    if same and all(less):
        return "reproduced"
    return "direction only" if same and any(less) else "not reproduced"
