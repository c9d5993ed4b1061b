"""Random mixtures on two levels: first how much of each group of sources, then of each source within its group.

The swarm of allenai/olmix (commit 9586977) draws sources, then topics inside a source. Here names say which belong
together: "web/science" and "web/sport" are parts of the group "web", and a name without a stroke is a group of its own.
Around dozens of sources at once, one Dirichlet draw hardly moves a group: its share is a sum of many that cancel. Drawn
first, a group's share varies as much as a single source's would.

Both levels are drawn around the natural shares raised to the power 1/2, at fifteen strengths each, of which every
mixture has one of either level by chance. Groups keep within the sum of their sources' caps, and what is above a cap
within a group goes to the group's other sources, so a group's share stays as it was drawn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..law.propose import Bounds, random_mixtures
from ..mix.base import poured
from . import design

Floats = npt.NDArray[np.float64]
SEPARATOR = "/"


def groups_of(names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """The group of each source, numbered by name: int64, (k,).

    Raises:
        UsageError: no group has two sources, or there is but one group, so that there are no two levels.
    """
    heads, group = np.unique([name.partition(SEPARATOR)[0] for name in names], return_inverse=True)
    if len(heads) == len(names) or len(heads) < 2:
        what = "all belong to one group" if len(heads) < 2 else "no two belong to one group"
        raise UsageError(
            f"--levels draws groups of sources and then the sources of each, by names like web/science and web/sport; "
            f"of these, {what}: {', '.join(names[:6])}. Leave out --levels, or name sources so."
        )
    return group.astype(np.int64)


def swarm(names: tuple[str, ...], natural: Floats, caps: Floats, count: int, seed: int, known: Floats) -> Floats:
    """Random mixtures on two levels, (count, k) or fewer, none near another or near ``known``, (n, k)."""
    group = groups_of(names)
    number = int(group.max()) + 1
    many = max(design.OVERSAMPLE * count, 1)
    caps = np.minimum(caps, 1.0)
    above: Floats = np.bincount(group, weights=natural, minlength=number).astype(np.float64)
    room = np.minimum(np.bincount(group, weights=caps, minlength=number).astype(np.float64), 1.0)
    share = _drawn(above, room, many, [seed, 4])
    found = np.zeros((many, len(names)))
    for one in range(number):
        at = np.flatnonzero(group == one)
        inside = np.ones((many, 1)) if len(at) == 1 else _drawn(natural[at], np.ones(len(at)), many, [seed, 5, one])
        part = share[:, one : one + 1] * inside
        for row in np.flatnonzero((part > caps[at]).any(1)):
            part[row] = poured(part[row], caps[at], float(share[row, one]))
        found[:, at] = part
    found /= found.sum(1, keepdims=True)
    return design.apart(found, known, count)


def _drawn(natural: Floats, caps: Floats, count: int, seed: list[int]) -> Floats:
    """Mixtures of one level around its tempered natural shares, their strengths in an order of their own."""
    k = len(natural)
    centre = np.where(natural > 0, natural, 0.0) ** design.TEMPER
    strength = np.geomspace(k / 2, 8 * k, design.STRENGTHS) / k**0.5
    random = np.random.default_rng(seed)
    drawn = random_mixtures(Bounds(centre / centre.sum(), caps), count, int(random.integers(2**40)), strength)
    return drawn[random.permutation(count)]
