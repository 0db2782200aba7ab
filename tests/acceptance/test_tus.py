"""Resumable uploads from outside: by tuspy, and by hand where a client would not do such a thing."""

from __future__ import annotations

import base64
import io
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.storage.filestorage import FileStorage

from tests.acceptance import wire
from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import MIB, TEXT, noise, png, sha256
from tests.acceptance.deployment import Deployment
from tests.acceptance.waiting import wait_until

TUS = "/api/v1/tus"
VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream"}
DATA = noise(9 * MIB + 12345)


def tuspy(client: Client, **settings: Any) -> TusClient:
    """The Python client, on the platform's host: the token names the tenant."""
    return TusClient(f"http://127.0.0.1:{client.port}{TUS}?bucket=media", headers={"Authorization": f"Bearer {client.token}"}, **settings)


def begin(client: Client, size: int, path: str = "a.bin", **headers: str) -> str:
    """The path of a new upload's address."""
    named = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in {"bucket": "media", "path": path}.items())
    made = client.post(TUS, headers={**VERSION, "Upload-Length": str(size), "Upload-Metadata": named, **headers})
    assert made.status_code == 201, made.text
    return urlsplit(made.headers["Location"]).path


def patch(client: Client, url: str, offset: int, data: Any, **options: Any) -> requests.Response:
    return client.request("PATCH", url, headers={**VERSION, **CHUNK, "Upload-Offset": str(offset)}, data=data, **options)


def offset(client: Client, url: str) -> int:
    answer = client.request("HEAD", url, headers=VERSION)
    assert answer.status_code == 200, answer.status_code
    return int(answer.headers["Upload-Offset"])


def patch_head(client: Client, url: str, at: int, size: int) -> bytes:
    """The head of a PATCH, for a body that is sent by hand."""
    lines = [
        f"{name}: {value}" for name, value in {**client.headers(), **VERSION, **CHUNK, "Upload-Offset": at, "Content-Length": size}.items()
    ]
    return wire.head("PATCH", url, lines)


def locked(client: Client, url: str) -> requests.Response:
    """Wait until somebody writes to an upload; the answer to whoever wants to write too, at an offset that is wrong anyway."""
    seen: list[requests.Response] = []

    def refused() -> bool:
        seen.append(patch(client, url, 7, b"x"))
        return seen[-1].status_code == 423

    wait_until(refused, 10, "the first to be under way")
    return seen[-1]


def check_file(client: Client, path: str, data: bytes) -> None:
    assert client.download("media", path).content == data
    (file,) = [each for each in client.files("media") if each["path"] == path]
    assert client.checked(file)["sha256"] == sha256(data)


# By tuspy


def test_tuspy(owner: Client) -> None:
    uploader = tuspy(owner).uploader(file_stream=io.BytesIO(DATA), metadata={"filename": "a.bin"}, chunk_size=MIB)
    uploader.upload()
    assert urlsplit(uploader.url).port == owner.port
    check_file(owner, "a.bin", DATA)


def test_tuspy_in_one_piece_with_checksum(owner: Client) -> None:
    tuspy(owner).uploader(file_stream=io.BytesIO(DATA), metadata={"filename": "a.bin"}, upload_checksum=True, chunk_size=4 * MIB).upload()
    check_file(owner, "a.bin", DATA)


class Lasting(io.BytesIO):
    """tuspy closes its stream after having looked at the first bytes, and then wants to use it."""

    def close(self) -> None:
        return


def test_tuspy_resumes_by_its_own_memory(owner: Client, tmp_path: Path) -> None:
    memory = FileStorage(str(tmp_path / "memory"))
    options: dict[str, Any] = {"store_url": True, "url_storage": memory, "metadata": {"filename": "a.bin"}, "chunk_size": MIB}
    try:
        first = tuspy(owner).uploader(file_stream=Lasting(DATA), **options)
        first.upload(stop_at=3 * MIB)
        second = tuspy(owner).uploader(file_stream=Lasting(DATA), **options)
        assert (second.url, second.offset) == (first.url, 3 * MIB)
        second.upload()
    finally:
        memory.close()
    check_file(owner, "a.bin", DATA)


def test_tuspy_is_refused_what_others_are(owner: Client) -> None:
    with pytest.raises(TusCommunicationError) as refused:
        tuspy(owner).uploader(file_stream=io.BytesIO(TEXT), metadata={"filename": "a.png", "filetype": "image/png"}).upload()
    assert refused.value.status_code == 415
    assert owner.files("media") == []
    tuspy(owner).uploader(file_stream=io.BytesIO(png()), metadata={"filename": "a.png", "filetype": "image/png"}).upload()


def test_api_keys(owner: Client) -> None:
    made = owner.post("/api/v1/api-keys", json={"name": "uploader", "scopes": ["files:write"]}).json()
    client = TusClient(f"http://127.0.0.1:{owner.port}{TUS}", headers={"Authorization": f"Bearer {made['key']}"})
    client.uploader(file_stream=io.BytesIO(TEXT), metadata={"filename": "a.txt", "bucket": "media"}).upload()
    check_file(owner, "a.txt", TEXT)


