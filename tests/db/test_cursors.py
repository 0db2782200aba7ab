"""What a result says of its columns, as SQLAlchemy and PEP 249 want it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from strongroom.db.cursors import SingleStatementCursor

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
