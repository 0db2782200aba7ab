"""S3 provider: objects in a bucket of Amazon S3, Ceph, MinIO, or whatever else speaks S3.

Rights on the bucket: s3:ListBucket, s3:ListBucketMultipartUploads; on its objects: s3:GetObject, s3:PutObject, s3:DeleteObject,
s3:AbortMultipartUpload, s3:ListMultipartUploadParts. With `sts`, the provider's user may assume a role that has the same
(sts:AssumeRole), and all that happens for a tenant happens with credentials that reach its prefix alone.
Durability: the server's; an object is there when PUT or CompleteMultipartUpload is answered, and not before.
Caveats: versioning of the bucket must be off, or bytes that were deleted stay. A lifecycle rule that aborts unfinished uploads
after some days is a good second net. Ceph completes an upload only with all of its parts. `rclone serve s3` ends an upload whose
completion names wrong parts, has no STS, and stores nothing of an unfinished upload that survives its own restart.
Addresses of the API: docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html.
"""

from __future__ import annotations

import builtins
import functools
import os.path
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from strongroom.errors import NotFound
from strongroom.storage.base import ObjectMeta, Part, PartLimits, Provider, Reader, SignedRequest, Slice, Writer
from strongroom.storage.keys import KEY_PATTERN, PREFIX_PATTERN
from strongroom.storage.s3_compose import compose, copy_part
from strongroom.storage.s3_config import S3Config, StsConfig, parse
from strongroom.storage.s3_errors import OTHER_PARTS, error_code, from_code, translated
from strongroom.storage.s3_reader import S3Reader
from strongroom.storage.s3_sts import NarrowedCredentials
from strongroom.storage.s3_wire import Bytes, Pools, S3Wire
from strongroom.storage.s3_writer import LIMITS, S3Writer, begin, discard, finish, head, part_params

BATCH = 1000
"""Keys of one DeleteObjects request."""
NO_UPLOADS = frozenset({"NoSuchUpload", "NotImplemented"})
"""What servers answer that have no unfinished upload in the bucket (rclone), or cannot list them."""
ONE_BY_ONE = frozenset({"AccessDenied", "NotImplemented"})
"""What servers answer that cannot delete many, or (Ceph 16) want a right on the whole bucket for it, which no tenant's credentials have."""
NARROWED_KEPT = 64
"""Tenants whose connections with narrowed credentials are kept."""
CHECK_PREFIX = "tn-" + "0" * 32 + "/"


def make(config: Mapping[str, Any], secrets: Mapping[str, str], pools: Pools | None = None) -> Provider:
    """Return the provider of a configuration; the same one while the process has it, with its connections.

    `pools` makes the connections of one that a tenant brought: no request of it goes by another way.

    Raises:
        ValidationFailed
    """
    return _made(parse(config, secrets), pools)


@functools.lru_cache(maxsize=16)
def _made(config: S3Config, pools: Pools | None) -> S3Provider:
    wire = S3Wire(config, pools=pools)
    return NarrowingS3Provider(wire, config.sts) if config.sts else S3Provider(wire)


