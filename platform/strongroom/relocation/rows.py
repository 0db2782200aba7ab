"""The rows of one tenant in two cells: compared by digests of key ranges, and made equal where they differ.

The source is read as of one moment, the target is written in short transactions: one that was open for long would hold back
the change feed of everybody in that cell. First what differs or is too much is deleted, in all tables; then what is missing is
copied. So, whatever was there before and wherever an earlier run was cut off, no row of the source meets an older self.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from strongroom.db.engines import TENANT_LOCKS, Databases, TenantRef
from strongroom.errors import Conflict
from strongroom.relocation.catalog import Bounds, Key, Table, revision, tables

RANGE_ROWS = 5000
LONGEST_S = 600
_SAME_TEXTS = (
    "DateStyle = 'ISO, MDY'", "TimeZone = 'UTC'", "bytea_output = 'hex'", "extra_float_digits = 1", "IntervalStyle = 'postgres'",
    f"statement_timeout = '{LONGEST_S}s'", f"idle_in_transaction_session_timeout = '{LONGEST_S}s'",
)  # fmt: skip
_RANGES = sql.SQL("""
SELECT {key} FROM (SELECT *, row_number() OVER (ORDER BY {order}) AS place_of_row FROM {table}) placed
WHERE place_of_row % {rows} = 0 ORDER BY place_of_row
""")
_DIGEST = sql.SQL("""
SELECT count(*),
       encode(sha256(coalesce(string_agg(sha256(convert_to(ROW({row})::text, 'UTF8')), ''::bytea ORDER BY {order}), ''::bytea)), 'hex')
FROM {table} WHERE {within}
""")
_HASHES = sql.SQL("SELECT sha256(convert_to(ROW({row})::text, 'UTF8')), {key} FROM {table} WHERE {within}")


@dataclass(frozen=True)
class Digest:
    """How many rows there are within bounds, and a digest of all that is in them."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Comparison:
    """What a pass found equal at its end: tables, rows, a digest over all; and how many rows it had to bring or remove."""

    tables: int
    rows: int
    changed: int
    sha256: str


@contextmanager
def as_tenant(databases: Databases, tenant: TenantRef, *, frozen: bool = False) -> Iterator[Connection]:
    """Open a transaction as a tenant in which values have the same texts in every cluster; with `frozen`, of one moment, read only."""
    with databases.tenant(tenant, frozen=frozen) as connection:
        for setting in _SAME_TEXTS:
            connection.execute(text(f"SET LOCAL {setting}"))
        yield connection


def hold(connection: Connection, tenant: TenantRef) -> None:
    """Keep migrations of the tenant, and others who copy it, away until the transaction ends.

    Raises:
        Conflict: somebody is at it already.
    """
    query = text("SELECT pg_try_advisory_xact_lock(:locks, hashtext(:role))")
    if not connection.execute(query, {"locks": TENANT_LOCKS, "role": tenant.role}).scalar_one():
        raise Conflict("Another worker is copying or migrating it just now. It is tried again.")


def make_equal(databases: Databases, source: TenantRef, target: TenantRef) -> Comparison:
    """Make the target's rows those that the source has at this moment, and see that they are.

    Raises:
        Conflict: the schemas differ, somebody else is at it, or the rows are not equal afterwards.
    """
    with as_tenant(databases, source, frozen=True) as connection:
        hold(connection, source)
        found = tables(connection, source.role)
        _check_tables(databases, connection, target, found)
        differing = [_compare(databases, connection, target, table) for table in found]
        for table, found_there in zip(found, differing, strict=True):
            for bounds in found_there.differing:
                found_there.changed += _remove(databases, connection, target, table, bounds)
        for table, found_there in zip(found, differing, strict=True):
            for bounds in found_there.differing:
                found_there.changed += _bring(databases, connection, target, table, bounds)
        return _sum(found, differing)


class _Found:
    """What comparing a table has found."""

    def __init__(self, digests: Sequence[Digest], differing: Sequence[Bounds]) -> None:
        self.digests, self.differing, self.changed = digests, differing, 0


def _check_tables(databases: Databases, source: Connection, target: TenantRef, wanted: tuple[Table, ...]) -> None:
    with databases.tenant(target) as connection:
        if tables(connection, target.role) != wanted or revision(connection) != revision(source):
            raise Conflict("Its schema was migrated meanwhile. Abort the move, and begin it again.")


