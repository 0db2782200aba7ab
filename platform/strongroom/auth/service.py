"""Sign-in, refresh with rotation, sign-out, and who a session or an API key stands for. Knows no HTTP."""

from __future__ import annotations

import unicodedata
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal, Role, Scope
from strongroom.auth import repository
from strongroom.auth.models import Session, SessionGrant
from strongroom.config import Settings
from strongroom.db.ids import new_id
from strongroom.errors import InvalidCredentials, NotFound, PasswordSignInOff, RefreshReused, TokenInvalid
from strongroom.runtime import Runtime
from strongroom.security.passwords import renewed, verify_password
from strongroom.security.tokens import secret_matches
from tenants.models import Tenant
from tenants.sso import OWNERS


def email_key(email: str) -> str:
    """Return the form under which e-mails are compared: NFKC, case folded."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()


def session_lifetime_s(settings: Settings, tenant: Tenant | None) -> int:
    """Return how long a session lasts: as the tenant chose, else as the deployment's settings say."""
    return (tenant.settings.sessions.session_lifetime_s if tenant else None) or settings.refresh_token_lifetime_s


def login(runtime: Runtime, tenant: Tenant, *, email: str, password: str, kind: str, user_agent: str, remote_addr: str) -> SessionGrant:
    """Begin a session for a user with a password.

    Raises:
        InvalidCredentials: whatever of the two is wrong; the time it takes tells neither.
        PasswordSignInOff: both are right, but only owners sign in with a password here.
    """
    with runtime.tenant(tenant) as connection:
        user = repository.user_for_login(connection, email_key(email))
    matches = verify_password(user.password_hash if user else None, password)
    if user is None or not matches or user.status != "active":
        raise InvalidCredentials
    check_password_sign_in(tenant, Role(user.role))
    hashed = renewed(user.password_hash, password)
    with runtime.tenant(tenant) as connection:
        if hashed is not None:
            repository.renew_password_hash(connection, user.id, user.password_hash, hashed)
        return begin_session(runtime, tenant, connection, user.id, kind=kind, user_agent=user_agent, remote_addr=remote_addr)


def begin_session(
    runtime: Runtime, tenant: Tenant, connection: Connection, user_id: UUID, *, kind: str, user_agent: str, remote_addr: str
) -> SessionGrant:
    """Begin a session for a user who has shown who it is, in an open transaction of the tenant."""
    repository.note_login(connection, user_id)
    row = repository.insert_session(
        connection, lifetime_s=session_lifetime_s(runtime.settings, tenant), id=new_id(), user_id=user_id, kind=kind,
        refresh_id=new_id(), user_agent=user_agent, remote_addr=remote_addr,
    )  # fmt: skip
    return SessionGrant(user_id, row.id, row.refresh_id, row.expires_at)


def password_sign_in_is_off(tenant: Tenant, role: Role) -> bool:
    """Tell whether users of a role come in by an identity provider alone. Owners never do: a broken one must not lock everybody out."""
    return tenant.settings.sso.password_sign_in == OWNERS and role != Role.OWNER


def check_password_sign_in(tenant: Tenant, role: Role) -> None:
    """See that users of a role may sign in with a password, or set one.

    Raises:
        PasswordSignInOff
    """
    if password_sign_in_is_off(tenant, role):
        raise PasswordSignInOff


def refresh(runtime: Runtime, tenant: Tenant, *, session_id: UUID, refresh_id: UUID) -> SessionGrant:
    """Change a refresh token for a new one of the same session.

    Raises:
        TokenInvalid: the session is over.
        RefreshReused: the token was used before; the session has been ended.
    """
    renewed = new_id()
    with runtime.tenant(tenant) as connection:
        session = repository.lock_session(connection, session_id)
        if session is None:
            raise TokenInvalid
        reused = session.refresh_id != refresh_id
        if reused:
            repository.end_session(connection, session_id)
        else:
            repository.rotate_session(connection, session_id, renewed)
    if reused:
        raise RefreshReused
    return SessionGrant(session.user_id, session_id, renewed, session.expires_at)


def logout(runtime: Runtime, tenant: Tenant, session_id: UUID) -> None:
    """End a session. Idempotent."""
    with runtime.tenant(tenant) as connection:
        repository.end_session(connection, session_id)


def list_sessions(runtime: Runtime, tenant: Tenant, user_id: UUID) -> list[Session]:
    """Return the living sessions of a user."""
    with runtime.tenant(tenant) as connection:
        return repository.list_sessions(connection, user_id)


def end_own_session(runtime: Runtime, tenant: Tenant, user_id: UUID, session_id: UUID) -> None:
    """End one session of a user.

    Raises:
        NotFound: it is not that user's, or is over.
    """
    with runtime.tenant(tenant) as connection:
        if not repository.end_session(connection, session_id, user_id=user_id):
            raise NotFound


def end_other_sessions(runtime: Runtime, tenant: Tenant, user_id: UUID, session_id: UUID) -> None:
    """End all sessions of a user but one. Idempotent."""
    with runtime.tenant(tenant) as connection:
        repository.end_sessions_of(connection, user_id, but=session_id)


def principal_of_session(runtime: Runtime, tenant: Tenant, session_id: UUID, kind: str) -> Principal:
    """Return the user of a living session.

    Raises:
        TokenInvalid: the session is over, or its user is disabled.
    """
    with runtime.tenant(tenant) as connection:
        return session_principal(connection, session_id, kind)


def session_principal(connection: Connection, session_id: UUID, kind: str) -> Principal:
    """The same, in an open transaction of the tenant.

    Raises:
        TokenInvalid
    """
    row = repository.session_user(connection, session_id, kind)
    if row is None:
        raise TokenInvalid("This session has ended. Sign in again.")
    return Principal(row.id, row.email, row.name, Role(row.role), session_id=session_id)


def is_living_session(runtime: Runtime, tenant: Tenant, session_id: UUID, kind: str) -> bool:
    """Tell whether a session of that kind goes on and its user is active."""
    with runtime.tenant(tenant) as connection:
        return repository.session_user(connection, session_id, kind) is not None


def principal_of_maker(connection: Connection, user_id: UUID, api_key_id: UUID | None) -> Principal | None:
    """Return as whom something acts that a user, or its API key, left behind; None once the user or the key is not good any more."""
    row = repository.maker(connection, user_id, api_key_id)
    if row is None:
        return None
    scopes = frozenset(Scope(scope) for scope in row.scopes or ())
    return Principal(row.id, row.email, row.name, Role(row.role), api_key_id=api_key_id, scopes=scopes)


def api_key_principal(connection: Connection, key_id: str, secret: str) -> Principal:
    """Return the user, narrowed to the scopes, that an API key stands for.

    Raises:
        TokenInvalid: there is no such key, or it was revoked, has expired, or its user is disabled.
    """
    row = repository.api_key_user(connection, key_id)
    if row is None or not secret_matches(row.secret_hash, secret):
        raise TokenInvalid("This API key is not valid here.")
    if not row.noted:
        repository.note_api_key_use(connection, row.api_key_id)
    scopes = frozenset(Scope(scope) for scope in row.scopes)
    return Principal(row.id, row.email, row.name, Role(row.role), api_key_id=row.api_key_id, scopes=scopes)
