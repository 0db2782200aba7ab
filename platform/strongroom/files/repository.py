"""SQL of files and versions. Every function runs in a tenant's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.buckets.tables import buckets
from strongroom.errors import NotFound
from strongroom.files.models import File, Gone, Scan, Status, Verdict
from strongroom.files.tables import blocks, export_segments, files, mirrors, versions

# In the order of the fields of `File`, with those of `Scan` in the place of `scan`.
COLUMNS = (
    files.c.id, buckets.c.name.label("bucket"), files.c.bucket_id, files.c.path, versions.c.size_bytes, versions.c.content_type,
    versions.c.detected_type, versions.c.fingerprint, versions.c.blake3, versions.c.sha256, versions.c.status,
    versions.c.verdict, versions.c.engine, versions.c.signatures_at, versions.c.scanned_bytes, versions.c.reason,
    versions.c.id.label("version_id"), versions.c.provider_id, versions.c.etag, files.c.metadata, files.c.created_by,
    versions.c.created_by.label("uploaded_by"), files.c.created_at, files.c.updated_at, files.c.deleted_at, files.c.purge_at,
    versions.c.created_at.label("version_created_at"), buckets.c.public,
)  # fmt: skip
_BEFORE_STATUS, _SCAN_ENDS = 10, 16
_STATUSES = {each.value: each for each in Status}
_VERDICTS = {each.value: each for each in Verdict}


_INSERT_BLOCKS = text("""
INSERT INTO blocks (version_id, number, digest)
SELECT :version_id, number, substr(:digests, number * 32 + 1, 32) FROM generate_series(0, length(:digests) / 32 - 1) AS number
ON CONFLICT DO NOTHING
""").bindparams(bindparam("version_id", type_=Uuid), bindparam("digests", type_=LargeBinary))


def _current() -> Select[Any]:
    """Select files with their current versions."""
    return select(*COLUMNS).join(buckets, buckets.c.id == files.c.bucket_id).join(versions, versions.c.id == files.c.version_id)


def _versions() -> Select[Any]:
    """Select versions with their files, in the trash or not."""
    chosen = select(*COLUMNS).select_from(versions)
    return chosen.join(files, files.c.id == versions.c.file_id).join(buckets, buckets.c.id == versions.c.bucket_id)


# Statements of hot paths are made once: making one, and the key under which SQLAlchemy finds its compiled form, costs more
# than running it.
_BY_ID_EVEN_DELETED = _current().where(files.c.id == bindparam("file_id"))
_BY_ID = _BY_ID_EVEN_DELETED.where(files.c.deleted_at.is_(None))
_ANY_VERSION = _versions().where(versions.c.id == bindparam("version_id"))
_CLAIMS = select(versions.c.provider_tag, versions.c.claims).where(versions.c.id == bindparam("version_id"))
_SET_VERDICT = (
    update(versions)
    .where(versions.c.id == bindparam("version_id"), versions.c.status == bindparam("pending", Status.PENDING))
    .values(checked_at=func.now())
)
_BY_PATH = _current().where(buckets.c.name == bindparam("bucket"), files.c.path == bindparam("path"), files.c.deleted_at.is_(None))
_BELOW = (
    _current()
    .where(
        files.c.bucket_id == bindparam("bucket_id"), files.c.deleted_at.is_(None), files.c.path >= bindparam("start"),
        files.c.path > bindparam("after"), func.starts_with(files.c.path, bindparam("prefix", type_=Text)),
    )
    .order_by(files.c.path)
    .limit(bindparam("most"))
)  # fmt: skip


def to_file(row: Sequence[Any]) -> File:
    """Return the file of a row of `COLUMNS`."""
    status, verdict, *scan = row[_BEFORE_STATUS:_SCAN_ENDS]
    fields = (*row[:_BEFORE_STATUS], _STATUSES[status], Scan(_VERDICTS[verdict], *scan), *row[_SCAN_ENDS:])
    return File(*fields)


def _one(connection: Connection, query: Select[Any], **values: Any) -> File:
    row = connection.execute(query, values).first()
    if row is None:
        raise NotFound("There is no such file.")
    return to_file(row)


def get_by_path(connection: Connection, bucket: str, path: str) -> File:
    """Return the file at a path.

    Raises:
        NotFound
    """
    return _one(connection, _BY_PATH, bucket=bucket, path=path)


def get_by_id(connection: Connection, file_id: UUID, *, deleted: bool = False) -> File:
    """Return a file by id; one in the trash only with `deleted`.

    Raises:
        NotFound
    """
    return _one(connection, _BY_ID_EVEN_DELETED if deleted else _BY_ID, file_id=file_id)


def lock(connection: Connection, file_id: UUID) -> None:
    """Hold a file's row until the transaction ends."""
    connection.execute(select(files.c.id).where(files.c.id == file_id).with_for_update())


