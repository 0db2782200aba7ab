"""Everything that can go wrong with S3, turned into our own errors in one place.

No text of a server's answer goes on: it may quote keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from botocore import exceptions as boto
from urllib3 import exceptions as wire

from strongroom.errors import Conflict, DomainError, NotFound, StorageFull, StorageUnavailable

MISSING = frozenset({"NoSuchKey", "NoSuchUpload", "NoSuchVersion", "404", "NotFound"})
FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "EntityTooLarge", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"})
OTHER_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"})
RETRYABLE = frozenset(
    {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException", "ServerBusy"}
    | {"OperationAborted", "BadDigest", "IncompleteBody", "500", "502", "503", "504", "429"}
)
WRONG_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"})
CLEAR = {
    "NoSuchBucket": "There is no such bucket. Make it, or correct 'bucket' and 'endpoint_url'.",
    "InvalidAccessKeyId": "The server does not know this access key. Correct the secrets of this provider.",
    "SignatureDoesNotMatch": "The secret key does not belong to the access key. Correct the secrets of this provider.",
    "AccessDenied": "The server denies access: the keys are wrong, or lack a right on this bucket (see the rights in the guide).",
    "403": "The server denies access: the keys are wrong, or lack a right on this bucket (see the rights in the guide).",
    "RequestTimeTooSkewed": "This machine's clock differs too much from the server's. Set it, best by NTP.",
    "ExpiredToken": "The session token has expired. Give the provider new secrets.",
    "InvalidToken": "The session token is not valid here. Give the provider new secrets.",
    "MethodNotAllowed": "The server does not allow this; is 'endpoint_url' that of an S3 server?",
}
NETWORK = (
    (("NameResolution", "gaierror"), "The S3 server's name cannot be resolved (DNS). Correct 'endpoint_url' or 'region'."),
    (
        ("Connection refused", "ConnectionRefused"),
        "The S3 server refuses connections. Is it running, and is the port of 'endpoint_url' right?",
    ),
    (("doesn't match",), "The S3 server's certificate is for another name, so it is not trusted. Correct 'endpoint_url'."),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "The S3 server's certificate is not trusted. Name its authority's certificates in 'ca_file', or correct 'endpoint_url'.",
    ),
    (("SSLError",), "No TLS connection to the S3 server comes about: does it speak TLS? Correct 'endpoint_url' or 'ca_file'."),
    (("Timeout", "timed out"), "The S3 server does not answer in time."),
)
"""What errors and their causes say of themselves, and what is told then; the first that fits."""
CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
RETRY_AFTER_S = 5
DENIED = frozenset({"AccessDenied", "403", "400"})
SKEWED_S = 900
"""From so much on S3 refuses what was signed by another clock: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""


def code_of(status: int, body: bytes) -> str:
    """Return the error code of an answer: S3's own, or the status."""
    found = CODE.search(body[:4096])
    return found.group(1).decode() if found else str(status)


def from_code(code: str, status: int = 0, date: str | None = None) -> DomainError:
    """Return our error for an error code of S3. `date`: of the answer; a signed address is denied where the clocks differ too much."""
    if code in DENIED and _is_skewed(date):
        code = "RequestTimeTooSkewed"
    if code in MISSING:
        return NotFound()
    if code in FULL or status == HTTPStatus.INSUFFICIENT_STORAGE:
        return StorageFull()
    if code in OTHER_PARTS:
        return Conflict("The parts named are not those that are there.")
    if code in WRONG_REGION:
        return StorageUnavailable("The bucket is in another region. Correct 'region' or 'endpoint_url'.")
    if code in CLEAR:
        return StorageUnavailable(CLEAR[code], retry_after_s=RETRY_AFTER_S)
    return StorageUnavailable(f"The S3 server answers with {code}{f' ({status})' if status else ''}.", retry_after_s=RETRY_AFTER_S)


def _is_skewed(date: str | None) -> bool:
    try:
        return abs((datetime.now(UTC) - parsedate_to_datetime(date or "")).total_seconds()) > SKEWED_S
    except (TypeError, ValueError):
        return False


def from_exception(error: Exception) -> DomainError:
    """Return our error for one of botocore's or urllib3's; their texts hold signed URLs and stay behind."""
    if isinstance(error, boto.ClientError):
        answer = error.response
        metadata = answer.get("ResponseMetadata", {})
        date = metadata.get("HTTPHeaders", {}).get("date")
        return from_code(str(answer.get("Error", {}).get("Code", "")), metadata.get("HTTPStatusCode", 0), date)
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return StorageUnavailable("This machine's environment has no credentials for S3. Set them, or store secrets for this provider.")
    return StorageUnavailable(_network_problem(error), retry_after_s=RETRY_AFTER_S)


def _network_problem(error: BaseException) -> str:
    causes = " ".join(_causes(error))
    told = (text for marks, text in NETWORK if any(mark in causes for mark in marks))
    return next(told, f"The connection to the S3 server broke ({type(error).__name__}).")


def _causes(error: BaseException) -> Iterator[str]:
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield repr(seen)
        reason = getattr(seen, "reason", None)
        seen = seen.__cause__ or seen.__context__ or (reason if isinstance(reason, BaseException) else None)


@contextmanager
def translated() -> Iterator[None]:
    """Let only our own errors out. Without the original as cause: its text holds signed URLs."""
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError, wire.HTTPError) as error:
        raise from_exception(error) from None


def error_code(error: Exception) -> str:
    """Return S3's error code of a botocore error; empty for any other."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, boto.ClientError) else ""
