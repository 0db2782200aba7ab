"""/console/file/{id}: one file with its scan report and versions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Response, request
from strongroom.access import Role
from strongroom.buckets import service as buckets
from strongroom.db.ids import parse_id
from strongroom.files import service
from strongroom.files.models import File, Status
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.local_paths import local_path
from strongroom.mirrors import hosts
from strongroom.mirrors.schemas import shown_mirror
from strongroom.usage.http import caller
from strongroom.users import service as users

from admin.console.frame import ConsoleView, acts, shows
from admin.console.listing import shown
from admin.notices import say
from admin.pages import CONSOLE, go
from admin.query import address


class FilePage(ConsoleView):
    """One file."""

    @shows("/")
    def index(self) -> Response:
        """Without an id: to the files."""
        return go(f"{CONSOLE}/files/")

    @shows("/<file_id>")
    def file(self, file_id: str) -> Response:
        """Show a file."""
        tenant = current_tenant()
        file = service.get_file(runtime(), tenant, parse_id(file_id))
        versions = service.list_versions(runtime(), tenant, file.id)
        open_to_all = buckets.get_bucket(runtime(), tenant, file.bucket).serve_unscanned
        names = users.names_of(runtime(), tenant, [file.created_by, *(version.uploaded_by for version in versions)])
        folder = file.path.rpartition("/")[0]
        return self.show(
            "file.html",
            file=shown(
                file, etag=f'"{file.etag}"', downloadable=_is_downloadable(file, open_to_all), created_by_name=names.get(file.created_by),
                folder_url=address(f"{CONSOLE}/files/{file.bucket}/", prefix=f"{folder}/" if folder else None),
            ),
            mirrors=[shown_mirror(each) for each in hosts.file_mirrors(runtime(), tenant, file.id)] if tenant.settings.hosts else [],
            versions=[_version(version, file, open_to_all, names) for version in versions],
        )  # fmt: skip

    @acts("/<file_id>/delete", role=Role.MEMBER)
    def delete(self, file_id: str) -> Response:
        """Move a file to the trash."""
        tenant = current_tenant()
        file = service.get_file(runtime(), tenant, parse_id(file_id))
        service.delete_file(runtime(), tenant, current_principal(), caller(), file_id=file.id)
        after = local_path(request.form.get("next"), CONSOLE) or f"{CONSOLE}/files/{file.bucket}/"
        return say(go(after), "good", f"“{shown(file)['name']}” was moved to the trash.")

    @acts("/<file_id>/versions/<version_id>/restore", role=Role.MEMBER)
    def restore(self, file_id: str, version_id: str) -> Response:
        """Make a former version the current one."""
        file = service.restore_version(runtime(), current_tenant(), current_principal(), parse_id(file_id), parse_id(version_id))
        return say(go(f"{CONSOLE}/file/{file.id}"), "good", "That version is the current one again.")


def _is_downloadable(file: File, serve_unscanned: bool) -> bool:
    return service.is_downloadable(file, current_principal(), current_tenant().settings.scanning, serve_unscanned=serve_unscanned)


def _version(version: File, file: File, serve_unscanned: bool, names: dict[UUID | None, str]) -> dict[str, Any]:
    is_current = version.version_id == file.version_id
    content = f"/api/v1/files/{quote(str(file.id))}/content?version={version.version_id}"
    return {
        "id": version.version_id, "size_bytes": version.size_bytes, "status": version.status, "verdict": version.scan.verdict,
        "created_at": version.version_created_at, "created_by_name": names.get(version.uploaded_by), "is_current": is_current,
        "may_restore": not is_current and version.status not in {Status.QUARANTINED, Status.REJECTED},
        "download_url": content if _is_downloadable(version, serve_unscanned) else None,
    }  # fmt: skip
