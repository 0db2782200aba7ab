"""/api/v1/files/{id}/blocks"""

from __future__ import annotations

from typing import Any

from strongroom.access import Role, Scope
from strongroom.db.ids import parse_id
from strongroom.http.context import current_tenant, runtime
from strongroom.http.json import Blueprint
from strongroom.http.paging import cursor_at, position_of
from strongroom.http.permissions import requires
from strongroom.uploads import blocks
from strongroom.uploads.direct_schemas import BlockPage, BlockQuery
from strongroom.uploads.fingerprint import BLOCK_BYTES

blueprint = Blueprint("blocks", __name__, url_prefix="/api/v1/files", description="The digests of a file's blocks.")


@blueprint.get("/<file_id>/blocks")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.arguments(BlockQuery, location="query")
@blueprint.response(200, BlockPage)
def list_blocks(query: dict[str, Any], file_id: str) -> dict[str, Any]:
    """List the BLAKE3 of each 4 MiB of a file, in order."""
    listing = f"blocks:{parse_id(file_id)}:{query['version']}"
    position = position_of(listing, query["cursor"])
    start, version_id = (position[0], parse_id(position[1])) if position else (0, query["version"])
    file, found = blocks.list_blocks(
        runtime(), current_tenant(), parse_id(file_id), version_id, start=start, limit=query["limit"] + 1
    )  # fmt: skip
    items = found[: query["limit"]]
    more = [start + len(items), str(file.version_id)] if len(found) > len(items) else None
    return {
        "block_size_bytes": BLOCK_BYTES, "size_bytes": file.size_bytes, "items": items, "next_cursor": cursor_at(listing, more),
    }  # fmt: skip
