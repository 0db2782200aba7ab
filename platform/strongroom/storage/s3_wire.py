"""How bytes travel to and from S3: requests signed by botocore (SigV4 in the URL, payload unsigned), sent by urllib3.

boto3's own transfers cost 1.7 CPU seconds per GB, these a fraction. Requests without bytes are botocore's own.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

import urllib3
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session, get_cert_path
from urllib3.exceptions import HTTPError

from strongroom.errors import DomainError, OutboundRefused, StorageUnavailable
from strongroom.storage.s3_clients import CONNECT_TIMEOUT_S, CONNECTIONS, Source, s3_client
from strongroom.storage.s3_config import S3Config
from strongroom.storage.s3_errors import RETRYABLE, code_of, from_code, from_exception, translated
from strongroom.storage.s3_memory import PIECE_BYTES

T = TypeVar("T")
Pools = Callable[..., urllib3.PoolManager]
"""Makes the connections of a provider that a tenant has named: they reach public addresses alone."""
Piece = bytes | bytearray | memoryview
TRIES = 6
LONGEST_PAUSE_S = 5.0
OWN_LIFETIME_S = 3600
"""Of the URLs that never leave this process: as long as the longest request may take to begin."""


class Body(Protocol):
    """Bytes that can be walked as often as they must be sent."""

    size_bytes: int

    def chunks(self) -> Iterable[Piece]:
        """Walk the bytes from the start."""


class Bytes:
    """A buffer as a body. Sent in pieces, so that whoever cancels is heard."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data).cast("B")
        self.size_bytes = len(self._view)

    def chunks(self) -> Iterator[memoryview]:
        """Walk the buffer."""
        for start in range(0, self.size_bytes, PIECE_BYTES):
            yield self._view[start : start + PIECE_BYTES]


@dataclass(frozen=True)
class Stored:
    """What the server said of bytes that it took."""

    etag: str
    at: datetime


class _Again(Exception):
    def __init__(self, error: DomainError) -> None:
        super().__init__()
        self.error = error


class S3Wire:
    """A bucket's connection. Safe to share between threads."""

    def __init__(self, config: S3Config, source: Source | None = None, pools: Pools | None = None) -> None:
        self.config, self.bucket = config, config.bucket
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, config.timeout_s), read=config.timeout_s)
        options: dict[str, Any] = {"maxsize": CONNECTIONS, "retries": False, "timeout": timeout, "blocksize": PIECE_BYTES}
        if pools is None:
            options["ca_certs"] = config.ca_file or get_cert_path(True)
        self._pool = (pools or urllib3.PoolManager)(**options)
        self.client = s3_client(config, source)
        if pools is not None:
            self.client._endpoint.http_session = _GuardedSession(self._pool)  # type: ignore[attr-defined]  # botocore offers no other way

    def sign(self, operation: str, params: dict[str, Any], lifetime_s: int = OWN_LIFETIME_S) -> str:
        """Return a URL that does `operation` on the bucket until its lifetime is over."""
        with translated():
            return self.client.generate_presigned_url(operation, Params={"Bucket": self.bucket, **params}, ExpiresIn=lifetime_s)

    def put(self, operation: str, params: dict[str, Any], body: Body, cancelled: threading.Event | None = None) -> Stored:
        """Send bytes, again and again while that may help.

        Raises:
            NotFound, Conflict, StorageFull, StorageUnavailable
        """
        md5 = _md5(body) if self.config.verify_md5 else ""
        return retried(lambda: self._put(self.sign(operation, params), body, md5, cancelled), cancelled)

    def _put(self, url: str, body: Body, md5: str, cancelled: threading.Event | None) -> Stored:
        headers = {"Content-Length": str(body.size_bytes), "Content-Type": "application/octet-stream"}
        try:
            answer = self._pool.request("PUT", url, body=_until(body, cancelled), headers=headers, redirect=False)
        except (HTTPError, OSError) as error:
            raise _Again(from_exception(error)) from None
        if answer.status != 200:  # noqa: PLR2004  the only good answer to a PUT of S3
            raise failure(answer.status, answer.data, answer.headers.get("Date"))
        etag = answer.headers.get("ETag", "").strip('"')
        if md5 and etag != md5:
            raise _Again(StorageUnavailable("The bytes of a part arrived changed at the S3 server."))
        return Stored(etag, moment(answer.headers.get("Date")))

    def get(self, key: str, start: int, etag: str) -> urllib3.BaseHTTPResponse:
        """Open the bytes of an object from `start` on; only if it is still the same.

        Raises:
            NotFound, StorageUnavailable
        """
        return retried(lambda: self._get(key, start, etag))

    def _get(self, key: str, start: int, etag: str) -> urllib3.BaseHTTPResponse:
        headers = {"Range": f"bytes={start}-", "If-Match": f'"{etag}"'}
        url = self.sign("get_object", {"Key": key})
        try:
            answer = self._pool.request("GET", url, headers=headers, preload_content=False, decode_content=False, redirect=False)
            if answer.status in {200, 206}:
                return _checked(answer, start, etag)
            body = answer.read(4096)
        except (HTTPError, OSError) as error:
            raise _Again(from_exception(error)) from None
        answer.close()
        raise failure(answer.status, body, answer.headers.get("Date"))


