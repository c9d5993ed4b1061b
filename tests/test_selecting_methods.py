"""The newer ways to select from the command's point of view: one digest for any number of workers and any cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.errors import DataError, UsageError
from cuvee.pool import Reading
from tests.conftest import DEMO
from tests.test_embedding_methods import many_chunks

__all__ = ["many_chunks"]
JOBS: list[tuple[str, dict[str, Any], str | None]] = [
    ("embedding", {}, "d_optimal"),
    ("clusters", {"k": 12}, "kmq"),
    ("flyt", {"steps": 10, "batch": 64}, None),
    ("sliced_wasserstein", {"directions": 8, "steps": 4}, None),
    ("target_herding", {"features": 64}, None),
    ("rescaled_volume", {"dimensions": 8}, None),
    ("blast", {"cells": 12}, None),
    ("mig", {"tags": "clusters", "k": 20}, None),
    ("mig", {}, None),
    ("structural_diversity", {}, None),
    ("structural_diversity", {"compounds": "label"}, None),
    ("v_information", {}, None),
    ("pass_rate", {}, None),
]


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> dict[str, tuple[Path, Path]]:
    """The same 400 rows in one file and in three, with domains as labels, and with pass rates."""
    folder = tmp_path_factory.mktemp("pools")
    table = demo_table.take(np.linspace(0, demo_table.num_rows - 1, 400).astype(np.int64))
    found = {}
    rates = pa.array(np.arange(400) % 9 / 8)
    for name, label in (("names", table["domain"]), ("rates", rates)):
        whole, parts = folder / f"{name}.parquet", folder / name
        parts.mkdir()
        labelled = table.append_column("label", label)
        pq.write_table(labelled, whole, row_group_size=90)
        for number, (low, high) in enumerate([(0, 57), (57, 300), (300, 400)]):
            pq.write_table(labelled.slice(low, high - low), parts / f"{number}.parquet", row_group_size=31)
        found[name] = (whole, parts)
    return found


@pytest.mark.usefixtures("many_chunks")
@pytest.mark.parametrize(("method", "settings", "rule"), JOBS, ids=[f"{m}-{r or 'own'}-{s}" for m, s, r in JOBS])
def test_one_digest(
    pools: dict[str, tuple[Path, Path]], tmp_path: Path, method: str, settings: dict[str, Any], rule: str | None
) -> None:
    digests = []
    for pool, workers in zip(pools["rates" if method == "pass_rate" else "names"], (1, 3), strict=True):
        found = cuvee.select(
            pool,
            target=DEMO / "target.jsonl" if method in ("flyt", "sliced_wasserstein", "target_herding") else None,
            method=method,
            settings=settings,
            choose=rule,
            tokens=20_000,
            reading=Reading(label="label"),
            output=tmp_path / str(workers),
            cache=tmp_path / f"cache{workers}",
            workers=workers,
        )
        digests.append(found.digest)
        rows = pq.read_table(tmp_path / str(workers) / "selection.parquet", columns=["tokens", "weight"]).to_pylist()
        assert 0 < sum(row["tokens"] * row["weight"] for row in rows) <= 20_000
    assert digests[0] == digests[1]


def test_quality_from_another_method_reaches_the_rule(pools: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    """MIG and kMQ take for quality what the second method's ranks say: target-like rows come more often."""
    shares = {}
    for name, method, rule in (("mig", "mig", None), ("kmq", "clusters", "kmq")):
        for combined in (False, True):
            given: dict[str, Any] = {"method": method, "settings": {"k": 5} if method == "clusters" else {}}
            if combined:
                given = {
                    "method": [method, "classifier"],
                    "settings": [given["settings"], {"folds": 0}],
                    "combine": "rank",
                    "combine_settings": {"weights": (0, 1)},
                }
            out = tmp_path / f"{name}{combined}"
            cuvee.select(
                pools["names"][0], target=DEMO / "target.jsonl", choose=rule, rows=60, output=out,
                reading=Reading(label="label"), **given,
            )  # fmt: skip
            kept = pq.read_table(out / "selection.parquet", columns=["domain"])["domain"].to_pylist()
            shares[name, combined] = np.mean([domain == "sqlite-docs" for domain in kept])
    assert shares["kmq", True] > shares["kmq", False]
    assert shares["mig", True] >= shares["mig", False]


