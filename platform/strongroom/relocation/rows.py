"""The rows of one tenant in two cells: compared by digests of key ranges, and made equal where they differ.

The source is read as of one moment, the target is written in short transactions: one that was open for long would hold back
the change feed of everybody in that cell. First what differs or is too much is deleted, in all tables; then what is missing is
copied. So, whatever was there before and wherever an earlier run was cut off, no row of the source meets an older self.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from strongroom.db.engines import TENANT_LOCKS, Databases, TenantRef
from strongroom.errors import Conflict
from strongroom.relocation.catalog import Bounds, Table, revision, tables
from strongroom.relocation.ranges import Reader, Seen, digest, driver, hashes, ranges

LONGEST_S = 600
Ranges = dict[Bounds, tuple[Seen | None, Seen | None]]
"""What the ranges of a table were when they were last seen, in the source and in the target; None: digest it."""
_SAME_TEXTS = (
    "DateStyle = 'ISO, MDY'", "TimeZone = 'UTC'", "bytea_output = 'hex'", "extra_float_digits = 1", "IntervalStyle = 'postgres'",
    f"statement_timeout = '{LONGEST_S}s'", f"idle_in_transaction_session_timeout = '{LONGEST_S}s'",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What a pass found equal at its end: tables, rows, a digest over all.

    `changed`: rows that it had to bring or remove. `hashed`: rows that it digested, all others being untouched since an earlier pass.
    """

    tables: int
    rows: int
    changed: int
    sha256: str
    hashed: int


class Memory:
    """What passes have seen of each table's ranges, in both cells; good in no other schema than that of its revision."""

    def __init__(self) -> None:
        self.revision = ""
        self.tables: dict[str, Ranges] = {}

    def of(self, revision: str) -> None:
        """Forget everything unless it was seen in a schema of this revision."""
        if revision != self.revision:
            self.revision, self.tables = revision, {}


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


def make_equal(databases: Databases, source: TenantRef, target: TenantRef, memory: Memory | None = None) -> Comparison:
    """Bring the rows of every table of a tenant's schema in the target to what they are in the source, as of now.

    With the memory of an earlier pass only what was touched since then is digested and compared anew.

    Raises:
        Conflict: another worker is at it, the schemas differ, or rows differ although they were just made equal.
    """
    memory = memory or Memory()
    with as_tenant(databases, source, frozen=True) as connection:
        hold(connection, source)
        found = tables(connection, source.role)
        memory.of(_check_tables(databases, connection, target, found))
        reader = Reader(connection)
        compared = [_compare(databases, reader, target, table, memory.tables.get(table.name)) for table in found]
        for table, each in zip(found, compared, strict=True):
            for bounds in each.differing:
                each.changed += _remove(databases, connection, target, table, bounds)
        for table, each in zip(found, compared, strict=True):
            for bounds in each.differing:
                each.changed += _bring(databases, connection, target, table, bounds)
        memory.tables = {table.name: each.remembered for table, each in zip(found, compared, strict=True)}
        return _sum(found, compared, reader.hashed)


class _Compared:
    """What comparing a table has found: its ranges with what each is in the source, and in the target."""

    def __init__(self, ranges: Sequence[Bounds], here: Sequence[Seen], there: Sequence[Seen]) -> None:
        self.here, self.changed = here, 0
        both = list(zip(ranges, here, there, strict=True))
        self.differing = [bounds for bounds, ours, theirs in both if ours.digest != theirs.digest]
        self.remembered: Ranges = {bounds: (ours, theirs if ours.digest == theirs.digest else None) for bounds, ours, theirs in both}


def _check_tables(databases: Databases, source: Connection, target: TenantRef, wanted: tuple[Table, ...]) -> str:
    """Return the schemas' revision, which must be the same."""
    present = revision(source)
    with databases.tenant(target) as connection:
        if tables(connection, target.role) != wanted or revision(connection) != present:
            raise Conflict("Its schema was migrated meanwhile. Abort the move, and begin it again.")
    return present


def _sum(found: Sequence[Table], compared: Sequence[_Compared], hashed: int) -> Comparison:
    whole = hashlib.sha256()
    for table, each in zip(found, compared, strict=True):
        whole.update(table.name.encode())
        for seen in each.here:
            whole.update(seen.digest.sha256.encode())
    rows = sum(seen.digest.rows for each in compared for seen in each.here)
    return Comparison(len(found), rows, sum(each.changed for each in compared), whole.hexdigest(), hashed)


def _compare(databases: Databases, reader: Reader, target: TenantRef, table: Table, known: Ranges | None) -> _Compared:
    """See each range in both cells at the same time."""
    if known is None:
        known = dict.fromkeys(ranges(reader.connection, table), (None, None))
    with ThreadPoolExecutor(1, thread_name_prefix="relocation") as other:
        theirs = other.submit(_see_there, databases, target, table, {bounds: seen for bounds, (_, seen) in known.items()})
        ours = reader.see_all(table, {bounds: seen for bounds, (seen, _) in known.items()})
        return _Compared(list(known), ours, theirs.result())


def _see_there(databases: Databases, target: TenantRef, table: Table, known: Mapping[Bounds, Seen | None]) -> list[Seen]:
    with as_tenant(databases, target) as connection:
        return Reader(connection).see_all(table, known)


def _remove(databases: Databases, source: Connection, target: TenantRef, table: Table, bounds: Bounds) -> int:
    """Delete at the target what the source has not, or has otherwise; return how many rows."""
    with as_tenant(databases, target) as connection:
        there = hashes(connection, table, bounds)
        if not there:
            return 0
        here = hashes(source, table, bounds)
        wrong = [key for key, hashed in there.items() if here.get(key) != hashed]
        if wrong:
            query = sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(table.name), table.among(wrong))
            driver(connection).execute(query)
        return len(wrong)


def _bring(databases: Databases, source: Connection, target: TenantRef, table: Table, bounds: Bounds) -> int:
    """Copy to the target what it lacks within the bounds, and see that it is equal then; return how many rows."""
    with as_tenant(databases, target) as connection:
        there = hashes(connection, table, bounds)
        wanted, count = table.within(bounds), -1
        if there:
            missing = [key for key in hashes(source, table, bounds) if key not in there]
            wanted, count = table.among(missing), len(missing)
        if count:
            count = _copy(driver(source), driver(connection), table, wanted)
        if digest(source, table, bounds) != digest(connection, table, bounds):
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
