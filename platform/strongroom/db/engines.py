"""Engines per cell, and the two kinds of transaction: control (the registry) and tenant (one tenant's schema).

A tenant transaction starts with SET LOCAL of role and search_path, so that even a statement with a forgotten filter, a
wrong join or injected SQL stays inside the tenant. The login role is NOINHERIT: without the SET it can read no tenant's
table. Every later statement travels by the extended protocol, which takes one statement at a time, so that injected SQL
cannot append a `SET ROLE` of its own (PostgreSQL documentation, 54.2.3). What is prepared is forgotten when a connection goes
over to another tenant (`recycling`); PostgreSQL plans it anew whenever the search path is another one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from strongroom.config import Settings
from strongroom.db import recycling
from strongroom.db.cursors import SingleStatementCursor, forget_prepared, run_plain
from strongroom.db.pool import TenantPool, wanted_by
from strongroom.errors import DatabaseUnavailable, UnknownHost

T = TypeVar("T")
log = logging.getLogger(__name__)
ROLE_PATTERN = re.compile(r"t_[0-9a-f]{32}")
TENANT_LOCKS = 0x53726D67  # the first half of the lock of whoever migrates or moves a tenant; the second is a hash of its role
BEGIN, FROZEN = "BEGIN", "; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
RELAXED = "; SET LOCAL synchronous_commit = off"
REFUSALS = 3  # sessions that have to refuse a tenant's role before it counts as gone; see `_end_session`
STALE_CONNECTIONS = 100  # more than any pool holds: a restart of the database makes all of them stale at once
PREPARE_AFTER = 5  # times that a statement ran for the same tenant on a connection; planning it costs more than running it
LIMITED = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
TRY_AGAIN = frozenset({
    "57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08006",  # the connection or the server is gone, or full
    "40P01", "40001", "55P03", "57014", "25P03",  # deadlock, serialisation, lock and statement time-outs
})  # fmt: skip


@dataclass(frozen=True)
class TenantRef:
    """What is needed to reach a tenant's rows: its id and its cell."""

    id: UUID
    cell: str

    @property
    def role(self) -> str:
        """The name of the tenant's role and of its schema, which are the same."""
        return f"t_{self.id.hex}"


def make_engine(url: str, settings: Settings) -> Engine:
    """Return a pooled engine for `url`; it connects when first used."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_timeout_s,
        poolclass=QueuePool if settings.behind_pgbouncer else TenantPool,  # behind it a connection is no session
        pool_use_lifo=True,
        isolation_level="AUTOCOMMIT",  # transactions begin by hand, together with what binds them to a tenant: one round trip
        json_deserializer=orjson.loads,
        hide_parameters=True,  # they hold e-mails and hashes, which must not get into logs
        connect_args={
            "cursor_factory": SingleStatementCursor,
            "prepare_threshold": None if settings.behind_pgbouncer else PREPARE_AFTER,
            "connect_timeout": 5,
            "application_name": "strongroom",
            **({} if settings.behind_pgbouncer else {"options": " ".join(f"-c {each}" for each in _session(settings))}),
        },
    )
    if isinstance(engine.pool, TenantPool):
        engine.pool.keep_to(settings.connection_max_tenants, spread=settings.spread_tenants)
    return engine


def _session(settings: Settings) -> list[str]:
    """Return what holds for every session, as `name=value`."""
    return ["timezone=UTC", *(f"{name}={settings.statement_timeout_s * 1000}" for name in LIMITED)]


def _begin(settings: Settings) -> str:
    """Return what begins a transaction: through PgBouncer each may be on a session that somebody else has left."""
    if not settings.behind_pgbouncer:
        return BEGIN
    return "; ".join([recycling.CLEAN + "BEGIN", *(f"SET LOCAL {each}" for each in _session(settings))])


def _refuse_unavailable(error: BaseException | None) -> None:
    """Tell an error that came of a database which does not answer by its own name; leave every other alone.

    Raises:
        DatabaseUnavailable
    """
    if isinstance(error, PoolTimeoutError):
        raise DatabaseUnavailable("All database connections are in use.", retry_after_s=1) from error
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        lost = isinstance(error, OperationalError) and state is None
        if lost or state in TRY_AGAIN or error.connection_invalidated:
            raise DatabaseUnavailable(retry_after_s=2) from error


class Databases:
    """All engines of this process. Cheap to make: nothing connects before the first transaction."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._begin = _begin(settings)
        self._control = make_engine(settings.database_url, settings)
        self._cells = {
            name: self._control if url == settings.database_url else make_engine(url, settings)
            for name, url in settings.cell_urls().items()
        }

    @property
    def cell_names(self) -> list[str]:
        """The names of all cells."""
        return list(self._cells)

    def control(self) -> Transaction:
        """Open a transaction on the registry."""
        return Transaction(self._control, self._begin)

    def cell(self, name: str, *, relaxed: bool = False) -> Transaction:
        """Open a transaction on a cell's own tables (jobs), outside every tenant.

        With `relaxed` its commit does not wait for the disk: everybody sees at once what it wrote, but that may be lost, whole, if
        the database's machine goes down within a second (PostgreSQL documentation, 28.4).
        """
        return Transaction(self._engine(name), self._begin + (RELAXED if relaxed else ""))

    def look_up(self, find: Callable[[Connection], T]) -> T:
        """Return what `find` reads from the registry by one statement, which needs no transaction: that is one round trip.

        `find` is called twice where its connection had died in the pool.

        Raises:
            DatabaseUnavailable
        """
        try:
            with Transaction(self._control, self._begin if self._begin != BEGIN else "") as connection:
                return find(connection)
        except DatabaseUnavailable as error:
            if not (isinstance(error.__cause__, DBAPIError) and error.__cause__.connection_invalidated):
                raise
        with self.control() as connection:
            return find(connection)

    def _engine(self, cell: str) -> Engine:
        """Return a cell's engine.

        Raises:
            DatabaseUnavailable: the settings of this process do not name it; those of others may. What is told leaves out its name.
        """
        engine = self._cells.get(cell)
        if engine is None:
            log.error("the settings of this process do not name a cell: add it to STRONGROOM_CELLS, and restart", extra={"cell": cell})
            raise DatabaseUnavailable("This process does not know where it is; see 'strongroom doctor'.", retry_after_s=5)
        return engine

    def tenant(self, tenant: TenantRef, *, frozen: bool = False, relaxed: bool = False) -> Transaction:
        """Open a transaction that can reach one tenant's schema and nothing else.

        With `frozen` it sees one moment, and writes nothing. With `relaxed` its commit does not wait for the disk; see `cell`.

        Raises:
            UnknownHost: its role is gone, or nobody may take it here any more.
            DatabaseUnavailable
        """
        role = tenant.role
        if not ROLE_PATTERN.fullmatch(role):
            raise ValueError("not a tenant's role")
        kind = (FROZEN if frozen else "") + (RELAXED if relaxed else "")
        begin = f"{self._begin}{kind}; SET LOCAL ROLE {role}; SET LOCAL search_path = {role}"
        return Transaction(self._engine(tenant.cell), begin, role)

    def dispose(self) -> None:
        """Close all pooled connections."""
        for engine in {self._control, *self._cells.values()}:
            engine.dispose()


