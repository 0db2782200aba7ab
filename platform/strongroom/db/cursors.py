"""How our statements reach PostgreSQL: one at a time by a cursor of our own, and what begins a transaction straight away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_UNTOLD = (None,) * 5  # display_size, internal_size, precision, scale, null_ok: optional in PEP 249


_DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


def run_plain(connection: psycopg.Connection[Any], statements: str) -> None:
    """Run statements that have no values and whose results nobody wants, in one round trip: a cursor takes ten times the calls.

    psycopg does not hear of them: after one that forgets prepared statements see `forget_prepared`.

    Raises:
        psycopg.Error: of the statement that went wrong.
        psycopg.OperationalError: the connection is gone.
    """
    result = connection.pgconn.exec_(statements.encode())
    if result.status not in _DONE:
        if connection.pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError("The connection is lost.")
        raise error_from_result(result)


def forget_prepared(connection: psycopg.Connection[Any]) -> None:
    """Have psycopg forget which statements it has prepared, and how often it saw each, as the server has.

    When psycopg (3.3) sees a DEALLOCATE ALL itself, it sends one more, and goes on counting as if nothing had been, so that it
    soon prepares for one tenant what others have run. It has no public way to tell it.
    """
    manager = connection._prepared
    for kept in (manager._names, manager._counts, manager._to_flush):
        kept.clear()


class Columns(Sequence[tuple[Any, ...]]):
    """A result's columns as PEP 249 describes them, made when somebody looks at them.

    SQLAlchemy asks for them after every statement, and looks at them once for each that it knows by heart. psycopg's own take
    seven calls for a column, which were a tenth of a small request.
    """

    def __init__(self, result: PGresult) -> None:
        self._result = result

    def __len__(self) -> int:
        return self._result.nfields

    @overload
    def __getitem__(self, at: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, at: int | slice) -> tuple[Any, ...] | list[tuple[Any, ...]]:
        found = [self._column(number) for number in range(len(self))[at]] if isinstance(at, slice) else range(len(self))[at]
        return self._column(found) if isinstance(found, int) else found

    def _column(self, number: int) -> tuple[Any, ...]:
        name = self._result.fname(number)
        return ((name or b"").decode(), self._result.ftype(number), *_UNTOLD)


class SingleStatementCursor(psycopg.Cursor[Any]):
    """A cursor that always uses the extended protocol, so that no text can carry a second statement."""

    def _execute_send(self, query: Any, *, force_extended: bool = False, binary: bool | None = None) -> None:
        del force_extended
        super()._execute_send(query, force_extended=True, binary=binary)

    @property
    def description(self) -> Any:
        """The columns of the result, or None when it has none."""
        result = self.pgresult
        return Columns(result) if result is not None and result.nfields else super().description
