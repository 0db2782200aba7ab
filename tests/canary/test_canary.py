"""Two tenants full of canaries: nothing of the one is in any answer, header or log line of the other."""

from __future__ import annotations

import io
import itertools
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from strongroom.access import Role
from strongroom.logs import configure_logging
from strongroom.users import service as users
from werkzeug.test import TestResponse

from tests.factories import EICAR, PNG, Account, Client, World, object_url, ok, put_object
from tests.permissions.test_matrix import ALL_ROWS

CANARY = re.compile(rb"canary", re.IGNORECASE)


@dataclass
class Aviary:
    """A tenant in which everything that can carry a name carries a bird's."""

    bird: str
    owner: Account
    client: Client
    secrets: list[str] = field(default_factory=list)
    """Ids and secrets of this tenant, which no other may ever see."""


def fill(world: World, bird: str) -> Aviary:
    """A file, a replaced one, one in the trash, a quarantined one, users, keys, invitations, a brand, a logo, usage."""
    tenant = world.create_tenant(f"{bird}-slug", name=f"{bird} name")
    owner = world.create_user(tenant, "owner", email=f"{bird}-owner@example.com", name=f"{bird} owner")
    client = world.client(owner)
    aviary = Aviary(bird, owner, client, [str(tenant.id), tenant.ref.role, tenant.prefix, str(owner.id), owner.tokens["access_token"]])
    ok(client.patch("/api/v1/tenant/branding", json={"name": f"{bird} brand", "primary": "#ca1234"}))
    ok(client.put("/api/v1/tenant/branding/logo", data=PNG + bird.encode()))
    bucket = ok(client.post("/api/v1/buckets", json={"name": f"{bird}-bucket", "allowed_types": [f"application/{bird}", "*/*"]}), 201)
    for path, data in ((f"{bird}/path.txt", f"{bird} content"), (f"{bird}/path.txt", f"{bird} newer content"), (f"{bird}/gone.txt", bird)):
        file = world.upload(client, path, data.encode(), bucket=f"{bird}-bucket")
        aviary.secrets += [file["id"], file["version_id"], file["etag"], file["blake3"]]
    ok(client.delete(f"/api/v1/files/{file['id']}"), 204)
    bad = world.upload(client, f"{bird}/virus.com", EICAR, bucket=f"{bird}-bucket")
    kept = ok(client.get(f"/api/v1/buckets/{bird}-bucket/files"))["items"][0]
    ok(client.patch(f"/api/v1/files/{kept['id']}", json={"metadata": {f"{bird}-key": f"{bird} value"}}))
    invitation = users.invite_user(
        world.runtime, tenant, owner.principal, email=f"{bird}-guest@example.com", role=Role.MEMBER, name=f"{bird} guest"
    )
    key = ok(client.post("/api/v1/api-keys", json={"name": f"{bird} key", "scopes": ["admin"]}), 201)
    world.upload(client.as_(key["key"]), f"{bird}/by-key.txt", f"{bird} by key".encode(), bucket=f"{bird}-bucket")
    world.run_jobs()
    client.get(object_url(f"{bird}-bucket", f"{bird}/path.txt"))
    world.run_jobs()
    aviary.secrets += [bucket["id"], bad["id"], key["id"], key["key"], invitation.token, str(invitation.user.id)]
    return aviary


@pytest.fixture(scope="module")
def birds(shared_world: World) -> tuple[Aviary, Aviary]:
    tag = next(numbers)
    return fill(shared_world, f"canary{tag}"), fill(shared_world, f"sparrow{tag}")


numbers = itertools.count(1)


@pytest.fixture
def log_lines(shared_world: World) -> Iterator[io.StringIO]:
    """What is logged, as it would be written: JSON lines on standard error."""
    root, kept = logging.getLogger(), sys.stderr
    handlers, level = root.handlers[:], root.level
    lines = io.StringIO()
    sys.stderr = lines
    configure_logging(shared_world.settings)
    yield lines
    sys.stderr = kept
    root.handlers[:] = handlers
    root.setLevel(level)


