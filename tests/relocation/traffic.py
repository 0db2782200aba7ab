"""Clients that write and read while their tenant moves, and remember what was acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.factories import Client, object_url, put_object

BOUND_S = 60


class Traffic:
    """Threads that write and read at a tenant until they are told to stop. `gap_s`: between two requests of one."""

    def __init__(self, clients: list[Client], gap_s: float = 0.0) -> None:
        self.gap_s = gap_s
        self.written: list[str] = []
        self.refused, self.reads = 0, 0
        self.wrong: list[Any] = []
        self._over = threading.Event()
        acts = [(act, number, client) for number, client in enumerate(clients) for act in (self._write, self._read)]
        self._threads = [threading.Thread(target=self._run, args=each, daemon=True) for each in acts]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(BOUND_S)

    def _run(self, act: Callable[[str, Client], None], number: int, client: Client) -> None:
        count = 0
        while not self._over.is_set() and not self.wrong:
            count += 1
            try:
                act(f"w{number}-{count}.txt", client)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.wrong.append(error)
            self._over.wait(self.gap_s)

    def _write(self, path: str, client: Client) -> None:
        response = put_object(client, "media", path, path.encode())
        if response.status_code == 201:
            self.written.append(path)
        elif response.status_code == 503 and response.get_json(force=True)["code"] == "tenant_moving":
            self.refused += 1
        else:
            self.wrong.append((response.status_code, response.data))

    def _read(self, _path: str, client: Client) -> None:
        for url in (object_url("media", "a.txt"), "/api/v1/buckets/media/files?limit=1"):
            response = client.get(url)
            if response.status_code != 200:
                self.wrong.append((url, response.status_code, response.data))
        self.reads += 1
