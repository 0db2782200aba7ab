"""Values of the registry that travel between layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from strongroom.db.engines import TenantRef
from strongroom.errors import ValidationFailed

SLUG_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
RESERVED_SLUGS = frozenset({"new", "www", "api", "admin", "operator", "console", "static", "mail", "ns", "cdn", "app"})
STANDARD = "standard"
PLAN_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
DEFAULT_PRIMARY = "#2f5bea"
COLOUR_PATTERN = re.compile(r"#[0-9a-f]{6}")


class TenantStatus(StrEnum):
    """Where a tenant is in its life."""

    PROVISIONING = "provisioning"
    IMPORTING = "importing"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    DELETED = "deleted"


@dataclass(frozen=True)
class Limits:
    """What a tenant may use: its plan, with what was agreed for it alone laid over.

    `quota_transfer_bytes`: in and out together, in a calendar month (UTC). `own_providers`: 1, it may bring its own.
    """

    quota_bytes: int
    quota_files: int
    quota_users: int
    quota_buckets: int
    quota_transfer_bytes: int
    max_file_size_bytes: int
    requests_per_s: int
    parallel_uploads: int
    own_providers: int = 0


LIMIT_NAMES = tuple(Limits.__dataclass_fields__)
LIMIT_LABELS = {
    "quota_bytes": "Stored bytes", "quota_files": "Files", "quota_users": "Users", "quota_buckets": "Buckets",
    "quota_transfer_bytes": "Transfer in a month, bytes", "max_file_size_bytes": "Largest file, bytes",
    "requests_per_s": "Requests per second", "parallel_uploads": "Uploads at the same time", "own_providers": "Storage of its own",
}  # fmt: skip
AT_LEAST_ONE = frozenset({"quota_users", "max_file_size_bytes", "requests_per_s", "parallel_uploads"})
MOST_OF = {**dict.fromkeys(("quota_users", "quota_buckets", "requests_per_s", "parallel_uploads"), 2**31 - 1), "own_providers": 1}
MOST = 2**53  # what JSON's numbers hold exactly


def wrong_limits(limits: Mapping[str, int]) -> dict[str, list[str]]:
    """Return what is wrong with each of the limits, by name."""
    wrong: dict[str, list[str]] = {}
    for name, value in limits.items():
        least, most = (1 if name in AT_LEAST_ONE else 0), MOST_OF.get(name, 2**63 - 1)
        if name not in LIMIT_NAMES:
            wrong[name] = ["Unknown limit."]
        elif not least <= value <= most:
            wrong[name] = [f"Must be a number from {least} to {most}."]
    return wrong


@dataclass(frozen=True)
class Plan:
    """A plan: limits under a name, and how many living tenants have it."""

    name: str
    limits: Limits
    tenants: int


@dataclass(frozen=True)
class Brand:
    """How a tenant looks. Colours are `#rrggbb`."""

    name: str
    primary: str = DEFAULT_PRIMARY
    accent: str = DEFAULT_PRIMARY
    has_logo: bool = False
    logo_version: str = ""


@dataclass(frozen=True)
class ScanPolicy:
    """What a tenant's files may be used for that were not found clean. It can only be stricter than what buckets say."""

    uploader_gets_unchecked: bool = True
    buckets_may_serve_unscanned: bool = True


@dataclass(frozen=True)
class SessionLengths:
    """How long tokens of a tenant's users are good; None: as the deployment's settings say."""

    access_token_lifetime_s: int | None = None
    session_lifetime_s: int | None = None


class SignUpMode(StrEnum):
    """Who may make an account without an invitation: nobody, whose e-mail is of one of the domains, or everybody."""

    CLOSED = "closed"
    DOMAINS = "domains"
    OPEN = "open"


@dataclass(frozen=True)
class SignUpPolicy:
    """Who may make an account, and with which role. `domains`: exact, ASCII, small letters; those below them are others."""

    mode: str = SignUpMode.CLOSED
    domains: Sequence[str] = ()
    role: str = "member"

    def admits(self, domain: str) -> bool:
        """Tell whether somebody with an e-mail address of this domain may make an account."""
        return self.mode == SignUpMode.OPEN or (self.mode == SignUpMode.DOMAINS and domain in self.domains)


