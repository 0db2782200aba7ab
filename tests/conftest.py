"""For all tests: one PostgreSQL cluster a run, one migrated database a process, no network, no mail.

`STRONGROOM_TEST_POSTGRES=15` runs everything on Debian's PostgreSQL instead of the embedded one.
"""

from __future__ import annotations

import os
import smtplib
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from argon2 import PasswordHasher
from flask import Flask
from strongroom.allocator import be_frugal
from strongroom.buckets.models import Bucket
from strongroom.runtime import Runtime
from strongroom.security import passwords

from tenants.models import Tenant
from tests.factories import Account, Client, OperatorAccount, World, create_database
from tests.services import postgres, shared
from tests.services.gcs import GCSService, gcs
from tests.services.postgres import Cluster
from tests.services.s3server import S3Server
from tests.services.webdav import RcloneService, rclone_serve

CLUSTER = "SR_TEST_CLUSTER"
ASKED, VERSION = "STRONGROOM_TEST_POSTGRES", postgres.VERSION
NAMED_BYTES = 16
SERVERS = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """With xdist the controller starts the cluster, and its workers find it by the environment.

    What asks for another PostgreSQL is taken out of there: to commands under test it would be an unknown setting.
    """
    be_frugal()  # as in an API process: else what tests with large buffers give back stays with the process
    if ASKED in os.environ:
        os.environ[VERSION] = os.environ.pop(ASKED)
    config.stash[SERVERS] = ExitStack()
    if not hasattr(config, "workerinput"):
        config.stash[SERVERS].enter_context(shared.run())
    hypothesis.settings.register_profile("strongroom", derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("strongroom")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        os.environ[CLUSTER] = config.stash[SERVERS].enter_context(postgres.start()).to_json()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name made-up files by their place: what is in them (a ZIP's time, say) may differ from process to process."""
    return argname if isinstance(val, bytes) and len(val) > NAMED_BYTES else None


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVERS].close()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The run's cluster; without xdist it starts with the first test that needs it."""
    if CLUSTER in os.environ:
        return Cluster.from_json(os.environ[CLUSTER])
    return request.config.stash[SERVERS].enter_context(postgres.start())


@pytest.fixture(scope="session")
def shared_world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """This process's deployment. Tests share it and tell their tenants apart by their ids."""
    real = passwords._hasher
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    world = World.create(create_database(cluster, name), tmp_path_factory.mktemp("files"))
    yield world
    world.close()
    passwords._hasher = real


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The deployment, without jobs of other tests."""
    shared_world.sql("DELETE FROM strongroom.jobs; DELETE FROM strongroom.job_turns")
    yield shared_world
    shared_world.close_others()


@pytest.fixture
def runtime(world: World) -> Runtime:
    return world.runtime


@pytest.fixture
def app(world: World) -> Flask:
    return world.app


@pytest.fixture
def create_tenant(world: World) -> Callable[..., Tenant]:
    return world.create_tenant


@pytest.fixture
def create_user(world: World) -> Callable[..., Account]:
    return world.create_user


@pytest.fixture
def create_bucket(world: World) -> Callable[..., Bucket]:
    return world.create_bucket


@pytest.fixture
def upload(world: World) -> Callable[..., Any]:
    return world.upload


@pytest.fixture
def run_jobs(world: World) -> Callable[[], int]:
    return world.run_jobs


@pytest.fixture
def client_for(world: World) -> Callable[..., Client]:
    return world.client


@pytest.fixture
def tenant(world: World) -> Tenant:
    return world.create_tenant()


@pytest.fixture
def owner(world: World, tenant: Tenant) -> Account:
    return world.create_user(tenant, "owner")


@pytest.fixture
def client(world: World, owner: Account) -> Client:
    """The owner of `tenant`, signed in."""
    return world.client(owner)


@pytest.fixture
def bucket(world: World, tenant: Tenant) -> Bucket:
    return world.create_bucket(tenant, "media")


@pytest.fixture(scope="session")
def _operators(shared_world: World) -> dict[str, OperatorAccount]:
    return {role: shared_world.create_operator(role) for role in ("admin", "viewer")}


@pytest.fixture
def operator(world: World, _operators: dict[str, OperatorAccount]) -> Client:
    """An operator of role admin, signed in."""
    return world.client(_operators["admin"])


@pytest.fixture
def operator_viewer(world: World, _operators: dict[str, OperatorAccount]) -> Client:
    """An operator of role viewer, signed in."""
    return world.client(_operators["viewer"])


@pytest.fixture
def empty_world(cluster: Cluster, tmp_path: Path, shared_world: World, request: pytest.FixtureRequest) -> Iterator[World]:  # noqa: ARG001 - the shared world comes first
    """A deployment on a database of its own, for what looks at all tenants or changes the schema."""
    suffix = os.environ.get("PYTEST_XDIST_WORKER", "main")
    world = World.create(create_database(cluster, f"own_{suffix}_{os.urandom(4).hex()}"), tmp_path / "files")
    yield world
    world.close()


# Real servers that tests of several packages use: one of each for a process, started by the first test that needs it


@pytest.fixture(scope="session")
def rclone_server() -> S3Server:
    """An S3 server; the run's."""
    return shared.s3_server("rclone")


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSService]:
    with gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneService]:
    with rclone_serve("webdav", tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneService]:
    with rclone_serve("ftp", tmp_path_factory.mktemp("ftp")) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine, and no mail is sent at all."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test wanted to reach {address[0]}")
        connect(self, address)

    def no_mail(*_: object, **__: object) -> None:
        raise AssertionError("a test wanted to send mail")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(smtplib.SMTP, "__init__", no_mail)
