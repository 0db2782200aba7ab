"""The two kinds of steps of what is done to tenants. Each step is idempotent.

A short one happens within the registry's transaction that marks it as done, so that it and its mark come together, and
nobody else does it meanwhile. A long one happens outside of any, is begun by no more than the mark, and may happen twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from strongroom.life.models import Operation
from strongroom.runtime import Runtime
from tenants.models import Tenant


@dataclass(frozen=True)
class Short:
    """A step within the registry's transaction; what it returns is the pause before the next one, in seconds."""

    name: str
    act: Callable[[Runtime, Connection, Operation, Tenant], float | None]


@dataclass(frozen=True)
class Long:
    """A step that may take its time. `pause_s`: before the next one is due."""

    name: str
    act: Callable[[Runtime, Operation, Tenant], None]
    pause_s: float = 0.0
