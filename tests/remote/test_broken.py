"""Connections that break, stall or bring errors: the same rows in the end, or one sentence and nothing left behind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.errors import DataError
from cuvee.source import remote, retry
from cuvee.source.base import Spec
from cuvee.source.discover import discover

from ..command import contents, outside
from ..command import cuvee as command
from .stage import Bucket, Proxy, Request
from .test_pools import texts

NewProxy = Callable[..., Proxy]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """900 documents of about 6 kB, little of which compresses."""
    chance = np.random.default_rng(1)
    source = pq.read_table(Path(cuvee.__file__).parent / "demo" / "pool.parquet", columns=["id", "text"]).slice(0, 900)
    long = [text + chance.bytes(2500).hex() for text in source.column("text").to_pylist()]
    return pa.table({"id": source.column("id"), "text": long})


@pytest.fixture
def filled(bucket: Bucket, table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The documents as Parquet, plain and compressed lines, and a folder of texts; pieces are small."""
    monkeypatch.setattr(remote, "PIECE", 200_000)
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=200)
    bucket.put("parquet/p.parquet", (tmp_path / "p.parquet").read_bytes())
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in table.to_pylist())
    bucket.put("lines/p.jsonl", lines)
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(lines)
    bucket.put("packed/p.jsonl.zst", packed.getvalue().to_pybytes())
    for k, text in enumerate(table.column("text").to_pylist()[:30]):
        bucket.put(f"notes/{k:03}.txt", text.encode())
    return bucket


def trouble(seed: int, *kinds: str, share: float = 0.3) -> Callable[[Request, int], str | None]:
    """Harm to a share of all requests, the same each time."""
    chance = random.Random(seed)
    return lambda request, number: chance.choice(kinds) if chance.random() < share else None


