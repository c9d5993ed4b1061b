"""Servers that were never reached: given up within seconds, with a line about what is being waited for."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cuvee.engine.progress import Bar
from cuvee.errors import DataError, ResourceError
from cuvee.feed.upload import upload_of
from cuvee.source import address, retry
from cuvee.source.discover import discover

from ..command import cuvee as command
from .stage import Bucket, Proxy

NewProxy = Callable[..., Proxy]


@pytest.fixture(autouse=True)
def nobody_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_reached", set())
    monkeypatch.setattr(retry, "CONTACT_PATIENCE", 0.5)
    monkeypatch.setattr(retry, "PATIENCE", 1_000.0)


def test_a_server_that_is_not_there(proxy: NewProxy, tmp_path: Path) -> None:
    """Neither reading from it nor writing to it takes the patience that a server known to live would get."""
    between = proxy()
    between.down = True
    place = f"s3://bucket/pool?scheme=http&endpoint_override={between.endpoint}"
    with pytest.raises(DataError, match=r"pool.*the connection failed \d+ times within [01] s"):
        discover([place])
    with pytest.raises(ResourceError, match="the connection failed"):
        upload_of(place)
    assert command("profile", place, "-o", tmp_path / "out", "-q").status == 3
    assert not (tmp_path / "out").exists()


def test_a_server_that_answered_gets_more_patience(bucket: Bucket, proxy: NewProxy) -> None:
    """A server once reached may be away for longer than the first contact may take."""
    bucket.put("pool/p.jsonl", b'{"text": "one"}\n')
    between = proxy()
    place = bucket.address("pool", between.endpoint)
    discover([place])
    between.down = True
    threading.Timer(1.5, setattr, (between, "down", False)).start()
    assert len(discover([place]).sources) == 1


def test_a_library_that_never_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left alone, and every few seconds it is said what is waited for."""
    monkeypatch.setattr(retry, "CONTACT_LIMIT", 0.3)
    monkeypatch.setattr(retry, "TOLD_EVERY", 0.0)
    said: list[str] = []
    monkeypatch.setattr(retry.teller, "say", said.append)
    hanging = threading.Event()
    with pytest.raises(DataError, match=r"gs://x\\x1b: no answer within [01] s\. Check the address"):
        retry.contact(hanging.wait, "gs://x\x1b")
    hanging.set()
    monkeypatch.setattr(retry, "CONTACT_LIMIT", 15.0)
    tries = iter([True, True, False])

    def work() -> int:
        if next(tries):
            raise OSError("curlCode: 7, Could not connect")
        return 3

    assert retry.contact(work, "s3://y") == 3
    assert "waiting for s3://y, attempt 2 after 0 of 0.5 s (Could not connect)" in said


def test_what_is_final_is_not_waited_for() -> None:
    def refuse() -> None:
        raise PermissionError("AWS Error ACCESS_DENIED during HeadObject operation")

    with pytest.raises(DataError, match="access is denied"):
        retry.contact(refuse, "s3://z")
    with pytest.raises(ZeroDivisionError):
        retry.contact(lambda: 1 / 0, "s3://z")


def test_the_command_line_says_what_it_waits_for(
    proxy: NewProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, before the sentence; not with --quiet, and nothing on standard output."""
    monkeypatch.setattr(retry, "TOLD_EVERY", 0.02)
    monkeypatch.setattr(retry, "teller", retry._Teller())
    between = proxy()
    between.down = True
    place = f"s3://bucket/pool?scheme=http&endpoint_override={between.endpoint}"
    answer = command("guard", place, "-o", tmp_path / "out")
    told = answer.err.splitlines()
    assert answer.status == 3 and answer.out == "" and told[-1].startswith("error: ")
    assert told[0].startswith(
        f"waiting for s3://bucket/pool?scheme=http&endpoint_override={between.endpoint}, attempt "
    )
    assert command("guard", place, "-o", tmp_path / "out", "--quiet").err.count("\n") == 1


def test_a_bar_makes_room_for_a_line() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    bar.begin("reading", 1e6)
    bar.say("waiting for s3://x")
    bar.advance(1e6)
    bar.end()
    before, _, after = stream.getvalue().partition("waiting for s3://x\n")
    assert before.startswith("\rreading") and before.rstrip(" ").endswith("\r") and after.startswith("\rreading")
