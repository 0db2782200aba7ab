"""Hashes made while bytes stream by: the block fingerprint, the BLAKE3 of the whole, and what the client announced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from blake3 import blake3

BLOCK_BYTES = 4 * 1024 * 1024
DIGEST_BYTES = 32


def fingerprint_of(blocks: bytes) -> str:
    """Return the fingerprint (hex) of a file from the 32-byte digests of its blocks, concatenated."""
    return blake3(blocks).hexdigest()


@dataclass(frozen=True)
class Digests:
    """Hex digests of what streamed by. `fingerprint`: BLAKE3 over `blocks`, the 32-byte BLAKE3 digests of each 4 MiB block."""

    fingerprint: str
    blake3: str
    blocks: bytes
    extra: dict[str, bytes]


class BlockDigests:
    """The BLAKE3 of each 4 MiB block of what streams by; keeps one block's state, whatever the size of the file."""

    def __init__(self, open_block: bytes = b"") -> None:
        self._block, self._in_block = blake3(open_block), len(open_block)
        self._ended = bytearray()

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            piece = view[: BLOCK_BYTES - self._in_block]
            self._block.update(piece)
            self._in_block += len(piece)
            view = view[len(piece) :]
            if self._in_block == BLOCK_BYTES:
                self._end_block()

    def take(self) -> bytes:
        """Return, once, the digests (32 bytes each) of the blocks that have ended."""
        ended = bytes(self._ended)
        self._ended.clear()
        return ended

    def finish(self) -> bytes:
        """End the open block too, and return what `take` returns."""
        if self._in_block:
            self._end_block()
        return self.take()

    def _end_block(self) -> None:
        self._ended += self._block.digest()
        self._block, self._in_block = blake3(), 0


class Fingerprinter:
    """Fed with pieces of any size; makes all digests of a file in one go."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._whole, self._blocks = blake3(), BlockDigests()
        self._extra = {name: hashlib.new(name) for name in extra}

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._whole.update(data)
        for digest in self._extra.values():
            digest.update(data)
        self._blocks.update(data)

    def finish(self) -> Digests:
        """Return all digests."""
        blocks = self._blocks.finish()
        extra = {name: digest.digest() for name, digest in self._extra.items()}
        return Digests(fingerprint_of(blocks), self._whole.hexdigest(), blocks, extra)
