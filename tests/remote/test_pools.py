"""Pools on an S3-compatible server: the same results as from the same files on a disk, and no byte fetched in vain."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.engine.manifest import Manifest
from cuvee.engine.store import Store
from cuvee.errors import DataError, UsageError
from cuvee.source import remote
from cuvee.source.base import RawBatch, Source, Spec
from cuvee.source.discover import discover
from cuvee.source.resolve import resolve_columns

from ..command import cuvee as command
from ..command import outside
from .stage import Bucket, Proxy

NewProxy = Callable[..., Proxy]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """1,500 documents of the demonstration."""
    table = pq.read_table(Path(cuvee.__file__).parent / "demo" / "pool.parquet", columns=["id", "text", "domain"])
    picks = np.linspace(0, table.num_rows - 1, 1500).astype(np.int64)
    return table.take(pa.array(picks)).to_pylist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def pool(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same documents in every format that has rows, with names that try the order and the addresses."""
    folder = tmp_path_factory.mktemp("pools") / "pool"
    (folder / "more files").mkdir(parents=True)
    parts = [rows[k * 250 : (k + 1) * 250] for k in range(6)]
    lines = [b"".join(json.dumps(row).encode() + b"\n" for row in part) for part in parts]
    (folder / "a.jsonl").write_bytes(lines[0])
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines[1]))
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(lines[2])
    (folder / "more files" / "ä+%41&b=1.jsonl.zst").write_bytes(packed.getvalue().to_pybytes())
    pq.write_table(pa.Table.from_pylist(parts[3]), folder / "b.parquet", row_group_size=60)
    with pa.ipc.new_file(str(folder / "c.arrow"), pa.Table.from_pylist(parts[4]).schema) as writer:
        writer.write_table(pa.Table.from_pylist(parts[4]), max_chunksize=50)
    pyarrow.csv.write_csv(pa.Table.from_pylist(parts[5]), folder / "d.csv")
    (folder / "README.md").write_text("no data")
    (folder / "_hidden.jsonl").write_bytes(lines[0])
    return folder


def all_of(source: Source, spec: Spec) -> list[RawBatch]:
    return list(source.read(source.index().segments[0], 0, spec))


def texts(sources: list[Source], text: str = "text") -> list[bytes]:
    found = []
    for source in sources:
        for batch in all_of(source, Spec(text=text)):
            found += [batch.data[a:b].tobytes() for a, b in pairwise(batch.offsets.tolist())]
    return found


def test_same_results_as_from_disk(bucket: Bucket, pool: Path, target: Path, tmp_path: Path) -> None:
    """Profile, select, write and prove through addresses: the rows, digests and documents of the local files."""
    bucket.upload(pool, "pool")
    bucket.put("target.jsonl", target.read_bytes())
    address = bucket.address("pool")
    assert len(discover([address]).sources) == 6
    assert [reason for _, reason in discover([address]).skipped] == ["notes, not data", "hidden"]
    results = {}
    for where, data, toward in (("here", str(pool), str(target)), ("there", address, bucket.address("target.jsonl"))):
        more = ("--quiet", "--cache", tmp_path / f"cache-{where}")
        kept, documents = tmp_path / where / "kept", tmp_path / where / "documents"
        looked = command("profile", data, "-o", tmp_path / where / "profile", "--json", *more)
        assert looked.status == 0, looked
        chosen = command("select", data, "--target", toward, "--rows", 200, "-o", kept, "--json", *more)
        assert chosen.status == 0, chosen
        written = command("write", kept, "-o", documents, "--format", "jsonl", *more)
        assert written.status == 0, written
        ids = pq.read_table(kept / "selection.parquet", columns=["key", "id", "row", "score", "weight"])
        profile = json.loads(looked.out)
        results[where] = [
            profile["counts"],
            json.loads(chosen.out)["reproduce"]["digest"],
            ids,
            (documents / "part-00000.jsonl").read_bytes(),
        ]
    assert results["here"] == results["there"]
    candidate = tmp_path / "there" / "kept"
    eval_rows = tmp_path / "evaluation.jsonl"
    eval_rows.write_bytes(target.read_bytes())
    proved = command(
        "prove", candidate, "--eval", eval_rows, "--proxy", "ngram:table_bits=14,order=2", "--seeds", 2, "--plan",
        "--cache", tmp_path / "cache-there", "--ledger", tmp_path / "ledger",
    )  # fmt: skip
    assert proved.status == 0, proved


