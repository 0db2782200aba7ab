"""Wake-ups by way of PostgreSQL are what Celery itself would send; that a worker takes them is seen in `test_fairness`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy.exc import ProgrammingError
from strongroom.jobs.broker import JOB_QUEUE, RUN_JOB, make_celery, make_queues
from strongroom.jobs.sql_broker import SqlBroker

from tests.factories import Database, World
from tests.jobs.conftest import NOLOAD, broker_url, forget_engines

ARGUMENTS = ["default", "an id of a job"]
MADE_UP = {"id", "root_id", "correlation_id", "delivery_tag", "reply_to", "eta"}
"""What differs from message to message, or is nobody's concern where no task answers."""


@pytest.fixture
def sender(messages: Database) -> Iterator[SqlBroker]:
    made = SqlBroker(broker_url(messages))
    yield made
    made.close()


@pytest.fixture
def queues(world: World, messages: Database) -> Iterator[World]:
    """An instance whose broker has its queues."""
    made = world.again(broker_url=broker_url(messages))
    make_queues(made.settings)
    yield made
    forget_engines()


def rows(messages: Database) -> list[dict[str, Any]]:
    with psycopg.connect(messages.superuser_url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM kombu_message ORDER BY id").fetchall()


def parts(row: dict[str, Any]) -> tuple[dict[str, Any], Any, dict[str, Any], dict[str, Any], set[str]]:
    """A row's columns, and its message's body, headers, properties and all else, without what is made up; and the names of that."""
    payload = json.loads(row["payload"])
    body, headers, properties = json.loads(base64.b64decode(payload["body"])), payload["headers"], payload["properties"]
    known = {name: value for each in (headers, properties) for name, value in each.items() if name not in MADE_UP}
    columns = {name: value for name, value in row.items() if name not in {"id", "payload"}}
    frame = {name: value for name, value in payload.items() if name not in {"body", "headers", "properties"}}
    return columns, body, known, frame, {*headers, *properties}


@pytest.mark.filterwarnings(NOLOAD)
@pytest.mark.parametrize("delay_s", [0.0, 30.0])
def test_a_message_is_celerys_own(queues: World, messages: Database, sender: SqlBroker, delay_s: float) -> None:
    sender.send(JOB_QUEUE, RUN_JOB, ARGUMENTS, delay_s)
    celery = make_celery(queues.settings)
    celery.send_task(RUN_JOB, args=ARGUMENTS, countdown=delay_s or None)
    celery.close()
    ours, celerys = rows(messages)
    assert parts(ours) == parts(celerys)
    due = [json.loads(each["payload"])["headers"]["eta"] for each in (ours, celerys)]
    assert [each and datetime.fromisoformat(each).utcoffset() for each in due] == ([timedelta(0)] * 2 if delay_s else [None] * 2)


@pytest.mark.filterwarnings(NOLOAD)
@pytest.mark.usefixtures("queues")
def test_a_broker_that_came_back(messages: Database, sender: SqlBroker) -> None:
    """A connection that broke in the meantime costs no message."""
    sender.send(JOB_QUEUE, RUN_JOB, ARGUMENTS)
    with psycopg.connect(messages.superuser_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()", [messages.name]
        )
    sender.send(JOB_QUEUE, RUN_JOB, ARGUMENTS)
    assert len(rows(messages)) == 2


@pytest.mark.filterwarnings(NOLOAD)
@pytest.mark.usefixtures("queues")
def test_a_queue_that_nobody_made(messages: Database, sender: SqlBroker) -> None:
    with pytest.raises(LookupError):
        sender.send("no queue", RUN_JOB, ARGUMENTS)
    assert not rows(messages)


def test_a_broker_without_tables(sender: SqlBroker) -> None:
    with pytest.raises(ProgrammingError):
        sender.send(JOB_QUEUE, RUN_JOB, ARGUMENTS)
