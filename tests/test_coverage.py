"""Precision, recall and coverage of the target's modes: the figures of prdc, and what a selection says of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.coverage import figures, squared, tells_nothing
from cuvee.wording import select_lines
from tests.conftest import DEMO

GOLDEN = json.loads((Path(__file__).parent / "data" / "golden" / "prdc" / "n120_d4_k3.json").read_text())


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x[:, None] - y[None]) ** 2).sum(axis=2)


def test_figures_of_prdc() -> None:
    real, fake = np.array(GOLDEN["real"]), np.array(GOLDEN["fake"])
    found = figures(distances(real, real), distances(fake, fake), distances(real, fake), GOLDEN["k"])
    for name, value in found.items():
        assert value == pytest.approx(GOLDEN["expected"]["prdc"][name], abs=1e-12), name


def test_a_mode_left_out_lowers_coverage_and_not_precision() -> None:
    chance = np.random.default_rng(0)

    def around(axis: int, rows: int) -> np.ndarray:
        x = 0.1 * chance.normal(size=(rows, 16))
        x[:, axis] += 1
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    target = np.concatenate([around(0, 60), around(1, 60)])
    one, both, none = around(0, 100), np.concatenate([around(0, 50), around(1, 50)]), around(5, 100)
    found = [figures(squared(target, target), squared(x, x), squared(target, x), 5) for x in (one, both, none)]
    assert found[0]["precision"] > 0.8 and found[1]["precision"] > 0.8
    assert found[0]["coverage"] < 0.55 < 0.9 < found[1]["coverage"]
    assert found[0]["recall"] < 0.55 < 0.8 < found[1]["recall"]
    assert found[2] == {"precision": 0.0, "recall": 0.0, "coverage": 0.0}


def test_a_selection_tells_it(small_pool: Path, target: Path, tmp_path: Path) -> None:
    found = cuvee.select(small_pool, target=target, method="rds_plus", tokens=40_000, output=tmp_path / "out")
    coverage = found.summary["coverage"]
    for arm in ("kept", "random", "length_matched"):
        assert set(coverage[arm]) == {"precision", "recall", "coverage"}
        assert all(0 <= value <= 1 for value in coverage[arm].values())
    assert coverage["kept"]["precision"] > coverage["random"]["precision"]
    assert coverage["kept"]["coverage"] > coverage["random"]["coverage"]
    assert 30 <= coverage["rows"] <= 1000 and coverage["target_rows"] == 100
    lines = select_lines(found.folder, found.summary)
    assert any(line.startswith("  coverage   precision") for line in lines) and len(lines) <= 24
    assert not any("(on " in line for line in lines)
    assert "Reached (coverage)" in (found.folder / "report.html").read_text()
    again = cuvee.select(small_pool, target=target, method="rds_plus", tokens=40_000, output=tmp_path / "b", workers=3)
    assert again.summary["coverage"] == coverage


def test_nothing_is_said_without_a_target_or_with_too_few_rows(small_pool: Path, tmp_path: Path) -> None:
    assert cuvee.select(small_pool, rows=100, output=tmp_path / "a").summary["coverage"] is None
    few = cuvee.select(small_pool, target=DEMO / "target.jsonl", rows=20, output=tmp_path / "b")
    assert few.summary["coverage"] is None
    small = tmp_path / "small.parquet"
    pq.write_table(pa.table({"text": ["A short text about the sea.", "Another one about ships."]}), small)
    lone = cuvee.select(small_pool, target=small, method="rds_plus", rows=100, output=tmp_path / "c")
    assert lone.summary["coverage"] is None and lone.summary["distance"] is not None
    for found, why in ((few, "fewer than 30 kept rows are in"), (lone, "2 different target vectors; 10 are needed")):
        assert any(
            line.startswith(f"  coverage   not estimated: {why}") for line in select_lines(tmp_path, found.summary)
        )


def test_copies_in_the_target_count_once(tmp_path: Path) -> None:
    """Six copies of each text leave no ball a radius; copies of one text alone are no target for these figures."""
    pool, target = vectors_pool(tmp_path)
    table = pq.read_table(target)
    copies, one = tmp_path / "copies.parquet", tmp_path / "one.parquet"
    pq.write_table(pa.concat_tables([table] * 6), copies)
    pq.write_table(pa.concat_tables([table.slice(0, 1)] * 50), one)
    found = {
        path: cuvee.select(pool, target=path, method="rds_plus", rows=200, output=tmp_path / path.stem).summary
        for path in (target, copies, one)
    }
    assert found[copies]["coverage"]["target_rows"] == 40
    assert found[copies]["coverage"]["kept"] == found[target]["coverage"]["kept"]
    assert found[one]["coverage"] is None and "1 different target vector;" in found[one]["coverage_note"]


def test_figures_that_tell_nothing_apart_are_called_so(tmp_path: Path) -> None:
    """A pool that is like the target: what is kept does as well as random rows, and so as the target's own halves."""
    chance = np.random.default_rng(2)
    paths = [tmp_path / "pool.parquet", tmp_path / "target.parquet"]
    for path, rows in zip(paths, (900, 60), strict=True):
        x = chance.normal(size=(rows, 2)).astype(np.float32)
        pq.write_table(pa.table({"embedding": pa.array(x.tolist(), pa.list_(pa.float32()))}), path)
    reading = cuvee.Reading(embedding="embedding", text="none")
    found = cuvee.select(paths[0], target=paths[1], method="random", rows=800, reading=reading, output=tmp_path / "a")
    assert found.summary["coverage"] is None and "looks at no vectors" in found.summary["coverage_note"]
    found = cuvee.select(paths[0], target=paths[1], method="rds_plus", rows=800, reading=reading, output=tmp_path / "b")
    assert "tell nothing apart" in found.summary["coverage_note"]
    assert set(found.summary["coverage"]["ceiling"]) == {"precision", "recall", "coverage"}
    assert "tell nothing apart" in " ".join(select_lines(tmp_path, found.summary))
    assert "tell nothing apart" in (found.folder / "report.html").read_text()