class Transaction(AbstractContextManager[Connection]):
    """A transaction that commits on leaving, and rolls back on an exception. `begin` opens it, in `owner`'s role if one is given.

    Raises:
        DatabaseUnavailable: on entering and on leaving; also for an error within that means so.
    """

    def __init__(self, engine: Engine, begin: str, owner: str = "") -> None:
        self._engine, self._begin, self._owner = engine, begin, owner

    def __enter__(self) -> Connection:
        try:
            self._connection = _connect(self._engine, self._begin, self._owner)
        except (PoolTimeoutError, DBAPIError) as error:
            _refuse_unavailable(error)
            raise
        self._root = self._connection.begin()
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            try:
                self._root.__exit__(kind, error, trace)
            finally:
                self._connection.close()
        except DBAPIError as own:
            _refuse_unavailable(own)
            raise
        _refuse_unavailable(error)


def _begin_on(driver: psycopg.Connection[Any], cleaning: str, begin: str) -> None:
    """Begin a transaction, cleaned of what was before where that is needed, in one round trip."""
    try:
        if cleaning or begin:
            run_plain(driver, cleaning + begin)
    finally:
        if cleaning:
            forget_prepared(driver)


def _connect(engine: Engine, begin: str, owner: str) -> Connection:
    """Return a connection with its owner's transaction begun; those that died in the pool since their last use are thrown away.

    Raises:
        DatabaseUnavailable
    """
    wanted_by(owner)
    refused = 0
    for _ in range(STALE_CONNECTIONS):
        connection = engine.connect()
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)  # noqa: S101 - tells the type checker which driver the pool holds
        try:
            _begin_on(driver, recycling.cleaning(connection.info, owner), begin)
        except psycopg.errors.InvalidParameterValue:
            connection.close()
            raise UnknownHost from None  # the tenant was deleted a moment ago
        except psycopg.errors.InsufficientPrivilege:
            refused += 1
            _end_session(driver)
            connection.invalidate()
            connection.close()
            if refused == REFUSALS:
                raise UnknownHost from None  # the tenant has left this cell
        except (psycopg.OperationalError, psycopg.InterfaceError):
            connection.invalidate()
            connection.close()
        else:
            recycling.taken_by(connection.info, owner)
            return connection
    raise DatabaseUnavailable(retry_after_s=2)


def _end_session(driver: psycopg.Connection[Any]) -> None:
    """End a session that may not take a tenant's role: it may be the only one that does not know of the grant.

    A session of PostgreSQL (seen with 18) lists the roles that it may take when it hears that any was granted. Should it hear of the
    next grant while it does so, it throws its old list away and then keeps the new one, which lacks that grant, until a role is
    granted again (`roles_is_member_of`, utils/adt/acl.c). With 2,500 tenants made by three threads 16 were not found because of
    this. Behind PgBouncer the server's session goes only if it is told to.
    """
    with suppress(psycopg.Error):
        run_plain(driver, "ROLLBACK; SELECT pg_terminate_backend(pg_backend_pid())")