def leaks(response: TestResponse, canary: Aviary) -> list[str]:
    """What of the canary is in an answer."""
    text = response.data + b"\n" + "\n".join(f"{name}: {value}" for name, value in response.headers).encode()
    found = [match.decode() for match in CANARY.findall(text)]
    return found + [secret for secret in canary.secrets if secret.encode() in text]


def ids_of(world: World, aviary: Aviary) -> dict[str, str]:
    """One of each of a tenant's things, by the names that routes give them."""
    tenant = aviary.owner.tenant
    file, key, session = (world.rows(tenant, table)[0] for table in ("files", "api_keys", "sessions"))
    return {
        "file_id": str(file["id"]), "version_id": str(file["version_id"]), "user_id": str(aviary.owner.id), "api_key_id": str(key["id"]),
        "session_id": str(session["id"]), "bucket": f"{aviary.bird}-bucket", "path": f"{aviary.bird}/path.txt",
    }  # fmt: skip


def addresses(world: World, *things: dict[str, str], pages: bool = False) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every route on a tenant's host, with what is not there and with each of these things, as (method, address, what to send)."""
    adapter = world.app.url_map.bind("x")
    for (endpoint, method), row in ALL_ROWS.items():
        if row.who.realm in {"platform", "operator", "operator_console"} or (row.who.realm == "console") != pages:
            continue
        for named in ({}, *things):
            arguments = {name: named.get(name, value) for name, value in row.args.items()}
            with world.app.test_request_context():
                yield method, adapter.build(endpoint, arguments, method=method), row.send


HOME = ("account", "users", "buckets", "trash", "tenant", "api-keys", "stats/usage?group_by=bucket", "tenant/branding/logo")
GROUPS = ("bucket", "user", "api_key", "content_type", "operation")


def test_the_canary_sings_at_home(birds: tuple[Aviary, Aviary]) -> None:
    """The search finds what it looks for where it may be."""
    canary, _ = birds
    for path in (*HOME, f"buckets/{canary.bird}-bucket/files"):
        assert leaks(canary.client.get(f"/api/v1/{path}"), canary), path


def test_no_get_of_the_other_tells_of_the_canary(shared_world: World, birds: tuple[Aviary, Aviary], log_lines: io.StringIO) -> None:
    """With one's own things as arguments, and with such as are not there."""
    canary, sparrow = birds
    urls = [url for method, url, _ in addresses(shared_world, ids_of(shared_world, sparrow)) if method == "GET"]
    urls += [f"/api/v1/{path}?limit=1" for path in ("users", "buckets", "trash")]
    urls += [f"/api/v1/stats/usage?interval=hour&group_by={each}" for each in GROUPS]
    urls += ["/nothing", f"/api/v1/buckets/{sparrow.bird}-bucket/files?q=path"]
    assert len(urls) > 40
    assert {url: leaks(sparrow.client.get(url), canary) for url in urls if leaks(sparrow.client.get(url), canary)} == {}
    assert not CANARY.search(log_lines.getvalue().encode())


def test_no_refusal_of_the_other_tells_of_the_canary(shared_world: World, birds: tuple[Aviary, Aviary], log_lines: io.StringIO) -> None:
    """Every method of every route, with the canary's names and ids as arguments: an answer may repeat the address, nothing else."""
    canary, sparrow = birds
    theirs = ids_of(shared_world, canary)
    tried = [each for each in addresses(shared_world, theirs) if any(value in each[1] for value in theirs.values())]
    assert len(tried) > 15
    for method, url, send in tried:
        response = sparrow.client.open(method, url, **send)
        assert response.status_code >= 400, (method, url)
        assert not CANARY.search(response.data.replace(url.encode(), b"")), (method, url)
    known = put_object(sparrow.client, f"{sparrow.bird}-bucket", "a.txt", b"x", If_Match=f'"{canary.secrets[7]}"')
    assert known.status_code == 412
    assert canary.secrets[7].encode() not in known.data
    logged = log_lines.getvalue()
    assert [secret for secret in canary.secrets if secret in logged] == []


