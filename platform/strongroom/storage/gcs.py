"""Google Cloud Storage provider.

Permissions: the role Storage Object Admin (`roles/storage.objectAdmin`) on the bucket, nothing on the project. Presigned URLs need
a service account's private key; with the machine's own identity there are none.
Durability: an object is in several zones before Google answers; it appears whole or not at all.
Parts are objects of their own (`pieces`), joined by compose, 32 at a time in as many levels as it takes.
Caveats: an unfinished upload of more than one chunk is a session at Google that nobody can list: it costs nothing, expires after a
week, and `delete` of its key does not end it. With soft delete or object versioning on the bucket, deleted bytes are billed on:
switch both off. Uniform bucket-level access should be on, public access prevention too.
Page: https://cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Any, TypeVar
from uuid import uuid4

from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.oauth2 import service_account
from requests.adapters import HTTPAdapter

from strongroom.errors import StorageUnavailable
from strongroom.storage.base import CannotCompose, ObjectMeta, Part, PartLimits, Provider, Reader, SignedRequest, Slice, Writer
from strongroom.storage.gcs_config import GCSConfig, parse
from strongroom.storage.gcs_transport import NOT_THERE, StatusError, Uploads, bucket_wanted, crc32c, reason_of, translated
from strongroom.storage.gcs_writer import GCSWriter
from strongroom.storage.pieces import (
    MARK,
    MAX_PARTS,
    MIB,
    Buffer,
    Grouped,
    PieceMultipart,
    checked,
    checked_prefix,
    owner,
    piece_name,
    piece_number,
)
from strongroom.storage.ranged import RangedReader

COMPOSED_AT_ONCE = 32
COMPOSES_AT_ONCE = 8
DELETED_AT_ONCE = 100
CONNECTIONS = 64
LISTED = "items(name,size,updated,generation),nextPageToken"
T = TypeVar("T")


def make_gcs(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Provider:
    """Return a provider of a bucket; nothing is sent yet.

    Raises:
        ValidationFailed
    """
    checked = parse(config, secrets)
    return SigningGCSProvider(checked, checked.signing) if checked.signing else GCSProvider(checked)


class GCSProvider(PieceMultipart):
    """Objects in a bucket; see `Provider`, `Multipart` and `ServerSideCopy`."""

    part_limits = PartLimits(min_bytes=MIB, max_bytes=5 * 1024 * MIB, max_count=MAX_PARTS)

    def __init__(self, config: GCSConfig) -> None:
        session = AuthorizedSession(config.credentials)
        session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        client = storage.Client(
            project=config.project,
            credentials=config.credentials,
            _http=session,
            client_options={"api_endpoint": config.endpoint_url},
        )
        self._config = config
        self._client, self._bucket = client, client.bucket(config.bucket)
        self.uploads = Uploads(config, session)
        self._options: dict[str, Any] = {"timeout": config.timeout_s, "retry": self.uploads.retry}

    def writer(self, key: str, size_bytes: int | None) -> Writer:  # noqa: ARG002 - Google wants no size
        """Begin an object; what fits into one chunk is sent in one request."""
        return GCSWriter(self.uploads, checked(key))

    def open(self, key: str) -> Reader:
        """Open the generation that is there now: what comes later does not mix in."""
        found = self._describe(key)

        def fetch(offset: int, length: int) -> bytes:
            blob = self._bucket.blob(key, generation=found.generation)  # a new one: a download may overwrite its generation
            with translated(self._config.bucket):
                data = blob.download_as_bytes(start=offset, end=offset + length - 1, raw_download=True, checksum=None, **self._options)
            if len(data) != length:
                raise StorageUnavailable("Google Cloud Storage gave another number of bytes than there are.", retry_after_s=5)
            return bytes(data)

        return RangedReader(found.size, fetch)

    def head(self, key: str) -> ObjectMeta:
        """Describe an object; its generation is the tag."""
        return _meta(self._describe(key))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects and what lies beside them, in batches."""
        self._remove(name for key in keys for name in self._names_of(checked(key)))

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        """Walk a tenant's objects, page by page. Google gives names in order, so that pieces follow their key."""
        for key, blobs in groupby(self._blobs(checked_prefix(prefix)), key=lambda blob: owner(blob.name)):
            found = list(blobs)
            if found[0].name == key:
                yield _meta(found[0])
            else:
                yield from _unfinished(found)

    def delete_prefix(self, prefix: str) -> None:
        """Remove all of a tenant's objects."""
        self._remove(blob.name for blob in self._blobs(checked_prefix(prefix)))

    def check(self) -> None:
        """Write and remove a tiny object."""
        name = f"strongroom-check-{uuid4().hex}"
        self._put_piece(name, b"ok")
        self._remove([name])

    def compose(self, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
        """Join whole objects at Google; it cannot cut."""
        sources = [self._whole(each) for each in pieces if each.length]
        if not sources:
            raise CannotCompose
        if len(sources) > 1:
            return self._compose(checked(key), sources)
        target, token = self._bucket.blob(checked(key)), None
        with translated(self._config.bucket):
            while True:
                token, _, _ = target.rewrite(sources[0], token=token, if_source_generation_match=sources[0].generation, **self._options)
                if token is None:
                    return _meta(target)

    def _whole(self, wanted: Slice) -> storage.Blob:
        found = self._describe(wanted.key)
        if (wanted.start, wanted.length) != (0, found.size):
            raise CannotCompose
        return found

    def _put_piece(self, name: str, data: Buffer) -> str:
        return str(self.uploads.put(name, data, crc32c(data))["generation"])

    def _read_mark(self, name: str) -> bytes:
        with translated(self._config.bucket):
            return bytes(self._bucket.blob(name).download_as_bytes(raw_download=True, checksum=None, **self._options))

    def _found_parts(self, key: str) -> Iterator[Part]:
        for blob in self._blobs(f"{checked(key)}."):
            if number := piece_number(blob.name):
                yield Part(number, blob.size, str(blob.generation))

    def _join(self, key: str, parts: Sequence[Part]) -> ObjectMeta:
        """Compose exactly the generations that were named."""
        sources = [
            self._bucket.blob(piece_name(key, part.number), generation=int(part.tag) if part.tag else None)
            for part in parts
            if part.size_bytes
        ]
        if not sources:
            self._put_piece(key, b"")
            return self.head(key)
        return self._compose(key, sources)

    def _clear(self, key: str, parts: Sequence[Part]) -> None:  # noqa: ARG002 - composed objects need none of their sources
        mark = piece_name(key, MARK)
        self._remove(name for name in self._names_of(key) if piece_number(name) or name.startswith(f"{key}.join"))
        self._remove([mark])

    def _compose(self, key: str, sources: Sequence[storage.Blob]) -> ObjectMeta:
        """Join objects, level by level; what a level made is removed when the object stands (or by `delete` of the key)."""
        made: list[str] = []
        level = 0
        with translated(self._config.bucket):
            while len(sources) > COMPOSED_AT_ONCE:
                level += 1
                names = [f"{key}.join{level}.{number:05}" for number in range(len(sources))]
                with ThreadPoolExecutor(COMPOSES_AT_ONCE) as pool:
                    sources = list(pool.map(self._composed, names, _batches(sources, COMPOSED_AT_ONCE)))
                made += [blob.name for blob in sources]
            meta = _meta(self._composed(key, sources))
        self._remove(made)
        return meta

    def _composed(self, name: str, sources: Sequence[storage.Blob]) -> storage.Blob:
        target = self._bucket.blob(name)
        target.content_type = "application/octet-stream"
        generations = [blob.generation for blob in sources]
        target.compose(sources, if_source_generation_match=generations, **self._options)
        return target

    def _remove(self, names: Iterable[str]) -> None:
        for batch in _batches(names, DELETED_AT_ONCE):
            with translated(self._config.bucket):
                self.uploads.retry(lambda batch=batch: self._remove_batch(batch))()

    def _remove_batch(self, names: Sequence[str]) -> None:
        with self._client.batch(raise_exception=False) as batch:
            for name in names:
                self._bucket.blob(name).delete(retry=None, timeout=self._config.timeout_s)
        for answer in batch._responses:  # there is no other way to all of them: the library raises the first, a harmless 404 perhaps
            if answer.status_code not in {NOT_THERE, *range(200, 300)}:
                raise StatusError(answer.status_code, reason_of(answer))

    def _describe(self, key: str) -> storage.Blob:
        blob = self._bucket.blob(checked(key))
        with translated(self._config.bucket):
            blob.reload(**self._options)
        return blob

    def _names_of(self, key: str) -> Iterator[str]:
        yield key
        yield from (blob.name for blob in self._blobs(f"{key}."))

    def _blobs(self, prefix: str) -> Iterator[storage.Blob]:
        with bucket_wanted(self._config.bucket):
            yield from self._client.list_blobs(self._bucket, prefix=prefix, fields=LISTED, **self._options)


class SigningGCSProvider(GCSProvider):
    """Also `Presigning`: a private key is there to sign addresses with (V4), without a request to Google."""

    def __init__(self, config: GCSConfig, signing: service_account.Credentials) -> None:
        super().__init__(config)
        self._signing = signing

    def presign_part(self, key: str, session: str, number: int, size_bytes: int, lifetime_s: int) -> SignedRequest:  # noqa: ARG002 - see below
        """Sign a PUT of a part's object; Google refuses another size (x-goog-content-length-range).

        Without a request to Google: whether the session is still open would be out of date before the client has the address.
        """
        headers = {"content-type": "application/octet-stream", "x-goog-content-length-range": f"{size_bytes},{size_bytes}"}
        return replace(self._signed(piece_name(checked(key), number), "PUT", lifetime_s, headers=headers), tag_header="x-goog-generation")

    def presign_get(self, key: str, lifetime_s: int, *, content_type: str, disposition: str) -> SignedRequest:
        """Sign a GET that answers with this type and Content-Disposition."""
        return self._signed(checked(key), "GET", lifetime_s, response_type=content_type, response_disposition=disposition)

    def _signed(self, name: str, method: str, lifetime_s: int, *, headers: Mapping[str, str] | None = None, **answer: str) -> SignedRequest:
        expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
        endpoint = self._config.endpoint_url
        url = self._bucket.blob(name).generate_signed_url(
            version="v4",
            expiration=timedelta(seconds=lifetime_s),
            method=method,
            headers=dict(headers or {}),
            credentials=self._signing,
            api_access_endpoint=endpoint,
            scheme=endpoint.partition(":")[0],
            **answer,
        )
        return SignedRequest(method, str(url), expires_at, dict(headers or {}))


def _meta(blob: storage.Blob) -> ObjectMeta:
    return ObjectMeta(blob.name, blob.size, blob.updated, str(blob.generation))


def _unfinished(blobs: Iterable[storage.Blob]) -> Iterator[ObjectMeta]:
    grouped = Grouped()
    for blob in blobs:
        grouped.add(blob.name, blob.size if piece_number(blob.name) else 0, blob.updated)
    return grouped.metas()


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    return iter(lambda: list(islice(iterator, size)), [])
