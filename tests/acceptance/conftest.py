"""One deployment for all tests of a worker, fresh tenants in it, and deployments of their own for tests that break things."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.client import Client
from tests.acceptance.deployment import Deployment, Tenant
from tests.services.mail import MailServer
from tests.services.mail import mail_server as run_mail_server


@pytest.fixture(scope="session")
def mail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """Where the shared deployment sends its mail."""
    with run_mail_server(tmp_path_factory.mktemp("mail")) as server:
        yield server


@pytest.fixture(scope="session")
def deployment(mail_server: MailServer) -> Iterator[Deployment]:
    """The deployment that the tests of this worker share. Nothing in it may be killed or stopped."""
    made = Deployment(smtp_host="127.0.0.1", smtp_port=str(mail_server.port), smtp_security="none")
    try:
        made.start("--json")
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def own_deployment() -> Iterator[Callable[..., Deployment]]:
    """Makes deployments, not yet started, whose processes may be killed; settings as keywords."""
    made: list[Deployment] = []

    def make(**settings: str) -> Deployment:
        made.append(Deployment(**settings))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.end()


@pytest.fixture
def tenant(deployment: Deployment) -> Tenant:
    """A fresh tenant in the shared deployment."""
    return deployment.tenant()


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    """The fresh tenant's owner, with a bucket `media` that takes everything."""
    tenant.owner.bucket("media")
    return tenant.owner
