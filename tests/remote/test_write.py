"""cuvee write to an object store: shards whole or absent, the manifest last, on from where it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from cuvee.engine.files import lock
from cuvee.errors import BusyError, DataError, ResourceError, UsageError
from cuvee.feed import upload
from cuvee.feed.write import write_selection
from cuvee.source import retry
from cuvee.source.discover import discover
from cuvee.source.written import JOURNAL

from ..command import answer_of, process
from ..command import cuvee as command
from ..feed.helpers import TEXTS, make_selection, opened, read_texts, write_jsonl
from .stage import Bucket, Proxy, Request
from .test_broken import trouble
from .test_pools import texts

NewProxy = Callable[..., Proxy]
SHARD = re.compile(r"train/(documents/)?part-\d{5}-[0-9a-f]{8}\.(parquet|jsonl(\.gz|\.zst)?)")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "p.jsonl", [{"text": text} for text in TEXTS])
    return make_selection(tmp_path / "kept", opened(tmp_path / "p.jsonl"), [(0, k, 1) for k in range(0, 300, 2)])


def chosen() -> list[str]:
    return TEXTS[::2]


def of_bucket(bucket: Bucket, below: str = "train") -> dict[str, bytes]:
    return {key: bucket.get(key) for key in bucket.keys(below)}


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "dolma"])
def test_same_bytes_as_on_disk(bucket: Bucket, kept: Path, tmp_path: Path, form: str) -> None:
    """The shards of a local output under other names, a manifest that says so, and the folder read as a pool."""
    result = write_selection(kept, bucket.address("train"), format=form, shard_bytes=15_000)  # type: ignore[arg-type]
    local = write_selection(kept, tmp_path / "local", format=form, shard_bytes=15_000)  # type: ignore[arg-type]
    there = of_bucket(bucket)
    manifest = json.loads(there.pop("train/manifest.json"))
    assert len(there) == len(local.files) > (form != "jsonl.zst") and all(SHARD.fullmatch(key) for key in there)
    assert list(there.values()) == [Path(path).read_bytes() for path in local.files]
    assert [f"train/{one['name']}" for one in manifest["shards"]] == list(there)
    assert {**manifest, "shards": 0} == {**json.loads((tmp_path / "local" / "manifest.json").read_text()), "shards": 0}
    assert (result.rows, result.bytes) == (local.rows, local.bytes)
    assert all(str(path).startswith(f"s3://{bucket.name}/train/") for path in result.files)
    assert texts(discover([bucket.address("train")]).sources) == [text.encode() for text in chosen()]
    assert not list((tmp_path).glob("**/*.tmp")) and not list(tmp_path.glob(".*writing"))


def test_the_command(bucket: Bucket, kept: Path) -> None:
    address = bucket.address("train")
    answer = command("write", kept, "-o", address, "--json")
    assert answer.status == 0, answer
    said = json.loads(answer.out)
    assert said["output"] == address and said["rows"] == 150 and len(said["files"]) == 1
    assert command("profile", address, "-q", "-o", kept.parent / "profile").status == 0
    again = command("write", kept, "-o", address)
    assert again.status == 0 and "150 documents" in again.out


class DeathError(BaseException):
    """Nothing handles it."""


@pytest.mark.parametrize("point", range(1, 10, 2))
@pytest.mark.parametrize("kind", [DeathError, OSError])
def test_all_or_nothing_and_on_from_there(
    bucket: Bucket, kept: Path, monkeypatch: pytest.MonkeyPatch, point: int, kind: type[BaseException]
) -> None:
    """Ended before the k-th upload, with an older output in place: the older one stays until the new one is whole."""
    write_selection(kept, bucket.address("train"), format="jsonl")
    old = of_bucket(bucket)
    uploads: list[str] = []
    real = upload.Upload._put
    first: list[str] = []

    def put(self: upload.Upload, local: Path, name: str) -> None:
        def fail() -> None:
            raise OSError("AWS Error NETWORK_CONNECTION during UploadPart operation: curlCode: 56, Recv failure")

        uploads.append(name)
        if not first and len(uploads) >= point:
            if kind is OSError:
                self._try(fail, name)
            raise kind
        real(self, local, name)

    monkeypatch.setattr(upload.Upload, "_put", put)
    with pytest.raises(ResourceError if kind is OSError else kind) as ended:
        write_selection(kept, bucket.address("train"), shard_bytes=20_000)
    if kind is OSError:
        assert "connection failed" in str(ended.value) and "run the same command again" in str(ended.value)
    between = of_bucket(bucket)
    assert {key: between[key] for key in old} == old
    assert texts(discover([bucket.address("train")]).sources) == [text.encode() for text in chosen()]
    finished = [key for key in between if key.endswith(".parquet")]
    first.append("over")
    uploads.clear()
    write_selection(kept, bucket.address("train"), shard_bytes=20_000)
    assert not {key.removeprefix("train/") for key in finished if key in journal(between)} & set(uploads)
    assert texts(discover([bucket.address("train")]).sources) == [text.encode() for text in chosen()]
    keys = set(bucket.keys("train"))
    assert not keys & {key for key in old if key.endswith(".jsonl")} and f"train/{JOURNAL}" not in keys
    listed = json.loads(bucket.get("train/manifest.json"))["shards"]
    assert keys == {"train/manifest.json", *(f"train/{one['name']}" for one in listed)}


def journal(files: dict[str, bytes]) -> set[str]:
    lines = files.get(f"train/{JOURNAL}", b"").splitlines()
    return {f"train/{json.loads(line)['shard']['name']}" for line in lines}


def test_killed_while_uploading(bucket: Bucket, tmp_path: Path, proxy: NewProxy) -> None:
    """A process killed in the midst of a multipart upload leaves no object under the shard's name."""
    # 40 MB in one shard: four parts, the last of which the proxy holds up
    many = [{"text": os.urandom(500_000).hex()} for _ in range(40)]
    write_jsonl(tmp_path / "big.jsonl", many)
    kept = make_selection(tmp_path / "big", opened(tmp_path / "big.jsonl"), [(0, k, 1) for k in range(40)])
    seen: list[str] = []
    between = proxy()

    def slow(request: Request) -> None:
        seen.append(f"{request.method} {request.path}")
        if request.method == "PUT" and "partNumber=2" in request.path:
            time.sleep(5)

    between.after = slow
    running = process("write", kept, "--format", "jsonl", "-o", bucket.address("train", between.endpoint), "-q")
    limit = time.monotonic() + 60
    while not any("partNumber=2" in one for one in seen) and time.monotonic() < limit:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    answer_of(running)
    assert any("partNumber=2" in one for one in seen) and bucket.keys("train") == {}
    assert command("write", kept, "--format", "jsonl", "-o", bucket.address("train"), "-q").status == 0
    assert [size for key, size in bucket.keys("train").items() if key.endswith(".jsonl")] == [
        (tmp_path / "big.jsonl").stat().st_size
    ]


