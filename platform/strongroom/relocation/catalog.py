"""What tables a tenant's schema has, as its database tells: nothing here names a table, so none can be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

VERSIONS = "alembic_version"
"""The one table that the tenant's role cannot write, and that both cells fill by themselves."""
Key = tuple[str, ...]
Bounds = tuple[Key | None, Key | None]
"""The rows after the first key, up to and with the second; None: no end."""


@dataclass(frozen=True)
class Table:
    """A table with its columns by name, and its primary key's columns with their types, in the key's order."""

    name: str
    columns: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]

    @property
    def row(self) -> sql.Composable:
        """Its columns, for a list."""
        return sql.SQL(", ").join(sql.Identifier(column) for column in self.columns)

    @property
    def key(self) -> sql.Composable:
        """Its key's columns as texts, for a list."""
        return sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name, _ in self.keys)

    @property
    def order(self) -> sql.Composable:
        """Its key's columns as both clusters order them, whatever their collations."""
        return sql.SQL(", ").join(_ordered(name, type_) for name, type_ in self.keys)

    def within(self, bounds: Bounds) -> sql.Composable:
        """The condition for rows within the bounds."""
        parts: list[sql.Composable] = [sql.SQL("true")]
        for key, sign in zip(bounds, (">", "<="), strict=True):
            if key is not None:
                parts.append(sql.SQL("({}) " + sign + " ({})").format(self.order, self._values(key)))
        return sql.SQL(" AND ").join(parts)

    def among(self, keys: Sequence[Key]) -> sql.Composable:
        """The condition for rows that have one of the keys."""
        arrays = [sql.SQL("{}::text[]").format(sql.Literal([key[place] for key in keys])) for place in range(len(self.keys))]
        casts = [sql.SQL("k.k{}::" + type_).format(sql.SQL(str(place))) for place, (_, type_) in enumerate(self.keys)]
        names = sql.SQL(", ").join(sql.Identifier(name) for name, _ in self.keys)
        aliases = sql.SQL(", ").join(sql.SQL(f"k{place}") for place in range(len(self.keys)))
        return sql.SQL("({}) IN (SELECT {} FROM unnest({}) AS k({}))").format(
            names, sql.SQL(", ").join(casts), sql.SQL(", ").join(arrays), aliases
        )

    def _values(self, key: Key) -> sql.Composable:
        pairs = zip(key, self.keys, strict=True)
        return sql.SQL(", ").join(sql.SQL("{}::" + type_).format(sql.Literal(value)) for value, (_, type_) in pairs)


def _ordered(name: str, type_: str) -> sql.Composable:
    collated = type_ in {"text", "character varying"} or type_.startswith("character varying")
    return sql.SQL("{}" + (' COLLATE "C"' if collated else "")).format(sql.Identifier(name))


_TABLES = text("""
SELECT c.relname AS name,
       (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
       (SELECT array_agg(ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)] ORDER BY k.place)
        FROM pg_constraint p, unnest(p.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attnum = k.number WHERE p.conrelid = c.oid AND p.contype = 'p' AND a.attrelid = c.oid) AS keys
FROM pg_class c WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind = 'r' AND c.relname <> :versions
ORDER BY c.relname
""")


def tables(connection: Connection, schema: str) -> tuple[Table, ...]:
    """Return the tables of a tenant's schema by name.

    Raises:
        ValueError: one has no primary key.
    """
    rows = connection.execute(_TABLES, {"schema": schema, "versions": VERSIONS}).all()
    for row in rows:
        if row.keys is None:
            raise ValueError(f"the table {row.name} has no primary key")
    return tuple(Table(row[0], tuple(row[1]), tuple((key[0], key[1]) for key in row[2])) for row in rows)


def revision(connection: Connection) -> str:
    """Return the revision of the tenant's schema."""
    return str(connection.execute(text(f"SELECT version_num FROM {VERSIONS}")).scalar_one())  # noqa: S608 - a constant


def sequences(connection: Connection, schema: str) -> dict[str, dict[str, Any]]:
    """Return how far each sequence of a tenant's schema is: its last number, and whether that was given out."""
    names = text("SELECT relname FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind = 'S' ORDER BY 1")
    found: dict[str, dict[str, Any]] = {}
    for name in connection.execute(names, {"schema": schema}).scalars().all():
        row = connection.execute(text(f'SELECT last_value, is_called FROM "{name}"')).one()  # noqa: S608 - a name of the catalog's
        found[name] = {"last": row.last_value, "called": row.is_called}
    return found
