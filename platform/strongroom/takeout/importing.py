"""An archive becomes a tenant here: read once, in fixed memory; verified to its last byte before anybody can reach the tenant.

The tenant's id, role, schema and prefix are new, whatever the archive says; the ids inside (users, buckets, files,
versions) stay, for they mean something only in the tenant's own schema and below its own prefix. Whatever goes wrong,
the tenant is removed again.
"""

from __future__ import annotations

import base64
import binascii
import logging
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from strongroom.errors import DomainError, ExportRefused, ValidationFailed
from strongroom.jobs import queue
from strongroom.life import service as life
from strongroom.runtime import Runtime
from strongroom.takeout import arrival
from strongroom.takeout.arriving import Arriving
from strongroom.takeout.content import FORMAT, FORMAT_VERSION
from strongroom.takeout.tar import HEADER, ArchiveReader, Source, json_object
from strongroom.tenant_settings import service as tenant_settings
from strongroom.tenant_settings.schemas import SettingsChange
from strongroom.users import service as users
from strongroom.users.models import Invitation
from tenants import repository as registry
from tenants import service as tenants
from tenants.branding import MAX_NAME
from tenants.models import Tenant

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Imported:
    """A tenant that was imported. `invitations`: of its owners. `missing`: versions whose bytes the archive does not have."""

    tenant: Tenant
    files: int
    size_bytes: int
    missing: int
    invitations: tuple[Invitation, ...]


def import_tenant(
    runtime: Runtime, source: Source, *, slug: str, provider: str | None = None, plan: str = "standard",
    limits: dict[str, int] | None = None,
) -> Imported:  # fmt: skip
    """Make a tenant of an archive: all of it, or nothing.

    Raises:
        ExportRefused: it is no whole, sound archive.
        QuotaExceeded: the plan has no room for it.
        AlreadyExists, ValidationFailed, NotFound (no such provider or plan), StorageUnavailable, StorageFull
    """
    reader = ArchiveReader(source)
    head = _read_head(reader)
    name = _name(head["tenant"].get("name"), slug)
    tenant = tenants.begin_import(runtime.databases, slug=slug, name=name, provider=provider, plan=plan, limits=limits)
    try:
        with runtime.databases.cell(tenant.cell) as connection:
            queue.pause(connection, tenant.id)
        arriving = Arriving(runtime, tenant, reader)
        arriving.run()
        _dress(runtime, tenant, head["tenant"])
        life.open_imported(runtime, tenant.id)
        runtime.registry.forget()
        return _told(runtime, tenant, arriving)
    except BaseException:
        _remove(runtime, tenant)
        raise


def _remove(runtime: Runtime, tenant: Tenant) -> None:
    """Leave nothing of a tenant that did not become one; what cannot be removed now is left to the workers."""
    try:
        life.delete(runtime, tenant.id, now=True)
        life.advance(runtime, tenant.id)
    except Exception:
        log.exception("an import's remains could not be removed; housekeeping will", extra={"tenant_id": str(tenant.id)})


def _read_head(reader: ArchiveReader) -> dict[str, Any]:
    if not reader.next() or reader.name != HEADER:
        raise ExportRefused(f"It does not begin with {HEADER}.")
    head = json_object(reader.whole(), HEADER)
    if head.get("format") != FORMAT or not isinstance(head.get("tenant"), dict):
        raise ExportRefused("It is no archive of a tenant.")
    if head.get("format_version") != FORMAT_VERSION:
        raise ExportRefused(f"Its format is {head.get('format_version')}; this is understood: {FORMAT_VERSION}.")
    return head


def _name(told: Any, slug: str) -> str:
    if not told:
        return slug
    if not isinstance(told, str) or len(told) > MAX_NAME or not told.isprintable():
        raise ExportRefused("The tenant's name is none.")
    return told


def _dress(runtime: Runtime, tenant: Tenant, told: dict[str, Any]) -> None:
    """Give the tenant its brand and settings. What is none here is refused with everything."""
    brand = told.get("brand") or {}
    try:
        _choose(runtime, tenant, told.get("settings") or {})
        tenants.set_brand(
            runtime.databases, tenant.id, {name: str(brand[name]) for name in ("name", "primary", "accent") if brand.get(name)}
        )
        if told.get("logo"):
            tenants.set_logo(runtime.databases, tenant.id, base64.b64decode(str(told["logo"]), validate=True))
    except (binascii.Error, AttributeError, TypeError) as error:
        raise ExportRefused("Its brand is none.") from error


def _choose(runtime: Runtime, tenant: Tenant, told: dict[str, Any]) -> None:
    try:
        chosen = SettingsChange(exclude=("brand",)).load(told)
        chosen.get("sso", {}).pop("password_sign_in", None)  # the providers' secrets are in no archive: nobody could come in by them yet
        tenant_settings.update_settings(runtime, tenant, tenants.SYSTEM, chosen)
    except (ValidationError, ValidationFailed) as error:
        raise ExportRefused("Its settings are none.") from error


def _told(runtime: Runtime, tenant: Tenant, arriving: Arriving) -> Imported:
    with runtime.tenant(tenant) as connection:
        owners, (size_bytes, files) = arrival.owners(connection), arrival.totals(connection)
    invitations = tuple(users.invite_again(runtime, tenant, each) for each in owners)
    with runtime.databases.control() as connection:
        tenant = registry.get_tenant(connection, tenant.id)
    return Imported(tenant, files, size_bytes, arriving.missing, invitations)


def sweep(runtime: Runtime) -> None:
    """Remove what imports have left that were cut off without a word."""
    for tenant in tenants.abandoned_imports(runtime.databases):
        try:
            life.delete(runtime, tenant.id, now=True)
        except DomainError:
            log.warning("an import's remains wait", extra={"tenant_id": str(tenant.id)}, exc_info=True)