def test_an_unfinished_output_is_no_pool(bucket: Bucket, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_manifest(self: upload.Upload, folder: Path, manifest: bytes) -> None:
        raise DeathError

    monkeypatch.setattr(upload.Upload, "finish", no_manifest)
    with pytest.raises(DeathError):
        write_selection(kept, bucket.address("train"))
    assert len(bucket.keys("train")) == 2
    for address in (bucket.address("train"), bucket.address(""), bucket.address("train/*")):
        with pytest.raises(DataError, match=r"has not finished\. Run that command again"):
            discover([address])


def test_shards_that_changed_are_written_again(
    bucket: Bucket, kept: Path, monkeypatch: pytest.MonkeyPatch, proxy: NewProxy
) -> None:
    """What is not the object that was uploaded is not gone on from."""
    real = upload.Upload.finish

    def no_manifest(self: upload.Upload, folder: Path, manifest: bytes) -> None:
        raise DeathError

    monkeypatch.setattr(upload.Upload, "finish", no_manifest)
    with pytest.raises(DeathError):
        write_selection(kept, bucket.address("train"), shard_bytes=20_000)
    monkeypatch.setattr(upload.Upload, "finish", real)
    shards = sorted(key for key in bucket.keys("train") if key.endswith(".parquet"))
    bucket.put(shards[1], bytes(len(bucket.get(shards[1]))))
    between = proxy()
    write_selection(kept, bucket.address("train", between.endpoint), shard_bytes=20_000)
    put = {one.path.split("?")[0].removeprefix(f"/{bucket.name}/") for one in between.requests if one.method == "PUT"}
    assert shards[0] not in put and set(shards[1:]) <= put
    assert texts(discover([bucket.address("train")]).sources) == [text.encode() for text in chosen()]


def test_refusals(bucket: Bucket, kept: Path, tmp_path: Path) -> None:
    """Foreign objects, files, the pool itself, a missing bucket; and nothing of it is touched."""
    bucket.put("foreign/notes.txt", b"mine")
    with pytest.raises(UsageError, match=r"foreign.* holds what cuvee write did not make \(notes\.txt\)"):
        write_selection(kept, bucket.address("foreign"))
    with pytest.raises(UsageError, match="is a file, not a folder"):
        write_selection(kept, bucket.address("foreign/notes.txt"))
    with pytest.raises(ResourceError, match="there is no such bucket"):
        write_selection(kept, bucket.address("train").replace(bucket.name, "no-such-bucket"))
    write_selection(kept, bucket.address("train"))
    bucket.put("train/mine.txt", b"mine")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        write_selection(kept, bucket.address("train"))
    bucket.remove("train/mine.txt")
    bucket.put("pool/p.jsonl", (tmp_path / "p.jsonl").read_bytes())
    of_pool = tmp_path / "of-pool"
    assert command("select", bucket.address("pool"), "--with", "random", "--rows", 5, "-o", of_pool, "-q").status == 0
    for place in ("pool", ""):
        with pytest.raises(UsageError, match="which is being read"):
            write_selection(of_pool, bucket.address(place))
    assert bucket.get("foreign/notes.txt") == b"mine" and list(bucket.keys("pool")) == ["pool/p.jsonl"]


def test_a_part_does_not_replace_another(bucket: Bucket, kept: Path) -> None:
    write_selection(kept, bucket.address("train"), format="jsonl", part=(1, 2))
    before = of_bucket(bucket)
    with pytest.raises(UsageError, match=r"train.* holds part 1 of 2 of this selection, .* a folder for each part"):
        write_selection(kept, bucket.address("train"), format="jsonl", part=(2, 2))
    assert of_bucket(bucket) == before


def test_one_writer_on_this_machine(bucket: Bucket, kept: Path) -> None:
    target = upload.upload_of(bucket.address("train"))
    assert isinstance(target, upload.Upload)
    with (
        lock(target.spool),
        pytest.raises(BusyError, match=rf"s3://{bucket.name}/train\S* is being written by process"),
    ):
        write_selection(kept, bucket.address("train"))
    assert bucket.keys("train") == {}


def test_a_writer_on_another_machine(bucket: Bucket, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that another run removed are missed before the manifest is put: the other's output stays as it is."""
    real = upload.Upload.finish

    def meanwhile(self: upload.Upload, folder: Path, manifest: bytes) -> None:
        monkeypatch.setattr(upload.Upload, "finish", real)
        monkeypatch.setattr(upload.Upload, "lock", contextlib.nullcontext)
        write_selection(kept, bucket.address("train"), format="jsonl")
        real(self, folder, manifest)

    monkeypatch.setattr(upload.Upload, "finish", meanwhile)
    with pytest.raises(ResourceError, match="another run writes to the same place"):
        write_selection(kept, bucket.address("train"))
    assert json.loads(bucket.get("train/manifest.json"))["format"] == "jsonl"
    assert texts(discover([bucket.address("train")]).sources) == [text.encode() for text in chosen()]


def test_broken_uploads_are_repeated(
    bucket: Bucket, kept: Path, proxy: NewProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that fails a quarter of all requests: an upload takes several, so it may have to be repeated often."""
    monkeypatch.setattr(retry, "PATIENCE", 30.0)
    between = proxy(trouble(3, "503", share=0.25))
    write_selection(kept, bucket.address("train", between.endpoint), shard_bytes=20_000)
    assert texts(discover([bucket.address("train")]).sources) == [text.encode() for text in chosen()]


def test_local_addresses(kept: Path, tmp_path: Path) -> None:
    """file:// is a local folder like any other."""
    write_selection(kept, f"file://{tmp_path}/train")
    assert read_texts(tmp_path / "train") == chosen()
    assert pa.parquet.read_metadata(tmp_path / "train" / "part-00000.parquet").num_rows == 150
