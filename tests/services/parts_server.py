"""A small storage server with multipart uploads, signed URLs and server-side copies, and the provider that talks of it.

Clients put parts over real HTTP; the provider's own calls reach the same store directly. Beyond the rules of S3 that matter
here (a session ends with its object; a part is replaced by one of its number; an assembly names parts by their tags), it
can be told to misbehave.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from strongroom.errors import Conflict, NotFound
from strongroom.storage.base import ObjectMeta, Part, PartLimits, SignedRequest, Slice

MIB = 1024 * 1024


class Store:
    """Objects and sessions in memory."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.objects: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.sessions: dict[str, tuple[str, dict[int, bytes]]] = {}
        self.key = secrets.token_bytes(32)
        self.after_list: Callable[[str], None] = lambda _session: None
        """Called when parts have been listed, with the session: what happens between list and use."""

    def put(self, key: str, data: bytes) -> None:
        with self.lock:
            self.objects[key], self.tags[key] = data, secrets.token_hex(8)

    def signature(self, text: str) -> str:
        return hmac.new(self.key, text.encode(), "sha256").hexdigest()

    def parts(self, key: str, session: str) -> dict[int, bytes]:
        found = self.sessions.get(session)
        if found is None or found[0] != key:
            raise NotFound
        return found[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        key, query = self._signed_query()
        if query is None:
            return self._answer(403)
        if len(data) != int(query["size"]):
            return self._answer(400)
        with self.store.lock:
            try:
                self.store.parts(key, query["session"])[int(query["number"])] = data
            except NotFound:
                return self._answer(404)
        return self._answer(200, ETag=f'"{tag_of(data)}"')

    def do_GET(self) -> None:
        key, query = self._signed_query()
        if query is None:
            return self._answer(403)
        data = self.store.objects.get(key)
        if data is None:
            return self._answer(404)
        return self._answer(200, data, **{"Content-Type": query["type"], "Content-Disposition": query["disposition"]})

    def _signed_query(self) -> tuple[str, dict[str, str] | None]:
        """The key, and the query where its signature is good and its time not over."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        signature = query.pop("signature", "")
        good = hmac.compare_digest(signature, self.store.signature(f"{self.command}{url.path}{urlencode(query)}"))
        return url.path[1:], query if good and float(query["expires"]) >= time.time() else None

    def _answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


def tag_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class _Writer:
    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key, self._data = store, key, bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def complete(self) -> ObjectMeta:
        self._store.put(self._key, bytes(self._data))
        return ObjectMeta(self._key, len(self._data), datetime.now(UTC), self._store.tags[self._key])

    def abort(self) -> None:
        self._data.clear()


class MultipartProvider:
    """`Provider` and `Multipart`."""

    part_limits = PartLimits(5 * MIB, 64 * MIB, 10_000)

    def __init__(self, store: Store, address: str) -> None:
        self.store, self.address = store, address

    def writer(self, key: str, size_bytes: int | None) -> _Writer:  # noqa: ARG002 - it takes any
        return _Writer(self.store, key)

    def open(self, key: str) -> io.BytesIO:
        with self.store.lock:
            if key not in self.store.objects:
                raise NotFound
            return io.BytesIO(self.store.objects[key])

    def head(self, key: str) -> ObjectMeta:
        with self.store.lock:
            if key not in self.store.objects:
                raise NotFound
            return ObjectMeta(key, len(self.store.objects[key]), datetime.now(UTC), self.store.tags[key])

    def delete(self, keys: Iterable[str]) -> None:
        with self.store.lock:
            for key in keys:
                self.store.objects.pop(key, None)
                for session in [session for session, (of, _) in self.store.sessions.items() if of == key]:
                    del self.store.sessions[session]

    def list(self, prefix: str) -> Iterator[ObjectMeta]:
        for key in sorted(self.store.objects):
            if key.startswith(prefix):
                yield self.head(key)

    def delete_prefix(self, prefix: str) -> None:
        self.delete([key for key in [*self.store.objects, *(of for of, _ in self.store.sessions.values())] if key.startswith(prefix)])

    def check(self) -> None:
        return

    def begin_multipart(self, key: str) -> str:
        session = secrets.token_hex(8)
        with self.store.lock:
            self.store.sessions[session] = (key, {})
        return session

    def put_part(self, key: str, session: str, number: int, data: bytes | bytearray | memoryview) -> Part:
        with self.store.lock:
            self.store.parts(key, session)[number] = bytes(data)
        return Part(number, len(data), tag_of(bytes(data)))

    def assemble(self, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
        with self.store.lock:
            there = self.store.parts(key, session)
            if any(part.number not in there or tag_of(there[part.number]) != part.tag for part in parts):
                raise Conflict
            self.store.put(key, b"".join(there[part.number] for part in sorted(parts, key=lambda part: part.number)))
            del self.store.sessions[session]
        return self.head(key)

    def discard(self, key: str, session: str) -> None:  # noqa: ARG002 - sessions are unique
        with self.store.lock:
            self.store.sessions.pop(session, None)


class PresigningProvider(MultipartProvider):
    """Also `Presigning`, `PartCopy` and `ServerSideCopy`."""

    def presign_part(self, key: str, session: str, number: int, size_bytes: int, lifetime_s: int) -> SignedRequest:
        query = {"session": session, "number": str(number), "size": str(size_bytes)}
        return self._signed("PUT", key, query, lifetime_s, {"Content-Length": str(size_bytes)})

    def presign_get(self, key: str, lifetime_s: int, *, content_type: str, disposition: str) -> SignedRequest:
        return self._signed("GET", key, {"type": content_type, "disposition": disposition}, lifetime_s, {})

    def _signed(self, method: str, key: str, query: dict[str, str], lifetime_s: int, headers: dict[str, str]) -> SignedRequest:
        expires_at = datetime.now(UTC) + timedelta(seconds=lifetime_s)
        query = {**query, "expires": str(expires_at.timestamp())}
        signature = self.store.signature(f"{method}/{key}{urlencode(query)}")
        url = f"{self.address}/{key}?{urlencode({**query, 'signature': signature})}"
        return SignedRequest(method, url, expires_at, headers)

    def list_parts(self, key: str, session: str) -> list[Part]:
        with self.store.lock:
            found = [Part(number, len(data), tag_of(data)) for number, data in sorted(self.store.parts(key, session).items())]
        self.store.after_list(session)
        return found

    def copy_part(self, key: str, session: str, number: int, source: Slice) -> Part:
        return self.put_part(key, session, number, self._cut(source))

    def compose(self, key: str, pieces: Sequence[Slice]) -> ObjectMeta:
        self.store.put(key, b"".join(self._cut(piece) for piece in pieces))
        return self.head(key)

    def _cut(self, piece: Slice) -> bytes:
        with self.store.lock:
            if piece.key not in self.store.objects:
                raise NotFound
            return self.store.objects[piece.key][piece.start : piece.start + piece.length]


@contextmanager
def parts_server() -> Iterator[tuple[Store, str]]:
    """Run the server; yield its store and address."""
    store = Store()
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})  # for so long a shutdown waits
    thread.start()
    try:
        yield store, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
