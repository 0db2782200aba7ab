"""Unpacks zip files.

A zip's directory is at its end, so the bytes are spooled first. The directory is read by the standard library behind a
guard that bounds its size; the members are expanded here, since `zipfile` stops at the size that the directory claims.
Tools differ in what they believe (the directory, or the local headers in front of the members), so a zip in which the
two disagree is never clean: members that overlap, members the directory does not name, sizes and checksums that are not
so. Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, cast

from strongroom.scanning.archives.streams import ZIP_METHODS, expand
from strongroom.scanning.archives.walk import PIECE_BYTES, CannotUnpack, Sink, Spool, Walk

_ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000
_AES_METHOD = 99
LOCAL_BYTES = 30
_LOCAL_MAGIC = b"PK\x03\x04"
_DIRECTORY_MAGIC = b"PK\x01\x02"
END_BYTES = 22 + 0xFFFF
_DIRECTORY_ENTRY_BYTES = 512
"""What an entry of the directory may take on average; names are rarely longer than 100."""

LOCAL_HEADER = re.compile(rb"PK\x03\x04[\0-\x3f][\0-\x03]..[\0-\x09\x0c\x0e\x5d-\x63]\0.{16}(?!\0\0).[\0-\x03]..", re.DOTALL)
"""A local header that may be one: plausible version, method and length of the name."""


class _GuardedFile:
    """What `zipfile` reads the directory from: refuses a directory that would fill the memory."""

    def __init__(self, file: IO[bytes], max_entries: int) -> None:
        self._file = file
        self._max_entries = max_entries
        self.seek = file.seek
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > max(self._max_entries * _DIRECTORY_ENTRY_BYTES, 2 * END_BYTES):
            raise CannotUnpack("archive_too_many_entries")
        data = self._file.read(size)
        if data.startswith(_DIRECTORY_MAGIC) and data.count(_DIRECTORY_MAGIC) > self._max_entries:
            raise CannotUnpack("archive_too_many_entries")
        return data


class _Digest:
    """Passes a member's bytes on and keeps their size and CRC-32."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.size_bytes = 0
        self.crc32 = 0

    def feed(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self._sink.feed(data)

    def finish(self) -> None:
        self._sink.finish()

    def abort(self) -> None:
        self._sink.abort()


class ZipUnpacker:
    """Unpacks a zip at `finish`. `new_child` makes the content of a member."""

    def __init__(self, walk: Walk, new_child: Callable[[], Sink]) -> None:
        self._walk = walk
        self._new_child = new_child
        self._spool = walk.spool()

    def feed(self, data: bytes) -> None:
        self._spool.write(data)

    def finish(self) -> None:
        try:
            unpack(self._walk, self._spool, self._new_child, whole=True)
        finally:
            self._spool.close()

    def abort(self) -> None:
        self._spool.close()


def unpack(walk: Walk, spool: Spool, new_child: Callable[[], Sink], *, whole: bool) -> None:
    """Feed every member to a child of its own. `whole`: the zip is all of the spool, so nothing may lie in front of
    it.
    """
    archive = _directory(walk, spool)
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    _Layout(spool.file, archive.start_dir, whole).check(walk, members)
    for member in members:
        walk.entry()
        try:
            _expand_member(walk, spool.file, member, new_child)
        except CannotUnpack as refused:
            walk.note(refused.reason)


def _directory(walk: Walk, spool: Spool) -> zipfile.ZipFile:
    spool.file.seek(0)
    try:
        return zipfile.ZipFile(cast(IO[bytes], _GuardedFile(spool.file, walk.limits.max_entries)))
    except NotImplementedError as failure:
        raise CannotUnpack("archive_unsupported") from failure
    except (zipfile.BadZipFile, ValueError, struct.error, OverflowError, OSError) as failure:
        raise CannotUnpack("archive_broken") from failure


class _Layout:
    """Where members lie, by their local headers."""

    def __init__(self, file: IO[bytes], directory_at: int, whole: bool) -> None:
        self._file = file
        self._directory_at = directory_at
        self._whole = whole

    def check(self, walk: Walk, members: list[zipfile.ZipInfo]) -> None:
        """Note members that no directory entry names. Raises `CannotUnpack` for a flat bomb, whose members share their
        bytes.
        """
        end = 0 if self._whole or not members else max(0, members[0].header_offset)
        for member in members:
            if 0 <= member.header_offset < end:
                raise CannotUnpack("archive_overlap")
            self._check_gap(walk, end, member.header_offset)
            end = max(end, self._end_of(member))
        if end > self._directory_at:
            raise CannotUnpack("archive_overlap")
        self._check_gap(walk, end, self._directory_at)

    def _check_gap(self, walk: Walk, start: int, end: int) -> None:
        if end - start >= LOCAL_BYTES:
            self._file.seek(start)
            if LOCAL_HEADER.search(self._file.read(min(end - start, PIECE_BYTES))):
                walk.note("archive_inconsistent")

    def _end_of(self, member: zipfile.ZipInfo) -> int:
        try:
            return _data_offset(self._file, member) + member.compress_size
        except CannotUnpack:
            return max(0, member.header_offset)  # noted when it is the member's turn


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where a member's data begin. Raises `CannotUnpack` if there is no local header where the directory says."""
    if member.header_offset < 0:
        raise CannotUnpack("archive_broken")
    file.seek(member.header_offset)
    header = file.read(LOCAL_BYTES)
    if len(header) < LOCAL_BYTES or not header.startswith(_LOCAL_MAGIC):
        raise CannotUnpack("archive_broken")
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    return member.header_offset + LOCAL_BYTES + int(name_bytes) + int(extra_bytes)


def _expand_member(walk: Walk, file: IO[bytes], member: zipfile.ZipInfo, new_child: Callable[[], Sink]) -> None:
    offset = _data_offset(file, member)
    _refuse_closed(file, member)
    child = _Digest(new_child())
    try:
        _expand(walk, _pieces(file, offset, member.compress_size), member.compress_type, child)
    except CannotUnpack:
        child.finish()  # what came out until here may be a find
        raise
    child.finish()
    if (child.size_bytes, child.crc32) != (member.file_size, member.CRC):
        raise CannotUnpack("archive_broken")


def _refuse_closed(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    file.seek(member.header_offset + 6)
    local_flags, local_method = struct.unpack("<HH", file.read(4))
    if (member.flag_bits | local_flags) & _ENCRYPTED_FLAGS or member.compress_type == _AES_METHOD:
        raise CannotUnpack("archive_encrypted")
    if member.compress_type and member.compress_type not in ZIP_METHODS:
        raise CannotUnpack("archive_unsupported")
    if local_method != member.compress_type:
        raise CannotUnpack("archive_inconsistent")


def _pieces(file: IO[bytes], offset: int, size_bytes: int) -> Iterator[bytes]:
    while size_bytes:
        file.seek(offset)
        piece = file.read(min(size_bytes, PIECE_BYTES))
        if not piece:
            raise CannotUnpack("archive_broken")
        offset += len(piece)
        size_bytes -= len(piece)
        yield piece


def _expand(walk: Walk, pieces: Iterator[bytes], method: int, child: Sink) -> None:
    if method == zipfile.ZIP_STORED:
        for piece in pieces:
            walk.charge(len(piece))
            child.feed(piece)
        return
    decompressor = ZIP_METHODS[method]()
    for piece in pieces:
        expand(decompressor, piece, walk, child)
    if not decompressor.eof or decompressor.unused_data:
        raise CannotUnpack("archive_broken")
