"""Point 6: the figures agree exactly with what was done."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance import wire
from tests.acceptance.client import Client, assert_problem
from tests.acceptance.content import EICAR, MIB, TEXT, noise, png
from tests.acceptance.deployment import Deployment, Tenant
from tests.acceptance.waiting import wait_until

FIGURES = ("uploads", "downloads", "deletes", "bytes_in", "bytes_out")
COUNTED_S = 30.0


@dataclass
class Ledger:
    """What was done, by (bucket, user, content type)."""

    entries: list[tuple[dict[str, str], Counter[str]]] = field(default_factory=list)

    def add(self, keys: dict[str, str], **figures: int) -> None:
        self.entries.append((keys, Counter(figures)))

    def sums(self, by: str | None = None) -> dict[str | None, dict[str, int]]:
        """The sums, by one of the keys."""
        totals: dict[str | None, Counter[str]] = {}
        for keys, figures in self.entries:
            totals.setdefault(keys[by] if by else None, Counter()).update(figures)
        return {group: {name: total[name] for name in FIGURES} for group, total in totals.items()}


class Accountant:
    """Does things as several users in several buckets, and writes down what it did."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant, self.ledger = tenant, Ledger()
        self.owner, self.member = tenant.owner, tenant.user("member")
        made = self.owner.post("/api/v1/api-keys", json={"name": "k", "scopes": ["files:read", "files:write"]}).json()
        self.key_id = made["id"]
        self.robot = tenant.deployment.tenant_client(tenant.slug)
        self.robot.token = made["key"]
        self.ids = {each["email"]: each["id"] for each in self.owner.listed("/api/v1/users")}
        for name in ("media", "documents"):
            self.owner.bucket(name, versioning=name == "media")

    def keys(self, client: Client, bucket: str, content_type: str) -> dict[str, str]:
        user = self.ids[client.email or self.owner.email]
        return {"bucket": bucket, "user": user, "content_type": content_type, "api_key": self.key_id if client is self.robot else ""}

    def put(self, client: Client, bucket: str, path: str, data: bytes, content_type: str) -> dict[str, Any]:
        file = (
            client.store(bucket, path, data, content_type) if client is not self.robot else client.upload(bucket, path, data, content_type)
        )
        self.ledger.add(self.keys(client, bucket, content_type) | {"operation": "upload"}, uploads=1, bytes_in=len(data))
        return file

    def get(self, client: Client, bucket: str, path: str, size: int, content_type: str, **headers: str) -> None:
        answer = client.download(bucket, path, headers=headers)
        assert len(answer.content) == size
        self.ledger.add(self.keys(client, bucket, content_type) | {"operation": "download"}, downloads=1, bytes_out=size)

    def delete(self, client: Client, bucket: str, file: dict[str, Any], content_type: str) -> None:
        assert client.request("DELETE", f"/api/v1/files/{file['id']}").status_code == 204
        self.ledger.add(self.keys(client, bucket, content_type) | {"operation": "delete"}, deletes=1)


@pytest.fixture
def books(tenant: Tenant) -> Accountant:
    """An accountant at a fresh tenant."""
    return Accountant(tenant)


def work(books: Accountant) -> int:
    """Do some of everything; return the bytes that are stored in the end."""
    picture, blob = png(20, 20), noise(3 * MIB, 5)
    books.put(books.owner, "media", "a.png", picture, "image/png")
    books.put(books.member, "media", "b.bin", blob, "application/octet-stream")
    books.put(books.robot, "documents", "c.txt", TEXT, "text/plain")
    gone = books.put(books.member, "documents", "d.txt", TEXT * 2, "text/plain")
    books.put(books.owner, "media", "a.png", picture, "image/png")  # a second version: both are stored
    books.put(books.owner, "documents", "e.csv", b"a,b\n1,2\n3,4\n", "text/csv")
    books.put(books.owner, "documents", "e.csv", b"a,b\n1,2\n", "text/csv")  # no versioning: the former goes
    books.get(books.owner, "media", "a.png", len(picture), "image/png")
    books.get(books.member, "media", "b.bin", len(blob), "application/octet-stream")
    books.get(books.owner, "media", "b.bin", 1000, "application/octet-stream", Range="bytes=0-999")
    books.get(books.owner, "media", "b.bin", 1, "application/octet-stream", Range="bytes=-1")
    books.get(books.owner, "documents", "e.csv", 8, "text/csv")
    books.delete(books.member, "documents", gone, "text/plain")
    return 2 * len(picture) + len(blob) + len(TEXT) + 2 * len(TEXT) + 8


