"""Addresses of objects (``s3://bucket/pool/part-0.jsonl``): the filesystem behind one, and the name of what it holds.

An address is a scheme, a bucket or host, a key and perhaps options: ``s3://bucket/key?region=eu-west-1``. Keys are
taken as they are, not percent-encoded, so that every name that cuvee prints can be given back to it. Addresses stand
in plans and reports, so one with a secret in it is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import pyarrow.fs as pafs

from cuvee.errors import DataError, UsageError

from .retry import contact, persist, plain

SCHEMES = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
CONNECT_SECONDS = 5.0
STALL_SECONDS = 10.0
"""A connection over which nothing has come for so long is given up."""
UPLOAD_ATTEMPTS = 8
GOOGLE_SECONDS = 8
"""How long Google's client repeats a request by itself; its own limit is minutes."""
_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://([^/?]*)(/.*)?", re.DOTALL)
_OPTIONS = re.compile(r"(?s)(.*)\?((?:[a-z_]+=[^&]*)(?:&[a-z_]+=[^&]*)*)")
_S3_OPTIONS = ("region", "endpoint_override", "scheme", "anonymous", "force_virtual_addressing", "tls_ca_file_path")

T = TypeVar("T")
_reached: set[tuple[str, str, str]] = set()
"""The servers that have answered this process: scheme, host and options."""


@dataclass(frozen=True)
class Address:
    """An address in its parts; ``key`` has no slash at either end."""

    scheme: str
    host: str
    key: str
    options: str = ""

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """None for what is not an address. A question mark begins options only where names and values follow."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            bare = _OPTIONS.fullmatch(text)
            found = _ADDRESS.fullmatch(bare[1]) if bare else None
            return found and cls(found[1], found[2], (found[3] or "").strip("/"), bare[2] if bare else "")
        key, options = found[3] or "", ""
        if split := _OPTIONS.fullmatch(key):
            key, options = split[1], split[2]
        return cls(found[1], found[2], key.strip("/"), options)

    def __str__(self) -> str:
        return self.at(self.key)

    @property
    def kind(self) -> str:
        """The scheme in lower case."""
        return self.scheme.lower()

    def at(self, key: str) -> str:
        """The same address with another key."""
        return (
            f"{self.scheme}://{self.host}" + (f"/{key}" if key else "") + (f"?{self.options}" if self.options else "")
        )


def is_address(text: str) -> bool:
    return "://" in text and Address.parse(text) is not None


def rank(name: str) -> str:
    """What a file is ordered by: its path; the options of an address say nothing about it."""
    address = Address.parse(name) if "://" in name else None
    return f"{address.scheme}://{address.host}/{address.key}" if address else name


def open_address(address: Address, writing: bool = False) -> tuple[Any, str]:
    """The filesystem and the path in it; a sentence for everything that can be wrong with the address itself."""
    shown = _checked(address)
    environment = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "CLOUD_", "GOOGLE_"))))
    try:
        return contact(lambda: _opened(address, writing, environment), shown)
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"{shown}: cannot be reached ({plain(str(error))}). Check the address.") from None


def ask(address: Address, work: Callable[[], T]) -> T:
    """What ``work`` returns, which asks the server of an address: with less patience until it has answered once."""
    server = (address.kind, address.host, address.options)
    if server in _reached:
        return persist(work, str(address))
    found = contact(work, str(address))
    _reached.add(server)
    return found


def _checked(address: Address) -> str:
    if address.kind not in SCHEMES:
        raise DataError(
            f"{plain(str(address))}: addresses of this kind cannot be read; name local paths, file://, s3://, gs:// or "
            "hdfs://."
        )
    if address.kind == "s3" and "@" in address.host:
        raise UsageError(
            f"s3://...@{plain(address.host.rpartition('@')[2])}: an address may hold no keys, because it is written "
            "into plans and reports. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    if not address.host and address.kind in ("s3", "gs", "gcs"):
        raise UsageError(f"{plain(str(address))}: names no bucket. Write {address.kind}://BUCKET/KEY.")
    return plain(str(address))


def _opened(address: Address, writing: bool, environment: tuple[tuple[str, str], ...]) -> tuple[Any, str]:
    if address.kind == "s3":
        return _s3(address.host, address.options, writing, environment), f"{address.host}/{address.key}".rstrip("/")
    if address.kind in ("gs", "gcs"):
        bucket = address.host.rpartition("@")[2]
        own = (
            address.options
            if "retry_limit_seconds=" in address.options
            else ("&".join(filter(None, (address.options, f"retry_limit_seconds={GOOGLE_SECONDS}"))))
        )
        return _other(f"{address.scheme}://{address.host}?{own}", environment), f"{bucket}/{address.key}".rstrip("/")
    try:
        filesystem, path = pafs.FileSystem.from_uri(address.at(quote(address.key)))
    except OSError as error:  # it lacks a library, or a cluster to connect to
        raise DataError(f"{plain(str(address))}: cannot be reached ({plain(str(error))}). Check the address.") from None
    return filesystem, path


@lru_cache(64)
def _other(uri: str, _: tuple[tuple[str, str], ...]) -> Any:
    """A filesystem that PyArrow makes from a URI; the environment it was made in is part of the key."""
    return pafs.FileSystem.from_uri(uri)[0]


@lru_cache(64)
def _s3(bucket: str, options: str, writing: bool, environment: tuple[tuple[str, str], ...]) -> Any:
    """An S3 client. Reading, it fails at the first trouble, because every read is tried again here (``persist``)."""
    given = dict(parse_qsl(options, keep_blank_values=True))
    if unknown := sorted(set(given) - set(_S3_OPTIONS)):
        raise UsageError(
            f"s3://{plain(bucket)}: unknown option {plain(unknown[0])}. There are: {', '.join(_S3_OPTIONS)}."
        )
    known = dict(environment)
    endpoint = given.get("endpoint_override") or known.get("AWS_ENDPOINT_URL_S3") or known.get("AWS_ENDPOINT_URL")
    scheme = given.get("scheme", "https")
    if endpoint and "://" in endpoint:
        parts = urlsplit(endpoint)
        scheme, endpoint = given.get("scheme", parts.scheme), parts.netloc
    region = given.get("region") or known.get("AWS_REGION") or known.get("AWS_DEFAULT_REGION")
    if not region:
        region = "us-east-1" if endpoint else pafs.resolve_s3_region(bucket)
    more: dict[str, Any] = {name: given[name] for name in ("tls_ca_file_path",) if name in given}
    for name in ("anonymous", "force_virtual_addressing"):
        if name in given:
            if given[name] not in ("true", "false"):
                raise UsageError(f"s3://{plain(bucket)}: {name} is true or false, not '{plain(given[name])}'.")
            more[name] = given[name] == "true"
    return pafs.S3FileSystem(
        region=region,
        scheme=scheme,
        endpoint_override=endpoint,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=STALL_SECONDS,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=UPLOAD_ATTEMPTS if writing else 1),
        **more,
    )