def get_version(connection: Connection, file_id: UUID, version_id: UUID) -> File:
    """Return a file with one of its versions.

    Raises:
        NotFound
    """
    query = (
        select(*COLUMNS)
        .join(buckets, buckets.c.id == files.c.bucket_id)
        .join(versions, versions.c.file_id == files.c.id)
        .where(files.c.id == file_id, versions.c.id == version_id)
    )
    return _one(connection, query)


def get_any_version(connection: Connection, version_id: UUID) -> File | None:
    """Return the file with the version of that id, or None when it is gone."""
    row = connection.execute(_ANY_VERSION, {"version_id": version_id}).first()
    return to_file(row) if row else None


def get_versions(connection: Connection, version_ids: Sequence[UUID]) -> list[File]:
    """Return files with the versions of these ids, in the trash or not; those that are gone are left out."""
    return [to_file(row) for row in connection.execute(_versions().where(versions.c.id.in_(version_ids)))]


def list_versions(connection: Connection, file_id: UUID) -> list[File]:
    """Return a file with each of its versions, newest first."""
    query = (
        select(*COLUMNS)
        .join(buckets, buckets.c.id == files.c.bucket_id)
        .join(versions, versions.c.file_id == files.c.id)
        .where(files.c.id == file_id, files.c.deleted_at.is_(None))
        .order_by(versions.c.created_at.desc(), versions.c.id.desc())
    )
    return [to_file(row) for row in connection.execute(query)]


def list_below(connection: Connection, bucket_id: UUID, prefix: str, after: str, limit: int, search: str = "") -> Sequence[File]:
    """Return files of a bucket whose path starts with `prefix` and comes after `after`, by code point."""
    query = _BELOW.where(_contains(search)) if search else _BELOW
    values = {"bucket_id": bucket_id, "prefix": prefix, "start": max(prefix, after), "after": after, "most": limit}
    return [to_file(row) for row in connection.execute(query, values).all()]


_CHILDREN = text("""
WITH RECURSIVE child(name) AS (
    (SELECT CASE WHEN strpos(substr(path, :skip), :delimiter) = 0 THEN path
                 ELSE left(path, :skip - 1 + strpos(substr(path, :skip), :delimiter) + length(:delimiter) - 1) END
     FROM files WHERE bucket_id = :bucket AND deleted_at IS NULL AND starts_with(path, :prefix) AND path >= :start
     ORDER BY path LIMIT 1)
    UNION ALL
    SELECT (SELECT CASE WHEN strpos(substr(path, :skip), :delimiter) = 0 THEN path
                        ELSE left(path, :skip - 1 + strpos(substr(path, :skip), :delimiter) + length(:delimiter) - 1) END
            FROM files WHERE bucket_id = :bucket AND deleted_at IS NULL AND starts_with(path, :prefix)
              AND path >= (CASE WHEN right(child.name, 1) = '/' THEN left(child.name, -1) || '0' ELSE child.name || chr(1) END) COLLATE "C"
            ORDER BY path LIMIT 1)
    FROM child WHERE child.name IS NOT NULL
)
SELECT name FROM child WHERE name IS NOT NULL LIMIT :limit
""")


def list_children(connection: Connection, bucket_id: UUID, prefix: str, delimiter: str, after: str, limit: int) -> list[str]:
    """Return the names right below a prefix: paths of files, and common prefixes, which end in the delimiter.

    One index probe for each name, however many files lie below a common prefix.
    """
    start = after[:-1] + "0" if after.endswith("/") else after + "\x01" if after else ""  # '0' is the character after '/'
    values = {"bucket": bucket_id, "prefix": prefix, "skip": len(prefix) + 1, "delimiter": delimiter, "start": start, "limit": limit}
    return list(connection.execute(_CHILDREN, values).scalars())


def get_by_paths(connection: Connection, bucket_id: UUID, paths: Iterable[str]) -> list[File]:
    """Return the files at the given paths, by path."""
    query = _current().where(files.c.bucket_id == bucket_id, files.c.deleted_at.is_(None), files.c.path.in_(list(paths)))
    return [to_file(row) for row in connection.execute(query.order_by(files.c.path))]


def get_by_ids(connection: Connection, bucket_id: UUID, file_ids: Iterable[UUID]) -> list[File]:
    """Return those of the files that are in a bucket, by path."""
    query = _current().where(files.c.bucket_id == bucket_id, files.c.deleted_at.is_(None), files.c.id.in_(list(file_ids)))
    return [to_file(row) for row in connection.execute(query.order_by(files.c.path))]


