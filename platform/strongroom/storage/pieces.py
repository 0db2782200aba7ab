"""Objects in pieces, for providers that have no multipart uploads of their own.

A piece is an object beside the one it belongs to: its key, a dot and five digits; where several may write one key at a time,
also a dash and the writer's tag. So `delete` of the key, `list` and
`delete_prefix` find it, and whatever was left unfinished shows under the key that it would have had. Piece 00000 is the
mark of an open session; its content is the session's name. Parts are pieces 00001 and up.

An assemble that is cut off can be called again: the mark and the pieces go away only after the object stands.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from secrets import token_hex

from strongroom.errors import Conflict, NotFound
from strongroom.storage.base import ObjectMeta, Part, PartLimits
from strongroom.storage.keys import KEY_PATTERN, PREFIX_PATTERN

BESIDE = re.compile(rf"{KEY_PATTERN.pattern}(\.[a-z]+)?")
PIECE = re.compile(r"([0-9]{5})(-[0-9a-f]+)?")
MIB = 1024 * 1024
MARK = 0
MAX_PARTS = 10_000
MAX_PIECES = 99_999

EMPTY = Part(0, 0)

Buffer = bytes | bytearray | memoryview


def checked(key: str) -> str:
    """Return a key as it is: an object's, or that of the tail which is kept beside it.

    Raises:
        NotFound: it is none.
    """
    if not BESIDE.fullmatch(key):
        raise NotFound
    return key


def checked_prefix(prefix: str) -> str:
    """Return a tenant's prefix as it is.

    Raises:
        NotFound: it is none.
    """
    if not PREFIX_PATTERN.fullmatch(prefix):
        raise NotFound
    return prefix


def piece_name(key: str, number: int, writer: str = "") -> str:
    """Return the name of a key's piece; a writer's tag, in hexadecimal, makes it that writer's own."""
    return f"{key}.{number:05}-{writer}" if writer else f"{key}.{number:05}"


def owner(name: str) -> str:
    """Return the key that an object belongs to: a piece's, or its own. Ids have no dot."""
    return name.partition(".")[0]


def piece_number(name: str) -> int | None:
    """Return a part's number, 0 for the mark; None when the object is none, or a writer's own piece."""
    found = PIECE.fullmatch(name.partition(".")[2])
    return int(found[1]) if found and not found[2] else None


def holds_bytes(name: str) -> bool:
    """Tell whether an object is a piece, of whomever, and no mark."""
    found = PIECE.fullmatch(name.partition(".")[2])
    return found is not None and int(found[1]) != MARK


class PieceMultipart(ABC):
    """`Multipart` for a provider that can put and get whole objects."""

    part_limits = PartLimits(min_bytes=MIB, max_bytes=64 * MIB, max_count=MAX_PARTS)

    def begin_multipart(self, key: str) -> str:
        """Begin: the mark is what says that the session is open."""
        session = token_hex(16)
        self._put_piece(piece_name(key, MARK), session.encode())
        return session

    def put_part(self, key: str, session: str, number: int, data: Buffer) -> Part:
        """Store a part as an object of its own."""
        if not 1 <= number <= self.part_limits.max_count:
            raise Conflict(f"There is no part {number}: they are numbered from 1 to {self.part_limits.max_count}.")
        self._check_session(key, session)
        tag = self._put_piece(piece_name(key, number), data)
        return Part(number, len(data), tag)

    def list_parts(self, key: str, session: str) -> list[Part]:
        """Return the parts that are there, by number."""
        self._check_session(key, session)
        return list(self._found_parts(key))

    def assemble(self, key: str, session: str, parts: Sequence[Part]) -> ObjectMeta:
        """Make the object of these parts, then remove what it no longer needs."""
        self._check_session(key, session)
        ordered = sorted(parts, key=lambda part: part.number)
        with suppress(NotFound):
            done = self.head(key)  # an earlier call was cut off after the object stood
            if done.size_bytes != sum(part.size_bytes for part in ordered):
                raise Conflict("The object is there already, made of other parts.")
            self._clear(key, ordered)
            return done
        self._check_parts(key, ordered)
        meta = self._join(key, ordered)
        self._clear(key, ordered)
        return meta

    def discard(self, key: str, session: str) -> None:
        """Remove mark and parts; an object that stands stays."""
        with suppress(NotFound):
            self._check_session(key, session)
            with suppress(NotFound):
                self.head(key)
                return
            self._remove([*(piece_name(key, part.number) for part in self._found_parts(key)), piece_name(key, MARK)])

    def _check_session(self, key: str, session: str) -> None:
        if self._read_mark(piece_name(key, MARK)) != session.encode():
            raise NotFound

    def _check_parts(self, key: str, parts: Sequence[Part]) -> None:
        if len({part.number for part in parts}) != len(parts):
            raise Conflict("A part is named twice.")
        found = {part.number: part for part in self._found_parts(key)}
        for part in parts:
            there = found.get(part.number, EMPTY)
            if there.size_bytes != part.size_bytes or (part.tag and there.tag != part.tag):
                raise Conflict(f"Part {part.number} is not there, or is another one.")

    @abstractmethod
    def head(self, key: str) -> ObjectMeta:
        """See `Provider.head`."""

    @abstractmethod
    def _put_piece(self, name: str, data: Buffer) -> str:
        """Store a whole object durably, replacing one of that name; return its tag."""

    @abstractmethod
    def _read_mark(self, name: str) -> bytes:
        """Return the content of a tiny object.

        Raises:
            NotFound
        """

    @abstractmethod
    def _found_parts(self, key: str) -> Iterator[Part]:
        """Walk a key's parts, by number, without the mark."""

    @abstractmethod
    def _join(self, key: str, parts: Sequence[Part]) -> ObjectMeta:
        """Make the object of pieces, atomically."""

    @abstractmethod
    def _clear(self, key: str, parts: Sequence[Part]) -> None:
        """Remove what a finished object does not need of the session; the mark last."""

    @abstractmethod
    def _remove(self, names: Iterable[str]) -> None:
        """Remove objects, in order. Missing ones are no error."""


class Grouped:
    """Puts what lies under names back under keys: sizes of an object's pieces are added up, its time is the newest one."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, datetime]] = {}

    def add(self, name: str, size_bytes: int, modified_at: datetime) -> None:
        """Note an object or a piece."""
        key = owner(name)
        size, newest = self._found.get(key, (0, modified_at))
        self._found[key] = (size + size_bytes, max(newest, modified_at))

    def metas(self) -> Iterator[ObjectMeta]:
        """Walk what was noted."""
        for key, (size_bytes, modified_at) in self._found.items():
            yield ObjectMeta(key, size_bytes, modified_at)
