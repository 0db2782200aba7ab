"""Answering a download: whole, in parts, compressed, or 304; by ourselves, by nginx in front, or by the provider; and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response, request
from werkzeug.wsgi import FileWrapper

from strongroom.buckets.room import check_transfer
from strongroom.errors import NotAcceptable
from strongroom.files import grants
from strongroom.files.compression import coding_for, compressed
from strongroom.files.headers import download_headers, media_type, modified_of, without_bytes
from strongroom.files.models import File, Grant
from strongroom.files.streams import PIECE_BYTES, DownloadStream, MultipartRanges, PieceStream
from strongroom.http.conditions import check_preconditions, not_modified, tag_held
from strongroom.http.context import current_tenant, runtime
from strongroom.http.encodings import IDENTITY, choose_coding
from strongroom.http.headers import Bodyless
from strongroom.http.pace import hand_over_thread
from strongroom.http.ranges import ByteRange, byte_ranges
from strongroom.usage.http import caller
from strongroom.usage.ledger import ledger

OK, PARTIAL, FOUND, NOT_MODIFIED = 200, 206, 302, 304
REDIRECT_LIFETIME_S = 60
# Those whom we hand over to compare these with tags and times of their own
NOT_FOR_NGINX = ("If-Match", "If-Unmodified-Since")
FOR_NGINX_CACHING = "X-Accel-Cache-Control"
NOT_FOR_PROVIDERS = (*NOT_FOR_NGINX, "If-Range")


@dataclass(frozen=True)
class Manner:
    """How a download is wanted. `spend`, for what is good for one download: called before the first byte, raises when it was had."""

    inline: bool = True
    redirect: bool = False
    spend: Callable[[], None] | None = None


@dataclass(frozen=True)
class Answer:
    """What is to be sent: the headers of the whole file, its coding, and the parts wanted, none for all."""

    grant: Grant
    manner: Manner
    coding: str
    parts: tuple[ByteRange, ...]
    headers: dict[str, str]

    @property
    def asked_bytes(self) -> int:
        """How many of the file's bytes were asked for."""
        return sum(part.length for part in self.parts) if self.parts else self.grant.file.size_bytes


def send_file(grant: Grant, manner: Manner | None = None) -> Response:
    """Return the answer for a download.

    Raises:
        PreconditionFailed, RangeNotSatisfiable, NotAcceptable, StorageUnavailable, TransferExceeded
        NotFound: the bytes are gone.
    """
    manner = manner or Manner()
    file = grant.file
    coding = _coding(file)
    headers = download_headers(grant, coding=coding, inline=manner.inline, once=manner.spend is not None)
    state: Any = {"etag": file.etag, "modified": modified_of(grant)}
    check_preconditions(request, **state)
    if not_modified(request, **state):
        headers["ETag"] = f'"{tag_held(request, file.etag, coding)}"'
        return Bodyless(status=NOT_MODIFIED, headers=without_bytes(headers))
    parts = () if coding else byte_ranges(request, size_bytes=file.size_bytes, **state)
    answer = Answer(grant, manner, coding, parts, headers)
    if request.method == "HEAD":
        return _head(answer)
    check_transfer(current_tenant().limits, grant.transferred_bytes)
    return _redirected(answer) or _by_nginx(answer) or _by_ourselves(answer)


def _coding(file: File) -> str:
    """Return in which coding to answer; a range is of the file itself, so it is answered from that."""
    accepted = request.headers.get("Accept-Encoding")
    if "Range" in request.headers and choose_coding(accepted, ()) == IDENTITY:
        return IDENTITY
    coding = coding_for(file.content_type, file.size_bytes, accepted)
    if coding is None:
        raise NotAcceptable("This file goes out without a content coding; your Accept-Encoding refuses that.")
    return coding


def _body_headers(answer: Answer, multipart: MultipartRanges | None) -> tuple[int, dict[str, str]]:
    """Return the status and the headers with the length of what is sent, where that is known."""
    headers = dict(answer.headers)
    if answer.coding:
        return OK, headers
    if multipart:
        headers |= {"Content-Type": multipart.content_type, "Content-Length": str(multipart.length)}
        return PARTIAL, headers
    headers["Content-Length"] = str(answer.asked_bytes)
    if answer.parts:
        headers["Content-Range"] = answer.parts[0].content_range(answer.grant.file.size_bytes)
        return PARTIAL, headers
    return OK, headers


def _multipart(answer: Answer) -> MultipartRanges | None:
    if len(answer.parts) <= 1:
        return None
    return MultipartRanges(answer.parts, answer.grant.file.size_bytes, answer.headers["Content-Type"])


