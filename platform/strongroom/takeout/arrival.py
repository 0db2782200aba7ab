"""SQL of an import. Every function runs in the new tenant's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, bindparam, func, select, text, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from strongroom.auth.tables import users
from strongroom.errors import ExportRefused
from strongroom.files.tables import files, versions
from strongroom.takeout.content import Content

_TOTALS = """
UPDATE buckets b SET
    used_bytes = (SELECT coalesce(sum(size_bytes), 0) FROM versions v WHERE v.bucket_id = b.id),
    used_files = (SELECT count(*) FROM files f WHERE f.bucket_id = b.id)
"""
_COUNTERS = """
UPDATE counters SET used_bytes = (SELECT coalesce(sum(used_bytes), 0) FROM buckets),
                    used_files = (SELECT coalesce(sum(used_files), 0) FROM buckets)
"""
CHECKS_AT_ONCE = 2000
_CHECKS = """
WITH next AS (
    SELECT id FROM versions WHERE CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid) ORDER BY id LIMIT :limit
)
SELECT max(id::text) AS last, count(strongroom.enqueue_job(:kind, jsonb_build_object('version_id', id))) AS jobs FROM next
"""
_WRONG = """
SELECT (SELECT count(*) FROM files f LEFT JOIN versions v ON v.id = f.version_id AND v.file_id = f.id WHERE v.id IS NULL)
     + (SELECT count(*) FROM versions v JOIN files f ON f.id = v.file_id WHERE f.bucket_id <> v.bucket_id)
"""


def insert_rows(connection: Connection, content: Content, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows whose columns are as `rows.py` makes them; what the table itself refuses is refused.

    Raises:
        ExportRefused
    """
    if not rows:
        return
    columns = ", ".join(rows[0])
    query = f"INSERT INTO {content.table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{content.table}, CAST(:rows AS jsonb))"  # noqa: S608, E501 - names of our own
    try:
        connection.execute(text(query).bindparams(bindparam("rows", type_=Text)), {"rows": json.dumps(rows)})
    except (IntegrityError, DataError) as error:
        raise ExportRefused(f"Rows of {content.table} contradict each other, or are none.") from error
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", ""))[:2] in {"22", "23"}:
            raise ExportRefused(f"Rows of {content.table} contradict each other, or are none.") from error
        raise


def totals(connection: Connection) -> tuple[int, int]:
    """Return how many bytes and files there will be."""
    held = connection.execute(select(func.coalesce(func.sum(versions.c.size_bytes), 0))).scalar_one()
    return int(held), int(connection.execute(select(func.count()).select_from(files)).scalar_one())


def find_version(connection: Connection, version_id: UUID) -> Any:
    """Return the row that tells of a version's bytes (bucket_id, size_bytes, fingerprint, blake3); None where there is none."""
    columns = (versions.c.bucket_id, versions.c.size_bytes, versions.c.fingerprint, versions.c.blake3)
    return connection.execute(select(*columns).where(versions.c.id == version_id)).first()


def note_bytes(connection: Connection, version_id: UUID, **values: Any) -> None:
    """Write down what was found out of a version's bytes when they came."""
    connection.execute(update(versions).where(versions.c.id == version_id).values(**values))


def drop_versions(connection: Connection, version_ids: Sequence[UUID]) -> None:
    """Forget versions of which the archive says that it does not have their bytes, and files that are none without."""
    ids = [str(each) for each in version_ids]
    connection.execute(text("DELETE FROM files WHERE version_id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids})
    connection.execute(text("DELETE FROM versions WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids})


def contradictions(connection: Connection) -> int:
    """Return how many files and versions do not belong together."""
    return int(connection.execute(text(_WRONG)).scalar_one())


def count_up(connection: Connection) -> None:
    """Count what there is, per bucket and in all."""
    connection.execute(text(_TOTALS))
    connection.execute(text(_COUNTERS))


def enqueue_checks(connection: Connection, check: str, after: UUID | None) -> UUID | None:
    """Have the next versions by id checked; return the last of them, None when there is none left."""
    row = connection.execute(text(_CHECKS), {"kind": check, "after": str(after) if after else None, "limit": CHECKS_AT_ONCE}).one()
    return UUID(row.last) if row.last else None


def owners(connection: Connection) -> list[UUID]:
    """Return the owners who can be invited."""
    query = select(users.c.id).where(users.c.role == "owner", users.c.status == "invited").order_by(users.c.email_key)
    return list(connection.execute(query).scalars())
