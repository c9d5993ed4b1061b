"""SimANS: negatives that score about as the positive train a retriever better than random or the hardest ones.

**The paper's claim** (Zhou et al., EMNLP 2022). Negatives ranked around the positive tell more than random ones and are
less often positives without a label than the hardest ones; a dual encoder trained on them retrieves better.

**Small scale.** Pieces of 30 words from the demonstration's documents, one document a source. A query is a document's
first piece, its labelled positive the second; its next three pieces are in the corpus, too, right answers without a
label. The retriever is two linear maps of the shipped static embedding, begun at four times the identity and trained on
1,200 queries over 4,800 pieces to tell the positive from 8 negatives (softmax of inner products): 4 epochs on random
negatives and, going on from there, 4 on those of each arm, drawn anew in every epoch by the present model's scores.
"simans" draws from the 100 highest, with a = 0.5 in standard deviations of these 100 scores; "hardest" takes the 8
highest; "of 100" is uniform over the 100; "laplace" has the release's other weights, a = 3; "random" is of the whole
corpus. "Screened" arms are told the answers without a label and never draw them. Measured on 700 queries of other
sources over their 2,800 pieces, all pieces of the document being right. (The rate and the epochs are those with which
random negatives did well on a seed that is not among the eight.)

**Reproduced** if the reciprocal rank of SimANS is above those of random and of the hardest negatives with 95 %
intervals apart from 0, and it draws fewer answers without a label than the hardest. **Direction only** if it is above
one of the two. **Not reproduced** otherwise. Screened arms have no vote; by the paper's reason, the lead over the
hardest should shrink there.
"""

from __future__ import annotations

import numpy as np

from cuvee.core import Array
from cuvee.feature.static_embedding import StaticEmbedding
from cuvee.methods.choose.simans import log_weight

from .harness import Claim, Found, Measured, Texts, chunks, demo, generator, split

NAME, OTHERS, LATER = "simans", ("random", "hardest", "of 100", "laplace", "no more training"), " screened"
RANK, FALSE = "reciprocal rank", "answers drawn"
CLAIM = Claim(
    name=NAME,
    judges=("choose/simans.py",),
    metrics={
        RANK: "mean over held-out queries of 1 / rank of the first right piece, 0 beyond 10",
        FALSE: "share of the negatives drawn that are right answers without a label",
    },
    contrasts=(
        (RANK, NAME, OTHERS),
        (RANK, NAME + LATER, ("random" + LATER, "hardest" + LATER)),
        (RANK, "hardest", ("random", "hardest" + LATER)),
        (FALSE, NAME, ("random", "hardest")),
    ),
    settings={"words": 30, "pieces": 5, "train": 1200, "held": 700, "scale": 4.0, "rate": 0.0003}
    | {"batch": 50, "epochs": 4, "negatives": 8, "top": 100},
)


def pieces(texts: Texts, seed: int, number: int) -> Array:
    """Vectors of the first pieces of documents of different sources, float64 (number, pieces, 256)."""
    random, count = generator(seed, "documents"), CLAIM.settings["pieces"]
    texts = texts.take(random.permutation(len(texts)))
    texts = texts.take(np.sort(np.unique(texts.source, return_index=True)[1]))
    long = texts.take(texts.tokens > (count + 1) * CLAIM.settings["words"]).take(np.arange(number))
    cut = [chunks(long.take(np.array([row])), CLAIM.settings["words"]).take(np.arange(count)) for row in range(number)]
    return np.stack([StaticEmbedding().vectors(one.batch) for one in cut]).astype(np.float64)


class Retriever:
    """Two linear maps, trained by Adam; ``maps`` (2, 256, 256)."""

    def __init__(self, maps: Array) -> None:
        self.maps, self.first, self.second, self.steps = maps.copy(), np.zeros_like(maps), np.zeros_like(maps), 0

    def scores(self, query: Array, corpus: Array) -> Array:
        """Inner products, (queries, pieces)."""
        return (query @ self.maps[0]) @ (corpus @ self.maps[1]).T

    def step(self, query: Array, answers: Array) -> None:
        """One step: queries (b, d); answers (b, 1 + negatives, d), the positive first."""
        q, a = query @ self.maps[0], answers @ self.maps[1]
        z = np.einsum("bk,bnk->bn", q, a)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        slope = p / p.sum(axis=1, keepdims=True)
        slope[:, 0] -= 1
        slope /= len(query)
        grad = np.stack([query.T @ np.einsum("bn,bnk->bk", slope, a), np.einsum("bn,bnd->bd", slope, answers).T @ q])
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * grad
        self.second = 0.999 * self.second + 0.001 * grad**2
        rate = CLAIM.settings["rate"] * (1 - 0.999**self.steps) ** 0.5 / (1 - 0.9**self.steps)
        self.maps = self.maps - rate * self.first / (np.sqrt(self.second) + 1e-8)


