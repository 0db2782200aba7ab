"""Google Cloud Storage over the wire: errors, retries, and uploads whose memory does not grow.

The library's own uploads keep two or three copies of what they send; here a chunk is sent from the buffer it was received in.
Protocol: https://cloud.google.com/storage/docs/performing-resumable-uploads (JSON API, resumable).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import google_crc32c
import requests
import urllib3
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import exceptions as media

from strongroom.errors import DomainError, NotFound, StorageFull, StorageUnavailable
from strongroom.storage.gcs_config import GCSConfig
from strongroom.storage.pieces import Buffer

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
FULL = frozenset({413, 507})
UNAUTHENTICATED, FORBIDDEN, NOT_THERE, GONE, TOO_MANY = 401, 403, 404, 410, 429
RESUME_INCOMPLETE = 308
INCOMPLETE = 503
"""Ours, for a chunk of which Google kept only the beginning: asked again, and the rest is sent."""
FULL_REASONS = frozenset({"storageQuotaExceeded", "uploadTooLarge"})
NO_BUCKET = "bucket does not exist"
CHECKSUM_STEP = 1024 * 1024
T = TypeVar("T")
NETWORK = (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError)


class StatusError(Exception):
    """An answer that is no success: its status and Google's one-word reason."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(status)
        self.status, self.reason = status, reason


def _is_passing(error: BaseException) -> bool:
    """Tell whether to try again. Google's own predicate leaves out connections that break while an answer is read."""
    status = _status(error)
    if status is not None:
        return status in RETRIED
    return isinstance(error, (*NETWORK, api.RetryError)) or (isinstance(error, auth.TransportError) and error.retryable)


def _status(error: BaseException) -> int | None:
    if isinstance(error, StatusError):
        return error.status
    if isinstance(error, api.GoogleAPICallError):
        return error.code
    if isinstance(error, media.InvalidResponse):
        return int(error.response.status_code)
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, StatusError):
        return error.reason
    first: object = next(iter(getattr(error, "errors", None) or []), None)
    return str(first.get("reason", "")) if isinstance(first, Mapping) else ""


def reason_of(response: requests.Response) -> str:
    """Return Google's one-word reason in an error answer, empty where there is none."""
    try:
        return str(response.json()["error"]["errors"][0]["reason"])
    except (ValueError, LookupError, TypeError):
        return ""


@contextmanager
def translated(bucket: str) -> Iterator[None]:
    """Turn everything that the network, Google's libraries and Google say into our errors, none of which holds a secret."""
    try:
        yield
    except (api.GoogleAPIError, media.InvalidResponse, media.DataCorruption, auth.GoogleAuthError, StatusError, *NETWORK) as error:
        raise _ours(error, bucket) from None  # theirs carry signed addresses and tokens


def _ours(error: Exception, bucket: str) -> DomainError:
    if isinstance(error, api.RetryError) and error.cause is not None:
        error = error.cause
    status, reason = _status(error), _reason(error)
    if status == NOT_THERE:
        return _no_bucket(bucket) if NO_BUCKET in str(error) else NotFound()
    if status in FULL or reason in FULL_REASONS:
        return StorageFull()
    if isinstance(error, auth.GoogleAuthError) and not isinstance(error, auth.TransportError):
        return StorageUnavailable("Google does not take the account's key: is it revoked, or the clock wrong?", retry_after_s=60)
    if status in {UNAUTHENTICATED, FORBIDDEN}:
        return StorageUnavailable(
            f"The account may not do this in the bucket '{bucket}': give it the role Storage Object Admin there.", retry_after_s=60
        )
    if status == TOO_MANY:
        return StorageUnavailable("Google asks for fewer requests.", retry_after_s=30)
    said = f"answers with status {status}" if status else "does not answer"
    return StorageUnavailable(f"Google Cloud Storage {said} for the bucket '{bucket}'.", retry_after_s=10)


def _no_bucket(bucket: str) -> StorageUnavailable:
    return StorageUnavailable(f"There is no bucket '{bucket}', or not for this account.", retry_after_s=60)


@contextmanager
def bucket_wanted(bucket: str) -> Iterator[None]:
    """For what needs no object to be there: when something is missing, it is the bucket."""
    try:
        with translated(bucket):
            yield
    except NotFound:
        raise _no_bucket(bucket) from None