class S3Provider:
    """Objects in a bucket; see `Provider`, `Presigning`, `PartCopy`, `ServerSideCopy`, `OwnAuthority`.

    `prefix`: nothing else can be named. `uploads`: the connection that lists unfinished uploads, where `wire` may not.
    `credentials`: those of `wire`, where they expire: no signed request outlives them.
    """

    part_limits: PartLimits = LIMITS

    def __init__(
        self, wire: S3Wire, *, uploads: S3Wire | None = None, credentials: NarrowedCredentials | None = None, prefix: str = ""
    ) -> None:
        self._wire, self._uploads, self._credentials, self._prefix = wire, uploads or wire, credentials, prefix
        self.ca_file = wire.config.ca_file

    def writer(self, key: str, size_bytes: int | None) -> Writer:
        """Begin an object; nothing is sent before a part is full."""
        return S3Writer(self._wire, self._checked(key), size_bytes)

    def open(self, key: str) -> Reader:
        """Open an object after having seen that it is there."""
        return S3Reader(self._wire, self.head(key))

    def head(self, key: str) -> ObjectMeta:
        """Describe an object."""
        return head(self._wire, self._checked(key))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects by the thousand, and abort unfinished uploads under their keys."""
        for group in _batches(self._checked(key) for key in keys):
            wanted = set(group)
            for key, session, _ in self._unfinished(os.path.commonprefix(group)):  # noqa: RUF071  keys are no paths
                if key in wanted:
                    discard(self._wire, key, session)
            self._delete_objects(group)

    def _delete_objects(self, keys: Sequence[str]) -> None:
        with translated():
            try:
                answer = self._wire.client.delete_objects(
                    Bucket=self._wire.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
                )
            except ClientError as error:
                if error_code(error) not in ONE_BY_ONE:
                    raise
                for key in keys:
                    self._wire.client.delete_object(Bucket=self._wire.bucket, Key=key)
                return
        for failed in answer.get("Errors", []):
            if failed.get("Code") != "NoSuchKey":
                raise from_code(failed.get("Code", ""))

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        """Walk unfinished uploads, then objects: what is finished meanwhile shows up twice rather than never."""
        for key, _, began_at in self._unfinished(self._checked_prefix(prefix)):
            yield ObjectMeta(key, 0, began_at)
        yield from self._objects(prefix)

    def _objects(self, prefix: str) -> Iterator[ObjectMeta]:
        pages = self._wire.client.get_paginator("list_objects_v2").paginate(Bucket=self._wire.bucket, Prefix=prefix)
        with translated():
            for page in pages:
                for item in page.get("Contents", []):
                    yield ObjectMeta(item["Key"], item["Size"], item["LastModified"], item["ETag"].strip('"'))

    def _unfinished(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        pages = self._uploads.client.get_paginator("list_multipart_uploads").paginate(Bucket=self._wire.bucket, Prefix=prefix)
        with translated():
            try:
                for page in pages:
                    for item in page.get("Uploads", []):
                        if item["Key"].startswith(prefix):
                            yield item["Key"], item["UploadId"], item["Initiated"]
            except ClientError as error:
                if error_code(error) not in NO_UPLOADS:
                    raise

    def delete_prefix(self, prefix: str) -> None:
        """Remove everything below a prefix."""
        for key, session, _ in list(self._unfinished(self._checked_prefix(prefix))):
            discard(self._wire, key, session)
        for group in _batches(meta.key for meta in self._objects(prefix)):
            self._delete_objects(group)

    def check(self) -> None:
        """See that the bucket can be listed, written and deleted from."""
        key = f"{self._prefix or CHECK_PREFIX}check-{uuid4().hex}"
        with translated():
            self._wire.client.list_objects_v2(Bucket=self._wire.bucket, Prefix=self._prefix or CHECK_PREFIX, MaxKeys=1)
        next(self._unfinished(self._prefix or CHECK_PREFIX), None)
        with translated():
            self._wire.client.put_object(Bucket=self._wire.bucket, Key=key, Body=b"ok")
            self._wire.client.delete_object(Bucket=self._wire.bucket, Key=key)

    # Multipart and presigning

    def begin_multipart(self, key: str) -> str:
        """Begin a multipart upload; the session is S3's upload id."""
        return begin(self._wire, self._checked(key))

    def put_part(self, key: str, session: str, number: int, data: bytes | bytearray | memoryview) -> Part:
        """Store a part, trying again where that may help."""
        body = Bytes(data)
        stored = self._wire.put("upload_part", part_params(self._checked(key), session, number), body)
        return Part(number, body.size_bytes, stored.etag)

    def assemble(self, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
        """Complete the multipart upload; of no parts: put an empty object."""
        if not parts:
            return self._assemble_nothing(self._checked(key), session)
        with translated():
            try:
                return finish(self._wire, self._checked(key), session, parts)
            except (BotoCoreError, ClientError) as error:
                if error_code(error) not in OTHER_PARTS:
                    self.list_parts(key, session)  # NotFound where the session is over: Ceph 16 answers that with an internal error
                raise

    def _assemble_nothing(self, key: str, session: str) -> ObjectMeta:
        self.list_parts(key, session)
        stored = self._wire.put("put_object", {"Key": key}, Bytes(b""))
        self.discard(key, session)
        return ObjectMeta(key, 0, stored.at, stored.etag)

    def discard(self, key: str, session: str) -> None:
        """Abort the multipart upload."""
        discard(self._wire, self._checked(key), session)

    def list_parts(self, key: str, session: str) -> builtins.list[Part]:
        """Ask the server for the parts, page by page."""
        pages = self._wire.client.get_paginator("list_parts").paginate(Bucket=self._wire.bucket, Key=self._checked(key), UploadId=session)
        with translated():
            found = [item for page in pages for item in page.get("Parts", [])]
        return sorted((Part(each["PartNumber"], each["Size"], each["ETag"].strip('"')) for each in found), key=lambda part: part.number)

    def presign_part(self, key: str, session: str, number: int, size_bytes: int, lifetime_s: int) -> SignedRequest:
        """Sign key, upload, number and Content-Length: another length has another signature."""
        params = {**part_params(self._checked(key), session, number), "ContentLength": size_bytes}
        return self._signed("PUT", "upload_part", params, lifetime_s, {"Content-Length": str(size_bytes)})

    def presign_get(self, key: str, lifetime_s: int, *, content_type: str, disposition: str) -> SignedRequest:
        """Sign the key and the headers of the answer."""
        params = {"Key": self._checked(key), "ResponseContentType": content_type, "ResponseContentDisposition": disposition}
        return self._signed("GET", "get_object", params, lifetime_s, {})

    def _signed(self, method: str, operation: str, params: dict[str, Any], lifetime_s: int, headers: dict[str, str]) -> SignedRequest:
        expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
        url = self._wire.sign(operation, params, lifetime_s)
        if self._credentials is not None:
            expires_at = min(expires_at, self._credentials.expires_at)
        return SignedRequest(method, url, expires_at, headers)

    def copy_part(self, key: str, session: str, number: int, source: Slice) -> Part:
        """Let the server copy a part; all but the last must have 5 MiB."""
        self._checked(source.key)
        return copy_part(self._wire, self._checked(key), session, number, source)

    def compose(self, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
        """Let the server copy; see `s3_compose`."""
        for piece in pieces:
            self._checked(piece.key)
        return compose(self._wire, self._checked(key), pieces)

    def _checked(self, key: str) -> str:
        if not KEY_PATTERN.fullmatch(key) or not key.startswith(self._prefix):
            raise NotFound
        return key

    def _checked_prefix(self, prefix: str) -> str:
        if not PREFIX_PATTERN.fullmatch(prefix) or not prefix.startswith(self._prefix):
            raise NotFound
        return prefix


class NarrowingS3Provider(S3Provider):
    """With a role to assume; see `Narrowing`."""

    def __init__(self, wire: S3Wire, sts: StsConfig) -> None:
        super().__init__(wire)
        self._narrow = functools.lru_cache(maxsize=NARROWED_KEPT)(functools.partial(_narrow, wire, sts))

    def narrowed(self, prefix: str) -> Provider:
        """Return the provider of a tenant, whose credentials renew themselves before they expire."""
        return self._narrow(self._checked_prefix(prefix))

    def check(self) -> None:
        """See that the bucket is there, and that the role can be assumed and reaches it."""
        super().check()
        self._narrow(CHECK_PREFIX).check()


def _narrow(wire: S3Wire, sts: StsConfig, prefix: str) -> S3Provider:
    source = NarrowedCredentials(wire.config, sts, prefix)
    return S3Provider(S3Wire(wire.config, source), uploads=wire, credentials=source, prefix=prefix)


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    walk = iter(keys)
    while group := list(islice(walk, BATCH)):
        yield group
