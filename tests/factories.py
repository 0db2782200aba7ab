"""What tests are made of: a deployment in this process on a real database, tenants, users, operators, clients, files."""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg
from flask import Flask
from sqlalchemy import event
from strongroom.access import Principal, Role, Scope
from strongroom.api_keys import service as api_keys
from strongroom.app import create_app
from strongroom.auth import cookies, operators
from strongroom.auth import service as sessions
from strongroom.buckets import service as buckets
from strongroom.buckets.models import Bucket
from strongroom.config import Settings
from strongroom.db import bootstrap
from strongroom.db.migrate import migrate_platform
from strongroom.runtime import Runtime
from strongroom.security.tokens import sign
from strongroom.uploads.leases import keeper_of
from strongroom.users import service as users
from werkzeug.test import TestResponse

from tenants import service as tenants
from tenants.models import Tenant
from tests.services.postgres import Cluster
from workers import handlers, housekeeping, runner

PASSWORD = "correct horse battery"
PLATFORM = "localhost"
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""In two halves, so that no scanner finds this file."""
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
_SYSTEM = Principal(UUID(int=0), "", "", Role.OWNER)
_numbers = itertools.count(1)


def number() -> int:
    """A number that no other call in this process gets."""
    return next(_numbers)


def token_bytes(text_: str) -> bytes:
    """32 bytes in base64, as a master key is written."""
    return base64.b64encode(text_.encode().ljust(32, b".")[:32])


@dataclass(frozen=True)
class Database:
    """A migrated database of our own in the run's cluster."""

    cluster: Cluster
    name: str

    @property
    def app_url(self) -> str:
        return self.cluster.dsn(bootstrap.APP_ROLE, self.name)

    @property
    def owner_url(self) -> str:
        return self.cluster.dsn(bootstrap.OWNER_ROLE, self.name)

    @property
    def superuser_url(self) -> str:
        return self.cluster.superuser_dsn(self.name)


