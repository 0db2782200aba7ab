"""Sending a file: by the kernel (sendfile) where the provider has a real file, in pieces otherwise; safely, and counted.

What users uploaded must not run on our origin: `nosniff`, a sandboxing CSP, and `attachment` unless the type is harmless.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from flask import Response, request
from werkzeug.wsgi import FileWrapper

from strongroom.files import service
from strongroom.files.models import File
from strongroom.http.conditions import byte_range, check_preconditions, not_modified
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.pace import hand_over_thread
from strongroom.storage.base import Reader
from strongroom.usage.http import caller
from strongroom.usage.ledger import ledger

PIECE_BYTES = 256 * 1024
SAFE_INLINE = frozenset({
    "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "video/mp4", "video/webm", "audio/mpeg", "audio/ogg", "audio/wav",
    "text/plain", "application/pdf",
})  # fmt: skip
NOT_MODIFIED, PARTIAL = 304, 206


class DownloadStream(io.RawIOBase):
    """A part of an open file that ends by itself, counts what was sent, and tells when it is over."""

    def __init__(self, reader: Reader, start: int, length: int, on_close: Callable[[int], None]) -> None:
        self._reader, self._start, self._left, self._on_close = reader, start, length, on_close
        self._length = length
        self._sent_by_kernel: int | None = None
        reader.seek(start)

    def fileno(self) -> int:
        """Return the real file's descriptor, for the kernel to send from; the server asks for it first."""
        descriptor: int = self._reader.fileno()  # type: ignore[attr-defined]  # absent: AttributeError tells the server to read instead
        self._sent_by_kernel = self._sent_by_kernel or 0
        return descriptor

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, up to the end of the part."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._reader.read(wanted) if wanted else b""
        self._left -= len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Note how far the kernel has sent (`socket.sendfile` ends with this call)."""
        if whence == io.SEEK_SET:
            self._sent_by_kernel = offset - self._start
        return offset

    def close(self) -> None:
        """Close the file and tell how many bytes went out. Idempotent."""
        if not self.closed:
            super().close()
            self._reader.close()
            read = self._length - self._left
            self._on_close(max(read, self._sent_by_kernel or 0))


def send_file(file: File, reader: Reader) -> Response:
    """Return the answer for a download: whole, a range, or 304.

    Raises:
        PreconditionFailed, RangeNotSatisfiable
    """
    headers = _headers(file)
    state: Any = {"etag": file.etag, "modified": file.version_created_at}
    try:
        check_preconditions(request, **state)
        unchanged = not_modified(request, **state)
        part = None if unchanged else byte_range(request, size_bytes=file.size_bytes, **state)
    except BaseException:
        reader.close()
        raise
    if unchanged:
        reader.close()
        return Response(status=NOT_MODIFIED, headers={name: headers[name] for name in ("ETag", "Last-Modified", "Cache-Control")})
    start, length = (part.start, part.length) if part else (0, file.size_bytes)
    headers["Content-Length"] = str(length)
    if part:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{file.size_bytes}"
    status = PARTIAL if part else 200
    if request.method == "HEAD":
        reader.close()
        return Response(status=status, headers=headers)
    body = DownloadStream(reader, start, length, _when_sent(file))
    wrapper: Any = request.environ.get("wsgi.file_wrapper", FileWrapper)
    return Response(wrapper(body, PIECE_BYTES), status=status, headers=headers, direct_passthrough=True)


def _when_sent(file: File) -> Callable[[int], None]:
    """Return what happens after the last byte: the request itself is over by then, so everything needed is bound now."""
    process, tenant, principal = runtime(), current_tenant(), current_principal()
    asked_by, give_back = caller(), hand_over_thread()
    if (sock := request.environ.get("gunicorn.socket")) is not None:
        sock.settimeout(process.settings.body_timeout_s)

    def finish(bytes_out: int) -> None:
        try:
            ledger.note(lambda: service.record_download(process, tenant, principal, asked_by, file, bytes_out))
        finally:
            give_back()

    return finish


def _headers(file: File) -> dict[str, str]:
    return {
        "Content-Type": _media_type(file.content_type),
        "Content-Disposition": disposition(file.path.rsplit("/", 1)[-1], inline=file.content_type in SAFE_INLINE),
        "ETag": f'"{file.etag}"',
        "Last-Modified": file.version_created_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _media_type(content_type: str) -> str:
    return f"{content_type}; charset=utf-8" if content_type.startswith("text/") else content_type


def disposition(name: str, *, inline: bool) -> str:
    """Return Content-Disposition for a file name (RFC 6266): a plain form for old clients, UTF-8 for all others."""
    shown = "".join("_" if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} else character for character in name)
    plain = "".join(character if character.isascii() and character not in '"\\%;' else "_" for character in shown)
    return f"{'inline' if inline else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"