def do_what_does_not_count(books: Accountant) -> None:
    """What fails, asks only for heads, or has not changed moves no bytes of files."""
    owner = books.owner
    etag = owner.request("HEAD", owner.object_path("media", "b.bin")).headers["ETag"]
    assert owner.download("media", "b.bin", headers={"If-None-Match": etag}).status_code == 304
    assert owner.download("media", "b.bin", headers={"Range": "bytes=99999999-"}).status_code == 416
    assert owner.download("media", "missing").status_code == 404
    assert owner.put("media", "x.png", TEXT, "image/png").status_code == 415
    assert owner.put("nowhere", "x", TEXT).status_code == 404
    assert owner.get("/api/v1/buckets/media/files").status_code == 200


def counted(client: Client, expected: dict[str, int]) -> dict[str, Any]:
    """The usage, once it has arrived at what is expected."""

    def arrived() -> dict[str, Any]:
        usage = client.usage()
        found = {name: usage["totals"][name] for name in FIGURES}
        assert found == expected
        return usage

    return wait_until(arrived, COUNTED_S, "the figures to agree")


def sums(points: list[dict[str, Any]]) -> dict[str | None, dict[str, int]]:
    """Points summed up by their group."""
    totals: dict[str | None, Counter[str]] = {}
    for point in points:
        totals.setdefault(point["group"], Counter()).update({name: point[name] for name in FIGURES})
    return {group: {name: total[name] for name in FIGURES} for group, total in totals.items()}


def test_figures_agree_exactly(books: Accountant, deployment: Deployment) -> None:
    began = datetime.now(UTC)
    stored = work(books)
    do_what_does_not_count(books)
    owner, ledger = books.owner, books.ledger
    (everything,) = ledger.sums().values()
    usage = counted(owner, everything)
    assert (usage["totals"]["stored_bytes"], usage["totals"]["stored_files"]) == (stored, 5)
    assert owner.quota()["used_bytes"] == stored
    for interval in ("hour", "day"):
        points = owner.usage(interval=interval)["items"]
        assert sums(points) == {None: everything}
        floor = {"minute": 0, "second": 0, "microsecond": 0} | ({"hour": 0} if interval == "day" else {})
        starts = {datetime.fromisoformat(point["start"]) for point in points}
        assert starts <= {moment.replace(**floor) for moment in (began, datetime.now(UTC))}  # type: ignore[arg-type]  # fields of a time
        latest = owner.usage(interval=interval)["stored"][-1]
        assert (latest["stored_bytes"], latest["stored_files"]) == (stored, 5)
    for by in ("bucket", "user", "content_type", "operation"):
        assert sums(owner.usage(group_by=by)["items"]) == ledger.sums(by), by
    by_key = {group or "": found for group, found in sums(owner.usage(group_by="api_key")["items"]).items()}
    assert by_key == ledger.sums("api_key")
    buckets = {each["name"]: (each["used_bytes"], each["used_files"]) for each in owner.listed("/api/v1/buckets")}
    assert buckets == {"media": (2 * len(png(20, 20)) + 3 * MIB, 2), "documents": (3 * len(TEXT) + 8, 3)}
    check_operator(books, deployment, everything, stored)
    assert deployment.command("stats", "verify", "--tenant", books.tenant.slug)["ok"]


def check_operator(books: Accountant, deployment: Deployment, everything: dict[str, int], stored: int) -> None:
    """The operator sees the same."""
    shown = ("uploads", "downloads", "bytes_in", "bytes_out")
    expected = {**{name: everything[name] for name in shown}, "stored_bytes": stored, "stored_files": 5}

    def agrees() -> bool:
        stats = deployment.operator().get("/operator/api/v1/stats").json()
        (own,) = [each for each in stats["items"] if each["slug"] == books.tenant.slug]
        assert {name: own[name] for name in expected} == expected
        listed = deployment.operator().get("/operator/api/v1/tenants", params={"q": books.tenant.slug}).json()["items"]
        assert {name: listed[0][name] for name in expected} == expected
        for name in expected:
            assert stats["totals"][name] == sum(each[name] for each in stats["items"])
        for name in shown:
            assert 0 < stats["totals"][name] <= sum(each[name] for each in stats["days"]), "days also count tenants that are gone"
        return True

    wait_until(agrees, COUNTED_S, "the operator's figures to agree")


