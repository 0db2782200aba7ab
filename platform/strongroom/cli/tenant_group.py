"""`strongroom tenant …`: the whole group, put together from the modules that add commands to it."""

from __future__ import annotations

from strongroom.cli import life, moves, plans, takeout
from strongroom.cli.tenants import tenant

__all__ = ["life", "moves", "plans", "takeout", "tenant"]
