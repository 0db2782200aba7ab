"""What small requests are held against: Flask, gunicorn and psycopg alone, with the same statements on the same rows.

It takes whatever token comes, knows one tenant and one bucket, checks no type, no quota, no pace and no input, and has no layer between
a route and its statements. What remains is what the framework, the driver, the database and the disk take on this machine:
two transactions in the tenant's role for a PUT, of which the second waits for the log, with two syncs of the file system between
them. Run by gunicorn as `bench.bare:app`, configured by the environment; its requests have the addresses of Strongroom's.
"""

from __future__ import annotations

import os
import queue
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
from blake3 import blake3
from flask import Flask, Response, request
from psycopg.rows import dict_row

SESSION = """
SELECT u.id, u.email, u.name, u.role FROM users u JOIN sessions s ON s.user_id = u.id
WHERE s.id = %s AND s.ended_at IS NULL AND s.expires_at > now() AND u.status = 'active'
"""
FILE = """
SELECT f.id, b.name AS bucket, f.path, v.size_bytes, v.content_type, v.detected_type, v.etag, v.fingerprint, v.blake3, v.sha256, v.status,
       v.verdict, v.engine, v.signatures_at, v.scanned_bytes, v.reason, v.id AS version_id, f.metadata, f.created_by, f.created_at,
       f.updated_at
FROM files f JOIN buckets b ON b.id = f.bucket_id JOIN versions v ON v.id = f.version_id
"""
ONE = FILE + "WHERE f.id = %s"
BUCKET = "SELECT * FROM buckets WHERE name = %s"
PAGE = FILE + "WHERE f.bucket_id = %s AND f.deleted_at IS NULL AND f.path >= %s ORDER BY f.path LIMIT 101"
BEGUN = """
WITH reserved AS (UPDATE counters SET reserved_bytes = reserved_bytes + %(size)s, reserved_files = reserved_files + 1)
INSERT INTO uploads
    (id, kind, bucket_id, path, version_id, provider_id, size_bytes, reserved_bytes, reserved_files, content_type, expires_at)
VALUES (%(upload)s, 'stream', %(bucket)s, %(path)s, %(version)s, %(provider)s, %(size)s, %(size)s, 1, 'text/plain',
        now() + interval '1 h')
"""
COMPLETE = """
WITH ended AS (
    DELETE FROM uploads WHERE id = %(upload)s
), file AS (
    INSERT INTO files (id, bucket_id, path, version_id) VALUES (%(file)s, %(bucket)s, %(path)s, %(version)s)
), version AS (
    INSERT INTO versions (id, file_id, bucket_id, provider_id, size_bytes, content_type, detected_type, etag, fingerprint, blake3, status)
    VALUES (%(version)s, %(file)s, %(bucket)s, %(provider)s, %(size)s, 'text/plain', 'text/plain', %(hash)s, %(hash)s, %(hash)s, 'pending')
), event AS (
    INSERT INTO events (kind, subject) VALUES ('file.created', %(file)s)
), access AS (
    INSERT INTO access_log (operation, bucket_id, file_id, content_type, bytes_in)
    VALUES ('upload', %(bucket)s, %(file)s, 'text/plain', %(size)s)
), total AS (
    UPDATE counters SET used_bytes = used_bytes + %(size)s, used_files = used_files + 1,
        reserved_bytes = reserved_bytes - %(size)s, reserved_files = reserved_files - 1
), bucket AS (
    UPDATE buckets SET used_bytes = used_bytes + %(size)s, used_files = used_files + 1 WHERE id = %(bucket)s
)
SELECT strongroom.enqueue_job('files.check', jsonb_build_object('version_id', %(version)s::text))
"""

app = Flask(__name__)
connections: queue.LifoQueue[psycopg.Connection[dict[str, Any]]] = queue.LifoQueue()


@contextmanager
def _transaction() -> Iterator[psycopg.Connection[dict[str, Any]]]:
    role = os.environ["BARE_ROLE"]
    try:
        connection = connections.get_nowait()
    except queue.Empty:
        connection = psycopg.connect(os.environ["BARE_URL"], autocommit=True, row_factory=dict_row)
    connection.pgconn.exec_(f"BEGIN; SET LOCAL ROLE {role}; SET LOCAL search_path = {role}".encode())
    yield connection
    connection.pgconn.exec_(b"COMMIT")
    connections.put(connection)


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, content_type="application/json")


@app.get("/api/v1/files/<file_id>")
def get_file(file_id: str) -> Response:
    """Answer with one row."""
    with _transaction() as connection:
        connection.execute(SESSION, [os.environ["BARE_SESSION"]]).fetchone()
        return _json(connection.execute(ONE, [file_id]).fetchone())


@app.get("/api/v1/buckets/<bucket>/files")
def list_files(bucket: str) -> Response:
    """Answer with 100 rows."""
    with _transaction() as connection:
        connection.execute(SESSION, [os.environ["BARE_SESSION"]]).fetchone()
        found = connection.execute(BUCKET, [bucket]).fetchone() or {}
        return _json(connection.execute(PAGE, [found["id"], request.args["prefix"]]).fetchall())


@app.put("/api/v1/objects/<bucket>/<path:path>")
def put_object(bucket: str, path: str) -> Response:
    """Store the body durably, and its rows."""
    with _transaction() as connection:
        connection.execute(SESSION, [os.environ["BARE_SESSION"]]).fetchone()
        found = connection.execute(BUCKET, [bucket]).fetchone() or {}
        size = request.content_length
        ids = {name: uuid.uuid4() for name in ("upload", "file", "version")}
        values = {**ids, "bucket": found["id"], "path": path, "provider": os.environ["BARE_PROVIDER"], "size": size}
        connection.execute(BEGUN, values)
    values["hash"] = _store(request.get_data(), str(ids["version"]))
    with _transaction() as connection:
        connection.execute(COMPLETE, values)
    return _json({name: str(value) for name, value in values.items()}, 201)


def _store(data: bytes, name: str) -> str:
    """Write a file as the filesystem provider does: temporary name, sync, rename, sync of the folder."""
    folder = Path(os.environ["BARE_FOLDER"])
    unfinished = folder / f".{name}"
    with unfinished.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    unfinished.rename(folder / name)
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return str(blake3(data).hexdigest())
