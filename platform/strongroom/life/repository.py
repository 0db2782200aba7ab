"""SQL of what is done to tenants, in the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, update

from strongroom.db.ids import new_id
from strongroom.errors import NotFound
from strongroom.life.models import Kind, Operation, OperationState, Step, StepState
from tenants.models import Tenant
from tenants.tables import operations

MAX_ERROR = 500


def _to_operation(row: Row[Any]) -> Operation:
    steps = tuple(Step(each["name"], StepState(each["state"]), each["at"]) for each in row.steps)
    known = {"kind": Kind(row.kind), "state": OperationState(row.state), "steps": steps}
    return Operation(**{**row._mapping, **known})


def add(connection: Connection, tenant: Tenant, kind: Kind, names: Sequence[str], data: Mapping[str, Any]) -> Operation:
    """Begin an operation; there must be no other open one of the tenant."""
    steps = [asdict(Step(name)) for name in names]
    values = {"id": new_id(), "tenant_id": tenant.id, "kind": kind, "slug": tenant.slug, "steps": steps, "data": dict(data)}
    row = connection.execute(insert(operations).values(**values).returning(operations)).one()
    return _to_operation(row)


def get_open(connection: Connection, tenant_id: UUID, *, lock: bool = False) -> Operation | None:
    """Return what is being done to a tenant at present; with `lock` nobody else goes on with it until the transaction ends."""
    query = select(operations).where(operations.c.tenant_id == tenant_id, operations.c.state == OperationState.OPEN)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return _to_operation(row) if row else None


def get(connection: Connection, operation_id: UUID) -> Operation:
    """Return one operation.

    Raises:
        NotFound
    """
    row = connection.execute(select(operations).where(operations.c.id == operation_id)).first()
    if row is None:
        raise NotFound("There is no such operation.")
    return _to_operation(row)


def listed(
    connection: Connection, *, tenant_id: UUID | None = None, slug: str | None = None, before: UUID | None = None, limit: int = 50
) -> list[Operation]:
    """Return operations, newest first: all, those of one tenant, or those of all tenants that bore a slug when they began."""
    query = select(operations).order_by(operations.c.id.desc()).limit(limit)
    if tenant_id is not None:
        query = query.where(operations.c.tenant_id == tenant_id)
    if slug:
        query = query.where(operations.c.slug == slug)
    if before is not None:
        query = query.where(operations.c.id < before)
    return [_to_operation(row) for row in connection.execute(query)]


def open_tenants(connection: Connection) -> list[UUID]:
    """Return the tenants to which something is being done."""
    return list(connection.execute(select(operations.c.tenant_id).where(operations.c.state == OperationState.OPEN)).scalars())


def present_s(connection: Connection) -> float:
    """Return the registry's time, in seconds since 1970: one clock, whatever process asks."""
    return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())


def seconds_left(connection: Connection, operation: Operation) -> float:
    """Return for how long the next step must wait yet, by the database's clock; 0 or less: it is due."""
    return float(connection.execute(select(func.extract("epoch", operation.due_at - func.clock_timestamp()))).scalar_one())


def begin_step(connection: Connection, operation: Operation, name: str) -> None:
    """Note that a step is being done."""
    _set_steps(connection, operation, name, StepState.RUNNING, error="")


def end_step(connection: Connection, operation: Operation, name: str, *, pause_s: float = 0.0) -> None:
    """Note that a step is done; the next one is due in `pause_s`. With the last step the operation ends."""
    pause = func.make_interval(0, 0, 0, 0, 0, 0, pause_s)
    values: dict[str, Any] = {"error": "", "due_at": func.now() + pause}
    if name == operation.steps[-1].name:
        values |= {"state": OperationState.DONE, "ended_at": func.now()}
    _set_steps(connection, operation, name, StepState.DONE, **values)


def _set_steps(connection: Connection, operation: Operation, name: str, step_state: StepState, **values: Any) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    steps = [replace(step, state=step_state, at=now) if step.name == name else step for step in operation.steps]
    change(connection, operation.id, steps=[asdict(step) for step in steps], **values)


def rewind(connection: Connection, operation: Operation, name: str, data: Mapping[str, Any]) -> None:
    """Have an operation go on from an earlier step again."""
    place = next(number for number, step in enumerate(operation.steps) if step.name == name)
    steps = [*operation.steps[:place], *(Step(step.name) for step in operation.steps[place:])]
    change(connection, operation.id, steps=[asdict(step) for step in steps], data=dict(data))


def is_same_pause(present: Operation, known: Operation) -> bool:
    """Tell whether an operation is still the one that is known, and its tenant's writes have been refused ever since then."""
    return present.id == known.id and present.data.get("pause") == known.data.get("pause")


def change(connection: Connection, operation_id: UUID, **values: Any) -> None:
    """Change columns of an operation."""
    connection.execute(update(operations).where(operations.c.id == operation_id).values(**values))


def cancel(connection: Connection, operation: Operation) -> None:
    """End an operation before its last step."""
    change(connection, operation.id, state=OperationState.CANCELLED, ended_at=func.now(), error="")


def note_error(connection: Connection, tenant_id: UUID, error: str) -> None:
    """Note what holds up the open operation of a tenant."""
    mine = (operations.c.tenant_id == tenant_id) & (operations.c.state == OperationState.OPEN)
    connection.execute(update(operations).where(mine).values(error=error.replace("\0", "")[:MAX_ERROR]))
