"""Files that come by forms, by ShareX and by URL, as curl and other programs send them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.acceptance import wire
from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import MIB, TEXT, Noise, digest_of_stream, noise, png
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until
from tests.services import source as sources
from tests.services.source import Source, reply

BIG = 100 * MIB


def curl(owner: Client, tenant: Tenant, *arguments: str | Path) -> tuple[int, dict[str, object]]:
    url = f"http://{tenant.slug}.localhost:{owner.port}/api/v1/objects/media"
    options = ["--resolve", f"{tenant.slug}.localhost:{owner.port}:127.0.0.1", "-H", f"Authorization: Bearer {owner.token}"]
    command = ["curl", "-sS", "-w", "\n%{http_code}", *options, *arguments, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(answer)


def test_curl_sends_a_big_form(owner: Client, tenant: Tenant, tmp_path: Path) -> None:
    body, big, small = Noise(BIG), tmp_path / "big.bin", tmp_path / "picture.png"
    with big.open("wb") as file:
        for piece in body:
            file.write(piece)
    small.write_bytes(png())
    status, answer = curl(owner, tenant, "-F", f"file=@{big}", "-F", "prefix=2026/may", "-F", f"picture=@{small};type=image/png")
    assert status == 201, answer
    first, second = answer["items"]  # type: ignore[misc]  # two of a list
    assert (first["path"], first["size_bytes"], second["path"], second["content_type"]) == (
        "big.bin",
        BIG,
        "2026/may/picture.png",
        "image/png",
    )
    assert owner.checked(first, 90)["sha256"] == body.sha256.hexdigest()
    with owner.download("media", "big.bin", stream=True) as back:
        assert digest_of_stream(back) == body.sha256.hexdigest()
    assert owner.quota()["reserved_bytes"] == 0


@pytest.mark.parametrize(
    "more", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]], ids=["length", "chunked", "expect"]
)
def test_curl_sends_a_form(owner: Client, tenant: Tenant, tmp_path: Path, more: list[str]) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(data := noise(300_000, 5))
    status, answer = curl(owner, tenant, *more, "-F", "path=x/y.bin", "-F", f"file=@{source}")
    assert status == 201, answer
    assert owner.download("media", "x/y.bin").content == data


def test_requests_sends_a_form(owner: Client) -> None:
    files = [("a", ("1.txt", TEXT)), ("b", ("2.txt", b"two"))]
    response = owner.post("/api/v1/objects/media", data={"prefix": "p"}, files=files)
    assert response.status_code == 201, response.text
    assert [file["path"] for file in response.json()["items"]] == ["p/1.txt", "p/2.txt"]
    again = owner.post("/api/v1/objects/media", files=files)  # on the same connection
    assert again.status_code == 201


def form(*parts: tuple[str, bytes]) -> bytes:
    whole = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\n\r\n%b\r\n' % (name.encode(), data) for name, data in parts
    )
    return whole + b"--x--\r\n"


def test_a_sender_that_goes_away_leaves_no_file(owner: Client) -> None:
    """The connection breaks off in the second file; the first is stored, for its boundary had come."""
    body = form(("1.bin", b"1" * MIB), ("2.bin", b"2" * MIB))
    lines = [f"Host: {owner.host_header}", f"Authorization: Bearer {owner.token}", "Content-Type: multipart/form-data; boundary=x"]
    head = wire.head("POST", "/api/v1/objects/media", [*lines, f"Content-Length: {len(body)}"])
    sock = wire.connect(owner.port)
    sock.sendall(head + body[: MIB + MIB // 2])
    wait_until(lambda: owner.files("media"), 30, "the first file")
    wire.hang_up(sock)

    def settled() -> bool:
        return owner.quota()["reserved_bytes"] == 0 and [file["path"] for file in owner.files("media")] == ["1.bin"]

    wait_until(settled, 30, "the first file alone")


def test_a_form_that_is_refused_in_the_middle(owner: Client) -> None:
    owner.bucket("small", max_size_bytes=1000)
    files = [("f", ("1.txt", b"x" * 1000)), ("f", ("2.txt", b"x" * 1001))]
    problem = assert_problem(owner.post("/api/v1/objects/small", files=files), 413, "file_too_large")
    assert [file["path"] for file in problem["completed"]] == ["1.txt"]


def test_sharex(owner: Client) -> None:
    """What ShareX does: read the file, send the form with its headers, follow the links of the answer."""
    response = owner.get("/api/v1/sharex.sxcu", params={"bucket": "media", "prefix": "shots"})
    assert response.headers["Content-Disposition"].endswith('.sxcu"')
    made = response.json()
    local = made["RequestURL"].replace(f"http://{owner.host_header}", f"http://127.0.0.1:{owner.port}")
    headers = {**made["Headers"], "Host": owner.host_header}
    sent = requests.request(
        made["RequestMethod"], local, headers=headers, data=made["Arguments"], files={made["FileFormName"]: ("shot.png", png())}, timeout=30
    )
    assert sent.status_code == 201, sent.text
    file = owner.checked(sent.json()["items"][0])
    assert file["path"] == "shots/shot.png"
    link, delete = (made[name].replace("{json:items[0].id}", file["id"]).partition(owner.host_header)[2] for name in ("URL", "DeletionURL"))
    assert requests.get(f"http://127.0.0.1:{owner.port}{link}", headers=headers, timeout=30).content == png()
    assert requests.delete(f"http://127.0.0.1:{owner.port}{delete}", headers=headers, timeout=30).status_code == 204
    assert owner.files("media") == []


def test_addresses_inside_are_not_imported_from(owner: Client) -> None:
    for url in (
        "http://127.0.0.1/",
        f"http://localhost:{owner.port}/healthz",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
    ):
        assert_problem(owner.post("/api/v1/uploads/from-url", json={"url": url, "bucket": "media"}), 422, "outbound_refused", owner.get)


@pytest.fixture
def source() -> Iterator[Source]:
    with sources.start() as made:
        yield made


@pytest.mark.slow
def test_an_import_outlives_its_worker(own_deployment: Callable[..., Deployment], source: Source) -> None:
    """All processes are killed while bytes come; after the next start the file is there, once and whole."""
    deployment = own_deployment(outbound_allow='["127.0.0.0/8"]', outbound_ports=json.dumps([source.port]), job_lease_s="5")
    deployment.start("--json")
    owner = deployment.tenant().owner
    owner.bucket("media")
    data = noise(3 * MIB, 9)

    def stuck(connection: object, its_source: Source) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[:MIB])  # type: ignore[attr-defined]  # a socket, as a list of anything
        its_source.over.wait(60)

    source.pages["/film.bin"] = stuck
    begun = owner.post("/api/v1/uploads/from-url", json={"url": source.url("/film.bin"), "bucket": "media"})
    assert begun.status_code == 202, begun.text
    wait_until(lambda: source.requests, 30, "the worker to ask")
    deployment.kill_all()
    source.pages["/film.bin"] = reply("200 OK", data)
    deployment.start("--json")
    (file,) = wait_until(lambda: owner.files("media"), 90, "the file")
    assert owner.checked(file, 60)["sha256"] == hashlib.sha256(data).hexdigest()
    assert owner.quota()["reserved_bytes"] == 0
