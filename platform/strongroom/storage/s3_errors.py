"""Everything that can go wrong with S3, turned into our own errors in one place.

No text of a server's answer goes on: it may quote keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
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
CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
RETRY_AFTER_S = 5


def code_of(status: int, body: bytes) -> str:
    """Return the error code of an answer: S3's own, or the status."""
    found = CODE.search(body[:4096])
    return found.group(1).decode() if found else str(status)


def from_code(code: str, status: int = 0) -> DomainError:
    """Return our error for an error code of S3."""
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


def from_exception(error: Exception) -> DomainError:
    """Return our error for one of botocore's or urllib3's; their texts hold signed URLs and stay behind."""
    if isinstance(error, boto.ClientError):
        answer = error.response
        return from_code(str(answer.get("Error", {}).get("Code", "")), answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return StorageUnavailable("This machine's environment has no credentials for S3. Set them, or store secrets for this provider.")
    return StorageUnavailable(_network_problem(error), retry_after_s=RETRY_AFTER_S)


def _network_problem(error: BaseException) -> str:
    causes = " ".join(_causes(error))
    if "NameResolution" in causes or "gaierror" in causes:
        return "The S3 server's name cannot be resolved (DNS). Correct 'endpoint_url' or 'region'."
    if "Connection refused" in causes or "ConnectionRefused" in causes:
        return "The S3 server refuses connections. Is it running, and is the port of 'endpoint_url' right?"
    if "CERTIFICATE_VERIFY_FAILED" in causes:
        return "The S3 server's certificate is not trusted. Name its authority's certificates in 'ca_file', or correct 'endpoint_url'."
    if "SSLError" in causes:
        return "No TLS connection to the S3 server comes about: does it speak TLS? Correct 'endpoint_url' or 'ca_file'."
    if "Timeout" in causes or "timed out" in causes:
        return "The S3 server does not answer in time."
    return f"The connection to the S3 server broke ({type(error).__name__})."


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