def test_what_tells_nothing() -> None:
    def arm(*values: float) -> dict[str, float]:
        return dict(zip(("precision", "recall", "coverage"), values, strict=True))

    half, all_, none = arm(0.8, 0.7, 0.9), arm(1.0, 1.0, 1.0), arm(0.0, 0.0, 0.0)
    assert tells_nothing({"kept": all_, "random": arm(0.98, 0.98, 0.99), "ceiling": None})
    assert tells_nothing({"kept": all_, "random": half, "ceiling": half})
    assert tells_nothing({"kept": none, "random": none, "length_matched": none, "ceiling": half})
    assert tells_nothing({"kept": all_, "random": half, "ceiling": all_}) is None
    assert tells_nothing({"kept": none, "random": all_, "ceiling": all_}) is None
    assert tells_nothing({"kept": half, "random": None, "ceiling": half}) is None


def vectors_pool(folder: Path, texts: bool = True) -> tuple[Path, Path]:
    """A pool of three kinds by its vectors alone, which its texts do not tell, and a target of two of these."""
    chance = np.random.default_rng(1)

    def rows(kinds: np.ndarray) -> pa.Table:
        x = 0.05 * chance.normal(size=(len(kinds), 8)).astype(np.float32)
        x[np.arange(len(kinds)), kinds] += 1
        table = pa.table({"embedding": pa.array(x.tolist(), pa.list_(pa.float32())), "kind": kinds.astype(str)})
        words = [f"Number {one} of the list of things that are all alike" for one in range(len(kinds))]
        return table.append_column("text", pa.array(words)) if texts else table

    pool, target = folder / "pool.parquet", folder / "target.parquet"
    pq.write_table(rows(np.arange(900) % 3), pool)
    pq.write_table(rows(np.arange(40) % 2), target)
    return pool, target


@pytest.mark.parametrize("texts", [True, False])
def test_a_column_of_vectors_is_what_modes_are_measured_on(tmp_path: Path, texts: bool) -> None:
    """What the method looked at, also where there are no texts: rows of the third kind cover nothing."""
    pool, target = vectors_pool(tmp_path, texts)
    reading = cuvee.Reading(domain="kind", embedding="embedding", text=None if texts else "none")
    found = {}
    for name, quota in (("near", None), ("far", {"2": 1.0})):
        chosen = cuvee.select(
            pool, target=target, method="rds_plus", rows=200, quota=quota, reading=reading, output=tmp_path / name
        )
        found[name] = chosen.summary["coverage"]
    assert found["near"]["features"] == "the embedding column" and "the embedding column" in found["near"]["name"]
    assert found["near"]["kept"]["coverage"] > 0.9 > 0.1 > found["far"]["kept"]["coverage"]
    assert found["near"]["random"]["precision"] < 0.8
    told = select_lines(tmp_path, chosen.summary)
    assert "             (on the embedding column)" in told and len(told) <= 24
    again = cuvee.select(
        pool, target=target, method="rds_plus", rows=200, reading=reading, output=tmp_path / "again", workers=3
    )
    assert again.summary["coverage"] == found["near"]


def test_a_method_without_vectors_is_measured_on_the_table(tmp_path: Path) -> None:
    """Also a method on a column of vectors, if the target has none."""
    pool, target = vectors_pool(tmp_path)
    plain = tmp_path / "plain.parquet"
    pq.write_table(pq.read_table(target, columns=["text"]), plain)
    for method, rows in (("dsir", target), ("clusters", plain)):
        found = cuvee.select(
            pool, target=rows, method=method, settings={"min_length": 1} if method == "dsir" else {"k": 3},
            rows=200, output=tmp_path / method, reading=cuvee.Reading(embedding="embedding"),
        )  # fmt: skip
        assert found.summary["coverage"]["features"] == "vectors of texts by the shipped table (English)"


def test_the_features_of_combined_and_whitened_methods_are_found() -> None:
    from cuvee.combining import Mixed
    from cuvee.feature.embed import Embeddings, Given
    from cuvee.feature.used import column_of, embedder_of, in_words
    from cuvee.feature.whitening import Whitened

    whitened = Whitened(Given(4), np.zeros(4), np.eye(4)[:, :3])
    held = embedder_of(Mixed((Embeddings(whitened),), None, {}))  # type: ignore[arg-type]
    assert held is whitened and column_of(whitened) == Given(4)
    assert in_words(whitened, "minilm") == "vectors of the model minilm, whitened"
    assert embedder_of(Mixed((), None, {})) is None  # type: ignore[arg-type]