@pytest.mark.parametrize("folder", ["parquet", "lines", "packed", "notes"])
@pytest.mark.parametrize("kinds", [("cut",), ("500", "503")])
def test_reading_goes_on(
    filled: Bucket, proxy: NewProxy, folder: str, kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of all requests fails in one way or another: every row comes as from a sound server."""
    monkeypatch.setattr(retry, "PATIENCE", 20.0)  # requests side by side come in any order: one may fail many times
    expected = texts(discover([filled.address(folder)]).sources)
    remote.kept.__init__(remote.KEPT_BYTES)  # type: ignore[misc]
    between = proxy(trouble(1, *kinds))
    assert texts(discover([filled.address(folder, between.endpoint)]).sources) == expected
    assert len(expected) == (30 if folder == "notes" else 900)
    assert sum(one.sent == 0 or one.sent < 100 for one in between.requests) > 3 or kinds == ("cut",)


def test_a_broken_read_costs_its_piece_alone(filled: Bucket, proxy: NewProxy) -> None:
    """After a cut in the midst of a body, only the piece that it was in is fetched again."""
    hurt: list[Request] = []

    def harm(request: Request, number: int) -> str | None:
        if request.method == "GET" and request.range and request.range[0] == 2_000_000:
            hurt.append(request)
            return "cut" if len(hurt) == 1 else None
        return None

    between = proxy(harm)
    (source,) = discover([filled.address("lines/p.jsonl", between.endpoint)]).sources
    source.index()
    size = filled.keys()["lines/p.jsonl"]
    assert len(hurt) == 2
    assert between.fetched("p.jsonl") < size + 3 * remote.END + 2 * remote.PIECE


def test_stalls_are_given_up(filled: Bucket, proxy: NewProxy) -> None:
    stalled: list[Request] = []

    def harm(request: Request, number: int) -> str | None:
        if number < 5 or request.method != "GET" or stalled:
            return None
        stalled.append(request)
        return "stall"

    between = proxy(harm, stall_seconds=1000.0)
    assert len(texts(discover([filled.address("lines", between.endpoint)]).sources)) == 900
    again = [one for one in between.requests if one.range == stalled[0].range]
    assert stalled[0].sent > 0 and len(again) > 1


@pytest.mark.parametrize("folder", ["parquet", "lines", "packed"])
def test_a_server_that_stays_away(filled: Bucket, proxy: NewProxy, folder: str) -> None:
    """The sentence names the file and the byte, and says that the same command goes on."""
    between = proxy()
    (source,) = discover([filled.address(folder, between.endpoint)]).sources
    index = source.index()
    remote.kept.__init__(remote.KEPT_BYTES)  # type: ignore[misc]
    reader = source.read(index.segments[0], 0, Spec())
    next(reader)
    between.down = True
    with pytest.raises(DataError) as refused:
        list(reader)
    said = str(refused.value)
    assert f"{folder}/p." in said and "the connection failed" in said
    assert ", byte " in said or ", at its end" in said
    assert "run the same command again" in said


def test_a_command_without_its_server(filled: Bucket, proxy: NewProxy, tmp_path: Path) -> None:
    """Status 3, one sentence, no output; when the server is back, the same command ends as if nothing had been."""
    between = proxy()
    line = ("select", filled.address("lines", between.endpoint), "--with", "random", "--rows", 50, "--quiet")
    more = ("--cache", tmp_path / "cache", "-o", tmp_path / "kept")
    counted = [0]

    def go_away(request: Request) -> None:
        counted[0] += 1
        between.down = between.down or counted[0] > 40

    between.after = go_away
    said = command(*line, *more).error()
    assert "p.jsonl" in said and "the connection failed" in said
    assert not (tmp_path / "kept").exists()
    between.after, between.down = lambda request: None, False
    assert command(*line, *more).status == 0
    direct = (line[0], filled.address("lines"), *line[2:], "--cache", tmp_path / "other", "-o", tmp_path / "direct")
    assert command(*direct).status == 0
    one, other = (pq.read_table(tmp_path / name / "selection.parquet").drop(["file"]) for name in ("kept", "direct"))
    assert one.equals(other)


@pytest.mark.parametrize("folder", ["parquet", "lines", "packed"])
@pytest.mark.parametrize("same_size", [False, True])
def test_an_object_that_changes(filled: Bucket, folder: str, same_size: bool) -> None:
    """Between counting and reading, and while it is read: named, never mixed."""
    (key,) = filled.keys(folder)
    before = filled.get(key)
    after = before[:-5] + b"xxxxx" if same_size else before + b" "
    (source,) = discover([filled.address(folder)]).sources
    segment = source.index().segments[0]
    filled.put(key, after)
    with pytest.raises(DataError, match=r"p\.\w+.* changed while it was being read"):
        list(source.read(segment, 0, Spec()))
    (source,) = discover([filled.address(folder)]).sources if folder == "lines" else [source]
    if folder == "lines":
        reader = source.read(source.index().segments[0], 0, Spec())
        next(reader)
        filled.put(key, before)
        with pytest.raises(DataError, match="changed while it was being read"):
            list(reader)


def test_a_changed_object_is_not_written(filled: Bucket, tmp_path: Path) -> None:
    """A selection of a pool that changed since: refused, and nothing written."""
    kept = tmp_path / "kept"
    assert command("select", filled.address("lines"), "--with", "random", "--rows", 9, "-o", kept, "-q").status == 0
    filled.put("lines/p.jsonl", filled.get("lines/p.jsonl") + b'{"text": "more"}\n')
    said = command("write", kept, "-o", tmp_path / "documents", "-q").error()
    assert "p.jsonl" in said and "has changed since the selection was made" in said
    assert not (tmp_path / "documents").exists()


def answering(status: str, code: str) -> Callable[[Request, int], str]:
    return lambda request, number: f"{status} {code}"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ("403", "AccessDenied", "access is denied. Check the credentials"),
        ("403", "InvalidAccessKeyId", "access is denied. Check the credentials"),
        ("403", "SignatureDoesNotMatch", "access is denied. Check the credentials"),
        ("404", "NoSuchBucket", "there is no such bucket"),
        ("301", "PermanentRedirect", "region"),
        ("400", "AuthorizationHeaderMalformed", "region"),
        ("405", "MethodNotAllowed", "the server refuses the request"),
    ],
)
def test_refusals_are_final(filled: Bucket, proxy: NewProxy, status: str, code: str, words: str) -> None:
    """What no repetition mends is said at once."""
    between = proxy(answering(status, code))
    for path in ("lines/p.jsonl", "lines", "lines/*.jsonl"):
        asked = len(between.requests)
        with pytest.raises(DataError, match=words):
            discover([filled.address(path, between.endpoint)])
        assert len(between.requests) - asked <= 3


def test_no_credentials(filled: Bucket, proxy: NewProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without keys anywhere, the sentence says how to give them; the status is 3, with nothing on standard output."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    between = proxy(answering("403", "AccessDenied"))
    answer = outside("profile", filled.address("lines", between.endpoint), "-o", tmp_path / "out", "-q")
    said = answer.error()
    assert answer.status == 3 and "there are no credentials. Set AWS_ACCESS_KEY_ID" in said
    assert "out" not in {path.split("/")[0] for path in contents(tmp_path)}


def test_patience_is_bounded_and_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses double up to the longest; the last failure comes before patience ends; success is returned at once."""
    slept: list[float] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(retry, "PATIENCE", 60.0)
    monkeypatch.setattr(retry.time, "sleep", sleep)
    monkeypatch.setattr(retry.time, "monotonic", lambda: clock[0] + 1)
    tries = [0]

    def fail() -> int:
        tries[0] += 1
        raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 56, Recv failure")

    with pytest.raises(DataError, match=r"x, byte 5: the connection failed \d+ times within \d+ s \(Recv failure\)"):
        retry.persist(fail, "x", "byte 5")
    assert slept[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0] and set(slept[6:]) == {5.0}
    assert 50 < sum(slept) <= 60 and tries[0] == len(slept) + 1
    failing = iter([True, True, False])
    assert retry.persist(lambda: fail() if next(failing) else 7, "x") == 7
