"""/console/hosts/: further providers to which files are mirrored."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from strongroom.access import Role
from strongroom.buckets import service as buckets
from strongroom.db.ids import parse_id
from strongroom.errors import DomainError
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.mirrors import hosts as service
from strongroom.mirrors.hosts import HostState
from strongroom.mirrors.schemas import HostChange, NewHostSchema

from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field, ticked
from admin.notices import say
from admin.pages import CONSOLE, go
from admin.provider_kinds import kind_of

HERE = f"{CONSOLE}/hosts/"
ALL, SOME = "all", "some"


class Hosts(ConsoleView):
    """The tenant's mirrors."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show the hosts with how far they are."""
        names = {bucket.id: bucket.name for bucket in buckets.list_buckets(runtime(), current_tenant())}
        found = [_row(each, names) for each in service.list_hosts(runtime(), current_tenant())]
        return self.show("hosts.html", hosts=found, may_add=bool(_free()), base=HERE)

    @shows("/new", role=Role.ADMIN)
    def new(self) -> Response:
        """Ask for a new host."""
        return self._form({"which": ALL, "buckets": []})

    @acts("/new", role=Role.ADMIN)
    def add(self) -> Response:
        """Add a host after having seen that everything works there."""
        try:
            body = checked(NewHostSchema(), {**_typed(), "provider_id": field("provider_id")})
            made = service.add_host(runtime(), current_tenant(), current_principal(), **body)
        except DomainError as error:
            return self._form(_values(), errors=errors_of(error, "provider_id"), status=error.status)
        return say(go(HERE), "good", f"{made.host.name} works. Your files are being copied there.")

    @shows("/<host_id>/edit", role=Role.ADMIN)
    def edit(self, host_id: str) -> Response:
        """Show a host to be changed."""
        found = _present(host_id)
        chosen = found.host.buckets
        values = {"name": found.host.name, "which": ALL if chosen is None else SOME, "buckets": [str(each) for each in chosen or ()]}
        return self._form(values, found)

    @acts("/<host_id>/edit", role=Role.ADMIN)
    def update(self, host_id: str) -> Response:
        """Change a host's name and buckets."""
        found = _present(host_id)
        try:
            service.update_host(runtime(), current_tenant(), current_principal(), found.host.id, checked(HostChange(), _typed()))
        except DomainError as error:
            return self._form(_values(), found, errors_of(error, "name"), error.status)
        return say(go(HERE), "good", "The mirror was changed. Its copies follow.")

    @acts("/<host_id>/pause", role=Role.ADMIN)
    def pause(self, host_id: str) -> Response:
        """Make no more copies at a host."""
        return self._switch(host_id, enabled=False, text="is paused. Its copies stay.")

    @acts("/<host_id>/resume", role=Role.ADMIN)
    def resume(self, host_id: str) -> Response:
        """Go on making copies at a host."""
        return self._switch(host_id, enabled=True, text="goes on. What has come meanwhile follows.")

    @acts("/<host_id>/retry", role=Role.ADMIN)
    def retry(self, host_id: str) -> Response:
        """Try again what failed."""
        count = service.retry_host(runtime(), current_tenant(), parse_id(host_id))
        return say(go(HERE), "good", f"{count} {'copy is' if count == 1 else 'copies are'} tried again.")

    @acts("/<host_id>/remove", role=Role.ADMIN)
    def remove(self, host_id: str) -> Response:
        """Mirror there no longer."""
        keep = ticked("keep_copies")
        try:
            service.remove_host(runtime(), current_tenant(), current_principal(), parse_id(host_id), keep_copies=keep)
        except DomainError as error:
            return _refused(error)
        return say(go(HERE), "good", "The mirror was removed. " + ("Its copies stay there." if keep else "Its copies are being deleted."))

    def _switch(self, host_id: str, *, enabled: bool, text: str) -> Response:
        try:
            found = service.update_host(runtime(), current_tenant(), current_principal(), parse_id(host_id), {"enabled": enabled})
        except DomainError as error:
            return _refused(error)
        return say(go(HERE), "good", f"{found.host.name} {text}")

    def _form(
        self, values: dict[str, Any], found: HostState | None = None, errors: dict[str, str] | None = None, status: int = 200
    ) -> Response:
        places = [{"value": str(each["id"]), "label": _label(each), "hint": kind_of(each["kind"]).title} for each in _free()]
        there = [{"value": str(each.id), "label": each.name} for each in buckets.list_buckets(runtime(), current_tenant())]
        return self.show(
            "host_form.html", status, host=found and found.host, places=places, buckets=there, values=values, errors=errors or {}, base=HERE
        )


def _free() -> list[dict[str, Any]]:
    return [each for each in service.list_providers(runtime(), current_tenant()) if each["is_free"]]


def _label(place: dict[str, Any]) -> str:
    return place["name"] if place["is_own"] else f"{place['name']} (the platform’s)"


def _present(host_id: str) -> HostState:
    return service.get_host(runtime(), current_tenant(), parse_id(host_id))


def _typed() -> dict[str, Any]:
    return {"name": field("name"), "buckets": None if field("which") != SOME else request.form.getlist("buckets")}


def _values() -> dict[str, Any]:
    return {"name": field("name"), "which": field("which"), "buckets": request.form.getlist("buckets"), "provider_id": field("provider_id")}


def _row(found: HostState, names: dict[Any, str]) -> dict[str, Any]:
    host, progress = found.host, found.progress
    chosen = None if host.buckets is None else sorted(names[each] for each in host.buckets if each in names)
    state = "main" if found.is_main else "paused" if not host.enabled else "behind" if progress.pending or progress.failed else "done"
    return {
        "id": host.id, "name": host.name, "provider": found.provider.name, "is_own": found.provider.tenant_id is not None,
        "kind": kind_of(found.provider.kind), "buckets": chosen, "enabled": host.enabled, "state": state, **vars(progress),
    }  # fmt: skip


def _refused(error: DomainError) -> Response:
    if error.status in {403, 404}:
        raise error
    return say(go(HERE), "bad", error.detail)
