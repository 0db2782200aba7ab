"""Who works on a version's bytes at a provider that its row does not name: SQL of `byte_claims`, in a tenant's transaction.

While a tenant is moved, bytes of one version lie at two providers. What is left at one of them is removed by jobs that may
come late; a copy may be made there at the same moment, when the tenant is moved back. A claim keeps the two apart. So it does
for copies that mirrors need: where a row of `mirrors` says that one lies there, or is to, nothing is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.files.tables import byte_claims, mirrors, versions

COPY, MIRROR, REMOVAL = "copy", "mirror", "removal"
LIFETIME_S = {COPY: 86400, MIRROR: 600, REMOVAL: 3600}
"""After so long, whoever made the claim is taken for dead."""


def take_for_copy(connection: Connection, version_id: UUID, provider_id: UUID) -> bool:
    """Claim the place where a copy is to be made; False while what lies there is being removed."""
    return bool(_take(connection, [version_id], provider_id, COPY))


def take_for_mirror(connection: Connection, version_id: UUID, provider_id: UUID) -> bool:
    """The same for a mirror's copy, which is made under a lease of its own; False also while a move makes one there."""
    return bool(_take(connection, [version_id], provider_id, MIRROR))


def prolong_mirrors(connection: Connection, version_ids: Sequence[UUID], provider_id: UUID) -> None:
    """Keep the places where copies for a mirror are still being made."""
    mine = (byte_claims.c.provider_id == provider_id) & (byte_claims.c.purpose == MIRROR) & byte_claims.c.version_id.in_(version_ids)
    connection.execute(update(byte_claims).where(mine).values(until=_until(MIRROR)))


def take_for_removal(connection: Connection, version_ids: Sequence[UUID], provider_id: UUID) -> tuple[set[UUID], set[UUID]]:
    """Return which of these versions' bytes may be removed at a provider, and which were claimed for it until `release`.

    Those of no version that lies or is mirrored there, and no copy being made. Claimed are those whose version lives elsewhere, so that no
    copy is begun meanwhile.
    """
    rows = connection.execute(select(versions.c.id).where(versions.c.id.in_(version_ids))).all()
    elsewhere = set(version_ids) & {row.id for row in rows} - _wanted(connection, version_ids, provider_id)
    free = set(version_ids) - {row.id for row in rows}
    claimed: set[UUID] = set()
    if elsewhere:
        claimed = _take(connection, list(elsewhere), provider_id, REMOVAL)
        free |= claimed - _wanted(connection, list(claimed), provider_id)  # what came back since we looked
    return free, claimed


def _wanted(connection: Connection, version_ids: Sequence[UUID], provider_id: UUID) -> set[UUID]:
    """Return which of these versions' bytes a row wants at a provider: its own place, or a mirror."""
    own = select(versions.c.id).where(versions.c.id.in_(version_ids), versions.c.provider_id == provider_id)
    mirrored = select(mirrors.c.version_id).where(mirrors.c.version_id.in_(version_ids), mirrors.c.provider_id == provider_id)
    return set(connection.execute(own.union_all(mirrored)).scalars())


def release(connection: Connection, version_ids: Iterable[UUID], provider_id: UUID, purpose: str) -> None:
    """Let go. Idempotent."""
    mine = (byte_claims.c.provider_id == provider_id) & (byte_claims.c.purpose == purpose)
    connection.execute(delete(byte_claims).where(byte_claims.c.version_id.in_(list(version_ids)), mine))


def _take(connection: Connection, version_ids: Sequence[UUID], provider_id: UUID, purpose: str) -> set[UUID]:
    until = _until(purpose)
    rows = [{"version_id": each, "provider_id": provider_id, "purpose": purpose, "until": until} for each in sorted(version_ids)]
    query = upsert(byte_claims).values(rows)
    query = query.on_conflict_do_update(
        index_elements=[byte_claims.c.version_id, byte_claims.c.provider_id],
        set_={"purpose": purpose, "until": until},
        where=(byte_claims.c.purpose == purpose) | (byte_claims.c.until < func.now()),
    )
    return set(connection.execute(query.returning(byte_claims.c.version_id)).scalars())


def _until(purpose: str) -> ColumnElement[Any]:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LIFETIME_S[purpose])