@dataclass(frozen=True)
class SingleSignOn:
    """The tenant's identity providers by name, as stored (see `tenants.sso`), and who signs in with a password: everybody, or owners."""

    connections: Mapping[str, Any] = field(default_factory=dict)
    password_sign_in: str = "everybody"  # noqa: S105 - no password


@dataclass(frozen=True)
class Host:
    """A further provider to which a tenant's files are mirrored. `buckets`: the ids of those whose files are; None: of all.

    Of one that is not enabled the copies stay; none are added.
    """

    id: UUID
    name: str
    provider_id: UUID
    buckets: frozenset[UUID] | None
    enabled: bool
    created_at: datetime

    @classmethod
    def read(cls, host_id: str, stored: Mapping[str, Any]) -> Host:
        """Make a host of its part of the settings."""
        buckets, created_at = stored.get("buckets"), datetime.fromisoformat(stored["created_at"])
        ids = None if buckets is None else frozenset(UUID(each) for each in buckets)
        return cls(UUID(host_id), stored["name"], UUID(stored["provider_id"]), ids, stored.get("enabled", True), created_at)


@dataclass(frozen=True)
class TenantSettings:
    """What a tenant has chosen for itself besides its brand. `bucket_defaults`: parts of the policy that new buckets get."""

    bucket_defaults: Mapping[str, Any] = field(default_factory=dict)
    scanning: ScanPolicy = ScanPolicy()
    sessions: SessionLengths = SessionLengths()
    sign_up: SignUpPolicy = SignUpPolicy()
    sso: SingleSignOn = SingleSignOn()
    hosts: tuple[Host, ...] = ()

    def host_at(self, provider_id: UUID) -> Host | None:
        """Return the host at a provider."""
        return next((host for host in self.hosts if host.provider_id == provider_id), None)


@dataclass(frozen=True)
class Tenant:
    """A tenant as the registry knows it. `writes_paused`: it is about to go over to another cell, and can only be read."""

    id: UUID
    slug: str
    name: str
    status: TenantStatus
    cell: str
    provider_id: UUID
    prefix: str
    plan: str
    limits: Limits
    brand: Brand
    schema_revision: str | None
    created_at: datetime
    overrides: dict[str, int] = field(default_factory=dict)
    former_slugs: frozenset[str] = frozenset()
    writes_paused: bool = False
    settings: TenantSettings = TenantSettings()

    def is_named(self, slug: str) -> bool:
        """Tell whether this is, or was, its slug."""
        return slug == self.slug or slug in self.former_slugs

    @property
    def ref(self) -> TenantRef:
        """What the database layer needs of it."""
        return TenantRef(self.id, self.cell)


@dataclass(frozen=True)
class ProviderInfo:
    """A provider's row. `secrets` are sealed; `tenant_id` is set where a tenant brought it itself.

    `offered_as_host`: tenants may mirror their files to it, though it is the operator's.
    """

    id: UUID
    name: str
    kind: str
    config: dict[str, Any]
    is_default: bool
    created_at: datetime
    tenant_id: UUID | None = None
    secrets: bytes | None = field(default=None, repr=False)
    offered_as_host: bool = False

    def may_be_host_of(self, tenant_id: UUID) -> bool:
        """Tell whether a tenant may mirror its files to it."""
        return self.offered_as_host if self.tenant_id is None else self.tenant_id == tenant_id


def check_slug(slug: str) -> str:
    """Return the slug if a tenant may bear it.

    Raises:
        ValidationFailed
    """
    if not SLUG_PATTERN.fullmatch(slug) or "--" in slug:
        raise _slug_error("Use 1 to 40 small letters, digits and single hyphens; a letter or digit at both ends.")
    if slug in RESERVED_SLUGS:
        raise _slug_error("This name is reserved.")
    return slug


def _slug_error(text: str) -> ValidationFailed:
    return ValidationFailed(text, errors={"slug": [text]})