def create_database(cluster: Cluster, name: str) -> Database:
    """Make and lock a database as `strongroom up` does. Its time zone is far from UTC, so that whoever forgets one is found."""
    with psycopg.connect(cluster.superuser_dsn(), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        bootstrap.create_database(connection, name, bootstrap.OWNER_ROLE)
        connection.execute(f"ALTER DATABASE \"{name}\" SET timezone = 'Asia/Tokyo'")
    with psycopg.connect(cluster.superuser_dsn(name), autocommit=True) as connection:
        bootstrap.lock_down(connection, name)
    return Database(cluster, name)


def make_settings(database: Database, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": database.app_url,
        "migration_database_url": database.owner_url,
        "master_key": token_bytes("the master key of the tests").decode(),
        "broker_url": "memory://",
        "access_token_lifetime_s": 7200,
        "allow_tenant_header": True,
        "usage_delay_s": 0.0,
        "clamd_address": "off",
        "pool_size": 8,
        "reconcile_grace_s": 3600,
    }
    return Settings(**{**values, **changes})


@dataclass
class Account:
    """A user with what it takes to sign in."""

    tenant: Tenant
    id: UUID
    email: str
    role: Role
    password: str = PASSWORD
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def principal(self) -> Principal:
        return Principal(self.id, self.email, "", self.role)


@dataclass
class OperatorAccount:
    """An operator with what it takes to sign in."""

    id: UUID
    email: str
    role: str
    password: str = PASSWORD
    tokens: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ApiKey:
    """An API key and its text."""

    id: UUID
    text: str


class Client:
    """Requests to one host, as one caller. Every answer is read to its end and closed."""

    def __init__(self, app: Flask, host: str, token: str | None = None, headers: dict[str, str] | None = None) -> None:
        self.app, self.host, self.token = app, host, token
        self.headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        self._client = app.test_client(use_cookies=False)

    def open(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        sent = {**self.headers, **(headers or {})}
        return self._client.open(path, method=method, base_url=f"http://{self.host}", headers=sent, buffered=True, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.open("GET", path, **options)

    def head(self, path: str, **options: Any) -> TestResponse:
        return self.open("HEAD", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.open("POST", path, **options)

    def put(self, path: str, **options: Any) -> TestResponse:
        return self.open("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> TestResponse:
        return self.open("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.open("DELETE", path, **options)

    def as_(self, token: str | None, host: str | None = None) -> Client:
        """The same with another credential."""
        return Client(self.app, host or self.host, token)

    def with_headers(self, headers: dict[str, str]) -> Client:
        """The same, sending these headers besides."""
        return Client(self.app, self.host, self.token, {**self.headers, **headers})


def object_url(bucket: str, path: str) -> str:
    return f"/api/v1/objects/{quote(bucket, safe='')}/{quote(path, safe='/')}"


def put_object(client: Client, bucket: str, path: str, data: bytes = b"some text", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    length = {"CONTENT_LENGTH": str(len(data))}  # the test client leaves out a length of nought
    return client.put(object_url(bucket, path), data=data, headers=named, environ_overrides=length)


def ok(response: TestResponse, status: int = 200) -> Any:
    """The answer's JSON, after having seen its status."""
    assert response.status_code == status, (response.status_code, response.get_data(as_text=True)[:2000])
    return response.get_json() if response.data else None


def problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem document, after having seen that it is one, and this one."""
    assert response.content_type == "application/problem+json", (response.status_code, response.content_type, response.data[:500])
    body: dict[str, Any] = json.loads(response.data)
    assert (response.status_code, body["code"]) == (status, code), body
    assert body["status"] == status
    assert body["type"] == f"/problems/{code}"
    assert body["title"]
    assert body["request_id"] == response.headers["X-Request-Id"]
    return body


class World:
    """A deployment in this process."""

    def __init__(self, database: Database, files_dir: Path, **changes: Any) -> None:
        self.database, self.files_dir = database, files_dir
        self.settings = make_settings(database, **changes)
        self.runtime = Runtime(self.settings)
        self.app = create_app(self.settings, self.runtime)
        self._others: list[World] = []
        self._superuser: psycopg.Connection[dict[str, Any]] | None = None

    @classmethod
    def create(cls, database: Database, files_dir: Path, **changes: Any) -> World:
        """Migrate the database and add the default provider."""
        world = cls(database, files_dir, **changes)
        migrate_platform(world.settings)
        files_dir.mkdir(parents=True, exist_ok=True)
        config = {"root": str(files_dir)}
        tenants.add_provider(world.runtime.databases, world.runtime.keys, name="local", kind="filesystem", config=config, default=True)
        return world

    def again(self, **changes: Any) -> World:
        """Another process on the same database, with other settings."""
        made = World(self.database, self.files_dir, **changes)
        self._others.append(made)
        return made

    def close_others(self) -> None:
        """Close what `again` made."""
        while self._others:
            self._others.pop().close()

    def close(self) -> None:
        self.close_others()
        assert keeper_of(self.runtime).wait_until_idle(30), "an upload's lease is still kept"
        self.runtime.announcer.flush()
        self.runtime.close()
        if self._superuser is not None:
            self._superuser.close()

    # Who is there

    def create_tenant(self, slug: str | None = None, *, name: str = "", **limits: int) -> Tenant:
        slug = slug or f"tenant-{os.getpid()}-{number()}"
        tenant = tenants.create_tenant(self.runtime.databases, slug=slug, name=name, limits=limits)
        self.runtime.registry.forget()
        return tenant

    def create_user(self, tenant: Tenant, role: Role | str = Role.OWNER, *, email: str = "", name: str = "") -> Account:
        role = Role(role)
        email = email or f"{role}-{number()}@example.com"
        user = users.create_user(self.runtime, tenant, _SYSTEM, email=email, role=role, password=PASSWORD, name=name)
        return Account(tenant, user.id, email, role)

    def create_operator(self, role: str = "admin") -> OperatorAccount:
        email = f"operator-{os.getpid()}-{number()}@example.com"
        made = operators.create_operator(self.runtime.databases, email=email, password=PASSWORD, role=role)
        return OperatorAccount(made.id, email, role)

    def create_api_key(self, account: Account, *scopes: Scope | str, expires_at: Any = None) -> ApiKey:
        wanted = [Scope(each) for each in scopes]
        key, secret = api_keys.create_api_key(
            self.runtime, account.tenant, account.principal, name=f"key {number()}", scopes=wanted, expires_at=expires_at
        )
        return ApiKey(key.id, secret)

    # Clients

    def sign_in(self, account: Account | OperatorAccount) -> dict[str, Any]:
        """A new pair of tokens."""
        host, prefix = (host_of(account.tenant), "/api/v1") if isinstance(account, Account) else (PLATFORM, "/operator/api/v1")
        body = {"email": account.email, "password": account.password}
        tokens: dict[str, Any] = ok(Client(self.app, host).post(f"{prefix}/auth/login", json=body))
        return tokens

    def client(self, who: Account | OperatorAccount | Tenant | str | None = None, key: ApiKey | None = None) -> Client:
        """A client of an account, of an API key at a tenant, or of nobody at a tenant or a host."""
        if isinstance(who, Account | OperatorAccount):
            if not who.tokens:
                who.tokens = self.sign_in(who)
            host = host_of(who.tenant) if isinstance(who, Account) else PLATFORM
            return Client(self.app, host, who.tokens["access_token"])
        host = host_of(who) if isinstance(who, Tenant) else who or PLATFORM
        return Client(self.app, host, key.text if key else None)

    def browser(self, account: Account | OperatorAccount) -> Client:
        """A browser in which an account has just signed in: its cookie, under both consoles' names, and its CSRF token."""
        keys = self.runtime.keys
        if isinstance(account, OperatorAccount):
            grant = operators.login(self.runtime, email=account.email, password=account.password, kind="console")
            csrf, signing, name, host = keys.operator_key("csrf"), keys.operator_key(cookies.OPERATOR), cookies.OPERATOR, PLATFORM
        else:
            user = {"email": account.email, "password": account.password, "user_agent": "", "remote_addr": ""}
            grant = sessions.login(self.runtime, account.tenant, kind="console", **user)
            csrf, signing = (keys.tenant_key(account.tenant.id, each) for each in ("csrf", cookies.CONSOLE))
            name, host = cookies.CONSOLE, host_of(account.tenant)
        cookie = sign(signing, name, str(grant.session_id), 600)
        token = hmac.digest(csrf, grant.session_id.bytes, "sha256").hex()
        headers = {"Cookie": f"{cookies.CONSOLE}={cookie}; {cookies.OPERATOR}={cookie}", "X-CSRF-Token": token}
        return Client(self.app, host, headers=headers)

    # Contents

    def create_bucket(self, tenant: Tenant, name: str = "media", **policy: Any) -> Bucket:
        return buckets.create_bucket(self.runtime, tenant, _SYSTEM, name=name, **policy)

    def upload(self, client: Client, path: str = "a.txt", data: bytes = b"some text", *, bucket: str = "media", **headers: str) -> Any:
        return ok(put_object(client, bucket, path, data, **headers), 201)

    def stored(self, tenant: Tenant) -> list[Path]:
        """Every file of bytes that a tenant has at the provider, finished or not."""
        return sorted(path for path in (self.files_dir / tenant.prefix).rglob("*") if path.is_file())

    # Jobs

    def run_jobs(self, world: World | None = None) -> int:
        """Do everything that is queued, whatever its delay, and what follows from it at once. What fails is not tried again.

        What is being done to tenants goes on whatever it waits for: a grace time is over, too.
        """
        self.sql("UPDATE strongroom.operations SET due_at = now() WHERE state = 'open' AND due_at > now()")
        self.sql("UPDATE strongroom.jobs SET run_at = now() - interval '1 second' WHERE state = 'queued' AND run_at >= now()")
        return self.run_due_jobs(world)

    def run_due_jobs(self, world: World | None = None) -> int:
        """Do what is due now, and what follows from it at once."""
        count = 0
        while runner.run_one((world or self).runtime, "default"):
            count += 1
        return count

    def look_for_lost_work(self) -> None:
        """What the clock does every day, but for the daily job of each of the many tenants of the tests."""
        housekeeping.enqueue_due(self.runtime)
        self.forget_daily_jobs()

    def forget_daily_jobs(self) -> None:
        """Else whoever next runs all jobs would put every tenant there is in order."""
        self.sql("DELETE FROM strongroom.jobs WHERE kind = %(kind)s AND state = 'queued'", kind=handlers.HOUSEKEEPING)

    def jobs(self, tenant: Tenant, **wanted: str) -> list[Any]:
        """The tenant's jobs, oldest first, with these values."""
        where = "".join(f" AND {name} = %({name})s" for name in wanted)
        query = f"SELECT * FROM strongroom.jobs WHERE tenant_id = %(tenant)s{where} ORDER BY created_at, id"  # noqa: S608 - names from tests
        return self.sql(query, tenant=tenant.id, **wanted)

    # The database, past all walls

    def sql(self, query: str, **values: Any) -> list[Any]:
        """Run a statement as the superuser; return the rows as dictionaries."""
        if self._superuser is None:
            self._superuser = psycopg.connect(self.database.superuser_url, autocommit=True, row_factory=psycopg.rows.dict_row)
        cursor = self._superuser.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []

    def tenant_sql(self, tenant: Tenant, query: str, **values: Any) -> list[Any]:
        """The same, `{t}` standing for the tenant's schema."""
        return self.sql(query.replace("{t}", tenant.ref.role), **values)

    def rows(self, tenant: Tenant, table: str, where: str = "true", **values: Any) -> list[Any]:
        """Rows of one of a tenant's tables."""
        return self.sql(f"SELECT * FROM {tenant.ref.role}.{table} WHERE {where}", **values)  # noqa: S608 - names from tests

    def totals(self, tenant: Tenant) -> dict[str, int]:
        """The tenant's counters."""
        row: dict[str, int] = self.rows(tenant, "counters")[0]
        return {name: value for name, value in row.items() if name not in {"only_row", "warned"}}


def host_of(tenant: Tenant) -> str:
    return f"{tenant.slug}.localhost"


class Statements:
    """Counts the statements of all engines inside a `with` block."""

    def __init__(self, runtime: Runtime) -> None:
        self._engines = set(runtime.databases._cells.values()) | {runtime.databases._control}
        self.texts: list[str] = []

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.texts.append(statement)

    def __enter__(self) -> Statements:
        for engine in self._engines:
            event.listen(engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines:
            event.remove(engine, "before_cursor_execute", self._note)
