"""Methods on gradients as the command runs them: one digest for all workers and cuts, resumed work, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.combining import Mixed
from cuvee.core import Batch
from cuvee.engine import manifest, work
from cuvee.engine.progress import Progress
from cuvee.errors import DataError, MissingExtraError, UsageError
from cuvee.feature.ngrams import Ngrams
from cuvee.gradient.scores import GradientScores
from cuvee.methods.score.classifier import Linear

torch = pytest.importorskip("torch")
from cuvee.gradient import text as text_probes  # noqa: E402
from cuvee.proof.proxies.transformer import Shape  # noqa: E402

FAST: dict[str, Any] = {"size": "tiny", "tokens": 24, "epochs": 2, "checkpoints": 2, "warm_up": 2000}
LABELLED: dict[str, Any] = {"probe": "linear", "warm_up": 150}
SUPPORTIVE: dict[str, Any] = {"size": "tiny", "tokens": 24, "epochs": 1, "warm_up": 2000, "sample": 60, "rounds": 2}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model for tests, small chunks and spans of a chunk or two."""
    monkeypatch.setitem(text_probes.SHAPES, "tiny", Shape(16, 1, 2, 24, 1e-2))
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 64)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory, demo_table: pa.Table) -> tuple[Path, Path, Path]:
    """The same 150 rows in one file, and in two; and a target of two domains."""
    folder = tmp_path_factory.mktemp("pools")
    table = demo_table.take(np.linspace(0, demo_table.num_rows - 1, 150).astype(np.int64))
    pq.write_table(table, folder / "whole.parquet", row_group_size=40)
    (folder / "parts").mkdir()
    for number, (low, high) in enumerate([(0, 57), (57, 150)]):
        pq.write_table(table.slice(low, high - low), folder / "parts" / f"{number}.parquet", row_group_size=31)
    rows = [{"text": f"select {i} from t join u", "domain": "sql"} for i in range(3)]
    rows += [{"text": f"my lords, the {i} honourable gentlemen", "domain": "speech"} for i in range(3)]
    (folder / "target.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "whole.parquet", folder / "parts", folder / "target.jsonl"


def chosen(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "selection.parquet").to_pylist()
    return found


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("less", FAST),
        ("tracin", FAST | {"mixed": True}),
        ("trak", FAST | {"dimensions": 16, "sample": 30}),
        ("learning_percentage", {name: FAST[name] for name in ("size", "tokens", "epochs", "warm_up")}),
        ("less", LABELLED),
        ("trak", LABELLED | {"probe": "mlp", "dimensions": 16, "sample": 30}),
        ("trak", FAST | {"dimensions": 16, "sample": 30, "trainings": 2, "checkpoints": 1}),
        ("ekfac", FAST | {"sample": 20}),
        ("ekfac", LABELLED | {"probe": "mlp", "sample": 40}),
        ("supportive", SUPPORTIVE),
    ],
    ids=[
        "less",
        "tracin",
        "trak",
        "learning_percentage",
        "less-linear",
        "trak-mlp",
        "trak-trainings",
        "ekfac",
        "ekfac-mlp",
        "supportive",
    ],
)
def test_one_digest(pools: tuple[Path, Path, Path], tmp_path: Path, method: str, settings: dict[str, Any]) -> None:
    digests = []
    for at, (pool, workers) in enumerate([(pools[0], 1), (pools[1], 3)]):
        found = cuvee.select(
            pool,
            target=None if method == "learning_percentage" else pools[2],
            method=method,
            settings=settings,
            rows=20,
            output=tmp_path / str(at),
            cache=tmp_path / f"cache{at}",
            workers=workers,
        )
        digests.append(found.digest)
        assert len(chosen(tmp_path / str(at))) == 20
    assert digests[0] == digests[1]
    notes = found.summary["method"]["notes"]
    if method == "less" and settings is FAST:
        assert notes["subtasks"] == {"speech": 3, "sql": 3}
        assert sum(notes["checkpoint_weights"]) == pytest.approx(1.0)


