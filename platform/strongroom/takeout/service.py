"""A tenant's archives: begun, told of, fetched by a link, removed. Knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from strongroom.access import Permission, Principal, Realm, Role, Scope
from strongroom.auth.service import principal_of_maker
from strongroom.db.ids import new_id
from strongroom.errors import Conflict, LinkExpired, NotFound, StorageUnavailable, TokenExpired, TokenInvalid
from strongroom.events.service import emit
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.security.tokens import sign, verify
from strongroom.takeout import repository
from strongroom.takeout.models import Export, ExportState, Segment
from strongroom.takeout.tar import PIECE_BYTES
from strongroom.takeout.writing import WRITE
from tenants.models import Tenant

PURPOSE = "export"
LINK_LIFETIME_S = 3600
MAY_TAKE_OUT = Permission(Realm.TENANT, Role.ADMIN, Scope.ADMIN)


def begin(runtime: Runtime, tenant: Tenant, principal: Principal | None) -> Export:
    """Have a worker make an archive of all that a tenant has. `principal` None: the operator wants it.

    Raises:
        Conflict: one is being made.
    """
    export_id = new_id()
    with runtime.tenant(tenant) as connection:
        repository.add(connection, export_id, principal.user_id if principal else None)
        enqueue(connection, WRITE, {"export_id": str(export_id)})
        actor = principal.actor if principal else {"system": "operator"}
        emit(connection, "tenant.export_began", tenant.id, {"export_id": str(export_id)}, actor)
        return repository.get(connection, export_id)


def get(runtime: Runtime, tenant: Tenant, export_id: UUID) -> Export:
    """Return one archive.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        return repository.get(connection, export_id)


def list_exports(runtime: Runtime, tenant: Tenant) -> list[Export]:
    """Return the archives that are being made or can be fetched, newest first."""
    with runtime.tenant(tenant) as connection:
        return repository.listed(connection)


def delete(runtime: Runtime, tenant: Tenant, export_id: UUID) -> None:
    """Remove an archive; one that is being made is given up.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        repository.get(connection, export_id)
    _remove(runtime, tenant, export_id)


def expire(runtime: Runtime, tenant: Tenant) -> int:
    """Remove the archives whose time is over; return how many."""
    with runtime.tenant(tenant) as connection:
        over = repository.listed(connection, expired=True)
    for export in over:
        _remove(runtime, tenant, export.id)
    return len(over)


def _remove(runtime: Runtime, tenant: Tenant, export_id: UUID) -> None:
    """Remove the rows, then the bytes: what a crash leaves of those is found when bytes without rows are looked for."""
    with runtime.tenant(tenant) as connection:
        found = repository.segments(connection, export_id)
        repository.remove(connection, export_id)
    for segment in found:
        runtime.storage(tenant, segment.provider_id).delete([(export_id, segment.segment_id)])


def make_link(runtime: Runtime, tenant: Tenant, principal: Principal, export_id: UUID) -> tuple[str, datetime]:
    """Return the token of a link by which an archive is fetched, and when it ends. It acts as its maker.

    Raises:
        NotFound
        Conflict: the archive is not ready.
    """
    _must_be_ready(get(runtime, tenant, export_id))
    key = runtime.keys.tenant_key(tenant.id, PURPOSE)
    claims = {"usr": principal.user_id.hex, "api": principal.api_key_id.hex if principal.api_key_id else ""}
    token = sign(key, PURPOSE, export_id.hex, LINK_LIFETIME_S, **claims)
    return token, datetime.fromtimestamp(int(time.time()) + LINK_LIFETIME_S, UTC)


def by_link(runtime: Runtime, tenant: Tenant, token: str) -> Export:
    """Return the archive to which a link leads.

    Raises:
        LinkExpired: its time is over, or its maker may not take the tenant out any more.
        NotFound: it is no link of this tenant, or the archive is gone.
    """
    try:
        claims = verify(runtime.keys.tenant_key(tenant.id, PURPOSE), PURPOSE, token)
        export_id, user_id, api_key_id = UUID(claims["sub"]), UUID(claims["usr"]), UUID(claims["api"]) if claims["api"] else None
    except TokenExpired:
        raise LinkExpired from None
    except (TokenInvalid, KeyError, ValueError):
        raise NotFound("There is no such link.") from None
    with runtime.tenant(tenant) as connection:
        maker = principal_of_maker(connection, user_id, api_key_id)
        if maker is None or not maker.may(MAY_TAKE_OUT):
            raise LinkExpired
        return _must_be_ready(repository.get(connection, export_id))


def _must_be_ready(export: Export) -> Export:
    if export.state != ExportState.READY:
        raise Conflict("The archive is not ready yet.", retry_after_s=5)
    return export


def pieces(runtime: Runtime, tenant: Tenant, export: Export) -> Iterator[bytes]:
    """Yield an archive's bytes, in fixed memory. Holds no database connection meanwhile.

    Raises:
        StorageUnavailable, NotFound: a segment cannot be read.
    """
    with runtime.tenant(tenant) as connection:
        found = repository.segments(connection, export.id)
    for segment in found:
        yield from _segment(runtime, tenant, segment)


def _segment(runtime: Runtime, tenant: Tenant, segment: Segment) -> Iterator[bytes]:
    reader, left = runtime.storage(tenant, segment.provider_id).open(segment.export_id, segment.segment_id), segment.size_bytes or 0
    try:
        while left:
            data = reader.read(min(PIECE_BYTES, left))
            if not data:
                raise StorageUnavailable("The archive at the provider ends early.")
            left -= len(data)
            yield data
    finally:
        reader.close()
