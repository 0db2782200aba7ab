"""`strongroom tenant rename|suspend|resume|delete|restore|operations|retry`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

import click

from strongroom.cli.context import OPERATOR, Session, command_options, table
from strongroom.cli.tenants import shown_tenant, tenant
from strongroom.errors import ConfigurationError
from strongroom.life.models import Operation, OperationState, StepState
from strongroom.operating import life
from strongroom.operating.service import find_tenant
from strongroom.runtime import Runtime
from tenants.models import Tenant

MARKS = {StepState.WAITING: "waits", StepState.RUNNING: "running", StepState.DONE: "done"}


def shown_operation(operation: Operation) -> dict[str, Any]:
    """Return an operation as `--json` shows it."""
    return {**asdict(operation), "writes_paused_s": operation.writes_paused_s}


def _result(runtime: Runtime, made: Tenant) -> dict[str, Any]:
    """Return a tenant with what is being done to it, and have its jobs announced."""
    runtime.announcer.flush()
    operation = life.last_operation(runtime, made)
    return {**shown_tenant(made, runtime.settings), "operation": shown_operation(operation) if operation else None}


@tenant.command()
@click.argument("slug")
@click.argument("new_slug", metavar="NEW")
@command_options
def rename(session: Session, slug: str, new_slug: str) -> None:
    """Give a tenant another slug, and so another address.

    The former address answers 404 at once. Sessions, API keys and links that were issued before are good at the new one.
    """
    with session.runtime() as runtime:
        shown = _result(runtime, life.rename_tenant(runtime, OPERATOR, slug, new_slug))
    session.show(shown, f"Tenant '{slug}' is '{new_slug}' now: {shown['url']}")


@tenant.command()
@click.argument("slug")
@command_options
def suspend(session: Session, slug: str) -> None:
    """Close a tenant for its users; its data stays, and its jobs wait."""
    with session.runtime() as runtime:
        shown = _result(runtime, life.suspend_tenant(runtime, OPERATOR, slug))
    session.show(shown, f"Tenant '{slug}' is suspended. 'strongroom tenant resume {slug}' opens it again.")


@tenant.command()
@click.argument("slug")
@command_options
def resume(session: Session, slug: str) -> None:
    """Open a suspended tenant again."""
    with session.runtime() as runtime:
        shown = _result(runtime, life.resume_tenant(runtime, OPERATOR, slug))
    session.show(shown, f"Tenant '{slug}' is open again.")


@tenant.command()
@click.argument("slug")
@click.option("--now", is_flag=True, help="Without a grace time: there is no way back. Asks for the slug, also with --yes.")
@click.option("--confirm", metavar="SLUG", help="The slug once more, instead of being asked for it.")
@click.option("--yes", is_flag=True, help="Do not ask. Not enough for --now.")
@command_options
def delete(session: Session, slug: str, now: bool, confirm: str | None, yes: bool) -> None:
    """Take a tenant out of service, and remove all that it owns once the grace time is over.

    Until then 'strongroom tenant restore SLUG' brings it back.
    """
    if (now or not yes) and confirm is None:
        what = "for good, at once" if now else "once its grace time is over"
        confirm = click.prompt(f"This removes '{slug}' with all its files {what}. Type its slug to go on", err=True)
    if confirm is not None and confirm != slug:
        raise ConfigurationError("That is not its slug; nothing was deleted.")
    with session.runtime() as runtime:
        shown = _result(runtime, life.delete_tenant(runtime, OPERATOR, slug, now=now, confirm=confirm or ""))
    due = f"{shown['operation']['due_at']:%Y-%m-%d %H:%M} UTC"
    later = f"What it owns is removed at {due}; until then 'strongroom tenant restore {slug}' brings it back."
    session.show(shown, f"Tenant '{slug}' is out of service. " + ("A worker is removing what it owned." if now else later))


@tenant.command()
@click.argument("slug")
@command_options
def restore(session: Session, slug: str) -> None:
    """Bring back a deleted tenant whose grace time is not over."""
    with session.runtime() as runtime:
        shown = _result(runtime, life.restore_tenant(runtime, OPERATOR, slug))
    session.show(shown, f"Tenant '{slug}' is back: {shown['status']}.")


@tenant.command()
@click.argument("slug", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@command_options
def operations(session: Session, slug: str | None, limit: int) -> None:
    """Show what was and is done to tenants with its steps, newest first; SLUG: as the tenant was named then."""
    with session.runtime() as runtime:
        found = life.list_operations(runtime, slug=slug, limit=limit)
    rows = [[each.slug, each.kind, each.state, f"{each.began_at:%Y-%m-%d %H:%M}", _progress(each)] for each in found]
    text = table(["SLUG", "WHAT", "STATE", "BEGAN (UTC)", "STEPS"], rows) if rows else "Nothing was done to any such tenant yet."
    session.show({"items": [shown_operation(each) for each in found]}, text)


def _progress(operation: Operation) -> str:
    steps = ", ".join(f"{step.name} {MARKS[step.state]}" for step in operation.steps)
    due = f"; not before {operation.due_at:%Y-%m-%d %H:%M}" if operation.state == OperationState.OPEN else ""
    return steps + due + (f"; {operation.error}" if operation.error else "")


@tenant.command()
@click.argument("slug")
@command_options
def retry(session: Session, slug: str) -> None:
    """Have what is being done to a tenant go on now, where an error holds it up."""
    with session.runtime() as runtime:
        operation = next((each for each in life.list_operations(runtime, slug=slug) if each.state == OperationState.OPEN), None)
        operation = operation or _present(runtime, slug)
        done = life.retry_operation(runtime, OPERATOR, UUID(str(operation.id)))
        runtime.announcer.flush()
    session.show(shown_operation(done), _progress(done))


def _present(runtime: Runtime, slug: str) -> Operation:
    operation = life.last_operation(runtime, find_tenant(runtime, slug))
    if operation is None or operation.state != OperationState.OPEN:
        raise ConfigurationError(f"Nothing is being done to '{slug}'.")
    return operation
