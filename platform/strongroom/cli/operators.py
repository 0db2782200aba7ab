"""`strongroom operator …` and `strongroom provider …`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from strongroom.auth import operators
from strongroom.cli.context import OPERATOR, Session, command_options, read_password, table
from strongroom.operating import service
from strongroom.storage.providers import KINDS


@click.group()
def operator() -> None:
    """Operators: the accounts that run the deployment."""


@operator.command(name="create")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking.")
@click.option("--name", default="")
@click.option("--role", type=click.Choice(operators.ROLES), default="admin", show_default=True)
@command_options
def create_operator(session: Session, email: str, password_stdin: bool, name: str, role: str) -> None:
    """Make an operator's account."""
    password = read_password(password_stdin, "Password")
    with session.runtime() as runtime:
        made = operators.create_operator(runtime.databases, email=email, password=password, name=name, role=role)
        operators.record(runtime.databases, OPERATOR, "operator.create", made.email, {"role": role})
        url = runtime.settings.public_url(runtime.settings.platform_hosts[0], "/operator")
    session.show(made, f"Operator {made.email} can sign in at {url}")


@operator.command(name="list")
@command_options
def list_operators(session: Session) -> None:
    """List operators."""
    with session.runtime() as runtime:
        found = operators.list_operators(runtime.databases)
    rows: list[list[Any]] = [[each.email, each.role, each.last_login_at or "never"] for each in found]
    session.show({"items": found}, table(["E-MAIL", "ROLE", "LAST SIGN-IN"], rows))


@click.group()
def provider() -> None:
    """Providers: where tenants' bytes live."""


@provider.command(name="add")
@click.argument("name")
@click.option("--kind", type=click.Choice(sorted(KINDS)), required=True)
@click.option("--root", type=click.Path(path_type=Path), help="filesystem: the folder that holds the objects.")
@click.option("--default", "is_default", is_flag=True, help="New tenants are given this provider.")
@command_options
def add_provider(session: Session, name: str, kind: str, root: Path | None, is_default: bool) -> None:
    """Add a provider after having seen that it works."""
    config = {"root": str(root.resolve())} if root else {}
    with session.runtime() as runtime:
        made = service.add_provider(runtime, OPERATOR, name=name, kind=kind, config=config, default=is_default)
    session.show(made, f"Provider '{name}' is ready{' and the default' if is_default else ''}.")


@provider.command(name="list")
@command_options
def list_providers(session: Session) -> None:
    """List providers."""
    with session.runtime() as runtime:
        found = service.list_providers(runtime)
    rows: list[list[Any]] = [[each.name, each.kind, "yes" if each.is_default else "", each.config] for each in found]
    session.show({"items": found}, table(["NAME", "KIND", "DEFAULT", "CONFIGURATION"], rows))


@provider.command(name="test")
@click.argument("name")
@command_options
def try_provider(session: Session, name: str) -> None:
    """Write, read, list and delete a probe object, and tell how each step went."""
    with session.runtime() as runtime:
        steps = service.try_provider(runtime, name)
    ok = all(step.ok for step in steps)
    session.show(
        {"ok": ok, "steps": steps}, "\n".join(f"{'ok    ' if step.ok else 'FAILED'}  {step.name}  {step.detail}".rstrip() for step in steps)
    )
    if not ok:
        raise SystemExit(1)
