"""The ClamAV engine: streams a file to a clamd while it is read.

clamd has limits that it does not tell: `StreamMaxLength` (an error on the stream, learnt from it here), and
`MaxFileSize`, `MaxScanSize` and more, behind which it answers OK for what it skipped unless `AlertExceedsMax yes` is
set; a tiny probe finds out whether it is. Run clamd with `AlertExceedsMax yes`, `AlertEncrypted yes`, and
StreamMaxLength, MaxFileSize and MaxScanSize as large as the files you accept (2 GiB - 1 at most). The socket is neither
encrypted nor authenticated: keep it on the machine or a private network. Protocol:
https://docs.clamav.net/manual/Usage/ClamdProtocol.html
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from strongroom.scanning.clamd_wire import ClamdError, Link, Stream
from strongroom.scanning.models import MIB, ScanContext, ScannerVerdict, ScanSession, Verdict

CLAMAV_MAX_BYTES = 2 * 1024 * MIB - 1
SILENT_MAX_BYTES = 25 * MIB
"""What a clamd that skips in silence is trusted to scan whole: the smallest default that MaxFileSize ever had."""

REPLY_TIMEOUT_S = 300
_VERSION_FOR_S = 60
_STREAM_LIMIT_FOR_S = 600
_PROBE_FOR_S = 3600  # clamd logs each probe as a find
_PROBE_LEVELS = 120
"""More than clamd lets anybody set for MaxRecursion (100)."""

_USUAL_SOCKETS = (
    "/run/clamav/clamd.ctl",
    "/var/run/clamav/clamd.ctl",
    "/run/clamav/clamd.sock",
    "/run/clamd.scan/clamd.sock",
    "/var/run/clamd.scan/clamd.sock",
    "/run/clamd/clamd.sock",
    "/run/clamav/clamd.socket",
)
_VERSION = re.compile(r"ClamAV (?P<version>[^/\s]+)(?:/(?P<database>\d+)/(?P<built>.+))?")
_FOUND = re.compile(r"stream: (?P<name>.+) FOUND")
_ENGINE = "clamav"
T = TypeVar("T")
_LIMIT_NAMES = {"Heuristics.Limits.Exceeded": "clamav_limit_exceeded", "Heuristics.Encrypted": "clamav_encrypted"}


@dataclass(frozen=True, slots=True)
class ClamdVersion:
    """What VERSION tells. `signatures_at` is None for a clamd with no official database; clamd gives its local time,
    taken for UTC.
    """

    engine: str
    signatures_at: datetime | None


def find_clamd(candidates: Sequence[str] = _USUAL_SOCKETS) -> str | None:
    """The first of the usual places in which a socket lies, whether or not somebody answers there."""
    return next((path for path in candidates if Path(path).is_socket()), None)


class ClamdScanner:
    """A clamd at `address`: a socket's absolute path (`unix:` may precede it), or `host:port` (or `tcp://host:port`).

    Files over `max_bytes` are not sent but `unscanned`, and so are files over what clamd's stream limit turned out to
    be. Where clamd skips in silence, `silent_max_bytes` is the bound. Raises `ValueError` for an address of another
    shape.
    """

    def __init__(
        self,
        address: str,
        *,
        max_bytes: int = CLAMAV_MAX_BYTES,
        silent_max_bytes: int = SILENT_MAX_BYTES,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._link = Link(address, reply_timeout_s)
        self._max_bytes = max_bytes
        self._silent_max_bytes = silent_max_bytes
        self._version = _Remembered[ClamdVersion](_VERSION_FOR_S)
        self._alerts = _Remembered[bool](_PROBE_FOR_S)
        self._stream_limit = _Remembered[int](_STREAM_LIMIT_FOR_S)

    def ping(self) -> bool:
        """Whether clamd answers; does not raise."""
        try:
            return self._link.ask("PING") == "PONG"
        except ClamdError:
            return False

    def version(self) -> ClamdVersion:
        """Engine and signature date, at most a minute old. Raises `ClamdError`."""
        return self._version.get() or self._version.put(_parse_version(self._link.ask("VERSION")))

    def alerts_on_limits(self) -> bool:
        """Whether clamd tells of what it skips (`AlertExceedsMax`), at most an hour old. Raises `ClamdError`."""
        known = self._alerts.get()
        if known is not None:
            return known
        with contextlib.closing(Stream(self._link)) as stream:
            stream.send(_probe())
            return self._alerts.put("Heuristics.Limits.Exceeded" in stream.reply())

    def refusal(self, size_bytes: int) -> str:
        """Why a file of this size would not be scanned whole, or nothing. Raises `ClamdError`."""
        if size_bytes > min(self._max_bytes, self._stream_limit.get() or self._max_bytes):
            return "clamav_size_limit"
        if size_bytes > self._silent_max_bytes and not self.alerts_on_limits():
            return "clamav_limits_silent"
        return ""

    def begin(self, context: ScanContext) -> ScanSession:
        """Start a file. Needs no memory but the piece on its way."""
        return _Session(self, self._link, context.size_bytes)

    def learn_stream_limit(self, refused_bytes: int) -> None:
        """Remember for a while that clamd refused a stream of so many bytes."""
        self._stream_limit.put(refused_bytes - 1)


class _Remembered(Generic[T]):
    """A value that is believed for a time."""

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._kept: tuple[float, T] | None = None

    def get(self) -> T | None:
        kept = self._kept
        return kept[1] if kept and time.monotonic() - kept[0] < self._for_s else None

    def put(self, value: T) -> T:
        self._kept = (time.monotonic(), value)
        return value


class _Session:
    """One file on one connection. `_outcome` is set as soon as the answer is known before the end."""

    def __init__(self, scanner: ClamdScanner, link: Link, size_bytes: int) -> None:
        self._scanner = scanner
        self._engine = _ENGINE
        self._signatures_at: datetime | None = None
        self._outcome: tuple[Verdict, str] | None = None
        self._stream: Stream | None = None
        try:
            self._open(link, size_bytes)
        except ClamdError as failure:
            self._outcome = (Verdict.ERROR, failure.reason)

    def _open(self, link: Link, size_bytes: int) -> None:
        version = self._scanner.version()
        self._engine, self._signatures_at = version.engine, version.signatures_at
        if reason := self._scanner.refusal(size_bytes):
            self._outcome = (Verdict.UNSCANNED, reason)
        else:
            self._stream = Stream(link)

    def feed(self, data: bytes) -> None:
        if self._stream and not self._outcome:
            try:
                self._stream.send(data)
            except ClamdError as failure:
                self._outcome = self._why(self._stream, failure)

    def finish(self) -> ScannerVerdict:
        verdict, reason = self._outcome or self._ask()
        scanned_bytes = self._stream.sent_bytes if self._stream and self._was_read(verdict, reason) else 0
        self.abort()
        return ScannerVerdict(verdict, self._engine, scanned_bytes, reason, self._signatures_at)

    def abort(self) -> None:
        if self._stream:
            self._stream.close()

    def _ask(self) -> tuple[Verdict, str]:
        if not self._stream:
            return Verdict.ERROR, "clamav_unreachable"
        try:
            return self._judge(self._stream, self._stream.reply())
        except ClamdError as failure:
            return self._why(self._stream, failure)

    def _why(self, stream: Stream, failure: ClamdError) -> tuple[Verdict, str]:
        """clamd says why it hung up, if it can, before it does."""
        said = stream.last_words()
        return self._judge(stream, said) if said else (Verdict.ERROR, failure.reason)

    def _judge(self, stream: Stream, reply: str) -> tuple[Verdict, str]:
        if reply == "stream: OK":
            return Verdict.CLEAN, ""
        if "size limit exceeded" in reply:
            self._scanner.learn_stream_limit(stream.sent_bytes)
            return Verdict.UNSCANNED, "clamav_size_limit"
        if found := _FOUND.fullmatch(reply):
            limit = next((code for name, code in _LIMIT_NAMES.items() if found["name"].startswith(name)), None)
            return (Verdict.UNSCANNED, limit) if limit else (Verdict.INFECTED, found["name"])
        return Verdict.ERROR, "clamav_failed"

    @staticmethod
    def _was_read(verdict: Verdict, reason: str) -> bool:
        """Whether clamd looked at the bytes at all; behind a limit nobody knows how far."""
        return verdict in (Verdict.CLEAN, Verdict.INFECTED) or reason == "clamav_encrypted"


def _parse_version(reply: str) -> ClamdVersion:
    found = _VERSION.fullmatch(reply)
    if not found:
        raise ClamdError("clamav_failed")
    return ClamdVersion(f"{_ENGINE} {found['version']}", _parse_date(found["built"] or ""))


def _parse_date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return None


@functools.cache
def _probe() -> bytes:
    """A few bytes within more layers than clamd unpacks."""
    data = b"strongroom"
    for _ in range(_PROBE_LEVELS):
        data = gzip.compress(data, mtime=0)
    return data