def count_below(connection: Connection, bucket_id: UUID, prefix: str, most: int) -> int:
    """Return how many files' paths start with a prefix; counting ends at `most`."""
    found = select(files.c.id).where(files.c.bucket_id == bucket_id, files.c.deleted_at.is_(None), _starts_with(prefix)).limit(most)
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def _contains(search: str) -> ColumnElement[bool]:
    """A match anywhere in the path, whatever the case, in any script that the database's own locale knows; paths are in "C"."""
    return func.lower(files.c.path.collate("default")).contains(search.lower(), autoescape=True)


def _starts_with(prefix: str) -> ColumnElement[bool]:
    """A prefix match that the path index serves, in which '%' and '_' mean nothing special."""
    if not prefix:
        return literal(True)
    return (files.c.path >= prefix) & func.starts_with(files.c.path, prefix)


def list_trash(connection: Connection, limit: int, before: tuple[datetime, UUID] | None = None, search: str = "") -> Sequence[File]:
    """Return the files in the trash, last deleted first."""
    query = _current().where(files.c.deleted_at.is_not(None))
    if search:
        query = query.where(_contains(search))
    if before is not None:
        query = query.where(or_(files.c.deleted_at < before[0], (files.c.deleted_at == before[0]) & (files.c.id > before[1])))
    return [to_file(row) for row in connection.execute(query.order_by(files.c.deleted_at.desc(), files.c.id).limit(limit))]


# Word for word as in the index `versions_attention`, so that it is used.
_NEEDS_ATTENTION = text("(versions.status IN ('quarantined', 'rejected') OR versions.verdict = 'unscanned')")


def _kind_of_attention() -> ColumnElement[str]:
    return case((versions.c.status.in_([Status.QUARANTINED, Status.REJECTED]), versions.c.status), else_="unscanned")


def list_attention(
    connection: Connection, limit: int, before: tuple[datetime, UUID] | None = None, kind: str | None = None
) -> Sequence[File]:
    """Return files whose current version was quarantined, rejected or not scanned whole (or one kind of these), newest first."""
    query = _current().where(files.c.deleted_at.is_(None), _NEEDS_ATTENTION)
    if kind is not None:
        query = query.where(_kind_of_attention() == kind)
    if before is not None:
        query = query.where(tuple_(versions.c.created_at, versions.c.id) < tuple_(*before))
    return [to_file(row) for row in connection.execute(query.order_by(versions.c.created_at.desc(), versions.c.id.desc()).limit(limit))]


def count_attention(connection: Connection) -> dict[str, int]:
    """Return how many files' current versions were quarantined, rejected or unscanned."""
    kind = _kind_of_attention().label("kind")
    query = select(kind, func.count()).select_from(files).join(versions, versions.c.id == files.c.version_id)
    rows = connection.execute(query.where(files.c.deleted_at.is_(None), _NEEDS_ATTENTION).group_by(kind))
    return {row[0]: row[1] for row in rows}


def stored_by_type(connection: Connection, limit: int) -> list[tuple[str, int]]:
    """Return the detected types that take the most room, with their bytes: all versions, the trash included."""
    size = func.sum(versions.c.size_bytes).label("size")
    query = select(versions.c.detected_type, size).group_by(versions.c.detected_type).order_by(size.desc()).limit(limit)
    return [(row.detected_type, int(row.size)) for row in connection.execute(query)]


def list_recent(connection: Connection, limit: int) -> Sequence[File]:
    """Return the files that changed last."""
    query = _current().where(files.c.deleted_at.is_(None)).order_by(files.c.updated_at.desc()).limit(limit)
    return [to_file(row) for row in connection.execute(query)]


def put_pointer(connection: Connection, *, file_id: UUID, bucket_id: UUID, path: str, version_id: UUID, user_id: UUID) -> Row[Any]:
    """Make the file at a path if there is none, and lock it; return id, version_id (the former one) and `is_new`."""
    query = upsert(files).values(id=file_id, bucket_id=bucket_id, path=path, version_id=version_id, created_by=user_id)
    query = query.on_conflict_do_update(
        index_elements=[files.c.bucket_id, files.c.path], index_where=files.c.deleted_at.is_(None), set_={"updated_at": func.now()}
    )
    return connection.execute(query.returning(files.c.id, files.c.version_id, (files.c.id == file_id).label("is_new"))).one()


def point_at(connection: Connection, file_id: UUID, version_id: UUID) -> None:
    """Make a version the current one."""
    connection.execute(update(files).where(files.c.id == file_id).values(version_id=version_id, updated_at=func.now()))


