"""`strongroom up`: everything on one machine, from one folder: PostgreSQL, API, worker and beat."""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from strongroom.cli.context import explained
from strongroom.cli.deployment import Deployment
from strongroom.embedded.errors import EmbeddedError
from strongroom.embedded.supervisor import ProcessSpec, Supervisor
from strongroom.security.keys import KeyRing

WORKER_STOP_S = 5.0
"""A job that takes longer to its end is cut off, and begins anew when its lease is over: jobs are made for that."""
DEFAULT_STATE, DEFAULT_PORT, DEFAULT_HOST = ".state", 8000, "127.0.0.1"


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=DEFAULT_STATE,
    envvar="STRONGROOM_STATE",
    show_default=True,
    help="Folder for everything that is kept.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True)
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--json", "as_json", is_flag=True, help="Print addresses and credentials as one JSON document when ready.")
def up(state: Path, port: int, host: str, as_json: bool) -> None:
    """Start everything: PostgreSQL, API, worker and beat. Ctrl-C ends all of it; nothing is lost."""
    with explained(as_json):
        deployment = Deployment(state)
        deployment.create(host, port)
        credentials: dict[str, Any] = {}

        def prepare() -> None:
            _check_port(host, port)
            credentials.update(deployment.prepare())

        postgres = dataclasses.replace(deployment.postgres.process_spec(), after_ready=prepare)
        processes = [postgres, *_own_processes(deployment, host, port)]
        supervisor = Supervisor(
            processes, log_dir=deployment.state.logs_dir, pid_file=deployment.state.supervisor_file,
            on_ready=lambda: _announce(deployment, credentials, as_json),
        )  # fmt: skip
        supervisor.run()


def _own_processes(deployment: Deployment, host: str, port: int) -> list[ProcessSpec]:
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    environment = deployment.environment()
    workers = deployment.settings().worker_processes

    def spec(name: str, *arguments: str, **options: Any) -> ProcessSpec:
        argv = (sys.executable, "-m", "strongroom.cli", name, *arguments)
        return ProcessSpec(name=name, argv=argv, env=environment, stop_group="strongroom", **options)

    return [
        spec("serve", "--bind", bind, ready=_readiness(deployment, host, port), stop_timeout_s=35.0),
        *(dataclasses.replace(spec("worker", stop_timeout_s=WORKER_STOP_S), name=f"worker-{number + 1}") for number in range(workers)),
        spec("beat"),
    ]


def _check_port(host: str, port: int) -> None:
    """Tell at once when somebody else listens there.

    Raises:
        EmbeddedError
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EmbeddedError(
                f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port, or end what uses it."
            ) from None


def _readiness(deployment: Deployment, host: str, port: int) -> Callable[[], bool]:
    """Return a function that tells whether our own API, and nobody else's, answers at the address."""
    expected = KeyRing(deployment.settings()).operator_key("deployment id")[:8].hex()
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound

    def ready() -> bool:
        connection = http.client.HTTPConnection(reachable, port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return response.status == http.client.OK and answer.get("deployment") == expected

    return ready


def _announce(deployment: Deployment, credentials: dict[str, Any], as_json: bool) -> None:
    settings = deployment.settings()
    host, _ = deployment.address
    platform = "localhost" if host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else host  # noqa: S104 - compared, not bound
    tenant, operator = credentials["tenant"], credentials["operator"]
    urls = {
        "operator_console": settings.public_url(platform, "/operator"),
        "tenant_console": settings.tenant_url(tenant["slug"], "/console"),
        "api": settings.tenant_url(tenant["slug"], "/api/v1/docs"),
    }
    if as_json:
        click.echo(json.dumps({"urls": urls, "credentials": credentials, "credentials_file": str(deployment.state.credentials_file)}))
        return
    click.echo(f"""
Strongroom is ready.

  Operator's console  {urls["operator_console"]}
                      {operator["email"]}  {operator["password"]}
  Console of '{tenant["slug"]}'   {urls["tenant_console"]}
                      {tenant["email"]}  {tenant["password"]}
  API reference       {urls["api"]}

  Passwords are kept in {deployment.state.credentials_file}
  Logs are in {deployment.state.logs_dir}
  Ctrl-C stops everything; the same command starts it again.
""")
