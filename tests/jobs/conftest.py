"""A broker in PostgreSQL, as `strongroom up` has it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from kombu.transport.sqlalchemy import Channel
from strongroom.db import bootstrap

from tests.factories import Database, number
from tests.services.postgres import Cluster

NOLOAD = "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"
"""What kombu's own tables are warned of."""


@pytest.fixture
def messages(cluster: Cluster) -> Iterator[Database]:
    """The database of messages that `strongroom up` makes beside its own."""
    name = f"broker_{number()}_{os.getpid()}"
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" OWNER {bootstrap.OWNER_ROLE}')
    yield Database(cluster, name)
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def broker_url(messages: Database) -> str:
    """The broker that is that database."""
    return f"sqla+{messages.owner_url.replace('postgresql://', 'postgresql+psycopg://', 1)}"


def forget_engines() -> None:
    """Close the connections that kombu keeps for good."""
    for engine, _ in Channel._engines.values():
        engine.dispose()
    Channel._engines.clear()
