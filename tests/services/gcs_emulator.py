"""The process behind `gcs.py`: PyPI's gcp-storage-emulator, and in front of it what it leaves out of Google's rules.

It takes preconditions for granted, composes any number of sources, lists in no order and without pages, and believes every
signature. A provider that counts on these rules is not proven by a server that ignores them, so they are kept here:
generations (404, 412), at most 32 sources, listings in order with pages, V4 signatures with their headers and expiry, checksums,
and tokens for service accounts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import google_crc32c
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from gcp_storage_emulator import server
from gcp_storage_emulator.handlers import objects

COMPOSED_AT_ONCE = 32
LOCK = threading.RLock()
TOKEN = "emulated-token"
COMPLETE: dict[str, Any] = {}


def _incomplete(response: Any, storage: Any, upload_id: str, fallback_end: int = 0) -> None:  # noqa: ARG001 - the emulator's own signature
    """Without Google's fault of the emulator: it claims one byte where there is none."""
    response.status = objects.GoogleHTTPStatus.RESUME_INCOMPLETE
    if received := storage.get_resumable_byte_count(upload_id):
        response["Range"] = f"bytes=0-{received - 1}"


objects._resumable_incomplete = _incomplete
_media_upload = objects._media_upload


def _empty_too(request: Any, response: Any, storage: Any) -> None:
    """The emulator takes the body of an empty upload for none, and falls over it."""
    if request.data is None:
        request._data = b""
    _media_upload(request, response, storage)


def _finished(response: Any, storage: Any, obj: Any, data: bytes, upload_id: str) -> None:
    """A session that is complete answers again, as Google's does; the emulator forgets it."""
    _finalize(response, storage, obj, data, upload_id)
    COMPLETE[upload_id] = storage.get_file_obj(obj["bucket"], obj["name"])


objects._media_upload = _empty_too
_finalize = objects._finalize_resumable_object
objects._finalize_resumable_object = _finished


