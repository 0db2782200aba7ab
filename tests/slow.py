"""Slow clients, without waiting: bodies that stop until they are told to go on."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from werkzeug.test import TestResponse

from tenants.models import Tenant
from tests.acceptance.waiting import wait_until
from tests.factories import Client, World, object_url

BOUND_S = 20


class SlowBody(io.RawIOBase):
    """A body that gives nothing before `go` is set."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.reached, self.go = threading.Event(), threading.Event()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self.reached.set()
        if not self.go.wait(BOUND_S):
            raise TimeoutError("nobody let the slow body go on")
        return self._data.read(size)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class InBackground(threading.Thread):
    """Calls a function in a thread and keeps what it gave."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._act()
        except BaseException as error:  # noqa: BLE001 - raised again in `result`
            self._error = error

    def result(self) -> Any:
        self.join(BOUND_S)
        assert not self.is_alive(), "still running"
        if self._error is not None:
            raise self._error
        return self._result


class Hanging:
    """Requests sent at once, each with a body that gives nothing before `go_on`; an act takes the options that bring the body."""

    def __init__(self, acts: Iterable[Callable[..., TestResponse]], data: bytes) -> None:
        self._all: list[tuple[SlowBody, InBackground]] = []
        for act in acts:
            body = SlowBody(data)
            options = {"environ_overrides": {"wsgi.input": body, "CONTENT_LENGTH": str(len(data))}}
            self._all.append((body, InBackground(partial(act, options))))

    def answered(self) -> list[TestResponse]:
        """The answers that came before a body was read, once every other request waits for its body."""
        wait_until(lambda: all(body.reached.is_set() or not request.is_alive() for body, request in self._all), BOUND_S)
        return [request.result() for body, request in self._all if not body.reached.is_set()]

    def go_on(self) -> list[TestResponse]:
        """Let the others have their bodies; their answers."""
        for body, _ in self._all:
            body.go.set()
        return [request.result() for body, request in self._all if body.reached.is_set()]


@contextmanager
def slow_upload(client: Client, path: str, data: bytes = b"slow", *, bucket: str = "media") -> Iterator[Callable[[], TestResponse]]:
    """An upload whose body hangs inside the block; the function that is yielded lets it go on and gives the answer."""
    body = SlowBody(data)
    overrides = {"wsgi.input": body, "CONTENT_LENGTH": str(len(data))}
    request = InBackground(lambda: client.put(object_url(bucket, path), environ_overrides=overrides))
    assert body.reached.wait(BOUND_S), request.result().data

    def finish() -> TestResponse:
        body.go.set()
        response: TestResponse = request.result()
        return response

    try:
        yield finish
    finally:
        finish()


def all_at_once(acts: Iterable[Callable[..., Any]]) -> list[Any]:
    """Call all functions in threads that start together; return what they gave."""
    acts = list(acts)
    barrier = threading.Barrier(len(acts))

    def start(act: Callable[..., Any]) -> Any:
        barrier.wait(BOUND_S)
        return act()

    return [thread.result() for thread in [InBackground(partial(start, act)) for act in acts]]


def with_others_beginning(world: World, tenant: Tenant, request: Callable[[], Any]) -> Any:
    """What a request gives while others begin as many uploads as the tenant may have: they commit as soon as it waits for them."""
    query = f"""INSERT INTO {tenant.ref.role}.uploads (id, kind, bucket_id, path, version_id, provider_id, reserved_bytes, reserved_files,
        content_type, expires_at) SELECT gen_random_uuid(), 'stream', (SELECT id FROM {tenant.ref.role}.buckets LIMIT 1), n::text,
        gen_random_uuid(), gen_random_uuid(), 0, 0, '', now() + '1 hour' FROM generate_series(1, %(many)s) n"""  # noqa: S608 - a role's name
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(world.database.superuser_url) as connection:
        connection.execute(f"UPDATE {tenant.ref.role}.counters SET reserved_bytes = reserved_bytes")  # noqa: S608 - a role's name
        connection.execute(query, {"many": tenant.limits.parallel_uploads})
        asked = InBackground(request)
        wait_until(lambda: world.sql(waiting) or not asked.is_alive(), BOUND_S)
    return asked.result()
