"""/console/files/: buckets, folders, search, files as a ZIP. Uploads go straight to the API, by the page's script."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.access import Role
from strongroom.buckets import service as buckets
from strongroom.buckets.models import Bucket
from strongroom.db.ids import parse_id
from strongroom.errors import NotFound
from strongroom.files import archive, service
from strongroom.files.archive_api import send_archive
from strongroom.files.models import Listing
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.paging import cursor_at, position_of

from admin.console.frame import ConsoleView, acts, shows
from admin.console.listing import PAGE, shown
from admin.pages import CONSOLE, go
from admin.query import address

MAX_SEARCH = 200


class Files(ConsoleView):
    """The file browser."""

    @shows("/")
    def index(self) -> Response:
        """Go to the first bucket."""
        found = buckets.list_buckets(runtime(), current_tenant(), limit=1)
        return go(f"{CONSOLE}/files/{found[0].name}/") if found else self.show("files.html", bucket=None, buckets=[])

    @shows("/<bucket>/")
    def browse(self, bucket: str) -> Response:
        """Show a folder of a bucket, or what a search found in the bucket."""
        tenant = current_tenant()
        found = buckets.list_buckets(runtime(), tenant)
        chosen = next((each for each in found if each.name == bucket), None)
        if chosen is None:
            raise NotFound("There is no such bucket.")
        search, prefix = request.args.get("q", "")[:MAX_SEARCH], request.args.get("prefix", "")
        prefix = "" if search or not prefix.strip("/") else prefix.rstrip("/") + "/"
        listing_name = f"files:{bucket}"
        position = position_of(listing_name, request.args.get("cursor"))
        listing = service.list_files(
            runtime(), tenant, bucket, prefix=prefix, delimiter="" if search else "/", search=search,
            after=position[0] if position else "", limit=PAGE,
        )  # fmt: skip
        here = f"{CONSOLE}/files/{bucket}/"
        cursor = cursor_at(listing_name, [listing.position] if listing.position is not None else None)
        return self.show(
            "files.html", buckets=found, bucket=chosen, prefix=prefix, q=search or None, crumbs=_crumbs(prefix),
            folders=[{"name": each.removeprefix(prefix).rstrip("/"), "prefix": each} for each in listing.prefixes],
            files=_rows(listing, chosen, prefix), here=request.full_path.rstrip("?"),
            previous_url=address(here, prefix=prefix, q=search) if position else None,
            next_url=address(here, prefix=prefix, q=search, cursor=cursor) if cursor else None,
        )  # fmt: skip

    @acts("/<bucket>/archive", role=Role.VIEWER)
    def archive(self, bucket: str) -> Response:
        """Send the files that were chosen as one ZIP: by a form, so that the browser saves it as it comes."""
        file_ids = [parse_id(each) for each in request.form.getlist("file_id")]
        return send_archive(archive.select_files(runtime(), current_tenant(), bucket, file_ids=file_ids))


def _crumbs(prefix: str) -> list[dict[str, str]]:
    parts = prefix.split("/")[:-1]
    return [{"label": part, "prefix": "/".join(parts[: index + 1]) + "/"} for index, part in enumerate(parts)]


def _rows(listing: Listing, bucket: Bucket, prefix: str) -> list[dict[str, Any]]:
    principal, policy = current_principal(), current_tenant().settings.scanning
    return [
        shown(
            file, name=file.path.removeprefix(prefix),
            downloadable=service.is_downloadable(file, principal, policy, serve_unscanned=bucket.serve_unscanned),
        )
        for file in listing.items
    ]  # fmt: skip
