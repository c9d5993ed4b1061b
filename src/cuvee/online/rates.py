"""Learning rates for training on from a model that exists: pure functions of progress, for any trainer.

``progress`` is the share of this training that is done, 0 to 1; rates are in the unit of ``peak``. Two recipes disagree
about what to do first. Parmar et al., "Reuse, Don't Retrain: A Recipe for Continued Pretraining of Language Models",
2024, arXiv 2407.07263: begin at the rate that the pretraining ended with, no warm-up, cosine to a hundredth of it, and
change the blend where the rate has fallen to a fifth (:func:`cosine`, :func:`falls_to`). Ibrahim et al., "Simple and
Scalable Strategies to Continually Pre-train Large Language Models", 2024, arXiv 2403.08763: warm up to the old peak
again, and decay again (:func:`rewarmed`), or never decay until a model is wanted (:func:`infinite`). Data and budget
differ between them: try both and look at what is forgotten.
"""

from __future__ import annotations

import math

from ..errors import UsageError


def cosine(progress: float, peak: float, floor: float = 0.01) -> float:
    """Half a cosine from ``peak`` to ``floor`` times the peak."""
    lowest = floor * peak
    return lowest + (peak - lowest) * (1.0 + math.cos(math.pi * progress)) / 2.0


def falls_to(fraction: float, floor: float = 0.01) -> float:
    """The progress at which :func:`cosine` has fallen to ``fraction`` of its peak: 0.711 for a fifth and 0.01.

    Raises:
        UsageError: the fraction is not above the floor and at most 1.
    """
    if not 0 <= floor < fraction <= 1:
        raise UsageError(f"A rate that ends at {floor:g} of its peak never falls to {fraction:g} of it.")
    return math.acos(2.0 * (fraction - floor) / (1.0 - floor) - 1.0) / math.pi


def rewarmed(progress: float, peak: float, floor: float = 0.1, warm: float = 0.01) -> float:
    """Linear from the floor to the peak during the first ``warm`` of the training, then half a cosine back."""
    if progress < warm:
        return peak * (floor + (1.0 - floor) * progress / warm)
    return cosine((progress - warm) / (1.0 - warm), peak, floor) if warm < 1 else peak


def infinite(
    progress: float, peak: float, constant: float, floor: float, warm: float, cool: float, anneal: float
) -> float:
    """Warm up until ``warm``, cosine to ``constant`` until ``cool``, stay, and from ``anneal`` fall exponentially.

    ``constant`` and ``floor`` are rates. A later training continues from the model at ``anneal``, not from the end.
    """
    if progress < warm:
        return peak * progress / warm
    if progress < cool:
        return cosine((progress - warm) / (cool - warm), peak, constant / peak)
    if progress < anneal:
        return constant
    return constant * math.pow(floor / constant, (progress - anneal) / (1.0 - anneal) if anneal < 1 else 1.0)
