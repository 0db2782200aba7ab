"""Writing an object to Google Cloud Storage in chunks: 8 MiB of memory for any size."""

from __future__ import annotations

import google_crc32c

from strongroom.errors import StorageUnavailable
from strongroom.storage.base import ObjectMeta
from strongroom.storage.gcs_transport import Uploads, modified_at
from strongroom.storage.pieces import MIB, Buffer

CHUNK_BYTES = 8 * MIB


class GCSWriter:
    """Fills one chunk at a time; see `Writer`. The last chunk carries the checksum of all, so Google refuses other bytes."""

    def __init__(self, uploads: Uploads, key: str) -> None:
        self._uploads, self._key = uploads, key
        self._buffer = bytearray()
        self._checksum = google_crc32c.Checksum()
        self._sent_bytes = 0
        self._address = ""
        self._ended = False

    def write(self, data: Buffer) -> None:
        """Append bytes; a full chunk is sent when more follows, since the last one ends the upload."""
        self._checksum.update(bytes(data))
        view = memoryview(data)
        while view:
            if len(self._buffer) == CHUNK_BYTES:
                self._send()
            room = CHUNK_BYTES - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]

    def complete(self) -> ObjectMeta:
        """Send the rest: the object is there."""
        crc = bytes(self._checksum.digest())
        if not self._address:
            found = self._uploads.put(self._key, self._buffer, crc)
        else:
            total = self._sent_bytes + len(self._buffer)
            with memoryview(self._buffer) as view:
                done = self._uploads.send(self._address, self._sent_bytes, view, total=total, crc=crc)
            if done is None:  # `send` gives None only for chunks that are not the last
                raise StorageUnavailable("Google Cloud Storage did not complete the object.", retry_after_s=10)
            found = done
        self._ended = True
        return ObjectMeta(self._key, int(found["size"]), modified_at(found), str(found["generation"]))

    def abort(self) -> None:
        """End the session at Google."""
        self._buffer = bytearray()
        if self._address and not self._ended:
            self._uploads.cancel(self._address)
        self._ended = True

    def _send(self) -> None:
        self._address = self._address or self._uploads.begin(self._key)
        with memoryview(self._buffer) as view:
            self._uploads.send(self._address, self._sent_bytes, view, total=None)
        self._sent_bytes += len(self._buffer)
        self._buffer = bytearray()  # not emptied: the traceback of a try that failed may still hold a view of it
