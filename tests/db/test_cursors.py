"""What a result says of its columns, as SQLAlchemy and PEP 249 want it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from strongroom.db.cursors import SingleStatementCursor, run_plain

from tests.factories import World

QUERY = "SELECT 1::bigint AS number, 'a'::text AS \"größe\", now() AS at"


@pytest.fixture
def cursor(world: World) -> Iterator[SingleStatementCursor]:
    with psycopg.connect(world.database.app_url, cursor_factory=SingleStatementCursor) as connection, connection.cursor() as cursor:
        yield cursor


def named_and_typed(description: Any) -> list[tuple[str, int]]:
    return [column[:2] for column in description]


def test_columns_are_those_of_psycopg(world: World, cursor: SingleStatementCursor) -> None:
    with psycopg.connect(world.database.app_url) as connection:
        theirs = connection.execute(QUERY).description
        assert theirs is not None
        cursor.execute(QUERY)
        assert named_and_typed(cursor.description) == [(column.name, column.type_code) for column in theirs]
    ours = cursor.description
    assert len(ours) == 3
    assert ours[-1] == ours[2] == ours[1:][1]
    assert {len(column) for column in ours} == {7}
    with pytest.raises(IndexError):
        ours[3]


def test_what_returns_nothing_has_no_columns(cursor: SingleStatementCursor) -> None:
    assert cursor.description is None
    cursor.execute("SET LOCAL timezone = UTC")
    assert cursor.description is None


def test_rows_without_columns_are_rows(cursor: SingleStatementCursor) -> None:
    cursor.execute("SELECT")
    assert list(cursor.description) == []
    assert cursor.fetchall() == [()]


def test_what_is_run_plainly_ends_as_it_should(world: World) -> None:
    with psycopg.connect(world.database.app_url, autocommit=True) as connection:
        run_plain(connection, "BEGIN; SET LOCAL timezone = 'Asia/Tokyo'")
        assert connection.execute("SHOW timezone").fetchone() == ("Asia/Tokyo",)
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            run_plain(connection, "SET LOCAL ROLE nobody_at_all")
        connection.rollback()


def test_a_lost_connection_is_told_as_one(world: World) -> None:
    with psycopg.connect(world.database.app_url, autocommit=True) as connection:
        world.sql("SELECT pg_terminate_backend(%(pid)s)", pid=connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            run_plain(connection, "BEGIN")
        with pytest.raises(psycopg.OperationalError):
            run_plain(connection, "BEGIN")
