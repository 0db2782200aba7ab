"""/operator/audit/: what operators did."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from flask import Response, request
from strongroom.auth import operators as service
from strongroom.auth.operators import AuditEntry
from strongroom.db.ids import parse_id
from strongroom.http.context import runtime
from strongroom.operating import overview

from admin.operator.frame import OperatorView, shows
from admin.pages import OPERATOR
from admin.query import address

HERE = f"{OPERATOR}/audit/"
PAGE = 100
WORDS = {
    "tenant.create": "Created the tenant {}", "tenant.suspend": "Suspended {}", "tenant.resume": "Resumed {}",
    "tenant.delete": "Deleted {}", "tenant.restore": "Restored {}", "tenant.rename": "Renamed {}",
    "tenant.export": "Took {} out", "tenant.import": "Imported {}", "tenant.retry": "Retried what is done to {}",
    "tenant.limits": "Changed plan or limits of {}", "provider.add": "Added the provider {}",
    "domain.claim": "Claimed a domain for {}", "domain.verify": "Proved a domain of {}", "domain.remove": "Took a domain from {}",
    "provider.default": "Made {} the default provider", "job.retry": "Retried the job {}", "job.retry_parked": "Retried {} parked jobs",
    "operator.create": "Created the operator {}", "operator.disable": "Disabled the operator {}",
    "operator.enable": "Enabled the operator {}",
}  # fmt: skip


class Audit(OperatorView):
    """The audit trail."""

    @shows("/")
    def index(self) -> Response:
        """Show the entries, newest first."""
        search, cursor = request.args.get("q", "").strip(), request.args.get("cursor")
        before = parse_id(cursor) if cursor else None
        found = service.list_audit(runtime().databases, before=before, limit=PAGE + 1, search=search)
        items, last = found[:PAGE], found[PAGE - 1] if len(found) > PAGE else None
        names = overview.tenant_names(runtime(), [tenant_id for entry in items if (tenant_id := _tenant_id(entry))])
        return self.show(
            "audit.html", entries=[_row(entry, names) for entry in items], q=search or None,
            previous_url=address(HERE, q=search) if cursor else None,
            next_url=address(HERE, q=search, cursor=str(last.id)) if last else None,
        )  # fmt: skip


def _tenant_id(entry: AuditEntry) -> UUID | None:
    with suppress(ValueError, TypeError):
        return UUID(entry.data["tenant_id"]) if "tenant_id" in entry.data else None
    return None


def _row(entry: AuditEntry, names: dict[UUID, tuple[str, str]]) -> dict[str, Any]:
    tenant_id = _tenant_id(entry)
    named = names.get(tenant_id) if tenant_id else None
    return {
        "at": entry.at, "actor": entry.operator, "action": entry.action,
        "text": WORDS.get(entry.action, entry.action + " {}").format(entry.subject),
        "tenant": {"slug": named[0], "name": named[1]} if named else None,
    }  # fmt: skip
