"""SQL of users. Every function runs in a tenant's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, case, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from strongroom.access import Role
from strongroom.auth.tables import identities, users
from strongroom.errors import AlreadyExists, NotFound
from strongroom.users.models import User

_COLUMNS = [users.c[name] for name in ("id", "email", "name", "role", "status", "created_at", "updated_at", "last_login_at")]


def _to_user(row: Row[Any]) -> User:
    return User(row.id, row.email, row.name, Role(row.role), row.status, row.created_at, row.updated_at, row.last_login_at)


def insert_user(connection: Connection, **values: Any) -> User:
    """Add a user.

    Raises:
        AlreadyExists
    """
    try:
        return _to_user(connection.execute(insert(users).values(**values).returning(*_COLUMNS)).one())
    except IntegrityError:
        raise AlreadyExists("There is a user with that e-mail already.") from None


def get_user(connection: Connection, user_id: UUID, *, locked: bool = False) -> User:
    """Return a user.

    Raises:
        NotFound
    """
    query = select(*_COLUMNS).where(users.c.id == user_id)
    row = connection.execute(query.with_for_update() if locked else query).first()
    if row is None:
        raise NotFound("There is no such user.")
    return _to_user(row)


def list_users(connection: Connection, *, after: str = "", limit: int | None = None, search: str = "") -> list[User]:
    """Return users by e-mail."""
    query = select(*_COLUMNS).where(users.c.email_key > after).order_by(users.c.email_key).limit(limit)
    if search:
        query = query.where(users.c.email.icontains(search, autoescape=True) | users.c.name.icontains(search, autoescape=True))
    return [_to_user(row) for row in connection.execute(query)]


def count_users(connection: Connection) -> int:
    """Return how many users there are, whatever their status."""
    return int(connection.execute(select(func.count()).select_from(users)).scalar_one())


def names_of(connection: Connection, user_ids: Iterable[UUID]) -> dict[UUID | None, str]:
    """Return the names (e-mails where there is none) of those of the users that still exist."""
    query = select(users.c.id, users.c.name, users.c.email).where(users.c.id.in_(list(user_ids)))
    return {row.id: row.name or row.email for row in connection.execute(query)}


def update_user(connection: Connection, user_id: UUID, **values: Any) -> User:
    """Change a user."""
    query = update(users).where(users.c.id == user_id).values(**values, updated_at=func.now())
    return _to_user(connection.execute(query.returning(*_COLUMNS)).one())


def delete_user(connection: Connection, user_id: UUID) -> None:
    """Remove a user with its sessions and API keys; its files stay."""
    connection.execute(delete(users).where(users.c.id == user_id))


def forget_identities(connection: Connection, user_id: UUID) -> None:
    """Have no identity provider know a user any more."""
    connection.execute(delete(identities).where(identities.c.user_id == user_id))


def forget_issuers_but(connection: Connection, issuers: Iterable[str]) -> None:
    """Remove what is known of users by other issuers than these."""
    connection.execute(delete(identities).where(identities.c.issuer.not_in(sorted(set(issuers)))))


def active_owners(connection: Connection) -> set[UUID]:
    """Return the tenant's active owners, locked in one order, so that two of them cannot step down at once."""
    query = select(users.c.id).where(users.c.role == Role.OWNER, users.c.status == "active").order_by(users.c.id).with_for_update()
    return set(connection.execute(query).scalars())


def status_when_enabled() -> ColumnElement[str]:
    """The status of a user that is let in again: one that has no password, and that no identity provider knows, waits for an invitation."""
    unknown = users.c.password_hash.is_(None) & ~exists().where(identities.c.user_id == users.c.id)
    return case((users.c.status != "disabled", users.c.status), (unknown, "invited"), else_="active")


def password_hash(connection: Connection, user_id: UUID) -> str | None:
    """Return a user's password hash."""
    return connection.execute(select(users.c.password_hash).where(users.c.id == user_id)).scalar()


def invited_user(connection: Connection, user_id: UUID, invite_id: UUID) -> User:
    """Return, locked, the user whom this invitation is for.

    Raises:
        NotFound: it was used or replaced.
    """
    query = select(*_COLUMNS).where(users.c.id == user_id, users.c.invite_id == invite_id, users.c.status == "invited")
    row = connection.execute(query.with_for_update()).first()
    if row is None:
        raise NotFound("This invitation was used already, or replaced by a newer one.")
    return _to_user(row)