def _sum(found: Sequence[Table], differing: Sequence[_Found]) -> Comparison:
    whole = hashlib.sha256()
    for table, each in zip(found, differing, strict=True):
        whole.update(table.name.encode())
        for digest in each.digests:
            whole.update(digest.sha256.encode())
    rows = sum(digest.rows for each in differing for digest in each.digests)
    return Comparison(len(found), rows, sum(each.changed for each in differing), whole.hexdigest())


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - tells the type checker which driver the pool holds
    return driver


def _compare(databases: Databases, source: Connection, target: TenantRef, table: Table) -> _Found:
    """Return a digest of each range at the source, and the ranges of which the target's is another."""
    ranges = _ranges(source, table)
    with ThreadPoolExecutor(1, thread_name_prefix="relocation") as other:
        theirs = other.submit(_digests_there, databases, target, table, ranges)
        ours = [_digest(source, table, bounds) for bounds in ranges]
        pairs = zip(ranges, ours, theirs.result(), strict=True)
        return _Found(ours, [bounds for bounds, here, there in pairs if here != there])


def _ranges(source: Connection, table: Table) -> list[Bounds]:
    """Return bounds that part a table into ranges of a few thousand rows; the first and the last have no end."""
    query = _RANGES.format(key=table.key, order=table.order, table=sql.Identifier(table.name), rows=sql.Literal(RANGE_ROWS))
    marks: list[Key | None] = [None, *(tuple(row) for row in _driver(source).execute(query)), None]
    return list(pairwise(marks))


def _digests_there(databases: Databases, target: TenantRef, table: Table, ranges: Sequence[Bounds]) -> list[Digest]:
    with as_tenant(databases, target) as connection:
        return [_digest(connection, table, bounds) for bounds in ranges]


def _digest(connection: Connection, table: Table, bounds: Bounds) -> Digest:
    query = _DIGEST.format(row=table.row, order=table.order, table=sql.Identifier(table.name), within=table.within(bounds))
    row = _driver(connection).execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one
    return Digest(row[0], row[1])


def _hashes(connection: Connection, table: Table, bounds: Bounds) -> dict[Key, bytes]:
    """Return the hash of every row within the bounds by its key."""
    query = _HASHES.format(row=table.row, key=table.key, table=sql.Identifier(table.name), within=table.within(bounds))
    return {tuple(row[1:]): bytes(row[0]) for row in _driver(connection).execute(query)}


def _remove(databases: Databases, source: Connection, target: TenantRef, table: Table, bounds: Bounds) -> int:
    """Delete at the target what the source has not, or has otherwise; return how many rows."""
    with as_tenant(databases, target) as connection:
        there = _hashes(connection, table, bounds)
        if not there:
            return 0
        here = _hashes(source, table, bounds)
        wrong = [key for key, hashed in there.items() if here.get(key) != hashed]
        if wrong:
            query = sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(table.name), table.among(wrong))
            _driver(connection).execute(query)
        return len(wrong)


def _bring(databases: Databases, source: Connection, target: TenantRef, table: Table, bounds: Bounds) -> int:
    """Copy to the target what it lacks within the bounds, and see that it is equal then; return how many rows."""
    with as_tenant(databases, target) as connection:
        there = _hashes(connection, table, bounds)
        wanted, count = table.within(bounds), -1
        if there:
            missing = [key for key in _hashes(source, table, bounds) if key not in there]
            wanted, count = table.among(missing), len(missing)
        if count:
            count = _copy(_driver(source), _driver(connection), table, wanted)
        if _digest(source, table, bounds) != _digest(connection, table, bounds):
            raise Conflict(f"Rows of the table '{table.name}' are not equal after they were copied.")
        return count


def _copy(source: psycopg.Connection[Any], target: psycopg.Connection[Any], table: Table, wanted: sql.Composable) -> int:
    out = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT").format(table.row, sql.Identifier(table.name), wanted)
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), table.row)
    with psycopg.Cursor(source) as reading, psycopg.Cursor(target) as writing:
        with reading.copy(out) as given, writing.copy(into) as taken:
            for piece in given:
                taken.write(piece)
        return writing.rowcount
