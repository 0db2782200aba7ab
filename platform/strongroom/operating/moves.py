"""What an operator does with a tenant's move. Knows no HTTP."""

from __future__ import annotations

from strongroom.auth import operators
from strongroom.moving import service as moving
from strongroom.moving.models import Left, Report
from strongroom.operating.providers import get_provider
from strongroom.operating.service import find_tenant
from strongroom.runtime import Runtime


def plan(runtime: Runtime, slug: str, provider: str) -> Left:
    """Return what a move would have to move; nothing is changed.

    Raises:
        NotFound
    """
    return moving.plan(runtime, find_tenant(runtime, slug), get_provider(runtime, provider))


def begin(runtime: Runtime, operator: str, slug: str, provider: str) -> Report:
    """Have all bytes of a tenant go to a provider; see `moving.service.begin`.

    Raises:
        NotFound, StorageUnavailable
    """
    tenant, info = find_tenant(runtime, slug), get_provider(runtime, provider)
    report = moving.begin(runtime, tenant, info)
    operators.record(runtime.databases, operator, "tenant.move_bytes", slug, {"provider": provider})
    return report


def report(runtime: Runtime, slug: str) -> Report:
    """Tell how a tenant's move stands.

    Raises:
        NotFound
    """
    return moving.report(runtime, find_tenant(runtime, slug))
