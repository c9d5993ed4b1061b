"""A pool on an S3-compatible server, read by a cluster through connections that break."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from cuvee import selecting
from cuvee.engine import manifest, run
from cuvee.engine.ray import Ray

from ..remote.stage import KEYS, Bucket, Proxy, Request, s3_server


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Iterator[None]:
    """In the environment of this process and, since the cluster starts after it, of its workers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield


def test_same_bits_through_broken_connections(
    cluster: Cluster, tmp_path: Path, small_pool: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "CHUNK_ROWS", 64)
    monkeypatch.setattr(manifest, "SPAN_BYTES", (1, 1))
    monkeypatch.setattr(run, "SMALL_BYTES", 0)
    chance = random.Random(3)
    broken = []

    def harm(request: Request, number: int) -> str | None:
        if chance.random() < 0.2:
            broken.append(request)
            return chance.choice(["cut", "503"])
        return None

    def digest_of(pool: str | Path, name: str, executor: Ray | None) -> str:
        return selecting.select(
            pool,
            target=target,
            settings={"min_length": 20},
            tokens=30_000,
            output=tmp_path / name,
            cache=tmp_path / f"cache-{name}",
            executor=executor,
        ).digest

    with s3_server() as port:
        bucket = Bucket.new("pools", port)
        bucket.put("pool/part.parquet", small_pool.read_bytes())
        between = Proxy(port, harm)
        try:
            found = digest_of(bucket.address("pool/part.parquet", between.endpoint), "there", Ray())
        finally:
            between.close()
    assert len(broken) > 3, "connections broke"
    assert found == digest_of(small_pool, "here", None)
