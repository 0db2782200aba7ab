"""The members of an archive on their way into a new tenant: each held against its manifest, each version against its row."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from uuid import UUID

from strongroom.errors import ExportRefused, QuotaExceeded
from strongroom.events.service import emit
from strongroom.files.repository import insert_blocks
from strongroom.jobs.queue import enqueue
from strongroom.quotas import repository as quotas
from strongroom.runtime import Runtime
from strongroom.scanning.types import sniff
from strongroom.takeout import arrival, repository
from strongroom.takeout.content import CONTENTS
from strongroom.takeout.rows import read_rows
from strongroom.takeout.tar import END, ArchiveReader, Entry, chained, json_object
from strongroom.uploads.fingerprint import DIGEST_BYTES, Fingerprinter
from strongroom.uploads.service import CHECK
from strongroom.usage.recorder import ROLL_UP
from tenants import service as tenants
from tenants.models import Tenant

SNIFF_BYTES = 64 * 1024
MAX_ENTRIES = 20_000
ALIVE_S = 30.0
TABLES = {content.table: (number, content) for number, content in enumerate(CONTENTS)}
_TABLE_NAME = re.compile(r"tables/([a-z_]+)/([0-9]{6})\.jsonl")
_BYTES_NAME = re.compile(r"bytes/([0-9a-f]{32})/([0-9a-f]{32})")


class Arriving:
    """Takes the members in the order that they must have: tables, then bytes, with manifests in between, then the end."""

    def __init__(self, runtime: Runtime, tenant: Tenant, reader: ArchiveReader) -> None:
        self._runtime, self._tenant, self._reader = runtime, tenant, reader
        self._storage = runtime.storage(tenant)
        self._open = [reader.end()]
        """Members that no manifest has named yet."""
        self._place = (0, 0)
        self._has_tables = False
        self._chain, self._manifests, self._members = "", 0, 1
        self._seen = time.monotonic()
        self.missing = 0

    def run(self) -> None:
        """Read to the end.

        Raises:
            ExportRefused, QuotaExceeded, StorageUnavailable, StorageFull
        """
        while self._next():
            if self._reader.name.startswith("tables/"):
                self._table()
            elif self._reader.name.startswith("bytes/"):
                self._bytes()
            elif self._reader.name.startswith("manifest/"):
                self._manifest()
            else:
                self._end()
                return

    def _next(self) -> bool:
        if time.monotonic() - self._seen > ALIVE_S:
            tenants.touch(self._runtime.databases, self._tenant.id)
            self._seen = time.monotonic()
        if len(self._open) > MAX_ENTRIES:
            raise ExportRefused("It has too many members without a manifest.")
        if not self._reader.next():
            raise ExportRefused(f"It ends without {END}.")
        return True

    def _table(self) -> None:
        match = _TABLE_NAME.fullmatch(self._reader.name)
        table, number = (match[1], int(match[2])) if match else ("", 0)
        if table not in TABLES or self._has_tables:
            raise ExportRefused(f"{self._reader.name} does not belong there.")
        place = (TABLES[table][0], number)
        if place <= self._place:
            raise ExportRefused(f"{self._reader.name} comes out of turn.")
        self._place, content = place, TABLES[table][1]
        rows = read_rows(content, self._reader.whole(), self._tenant.provider_id)
        with self._runtime.tenant(self._tenant) as connection:
            arrival.insert_rows(connection, content, rows)
            if table == "versions":
                repository.add_items(connection, self._tenant.id, [UUID(row["id"]) for row in rows])
        self._done(self._reader.end())

    def _done(self, entry: Entry) -> None:
        self._open.append(entry)
        self._members += 1

    def _after_tables(self) -> None:
        """All rows are there: see whether they fit together, and into the plan, before any byte is written."""
        self._has_tables = True
        with self._runtime.tenant(self._tenant) as connection:
            size_bytes, count = arrival.totals(connection)
            wrong = arrival.contradictions(connection)
            owners, held = arrival.owners(connection), quotas.totals(connection)
        if wrong:
            raise ExportRefused(f"{wrong} files and versions do not belong together.")
        if not owners:
            raise ExportRefused("It has no owner who could sign in.")
        limits = self._tenant.limits
        if size_bytes > limits.quota_bytes or count > limits.quota_files:
            detail = f"It needs room for {count} files and {size_bytes} bytes; give the tenant a plan or limits that have it."
            raise QuotaExceeded(detail)
        if held.used_users > limits.quota_users or held.used_buckets > limits.quota_buckets:
            detail = f"It needs room for {held.used_users} users and {held.used_buckets} buckets; the plan or limits must have it."
            raise QuotaExceeded(detail)

    def _bytes(self) -> None:
        if not self._has_tables:
            raise ExportRefused("Bytes come before a manifest of the tables.")
        match = _BYTES_NAME.fullmatch(self._reader.name)
        assert match is not None  # noqa: S101 - the reader takes no other names
        bucket_id, version_id = UUID(match[1]), UUID(match[2])
        with self._runtime.tenant(self._tenant) as connection:
            row = arrival.find_version(connection, version_id)
            waited_for = repository.remove_items(connection, self._tenant.id, [version_id])
        if row is None or not waited_for or row.bucket_id != bucket_id or row.size_bytes != self._reader.size_bytes:
            raise ExportRefused(f"{self._reader.name} is of no version, or has another size.")
        self._done(self._store(bucket_id, version_id, row))

    def _store(self, bucket_id: UUID, version_id: UUID, row: Any) -> Entry:
        """Write a version's bytes below the new tenant's prefix, if they are what its row says."""
        writer, hashes, head = self._storage.writer(bucket_id, version_id, row.size_bytes), Fingerprinter(), b""
        try:
            while data := self._reader.read():
                hashes.update(data)
                writer.write(data)
                head = head + data[: SNIFF_BYTES - len(head)] if len(head) < SNIFF_BYTES else head
            found = hashes.finish()
            if row.blake3 not in {None, found.blake3} or row.fingerprint not in {None, found.fingerprint}:
                raise ExportRefused(f"{self._reader.name} has other bytes than were stored.")
            meta = writer.complete()
        except BaseException:
            writer.abort()
            raise
        known = {"fingerprint": found.fingerprint, "blake3": found.blake3, "provider_tag": meta.tag, "detected_type": sniff(head)}
        with self._runtime.tenant(self._tenant) as connection:
            arrival.note_bytes(connection, version_id, **known)
            if len(found.blocks) > DIGEST_BYTES:
                insert_blocks(connection, version_id, found.blocks)
        return self._reader.end()

    def _manifest(self) -> None:
        self._manifests += 1
        if self._reader.name != f"manifest/{self._manifests:06}.jsonl":
            raise ExportRefused(f"{self._reader.name} comes out of turn.")
        data = self._reader.whole()
        self._reader.end()
        entries, missing = _entries(data, self._reader.name)
        if entries != self._open:
            first = next((each.name for each, told in zip(self._open, entries, strict=False) if each != told), "a member")
            raise ExportRefused(f"{first} is not what {self._reader.name} says: its checksum is another, or it is missing.")
        self._open, self._chain = [], chained(self._chain, data)
        self._drop(missing)
        if not self._has_tables:
            self._after_tables()

    def _drop(self, missing: list[UUID]) -> None:
        if not missing:
            return
        with self._runtime.tenant(self._tenant) as connection:
            self.missing += repository.remove_items(connection, self._tenant.id, missing)
            arrival.drop_versions(connection, missing)

    def _end(self) -> None:
        told = json_object(self._reader.whole(), END)
        self._reader.end()
        mine = {"segments": self._manifests, "members": self._members, "chain": self._chain}
        if self._open or {name: told.get(name) for name in mine} != mine or self._reader.next() or not self._reader.is_at_end():
            raise ExportRefused("Its end does not tell of what it holds.")
        if not self._has_tables:
            raise ExportRefused("It has no tables.")
        with self._runtime.tenant(self._tenant) as connection:
            if left := repository.count_items(connection, self._tenant.id):
                raise ExportRefused(f"The bytes of {left} versions are not in it.")
            if arrival.contradictions(connection):
                raise ExportRefused("Files and versions do not belong together.")
            arrival.count_up(connection)
            enqueue(connection, ROLL_UP, {}, dedupe_key="all")
            emit(connection, "tenant.imported", self._tenant.id, {})
        self._enqueue_checks()

    def _enqueue_checks(self) -> None:
        """Have every version checked; the jobs wait until the tenant is opened."""
        last: UUID | None = None
        while True:
            with self._runtime.tenant(self._tenant) as connection:
                last = arrival.enqueue_checks(connection, CHECK, last)
            if last is None:
                return


def _entries(data: bytes, name: str) -> tuple[list[Entry], list[UUID]]:
    entries, missing = [], []
    try:
        for line in data.splitlines():
            told = json.loads(line)
            if "missing" in told:
                missing.append(UUID(told["missing"]))
            else:
                entries.append(Entry(told["name"], told["size_bytes"], told["blake3"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ExportRefused(f"{name} is no manifest.") from None
    return entries, missing
