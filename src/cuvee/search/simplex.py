"""What a search moves in: the pool's sources, or fewer parts where the weights of some are held to one another.

When sources come or change, what an earlier search found about the others need not be searched again: their weights
relative to one another are held, all of them together are one part, and a smaller swarm runs over that part and the
new sources (mixture reuse in allenai/olmix, commit 9586977, whose swarms shrink from 128 over 64 to 16 runs so). Laws
are fitted on that smaller simplex; runs, proposals, passes and exports are of the real sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, UsageError
from ..exporting import read_shares
from ..law.propose import Bounds
from ..mix.base import poured
from ..report.terminal import plural
from . import design, levels
from .stock import Grid
from .wording import BY_SIZE

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frozen:
    """``--freeze``: a folder, the weights that it gives its sources, and those whose sources have changed since."""

    folder: str
    weights: Mapping[str, float]
    changed: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: str, changed: tuple[str, ...]) -> Frozen:
        """The weights of a folder of ``cuvee mix``, ``mix search`` or ``mix fit``.

        Raises:
            DataError: there are none, or the file is damaged.
            UsageError: they are those of a sampler, or ``changed`` names none of them.
        """
        found, rows = read_shares(Path(folder))
        if not rows:
            raise DataError(f"{folder} proposes no mixture, so --freeze has no weights to hold.")
        if found.get("sampler") or found.get("clusters"):
            what = "a sampler's" if found.get("sampler") else "of clusters of its own"
            raise UsageError(f"The weights in {folder} are {what}, and --freeze holds weights of a pool's sources.")
        weights = {str(one["name"]): float(one["weight"]) for one in rows}
        unknown = [name for name in changed if name not in weights]
        if unknown:
            raise UsageError(
                f"--changed names '{unknown[0]}', which {folder} does not know, so it is new anyway. It knows: "
                f"{', '.join(list(weights)[:12])}."
            )
        return cls(folder, weights, changed)


@dataclass(frozen=True)
class Simplex:
    """The parts of a mixture that a search moves, m of them, made of k sources.

    Attributes:
        names: (m,). ``inside``: float64, (m, k): the share of each source in each part, rows summing to one.
        natural: float64, (m,): the mixture by size, as far as the caps allow. ``caps``: float64, (m,).
        sizes: int64, (m,): tokens that each part holds: those that one pass over it is, on average over its tokens.
        two_level: whether swarms draw groups of parts first.
        rivals: mixtures of the sources, (k,), that the trial has to have beside the usual ones.
        told: what search.json says of the sources held; empty if none are.
    """

    names: tuple[str, ...]
    inside: Floats
    natural: Floats
    caps: Floats
    sizes: npt.NDArray[np.int64]
    two_level: bool = False
    rivals: Mapping[str, Floats] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        names: tuple[str, ...],
        tokens: npt.NDArray[np.int64],
        caps: Floats,
        two_level: bool = False,
        frozen: Frozen | None = None,
    ) -> Simplex:
        """That of a pool's sources, (k,) each.

        Raises:
            UsageError: ``frozen`` and the pool share no source, or all of them, or those shared have no weight; caps
                leave tokens missing; ``two_level`` and the names have no levels.
        """
        natural = tokens / tokens.sum()
        if frozen is None:
            found = cls(names, np.eye(len(names)), natural, caps, tokens, two_level)
        else:
            found = cls._held(names, tokens, natural, caps, two_level, frozen)
        if two_level:
            levels.groups_of(found.names)
        return found

    @classmethod
    def _held(
        cls,
        names: tuple[str, ...],
        tokens: npt.NDArray[np.int64],
        natural: Floats,
        caps: Floats,
        two_level: bool,
        frozen: Frozen,
    ) -> Simplex:
        absent = [name for name in frozen.changed if name not in names]
        if absent:
            raise UsageError(
                f"--changed names '{absent[0]}', which is no source of the pool. There are: {', '.join(names[:12])}."
            )
        known = [at for at, name in enumerate(names) if name in frozen.weights and name not in frozen.changed]
        weight = np.array([frozen.weights[names[at]] for at in known])
        new = [at for at in range(len(names)) if at not in known]
        if not known:
            raise UsageError(
                f"{frozen.folder} gives weights to none of the pool's unchanged sources, so --freeze holds nothing. It "
                f"knows: {', '.join(list(frozen.weights)[:12])}; the pool has: {', '.join(names[:12])}."
            )
        if not new:
            raise UsageError(
                f"{frozen.folder} knows all {len(names)} sources of the pool and holds their weights, those of 0, too, "
                "so nothing is left to search. Name those that are to be searched with --changed, or drop --freeze."
            )
        if not weight.sum() > 0:
            raise UsageError(
                f"{frozen.folder} gives weight 0 to all sources that it shares with the pool, so they have no weights "
                "relative to one another to hold. Search without --freeze."
            )
        relative = np.zeros(len(names))
        relative[known] = weight / weight.sum()
        taken = relative > 0
        label = f"{len(known)} held"
        while label in names:
            label += " "
        inside = np.vstack([relative, np.eye(len(names))[new]])
        room = float((caps[taken] / relative[taken]).min())
        bounds = np.minimum(1.0, np.array([room, *caps[new]]))
        whole = np.array([natural[taken].sum(), *natural[new]])
        Bounds(whole / whole.sum(), bounds)  # refuses caps that leave tokens missing
        by_size = poured(whole / whole.sum(), bounds, 1.0)
        one_pass = 1.0 / float((relative[taken] ** 2 / tokens[taken]).sum())
        told = {
            "from": frozen.folder,
            "part": label,
            "sources": {names[at]: float(relative[at]) for at in known},
            "new": [names[at] for at in new],
            "changed": list(frozen.changed),
            "gone": sorted(set(frozen.weights) - set(names)),
        }
        return cls(
            (label, *(names[at] for at in new)), inside, by_size / by_size.sum(), bounds,
            np.array([round(one_pass), *tokens[new]], np.int64), two_level, {BY_SIZE: natural}, told,
        )  # fmt: skip

    @property
    def whole(self) -> bool:
        """Whether the parts are the sources."""
        return not self.told

    @property
    def notes(self) -> list[str]:
        """What a user should know of the sources held, a sentence each."""
        found, held, gone = [], list(self.told.get("sources", ())), self.told.get("gone", ())
        if gone:
            found.append(
                f"No longer in the pool, of {plural(len(held) + len(gone), 'source')} in {self.told['from']}: "
                f"{', '.join(gone[:3])}{', ...' if len(gone) > 3 else ''}. The others keep their relative weights."
            )
        if len(held) == 1:
            found.append(
                f"Of the pool's sources {self.told['from']} knows '{held[0]}' alone, so nothing is held to another."
            )
        return found

    def full(self, mixtures: Floats) -> Floats:
        """Mixtures of parts, (..., m), as mixtures of sources, (..., k)."""
        return mixtures if self.whole else np.asarray(mixtures @ self.inside)

    def parts(self, mixtures: Floats) -> Floats:
        """Mixtures of sources, (..., k), as mixtures of parts, (..., m)."""
        return mixtures if self.whole else np.asarray(mixtures @ (self.inside > 0).T.astype(np.float64))

    def anchors(self) -> dict[str, Floats]:
        """Proportional and uniform, of parts: (m,) each."""
        return design.anchors(self.natural, self.caps)

    def swarm(self, count: int, seed: int) -> Floats:
        """Random mixtures of parts, none near another or near the anchors: float64, (count, m), or fewer."""
        known = np.stack(list(self.anchors().values()))
        if self.two_level:
            return levels.swarm(self.names, self.natural, self.caps, count, seed, known)
        return design.swarm(self.natural, self.caps, count, seed, known)

    def rows(self, fitted: dict[str, Any], grid: Grid) -> dict[str, Any]:
        """What a fit on parts says, with its proposal in rows of sources."""
        if self.whole:
            return fitted
        shares = ("weight", "low", "high", "middle", "proportional", "best_measured")
        rows = []
        for at, name in enumerate(grid.names):
            part = int(self.inside[:, at].argmax())
            row, share = fitted["proposal"][part], float(self.inside[part, at])
            own = {key: row[key] * share for key in shares}
            passes = own["weight"] * grid.planned / int(grid.available[at])
            rows.append({"name": name, **own, "available": int(grid.available[at]), "passes": passes})
        found = {**fitted, "proposal": rows}
        if fitted.get("caution"):
            optimum = self.full(np.array(fitted["caution"]["optimum"])).tolist()
            found["caution"] = {**fitted["caution"], "optimum": optimum}
        return found
