# ruff: noqa: ARG002 - the protocol has the parameters
"""A provider whose objects are files, and that can also sign addresses: a small HTTP server stands behind them."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from strongroom.errors import NotFound
from strongroom.storage.base import ObjectMeta, Part, PartLimits, SignedRequest
from strongroom.storage.filesystem import FilesystemProvider

KEY = b"the provider's own key"


class PresigningFiles(FilesystemProvider):
    """Files, with signed addresses to get them. It takes no parts: every session is over."""

    part_limits = PartLimits(1, 1, 1)

    def __init__(self, root: Path, port: int) -> None:
        super().__init__(root)
        self.root, self.port = root, port

    def presign_get(self, key: str, lifetime_s: int, *, content_type: str, disposition: str) -> SignedRequest:
        ends = int(time.time()) + lifetime_s
        query = urlencode({"ends": ends, "type": content_type, "disposition": disposition})
        url = f"http://127.0.0.1:{self.port}/{key}?{query}&sig={hmac.new(KEY, f'{key}?{query}'.encode(), 'sha256').hexdigest()}"
        return SignedRequest("GET", url, datetime.fromtimestamp(ends, UTC))

    def presign_part(self, key: str, session: str, number: int, size_bytes: int, lifetime_s: int) -> SignedRequest:
        raise NotFound

    def begin_multipart(self, key: str) -> str:
        return ""

    def put_part(self, key: str, session: str, number: int, data: bytes | bytearray | memoryview) -> Part:
        raise NotFound

    def assemble(self, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
        raise NotFound

    def discard(self, key: str, session: str) -> None:
        return

    def list_parts(self, key: str, session: str) -> list[Part]:
        raise NotFound


@contextmanager
def presigning_files(root: Path) -> Iterator[PresigningFiles]:
    """A provider over a folder, with its server running."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            signed, _, signature = parts.query.rpartition("&sig=")
            key = parts.path.lstrip("/")
            if signature != hmac.new(KEY, f"{key}?{signed}".encode(), "sha256").hexdigest():
                self.send_error(403)
                return
            said = {name: values[0] for name, values in parse_qs(signed).items()}
            data = (root / key).read_bytes()
            self.send_response(200)
            for name, value in (
                ("Content-Type", said["type"]),
                ("Content-Disposition", said["disposition"]),
                ("Content-Length", len(data)),
            ):
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield PresigningFiles(root, server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)
