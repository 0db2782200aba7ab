"""Real Chromium before a real deployment (`strongroom up`), one of each for the run: all modules are of one xdist group."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.acceptance.deployment import Deployment, Tenant
from tests.browser.visitor import DESK, Visitor
from tests.services.mail import MailServer
from tests.services.mail import mail_server as run_mail_server
from tests.services.oidc import OidcProvider, oidc_provider
from tests.services.processes import free_port
from tests.services.s3server import S3Server
from tests.services.source import Source

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing = f"{CHROMIUM} is missing: install the package chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def source() -> Iterator[Source]:
    """The one server from which the deployment may fetch."""
    server = Source()
    yield server
    server.close()


@pytest.fixture(scope="session")
def mail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Where the deployment sends its mail."""
    with run_mail_server(tmp_path_factory.mktemp("mail")) as server:
        yield server


@pytest.fixture(scope="session")
def oidc_port() -> int:
    """Where the identity provider will be, once a test needs it."""
    return free_port()


@pytest.fixture(scope="session")
def oidc(oidc_port: int) -> Iterator[OidcProvider]:
    with oidc_provider(oidc_port) as made:
        yield made


@pytest.fixture(scope="session")
def deployment(
    browser: Browser,  # noqa: ARG001 - without a browser there is nothing to start it for
    source: Source, rclone_server: S3Server, mail_server: MailServer, oidc_port: int,
) -> Iterator[Deployment]:  # fmt: skip
    ports = json.dumps([source.port, urlsplit(rclone_server.endpoint_url).port, oidc_port])
    mail = {"smtp_host": "127.0.0.1", "smtp_port": str(mail_server.port), "smtp_security": "none"}
    made = Deployment(worker_processes="2", outbound_allow='["127.0.0.0/8"]', outbound_ports=ports, **mail)
    try:
        made.start("--json")
        yield made
    finally:
        made.end()


@pytest.fixture
def visit(browser: Browser, deployment: Deployment) -> Iterator[Callable[..., Visitor]]:
    """Opens windows: `visit(host, *expected_statuses, viewport=…, script=…)`. At the end nothing may have gone wrong in any of them."""
    opened: list[Visitor] = []

    def make(host: str, *expected: int, viewport: dict[str, int] | None = None, script: bool = True) -> Visitor:
        shape: Any = viewport or DESK
        context = browser.new_context(viewport=shape, locale="en-GB", timezone_id="UTC", java_script_enabled=script)
        opened.append(Visitor(context, deployment, host, *expected))
        return opened[-1]

    yield make
    trouble = [line for visitor in opened for line in visitor.trouble]
    for visitor in opened:
        visitor.context.close()
    assert not trouble, "\n".join(trouble)


@pytest.fixture
def tenant(deployment: Deployment) -> Tenant:
    """A fresh tenant with a bucket `media` that takes everything."""
    made = deployment.tenant()
    made.owner.bucket("media")
    return made


@pytest.fixture
def owner(tenant: Tenant, visit: Callable[..., Visitor]) -> Visitor:
    """The fresh tenant's owner, signed in to its console."""
    return visit(f"{tenant.slug}.localhost").sign_in(f"owner@{tenant.slug}.test")


@pytest.fixture
def operator(deployment: Deployment, visit: Callable[..., Visitor]) -> Visitor:
    """The operator, signed in."""
    known = deployment.credentials["operator"]
    return visit("localhost").sign_in(known["email"], known["password"], "/operator")
