"""The cursor of all our statements: one statement at a time, and a description of its columns that costs nothing unread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import psycopg

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_UNTOLD = (None,) * 5  # display_size, internal_size, precision, scale, null_ok: optional in PEP 249


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
