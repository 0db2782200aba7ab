"""The request's body as a stream: exact lengths, time limits, and clear words when the sender goes away."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import Flask, Response, request
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import ChunkMissingTerminator, ParseException

from strongroom.errors import BadRequest, IncompleteBody, LengthRequired, RequestTimeout
from strongroom.http.connections import connections
from strongroom.http.context import runtime

View = TypeVar("View", bound=Callable[..., Any])
MAX_DIGITS = 18
MORE_THAN_ANYTHING = 10**MAX_DIGITS
STREAMS = "__streams_body__"
ARRIVING_BYTES = 1024 * 1024
PARSED_BYTES = 256 * 1024
"""Read at once through gunicorn's parser, which waits until it has as many."""
GATHER_S = 0.2
STALLED = frozenset({errno.EAGAIN, errno.ETIMEDOUT})


class RequestBody:
    """The body of the current request, read in pieces of exactly the size asked for; of a chunked one the last is smaller."""

    def __init__(self, stream: Any, *, is_chunked: bool = False, before: Callable[[], None] = lambda: None) -> None:
        """`before` is called before each read that may have to wait: nothing may be held meanwhile that others need."""
        self._stream, self._is_chunked, self._before = stream, is_chunked, before

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes; of a chunked body fewer at its end, told by its last chunk (RFC 9112, 7.1).

        Raises:
            IncompleteBody: the sender went away.
            RequestTimeout: nothing came for as long as the server waits.
        """
        data = self._read(size)
        if len(data) == size:
            return data
        pieces, missing = [data], size - len(data)
        while missing:
            data = self._read(missing)
            if not data:
                if self._is_chunked:
                    break
                raise IncompleteBody
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    def has_arrived(self, size_bytes: int) -> bool:
        """Tell whether so many bytes are here already, without waiting; False where nobody can tell."""
        reader = getattr(self._stream, "reader", None)
        if not isinstance(reader, LengthReader) or not hasattr(reader.unreader, "sock"):
            return False
        missing: int = size_bytes - len(reader.unreader.buf.getbuffer())
        if missing <= 0:
            return True
        try:
            return len(reader.unreader.sock.recv(missing, socket.MSG_PEEK | socket.MSG_DONTWAIT)) == missing
        except OSError:
            return False

    def readinto(self, view: memoryview) -> int:
        """Fill `view` with what comes within a fifth of a second of its first byte; return how many bytes, 0 only at the end.

        Full pieces are hashed and written at less cost than what a single packet brings, and no byte waits long. A body of
        known length is received straight from the socket: the server's own buffering copies each byte several times, which
        costs more than hashing and writing it.

        Raises:
            IncompleteBody, RequestTimeout, BadRequest: as `read`, and only where not a byte came.
        """
        reader = getattr(self._stream, "reader", None)
        if not isinstance(reader, LengthReader) or not hasattr(reader.unreader, "sock") or self._stream.buf.tell():
            data = self._read(min(len(view), PARSED_BYTES))
            view[: len(data)] = data
            return self._ended(len(data))
        self._before()
        with _translated():
            received = _gather(reader, view[: min(len(view), reader.length)])
        return self._ended(received)

    def prepare(self) -> None:
        """Let go of what nobody may hold while waiting."""
        self._before()

    def _ended(self, received: int) -> int:
        if not received and not self._is_chunked:
            raise IncompleteBody
        return received

    def _read(self, size: int) -> bytes:
        self._before()
        with _translated():
            data: bytes = self._stream.read(size)
        return data


def _gather(reader: LengthReader, view: memoryview) -> int:
    """Wait for bytes, then take what follows them closely. What breaks that off is told by the next call, which meets it again."""
    done = _receive(reader, view)
    until = time.monotonic() + GATHER_S
    while 0 < done < len(view):
        try:
            count = reader.unreader.sock.recv_into(view[done:], 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if _comes(reader.unreader.sock, until):
                continue
            break
        except OSError:
            break
        if not count:
            break
        reader.length -= count
        done += count
    return done


def _comes(sock: socket.socket, until: float) -> bool:
    """Wait for more until a time; tell whether there is some, or the end."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(max(0, (until - time.monotonic()) * 1000)))


def _receive(reader: LengthReader, view: memoryview) -> int:
    """Take what the server holds already, else what the socket has; keep the server's count of what is left."""
    unreader = reader.unreader
    if held := unreader.take_buffered():
        count = min(len(held), len(view))
        view[:count] = held[:count]
        unreader.unread(held[count:])
    else:
        count = unreader.sock.recv_into(view)
    reader.length -= count
    return int(count)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, TimeoutError) or error.errno in STALLED:
            raise RequestTimeout from None
        raise IncompleteBody from None
    except ChunkMissingTerminator:
        raise IncompleteBody from None
    except ParseException:
        raise BadRequest("The chunks of the body are not what RFC 9112 says.") from None


