"""In which cell a new tenant is put: the one with the fewest tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select

from tenants.models import TenantStatus
from tenants.tables import tenants


def count_tenants(connection: Connection) -> dict[str, int]:
    """Return how many living tenants each cell holds."""
    query = select(tenants.c.cell, func.count()).where(tenants.c.status != TenantStatus.DELETED).group_by(tenants.c.cell)
    return {row[0]: row[1] for row in connection.execute(query)}


def roomiest(cells: Sequence[str], counts: Mapping[str, int]) -> str:
    """Return the cell with the fewest tenants; of several the first in the settings' order."""
    return min(cells, key=lambda name: counts.get(name, 0))