def test_resumes_in_the_middle_of_a_span(
    pools: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows done before a kill are not done again, and the result is that of an uninterrupted run."""
    monkeypatch.setattr(work, "PART_SECONDS", 0.0)
    monkeypatch.setattr(GradientScores, "rows_at_once", 10)
    plain, given = GradientScores.apply, list[np.ndarray]()

    def run(name: str, cache: str, stop: int) -> Any:
        def apply(self: GradientScores, batch: Batch) -> Any:
            if sum(map(len, given)) >= stop:
                raise KeyboardInterrupt
            given.append(batch.row)
            assert len(batch) <= 10
            return plain(self, batch)

        monkeypatch.setattr(GradientScores, "apply", apply)
        settings = FAST | {"epochs": 1, "checkpoints": 1}
        return cuvee.select(
            pools[0],
            target=pools[2],
            method="less",
            settings=settings,
            rows=15,
            output=tmp_path / name,
            cache=tmp_path / cache,
            workers=1,
        )

    whole = run("whole", "one", 1_000)
    assert np.array_equal(np.concatenate(given), np.arange(150))
    given.clear()
    with pytest.raises(KeyboardInterrupt):
        run("again", "two", 95)
    done = np.concatenate(given)
    assert len(done) == 100
    resumed = run("again", "two", 1_000)
    assert np.array_equal(np.sort(np.concatenate(given)), np.arange(150))
    assert resumed.digest == whole.digest


def test_a_combination_is_as_slow_as_its_slowest() -> None:
    slow = GradientScores(None, np.zeros((1, 1, 3), np.float32), np.ones(1))
    fast = Linear(Ngrams(1, 4), np.zeros(4), 0.0, {})
    scores: Any = None
    assert Mixed((fast, slow), scores, {}).rows_at_once == slow.rows_at_once == 64
    assert Mixed((fast, fast), scores, {}).rows_at_once is None


def test_progress_is_told(pools: tuple[Path, Path, Path], tmp_path: Path) -> None:
    seen: dict[str, list[float]] = {}

    class Seen(Progress):
        def show(self, begin: bool = False) -> None:
            seen.setdefault(self.label, []).append(self.done / max(self.total, 1))

    out = tmp_path / "out"
    cuvee.select(pools[0], target=pools[2], method="less", settings=FAST, rows=15, progress=Seen(), output=out)
    for label in ("less: warming the probe up", "less: the target's gradients", "scoring by less"):
        assert len(seen[label]) > 3 and seen[label] == sorted(seen[label])
        assert seen[label][-1] == pytest.approx(1.0, abs=0.2)  # of bytes, which are estimated


def test_the_rows_taken_are_like_the_target(tmp_path: Path) -> None:
    """A pool of two kinds of text, a target of one: its kind is taken, by all methods and probes."""
    random = np.random.default_rng(0)
    kinds = [["select", "from", "where", "join", "1", "="], ["whale", "sea", "captain", "harpoon", "the"]]
    rows = [{"text": " ".join(random.choice(kinds[i % 2], 12)), "label": f"kind {i % 2}"} for i in range(120)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    near = [{"text": " ".join(random.choice(kinds[0], 12)), "label": "kind 0"} for _ in range(6)]
    (tmp_path / "target.jsonl").write_text("".join(json.dumps(row) + "\n" for row in near))
    trak: dict[str, Any] = {"dimensions": 32, "sample": 60}
    text = FAST | {"size": "0.06M", "warm_up": 4000}
    less: dict[str, Any] = {"probe": "mlp"}
    for at, (method, settings) in enumerate(
        [
            ("less", text),
            ("tracin", text | {"cosine": True}),
            ("trak", text | trak),
            ("less", less),
            ("ekfac", text | {"checkpoints": 1, "sample": 60, "per_token": True}),
            ("supportive", SUPPORTIVE | {"size": "0.06M", "warm_up": 4000, "share": 0.2}),
        ]
    ):
        cuvee.select(
            tmp_path / "pool.jsonl",
            target=tmp_path / "target.jsonl",
            method=method,
            settings=settings,
            rows=30,
            output=tmp_path / str(at),
            reading=cuvee.Reading(label="label"),
        )
        right = [row["row"] % 2 == 0 for row in chosen(tmp_path / str(at))]
        assert np.mean(right) > 0.9, (method, settings)


def test_refused(pools: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(method: str = "less", target: Path = pools[2], **settings: Any) -> Any:
        given = FAST | settings
        return cuvee.select(pools[0], target=target, method=method, settings=given, rows=5, output=tmp_path / "out")

    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("less", {"size": "7B"}, "size is one of"),
        ("less", {"checkpoints": 3}, "at most epochs"),
        ("tracin", {"tokens": 1}, "tokens must be at least 2"),
        ("trak", {"ridge": 0.0}, "ridge is above 0"),
        ("less", {"probe": "cnn"}, "one of text, linear, mlp"),
        ("trak", {"trainings": 0}, "trainings are at least 1"),
        ("ekfac", {"damping": 0.0}, "damping above 0"),
    ]
    for method, settings, said in wrong:
        with pytest.raises(UsageError, match=said):
            run(method, **settings)
    late = {"size": "tiny", "epochs": 1}
    with pytest.raises(UsageError, match="epochs and tokens are at least 2"):
        cuvee.select(pools[0], method="learning_percentage", settings=late, rows=5, output=tmp_path / "out")
    (tmp_path / "plain.jsonl").write_text('{"text": "no label"}\n')
    with pytest.raises(DataError, match="needs labels"):
        run(target=tmp_path / "plain.jsonl", probe="linear")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cuvee\[torch\]'"):
        run()
    assert not (tmp_path / "out").exists()
