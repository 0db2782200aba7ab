"""A tenant's users. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Principal, Role, Scope
from strongroom.auth import repository as sessions
from strongroom.auth.service import check_password_sign_in, email_key
from strongroom.auth.tables import users as users_table
from strongroom.buckets import room
from strongroom.db.ids import new_id
from strongroom.errors import AlreadyExists, Forbidden, InvalidCredentials, LastOwner, TokenInvalid, ValidationFailed
from strongroom.events.service import SYSTEM_ACTOR, emit
from strongroom.runtime import Runtime
from strongroom.security.passwords import hash_password, verify_password
from strongroom.security.tokens import sign, verify
from strongroom.users import repository
from strongroom.users.models import Invitation, User
from strongroom.users.outdated import outdate
from tenants.models import Tenant

MAX_EMAIL = 320
INVITE = "invite"
CANNOT_OWN = (
    "Owners sign in with a password, and this user has none. Disable it, make it an owner, enable it again, "
    "and give it a new link under invitations: there it chooses one."
)


def check_email(email: str) -> str:
    """Return an e-mail address that could be one.

    Raises:
        ValidationFailed
    """
    local, _, domain = email.strip().rpartition("@")
    if (
        not local
        or not domain
        or len(email) > MAX_EMAIL
        or any(character.isspace() or not character.isprintable() for character in email.strip())
    ):
        raise ValidationFailed("This is no e-mail address.", errors={"email": ["Not an e-mail address."]})
    return email.strip()


def create_owner(runtime: Runtime, tenant: Tenant, *, email: str, password_hash: str, name: str = "") -> User:
    """Make the first owner of a tenant, on behalf of the operator.

    Raises:
        AlreadyExists, ValidationFailed, QuotaExceeded
    """
    return _create(runtime, tenant, SYSTEM_ACTOR, email=email, name=name, role=Role.OWNER, password_hash=password_hash)


def ensure_owner(runtime: Runtime, tenant: Tenant, *, email: str, password_hash: str) -> None:
    """Make the first owner unless an earlier, interrupted try has."""
    try:
        create_owner(runtime, tenant, email=email, password_hash=password_hash)
    except AlreadyExists:
        return


def create_user(runtime: Runtime, tenant: Tenant, principal: Principal, *, email: str, role: Role, password: str, name: str = "") -> User:
    """Make a user with a password, without an invitation.

    Raises:
        AlreadyExists, ValidationFailed, QuotaExceeded, Forbidden (only owners make owners)
    """
    _may_give(principal, role)
    return _create(runtime, tenant, principal.actor, email=email, name=name, role=role, password_hash=hash_password(password))


def _create(runtime: Runtime, tenant: Tenant, actor: dict[str, Any], *, email: str, name: str, role: Role, password_hash: str) -> User:
    email = check_email(email)
    with runtime.tenant(tenant) as connection:
        user = insert_active(connection, tenant, email=email, name=name, role=role, password_hash=password_hash)
        emit(connection, "user.created", user.id, {"email": email, "role": role}, actor)
    return user


def insert_active(connection: Connection, tenant: Tenant, *, email: str, name: str, role: Role, password_hash: str) -> User:
    """Add a user who can sign in, in an open transaction; whoever calls says by an event how it came.

    Raises:
        AlreadyExists, QuotaExceeded
    """
    room.check_number(connection, "users", users_table, tenant.limits.quota_users)
    return repository.insert_user(
        connection,
        id=new_id(),
        email=email,
        email_key=email_key(email),
        name=name,
        role=role,
        status="active",
        password_hash=password_hash,
    )


def invite_user(runtime: Runtime, tenant: Tenant, principal: Principal, *, email: str, role: Role, name: str = "") -> Invitation:
    """Make a user that sets its own password through the invitation's link.

    Raises:
        AlreadyExists, ValidationFailed, QuotaExceeded, Forbidden (only owners make owners)
    """
    _may_give(principal, role)
    email, invite_id = check_email(email), new_id()
    with runtime.tenant(tenant) as connection:
        room.check_number(connection, "users", users_table, tenant.limits.quota_users)
        user = repository.insert_user(
            connection, id=new_id(), email=email, email_key=email_key(email), name=name, role=role, status="invited", invite_id=invite_id
        )
        emit(connection, "user.invited", user.id, {"email": email, "role": role}, principal.actor)
    return _invitation(runtime, tenant, user, invite_id)


def invite_again(runtime: Runtime, tenant: Tenant, user_id: UUID) -> Invitation:
    """Replace an invitation that was lost; the former link stops working.

    Raises:
        NotFound
        ValidationFailed: the user has accepted already.
    """
    invite_id = new_id()
    with runtime.tenant(tenant) as connection:
        if repository.get_user(connection, user_id, locked=True).status != "invited":
            raise ValidationFailed("This user has accepted the invitation already.")
        user = repository.update_user(connection, user_id, invite_id=invite_id)
    return _invitation(runtime, tenant, user, invite_id)


def _invitation(runtime: Runtime, tenant: Tenant, user: User, invite_id: UUID) -> Invitation:
    key = runtime.keys.tenant_key(tenant.id, INVITE)
    token = sign(key, INVITE, str(user.id), runtime.settings.invite_lifetime_s, invite=str(invite_id))
    return Invitation(user, token, runtime.settings.tenant_url(tenant.slug, f"/console/invite/{token}"))


def invitation_ends(runtime: Runtime, user: User) -> datetime:
    """Return until when an invited user can accept. Its row was last changed when it was invited (again)."""
    return user.updated_at + timedelta(seconds=runtime.settings.invite_lifetime_s)


def read_invitation(runtime: Runtime, tenant: Tenant, token: str) -> User:
    """Return the user whom an invitation is for.

    Raises:
        TokenExpired, TokenInvalid, NotFound (used already)
    """
    user_id, invite_id = _invite_ids(runtime, tenant, token)
    with runtime.tenant(tenant) as connection:
        return repository.invited_user(connection, user_id, invite_id)


def accept_invitation(runtime: Runtime, tenant: Tenant, token: str, *, name: str, password: str) -> User:
    """Set name and password of an invited user, once.

    Raises:
        TokenExpired, TokenInvalid, NotFound (used already), ValidationFailed
        PasswordSignInOff: it is accepted by coming in by an identity provider.
    """
    user_id, invite_id = _invite_ids(runtime, tenant, token)
    hashed = hash_password(password)
    with runtime.tenant(tenant) as connection:
        user = repository.invited_user(connection, user_id, invite_id)
        check_password_sign_in(tenant, user.role)
        user = repository.update_user(connection, user_id, name=name or user.name, password_hash=hashed, status="active", invite_id=None)
        emit(connection, "user.created", user.id, {"email": user.email, "role": user.role}, {"user_id": str(user.id)})
    return user


def _invite_ids(runtime: Runtime, tenant: Tenant, token: str) -> tuple[UUID, UUID]:
    claims = verify(runtime.keys.tenant_key(tenant.id, INVITE), INVITE, token)
    try:
        return UUID(claims["sub"]), UUID(claims["invite"])
    except (KeyError, ValueError):
        raise TokenInvalid from None


def list_users(runtime: Runtime, tenant: Tenant, *, after: str = "", limit: int | None = None, search: str = "") -> list[User]:
    """Return the tenant's users by e-mail."""
    with runtime.tenant(tenant) as connection:
        return repository.list_users(connection, after=after, limit=limit, search=search)