def test_nothing_is_counted_twice_or_later(books: Accountant) -> None:
    work(books)
    (everything,) = books.ledger.sums().values()
    counted(books.owner, everything)
    books.get(books.owner, "media", "a.png", len(png(20, 20)), "image/png")
    (everything,) = books.ledger.sums().values()
    counted(books.owner, everything)


def test_many_small_downloads_are_all_counted(books: Accountant) -> None:
    books.put(books.owner, "documents", "a.txt", TEXT, "text/plain")
    for start in range(40):
        books.get(books.owner, "documents", "a.txt", 5, "text/plain", Range=f"bytes={start}-{start + 4}")
    (everything,) = books.ledger.sums().values()
    counted(books.owner, everything)


def test_an_aborted_download_counts_what_was_sent(books: Accountant) -> None:
    size, taken = 64 * MIB, 2 * MIB
    owner = books.owner
    owner.store("media", "big.bin", noise(size, 9))
    with wire.connect(owner.port) as sock:
        sock.setsockopt(wire.socket.SOL_SOCKET, wire.socket.SO_RCVBUF, 256 * 1024)
        lines = [f"Host: {owner.host_header}", f"Authorization: Bearer {owner.token}"]
        sock.sendall(wire.head("GET", owner.object_path("media", "big.bin"), lines))
        received = 0
        while received < taken:
            received += len(sock.recv(65536))
        wire.hang_up(sock)

    def ended() -> dict[str, Any] | None:
        totals = owner.usage()["totals"]
        return totals if totals["downloads"] else None

    totals = wait_until(ended, COUNTED_S, "the download to be counted")
    assert totals["downloads"] == 1
    assert taken <= totals["bytes_out"] <= taken + 16 * MIB, "what was received, and at most what the kernels held"


def test_a_quarantined_upload_counts_and_its_refused_download_does_not(books: Accountant) -> None:
    file = books.put(books.owner, "media", "e.com", EICAR, "text/plain")
    assert file["status"] == "quarantined"
    assert books.owner.download("media", "e.com").status_code == 403
    (everything,) = books.ledger.sums().values()
    counted(books.owner, everything)
    assert books.owner.quota()["used_bytes"] == len(EICAR)


def test_the_time_asked_for(books: Accountant) -> None:
    books.put(books.owner, "media", "a.png", png(), "image/png")
    (everything,) = books.ledger.sums().values()
    counted(books.owner, everything)
    now = datetime.now(UTC)
    yesterday, tomorrow = (now - timedelta(days=1)).isoformat(), (now + timedelta(days=1)).isoformat()
    long_ago = (now - timedelta(days=3)).isoformat()
    assert books.owner.usage(**{"from": yesterday, "to": tomorrow})["totals"]["uploads"] == 1
    assert books.owner.usage(**{"from": long_ago, "to": yesterday})["totals"]["uploads"] == 0
    assert books.owner.usage(**{"from": now.date().isoformat() + "T00:00:00Z"})["totals"]["uploads"] == 1


@pytest.mark.parametrize(
    "query", [{"interval": "week"}, {"group_by": "password"}, {"from": "yesterday"}, {"from": "1900-01-01T00:00:00Z", "interval": "hour"}]
)
def test_wrong_questions(owner: Client, query: dict[str, str]) -> None:
    problem = assert_problem(owner.get("/api/v1/stats/usage", params=query), 422, "validation_failed")
    assert set(problem["errors"]) & set(query)


def test_statistics_name_nobody_else(books: Accountant, deployment: Deployment) -> None:
    books.put(books.owner, "media", "a.png", png(), "image/png")
    stats = deployment.operator().get("/operator/api/v1/stats").json()
    assert "a.png" not in json.dumps(stats), "operators see figures, not the names of files"
