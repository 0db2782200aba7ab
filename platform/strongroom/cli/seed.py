"""The demo tenant of a first start: `acme`, its owner and two buckets."""

from __future__ import annotations

from typing import Any

from strongroom.access import Principal, Role
from strongroom.buckets import service as buckets
from strongroom.db.ids import new_id
from strongroom.errors import AlreadyExists, NotFound
from strongroom.operating import service as operating
from strongroom.runtime import Runtime
from strongroom.security.passwords import hash_password
from strongroom.users import service as users
from tenants import service as tenants
from tenants.models import Tenant

BY = "first start"
BUCKETS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("media", {"allowed_types": [], "versioning": True}),
    ("documents", {"allowed_types": ["application/pdf", "text/*", "image/*"], "versioning": True}),
)


def seed_demo(runtime: Runtime, credentials: dict[str, str]) -> None:
    """Make the demo tenant, or what is missing of it. Idempotent."""
    tenant = _tenant(runtime, credentials)
    if not any(user.email == credentials["email"] for user in users.list_users(runtime, tenant)):
        users.create_owner(
            runtime, tenant, email=credentials["email"], password_hash=hash_password(credentials["password"]), name="Acme Owner"
        )
    system = Principal(new_id(), "", "", Role.OWNER)
    for name, policy in BUCKETS:
        try:
            buckets.create_bucket(runtime, tenant, system, name=name, **policy)
        except AlreadyExists:
            continue


def _tenant(runtime: Runtime, credentials: dict[str, str]) -> Tenant:
    try:
        tenant = operating.find_tenant(runtime, credentials["slug"])
    except NotFound:
        return tenants.create_tenant(runtime.databases, slug=credentials["slug"], name="Acme")
    if tenant.status == "provisioning":
        return tenants.create_tenant(runtime.databases, slug=credentials["slug"], name="Acme")
    return tenant
