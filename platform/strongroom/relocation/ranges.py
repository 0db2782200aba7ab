"""A range of a table's rows in one cell: digested, and seen again without digesting it when nobody has changed it since.

Whatever writes a row leaves its transaction's number in it (`xmin`), and a row once written is never changed in place. So let
`mark` be the oldest transaction that had not ended before a range was digested: if afterwards all its rows bear older numbers,
they were all there then; and if they are as many as then, none has gone either. Counting them costs a tenth of digesting them.
A number may be told wrongly as a newer one (it has 32 bits, and comes again), never as an older one: then the range is
digested once more. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from strongroom.relocation.catalog import Bounds, Key, Table

RANGE_ROWS = 5000
NUMBERS = 2**32
"""So many numbers transactions have in a row's `xmin`; half of them count as older than the present one."""
_BOUNDS = sql.SQL("""
SELECT {key} FROM (SELECT *, row_number() OVER (ORDER BY {order}) AS place_of_row FROM {table}) placed
WHERE place_of_row % {rows} = 0 ORDER BY place_of_row
""")
_DIGEST = sql.SQL("""
SELECT count(*),
       encode(sha256(coalesce(string_agg(sha256(convert_to(ROW({row})::text, 'UTF8')), ''::bytea ORDER BY {order}), ''::bytea)), 'hex')
FROM {table} WHERE {within}
""")
_HASHES = sql.SQL("SELECT sha256(convert_to(ROW({row})::text, 'UTF8')), {key} FROM {table} WHERE {within}")
_OLDER = sql.SQL("SELECT count(*), count(*) FILTER (WHERE age(xmin) > age({mark}::text::xid)) FROM {table} WHERE {within}")
_MARKS = "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() AS s"


@dataclass(frozen=True)
class Digest:
    """How many rows there are within bounds, and a digest of all that is in them."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Seen:
    """What a range was, and the oldest transaction that had not ended before."""

    digest: Digest
    mark: int


class Reader:
    """Sees the ranges of tables in a transaction that is open. `hashed`: how many rows it had to digest."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.hashed = connection, 0
        row = driver(connection).execute(_MARKS).fetchone()
        assert row is not None  # noqa: S101 - a function has one
        self._mark, self._next = int(row[0]), int(row[1])

    def see(self, table: Table, bounds: Bounds, before: Seen | None) -> Seen:
        """Return what a range is. What it was `before` is believed if nobody has changed it since."""
        if before is not None and self._is_untouched(table, bounds, before):
            return before
        found = digest(self.connection, table, bounds)
        self.hashed += found.rows
        return Seen(found, self._mark)

    def see_all(self, table: Table, ranges: Mapping[Bounds, Seen | None]) -> list[Seen]:
        """Return what some ranges are, in their order."""
        return [self.see(table, bounds, before) for bounds, before in ranges.items()]

    def _is_untouched(self, table: Table, bounds: Bounds, before: Seen) -> bool:
        if self._next - before.mark >= NUMBERS // 2:
            return False
        mark = sql.Literal(str(before.mark % NUMBERS))
        query = _OLDER.format(mark=mark, table=sql.Identifier(table.name), within=table.within(bounds))
        row = driver(self.connection).execute(query).fetchone()
        return row == (before.digest.rows, before.digest.rows)


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """Return the driver's connection under one of SQLAlchemy's."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)  # noqa: S101 - tells the type checker which driver the pool holds
    return found


def ranges(connection: Connection, table: Table) -> Sequence[Bounds]:
    """Return bounds that part a table into ranges of a few thousand rows; the first and the last have no end."""
    query = _BOUNDS.format(key=table.key, order=table.order, table=sql.Identifier(table.name), rows=sql.Literal(RANGE_ROWS))
    marks: list[Key | None] = [None, *(tuple(row) for row in driver(connection).execute(query)), None]
    return list(pairwise(marks))


def digest(connection: Connection, table: Table, bounds: Bounds) -> Digest:
    """Return the digest of the rows within bounds."""
    query = _DIGEST.format(row=table.row, order=table.order, table=sql.Identifier(table.name), within=table.within(bounds))
    row = driver(connection).execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one
    return Digest(row[0], row[1])


def hashes(connection: Connection, table: Table, bounds: Bounds) -> dict[Key, bytes]:
    """Return the hash of every row within the bounds by its key."""
    query = _HASHES.format(row=table.row, key=table.key, table=sql.Identifier(table.name), within=table.within(bounds))
    return {tuple(row[1:]): bytes(row[0]) for row in driver(connection).execute(query)}
