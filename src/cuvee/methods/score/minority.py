"""Minority mining: rows of rare classes, by predictions that an autoencoder of the labelled rows fails to rebuild.

Singh, Chu, Wang, Pei, Tian and Zhang, "Mining Minority-class Examples With Uncertainty Estimates", MMM 2022, arXiv
2112.07835. The labelled rows (the target) are of skewed classes, the pool has no labels.

1. A classifier with one hidden layer is trained on the labelled rows.
2. Its last layer, which skew and overfitting have distorted, is replaced by one trained anew on the frozen hidden layer
   (the recalibration layer); z are its outputs for C classes.
3. An autoencoder, C - C - (C - 1) - C - C with ReLU between, learns to rebuild softmax(z) of the labelled rows, most
   of which are of frequent classes. (``rebuild=logits``: z itself, as its authors put it; their code: softmax.)

    score(x) = mean square of softmax(z) less its reconstruction:    high for predictions of an unusual pattern.

The paper's network is convolutional, on pictures; here it has 32 hidden units, on vectors, trained by Adam for
``epochs`` passes, the recalibration layer for as many; the autoencoder takes ``steps`` steps of Adam at 0.001 in
batches of 64, as many as 25 passes over ten thousand rows. Layer sizes are the release's, which has 10 classes.

Inputs: vectors of pool and target (or texts). The classes are the target's domains, or its labels if they are named by
``--label``, which the pool then has as well; what they say there is not looked at. Cost: seconds of training, then the
vectors. Traps: whatever is unlike all labelled rows, junk included, is rebuilt badly; rows of rare classes that are
taken for a frequent one with confidence are rebuilt well, and missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ...core import Batch, Block, Card, Map, Method, Run
from ...errors import DataError, UsageError
from ...feature.autoencoder import Layers, forward, softmax, train_autoencoder
from ...feature.embed import Embedder, of_target
from ...fold.labelled_sample import label_hash
from ...gradient.curvature import times
from ...gradient.labelled import parts_of, train_classifier

Floats = npt.NDArray[np.float64]
HIDDEN = 32


@dataclass(frozen=True, eq=False)
class Unusual(Map):
    """The fitted score: layers of the recalibrated ``classifier`` and of the ``autoencoder``."""

    embedder: Embedder
    classifier: Layers
    autoencoder: Layers
    logits: bool
    notes: dict[str, Any] = field(default_factory=dict, compare=False)

    def apply(self, batch: Batch) -> Block:
        x = self.embedder.vectors(batch).astype(np.float64)
        return {"score": np.where(x.any(axis=1), self.errors(x), -np.inf)}

    def errors(self, x: Floats) -> Floats:
        """Mean squares of what is not rebuilt, (n,), of vectors."""
        z = forward(x, self.classifier)[-1]
        given = z if self.logits else softmax(z)
        return np.asarray(np.square(forward(given, self.autoencoder)[-1] - given).mean(axis=1))


@dataclass(frozen=True)
class Minority(Method):
    """``epochs``, ``steps``, ``rebuild``: see above."""

    epochs: int = 20
    steps: int = 4000
    rebuild: Literal["softmax", "logits"] = "softmax"

    card: ClassVar[Card] = Card(
        summary="rows of rare classes: an autoencoder of the labelled rows' predictions fails on theirs",
        family="model-aware",
        needs=("embedding", "target"),
        cost="seconds of training; one pass at embedding speed",
        bibtex="@inproceedings{singh2022mining, title={Mining Minority-class Examples With Uncertainty Estimates},"
        " author={Singh, Gursimran and Chu, Lingyang and Wang, Lanjun and Pei, Jian and Tian, Qi and Zhang, Yong},"
        " booktitle={MultiMedia Modeling}, year={2022}}",
        evidence="its autoencoder in PyTorch; claim: direction only (8 seeds)",
        use_when="You have a labelled set that lacks some classes, and a pool without labels to find more of them in.",
        fails_when="It finds rare rows more often than chance, but entropy and the plain probability of a rare class "
        "do as well or better, and more steadily.",
    )

    def fit(self, run: Run) -> Unusual:
        if min(self.epochs, self.steps) < 1 or self.rebuild not in ("softmax", "logits"):
            raise UsageError("minority: epochs and steps are at least 1, and rebuild is softmax or logits.")
        embedder, _ = of_target(run)
        batches = [batch for batch in run.targets() if len(batch)]
        column = "label" if all("label" in batch.columns for batch in batches) else "domain"
        if not all(column in batch.columns for batch in batches):
            raise DataError("minority learns from classes: give the target a column of domains, or labels (--label).")
        x = np.concatenate([embedder.vectors(batch) for batch in batches]).astype(np.float64)
        known = x.any(axis=1)
        label = np.concatenate([label_hash(batch, column) for batch in batches])[known]
        names, place, count = np.unique(label, return_inverse=True, return_counts=True)
        if len(names) < 2:
            raise DataError("minority: all labelled rows have one label, so none is rare: name another with --label.")
        x, key = x[known], np.concatenate([batch.key for batch in batches])[known]
        shape, args = (x.shape[1], len(names), HIDDEN), (self.epochs, 1, run.seed)
        first = train_classifier(x, place, len(names), key, HIDDEN, *args).parameters[0].astype(np.float64)
        u, a, _, _ = parts_of(first, *shape)
        h = np.maximum(times(x.T, u) + a, 0.0)
        anew = train_classifier(h, place, len(names), key, 0, *args).parameters[0].astype(np.float64)
        _, _, w, b = parts_of(anew, HIDDEN, len(names), 0)
        z = times(h.T, w) + b
        given = z if self.rebuild == "logits" else softmax(z)
        autoencoder = train_autoencoder(given, key, self.steps, run.seed)
        notes: dict[str, Any] = {"labels": len(names), "labelled_rows": len(x), "rarest": int(count.min())}
        notes["recalibrated_accuracy"] = float((z.argmax(axis=1) == place).mean())
        return Unusual(embedder, [(u, a), (w, b)], autoencoder, self.rebuild == "logits", notes)