# By hand


def test_options_and_errors(owner: Client) -> None:
    told = requests.options(f"http://127.0.0.1:{owner.port}{TUS}", headers={"Host": owner.host_header}, timeout=30)
    assert told.status_code == 204
    assert int(told.headers["Tus-Max-Size"]) > 0
    answer = owner.post(TUS)
    assert_problem(answer, 412, "tus_version_unsupported", resolve=owner.get)
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert_problem(owner.post(TUS, token=""), 401, "unauthenticated")


@pytest.mark.parametrize("rudely", [False, True])
def test_a_reset_in_the_middle_loses_nothing_that_was_received(owner: Client, rudely: bool) -> None:
    url, sent = begin(owner, len(DATA)), 5 * MIB
    sock = wire.connect(owner.port)
    sock.sendall(patch_head(owner, url, 0, len(DATA)) + DATA[:sent])
    if rudely:
        wire.hang_up(sock)
        wait_until(lambda: offset(owner, url) > 0, 20, "the bytes to be kept")
    else:
        sock.close()
        wait_until(lambda: offset(owner, url) == sent, 20, "every byte to be kept")
    at = offset(owner, url)
    assert patch(owner, url, at, DATA[at:]).status_code == 204
    check_file(owner, "a.bin", DATA)


def test_a_dead_client_holds_nothing_up(owner: Client) -> None:
    """Its connection stays open and silent; another one goes on within seconds."""
    url = begin(owner, len(DATA))
    with wire.connect(owner.port) as silent:
        silent.sendall(patch_head(owner, url, 0, len(DATA)) + DATA[:MIB])
        locked(owner, url)
        wait_until(lambda: offset(owner, url) == MIB, 20, "the dead client's bytes")
        answer = wait_until(lambda: (got := patch(owner, url, MIB, DATA[MIB:])).status_code == 204 and got, 20, "the lock")
    assert answer.headers["Strongroom-File-Id"]
    check_file(owner, "a.bin", DATA)


def test_a_second_request_while_one_runs(owner: Client) -> None:
    url = begin(owner, len(DATA))
    with wire.connect(owner.port) as first:
        first.sendall(patch_head(owner, url, 0, len(DATA)) + DATA[:MIB])
        answer = locked(owner, url)
        assert_problem(answer, 423, "upload_locked", resolve=owner.get)
        assert int(answer.headers["Retry-After"]) > 0
        first.sendall(DATA[MIB:])
        assert wire.read_reply(first, "PATCH").status_code == 204
    check_file(owner, "a.bin", DATA)


def test_lies_about_length_and_offset(owner: Client) -> None:
    url = begin(owner, 100)
    assert_problem(patch(owner, url, 0, bytes(101)), 413, "file_too_large")
    assert_problem(patch(owner, url, 50, bytes(10)), 409, "offset_conflict")
    assert patch(owner, url, 0, b"x" * 60).status_code == 204
    assert_problem(patch(owner, url, 0, b"y" * 60), 409, "offset_conflict")
    with wire.connect(owner.port) as chunked:
        head = patch_head(owner, url, 60, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        chunked.sendall(head + b"28\r\n" + b"z" * 40 + b"\r\n1\r\n!\r\n0\r\n\r\n")
        assert_problem(wire.read_reply(chunked, "PATCH"), 413, "file_too_large")
    assert offset(owner, url) == 100
    assert owner.download("media", "a.bin").content == b"x" * 60 + b"z" * 40


def test_chunks_of_unknown_length(owner: Client) -> None:
    url = begin(owner, len(DATA))
    pieces = [DATA[start : start + 300_000] for start in range(0, len(DATA), 300_000)]
    assert patch(owner, url, 0, iter(pieces)).status_code == 204
    check_file(owner, "a.bin", DATA)


@pytest.mark.slow
def test_a_stop_lets_clients_go_on_after_the_restart(own_deployment: Callable[..., Deployment]) -> None:
    made = own_deployment()
    made.start("--json")
    owner = made.tenant().owner
    owner.bucket("media")
    url = begin(owner, len(DATA))
    with wire.connect(owner.port) as sock:
        sock.sendall(patch_head(owner, url, 0, len(DATA)) + DATA[: 3 * MIB])
        locked(owner, url)
        for pid in made.children("serve"):
            psutil.Process(pid).send_signal(signal.SIGTERM)
        assert_problem(wire.read_reply(sock, "PATCH"), 503, "storage_unavailable")
    made.wait_ready()
    assert offset(owner, url) == 3 * MIB
    assert patch(owner, url, 3 * MIB, DATA[3 * MIB :]).status_code == 204
    check_file(owner, "a.bin", DATA)
