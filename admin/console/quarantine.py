"""/console/quarantine/: files that did not pass their check, or could not be checked whole."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.access import Role
from strongroom.db.ids import parse_id
from strongroom.files import service
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.paging import cursor_at, position_of
from strongroom.usage.http import caller
from strongroom.users import service as users

from admin.console.frame import ConsoleView, acts, shows
from admin.console.listing import PAGE, moment_of, shown
from admin.notices import say
from admin.pages import CONSOLE, go
from admin.query import address

HERE = f"{CONSOLE}/quarantine/"
KINDS = {"quarantined": "Quarantined", "rejected": "Rejected", "unscanned": "Not scanned"}


class Quarantine(ConsoleView):
    """What an administrator should look at."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the files, last uploaded first."""
        tenant, kind = current_tenant(), request.args.get("show")
        kind = kind if kind in KINDS else None
        position = position_of("attention", request.args.get("cursor"))
        found = service.attention(runtime(), tenant, PAGE + 1, before=moment_of(position), kind=kind)
        items, last = found[:PAGE], found[PAGE - 1] if len(found) > PAGE else None
        cursor = cursor_at("attention", [last.version_created_at.isoformat(), str(last.version_id)] if last else None)
        names = users.names_of(runtime(), tenant, [file.uploaded_by for file in items])
        return self.show(
            "quarantine.html", filters=_filters(service.count_attention(runtime(), tenant), kind),
            files=[shown(file, created_at=file.version_created_at, created_by_name=names.get(file.uploaded_by)) for file in items],
            previous_url=address(HERE, show=kind) if position else None,
            next_url=address(HERE, show=kind, cursor=cursor) if cursor else None,
        )  # fmt: skip

    @acts("/<file_id>/delete", role=Role.ADMIN)
    def delete(self, file_id: str) -> Response:
        """Remove a file for good, past the trash."""
        tenant, wanted = current_tenant(), parse_id(file_id)
        service.delete_file(runtime(), tenant, current_principal(), caller(), file_id=wanted)
        service.purge_from_trash(runtime(), tenant, wanted)
        return say(go(HERE), "good", "The file and its bytes are gone for good.")


def _filters(counts: dict[str, int], chosen: str | None) -> list[dict[str, Any]]:
    everything = {"label": "All", "url": HERE, "active": chosen is None, "count": sum(counts.values())}
    kinds = [
        {"label": label, "url": address(HERE, show=kind), "active": kind == chosen, "count": counts.get(kind, 0)}
        for kind, label in KINDS.items()
    ]
    return [everything, *kinds]
