"""Tells a container by its first bytes: those that can be opened, and those that are known but cannot."""

from __future__ import annotations

import re
import tarfile

from strongroom.scanning.archives.ar import AR_MAGIC

HEAD_BYTES = 33 * 1024
"""Enough for the furthest mark, an ISO 9660 image's at 32,769."""

_OPENABLE = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip"),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz"),
    (re.compile(rb"\x5d\0\0[\0-\xff]{2}(\xff{8}|[\0-\xff]{5}\0{3})", re.DOTALL), "lzma"),
    (re.compile(re.escape(AR_MAGIC)), "ar"),
    (re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08PK\x03\x04|00PK\x03\x04)"), "zip"),
)
_CLOSED = re.compile(
    rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|MSCF\0{4}|\x1f\x9d[\x80-\x9f]"
    rb"|.{2}-lh[0-9a-z]-|07070[12][0-9a-fA-F]{104}|070707[0-7]{70}|\xc7\x71.{18}[\x01-\xff][\0-\x03]|\x71\xc7.{18}[\0-\x03][\x01-\xff]|\xed\xab\xee\xdb|xar!\0"
    rb"|MSWIM\0{3}|hsqs|.{7}\*\*ACE\*\*|ZOO \d\.\d\d|\x60\xea..[\x1a-\x40]|LZIP[\0\x01]|EGGA|.{32769}CD001",
    re.DOTALL,
)


def archive_kind(head: bytes) -> str | None:
    """Name the container that begins with `head`; `closed` is one that is known and cannot be opened, None is no
    container.
    """
    for pattern, kind in _OPENABLE:
        if pattern.match(head):
            return kind
    if is_tar(head):
        return "tar"
    return "closed" if _CLOSED.match(head) else None


def is_tar(head: bytes) -> bool:
    """Whether the first block is a tar header; its checksum tells, so old tars without a mark are found too."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True