def test_no_page_of_the_other_tells_of_the_canary(shared_world: World, birds: tuple[Aviary, Aviary], log_lines: io.StringIO) -> None:
    """The console, with one's own things and with the canary's as arguments."""
    canary, sparrow = birds
    browser = shared_world.browser(sparrow.owner)
    theirs = ids_of(shared_world, canary)
    count = 0
    for method, url, send in addresses(shared_world, ids_of(shared_world, sparrow), theirs, pages=True):
        if method != "GET" and not any(value in url for value in theirs.values()):
            continue
        response = browser.open(method, url, **send)
        told = response.get_data(as_text=True) + str(response.headers)
        for typed in (value for value in theirs.values() if value in url):
            told = told.replace(typed, "what the caller typed")
        assert not CANARY.search(told.encode()), (method, url)
        assert response.status_code != 500, (method, url)
        count += 1
    assert count > 30
    assert not [secret for secret in canary.secrets if secret in log_lines.getvalue()]


def test_same_bytes_elsewhere_are_not_told(shared_world: World, birds: tuple[Aviary, Aviary]) -> None:
    """Nobody learns from an upload that another tenant has the same bytes."""
    canary, sparrow = birds
    known = shared_world.upload(sparrow.client, "same.txt", f"{canary.bird} content".encode(), bucket=f"{sparrow.bird}-bucket")
    fresh = shared_world.upload(sparrow.client, "fresh.txt", b"bytes that nobody has", bucket=f"{sparrow.bird}-bucket")
    assert {name for name in known if known[name] is None} == {name for name in fresh if fresh[name] is None}
    assert known["status"] == fresh["status"] == "pending"
    ok(sparrow.client.delete(f"/api/v1/files/{known['id']}"), 204)


def test_log_lines_of_jobs_name_their_own_tenant(shared_world: World, birds: tuple[Aviary, Aviary], log_lines: io.StringIO) -> None:
    canary, sparrow = birds
    shared_world.sql("DELETE FROM strongroom.jobs")
    shared_world.upload(sparrow.client, "logged.txt", b"logged", bucket=f"{sparrow.bird}-bucket")
    shared_world.upload(sparrow.client, "bad.com", EICAR, bucket=f"{sparrow.bird}-bucket")
    assert shared_world.run_jobs() >= 3
    lines = log_lines.getvalue()
    assert str(sparrow.owner.tenant.id) in lines
    assert str(canary.owner.tenant.id) not in lines
    assert not CANARY.search(lines.encode())


def test_a_log_line_stays_one_line(log_lines: io.StringIO) -> None:
    """What users send cannot begin a line of its own."""
    logging.getLogger("test").error("a path: %s", 'a\n{"event": "forged", "level": "info"}\r\x1b[31m')
    (line,) = [each for each in log_lines.getvalue().splitlines() if "a path" in each]
    assert "forged" in line
    assert "\x1b" not in line


def test_operators_see_no_contents(operator_viewer: Client, birds: tuple[Aviary, Aviary]) -> None:
    """Names of tenants and figures, but nothing of what they keep, and no secret."""
    canary, _ = birds
    names = ("/path.txt", " content", "-bucket", "-guest", " value", "-owner")
    inside = [*(canary.bird + name for name in names), *canary.secrets[3:]]
    for path in (
        "tenants",
        f"tenants/{canary.owner.tenant.slug}",
        "stats",
        "jobs?limit=1000",
        "audit?limit=1000",
        "providers",
        "operators",
    ):
        text = operator_viewer.get(f"/operator/api/v1/{path}").get_data(as_text=True)
        assert [each for each in inside if each in text] == [], path


def test_metrics_carry_the_tenants_id(shared_world: World, birds: tuple[Aviary, Aviary]) -> None:
    canary, _ = birds
    text = Client(shared_world.app, "localhost").get("/metrics").get_data(as_text=True)
    for line in text.splitlines():
        if canary.owner.tenant.slug in line:
            assert str(canary.owner.tenant.id) in line


def test_no_name_is_on_the_disk(shared_world: World, birds: tuple[Aviary, Aviary]) -> None:
    """Whatever users typed is in no path; and a tenant's bytes are below its own prefix."""
    canary, _ = birds
    for path in shared_world.files_dir.rglob("*"):
        assert not CANARY.search(str(path.relative_to(shared_world.files_dir)).encode())
        if path.is_file() and path.read_bytes() == f"{canary.bird} newer content".encode():
            assert path.is_relative_to(shared_world.files_dir / canary.owner.tenant.prefix)
