"""`strongroom`: the group of all commands."""

from __future__ import annotations

import click

from strongroom import __version__
from strongroom.cli.moves import move_bytes, set_provider
from strongroom.cli.operators import operator
from strongroom.cli.processes import beat, serve, worker
from strongroom.cli.providers import provider
from strongroom.cli.reference import reference
from strongroom.cli.system import bootstrap_sql, doctor, migrate, stats
from strongroom.cli.tenants import tenant
from strongroom.cli.up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Strongroom: multi-tenant, white-label file storage."""


tenant.add_command(move_bytes)
tenant.add_command(set_provider)
for command in (up, tenant, operator, provider, migrate, doctor, stats, bootstrap_sql, reference, serve, worker, beat):
    main.add_command(command)
