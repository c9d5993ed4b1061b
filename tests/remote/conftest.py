"""One server for all tests here, a bucket for each, and readers that lose patience soon."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from cuvee.engine import files
from cuvee.source import address, remote, retry

from ..command import Quick
from .stage import KEYS, Bucket, Harm, Proxy, s3_server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture(autouse=True)
def small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as users set them, small pieces, little patience, nothing kept from another test."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "kept", remote.Kept(remote.KEPT_BYTES))
    monkeypatch.setattr(retry, "PATIENCE", 3.0)
    monkeypatch.setattr(address, "STALL_SECONDS", 1.0)
    monkeypatch.setattr(address, "UPLOAD_ATTEMPTS", 1)
    address._s3.cache_clear()
    monkeypatch.setattr(files, "system", Quick())


@pytest.fixture
def bucket(server: int) -> Bucket:
    return Bucket.new(f"bucket-{next(_numbers)}", server)


@pytest.fixture
def proxy(server: int) -> Iterator[Callable[..., Proxy]]:
    """Makes proxies before the server."""
    made: list[Proxy] = []

    def new(harm: Harm = lambda request, number: None, **more: object) -> Proxy:
        made.append(Proxy(server, harm, **more))  # type: ignore[arg-type]
        return made[-1]

    yield new
    for one in made:
        one.close()
