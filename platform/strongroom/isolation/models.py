"""Values of the probe: walls, what was tried at each, what was found, and the signed report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

FORMAT = "strongroom-isolation-report/1"


class Wall(StrEnum):
    """A wall between tenants, as reports name it."""

    IDENTITY = "identity"  # a credential of another is refused at every route
    OBJECTS = "objects"  # another's ids and names are as unknown as random ones, on every route that takes one
    ROWS = "rows"  # the database refuses other roles
    BYTES = "bytes"  # the view of the provider reaches its own prefix only
    LINKS = "links"  # links and signed addresses are good at their own tenant only
    STATE = "state"  # caches, cursors, idempotency keys, entity tags
    JOBS = "jobs"  # a job works in the tenant that the database stamped on it
    EXPORTS = "exports"  # an archive holds its own tenant only


@dataclass(frozen=True)
class Tried:
    """How often one kind of credential was tried at one wall. `at`: `this tenant`, or `a stand-in`: a tenant made for the probe."""

    wall: Wall
    credential: str
    at: str
    attempts: int
    findings: int


@dataclass(frozen=True)
class Finding:
    """Something that should not have been possible, or a check that could not be made. Holds no secret and no content."""

    wall: Wall
    credential: str
    at: str
    attempt: str
    found: str


@dataclass(frozen=True)
class StoredReport:
    """A report as it is kept. `signed`: the text that the signature is over, byte for byte."""

    id: UUID
    ended_at: datetime
    ok: bool
    findings: int
    signed: str
    signature: bytes


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies reports. `present`: new reports are signed with it."""

    key_id: str
    public_key: str
    present: bool
    algorithm: str = "Ed25519"


@dataclass(frozen=True)
class Checked:
    """What a report's check says. `known_key`: its key is one that the checker was given."""

    key_id: str
    known_key: bool | None
    report: dict[str, Any]
