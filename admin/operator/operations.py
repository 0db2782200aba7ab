"""/operator/operations/: what was and is done to tenants as a whole, with its steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, request
from strongroom.db.ids import parse_id
from strongroom.http.context import current_operator, runtime
from strongroom.life.models import Kind, Operation, OperationState
from strongroom.operating import life, overview

from admin.notices import say
from admin.operator.frame import OperatorView, acts, shows
from admin.pages import OPERATOR, go
from admin.query import address

HERE = f"{OPERATOR}/operations/"
PAGE = 50
TITLES = {
    Kind.RENAME: "Rename", Kind.SUSPEND: "Suspend", Kind.RESUME: "Resume", Kind.DELETE: "Delete", Kind.RESTORE: "Restore",
    Kind.IMPORT: "Import", Kind.MOVE: "Move to another cell", Kind.STAY: "Move aborted",
}  # fmt: skip
STEPS = {
    "registry": "Written down, and told to every process", "jobs": "Background work paused", "feed": "Told in the tenant’s change feed",
    "grace": "Grace time", "schema": "Database schema and role removed", "bytes": "Bytes removed", "tombstone": "Address free again",
    "stragglers": "Looked once more for late uploads",
    "place": "Schema and role made in the new cell", "copy": "Rows copied", "notice": "Writes refused from now on, reads go on",
    "pause": "Old cell refuses writes", "compare": "Rest copied, all compared", "switch": "Lives in the new cell",
    "leave": "Old cell lets nobody in", "settle": "Background work goes on there", "writes": "Can be written again",
    "discard": "What was copied is removed",
}  # fmt: skip


class Operations(OperatorView):
    """What is done to tenants."""

    @shows("/")
    def index(self) -> Response:
        """Show operations, newest first."""
        slug, cursor = request.args.get("q", "").strip(), request.args.get("cursor")
        before = parse_id(cursor) if cursor else None
        found = life.list_operations(runtime(), slug=slug or None, before=before, limit=PAGE + 1)
        items, last = found[:PAGE], found[PAGE - 1] if len(found) > PAGE else None
        names = overview.tenant_names(runtime(), [each.tenant_id for each in items])
        return self.show(
            "operations.html", operations=[{**shown(each), "tenant": names.get(each.tenant_id)} for each in items], q=slug or None,
            here=request.full_path.rstrip("?"), previous_url=address(HERE, q=slug) if cursor else None,
            next_url=address(HERE, q=slug, cursor=str(last.id)) if last else None,
        )  # fmt: skip

    @acts("/<operation_id>/retry")
    def retry(self, operation_id: str) -> Response:
        """Have an operation that was held up go on."""
        life.retry_operation(runtime(), current_operator().email, parse_id(operation_id))
        return say(go(HERE), "good", "It goes on.")


def shown(operation: Operation) -> dict[str, Any]:
    """Return an operation as pages show it: its steps by title, and how it stands in one word."""
    words = {**STEPS, "jobs": "Background work goes on"} if operation.kind in {Kind.RESUME, Kind.RESTORE, Kind.IMPORT} else STEPS
    steps = [{"title": words[each.name], "state": each.state, "at": _moment(each.at)} for each in operation.steps]
    can_abort = operation.kind == Kind.MOVE and not operation.is_past("switch")
    known = {**vars(operation), "writes_paused_s": operation.writes_paused_s}
    return {**known, "can_abort": can_abort, "title": TITLES[operation.kind], "steps": steps, "stands": _stands(operation)}


def _stands(operation: Operation) -> str:
    if operation.state != OperationState.OPEN:
        return operation.state
    if operation.error:
        return "failed"
    return "waiting" if operation.due_at > datetime.now(UTC) else "running"


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
