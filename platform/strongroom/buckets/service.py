"""Buckets: create, list, change, delete. Knows no HTTP."""

from __future__ import annotations

import re
from typing import Any

from strongroom.access import Principal
from strongroom.buckets import repository, room
from strongroom.buckets.models import Bucket, Totals
from strongroom.buckets.tables import buckets
from strongroom.db.ids import new_id
from strongroom.errors import ValidationFailed
from strongroom.events.service import emit
from strongroom.jobs.queue import enqueue
from strongroom.runtime import Runtime
from tenants.hosts import SETTLE
from tenants.models import Tenant

NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
TYPE_PATTERN = re.compile(r"(\*/\*|[a-z0-9][a-z0-9.+-]*/(\*|[a-z0-9][a-z0-9.+-]*))")


def create_bucket(runtime: Runtime, tenant: Tenant, principal: Principal, *, name: str, **policy: Any) -> Bucket:
    """Make a bucket. What the policy leaves open is as the tenant's settings say, else as it is by default.

    Raises:
        AlreadyExists, ValidationFailed, QuotaExceeded
    """
    if not NAME_PATTERN.fullmatch(name) or ".." in name:
        text = "Use 1 to 63 small letters, digits, '.' and '-'; a letter or digit at both ends."
        raise ValidationFailed(text, errors={"name": [text]})
    with runtime.tenant(tenant) as connection:
        room.check_number(connection, "buckets", buckets, tenant.limits.quota_buckets)
        bucket = repository.insert_bucket(connection, id=new_id(), name=name, **{**tenant.settings.bucket_defaults, **check_policy(policy)})
        emit(connection, "bucket.created", bucket.id, {"bucket": name, "public": bucket.public}, principal.actor)
    return bucket


def list_buckets(runtime: Runtime, tenant: Tenant, *, after: str = "", limit: int | None = None) -> list[Bucket]:
    """Return the tenant's buckets by name."""
    with runtime.tenant(tenant) as connection:
        return repository.list_buckets(connection, after=after, limit=limit)


def get_bucket(runtime: Runtime, tenant: Tenant, name: str) -> Bucket:
    """Return one bucket.

    Raises:
        NotFound
    """
    with runtime.tenant(tenant) as connection:
        return repository.get_bucket(connection, name)


def update_bucket(runtime: Runtime, tenant: Tenant, principal: Principal, name: str, **policy: Any) -> Bucket:
    """Change a bucket's policy. It holds for what comes after; files already there stay as they are.

    Raises:
        NotFound, ValidationFailed
    """
    with runtime.tenant(tenant) as connection:
        former = repository.get_bucket(connection, name)
        bucket = repository.update_bucket(connection, name, **check_policy(policy)) if policy else former
        if tenant.settings.hosts and former.serve_unscanned != bucket.serve_unscanned:
            enqueue(connection, SETTLE, {}, dedupe_key="all")  # more files are mirrored, or fewer
        emit(connection, "bucket.updated", bucket.id, _change(former, bucket), principal.actor)
    return bucket


def delete_bucket(runtime: Runtime, tenant: Tenant, principal: Principal, name: str) -> None:
    """Remove an empty bucket.

    Raises:
        NotFound, BucketNotEmpty
    """
    with runtime.tenant(tenant) as connection:
        bucket_id = repository.delete_bucket(connection, name)
        emit(connection, "bucket.deleted", bucket_id, {"bucket": name}, principal.actor)
        room.check_later(connection)


def totals(runtime: Runtime, tenant: Tenant) -> Totals:
    """Return the tenant's exact totals."""
    with runtime.tenant(tenant) as connection:
        return repository.totals(connection)


def _change(former: Bucket, bucket: Bucket) -> dict[str, Any]:
    """What the event tells. A bucket that is closed to the public names what caches in front have to forget."""
    told: dict[str, Any] = {"bucket": bucket.name, "public": bucket.public}
    return {**told, "purge": [f"/api/v1/objects/{bucket.name}/*"]} if former.public and not bucket.public else told


def check_policy(policy: dict[str, Any]) -> dict[str, Any]:
    """Return a policy after having looked at what its schema cannot know.

    Raises:
        ValidationFailed
    """
    for pattern in policy.get("allowed_types", ()):
        if not TYPE_PATTERN.fullmatch(pattern):
            text = f"'{pattern}' is no media type; write image/png, image/* or */*."
            raise ValidationFailed(text, errors={"allowed_types": [text]})
    return policy
