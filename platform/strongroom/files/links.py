"""Links of our own to one version of a file, good without a credential for a while, or for one download. Knows no HTTP.

A link acts as whoever made it: what that user, or that API key, may not have at the moment of use, the link may not either.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.access import Permission, Principal, Realm, Role, Scope
from strongroom.auth.service import principal_of_maker
from strongroom.auth.tables import used_links
from strongroom.db.ids import new_id
from strongroom.errors import LinkExpired, LinkUsed, NotFound, TokenExpired, TokenInvalid
from strongroom.files import repository
from strongroom.files.grants import grant_in
from strongroom.files.models import Grant
from strongroom.files.service import check_checked
from strongroom.runtime import Runtime
from strongroom.security.tokens import sign, verify
from tenants.models import Tenant

PURPOSE = "download"
MAX_LIFETIME_S = 7 * 86400
FORGOTTEN_AFTER = timedelta(days=1)
"""The machine that reads a link's token goes by its own clock, the database by another: a used link stays used between them."""
READ = Permission(Realm.TENANT, Role.VIEWER, Scope.FILES_READ)


@dataclass(frozen=True)
class Link:
    """What a link's token says. `id`: of a link that is good for one download."""

    file_id: UUID
    version_id: UUID
    user_id: UUID
    api_key_id: UUID | None
    inline: bool
    id: UUID | None
    expires_at: datetime


def make_link(
    runtime: Runtime, tenant: Tenant, principal: Principal, file_id: UUID, *, expires_in_s: int, version_id: UUID | None = None,
    single_use: bool = False, inline: bool = True,
) -> tuple[str, datetime]:  # fmt: skip
    """Return the token of a link to a version (the present one, if none is named), and when it ends.

    The link stays with its version when the file is replaced. Whether the checks let it be had is asked at each use.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        file = repository.get_by_id(connection, file_id)
        if version_id is not None:
            file = repository.get_version(connection, file_id, version_id)
    claims = {"ver": file.version_id.hex, "usr": principal.user_id.hex, "inl": inline}
    if principal.api_key_id is not None:
        claims["api"] = principal.api_key_id.hex
    if single_use:
        claims["one"] = new_id().hex
    token = sign(_key(runtime, tenant), PURPOSE, file_id.hex, expires_in_s, **claims)
    return token, datetime.fromtimestamp(int(time.time()) + expires_in_s, UTC)


def read_link(runtime: Runtime, tenant: Tenant, token: str) -> Link:
    """Return what a link of this tenant says.

    Raises:
        NotFound: it is no link of this tenant.
        LinkExpired: its time is over.
    """
    try:
        claims = verify(_key(runtime, tenant), PURPOSE, token)
        return _to_link(claims)
    except TokenExpired:
        raise LinkExpired from None
    except (TokenInvalid, KeyError, ValueError):
        raise NotFound("There is no such link.") from None


def grant_by_link(runtime: Runtime, tenant: Tenant, link: Link) -> Grant:
    """Let whoever holds a link have its version, as far as the link's maker may have it now.

    Raises:
        LinkExpired: the maker is disabled or gone, or its API key is, or may not read files any more.
        LinkUsed
        NotFound: the file is deleted, or the version is.
        FilePending, FileQuarantined, FileUnscanned: see `check_downloadable`.
    """
    with runtime.tenant(tenant) as connection:
        maker = principal_of_maker(connection, link.user_id, link.api_key_id)
        if maker is None or not maker.may(READ):
            raise LinkExpired
        if link.id is not None and _is_used(connection, link.id):
            raise LinkUsed
        grant = grant_in(connection, tenant, maker, link.file_id, link.version_id)
    # Its maker may have it early, strangers may not
    check_checked(grant.file, tenant.settings.scanning, serve_unscanned=grant.bucket.serve_unscanned)
    return grant


def spend(runtime: Runtime, tenant: Tenant, link: Link) -> None:
    """Use a link that is good for one download. Of any number at the same time exactly one succeeds.

    Raises:
        LinkUsed
    """
    query = upsert(used_links).values(id=link.id, expires_at=link.expires_at).on_conflict_do_nothing()
    with runtime.tenant(tenant) as connection:
        if connection.execute(query.returning(used_links.c.id)).first() is None:
            raise LinkUsed


def forget_used(runtime: Runtime, tenant: Tenant) -> int:
    """Forget used links whose time is over by every clock: their tokens are refused for that alone."""
    over = used_links.c.expires_at < func.now() - FORGOTTEN_AFTER
    with runtime.tenant(tenant) as connection:
        return connection.execute(delete(used_links).where(over)).rowcount


def _is_used(connection: Connection, link_id: UUID) -> bool:
    return bool(connection.execute(select(exists().where(used_links.c.id == link_id))).scalar())


def _key(runtime: Runtime, tenant: Tenant) -> bytes:
    return runtime.keys.tenant_key(tenant.id, PURPOSE)


def _to_link(claims: dict[str, Any]) -> Link:
    return Link(
        file_id=UUID(claims["sub"]), version_id=UUID(claims["ver"]), user_id=UUID(claims["usr"]),
        api_key_id=UUID(claims["api"]) if "api" in claims else None, inline=bool(claims["inl"]),
        id=UUID(claims["one"]) if "one" in claims else None, expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )  # fmt: skip
