"""Providers that a tenant brings: what it may say of them, whom they reach, and who sees them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from strongroom.db.ids import new_id
from strongroom.errors import OutboundRefused, UnknownProviderKind, ValidationFailed
from strongroom.security.outbound import Outbound
from strongroom.storage.base import Presigning
from strongroom.storage.keys import object_key, tenant_prefix
from strongroom.storage.probe import probe
from strongroom.storage.providers import make_tenants_provider

from tests.factories import Account, Client, World, make_settings, ok, problem
from tests.services.s3server import S3Server

SECRETS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "very-secret-value"}
CONFIG = {"bucket": "strongroom", "region": "us-east-1", "addressing": "path", "timeout_s": 2}
KEY = object_key(tenant_prefix(new_id()), new_id(), new_id())
HERE = "/api/v1/tenant/providers"


class Heard:
    """A server that must not be asked, or that redirects; it counts who came."""

    def __init__(self, location: str = "") -> None:
        self.requests: list[str] = []
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                heard.requests.append(self.path)
                self.send_response(301 if location else 200)
                if location:
                    self.send_header("Location", location)
                    self.send_header("x-amz-bucket-region", "eu-west-1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@contextmanager
def listening(location: str = "") -> Iterator[Heard]:
    heard = Heard(location)
    thread = Thread(target=heard.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        heard.server.shutdown()
        heard.server.server_close()
        thread.join()


def guard(world: World, *ports: int, resolve: Callable[..., Any] = socket.getaddrinfo, allow: tuple[str, ...] = ()) -> Outbound:
    return Outbound(make_settings(world.database, outbound_ports=list(ports), outbound_allow=list(allow)), resolve=resolve)


def resolving(*answers: str) -> Callable[..., Any]:
    """A resolver whose answer changes from one question to the next, the last one for ever."""
    left = list(answers)

    def resolve(_host: str, port: int, *_: object) -> list[Any]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return resolve


def every_way(provider: Any) -> list[Callable[[], object]]:
    """What sends requests: over our own wire, and by boto3."""

    def write() -> None:
        writer = provider.writer(KEY, 3)
        writer.write(b"abc")
        writer.complete()

    return [provider.check, write, lambda: provider.head(KEY), lambda: provider.delete([KEY]), lambda: list(provider.list(KEY[:36]))]


@pytest.mark.parametrize("way", range(5))
@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "localhost", "10.0.0.1", "[::1]", "2130706433"])
def test_no_way_leads_inside(world: World, host: str, way: int) -> None:
    with listening() as heard:
        config = {**CONFIG, "endpoint_url": f"http://{host}:{heard.port}"}
        provider = make_tenants_provider("s3", config, SECRETS, guard(world, heard.port).pools)
        with pytest.raises(OutboundRefused):
            every_way(provider)[way]()
        assert heard.requests == []


@pytest.mark.parametrize("way", range(5))
def test_a_name_that_leads_inside(world: World, way: int) -> None:
    """At once, or at a later lookup (DNS rebinding)."""
    with listening() as heard:
        config = {**CONFIG, "endpoint_url": f"http://s3.example.com:{heard.port}"}
        outbound = guard(world, heard.port, resolve=resolving("127.0.0.1"))
        with pytest.raises(OutboundRefused):
            every_way(make_tenants_provider("s3", config, SECRETS, outbound.pools))[way]()
        rebinding = guard(world, heard.port, resolve=resolving("93.184.216.34", "127.0.0.1"))
        assert rebinding.addresses("s3.example.com", heard.port)[0][1][0] == "93.184.216.34"
        with pytest.raises(OutboundRefused):
            every_way(make_tenants_provider("s3", config, SECRETS, rebinding.pools))[way]()
        assert heard.requests == []


@pytest.mark.parametrize("way", range(5))
def test_redirects_lead_nowhere(world: World, way: int) -> None:
    with listening() as inside, listening(f"http://127.0.0.1:{inside.port}/latest/meta-data") as outside:
        outbound = guard(world, outside.port, inside.port, allow=("127.0.0.1/32",))
        config = {**CONFIG, "endpoint_url": f"http://127.0.0.1:{outside.port}"}
        provider = make_tenants_provider("s3", config, SECRETS, outbound.pools)
        with pytest.raises(Exception) as raised:  # noqa: PT011 - which of our errors depends on the operation
            every_way(provider)[way]()
        assert "meta-data" not in str(raised.value)
        assert outside.requests
        assert inside.requests == []


def test_a_proxy_of_the_environment_is_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        outbound = guard(world, resolve=resolving("10.1.1.1"))
        provider = make_tenants_provider("s3", {**CONFIG, "endpoint_url": "http://s3.example.com"}, SECRETS, outbound.pools)
        for way in every_way(provider):
            with pytest.raises(OutboundRefused):
                way()
        assert proxy.requests == []


@pytest.mark.parametrize(
    "extra",
    [
        {"credentials": "environment"}, {"ca_file": "/etc/passwd"}, {"sts": {"role_arn": "arn:aws:iam::123456789012:role/x"}},
        {"credentials": "stored"}, {"nonsense": 1},
    ],
)  # fmt: skip
def test_what_reaches_into_this_machine_is_refused(world: World, extra: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        make_tenants_provider("s3", {**CONFIG, **extra}, SECRETS, guard(world).pools)
    assert list(refused.value.extra["errors"]) == [f"config.{name}" for name in extra]  # type: ignore[call-overload]  # extra members are of any type


@pytest.mark.parametrize("kind", ["filesystem", "opendal", "nonsense"])
def test_only_kinds_that_reach_no_machine_of_ours(world: World, kind: str) -> None:
    with pytest.raises(UnknownProviderKind):
        make_tenants_provider(kind, {"root": "/"}, {}, guard(world).pools)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"bucket": "bucket", "endpoint_url": "http://169.254.169.254"}, None),
        ({"bucket": "bucket", "credentials": "environment"}, None),
        ({"bucket": "bucket"}, "/etc/passwd"),
        ({"bucket": "bucket"}, json.dumps({"type": "service_account", "token_uri": "http://169.254.169.254/token"})),
        ({"bucket": "bucket"}, {"type": "external_account", "token_uri": "https://oauth2.googleapis.com/token"}),
        (
            {"bucket": "bucket"},
            {"type": "service_account", "token_uri": "https://oauth2.googleapis.com/token", "universe_domain": "evil.example"},
        ),
    ],
)
def test_google_is_google(world: World, config: dict[str, Any], key: Any) -> None:
    with pytest.raises(ValidationFailed):
        make_tenants_provider("gcs", config, {"service_account": key} if key else {}, guard(world).pools)


@pytest.fixture
def server(rclone_server: S3Server) -> S3Server:
    return rclone_server


@pytest.fixture
def open_world(world: World, server: S3Server) -> World:
    """A deployment whose operator allows tenants to reach the test's S3 server."""
    return world.again(outbound_allow=["127.0.0.1/32"], outbound_ports=[urlsplit(server.endpoint_url).port])


