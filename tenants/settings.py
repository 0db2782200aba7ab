"""A tenant's settings: changed as a whole or in part, each change a version that says who made it and what it changed.

A document has the parts that `PARTS` names; what is not in a part has its default. The fields of `hosts` are their ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from strongroom.errors import NotFound, PreconditionFailed

from tenants.tables import settings_versions, tenants

Document = Mapping[str, Mapping[str, Any]]
PARTS = ("brand", "bucket_defaults", "scanning", "sessions", "sign_up", "sso", "hosts")
MAX_VERSIONS = 500
"""So many are kept of a tenant; older ones go."""


@dataclass(frozen=True)
class SettingsVersion:
    """Settings as they are, or were. `changes`: `{"sessions.session_lifetime_s": {"from": …, "to": …}}`."""

    version: int
    settings: dict[str, dict[str, Any]]
    changes: dict[str, Any]
    actor: dict[str, Any]
    at: datetime


def get(connection: Connection, tenant_id: UUID) -> SettingsVersion:
    """Return a tenant's settings as they are now.

    Raises:
        NotFound
    """
    return _present(connection, tenant_id, lock=False)


def change(
    connection: Connection, tenant_id: UUID, changes: Document, *, actor: Mapping[str, Any], expected: frozenset[int] | None = None
) -> SettingsVersion:
    """Change fields of the settings; None gives a field its default again. What changes nothing makes no version.

    `expected`: the versions on which the caller bases the change.

    Raises:
        PreconditionFailed: another version came between.
        NotFound
    """
    present = _expected(_present(connection, tenant_id, lock=True), expected)
    merged = {part: _merged(present.settings[part], changes.get(part, {})) for part in PARTS}
    return _put(connection, tenant_id, present, merged, actor)


def restore(
    connection: Connection, tenant_id: UUID, version: int, *, actor: Mapping[str, Any], expected: frozenset[int] | None = None
) -> SettingsVersion:
    """Make a former version's settings those of a new version.

    Raises:
        NotFound: there is no such version, or it is kept no longer.
        PreconditionFailed
    """
    present = _expected(_present(connection, tenant_id, lock=True), expected)
    former = get_version(connection, tenant_id, version)
    return _put(connection, tenant_id, present, {part: dict(former.settings.get(part, {})) for part in PARTS}, actor)


def get_version(connection: Connection, tenant_id: UUID, version: int) -> SettingsVersion:
    """Return a present or former version.

    Raises:
        NotFound
    """
    present = _present(connection, tenant_id, lock=False)
    if version == present.version:
        return present
    table = settings_versions.c
    row = connection.execute(select(settings_versions).where(table.tenant_id == tenant_id, table.version == version)).first()
    if row is None:
        raise NotFound("There is no such version of the settings.")
    return _to_version(row)


def list_versions(connection: Connection, tenant_id: UUID, *, before: int | None = None, limit: int) -> list[SettingsVersion]:
    """Return the versions, newest first. One that nobody has changed yet is there, too."""
    table = settings_versions.c
    query = select(settings_versions).where(table.tenant_id == tenant_id).order_by(table.version.desc()).limit(limit)
    if before is not None:
        query = query.where(table.version < before)
    found = [_to_version(row) for row in connection.execute(query)]
    return found or ([get(connection, tenant_id)] if before is None else [])


def forget(connection: Connection, tenant_id: UUID) -> None:
    """Remove all versions, of a tenant that is gone."""
    connection.execute(delete(settings_versions).where(settings_versions.c.tenant_id == tenant_id))


def _to_version(row: Row[Any]) -> SettingsVersion:
    return SettingsVersion(row.version, row.settings, row.changes, row.actor, row.at)


def _present(connection: Connection, tenant_id: UUID, *, lock: bool) -> SettingsVersion:
    query = select(tenants.c.brand, tenants.c.settings, tenants.c.settings_version, tenants.c.created_at).where(tenants.c.id == tenant_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound("There is no such tenant.")
    table = settings_versions.c
    written = connection.execute(
        select(settings_versions).where(table.tenant_id == tenant_id, table.version == row.settings_version)
    ).first()
    document = {"brand": dict(row.brand), **{part: dict(row.settings.get(part, {})) for part in PARTS[1:]}}
    if written is None:
        return SettingsVersion(row.settings_version, document, {}, {}, row.created_at)
    return SettingsVersion(row.settings_version, document, written.changes, written.actor, written.at)


def _expected(present: SettingsVersion, expected: frozenset[int] | None) -> SettingsVersion:
    if expected is not None and present.version not in expected:
        raise PreconditionFailed(f"The settings are at version {present.version} now.", version=present.version)
    return present


def _merged(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**present, **changes}.items() if value is not None}


def _put(
    connection: Connection, tenant_id: UUID, present: SettingsVersion, document: dict[str, dict[str, Any]], actor: Mapping[str, Any]
) -> SettingsVersion:
    changes = _differences(present.settings, document)
    if not changes:
        return present
    base = {"tenant_id": tenant_id, "version": present.version, "settings": present.settings, "at": present.at}
    connection.execute(upsert(settings_versions).values(**base).on_conflict_do_nothing())
    version = present.version + 1
    values = {"tenant_id": tenant_id, "version": version, "settings": document, "changes": changes, "actor": dict(actor)}
    row = connection.execute(insert(settings_versions).values(**values, at=func.clock_timestamp()).returning(settings_versions)).one()
    rest = {part: document[part] for part in PARTS[1:] if document[part]}
    columns = {"brand": document["brand"], "settings": rest, "settings_version": version, "updated_at": func.now()}
    connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(**columns))
    table = settings_versions.c
    connection.execute(delete(settings_versions).where(table.tenant_id == tenant_id, table.version <= version - MAX_VERSIONS))
    return _to_version(row)


def _differences(former: Document, present: Document) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        for name in sorted(former[part].keys() | present[part].keys()):
            before, after = former[part].get(name), present[part].get(name)
            if before != after:
                found[f"{part}.{name}"] = {"from": before, "to": after}
    return found