def _checked(answer: urllib3.BaseHTTPResponse, start: int, etag: str) -> urllib3.BaseHTTPResponse:
    """Hold the answer against what was asked for: some servers know no If-Match, and some answer a range with 200."""
    ranged = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
    if answer.headers.get("ETag", "").strip('"') != etag or (start and not ranged):
        answer.close()
        raise StorageUnavailable("The object changed while it was being read, or the S3 server knows no ranges.")
    return answer


def retried(act: Callable[[], T], cancelled: threading.Event | None = None) -> T:
    """Call `act` until it does not ask for another try, pausing longer each time, by chance (full jitter).

    Raises:
        DomainError: of the last try.
    """
    waiting = cancelled or threading.Event()
    for attempt in range(TRIES):
        try:
            return act()
        except _Again as again:
            last = again.error
            pause_s = random.uniform(0, min(LONGEST_PAUSE_S, 0.1 * 2**attempt))  # noqa: S311  no secret
            if attempt == TRIES - 1 or waiting.wait(pause_s):
                break
    raise last


def failure(status: int, body: bytes, date: str | None = None) -> Exception:
    """Return what to raise for an answer that is no success. `date`: its Date header."""
    code = code_of(status, body)
    error = from_code(code, status, date)
    return _Again(error) if code in RETRYABLE or str(status) in RETRYABLE else error


def moment(date: str | None) -> datetime:
    """Return the time of a Date header; now where there is none."""
    try:
        return parsedate_to_datetime(date or "")
    except ValueError:
        return datetime.now(UTC)


def _until(body: Body, cancelled: threading.Event | None) -> Iterator[Any]:  # urllib3 is typed too narrowly: it sends any buffer
    for piece in body.chunks():
        if cancelled is not None and cancelled.is_set():
            raise HTTPError("cancelled")
        yield piece


def _md5(body: Body) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for piece in body.chunks():
        digest.update(piece)
    return digest.hexdigest()


class _GuardedSession(URLLib3Session):
    """Sends what botocore sends over connections that were given to it: no proxy, and their own certificates and guard."""

    def __init__(self, pools: urllib3.PoolManager) -> None:
        super().__init__()
        self._pools = pools

    def _get_connection_manager(self, url: str, proxy_url: str | None = None) -> urllib3.PoolManager:  # noqa: ARG002 - no proxy
        return self._pools

    def _setup_ssl_cert(self, conn: Any, url: str, verify: Any) -> None:
        """The pools bring their own."""

    def send(self, request: Any) -> Any:
        try:
            return super().send(request)
        except HTTPClientError as error:
            refused = error.kwargs.get("error")
            if isinstance(refused, OutboundRefused):
                raise refused from None
            raise
