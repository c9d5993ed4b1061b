"""Thresholdout: the golden case, and what no restart, repetition or second process may get around."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from claims.thresholdout import naive, select_and_vote
from cuvee.engine import files
from cuvee.errors import BusyError, DataError, UsageError
from cuvee.proof.holdout import ReusableHoldout, documents_needed, practical_answer

GOLDEN = Path(__file__).parents[1] / "data" / "thresholdout"


@pytest.mark.parametrize("name", ["no_signal_1", "signal_1"])
def test_golden(name: str) -> None:
    """The paper's supplementary program, with its noise. k = 0 takes all features there and its row is then 0.5."""
    with np.load(GOLDEN / f"{name}.npz") as stored:
        given = dict(stored)
    sets = [given[f"X_{part}"].astype(np.float64) for part in ("train", "holdout", "test")]
    noise: Iterator[float] = iter(given["query_noise_in_order_used"].tolist())
    threshold = float(given["threshold"])

    def answer(on_train: np.ndarray, on_holdout: np.ndarray) -> np.ndarray:
        if on_train.ndim:
            more = given["feature_threshold_noise"], given["feature_answer_noise"]
            return practical_answer(on_train, on_holdout, threshold, *more)
        first = next(noise)
        agree = abs(on_train - on_holdout) <= threshold + first
        return practical_answer(on_train, on_holdout, threshold, first, 0.0 if agree else next(noise))

    sizes = given["k"].tolist()
    for kind, told in (("standard", naive), ("thresholdout", answer)):
        found = select_and_vote(*sets, sizes, told)
        found[given["k"] == 0] = 0.5
        assert found == pytest.approx(given[f"{kind}_train_holdout_fresh"], abs=1e-9)
    assert next(noise, None) is None


def laplace(path: Path, **more: object) -> ReusableHoldout:
    given = {"n": 400, "variant": "laplace", "budget": 3, "seed": 7} | more
    return ReusableHoldout(path / "holdout.json", **given)  # type: ignore[arg-type]