def test_globs_files_and_order(bucket: Bucket, pool: Path) -> None:
    bucket.upload(pool, "pool")

    def names(*patterns: str) -> list[str]:
        return [s.path.split("?")[0].removeprefix(f"s3://{bucket.name}/pool/") for s in discover(patterns).sources]

    assert names(bucket.address("pool/*.jsonl")) == ["_hidden.jsonl", "a.jsonl"]
    assert names(bucket.address("pool/?.jsonl")) == ["a.jsonl"]
    assert names(bucket.address("pool/**/*.jsonl*")) == [
        "_hidden.jsonl", "a.jsonl", "a.jsonl.gz", "more files/ä+%41&b=1.jsonl.zst",
    ]  # fmt: skip
    assert names(bucket.address("pool/d.csv"), bucket.address("pool/")) == names(bucket.address("pool"))
    assert names(bucket.address("pool/more files/ä+%41&b=1.jsonl.zst")) == ["more files/ä+%41&b=1.jsonl.zst"]
    assert names(bucket.address("")) == [f"s3://{bucket.name}/pool/{name}".removeprefix(f"s3://{bucket.name}/pool/")
                                         for name in names(bucket.address("pool"))]  # fmt: skip
    for source in discover([bucket.address("pool")]).sources:
        assert discover([source.path]).sources[0].path == source.path


