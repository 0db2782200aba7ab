"""Checking versions, purging bytes and reconciling them with the rows. Knows no HTTP. Every function is idempotent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from strongroom.config import Settings
from strongroom.errors import DomainError, NotFound, StorageUnavailable
from strongroom.events.service import emit
from strongroom.files import claims, copies, repository
from strongroom.files.models import File, Status, Verdict
from strongroom.files.service import event_data, remove
from strongroom.runtime import Runtime
from strongroom.scanning import ClamdScanner, Inspection, ScanLimits, Scanner, YaraScanner, find_clamd, inspect
from strongroom.scanning import Verdict as ScanVerdict
from strongroom.storage.everywhere import at_each
from strongroom.uploads import repository as uploads
from strongroom.uploads.fingerprint import DIGEST_BYTES, BlockDigests, fingerprint_of
from tenants.models import Tenant

log = logging.getLogger(__name__)
BATCH = 1000


CHANGED, CHECKSUM = "changed", "checksum"
"""Reasons of a rejection: the object is another than was completed; the bytes are not those that the client announced."""
Judgement = tuple[Status, Verdict, str | None]


class ScannerFailed(Exception):
    """A configured scanner gave no answer, so the file stays pending."""


@dataclass(frozen=True)
class Reading:
    """What one reading of a version's bytes has told. `blocks`: the digests of its blocks, where they were not known before."""

    inspection: Inspection
    fingerprint: str | None
    blocks: bytes | None


def check_version(runtime: Runtime, tenant: Tenant, version_id: UUID) -> Verdict | None:
    """Read a version's bytes once, feed every check, and write the verdict down. None when there is nothing to check.

    Raises:
        ScannerFailed: a scanner is down; nothing was decided.
        StorageUnavailable: the bytes could not be read, or are not what was stored.
    """
    with runtime.tenant(tenant) as connection:
        file = repository.get_any_version(connection, version_id)
        provider_tag, claims = repository.claims_of(connection, version_id)
    if file is None or file.status != Status.PENDING:
        return None
    tag = provider_tag if file.fingerprint is None else ""  # else our own digest tells more than the provider's word
    if _has_changed(runtime, tenant, file, tag):
        return _decide(runtime, tenant, file, (Status.REJECTED, Verdict.INVALID, CHANGED))
    reading = _read(runtime, tenant, file)
    if _has_changed(runtime, tenant, file, tag):
        return _decide(runtime, tenant, file, (Status.REJECTED, Verdict.INVALID, CHANGED))
    _compare_with_stored(file, reading)
    judgement = _judge(reading.inspection, holds=_claims_hold(claims, reading))
    return _decide(runtime, tenant, file, judgement, reading, claims={name: claims[name] for name in claims if name != "block_hashes"})


def _decide(
    runtime: Runtime, tenant: Tenant, file: File, judgement: Judgement, reading: Reading | None = None, **more: Any
) -> Verdict | None:  # fmt: skip
    """Write a verdict down, unless somebody else has."""
    status, verdict, reason = judgement
    learnt = _learnt(reading) if reading else {}
    with runtime.tenant(tenant) as connection:
        if not repository.set_verdict(connection, file.version_id, status=status, verdict=verdict, reason=reason, **learnt, **more):
            return None
        if reading and reading.blocks is not None and len(reading.blocks) > DIGEST_BYTES:
            repository.insert_blocks(connection, file.version_id, reading.blocks)
        if status == Status.AVAILABLE:
            copies.want(connection, tenant, file.version_id)
        emit(connection, "file.verdict", file.id, {**event_data(file), "status": status, "verdict": verdict, "reason": reason})
    return verdict


def _learnt(reading: Reading) -> dict[str, Any]:
    found = reading.inspection
    return {
        "engine": found.engine, "signatures_at": found.signatures_at, "scanned_bytes": found.scanned_bytes, "sha256": found.sha256,
        "blake3": found.blake3, "fingerprint": reading.fingerprint, "detected_type": found.detected_type,
    }  # fmt: skip


def _has_changed(runtime: Runtime, tenant: Tenant, file: File, tag: str) -> bool:
    """Tell whether the object is another than the one that was completed. Asked before and after it is read.

    Raises:
        StorageUnavailable: it is not there at all.
    """
    if not tag:
        return False
    try:
        return runtime.storage(tenant, file.provider_id).head(file.bucket_id, file.version_id).tag != tag
    except NotFound:
        raise StorageUnavailable("The bytes are not at the provider.") from None


