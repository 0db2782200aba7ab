"""Operators: accounts of the deployment's own kind, outside every tenant, and their sessions and audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from strongroom.access import OperatorPrincipal
from strongroom.auth.models import SessionGrant
from strongroom.auth.service import email_key
from strongroom.db.engines import Databases
from strongroom.db.ids import new_id
from strongroom.errors import AlreadyExists, InvalidCredentials, NotFound, RefreshReused, TokenInvalid, ValidationFailed
from strongroom.runtime import Runtime
from strongroom.security.passwords import hash_password, renewed, verify_password
from tenants.tables import operator_audit, operator_sessions, operators

ROLES = ("admin", "viewer")


@dataclass(frozen=True)
class Operator:
    """An operator's account, without its secrets."""

    id: UUID
    email: str
    name: str
    role: str
    created_at: datetime
    last_login_at: datetime | None
    disabled_at: datetime | None


@dataclass(frozen=True)
class AuditEntry:
    """One thing that an operator did."""

    id: UUID
    at: datetime
    operator: str
    action: str
    subject: str
    data: dict[str, Any]


def create_operator(databases: Databases, *, email: str, password: str, name: str = "", role: str = "admin") -> Operator:
    """Make an operator's account.

    Raises:
        AlreadyExists, ValidationFailed
    """
    if role not in ROLES or "@" not in email:
        raise ValidationFailed("An operator needs an e-mail address and the role admin or viewer.")
    values = {"id": new_id(), "email": email_key(email), "name": name, "role": role, "password_hash": hash_password(password)}
    try:
        with databases.control() as connection:
            connection.execute(insert(operators).values(**values))
    except IntegrityError:
        raise AlreadyExists(f"There is an operator {email} already.") from None
    return next(each for each in list_operators(databases) if each.id == values["id"])


def list_operators(databases: Databases) -> list[Operator]:
    """Return all operators by e-mail."""
    with databases.control() as connection:
        rows = connection.execute(select(operators).order_by(operators.c.email)).all()
    return [Operator(r.id, r.email, r.name, r.role, r.created_at, r.last_login_at, r.disabled_at) for r in rows]


def set_disabled(databases: Databases, operator_id: UUID, *, disabled: bool) -> str:
    """Shut an operator out, which ends all its sessions, or let it in again; return its e-mail. Idempotent.

    Raises:
        NotFound
    """
    with databases.control() as connection:
        query = update(operators).where(operators.c.id == operator_id).values(disabled_at=func.now() if disabled else None)
        email: str | None = connection.execute(query.returning(operators.c.email)).scalar()
        if email is None:
            raise NotFound("There is no such operator.")
        if disabled:
            mine = (operator_sessions.c.operator_id == operator_id) & operator_sessions.c.ended_at.is_(None)
            connection.execute(update(operator_sessions).where(mine).values(ended_at=func.now()))
    return email


def login(runtime: Runtime, *, email: str, password: str, kind: str) -> SessionGrant:
    """Begin an operator's session.

    Raises:
        InvalidCredentials
    """
    with runtime.databases.control() as connection:
        row = connection.execute(
            select(operators.c.id, operators.c.password_hash).where(
                operators.c.email == email_key(email), operators.c.disabled_at.is_(None)
            )
        ).first()
    if not verify_password(row.password_hash if row else None, password) or row is None:
        raise InvalidCredentials
    hashed = renewed(row.password_hash, password)
    grant_id, refresh_id = new_id(), new_id()
    ends = func.now() + timedelta(seconds=runtime.settings.refresh_token_lifetime_s)
    with runtime.databases.control() as connection:
        connection.execute(update(operators).where(operators.c.id == row.id).values(last_login_at=func.now()))
        if hashed is not None:
            same = (operators.c.id == row.id) & (operators.c.password_hash == row.password_hash)
            connection.execute(update(operators).where(same).values(password_hash=hashed))
        values = {"id": grant_id, "operator_id": row.id, "kind": kind, "refresh_id": refresh_id, "expires_at": ends}
        expires_at = connection.execute(insert(operator_sessions).values(**values).returning(operator_sessions.c.expires_at)).scalar_one()
    return SessionGrant(row.id, grant_id, refresh_id, expires_at)


def refresh(runtime: Runtime, *, session_id: UUID, refresh_id: UUID) -> SessionGrant:
    """Change an operator's refresh token; see `auth.service.refresh`."""
    living = (operator_sessions.c.ended_at.is_(None)) & (operator_sessions.c.expires_at > func.now())
    renewed = new_id()
    with runtime.databases.control() as connection:
        query = select(operator_sessions).where(operator_sessions.c.id == session_id, living).with_for_update()
        session = connection.execute(query).first()
        if session is None:
            raise TokenInvalid
        reused = session.refresh_id != refresh_id
        change = {"ended_at": func.now()} if reused else {"refresh_id": renewed, "used_at": func.now()}
        connection.execute(update(operator_sessions).where(operator_sessions.c.id == session_id).values(**change))
    if reused:
        raise RefreshReused
    return SessionGrant(session.operator_id, session_id, renewed, session.expires_at)


def logout(runtime: Runtime, session_id: UUID) -> None:
    """End an operator's session. Idempotent."""
    with runtime.databases.control() as connection:
        connection.execute(update(operator_sessions).where(operator_sessions.c.id == session_id).values(ended_at=func.now()))


def principal_of_session(runtime: Runtime, session_id: UUID, kind: str) -> OperatorPrincipal:
    """Return the operator of a living session.

    Raises:
        TokenInvalid
    """
    query = (
        select(operators)
        .join(operator_sessions, operator_sessions.c.operator_id == operators.c.id)
        .where(
            operator_sessions.c.id == session_id, operator_sessions.c.kind == kind, operator_sessions.c.ended_at.is_(None),
            operator_sessions.c.expires_at > func.now(), operators.c.disabled_at.is_(None),
        )
    )  # fmt: skip
    with runtime.databases.control() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise TokenInvalid("This session has ended. Sign in again.")
    return OperatorPrincipal(row.id, row.email, row.name, row.role, session_id)


def record(databases: Databases, operator: str, action: str, subject: str, data: Mapping[str, Any] | None = None) -> None:
    """Write down what an operator did."""
    with databases.control() as connection:
        values = {"id": new_id(), "operator": operator, "action": action, "subject": subject, "data": dict(data or {})}
        connection.execute(insert(operator_audit).values(**values))


def list_audit(databases: Databases, *, before: UUID | None = None, limit: int = 100, search: str = "") -> list[AuditEntry]:
    """Return what operators did, newest first."""
    query = select(operator_audit).order_by(operator_audit.c.id.desc()).limit(limit)
    if search:
        columns = (operator_audit.c.operator, operator_audit.c.action, operator_audit.c.subject)
        query = query.where(or_(*(column.icontains(search, autoescape=True) for column in columns)))
    if before is not None:
        query = query.where(operator_audit.c.id < before)
    with databases.control() as connection:
        rows = connection.execute(query).all()
    return [AuditEntry(r.id, r.at, r.operator, r.action, r.subject, r.data) for r in rows]
