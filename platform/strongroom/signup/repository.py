"""SQL of sign-up. Every function runs in a tenant's transaction."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from strongroom.auth.tables import users


def status_of(connection: Connection, keys: Iterable[str]) -> str | None:
    """Return the status of the user with one of these e-mails; None where there is none."""
    query = select(users.c.status).where(users.c.email_key.in_(sorted(keys))).order_by(users.c.email_key).limit(1)
    status: str | None = connection.execute(query).scalar()
    return status
