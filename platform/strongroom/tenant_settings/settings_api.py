"""/api/v1/tenant/settings: what a tenant chooses for itself, with versions."""

from __future__ import annotations

from typing import Any

from flask import request

from strongroom.access import Role, Scope
from strongroom.errors import NotFound, PreconditionFailed, ValidationFailed
from strongroom.http.conditions import etags
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.http.describing import described
from strongroom.http.json import Blueprint
from strongroom.http.paging import PageQuery, cursor_at, position_of
from strongroom.http.permissions import requires
from strongroom.tenant_settings import service
from strongroom.tenant_settings.schemas import (
    SettingsChange,
    SettingsSchema,
    SettingsVersionPage,
    WholeSettingsVersionSchema,
    shown_parts,
    shown_settings,
)
from tenants.settings import SettingsVersion

blueprint = Blueprint(
    "settings", __name__, url_prefix="/api/v1/tenant/settings", description="What the tenant chooses for itself; each change is a version."
)
LISTING = "settings versions"
MAX_DIGITS = 9


def _answer(version: SettingsVersion) -> tuple[dict[str, Any], int, dict[str, str]]:
    return shown_settings(current_tenant(), version), 200, {"ETag": f'"{version.version}"'}


def _expected() -> frozenset[int] | None:
    """Return the versions of If-Match; None where any is good.

    Raises:
        BadRequest: it is no list of tags.
    """
    tags = etags(request.headers.get("If-Match"), strong=True)
    if tags is None or "*" in tags:
        return None
    return frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) <= MAX_DIGITS)


def _number(version: str) -> int:
    if not (version.isascii() and version.isdigit() and len(version) <= MAX_DIGITS):
        raise NotFound("There is no such version of the settings.")
    return int(version)


@blueprint.get("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, SettingsSchema)
@described(gives={200: ("ETag",)})
def get_settings() -> Any:
    """Get the settings. Their version is the ETag, too."""
    return _answer(service.get_settings(runtime(), current_tenant()))


@blueprint.patch("")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(SettingsChange)
@blueprint.response(200, SettingsSchema)
@described(takes=("If-Match",), gives={200: ("ETag",)}, fails=(PreconditionFailed,))
def update_settings(body: dict[str, Any]) -> Any:
    """Change settings: what is left out stays, null gives a field its default again. With If-Match only that version is changed."""
    changed = service.update_settings(runtime(), current_tenant(), current_principal().actor, body, expected=_expected())
    return _answer(changed)


@blueprint.get("/versions")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, SettingsVersionPage)
def list_versions(page: dict[str, Any]) -> dict[str, Any]:
    """List the versions with who made them and what they changed, newest first. The last 500 are kept."""
    position = position_of(LISTING, page["cursor"])
    found = service.list_versions(runtime(), current_tenant(), before=position[0] if position else None, limit=page["limit"] + 1)
    items = found[: page["limit"]]
    return {"items": items, "next_cursor": cursor_at(LISTING, [items[-1].version] if len(found) > len(items) else None)}


@blueprint.get("/versions/<version>")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, WholeSettingsVersionSchema)
def get_version(version: str) -> dict[str, Any]:
    """Get one version with the settings as they were."""
    found = service.get_version(runtime(), current_tenant(), _number(version))
    return {**vars(found), "settings": shown_parts(current_tenant(), found.settings)}


@blueprint.post("/versions/<version>/restore")
@requires(Role.ADMIN, Scope.ADMIN)
@blueprint.response(200, SettingsSchema)
@described(takes=("If-Match",), gives={200: ("ETag",)}, fails=(PreconditionFailed, ValidationFailed))
def restore_version(version: str) -> Any:
    """Make a former version's settings those of a new version."""
    actor = current_principal().actor
    return _answer(service.restore_version(runtime(), current_tenant(), actor, _number(version), expected=_expected()))