def insert_version(connection: Connection, **values: Any) -> None:
    """Add a version."""
    connection.execute(insert(versions).values(**values))


def insert_blocks(connection: Connection, version_id: UUID, digests: bytes) -> None:
    """Write down the 32-byte digests of a version's blocks, in order. Idempotent."""
    connection.execute(_INSERT_BLOCKS, {"version_id": version_id, "digests": digests})


def list_blocks(connection: Connection, version_id: UUID, after: int, limit: int) -> list[bytes]:
    """Return the digests of a version's blocks from number `after` on (the first is 0)."""
    query = select(blocks.c.digest).where(blocks.c.version_id == version_id, blocks.c.number >= after)
    return list(connection.execute(query.order_by(blocks.c.number).limit(limit)).scalars())


def delete_version(connection: Connection, version_id: UUID) -> Gone | None:
    """Remove a version's row; return what its bytes are, which the caller has purged by a job."""
    found = _delete_versions(connection, versions.c.id == version_id)
    return found[0] if found else None


def _delete_versions(connection: Connection, which: ColumnElement[bool]) -> list[Gone]:
    """Remove rows of versions; those of their mirrors go with them, and are read as they were before."""
    gone = delete(versions).where(which).returning(versions.c.id, versions.c.size_bytes, versions.c.provider_id).cte("gone")
    copies = select(mirrors.c.provider_id).where(mirrors.c.version_id == gone.c.id).correlate(gone)
    rows = connection.execute(select(gone.c.id, gone.c.size_bytes, gone.c.provider_id, func.array(copies.scalar_subquery())))
    return [Gone(*row[:3], tuple(row[3])) for row in rows]


def claims_of(connection: Connection, version_id: UUID) -> tuple[str, dict[str, Any]]:
    """Return the provider's tag of a version's bytes when they were taken over, and what its uploader claimed of them."""
    row = connection.execute(_CLAIMS, {"version_id": version_id}).first()
    return (row.provider_tag, row.claims) if row else ("", {})


def set_verdict(connection: Connection, version_id: UUID, **values: Any) -> bool:
    """Write down what the checks said of a version that is still pending; False when somebody else has, or it is gone."""
    return connection.execute(_SET_VERDICT, {"version_id": version_id, **values}).rowcount == 1


def update_file(connection: Connection, file_id: UUID, **values: Any) -> None:
    """Change columns of a file's row."""
    connection.execute(update(files).where(files.c.id == file_id).values(**values, updated_at=func.now()))


def move_to_trash(connection: Connection, file_id: UUID, days: int) -> None:
    """Take a file out of its bucket's listing until it is purged or restored."""
    connection.execute(update(files).where(files.c.id == file_id).values(deleted_at=func.now(), purge_at=func.now() + timedelta(days=days)))


def due_for_purge(connection: Connection, limit: int) -> list[tuple[UUID, UUID]]:
    """Return, locked, (file id, bucket id) of files in the trash whose time is over."""
    query = select(files.c.id, files.c.bucket_id).where(files.c.purge_at <= func.now()).limit(limit)
    return [(row.id, row.bucket_id) for row in connection.execute(query.with_for_update(skip_locked=True))]


def delete_file(connection: Connection, file_id: UUID) -> list[Gone]:
    """Remove a file with all its versions; return what their bytes are, which the caller has purged by a job."""
    gone = _delete_versions(connection, versions.c.file_id == file_id)
    connection.execute(delete(files).where(files.c.id == file_id))
    return gone


def existing_versions(connection: Connection, version_ids: Sequence[UUID], provider_id: UUID | None = None) -> set[UUID]:
    """Return which of these versions have a row that says their bytes are at this provider, or at any."""
    query = select(versions.c.id).where(versions.c.id.in_(version_ids))
    return set(connection.execute(query if provider_id is None else query.where(versions.c.provider_id == provider_id)).scalars())


def versions_after(connection: Connection, after: UUID | None, limit: int) -> list[Row[Any]]:
    """Walk all versions by id: id, bucket id, provider id, size, creation."""
    columns = (versions.c.id, versions.c.bucket_id, versions.c.provider_id, versions.c.size_bytes, versions.c.created_at)
    query = select(*columns).order_by(versions.c.id).limit(limit)
    return list(connection.execute(query if after is None else query.where(versions.c.id > after)))


def archive_segments(connection: Connection) -> set[UUID]:
    """Return the ids under which archives of the whole tenant lie beside its versions."""
    return set(connection.execute(select(export_segments.c.segment_id)).scalars())
