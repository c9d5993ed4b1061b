"""A real S3-compatible server on a loopback port, and a proxy before it that counts, breaks and delays connections."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

REGION = "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
_SERVE = """
import sys
from werkzeug.serving import WSGIRequestHandler, make_server
from moto.server import DomainDispatcherApplication, create_backend_app
WSGIRequestHandler.log_request = lambda *_: None
WSGIRequestHandler.protocol_version = "HTTP/1.1"
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def s3_server() -> Iterator[int]:
    """The port of a server in a process of its own, without a bucket."""
    running = subprocess.Popen([sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert running.stdout is not None
        yield int(running.stdout.readline())
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()


@dataclass
class Request:
    """One request that passed the proxy, and how many bytes of the answer's body were let through."""

    method: str
    path: str
    range: tuple[int, int] | None
    sent: int = 0


Harm = Callable[[Request, int], str | None]
"""Given a request and its number, what to do to it: None, "cut" (in the midst of the body), "stall", or a status, with
the code of an S3 error behind it: "403 AccessDenied"."""


@dataclass
class Proxy:
    """Passes requests on to a server, one a connection, and does harm to some."""

    port: int
    harm: Harm = lambda request, number: None
    stall_seconds: float = 30.0
    delay_seconds: float = 0.0
    """Before every answer."""
    requests: list[Request] = field(default_factory=list)
    down: bool = False
    busy: int = 0
    """How many requests are being answered."""
    after: Callable[[Request], None] = lambda request: None
    """Called before a request is passed on."""

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._listener.close()

    def fetched(self, name: str) -> int:
        """Bytes of bodies of GET requests for a key."""
        return sum(one.sent for one in self.requests if one.method == "GET" and one.path.split("?")[0].endswith(name))

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ValueError):
            client.settimeout(60)
            if self.down:
                return
            head, rest = _head(client)
            line, headers = head.split(b"\r\n", 1)
            method, path, _ = line.decode().split(" ", 2)
            found = re.search(rb"(?i)\r?\nrange: bytes=(\d+)-(\d+)", b"\n" + headers)
            request = Request(method, path, (int(found[1]), int(found[2])) if found else None)
            with self._lock:
                number = len(self.requests)
                self.requests.append(request)
                self.busy += 1
            try:
                self._answer(client, request, number, head, rest)
            finally:
                with self._lock:
                    self.busy -= 1

    def _answer(self, client: socket.socket, request: Request, number: int, head: bytes, rest: bytes) -> None:
        self.after(request)
        time.sleep(self.delay_seconds)
        harm = self.harm(request, number)
        if harm is not None and harm[0].isdigit():
            status, _, code = harm.partition(" ")
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>" * bool(code)
            top = f"HTTP/1.1 {status} Trouble\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            client.sendall((top + body * (request.method != "HEAD")).encode())
            return
        self._pass_on(client, request, head, rest, harm)

    def _pass_on(self, client: socket.socket, request: Request, head: bytes, rest: bytes, harm: str | None) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 60) as server:
            head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head)
            server.sendall(head + b"\r\nConnection: close\r\n\r\n" + rest)
            answer, body = b"", 0
            while True:
                ready, _, _ = select.select([client, server], [], [], 60)
                if client in ready:
                    data = client.recv(1 << 16)
                    if not data:
                        return
                    server.sendall(data)
                if server in ready:
                    data = server.recv(1 << 16)
                    if not data:
                        return
                    if body == 0 and b"\r\n\r\n" not in answer:
                        answer += data
                        if b"\r\n\r\n" not in answer:
                            continue
                        data = answer
                        top = answer.index(b"\r\n\r\n") + 4
                        body = len(answer) - top
                        size = re.search(rb"(?i)\r\ncontent-length: (\d+)", answer[:top])
                        half = int(size[1]) // 2 if size else 0
                    else:
                        body += len(data)
                    if harm in ("cut", "stall") and request.method == "GET" and body > half:
                        client.sendall(data[: max(0, len(data) - (body - half))])
                        request.sent = half
                        if harm == "stall":
                            self._closed.wait(self.stall_seconds)
                        return
                    client.sendall(data)
                    request.sent = body


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(1 << 16)
        if not part:
            raise OSError
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    if re.search(rb"(?i)\r\nexpect: 100-continue", head):
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = re.sub(rb"(?i)\r\nexpect: 100-continue", b"", head)
    return head, rest


@dataclass(frozen=True)
class Bucket:
    """A bucket on the server, with what tests do to it behind cuvee's back."""

    name: str
    port: int
    filesystem: Any

    @classmethod
    def new(cls, name: str, port: int) -> Bucket:
        filesystem = pafs.S3FileSystem(
            access_key="tester",
            secret_key="secret",
            region=REGION,
            scheme="http",
            endpoint_override=f"127.0.0.1:{port}",
            allow_bucket_creation=True,
        )
        filesystem.create_dir(name)
        return cls(name, port, filesystem)

    def put(self, key: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(f"{self.name}/{key}", compression=None) as stream:
            stream.write(data)

    def get(self, key: str) -> bytes:
        with self.filesystem.open_input_file(f"{self.name}/{key}") as stream:
            return bytes(stream.read())

    def remove(self, key: str) -> None:
        self.filesystem.delete_file(f"{self.name}/{key}")

    def upload(self, folder: Path, below: str) -> None:
        """Every file of a local folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{below}/{path.relative_to(folder)}", path.read_bytes())

    def keys(self, below: str = "") -> dict[str, int]:
        """Size by key."""
        root = f"{self.name}/{below}".rstrip("/")
        listed = self.filesystem.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
        return {one.path[len(self.name) + 1 :]: one.size for one in listed if one.type == pafs.FileType.File}

    def address(self, key: str, endpoint: str | None = None) -> str:
        return f"s3://{self.name}/{key}?scheme=http&endpoint_override={endpoint or f'127.0.0.1:{self.port}'}"


def set_keys() -> dict[str, str]:
    """The environment that a user has, as a dict for subprocesses."""
    return {**os.environ, **KEYS}
