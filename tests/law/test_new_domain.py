"""What a new domain's loss is told by: the cross-domain law, and one curve moved and stretched by early runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cuvee.core import Runs
from cuvee.fitting import fit_law
from cuvee.law.cross_domain_d_cpt import RIVAL, CrossDomainDCpt, OffsetAndScale
from cuvee.law.d_cpt import DCpt

from .planted import table

COLUMNS = ("parameters", "tokens", "share", "early_loss", "early_decline")


def shape(n: Any, d: Any, r: Any) -> Any:
    """A planted D-CPT law."""
    return 1 + 8 / (n / 1e6) ** 0.35 + 3 * r**0.3 / (d / 1e6) ** 0.3 + 0.15 / (r + 0.05) ** 0.6


def rows(kind: str, domains: int = 4, noise: float = 0.0005) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, outcomes, and the domain of each row: domains that differ in level and scale, or by the paper's K."""
    random = np.random.default_rng(3)
    found, outcome, domain = [], [], []
    for number in range(domains):
        level, scale = random.uniform(-0.5, 1), random.uniform(0.5, 2)
        early, decline = random.uniform(1.8, 3.4), random.uniform(0.05, 0.6)
        if kind == "scaled":
            early, later = (level + scale * shape(1e8, tokens, 0.5) for tokens in (2e8, 1e8))
            decline = later - early
        for n in (5e8, 4e9):
            for d in (2e9, 3e10):
                for r in (0.0, 0.3, 1.0):
                    told = level + scale * shape(n, d, r) if kind == "scaled" else shape(n, d, r)
                    if kind != "scaled":
                        told += 0.4 / (1 / early + 0.8 * decline) ** 0.7
                    found.append((n, d, r, early, decline))
                    outcome.append(told * np.exp(random.normal(0, noise)))
                    domain.append(number)
    return np.array(found), np.array(outcome), np.array(domain)


def planted(kind: str, domains: int = 4) -> tuple[Runs, np.ndarray]:
    found, outcome, domain = rows(kind, domains)
    return table(outcome, **dict(zip(COLUMNS, found.T, strict=True))), domain


def test_a_scaled_domain_left_out_is_told_by_its_offset_and_scale() -> None:
    runs, domain = planted("scaled")
    left = runs.take(domain == 2)
    missed = [
        float(np.abs(law.fit(runs.take(domain != 2)).at(left.settings) - left.outcome).mean())
        for law in (OffsetAndScale(), CrossDomainDCpt(restarts=12), DCpt(restarts=12))
    ]
    assert missed[0] < 0.01 and min(missed[1:]) > 10 * missed[0]


@pytest.mark.parametrize(("kind", "better"), [("scaled", "Trust the latter"), ("learnable", "The law is the better")])
def test_the_remark_names_the_better(kind: str, better: str) -> None:
    runs, _ = planted(kind)
    law = CrossDomainDCpt(restarts=12)
    said = law.remarks(runs, law.fit(runs))
    assert sum("A domain left out as a whole" in one for one in said) == 1 and better in said[-1]
    few, _ = planted(kind, 2)
    assert "Runs of 2 domains" in " ".join(told := law.remarks(few, law.fit(few))) and "as a whole" not in str(told)


def test_the_rival_stands_among_the_guesses(tmp_path: Path) -> None:
    """And where it wins, the law is not to be relied on."""
    found, outcome, _ = rows("scaled", 3)
    columns = dict(zip(COLUMNS, found.T, strict=True)) | {"loss.new": outcome}
    pq.write_table(pa.table(columns), tmp_path / "runs.parquet")
    asked: dict[str, Any] = {"resample": 20, "output": tmp_path / "fit"}
    summary = fit_law(tmp_path / "runs.parquet", law="cross_domain_d_cpt", settings={"restarts": 2}, **asked).summary
    told = summary["outcomes"][0]
    assert set(told["baselines"]) == {"mean", "linear", "nearest", RIVAL}
    assert told["baselines"][RIVAL] < 0.02 < told["error"]
    assert summary["verdict"].startswith("Not to be relied on")
    assert DCpt().rivals() == ()
