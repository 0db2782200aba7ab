"""`strongroom`: the group of all commands."""

from __future__ import annotations

from importlib import import_module

import click

from strongroom import __version__

COMMANDS = {
    "up": "up", "tenant": "tenant_group", "operator": "operators", "provider": "providers", "migrate": "fleet", "doctor": "system",
    "stats": "system", "bootstrap-sql": "system", "reference": "reference", "serve": "processes", "worker": "processes",
    "beat": "processes", "cell": "cells", "plan": "plans",
}  # fmt: skip
"""In which module of this package each command is. They are imported when they are used: a process that serves has no
room for what only migrations, scans and seeds need."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Return a command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"strongroom.cli.{COMMANDS[cmd_name]}"), cmd_name.replace("-", "_"))
        return found


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Strongroom: multi-tenant, white-label file storage."""
