"""What an upload must keep to: size, type, and the conditions that the client named."""

from __future__ import annotations

import re

from strongroom.buckets.models import Bucket
from strongroom.errors import BadRequest, FileTooLarge, PreconditionFailed, TypeMismatch, TypeNotAllowed
from strongroom.files.models import File
from strongroom.scanning.families import NO_CLAIM
from strongroom.scanning.types import agrees, allowed, sniff, sniff_quickly
from strongroom.uploads.models import Upload, UploadRequest
from tenants.models import Tenant

TYPE_PATTERN = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
FORM_TYPE = "application/x-www-form-urlencoded"  # what some clients send when nobody told them a type


def claimed_type(header: str | None) -> str:
    """Return the media type that the client claims, without parameters; empty when it claims none.

    Raises:
        BadRequest: it is no media type (RFC 6838, 4.2).
    """
    claim = (header or "").partition(";")[0].strip().lower()
    if claim and not TYPE_PATTERN.fullmatch(claim):
        raise BadRequest("Content-Type is no media type; write for example image/png.")
    return "" if claim == FORM_TYPE else claim


def check_size(tenant: Tenant, bucket: Bucket, size_bytes: int) -> None:
    """See that a file of that size is allowed here.

    Raises:
        FileTooLarge
    """
    limit = tenant.limits.max_file_size_bytes
    if bucket.max_size_bytes is not None:
        limit = min(limit, bucket.max_size_bytes)
    if size_bytes > limit:
        raise FileTooLarge(f"The file has {size_bytes} bytes; at most {limit} are allowed here.", max_size_bytes=limit)


def check_declared(bucket: Bucket, declared: str) -> None:
    """Refuse a declared type that the bucket does not take, before a byte is read.

    Raises:
        TypeNotAllowed
    """
    if declared != NO_CLAIM and not allowed(declared, declared, bucket.allowed_types):
        raise TypeNotAllowed(f"The bucket '{bucket.name}' does not take {declared}.")


def check_type(upload: Upload, head: bytes) -> str:
    """Hold the first bytes against what was declared and what the bucket takes; return what they are.

    Of text that was declared as something they tell no more than is needed here; the check of the whole file tells the rest.

    Raises:
        TypeMismatch, TypeNotAllowed
    """
    detected = sniff(head) if upload.declared_type == NO_CLAIM else sniff_quickly(head)
    if not agrees(upload.declared_type, detected, upload.path):
        raise TypeMismatch(f"The bytes are {detected}, not {upload.declared_type}.", detected_type=detected)
    if not allowed(detected, upload.declared_type, upload.bucket.allowed_types):
        raise TypeNotAllowed(f"The bucket '{upload.bucket.name}' does not take {detected}.", detected_type=detected)
    return detected


def check_conditions(request: UploadRequest, current: File | None) -> None:
    """RFC 9110, 13.1: If-Match and If-None-Match, by strong comparison.

    Raises:
        PreconditionFailed
    """
    if request.if_match is not None and (current is None or ("*" not in request.if_match and current.etag not in request.if_match)):
        raise PreconditionFailed("The file is not there, or has another ETag." if current else "There is no such file.")
    if request.if_none_match is not None and current and ("*" in request.if_none_match or current.etag in request.if_none_match):
        raise PreconditionFailed("There is a file at that path already.")