def count_users(runtime: Runtime, tenant: Tenant) -> int:
    """Return how many users the tenant has, whatever their status."""
    with runtime.tenant(tenant) as connection:
        return repository.count_users(connection)


def names_of(runtime: Runtime, tenant: Tenant, user_ids: Iterable[UUID | None]) -> dict[UUID | None, str]:
    """Return the names of those of the users that still exist; e-mails where there is no name."""
    with runtime.tenant(tenant) as connection:
        return repository.names_of(connection, {each for each in user_ids if each is not None})


def get_user(runtime: Runtime, tenant: Tenant, user_id: UUID) -> User:
    """Return one user.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        return repository.get_user(connection, user_id)


def update_user(
    runtime: Runtime,
    tenant: Tenant,
    principal: Principal,
    user_id: UUID,
    *,
    name: str | None = None,
    role: Role | None = None,
    disabled: bool | None = None,
) -> User:
    """Change name, role or access of a user. Disabling ends all its sessions; so does making it an owner, see `_make_owner`.

    Raises:
        NotFound
        ValidationFailed: it would be an owner who has no password.
        Forbidden: only owners change owners.
        LastOwner: nobody would own the tenant any more.
    """
    with runtime.tenant(tenant) as connection:
        owners = repository.active_owners(connection)
        user = repository.get_user(connection, user_id, locked=True)
        _may_give(principal, user.role)
        _may_give(principal, role or user.role)
        if disabled or (role is not None and role != Role.OWNER):
            _keep_an_owner(owners, user)
        if role == Role.OWNER != user.role:
            _make_owner(connection, principal, user_id)
        values = _changes(name, role, disabled)
        if values:
            user = repository.update_user(connection, user_id, **values)
        if role == Role.OWNER:
            _check_password(connection, user)
        if disabled:
            sessions.end_sessions_of(connection, user_id)
        emit(connection, "user.updated", user_id, {"email": user.email, "role": user.role, "status": user.status}, principal.actor)
    return user


def _make_owner(connection: Connection, principal: Principal, user_id: UUID) -> None:
    """End every way in that is not the user's password: administrators can have opened any by an identity provider of their own."""
    repository.forget_identities(connection, user_id)
    sessions.end_sessions_of(connection, user_id)
    for api_key_id in sessions.revoke_keys_of(connection, user_id, Scope.ADMIN):
        emit(connection, "api_key.revoked", api_key_id, {}, principal.actor)


