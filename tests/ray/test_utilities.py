"""``cuvee mix utilities`` on a cluster: ends are trained by workers on its nodes, to the table of one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.cluster_utils import Cluster

import cuvee
from cuvee.engine.ray import Ray
from cuvee.proof.ledger import Ledger

pytest.importorskip("torch")
WORDS = {"common": "common ordinary talk of days", "rare": "zymurgy quartz vexes jinxed"}


def test_the_same_table_as_on_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def text(source: str) -> str:
        return " ".join(random.permutation(WORDS[source].split())[0] for _ in range(32))

    rows = [
        {"text": text(name), "domain": name} for name, size in {"common": 40, "rare": 12}.items() for _ in range(size)
    ]
    held = [{"text": text("rare")} for _ in range(8)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(one) + "\n" for one in held))

    def run(name: str, executor: Any = None) -> cuvee.Utilities:
        return cuvee.end_utilities(
            tmp_path / "pool.jsonl", evaluations={"held": tmp_path / "held.jsonl"}, seeds=2, overlap="ignore",
            proxy="transformer:context=32,batch=8", method="upsample_end:share=0.6,last=0.4", only=["rare"],
            ledger=tmp_path / f"ledger-{name}", cache=tmp_path / f"cache-{name}", output=tmp_path / name,
            executor=executor, workers=0 if executor else 2,
        )  # fmt: skip

    there, here = run("there", Ray(address=cluster.address)), run("here")
    assert there.digest == here.digest
    for name in ("utilities", "comparisons", "sources", "losses", "verdict"):
        assert there.summary[name] == here.summary[name], name
    assert len(list(Ledger(tmp_path / "ledger-there").trials())) == 4
