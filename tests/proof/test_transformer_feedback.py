"""What the transformer measures for policies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch, Policy
from cuvee.examples import as_batch
from cuvee.methods.policy.aioli import Aioli
from cuvee.methods.policy.doge import Doge
from cuvee.methods.policy.doremi import Doremi
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.proxies.packing import pack
from cuvee.proof.proxies.tokens import Vocabulary
from cuvee.proof.proxies.transformer import Transformer
from cuvee.proof.proxy import Evaluation, Outcome, Watch

torch = pytest.importorskip("torch")
PROXY = Transformer(context=16, batch=2)


def texts(n: int, seed: int) -> Batch:
    chance = np.random.default_rng(seed)
    kind = np.arange(n) % 2
    words = (list("abcd "), list("01 "))
    found = ["".join(chance.choice(words[one], 40)).encode() for one in kind]
    key = chance.integers(0, 2**64, n, dtype=np.uint64)
    names = pa.array([("letters", "digits")[one] for one in kind], pa.large_string())
    return dataclasses.replace(as_batch(found), key=key, columns={"domain": names})


def outcome(policy: Policy, watch: Watch | None = None) -> Outcome:
    held = Evaluation("test", texts(6, 9), np.zeros(6, np.int32), ("all",))
    return PROXY.train(texts(24, 1), [held], policy, 1.0, 0, watch or Watch())


def test_losses_and_products() -> None:
    """Losses as a step returns them; products of gradients as of single ones; zeros for a group without examples."""
    from cuvee.proof.proxies.text_model import TextLearner, reproducible

    vocabulary, data = Vocabulary(None), texts(12, 0)
    with reproducible("cpu"):
        rows = pack(data, vocabulary.encode(data), 16, vocabulary.separator)
        learner = TextLearner(PROXY, vocabulary, rows, [], 0)
        groups = [np.arange(3), np.arange(2, 9), np.empty(0, np.int64)]
        products = learner.products(groups)
        slopes = [torch.cat([one.flatten() for one in learner.gradient(at, np.ones(len(at)))[1]]) for at in groups[:2]]
        for i, one in enumerate(slopes):
            for j, other in enumerate(slopes):
                assert products[i, j] == pytest.approx(float(one @ other), rel=1e-3)
        assert (products[2] == 0).all() and (products[:, 2] == 0).all()
        state = learner.state()
        before = learner.losses(groups[1])
        assert all(np.array_equal(one, state[name]) for name, one in learner.state().items())  # nothing was learned
        np.testing.assert_allclose(learner.step(groups[1], np.ones(7), 0.5), before, rtol=1e-6)
        assert len(learner.losses(groups[2])) == 0


@pytest.mark.parametrize("policy", [Aioli(rounds=1, sweeps=1), Doremi(updates=2), Doge(updates=2)])
def test_trained_by_policies(policy: Policy, tmp_path: Path) -> None:
    """The same bits twice, with checkpoints after every step, at the cost of shuffling."""
    first = outcome(policy)
    assert not first.diverged
    again = outcome(policy, Watch(checkpoint=tmp_path, every_seconds=0.0))
    assert first.measured["test"].loss.tobytes() == again.measured["test"].loss.tobytes()
    assert first.cost["train_flops"] == pytest.approx(outcome(Uniform()).cost["train_flops"], rel=0.15)
