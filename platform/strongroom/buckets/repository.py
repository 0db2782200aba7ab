"""SQL of buckets and counters. Every function runs in a tenant's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Connection, bindparam, delete, func, insert, literal, literal_column, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from strongroom.buckets.models import Bucket, Totals
from strongroom.buckets.tables import buckets, counters
from strongroom.errors import AlreadyExists, BucketNotEmpty, NotFound
from tenants.models import Limits

THIS_MONTH = "CAST(date_trunc('month', now() AT TIME ZONE 'UTC') AS date)"
TRANSFERRED = literal_column(
    f"(SELECT CAST(coalesce(sum(bytes), 0) AS bigint) FROM transfer WHERE month = {THIS_MONTH})", BigInteger  # noqa: S608 - no value from outside
)  # fmt: skip
"""The bytes that came in and went out this month, as a column."""
_BY_NAME = select(buckets).where(buckets.c.name == bindparam("name"))  # made once: every upload and listing runs it
_WITH_TRANSFER = select(buckets, TRANSFERRED).where(buckets.c.name == bindparam("name"))
_TOTALS = select(counters.c.used_bytes, counters.c.used_files, counters.c.reserved_bytes, counters.c.reserved_files)


def to_bucket(row: Sequence[Any]) -> Bucket:
    """Return the bucket of a row of all its columns."""
    id_, name, allowed_types, *rest = row
    return Bucket(id_, name, tuple(allowed_types), *rest)


def insert_bucket(connection: Connection, **values: Any) -> Bucket:
    """Add a bucket.

    Raises:
        AlreadyExists
    """
    try:
        return to_bucket(connection.execute(insert(buckets).values(**values).returning(buckets)).one())
    except IntegrityError:
        raise AlreadyExists(f"There is a bucket '{values['name']}' already.") from None


def list_buckets(connection: Connection, *, after: str = "", limit: int | None = None) -> list[Bucket]:
    """Return the buckets by name."""
    query = select(buckets).where(buckets.c.name > after).order_by(buckets.c.name).limit(limit)
    return [to_bucket(row) for row in connection.execute(query)]


def get_bucket(connection: Connection, name: str) -> Bucket:
    """Return a bucket by name.

    Raises:
        NotFound
    """
    row = connection.execute(_BY_NAME, {"name": name}).first()
    if row is None:
        raise NotFound("There is no such bucket.")
    return to_bucket(row)


def get_bucket_and_transfer(connection: Connection, name: str) -> tuple[Bucket, int]:
    """Return a bucket by name, and the bytes that the tenant has transferred this month.

    Raises:
        NotFound
    """
    row = connection.execute(_WITH_TRANSFER, {"name": name}).first()
    if row is None:
        raise NotFound("There is no such bucket.")
    return to_bucket(row[:-1]), int(row[-1])


def get_bucket_by_id(connection: Connection, bucket_id: UUID) -> Bucket:
    """Return a bucket by id.

    Raises:
        NotFound
    """
    row = connection.execute(select(buckets).where(buckets.c.id == bucket_id)).first()
    if row is None:
        raise NotFound("There is no such bucket.")
    return to_bucket(row)


def update_bucket(connection: Connection, name: str, **values: Any) -> Bucket:
    """Change a bucket's policy.

    Raises:
        NotFound
    """
    query = update(buckets).where(buckets.c.name == name).values(**values, updated_at=func.now())
    row = connection.execute(query.returning(buckets)).first()
    if row is None:
        raise NotFound("There is no such bucket.")
    return to_bucket(row)


def delete_bucket(connection: Connection, name: str) -> UUID:
    """Remove an empty bucket; return its id.

    Raises:
        NotFound
        BucketNotEmpty: files, also in the trash, or uploads are still in it.
    """
    ended = text("DELETE FROM uploads WHERE state <> 'open' AND bucket_id = (SELECT id FROM buckets WHERE name = :name)")
    connection.execute(ended, {"name": name})  # kept only to tell late clients how they ended; they do not hold a bucket
    try:
        bucket_id: UUID | None = connection.execute(delete(buckets).where(buckets.c.name == name).returning(buckets.c.id)).scalar()
    except IntegrityError:
        raise BucketNotEmpty from None
    if bucket_id is None:
        raise NotFound("There is no such bucket.")
    return bucket_id


def reserve(connection: Connection, limits: Limits, *, size_bytes: int, files: int) -> bool:
    """Set room for a version aside, and for a file if its path is new; False when the quota has none.

    Exact under any number of parallel callers.
    """
    promised_bytes = counters.c.used_bytes + counters.c.reserved_bytes + size_bytes
    promised_files = counters.c.used_files + counters.c.reserved_files + files
    query = (
        update(counters)
        .where(promised_bytes <= limits.quota_bytes, or_(promised_files <= limits.quota_files, literal(files) == 0))
        .values(reserved_bytes=counters.c.reserved_bytes + size_bytes, reserved_files=counters.c.reserved_files + files)
    )
    return connection.execute(query).rowcount == 1


def release(connection: Connection, *, size_bytes: int, files: int) -> None:
    """Give back what `reserve` set aside."""
    connection.execute(
        update(counters).values(reserved_bytes=counters.c.reserved_bytes - size_bytes, reserved_files=counters.c.reserved_files - files)
    )


def count(connection: Connection, bucket_id: UUID, *, bytes_change: int, files_change: int) -> None:
    """Change the exact totals of the tenant and of a bucket.

    The tenant's row comes first, everywhere: whoever holds it is alone, so that no two transactions can wait for each other.
    """
    connection.execute(
        update(counters).values(used_bytes=counters.c.used_bytes + bytes_change, used_files=counters.c.used_files + files_change)
    )
    connection.execute(
        update(buckets)
        .where(buckets.c.id == bucket_id)
        .values(used_bytes=buckets.c.used_bytes + bytes_change, used_files=buckets.c.used_files + files_change)
    )


def lock_totals(connection: Connection) -> None:
    """Be alone with the tenant's totals until the transaction ends."""
    connection.execute(select(literal(1)).select_from(counters).with_for_update())


def totals(connection: Connection) -> Totals:
    """Return the tenant's exact totals."""
    return Totals(*connection.execute(_TOTALS).one())
