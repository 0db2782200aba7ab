"""/console/exports/: the tenant taken out as one archive."""

from __future__ import annotations

from flask import Response, redirect
from strongroom.access import Role
from strongroom.db.ids import parse_id
from strongroom.errors import Conflict
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.takeout import service
from strongroom.takeout.api import PREFIX

from admin.console.frame import ConsoleView, acts, shows
from admin.notices import say
from admin.pages import CONSOLE, go

HERE = f"{CONSOLE}/exports/"


class Exports(ConsoleView):
    """The tenant's archives."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the archives."""
        found = service.list_exports(runtime(), current_tenant())
        is_running = any(each.state == "running" for each in found)
        return self.show("exports.html", exports=found, is_running=is_running, here=HERE)

    @acts("/", role=Role.ADMIN)
    def begin(self) -> Response:
        """Have an archive made."""
        try:
            service.begin(runtime(), current_tenant(), current_principal())
        except Conflict as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", "The archive is being made. You can leave this page.")

    @acts("/<export_id>/download", role=Role.ADMIN)
    def download(self, export_id: str) -> Response:
        """Lead to the archive's bytes by a link of its own."""
        token, _ = service.make_link(runtime(), current_tenant(), current_principal(), parse_id(export_id))
        response: Response = redirect(f"{PREFIX}/archive/{token}", 303)  # type: ignore[assignment]  # Flask's is one
        return response

    @acts("/<export_id>/delete", role=Role.ADMIN)
    def delete(self, export_id: str) -> Response:
        """Remove an archive."""
        service.delete(runtime(), current_tenant(), parse_id(export_id))
        return say(go(HERE), "good", "The archive is removed.")
