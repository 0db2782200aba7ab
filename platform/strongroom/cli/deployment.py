"""An embedded deployment: the settings that follow from its folder, its database, and its first contents."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from strongroom.auth import operators
from strongroom.cli.seed import seed_demo
from strongroom.config import PREFIX, Settings, load_settings
from strongroom.db import bootstrap
from strongroom.db.engines import Databases
from strongroom.db.migrate import migrate_platform
from strongroom.embedded.postgres import EmbeddedPostgres
from strongroom.embedded.state import StateDir, write_private_json
from strongroom.errors import ConfigurationError
from strongroom.fleet.service import migrate_tenants
from strongroom.jobs.broker import make_queues
from strongroom.operating.service import list_providers
from strongroom.runtime import Runtime
from tenants import service as tenants

DATABASE, BROKER_DATABASE = "strongroom", "strongroom_broker"
ROLES = (bootstrap.OWNER_ROLE, bootstrap.APP_ROLE, bootstrap.BROKER_ROLE)
DEFAULT_PROVIDER = "local"


class Deployment:
    """Everything of one machine in one folder."""

    def __init__(self, path: Path) -> None:
        self.state = StateDir(path.resolve())
        self._address_file = self.state.run_dir / "address.json"
        self.postgres = EmbeddedPostgres(
            self.state.pg_data_dir, secret_file=self.state.pg_secret_file, log_file=self.state.logs_dir / "postgres.log",
            socket_dir=self.state.pg_socket_dir,
        )  # fmt: skip

    def create(self, host: str, port: int) -> None:
        """Make the folder, and remember the address."""
        self.state.create()
        self.state.load_secrets(ROLES)
        write_private_json(self._address_file, {"host": host, "port": port})

    def check_exists(self) -> None:
        """Refuse a folder in which no deployment was ever started.

        Raises:
            ConfigurationError
        """
        if not self._address_file.exists():
            raise ConfigurationError(
                f"There is no deployment in {self.state.path}. Start one with 'strongroom up --state {self.state.path}'."
            )

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of the API."""
        address = json.loads(self._address_file.read_text(encoding="utf-8"))
        return str(address["host"]), int(address["port"])

    def values(self) -> dict[str, Any]:
        """Return the settings that follow from the folder. What the environment sets besides stays in force."""
        keys = self.state.load_secrets(ROLES)
        host, port = self.address

        def dsn(role: str, database: str) -> str:
            return self.postgres.dsn(role, keys.database_passwords[role], database)

        broker = "sqla+" + dsn(bootstrap.BROKER_ROLE, BROKER_DATABASE).replace("postgresql://", "postgresql+psycopg://", 1)
        fixed = {
            "database_url": dsn(bootstrap.APP_ROLE, DATABASE), "migration_database_url": dsn(bootstrap.OWNER_ROLE, DATABASE),
            "master_key": keys.master_key,
        }  # fmt: skip
        hosts = {"localhost", "127.0.0.1", "::1", host} - {"0.0.0.0", "::"}  # noqa: S104 - names to answer to, nothing is bound here
        defaults: dict[str, Any] = {
            "broker_url": broker, "allow_tenant_header": True, "public_port": None if port == 80 else port,  # noqa: PLR2004 - HTTP's own
            "platform_hosts": sorted(hosts), "pool_size": 12,
            "rate_limit_storage": f"shared://{quote(str(self.state.run_dir / 'rates'))}",
        }  # fmt: skip
        chosen = {name: value for name, value in defaults.items() if PREFIX + name.upper() not in os.environ}
        return {**fixed, **chosen}

    def settings(self) -> Settings:
        """Return the deployment's settings."""
        return load_settings(**self.values())

    def environment(self) -> dict[str, str]:
        """Return the environment for the deployment's own processes."""
        shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.values().items() if value is not None}
        return {**os.environ, **{PREFIX + name.upper(): value for name, value in shown.items()}}

    @contextlib.contextmanager
    def database_up(self) -> Iterator[None]:
        """Have the database run for the time of a command, if nobody else runs it."""
        if self.postgres.is_running():
            yield
            return
        self.postgres.start()
        try:
            yield
        finally:
            self.postgres.stop()

    def prepare(self) -> dict[str, Any]:
        """Make roles, databases, tables and, the first time, an operator and a demo tenant. Idempotent; return the credentials."""
        keys = self.state.load_secrets(ROLES).database_passwords
        with psycopg.connect(self.postgres.superuser_dsn(), autocommit=True) as connection:
            bootstrap.create_roles(connection, owner=keys[ROLES[0]], app=keys[ROLES[1]], broker=keys[ROLES[2]])
            bootstrap.create_database(connection, DATABASE, bootstrap.OWNER_ROLE)
            bootstrap.create_database(connection, BROKER_DATABASE, bootstrap.BROKER_ROLE)
        with psycopg.connect(self.postgres.superuser_dsn(DATABASE), autocommit=True) as connection:
            bootstrap.lock_down(connection, DATABASE)
        settings = self.settings()
        migrate_platform(settings)
        _migrate_tenants(settings)
        make_queues(settings)
        return self._seed(settings)

    def _seed(self, settings: Settings) -> dict[str, Any]:
        if not self.state.credentials_file.exists():
            pending = self.state.run_dir / "credentials.pending.json"
            if not pending.exists():
                write_private_json(pending, _new_credentials())
            credentials = json.loads(pending.read_text(encoding="utf-8"))
            runtime = Runtime(settings)
            _first_contents(runtime, credentials, self.state.files_dir)
            runtime.close()
            pending.replace(self.state.credentials_file)
        credentials = json.loads(self.state.credentials_file.read_text(encoding="utf-8"))
        return dict(credentials)


def _migrate_tenants(settings: Settings) -> None:
    """Bring every tenant to the newest revision; one whose migration fails keeps nobody from starting."""
    databases = Databases(settings)
    try:
        migrate_tenants(settings, databases, workers=2)
    finally:
        databases.dispose()


def _new_credentials() -> dict[str, Any]:
    return {
        "operator": {"email": "operator@strongroom.localhost", "password": secrets.token_urlsafe(15)},
        "tenant": {"slug": "acme", "email": "owner@acme.localhost", "password": secrets.token_urlsafe(15)},
    }


def _first_contents(runtime: Runtime, credentials: dict[str, Any], files_dir: Path) -> None:
    """Make what a first start makes; takes up again where an earlier first start was cut off."""
    if not any(each.name == DEFAULT_PROVIDER for each in list_providers(runtime)):
        config = {"root": str(files_dir)}
        tenants.add_provider(runtime.databases, runtime.keys, name=DEFAULT_PROVIDER, kind="filesystem", config=config, default=True)
    operator = credentials["operator"]
    if not any(each.email == operator["email"] for each in operators.list_operators(runtime.databases)):
        operators.create_operator(runtime.databases, email=operator["email"], password=operator["password"], name="Operator")
    seed_demo(runtime, credentials["tenant"])