def query(number: int, apart: float, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Improvements whose means differ by ``apart``."""
    random = np.random.default_rng(number)
    development = random.normal(0, 0.01, 300)
    guarded = random.normal(0, 0.01, n)
    return development, guarded - guarded.mean() + development.mean() + apart


def test_agreement_tells_nothing_of_the_guarded_set(tmp_path: Path) -> None:
    """While both agree the answer is the development set's, to the bit, and no budget is used."""
    holdout = laplace(tmp_path)
    for number in range(5):
        development, guarded = query(number, 0.001)
        assert holdout.ask(development, guarded) == development.mean()
    assert json.loads(holdout.path.read_bytes())["left"] == 3


def test_the_budget_ends(tmp_path: Path) -> None:
    holdout = laplace(tmp_path)
    for number in range(3):
        development, guarded = query(number, 0.9)
        answer = holdout.ask(development, guarded)
        assert answer != development.mean() and answer == pytest.approx(guarded.mean(), abs=0.15)
    with pytest.raises(UsageError, match=r"budget of 3 .* used up"):
        holdout.ask(*query(9, 0.001))
    assert holdout.ask(*query(2, 0.9)) == answer  # asked before: nothing new is told


def test_neither_restart_nor_repetition_refreshes_the_noise(tmp_path: Path) -> None:
    first = laplace(tmp_path, budget=50)
    answers = [first.ask(*query(number, 0.9)) for number in range(4)]
    again = laplace(tmp_path, budget=50)
    assert [again.ask(*query(number, 0.9)) for number in range(4)] == answers
    state = json.loads(again.path.read_bytes())
    assert state["left"] == 46 and len(state["answers"]) == 4
    # Interrupted after two queries and gone on with: the same noise, and the same threshold.
    (tmp_path / "other").mkdir()
    for number in range(4):
        assert laplace(tmp_path / "other", budget=50).ask(*query(number, 0.9)) == answers[number]
    assert json.loads((tmp_path / "other" / "holdout.json").read_bytes()) == state


def test_a_seed_of_its_own_is_drawn_and_kept(tmp_path: Path) -> None:
    seeds = set()
    for name in ("a", "b"):
        holdout = ReusableHoldout(tmp_path / name, 400)
        first = holdout.ask(*query(1, 0.9))
        assert ReusableHoldout(tmp_path / name, 400).ask(*query(1, 0.9)) == first
        seeds.add(json.loads(holdout.path.read_bytes())["seed"])
    assert len(seeds) == 2


def test_improvements_are_clipped(tmp_path: Path) -> None:
    holdout = ReusableHoldout(tmp_path / "h", 4, seed=1)
    assert holdout.ask([5.0, 1.0], np.full(4, 9.0)) == 1.0
    assert holdout.ask([1.0, 1.0], np.ones(4)) == 1.0
    assert len(json.loads(holdout.path.read_bytes())["answers"]) == 1  # both are one query after clipping


def test_gaussian_answers_have_the_stated_noise(tmp_path: Path) -> None:
    """Of queries far apart: mean of the guarded set, and 1 / sqrt(n)."""
    n = 100
    off = []
    for seed in range(60):
        _, guarded = query(seed, 0.9, n)
        off.append(ReusableHoldout(tmp_path / str(seed), n, seed=seed).ask(np.full(50, -1.0), guarded) - guarded.mean())
    assert abs(np.mean(off)) < 0.04 and np.std(off) == pytest.approx(0.1, rel=0.3)


def _ask(path: Path, numbers: list[int], told: multiprocessing.Queue[object]) -> None:
    for number in numbers:
        try:
            told.put((number, laplace(path, budget=6).ask(*query(number, 0.9))))
        except UsageError:
            told.put((number, None))


def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    told = context.Queue()
    asked = [list(range(8)), list(range(8, 16))]
    both = [context.Process(target=_ask, args=(tmp_path, numbers, told)) for numbers in asked]
    for process in both:
        process.start()
    found = [told.get(timeout=60) for _ in range(16)]
    for process in both:
        process.join(60)
    assert sum(answer is not None for _, answer in found) == 6
    state = json.loads((tmp_path / "holdout.json").read_bytes())
    assert state["left"] == 0 and len(state["answers"]) == 6


def test_a_held_lock_is_waited_for_and_then_named(tmp_path: Path) -> None:
    holdout = laplace(tmp_path, wait=0.05)
    with files.lock(holdout.path), pytest.raises(BusyError):
        holdout.ask(*query(1, 0.1))


def test_other_settings_and_damaged_files_are_refused(tmp_path: Path) -> None:
    holdout = laplace(tmp_path)
    holdout.ask(*query(1, 0.9))
    with pytest.raises(UsageError, match="other settings"):
        laplace(tmp_path, budget=100).ask(*query(2, 0.9))
    with pytest.raises(UsageError, match="other settings"):
        laplace(tmp_path, seed=8).ask(*query(2, 0.9))
    holdout.path.write_text("{}")
    with pytest.raises(DataError, match="guard new documents"):
        holdout.ask(*query(2, 0.9))


def test_a_failing_disk_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer leaves only after the budget is written."""
    holdout = laplace(tmp_path)
    monkeypatch.setattr(files.system, "rename", lambda source, target: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(Exception, match="failed"):
        holdout.ask(*query(1, 0.9))
    assert not holdout.path.exists()


@pytest.mark.parametrize(
    "given",
    [{"n": 0}, {"variant": "ladder"}, {"budget": None}, {"budget": 0}, {"variant": "gaussian"}, {"scale": 0.0}],
)
def test_impossible_settings_are_refused(given: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        laplace(tmp_path, **given)


def test_bad_queries_are_refused(tmp_path: Path) -> None:
    holdout = laplace(tmp_path)
    with pytest.raises(UsageError, match="guards 400 documents, not 3"):
        holdout.ask([0.1], [0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="finite"):
        holdout.ask([np.nan], np.zeros(400))
    assert not holdout.path.exists()


def test_it_says_what_it_cannot_do() -> None:
    assert documents_needed(0.01) == 160_000 and documents_needed(1) == 16
    holdout = ReusableHoldout(Path("unused"), 300)
    assert "below 0.23 cannot be told" in holdout.limits() and "160,000 documents" in holdout.limits()
    assert holdout.settings["scale"] == pytest.approx(300**-0.5)
    with pytest.raises(UsageError, match="above 0"):
        documents_needed(0.0)
