"""SQL of users' sessions. Every function runs in a tenant's transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, any_, bindparam, delete, func, insert, literal, select, update

from strongroom.access import Scope
from strongroom.auth.models import Session
from strongroom.auth.tables import api_keys, sessions, users


def user_for_login(connection: Connection, email_key: str) -> Any:
    """Return id, role, status and password hash of the user with that e-mail."""
    query = select(users.c.id, users.c.role, users.c.status, users.c.password_hash).where(users.c.email_key == email_key)
    return connection.execute(query).first()


def note_login(connection: Connection, user_id: UUID) -> None:
    """Remember when the user last signed in."""
    connection.execute(update(users).where(users.c.id == user_id).values(last_login_at=func.now()))


def renew_password_hash(connection: Connection, user_id: UUID, old: str, new: str) -> None:
    """Put another hash of the same password in the place of `old`, unless that was changed meanwhile."""
    connection.execute(update(users).where(users.c.id == user_id, users.c.password_hash == old).values(password_hash=new))


def insert_session(connection: Connection, *, lifetime_s: int, **values: Any) -> Row[Any]:
    """Begin a session; return its id, refresh id and end."""
    ends = func.now() + timedelta(seconds=lifetime_s)
    query = insert(sessions).values(**values, expires_at=ends)
    return connection.execute(query.returning(sessions.c.id, sessions.c.refresh_id, sessions.c.expires_at)).one()


def lock_session(connection: Connection, session_id: UUID) -> Any:
    """Return a living session of a living user, locked."""
    query = (
        select(sessions.c.id, sessions.c.user_id, sessions.c.refresh_id, sessions.c.expires_at)
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.id == session_id, sessions.c.ended_at.is_(None), sessions.c.expires_at > func.now(), users.c.status == "active")
        .with_for_update(of=sessions)
    )
    return connection.execute(query).first()


def rotate_session(connection: Connection, session_id: UUID, refresh_id: UUID) -> None:
    """Make `refresh_id` the only good refresh token of the session."""
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(refresh_id=refresh_id, used_at=func.now()))


def end_session(connection: Connection, session_id: UUID, *, user_id: UUID | None = None) -> bool:
    """End a session (of that user, when one is given); return whether there was one."""
    query = update(sessions).where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
    if user_id is not None:
        query = query.where(sessions.c.user_id == user_id)
    return connection.execute(query.values(ended_at=func.now())).rowcount == 1


def end_sessions_of(connection: Connection, user_id: UUID, *, but: UUID | None = None) -> None:
    """End all sessions of a user, save one."""
    query = update(sessions).where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None))
    if but is not None:
        query = query.where(sessions.c.id != but)
    connection.execute(query.values(ended_at=func.now()))


def revoke_keys_of(connection: Connection, user_id: UUID, scope: Scope) -> list[UUID]:
    """End a user's API keys that have a scope; return which those are."""
    has_scope = literal(scope.value) == any_(api_keys.c.scopes)
    query = update(api_keys).where(api_keys.c.created_by == user_id, api_keys.c.revoked_at.is_(None), has_scope)
    return list(connection.execute(query.values(revoked_at=func.now()).returning(api_keys.c.id)).scalars())


def list_sessions(connection: Connection, user_id: UUID) -> list[Session]:
    """Return the living sessions of a user, newest use first."""
    query = (
        select(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None), sessions.c.expires_at > func.now())
        .order_by(sessions.c.used_at.desc())
    )
    return [
        Session(row.id, row.kind, row.user_agent, row.remote_addr, row.created_at, row.used_at, row.expires_at)
        for row in connection.execute(query)
    ]


# Both are run by nearly every request, and made once: making a statement costs more than running it.
_SESSION_USER = (
    select(users.c.id, users.c.email, users.c.name, users.c.role)
    .join(sessions, sessions.c.user_id == users.c.id)
    .where(
        sessions.c.id == bindparam("session_id"), sessions.c.kind == bindparam("kind"), sessions.c.ended_at.is_(None),
        sessions.c.expires_at > func.now(), users.c.status == "active",
    )
)  # fmt: skip
USE_PRECISION = timedelta(minutes=10)
"""How far back the noted last use of an API key may lie behind the real one."""
_MAY_NOTE = func.has_table_privilege("api_keys", "UPDATE")
"""Not while the tenant is on its way to another cell: then it can only be read."""
_API_KEY_USER = (
    select(
        users.c.id, users.c.email, users.c.name, users.c.role, api_keys.c.secret_hash, api_keys.c.scopes, api_keys.c.used_at,
        api_keys.c.id.label("api_key_id"), ((api_keys.c.used_at > func.now() - USE_PRECISION) | ~_MAY_NOTE).label("noted"),
    )
    .join(api_keys, api_keys.c.created_by == users.c.id)
    .where(
        api_keys.c.key_id == bindparam("key_id"), api_keys.c.revoked_at.is_(None), users.c.status == "active",
        api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > func.now()),
    )
)  # fmt: skip


def session_user(connection: Connection, session_id: UUID, kind: str) -> Any:
    """Return the active user of a living session of that kind."""
    return connection.execute(_SESSION_USER, {"session_id": session_id, "kind": kind}).first()


def api_key_user(connection: Connection, key_id: str) -> Any:
    """Return a living API key with its active user."""
    return connection.execute(_API_KEY_USER, {"key_id": key_id}).first()


def maker(connection: Connection, user_id: UUID, api_key_id: UUID | None) -> Any:
    """Return an active user; with an API key's id, only while that key is the user's own and living, and with its scopes."""
    living = (
        (api_keys.c.id == api_key_id) & (api_keys.c.created_by == users.c.id) & api_keys.c.revoked_at.is_(None)
        & (api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > func.now()))
    )  # fmt: skip
    query = select(users.c.id, users.c.email, users.c.name, users.c.role, api_keys.c.scopes).join(
        api_keys, living, isouter=api_key_id is None
    )
    return connection.execute(query.where(users.c.id == user_id, users.c.status == "active")).first()


def note_api_key_use(connection: Connection, api_key_id: UUID) -> None:
    """Remember when a key was last used; to within `USE_PRECISION`, so that reads stay reads."""
    connection.execute(update(api_keys).where(api_keys.c.id == api_key_id).values(used_at=func.now()))


def delete_ended_sessions(connection: Connection) -> int:
    """Forget sessions that ended or expired a week ago."""
    old = func.now() - timedelta(days=7)
    return connection.execute(delete(sessions).where((sessions.c.expires_at < old) | (sessions.c.ended_at < old))).rowcount
