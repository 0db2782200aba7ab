"""/console/isolation/: what the probe of the walls around this tenant found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from flask import Response
from strongroom.access import Role
from strongroom.errors import NotFound
from strongroom.http.context import current_tenant, runtime
from strongroom.isolation import service

from admin.console.frame import ConsoleView, shows

WALLS = {
    "identity": "Credentials of others, at every route", "objects": "Others' ids and names, at every route that takes one",
    "rows": "Others' database roles", "bytes": "Others' views of the storage provider", "links": "Links of others",
    "state": "Caches, cursors, idempotency keys, entity tags", "jobs": "Background jobs of others", "exports": "Archives of others",
}  # fmt: skip


def _sums(tried: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    counts = [(each["attempts"], each["findings"]) for each in tried]
    return sum(attempts for attempts, _ in counts), sum(findings for _, findings in counts)


class Isolation(ConsoleView):
    """The newest report."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show what was tried, wall by wall, and what was found."""
        document = self._latest()
        report = document["report"] if document else None
        tried = report["tried"] if report else []
        walls = [(WALLS.get(wall, wall), *_sums(group)) for wall, group in groupby(tried, lambda each: each["wall"])]
        return self.show("isolation.html", report=report, walls=walls, key_id=document["key_id"] if document else "")

    @shows("/report.json", role=Role.ADMIN)
    def download(self) -> Response:
        """Give the report with its signature as a file."""
        document = service.latest(runtime(), current_tenant())
        name = f"isolation-{current_tenant().slug}-{document['report']['ended_at'][:10]}.json"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(json.dumps(document, indent=2), content_type="application/json", headers=headers)

    def _latest(self) -> dict[str, Any] | None:
        try:
            return service.latest(runtime(), current_tenant())
        except NotFound:
            return None