class Uploads:
    """Puts bytes into a bucket. Safe to share between threads."""

    def __init__(self, config: GCSConfig, session: AuthorizedSession) -> None:
        self._session, self._bucket = session, config.bucket
        self._timeout = (min(10.0, config.timeout_s), config.timeout_s)
        self._base = f"{config.endpoint_url}/upload/storage/v1/b/{quote(config.bucket, safe='')}/o"
        self.retry = Retry(predicate=_is_passing, initial=0.2, maximum=5.0, timeout=config.timeout_s)

    def put(self, name: str, data: Buffer, crc: bytes) -> Mapping[str, Any]:
        """Store a whole object in one request; return its resource. Google compares the checksum before it is visible."""
        headers = {"Content-Type": "application/octet-stream", "x-goog-hash": f"crc32c={base64.b64encode(crc).decode()}"}

        def attempt() -> Mapping[str, Any]:
            response = self._request("POST", f"{self._base}?uploadType=media&name={quote(name, safe='')}", data=data, headers=headers)
            return resource(response)

        with bucket_wanted(self._bucket):
            return self._tried(attempt)

    def begin(self, name: str) -> str:
        """Begin a resumable upload; return its address, which is a secret that expires after a week."""
        headers = {"X-Upload-Content-Type": "application/octet-stream"}

        def attempt() -> str:
            response = self._request("POST", f"{self._base}?uploadType=resumable&name={quote(name, safe='')}", json={}, headers=headers)
            return str(response.headers["Location"])

        with bucket_wanted(self._bucket):
            return self._tried(attempt)

    def send(self, address: str, start: int, data: memoryview, *, total: int | None, crc: bytes = b"") -> Mapping[str, Any] | None:
        """Send what comes next, the last of it when `total` is given; return the object once it is complete.

        After an interruption Google is asked how far it came, and the rest is sent.
        """
        end, kept, broken = start + len(data), start, False

        def attempt() -> Mapping[str, Any] | None:
            nonlocal kept, broken
            done = None
            if broken:
                kept, done = self._progress(address, end, total)
            if done is None:
                if not start <= kept <= end:
                    raise StatusError(GONE)
                broken = True
                response = self._request("PUT", address, data=data[kept - start :], headers=_range(kept, end, total, crc))
                kept, done = _outcome(response, end)
            if done is None and (kept < end or total is not None):
                raise StatusError(INCOMPLETE)
            return done

        try:
            return self._tried(attempt)
        except NotFound:
            raise StorageUnavailable("The unfinished object was removed while it was being written.") from None

    def cancel(self, address: str) -> None:
        """End an upload. Google answers 499; whatever happens, it expires by itself."""
        with suppressed():
            self._session.request("DELETE", address, timeout=self._timeout, headers={"Content-Length": "0"})

    def _progress(self, address: str, end: int, total: int | None) -> tuple[int, Mapping[str, Any] | None]:
        asked = "*" if total is None else str(total)
        response = self._request("PUT", address, data=b"", headers={"Content-Range": f"bytes */{asked}"})
        return _outcome(response, end)

    def _request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        response: requests.Response = self._session.request(method, url, timeout=self._timeout, allow_redirects=False, **kwargs)
        if response.status_code != RESUME_INCOMPLETE and not response.ok:
            raise StatusError(response.status_code, reason_of(response))
        return response

    def _tried(self, attempt: Callable[[], T]) -> T:
        with translated(self._bucket):
            result: T = self.retry(attempt)()
            return result


@contextmanager
def suppressed() -> Iterator[None]:
    """Go on whatever the network says."""
    try:
        with translated(""):
            yield
    except DomainError:
        pass


def resource(response: requests.Response) -> Mapping[str, Any]:
    """Return the object that an answer describes."""
    found: Mapping[str, Any] = response.json()
    return found


def crc32c(data: Buffer) -> bytes:
    """Return the checksum of bytes as Google writes it: four bytes, big-endian."""
    checksum, view = google_crc32c.Checksum(), memoryview(data)
    for start in range(0, len(view), CHECKSUM_STEP):
        checksum.update(bytes(view[start : start + CHECKSUM_STEP]))
    return bytes(checksum.digest())


def modified_at(found: Mapping[str, Any]) -> datetime:
    """Return when an object was made."""
    return datetime.fromisoformat(found["updated"]).astimezone(UTC)


def _range(start: int, end: int, total: int | None, crc: bytes) -> dict[str, str]:
    span = f"{start}-{end - 1}" if end > start else "*"
    headers = {"Content-Range": f"bytes {span}/{'*' if total is None else total}"}
    if total is not None and crc:
        headers["x-goog-hash"] = f"crc32c={base64.b64encode(crc).decode()}"
    return headers


def _outcome(response: requests.Response, end: int) -> tuple[int, Mapping[str, Any] | None]:
    if response.status_code == RESUME_INCOMPLETE:
        kept = response.headers.get("Range", "")
        return (int(kept.rpartition("-")[2]) + 1 if kept else 0), None
    return end, resource(response)
