"""A deployment that can send mail, to a server of the test's own, and tenants that let people sign up."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tenants import settings as tenant_settings
from tenants.models import Tenant
from tests.factories import PASSWORD, Account, Client, World, host_of, number, ok
from tests.services.mail import MailServer, Received
from tests.services.mail import mail_server as run_mail_server

REAL_INIT = smtplib.SMTP.__init__
SIGN_UP = "/api/v1/auth/signup"
COMPLETE = f"{SIGN_UP}/complete"
LINK = re.compile(r"https?://\S+/console/signup/(\S+)")


@dataclass
class Door:
    """Whoever stands before a tenant's door without an account, and the mail that comes."""

    world: World
    owner: Account
    server: MailServer

    @property
    def tenant(self) -> Tenant:
        return self.owner.tenant

    def manage(self) -> Client:
        """The tenant's owner, signed in."""
        return self.world.client(self.owner)

    @property
    def client(self) -> Client:
        return self.world.client(self.tenant)

    def ask(self, email: str = "ada@example.com", **more: str) -> Any:
        return self.client.post(SIGN_UP, json={"email": email, **more})

    def mails(self) -> list[Received]:
        """Have everything sent that is to be; return all that came so far."""
        self.world.run_jobs()
        return self.server.mails

    def token(self, email: str = "ada@example.com", **more: str) -> str:
        """Sign up, and return what the mail's link carries."""
        ok(self.ask(email, **more), 202)
        return token_of([mail for mail in self.mails() if LINK.search(text_of(mail))][-1])

    def complete(self, token: str, password: str = PASSWORD, **more: str) -> Any:
        return self.client.post(COMPLETE, json={"token": token, "password": password, **more})


def text_of(mail: Received) -> str:
    return str(mail.message.get_content())


def token_of(mail: Received) -> str:
    found = LINK.search(text_of(mail))
    assert found, text_of(mail)
    return found[1]


def set_policy(world: World, tenant: Tenant, **policy: Any) -> None:
    """Have a tenant let people in, past its API."""
    with world.runtime.databases.control() as connection:
        tenant_settings.change(connection, tenant.id, {"sign_up": policy}, actor={})
    world.runtime.registry.forget()


@pytest.fixture(scope="module")
def _served(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, MailServer]]:
    """One instance of the application that sends its mail to a server, for all tests of a module."""
    with run_mail_server(tmp_path_factory.mktemp("mail")) as server:
        mail = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_security": "none", "mail_from": "storage@example.com"}
        mailing = World(shared_world.database, shared_world.files_dir, **mail)
        yield mailing, server
        mailing.close()


@pytest.fixture
def mail_server(_served: tuple[World, MailServer], monkeypatch: pytest.MonkeyPatch) -> MailServer:
    """The server, without mails of other tests; mail may be sent, to it."""
    monkeypatch.setattr(smtplib.SMTP, "__init__", REAL_INIT)
    server = _served[1]
    server.answer, server.mails, server.refused = "", [], []
    return server


@pytest.fixture
def mailing(world: World, _served: tuple[World, MailServer]) -> World:  # noqa: ARG001 - jobs of other tests are gone
    return _served[0]


@pytest.fixture
def make_door(mailing: World, mail_server: MailServer) -> Callable[..., Door]:
    """Make a tenant with a policy, and stand before it; limits as keywords."""

    def make(mode: str = "open", *, domains: tuple[str, ...] = (), role: str = "member", name: str = "", **limits: int) -> Door:
        owner = mailing.create_user(mailing.create_tenant(name=name, **limits), "owner", email=f"owner-{number()}@boss.test")
        set_policy(mailing, owner.tenant, mode=mode, domains=list(domains), role=role)
        return Door(mailing, owner, mail_server)

    return make


@pytest.fixture
def door(make_door: Callable[..., Door]) -> Door:
    """Of a tenant that is open to everybody."""
    return make_door()


def url_of(tenant: Tenant) -> str:
    return f"http://{host_of(tenant)}"
