"""Idempotency-Key on every mutating route: the first answer is kept for a day and given again to whoever repeats the request.

Kept per tenant and caller, so a key of one says nothing to another. An error is not kept: the same request may be tried again.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from blake3 import blake3
from flask import Flask, Response, current_app, g, request
from sqlalchemy import Column, Integer, LargeBinary, Table, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from strongroom.access import Principal
from strongroom.db.tables import TIME, tenant_metadata
from strongroom.errors import BadRequest, DomainError, IdempotencyConflict, IdempotencyInProgress
from strongroom.http.body import body_length, request_body, streams_body
from strongroom.http.context import current_tenant, runtime
from strongroom.http.headers import Bodyless
from strongroom.runtime import Runtime
from tenants.models import Tenant

MAX_KEY = 255
TELLING = ("content-length", "content-digest", "content-md5", "content-encoding", "transfer-encoding", "upload-", "if-", "x-http-method")
MAX_KEPT_BYTES = 256 * 1024
PIECE_BYTES = 256 * 1024
KEPT_HEADERS = ("Content-Type", "ETag", "Location", "Upload-Offset", "Upload-Expires", "Strongroom-File-Id")
MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LIFETIME = timedelta(days=1)
STALE = timedelta(minutes=10)

idempotency_keys = Table(
    "idempotency_keys",
    tenant_metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary),
    Column("status", Integer),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    Column("created_at", TIME),
)


def install_idempotency(app: Flask) -> None:
    """Answer repeated requests from memory. Runs after the gate: tenant and caller are known."""

    @app.before_request
    def _repeat() -> Response | None:
        key = request.headers.get("Idempotency-Key")
        principal: Principal | None = g.get("principal")
        if not key or request.method not in MUTATING or principal is None:
            return None
        if len(key) > MAX_KEY or not key.isprintable():
            raise BadRequest(f"An Idempotency-Key has 1 to {MAX_KEY} printable characters.")
        return _claim(principal, key)

    @app.after_request
    def _keep(response: Response) -> Response:
        claimed: tuple[str, str] | None = g.pop("idempotency", None)
        if claimed is not None:
            _store(claimed, response)
        return response


def _claim(principal: Principal, key: str) -> Response | None:
    """Take the key for this request, or return the answer that it already has."""
    runtime().let_go()  # the body is read now, which may take as long as its sender likes
    actor, wanted = _actor(principal), _request_hash()
    with runtime().tenant(current_tenant()) as connection:
        query = upsert(idempotency_keys).values(actor=actor, key=key, request_hash=wanted).on_conflict_do_nothing()
        if connection.execute(query.returning(idempotency_keys.c.key)).first() is not None:
            g.idempotency = (actor, key)
            return None
        mine = (idempotency_keys.c.actor == actor) & (idempotency_keys.c.key == key)
        row = connection.execute(select(idempotency_keys).where(mine)).first()
        stale = update(idempotency_keys).where(
            mine, idempotency_keys.c.status.is_(None), idempotency_keys.c.created_at < func.now() - STALE
        )
        if row is not None and row.request_hash == wanted and connection.execute(stale.values(created_at=func.now())).rowcount == 1:
            g.idempotency = (actor, key)
            return None
    if row is None or row.status is None:
        raise IdempotencyInProgress(retry_after_s=1)
    if row.request_hash != wanted:
        raise IdempotencyConflict
    body = runtime().keys.open(row.body, _sealed_for(actor, key))
    _check_same_bytes(body)
    kind = Response if body else Bodyless
    return kind(body, status=row.status, headers={**row.headers, "Idempotency-Replayed": "true"})


def _check_same_bytes(answer: bytes) -> None:
    """Hold the bytes of a streamed body against those that the kept answer is about, where it tells their BLAKE3.

    Nothing is acknowledged that is not kept.

    Raises:
        IdempotencyConflict: they are others.
    """
    if not streams_body(current_app.view_functions[str(request.endpoint)]):
        return
    kept = json.loads(answer or b"null")
    if not isinstance(kept, dict) or not kept.get("blake3"):
        return
    body, digest, buffer = request_body(), blake3(), memoryview(bytearray(PIECE_BYTES))
    left = body_length()
    while left is None or left > 0:
        count = body.readinto(buffer if left is None else buffer[:left])
        if not count:
            break
        digest.update(buffer[:count])
        left = None if left is None else left - count
    if digest.hexdigest() != kept["blake3"]:
        raise IdempotencyConflict


def _store(claimed: tuple[str, str], response: Response) -> None:
    mine = (idempotency_keys.c.actor == claimed[0]) & (idempotency_keys.c.key == claimed[1])
    small = not response.direct_passthrough and (response.content_length or 0) <= MAX_KEPT_BYTES
    keepable = response.status_code < BadRequest.status and small
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    try:
        with runtime().tenant(current_tenant()) as connection:
            if keepable:
                sealed = runtime().keys.seal(response.get_data(), _sealed_for(*claimed))
                values: dict[str, Any] = {"status": response.status_code, "headers": headers, "body": sealed}
                connection.execute(update(idempotency_keys).where(mine).values(**values))
            else:
                connection.execute(delete(idempotency_keys).where(mine))
    except DomainError:
        return  # the answer stands; a repetition will find the key stale and run again


def _sealed_for(actor: str, key: str) -> str:
    """Kept answers may hold a secret that is told once, so they are sealed, each for its own place."""
    return f"idempotency {current_tenant().id} {actor} {key}"


def _actor(principal: Principal) -> str:
    return f"key:{principal.api_key_id}" if principal.api_key_id else f"user:{principal.user_id}"


def _request_hash() -> bytes:
    """Hash what makes a request the same: method, address, what the headers say of the content, and the JSON body.

    A streamed body is not read for it; see `_check_same_bytes`.
    """
    digest = hashlib.sha256(f"{request.method}\n{request.full_path}\n".encode())
    told = sorted((name.lower(), value) for name, value in request.headers.items() if name.lower().startswith(TELLING))
    digest.update(repr([request.mimetype, *told]).encode())
    if request.is_json and not streams_body(current_app.view_functions[str(request.endpoint)]):
        digest.update(request.get_data(cache=True))
    return digest.digest()


def forget_old(runtime_: Runtime, tenant: Tenant) -> int:
    """Remove kept answers that are older than a day."""
    with runtime_.tenant(tenant) as connection:
        return connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at < func.now() - LIFETIME)).rowcount
