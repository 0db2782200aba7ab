"""Wake-ups for workers whose broker is PostgreSQL: the rows that Celery would write by way of kombu, without either.

Celery, kombu and the ORM, which kombu's transport takes to write its two tables, would hold 12 MiB in every API process, to send
one kind of message. A message is what docs.celeryq.dev/en/stable/internals/protocol.html (version 2) says, in the frame of kombu's
virtual transports; a test compares it with Celery's own.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import create_engine, text

SCHEME = "sqla+"
OURS = "sqla+postgresql"
LASTS_S = 1800
INSERT = text(
    "INSERT INTO kombu_message (id, visible, payload, version, queue_id) "
    "SELECT nextval('message_id_sequence'), true, :payload, 1, id FROM kombu_queue WHERE name = :queue"
)


class SqlBroker:
    """A broker in PostgreSQL, for sending alone. Safe to share between threads; it connects when first used."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url.removeprefix(SCHEME), pool_size=1, max_overflow=3, pool_pre_ping=True, pool_recycle=LASTS_S)

    def send(self, queue: str, task: str, args: list[str], delay_s: float = 0.0) -> None:
        """Have a worker do a task, not before a delay has passed.

        Raises:
            SQLAlchemyError: the broker does not answer, or has no tables yet.
            LookupError: it has no such queue; a worker makes it when it starts.
        """
        with self._engine.begin() as connection:
            sent = connection.execute(INSERT, {"payload": json.dumps(message(queue, task, args, delay_s)), "queue": queue})
            if not sent.rowcount:
                raise LookupError(f"the broker has no queue {queue!r}")

    def close(self) -> None:
        """Close its connections. Idempotent."""
        self._engine.dispose()


def message(queue: str, task: str, args: list[str], delay_s: float = 0.0) -> dict[str, Any]:
    """Return a message, as kombu keeps it."""
    body = [args, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    id_ = str(uuid4())
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _headers(task, id_, args, delay_s),
        "properties": {
            "correlation_id": id_, "reply_to": "", "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0, "body_encoding": "base64", "delivery_tag": str(uuid4()),
        },
    }  # fmt: skip


def _headers(task: str, id_: str, args: list[str], delay_s: float) -> dict[str, Any]:
    eta = (datetime.now(UTC) + timedelta(seconds=delay_s)).isoformat() if delay_s else None
    return {
        "lang": "py", "task": task, "id": id_, "root_id": id_, "parent_id": None, "shadow": None, "eta": eta, "expires": None,
        "group": None, "group_index": None, "retries": 0, "timelimit": [None, None], "argsrepr": repr(args), "kwargsrepr": "{}",
        "origin": f"gen{os.getpid()}@{socket.gethostname()}", "ignore_result": None, "replaced_task_nesting": 0,
        "stamped_headers": None, "stamps": {},
    }  # fmt: skip
