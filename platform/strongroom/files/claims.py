"""Who works on a version's bytes at a provider that its row does not name: SQL of `byte_claims`, in a tenant's transaction.

While a tenant is moved, bytes of one version lie at two providers. What is left at one of them is removed by jobs that may
come late; a copy may be made there at the same moment, when the tenant is moved back. A claim keeps the two apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.files.tables import byte_claims, versions

COPY, REMOVAL = "copy", "removal"
LIFETIME_S = {COPY: 86400, REMOVAL: 3600}
"""After so long, whoever made the claim is taken for dead."""


def take_for_copy(connection: Connection, version_id: UUID, provider_id: UUID) -> bool:
    """Claim the place where a copy is to be made; False while what lies there is being removed."""
    return bool(_take(connection, [version_id], provider_id, COPY))


def take_for_removal(connection: Connection, version_ids: Sequence[UUID], provider_id: UUID) -> tuple[set[UUID], set[UUID]]:
    """Return which of these versions' bytes may be removed at a provider, and which were claimed for it until `release`.

    Those of no version that lies there, and no copy being made. Claimed are those whose version lives elsewhere, so that no
    copy is begun meanwhile.
    """
    rows = connection.execute(select(versions.c.id, versions.c.provider_id).where(versions.c.id.in_(version_ids))).all()
    elsewhere = [row.id for row in rows if row.provider_id != provider_id]
    free = set(version_ids) - {row.id for row in rows}
    claimed: set[UUID] = set()
    if elsewhere:
        claimed = _take(connection, elsewhere, provider_id, REMOVAL)
        back = select(versions.c.id).where(versions.c.id.in_(claimed), versions.c.provider_id == provider_id)  # since we looked
        free |= claimed - set(connection.execute(back).scalars())
    return free, claimed


def release(connection: Connection, version_ids: Iterable[UUID], provider_id: UUID, purpose: str) -> None:
    """Let go. Idempotent."""
    mine = (byte_claims.c.provider_id == provider_id) & (byte_claims.c.purpose == purpose)
    connection.execute(delete(byte_claims).where(byte_claims.c.version_id.in_(list(version_ids)), mine))


def _take(connection: Connection, version_ids: Sequence[UUID], provider_id: UUID, purpose: str) -> set[UUID]:
    until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, LIFETIME_S[purpose])
    rows = [{"version_id": each, "provider_id": provider_id, "purpose": purpose, "until": until} for each in sorted(version_ids)]
    query = upsert(byte_claims).values(rows)
    query = query.on_conflict_do_update(
        index_elements=[byte_claims.c.version_id, byte_claims.c.provider_id],
        set_={"purpose": purpose, "until": until},
        where=(byte_claims.c.purpose == purpose) | (byte_claims.c.until < func.now()),
    )
    return set(connection.execute(query.returning(byte_claims.c.version_id)).scalars())
