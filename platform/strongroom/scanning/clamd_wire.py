"""clamd's protocol: simple commands, and INSTREAM, each on a connection of its own.

https://docs.clamav.net/manual/Usage/ClamdProtocol.html
"""

from __future__ import annotations

import socket
import struct

CONNECT_TIMEOUT_S = 5
_MAX_REPLY_BYTES = 64 * 1024


class ClamdError(Exception):
    """clamd did not answer, or not in a way that can be trusted; `reason` is the code for the verdict."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Link:
    """Where clamd is, and its simple commands."""

    def __init__(self, address: str, reply_timeout_s: float) -> None:
        self._path, self._host, self._port = _parse_address(address)
        self._reply_timeout_s = reply_timeout_s

    def connect(self) -> socket.socket:
        """A connected socket. Raises `ClamdError`."""
        try:
            connection = self._connect()
        except OSError as failure:
            raise ClamdError("clamav_unreachable") from failure
        connection.settimeout(self._reply_timeout_s)
        return connection

    def _connect(self) -> socket.socket:
        if not self._path:
            return socket.create_connection((self._host, self._port), CONNECT_TIMEOUT_S)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, command: str) -> str:
        """Send a command that has a one-line answer. Raises `ClamdError`."""
        with self.connect() as connection:
            try:
                connection.sendall(f"z{command}\0".encode())
                return _receive(connection)
            except OSError as failure:
                raise ClamdError("clamav_connection_lost") from failure


class Stream:
    """One INSTREAM: pieces, each behind its length, then a length of nothing, then the answer."""

    def __init__(self, link: Link) -> None:
        self.sent_bytes = 0
        self._connection = link.connect()
        try:
            self._send(b"zINSTREAM\0")
        except ClamdError:
            self.close()
            raise

    def send(self, data: bytes) -> None:
        """Send the next bytes. Raises `ClamdError`."""
        self.sent_bytes += len(data)
        if data:  # a length of nothing would end the stream
            self._send(struct.pack("!I", len(data)))
            self._send(data)

    def reply(self) -> str:
        """End the stream and wait for clamd's answer. Raises `ClamdError`."""
        self._send(struct.pack("!I", 0))
        said = self.last_words()
        if not said:
            raise ClamdError("clamav_connection_lost")
        return said

    def last_words(self) -> str:
        """What clamd has said on this connection; nothing if it hung up without a word."""
        try:
            return _receive(self._connection)
        except OSError:
            return ""

    def close(self) -> None:
        """Hang up; harmless when done already."""
        self._connection.close()

    def _send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as failure:
            raise ClamdError("clamav_connection_lost") from failure


def _receive(connection: socket.socket) -> str:
    """Read up to the NUL, or to the end of the connection, or to 64 KiB."""
    said = b""
    while b"\0" not in said and len(said) < _MAX_REPLY_BYTES:
        try:
            more = connection.recv(4096)
        except ConnectionError:
            break  # clamd closed with bytes of ours unread; what it said before has arrived
        if not more:
            break
        said += more
    return said.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _parse_address(address: str) -> tuple[str, str, int]:
    path = address.removeprefix("unix:").removeprefix("//") if address.startswith("unix:") else address
    if path.startswith("/"):
        return path, "", 0
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"not a clamd address: {address!r}; give a socket's absolute path or host:port")
    return "", host.strip("[]"), int(port)
