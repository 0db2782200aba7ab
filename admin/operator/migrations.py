"""/operator/migrations/ and /operator/cells/: how far the fleet's schemas are, and where the tenants live."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.errors import DomainError, NotFound
from strongroom.http.context import current_operator, runtime
from strongroom.operating import cells, fleet
from strongroom.operating.fleet_schemas import CellChangeSchema
from strongroom.operating.service import find_tenant

from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.operator.frame import OperatorView, acts, shows
from admin.pages import OPERATOR, go
from admin.query import address
from tenants.migrations import STATES

HERE, CELLS = f"{OPERATOR}/migrations/", f"{OPERATOR}/cells/"
PAGE = 50


class Migrations(OperatorView):
    """How every tenant's schema stands."""

    @shows("/")
    def index(self) -> Response:
        """Show counts, and the tenants by slug."""
        state, cursor = request.args.get("state"), request.args.get("cursor")
        state = state if state in STATES else None
        found = fleet.list_migrations(runtime(), state=state, after=cursor or "", limit=PAGE + 1)
        progress, items = fleet.progress(runtime()), found[:PAGE]
        return self.show(
            "migrations.html", tenants=items, counts=progress.counts, total=progress.total, fleet=progress.fleet,
            newest=runtime().newest_revision, filters=_filters(progress.counts, state), here=request.full_path.rstrip("?"),
            previous_url=address(HERE, state=state) if cursor else None,
            next_url=address(HERE, state=state, cursor=items[-1].slug) if len(found) > PAGE else None,
        )  # fmt: skip

    @acts("/<slug>/retry")
    def retry(self, slug: str) -> Response:
        """Have one tenant migrated now."""
        find_tenant(runtime(), slug)
        try:
            fleet.retry(runtime(), current_operator().email, slug)
        except NotFound:
            raise
        except DomainError as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"{slug} is migrated as soon as there is room.")

    @acts("/retry-failed")
    def retry_failed(self) -> Response:
        """Have every failed one tried again."""
        count = fleet.retry_failed(runtime(), current_operator().email)
        return say(go(HERE), "good", f"{count} tenant{'' if count == 1 else 's'} will be tried again by the next 'strongroom migrate'.")

    @acts("/freeze")
    def freeze(self) -> Response:
        """Freeze, or, with the field `frozen` empty, no longer."""
        found = fleet.set_frozen(runtime(), current_operator().email, frozen=bool(field("frozen")))
        text = "No tenant is migrated from now on." if found.frozen_at else "Tenants are migrated again."
        return say(go(HERE), "good", text)


class Cells(OperatorView):
    """Where the tenants live."""

    @shows("/")
    def index(self) -> Response:
        """Show the cells with what they hold."""
        return self.show("cells.html", cells=cells.list_cells(runtime()), amiss=cells.amiss(runtime()))

    @acts("/<cell>")
    def change(self, cell: str) -> Response:
        """Say how many tenants a cell may hold, and whether it takes new ones."""
        typed = field("max_tenants")
        values: dict[str, Any] = {"max_tenants": typed} if typed else {}
        cells.get_cell(runtime(), cell)
        try:
            body = checked(CellChangeSchema(), {**values, "closed": bool(field("closed"))})
            cells.set_cell(runtime(), current_operator().email, cell, **body)
        except DomainError as error:
            return say(go(CELLS), "bad", f"{cell}: {errors_of(error, 'max_tenants').get('max_tenants', error.detail)}")
        return say(go(CELLS), "good", f"{cell} is changed.")


def _filters(counts: dict[str, int], chosen: str | None) -> list[dict[str, Any]]:
    everything = {"label": "All", "url": HERE, "active": chosen is None, "count": None}
    return [everything] + [
        {"label": state.capitalize(), "url": address(HERE, state=state), "active": state == chosen, "count": counts[state]}
        for state in STATES
    ]
