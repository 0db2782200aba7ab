"""/api/v1/buckets/{bucket}/archive: many files as one ZIP."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Response, request

from strongroom.access import Role, Scope
from strongroom.buckets.room import check_transfer
from strongroom.errors import ArchiveTooLarge, InvalidPath, TransferExceeded
from strongroom.files import archive
from strongroom.files.archive import Archive, Selection
from strongroom.files.download import keep_sending
from strongroom.files.headers import disposition
from strongroom.files.schemas import ArchiveQuery, SelectionSchema
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires
from strongroom.usage.http import caller
from strongroom.usage.ledger import ledger

blueprint = Blueprint("archives", __name__, url_prefix="/api/v1/buckets", description="Many files as one ZIP.")
ROUTE = "/<bucket>/archive"
ZIP = {200: {"description": "The archive.", "content": {"application/zip": {}}}}


@blueprint.get(ROUTE)
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(ArchiveQuery, location="query")
@described(gives={200: ("Content-Disposition",)}, fails=(InvalidPath, ArchiveTooLarge, TransferExceeded))
@blueprint.doc(responses=ZIP)
def get_archive(query: dict[str, Any], bucket: str) -> Response:
    """Get everything below a prefix as one ZIP."""
    return send_archive(archive.select_folder(runtime(), current_tenant(), bucket, query["prefix"]))


@blueprint.post(ROUTE)
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(SelectionSchema)
@described(gives={200: ("Content-Disposition",)}, fails=(InvalidPath, ArchiveTooLarge, TransferExceeded))
@blueprint.doc(responses=ZIP)
def post_archive(body: dict[str, Any], bucket: str) -> Response:
    """Get some files as one ZIP."""
    return send_archive(archive.select_files(runtime(), current_tenant(), bucket, **body))


class _Body:
    """An archive as the server sends it; when it is closed, what went out is counted and the thread given back."""

    def __init__(self, made: Archive) -> None:
        count = archive.counter(runtime(), current_tenant(), current_principal(), caller())
        self._archive, self._count = made, count
        self._give_back = keep_sending()

    def _note(self, sent: archive.Sent) -> None:
        ledger.note(partial(self._count, sent))

    def __iter__(self) -> Iterator[bytes]:
        """The archive's pieces."""
        return self._archive.pieces(self._note)

    def close(self) -> None:
        """Count what went out, also when the client has gone away."""
        try:
            self._archive.close()
            self._note(self._archive.take_sent())
        finally:
            self._give_back()


def send_archive(selection: Selection) -> Response:
    """Return the answer that carries an archive, made while it is sent."""
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": disposition(selection.name, inline=False),
        "Cache-Control": "no-store",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    if request.method == "HEAD":
        response = Response(headers=headers)
        response.automatically_set_content_length = False
        return response
    check_transfer(current_tenant().limits, selection.transferred_bytes)
    made = Archive(runtime(), current_tenant(), current_principal(), selection)
    return Response(_Body(made), headers=headers, direct_passthrough=True)