def test_endpoint_from_the_environment(bucket: Bucket, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a.jsonl", (pool / "a.jsonl").read_bytes())
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{bucket.port}")
        (source,) = discover([f"s3://{bucket.name}/a.jsonl"]).sources
        assert source.path == f"s3://{bucket.name}/a.jsonl" and source.index().rows == 250
        monkeypatch.delenv(name)


def test_the_command_line_in_a_process_of_its_own(bucket: Bucket, pool: Path, tmp_path: Path) -> None:
    """Behind the supervisor's fork, as users run it."""
    bucket.upload(pool, "pool")
    answer = outside("profile", bucket.address("pool"), "-o", tmp_path / "out", "--quiet")
    assert "1,500" in "\n".join(answer.screen())


def table_of(rows: list[dict[str, str]], times: int) -> pa.Table:
    """Documents that do not compress much and differ, with a column that is not wanted and is as large as the text."""
    chance = np.random.default_rng(5)
    long = [row["text"] + chance.bytes(1000).hex() for _ in range(times) for row in rows]
    return pa.table(
        {
            "id": [f"row {k}" for k in range(len(long))],
            "text": long,
            "other": [chance.bytes(1500).hex() for _ in long],
            "domain": [row["domain"] for _ in range(times) for row in rows],
        }
    )


def test_a_pass_fetches_what_it_reads_once(
    bucket: Bucket, rows: list[dict[str, str]], proxy: NewProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole passes in many spans, by two workers: each byte of the wanted columns about once, of others none."""
    table = table_of(rows, 10)
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=700, compression="zstd")
    bucket.put("p.parquet", (tmp_path / "p.parquet").read_bytes())
    metadata = pq.read_metadata(tmp_path / "p.parquet")
    size = {
        name: sum(metadata.row_group(g).column(k).total_compressed_size for g in range(metadata.num_row_groups))
        for k, name in enumerate(table.schema.names)
    }
    counter = proxy()
    (source,) = discover([bucket.address("p.parquet", counter.endpoint)]).sources
    source.index()
    overhead = counter.fetched("p.parquet")
    assert overhead < 3 * remote.END + metadata.serialized_size

    def cost(spec: Spec) -> int:
        before = counter.fetched("p.parquet")
        manifest = Manifest.build([source], spec, Store(tmp_path / "store"))
        assert len(manifest.spans) > 3
        for span in manifest.spans:
            for _ in manifest.read(span):
                pass
        return counter.fetched("p.parquet") - before

    assert size["domain"] <= cost(Spec(text="domain")) < size["domain"] + overhead + 400_000
    monkeypatch.setattr(remote, "kept", remote.Kept(remote.KEPT_BYTES))
    assert size["text"] <= cost(Spec(text="text")) < 1.1 * size["text"] + overhead
    assert counter.fetched("p.parquet") < 0.7 * (tmp_path / "p.parquet").stat().st_size


def test_lines_are_fetched_once_and_ahead(bucket: Bucket, rows: list[dict[str, str]], proxy: NewProxy) -> None:
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in table_of(rows, 2).to_pylist())
    bucket.put("p.jsonl", lines)
    counter = proxy(delay_seconds=0.05)
    (source,) = discover([bucket.address("p.jsonl", counter.endpoint)]).sources
    before = counter.fetched("p.jsonl")
    assert len(texts([source])) == 3000
    passes = 2  # counting the lines, then reading them
    assert counter.fetched("p.jsonl") - before < passes * len(lines) + 3 * remote.PIECE
    begins = [one.range[0] for one in counter.requests if one.range and one.range[1] - one.range[0] + 1 == remote.PIECE]
    assert len(begins) >= len(lines) // remote.PIECE


def test_requests_overlap(
    bucket: Bucket, rows: list[dict[str, str]], proxy: NewProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one piece is awaited the next are on their way, and a reader never has more pieces than the bound."""
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in table_of(rows, 3).to_pylist())
    bucket.put("p.jsonl", lines)
    most, had = [0], list[int]()
    send = remote.Window._send

    def counted(self: remote.Window, start: int, end: int) -> Any:
        had.append(len(self._coming) + len(self._held) + 1)
        return send(self, start, end)

    monkeypatch.setattr(remote.Window, "_send", counted)
    counter = proxy(delay_seconds=0.1)
    counter.after = lambda request: most.__setitem__(0, max(most[0], counter.busy))
    (source,) = discover([bucket.address("p.jsonl", counter.endpoint)]).sources
    assert len(texts([source])) == 4500
    assert most[0] > 2 and 2 < max(had) <= remote.MOST_AHEAD + 1


def test_kept_pieces_are_bounded() -> None:
    kept = remote.Kept(10_000)
    version = remote.Version(1, "", "")
    for k in range(100):
        kept.put(("a", version, k, 1000), bytes(1000))
    kept.put(("a", version, 99, 1000), bytes(1000))
    assert sum(kept.get(("a", version, k, 1000)) is not None for k in range(100)) == 10
    assert kept.get(("a", version, 0, 1000)) is None and kept.get(("a", version, 99, 1000)) is not None


@pytest.mark.parametrize("seed", range(20))
def test_any_reads_give_the_bytes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeks and reads of any kind, with announced ranges or without, against a plain bytes object."""
    chance = np.random.default_rng(seed)
    data = chance.bytes(int(chance.integers(1, 60_000)))
    monkeypatch.setattr(remote, "PIECE", int(chance.integers(1, 5000)))
    monkeypatch.setattr(remote, "GAP", int(chance.integers(0, 500)))
    ranges = None
    if seed % 2:
        ranges = remote.Ranges()
        for _ in range(3):
            low, high = sorted(chance.integers(0, len(data) + 1, 2).tolist())
            if low < high:
                ranges.announce([(low, high)])
    import pyarrow.fs as pafs

    filesystem = pafs._MockFileSystem()
    with filesystem.open_output_stream("x") as stream:
        stream.write(data)
    with remote.RemoteFile(remote.Remote(filesystem, "x", "x"), ranges) as file:
        for _ in range(60):
            at, size = int(chance.integers(0, len(data) + 10)), int(chance.integers(0, 20_000))
            file.seek(at)
            into = bytearray(size)
            if chance.random() < 0.5:
                assert file.read(size) == data[at : at + size]
            else:
                count = file.readinto(into)
                assert bytes(into[:count]) == data[at : at + size]
            assert file.tell() == min(at + size, max(at, len(data)))


def test_sources_travel_to_other_processes(bucket: Bucket, pool: Path) -> None:
    """A pickled source opens its address again, reads the same rows, and refuses another version."""
    bucket.upload(pool, "pool")
    sources = discover([bucket.address("pool")]).sources
    expected = texts(sources)
    sent = pickle.dumps(sources)
    assert b"secret" not in sent
    assert texts(pickle.loads(sent)) == expected
    bucket.put("pool/a.jsonl", b'{"text": "another"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl.* changed while it was being read"):
        texts(pickle.loads(sent))


def test_saved_datasets_and_results(bucket: Bucket, rows: list[dict[str, str]], tmp_path: Path) -> None:
    """A Hugging Face dataset in its own order; a result of cuvee beside it is passed over, and refused if named."""
    for number, name in enumerate(("data-1.arrow", "data-0.arrow")):
        part = pa.Table.from_pylist(rows[number * 100 : number * 100 + 100])
        with pa.ipc.new_stream(str(tmp_path / name), part.schema) as writer:
            writer.write_table(part, max_chunksize=30)
        bucket.put(f"pool/saved/{name}", (tmp_path / name).read_bytes())
    state = {"_data_files": [{"filename": "data-1.arrow"}, {"filename": "data-0.arrow"}]}
    bucket.put("pool/saved/state.json", json.dumps(state).encode())
    bucket.put("pool/saved/dataset_info.json", b"{}")
    for name in ("plan.json", "selection.parquet"):
        bucket.put(f"pool/out/{name}", b"{}")
    found = discover([bucket.address("pool")])
    assert texts(found.sources) == [row["text"].encode() for row in rows[:200]]
    assert (bucket.address("pool/out"), "a cuvee selection, not data") in found.skipped
    for source in found.sources:
        assert discover([source.path]).sources[0].path == source.path
    with pytest.raises(DataError, match="is a cuvee selection, not data"):
        discover([bucket.address("pool/out")])


@pytest.mark.parametrize("anonymous", ["", "&anonymous=true"])
def test_options(bucket: Bucket, pool: Path, anonymous: str) -> None:
    bucket.put("a.jsonl", (pool / "a.jsonl").read_bytes())
    address = bucket.address("a.jsonl") + "&region=eu-west-1&force_virtual_addressing=false" + anonymous
    assert discover([address]).sources[0].index().rows == 250


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.replace("/a.jsonl", "/gone.jsonl"), "no such file or folder"),
        (lambda a: a.replace("/a.jsonl", "/gone*.jsonl"), "nothing matches|no such"),
        (lambda a: a.replace("s3://bucket", "s3://no-bucket"), "there is no such bucket"),
        (lambda a: a.replace("s3://bucket", "s3://key:secret@bucket"), "may hold no keys"),
        (lambda a: a + "&regoin=x", "unknown option regoin"),
        (lambda a: a + "&anonymous=perhaps", "anonymous is true or false"),
        (lambda a: "s3:///a.jsonl", "names no bucket"),
        (lambda a: a.replace("127.0.0.1", "no-such-host.invalid"), "connection failed.*resolve"),
        (lambda a: a.replace("scheme=http", "scheme=https"), "connection failed|refuses the request"),
    ],
)
def test_wrong_addresses(bucket: Bucket, pool: Path, change: Callable[[str], str], words: str) -> None:
    """A sentence each, and never the key."""
    bucket.put("a.jsonl", (pool / "a.jsonl").read_bytes())
    with pytest.raises((DataError, UsageError), match=words) as refused:
        discover([change(bucket.address("a.jsonl"))])
    assert "secret" not in str(refused.value) and str(refused.value).endswith(".")


def test_columns_are_resolved(bucket: Bucket, pool: Path) -> None:
    bucket.upload(pool, "pool")
    resolved: Any = resolve_columns(discover([bucket.address("pool")]).sources)
    assert (resolved.spec.text, resolved.spec.id, resolved.spec.domain) == ("text", "id", "domain")
