"""SQL of identities. Every function runs in a tenant's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.auth.tables import identities, used_links, users


def spend(connection: Connection, flow_id: UUID, expires_at: datetime) -> bool:
    """Use up a sign-in that was begun; tell whether nobody did before."""
    query = upsert(used_links).values(id=flow_id, expires_at=expires_at).on_conflict_do_nothing()
    return connection.execute(query.returning(used_links.c.id)).first() is not None


def user_of_identity(connection: Connection, issuer: str, subject: str) -> Any:
    """Return (id, name, role, status), locked, of the user whom a provider knows under a subject."""
    query = select(users.c.id, users.c.name, users.c.role, users.c.status).join(identities, identities.c.user_id == users.c.id)
    return connection.execute(query.where(identities.c.issuer == issuer, identities.c.subject == subject).with_for_update(of=users)).first()


def user_of_email(connection: Connection, keys: Iterable[str]) -> Any:
    """Return (id, email, name, role, status), locked, of the user with one of these e-mails."""
    query = select(users.c.id, users.c.email, users.c.name, users.c.role, users.c.status).where(users.c.email_key.in_(sorted(keys)))
    return connection.execute(query.order_by(users.c.email_key).limit(1).with_for_update()).first()


def has_identity(connection: Connection, issuer: str, user_id: UUID) -> bool:
    """Tell whether a provider knows a user already, under whatever subject."""
    query = select(exists().where(identities.c.issuer == issuer, identities.c.user_id == user_id))
    return bool(connection.execute(query).scalar())


def insert_identity(connection: Connection, issuer: str, subject: str, user_id: UUID) -> None:
    """Note under which subject a provider knows a user."""
    connection.execute(insert(identities).values(issuer=issuer, subject=subject, user_id=user_id))


def note_use(connection: Connection, issuer: str, subject: str) -> None:
    """Remember when an identity was last used."""
    here = (identities.c.issuer == issuer) & (identities.c.subject == subject)
    connection.execute(update(identities).where(here).values(last_login_at=func.now()))
