"""A real OpenID provider for all tests of single sign-on, and a deployment that may reach it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from tenants.models import Tenant
from tests.factories import Account, Client, World, host_of, ok
from tests.services.oidc import OidcProvider, oidc_provider
from tests.sso.hostile import Hostile, hostile

SSO = "/api/v1/tenant/sso"
OIDC = "/api/v1/auth/oidc"
COOKIE = "sr_oidc"


@pytest.fixture(scope="session")
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as made:
        yield made


@pytest.fixture(scope="session")
def shared_evil() -> Iterator[Hostile]:
    with hostile() as made:
        yield made


@pytest.fixture(scope="session")
def near_world(shared_world: World, provider: OidcProvider, shared_evil: Hostile) -> Iterator[World]:
    """A process of the deployment that may reach the tests' providers."""
    ports = [provider.port, shared_evil.port]
    made = World(shared_world.database, shared_world.files_dir, outbound_allow=["127.0.0.0/8"], outbound_ports=ports)
    yield made
    made.close()


@pytest.fixture
def near(world: World, near_world: World) -> World:  # noqa: ARG001 - without jobs of other tests
    return near_world


@dataclass
class Window:
    """A browser at a tenant's host: keeps our cookies, follows nothing by itself."""

    world: World
    tenant: Tenant
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> TestResponse:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **headers}
        answer = self.world.client(self.tenant).get(path, headers=sent)
        for line in answer.headers.getlist("Set-Cookie"):
            name, _, rest = line.partition("=")
            value = rest.partition(";")[0]
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        return answer

    def start(self, name: str = "corp", **query: str) -> str:
        """Begin a sign-in; the address of the provider."""
        answer = self.get(f"{OIDC}/{name}/start?" + "&".join(f"{key}={value}" for key, value in query.items()))
        assert answer.status_code == 302, answer.get_data(as_text=True)
        return str(answer.headers["Location"])

    def come_back(self, url: str, **headers: str) -> TestResponse:
        """Go where the provider sends us."""
        parts = urlsplit(url)
        assert parts.netloc == host_of(self.tenant)
        return self.get(f"{parts.path}?{parts.query}", **headers)

    def sign_in(self, provider: OidcProvider, who: str, name: str = "corp", **query: str) -> TestResponse:
        """The whole way."""
        return self.come_back(provider.sign_in(self.start(name, **query), who))


@dataclass
class Setup:
    """A tenant with a connection `corp` to the provider."""

    world: World
    owner: Account
    client: Client
    provider: OidcProvider

    @property
    def tenant(self) -> Tenant:
        return self.owner.tenant

    def connect(self, name: str = "corp", *, client_metadata: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
        redirect_uri = f"http://{host_of(self.tenant)}{OIDC}/{name}/callback"
        registered = self.provider.register(redirect_uri, **(client_metadata or {}))
        body = {
            "label": "Corp", "issuer": self.provider.issuer, "client_id": registered.client_id, "client_secret": registered.client_secret,
            "domains": ["example.com"], **values,
        }  # fmt: skip
        answer = self.client.put(f"{SSO}/{name}", json=body)
        assert answer.status_code in {200, 201}, answer.get_data(as_text=True)
        return dict(answer.get_json())

    def window(self) -> Window:
        return Window(self.world, self.tenant)

    def me(self, answer: TestResponse) -> dict[str, Any]:
        """As whom the tokens of an answer let us in."""
        tokens = ok(answer)
        return dict(ok(self.world.client(self.tenant).as_(tokens["access_token"]).get("/api/v1/account")))


@pytest.fixture
def setup(near: World, owner: Account, provider: OidcProvider) -> Setup:
    made = Setup(near, owner, near.client(owner), provider)
    made.connect()
    return made


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture
def evil(shared_evil: Hostile) -> Iterator[Hostile]:
    """The hostile provider, good as long as a test does not make it bad."""
    documents = {path: dict(document) for path, document in shared_evil.documents.items()}
    yield shared_evil
    shared_evil.documents = documents
    shared_evil.answers, shared_evil.hangs = {}, set()
    shared_evil.seen.clear()
    shared_evil.forms.clear()


@pytest.fixture
def victim(near: World, owner: Account, evil: Hostile) -> Window:
    """A browser at a tenant that has the hostile provider as its connection `evil`."""
    body = {
        "label": "Evil", "issuer": evil.issuer, "client_id": "c1", "client_secret": "s", "domains": ["example.com"], "create_users": True,
    }  # fmt: skip
    ok(near.client(owner).put(f"{SSO}/evil", json=body), 201)
    return Window(near, owner.tenant)


def come_back(window: Window, url: str, **changes: str) -> TestResponse:
    """Come back from the provider with a code."""
    answer = {"code": "c", "state": query_of(url)["state"], **changes}
    return window.get(f"{OIDC}/evil/callback?" + "&".join(f"{name}={value}" for name, value in answer.items()))


def begun(window: Window) -> tuple[str, str]:
    url = window.start("evil", mode="token")
    return url, query_of(url)["nonce"]
