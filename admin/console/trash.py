"""/console/trash/: deleted files, until their time is over."""

from __future__ import annotations

from flask import Response, request
from strongroom.access import Role
from strongroom.db.ids import parse_id
from strongroom.errors import AlreadyExists
from strongroom.files import service
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.paging import cursor_at, position_of

from admin.console.frame import ConsoleView, acts, shows
from admin.console.listing import PAGE, moment_of, shown
from admin.notices import say
from admin.pages import CONSOLE, go
from admin.query import address

HERE = f"{CONSOLE}/trash/"


class Trash(ConsoleView):
    """The trash."""

    @shows("/", role=Role.MEMBER)
    def index(self) -> Response:
        """Show the trash, last deleted first."""
        search = request.args.get("q", "")
        position = position_of("trash", request.args.get("cursor"))
        found = service.list_trash(runtime(), current_tenant(), limit=PAGE + 1, before=moment_of(position), search=search)
        items, last = found[:PAGE], found[PAGE - 1] if len(found) > PAGE else None
        cursor = cursor_at("trash", [last.deleted_at.isoformat(), str(last.id)] if last and last.deleted_at else None)
        return self.show(
            "trash.html", files=[shown(file) for file in items], q=search or None,
            previous_url=address(HERE, q=search) if position else None, next_url=address(HERE, q=search, cursor=cursor) if cursor else None,
        )  # fmt: skip

    @acts("/<file_id>/undelete", role=Role.MEMBER)
    def undelete(self, file_id: str) -> Response:
        """Bring a file back."""
        try:
            file = service.undelete_file(runtime(), current_tenant(), current_principal(), parse_id(file_id))
        except AlreadyExists as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", f"“{shown(file)['name']}” is back in {file.bucket}.")

    @acts("/<file_id>/purge", role=Role.ADMIN)
    def purge(self, file_id: str) -> Response:
        """Remove a file for good."""
        service.purge_from_trash(runtime(), current_tenant(), parse_id(file_id))
        return say(go(HERE), "good", "The file and its bytes are gone for good.")