@pytest.fixture
def admin(open_world: World) -> Account:
    return open_world.create_user(open_world.create_tenant(own_providers=1), "admin")


@pytest.fixture
def client(open_world: World, admin: Account) -> Client:
    return open_world.client(admin)


def added(client: Client, server: S3Server, name: str = "ours") -> Any:
    body = {"name": name, "kind": "s3", "config": server.config(), "secrets": server.secrets()}
    return ok(client.post(HERE, json=body), 201)


def test_the_whole_life(open_world: World, admin: Account, client: Client, server: S3Server) -> None:
    made = added(client, server)
    assert made["secrets_set"] == ["access_key_id", "secret_access_key"]
    assert not made["in_use"]
    listed = client.get(HERE)
    assert ok(listed)["items"] == [made]
    assert server.secret_access_key.encode() not in listed.data
    tested = ok(client.post(f"{HERE}/{made['id']}/test"))
    assert tested["ok"], tested
    assert "download by a signed address" in [step["name"] for step in tested["steps"]]
    ok(client.post(f"{HERE}/{made['id']}/use"), 204)
    open_world.create_bucket(admin.tenant)
    open_world.upload(client, "a.txt", b"in our own bucket")
    (version,) = open_world.rows(admin.tenant, "versions")
    assert str(version["provider_id"]) == made["id"]
    assert client.get("/api/v1/objects/media/a.txt").data == b"in our own bucket"
    assert ok(client.get(HERE))["items"][0]["in_use"]
    problem(client.delete(f"{HERE}/{made['id']}"), 409, "provider_in_use")
    wrong = {"secrets": {**server.secrets(), "secret_access_key": "wrong"}}
    problem(client.patch(f"{HERE}/{made['id']}", json=wrong), 503, "storage_unavailable")
    ok(client.patch(f"{HERE}/{made['id']}", json={"secrets": server.secrets()}))
    ok(client.post(f"{HERE}/platform/use"), 204)
    open_world.upload(client, "b.txt", b"at the platform's")
    assert client.get("/api/v1/objects/media/a.txt").data == b"in our own bucket"
    kinds = [row["kind"] for row in open_world.rows(admin.tenant, "events", "kind LIKE 'provider.%%' ORDER BY id")]
    assert kinds == ["provider.added", "provider.used", "provider.updated", "provider.used"]
    spare = added(client, server, "spare")
    ok(client.delete(f"{HERE}/{spare['id']}"), 204)
    assert [each["name"] for each in ok(client.get(HERE))["items"]] == ["ours"]