@pytest.mark.parametrize("method", ["tarot", "gotd", "snp", "pass_rate"])
def test_equal_scores_are_called_a_random_draw(tmp_path: Path, method: str) -> None:
    """Rows that all have the same vector or rate; one that differs, and nothing is said."""
    paths = [tmp_path / "pool.parquet", tmp_path / "target.parquet", tmp_path / "other.parquet"]
    for path, rows in zip(paths, (200, 30, 200), strict=True):
        x = np.zeros((rows, 4), np.float32)
        x[:, 0] = 1.0
        if path != paths[0]:
            x += np.random.default_rng(rows).normal(size=x.shape).astype(np.float32)
        rate = np.full(rows, 0.5)
        rate[: rows // 2] = 0.25 if path != paths[0] else 0.5
        words = [f"Row {one} of a list" for one in range(rows)]
        pq.write_table(
            pa.table({"text": words, "label": rate, "embedding": pa.array(x.tolist(), pa.list_(pa.float32()))}), path
        )
    start, told = "All rows" if method == "tarot" else "All scores are equal", []
    for path in (paths[0], paths[2]):
        found = cuvee.select(
            path, target=None if method == "pass_rate" else paths[1], method=method, rows=50,
            reading=Reading(label="label", embedding="embedding"), output=tmp_path / path.stem,
        )  # fmt: skip
        told.append([one for one in found.summary["warnings"] if one.startswith(start)])
    assert len(told[0]) == 1 and "random draw" in told[0][0]
    assert not told[1]
    every = cuvee.select(
        paths[0], target=None if method == "pass_rate" else paths[1], method=method, rows=200,
        reading=Reading(label="label", embedding="embedding"), output=tmp_path / "every",
    )  # fmt: skip
    assert not any(one.startswith(start) for one in every.summary["warnings"])


def test_what_is_refused_is_called_by_its_name(tmp_path: Path) -> None:
    """Vectors of zeros, labels that are no numbers, and parameters of ways to combine, which have no page."""

    def table(name: str, vector: list[float], label: float = 0.5) -> Path:
        vectors = pa.array([vector] * 40, pa.list_(pa.float32()))
        words = [f"Row {one} of a list" for one in range(40)]
        pq.write_table(pa.table({"text": words, "embedding": vectors, "label": [0.5] * 39 + [label]}), tmp_path / name)
        return tmp_path / name

    pool, none, nan = table("a.parquet", [1.0, 0.0]), table("b.parquet", [0.0, 0.0]), table("c.parquet", [1.0], np.nan)

    def run(pool: Path, target: Path | None = None, label: str = "none", **given: Any) -> None:
        reading = Reading(embedding="embedding", label=label)
        cuvee.select(pool, target=target, rows=10, reading=reading, output=tmp_path / "out", **given)

    for method in ("rds_plus", "leverage"):
        with pytest.raises(DataError) as refused:
            run(none, pool if method == "rds_plus" else None, method=method)
        assert "vector" in str(refused.value) and "limit" not in str(refused.value), method
    with pytest.raises(DataError, match="every vector of its column is zero"):
        run(pool, none, method="rds_plus")
    with pytest.raises(DataError, match=r"label is NaN or infinity.*name another column with --label") as refused:
        run(nan, method="pass_rate", label="label")
    assert "--embedding" not in str(refused.value)
    with pytest.raises(UsageError, match=r"--combine min has no parameter 'x'\. Its parameters: none$"):
        run(pool, pool, method=["dsir", "rds_plus"], combine="min", combine_settings={"x": 1})


def test_labels_that_only_the_target_has(tmp_path: Path) -> None:
    """They are named by --label; a method that reads the pool's labels, or a name that neither has, is refused."""
    names = ["sea", "code"] * 30
    words = [f"The {name} of day {i} and of {i * 7} waves" for i, name in enumerate(names)]
    pool, target = tmp_path / "pool.parquet", tmp_path / "target.parquet"
    pq.write_table(pa.table({"text": words}), pool)
    pq.write_table(pa.table({"text": words[:20], "kind": names[:20]}), target)

    def chosen(method: str, label: str, with_target: bool = True) -> int:
        cuvee.select(
            pool, target=target if with_target else None, method=method, rows=10,
            reading=Reading(label=label), output=tmp_path / "out",
        )  # fmt: skip
        return int(pq.read_metadata(tmp_path / "out" / "selection.parquet").num_rows)

    assert chosen("weak_supervision", "kind") > 0
    for method, label, with_target in (
        ("weak_supervision", "kin", True), ("skill_targeted", "kind", True), ("random", "kind", False),
    ):  # fmt: skip
        with pytest.raises(DataError, match=f"'{label}'"):
            chosen(method, label, with_target)
