"""InfoBatch: in each epoch, part of the well-learned examples is left out, and the rest of these count for more.

Qin et al., "InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning", ICLR 2024; public code:
NUS-HPC-AI-Lab/InfoBatch. H is each example's last loss in training, unweighted; an example left out keeps its old
value. Before an epoch, with m the mean of H and B = {H < m}:

    k = floor((1 - ratio) |B|) random examples of B are kept, and all outside B;
    weight |B| / k for those of B, 1 for the others (``weights=exact``);

so that for fixed H the expected sum of weighted gradients is that of all gradients. ``weights=package`` takes
1 / (1 - ratio) as the public code does, too small where k was rounded down; ``none`` is the ablation. Epoch e (from 0)
leaves examples out while e + 1 <= anneal * epochs; afterwards every epoch is whole and all weights are 1. Each round
stands for one epoch, so the rate schedule follows the shortened epochs; the order is uniform shuffling's, thinned out.

Inputs: the losses of the run itself. State: float64 (n,). Cost: O(n) and a sort per epoch.

Details: the keep ratio 1 - ratio is clipped to [0.1, 1]. At least one of B is kept, where the public code may keep none
(then nothing would stand for B). The mean is the correctly rounded one (``math.fsum``), so it does not depend on the
order of the examples. The public code resets weights only when anneal * epochs is a whole number; here annealing always
does. Losses must be finite, which the training loop sees to.

Traps: the mean follows outliers (a few huge losses put nearly everything into B); ``clip`` cuts H at that quantile
before averaging. A class that is easy as a whole is thinned out. Dividing by the sum of weights would undo the method.
Sorting, balancing and keeping by hash are not part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Card, Draw, Examples, Policy, Round, State
from ...errors import UsageError
from .uniform import shuffled

Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Weights = Literal["exact", "package", "none"]


def well_learned(loss: Floats, clip: float = 1.0) -> npt.NDArray[np.bool_]:
    """B as a mask: strictly below the mean of the losses, which are cut at their ``clip`` quantile for averaging."""
    cut = loss if clip >= 1 else np.minimum(loss, np.quantile(loss, clip))
    mean = min(math.fsum(cut.tolist()) / len(cut), float(cut.max()))  # division may round above equal losses
    return loss < mean


def plan(
    loss: Floats, ratio: float, weights: Weights, clip: float, choose: Callable[[Places, int], Places]
) -> tuple[Places, Floats]:
    """One pruned epoch, before its order.

    Args:
        choose: (places of B ascending, k) -> the k that are kept.

    Returns:
        Places of the kept examples (those outside B ascending, then the chosen), and the weights of all n.
    """
    below = well_learned(loss, clip)
    inside, outside = np.flatnonzero(below), np.flatnonzero(~below)
    weight = np.ones(len(loss))
    if not len(inside):
        return outside, weight
    keep = min(1.0, max(0.1, 1.0 - ratio))
    k = max(1, math.floor(keep * len(inside) + 1e-9))
    chosen = choose(inside, k)
    weight[chosen] = {"exact": len(inside) / k, "package": 1.0 / keep, "none": 1.0}[weights]
    return np.concatenate([outside, chosen]), weight


@dataclass(frozen=True)
class InfoBatch(Policy):
    """``ratio``: of the well-learned examples left out, 0 to 1. ``anneal``: share of the epochs with pruning, 0 to 1.
    ``initial``: H before the first epoch, which then leaves nothing out. ``clip``: quantile, above 0; 1 is off.
    """

    ratio: float = 0.5
    anneal: float = 0.875
    weights: Weights = "exact"
    initial: float = 3.0
    clip: float = 1.0

    card: ClassVar[Card] = Card(
        summary="Leaves out part of the well-learned examples in each epoch and reweights the rest (InfoBatch).",
        family="policy",
        needs=(),
        cost="one sort per epoch; saves ratio times the share of well-learned examples in training",
        bibtex="""@inproceedings{qin2024infobatch,
  author = {Qin, Ziheng and Wang, Kai and Zheng, Zangwei and Gu, Jianyang and Peng, Xiangyu and Xu, Zhaopan and
            Zhou, Daquan and Shang, Lei and Sun, Baigui and Xie, Xuansong and You, Yang},
  title = {InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning},
  booktitle = {ICLR},
  year = {2024}
}""",
        evidence="the public code's schedules, unbiasedness; claim: direction only (10 seeds)",
        use_when="You train for many epochs with losses per example at hand, and want to save part of the passes.",
    )

    def __post_init__(self) -> None:
        for name, value in (("ratio", self.ratio), ("anneal", self.anneal)):
            if not 0 <= value <= 1:
                raise UsageError(f"infobatch: {name} must be between 0 and 1, not {value}.")
        if not math.isfinite(self.initial):
            raise UsageError(f"infobatch: initial must be a finite number, not {self.initial}.")
        if not 0 < self.clip <= 1:
            raise UsageError(f"infobatch: clip must be above 0 and at most 1, not {self.clip}.")

    def init(self, examples: Examples) -> State:
        return {"loss": np.full(len(examples.key), self.initial)}

    def propose(self, state: State, examples: Examples, number: int, epochs: float, draw: Draw) -> Round:
        order = shuffled(examples, number, draw)
        if number + 1 > self.anneal * epochs + 1e-9:
            return Round(order, np.ones(len(order)), 1.0)
        luck = draw.uniform(f"infobatch keep {number}", examples.key)

        def luckiest(places: Places, k: int) -> Places:
            return places[np.argsort(luck[places], kind="stable")[:k]]

        kept, weight = plan(state["loss"], self.ratio, self.weights, self.clip, luckiest)
        taken = np.zeros(len(order), bool)
        taken[kept] = True
        order = order[taken[order]]
        return Round(order, weight[order], 1.0)

    def update(self, state: State, done: Round, loss: npt.NDArray[np.float64]) -> State:
        last = state["loss"].copy()
        last[done.order] = loss
        return {"loss": last}