def draw(arm: str, scores: Array, positive: Array, banned: Array, random: np.random.Generator) -> Array:
    """Negatives of every query, (queries, negatives): places in the corpus, none of them ``banned``."""
    number, top = CLAIM.settings["negatives"], CLAIM.settings["top"]
    rows = np.arange(len(scores))[:, None]
    scores = np.where(banned, -np.inf, scores)
    if arm == "random":
        return np.argpartition(np.where(banned, 2.0, random.random(scores.shape)), number, axis=1)[:, :number]
    best = np.sort(np.argpartition(-scores, top, axis=1)[:, :top], axis=1)
    near = scores[rows, best]
    unit = near.std(axis=1, keepdims=True)
    if arm == NAME:
        priority = log_weight(near / unit, positive / unit, 0.5, 0.0) + random.gumbel(size=near.shape)
    elif arm == "laplace":
        priority = log_weight(near / unit, positive / unit, 3.0, 0.0, "laplace") + random.gumbel(size=near.shape)
    else:
        priority = near if arm == "hardest" else random.random(near.shape)
    return best[rows, np.argsort(-priority, axis=1)[:, :number]]


def train(model: Retriever, arm: str, x: Array, screened: bool, seed: int) -> float:
    """All epochs; the share of negatives that are answers without a label."""
    settings, random = CLAIM.settings, generator(seed, f"training {arm}")
    corpus, document = x[:, 1:].reshape(-1, x.shape[2]), np.repeat(np.arange(len(x)), x.shape[1] - 1)
    own = document[None] == np.arange(len(x))[:, None]
    first = np.arange(len(x)) * (x.shape[1] - 1)
    banned = own.copy() if screened else np.zeros_like(own)
    banned[np.arange(len(x)), first] = True
    wrong = []
    for _ in range(settings["epochs"]):
        scores = model.scores(x[:, 0], corpus)
        drawn = draw(arm, scores, scores[np.arange(len(x)), first][:, None], banned, random)
        wrong.append(float(np.take_along_axis(own, drawn, axis=1).mean()))
        answers = np.column_stack([first, drawn])
        for batch in np.array_split(random.permutation(len(x)), len(x) // settings["batch"]):
            model.step(x[batch, 0], corpus[answers[batch]])
    return float(np.mean(wrong))


def reciprocal_rank(model: Retriever, x: Array) -> float:
    """Mean reciprocal rank within 10 of any right piece."""
    corpus = x[:, 1:].reshape(-1, x.shape[2])
    best = np.argsort(-model.scores(x[:, 0], corpus), axis=1, kind="stable")[:, :10] // (x.shape[1] - 1)
    right = best == np.arange(len(x))[:, None]
    return float(np.where(right.any(axis=1), 1 / (right.argmax(axis=1) + 1), 0.0).mean())


def trial(seed: int) -> Measured:
    """All arms."""
    held, rest = split(demo(), seed, 0.3)
    x, test = pieces(rest, seed, CLAIM.settings["train"]), pieces(held, seed, CLAIM.settings["held"])
    begun = Retriever(CLAIM.settings["scale"] * np.stack([np.eye(x.shape[2])] * 2))
    share = train(begun, "random", x, False, seed)
    found: Measured = {"no more training": {RANK: reciprocal_rank(begun, test), FALSE: share}}
    for screened in (False, True):
        for arm in (NAME, "random", "hardest", *(() if screened else ("of 100", "laplace"))):
            model = Retriever(begun.maps)
            share = train(model, arm, x, screened, seed)
            found[arm + LATER * screened] = {RANK: reciprocal_rank(model, test), FALSE: share}
    return found


def judge(found: Found) -> str:
    """By the rule above."""
    above = [found.of(RANK, NAME, other).above for other in ("random", "hardest")]
    if all(above) and found.of(FALSE, NAME, "hardest").below:
        return "reproduced"
    return "direction only" if any(above) else "not reproduced"
