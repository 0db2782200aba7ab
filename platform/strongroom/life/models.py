"""Values of what is done to tenants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Kind(StrEnum):
    """What is done."""

    RENAME = "rename"
    SUSPEND = "suspend"
    RESUME = "resume"
    DELETE = "delete"
    RESTORE = "restore"
    IMPORT = "import"
    MOVE = "move"
    STAY = "stay"


class OperationState(StrEnum):
    """Whether it goes on. `cancelled`: a deletion that ended in a restoration, a move that was aborted."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


class StepState(StrEnum):
    """How a step stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True)
class Step:
    """One step. `at`: when it came to its state, RFC 3339; empty while it waits."""

    name: str
    state: StepState = StepState.WAITING
    at: str = ""


@dataclass(frozen=True)
class Operation:
    """What is done to a tenant. `slug`: its name when this began. Its next step is not done before `due_at`."""

    id: UUID
    tenant_id: UUID
    kind: Kind
    slug: str
    state: OperationState
    steps: tuple[Step, ...]
    data: dict[str, Any]
    error: str
    due_at: datetime
    began_at: datetime
    ended_at: datetime | None

    @property
    def next_step(self) -> Step | None:
        """The first step that is not done."""
        return next((step for step in self.steps if step.state != StepState.DONE), None)

    def is_past(self, name: str) -> bool:
        """Tell whether a step is done."""
        return any(step.name == name and step.state == StepState.DONE for step in self.steps)

    @property
    def writes_paused_s(self) -> float | None:
        """For how many seconds writes were refused, where they were: in a move to another cell."""
        found = self.data.get("writes_paused_s")
        return float(found) if found is not None else None