def _compare_with_stored(file: File, reading: Reading) -> None:
    """See that the bytes are those that passed through us.

    Raises:
        StorageUnavailable
    """
    known = ((file.blake3, reading.inspection.blake3), (file.fingerprint, reading.fingerprint))
    if any(stored is not None and stored != found for stored, found in known):
        raise StorageUnavailable("The bytes at the provider are not those that were stored.")


def _claims_hold(claims: Mapping[str, Any], reading: Reading) -> bool:
    """Tell whether the bytes are those that the client announced."""
    if claims.get("sha256", reading.inspection.sha256) != reading.inspection.sha256:
        return False
    hashes = claims.get("block_hashes")
    return hashes is None or fingerprint_of(bytes.fromhex("".join(hashes))) == reading.fingerprint


def _judge(found: Inspection, *, holds: bool) -> Judgement:
    if found.verdict == ScanVerdict.INFECTED:
        return Status.QUARANTINED, Verdict.INFECTED, found.reason
    if not holds:
        return Status.REJECTED, Verdict.INVALID, CHECKSUM
    if not found.type_ok:
        return Status.REJECTED, Verdict.INVALID, found.type_reason
    if found.verdict == ScanVerdict.UNSCANNED:
        return Status.AVAILABLE, Verdict.UNSCANNED, found.reason
    return Status.AVAILABLE, Verdict.CLEAN, None


def _read(runtime: Runtime, tenant: Tenant, file: File) -> Reading:
    """Read the bytes once. A whole BLAKE3 that is known already says as much as the digests of the blocks.

    Raises:
        ScannerFailed, StorageUnavailable
    """
    blocks = BlockDigests() if file.fingerprint is None or file.blake3 is None else None
    found = _inspect(runtime, tenant, file, (blocks.update,) if blocks else ())
    if found.verdict == ScanVerdict.ERROR:
        raise ScannerFailed(found.reason)
    if blocks is None:
        return Reading(found, file.fingerprint, None)
    digests = blocks.finish()
    return Reading(found, fingerprint_of(digests), digests)


def _inspect(runtime: Runtime, tenant: Tenant, file: File, also: Sequence[Callable[[bytes], None]]) -> Inspection:
    settings = runtime.settings
    limits = ScanLimits(spool_dir=Path(settings.scan_spool_dir) if settings.scan_spool_dir else None)
    try:
        reader = runtime.storage(tenant, file.provider_id).open(file.bucket_id, file.version_id)
    except NotFound:
        raise StorageUnavailable("The bytes are not at the provider.") from None
    try:
        return inspect(
            reader, size_bytes=file.size_bytes, declared_type=file.content_type, name=file.path, scanners=scanners(settings),
            limits=limits, also=also,
        )  # fmt: skip
    finally:
        reader.close()


def scanners(settings: Settings) -> Sequence[Scanner]:
    """Return the engines that every file has to pass: the bundled one, and ClamAV where it is configured or found."""
    address = clamd_address(settings)
    return [_yara(), _clamd(address)] if address else [_yara()]


def clamd_address(settings: Settings) -> str | None:
    """Return where clamd listens, if it is to be used."""
    if settings.clamd_address == "auto":
        return find_clamd()
    return None if settings.clamd_address == "off" else settings.clamd_address


@lru_cache(maxsize=1)
def _yara() -> Scanner:
    return YaraScanner()


@lru_cache(maxsize=4)
def _clamd(address: str) -> Scanner:
    return ClamdScanner(address)


def purge(runtime: Runtime, tenant: Tenant, provider_id: UUID, bucket_id: UUID, version_ids: Sequence[UUID]) -> None:
    """Remove the bytes of versions that have no row any more at this provider. Those that have one are left alone."""
    _remove_dead(runtime, tenant, provider_id, [(bucket_id, version_id) for version_id in version_ids])


