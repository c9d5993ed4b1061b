"""One linear law of mixtures, of which Aioli, Skill-It, DoReMi and DoGE are settings.

Chen et al., "Aioli: A Unified Optimization Framework for Language Model Data Mixing", 2024, arXiv 2411.05735. Over a
short time the loss of group i falls by a linear function of the mixture p that is trained on,

    L_i(after) = L_i(before) - sum_j A_ij p_j,    A_ij > 0: training on group j lowers the loss of group i,

and the mixture follows its gradient on the simplex by exponentiated gradient, p_j <- p_j exp(eta sum_i A_ij) / Z.
Methods differ in where A comes from and in whether p accumulates or starts afresh:

    Aioli      measured during the run, by short stretches on tilted mixtures (:func:`from_sweep`)
    Skill-It   L_i G_ji, with G measured once, before training (:func:`from_graph`)
    DoReMi     diagonal: how far the loss is above a reference model's (:func:`excess_by_group`)
    DoGE       inner products of gradients, <held-out i, training j> (:func:`from_gradients`)

All arrays are float64; k is the number of groups. Cost: O(k^2), and O(k^3) for a sweep's linear system.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

Floats = npt.NDArray[np.float64]
LOWEST = -50.0
"""Logarithm of the least weight beside the largest: a group whose weight underflows could never come back."""
SINGULAR = 1e-3
"""Tilted mixtures this near to uniform cannot be told apart."""


def shares(logs: Floats) -> Floats:
    """Shares (k,) that sum to one, from logarithms up to a constant; -inf gives 0."""
    found = np.exp(logs - logs.max())
    return np.asarray(found / found.sum(), np.float64)


def tilted(mixture: Floats, gain: Floats, eta: float) -> Floats:
    """One step of exponentiated gradient: p_j exp(eta gain_j) / Z, (k,). Groups of share 0 keep it."""
    with np.errstate(divide="ignore"):
        return shares(np.log(mixture) + eta * gain)


def gains(matrix: Floats) -> Floats:
    """How much the sum of all losses falls by a unit of each group: sum_i A_ij, (k,)."""
    return np.asarray(matrix.sum(axis=0), np.float64)


def probe(groups: int, group: int, factor: float) -> Floats:
    """The mixture of a sweep's stretch: ``factor`` on one group, the rest spread evenly over the others, (k,).

    Raises:
        UsageError: the factor is not between uniform and 1.
    """
    if groups == 1:
        return np.ones(1)
    if not 1.0 / groups + SINGULAR < factor <= 1.0:
        raise UsageError(
            f"A sweep over {groups} groups needs a factor above {1.0 / groups + SINGULAR:.3g} and at most 1, not "
            f"{factor:g}: with mixtures all alike nothing can be told apart."
        )
    found = np.full(groups, (1.0 - factor) / (groups - 1))
    found[group] = factor
    return found


def from_sweep(drops: Floats, factor: float, diagonal: bool = False) -> Floats:
    """A (k, k) from a sweep.

    Args:
        drops: (k, k): entry i, j is the mean fall of loss i over the stretches on :func:`probe` j.
        diagonal: the paper's ablation: each group is taken to help itself alone.
    """
    if diagonal:
        return np.diag(np.diag(drops) / factor)
    mixtures = np.stack([probe(len(drops), group, factor) for group in range(len(drops))])
    return np.asarray(np.linalg.solve(mixtures, drops.T).T, np.float64)


def normalised(matrix: Floats) -> Floats:
    """Shifted so that no entry is negative, and scaled to sum to one; all zeros stay zeros."""
    moved = matrix - min(float(matrix.min()), 0.0)
    total = moved.sum()
    return moved / total if total > 0 else moved


def from_graph(graph: Floats, losses: Floats) -> Floats:
    """A (k, k) of Skill-It: L_i G_ji, from graph[j, i] = (L_i before - L_i after training only on j) / L_i before.

    Chen et al., "Skill-it! A Data-Driven Skills Framework for Understanding and Training Language Models", 2023,
    arXiv 2307.14430. ``losses``: (k,), or sums over the last evaluations.
    """
    return np.asarray(graph.T * losses[:, None], np.float64)


def excess_by_group(
    loss: Floats,
    reference: Floats,
    group: npt.NDArray[np.int64],
    groups: int,
    kept: npt.NDArray[np.bool_] | None = None,
) -> Floats:
    """By group the mean of max(loss - reference, 0), (k,); NaN for a group without an entry.

    Xie et al., "DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining", 2023, arXiv 2305.10429. The
    entries are tokens there, and are cut at 0 before they are averaged: cutting a group's mean gives other numbers.

    Args:
        loss, reference: (n,) or (n, tokens).
        group: int64, (n,). ``kept``: a mask in the form of ``loss``; all by default.
    """
    excess = np.maximum(loss - reference, 0.0)
    mask = np.ones(loss.shape, bool) if kept is None else kept
    each = np.broadcast_to(group.reshape(-1, *(1,) * (loss.ndim - 1)), loss.shape)[mask]
    total, count = np.bincount(each, excess[mask], groups), np.bincount(each, minlength=groups)
    return np.divide(total, count, out=np.full(groups, np.nan), where=count > 0)


def smoothed(mixture: Floats, amount: float) -> Floats:
    """(1 - c) p + c / k, (k,)."""
    return (1.0 - amount) * mixture + amount / len(mixture)


def from_gradients(products: Floats, most: float = 5.0) -> Floats:
    """DoGE's score of each training group divided by the learning rate, (k,), between 0 and ``most``.

    Fan, Pagliardini and Jaggi, "DoGE: Domain Reweighting with Generalization Estimation", 2024, arXiv 2310.15393. The
    gradients of training groups g_j, and v of the mean held-out loss, are cut to norm 1; the score is
    <g_j, v> / mean_j |g_j|.

    Args:
        products: (2 k, 2 k): inner products of g_1 ... g_k and of the held-out groups' gradients, zeros for a group
            that is missing, which counts in the mean norm all the same.
    """
    k = len(products) // 2
    norms: Floats = np.sqrt(np.maximum(np.diag(products)[:k], 0.0))
    scale = np.minimum(1.0, 1.0 / (norms + 1e-6))
    there = np.diag(products)[k:] > 0
    if not there.any():
        return np.zeros(k)
    toward = np.where(there, 1.0 / there.sum(), 0.0)
    length = max(float(toward @ products[k:, k:] @ toward), 0.0) ** 0.5
    along = products[:k, k:] @ toward * min(1.0, 1.0 / (length + 1e-6))
    return np.clip(scale * along / (float((scale * norms).mean()) + 1e-6), 0.0, most)


def fidelity(matrix: Floats, mixtures: Floats, drops: Floats) -> dict[str, float]:
    """How well A p tells the falls of the losses that training on p brought, alike for all methods.

    The law leaves a level for each group and one scale free, which are fitted here by least squares, since DoReMi's
    and DoGE's entries are no falls of loss. A method whose A says nothing about how mixtures differ has R^2 0.

    Args:
        mixtures, drops: (n, k): what was trained on, and how far each loss fell.

    Returns:
        "r2" (of what is left after each group's mean), "scale", "error" (mean squared), "rank" (Spearman correlation
        of the predicted and the observed fall of the mean loss, over mixtures).
    """
    told = mixtures @ matrix.T
    x, y = told - told.mean(axis=0), drops - drops.mean(axis=0)
    power = float((x * x).sum())
    scale = float((x * y).sum() / power) if power > 1e-20 * float((told * told).sum()) else 0.0
    error, total = float(((y - scale * x) ** 2).sum()), float((y * y).sum())
    return {
        "r2": 1.0 - error / total if total > 0 else 0.0,
        "scale": scale,
        "error": error / y.size,
        "rank": rank_correlation(told.mean(axis=1), drops.mean(axis=1)),
    }


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman's, with mean ranks for ties; 0 where one side is constant."""
    a, b = (np.asarray(_ranks(one) - (len(one) - 1) / 2.0) for one in (x, y))
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return ((np.cumsum(count) - count) + (count - 1) / 2.0)[place]