class ArrivingBody:
    """The body of the current request as it arrives, for whoever keeps what came before it broke off."""

    def __init__(self, body: RequestBody, length: int | None, reader: Any) -> None:
        self._body, self._left, self._reader = body, length, reader
        self._buffer = memoryview(bytearray(ARRIVING_BYTES if length is None else min(ARRIVING_BYTES, length)))

    def read_some(self) -> bytes | memoryview:
        """Return what has arrived: at least one byte, at most 1 MiB, and none at the end. The next call uses its buffer again.

        No byte is held back for long: see `RequestBody.readinto`.

        Raises:
            IncompleteBody: the sender went away.
            RequestTimeout: nothing came for as long as the server waits.
            BadRequest: a chunked body is not what RFC 9112 says.
        """
        if self._left is None:
            return self._next_chunk()
        if self._left == 0:
            return b""
        received = self._body.readinto(self._buffer[: self._left])
        self._left -= received
        return self._buffer[:received]

    def _next_chunk(self) -> bytes | memoryview:
        """Return the next bytes just as gunicorn's parser has them from the socket, not waiting for a piece to be full."""
        if not isinstance(self._reader, ChunkedReader):
            return self._buffer[: self._body.readinto(self._buffer)]
        self._body.prepare()
        with _translated():
            for data in self._reader.parser or ():
                if data:
                    return bytes(data)
        self._reader.parser = None
        return b""


def streaming(view: View) -> View:
    """Mark a view that reads the request's body itself, as a stream: nothing before it may touch the body."""
    setattr(view, STREAMS, True)
    return view


def streams_body(view: Callable[..., Any]) -> bool:
    """Tell whether a view reads the request's body itself."""
    return bool(getattr(view, STREAMS, False))


def install_body_rules(app: Flask) -> None:
    """Where an answer comes before its request's body was read, have the connection closed: draining it would hold a thread."""

    @app.after_request
    def _close_unread(response: Response) -> Response:
        if _is_unread(request.environ.get("wsgi.input")):
            connections.close_after_answer(request.environ.get("gunicorn.socket"))
        return response


def _is_unread(stream: Any) -> bool:
    """Tell whether gunicorn's body has bytes left (`LengthReader.length`), or is chunked, whose end nobody knows."""
    reader = getattr(stream, "reader", None)
    return reader is not None and getattr(reader, "length", 1) > 0


def is_chunked() -> bool:
    """Tell whether the body comes in chunks, so that nobody knows its size yet.

    Raises:
        BadRequest: it is coded in another way, too.
    """
    coding = request.headers.get("Transfer-Encoding", "").strip().lower()
    if coding not in {"", "chunked"}:
        raise BadRequest("Send no other Transfer-Encoding than chunked.")
    return coding == "chunked"


def body_length() -> int | None:
    """Return the size that the client announced, in bytes; None for a chunked body.

    Raises:
        LengthRequired: it announced none, and sends no chunks either.
        BadRequest: it is no number.
    """
    if is_chunked():
        return None
    header = request.headers.get("Content-Length")
    if header is None:
        raise LengthRequired
    if not (header.isascii() and header.isdigit()):
        raise BadRequest("Content-Length is not a number.")
    return int(header) if len(header) <= MAX_DIGITS else MORE_THAN_ANYTHING


def request_body() -> RequestBody:
    """Return the current request's body, straight from the server, without the web framework's buffering.

    It may take as long as it takes, as long as it does not fall silent: the deadline for small bodies is lifted.
    """
    connections.lift(request.environ.get("gunicorn.socket"))
    return RequestBody(request.environ["wsgi.input"], is_chunked=is_chunked(), before=runtime().let_go)


def arriving_length() -> int | None:
    """Return the size of the body, in bytes: nought where none is announced (RFC 9112, 6.3); None for a chunked body.

    Raises:
        BadRequest: what was announced is no number.
    """
    return body_length() if is_chunked() or "Content-Length" in request.headers else 0


def arriving_body() -> ArrivingBody:
    """Return the current request's body as it arrives; see `request_body`.

    Raises:
        BadRequest
    """
    length = arriving_length()
    return ArrivingBody(request_body(), length, getattr(request.environ["wsgi.input"], "reader", None))
