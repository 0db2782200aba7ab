"""The hosts of a tenant, which are a part of its settings: what may stand there, and that their providers stay for as long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from strongroom.errors import AlreadyExists, Conflict, ValidationFailed

from tenants.providers import note_use
from tenants.repository import to_provider
from tenants.tables import providers

PART = "hosts"
MAX_HOSTS = 5
MIRROR, SETTLE = "hosts.mirror", "hosts.settle"
"""Jobs: one copies what is due to a host, the other finds out what has to be there."""
Hosts = Mapping[str, Mapping[str, Any]]


def keep(connection: Connection, tenant_id: UUID, former: Hosts, present: Hosts) -> None:
    """See that new hosts may be, and note that bytes of the tenant may lie at their providers, in the settings' transaction.

    Raises:
        Conflict, AlreadyExists: too many, or two at one provider or of one name.
        ValidationFailed: a provider is not there any more.
    """
    if former == present:
        return
    _check_all(present)
    for host_id in present.keys() - former.keys():
        provider_id = UUID(present[host_id]["provider_id"])
        row = connection.execute(select(providers).where(providers.c.id == provider_id).with_for_update(key_share=True)).first()
        if row is None or not to_provider(row).may_be_host_of(tenant_id):
            text = f"The provider of the host '{present[host_id]['name']}' is not there any more."
            raise ValidationFailed(text, errors={PART: {host_id: [text]}})
        note_use(connection, tenant_id, provider_id)


def _check_all(present: Hosts) -> None:
    if len(present) > MAX_HOSTS:
        raise Conflict(f"A tenant has at most {MAX_HOSTS} hosts.")
    for name, text in (("provider_id", "There is a host at this provider already."), ("name", "There is a host of this name already.")):
        if len({host[name] for host in present.values()}) < len(present):
            raise AlreadyExists(text)
