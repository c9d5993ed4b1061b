"""Running trials: same records whoever runs them, whoever dies on the way, and however often."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cuvee.core import Batch
from cuvee.engine.progress import Lines, Progress
from cuvee.engine.store import Store
from cuvee.errors import CuveeError, DataError, ResourceError
from cuvee.methods.policy.uniform import Uniform
from cuvee.proof.crew import Crew
from cuvee.proof.exchange import (
    Corpus,
    evaluation_digest,
    get_evaluation,
    get_rows,
    put_evaluation,
    put_rows,
)
from cuvee.proof.ledger import Ledger
from cuvee.proof.proxies.ngram import Ngram
from cuvee.proof.proxy import Evaluation, Proxy, Watch

from .stubs import Slow, Stepping, documents, evaluation, results, sweep

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stub writes (process, seed) of every start."""
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def starts(log: Path) -> list[tuple[int, int]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(pid), int(seed)) for pid, seed in (line.split() for line in lines)]


def stored(ledger: Path) -> dict[str, int]:
    """The files of finished trials and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in ledger.glob("trials/*/*.parquet")}


def script(folder: Path, ledger: Path, proxy: str, seeds: int) -> subprocess.Popen[bytes]:
    """A program of a user's, without ``if __name__ == "__main__"``, in a process of its own."""
    program = folder / "program.py"
    program.write_text(
        textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(ROOT)!r})
            from pathlib import Path
            from tests.proof.stubs import Ngram, Slow, result, sweep
            print("top", flush=True)
            found = sweep(Path({str(ledger)!r}), Path({str(folder / "cache")!r}), {proxy}, range({seeds}))
            print(len(found), flush=True)
        """)
    )
    return subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, cwd=folder)


def said(process: subprocess.Popen[bytes]) -> list[str]:
    out, _ = process.communicate(timeout=PATIENCE)
    return [line for line in out.decode().splitlines() if "noise" not in line]


def until(what: object) -> Iterator[None]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        yield
        time.sleep(0.01)
    raise AssertionError(f"waited in vain for {what}")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_any_number_of_workers_gives_the_same_records(tmp_path: Path) -> None:
    passes: list[tuple[str, float, str]] = []

    class Counting(Progress):
        def show(self, begin: bool = False) -> None:
            if begin:
                passes.append((self.label, self.total, self.unit))

    progress = Counting()
    one = sweep(tmp_path / "1", tmp_path / "cache", Slow(), range(8), 1, progress)
    assert progress.done == pytest.approx(8)
    assert passes == [("training", 8, "trials")]
    for workers in (2, 4):
        assert results(sweep(tmp_path / str(workers), tmp_path / "cache", Slow(), range(8), workers)) == results(one)
    assert list(one) == list(sweep(tmp_path / "2", tmp_path / "cache", Slow(), range(8), 1, progress))
    assert len(passes) == 1, "nothing was missing"
    assert [record.seed for record in one.values()] == list(range(8))
    first = next(iter(one.values()))
    assert set(first.metrics) == {"held", "held/even", "held/odd", "other", "other/even", "other/odd"}
    assert first.metrics["held"] == first.measured["held"].mean()
    assert first.cost["select_seconds"] == 0.5
    assert first.cost["train_seconds"] == first.seconds > 0
    assert first.cost["tokens"] == first.cost["train_tokens"]
    assert not list((tmp_path / "1" / "running").iterdir())
    assert not list((tmp_path / "4" / "running").iterdir())


def test_a_worker_gives_what_the_proxy_gives(tmp_path: Path) -> None:
    proxy = Ngram(table_bits=12)
    found = sweep(tmp_path / "ledger", tmp_path / "cache", proxy, range(3))
    store = Store(tmp_path / "cache")
    corpus = Corpus(store, documents(store))
    for record in found.values():
        rows = np.sort(np.random.default_rng(record.seed).permutation(60)[:20] * 2)
        held = [evaluation(), evaluation("other", 7)]
        outcome = proxy.train(corpus.batch(rows), held, Uniform(), 1.0, record.seed, Watch())
        assert record.curve == outcome.curve
        for name, measured in outcome.measured.items():
            assert np.array_equal(record.measured[name].loss, measured.loss)


@pytest.mark.parametrize(
    ("proxy", "signals"), [(Slow(0.4), (signal.SIGKILL, signal.SIGINT)), (Ngram(table_bits=18), (signal.SIGKILL,))]
)
def test_a_killed_sweep_loses_at_most_what_was_running(
    tmp_path: Path, log: Path, proxy: Proxy, signals: tuple[int, ...]
) -> None:
    ledger = tmp_path / "ledger"
    before: dict[str, int] = {}
    for number in signals:
        process = script(tmp_path, ledger, repr(proxy), 20)
        for _ in until("some trials"):
            if len(stored(ledger)) >= len(before) + 4:
                break
        process.send_signal(number)
        lines = said(process)
        assert process.returncode not in (0, None)
        assert lines[0] == "top"
        for _ in until("the workers' end"):
            if not any(alive(pid) for pid, _ in starts(log)):
                break
        after = stored(ledger)
        assert before.items() <= after.items(), "finished trials stay untouched"
        before = after
    assert 4 <= len(before) < 20
    assert len(starts(log)) - len(before) <= 2 * len(signals), "no more than what two workers were running"
    last = script(tmp_path, ledger, repr(proxy), 20)
    assert said(last) == ["top", "20"], "the script was not imported again by its workers"
    assert before.items() <= stored(ledger).items()
    again = sweep(ledger, tmp_path / "cache", proxy)
    assert results(again) == results(sweep(tmp_path / "whole", tmp_path / "cache", proxy))
    assert not list((ledger / "running").iterdir())


def test_workers_go_on_from_one_call_to_the_next(tmp_path: Path, log: Path) -> None:
    """With other documents and another ledger, too; one that died meanwhile is replaced; none outlives the command."""

    def processes(begin: int) -> set[int]:
        return {pid for pid, _ in starts(log)[begin:]}

    with Crew() as crew:
        one = sweep(tmp_path / "1", tmp_path / "a", Slow(), range(4), 1, start=crew.start)
        other = sweep(tmp_path / "2", tmp_path / "b", Slow(), range(4), 1, documents_of=44, start=crew.start)
        (worker,) = processes(0)
        assert len(starts(log)) == 8
        os.kill(worker, signal.SIGKILL)
        for _ in until("its end"):
            if crew.idle[0].answers()[1]:
                break
        told: list[str] = []
        sweep(tmp_path / "3", tmp_path / "a", Slow(), range(4), 2, start=crew.start, notice=told.append)
        assert worker not in processes(8) and not told
        waiting = {one.pid for one in crew.idle}
        sweep(tmp_path / "6", tmp_path / "a", Slow(fate="memory once", at=2), range(4), 1, start=crew.start)
        assert waiting and not any(alive(pid) for pid in waiting), "their memory may be what was lacking"
    assert not any(alive(pid) for pid in processes(0))
    assert results(one) == results(sweep(tmp_path / "4", tmp_path / "a", Slow(), range(4), 1))
    assert results(other) == results(sweep(tmp_path / "5", tmp_path / "b", Slow(), range(4), 1, documents_of=44))
    assert results(one) != results(other)


def test_two_programs_share_a_ledger(tmp_path: Path, log: Path) -> None:
    ledger = tmp_path / "ledger"
    rivals = [script(tmp_path, ledger, "Slow(0.1)", 16) for _ in range(2)]
    assert [said(one) for one in rivals] == [["top", "16"]] * 2
    assert sorted(seed for _, seed in starts(log)) == list(range(16)), "none lost, none twice"
    assert len(stored(ledger)) == 16
    assert not list((ledger / "running").iterdir())


@pytest.mark.parametrize(
    ("fate", "how"), [("exit", "status 11"), ("kill", "SIGKILL"), ("crash", "SIGSEGV"), ("memory", "out of memory")]
)
def test_a_crashed_trial_is_run_once_more(tmp_path: Path, log: Path, fate: str, how: str) -> None:
    told: list[str] = []
    found = sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01, f"{fate} once", 1), range(4), notice=told.append)
    assert Counter(seed for _, seed in starts(log)) == {0: 1, 1: 2, 2: 1, 3: 1}
    assert len(told) == 1
    assert "arm, seed 1" in told[0]
    assert how in told[0]
    assert [record.status for record in found.values()] == ["finished"] * 4


def test_a_killed_trial_goes_on_from_its_checkpoint(tmp_path: Path, log: Path) -> None:
    (whole,) = sweep(tmp_path / "whole", tmp_path / "cache", Stepping(), range(1), 1).values()
    assert [step for _, step in starts(log)] == list(range(5))
    log.unlink()
    told: list[str] = []
    (resumed,) = sweep(tmp_path / "killed", tmp_path / "cache", Stepping(3), range(1), 1, notice=told.append).values()
    assert len(told) == 1
    assert [step for _, step in starts(log)] == list(range(5)), "no step twice"
    assert len({pid for pid, _ in starts(log)}) == 2
    assert (resumed.curve, resumed.metrics) == (whole.curve, whole.metrics)
    assert resumed.cost["train_tokens"] == whole.cost["train_tokens"] == 20


def test_a_trial_that_crashes_twice_fails_the_run_but_no_other(tmp_path: Path, log: Path) -> None:
    for number in range(2):
        with pytest.raises(ResourceError, match=r"arm, seed 0 ended with status 11, twice\. The others are kept"):
            sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01, "exit", 0), range(4), notice=lambda one: None)
        assert len(stored(tmp_path / "ledger")) == 3
        assert Counter(seed for _, seed in starts(log)) == {0: 2 * number + 2, 1: 1, 2: 1, 3: 1}


def test_refusals_and_faults_of_a_proxy_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not suit the stub"):
        sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01, "refuse", 0), range(2), 1)
    with pytest.raises(CuveeError, match=r"seed 0 failed in the proxy tests\.proof\.stubs:Slow: KeyError") as caught:
        sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01, "bug", 0), range(2), 1)
    assert "in suffer" in caught.value.__notes__[0]
    with pytest.raises(DataError, match="Row 1 of the pool is not among"):
        store = Store(tmp_path / "cache")
        Corpus(store, documents(store)).batch(np.array([1]))


def test_a_diverged_trial_counts_as_run(tmp_path: Path, log: Path) -> None:
    for _ in range(2):
        found = sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01, "diverge", 1), range(2))
        good, bad = found.values()
        assert (good.status, bad.status) == ("finished", "diverged")
        assert (bad.metrics, bad.measured) == ({}, {})
        assert bad.cost["train_flops"] == 1.0
        assert len(bad.curve) == 1
    assert len(starts(log)) == 2


def test_a_damaged_trial_is_run_again(tmp_path: Path, log: Path) -> None:
    whole = results(sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01), range(3), 1))
    path = next((tmp_path / "ledger").glob("trials/*/*.parquet"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    with pytest.warns(UserWarning, match="is damaged"):
        again = sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01), range(3), 1)
    assert results(again) == whole
    assert len(starts(log)) == 4
    assert len(Ledger(tmp_path / "ledger").trials()) == 3


def test_progress_counts_trials() -> None:
    stream = io.StringIO()
    lines = Lines(stream, every=0.0)
    lines.begin("training (3 of 10 done before)", 7, "trials")
    lines.advance(1.25)
    lines.advance(0.75)
    lines.begin("score", 4_000_000)
    lines.advance(2_000_000)
    shown = stream.getvalue().splitlines()
    assert shown[1].startswith("training (3 of 10 done before): 1.2 of 7 trials")
    assert shown[2].startswith("training (3 of 10 done before): 2 of 7 trials")
    assert shown[-1].startswith("score 50%: 2 MB at ")


def test_lost_documents_are_said(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    keys = documents(store)
    path = store.path(keys[1])
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="missing or damaged"):
        Corpus(store, keys).batch(np.array([0]))
    store.remove(keys[1])
    with pytest.raises(DataError, match="missing or damaged"):
        Corpus(store, keys).batch(np.array([0]))


def test_documents_and_evaluation_sets_survive_the_exchange(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = np.array([9, 3, 5])
    assert get_rows(store, put_rows(store, rows)).tolist() == [3, 5, 9]
    assert put_rows(store, rows) == put_rows(store, rows[::-1])
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 3)
    columns = {"row": pa.array([3, 5, 7, 9]), "key": pa.array([1, 2, 3, 4], pa.uint64())}
    columns |= {"text": pa.array([b"a", b"", b"ccc", b"dd"], pa.large_binary()), "embedding": flat}
    columns |= {"label": pa.array(["x", "y", "x", "y"], pa.large_string())}
    store.put_table("c" * 40, [pa.RecordBatch.from_pydict(columns)])
    batch = Corpus(store, ["c" * 40]).batch(np.array([3, 7, 7, 9]))
    assert [batch.text(i) for i in range(4)] == ["a", "ccc", "ccc", "dd"]
    assert batch.key.tolist() == [1, 3, 3, 4]
    assert np.array_equal(batch.columns["embedding"], vectors[[0, 2, 2, 3]])
    assert batch.columns["label"].to_pylist() == ["x", "x", "x", "y"]
    held = Evaluation("held", batch, np.array([0, 1, 1, 0], np.int32), ("p", "q"))
    key = put_evaluation(store, held)
    again = get_evaluation(store, key, "held")
    assert evaluation_digest(again) == key == evaluation_digest(held)
    assert np.array_equal(again.batch.columns["embedding"], batch.columns["embedding"])
    assert again.groups == ("p", "q")
    other = Batch(batch.data, batch.offsets, batch.row, batch.key + np.uint64(1), batch.columns)
    assert evaluation_digest(Evaluation("held", other, held.group, held.groups)) != key


def test_arms_of_equal_selections_share_a_trial(tmp_path: Path, log: Path) -> None:
    for arm in ("first", "second"):
        (record,) = sweep(tmp_path / "ledger", tmp_path / "cache", Slow(0.01), range(1), 1, arm=arm).values()
        assert record.arm == arm
    assert len(starts(log)) == 1
