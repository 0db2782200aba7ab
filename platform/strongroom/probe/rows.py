"""The wall of rows: what the database refuses to every role but the tenant's own, with every filter of ours left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from strongroom.db.engines import TenantRef
from strongroom.isolation import repository
from strongroom.isolation.models import Wall
from strongroom.probe.stage import Stage
from strongroom.probe.tally import HERE, STAND_IN, Tally

REFUSED = frozenset({"42501", "42601", "0A000", "42P01", "3F000"})
"""Not allowed; more than one statement; no libxml; no such table, no such schema: to this role."""
LOGIN = "login role without SET ROLE"
OTHERS = "database role of another tenant"
READING = {
    "the secret by its qualified name": "SELECT canary FROM {role}.isolation_reports WHERE canary = :canary",
    "through set_config": "SELECT set_config('role', '{role}', true)",
    "through set_config in a subquery": "SELECT 1 FROM (SELECT set_config('role', '{role}', false)) AS s",
    "through query_to_xml": "SELECT query_to_xml('SELECT canary FROM {role}.isolation_reports', true, true, '')",
    "through table_to_xml": "SELECT table_to_xml('{role}.isolation_reports', true, true, '')",
    "through pg_settings": "UPDATE pg_settings SET setting = '{role}' WHERE name = 'role'",
    "through a second statement": "SELECT 1; SET ROLE {role}",
    "through a DO block": "DO $$ BEGIN EXECUTE 'SET ROLE {role}'; END $$",
    "through COPY": "COPY {role}.isolation_reports TO STDOUT",
}
UNQUALIFIED = "SELECT canary FROM isolation_reports WHERE canary = :canary"
CHANGING = {
    "a row added": "INSERT INTO {role}.isolation_reports (id) VALUES (gen_random_uuid())",
    "rows changed": "UPDATE {role}.users SET name = 'stolen'",
    "rows removed": "DELETE FROM {role}.users",
}
_TABLES = text("SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(:role) AND relkind IN ('r', 'p') ORDER BY relname")


def rows(stage: Stage, tally: Tally) -> None:
    """Every table of the tenant, and every way round that is known, in other roles; changes at the stand-in only."""
    target, runtime = stage.target, stage.runtime
    tally.control(Wall.ROWS, HERE, "the secret in its own role", lambda: _own(stage) == target.canary)
    with runtime.databases.cell(target.tenant.cell) as connection:
        tables = list(connection.execute(_TABLES, {"role": target.tenant.ref.role}).scalars())
    reading = READING | {f"the table {name}": f"SELECT 1 FROM {{role}}.{name} LIMIT 1" for name in tables}  # noqa: S608 - names from the catalogue
    strangers = [(LOGIN, None), *((OTHERS, each.ref) for each in (stage.attacker.tenant, stage.victim.tenant, *stage.others))]
    for name, ref in strangers:
        for what, statement in (*reading.items(), ("the secret by its bare name", UNQUALIFIED)):
            if tally.is_over:
                return
            if ref is None and "{role}" in statement and "." not in statement:
                continue  # the login role may be each of its tenants: that is how it enters them
            found = _try(stage, ref, statement.format(role=target.tenant.ref.role), target.canary)
            tally.attempt(Wall.ROWS, name, HERE, what, found)
    for name, ref in ((LOGIN, None), (OTHERS, stage.attacker.tenant.ref)):
        for what, statement in CHANGING.items():
            found = _try(stage, ref, statement.format(role=stage.victim.tenant.ref.role), stage.victim.canary)
            tally.attempt(Wall.ROWS, name, STAND_IN, what, found)


def _own(stage: Stage) -> str | None:
    with stage.runtime.tenant(stage.target.tenant) as connection:
        return repository.read_canary(connection, stage.target.report_id)


@contextmanager
def _as(stage: Stage, ref: TenantRef | None) -> Iterator[Connection]:
    databases = stage.runtime.databases
    with databases.tenant(ref) if ref else databases.cell(stage.target.tenant.cell) as connection:
        yield connection


def _try(stage: Stage, ref: TenantRef | None, statement: str, canary: str) -> str:
    """Return what is wrong: that the database has answered, unless it was with nothing to a question by a bare name."""
    given = {"canary": canary} if ":canary" in statement else {}
    try:
        with _as(stage, ref) as connection:
            result = connection.execute(text(statement), given)
            seen = result.first() if result.returns_rows else ()
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        return "" if state in REFUSED else f"an unexpected answer of the database: {state}"
    return "" if statement == UNQUALIFIED and seen is None else "the database has answered"
