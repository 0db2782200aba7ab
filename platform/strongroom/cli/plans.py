"""`strongroom plan …`, and `strongroom tenant set-plan`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from strongroom.cli.context import OPERATOR, Session, command_options, size, table
from strongroom.cli.tenants import parse_limits, shown_tenant, tenant
from strongroom.operating import plans
from tenants.models import LIMIT_NAMES, Plan

HEADERS = ["PLAN", "TENANTS", "STORED", "FILES", "USERS", "BUCKETS", "TRANSFER", "FILE SIZE", "REQUESTS/S", "UPLOADS"]


@click.group()
def plan() -> None:
    """Make plans: what tenants may use."""


def limit_option(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `--limit NAME=NUMBER`, once or more."""
    names = ", ".join(LIMIT_NAMES)
    return click.option("--limit", "limits", multiple=True, metavar="NAME=NUMBER", help=f"{text} Names: {names}.")


@plan.command()
@click.argument("name")
@limit_option("A limit; those not named are the standard plan's.")
@command_options
def add(session: Session, name: str, limits: tuple[str, ...]) -> None:
    """Make a plan."""
    with session.runtime() as runtime:
        made = plans.add_plan(runtime, OPERATOR, name, parse_limits(limits))
    session.show(made, _text(made))


@plan.command(name="list")
@command_options
def list_(session: Session) -> None:
    """List the plans."""
    with session.runtime() as runtime:
        found = plans.list_plans(runtime)
    session.show({"items": found}, table(HEADERS, [_row(each) for each in found]))


@plan.command()
@click.argument("name")
@command_options
def show(session: Session, name: str) -> None:
    """Show one plan."""
    with session.runtime() as runtime:
        found = plans.get_plan(runtime, name)
    session.show(found, _text(found))


@plan.command()
@click.argument("name")
@limit_option("A limit to be changed; the others stay.")
@command_options
def update(session: Session, name: str, limits: tuple[str, ...]) -> None:
    """Change a plan; it holds at once for every tenant that has it."""
    with session.runtime() as runtime:
        changed = plans.update_plan(runtime, OPERATOR, name, parse_limits(limits))
    session.show(changed, _text(changed))


@plan.command()
@click.argument("name")
@command_options
def delete(session: Session, name: str) -> None:
    """Forget a plan that no tenant has."""
    with session.runtime() as runtime:
        plans.delete_plan(runtime, OPERATOR, name)
    session.show({"deleted": name}, f"The plan '{name}' is gone.")


@tenant.command(name="set-plan")
@click.argument("slug")
@click.argument("name", metavar="PLAN")
@command_options
def set_plan(session: Session, slug: str, name: str) -> None:
    """Give a tenant another plan; limits agreed for it alone stay."""
    with session.runtime() as runtime:
        changed = plans.set_plan(runtime, OPERATOR, slug, name)
        shown = shown_tenant(changed, runtime.settings)
    session.show(shown, f"'{slug}' has the plan '{name}' now.")


def _row(each: Plan) -> list[Any]:
    of = each.limits
    return [
        each.name, each.tenants, size(of.quota_bytes), of.quota_files, of.quota_users, of.quota_buckets, size(of.quota_transfer_bytes),
        size(of.max_file_size_bytes), of.requests_per_s, of.parallel_uploads,
    ]  # fmt: skip


def _text(each: Plan) -> str:
    lines = [f"plan: {each.name}", f"tenants: {each.tenants}", *(f"{name}: {value}" for name, value in asdict(each.limits).items())]
    return "\n".join(lines)
