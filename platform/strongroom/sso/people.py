"""Whom a person is here whom a provider has signed in: a user that is known by it, one with that e-mail, or a new one.

A provider is the word of a stranger whom the tenant's administrators chose. It knows users by its own subjects, never by e-mail;
an e-mail joins a person to an account that exists only where the connection names the e-mail's domain, never to an owner's
account, which no provider opens in any way (an administrator could otherwise become one), and never to an account that the
provider knows under another subject (the address may have gone to somebody else).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Database

from strongroom.access import Role
from strongroom.auth.service import email_key, password_sign_in_is_off
from strongroom.auth.tables import users as users_table
from strongroom.buckets import repository as totals
from strongroom.buckets import room
from strongroom.db.ids import new_id
from strongroom.errors import SsoRefused
from strongroom.events.service import emit
from strongroom.sso import repository
from strongroom.sso.models import Person
from strongroom.users import repository as users
from strongroom.users.addresses import known_as
from tenants.models import Tenant
from tenants.sso import Connection

NO_EMAIL = "The identity provider does not say that your e-mail address is verified. Ask whoever runs it."
OTHER_DOMAIN = "Your e-mail address is of a domain that may not come in this way."
DISABLED = "Your account is disabled. Ask an administrator."
UNKNOWN = "There is no account for {email} here. Ask an administrator to invite you."
NOT_JOINED = "There is an account for {email} already, which this provider may not open. "
ACTIVE = "Sign in with its password, or ask an administrator."
INVITED = "Open the link in the invitation that you were sent; ask an administrator for a new one if it is lost."
ELSE = "Ask an administrator."
OWNER = "Owners do not come in by an identity provider. Sign in with your password."
ANOTHER = "The account for {email} belongs to somebody else at the identity provider. Ask an administrator."


def user_for(database: Database, tenant: Tenant, connection: Connection, person: Person) -> UUID:
    """Return the user as whom a person comes in, made, joined or activated where that is allowed; in the tenant's open transaction.

    Raises:
        SsoRefused: with the reason, in words for the person.
        QuotaExceeded: there is no room for another user.
    """
    _check_domain(connection, person)
    known = repository.user_of_identity(database, person.issuer, person.subject)
    if known is None:
        totals.lock_totals(database)  # of any number of first sign-ins at once, one at a time
        known = repository.user_of_identity(database, person.issuer, person.subject)
    if known is None:
        return _first_time(database, tenant, connection, person)
    _let_in(database, connection, person, known)
    repository.note_use(database, person.issuer, person.subject)
    return UUID(str(known.id))


def _check_domain(connection: Connection, person: Person) -> None:
    if connection.domains and (person.email is None or known_as(person.email).domain not in connection.domains):
        raise SsoRefused(NO_EMAIL if person.email is None else OTHER_DOMAIN)


def _first_time(database: Database, tenant: Tenant, connection: Connection, person: Person) -> UUID:
    if person.email is None:
        raise SsoRefused(NO_EMAIL)
    found = repository.user_of_email(database, known_as(person.email).keys)
    if found is not None:
        user_id = _join(database, tenant, connection, person, found)
    elif connection.create_users:
        user_id = _create(database, tenant, connection, person)
    else:
        raise SsoRefused(UNKNOWN.format(email=person.email))
    repository.insert_identity(database, person.issuer, person.subject, user_id)
    return user_id


def _join(database: Database, tenant: Tenant, connection: Connection, person: Person, found: Any) -> UUID:
    """Join a person to the account with its e-mail. The domain is one that the connection names: that was seen before."""
    if not connection.domains or found.role == Role.OWNER or not _is_same(found.email, str(person.email)):
        raise SsoRefused(NOT_JOINED.format(email=person.email) + _other_way(tenant, found))
    if repository.has_identity(database, person.issuer, found.id):
        raise SsoRefused(ANOTHER.format(email=person.email))
    _let_in(database, connection, person, found)
    emit(database, "user.linked", found.id, {"email": found.email, "connection": connection.name}, _actor(connection))
    return UUID(str(found.id))


def _is_same(email: str, proven: str) -> bool:
    """Tell whether two addresses are one mailbox: what only folds to the same letters is not."""
    address = known_as(email).address
    return address.isascii() and address.lower() == known_as(proven).address.lower()


def _other_way(tenant: Tenant, found: Any) -> str:
    """Return what somebody can do whom the provider may not let in."""
    if password_sign_in_is_off(tenant, Role(found.role)):
        return ELSE
    return INVITED if found.status == "invited" else ACTIVE


def _let_in(database: Database, connection: Connection, person: Person, found: Any) -> None:
    """See that a user may come in; whoever was invited has accepted by coming."""
    if found.status == "disabled":
        raise SsoRefused(DISABLED)
    if found.role == Role.OWNER:
        raise SsoRefused(OWNER)
    if found.status == "invited":
        user = users.update_user(database, found.id, status="active", invite_id=None, name=found.name or person.name)
        emit(database, "user.created", user.id, {"email": user.email, "role": user.role}, _actor(connection))


def _create(database: Database, tenant: Tenant, connection: Connection, person: Person) -> UUID:
    room.check_number(database, "users", users_table, tenant.limits.quota_users)
    email = known_as(str(person.email)).email
    user = users.insert_user(
        database, id=new_id(), email=email, email_key=email_key(email), name=person.name, role=Role(connection.role), status="active"
    )
    emit(database, "user.created", user.id, {"email": email, "role": user.role}, _actor(connection))
    return user.id


def _actor(connection: Connection) -> dict[str, str]:
    return {"connection": connection.name}
