"""Making an archive: a job after the other, each one segment. Knows no HTTP.

The first segment holds all tables as they were at one moment; the others the bytes of the versions that were there then.
A segment that was cut off is begun anew, and what was written of it is removed; those that are whole stay.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func

from strongroom import __version__
from strongroom.db.ids import new_id
from strongroom.errors import DomainError, NotFound
from strongroom.events.service import emit
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from strongroom.storage.base import Writer
from strongroom.takeout import repository
from strongroom.takeout.content import CONTENTS, FORMAT, FORMAT_VERSION, MEMBER_BYTES, Content, pages
from strongroom.takeout.models import Export, ExportState, Item, Segment
from strongroom.takeout.tar import HEADER, PIECE_BYTES, SegmentWriter, as_json
from tenants import repository as registry
from tenants import settings as tenant_settings
from tenants.models import Tenant

log = logging.getLogger(__name__)
NOT_TAKEN = frozenset({"brand", "hosts"})
"""Parts of the settings: the brand goes by itself, and hosts are at providers that are here alone."""
WRITE, EXPIRE = "tenant.export", "tenant.expire_exports"
SEGMENT_BYTES, SEGMENT_ITEMS = 256 * 1024 * 1024, 1000


def run(runtime: Runtime, tenant: Tenant, ids: Mapping[str, Any]) -> None:
    """Write the next segment of an archive, and see to it that another job does the rest. Idempotent."""
    export_id = UUID(ids["export_id"])
    try:
        with runtime.tenant(tenant) as connection:
            export = repository.get(connection, export_id)
    except NotFound:
        return
    if export.state != ExportState.RUNNING:
        return
    try:
        _write_segment(runtime, tenant, export)
    except DomainError as error:
        with runtime.tenant(tenant) as connection:
            repository.change(connection, export_id, problem=error.detail)
        raise


def _write_segment(runtime: Runtime, tenant: Tenant, export: Export) -> None:
    segment = Segment(export.id, export.segments + 1, new_id(), tenant.provider_id, None)
    with runtime.tenant(tenant) as connection:
        former = repository.begin_segment(connection, segment)
    if former is not None:
        runtime.storage(tenant, former.provider_id).delete([(former.export_id, former.segment_id)])
    with _written(runtime, tenant, segment) as writer:
        tar = SegmentWriter(writer.write)
        done = _tables(runtime, tenant, export, tar) if segment.number == 1 else _bytes(runtime, tenant, export, tar)
        chain = tar.end_segment(segment.number, export.chain)
        members = export.members + tar.members
        if not done.is_left:
            tar.end_archive(segments=segment.number, members=members, chain=chain)
        writer.complete()
    _note(runtime, tenant, replace(export, chain=chain, members=members), segment, tar.size_bytes, done)


class _Done:
    """What has gone into a segment."""

    def __init__(self, *, is_left: bool, items: list[UUID] | None = None) -> None:
        self.is_left, self.items = is_left, items or []
        self.objects = self.size_bytes = self.missing = 0
        self.totals: dict[str, int] = {}


@contextmanager
def _written(runtime: Runtime, tenant: Tenant, segment: Segment) -> Iterator[Writer]:
    writer = runtime.storage(tenant, segment.provider_id).writer(segment.export_id, segment.segment_id, None)
    try:
        yield writer
    except BaseException:
        writer.abort()
        raise


def _note(runtime: Runtime, tenant: Tenant, export: Export, segment: Segment, size_bytes: int, done: _Done) -> None:
    """Write down, in one transaction, that a segment is whole, and enqueue what follows."""
    with runtime.tenant(tenant) as connection:
        now = repository.get(connection, export.id, lock=True)
        if now.segments != segment.number - 1 or not repository.end_segment(connection, segment, size_bytes):
            return  # another worker was quicker: its segment counts, and ours is what is left over
        repository.remove_items(connection, export.id, done.items)
        progress = {"done_objects": now.done_objects + done.objects, "done_bytes": now.done_bytes + done.size_bytes, "problem": ""}
        values = {"segments": segment.number, "members": export.members, "chain": export.chain, "size_bytes": now.size_bytes + size_bytes}
        values |= {"missing_objects": now.missing_objects + done.missing, **done.totals, **progress}
        repository.change(connection, export.id, **values)
        if done.is_left:
            enqueue(connection, WRITE, {"export_id": str(export.id)})
        else:
            _finish(connection, runtime, tenant, export)


def _finish(connection: Connection, runtime: Runtime, tenant: Tenant, export: Export) -> None:
    lifetime_s = runtime.settings.export_lifetime_s
    ends = func.now() + timedelta(seconds=lifetime_s)
    repository.change(connection, export.id, state=ExportState.READY, ended_at=func.now(), expires_at=ends)
    enqueue(connection, EXPIRE, {}, delay_s=lifetime_s + 1)
    emit(connection, "tenant.exported", tenant.id, {"export_id": str(export.id)})


def _tables(runtime: Runtime, tenant: Tenant, export: Export, tar: SegmentWriter) -> _Done:
    """Write all tables as of one moment; note by another transaction whose bytes are to follow."""
    with runtime.tenant(tenant) as connection:
        repository.remove_items(connection, export.id)
    done = _Done(is_left=False)
    done.totals = {"total_objects": 0, "total_bytes": 0}
    with runtime.beside(tenant, frozen=True) as seen:
        tar.add(HEADER, as_json(_head(runtime, tenant, export)))
        for content in CONTENTS:
            for number, rows in enumerate(_members(seen, content), 1):
                tar.add(f"tables/{content.table}/{number:06}.jsonl", "".join(f"{row}\n" for row in rows).encode())
                if content.table == "versions":
                    _note_versions(runtime, tenant, export, rows, done)
    done.is_left = bool(done.totals["total_objects"])
    return done


def _members(connection: Connection, content: Content) -> Iterator[list[str]]:
    """Yield a table's rows in portions of about a megabyte."""
    gathered: list[str] = []
    size_bytes = 0
    for page in pages(connection, content):
        for row in page:
            if gathered and size_bytes + len(row) > MEMBER_BYTES:
                yield gathered
                gathered, size_bytes = [], 0
            gathered.append(row)
            size_bytes += len(row)
    if gathered:
        yield gathered


