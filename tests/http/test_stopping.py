"""A server that is told to stop: what runs comes to its end, and nobody who never asked for anything is waited for."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance import wire
from tests.acceptance.waiting import wait_until
from tests.factories import Account, Client, World, host_of
from tests.services.processes import Process, free_port, listens, running, wait_for

LONG_S, BOUND_S = 3600, 30.0
PROGRAM = """
import sys
from gunicorn.workers import gthread
from strongroom import serving
from strongroom.cli.main import main
serving.HEAD_TIMEOUT_S = serving.KEEP_ALIVE_S = int(sys.argv.pop(1))
gthread.DEFAULT_WORKER_DATA_TIMEOUT = float(sys.argv.pop(1))
main()
"""
"""`strongroom` with the two times for which it waits for what never comes; of their own accord they are too long to play a part."""


@contextmanager
def server(world: World, folder: Path, data_timeout_s: float) -> Iterator[tuple[Process, int]]:
    settings, port, log = world.settings, free_port(), folder / "serve.log"
    named = {
        "DATABASE_URL": settings.database_url, "MASTER_KEY": settings.master_key.get_secret_value(), "BROKER_URL": "memory://",
        "CLAMD_ADDRESS": "off", "API_PROCESSES": 1,
    }  # fmt: skip
    environment = [f"STRONGROOM_{name}={value}" for name, value in named.items()]
    command = ["env", *environment, sys.executable, "-c", PROGRAM, str(LONG_S), str(data_timeout_s), "serve", "--bind", f"127.0.0.1:{port}"]
    with running(command, log) as process:
        wait_for(lambda: listens(port), process, log)
        yield process, port


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it."""
    connection.settimeout(0.01)
    try:
        return connection.recv(1000) == b""
    except TimeoutError:
        return False


@pytest.mark.parametrize("data_timeout_s", [0.05, LONG_S])  # one that sends nothing is put aside at once, or holds a thread
def test_a_running_request_ends_and_nobody_else_is_waited_for(
    world: World, owner: Account, client: Client, tmp_path: Path, data_timeout_s: float
) -> None:
    world.create_bucket(owner.tenant)
    with server(world, tmp_path, data_timeout_s) as (process, port), ExitStack() as stack:
        upload, silent, half = (stack.enter_context(wire.connect(port, BOUND_S)) for _ in range(3))
        lines = [f"Host: {host_of(owner.tenant)}", f"Authorization: Bearer {client.token}", "Content-Length: 10"]
        upload.sendall(wire.head("PUT", "/api/v1/objects/media/slow.txt", lines) + b"01234")
        half.sendall(b"GET / HTTP/1.1\r\nHost: ")
        wait_until(lambda: world.stored(owner.tenant), BOUND_S, "the upload to be under way")
        process.terminate()
        wait_until(lambda: is_closed(silent), BOUND_S, "the silent connection to be closed")
        wait_until(lambda: is_closed(half), BOUND_S, "the half request's connection to be closed")
        assert process.poll() is None, "the upload is under way"
        upload.sendall(b"56789")
        upload.settimeout(BOUND_S)
        assert upload.recv(1000).startswith(b"HTTP/1.1 201")
        upload.close()
        assert process.wait(BOUND_S) == 0