def _check_password(connection: Connection, user: User) -> None:
    if user.status == "active" and repository.password_hash(connection, user.id) is None:
        raise ValidationFailed(CANNOT_OWN, errors={"role": [CANNOT_OWN]})


def _changes(name: str | None, role: Role | None, disabled: bool | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = name
    if role is not None:
        values["role"] = role
    if disabled is True:
        values.update(status="disabled", invite_id=None)
    elif disabled is False:
        values["status"] = repository.status_when_enabled()
    return values


def delete_user(runtime: Runtime, tenant: Tenant, principal: Principal, user_id: UUID) -> None:
    """Remove a user; its sessions and API keys end at once, its files stay.

    Raises:
        NotFound, Forbidden, LastOwner
    """
    with runtime.tenant(tenant) as connection:
        owners = repository.active_owners(connection)
        user = repository.get_user(connection, user_id, locked=True)
        _may_give(principal, user.role)
        _keep_an_owner(owners, user)
        repository.delete_user(connection, user_id)
        outdate(connection, runtime, tenant, user.email)
        emit(connection, "user.deleted", user_id, {"email": user.email}, principal.actor)
        room.check_later(connection)


def change_password(runtime: Runtime, tenant: Tenant, principal: Principal, *, current: str, new: str) -> None:
    """Change the caller's own password; all its other sessions end.

    Raises:
        InvalidCredentials: the current password is wrong.
        PasswordSignInOff: only owners have one here.
        ValidationFailed
    """
    check_password_sign_in(tenant, principal.role)
    hashed = hash_password(new)
    with runtime.tenant(tenant) as connection:
        stored = repository.password_hash(connection, principal.user_id)
    if not verify_password(stored, current):
        raise InvalidCredentials("The current password is wrong.")
    with runtime.tenant(tenant) as connection:
        repository.update_user(connection, principal.user_id, password_hash=hashed)
        sessions.end_sessions_of(connection, principal.user_id, but=principal.session_id)


def update_account(
    runtime: Runtime,
    tenant: Tenant,
    principal: Principal,
    *,
    name: str | None = None,
    current_password: str | None = None,
    new_password: str | None = None,
) -> User:
    """Change the caller's own name or password.

    Raises:
        InvalidCredentials: the current password is wrong or missing.
        PasswordSignInOff, ValidationFailed
    """
    if new_password is not None:
        change_password(runtime, tenant, principal, current=current_password or "", new=new_password)
    with runtime.tenant(tenant) as connection:
        if name is not None:
            repository.update_user(connection, principal.user_id, name=name)
        return repository.get_user(connection, principal.user_id)


def _may_give(principal: Principal, role: Role) -> None:
    if role == Role.OWNER and principal.role != Role.OWNER:
        raise Forbidden("Only an owner can make, change or remove an owner.")
    narrow_key = principal.api_key_id is not None and Scope.ADMIN not in principal.scopes
    if narrow_key and role.includes(Role.ADMIN):
        raise Forbidden("An API key needs the scope admin to make, change or remove administrators.")


def _keep_an_owner(owners: set[UUID], user: User) -> None:
    if owners == {user.id}:
        raise LastOwner