class RefusedError(Exception):
    def __init__(self, status: int, reason: str, message: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.message = status, reason, message or reason


class Handler(server.RequestHandler):  # type: ignore[misc]  # a package without types
    """Google's rules, then the emulator."""

    public_key: RSAPublicKey
    most_per_page = 1000
    token_wanted = False

    def _do(self, method: str) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.segments = [unquote(each) for each in parts.path.strip("/").split("/")]
        with LOCK:
            try:
                if self.segments == ["token"]:
                    self._json(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
                elif not self._own(method):
                    server.Router(self).handle(method)
            except RefusedError as refused:
                self._drain()
                error = {"code": refused.status, "message": refused.message, "errors": [{"reason": refused.reason}]}
                self._json(refused.status, {"error": error})

    def do_GET(self) -> None:  # noqa: N802 - the standard library's name
        self._do("GET")

    def do_POST(self) -> None:  # noqa: N802 - the standard library's name
        self._do("POST")

    def do_PUT(self) -> None:  # noqa: N802 - the standard library's name
        self._do("PUT")

    def do_DELETE(self) -> None:  # noqa: N802 - the standard library's name
        self._do("DELETE")

    def _own(self, method: str) -> bool:
        """Refuse what Google refuses; tell whether the answer was given here."""
        if "X-Goog-Signature" in self.query:
            self._check_signature(method, self.segments[0], "/".join(self.segments[1:]))
        elif self.segments != [""] and "upload_id" not in self.query and self.token_wanted:
            self._check_token()
        return "b" in self.segments and self._in_bucket(method, self.segments.index("b"))

    def _in_bucket(self, method: str, at: int) -> bool:
        bucket, name = self.segments[at + 1], "/".join(self.segments[at + 3 :])
        if self.storage.get_bucket(bucket) is None and method != "POST":
            raise RefusedError(404, "notFound", "The specified bucket does not exist.")
        if self.segments[0] == "upload":
            return self._check_upload(bucket, method)
        if method == "GET" and self.segments[at + 2 :] == ["o"]:
            self._list(bucket)
            return True
        if name.endswith("/compose"):
            self._check_sources(bucket)
        elif "/rewriteTo/" in name:
            self._check_generation(bucket, name.partition("/rewriteTo/")[0], self.query.get("ifSourceGenerationMatch"), 412)
        elif method == "GET" and name:
            self._check_generation(bucket, name, self.query.get("generation"), 404)
        return False

    def _check_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusedError(401, "authError")

    def _check_upload(self, bucket: str, method: str) -> bool:
        if self.storage.get_bucket(bucket) is None:
            raise RefusedError(404, "notFound", "The specified bucket does not exist.")
        if method == "DELETE":
            self.storage.resumable.pop(self.query["upload_id"], None)
            self._json(499, {})
            return True
        if self.query.get("upload_id") in COMPLETE:
            self._drain()
            self._json(200, COMPLETE[self.query["upload_id"]])
            return True
        self._check_checksum()
        return False

    def _check_checksum(self) -> None:
        """Google compares a one-request upload with its x-goog-hash; the chunks' one is compared by the emulator's length only."""
        wanted = self.headers.get("x-goog-hash")
        if wanted and self.query.get("uploadType") == "media":
            body = self._body()
            if base64.b64encode(google_crc32c.Checksum(body).digest()).decode() != wanted.removeprefix("crc32c="):
                raise RefusedError(400, "invalid", "checksum mismatch")

    def _body(self) -> bytes:
        """Read the body and put it back for the emulator."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.rfile = Replay(data)
        return data

    def _drain(self) -> None:
        if not isinstance(self.rfile, Replay):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _check_sources(self, bucket: str) -> None:
        sources = json.loads(self._body())["sourceObjects"]
        if len(sources) > COMPOSED_AT_ONCE:
            raise RefusedError(400, "invalid", "too many source objects")
        for source in sources:
            wanted = source.get("objectPreconditions", {}).get("ifGenerationMatch", source.get("generation"))
            self._check_generation(bucket, source["name"], wanted, 412)

    def _check_generation(self, bucket: str, name: str, wanted: object, status: int) -> None:
        found = self.storage.objects.get(bucket, {}).get(name)
        if found is None:
            raise RefusedError(404, "notFound", f"No such object: {bucket}/{name}")
        if wanted is not None and str(wanted) != found["generation"]:
            raise RefusedError(status, "conditionNotMet")

    def _list(self, bucket: str) -> None:
        prefix, after = self.query.get("prefix", ""), self.query.get("pageToken", "")
        names = sorted(name for name in self.storage.objects.get(bucket, {}) if name.startswith(prefix) and name > after)
        page = names[: min(int(self.query.get("maxResults", self.most_per_page)), self.most_per_page)]
        more = {"nextPageToken": page[-1]} if len(page) < len(names) else {}
        self._json(200, {"items": [self.storage.objects[bucket][name] for name in page], **more})

    def _check_signature(self, method: str, bucket: str, key: str) -> None:
        """https://cloud.google.com/storage/docs/authentication/canonical-requests"""
        signed = self.query["X-Goog-SignedHeaders"].split(";")
        query = "&".join(
            f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(self.query.items()) if k != "X-Goog-Signature"
        )
        headers = "".join(f"{each}:{(self.headers.get(each) or '').strip()}\n" for each in signed)
        path = f"/{bucket}/{quote(key, safe='/-_.~')}"
        canonical = "\n".join([method, path, query, headers, ";".join(signed), "UNSIGNED-PAYLOAD"])
        scope = self.query["X-Goog-Credential"].partition("/")[2]
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(["GOOG4-RSA-SHA256", self.query["X-Goog-Date"], scope, digest])
        try:
            self.public_key.verify(bytes.fromhex(self.query["X-Goog-Signature"]), text.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise RefusedError(403, "signatureDoesNotMatch") from None
        signed_at = datetime.strptime(self.query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) > signed_at + timedelta(seconds=int(self.query["X-Goog-Expires"])):
            raise RefusedError(400, "expiredToken")
        if limits := self.headers.get("x-goog-content-length-range"):
            least, most = map(int, limits.split(","))
            if not least <= int(self.headers["Content-Length"]) <= most:
                raise RefusedError(400, "entityTooLarge")

    def _json(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Replay:
    """A body that was read already."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        piece = self._data[self._at : end]
        self._at += len(piece)
        return piece

    def readline(self, _size: int = -1) -> bytes:
        return b""

    def close(self) -> None:
        pass


def main() -> None:
    """Run on a free port, which is printed: arguments are the bucket, the file of the public key and 'token' or 'open'."""
    bucket, key_file, access = sys.argv[1:]
    storage = server.Storage(use_memory_fs=True)
    storage.create_bucket(bucket, {"name": bucket, "softDeletePolicy": {"retentionDurationSeconds": "0"}})
    public_key = load_pem_public_key(Path(key_file).read_bytes())
    assert isinstance(public_key, RSAPublicKey)
    Handler.public_key = public_key
    Handler.most_per_page = 100
    Handler.token_wanted = access == "token"
    front = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, storage))
    print(front.server_address[1], flush=True)  # noqa: T201 - read by whoever started it
    front.serve_forever()


if __name__ == "__main__":
    main()
