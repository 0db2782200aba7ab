"""A deployment of two cells on two PostgreSQL clusters, where it can be of different versions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom.usage.ledger import ledger

from tests.acceptance.waiting import wait_until
from tests.factories import Account, World, create_database
from tests.relocation.cells import TwoCells
from tests.services import postgres
from tests.services.postgres import Cluster

DEBIAN = "15"


@pytest.fixture(scope="session")
def other_cluster(shared_world: World) -> Iterator[Cluster]:  # noqa: ARG001 - the shared world comes first: it sets the passwords' hasher
    """A second cluster: Debian's, unless that is the run's or is not there."""
    is_there = Path(f"/usr/lib/postgresql/{DEBIAN}/bin/initdb").exists()
    other = is_there and os.environ.get("STRONGROOM_TEST_POSTGRES", "") != DEBIAN
    with postgres.debian(DEBIAN) if other else postgres.embedded() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_two(cluster: Cluster, other_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoCells]:
    suffix = os.environ.get("PYTEST_XDIST_WORKER", "main")
    first, second = (create_database(each, f"cells_{suffix}") for each in (cluster, other_cluster))
    two = TwoCells.make(first, second, tmp_path_factory.mktemp("files"))
    yield two
    two.close()


@pytest.fixture
def two(shared_two: TwoCells) -> Iterator[TwoCells]:
    """The deployment of two cells, without jobs of other tests; new tenants are put in `default`."""
    for cell in shared_two.cells:
        shared_two.at(cell, "DELETE FROM strongroom.jobs; DELETE FROM strongroom.job_turns")
    yield shared_two
    wait_until(lambda: ledger.is_empty, 30, "downloads in a pause are noted")
    shared_two.close_others()


@pytest.fixture
def full(two: TwoCells) -> Account:
    """The owner of a tenant with a file that was checked and counted, in the cell `default`."""
    owner = two.create_user(two.create_tenant(), "owner")
    two.create_bucket(owner.tenant)
    two.upload(two.client(owner), "a.txt")
    two.work()
    return owner
