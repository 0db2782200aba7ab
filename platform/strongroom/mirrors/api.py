"""/api/v1/hosts, /api/v1/files/{id}/mirrors"""

from __future__ import annotations

from typing import Any

from strongroom.access import Role, Scope
from strongroom.db.ids import parse_id
from strongroom.errors import AlreadyExists, Conflict, Forbidden, NotFound, OutboundRefused, StorageUnavailable, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.permissions import requires
from strongroom.mirrors import hosts as service
from strongroom.mirrors.schemas import (
    FileMirrorPage,
    HostChange,
    HostPage,
    HostProviderPage,
    HostRemoval,
    HostSchema,
    NewHostSchema,
    RetriedCopiesSchema,
    shown_host,
    shown_mirror,
)

blueprint = Blueprint("hosts", __name__, url_prefix="/api/v1", description="Further providers to which the tenant's files are mirrored.")


@blueprint.get("/hosts")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, HostPage)
def list_hosts() -> dict[str, Any]:
    """List the hosts with how far they are."""
    return {"items": [shown_host(each) for each in service.list_hosts(runtime(), current_tenant())], "next_cursor": None}


@blueprint.post("/hosts")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(NewHostSchema)
@blueprint.response(201, HostSchema)
@described(fails=(NotFound, Forbidden, Conflict, AlreadyExists, ValidationFailed, OutboundRefused, StorageUnavailable))
def add_host(body: dict[str, Any]) -> dict[str, Any]:
    """Mirror files to a provider, after having seen that everything works there. Files that exist follow."""
    return shown_host(service.add_host(runtime(), current_tenant(), current_principal(), **body))


@blueprint.get("/hosts/providers")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, HostProviderPage)
def list_host_providers() -> dict[str, Any]:
    """List the providers to which files may be mirrored: the tenant's own ones, and those that the platform offers."""
    return {"items": service.list_providers(runtime(), current_tenant()), "next_cursor": None}


@blueprint.get("/hosts/<host_id>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, HostSchema)
def get_host(host_id: str) -> dict[str, Any]:
    """Get a host with how far it is."""
    return shown_host(service.get_host(runtime(), current_tenant(), parse_id(host_id)))


@blueprint.patch("/hosts/<host_id>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(HostChange)
@blueprint.response(200, HostSchema)
@described(fails=(AlreadyExists, Conflict, ValidationFailed))
def update_host(body: dict[str, Any], host_id: str) -> dict[str, Any]:
    """Change a host's name or buckets, pause it or have it go on. Its copies follow."""
    return shown_host(service.update_host(runtime(), current_tenant(), current_principal(), parse_id(host_id), body))


@blueprint.delete("/hosts/<host_id>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(HostRemoval, location="query")
@blueprint.response(204)
@described(fails=(Conflict,))
def remove_host(query: dict[str, Any], host_id: str) -> None:
    """Mirror to a host no longer. Its copies are removed, or left there and forgotten."""
    service.remove_host(runtime(), current_tenant(), current_principal(), parse_id(host_id), **query)


@blueprint.post("/hosts/<host_id>/retry")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, RetriedCopiesSchema)
def retry_host(host_id: str) -> dict[str, Any]:
    """Try what failed at a host again now."""
    return {"retried": service.retry_host(runtime(), current_tenant(), parse_id(host_id))}


@blueprint.get("/files/<file_id>/mirrors")
@requires(Role.VIEWER, Scope.FILES_READ)
@blueprint.response(200, FileMirrorPage)
def list_file_mirrors(file_id: str) -> dict[str, Any]:
    """Tell where the current version of a file stands at each host."""
    found = service.file_mirrors(runtime(), current_tenant(), parse_id(file_id))
    return {"items": [shown_mirror(each) for each in found], "next_cursor": None}
