"""A client of direct uploads: what a program does that knows the protocol and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from blake3 import blake3
from werkzeug.test import TestResponse

from tests.factories import Client, ok

MIB = 1024 * 1024
BLOCK = 4 * MIB
UPLOADS = "/api/v1/uploads"


def content(size: int, seed: int = 0) -> bytes:
    """Bytes of no type in which no block is like another."""
    return blake3(b"content %d" % seed).digest(size)


def hashes(data: bytes) -> list[str]:
    """The digests of the blocks."""
    return [blake3(data[start : start + BLOCK]).hexdigest() for start in range(0, len(data), BLOCK)]


def fingerprint(data: bytes) -> str:
    return blake3(bytes.fromhex("".join(hashes(data)))).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What a part's URL answered."""

    status: int
    tag: str
    body: Any


class Sender:
    """Sends files as one caller. Parts go wherever their URL says: to the app, or over real HTTP to the provider."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def post(self, data: bytes, path: str = "a.bin", **body: Any) -> TestResponse:
        return self.client.post(UPLOADS, json={"bucket": "media", "path": path, "size_bytes": len(data), **body})

    def begin(self, data: bytes, path: str = "a.bin", **body: Any) -> Any:
        return ok(self.post(data, path, **body), 201)

    def put(self, part: Any, data: bytes, **headers: str) -> Answer:
        """Send a body to a part's URL."""
        url = urlsplit(part["url"])
        if url.hostname == "127.0.0.1":
            answer = requests.put(part["url"], data=data, headers={**part["headers"], **headers}, timeout=30)
            return Answer(answer.status_code, answer.headers.get(part["tag_header"], ""), None)
        stranger = Client(self.client.app, url.netloc)
        length = {"CONTENT_LENGTH": str(len(data))}
        response = stranger.put(f"{url.path}?{url.query}", data=data, headers=headers, environ_overrides=length)
        return Answer(response.status_code, response.headers.get("ETag", ""), response.get_json(silent=True))

    def send(self, begun: Any, data: bytes, numbers: Iterable[int] | None = None) -> dict[int, str]:
        """Send parts (default: all that are needed); return their tags."""
        tags = {}
        wanted = begun["needed"] if numbers is None else list(numbers)
        for part in self.urls(begun["id"], wanted):
            start = (part["number"] - 1) * begun["part_size_bytes"]
            answer = self.put(part, data[start : start + part["size_bytes"]])
            assert answer.status == 200, answer
            tags[part["number"]] = answer.tag
        return tags

    def urls(self, upload_id: str, numbers: Iterable[int]) -> list[Any]:
        wanted = list(numbers)
        if not wanted:
            return []
        return list(ok(self.client.post(f"{UPLOADS}/{upload_id}/parts", json={"numbers": wanted}))["parts"])

    def complete(self, begun: Any, tags: dict[int, str] | None = None) -> TestResponse:
        body = {"parts": [{"number": number, "tag": tag} for number, tag in tags.items()]} if tags is not None else {}
        return self.client.post(f"{UPLOADS}/{begun['id']}/complete", json=body)

    def upload(self, data: bytes, path: str = "a.bin", **body: Any) -> Any:
        """The whole way; return the file."""
        begun = self.begin(data, path, **body)
        if begun["mode"] == "instant":
            return begun["file"]
        return ok(self.complete(begun, self.send(begun, data)), 201)

    def state(self, begun: Any) -> Any:
        return ok(self.client.get(f"{UPLOADS}/{begun['id']}"))