def _note_versions(runtime: Runtime, tenant: Tenant, export: Export, rows: list[str], done: _Done) -> None:
    found = [json.loads(row) for row in rows]
    done.totals["total_objects"] += len(found)
    done.totals["total_bytes"] += sum(each["size_bytes"] for each in found)
    with runtime.tenant(tenant) as connection:
        repository.add_items(connection, export.id, [UUID(each["id"]) for each in found])


def _head(runtime: Runtime, tenant: Tenant, export: Export) -> dict[str, Any]:
    with runtime.databases.control() as connection:
        tenant = registry.get_tenant(connection, tenant.id)
        logo = registry.get_logo(connection, tenant.id)
        settings = tenant_settings.get(connection, tenant.id).settings
    brand = {"name": tenant.brand.name, "primary": tenant.brand.primary, "accent": tenant.brand.accent}
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION, "made_by": f"strongroom {__version__}", "export_id": str(export.id),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tenant": {
            "id": str(tenant.id), "slug": tenant.slug, "name": tenant.name, "plan": tenant.plan, "limits": tenant.overrides, "brand": brand,
            "settings": {part: chosen for part, chosen in settings.items() if part not in NOT_TAKEN},
            "logo": base64.b64encode(logo[0]).decode() if logo else None, "created_at": tenant.created_at.isoformat(),
        },
    }  # fmt: skip


def _bytes(runtime: Runtime, tenant: Tenant, export: Export, tar: SegmentWriter) -> _Done:
    """Write the bytes of the next versions, up to about a segment's size."""
    with runtime.tenant(tenant) as connection:
        waiting = repository.next_items(connection, export.id, SEGMENT_ITEMS + 1)
    done = _Done(is_left=False)
    for version_id, item in waiting[:SEGMENT_ITEMS]:
        if done.items and tar.size_bytes + (item.size_bytes if item else 0) > SEGMENT_BYTES:
            break
        if item is not None and _one(runtime, tenant, tar, item):
            done.objects += 1
            done.size_bytes += item.size_bytes
        else:
            tar.note_missing(version_id.hex)
            done.missing += 1
        done.items.append(version_id)
    done.is_left = len(done.items) < len(waiting)
    return done


def _one(runtime: Runtime, tenant: Tenant, tar: SegmentWriter, item: Item) -> bool:
    """Write one version's bytes; False when they are gone, with their row or without.

    Raises:
        StorageUnavailable: they cannot be read.
        ValueError: they are not those that were stored; the job is tried again, and at last parked.
    """
    try:
        reader = runtime.storage(tenant, item.provider_id).open(item.bucket_id, item.version_id)
    except NotFound:
        log.warning("a version has no bytes to export", extra={"tenant_id": str(tenant.id), "version_id": str(item.version_id)})
        return False
    try:
        name = f"bytes/{item.bucket_id.hex}/{item.version_id.hex}"
        digest = tar.stream(name, item.size_bytes, iter(lambda: reader.read(PIECE_BYTES), b""))
    finally:
        reader.close()
    if item.blake3 not in {None, digest}:
        raise ValueError(f"the bytes of version {item.version_id} are not those that were stored")
    return True