def _remove_dead(runtime: Runtime, tenant: Tenant, provider_id: UUID, wanted: Sequence[tuple[UUID, UUID]]) -> int:
    """Remove bytes of which no row says that they are at this provider, and that are no copy being made; return how many."""
    with runtime.tenant(tenant) as connection:
        free, claimed = claims.take_for_removal(connection, [version_id for _, version_id in wanted], provider_id)
    dead = [(bucket_id, version_id) for bucket_id, version_id in wanted if version_id in free]
    runtime.storage(tenant, provider_id).delete(dead)
    if claimed:
        with runtime.tenant(tenant) as connection:
            claims.release(connection, claimed, provider_id, claims.REMOVAL)
    return len(dead)


def empty_trash(runtime: Runtime, tenant: Tenant) -> int:
    """Remove files whose time in the trash is over; return how many."""
    total = 0
    while True:
        with runtime.tenant(tenant) as connection:
            due = repository.due_for_purge(connection, BATCH)
            for file_id, bucket_id in due:
                remove(connection, file_id, bucket_id)
        total += len(due)
        if len(due) < BATCH:
            return total


@dataclass(frozen=True)
class Reconciliation:
    """What was found: bytes that no row names (removed), and versions whose bytes are missing or of another size."""

    bytes_without_row: int
    missing: tuple[UUID, ...]


def reconcile(runtime: Runtime, tenant: Tenant) -> Reconciliation:
    """Compare what lies at the provider with the rows, in both directions, with a grace time for what is under way.

    Of mirrors only what is left over there is removed; see `mirrors.settling.reconcile`. A host that does not answer has time.

    Raises:
        DomainError: another provider does not answer; everything else was done.
    """
    try:
        orphans = sum(at_each(runtime.provider_ids(tenant), lambda each: _remove_orphans_at(runtime, tenant, each)))
    finally:
        missing = _find_missing(runtime, tenant)
        for version_id in missing:
            log.error("a version has no bytes", extra={"tenant_id": str(tenant.id), "version_id": str(version_id)})
    return Reconciliation(orphans, tuple(missing))


def _remove_orphans_at(runtime: Runtime, tenant: Tenant, provider_id: UUID) -> int:
    try:
        return _remove_orphans(runtime, tenant, provider_id)
    except DomainError:
        if tenant.settings.host_at(provider_id) is None:
            raise
        log.warning("a host does not answer", extra={"tenant_id": str(tenant.id), "provider_id": str(provider_id)}, exc_info=True)
        return 0


def _remove_orphans(runtime: Runtime, tenant: Tenant, provider_id: UUID) -> int:
    storage, total = runtime.storage(tenant, provider_id), 0
    before = datetime.now(UTC) - timedelta(seconds=runtime.settings.reconcile_grace_s)
    batch: list[tuple[UUID, UUID]] = []
    for bucket_id, version_id, meta in storage.list():
        if meta.modified_at < before:
            batch.append((bucket_id, version_id))
        if len(batch) == BATCH:
            total += _remove_unknown(runtime, tenant, provider_id, batch)
            batch = []
    return total + _remove_unknown(runtime, tenant, provider_id, batch)


def _remove_unknown(runtime: Runtime, tenant: Tenant, provider_id: UUID, batch: Sequence[tuple[UUID, UUID]]) -> int:
    with runtime.tenant(tenant) as connection:
        under_way = uploads.versions_under_way(connection) | repository.archive_segments(
            connection
        )  # first: one that completes in between is then among the versions
    return _remove_dead(runtime, tenant, provider_id, [each for each in batch if each[1] not in under_way])


def _find_missing(runtime: Runtime, tenant: Tenant) -> list[UUID]:
    missing, after = [], None
    while True:
        with runtime.tenant(tenant) as connection:
            rows = repository.versions_after(connection, after, BATCH)
        missing += [row.id for row in rows if not _has_bytes(runtime.storage(tenant, row.provider_id), row)]
        if len(rows) < BATCH:
            return _still_there(runtime, tenant, missing)
        after = rows[-1].id


def _has_bytes(storage: Any, row: Any) -> bool:
    try:
        return bool(storage.head(row.bucket_id, row.id).size_bytes == row.size_bytes)
    except NotFound:
        return False


def _still_there(runtime: Runtime, tenant: Tenant, version_ids: list[UUID]) -> list[UUID]:
    """Drop those whose rows went away while we looked."""
    with runtime.tenant(tenant) as connection:
        living = repository.existing_versions(connection, version_ids)
    return [version_id for version_id in version_ids if version_id in living]
