"""The steps of a tenant's move to another cell, and of its abortion.

Until `switch` the tenant lives where it was and the move can be aborted; from there on it lives in the new cell. Between
`notice` and `switch` it can only be read: for as long as comparing what was touched since it was copied takes. The operation's
data tell for how many seconds that was, `writes_paused_s`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from strongroom.db.engines import TenantRef
from strongroom.db.ids import new_id
from strongroom.errors import DomainError
from strongroom.life import repository
from strongroom.life.models import Operation
from strongroom.life.step_kinds import Long, Short
from strongroom.relocation import catalog
from strongroom.relocation import service as relocation
from strongroom.runtime import Runtime
from tenants import repository as registry
from tenants.models import Tenant

COPY, COMPARE, SWITCH = "copy", "compare", "switch"


def _place(runtime: Runtime, _connection: Connection, operation: Operation, tenant: Tenant) -> None:
    relocation.prepare(runtime, tenant, operation.data["to"])


def _copy(runtime: Runtime, operation: Operation, tenant: Tenant) -> None:
    relocation.copy(runtime, tenant, operation.data["to"])


def _notice(runtime: Runtime, connection: Connection, operation: Operation, tenant: Tenant) -> None:
    """Have every process refuse writes kindly, before the cell does. Each pause has an id: what was compared in one is good in no other."""
    try:
        relocation.check(runtime, tenant, operation.data["to"])
    except DomainError:
        relocation.stay(runtime, tenant)  # its jobs, which wait since it was copied, go on
        raise
    registry.update_tenant(connection, tenant.id, writes_paused=True)
    began = repository.present_s(connection)
    repository.change(connection, operation.id, data={**operation.data, "pause": str(new_id()), "pause_began_s": began})


def _pause(runtime: Runtime, _connection: Connection, _operation: Operation, tenant: Tenant) -> None:
    relocation.pause(runtime, tenant)


def _compare(runtime: Runtime, operation: Operation, tenant: Tenant) -> None:
    """Bring the rest and compare all; when that fails the tenant can be written again, and copying is done once more."""
    try:
        found = relocation.come(runtime, tenant, operation.data["to"])
    except Exception:
        _give_back(runtime, operation, tenant)
        raise
    with runtime.databases.control() as connection:
        present = repository.get_open(connection, tenant.id, lock=True)
        if present is not None and repository.is_same_pause(present, operation):
            repository.change(connection, operation.id, data={**present.data, "compared": asdict(found)})


def _give_back(runtime: Runtime, operation: Operation, tenant: Tenant) -> None:
    with runtime.databases.control() as connection:
        present = repository.get_open(connection, tenant.id, lock=True)
        if present is None or not repository.is_same_pause(present, operation) or present.is_past(COMPARE):
            return  # somebody else has gone on with it, or ended it
        relocation.stay(runtime, tenant)
        registry.update_tenant(connection, tenant.id, writes_paused=False)
        repository.rewind(connection, present, COPY, _without_pause(connection, present))


def _without_pause(connection: Connection, operation: Operation) -> dict[str, Any]:
    """Return an operation's data with its pause, if there is one, ended and counted."""
    data = {**operation.data, "pause": None}
    began = data.pop("pause_began_s", None)
    if began is not None:
        data["writes_paused_s"] = round(data.get("writes_paused_s", 0.0) + repository.present_s(connection) - began, 3)
    return data


def _switch(_runtime: Runtime, connection: Connection, operation: Operation, tenant: Tenant) -> None:
    registry.update_tenant(connection, tenant.id, cell=operation.data["to"], writes_paused=False)
    repository.change(connection, operation.id, data=_without_pause(connection, operation))


def _leave(runtime: Runtime, _connection: Connection, operation: Operation, tenant: Tenant) -> None:
    relocation.leave(runtime, TenantRef(tenant.id, operation.data["from"]))


def _settle(runtime: Runtime, operation: Operation, tenant: Tenant) -> None:
    relocation.settle(runtime, tenant, operation.data["from"])
    with runtime.tenant(tenant) as connection:
        revision = catalog.revision(connection)
    with runtime.databases.control() as connection:  # had somebody migrated the old copy at the last moment, that counts for nothing
        registry.update_tenant(connection, tenant.id, schema_revision=revision)


def _stay(runtime: Runtime, connection: Connection, operation: Operation, tenant: Tenant) -> None:
    relocation.stay(runtime, tenant)
    registry.update_tenant(connection, tenant.id, writes_paused=False)
    repository.change(connection, operation.id, data=_without_pause(connection, operation))


def _discard(runtime: Runtime, operation: Operation, tenant: Tenant) -> None:
    relocation.discard(runtime, tenant, operation.data["to"])


MOVE = (
    Short("place", _place),
    Long(COPY, _copy),
    Short("notice", _notice),
    Short("pause", _pause),
    Long(COMPARE, _compare),
    Short(SWITCH, _switch),
    Short("leave", _leave),
    Long("settle", _settle),
)
STAY = (Short("writes", _stay), Long("discard", _discard))
