"""/console/api-keys/: keys for the tenant's own programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, request
from strongroom.access import Role, Scope
from strongroom.api_keys import service
from strongroom.api_keys.api import NewApiKeySchema
from strongroom.api_keys.service import ApiKey
from strongroom.db.ids import parse_id
from strongroom.errors import DomainError, NotFound, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime

from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field
from admin.notices import say
from admin.pages import CONSOLE, go

HERE = f"{CONSOLE}/api-keys/"
LIFETIMES = {"30": 30, "90": 90, "365": 365, "": None}
FOR_MEMBERS = (
    (Scope.FILES_READ, "Read files", "List and download."),
    (Scope.FILES_WRITE, "Write files", "Upload, change and delete."),
)
FOR_ADMINS = (
    (Scope.STATS_READ, "Read usage", "Figures of storage and transfer."),
    (Scope.USER_READ, "Read users", "List users and their roles."),
    (Scope.USER_WRITE, "Manage users", "Invite, change and remove."),
    (Scope.ADMIN, "Everything", "All that you may do yourself."),
)
FRESH = {"name": "", "scopes": [Scope.FILES_READ], "expires_in_days": "90"}


class ApiKeys(ConsoleView):
    """The keys: all for those who manage the tenant, one's own for others."""

    @shows("/", role=Role.MEMBER)
    def index(self) -> Response:
        """Show the living keys, and a new one this once."""
        return self._list(FRESH)

    @acts("/", role=Role.MEMBER)
    def create(self) -> Response:
        """Make a key; its text is told once, by the page after this."""
        typed = {"name": field("name"), "scopes": request.form.getlist("scopes"), "expires_in_days": field("expires_in_days")}
        try:
            body = checked(NewApiKeySchema(only=("name", "scopes")), {"name": typed["name"], "scopes": typed["scopes"]})
            key, text = service.create_api_key(
                runtime(), current_tenant(), current_principal(), **body, expires_at=_end(str(typed["expires_in_days"]))
            )
        except DomainError as error:
            return self._list(typed, errors_of(error, otherwise="scopes"), error.status)
        return say(go(HERE), "good", new_key={"name": key.name, "key": text})

    @acts("/<key_id>/revoke", role=Role.MEMBER)
    def revoke(self, key_id: str) -> Response:
        """Revoke a key at once."""
        try:
            service.revoke_api_key(runtime(), current_tenant(), current_principal(), parse_id(key_id))
        except NotFound as error:
            return say(go(HERE), "bad", error.detail)
        return say(go(HERE), "good", "The key was revoked. It stopped working at once.")

    def _list(self, values: dict[str, Any], errors: dict[str, str] | None = None, status: int = 200) -> Response:
        keys = service.list_api_keys(runtime(), current_tenant(), current_principal())
        return self.show("api_keys.html", status, keys=[_row(key) for key in keys], scopes=_scopes(), values=values, errors=errors or {})


def _scopes() -> list[dict[str, str]]:
    manages = current_principal().role.includes(Role.ADMIN)
    offered = FOR_MEMBERS + FOR_ADMINS if manages else FOR_MEMBERS
    return [{"value": scope, "label": label, "hint": hint} for scope, label, hint in offered]


def _row(key: ApiKey) -> dict[str, Any]:
    return {**vars(key), "prefix": f"sr_{current_tenant().slug}_{key.key_id}", "last_used_at": key.used_at}


def _end(days: str) -> datetime | None:
    if days not in LIFETIMES:
        raise ValidationFailed(errors={"expires_in_days": ["Choose one of these."]})
    lifetime = LIFETIMES[days]
    return datetime.now(UTC) + timedelta(days=lifetime) if lifetime is not None else None
