"""`strongroom tenant move`."""

from __future__ import annotations

import click

from strongroom.cli.context import OPERATOR, Session, command_options
from strongroom.cli.life import shown_operation
from strongroom.cli.tenants import shown_tenant, tenant
from strongroom.errors import ConfigurationError
from strongroom.life.models import Operation, OperationState, StepState
from strongroom.operating import life
from strongroom.runtime import Runtime
from tenants.models import Tenant


@tenant.command()
@click.argument("slug")
@click.option("--cell", help="The cell in which it is to live, see 'strongroom cell list'.")
@click.option("--abort", is_flag=True, help="Have a tenant that is being moved, and has not gone over yet, stay where it is.")
@click.option("--no-wait", is_flag=True, help="Begin, and leave it to the workers.")
@command_options
def move(session: Session, slug: str, cell: str | None, abort: bool, no_wait: bool) -> None:
    """Move a tenant to another cell (PostgreSQL cluster) while it works; its bytes stay where they are.

    It can be read all the while; for some seconds at the end writes get 503. The workers do it: this command shows how far they
    are, and can be cut off at any time.
    """
    if abort == bool(cell):
        raise click.UsageError("Say where to with --cell, or --abort.")
    with session.runtime() as runtime:
        made = life.move_tenant(runtime, OPERATOR, slug, cell) if cell else life.abort_move(runtime, OPERATOR, slug)
        runtime.announcer.flush()
        operation = _operation(runtime, made) if no_wait else _wait(session, runtime, made)
        shown = {**shown_tenant(_present(runtime, made), runtime.settings), "operation": shown_operation(operation)}
    session.show(shown, _text(operation, slug, str(shown["cell"])))
    if operation.error:
        raise SystemExit(1)


def _wait(session: Session, runtime: Runtime, made: Tenant) -> Operation:
    """Return the operation when it is over, or held up by an error."""
    return session.watch(lambda: _operation(runtime, made), lambda seen: seen.state != OperationState.OPEN or bool(seen.error), _progress)


def _progress(operation: Operation) -> str:
    done = [step.name for step in operation.steps if step.state == StepState.DONE]
    return f"done: {', '.join(done)}" if done else ""


def _operation(runtime: Runtime, made: Tenant) -> Operation:
    found = life.last_operation(runtime, made)
    if found is None:
        raise ConfigurationError("Nothing was ever done to it.")
    return found


def _present(runtime: Runtime, made: Tenant) -> Tenant:
    return runtime.registry.by_id(made.id) or made


def _text(operation: Operation, slug: str, cell: str) -> str:
    if operation.error:
        return f"{operation.error} It is tried again; 'strongroom tenant retry {slug}' does so now, 'tenant move {slug} --abort' ends it."
    if operation.state == OperationState.OPEN:
        return f"'{slug}' is on its way. 'strongroom tenant operations {slug}' tells how far it is."
    paused = f" Its writes were refused for {operation.writes_paused_s:.1f} s." if operation.writes_paused_s is not None else ""
    return f"Tenant '{slug}' lives in the cell '{cell}'.{paused}"
