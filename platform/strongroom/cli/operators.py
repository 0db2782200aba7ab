"""`strongroom operator …`"""

from __future__ import annotations

from typing import Any

import click

from strongroom.auth import operators
from strongroom.cli.context import OPERATOR, Session, command_options, read_password, table


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