def test_only_where_the_plan_says_so(open_world: World, server: S3Server) -> None:
    plain = open_world.client(open_world.create_user(open_world.create_tenant(), "owner"))
    body = {"name": "ours", "kind": "s3", "config": server.config(), "secrets": server.secrets()}
    problem(plain.post(HERE, json=body), 403, "forbidden")
    assert ok(plain.get(HERE))["items"] == []


def test_anothers_is_not_there(open_world: World, client: Client, server: S3Server) -> None:
    made = added(client, server)
    stranger = open_world.client(open_world.create_user(open_world.create_tenant(own_providers=1), "owner"))
    platform = open_world.sql("SELECT id FROM strongroom.providers WHERE name = 'local'")[0]["id"]
    for provider_id in (made["id"], platform, new_id(), "nonsense"):
        problem(stranger.patch(f"{HERE}/{provider_id}", json={"secrets": {}}), 404, "not_found")
        problem(stranger.delete(f"{HERE}/{provider_id}"), 404, "not_found")
        problem(stranger.post(f"{HERE}/{provider_id}/test"), 404, "not_found")
        problem(stranger.post(f"{HERE}/{provider_id}/use"), 404, "not_found")
    assert ok(stranger.get(HERE))["items"] == []


def test_an_inner_address_by_the_api(world: World, server: S3Server) -> None:
    """The same server, where the operator has not allowed it."""
    client = world.client(world.create_user(world.create_tenant(own_providers=1), "admin"))
    body = {"name": "ours", "kind": "s3", "config": server.config(), "secrets": server.secrets()}
    problem(client.post(HERE, json=body), 503, "storage_unavailable")
    assert ok(client.get(HERE))["items"] == []


def test_a_signed_address_is_fetched_through_the_guard(world: World, server: S3Server) -> None:
    port = urlsplit(server.endpoint_url).port
    assert port is not None
    outbound = guard(world, port, allow=("127.0.0.1/32",))
    provider = make_tenants_provider("s3", server.config(), server.secrets(), outbound.pools)
    assert isinstance(provider, Presigning)
    closed = guard(world, port)
    outcomes = {each.name: each for each in probe(provider, closed.pools)}
    assert outcomes["list"].problem == ""
    assert outcomes["download by a signed address"].problem
    assert outcomes["download by a signed address"].advice
