"""Blocks that need not travel: which of those that a client names does the tenant have, where this client may read them.

Knowing a digest gives nobody anything: a version counts only if the principal could download it right now; everything
else is as good as unknown. Knows no HTTP.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from strongroom.access import Permission, Principal, Realm, Role, Scope
from strongroom.buckets import repository as buckets
from strongroom.files import repository as files
from strongroom.files.models import File
from strongroom.files.service import is_downloadable
from strongroom.runtime import Runtime
from strongroom.storage.bound import Piece
from strongroom.uploads import known_repository as repository
from strongroom.uploads.fingerprint import BLOCK_BYTES, fingerprint_of
from strongroom.uploads.known_repository import Found, Seeker
from strongroom.uploads.models import Upload
from tenants.models import ScanPolicy, Tenant

READING = Permission(Realm.TENANT, Role.VIEWER, Scope.FILES_READ)


@dataclass(frozen=True)
class Known:
    """Where each block of an upload can be copied from, by its number."""

    blocks: Mapping[int, Piece]

    def pieces(self, numbers: Iterable[int]) -> list[Piece] | None:
        """Return the slices that make these blocks, neighbours joined; None when one of them is unknown."""
        joined: list[Piece] = []
        for number in numbers:
            piece = self.blocks.get(number)
            if piece is None:
                return None
            if joined and _follows(joined[-1], piece):
                joined[-1] = Piece(piece.bucket_id, piece.version_id, joined[-1].start, joined[-1].length + piece.length)
            else:
                joined.append(piece)
        return joined


NOTHING = Known({})


@dataclass(frozen=True)
class _Reader:
    """Whose downloads the copies stand for, and the tenant's rule on those."""

    principal: Principal
    policy: ScanPolicy


def _follows(former: Piece, piece: Piece) -> bool:
    return former.version_id == piece.version_id and former.start + former.length == piece.start


def find_known(runtime: Runtime, tenant: Tenant, principal: Principal, upload: Upload) -> Known:
    """Return where the blocks can be copied from that an upload's client claimed."""
    claimed = [bytes.fromhex(digest) for digest in upload.request.claims.get("block_hashes", ())]
    if not claimed or not principal.may(READING):
        return NOTHING
    seeker = Seeker(upload.provider_id, principal.user_id, principal.role.includes(Role.MEMBER))
    reader = _Reader(principal, tenant.settings.scanning)
    with runtime.tenant(tenant) as connection:
        return _whole(connection, reader, seeker, upload, claimed) or _by_block(connection, reader, seeker, upload, claimed)


def _whole(connection: Connection, reader: _Reader, seeker: Seeker, upload: Upload, claimed: Sequence[bytes]) -> Known | None:
    ids = repository.find_whole(connection, seeker, fingerprint_of(b"".join(claimed)))
    for file in _readable(connection, reader, ids).values():
        if file.size_bytes == upload.size_bytes:
            return Known({number: _piece(file, number) for number in range(len(claimed))})
    return None


def _by_block(connection: Connection, reader: _Reader, seeker: Seeker, upload: Upload, claimed: Sequence[bytes]) -> Known:
    digests = list(dict.fromkeys(claimed))
    found = repository.find_blocks(connection, seeker, digests, [fingerprint_of(digest) for digest in digests])
    readable = _readable(connection, reader, {each.version_id for each in found})
    places: dict[bytes, list[Piece]] = defaultdict(list)
    for each in _largest_first(found):
        if each.version_id in readable:
            places[each.digest].append(_piece(readable[each.version_id], each.number))
    return Known(_chosen(places, claimed, upload.size_bytes or 0))


def _largest_first(found: Sequence[Found]) -> list[Found]:
    """Those versions first that have the most of what is wanted: long runs are few copies."""
    common = Counter(each.version_id for each in found)
    return sorted(found, key=lambda each: (-common[each.version_id], each.version_id, each.number))


def _chosen(places: Mapping[bytes, Sequence[Piece]], claimed: Sequence[bytes], size_bytes: int) -> dict[int, Piece]:
    chosen: dict[int, Piece] = {}
    for number, digest in enumerate(claimed):
        length = min(BLOCK_BYTES, size_bytes - number * BLOCK_BYTES)
        fitting = [piece for piece in places.get(digest, ()) if piece.length == length]
        former = chosen.get(number - 1)
        going_on = (piece for piece in fitting if former is not None and _follows(former, piece))
        if piece := next(going_on, fitting[0] if fitting else None):
            chosen[number] = piece
    return chosen


def _readable(connection: Connection, reader: _Reader, version_ids: Iterable[UUID]) -> dict[UUID, File]:
    """Return those versions that the principal could download right now."""
    found = files.get_versions(connection, list(version_ids))
    if not found:
        return {}
    serves = {bucket.id: bucket.serve_unscanned for bucket in buckets.list_buckets(connection)}
    return {file.version_id: file for file in found if file.deleted_at is None and _may_have(reader, file, serves)}


def _may_have(reader: _Reader, file: File, serves: Mapping[UUID, bool]) -> bool:
    return is_downloadable(file, reader.principal, reader.policy, serve_unscanned=serves.get(file.bucket_id, False))


def _piece(file: File, number: int) -> Piece:
    start = number * BLOCK_BYTES
    return Piece(file.bucket_id, file.version_id, start, min(BLOCK_BYTES, file.size_bytes - start))
