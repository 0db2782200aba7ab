"""The headers of tus 1.0, read and written. Knows neither uploads nor the web framework."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from strongroom.db.ids import parse_id
from strongroom.errors import BadRequest, NotFound, UploadChecksumMismatch

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,concatenation,termination,expiration"
ALGORITHMS = ("sha1", "sha256", "crc32")
CHUNK_TYPE = "application/offset+octet-stream"
MAX_METADATA_KEYS, MAX_METADATA_KEY, MAX_METADATA_VALUE = 50, 128, 1024
MAX_DIGITS = 18
NUMBER = re.compile(rf"[0-9]{{1,{MAX_DIGITS}}}")
BUCKET_KEYS, PATH_KEYS, TYPE_KEYS = ("bucket",), ("path", "filename", "name"), ("filetype", "type")


def number(name: str, value: str | None) -> int | None:
    """Return a header's number; None when the header is absent.

    Raises:
        BadRequest: it is none, is negative, or is larger than anything.
    """
    if value is None:
        return None
    if not NUMBER.fullmatch(value):
        raise BadRequest(f"{name} is not a number of bytes.")
    return int(value)


def upload_length(length: str | None, defer: str | None) -> int | None:
    """Return an upload's announced size; None when it is told later.

    Raises:
        BadRequest: neither is said, or both.
    """
    if defer not in {None, "1"}:
        raise BadRequest("Upload-Defer-Length can only be 1.")
    if (length is None) == (defer is None):
        raise BadRequest("Send either Upload-Length or Upload-Defer-Length: 1.")
    return number("Upload-Length", length)


@dataclass(frozen=True)
class Metadata:
    """What Upload-Metadata says. `rest`: everything that has no meaning of its own here."""

    bucket: str | None = None
    path: str | None = None
    content_type: str | None = None
    rest: Mapping[str, str] = field(default_factory=dict)


def metadata(header: str | None) -> Metadata:
    """Return what Upload-Metadata says.

    Raises:
        BadRequest: it is not what the protocol says, or more than is kept.
    """
    pairs = _pairs(header or "")
    bucket, path, content_type = (_first(pairs, keys) for keys in (BUCKET_KEYS, PATH_KEYS, TYPE_KEYS))
    rest = {key: value for key, value in pairs.items() if key not in BUCKET_KEYS + PATH_KEYS + TYPE_KEYS}
    if len(rest) > MAX_METADATA_KEYS or any(len(key) > MAX_METADATA_KEY or len(text) > MAX_METADATA_VALUE for key, text in rest.items()):
        raise BadRequest(
            f"Upload-Metadata may have {MAX_METADATA_KEYS} keys of {MAX_METADATA_KEY} and values of {MAX_METADATA_VALUE} characters."
        )
    return Metadata(bucket, path, content_type, rest)


def _first(pairs: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((pairs[key] for key in keys if pairs.get(key)), None)


def _pairs(header: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in header.split(",") if header.strip() else []:
        key, _, value = item.strip().partition(" ")
        if not key or not key.isascii() or not key.isprintable() or key in pairs:
            raise BadRequest("Upload-Metadata has a key that is empty, doubled or not ASCII.")
        pairs[key] = _text(value.strip())
    return pairs


def _text(value: str) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except ValueError:
        raise BadRequest("Upload-Metadata has a value that is not base64 of UTF-8.") from None
    if "\0" in text:
        raise BadRequest("Upload-Metadata has a NUL.")
    return text


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


HASHES: Mapping[str, Callable[[], Any]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "crc32": _Crc32,
}


class Checksum:
    """What the bytes of one request must have; see `uploads.resuming.Check`."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        self._name, self._expected = algorithm, expected
        self._hash = HASHES[algorithm]()

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._hash.update(data)

    def verify(self) -> None:
        """See that it holds.

        Raises:
            UploadChecksumMismatch
        """
        if not hmac.compare_digest(self._hash.digest(), self._expected):
            raise UploadChecksumMismatch(f"The {self._name} of the bytes received is another than was announced.")


def checksum(header: str | None) -> Checksum | None:
    """Return what Upload-Checksum announces.

    Raises:
        BadRequest: an algorithm that is not known here, or no base64.
    """
    if header is None:
        return None
    algorithm, _, value = header.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise BadRequest(f"Upload-Checksum can be of {', '.join(ALGORITHMS)}.")
    try:
        return Checksum(algorithm, base64.b64decode(value.strip(), validate=True))
    except ValueError:
        raise BadRequest("Upload-Checksum is not base64.") from None


@dataclass(frozen=True)
class Concat:
    """What Upload-Concat says: a part of a file, or (`partials`) the file that is put together of parts."""

    partials: tuple[UUID, ...] | None = None


def concat(header: str | None) -> Concat | None:
    """Return what Upload-Concat says. Of each address only the id at its end counts: whose it is, is checked with the id.

    Raises:
        BadRequest
    """
    if header is None:
        return None
    kind, _, addresses = header.strip().partition(";")
    if kind == "partial" and not addresses:
        return Concat()
    if kind != "final" or not addresses.split():
        raise BadRequest("Upload-Concat is 'partial', or 'final;' and the addresses of the parts.")
    ids = tuple(_id_of(address) for address in addresses.split())
    if len(set(ids)) != len(ids):
        raise BadRequest("Upload-Concat names an upload twice.")
    return Concat(ids)


def _id_of(address: str) -> UUID:
    try:
        return parse_id(urlsplit(address).path.rsplit("/", 1)[-1])
    except (ValueError, NotFound):
        raise BadRequest("Upload-Concat names an address that is no upload's.") from None