def _head(answer: Answer) -> Response:
    status, headers = _body_headers(answer, _multipart(answer))
    response = Response(status=status, headers=headers)
    response.automatically_set_content_length = False
    return response


def _by_ourselves(answer: Answer) -> Response:
    file = answer.grant.file
    multipart, part = _multipart(answer), answer.parts[0] if answer.parts else ByteRange(0, file.size_bytes)
    status, headers = _body_headers(answer, multipart)
    reader = grants.open_bytes(runtime(), current_tenant(), file)
    try:
        reader.seek(part.start)
        _spend(answer)
    except BaseException:
        reader.close()
        raise
    sent = _when_sent(answer.grant)
    body: Any
    if answer.coding:
        body = PieceStream(partial(compressed, coding=answer.coding, size_bytes=file.size_bytes), reader, sent)
    elif multipart:
        body = PieceStream(multipart.pieces, reader, sent)
    else:
        wrapper: Any = request.environ.get("wsgi.file_wrapper", FileWrapper)
        body = wrapper(DownloadStream(reader, part, sent), PIECE_BYTES)
    return Response(body, status=status, headers=headers, direct_passthrough=True)


def _redirected(answer: Answer) -> Response | None:
    """Send the client to the provider, if that is wanted and the provider can sign addresses.

    Not for what is good once: the provider's address is good for as long as it lasts.
    """
    grant, manner = answer.grant, answer.manner
    wanted = manner.redirect or grant.bucket.redirect_downloads
    if not wanted or manner.spend or answer.coding or _asks(NOT_FOR_PROVIDERS):
        return None
    signed = grants.storage_of(runtime(), current_tenant(), grant.file).presign_get(
        grant.file.bucket_id, grant.file.version_id, REDIRECT_LIFETIME_S,
        content_type=media_type(grant.file.content_type), disposition=answer.headers["Content-Disposition"],
    )  # fmt: skip
    if signed is None or signed.headers:  # a redirect cannot make the client send headers
        return None
    _count(grant, answer.asked_bytes)
    headers = {**without_bytes(answer.headers), "Location": signed.url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    del headers["ETag"], headers["Last-Modified"]
    return Bodyless(status=FOUND, headers=headers)


def _by_nginx(answer: Answer) -> Response | None:
    """Have nginx in front send the file; it cuts the ranges by itself."""
    prefix, file = runtime().settings.accel_prefix, answer.grant.file
    if not prefix or answer.coding or _asks(NOT_FOR_NGINX) or _has_dated_range() or not file.size_bytes:
        return None
    path = grants.storage_of(runtime(), current_tenant(), file).local_path(file.bucket_id, file.version_id)
    if path is None:
        return None
    _spend(answer)
    _count(answer.grant, answer.asked_bytes)
    headers = {**answer.headers, "X-Accel-Redirect": prefix + path, FOR_NGINX_CACHING: answer.headers["Cache-Control"]}
    del headers["Accept-Ranges"], headers["Cache-Control"]  # nginx adds its own, and keeps this one also where the bytes are gone
    return Response(status=OK, headers=headers)


def _has_dated_range() -> bool:
    """Tell whether a range depends on a date: nginx would take one that was told while it was not yet sure."""
    return not request.headers.get("If-Range", '"').lstrip().startswith(('"', "W/"))


def _asks(conditions: tuple[str, ...]) -> bool:
    return any(name in request.headers for name in conditions)


def _spend(answer: Answer) -> None:
    if answer.manner.spend:
        answer.manner.spend()


def _count(grant: Grant, bytes_out: int) -> None:
    _counter(grant)(bytes_out)


def _counter(grant: Grant) -> Callable[[int], None]:
    """Return what notes a download, also after the request is over."""
    process, tenant, asked_by, file = runtime(), current_tenant(), caller(), grant.file

    def note(bytes_out: int) -> None:
        sent = [(file.bucket_id, file.id, file.content_type, bytes_out)]
        ledger.note(lambda: grants.record_downloads(process, tenant, grant.visitor, asked_by, sent))

    return note


def _when_sent(grant: Grant) -> Callable[[int], None]:
    """Return what happens after the last byte: the request itself is over by then, so everything needed is bound now."""
    note, give_back = _counter(grant), keep_sending()

    def finish(bytes_out: int) -> None:
        try:
            note(bytes_out)
        finally:
            give_back()

    return finish


def keep_sending() -> Callable[[], None]:
    """Ready the connection for a long answer; return what gives the thread back when that is over."""
    if (sock := request.environ.get("gunicorn.socket")) is not None:
        sock.settimeout(runtime().settings.body_timeout_s)
    return hand_over_thread()
